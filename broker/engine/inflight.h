/* What a member of a durable group was delivered and has not settled: ranges of
 * its tags, and the sequences that they stand for. Pure. What is shown to may
 * be NULL, and may read but not change what it is shown of. */
#ifndef TD_INFLIGHT_H
#define TD_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

/* count events: tags from tag on, sequences from sequence on. */
struct td_lease {
    uint64_t tag;
    uint64_t sequence;
    uint32_t count;
    uint32_t deliveries; /* of each, this one included */
    int64_t first_ms;    /* when the first delivery of it was, Unix */
    int64_t deadline_ms; /* monotonic */
};

/* Ordered by tag. Zeroed memory is empty. */
struct td_inflight {
    struct td_lease *leases; /* a ring; those with count 0 are gone, and are
                                never the first or the last */
    uint32_t head;
    uint32_t len;
    uint32_t cap; /* a power of two */
    uint32_t gone;
    bool mixed;          /* deadlines may fall from one to the next */
    uint64_t events;     /* of all leases */
    uint64_t last_tag;   /* the highest ever added */
    int64_t earliest_ms; /* where events is not 0: no deadline is before it */
};

void td_inflight_fini(struct td_inflight *f);

/* Room for so many more leases, so that adding and cutting do not fail: an add
 * and a take need one at most, an extend two. */
bool td_inflight_reserve(struct td_inflight *f, uint32_t leases);

/* Its first tag is above last_tag, and its last below the highest of all
 * numbers. Joined to the last one where tags and sequences go on and all else
 * is the same. False: no memory. */
bool td_inflight_add(struct td_inflight *f, const struct td_lease *lease);

/* Takes the tags from first to last out: each part that is there is shown, in
 * order of tags, and each range of tags that is not there as a lease with
 * sequence 0 (count 1, and tag and deadline_ms the first and last of the range:
 * ranges may be longer than count can say). False: no memory to cut a lease in
 * two; nothing has changed, nothing was shown. */
bool td_inflight_take(struct td_inflight *f, uint64_t first, uint64_t last,
                      void (*part)(void *ctx, const struct td_lease *lease),
                      void *ctx);

/* Gives the tags from first to last another deadline; those that are not there
 * are shown as td_inflight_take() does. False: no memory, nothing has changed. */
bool td_inflight_extend(
    struct td_inflight *f, uint64_t first, uint64_t last, int64_t deadline_ms,
    void (*missing)(void *ctx, const struct td_lease *range), void *ctx);

/* Takes out and shows all whose deadline is at or before now_ms. Cheap while
 * there are none. */
void td_inflight_expire(struct td_inflight *f, int64_t now_ms,
                        void (*late)(void *ctx, const struct td_lease *lease),
                        void *ctx);

/* How many events have tags above this one. */
uint64_t td_inflight_above(const struct td_inflight *f, uint64_t tag);

/* Takes all out. */
void td_inflight_clear(struct td_inflight *f,
                       void (*part)(void *ctx, const struct td_lease *lease),
                       void *ctx);

#endif
