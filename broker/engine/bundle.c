/* What waits to be sent: gathering. How it goes is in bundle_send.c. */
#include "broker/engine/internal.h"

#include <stdlib.h>
#include <string.h>

#define SPARES      32u          /* bundles kept to be used again … */
#define SPARE_BYTES (256u << 10) /* … unless their memory is more than this */
#define LIST_BYTES  (TD_CONTROL_BYTES_MAX / 2) /* a row is far below the rest */

/* ---- a bundle ---- */

static void bundle_free(struct td_bundle *b)
{
    td_buf_fini(&b->list);
    td_buf_fini(&b->body);
    td_body_unref(b->whole);
    free(b);
}

struct td_bundle *td_bundle_new(struct td_engine *e)
{
    struct td_bundling *all = &e->serving.bundling;
    struct td_bundle *b = all->spare;

    if (b) {
        LL_DELETE(all->spare, b);
        b->next = NULL;
        all->spare_len--;
    } else {
        b = calloc(1, sizeof(*b));
        if (!b)
            return NULL;
    }
    b->made_ms = e->now_ms;
    if (td_buf_reserve(&b->list, TD_BUNDLE_HEAD)) {
        b->list.len = TD_BUNDLE_HEAD; /* of which the bytes are set last */
        return b;
    }
    bundle_free(b);
    return NULL;
}

void td_bundle_done(struct td_engine *e, struct td_bundle *b)
{
    struct td_bundling *all = &e->serving.bundling;

    if (all->spare_len >= SPARES || b->list.cap + b->body.cap > SPARE_BYTES) {
        bundle_free(b);
        return;
    }
    td_buf_reset(&b->list);
    td_buf_reset(&b->body);
    td_body_unref(b->whole);
    b->whole = NULL;
    b->rows = 0;
    b->closed = false;
    LL_PREPEND(all->spare, b);
    all->spare_len++;
}

size_t td_bundle_bytes(const struct td_bundle *b)
{
    if (b->rows == 0) /* there was no memory for its first */
        return 0;
    return b->list.len + b->body.len + (b->whole ? b->whole->len : 0);
}

void td_bundling_fini(struct td_engine *e)
{
    struct td_bundling *all = &e->serving.bundling;

    while (all->spare) {
        struct td_bundle *b = all->spare;

        LL_DELETE(all->spare, b);
        bundle_free(b);
    }
}

/* ---- a session's ---- */

void td_bundles_wake(struct td_engine *e, struct td_session *s)
{
    struct td_session_bundles *mine = &s->bundles;

    if (mine->queued || (!mine->handles.first && !mine->responses.first))
        return;
    mine->queued = true;
    DL_APPEND2(e->serving.bundling.ready, s, bundles.prev, bundles.next);
}

struct td_bundle *td_bundles_take(struct td_engine *e, struct td_session *s,
                                  struct td_bundles *of)
{
    struct td_bundle *b = of->first;

    of->first = b->next;
    if (!of->first)
        of->last = NULL;
    b->next = NULL;
    of->rows -= b->rows;
    s->bundles.bytes -= td_bundle_bytes(b);
    e->serving.bundling.bytes -= td_bundle_bytes(b);
    return b;
}

void td_bundles_put_back(struct td_engine *e, struct td_session *s,
                         struct td_bundles *of, struct td_bundle *b)
{
    b->next = of->first;
    of->first = b;
    if (!of->last)
        of->last = b;
    of->rows += b->rows;
    s->bundles.bytes += td_bundle_bytes(b);
    e->serving.bundling.bytes += td_bundle_bytes(b);
}

void td_bundles_drop(struct td_engine *e, struct td_session *s)
{
    struct td_session_bundles *mine = &s->bundles;

    while (mine->handles.first)
        td_bundle_done(e, td_bundles_take(e, s, &mine->handles));
    while (mine->responses.first)
        td_bundle_done(e, td_bundles_take(e, s, &mine->responses));
    if (mine->queued)
        DL_DELETE2(e->serving.bundling.ready, s, bundles.prev, bundles.next);
    mine->queued = false;
    e->serving.bundling.out_bytes -= mine->out_bytes;
    mine->out_bytes = mine->out_late_bytes = 0;
}

/* ---- gathering ---- */

/* The bytes of one row, in the body that they came in. */
struct bytes {
    struct td_body *body;
    size_t offset;
    size_t len;
};

/* They stay where they are, if they are most of what that keeps in memory. */
static bool is_large(const struct bytes *bytes)
{
    return bytes->len >= TD_COPY_BYTES && 2 * bytes->len >= bytes->body->len;
}

static bool has_room(const struct td_bundle *b, const struct bytes *bytes)
{
    return b && !b->closed && b->rows < TD_BUNDLE_ROWS &&
           b->list.len < LIST_BYTES && b->body.len < TD_BATCH_BYTES &&
           b->body.len + bytes->len <= TD_BODY_BYTES_MAX;
}

/* One that the row goes into; NULL: no memory. */
static struct td_bundle *bundle_for(struct td_engine *e, struct td_bundles *of,
                                    const struct bytes *bytes)
{
    struct td_bundle *b = of->last;

    if (!is_large(bytes) && has_room(b, bytes))
        return b;
    b = td_bundle_new(e);
    if (!b)
        return NULL;
    if (of->last)
        of->last->next = b;
    else
        of->first = b;
    of->last = b;
    return b;
}

