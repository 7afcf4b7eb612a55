#include "proto/batch.h"

#include "proto/put.h"
#include "proto/type.h"

#include <msgpack.h>
#include <string.h>

/* ---- decoding ---- */

#define PREFIX_BYTES_MIN 2u /* so a run of events is never without bytes */

static bool read_run(struct td_reader *r, struct td_run *run)
{
    uint64_t count;
    uint64_t bytes;
    uint64_t flags;
    uint32_t fields;

    if (!td_read_array(r, &fields) || fields != 5 ||
        !td_read_str(r, &run->type) || !td_read_uint(r, &count) ||
        !td_read_uint(r, &bytes) || !td_read_uint(r, &run->first) ||
        !td_read_uint(r, &flags))
        return false;
    if (count == 0 || count > TD_EVENTS_MAX || bytes > TD_BODY_BYTES_MAX ||
        bytes < PREFIX_BYTES_MIN * count || flags > TD_RUN_FLAGS_ALL ||
        run->first == 0 || run->first > INT64_MAX - count)
        return false;
    run->count = (uint32_t)count;
    run->bytes = (uint32_t)bytes;
    run->flags = (uint32_t)flags;
    return true;
}

static const char *read_runs(struct td_batches *out, struct td_batch *batch,
                             struct td_reader *r, uint32_t runs)
{
    uint64_t next = 1; /* lowest sequence that may follow */

    if (runs == 0 || runs > TD_RUNS_MAX - out->runs_len)
        return "no runs, or too many";
    batch->runs = &out->runs[out->runs_len];
    batch->runs_len = runs;
    for (uint32_t i = 0; i < runs; i++) {
        struct td_run *run = &out->runs[out->runs_len++];

        if (!read_run(r, run))
            return "run is not [type, count, bytes, first, flags]";
        if (!td_type_valid(run->type.data, run->type.len))
            return "bad type";
        if (run->first < next)
            return "sequences do not rise";
        next = run->first + run->count;
        batch->events += run->count;
        batch->bytes += run->bytes;
        if (batch->events > TD_EVENTS_MAX || batch->bytes > TD_BODY_BYTES_MAX)
            return "too many events in a message";
    }
    return NULL;
}

static const char *read_batch(struct td_batches *out, struct td_reader *r)
{
    struct td_batch *batch = &out->batch[out->len++];
    const uint8_t *start = r->p;
    const char *why;
    uint32_t fields;
    uint32_t runs;

    memset(batch, 0, sizeof(*batch));
    if (!td_read_array(r, &fields) || fields != 4 ||
        !td_read_bin(r, &batch->producer) ||
        batch->producer.len != TD_PRODUCER_BYTES ||
        !td_read_str(r, &batch->source) || batch->source.len == 0 ||
        batch->source.len > TD_SOURCE_BYTES_MAX ||
        !td_read_int(r, &batch->base_us) || !td_read_array(r, &runs))
        return "batch is not [producer, source, base_time, runs]";
    why = read_runs(out, batch, r, runs);
    if (why)
        return why;
    batch->wire.data = (const char *)start;
    batch->wire.len = (size_t)(r->p - start);
    out->events += batch->events;
    out->bytes += batch->bytes;
    if (out->events > TD_EVENTS_MAX || out->bytes > TD_BODY_BYTES_MAX)
        return "too many events in a message";
    return NULL;
}

/* The length prefix of an event; 0 when it is none that fits. */
static size_t event_span(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    size_t span;

    if (left < 2)
        return 0;
    if (*p == 0xc4)
        span = 2 + (size_t)p[1];
    else if (*p == 0xc5 && left >= 3)
        span = 3 + ((size_t)p[1] << 8 | p[2]);
    else if (*p == 0xc6 && left >= 5)
        span = 5 + ((size_t)p[1] << 24 | (size_t)p[2] << 16 |
                    (size_t)p[3] << 8 | p[4]);
    else
        return 0;
    return span <= left ? span : 0;
}

/* The bytes were just written by another core, and each step needs the one
 * before: without prefetching this is a cache miss an event, and half of what
 * the broker does. Events of a run are mostly of a size. */
#define PREFETCH_EVENTS 8

