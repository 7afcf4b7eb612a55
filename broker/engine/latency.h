/* How often something took how long: buckets of microseconds, four for each
 * doubling, so that a value is known to a fifth. */
#ifndef TD_LATENCY_H
#define TD_LATENCY_H

#include <msgpack.h>
#include <stdint.h>

#define TD_LATENCY_STEPS   4u  /* buckets in a doubling: a power of two */
#define TD_LATENCY_BITS    27u /* 134 s: the last bucket has what is more, too */
#define TD_LATENCY_BUCKETS ((TD_LATENCY_BITS - 1) * TD_LATENCY_STEPS)

/* Zeroed is empty. */
struct td_latency {
    uint64_t counts[TD_LATENCY_BUCKETS];
};

void td_latency_count(struct td_latency *l, uint64_t us);

/* As a list of [below_us, count], rising, without empty ones, of so many
 * buckets made one each: 1, or TD_LATENCY_STEPS for one of each doubling. l may
 * be NULL: empty. */
void td_latency_pack(const struct td_latency *l, unsigned join,
                     msgpack_packer *pk);

#endif
