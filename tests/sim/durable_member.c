/* Members of groups, and readers: what they are delivered, and what handlers
 * that take their time say of it. */
#include "tests/sim/durable_world.h"

#include <stdlib.h>
#include <string.h>

#define READER DUR_GROUPS

struct dur_sub *dur_sub_of(struct dur_client *client,
                           const struct td_csub *csub)
{
    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        if (client->subs[i].csub == csub)
            return &client->subs[i];
    }
    return NULL;
}

/* ---- subscribing ---- */

void dur_subscribe(struct dur_client *client, uint32_t stream, uint32_t group)
{
    struct dur *d = client->d;
    const struct dur_group *g = group < READER ? &d->groups[group] : NULL;
    bool newest = !g && sim_chance(&d->random, 500);
    bool pulls = g && sim_chance(&d->random, d->config.pulls);
    const struct tidings_sub_options options = {
        .window_events = d->config.window,
        .window_bytes = 2u << 20,
        .stream = d->streams[stream].name,
        .group = g ? g->name : NULL,
        .group_policy = g ? (enum tidings_group_policy)g->share : 0,
        .pull = pulls,
        .start = {.kind = newest ? TIDINGS_START_LAST : TIDINGS_START_ALL},
    };
    struct dur_sub *sub = dur_sub_of(client, NULL);

    if (!sub)
        return;
    memset(sub, 0, sizeof(*sub));
    if (td_client_subscribe(&client->c, &sub->csub, g ? g->pattern : ">",
                            &options)) {
        DUR_CHECK(d, false, "client %u cannot subscribe", client->index);
        return;
    }
    sub->stream = stream;
    sub->group = group;
    sub->newest = newest;
    sub->pulls = pulls;
    dur_say(d, "client %u subscribes to %s, group %s%s", client->index,
            options.stream, g ? g->name : "none", pulls ? ", pulls" : "");
}

static void forget_ended(struct dur_client *client)
{
    struct dur *d = client->d;

    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        struct td_csub *csub = client->subs[i].csub;

        if (!csub ||
            (csub->state != TD_CSUB_ENDED && csub->state != TD_CSUB_REFUSED))
            continue;
        DUR_CHECK(d, csub->state != TD_CSUB_REFUSED, "client %u is refused: %s",
                  client->index, csub->text);
        td_client_forget(&client->c, csub);
        client->subs[i].csub = NULL;
    }
}

static bool has_member(struct dur *d, uint32_t group)
{
    for (uint32_t i = 0; i < d->clients_len; i++) {
        for (uint32_t n = 0; n < DUR_SUBS && d->clients[i].up; n++) {
            const struct dur_sub *sub = &d->clients[i].subs[n];

            if (sub->csub && sub->group == group &&
                sub->csub->state != TD_CSUB_ENDING)
                return true;
        }
    }
    return false;
}

/* In the end each group has a member. */
static void fill_up(struct dur_client *client)
{
    struct dur *d = client->d;

    for (uint32_t g = 0; g < d->groups_len; g++) {
        if (!has_member(d, g))
            dur_subscribe(client, d->groups[g].stream, g);
    }
}

static void come_and_go(struct dur_client *client)
{
    struct dur *d = client->d;
    struct sim_random *r = &d->random;
    uint32_t slot = (uint32_t)sim_below(r, DUR_COMING);
    struct dur_sub *sub = &client->subs[slot];

    if (!sub->csub) {
        uint32_t group = (uint32_t)sim_below(r, d->groups_len + 1);

        if (group == d->groups_len)
            dur_subscribe(client, (uint32_t)sim_below(r, d->streams_len),
                          READER);
        else
            dur_subscribe(client, d->groups[group].stream, group);
    } else if (sim_chance(r, 200) && sub->csub->state != TD_CSUB_ENDING) {
        dur_say(d, "client %u unsubscribes", client->index);
        td_client_unsubscribe(&client->c, sub->csub);
    }
}

void dur_member_act(struct dur_client *client)
{
    struct dur *d = client->d;

    forget_ended(client);
    if (d->healing)
        fill_up(client);
    else if (sim_chance(&d->random, d->config.churn))
        come_and_go(client);
}

/* It is told of all that it has missed, unless it ends. */
bool dur_reader_waits(const struct dur_client *client)
{
    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        const struct dur_sub *sub = &client->subs[i];

        if (sub->csub && sub->csub->state == TD_CSUB_LIVE && sub->owed > 0)
            return true;
    }
    return false;
}

/* ---- receiving ---- */

