/* Durable groups and readers: their life. */
#include "broker/engine/internal.h"

#include "broker/engine/pack.h"

#include <stdlib.h>
#include <string.h>

bool td_consumer_is_durable(const struct td_consumer *c)
{
    return c->id != 0;
}

bool td_consumer_is_kept(const struct td_consumer *c)
{
    return td_consumer_is_durable(c) && td_stream_is_on_disk(c->stream);
}

bool td_consumer_is_made(const struct td_consumer *c)
{
    return c->made || !td_consumer_is_kept(c);
}

bool td_consumer_is_paused(struct td_engine *e, const struct td_consumer *c)
{
    return c->paused && (c->paused_until_ms == 0 ||
                         td_engine_unix_ms(e) < c->paused_until_ms);
}

uint64_t td_consumer_lag(const struct td_consumer *c)
{
    uint64_t next = c->stream->kept.next;
    uint64_t fed = c->group->queue.events;

    if (c->group->named)
        fed += c->group->named->dealt.events;
    return fed + (next > c->cursor ? next - c->cursor : 0);
}

uint64_t td_consumer_in_flight(const struct td_consumer *c)
{
    uint64_t events = 0;

    for (const struct td_sub *sub = c->group->members; sub;
         sub = sub->group_next)
        events += sub->leases->events;
    return events;
}

uint64_t td_consumer_queued(const struct td_consumer *c)
{
    uint64_t events = c->group->queue.events;

    for (const struct td_sub *sub = c->group->members; sub;
         sub = sub->group_next)
        events += sub->own.events;
    return events;
}

uint64_t td_consumer_dying(const struct td_consumer *c)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < c->burials.len; i++) {
        const struct td_burial *burial = td_fifo_nth(&c->burials, i);

        events += !burial->forgotten; /* the group was not sent elsewhere */
    }
    return events;
}

uint64_t td_consumer_dead(const struct td_consumer *c)
{
    return td_consumer_is_kept(c) ? c->dead_len : c->count.dead;
}

struct td_consumer *td_consumer_find(struct td_stream *stream,
                                     struct td_str group)
{
    struct td_consumer *c;

    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        if (td_consumer_is_durable(c) && c->options.group.len == group.len &&
            memcmp(c->options.group.data, group.data, group.len) == 0)
            return c;
    }
    return NULL;
}

struct td_consumer *td_consumer_by_id(struct td_engine *e, uint32_t id)
{
    struct td_consumer *c;

    DL_FOREACH(e->streams.consumers, c)
    {
        if (c->id == id && id != 0)
            return c;
    }
    return NULL;
}

void td_consumer_ready(struct td_engine *e, struct td_consumer *c)
{
    if (c->ready)
        return;
    c->ready = true;
    DL_APPEND2(e->streams.ready, c, ready_prev, ready_next);
}

void td_consumer_dirty(struct td_engine *e, struct td_consumer *c)
{
    struct td_streams *st = &e->streams;

    if (c->dirty || !td_consumer_is_kept(c))
        return;
    if (!st->dirty_consumers)
        st->dirty_ms = e->now_ms;
    c->dirty = true;
    c->dirty_next = st->dirty_consumers;
    st->dirty_consumers = c;
}

/* ---- beginning ---- */

static bool read_options(struct td_consumer *c,
                         const struct td_durable_options *options)
{
    struct td_str text;

    struct td_durable_options named = *options;

    if (!td_consumer_is_durable(c)) /* a map has no empty name */
        named.group = td_str_of("-");
    td_durable_options_pack(&c->text, &named);
    text = (struct td_str){(const char *)c->text.data, c->text.len};
    if (c->text.failed || td_durable_options_read(&c->options, text, NULL))
        return false;
    if (!td_consumer_is_durable(c))
        c->options.group = td_no_str;
    return true;
}

