#include "broker/engine/trie.h"

#include "broker/engine/hash.h"
#include "proto/limits.h"
#include "proto/type.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NODE_SPARE_BYTES 24 /* malloc's own, and a share of the table */
#define TABLE_LEN_MIN    16

/* One table has the children of all nodes: a table for each would cost several
 * times what the node does, and most have a single child. */
struct td_trie_node {
    struct td_trie_node *next;   /* in the table */
    struct td_trie_node *parent; /* NULL: it is the root */
    struct td_trie_node *star;   /* the child "*" */
    struct td_trie_entry *ends;  /* patterns that end here */
    struct td_trie_entry *rests; /* patterns that go on with ">" */
    uint32_t children;           /* but for the star */
    uint32_t hash;
    uint8_t token_len;
    char token[];
};

static size_t node_bytes(size_t token_len)
{
    size_t bytes = offsetof(struct td_trie_node, token) + token_len;

    return bytes > sizeof(struct td_trie_node) ? bytes
                                               : sizeof(struct td_trie_node);
}

/* ---- the table ---- */

/* The parent's address comes first, which nobody can guess: tokens that are
 * chosen to meet in one place meet elsewhere. */
static uint32_t hash_of(const struct td_trie_node *parent, const char *token,
                        size_t len)
{
    char key[sizeof(parent) + TD_TYPE_BYTES_MAX];
    unsigned hash;

    memcpy(key, &parent, sizeof(parent));
    memcpy(key + sizeof(parent), token, len);
    HASH_JEN(key, sizeof(parent) + len, hash);
    return hash;
}

static struct td_trie_node **place_of(const struct td_trie *t, uint32_t hash)
{
    return &t->table[hash & (t->table_len - 1)];
}

static void table_put(struct td_trie *t, struct td_trie_node *node)
{
    struct td_trie_node **place = place_of(t, node->hash);

    node->next = *place;
    *place = node;
}

static void table_take(struct td_trie *t, struct td_trie_node *node)
{
    struct td_trie_node **place = place_of(t, node->hash);

    while (*place != node)
        place = &(*place)->next;
    *place = node->next;
    if (--t->nodes_len > 0)
        return;
    free(t->table);
    t->table = NULL;
    t->table_len = 0;
}

/* Room for one more. False: no memory, and nothing has changed. */
static bool table_grow(struct td_trie *t)
{
    struct td_trie_node **old = t->table;
    size_t old_len = t->table_len;
    size_t len = old_len ? old_len * 2 : TABLE_LEN_MIN;
    struct td_trie_node **table;

    if (t->nodes_len < old_len)
        return true;
    table = calloc(len, sizeof(struct td_trie_node *));
    if (!table)
        return false;
    t->table = table;
    t->table_len = len;
    for (size_t i = 0; i < old_len; i++) {
        while (old[i]) {
            struct td_trie_node *node = old[i];

            old[i] = node->next;
            table_put(t, node);
        }
    }
    free(old);
    return true;
}

/* ---- nodes ---- */

static struct td_trie_node *node_new(struct td_trie_node *parent,
                                     const char *token, size_t len)
{
    struct td_trie_node *node = calloc(1, node_bytes(len));

    if (!node)
        return NULL;
    node->parent = parent;
    node->token_len = (uint8_t)len;
    memcpy(node->token, token, len);
    return node;
}

static bool is_wildcard(const char *token, size_t len, char c)
{
    return len == 1 && token[0] == c;
}

/* The token is none of a pattern's wildcards. */
static struct td_trie_node *child_find(const struct td_trie *t,
                                       const struct td_trie_node *node,
                                       const char *token, size_t len)
{
    struct td_trie_node *child;
    uint32_t hash;

    if (node->children == 0)
        return NULL;
    hash = hash_of(node, token, len);
    child = *place_of(t, hash);
    while (child &&
           !(child->hash == hash && child->parent == node &&
             child->token_len == len && memcmp(child->token, token, len) == 0))
        child = child->next;
    return child;
}

static struct td_trie_node *child_add(struct td_trie *t,
                                      struct td_trie_node *node,
                                      const char *token, size_t len)
{
    bool star = is_wildcard(token, len, '*');
    struct td_trie_node *child =
        star ? node->star : child_find(t, node, token, len);

    if (child)
        return child;
    child = node_new(node, token, len);
    if (!child)
        return NULL;
    if (!table_grow(t)) {
        free(child);
        return NULL;
    }
    child->hash = hash_of(node, token, len);
    table_put(t, child);
    t->nodes_len++;
    if (star)
        node->star = child;
    else
        node->children++;
    t->bytes += node_bytes(len) + NODE_SPARE_BYTES;
    return child;
}

