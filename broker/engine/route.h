/* From a type to its subscriptions: a cache over the trie, so that matching
 * costs one lookup per run however many events and patterns there are. */
#ifndef TD_ROUTE_H
#define TD_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/engine/hash.h"
#include "broker/engine/trie.h"
#include "proto/scan.h"

/* What was published of a type. published = duplicates + routed + unmatched. */
struct td_type_count {
    uint64_t published;
    uint64_t duplicates;
    uint64_t routed;
    uint64_t unmatched;
    uint64_t bytes; /* of those routed or unmatched */
};

struct td_route {
    UT_hash_handle hh;
    bool hh_failed;
    uint64_t generation;
    struct td_type_count count;
    struct td_trie_entry **entries;
    struct td_trie_entry *one[1]; /* … while there is no more */
    uint32_t len;
    uint32_t left_out; /* as there were too many */
    struct td_route
        *prev; /* among those whose entries are a list of their own */
    struct td_route *next;
    struct td_stream *stream; /* which takes it: td_stream_of() */
    uint64_t stream_generation;
    size_t type_len;
    char type[];
};

/* Zeroed memory is ready for use. */
struct td_routes {
    struct td_route *cache; /* oldest first */
    uint64_t generation;
    /* Orders what a type matches; returns how many of it, from the first on, are
     * kept. NULL: all, as they are found. */
    uint32_t (*arrange)(struct td_trie_entry **found, uint32_t len);
    struct td_type_count other;   /* of types that are in it no more */
    struct td_route *lists;       /* those with a list, filled first first */
    size_t listed;                /* entries in those lists */
    struct td_trie_entry **found; /* scratch: what a type matches */
    uint32_t found_len;
    uint32_t found_cap;
};

void td_routes_fini(struct td_routes *r);

/* Call after every change of the trie: what is cached is looked up anew. */
void td_routes_changed(struct td_routes *r);

/* The entries that match a valid type; valid until the next call. NULL:
 * there is no memory. */
struct td_route *td_routes_find(struct td_routes *r, const struct td_trie *trie,
                                struct td_str type);

/* Where to count what was published of a type; valid until the next call. */
struct td_type_count *td_routes_count(struct td_routes *r,
                                      const struct td_trie *trie,
                                      struct td_str type);

/* The same where it has been counted already; never adds to the cache. */
struct td_type_count *td_routes_counted(struct td_routes *r,
                                        const struct td_trie *trie,
                                        struct td_str type, bool *routed);

void td_type_count_add(struct td_type_count *to,
                       const struct td_type_count *more);

size_t td_routes_cached(const struct td_routes *r);

#endif
