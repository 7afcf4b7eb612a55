/* Members of durable groups, and readers: SUBSCRIBE to a stream. */
#include "broker/engine/call.h"

#include "broker/engine/pack.h"

#include <stdlib.h>

/* What a reader may be given. */
#define READER_GIVEN (TD_GIVEN_START | TD_GIVEN_PATTERN)

static bool read_windows(struct td_str options, uint64_t *events,
                         uint64_t *bytes)
{
    *events = UINT64_MAX; /* 0 means something */
    return td_map_uint(options, "events", events) &&
           td_map_uint(options, "bytes", bytes) &&
           *bytes >= TD_EVENT_BYTES_MAX && *events <= TD_QUEUE_EVENTS_MAX &&
           *bytes <= TD_QUEUE_BYTES_MAX;
}

/* The consumer that it is to be a member of; NULL: *text and *code say why. */
static struct td_consumer *find_consumer(struct td_engine *e,
                                         const struct td_frame *f,
                                         tidings_err *code, const char **text)
{
    struct td_durable_options options;
    struct td_consumer *c = NULL;
    struct td_stream *stream;
    unsigned given;

    *code = TIDINGS_EINVAL;
    *text = td_durable_options_read(&options, f->u.subscribe.options, &given);
    if (*text)
        return NULL;
    *text = "a reader has no options of a group but start: leave them out, or "
            "name a group";
    if (options.group.len == 0 && (given & ~(unsigned)READER_GIVEN))
        return NULL;
    options.pattern = f->u.subscribe.pattern;
    given |= TD_GIVEN_PATTERN;
    stream = td_stream_find(e, options.stream);
    *code = TIDINGS_ENOTFOUND;
    *text = e->streams.store || e->streams.all
                ? "no such stream"
                : "the broker keeps no streams: start it with --data DIR";
    if (!stream)
        return NULL;
    if (options.group.len > 0) {
        c = td_consumer_find(stream, options.group);
        *code = TIDINGS_ELIMIT;
        *text = td_asked_too_many;
        if (!(c && td_consumer_is_made(c)) &&
            e->streams.replies.len >= TD_REPLIES_MAX)
            return NULL;
        *code = td_consumer_add(e, stream, &options, given, &c, text);
    } else {
        c = td_reader_new(e, stream, &options);
        *code = c ? TIDINGS_OK : TIDINGS_ENOMEM;
        *text = "broker is out of memory";
    }
    if (*code == TIDINGS_EEXIST)
        *code = TIDINGS_EINVAL; /* as for a live group */
    return *code ? NULL : c;
}

static struct td_sub *sub_new(struct td_session *s, uint64_t number,
                              uint64_t events, uint64_t bytes, bool leases)
{
    struct td_sub *sub = calloc(1, sizeof(*sub));

    if (!sub)
        return NULL;
    sub->session = s;
    sub->number = number;
    sub->pulls = events == 0;
    sub->events_limit = sub->window_events = events;
    sub->bytes_limit = bytes;
    sub->window_bytes = sub->pulls ? 0 : bytes; /* it owes no credit */
    sub->leases = leases ? calloc(1, sizeof(*sub->leases)) : NULL;
    if (!leases || sub->leases)
        HASH_ADD(hh, s->subs, number, sizeof(sub->number), sub);
    if ((!leases || sub->leases) && !sub->hh_failed) {
        if (number > s->streamed_last)
            s->streamed_last = number;
        return sub;
    }
    free(sub->leases);
    free(sub);
    return NULL;
}

const char *td_consume_subscribe(struct td_engine *e, struct td_session *s,
                                 const struct td_frame *f, tidings_err *code)
{
    struct td_consumer *c;
    uint32_t before = e->streams.next_group;
    struct td_sub *sub = NULL;
    uint64_t events = 0;
    uint64_t bytes = 0;
    const char *text;

    *code = TIDINGS_EINVAL;
    if (!read_windows(f->u.subscribe.options, &events, &bytes))
        return "bytes must allow at least one largest event, and events and "
               "bytes no more than a queue may hold";
    c = find_consumer(e, f, code, &text);
    if (!c)
        return text;
    *code = TIDINGS_ELIMIT;
    if (c->group->members_len >= TD_MEMBERS_MAX)
        return "the group has as many members as one may have";
    sub = sub_new(s, f->u.subscribe.subscription, events, bytes,
                  td_consumer_is_durable(c));
    *code = TIDINGS_ENOMEM;
    if (!sub) {
        if (!td_consumer_is_durable(c))
            td_consumer_free(e, c);
        return "broker is out of memory";
    }
    sub->began = e->streams.next_group > before;
    td_group_join(e, c->group, sub);
    s->patterns_bytes += c->group->pattern_len;
    e->subs_len++;
    td_consumer_ready(e, c);
    *code = TIDINGS_OK;
    return "";
}

void td_consume_welcome(struct td_engine *e, struct td_session *s,
                        uint64_t request, uint64_t subscription)
{
    const struct td_sub *sub = td_sub_find(s, subscription);
    const struct td_consumer *c = sub ? sub->group->consumer : NULL;
    msgpack_packer pk;

    if (!c) {
        td_engine_reply(e, s, request, TIDINGS_ENOTFOUND,
                        "the subscription has ended meanwhile");
        return;
    }
    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    td_pack_str(&pk, "group_policy",
                td_str_of(td_share_names[c->group->share]));
    td_pack_uint(&pk, "ack_wait_ms", c->options.ack_wait_ms);
    td_asked_result(e, s, request);
}

void td_consume_answer(struct td_engine *e, struct td_session *s,
                       const struct td_frame *f)
{
    uint64_t number = f->u.subscribe.subscription;
    const struct td_asked a = {s, f->u.subscribe.request, td_empty_map};
    const struct td_sub *sub = td_sub_find(s, number);
    const struct td_consumer *c = sub->group->consumer;
    struct td_undo undo = {.kind = TD_UNDO_MEMBER,
                           .id = c->id,
                           .session = s->number,
                           .subscription = number,
                           .began = sub->began};
    struct td_undo *kept;

    if (td_consumer_is_made(c)) {
        td_consume_welcome(e, s, a.request, number);
        return;
    }
    kept = td_undo_new(TD_UNDO_MEMBER);
    if (!kept) {
        td_undo(e, &undo);
        td_asked_fail(e, &a, TIDINGS_ENOMEM, "broker is out of memory");
        return;
    }
    *kept = undo;
    if (c->dirty)
        td_commit_ticket(e);
    td_asked_joined(e, &a, kept);
}

void td_consumer_leave(struct td_engine *e, struct td_consumer *c,
                       struct td_sub *sub, bool orderly)
{
    if (sub->leases) {
        td_lease_clear(e, sub, orderly);
        td_inflight_fini(sub->leases);
        free(sub->leases);
        sub->leases = NULL;
    }
    td_group_take_out(e, c->group, sub);
    if (td_consumer_is_durable(c))
        td_consumer_ready(e, c);
    else
        td_consumer_free(e, c);
}
