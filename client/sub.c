#include "client/sub.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "client/bus.h"
#include "client/detail.h"
#include "client/handle.h"
#include "client/parked.h"
#include "client/pull.h"
#include "proto/type.h"

#define WINDOW_BYTES_MIN (2u << 20) /* one event at its largest, and room */

static tidings_err check_bounds(const struct tidings_sub_options *o)
{
    if ((o->window_bytes && o->window_bytes < WINDOW_BYTES_MIN) ||
        o->window_bytes > TD_QUEUE_BYTES_MAX ||
        o->window_events > TD_QUEUE_EVENTS_MAX)
        return td_fail(TIDINGS_EINVAL,
                       "window of %zu events, %zu bytes; at most %u, and 2 "
                       "MiB to %u",
                       o->window_events, o->window_bytes, TD_QUEUE_EVENTS_MAX,
                       TD_QUEUE_BYTES_MAX);
    if (o->queue_events > TD_QUEUE_EVENTS_MAX ||
        o->queue_bytes > TD_QUEUE_BYTES_MAX)
        return td_fail(TIDINGS_EINVAL,
                       "queue of %zu events, %zu bytes; at "
                       "most %u and %u",
                       o->queue_events, o->queue_bytes, TD_QUEUE_EVENTS_MAX,
                       TD_QUEUE_BYTES_MAX);
    return TIDINGS_OK;
}

static tidings_err check_choice(const char *what, unsigned value, unsigned last)
{
    if (value <= last)
        return TIDINGS_OK;
    return td_fail(TIDINGS_EINVAL, "%s is %u; none of its names", what, value);
}

tidings_err td_start_check(const struct tidings_start *start)
{
    tidings_err err = check_choice("start", start->kind, TIDINGS_START_LAST);

    if (!err && start->kind == TIDINGS_START_SEQUENCE &&
        (start->sequence == 0 || start->sequence > INT64_MAX))
        return td_fail(TIDINGS_EINVAL, "start at sequence %llu; from 1",
                       (unsigned long long)start->sequence);
    return err;
}

tidings_err td_sub_check(const struct tidings_sub_options *o)
{
    tidings_err err = check_bounds(o);

    if (!err)
        err = check_choice("policy", o->policy, TIDINGS_DROP_NEWEST);
    if (!err)
        err = check_choice("group_policy", o->group_policy, TIDINGS_SINGLE);
    if (!err)
        err = check_choice("order", o->order, TIDINGS_ANY_ORDER);
    if (err)
        return err;
    if (o->group && !td_group_valid(o->group, strlen(o->group)))
        return td_fail(TIDINGS_EINVAL,
                       "group \"%.70s\": a name is 1 to %u of [A-Za-z0-9_.-]",
                       o->group, TD_GROUP_BYTES_MAX);
    if (o->stream && !td_group_valid(o->stream, strlen(o->stream)))
        return td_fail(TIDINGS_EINVAL,
                       "stream \"%.70s\": a name is 1 to %u of [A-Za-z0-9_.-]",
                       o->stream, TD_STREAM_NAME_BYTES_MAX);
    err = td_start_check(&o->start);
    if (err)
        return err;
    if (!o->stream && o->start.kind != TIDINGS_START_DEFAULT)
        return td_fail(TIDINGS_EINVAL, "start is for a stream: name one");
    if (o->progress && !(o->stream && o->group))
        return td_fail(TIDINGS_EINVAL,
                       "progress is for a durable group: name its stream and "
                       "the group");
    if (o->breaker && !(o->stream && o->group))
        return td_fail(TIDINGS_EINVAL,
                       "breaker is for a durable group: name its stream and "
                       "the group");
    if (o->pull && !o->stream)
        return td_fail(TIDINGS_EINVAL, "pull is for a stream: name one");
    if (o->pull &&
        (o->workers || o->handler_timeout_ms || o->progress || o->breaker))
        return td_fail(TIDINGS_EINVAL,
                       "workers, handler_timeout_ms, progress and breaker are "
                       "for handlers: not with pull");
    if (o->workers > TD_WORKERS_MAX)
        return td_fail(TIDINGS_EINVAL, "%u workers; at most %u", o->workers,
                       TD_WORKERS_MAX);
    if (o->handler_timeout_ms < 0 ||
        o->handler_timeout_ms > TIDINGS_TIMEOUT_MAX_MS)
        return td_fail(TIDINGS_EINVAL, "handler_timeout_ms is %d; 0 to %d",
                       o->handler_timeout_ms, TIDINGS_TIMEOUT_MAX_MS);
    return TIDINGS_OK;
}

/* Whether events of a key are handled in order, if its group is dealt by key:
 * the broker says so when it has it. */
static bool keeps_keys(const struct tidings_sub_options *o)
{
    return o->group && o->stream && !o->pull &&
           (o->workers == 0 || o->order == TIDINGS_KEY_ORDER);
}

struct td_bus_sub *td_bus_sub_new(tidings_handler handler, void *arg,
                                  const struct tidings_sub_options *options)
{
    struct td_bus_sub *sub = calloc(1, sizeof(*sub));

    if (!sub)
        return NULL;
    sub->refs = 1;
    sub->handler = handler;
    sub->arg = arg;
    sub->on_gap = options->on_gap;
    sub->timeout_ms = options->handler_timeout_ms;
    sub->alone = !options->group && !options->stream;
    sub->streamed = options->stream != NULL;
    sub->durable = options->group && options->stream;
    sub->breaker = options->breaker;
    sub->progress = sub->durable && options->progress;
    sub->by_key = options->group_policy == TIDINGS_BY_KEY;
    if (options->pull)
        sub->pull = td_pull_new();
    if (keeps_keys(options))
        sub->parked = td_parked_new();
    if ((options->pull && !sub->pull) ||
        (keeps_keys(options) && !sub->parked)) {
        td_bus_sub_unref(sub);
        return NULL;
    }
    return sub;
}

struct td_bus_sub *td_bus_sub_ref(struct td_bus_sub *sub)
{
    sub->refs++;
    return sub;
}

void td_bus_sub_unref(struct td_bus_sub *sub)
{
    if (!sub || --sub->refs > 0)
        return;
    td_seen_fini(&sub->seen);
    td_parked_free(sub->parked);
    td_pull_free(sub->pull);
    free(sub);
}

struct td_bus_sub *td_bus_sub_find(struct td_bus *b, uint32_t number)
{
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        if (sub->number == number)
            return sub;
    }
    return NULL;
}

tidings_sub *td_bus_sub_handle(struct td_bus *b, const struct td_bus_sub *sub)
{
    return sub ? td_handle_sub(b->handle, sub->number) : NULL;
}

uint64_t td_bus_sub_seen(struct td_bus_sub *sub, struct td_str producer,
                         const struct td_run *run)
{
    if (!sub->alone)
        return 0;
    return td_seen_before(&sub->seen, (const uint8_t *)producer.data,
                          run->first, run->count);
}