void dur_work_begin(struct dur_client *client, struct dur_work *w)
{
    struct dur *d = client->d;
    struct sim_random *r = &d->random;
    const struct dur_group *g = &d->groups[w->group];
    const struct dur_event *event =
        dur_event_at(d, &d->streams[g->stream], w->sequence);

    w->due_ms = d->now_ms;
    w->lapsed = event && dur_has_expired(d, event);
    if (w->lapsed)
        dur_seen(d, DUR_SEEN_EXPIRES_ON_WAY);
    if (!d->healing)
        w->due_ms += sim_between(r, 0, d->config.handler_ms);
    if (!d->healing && sim_chance(r, d->config.lates))
        w->due_ms += g->ack_wait_ms;
}

static void add_work(struct dur_client *client, const struct dur_sub *sub,
                     uint64_t tag, uint64_t sequence)
{
    struct dur *d = client->d;
    const struct dur_event *event =
        dur_event_at(d, &d->streams[sub->stream], sequence);
    struct dur_work *w = sim_alloc(sizeof(*w));

    w->sub = sub->csub->number;
    w->session = client->c.incarnation;
    w->tag = tag;
    w->sequence = sequence;
    w->group = sub->group;
    w->key = event ? event->key : 0;
    w->waits = sub->pulls;
    w->due_ms = DUR_NEVER;
    if (!w->waits)
        dur_work_begin(client, w);
    DL_APPEND(client->work, w);
}

static void look_at_session(struct dur_client *client, struct dur_sub *sub)
{
    if (sub->session != client->c.incarnation)
        sub->skipped = sub->owed =
            0; /* it begins anew behind what it had, and is told */
    sub->session = client->c.incarnation;
}

void dur_skipped(struct dur_client *client, struct dur_sub *sub,
                 uint64_t events)
{
    look_at_session(client, sub);
    sub->skipped += events > sub->owed ? events - sub->owed : 0;
    sub->owed -= sub->owed < events ? sub->owed : events;
}

/* What was passed over since it had one, and should not have been. */
static uint64_t missed_by(struct dur *d, const struct dur_sub *sub,
                          uint64_t sequence)
{
    const struct dur_stream *s = &d->streams[sub->stream];
    uint64_t missed = 0;

    if (sub->newest && dur_may_vanish(s))
        return 0; /* a name whose last event is deleted is forgotten */
    for (uint64_t n = sub->last + 1; n < sequence; n++)
        missed += !dur_may_be_gone(d, s, n) &&
                  !dur_has_expired(d, dur_event_at(d, s, n)) &&
                  !(sub->newest && dur_newer(s, n) > 0);
    return missed;
}

/* A GAP may overtake what was on its way before; or be late, where many wait. */
static void read_one(struct dur_client *client, struct dur_sub *sub,
                     uint64_t sequence)
{
    struct dur *d = client->d;
    const char *name = d->streams[sub->stream].name;
    bool anew = d->cuts > 0 || d->streams[sub->stream].memory;
    uint64_t missed;

    dur_say(d, "client %u reads %llu of %s", client->index, (ull)sequence,
            name);
    look_at_session(client, sub);
    if (sub->epoch != client->c.epoch && anew)
        sub->last = 0; /* others may stand there now */
    sub->epoch = client->c.epoch;
    DUR_CHECK(d, sequence > sub->last,
              "client %u: a reader of %s has %llu after %llu", client->index,
              name, (ull)sequence, (ull)sub->last);
    missed = sub->last > 0 ? missed_by(d, sub, sequence) : 0;
    sub->last = sequence;
    sub->owed += missed > sub->skipped ? missed - sub->skipped : 0;
    sub->skipped -= missed < sub->skipped ? missed : sub->skipped;
}

void dur_take(struct dur_client *client, const struct td_delivery *one)
{
    struct dur *d = client->d;
    struct dur_sub *sub = dur_sub_of(client, one->sub);
    struct td_reader list = td_reader_of(one->spans.data, one->spans.len);
    uint64_t tag = one->tag;
    struct td_span span;
    uint32_t spans = 0;

    DUR_CHECK(d, sub, "a delivery for nobody");
    DUR_CHECK(d, td_read_array(&list, &spans), "bad spans");
    while (sub && spans-- > 0 && td_span_read(&list, &span)) {
        for (uint64_t n = 0; n < span.count; n++, tag++) {
            if (sub->group == READER)
                read_one(client, sub, span.sequence + n);
            else
                add_work(client, sub, tag, span.sequence + n);
        }
    }
    d->result->delivered += one->events;
    DUR_CHECK(d, tag == one->tag + one->events, "spans are of other events");
    if (sub && sub->group == READER)
        td_client_handled(&client->c, one->sub, client->c.incarnation,
                          one->events, one->body.len);
}

