#include "broker/engine/route.h"

#include "proto/limits.h"

#include <stdlib.h>
#include <string.h>

static void route_free(struct td_route *route)
{
    if (route->entries != route->one)
        free(route->entries);
    free(route);
}

void td_routes_fini(struct td_routes *r)
{
    struct td_route *route;
    struct td_route *next;

    HASH_ITER(hh, r->cache, route, next)
    {
        HASH_DELETE(hh, r->cache, route);
        route_free(route);
    }
}

void td_routes_changed(struct td_routes *r)
{
    r->generation++;
}

static bool collect(void *ctx, struct td_trie_entry *entry)
{
    struct td_route *route = ctx;

    if (route->len == route->cap) {
        bool inside = route->entries == route->one;
        uint32_t cap = route->cap * 4;
        struct td_trie_entry **entries =
            realloc(inside ? NULL : route->entries,
                    cap * sizeof(struct td_trie_entry *));

        if (!entries)
            return false;
        if (inside)
            entries[0] = route->one[0];
        route->entries = entries;
        route->cap = cap;
    }
    route->entries[route->len++] = entry;
    return true;
}

void td_type_count_add(struct td_type_count *to,
                       const struct td_type_count *more)
{
    to->published += more->published;
    to->duplicates += more->duplicates;
    to->routed += more->routed;
    to->unmatched += more->unmatched;
    to->bytes += more->bytes;
}

static void forget_oldest(struct td_routes *r)
{
    struct td_route *route = r->cache;

    td_type_count_add(&r->other, &route->count);
    HASH_DELETE(hh, r->cache, route);
    route_free(route);
}

static struct td_route *route_add(struct td_routes *r, struct td_str type)
{
    struct td_route *route;

    if (HASH_COUNT(r->cache) >= TD_TYPES_CACHED_MAX)
        forget_oldest(r);
    route = calloc(1, sizeof(*route) + type.len);
    if (!route)
        return NULL;
    route->type_len = type.len;
    memcpy(route->type, type.data, type.len);
    HASH_ADD_KEYPTR(hh, r->cache, route->type, type.len, route);
    if (route->hh_failed) {
        free(route);
        return NULL;
    }
    route->entries = route->one;
    route->cap = 1;
    route->generation = r->generation - 1; /* not filled yet */
    return route;
}

struct td_route *td_routes_find(struct td_routes *r, const struct td_trie *trie,
                                struct td_str type)
{
    struct td_route *route;

    HASH_FIND(hh, r->cache, type.data, type.len, route);
    if (!route)
        route = route_add(r, type);
    if (!route)
        return NULL;
    if (route->generation != r->generation) {
        route->len = 0;
        if (!td_trie_match(trie, type.data, type.len, collect, route))
            return NULL;
        route->generation = r->generation;
    }
    return route;
}

struct td_type_count *td_routes_count(struct td_routes *r,
                                      const struct td_trie *trie,
                                      struct td_str type)
{
    struct td_route *route = td_routes_find(r, trie, type);

    return route ? &route->count : &r->other;
}

static bool end_walk(void *ctx, struct td_trie_entry *entry)
{
    (void)ctx;
    (void)entry;
    return false;
}

struct td_type_count *td_routes_counted(struct td_routes *r,
                                        const struct td_trie *trie,
                                        struct td_str type, bool *routed)
{
    struct td_route *route;

    *routed = !td_trie_match(trie, type.data, type.len, end_walk, NULL);
    HASH_FIND(hh, r->cache, type.data, type.len, route);
    return route ? &route->count : &r->other;
}

size_t td_routes_cached(const struct td_routes *r)
{
    return HASH_COUNT(r->cache);
}
