/* Sessions whose link is lost. For the grace time they keep their
 * subscriptions, what waits for those, and what was sent and not taken; a
 * HELLO with the session's token takes them up again (PROTOCOL.md 3). */
#include "broker/engine/internal.h"

#include <string.h>

void td_away_begin(struct td_engine *e, struct td_session *s)
{
    s->away = true; /* and still known by its peer, who may say goodbye */
    s->away_ms = e->now_ms;
    s->doomed = s->keeps = false;
    DL_APPEND2(e->away, s, away_prev, away_next);
    e->away_len++;
    td_session_owe_no_more(e, s);
    td_serving_leave(e, s); /* that lives as long as the link */
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        td_group_away(e, sub);
}

void td_away_tick(struct td_engine *e)
{
    while (e->away && e->now_ms - e->away->away_ms >= e->options.grace_ms) {
        struct td_session *s = e->away;

        if (s->doomed) /* already in this turn */
            return;
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ETIMEDOUT,
                        "it was away for too long");
        td_session_reap(e);
    }
}

/* ---- coming back ---- */

struct kept {
    uint64_t number;
    uint64_t received;
    uint64_t missed;
};

static bool read_kept(struct td_reader *list, struct kept *out)
{
    uint32_t fields;

    return td_read_array(list, &fields) && fields == 3 &&
           td_read_uint(list, &out->number) &&
           td_read_uint(list, &out->received) &&
           td_read_uint(list, &out->missed);
}

/* Whether it was a subscription of this session, which the broker has ended:
 * its group or stream was deleted. */
static bool has_been(const struct td_session *s, uint64_t number)
{
    return number > 0 && number <= s->streamed_last;
}

/* Whether all that the client claims can be; makes room for what goes back,
 * and marks what is listed. */
static bool check_list(struct td_session *s, struct td_reader list,
                       uint32_t rows)
{
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        sub->want = 0;
    while (rows-- > 0) {
        struct kept row;
        struct td_sub *sub;

        if (!read_kept(&list, &row))
            return false;
        sub = td_sub_find(s, row.number);
        if (!sub && has_been(s, row.number))
            continue;
        if (!sub || sub->want || row.received < sub->delivered ||
            row.received > sub->sent || row.received < sub->flight_first ||
            row.missed > sub->gap_told || row.missed < sub->gap_heard)
            return false;
        sub->want = 1;
        if (td_queue_reserve(sub->from, sub->flight.len + 1))
            return false;
    }
    return true;
}

/* What was sent and did not arrive is sent again. */
static void rewind_sub(struct td_engine *e, struct td_sub *sub,
                       const struct kept *row)
{
    if (sub->leases) /* while it is known what was sent */
        td_lease_rewind(e, sub, row->received);
    sub->sent_bytes -=
        td_queue_return(sub->from, &sub->flight, sub->sent - row->received);
    sub->sent = row->received;
    td_group_rewound(e, sub);
    if (sub->group->consumer)
        td_overtaken_tell_again(e, sub, sub->gap_told - row->missed);
    else
        sub->group->gap[sub->gap_last] += sub->gap_told - row->missed;
    sub->gap_told = sub->gap_heard = row->missed;
}

static void rewind_listed(struct td_engine *e, struct td_session *s,
                          struct td_reader list, uint32_t rows)
{
    struct kept row;

    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
        if (!sub->want)
            sub->events_limit = sub->sent; /* its client knows it no more */
    }
    while (rows-- > 0 && read_kept(&list, &row)) {
        struct td_sub *sub = td_sub_find(s, row.number);

        if (sub)
            rewind_sub(e, sub, &row);
    }
}

/* What was said of it while the link was lost was lost too. */
static void tell_deleted(struct td_engine *e, struct td_session *s,
                         struct td_reader list, uint32_t rows)
{
    struct kept row;

    while (rows-- > 0 && read_kept(&list, &row)) {
        if (!td_sub_find(s, row.number))
            td_gaps_tell_deleted(e, s, row.number);
    }
}

/* After the WELCOME: until then nothing may be sent, and now the session is
 * there for the groups that they leave. */
static void end_unlisted(struct td_engine *e, struct td_session *s)
{
    struct td_sub *sub;
    struct td_sub *next;

    HASH_ITER(hh, s->subs, sub, next)
    {
        if (!sub->want)
            td_sub_end(e, sub, TD_DROP_UNSUBSCRIBED);
    }
}

/* From its old link, if that is not known to be lost, to the new one. */
static void move_to(struct td_engine *e, struct td_session *s,
                    struct td_str peer)
{
    struct td_str old = {(const char *)s->peer, s->peer_len};

    if (s->away) {
        DL_DELETE2(e->away, s, away_prev, away_next);
        e->away_len--;
    } else {
        td_engine_bye(e, old, TIDINGS_EEXIST, "resumed over another link");
        td_session_owe_no_more(e, s);
        s->reason = "it came back over another link";
        td_serving_leave(e, s);
    }
    td_session_unlink(e, s);
    s->away = false;
    s->hh_failed = false;
    s->peer_len = peer.len;
    memcpy(s->peer, peer.data, peer.len);
    HASH_ADD(hh_peer, e->peers, peer, s->peer_len, s);
    s->linked = !s->hh_failed;
}

static void begin_again(struct td_engine *e, struct td_session *s)
{
    s->heard_ms = e->now_ms;
    s->events_in = s->bytes_in = 0;
    s->events_limit = s->bytes_limit = 0;
    s->messages_out = s->messages_seen = 0;
    s->gaps_out = s->gaps_asked = s->gaps_read = 0;
    e->counters.resumed++;
}

bool td_away_resume(struct td_engine *e, struct td_session *s,
                    struct td_str peer, const struct td_frame *hello,
                    struct td_str token)
{
    struct td_str raw;
    struct td_reader list;
    uint32_t rows;

    if (s->doomed || e->options.grace_ms <= 0 ||
        !td_producer_knows(s->producer, token) ||
        !td_map_find(hello->u.hello.options, "subscriptions", &raw))
        return false;
    list = td_reader_of(raw.data, raw.len);
    if (!td_read_array(&list, &rows) || rows > TD_SUBSCRIPTIONS_MAX ||
        !check_list(s, list, rows))
        return false;
    move_to(e, s, peer);
    if (s->hh_failed) { /* it is in no table of peers: as good as away */
        s->hh_failed = false;
        s->away = true;
        s->away_ms = e->now_ms;
        DL_APPEND2(e->away, s, away_prev, away_next);
        e->away_len++;
        td_engine_bye(e, peer, TIDINGS_ENOMEM, "broker is out of memory");
        return true;
    }
    td_producer_renew(e, s->producer, token);
    td_confirm_anew(e, s);
    begin_again(e, s);
    rewind_listed(e, s, list, rows);
    td_session_welcome(e, s, true);
    tell_deleted(e, s, list, rows);
    end_unlisted(e, s);
    td_advise_session(e, s, true, true);
    td_taken_wake_all(e, s);
    return true;
}
