/* Rows of the lists that requests and their answers travel in: PROTOCOL.md 11. */
#include "proto/frame.h"

#include "proto/limits.h"
#include "proto/row.h"

/* Where each row is walked over once: a reader is in it, and moves on to its
 * end. More fields than are known here are of a later version. */
static bool row_enter(struct td_reader *r, uint32_t known, uint32_t *more)
{
    uint32_t fields;

    if (!td_read_array(r, &fields) || fields < known)
        return false;
    *more = fields - known;
    return true;
}

static bool row_leave(struct td_reader *list, struct td_reader *r,
                      uint32_t more)
{
    struct td_str unknown;

    for (; more > 0; more--) {
        if (!td_read_raw(r, &unknown))
            return false;
    }
    *list = *r;
    return true;
}

/* ---- REQUEST ---- */

void td_request_append(struct td_buf *list, const struct td_request_row *row)
{
    msgpack_packer pk = td_row_begin(list, 6);

    msgpack_pack_uint64(&pk, row->number);
    td_row_str(&pk, &row->type);
    msgpack_pack_uint64(&pk, row->flags);
    msgpack_pack_uint64(&pk, row->left_ms);
    msgpack_pack_uint64(&pk, row->bytes);
    if (row->options.len > 0)
        td_buf_append(list, row->options.data, row->options.len);
    else
        msgpack_pack_nil(&pk);
}

/* A map, or nil for none. */
static bool read_options(struct td_reader *r, struct td_str *out)
{
    enum td_kind kind = td_head_at(r->p, r->end).kind;

    if ((kind != TD_KIND_MAP && kind != TD_KIND_NIL) || !td_read_raw(r, out))
        return false;
    if (kind == TD_KIND_NIL)
        out->len = 0;
    return true;
}

bool td_request_read(struct td_reader *list, struct td_request_row *out)
{
    struct td_reader r = *list;
    uint32_t more;

    return row_enter(&r, 6, &more) && td_read_uint(&r, &out->number) &&
           td_read_str(&r, &out->type) && td_read_uint(&r, &out->flags) &&
           out->flags == (out->flags & TD_REQUEST_FLAGS_ALL) &&
           td_read_uint(&r, &out->left_ms) && out->left_ms >= 1 &&
           out->left_ms <= TD_TIMEOUT_MS_MAX && td_read_uint(&r, &out->bytes) &&
           read_options(&r, &out->options) && row_leave(list, &r, more);
}

/* ---- HANDLE ---- */

void td_handle_append(struct td_buf *list, const struct td_handle_row *row)
{
    msgpack_packer pk = td_row_begin(list, 11);

    msgpack_pack_uint64(&pk, row->task);
    msgpack_pack_uint64(&pk, row->service);
    msgpack_pack_uint64(&pk, row->endpoint);
    td_row_str(&pk, &row->type);
    msgpack_pack_uint64(&pk, row->flags);
    msgpack_pack_uint64(&pk, row->left_ms);
    msgpack_pack_uint64(&pk, row->bytes);
    msgpack_pack_uint64(&pk, row->session);
    msgpack_pack_uint64(&pk, row->number);
    td_row_str(&pk, &row->source);
    msgpack_pack_int64(&pk, row->time_us);
}

bool td_handle_read(struct td_reader *list, struct td_handle_row *out)
{
    struct td_reader r = *list;
    uint32_t more;

    return row_enter(&r, 11, &more) && td_read_uint(&r, &out->task) &&
           td_read_uint(&r, &out->service) &&
           td_read_uint(&r, &out->endpoint) && td_read_str(&r, &out->type) &&
           td_read_uint(&r, &out->flags) && td_read_uint(&r, &out->left_ms) &&
           td_read_uint(&r, &out->bytes) && td_read_uint(&r, &out->session) &&
           td_read_uint(&r, &out->number) && td_read_str(&r, &out->source) &&
           td_read_int(&r, &out->time_us) && row_leave(list, &r, more);
}

/* ---- ANSWER ---- */

void td_answer_append(struct td_buf *list, const struct td_answer_row *row)
{
    msgpack_packer pk = td_row_begin(list, 7);

    msgpack_pack_uint64(&pk, row->task);
    msgpack_pack_uint64(&pk, row->code);
    msgpack_pack_uint64(&pk, row->status);
    msgpack_pack_uint64(&pk, row->held_us);
    msgpack_pack_uint64(&pk, row->took_us);
    msgpack_pack_uint64(&pk, row->bytes);
    td_row_str(&pk, &row->text);
}

bool td_answer_read(struct td_reader *list, struct td_answer_row *out)
{
    struct td_reader r = *list;
    uint32_t more;

    return row_enter(&r, 7, &more) && td_read_uint(&r, &out->task) &&
           td_row_code(&r, &out->code) && td_read_uint(&r, &out->status) &&
           out->status <= TD_STATUS_MAX && td_read_uint(&r, &out->held_us) &&
           td_read_uint(&r, &out->took_us) && td_read_uint(&r, &out->bytes) &&
           td_read_str(&r, &out->text) &&
           out->text.len <= TD_ANSWER_TEXT_BYTES_MAX &&
           row_leave(list, &r, more);
}

/* ---- RESPONSE ---- */

void td_response_append(struct td_buf *list, const struct td_response_row *row)
{
    msgpack_packer pk = td_row_begin(list, 7);

    msgpack_pack_uint64(&pk, row->number);
    msgpack_pack_uint64(&pk, row->code);
    msgpack_pack_uint64(&pk, row->status);
    msgpack_pack_uint64(&pk, row->bytes);
    td_row_str(&pk, &row->text);
    msgpack_pack_uint64(&pk, row->left);
    td_row_str(&pk, &row->instance);
}

bool td_response_read(struct td_reader *list, struct td_response_row *out)
{
    struct td_reader r = *list;
    uint32_t more;

    return row_enter(&r, 7, &more) && td_read_uint(&r, &out->number) &&
           td_row_code(&r, &out->code) && td_read_uint(&r, &out->status) &&
           td_read_uint(&r, &out->bytes) && td_read_str(&r, &out->text) &&
           td_read_uint(&r, &out->left) && td_read_str(&r, &out->instance) &&
           row_leave(list, &r, more);
}
