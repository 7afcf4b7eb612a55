/* Rows of the lists that requests and their answers travel in: PROTOCOL.md 11. */
#include "proto/frame.h"

#include "proto/limits.h"
#include "proto/put.h"
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

/* Where a row of so many fields, at most 15, is written, behind its head: there
 * is room for integers, and for strs of so many bytes together. NULL: no
 * memory. */
static uint8_t *row_begin(struct td_buf *list, unsigned fields, size_t strs)
{
    uint8_t *p;

    if (!td_buf_reserve(list, 1 + fields * TD_PUT_INT_MAX + strs))
        return NULL;
    p = list->data + list->len;
    *p++ = (uint8_t)(0x90 | fields);
    return p;
}

static void row_end(struct td_buf *list, const uint8_t *p)
{
    list->len = (size_t)(p - list->data);
}

/* ---- REQUEST ---- */

void td_request_append(struct td_buf *list, const struct td_request_row *row)
{
    uint8_t *p = row_begin(list, 6, row->type.len + row->options.len);

    if (!p)
        return;
    p = td_put_uint(p, row->number);
    p = td_put_str(p, row->type);
    p = td_put_uint(p, row->flags);
    p = td_put_uint(p, row->left_ms);
    p = td_put_uint(p, row->bytes);
    if (row->options.len > 0)
        memcpy(p, row->options.data, row->options.len);
    else
        *p = 0xc0; /* nil */
    p += row->options.len > 0 ? row->options.len : 1;
    row_end(list, p);
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
    uint8_t *p = row_begin(list, 11, row->type.len + row->source.len);

    if (!p)
        return;
    p = td_put_uint(p, row->task);
    p = td_put_uint(p, row->service);
    p = td_put_uint(p, row->endpoint);
    p = td_put_str(p, row->type);
    p = td_put_uint(p, row->flags);
    p = td_put_uint(p, row->left_ms);
    p = td_put_uint(p, row->bytes);
    p = td_put_uint(p, row->session);
    p = td_put_uint(p, row->number);
    p = td_put_str(p, row->source);
    p = td_put_int(p, row->time_us);
    row_end(list, p);
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
    uint8_t *p = row_begin(list, 7, row->text.len);

    if (!p)
        return;
    p = td_put_uint(p, row->task);
    p = td_put_uint(p, row->code);
    p = td_put_uint(p, row->status);
    p = td_put_uint(p, row->held_us);
    p = td_put_uint(p, row->took_us);
    p = td_put_uint(p, row->bytes);
    p = td_put_str(p, row->text);
    row_end(list, p);
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
    uint8_t *p = row_begin(list, 7, row->text.len + row->instance.len);

    if (!p)
        return;
    p = td_put_uint(p, row->number);
    p = td_put_uint(p, row->code);
    p = td_put_uint(p, row->status);
    p = td_put_uint(p, row->bytes);
    p = td_put_str(p, row->text);
    p = td_put_uint(p, row->left);
    p = td_put_str(p, row->instance);
    row_end(list, p);
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
