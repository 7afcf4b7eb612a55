/* Patterns in a trie by token: what matches a type is found in one walk down
 * its tokens, whatever the number of patterns. */
#ifndef TD_TRIE_H
#define TD_TRIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidings/err.h"

struct td_trie_node;

struct td_trie {
    struct td_trie_node *root;   /* NULL while empty */
    struct td_trie_node **table; /* all others, by parent and token */
    size_t table_len;
    size_t nodes_len; /* in it */
    size_t bytes;     /* of those, about */
};

/* Embedded in whatever has a pattern; zero it before the first add. */
struct td_trie_entry {
    struct td_trie_entry *prev;
    struct td_trie_entry *next;
    struct td_trie_node *node; /* NULL: in no trie */
    bool rest;                 /* its pattern ends with '>' */
};

void td_trie_fini(struct td_trie *t); /* entries are only unlinked */

/* Adds under a valid pattern; the entry stays the caller's. On TIDINGS_ENOMEM
 * nothing has changed. */
tidings_err td_trie_add(struct td_trie *t, struct td_trie_entry *entry,
                        const char *pattern, size_t len);

/* Does nothing for an entry that is in no trie. */
void td_trie_remove(struct td_trie *t, struct td_trie_entry *entry);

/* Calls found for each entry whose pattern matches a valid type, once each;
 * stops when it returns false, and returns that. */
bool td_trie_match(const struct td_trie *t, const char *type, size_t len,
                   bool (*found)(void *ctx, struct td_trie_entry *entry),
                   void *ctx);

#endif
