#include "client/outgoing.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

static size_t words_of(uint32_t events)
{
    return (events + WORD_BITS - 1) / WORD_BITS;
}

struct td_outgoing *td_outgoing_new(uint32_t events, enum tidings_level level,
                                    size_t wire_len)
{
    struct td_outgoing *out = malloc(sizeof(*out) + wire_len);
    size_t words = words_of(events);

    if (!out)
        return NULL;
    memset(out, 0, sizeof(*out));
    if (level) {
        out->told = calloc(2 * words, sizeof(*out->told));
        if (!out->told) {
            free(out);
            return NULL;
        }
        out->known = out->told + words;
        out->left = out->unknown = events;
    }
    out->events = events;
    out->level = level;
    out->wire_len = wire_len;
    return out;
}

void td_outgoing_free(struct td_outgoing *out)
{
    if (!out)
        return;
    td_body_unref(out->body);
    free(out->told);
    free(out->waiters);
    free(out);
}

/* ---- confirms ---- */

/* Of a word, the bits of the places from … to. */
static uint64_t mask_of(size_t word, size_t from, size_t to)
{
    size_t base = word * WORD_BITS;
    uint64_t mask = UINT64_MAX;

    if (from > base)
        mask <<= from - base;
    if (to < base + WORD_BITS - 1)
        mask &= UINT64_MAX >> (base + WORD_BITS - 1 - to);
    return mask;
}

bool td_outgoing_is_told(const struct td_outgoing *out, struct td_stretch s)
{
    size_t from = (size_t)(s.from - td_outgoing_first(out));
    size_t to = (size_t)(s.to - td_outgoing_first(out));

    if (out->left == out->events)
        return false;
    for (size_t i = from / WORD_BITS; i <= to / WORD_BITS; i++) {
        if (out->told[i] & mask_of(i, from, to))
            return true;
    }
    return false;
}

static uint32_t bits_of(uint64_t word)
{
    uint32_t n = 0;

    for (; word; word &= word - 1)
        n++;
    return n;
}

uint32_t td_outgoing_tell(struct td_outgoing *out, struct td_stretch s)
{
    size_t from = (size_t)(s.from - td_outgoing_first(out));
    size_t to = (size_t)(s.to - td_outgoing_first(out));
    uint32_t again = 0;
    uint32_t fresh;

    for (size_t i = from / WORD_BITS; i <= to / WORD_BITS; i++) {
        uint64_t mask = mask_of(i, from, to);

        again += bits_of(out->known[i] & mask);
        out->told[i] |= mask;
        out->known[i] |= mask;
    }
    fresh = (uint32_t)(to - from + 1) - again;
    out->left -= (uint32_t)(to - from + 1);
    out->unknown -= fresh;
    return fresh;
}

void td_outgoing_again(struct td_outgoing *out)
{
    if (!out->level || out->left == out->events)
        return;
    out->left = out->events;
    memset(out->told, 0, words_of(out->events) * sizeof(*out->told));
}

/* ---- waiters ---- */

/* The place of the first that is not below the sequence. */
static size_t place_of(const struct td_outgoing *out, uint64_t sequence)
{
    size_t low = 0;
    size_t high = out->waiters_len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (out->waiters[middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct td_waiter *td_outgoing_waiters(const struct td_outgoing *out,
                                      struct td_stretch s, size_t *len)
{
    size_t from = place_of(out, s.from);

    *len = place_of(out, s.to + 1) - from;
    return *len ? out->waiters + from : NULL;
}

/* ---- types ---- */

/* The runs of the only batch. */
static bool read_runs(const struct td_outgoing *out, struct td_reader *r,
                      uint32_t *runs)
{
    struct td_str skipped;
    uint32_t n;

    *r = td_reader_of(out->wire, out->wire_len);
    return td_read_array(r, &n) && td_read_array(r, &n) &&
           td_read_raw(r, &skipped) && td_read_raw(r, &skipped) &&
           td_read_raw(r, &skipped) && td_read_array(r, runs);
}

struct td_str td_outgoing_type(const struct td_outgoing *out, uint64_t sequence)
{
    struct td_str type = {"", 0};
    struct td_str skipped;
    struct td_reader r;
    uint64_t count;
    uint64_t bytes;
    uint64_t first;
    uint32_t fields;
    uint32_t runs;

    if (!read_runs(out, &r, &runs))
        return type;
    for (uint32_t i = 0; i < runs; i++) {
        struct td_str at;

        if (!td_read_array(&r, &fields) || !td_read_str(&r, &at) ||
            !td_read_uint(&r, &count) || !td_read_uint(&r, &bytes) ||
            !td_read_uint(&r, &first) || !td_read_raw(&r, &skipped))
            break;
        if (sequence >= first && sequence - first < count)
            return at;
    }
    return type;
}