const uint8_t *td_events_skip(const uint8_t *p, const uint8_t *end,
                              uint32_t count)
{
    while (count-- > 0) {
        size_t span = event_span(p, end);

        if (span == 0)
            return NULL;
        if (span < (size_t)(end - p) / PREFETCH_EVENTS)
            __builtin_prefetch(p + PREFETCH_EVENTS * span);
        p += span;
    }
    return p;
}

/* Every run must end where its bytes say. */
static bool body_meets(const struct td_batches *b, const uint8_t *p,
                       const uint8_t *end)
{
    for (uint32_t i = 0; i < b->runs_len; i++) {
        const struct td_run *run = &b->runs[i];

        if (run->bytes > (size_t)(end - p) ||
            td_events_skip(p, p + run->bytes, run->count) != p + run->bytes)
            return false;
        p += run->bytes;
    }
    return p == end;
}

tidings_err td_batches_read(struct td_batches *out, struct td_str wire,
                            size_t body_len, const char **why)
{
    struct td_reader r = td_reader_of(wire.data, wire.len);
    uint32_t batches;

    out->len = out->runs_len = out->events = out->bytes = 0;
    *why = "no batches, or too many";
    if (!td_read_array(&r, &batches) || batches == 0 ||
        batches > TD_BATCHES_MAX)
        return TIDINGS_EPROTO;
    while (batches-- > 0) {
        *why = read_batch(out, &r);
        if (*why)
            return TIDINGS_EPROTO;
    }
    *why = "run table and body do not meet";
    return r.p == r.end && out->bytes == body_len ? TIDINGS_OK : TIDINGS_EPROTO;
}

tidings_err td_batches_decode(struct td_batches *out, struct td_str wire,
                              const uint8_t *body, size_t body_len,
                              const char **why)
{
    tidings_err err = td_batches_read(out, wire, body_len, why);

    if (!err && !body_meets(out, body, body + body_len))
        err = TIDINGS_EPROTO;
    return err;
}

/* Moves into a batch, up to its runs. */
static bool enter_runs(struct td_reader *r, uint32_t *runs)
{
    struct td_str skipped;
    uint32_t fields;

    return td_read_array(r, &fields) && fields == 4 &&
           td_read_raw(r, &skipped) && td_read_raw(r, &skipped) &&
           td_read_raw(r, &skipped) && td_read_array(r, runs);
}

bool td_batches_sum(struct td_str wire, uint32_t *events, uint32_t *bytes)
{
    struct td_reader r = td_reader_of(wire.data, wire.len);
    uint32_t batches;
    uint32_t runs;

    *events = *bytes = 0;
    if (!td_read_array(&r, &batches))
        return false;
    while (batches-- > 0) {
        if (!enter_runs(&r, &runs))
            return false;
        while (runs-- > 0) {
            struct td_run run;

            if (!read_run(&r, &run))
                return false;
            *events += run.count;
            *bytes += run.bytes;
            if (*events > TD_EVENTS_MAX || *bytes > TD_BODY_BYTES_MAX)
                return false;
        }
    }
    return *events > 0;
}

/* ---- encoding ---- */

void td_batches_begin(struct td_buf *b, uint32_t batches)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, b, td_buf_pack_write);
    msgpack_pack_array(&pk, batches);
}

void td_batch_pack(struct td_buf *b, const struct td_batch *batch)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, b, td_buf_pack_write);
    msgpack_pack_array(&pk, 4);
    msgpack_pack_bin(&pk, batch->producer.len);
    msgpack_pack_bin_body(&pk, batch->producer.data, batch->producer.len);
    msgpack_pack_str(&pk, batch->source.len);
    msgpack_pack_str_body(&pk, batch->source.data, batch->source.len);
    msgpack_pack_int64(&pk, batch->base_us);
    msgpack_pack_array(&pk, batch->runs_len);
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        msgpack_pack_array(&pk, 5);
        msgpack_pack_str(&pk, run->type.len);
        msgpack_pack_str_body(&pk, run->type.data, run->type.len);
        msgpack_pack_uint32(&pk, run->count);
        msgpack_pack_uint32(&pk, run->bytes);
        msgpack_pack_uint64(&pk, run->first);
        msgpack_pack_uint32(&pk, run->flags);
    }
}

/* ---- one event: the hot path, so written byte by byte ---- */

static size_t int_size(int64_t value)
{
    if (value >= -32 && value <= 127)
        return 1;
    if (value >= 0)
        return value <= UINT16_MAX ? 3 : value <= UINT32_MAX ? 5 : 9;
    return 9;
}

