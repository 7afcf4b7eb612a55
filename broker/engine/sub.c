/* Subscriptions: their life. What bounds their queues is in group.c. */
#include "broker/engine/internal.h"

#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

struct td_sub *td_sub_find(struct td_session *s, uint64_t number)
{
    struct td_sub *sub;

    HASH_FIND(hh, s->subs, &number, sizeof(number), sub);
    return sub;
}

uint64_t td_sub_in_flight(const struct td_sub *sub)
{
    return sub->sent - sub->delivered;
}

bool td_sub_has_unsettled(const struct td_sub *sub)
{
    return sub->leases ? sub->leases->events > 0 : td_sub_in_flight(sub) > 0;
}

void td_sub_ready(struct td_engine *e, struct td_sub *sub)
{
    struct td_session *s = sub->session;

    if (!sub->ready)
        DL_APPEND2(s->ready, sub, ready_prev, ready_next);
    sub->ready = true;
    if (!s->queued)
        DL_APPEND2(e->ready, s, ready_prev, ready_next);
    s->queued = true;
}

/* ---- options ---- */

/* What a SUBSCRIBE asks for; what is left out has its default, and is not
 * compared with what a group has already. */
struct wish {
    struct td_str pattern;
    uint64_t events; /* first credit */
    uint64_t bytes;
    uint64_t queue_events;
    uint64_t queue_bytes;
    struct td_str policy;
    struct td_str group;
    struct td_str share;
};

static bool read_wish(struct wish *w, struct td_str options)
{
    return td_map_uint(options, "events", &w->events) &&
           td_map_uint(options, "bytes", &w->bytes) &&
           td_map_uint(options, "queue_events", &w->queue_events) &&
           td_map_uint(options, "queue_bytes", &w->queue_bytes) &&
           td_map_str(options, "policy", &w->policy) &&
           td_map_str(options, "group", &w->group) &&
           td_map_str(options, "group_policy", &w->share);
}

static int index_of(const char *const *names, int len, struct td_str name)
{
    for (int i = 0; i < len; i++) {
        if (strlen(names[i]) == name.len &&
            memcmp(names[i], name.data, name.len) == 0)
            return i;
    }
    return -1;
}

/* A text and *code when it cannot be. */
static const char *check_wish(const struct td_engine *e, const struct wish *w,
                              tidings_err *code)
{
    *code = TIDINGS_EINVAL;
    if (w->events < 1 || w->bytes < TD_EVENT_BYTES_MAX)
        return "events and bytes must allow at least one largest event";
    if (w->events > TD_QUEUE_EVENTS_MAX || w->bytes > TD_QUEUE_BYTES_MAX)
        return "events or bytes are more than a queue may hold";
    if (w->queue_events < 1 || w->queue_events > TD_QUEUE_EVENTS_MAX ||
        w->queue_bytes < 1 || w->queue_bytes > TD_QUEUE_BYTES_MAX)
        return "queue_events or queue_bytes out of range";
    if (w->group.data && !td_group_valid(w->group.data, w->group.len))
        return "not a group's name: 1 to 64 of A-Z a-z 0-9 _ . -";
    if (!w->group.data && w->share.data)
        return "group_policy without a group";
    *code = TIDINGS_ENOTSUP;
    if (w->policy.data && index_of(td_policy_names, TD_POLICIES, w->policy) < 0)
        return "policy is not known here; use block, drop_oldest or "
               "drop_newest";
    if (w->share.data && index_of(td_share_names, TD_SHARES, w->share) < 0)
        return "group_policy is not known here; use round_robin, random, "
               "least_pending, key or single";
    *code = TIDINGS_ELIMIT;
    if (w->queue_bytes > e->options.session_bytes)
        return "queue_bytes is more than the broker allows a session";
    *code = TIDINGS_OK;
    return "";
}

static void set_bounds(const struct td_engine *e, struct td_group *g,
                       const struct wish *w)
{
    g->queue_events_max = w->queue_events;
    g->queue_bytes_max = w->queue_bytes < e->options.session_bytes
                             ? w->queue_bytes
                             : e->options.session_bytes;
    if (w->policy.data)
        g->policy =
            (enum td_policy)index_of(td_policy_names, TD_POLICIES, w->policy);
    if (w->share.data)
        g->share = (enum td_share)index_of(td_share_names, TD_SHARES, w->share);
}

/* A member that comes later leaves what is the group's out, or repeats it. */
static const char *check_joining(const struct td_group *g,
                                 struct td_str options, const struct wish *w)
{
    uint64_t events = g->queue_events_max;
    uint64_t bytes = g->queue_bytes_max;

    td_map_uint(options, "queue_events", &events);
    td_map_uint(options, "queue_bytes", &bytes);
    if (w->policy.data &&
        index_of(td_policy_names, TD_POLICIES, w->policy) != (int)g->policy)
        return "the group has another policy";
    if (w->share.data &&
        index_of(td_share_names, TD_SHARES, w->share) != (int)g->share)
        return "the group has another group_policy";
    if (events != g->queue_events_max || bytes != g->queue_bytes_max)
        return "the group has other bounds of its queue";
    return NULL;
}

/* ---- subscribing ---- */

static struct td_sub *sub_new(struct td_session *s, uint64_t number,
                              const struct wish *w)
{
    struct td_sub *sub = calloc(1, sizeof(*sub));

    if (!sub)
        return NULL;
    sub->session = s;
    sub->number = number;
    sub->events_limit = sub->window_events = w->events;
    sub->bytes_limit = sub->window_bytes = w->bytes;
    HASH_ADD(hh, s->subs, number, sizeof(sub->number), sub);
    if (sub->hh_failed) {
        free(sub);
        return NULL;
    }
    return sub;
}