static bool node_is_empty(const struct td_trie_node *node)
{
    return !node->ends && !node->rests && !node->star && node->children == 0;
}

/* Frees the node and those above it that nothing needs any more. */
static void prune(struct td_trie *t, struct td_trie_node *node)
{
    while (node && node_is_empty(node)) {
        struct td_trie_node *parent = node->parent;

        if (!parent) {
            t->root = NULL;
        } else {
            if (parent->star == node)
                parent->star = NULL;
            else
                parent->children--;
            t->bytes -= node_bytes(node->token_len) + NODE_SPARE_BYTES;
            table_take(t, node);
        }
        free(node);
        node = parent;
    }
}

tidings_err td_trie_add(struct td_trie *t, struct td_trie_entry *entry,
                        const char *pattern, size_t len)
{
    const char *end = pattern + len;
    struct td_trie_node *node = t->root;

    if (!node)
        node = t->root = node_new(NULL, "", 0);
    if (!node)
        return TIDINGS_ENOMEM;

    entry->rest = false;
    while (pattern) {
        const char *token = pattern;
        size_t n = td_token_next(token, (size_t)(end - token), &pattern);
        struct td_trie_node *child;

        if (is_wildcard(token, n, '>')) {
            entry->rest = true;
            break;
        }
        child = child_add(t, node, token, n);
        if (!child) {
            prune(t, node);
            return TIDINGS_ENOMEM;
        }
        node = child;
    }
    entry->node = node;
    if (entry->rest)
        DL_APPEND(node->rests, entry);
    else
        DL_APPEND(node->ends, entry);
    return TIDINGS_OK;
}

void td_trie_remove(struct td_trie *t, struct td_trie_entry *entry)
{
    struct td_trie_node *node = entry->node;

    if (!node)
        return;
    if (entry->rest)
        DL_DELETE(node->rests, entry);
    else
        DL_DELETE(node->ends, entry);
    entry->node = NULL;
    prune(t, node);
}

struct walk {
    const struct td_trie *trie;
    const char *end;
    bool (*found)(void *ctx, struct td_trie_entry *entry);
    void *ctx;
};

static bool report(const struct walk *w, struct td_trie_entry *list)
{
    struct td_trie_entry *entry;

    DL_FOREACH(list, entry)
    {
        if (!w->found(w->ctx, entry))
            return false;
    }
    return true;
}

/* Recursion is bounded by the tokens of a type: TD_TOKENS_MAX. */
static bool walk(const struct walk *w, const struct td_trie_node *node,
                 const char *type)
{
    const char *token = type;
    const struct td_trie_node *child;
    size_t n;

    if (!type)
        return report(w, node->ends);
    if (!report(w, node->rests))
        return false;
    n = td_token_next(token, (size_t)(w->end - token), &type);
    child = child_find(w->trie, node, token, n);
    if (child && !walk(w, child, type))
        return false;
    return !node->star || walk(w, node->star, type);
}

/* No wildcard in the first place matches one of the system's types. */
static bool walk_system(const struct walk *w, const struct td_trie_node *root,
                        const char *type)
{
    const char *token = type;
    size_t n = td_token_next(token, (size_t)(w->end - token), &type);
    const struct td_trie_node *child = child_find(w->trie, root, token, n);

    return !child || walk(w, child, type);
}

bool td_trie_match(const struct td_trie *t, const char *type, size_t len,
                   bool (*found)(void *ctx, struct td_trie_entry *entry),
                   void *ctx)
{
    const struct walk w = {t, type + len, found, ctx};

    if (t->root && td_type_is_system(type, len))
        return walk_system(&w, t->root, type);
    return !t->root || walk(&w, t->root, type);
}

static void node_free(struct td_trie_node *node)
{
    struct td_trie_entry *entry;

    DL_FOREACH(node->ends, entry)
    {
        entry->node = NULL;
    }
    DL_FOREACH(node->rests, entry)
    {
        entry->node = NULL;
    }
    free(node);
}

void td_trie_fini(struct td_trie *t)
{
    for (size_t i = 0; i < t->table_len; i++) {
        while (t->table[i]) {
            struct td_trie_node *node = t->table[i];

            t->table[i] = node->next;
            node_free(node);
        }
    }
    free(t->table);
    if (t->root)
        node_free(t->root);
    *t = (struct td_trie){0};
}
