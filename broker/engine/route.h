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

struct td_route {
    UT_hash_handle hh;
    bool hh_failed;
    uint64_t generation;
    struct td_trie_entry **entries;
    uint32_t len;
    uint32_t cap;
    char type[];
};

/* Zeroed memory is ready for use. */
struct td_routes {
    struct td_route *cache;
    uint64_t generation;
};

void td_routes_fini(struct td_routes *r);

/* Call after every change of the trie: what is cached is looked up anew. */
void td_routes_changed(struct td_routes *r);

/* The entries that match a valid type; valid until the next call. NULL:
 * there is no memory. */
const struct td_route *td_routes_find(struct td_routes *r,
                                      const struct td_trie *trie,
                                      struct td_str type);

size_t td_routes_cached(const struct td_routes *r);

#endif
