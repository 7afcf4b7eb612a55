/* Keys that wait. When an event of a group with policy key has failed, or was
 * given back, the later ones of its key that are at this client already go
 * back as well, untouched, so that the broker delivers all of them again in
 * order (PROTOCOL.md 10.2). Those are on their way until the broker has heard
 * of the failure; a PING after it tells when.
 *
 * Keys are known by a hash: should two have the same, one is given back for
 * the other, which costs it a delivery. What finds no room parks all keys. */
#ifndef TD_PARKED_H
#define TD_PARKED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TD_PARKED_KEYS_MAX 256u /* looked at one by one while there are any */

struct td_parked_key {
    uint64_t hash;
    uint64_t tag;   /* of what failed */
    uint64_t ping;  /* answered: the broker has heard of it; 0: the session has
                       not been told */
    uint64_t until; /* the highest tag received by then; UINT64_MAX: it is not
                       answered */
};

/* It has a lock of its own, taken after any other. */
struct td_parked {
    pthread_mutex_t lock;
    atomic_uint len;
    struct td_parked_key key[TD_PARKED_KEYS_MAX];
    atomic_bool all_parked; /* with these terms: */
    struct td_parked_key all;
};

struct td_parked *td_parked_new(void); /* NULL without memory */
void td_parked_free(struct td_parked *p);

uint64_t td_parked_hash(const char *key); /* NULL: no key */

/* An event of this key has failed. */
void td_parked_add(struct td_parked *p, uint64_t hash, uint64_t tag);
/* Events up to this tag went back, of any keys. */
void td_parked_add_all(struct td_parked *p, uint64_t tag);
/* Whether one of this key is to be given back. */
bool td_parked_holds(struct td_parked *p, uint64_t hash, uint64_t tag);

/* The session has been told of these; PING of this number, or a higher one,
 * will follow. */
void td_parked_told(struct td_parked *p, uint64_t first, uint64_t last,
                    uint64_t ping);
/* PING of this number was answered when so many had been received, and all up
 * to taken were settled: keys that were only to wait for those are forgotten. */
void td_parked_answered(struct td_parked *p, uint64_t ping, uint64_t received,
                        uint64_t taken);
/* Another session: what was delivered before is of no matter. */
void td_parked_clear(struct td_parked *p);

#endif
