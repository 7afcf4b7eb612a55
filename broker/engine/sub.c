/* Subscriptions: their life, and the bounds of their queues. */
#include "broker/engine/internal.h"

#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

const char *const td_drop_names[TD_DROPS] = {
#define TD_DROP_NAME(name, text) text,
    TD_DROP_MAP(TD_DROP_NAME)
#undef TD_DROP_NAME
};

static void reply(struct td_engine *e, struct td_session *s, uint64_t request,
                  tidings_err code, const char *text)
{
    const struct td_frame f = {
        .op = TD_REPLY,
        .u.reply = {.request = request,
                    .code = code,
                    .text = td_str_of(text),
                    .result = td_nil},
    };

    td_engine_send(e, s, &f, NULL);
}

static struct td_sub *sub_find(struct td_session *s, uint64_t number)
{
    struct td_sub *sub;

    HASH_FIND(hh, s->subs, &number, sizeof(number), sub);
    return sub;
}

/* ---- subscribing ---- */

/* Reads the options into sub; a text and *code when it cannot be. */
static const char *read_options(struct td_sub *sub, struct td_str options,
                                tidings_err *code)
{
    struct td_str policy = td_str_of("block");

    *code = TIDINGS_EINVAL;
    sub->queue_events_max = TD_QUEUE_EVENTS;
    sub->queue_bytes_max = TD_QUEUE_BYTES;
    if (!td_map_uint(options, "events", &sub->events_limit) ||
        !td_map_uint(options, "bytes", &sub->bytes_limit) ||
        !td_map_uint(options, "queue_events", &sub->queue_events_max) ||
        !td_map_uint(options, "queue_bytes", &sub->queue_bytes_max) ||
        !td_map_str(options, "policy", &policy))
        return "an option is of another type";
    if (sub->events_limit < 1 || sub->bytes_limit < TD_EVENT_BYTES_MAX)
        return "events and bytes must allow at least one largest event";
    if (sub->events_limit > TD_QUEUE_EVENTS_MAX ||
        sub->bytes_limit > TD_QUEUE_BYTES_MAX)
        return "events or bytes are more than a queue may hold";
    if (sub->queue_events_max < 1 ||
        sub->queue_events_max > TD_QUEUE_EVENTS_MAX ||
        sub->queue_bytes_max < 1 || sub->queue_bytes_max > TD_QUEUE_BYTES_MAX)
        return "queue_events or queue_bytes out of range";
    sub->window_events = sub->events_limit;
    sub->window_bytes = sub->bytes_limit;
    *code = TIDINGS_ENOTSUP;
    if (policy.len != 5 || memcmp(policy.data, "block", 5) != 0)
        return "policy is not known here; use block";
    *code = TIDINGS_OK;
    return "";
}

static tidings_err sub_add(struct td_engine *e, struct td_session *s,
                           struct td_sub *sub)
{
    HASH_ADD(hh, s->subs, number, sizeof(sub->number), sub);
    if (sub->hh_failed)
        return TIDINGS_ENOMEM;
    if (td_trie_add(&e->trie, &sub->entry, sub->pattern, sub->pattern_len)) {
        HASH_DELETE(hh, s->subs, sub);
        return TIDINGS_ENOMEM;
    }
    td_routes_changed(&e->routes);
    e->subs_len++;
    return TIDINGS_OK;
}

