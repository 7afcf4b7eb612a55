/* Who holds the name of a producer. A name has one holder at a time, known by
 * its term: whoever greets without one is a new holder, and gets the next; what
 * comes with a lower one is fenced (PROTOCOL.md 3, "Names").
 *
 * A new term is written before its WELCOME is sent, so that no holder that was
 * greeted is ever forgotten, and the one before it let in again, by a broker
 * that was killed meanwhile. */
#include "broker/engine/internal.h"

#include "proto/id.h"
#include "proto/type.h"

#include <string.h>

static const char fenced[] = "another process has taken this producer's name";

/* ---- what a HELLO says ---- */

static bool is_id_of(struct td_str id, struct td_str name)
{
    uint8_t named[TD_PRODUCER_BYTES];

    td_producer_named(named, name);
    return memcmp(named, id.data, sizeof(named)) == 0;
}

static bool read_claim(const struct td_frame *f, struct td_claim *out)
{
    struct td_str options = f->u.hello.options;

    return td_map_str(options, "producer", &out->name) && out->name.data &&
           td_map_uint(options, "term", &out->term) &&
           td_group_valid(out->name.data, out->name.len) &&
           is_id_of(f->u.hello.producer, out->name);
}

tidings_err td_holder_check(const struct td_engine *e, const struct td_frame *f,
                            const struct td_producer *p, struct td_claim *out,
                            const char **text)
{
    const struct td_naming *n = p ? p->naming : NULL;
    struct td_str raw;

    *out = (struct td_claim){{NULL, 0}, 0};
    if (!td_map_find(f->u.hello.options, "producer", &raw)) {
        *text = "this producer has a name, and the HELLO does not say it";
        return n ? TIDINGS_EEXIST : TIDINGS_OK;
    }
    if (!read_claim(f, out)) {
        *text = "the name of a producer is 1 to 64 of [A-Za-z0-9_.-], and its "
                "id is made of it";
        return TIDINGS_EPROTO;
    }
    if (!e->streams.store) {
        *text = "a producer with a name needs a broker with a data folder: "
                "tidingsd --data DIR, inproc://NAME?data=DIR";
        return TIDINGS_ENOTSUP;
    }
    if (n && out->term > 0 && out->term < n->term) {
        *text = fenced;
        return TIDINGS_EFENCED;
    }
    if (!n && e->names_len >= TD_NAMED_PRODUCERS_MAX) {
        *text = "the broker knows as many names of producers as it can: "
                "`tidings producer list` shows them, `tidings producer delete "
                "NAME` makes room";
        return TIDINGS_ELIMIT;
    }
    if (n && out->term == 0 && n->term == INT64_MAX) {
        *text = "too many have had this producer's name: `tidings producer "
                "delete NAME` begins it anew";
        return TIDINGS_ELIMIT;
    }
    return TIDINGS_OK;
}

/* ---- taking it ---- */

/* What of it is on its way is told from nonsense. Without memory it is not. */
static void fence(struct td_engine *e, struct td_session *s)
{
    struct td_fifo *all = &e->streams.fenced;
    struct td_fenced *one = NULL;

    if (!s->away && all->len == TD_FENCED_PEERS)
        td_fifo_pop(all, 1);
    if (!s->away) /* of a link that is lost nothing is on its way */
        one = td_fifo_push(all);
    if (one) {
        one->len = s->peer_len;
        memcpy(one->peer, s->peer, s->peer_len);
    }
    td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EFENCED, fenced);
}

/* What it has not stored is not taken either: the new holder numbers on from
 * there. */
static void begin_term(struct td_engine *e, struct td_producer *p,
                       uint64_t claimed)
{
    struct td_naming *n = p->naming;
    uint64_t before = n->term ? n->term : e->gone_term;

    if (p->session)
        fence(e, p->session);
    n->written = false;
    n->term = claimed ? claimed : before + 1;
    if (!claimed)
        p->taken = td_naming_last(n, &p->stored);
}

bool td_holder_take(struct td_engine *e, struct td_producer *p,
                    const struct td_claim *claim)
{
    if (!claim->name.data)
        return true;
    if (!p->naming && !td_producer_name(e, p, claim->name))
        return false;
    if (claim->term == 0 || claim->term > p->naming->term)
        begin_term(e, p, claim->term);
    if (!p->naming->written) {
        td_producer_storing(e, p);
        td_commit_raise(e, TD_LEVEL_DISK);
    }
    return true;
}

/* ---- who held it ---- */

/* NULL: not lately. */
static struct td_fenced *fenced_peer(const struct td_engine *e,
                                     struct td_str peer)
{
    const struct td_fifo *all = &e->streams.fenced;

    for (uint32_t i = all->len; i-- > 0;) {
        struct td_fenced *one = td_fifo_nth(all, i);

        if (one->len == peer.len && memcmp(one->peer, peer.data, peer.len) == 0)
            return one;
    }
    return NULL;
}

bool td_holder_refuse(struct td_engine *e, struct td_str peer)
{
    if (!fenced_peer(e, peer))
        return false;
    e->counters.fenced++;
    td_engine_bye(e, peer, TIDINGS_EFENCED, fenced);
    return true;
}

void td_holder_forget(struct td_engine *e, struct td_str peer)
{
    struct td_fenced *one = fenced_peer(e, peer);

    if (one)
        one->len = 0; /* no peer has such an id */
}

/* ---- its WELCOME ---- */

bool td_holder_wait(struct td_engine *e, struct td_session *s)
{
    struct td_owed_welcome *owed = td_fifo_push(&e->streams.welcomes);

    if (!owed)
        return false;
    owed->ticket = td_commit_ticket(e);
    owed->session = s->number;
    s->greeting = true;
    return true;
}

/* Takes the first off; NULL: its session is over, or away. */
static struct td_session *next_greeted(struct td_engine *e)
{
    struct td_owed_welcome *owed = td_fifo_nth(&e->streams.welcomes, 0);
    struct td_session *s;

    HASH_FIND(hh, e->sessions, &owed->session, sizeof(owed->session), s);
    td_fifo_pop(&e->streams.welcomes, 1);
    if (s)
        s->greeting = false;
    return s && s->producer && !s->doomed && !s->away ? s : NULL;
}

void td_holders_written(struct td_engine *e, uint64_t ticket)
{
    struct td_fifo *welcomes = &e->streams.welcomes;

    while (welcomes->len > 0) {
        const struct td_owed_welcome *owed = td_fifo_nth(welcomes, 0);
        struct td_session *s;

        if (owed->ticket > ticket)
            return;
        s = next_greeted(e);
        if (!s)
            continue;
        s->producer->naming->written = true;
        td_session_welcome(e, s, false);
        td_advise_session(e, s, true, false);
    }
}

void td_holders_failed(struct td_engine *e, tidings_err err)
{
    while (e->streams.welcomes.len > 0) {
        struct td_session *s = next_greeted(e);

        if (s)
            td_session_doom(e, s, TD_DROP_SESSION_LOST, err,
                            "the store could not keep who holds the name");
    }
}
