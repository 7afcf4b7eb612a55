/* Rows of the lists that control frames carry: PROTOCOL.md 4 and 10. */
#include "proto/frame.h"

#include "proto/limits.h"
#include "proto/row.h"

static void append_uints(msgpack_packer *pk, const uint64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        msgpack_pack_uint64(pk, values[i]);
}

/* A list's row of integers alone. */
static void append_row(struct td_buf *list, const uint64_t *values, size_t n)
{
    msgpack_packer pk = td_row_packer(list);

    msgpack_pack_array(&pk, n);
    append_uints(&pk, values, n);
}

void td_list_begin(struct td_buf *list, uint32_t rows)
{
    msgpack_packer pk = td_row_packer(list);

    msgpack_pack_array(&pk, rows);
}

/* ---- CREDIT ---- */

void td_credit_begin(struct td_buf *list, uint32_t rows)
{
    td_list_begin(list, rows);
}

void td_credit_append(struct td_buf *list, const struct td_credit *row)
{
    const uint64_t values[] = {row->subscription, row->taken, row->events_limit,
                               row->bytes_limit};

    append_row(list, values, 4);
}

bool td_credit_read(struct td_reader *list, struct td_credit *out)
{
    struct td_reader r;
    uint32_t fields;

    return td_row_open(list, 4, &r, &fields) &&
           td_read_uint(&r, &out->subscription) &&
           td_read_uint(&r, &out->taken) &&
           td_read_uint(&r, &out->events_limit) &&
           td_read_uint(&r, &out->bytes_limit);
}

/* ---- DELIVER ---- */

void td_part_begin(struct td_buf *parts, uint64_t subscription, uint64_t tag,
                   bool with_spans)
{
    const uint64_t values[] = {subscription, tag};
    msgpack_packer pk = td_row_packer(parts);

    msgpack_pack_array(&pk, with_spans ? 4 : 3);
    append_uints(&pk, values, 2);
}

bool td_part_read(struct td_reader *parts, struct td_part *out)
{
    struct td_reader r;
    uint32_t fields;

    out->spans.data = NULL;
    out->spans.len = 0;
    if (!td_row_open(parts, 3, &r, &fields) ||
        !td_read_uint(&r, &out->subscription) || !td_read_uint(&r, &out->tag) ||
        !td_read_raw(&r, &out->batches))
        return false;
    return fields == 3 || (td_head_at(r.p, r.end).kind == TD_KIND_ARRAY &&
                           td_read_raw(&r, &out->spans));
}

void td_span_append(struct td_buf *list, const struct td_span *row)
{
    const uint64_t values[] = {row->count, row->sequence, row->deliveries};

    append_row(list, values, 3);
}

bool td_span_read(struct td_reader *list, struct td_span *out)
{
    struct td_reader r;
    uint32_t fields;

    return td_row_open(list, 3, &r, &fields) && td_read_uint(&r, &out->count) &&
           out->count >= 1 && td_read_uint(&r, &out->sequence) &&
           td_read_uint(&r, &out->deliveries) && out->deliveries >= 1;
}

/* ---- CONFIRM ---- */

void td_confirm_append(struct td_buf *list, const struct td_confirm *row)
{
    const uint64_t before[] = {row->first, row->count, row->code};
    const uint64_t after[] = {row->sequence, row->level};
    msgpack_packer pk = td_row_packer(list);

    msgpack_pack_array(&pk, 7);
    append_uints(&pk, before, 3);
    td_row_str(&pk, &row->stream);
    append_uints(&pk, after, 2);
    if (row->duplicate)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
}

bool td_confirm_read(struct td_reader *list, struct td_confirm *out)
{
    struct td_reader r;
    uint32_t fields;

    return td_row_open(list, 7, &r, &fields) && td_read_uint(&r, &out->first) &&
           td_read_uint(&r, &out->count) && out->count >= 1 &&
           td_row_code(&r, &out->code) && td_read_str(&r, &out->stream) &&
           td_read_uint(&r, &out->sequence) && td_read_uint(&r, &out->level) &&
           td_read_bool(&r, &out->duplicate);
}

/* ---- SETTLE and SETTLED ---- */

/* Both count tags, which begin with 1. */
static bool read_tags(struct td_reader *row, uint64_t *first, uint64_t *last)
{
    return td_read_uint(row, first) && *first >= 1 && td_read_uint(row, last) &&
           *last >= *first;
}

void td_settle_append(struct td_buf *list, const struct td_settle *row)
{
    const uint64_t values[] = {row->subscription, row->verb, row->first,
                               row->last, row->delay_ms};
    msgpack_packer pk = td_row_packer(list);

    msgpack_pack_array(&pk, 6);
    append_uints(&pk, values, 5);
    td_row_str(&pk, &row->reason);
}

bool td_settle_read(struct td_reader *list, struct td_settle *out)
{
    struct td_reader r;
    uint32_t fields;

    return td_row_open(list, 6, &r, &fields) &&
           td_read_uint(&r, &out->subscription) &&
           td_read_uint(&r, &out->verb) && out->verb >= TD_ACK &&
           out->verb < TD_VERBS_END && read_tags(&r, &out->first, &out->last) &&
           td_read_uint(&r, &out->delay_ms) && td_read_str(&r, &out->reason) &&
           out->reason.len <= TD_REASON_BYTES_MAX;
}

void td_settled_append(struct td_buf *list, const struct td_settled *row)
{
    const uint64_t values[] = {row->subscription, row->first, row->last,
                               row->code};

    append_row(list, values, 4);
}

bool td_settled_read(struct td_reader *list, struct td_settled *out)
{
    struct td_reader r;
    uint32_t fields;

    return td_row_open(list, 4, &r, &fields) &&
           td_read_uint(&r, &out->subscription) &&
           read_tags(&r, &out->first, &out->last) &&
           td_row_code(&r, &out->code);
}
