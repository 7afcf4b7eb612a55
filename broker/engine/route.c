#include "broker/engine/route.h"

#include "proto/limits.h"

#include <stdlib.h>
#include <string.h>

/* Its list goes; it is filled again when it is used. */
static void drop_list(struct td_routes *r, struct td_route *route)
{
    if (route->entries != route->one) {
        DL_DELETE(r->lists, route);
        r->listed -= route->len;
        free(route->entries);
    }
    route->entries = route->one;
    route->len = 0;
    route->generation = r->generation - 1;
}

static void route_free(struct td_routes *r, struct td_route *route)
{
    drop_list(r, route);
    free(route);
}

void td_routes_fini(struct td_routes *r)
{
    struct td_route *route;
    struct td_route *next;

    HASH_ITER(hh, r->cache, route, next)
    {
        HASH_DELETE(hh, r->cache, route);
        route_free(r, route);
    }
    free(r->found);
    r->found = NULL;
    r->found_len = r->found_cap = 0;
}

void td_routes_changed(struct td_routes *r)
{
    r->generation++;
}

static bool collect(void *ctx, struct td_trie_entry *entry)
{
    struct td_routes *r = ctx;

    if (r->found_len == r->found_cap) {
        uint32_t cap = r->found_cap ? r->found_cap * 2 : 16;
        struct td_trie_entry **found =
            realloc(r->found, cap * sizeof(struct td_trie_entry *));

        if (!found)
            return false;
        r->found = found;
        r->found_cap = cap;
    }
    r->found[r->found_len++] = entry;
    return true;
}

/* Makes room for what was found: the oldest lists go, and with TD_ROUTES_ENTRIES_MAX
 * or more for one type all of them. */
static bool make_list(struct td_routes *r, struct td_route *route)
{
    struct td_trie_entry **entries;

    while (r->lists && r->listed + r->found_len > TD_ROUTES_ENTRIES_MAX)
        drop_list(r, r->lists);
    entries = malloc(r->found_len * sizeof(struct td_trie_entry *));
    if (!entries)
        return false;
    route->entries = entries;
    r->listed += r->found_len;
    DL_APPEND(r->lists, route);
    return true;
}

static bool fill(struct td_routes *r, const struct td_trie *trie,
                 struct td_route *route)
{
    uint32_t found;

    r->found_len = 0;
    if (!td_trie_match(trie, route->type, route->type_len, collect, r))
        return false;
    found = r->found_len;
    if (r->arrange && found > 1)
        r->found_len = r->arrange(r->found, found);
    drop_list(r, route);
    if (r->found_len > 1 && !make_list(r, route))
        return false;
    if (r->found_len > 0)
        memcpy(route->entries, r->found,
               r->found_len * sizeof(struct td_trie_entry *));
    route->len = r->found_len;
    route->left_out = found - r->found_len;
    route->generation = r->generation;
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
    route_free(r, route);
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
    route->generation = r->generation - 1; /* not filled yet */
    return route;
}

static struct td_route *route_of(struct td_routes *r, struct td_str type)
{
    struct td_route *route;

    HASH_FIND(hh, r->cache, type.data, type.len, route);
    return route ? route : route_add(r, type);
}

struct td_route *td_routes_find(struct td_routes *r, const struct td_trie *trie,
                                struct td_str type)
{
    struct td_route *route = route_of(r, type);

    if (!route)
        return NULL;
    if (route->generation != r->generation && !fill(r, trie, route))
        return NULL;
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
