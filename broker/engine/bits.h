/* The bits of a chunk of what is settled, word by word. */
#ifndef TD_BITS_H
#define TD_BITS_H

#include "broker/engine/settled.h"

static inline uint32_t td_bits_ones(uint64_t word)
{
    return (uint32_t)__builtin_popcountll(word);
}

/* Bits from and up to, but without, the second; of one word. */
static inline uint64_t td_bits_mask(uint32_t from, uint32_t to)
{
    return (UINT64_MAX << from) & (UINT64_MAX >> (64 - to));
}

/* The bits of a chunk from one on up to another, word by word: which of them
 * are in this one. */
static inline uint64_t td_bits_mask_of(uint32_t word, uint32_t from,
                                       uint32_t to)
{
    uint32_t start = word * 64;

    return td_bits_mask(from > start ? from - start : 0,
                        to - start < 64 ? to - start : 64);
}

static inline uint32_t td_bits_ones_in(const struct td_chunk *chunk,
                                       uint32_t from, uint32_t to)
{
    uint32_t n = 0;

    for (uint32_t w = from / 64; w * 64 < to; w++)
        n += td_bits_ones(chunk->bits[w] & td_bits_mask_of(w, from, to));
    return n;
}

/* Returns how many were not set. */
static inline uint32_t td_bits_set(struct td_chunk *chunk, uint32_t from,
                                   uint32_t to)
{
    uint32_t n = 0;

    for (uint32_t w = from / 64; w * 64 < to; w++) {
        uint64_t bits = td_bits_mask_of(w, from, to);

        n += td_bits_ones(bits & ~chunk->bits[w]);
        chunk->bits[w] |= bits;
    }
    return n;
}

/* The first bit from this one on that is set, or is not; TD_CHUNK_EVENTS:
 * none. */
static inline uint32_t td_bits_first(const struct td_chunk *chunk,
                                     uint32_t from, bool is_set)
{
    uint64_t flip = is_set ? 0 : UINT64_MAX;
    uint64_t seen = UINT64_MAX << (from % 64);

    for (uint32_t w = from / 64; w < TD_CHUNK_WORDS; w++) {
        uint64_t word = (chunk->bits[w] ^ flip) & seen;

        if (word)
            return w * 64 + (uint32_t)__builtin_ctzll(word);
        seen = UINT64_MAX;
    }
    return TD_CHUNK_EVENTS;
}

#endif
