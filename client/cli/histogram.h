/* histogram.h: how often each latency occurred, in buckets of about 3 %: 32
 * for each doubling. One thread counts, any other may read meanwhile. */
#ifndef TD_CLI_HISTOGRAM_H
#define TD_CLI_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TD_HISTOGRAM_STEPS   32 /* buckets in a doubling; a power of two */
#define TD_HISTOGRAM_BITS    45 /* values below 2^45: ten hours of ns */
#define TD_HISTOGRAM_BUCKETS ((TD_HISTOGRAM_BITS - 4) * TD_HISTOGRAM_STEPS)

/* Being counted. */
struct td_histogram_live {
    _Atomic uint64_t counts[TD_HISTOGRAM_BUCKETS];
};

/* To be looked at. */
struct td_histogram {
    uint64_t counts[TD_HISTOGRAM_BUCKETS];
    uint64_t total;
};

/** Count one; larger values count as the largest. */
void td_histogram_count(struct td_histogram_live *h, uint64_t value);

/** Add what live has counted so far. */
void td_histogram_add(struct td_histogram *h,
                      const struct td_histogram_live *live);

/** Add, or take off, another. */
void td_histogram_plus(struct td_histogram *h,
                       const struct td_histogram *other);
void td_histogram_minus(struct td_histogram *h,
                        const struct td_histogram *other);

/** The value that a part of all, 0 to 1, does not exceed; 0: nothing counted. */
uint64_t td_histogram_at(const struct td_histogram *h, double part);

/** How many are from low up to and without high, both powers of two. */
uint64_t td_histogram_between(const struct td_histogram *h, uint64_t low,
                              uint64_t high);

#endif
