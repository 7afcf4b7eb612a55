/* Sessions whose link is lost. For the grace time they keep their
 * subscriptions, what waits for those, and what was sent and not taken; a
 * HELLO with the session's token takes them up again (PROTOCOL.md 3). */
#include "broker/engine/internal.h"

#include <string.h>

void td_away_begin(struct td_engine *e, struct td_session *s)
{
    HASH_DELETE(hh_peer, e->peers, s);
    s->away = true;
    s->away_ms = e->now_ms;
    s->doomed = s->keeps = false;
    DL_APPEND2(e->away, s, away_prev, away_next);
    e->away_len++;
    td_session_owe_no_more(e, s);
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        td_group_pass_hold(e, sub->group, NULL);
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

static bool is_same(const uint8_t *a, const char *b, size_t len)
{
    uint8_t differs = 0; /* in constant time: it is a secret */

    for (size_t i = 0; i < len; i++)
        differs |= a[i] ^ (uint8_t)b[i];
    return differs == 0;
}

static bool has_its_token(const struct td_session *s)
{
    return s->heard_ms > s->welcomed_ms;
}

/* The WELCOME with its token may have been lost: then it has the one before. */
static bool is_token(const struct td_session *s, struct td_str token)
{
    return token.len == TD_TOKEN_BYTES &&
           (is_same(s->token, token.data, token.len) ||
            (!has_its_token(s) &&
             is_same(s->token_before, token.data, token.len)));
}

/* A client that showed the one before may have the next already: it stays. */
static void change_token(struct td_engine *e, struct td_session *s,
                         struct td_str shown)
{
    const struct td_port *port = &e->options.port;
    uint8_t token[TD_TOKEN_BYTES];

    if (!is_same(s->token, shown.data, shown.len) ||
        !port->random(port->ctx, token, sizeof(token)))
        return;
    memcpy(s->token_before, s->token, sizeof(token));
    memcpy(s->token, token, sizeof(token));
}

/* Whether all that the client claims can be; makes room for what goes back. */
static bool check_list(struct td_session *s, struct td_reader list,
                       uint32_t rows)
{
    while (rows-- > 0) {
        struct kept row;
        struct td_sub *sub;

        if (!read_kept(&list, &row))
            return false;
        sub = td_sub_find(s, row.number);
        if (!sub || row.received < sub->delivered || row.received > sub->sent ||
            row.received < sub->flight_first || row.missed > sub->gap_told)
            return false;
        if (td_queue_reserve(sub->from, sub->flight.len + 1))
            return false;
    }
    return true;
}

/* What was sent and did not arrive is sent again. A row that came twice finds
 * nothing left to do. */
static void rewind_sub(struct td_sub *sub, const struct kept *row)
{
    sub->want = 1; /* it is listed */
    if (row->received > sub->sent || row->missed > sub->gap_told)
        return;
    sub->sent_bytes -=
        td_queue_return(sub->from, &sub->flight, sub->sent - row->received);
    sub->sent = row->received;
    sub->group->gap[sub->gap_last] += sub->gap_told - row->missed;
    sub->gap_told = row->missed;
}

static void rewind_listed(struct td_session *s, struct td_reader list,
                          uint32_t rows)
{
    struct kept row;

    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        sub->want = 0;
    while (rows-- > 0 && read_kept(&list, &row))
        rewind_sub(td_sub_find(s, row.number), &row);
}

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
        HASH_DELETE(hh_peer, e->peers, s);
        td_session_owe_no_more(e, s);
    }
    s->away = false;
    s->hh_failed = false;
    s->peer_len = peer.len;
    memcpy(s->peer, peer.data, peer.len);
    HASH_ADD(hh_peer, e->peers, peer, s->peer_len, s);
}

static void begin_again(struct td_engine *e, struct td_session *s)
{
    s->heard_ms = s->welcomed_ms = e->now_ms;
    s->events_in = s->bytes_in = 0;
    s->events_limit = s->bytes_limit = 0;
    s->messages_out = s->messages_seen = 0;
    s->gaps_out = s->gaps_asked = s->gaps_read = 0;
    e->counters.resumed++;
}

bool td_away_resume(struct td_engine *e, struct td_session *s,
                    struct td_str peer, const struct td_frame *hello)
{
    struct td_str token = {NULL, 0};
    struct td_str raw;
    struct td_reader list;
    uint32_t rows;

    if (s->doomed || !e->options.port.random || e->options.grace_ms <= 0 ||
        !td_map_bin(hello->u.hello.options, "token", &token) || !token.data)
        return false;
    if (!is_token(s, token)) {
        if (!has_its_token(s))
            return false;
        td_engine_bye(e, peer, TIDINGS_EEXIST,
                      "an old HELLO: the session goes on over another link");
        return true;
    }
    if (!td_map_find(hello->u.hello.options, "subscriptions", &raw))
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
    change_token(e, s, token);
    begin_again(e, s);
    rewind_listed(s, list, rows);
    s->away = true; /* until its WELCOME, which nothing may come before */
    end_unlisted(e, s);
    s->away = false;
    td_session_welcome(e, s, true);
    td_taken_wake_all(e, s);
    return true;
}