static const char *join(struct td_engine *e, struct td_session *s,
                        const struct td_frame *f, const struct wish *w,
                        tidings_err *code)
{
    struct td_str none = {"", 0};
    struct td_group *g =
        w->group.data ? td_group_find(e, w->pattern, w->group) : NULL;
    const char *differs =
        g ? check_joining(g, f->u.subscribe.options, w) : NULL;
    struct td_sub *sub;

    *code = TIDINGS_EINVAL;
    if (differs)
        return differs;
    *code = TIDINGS_ELIMIT;
    if (g && g->members_len >= TD_MEMBERS_MAX)
        return "the group has as many members as one may have";
    if (!g && e->trie.bytes >= TD_TRIE_BYTES_MAX)
        return "the patterns of all sessions are too long together";
    *code = TIDINGS_ENOMEM;
    sub = sub_new(s, f->u.subscribe.subscription, w);
    if (!sub)
        return "broker is out of memory";
    if (!g) {
        g = td_group_new(e, w->pattern, w->group.data ? w->group : none);
        if (g)
            set_bounds(e, g, w);
    }
    if (!g) {
        HASH_DELETE(hh, s->subs, sub);
        free(sub);
        return "broker is out of memory";
    }
    td_group_join(e, g, sub);
    s->patterns_bytes += g->pattern_len;
    e->subs_len++;
    *code = TIDINGS_OK;
    return "";
}

/* What holds for every subscription of a session. */
static const char *check_session(const struct td_engine *e,
                                 struct td_session *s, const struct td_frame *f,
                                 tidings_err *code)
{
    const struct td_str *pattern = &f->u.subscribe.pattern;

    *code = TIDINGS_EINVAL;
    if (f->u.subscribe.subscription == 0 ||
        f->u.subscribe.subscription > INT32_MAX)
        return "subscription number out of range";
    if (!td_pattern_valid(pattern->data, pattern->len))
        return "not a pattern";
    *code = TIDINGS_EEXIST;
    if (td_sub_find(s, f->u.subscribe.subscription))
        return "subscription number is in use";
    *code = TIDINGS_ELIMIT;
    if (HASH_COUNT(s->subs) >= TD_SUBSCRIPTIONS_MAX)
        return "too many subscriptions in this session";
    if (s->patterns_bytes + pattern->len > TD_PATTERNS_BYTES_MAX)
        return "the patterns of this session are too long together";
    if (e->subs_len >= TD_SUBSCRIPTIONS_ALL_MAX)
        return "too many subscriptions at this broker";
    *code = TIDINGS_OK;
    return "";
}

/* Of what is kept, not of what comes. */
static bool is_of_stream(const struct td_frame *f)
{
    struct td_str value;

    return td_map_find(f->u.subscribe.options, "stream", &value);
}

static const char *subscribe(struct td_engine *e, struct td_session *s,
                             const struct td_frame *f, tidings_err *code)
{
    struct wish w = {.pattern = f->u.subscribe.pattern,
                     .queue_events = TD_QUEUE_EVENTS,
                     .queue_bytes = e->options.session_bytes < TD_QUEUE_BYTES
                                        ? e->options.session_bytes
                                        : TD_QUEUE_BYTES};
    const char *text;

    *code = TIDINGS_EINVAL;
    if (!read_wish(&w, f->u.subscribe.options))
        return "an option is of another type";
    text = check_wish(e, &w, code);
    if (*code)
        return text;
    return join(e, s, f, &w, code);
}

void td_sub_subscribe(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f)
{
    tidings_err code;
    const char *text = check_session(e, s, f, &code);

    if (!code && is_of_stream(f))
        text = td_consume_subscribe(e, s, f, &code);
    else if (!code)
        text = subscribe(e, s, f, &code);
    if (!code && is_of_stream(f))
        td_consume_answer(e, s, f);
    else
        td_engine_reply(e, s, f->u.subscribe.request, code, text);
}

/* ---- the end ---- */

void td_sub_unsubscribe(struct td_engine *e, struct td_session *s,
                        const struct td_frame *f)
{
    struct td_sub *sub = td_sub_find(s, f->u.unsubscribe.subscription);

    if (sub) {
        struct td_group *g = sub->group;

        if (g->consumer && g->consumer->parks.fresh)
            td_deal_set_aside(e, g->consumer);
        if (g->name_len > 0 && g->members_len == 1)
            td_deal(e, g);
        /* What came before this, within its credit: no more is waited for. */
        sub->window_events = sub->window_bytes = 0;
        td_deliver(e, sub);
        if (g->members_len == 1 && !g->consumer)
            g->gap[TD_DROP_UNSUBSCRIBED] += td_group_waiting(g);
        td_gaps_tell(e, sub);
        td_sub_end(e, sub, TD_DROP_UNSUBSCRIBED);
    }
    td_engine_reply(e, s, f->u.unsubscribe.request,
                    sub ? TIDINGS_OK : TIDINGS_ENOTFOUND,
                    sub ? "" : "no such subscription in this session");
}

void td_sub_end(struct td_engine *e, struct td_sub *sub, enum td_drop why)
{
    if (sub->ready)
        DL_DELETE2(sub->session->ready, sub, ready_prev, ready_next);
    sub->ready = true; /* not again */
    sub->session->patterns_bytes -= sub->group->pattern_len;
    td_group_leave(e, sub->group, sub, why);
    td_queue_fini(&sub->own);
    td_queue_fini(&sub->flight);
    HASH_DELETE(hh, sub->session->subs, sub);
    e->subs_len--;
    free(sub);
}
