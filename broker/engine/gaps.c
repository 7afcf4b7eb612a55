/* Telling a subscriber of what was dropped, no faster than it reads. */
#include "broker/engine/internal.h"

#include "proto/plural.h"

/* GAP told to a session with nothing to deliver, and not known to be read. */
#define GAPS_OUT_MAX 64u

bool td_gaps_wait(const struct td_sub *sub)
{
    for (int why = 0; why < TD_DROPS; why++) {
        if (sub->group->gap[why] > 0)
            return true;
    }
    return false;
}

bool td_gaps_full(const struct td_session *s)
{
    return s->gaps_out - s->gaps_read >= GAPS_OUT_MAX;
}

/* One that nobody can answer who has not read it. */
static uint64_t make_token(struct td_engine *e)
{
    const struct td_port *port = &e->options.port;
    uint64_t token;

    if (!port->random || !port->random(port->ctx, &token, sizeof(token)))
        token = td_engine_random(e);
    return token >> 1; /* numbers on the wire have 63 bits */
}

/* Nothing counts the GAPs that were received, and what a peer says may have
 * been said before it was told of any. Its PONG to this was not. */
static void ask_if_read(struct td_engine *e, struct td_session *s)
{
    struct td_frame ping = {.op = TD_PING};

    if (s->gaps_asked > s->gaps_read ||
        s->gaps_out - s->gaps_read < GAPS_OUT_MAX / 2)
        return; /* it has been asked, or need not be yet */
    s->gaps_asked = s->gaps_out;
    ping.u.ping.token = s->gaps_token = make_token(e);
    td_engine_send(e, s, &ping, NULL);
}

void td_gaps_tell(struct td_engine *e, struct td_sub *sub)
{
    struct td_session *s = sub->session;
    uint64_t *gap = sub->group->gap;

    if (s->away || s->doomed)
        return; /* another member, or when it is back */
    for (int why = 0; why < TD_DROPS; why++) {
        struct td_frame f = {.op = TD_GAP};

        if (gap[why] == 0 || s->doomed)
            continue; /* what the link does not take is told when it is back */
        f.u.gap.subscription = sub->number;
        f.u.gap.events = gap[why];
        f.u.gap.reason = td_str_of(td_drop_names[why]);
        if (why != TD_DROP_UNSUBSCRIBED)
            td_log(&e->options.log, TD_LOG_WARN, "GAP",
                   "session %llu %s subscription %llu missed %llu %s: %s",
                   (unsigned long long)s->number, s->name,
                   (unsigned long long)sub->number,
                   (unsigned long long)gap[why],
                   td_plural(gap[why], "event", "events"), td_drop_names[why]);
        sub->gap_told += gap[why];
        sub->gap_last = (enum td_drop)why;
        gap[why] = 0;
        s->gaps_out++;
        td_engine_send(e, s, &f, NULL);
    }
    ask_if_read(e, s);
}

/* Of so many events; false: not now. */
static bool tell_reason(struct td_engine *e, struct td_sub *sub,
                        const struct td_lost *lost, const char *reason)
{
    struct td_session *s = sub->session;
    struct td_frame f = {.op = TD_GAP};

    if (s->away || s->doomed || td_gaps_full(s))
        return false;
    f.u.gap.subscription = sub->number;
    f.u.gap.events = lost->events;
    f.u.gap.reason = td_str_of(reason);
    f.u.gap.first = lost->first;
    f.u.gap.last = lost->last;
    sub->gap_told += lost->events;
    s->gaps_out++;
    td_engine_send(e, s, &f, NULL);
    ask_if_read(e, s);
    return true;
}

void td_gaps_tell_full(struct td_engine *e, struct td_sub *sub)
{
    const struct td_lost none = {0};

    tell_reason(e, sub, &none, "full");
}

bool td_gaps_tell_lost(struct td_engine *e, struct td_sub *sub,
                       const struct td_lost *lost)
{
    return tell_reason(e, sub, lost, lost->damaged ? "damaged" : "expired");
}

void td_gaps_tell_deleted(struct td_engine *e, struct td_session *s,
                          uint64_t subscription)
{
    struct td_frame f = {.op = TD_GAP};

    f.u.gap.subscription = subscription;
    f.u.gap.reason = td_str_of("deleted");
    td_engine_send(e, s, &f, NULL);
}

void td_gaps_pong(struct td_engine *e, struct td_session *s, uint64_t token)
{
    bool was_full = td_gaps_full(s);

    if (s->gaps_asked <= s->gaps_read || token != s->gaps_token)
        return; /* it was not asked, or has answered */
    s->gaps_read = s->gaps_asked;
    ask_if_read(e, s); /* more were told while it was asked */
    if (was_full)
        td_taken_wake_all(e, s);
}