static struct td_consumer *consumer_new(
    struct td_engine *e, uint32_t id, struct td_stream *stream,
    const struct td_durable_options *options)
{
    struct td_consumer *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->id = id;
    c->stream = stream;
    c->burials.size = sizeof(struct td_burial);
    c->dead_next = 1;
    c->wake_ms = TD_NEVER;
    if (read_options(c, options))
        c->group = td_group_new_fed(c, c->options.pattern, c->options.group);
    if (!c->group) {
        td_buf_fini(&c->text);
        free(c);
        return NULL;
    }
    if (td_consumer_is_durable(c)) /* a reader has no names to deal by */
        c->group->share = (enum td_share)c->options.share;
    c->all = td_str_is(c->options.pattern, ">");
    c->cursor = stream->head.next;
    td_settled_init(&c->settled, c->cursor);
    DL_APPEND2(stream->consumers, c, stream_prev, stream_next);
    if (!td_consumer_is_durable(c)) {
        DL_PREPEND(e->streams.consumers, c); /* groups come last */
        return c;
    }
    DL_APPEND(e->streams.consumers, c);
    stream->groups_len++;
    e->streams.groups_len++;
    if (id > e->streams.next_group)
        e->streams.next_group = id;
    return c;
}

struct td_consumer *td_reader_new(struct td_engine *e, struct td_stream *stream,
                                  const struct td_durable_options *options)
{
    struct td_consumer *c = consumer_new(e, 0, stream, options);

    if (c)
        td_locate(e, c, &options->start);
    return c;
}

tidings_err td_consumer_add(struct td_engine *e, struct td_stream *stream,
                            const struct td_durable_options *options,
                            unsigned given, struct td_consumer **out,
                            const char **text)
{
    struct td_consumer *c = td_consumer_find(stream, options->group);

    *text = "";
    *out = c;
    if (c) {
        *text = td_durable_options_differ(&c->options, options, given);
        return *text ? TIDINGS_EEXIST : TIDINGS_OK;
    }
    *text = "the broker has as many durable groups as it may have";
    if (e->streams.groups_len >= TD_CONSUMERS_MAX)
        return TIDINGS_ELIMIT;
    *text = "broker is out of memory";
    c = consumer_new(e, e->streams.next_group + 1, stream, options);
    if (!c)
        return TIDINGS_ENOMEM;
    td_locate(e, c, &options->start);
    c->dirty_row = true;
    td_consumer_dirty(e, c);
    *out = c;
    return TIDINGS_OK;
}

tidings_err td_consumer_load(struct td_engine *e, uint32_t id,
                             const struct td_group_row *row)
{
    struct td_stream *stream = td_stream_by_id(e, row->stream);
    struct td_durable_options options;
    struct td_consumer *c;

    if (!stream ||
        !td_scan(row->options.data, row->options.len, &td_scan_control) ||
        td_durable_options_read(&options, row->options, NULL))
        return TIDINGS_EIO;
    c = consumer_new(e, id, stream, &options);
    if (!c)
        return TIDINGS_ENOMEM;
    c->made = true;
    c->paused = row->paused;
    c->paused_until_ms = row->paused_until_ms;
    return TIDINGS_OK;
}

/* ---- what is out is forgotten ---- */

static void forget_out(struct td_consumer *c)
{
    struct td_group *g = c->group;

    td_read_forget(c->read);
    td_read_forget(c->retry_read);
    c->read = c->retry_read = NULL;
    c->read_next = 0;
    c->locating = false;
    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        if (g->share == TD_BY_KEY)
            td_deal_forget_all(g, &sub->own, 0);
        if (g->named)
            td_queue_drop(&sub->own, 0, 0, NULL, NULL);
        if (sub->leases) {
            c->count.returned += sub->leases->events;
            td_inflight_clear(sub->leases, NULL, NULL);
        }
    }
    td_queue_drop(&g->queue, 0, 0, NULL, NULL);
    td_retries_fini(&c->retries);
    td_parks_fini(&c->parks);
    c->out = 0;
}

/* Dead letters that were on their way still are. */
static void redrive_all(struct td_engine *e, struct td_consumer *c)
{
    for (struct td_redriven *r = c->redriven; r; r = r->hh.next) {
        const struct td_retry retry = {
            .due_ms = e->now_ms, .sequence = r->sequence, .count = 1};

        c->out += r->dying || td_retries_add(&c->retries, &retry);
    }
}

