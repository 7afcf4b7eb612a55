#include "broker/engine/latency.h"

#define STEPS TD_LATENCY_STEPS

/* Below 2 * STEPS a value is its own bucket; then STEPS for each doubling. */
static unsigned bucket_of(uint64_t us)
{
    const uint64_t most = ((uint64_t)1 << TD_LATENCY_BITS) - 1;
    unsigned shift = 0;

    if (us > most)
        us = most;
    while (us >> shift >= 2 * STEPS)
        shift++;
    return shift * STEPS + (unsigned)(us >> shift);
}

/* All that is in a bucket is below this. */
static uint64_t below(unsigned bucket)
{
    unsigned shift = bucket < 2 * STEPS ? 0 : bucket / STEPS - 1;

    return (uint64_t)(bucket - shift * STEPS + 1) << shift;
}

void td_latency_count(struct td_latency *l, uint64_t us)
{
    l->counts[bucket_of(us)]++;
}

static uint64_t sum(const struct td_latency *l, unsigned first, unsigned n)
{
    uint64_t all = 0;

    while (n-- > 0)
        all += l->counts[first + n];
    return all;
}

void td_latency_pack(const struct td_latency *l, unsigned join,
                     msgpack_packer *pk)
{
    uint32_t rows = 0;

    for (unsigned b = 0; l && b < TD_LATENCY_BUCKETS; b += join)
        rows += sum(l, b, join) > 0;
    msgpack_pack_array(pk, rows);
    for (unsigned b = 0; l && b < TD_LATENCY_BUCKETS; b += join) {
        uint64_t count = sum(l, b, join);

        if (count == 0)
            continue;
        msgpack_pack_array(pk, 2);
        msgpack_pack_uint64(pk, below(b + join - 1));
        msgpack_pack_uint64(pk, count);
    }
}
