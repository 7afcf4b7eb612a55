/* Which member of a group holds a partitionkey: the one that has events of it
 * which are not yet taken. Keys are known by a 64-bit hash; two that share one
 * share a member, which harms nothing but the spread. */
#ifndef TD_KEYS_H
#define TD_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/hash.h"
#include "proto/batch.h"

struct td_sub;

struct td_key {
    UT_hash_handle hh;
    bool hh_failed;
    uint64_t hash;
    struct td_sub *holder;
    uint64_t events; /* that it holds, at least 1 */
};

/* Zeroed memory is ready for use. */
struct td_keys {
    struct td_key *table;
};

void td_keys_fini(struct td_keys *k);

/* NULL: nobody holds it. */
struct td_sub *td_keys_holder(const struct td_keys *k, uint64_t hash);

/* One more event of it is with the holder. False: there is no memory. */
bool td_keys_take(struct td_keys *k, uint64_t hash, struct td_sub *holder);

/* One event of it less. */
void td_keys_release(struct td_keys *k, uint64_t hash);

/* The holder ends: nothing is with it any more. */
void td_keys_drop(struct td_keys *k, const struct td_sub *holder);

/* The hash of an event's partitionkey; 0: it has none. */
uint64_t td_key_of(const struct td_event *event);

#endif
