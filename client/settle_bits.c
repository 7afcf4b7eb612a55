#include "client/settle_internal.h"

#include <stdlib.h>

#define WORDS_MIN 4u

static uint64_t *word_of(const struct td_settling *s, enum td_settle_bits set,
                         uint64_t tag)
{
    return &s->bits[set][(tag / 64) & (s->words - 1)];
}

/* Bits of a word from tag on, up to last. */
static uint64_t mask_of(uint64_t tag, uint64_t last)
{
    uint64_t mask = ~(uint64_t)0 << (tag % 64);

    if (last / 64 == tag / 64)
        mask &= ~(uint64_t)0 >> (63 - last % 64);
    return mask;
}

/* The first tag of the next word. */
static uint64_t beyond(uint64_t tag)
{
    return (tag / 64 + 1) * 64;
}

void td_bits_set(struct td_settling *s, enum td_settle_bits set, uint64_t first,
                 uint64_t last, bool value)
{
    for (uint64_t tag = first; tag <= last; tag = beyond(tag)) {
        if (value)
            *word_of(s, set, tag) |= mask_of(tag, last);
        else
            *word_of(s, set, tag) &= ~mask_of(tag, last);
    }
}

uint64_t td_bits_count(const struct td_settling *s, enum td_settle_bits set,
                       uint64_t first, uint64_t last)
{
    uint64_t n = 0;

    for (uint64_t tag = first; tag <= last; tag = beyond(tag))
        n += (uint64_t)__builtin_popcountll(*word_of(s, set, tag) &
                                            mask_of(tag, last));
    return n;
}

uint64_t td_bits_find(const struct td_settling *s, enum td_settle_bits set,
                      uint64_t first, uint64_t last, bool value)
{
    for (uint64_t tag = first; tag <= last; tag = beyond(tag)) {
        uint64_t word = *word_of(s, set, tag);

        word = (value ? word : ~word) & mask_of(tag, last);
        if (word)
            return tag / 64 * 64 + (uint64_t)__builtin_ctzll(word);
    }
    return last + 1;
}

bool td_bits_run(const struct td_settling *s, enum td_settle_bits set,
                 uint64_t *first, uint64_t *end, uint64_t last, bool value)
{
    *first = td_bits_find(s, set, *first, last, value);
    if (*first > last)
        return false;
    *end = td_bits_find(s, set, *first, last, !value);
    return true;
}

static uint64_t power_of_two(uint64_t at_least, uint64_t from)
{
    while (from < at_least)
        from *= 2;
    return from;
}

bool td_bits_reserve(struct td_settling *s, uint64_t last)
{
    uint64_t words = last / 64 - s->floor / 64 + 1;
    uint64_t *block;

    if (words <= s->words)
        return true;
    words = power_of_two(words, WORDS_MIN);
    block = calloc(TD_BITS * words, sizeof(*block));
    if (!block)
        return false;
    for (uint64_t w = s->floor / 64; s->words && w <= s->received / 64; w++) {
        for (unsigned set = 0; set < TD_BITS; set++)
            block[set * words + (w & (words - 1))] =
                s->bits[set][w & (s->words - 1)];
    }
    free(s->bits[0]);
    for (unsigned set = 0; set < TD_BITS; set++)
        s->bits[set] = block + set * words;
    s->words = words;
    return true;
}