static bool put_bytes(struct td_bundle *b, const struct bytes *bytes)
{
    if (bytes->len == 0)
        return true;
    if (!is_large(bytes)) {
        td_buf_append(&b->body, bytes->body->data + bytes->offset, bytes->len);
        return !b->body.failed;
    }
    b->closed = true;
    b->whole = bytes->offset == 0 && bytes->len == bytes->body->len
                   ? td_body_ref(bytes->body)
                   : td_body_slice(bytes->body, bytes->offset, bytes->len);
    return b->whole;
}

/* As it was before a row that did not fit into memory. */
static void undo(struct td_bundle *b, size_t list_len, size_t body_len)
{
    b->list.len = list_len;
    b->body.len = body_len;
    b->list.failed = b->body.failed = false;
    b->closed = b->rows > 0 && b->closed;
}

typedef void (*append_fn)(struct td_buf *list, const void *row);

static bool add(struct td_engine *e, struct td_session *s,
                struct td_bundles *to, append_fn append, const void *row,
                const struct bytes *bytes)
{
    struct td_bundle *b = bundle_for(e, to, bytes);
    size_t list_len;
    size_t body_len;
    size_t before;

    if (!b)
        return false;
    list_len = b->list.len;
    body_len = b->body.len;
    before = td_bundle_bytes(b);
    append(&b->list, row);
    if (b->list.failed || !put_bytes(b, bytes)) {
        undo(b, list_len, body_len);
        return false;
    }
    b->rows++;
    to->rows++;
    s->bundles.bytes += td_bundle_bytes(b) - before;
    e->serving.bundling.bytes += td_bundle_bytes(b) - before;
    td_bundles_wake(e, s);
    return true;
}

/* ---- bounds ---- */

size_t td_bundling_bytes(const struct td_engine *e)
{
    return e->serving.bundling.bytes + e->serving.bundling.out_bytes;
}

size_t td_bundling_bytes_max(const struct td_engine *e)
{
    return e->options.memory_bytes / TD_BUNDLES_PART;
}

bool td_bundles_may_go(const struct td_engine *e, const struct td_session *s)
{
    bool all_over = e->serving.bundling.out_bytes >= td_bundling_bytes_max(e);

    return s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX &&
           s->bundles.out_bytes <
               (all_over ? TD_BUNDLES_OUT_BYTES_MIN : TD_BUNDLES_OUT_BYTES);
}

/* What all have together counts against those who do not read: the others'
 * goes with the turn. */
static bool is_over(const struct td_engine *e, const struct td_session *s,
                    size_t more)
{
    return s->bundles.bytes + more > TD_BUNDLE_BYTES ||
           (!td_bundles_may_go(e, s) &&
            td_bundling_bytes(e) + more > td_bundling_bytes_max(e));
}

/* Twice as much as may wait, waits: rows alone. */
static bool is_lost(const struct td_engine *e, const struct td_session *s)
{
    return s->bundles.responses.rows > TD_REQUESTS_MAX * 2 ||
           s->bundles.bytes > 2 * (size_t)TD_BUNDLE_BYTES ||
           (!td_bundles_may_go(e, s) &&
            e->serving.bundling.bytes > 2 * td_bundling_bytes_max(e));
}

bool td_bundle_has_room(const struct td_engine *e, const struct td_session *s,
                        size_t bytes)
{
    return !is_over(e, s, bytes);
}

/* ---- rows ---- */

static void append_handle(struct td_buf *list, const void *row)
{
    td_handle_append(list, row);
}

bool td_bundle_handle(struct td_engine *e, struct td_session *s,
                      const struct td_handle_row *row, struct td_body *body,
                      size_t offset)
{
    const struct bytes bytes = {body, offset, row->bytes};

    return !s->doomed && !is_over(e, s, row->bytes) &&
           add(e, s, &s->bundles.handles, append_handle, row, &bytes);
}

static void append_response(struct td_buf *list, const void *row)
{
    td_response_append(list, row);
}

/* There is no room for its data. It has been done, so that its caller may not
 * take it for refused, and send it again. */
static void strip(struct td_response_row *row)
{
    row->code = TIDINGS_ELOST;
    row->status = 0;
    row->bytes = 0;
    row->text = td_str_of("it was answered, but the data had to go: too much "
                          "waits for you to read it");
}

void td_bundle_response(struct td_engine *e, struct td_session *s,
                        const struct td_response_row *row, struct td_body *body,
                        size_t offset)
{
    struct td_response_row response = *row;
    struct bytes bytes;

    if (s->doomed)
        return;
    if (row->bytes > 0 && is_over(e, s, row->bytes))
        strip(&response);
    bytes = (struct bytes){body, offset, response.bytes};
    if (is_lost(e, s))
        td_session_doom(e, s, TD_DROP_MEMORY, TIDINGS_ENOMEM,
                        "too many responses wait for you to read them");
    else if (!add(e, s, &s->bundles.responses, append_response, &response,
                  &bytes))
        td_session_lose(e, s, TIDINGS_ENOMEM, "broker is out of memory");
}