static const char *subscribe(struct td_engine *e, struct td_session *s,
                             const struct td_frame *f, tidings_err *code)
{
    struct td_str pattern = f->u.subscribe.pattern;
    struct td_sub *sub = NULL;
    const char *text;

    *code = TIDINGS_EINVAL;
    if (f->u.subscribe.subscription == 0 ||
        f->u.subscribe.subscription > INT32_MAX)
        return "subscription number out of range";
    if (!td_pattern_valid(pattern.data, pattern.len))
        return "not a pattern";
    *code = TIDINGS_EEXIST;
    if (sub_find(s, f->u.subscribe.subscription))
        return "subscription number is in use";
    *code = TIDINGS_ELIMIT;
    if (HASH_COUNT(s->subs) >= TD_SUBSCRIPTIONS_MAX)
        return "too many subscriptions in this session";

    sub = calloc(1, sizeof(*sub) + pattern.len);
    *code = TIDINGS_ENOMEM;
    if (!sub)
        return "broker is out of memory";
    sub->session = s;
    sub->number = f->u.subscribe.subscription;
    sub->pattern_len = pattern.len;
    memcpy(sub->pattern, pattern.data, pattern.len);
    text = read_options(sub, f->u.subscribe.options, code);
    if (!*code) {
        *code = sub_add(e, s, sub);
        text = *code ? "broker is out of memory" : "";
    }
    if (*code)
        free(sub);
    return text;
}

void td_sub_subscribe(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f)
{
    tidings_err code;
    const char *text = subscribe(e, s, f, &code);

    reply(e, s, f->u.subscribe.request, code, text);
}

void td_sub_unsubscribe(struct td_engine *e, struct td_session *s,
                        const struct td_frame *f)
{
    struct td_sub *sub = sub_find(s, f->u.unsubscribe.subscription);

    if (sub) {
        td_deliver(e, sub); /* what came before this, within its credit */
        sub->gap[TD_DROP_UNSUBSCRIBED] += sub->queue.events;
        td_deliver_gaps(e, sub);
        td_sub_end(e, sub, TD_DROP_UNSUBSCRIBED);
    }
    reply(e, s, f->u.unsubscribe.request, sub ? TIDINGS_OK : TIDINGS_ENOTFOUND,
          sub ? "" : "no such subscription in this session");
}

/* ---- holding publishers back ---- */

static struct td_sub *sub_of_hold(struct td_hold *hold)
{
    return (struct td_sub *)((char *)hold - offsetof(struct td_sub, hold));
}

static void hold_begin(struct td_engine *e, struct td_sub *sub)
{
    sub->hold.number = ++e->next_hold;
    sub->hold.hh_failed = false;
    HASH_ADD(hh, e->holds, number, sizeof(sub->hold.number), &sub->hold);
    if (sub->hold.hh_failed)
        return; /* no memory to wait with: it will drop instead */
    td_block_begin(&sub->block, e->now_ms);
    td_log(&e->options.log, TD_LOG_DEBUG, "BLOCK",
           "session %llu subscription %llu holds its publishers back",
           (unsigned long long)sub->session->number,
           (unsigned long long)sub->number);
}

static void hold_end(struct td_engine *e, struct td_sub *sub)
{
    if (!sub->block.blocking)
        return;
    td_block_end(&sub->block, e->now_ms);
    HASH_DELETE(hh, e->holds, &sub->hold);
    e->hold_ended = true;
}

void td_sub_eased(struct td_engine *e, struct td_sub *sub)
{
    if (sub->queue.events <= sub->queue_events_max / 2 &&
        sub->queue.bytes <= sub->queue_bytes_max / 2)
        hold_end(e, sub);
}

static void drop(struct td_engine *e, struct td_sub *sub, enum td_drop why,
                 uint64_t events, uint64_t bytes)
{
    uint64_t n = td_queue_drop(&sub->queue, events, bytes);

    if (n == 0)
        return;
    if (sub->gap[why] == 0) /* how many in all is said when it is told */
        td_log(&e->options.log, TD_LOG_WARN, "DROP",
               "session %llu %s subscription %llu drops events: %s",
               (unsigned long long)sub->session->number, sub->session->name,
               (unsigned long long)sub->number, td_drop_names[why]);
    sub->ledger.dropped[why] += n;
    sub->gap[why] += n;
    td_sub_ready(e, sub); /* to be told */
    td_sub_eased(e, sub);
}

