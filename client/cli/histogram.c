#include "client/cli/histogram.h"

#define STEPS TD_HISTOGRAM_STEPS

/* Below 2 * STEPS a value is its own bucket; then STEPS for each doubling. */
static size_t bucket_of(uint64_t value)
{
    const uint64_t most = ((uint64_t)1 << TD_HISTOGRAM_BITS) - 1;
    unsigned shift = 0;

    if (value > most)
        value = most;
    while (value >> shift >= 2 * STEPS)
        shift++;
    return shift * STEPS + (size_t)(value >> shift);
}

/* The largest value in a bucket. */
static uint64_t last_of(size_t bucket)
{
    unsigned shift = bucket < 2 * STEPS ? 0 : (unsigned)(bucket / STEPS) - 1;
    uint64_t first = (uint64_t)(bucket - shift * STEPS) << shift;

    return first + ((uint64_t)1 << shift) - 1;
}

void td_histogram_count(struct td_histogram_live *h, uint64_t value)
{
    _Atomic uint64_t *count = &h->counts[bucket_of(value)];

    /* one writer: no need for an addition that locks */
    atomic_store_explicit(count,
                          atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

void td_histogram_add(struct td_histogram *h,
                      const struct td_histogram_live *live)
{
    for (size_t i = 0; i < TD_HISTOGRAM_BUCKETS; i++) {
        uint64_t n =
            atomic_load_explicit(&live->counts[i], memory_order_relaxed);

        h->counts[i] += n;
        h->total += n;
    }
}

void td_histogram_plus(struct td_histogram *h, const struct td_histogram *other)
{
    for (size_t i = 0; i < TD_HISTOGRAM_BUCKETS; i++)
        h->counts[i] += other->counts[i];
    h->total += other->total;
}

void td_histogram_minus(struct td_histogram *h,
                        const struct td_histogram *other)
{
    for (size_t i = 0; i < TD_HISTOGRAM_BUCKETS; i++)
        h->counts[i] -= other->counts[i];
    h->total -= other->total;
}

uint64_t td_histogram_at(const struct td_histogram *h, double part)
{
    double wanted = part * (double)h->total;
    uint64_t seen = 0, last = 0;

    for (size_t i = 0; i < TD_HISTOGRAM_BUCKETS; i++) {
        if (!h->counts[i])
            continue;
        last = last_of(i);
        seen += h->counts[i];
        if ((double)seen >= wanted)
            break;
    }
    return last;
}

uint64_t td_histogram_between(const struct td_histogram *h, uint64_t low,
                              uint64_t high)
{
    uint64_t n = 0;

    for (size_t i = 0; i < TD_HISTOGRAM_BUCKETS; i++) {
        if (last_of(i) >= low && last_of(i) < high)
            n += h->counts[i];
    }
    return n;
}
