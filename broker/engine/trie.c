#include "broker/engine/trie.h"

#include "broker/engine/hash.h"
#include "proto/limits.h"
#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

struct td_trie_node {
    UT_hash_handle hh; /* among its parent's children, by token */
    struct td_trie_node *parent;
    struct td_trie_node *children;
    struct td_trie_node *star;   /* the child "*", kept apart */
    struct td_trie_entry *ends;  /* patterns that end here */
    struct td_trie_entry *rests; /* patterns that go on with ">" */
    bool hh_failed;
    bool is_star;
    size_t token_len;
    char token[];
};

static struct td_trie_node *node_new(struct td_trie_node *parent,
                                     const char *token, size_t len)
{
    struct td_trie_node *node = calloc(1, sizeof(*node) + len);

    if (!node)
        return NULL;
    node->parent = parent;
    node->token_len = len;
    memcpy(node->token, token, len);
    return node;
}

static bool is_wildcard(const char *token, size_t len, char c)
{
    return len == 1 && token[0] == c;
}

static struct td_trie_node *child_find(const struct td_trie_node *node,
                                       const char *token, size_t len)
{
    struct td_trie_node *child;

    HASH_FIND(hh, node->children, token, len, child);
    return child;
}

static struct td_trie_node *child_add(struct td_trie_node *node,
                                      const char *token, size_t len)
{
    bool star = is_wildcard(token, len, '*');
    struct td_trie_node *child =
        star ? node->star : child_find(node, token, len);

    if (child)
        return child;
    child = node_new(node, token, len);
    if (!child)
        return NULL;
    if (star) {
        child->is_star = true;
        node->star = child;
        return child;
    }
    HASH_ADD_KEYPTR(hh, node->children, child->token, len, child);
    if (child->hh_failed) {
        free(child);
        return NULL;
    }
    return child;
}

static bool node_is_empty(const struct td_trie_node *node)
{
    return !node->ends && !node->rests && !node->star && !node->children;
}

/* Frees the node and those above it that nothing needs any more. */
static void prune(struct td_trie *t, struct td_trie_node *node)
{
    while (node && node_is_empty(node)) {
        struct td_trie_node *parent = node->parent;

        if (!parent)
            t->root = NULL;
        else if (node->is_star)
            parent->star = NULL;
        else
            HASH_DELETE(hh, parent->children, node);
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
        child = child_add(node, token, n);
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
    child = child_find(node, token, n);
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
    const struct td_trie_node *child = child_find(root, token, n);

    return !child || walk(w, child, type);
}

bool td_trie_match(const struct td_trie *t, const char *type, size_t len,
                   bool (*found)(void *ctx, struct td_trie_entry *entry),
                   void *ctx)
{
    const struct walk w = {type + len, found, ctx};

    if (t->root && td_type_is_system(type, len))
        return walk_system(&w, t->root, type);
    return !t->root || walk(&w, t->root, type);
}

static void node_free(struct td_trie_node *node)
{
    struct td_trie_node *child;
    struct td_trie_node *next;
    struct td_trie_entry *entry;

    if (!node)
        return;
    HASH_ITER(hh, node->children, child, next)
    {
        HASH_DELETE(hh, node->children, child);
        node_free(child);
    }
    node_free(node->star);
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
    node_free(t->root);
    t->root = NULL;
}