/* What is stored of it is to go, and all of what is now to be written. */
static void moved(struct td_engine *e, struct td_consumer *c)
{
    c->wipe = c->placed = true;
    redrive_all(e, c);
    td_consumer_dirty(e, c);
    td_consumer_ready(e, c);
}

void td_consumer_seek(struct td_engine *e, struct td_consumer *c,
                      const struct td_start *start, struct td_placement *was)
{
    *was = (struct td_placement){c->locating, c->sought_ms, c->newest_to,
                                 c->settled,  c->counts,    c->dead_from};
    c->dead_from = c->dead_next;
    forget_out(c);
    for (uint32_t i = 0; i < c->burials.len; i++) {
        struct td_burial *burial = td_fifo_nth(&c->burials, i);

        burial->forgotten = !burial->again;
    }
    memset(&c->counts, 0, sizeof(c->counts));
    memset(&c->settled, 0, sizeof(c->settled));
    td_settled_init(&c->settled, c->stream->head.next);
    td_locate(e, c, start);
    moved(e, c);
}

void td_consumer_put_back(struct td_engine *e, struct td_consumer *c,
                          struct td_placement *was)
{
    const struct td_start start = {.kind = TD_START_TIME,
                                   .time_ms = was->sought_ms};

    forget_out(c);
    td_settled_fini(&c->settled);
    td_counts_fini(&c->counts);
    c->settled = was->settled;
    c->counts = was->counts;
    c->dead_from = was->dead_from;
    memset(&was->settled, 0, sizeof(was->settled));
    memset(&was->counts, 0, sizeof(was->counts));
    td_settled_redirty(&c->settled);
    td_counts_redirty(&c->counts);
    c->cursor = td_settled_next(&c->settled, c->settled.floor);
    td_newest_end(c);
    c->newest_to = was->newest_to;
    if (was->locating)
        td_locate(e, c, &start);
    moved(e, c);
}

/* ---- the end ---- */

static void undirty(struct td_engine *e, struct td_consumer *c)
{
    struct td_consumer **at = &e->streams.dirty_consumers;

    while (c->dirty && *at != c)
        at = &(*at)->dirty_next;
    if (c->dirty)
        *at = c->dirty_next;
}

void td_consumer_free(struct td_engine *e, struct td_consumer *c)
{
    forget_out(c);
    td_newest_end(c);
    undirty(e, c);
    td_consumer_eats(e, c);
    if (c->ready)
        DL_DELETE2(e->streams.ready, c, ready_prev, ready_next);
    DL_DELETE(e->streams.consumers, c);
    DL_DELETE2(c->stream->consumers, c, stream_prev, stream_next);
    if (td_consumer_is_durable(c)) {
        c->stream->groups_len--;
        e->streams.groups_len--;
    }
    while (c->burials.len > 0) {
        struct td_burial *burial = td_fifo_nth(&c->burials, 0);

        td_reason_unref(burial->retry.reason);
        td_fifo_pop(&c->burials, 1);
    }
    td_fifo_fini(&c->burials);
    td_redriven_clear(c);
    td_settled_fini(&c->settled);
    td_counts_fini(&c->counts);
    td_group_free_fed(e, c->group);
    td_buf_fini(&c->text);
    free(c);
}

static void end_member(struct td_engine *e, struct td_sub *sub)
{
    td_gaps_tell_deleted(e, sub->session, sub->number);
    td_sub_end(e, sub, TD_DROP_UNSUBSCRIBED);
}

/* A reader ends with its member. */
void td_consumer_delete(struct td_engine *e, struct td_consumer *c)
{
    bool durable = td_consumer_is_durable(c);
    uint32_t id = td_consumer_is_kept(c) ? c->id : 0;

    forget_out(c);
    while (durable && c->group->members)
        end_member(e, c->group->members);
    if (!durable) {
        end_member(e, c->group->members);
        return;
    }
    td_consumer_free(e, c);
    if (id)
        td_commit_bury(e, false, id);
}
