/* Members that pull: what has arrived waits until it is fetched. Meanwhile the
 * broker is told that it is in hand; and it goes back when nobody fetches, or
 * when the broker cannot have been told, as in client/progress.c. */
#include "tests/sim/durable_world.h"

#include <stdlib.h>

/* ---- what waits ---- */

static void drop(struct dur_client *client, struct dur_work *w)
{
    DL_DELETE(client->work, w);
    free(w);
}

static bool waits_for(const struct dur_work *w, const struct dur_sub *sub)
{
    return w->waits && w->sub == sub->csub->number;
}

static bool is_over(struct dur_client *client, const struct dur_work *w)
{
    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        const struct dur_sub *sub = &client->subs[i];

        if (sub->csub && sub->pulls && waits_for(w, sub))
            return w->session != client->c.incarnation ||
                   sub->csub->state == TD_CSUB_ENDING ||
                   sub->csub->state == TD_CSUB_ENDED;
    }
    return true;
}

/* What was delivered in a session that is over is delivered again. */
static void drop_over(struct dur_client *client)
{
    struct dur_work *w;
    struct dur_work *next;

    DL_FOREACH_SAFE(client->work, w, next)
    {
        if (w->waits && is_over(client, w))
            drop(client, w);
    }
}

static uint64_t waiting(const struct dur_client *client,
                        const struct dur_sub *sub)
{
    const struct dur_work *w;
    uint64_t events = 0;

    DL_FOREACH(client->work, w)
    {
        events += waits_for(w, sub);
    }
    return events;
}

/* ---- fetching ---- */

static void take(struct dur_client *client, struct dur_sub *sub)
{
    struct dur_work *w;

    sub->fetched_ms = client->d->now_ms;
    DL_FOREACH(client->work, w)
    {
        if (sub->asked == 0)
            break;
        if (!waits_for(w, sub))
            continue;
        td_client_settle_later(&client->c, sub->csub, w->session, w->tag,
                               w->tag);
        w->waits = false;
        dur_work_begin(client, w);
        dur_seen(client->d, DUR_SEEN_FETCHED);
        sub->asked--;
    }
}

/* A call has its turn, and so has one that comes after it. */
void dur_fetch_act(struct dur_client *client)
{
    struct sim_random *r = &client->d->random;

    drop_over(client);
    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        struct dur_sub *sub = &client->subs[i];

        if (!sub->csub || !sub->pulls ||
            !sim_chance(r, client->d->config.fetches))
            continue;
        take(client, sub);
        sub->asked = sim_below(r, 20);
    }
}

static void ask(struct dur_client *client, struct dur_sub *sub)
{
    uint64_t left;

    if (client->d->healing) { /* all calls have their turns at once */
        sub->asked = 1000;
        take(client, sub);
    }
    left = waiting(client, sub);
    if (left == 0)
        sub->fetched_ms = client->d->now_ms; /* nobody is late */
    td_client_want(&client->c, sub->csub,
                   sub->asked > left ? sub->asked - left : 0);
}

/* ---- what is in hand ---- */

static void give_back(struct dur_client *client, struct dur_sub *sub,
                      uint64_t last)
{
    struct dur_work *w;
    struct dur_work *next;

    td_client_give_back(&client->c, sub->csub, last, NULL, 0);
    DL_FOREACH_SAFE(client->work, w, next)
    {
        if (!waits_for(w, sub) || w->session != client->c.incarnation ||
            w->tag > last)
            continue;
        dur_seen(client->d, DUR_SEEN_GIVEN_BACK);
        drop(client, w);
    }
}

/* The broker was told of all that was here then: since when it has surely not
 * waited for it, and for what came later. */
static void look_if_late(struct dur_client *client, struct dur_sub *sub)
{
    int64_t now_ms = client->d->now_ms;
    int64_t wait_ms = (int64_t)sub->csub->ack_wait_ms;
    int64_t since_ms = now_ms - sub->held_ms;

    if (sub->held && since_ms >= wait_ms)
        give_back(client, sub,
                  sub->csub->state == TD_CSUB_AWAY &&
                          since_ms >= wait_ms + wait_ms / 3 + 1
                      ? sub->csub->received
                      : sub->held);
    if (now_ms - sub->fetched_ms >= wait_ms)
        give_back(client, sub, sub->csub->received);
}

static void hold(struct dur_client *client, struct dur_sub *sub)
{
    struct dur *d = client->d;

    if (sub->hold_ms > d->now_ms)
        return;
    sub->hold_ms = d->now_ms + 1 + (int64_t)sub->csub->ack_wait_ms / 3;
    if (sub->csub->ack_wait_ms == 0)
        return;
    look_if_late(client, sub);
    if (sub->csub->state != TD_CSUB_LIVE)
        return;
    if (waiting(client, sub) > 0)
        dur_seen(d, DUR_SEEN_HELD);
    td_client_hold(&client->c, sub->csub, NULL, 0);
    sub->held_ms = d->now_ms;
    sub->held = sub->csub->received;
}

/* The broker has taken these away: it was not told in time. */
void dur_fetch_lost(struct dur_client *client, const struct td_csub *csub,
                    uint64_t last)
{
    struct dur_sub *sub = dur_sub_of(client, csub);

    if (sub && sub->pulls)
        sub->lost = last;
}

/* In a new session nothing of it is known; and over a new link it is said at
 * once. */
static void look_at_link(struct dur_client *client, struct dur_sub *sub)
{
    if (sub->session != client->c.incarnation)
        sub->held = sub->lost = 0;
    if (sub->connects != client->c.connects)
        sub->hold_ms = 0;
    sub->session = client->c.incarnation;
    sub->connects = client->c.connects;
}

void dur_fetch(struct dur_client *client)
{
    drop_over(client);
    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        struct dur_sub *sub = &client->subs[i];

        if (!sub->csub || !sub->pulls || sub->csub->state == TD_CSUB_ENDING)
            continue;
        look_at_link(client, sub);
        if (sub->lost) {
            dur_seen(client->d, DUR_SEEN_HELD_LOST);
            give_back(client, sub, sub->lost);
            sub->lost = 0;
        }
        hold(client, sub);
        ask(client, sub);
    }
}

int64_t dur_fetch_ms(const struct dur_client *client)
{
    int64_t next = DUR_NEVER;

    for (uint32_t i = 0; i < DUR_SUBS; i++) {
        const struct dur_sub *sub = &client->subs[i];

        if (sub->csub && sub->pulls && sub->csub->state != TD_CSUB_ENDING &&
            sub->hold_ms < next)
            next = sub->hold_ms;
    }
    return next;
}
