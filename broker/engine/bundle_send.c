/* What waits to be sent, goes: as many messages and bytes as may be
 * unanswered. A session says how many messages it has read; bytes are counted in
 * two heaps, up to a message and after it, of which the first goes when that one
 * is read. So what is read may be counted a while longer, and never less. */
#include "broker/engine/internal.h"

#include "broker/engine/task.h"

/* ---- what has waited ---- */

/* Of a request that waits for its instance to read, less is left now. */
static void add_again(struct td_engine *e, struct td_bundle *to,
                      struct td_handle_row *row, const struct td_bundle *from,
                      size_t offset)
{
    const struct td_task *task = td_task_find(e, row->task);

    if (!task) /* it is over */
        return;
    row->left_ms = (uint64_t)(task->asking->deadline_ms - e->now_ms);
    td_handle_append(&to->list, row);
    if (from->whole)
        to->whole = td_body_ref(from->whole);
    else if (row->bytes > 0)
        td_buf_append(&to->body, from->body.data + offset, row->bytes);
    to->rows++;
}

/* The same without what is over, in its place; NULL: no memory, and nothing has
 * changed. */
static struct td_bundle *renew(struct td_engine *e, struct td_bundle *b)
{
    struct td_reader list = td_reader_of(b->list.data + TD_BUNDLE_HEAD,
                                         b->list.len - TD_BUNDLE_HEAD);
    struct td_bundle *fresh = td_bundle_new(e);
    struct td_handle_row row;
    size_t offset = 0;

    if (!fresh)
        return NULL;
    for (; td_handle_read(&list, &row); offset += row.bytes)
        add_again(e, fresh, &row, b, offset);
    if (!fresh->list.failed && !fresh->body.failed) {
        td_bundle_done(e, b);
        return fresh;
    }
    td_bundle_done(e, fresh);
    return NULL;
}

/* ---- sending ---- */

static struct td_body *body_of(const struct td_bundle *b)
{
    return b->whole ? td_body_ref(b->whole)
                    : td_body_copy(b->body.data, b->body.len);
}

static void put_head(struct td_bundle *b)
{
    b->list.data[0] = 0xdc; /* msgpack: an array of 16 bits */
    b->list.data[1] = (uint8_t)(b->rows >> 8);
    b->list.data[2] = (uint8_t)b->rows;
}

static void count_out(struct td_engine *e, struct td_session *s, size_t bytes)
{
    struct td_session_bundles *mine = &s->bundles;

    if (mine->out_bytes == 0)
        mine->out_mark = s->messages_out;
    else
        mine->out_late_bytes += bytes;
    mine->out_bytes += bytes;
    e->serving.bundling.out_bytes += bytes;
}

void td_bundles_seen(struct td_engine *e, struct td_session *s)
{
    struct td_session_bundles *mine = &s->bundles;

    while (mine->out_bytes > 0 && s->messages_seen >= mine->out_mark) {
        e->serving.bundling.out_bytes -= mine->out_bytes - mine->out_late_bytes;
        mine->out_bytes = mine->out_late_bytes;
        mine->out_late_bytes = 0;
        mine->out_mark = s->messages_out;
    }
    td_bundles_wake(e, s);
}

static void send_bundle(struct td_engine *e, struct td_session *s,
                        struct td_bundle *b, enum td_op op,
                        struct td_body *body)
{
    struct td_frame f = {.op = op};
    struct td_str list = {(const char *)b->list.data, b->list.len};

    put_head(b);
    if (op == TD_HANDLE)
        f.u.handle.list = list;
    else
        f.u.response.list = list;
    if (s->messages_out++ == s->messages_seen)
        s->unread_ms = e->now_ms;
    count_out(e, s, td_bundle_bytes(b));
    td_engine_send(e, s, &f, body);
}

static bool may_send(const struct td_engine *e, const struct td_session *s)
{
    return !s->doomed && td_bundles_may_go(e, s);
}

/* False: no memory; it is the first still. */
static bool send_first(struct td_engine *e, struct td_session *s,
                       struct td_bundles *of, enum td_op op)
{
    struct td_bundle *b = td_bundles_take(e, s, of);
    struct td_bundle *fresh =
        op == TD_HANDLE && b->made_ms < e->now_ms ? renew(e, b) : b;
    struct td_body *body = NULL;

    if (fresh)
        b = fresh;
    if (fresh && b->rows > 0)
        body = body_of(b);
    if (body)
        send_bundle(e, s, b, op, body);
    if (body || (fresh && b->rows == 0)) {
        td_body_unref(body);
        td_bundle_done(e, b);
        return true;
    }
    td_bundles_put_back(e, s, of, b);
    return false;
}

/* False: no memory. */
static bool send_all(struct td_engine *e, struct td_session *s)
{
    struct td_session_bundles *mine = &s->bundles;

    while (may_send(e, s) && (mine->responses.first || mine->handles.first)) {
        if (mine->responses.first &&
            !send_first(e, s, &mine->responses, TD_RESPONSE))
            return false;
        if (mine->handles.first && may_send(e, s) &&
            !send_first(e, s, &mine->handles, TD_HANDLE))
            return false;
    }
    return true;
}

bool td_bundles_send(struct td_engine *e)
{
    struct td_bundling *all = &e->serving.bundling;
    struct td_session *last = all->ready ? all->ready->bundles.prev : NULL;
    struct td_session *s = NULL;
    bool sent = true;

    while (s != last) {
        s = all->ready;
        DL_DELETE2(all->ready, s, bundles.prev, bundles.next);
        s->bundles.queued = false;
        if (!send_all(e, s)) {
            td_bundles_wake(e, s);
            sent = false;
        }
    }
    return sent;
}