static size_t bin_size(size_t len)
{
    return len <= UINT8_MAX ? 2 : len <= UINT16_MAX ? 3 : 5;
}

/* Not the shortest form for 128..255: so every version has written them, and an
 * event that is published again is compared by its bytes. */
static uint8_t *put_int(uint8_t *p, int64_t value)
{
    switch (int_size(value)) {
    case 1:
        *p++ = (uint8_t)value;
        return p;
    case 3:
        *p++ = 0xcd;
        return td_put_be16(p, (uint16_t)value);
    case 5:
        *p++ = 0xce;
        return td_put_be32(p, (uint32_t)value);
    default:
        *p++ = value < 0 ? 0xd3 : 0xcf;
        return td_put_be64(p, (uint64_t)value);
    }
}

static uint8_t *put_bin_head(uint8_t *p, size_t len)
{
    switch (bin_size(len)) {
    case 2:
        *p++ = 0xc4;
        *p++ = (uint8_t)len;
        return p;
    case 3:
        *p++ = 0xc5;
        return td_put_be16(p, (uint16_t)len);
    default:
        *p++ = 0xc6;
        return td_put_be32(p, (uint32_t)len);
    }
}

static size_t content_size(int64_t dt_us, size_t data_len, size_t attrs_len)
{
    return 1 + int_size(dt_us) + bin_size(data_len) + data_len + attrs_len;
}

size_t td_event_size(int64_t dt_us, size_t data_len, size_t attrs_len)
{
    size_t content = content_size(dt_us, data_len, attrs_len);

    return bin_size(content) + content;
}

uint8_t *td_event_put(uint8_t *p, int64_t dt_us, const void *data,
                      size_t data_len, struct td_str attrs)
{
    p = put_bin_head(p, content_size(dt_us, data_len, attrs.len));
    *p++ = attrs.len ? 0x93 : 0x92;
    p = put_int(p, dt_us);
    p = put_bin_head(p, data_len);
    if (data_len)
        memcpy(p, data, data_len);
    p += data_len;
    if (attrs.len)
        memcpy(p, attrs.data, attrs.len);
    return p + attrs.len;
}

/* The shape of nearly every event: short or middling, after its batch's base,
 * without attributes. false: it has another. */
static bool open_plain(struct td_event *out, const uint8_t **p,
                       const uint8_t *end)
{
    size_t span = event_span(*p, end);
    const uint8_t *c = *p + (**p == 0xc4 ? 2 : 3);
    const uint8_t *after = *p + span;

    if (span < 8 || **p == 0xc6 || *c++ != 0x92)
        return false;
    if (*c < 0x80) {
        out->dt_us = *c++;
    } else if (*c == 0xcd) {
        out->dt_us = c[1] << 8 | c[2];
        c += 3;
    } else {
        return false;
    }
    if (after - c < 3 || (*c != 0xc4 && *c != 0xc5) ||
        event_span(c, after) != (size_t)(after - c))
        return false;
    c += *c == 0xc4 ? 2 : 3;
    out->data.data = (const char *)c;
    out->data.len = (size_t)(after - c);
    out->attrs.data = NULL;
    out->attrs.len = 0;
    *p = after;
    return true;
}

bool td_event_open(struct td_event *out, const uint8_t **p, const uint8_t *end)
{
    struct td_reader r = {*p, end};
    struct td_str content;
    uint32_t fields;

    if (end - *p >= 2 && open_plain(out, p, end))
        return true;
    if (!td_read_bin(&r, &content)) {
        *p = end;
        return false;
    }
    *p = r.p;
    r = td_reader_of(content.data, content.len);
    out->attrs.data = NULL;
    out->attrs.len = 0;
    if (!td_read_array(&r, &fields) || fields < 2 || fields > 3 ||
        !td_read_int(&r, &out->dt_us) || !td_read_bin(&r, &out->data) ||
        out->data.len > TD_DATA_BYTES_MAX)
        return false;
    if (fields == 2)
        return r.p == r.end;

    /* the rest is the attributes, and nothing else */
    out->attrs.data = (const char *)r.p;
    out->attrs.len = (size_t)(r.end - r.p);
    return out->attrs.len <= TD_ATTRS_BYTES_MAX &&
           td_head_at(r.p, r.end).kind == TD_KIND_MAP &&
           td_scan(r.p, out->attrs.len, &td_scan_attrs);
}
