#include "client/outgoing.h"

#include "proto/batch.h"

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

    if (!out)
        return NULL;
    memset(out, 0, sizeof(*out));
    if (level) {
        out->told = calloc(words_of(events), sizeof(*out->told));
        if (!out->told) {
            free(out);
            return NULL;
        }
        out->left = events;
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
    uint32_t fresh = 0;

    for (size_t i = from / WORD_BITS; i <= to / WORD_BITS; i++) {
        uint64_t mask = mask_of(i, from, to);

        fresh += bits_of(mask & ~out->told[i]);
        out->told[i] |= mask;
    }
    out->left -= fresh;
    return fresh;
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

/* ---- sending it ---- */

/* Big, and needed seldom. */
struct cutting {
    struct td_batches all;
    struct td_run runs[TD_RUNS_MAX];
    struct td_batch batch;
};

static bool is_whole(const struct td_outgoing *out)
{
    return !out->level || out->atomic || out->left == out->events;
}

uint32_t td_outgoing_events(const struct td_outgoing *out)
{
    return is_whole(out) ? out->events : out->left;
}

/* One more event is in the part; false: it goes with the next. */
static bool add(struct cutting *c, const struct td_run *of, uint64_t sequence,
                uint32_t bytes)
{
    struct td_batch *b = &c->batch;
    struct td_run *run = b->runs_len ? &c->runs[b->runs_len - 1] : NULL;

    /* runs are told apart by their types, which lie where they lay */
    if (!run || run->type.data != of->type.data ||
        run->first + run->count != sequence) {
        if (b->runs_len == TD_RUNS_MAX)
            return false;
        run = &c->runs[b->runs_len++];
        *run = *of;
        run->first = sequence;
        run->count = run->bytes = 0;
    }
    run->count++;
    run->bytes += bytes;
    b->events++;
    b->bytes += bytes;
    return true;
}

/* Those that are not confirmed, from out->at on. */
static void cut(const struct td_outgoing *out, struct cutting *c, uint8_t *to,
                struct td_portion *part)
{
    const uint8_t *p = out->body->data;
    const uint8_t *end = p + out->body->len;

    for (uint32_t i = 0; i < c->all.runs_len; i++) {
        const struct td_run *run = &c->all.runs[i];

        for (uint32_t n = 0; n < run->count; n++) {
            uint64_t sequence = run->first + n;
            const uint8_t *after = td_events_skip(p, end, 1);
            uint32_t bytes = (uint32_t)(after - p);

            if (sequence >= out->at &&
                !td_outgoing_is_told(out,
                                     (struct td_stretch){sequence, sequence})) {
                if (!add(c, run, sequence, bytes)) {
                    part->next = sequence;
                    return;
                }
                memcpy(to, p, bytes);
                to += bytes;
                part->last = sequence;
            }
            p = after;
        }
    }
}

static bool cut_out(const struct td_outgoing *out, struct cutting *c,
                    struct td_portion *part)
{
    const struct td_str wire = {(const char *)out->wire, out->wire_len};
    const char *why;
    uint8_t *to;

    if (td_batches_read(&c->all, wire, out->body->len, &why))
        return false; /* never: it was packed here */
    part->body = td_body_new(out->body->len, &to);
    if (!part->body)
        return false;
    c->batch = c->all.batch[0];
    c->batch.runs = c->runs;
    c->batch.runs_len = c->batch.events = c->batch.bytes = 0;
    cut(out, c, to, part);
    part->body->len = c->batch.bytes;
    part->events = c->batch.events;
    td_batches_begin(&part->table, 1);
    td_batch_pack(&part->table, &c->batch);
    part->wire =
        (struct td_str){(const char *)part->table.data, part->table.len};
    return !part->table.failed;
}

bool td_outgoing_part(struct td_outgoing *out, struct td_portion *part)
{
    struct cutting *c;
    bool ok;

    memset(part, 0, sizeof(*part));
    if (is_whole(out)) {
        part->wire = (struct td_str){(const char *)out->wire, out->wire_len};
        part->body = td_body_ref(out->body);
        part->events = out->events;
        part->last = out->last;
        return true;
    }
    c = malloc(sizeof(*c));
    ok = c && cut_out(out, c, part);
    free(c);
    return ok;
}

void td_portion_fini(struct td_portion *part)
{
    td_body_unref(part->body);
    td_buf_fini(&part->table);
}