static void drop_to_half(struct td_engine *e, struct td_sub *sub)
{
    drop(e, sub, TD_DROP_SLOW, sub->queue_events_max / 2,
         sub->queue_bytes_max / 2);
}

void td_sub_forgive_holds(struct td_engine *e, int64_t pause_ms)
{
    struct td_hold *hold;
    struct td_hold *after;

    HASH_ITER(hh, e->holds, hold, after)
    {
        td_block_forgive(&sub_of_hold(hold)->block, pause_ms);
    }
}

int64_t td_sub_tick_holds(struct td_engine *e)
{
    struct td_hold *hold;
    struct td_hold *after;
    int64_t next = TD_NEVER;

    HASH_ITER(hh, e->holds, hold, after)
    {
        struct td_sub *sub = sub_of_hold(hold);
        int64_t left = td_block_left(&sub->block, e->now_ms);

        if (left == 0) {
            hold_end(e, sub);
            drop_to_half(e, sub);
        } else if (e->now_ms + left < next) {
            next = e->now_ms + left;
        }
    }
    return next;
}

/* ---- queueing ---- */

static bool is_over(const struct td_sub *sub)
{
    return sub->queue.events > sub->queue_events_max ||
           sub->queue.bytes > sub->queue_bytes_max;
}

void td_sub_ready(struct td_engine *e, struct td_sub *sub)
{
    if (sub->ready)
        return;
    sub->ready = true;
    DL_APPEND2(e->ready, sub, ready_prev, ready_next);
}

void td_sub_lose(struct td_engine *e, struct td_sub *sub, uint64_t events)
{
    sub->ledger.matched += events;
    sub->ledger.dropped[TD_DROP_MEMORY] += events;
    sub->gap[TD_DROP_MEMORY] += events;
    td_sub_ready(e, sub);
}

void td_sub_push(struct td_engine *e, struct td_sub *sub,
                 struct td_session *from, struct td_item *item)
{
    if (td_queue_push(&sub->queue, item)) {
        td_sub_lose(e, sub, item->batch.events);
        return;
    }
    sub->ledger.matched += item->batch.events;
    td_sub_ready(e, sub);
    if (is_over(sub))
        td_deliver(e, sub); /* perhaps it only waits for the turn's end */
    if (!is_over(sub))
        return;
    if (!sub->block.blocking && td_block_left(&sub->block, e->now_ms) > 0)
        hold_begin(e, sub);
    if (sub->block.blocking)
        td_session_hold(e, from, sub->hold.number);
    else
        drop_to_half(e, sub);
}

static struct td_sub *largest(struct td_engine *e)
{
    struct td_sub *found = NULL;

    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
            if (!found || sub->queue.bytes > found->queue.bytes)
                found = sub;
        }
    }
    return found && found->queue.bytes > 0 ? found : NULL;
}

void td_sub_keep_memory(struct td_engine *e)
{
    while (e->held_bytes > e->options.memory_bytes) {
        struct td_sub *sub = largest(e);

        if (!sub)
            return;
        drop(e, sub, TD_DROP_MEMORY, sub->queue.events, sub->queue.bytes / 2);
    }
}

/* ---- the end ---- */

uint64_t td_sub_pending(const struct td_sub *sub)
{
    return sub->queue.events + sub->sent - sub->ledger.delivered;
}

void td_sub_end(struct td_engine *e, struct td_sub *sub, enum td_drop why)
{
    sub->ledger.dropped[why] += td_sub_pending(sub);
    td_ledger_add(&e->counters.gone, &sub->ledger);
    hold_end(e, sub);
    if (sub->ready)
        DL_DELETE2(e->ready, sub, ready_prev, ready_next);
    td_trie_remove(&e->trie, &sub->entry);
    td_routes_changed(&e->routes);
    td_queue_fini(&sub->queue);
    HASH_DELETE(hh, sub->session->subs, sub);
    e->subs_len--;
    free(sub);
}