/* ---- handling ---- */

int64_t dur_work_ms(const struct dur_client *client)
{
    const struct dur_work *w;
    int64_t next = DUR_NEVER;

    DL_FOREACH(client->work, w)
    {
        next = w->due_ms < next ? w->due_ms : next;
    }
    return next;
}

static void work_free(struct dur_client *client, struct dur_work *w)
{
    DL_DELETE(client->work, w);
    free(w);
}

void dur_drop_work(struct dur_client *client)
{
    while (client->work)
        work_free(client, client->work);
}

static struct td_csub *csub_of(struct dur_client *client, uint32_t number)
{
    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        if (client->subs[i].csub && client->subs[i].csub->number == number)
            return client->subs[i].csub;
    }
    return NULL;
}

static void settle(struct dur_client *client, const struct dur_work *w,
                   enum td_verb verb)
{
    struct dur *d = client->d;
    struct sim_random *r = &d->random;
    struct td_csub *csub = csub_of(client, w->sub);
    struct dur_mark *mark = dur_mark(&d->groups[w->group], w->sequence);
    const struct td_settle how = {
        .verb = verb,
        .first = w->tag,
        .last = w->tag,
        .delay_ms = sim_chance(r, verb == TD_NAK    ? 300
                                  : verb == TD_PARK ? 950
                                                    : 0)
                        ? 1 + sim_below(r, 1500)
                        : 0,
        .reason = td_str_of(verb == TD_TERM ? "poison" : ""),
    };

    if (!csub || td_client_settle(&client->c, csub, w->session, &how))
        return;
    mark->acked = mark->acked || verb == TD_ACK;
    mark->termed = mark->termed || verb == TD_TERM;
    dur_seen(d, verb == TD_ACK    ? DUR_SEEN_ACKED
                : verb == TD_NAK  ? DUR_SEEN_NAKED
                : verb == TD_TERM ? DUR_SEEN_TERMED
                                  : DUR_SEEN_RELEASED);
}

/* What follows one that failed goes back, untouched: of its key, or all. */
static void give_back(struct dur_client *client, const struct dur_work *of,
                      bool all)
{
    struct dur_work *w;
    struct dur_work *next;

    DL_FOREACH_SAFE(client->work, w, next)
    {
        if (w == of || (w->key != of->key && !all) || w->sub != of->sub ||
            w->session != of->session || w->tag < of->tag)
            continue;
        settle(client, w, TD_RELEASE);
        work_free(client, w);
    }
}

static enum td_verb verdict(struct dur *d)
{
    const struct dur_config *cf = &d->config;
    uint64_t n = sim_below(&d->random, 1000);

    if (d->healing)
        return TD_ACK;
    if (n < cf->naks)
        return TD_NAK;
    if (n < cf->naks + cf->releases)
        return TD_RELEASE;
    if (n < cf->naks + cf->releases + cf->terms)
        return TD_TERM;
    if (n < cf->naks + cf->releases + cf->terms + cf->progresses)
        return TD_PROGRESS;
    if (sim_chance(&d->random, cf->parks))
        return TD_PARK;
    return TD_ACK;
}

static void handle(struct dur_client *client, struct dur_work *w)
{
    struct dur *d = client->d;
    enum td_verb verb = w->lapsed ? TD_ACK : verdict(d);
    struct td_csub *csub = csub_of(client, w->sub);

    if (verb == TD_PROGRESS) {
        if (csub && w->session == client->c.incarnation)
            td_client_progress(&client->c, csub, w->tag);
        w->due_ms =
            d->now_ms + 1 + sim_between(&d->random, 0, d->config.handler_ms);
        return;
    }
    settle(client, w, verb);
    if (!d->config.polite) /* what it has it handles */
        ;
    else if (verb == TD_PARK)
        give_back(client, w, true);
    else if (td_verb_comes_again(verb) && w->key > 0 &&
             d->groups[w->group].share == TD_BY_KEY)
        give_back(client, w, false);
    work_free(client, w);
}

static struct dur_work *due(struct dur_client *client)
{
    struct dur_work *w;

    DL_FOREACH(client->work, w)
    {
        if (!w->waits && (w->due_ms <= client->d->now_ms || client->d->healing))
            return w;
    }
    return NULL;
}

void dur_handle(struct dur_client *client)
{
    struct dur_work *w;

    while ((w = due(client)))
        handle(client, w);
}
