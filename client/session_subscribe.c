/* Subscriptions: asked for, kept over links, ended. */
#include "client/session_internal.h"

#include "proto/type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- making one ---- */

static const char *const policy_names[] = {
    [TIDINGS_BLOCK] = "block",
    [TIDINGS_DROP_OLDEST] = "drop_oldest",
    [TIDINGS_DROP_NEWEST] = "drop_newest",
};

static const char *const group_policy_names[] = {
    [TIDINGS_ROUND_ROBIN] = "round_robin",
    [TIDINGS_RANDOM] = "random",
    [TIDINGS_LEAST_PENDING] = "least_pending",
    [TIDINGS_BY_KEY] = "key",
    [TIDINGS_SINGLE] = "single",
};

#define LEN(names) (sizeof(names) / sizeof(*(names)))

static bool are_valid(const struct tidings_sub_options *o)
{
    return (unsigned)o->policy < LEN(policy_names) &&
           (unsigned)o->group_policy < LEN(group_policy_names) &&
           (unsigned)o->start.kind <= TIDINGS_START_LAST &&
           (!o->group || td_group_valid(o->group, strlen(o->group))) &&
           (!o->stream || td_group_valid(o->stream, strlen(o->stream)));
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static void take_options(struct td_csub *sub,
                         const struct tidings_sub_options *o)
{
    sub->paced = o->group && o->stream && !o->pull && !o->window_events;
    sub->window_min = td_client_window_min(o->workers);
    sub->window_events = or_default(
        o->window_events, sub->paced ? sub->window_min : TD_WINDOW_EVENTS);
    sub->window_bytes = or_default(o->window_bytes, TD_WINDOW_BYTES);
    sub->queue_events = o->queue_events;
    sub->queue_bytes = o->queue_bytes;
    sub->policy = o->policy;
    sub->group_policy = o->group_policy;
    sub->weighed = o->group && !o->stream;
    sub->streamed = o->stream != NULL;
    sub->durable = o->group && o->stream;
    sub->pulls = o->pull;
    sub->start = o->start;
    if (o->group)
        snprintf(sub->group, sizeof(sub->group), "%s", o->group);
    if (o->stream)
        snprintf(sub->stream, sizeof(sub->stream), "%s", o->stream);
}

/* What the caller left out is left out here too: a group has it from its first
 * member, and otherwise the broker has the default. */
/* A reader that is begun anew goes on where it was. */
static struct tidings_start start_of(const struct td_csub *sub)
{
    struct tidings_start start = sub->start;

    if (!sub->durable && sub->position > 0) {
        start.kind = TIDINGS_START_SEQUENCE;
        start.sequence = sub->position;
    }
    return start;
}

static void pack_start(struct td_client *c, const struct tidings_start *start)
{
    switch (start->kind) {
    case TIDINGS_START_DEFAULT:
        break;
    case TIDINGS_START_NEW:
        td_client_option_str(c, "start", "new");
        break;
    case TIDINGS_START_ALL:
        td_client_option_str(c, "start", "all");
        break;
    case TIDINGS_START_SEQUENCE:
        td_client_option_uint(c, "start", start->sequence);
        break;
    case TIDINGS_START_TIME:
        td_client_option_str(c, "start", "time");
        td_client_option_int(c, "start_ms", start->time_ms);
        break;
    case TIDINGS_START_LAST:
        td_client_option_str(c, "start", "last");
        break;
    }
}

/* Of a stream: its group, if there is one, has the rest from its first
 * member. */
static void pack_streamed(struct td_client *c, const struct td_csub *sub)
{
    const struct tidings_start start = start_of(sub);
    bool deals = sub->durable && sub->group_policy != TIDINGS_ROUND_ROBIN;

    td_client_options_begin(c, 3u + sub->durable + deals +
                                   (start.kind != TIDINGS_START_DEFAULT) +
                                   (start.kind == TIDINGS_START_TIME));
    td_client_option_uint(c, "events", sub->pulls ? 0 : sub->window_events);
    td_client_option_uint(c, "bytes", sub->window_bytes);
    td_client_option_str(c, "stream", sub->stream);
    if (sub->durable)
        td_client_option_str(c, "group", sub->group);
    if (deals)
        td_client_option_str(c, "group_policy",
                             group_policy_names[sub->group_policy]);
    pack_start(c, &start);
}

static void pack_options(struct td_client *c, const struct td_csub *sub)
{
    bool grouped = *sub->group;
    bool deals = grouped && sub->group_policy != TIDINGS_ROUND_ROBIN;

    td_client_options_begin(c, 2u + !!sub->queue_events + !!sub->queue_bytes +
                                   (sub->policy != TIDINGS_BLOCK) + grouped +
                                   deals);
    td_client_option_uint(c, "events", sub->window_events);
    td_client_option_uint(c, "bytes", sub->window_bytes);
    if (sub->queue_events)
        td_client_option_uint(c, "queue_events", sub->queue_events);
    if (sub->queue_bytes)
        td_client_option_uint(c, "queue_bytes", sub->queue_bytes);
    if (sub->policy != TIDINGS_BLOCK)
        td_client_option_str(c, "policy", policy_names[sub->policy]);
    if (grouped)
        td_client_option_str(c, "group", sub->group);
    if (deals)
        td_client_option_str(c, "group_policy",
                             group_policy_names[sub->group_policy]);
}

static void send_subscribe(struct td_client *c, struct td_csub *sub)
{
    struct td_frame f = {.op = TD_SUBSCRIBE};

    sub->state = TD_CSUB_ASKED;
    sub->request = ++c->next_request;
    sub->received = sub->missed = 0;
    sub->taken = sub->taken_bytes = sub->told = sub->told_bytes = 0;
    sub->limit = sub->paced ? sub->window_events : 0;
    sub->paced_handled = 0;
    td_client_sub_dirty(c, sub, false);
    td_client_sub_settles(c, sub, false);
    td_settling_reset(&sub->settling);
    if (sub->streamed)
        pack_streamed(c, sub);
    else
        pack_options(c, sub);
    f.u.subscribe.request = sub->request;
    f.u.subscribe.subscription = sub->number;
    f.u.subscribe.pattern.data = sub->pattern;
    f.u.subscribe.pattern.len = sub->pattern_len;
    f.u.subscribe.options = td_client_scratch(c);
    td_client_send_scratch(c, &f);
}

static struct td_csub **bucket_of(struct td_client *c, uint64_t number)
{
    return &c->buckets[number % TD_SUB_BUCKETS];
}

void td_client_sub_dirty(struct td_client *c, struct td_csub *sub, bool dirty)
{
    if (sub->dirty == dirty)
        return;
    sub->dirty = dirty;
    if (dirty)
        DL_APPEND2(c->dirty, sub, dirty_prev, dirty_next);
    else
        DL_DELETE2(c->dirty, sub, dirty_prev, dirty_next);
}

tidings_err td_client_subscribe(struct td_client *c, struct td_csub **out,
                                const char *pattern,
                                const struct tidings_sub_options *options)
{
    size_t len = strlen(pattern);
    struct td_csub **bucket;
    struct td_csub *sub;

    if (!are_valid(options))
        return TIDINGS_EINVAL;
    if (c->subs_len >= TD_SUBSCRIPTIONS_MAX)
        return TIDINGS_ELIMIT;
    sub = calloc(1, sizeof(*sub) + len);
    if (!sub)
        return TIDINGS_ENOMEM;
    sub->number = ++c->next_sub;
    take_options(sub, options);
    sub->pattern_len = len;
    memcpy(sub->pattern, pattern, len);
    DL_APPEND(c->subs, sub);
    c->subs_len++;
    bucket = bucket_of(c, sub->number);
    sub->bucket_next = *bucket;
    *bucket = sub;
    if (c->state == TD_CLIENT_READY)
        send_subscribe(c, sub);
    *out = sub;
    return TIDINGS_OK;
}

/* ---- ending one ---- */

static void send_unsubscribe(struct td_client *c, struct td_csub *sub)
{
    struct td_frame f = {.op = TD_UNSUBSCRIBE};

    td_client_release(c, sub);
    td_client_send_settled(c);
    if (sub->dirty)
        td_client_send_credit(
            c); /* what was handled is to count as delivered */
    sub->state = TD_CSUB_ENDING;
    sub->request = ++c->next_request;
    f.u.unsubscribe.request = sub->request;
    f.u.unsubscribe.subscription = sub->number;
    td_client_send(c, &f, NULL);
}

/* Whether the HELLO that is out lists it. */
static bool is_listed(const struct td_client *c, const struct td_csub *sub)
{
    return c->state == TD_CLIENT_GREETING && c->resuming &&
           sub->state == TD_CSUB_AWAY;
}

void td_client_unsubscribe(struct td_client *c, struct td_csub *sub)
{
    if (c->state == TD_CLIENT_READY &&
        (sub->state == TD_CSUB_LIVE || sub->state == TD_CSUB_ASKED)) {
        send_unsubscribe(c, sub);
    } else if (is_listed(c, sub)) {
        sub->state = TD_CSUB_ENDING;
        sub->request = 0; /* the broker is told when it has it again */
    } else if (sub->state != TD_CSUB_ENDING) {
        sub->state = TD_CSUB_ENDED; /* with a session away, by not listing it */
    }
}

void td_client_sub_over(struct td_client *c, struct td_csub *sub)
{
    const struct td_client_port *port = &c->options.port;

    if (sub->state != TD_CSUB_LIVE)
        return;
    td_client_sub_dirty(c, sub, false);
    td_client_sub_settles(c, sub, false);
    td_settling_reset(&sub->settling);
    sub->state = TD_CSUB_REFUSED;
    sub->code = TIDINGS_ECLOSED;
    snprintf(sub->text, sizeof(sub->text), "its %s was deleted",
             sub->durable ? "group" : "stream");
    port->status(port->ctx, TIDINGS_REFUSED, sub->code, sub->text, sub, 0);
}

void td_client_forget(struct td_client *c, struct td_csub *sub)
{
    struct td_csub **at;

    /* The broker may be taking it up again at this moment, and nobody would be
     * left to end it: greet again, with a list that is without it. */
    if (is_listed(c, sub) ||
        (sub->state == TD_CSUB_ENDING && sub->request == 0))
        c->broken = true;
    td_client_sub_dirty(c, sub, false);
    td_client_sub_settles(c, sub, false);
    td_settling_fini(&sub->settling);
    for (at = bucket_of(c, sub->number); *at != sub;)
        at = &(*at)->bucket_next;
    *at = sub->bucket_next;
    DL_DELETE(c->subs, sub);
    c->subs_len--;
    free(sub);
}

/* ---- all of them ---- */

struct td_csub *td_client_sub_find(struct td_client *c, uint64_t number)
{
    struct td_csub *sub = *bucket_of(c, number);

    while (sub && sub->number != number)
        sub = sub->bucket_next;
    return sub;
}

static enum td_csub_state lost(const struct td_client *c,
                               const struct td_csub *sub)
{
    switch (sub->state) {
    case TD_CSUB_LIVE:
    case TD_CSUB_AWAY:
        return c->resumable ? TD_CSUB_AWAY : TD_CSUB_WANTED;
    case TD_CSUB_ASKED: /* if the broker has it, it is not listed and so ends */
        return TD_CSUB_WANTED;
    case TD_CSUB_ENDING:
        return TD_CSUB_ENDED;
    case TD_CSUB_WANTED:
    case TD_CSUB_REFUSED:
    case TD_CSUB_ENDED:
        break;
    }
    return sub->state;
}

void td_client_subs_lost(struct td_client *c)
{
    struct td_csub *sub;

    DL_FOREACH(c->subs, sub)
    {
        sub->state = lost(c, sub);
        td_client_sub_settles(c, sub, false);
    }
}

/* What was told of credit on the link before may not have arrived, so all of
 * it is told again. */
void td_client_subs_resumed(struct td_client *c)
{
    struct td_csub *sub;
    bool dirty = false;

    DL_FOREACH(c->subs, sub)
    {
        if (sub->state == TD_CSUB_AWAY)
            sub->state = TD_CSUB_LIVE;
        else if (sub->state != TD_CSUB_ENDING)
            continue;
        td_client_sub_dirty(c, sub, sub->taken > 0 || sub->limit > 0);
        dirty = dirty || sub->dirty;
    }
    td_client_settle_again(c);
    if (dirty)
        td_client_send_credit(c);
    DL_FOREACH(c->subs, sub)
    {
        if (sub->state == TD_CSUB_ENDING)
            send_unsubscribe(c, sub);
    }
}

void td_client_subs_anew(struct td_client *c)
{
    struct td_csub *sub;

    DL_FOREACH(c->subs, sub)
    {
        if (sub->state == TD_CSUB_AWAY)
            sub->state = TD_CSUB_WANTED;
        else if (sub->state == TD_CSUB_ENDING)
            sub->state = TD_CSUB_ENDED;
    }
}

void td_client_subs_ask(struct td_client *c)
{
    struct td_csub *sub;

    DL_FOREACH(c->subs, sub)
    {
        if (sub->state == TD_CSUB_WANTED)
            send_subscribe(c, sub);
    }
}

/* ---- answers ---- */

static bool is_text(struct td_str text, const char *name)
{
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

/* A durable group has its options from whoever began it. */
static void learn_group(struct td_csub *sub, struct td_str result)
{
    struct td_str policy = {"", 0};
    bool by_key;

    if (!sub->durable)
        return;
    td_map_uint(result, "ack_wait_ms", &sub->ack_wait_ms);
    td_map_str(result, "group_policy", &policy);
    by_key = is_text(policy, "key");
    if (by_key)
        sub->group_policy = TIDINGS_BY_KEY;
    sub->weighed = by_key || is_text(policy, "least_pending");
}

static void answered(struct td_client *c, struct td_csub *sub,
                     const struct td_frame *f)
{
    const struct td_client_port *port = &c->options.port;

    if (sub->state == TD_CSUB_ENDING) {
        sub->state = TD_CSUB_ENDED;
        return;
    }
    sub->code = (tidings_err)f->u.reply.code;
    snprintf(sub->text, sizeof(sub->text), "%.*s", (int)f->u.reply.text.len,
             f->u.reply.text.data);
    if (!sub->code) {
        learn_group(sub, f->u.reply.result);
        sub->state = TD_CSUB_LIVE;
        sub->renewing = true;
        return;
    }
    sub->state = TD_CSUB_REFUSED;
    if (sub->renewing)
        port->status(port->ctx, TIDINGS_REFUSED, sub->code, sub->text, sub, 0);
}

/* From the end: it is mostly the newest that waits for an answer. */
void td_client_subs_on_reply(struct td_client *c, const struct td_frame *f)
{
    struct td_csub *sub = c->subs ? c->subs->prev : NULL;

    for (; sub; sub = sub == c->subs ? NULL : sub->prev) {
        if (sub->request == f->u.reply.request &&
            (sub->state == TD_CSUB_ASKED || sub->state == TD_CSUB_ENDING)) {
            answered(c, sub, f);
            return;
        }
    }
}
