/* Producers: their numbering, and the token that proves whose it is. A
 * producer's id stands in every event that it publishes, so that the id alone
 * proves nothing (PROTOCOL.md 3). */
#include "broker/engine/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static void undirty(struct td_engine *e, struct td_producer *p)
{
    struct td_producer **at = &e->streams.dirty_producers;

    while (p->dirty && *at != p)
        at = &(*at)->dirty_next;
    if (p->dirty)
        *at = p->dirty_next;
}

static void producer_forget(struct td_engine *e, struct td_producer *p)
{
    struct td_place key = td_place_producer(p->id);

    undirty(e, p);
    td_commit_forget_producer(e, p);
    if ((p->stored.sequence > 0 || p->naming) && e->streams.store)
        td_commit_delete(e, &key);
    if (p->naming)
        e->names_len--;
    else
        DL_DELETE(e->orphans, p);
    HASH_DELETE(hh, e->producers, p);
    free(p->naming);
    free(p);
}

struct td_producer *td_producer_find(struct td_engine *e, struct td_str id)
{
    struct td_producer *p;

    HASH_FIND(hh, e->producers, id.data, id.len, p);
    return p;
}

struct td_producer *td_producer_get(struct td_engine *e, struct td_str id)
{
    struct td_producer *p = td_producer_find(e, id);

    if (p)
        return p;
    if (HASH_COUNT(e->producers) - e->names_len >= TD_PRODUCERS_MAX &&
        e->orphans)
        producer_forget(e, e->orphans);
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    memcpy(p->id, id.data, sizeof(p->id));
    HASH_ADD(hh, e->producers, id, sizeof(p->id), p);
    if (p->hh_failed) {
        free(p);
        return NULL;
    }
    DL_APPEND(e->orphans, p); /* until a session takes it */
    p->ended_ms = e->now_ms;
    return p;
}

void td_producer_attach(struct td_engine *e, struct td_producer *p,
                        struct td_session *s)
{
    if (p->session) {
        td_session_doom(e, p->session, TD_DROP_SESSION_LOST, TIDINGS_EEXIST,
                        "another session of this producer has begun");
        p->session->producer = NULL;
    } else if (!p->naming) {
        DL_DELETE(e->orphans, p);
    }
    p->session = s;
    s->producer = p;
}

void td_producer_detach(struct td_engine *e, struct td_session *s)
{
    struct td_producer *p = s->producer;

    if (!p)
        return;
    s->producer = NULL;
    p->session = NULL;
    p->ended_ms = e->now_ms;
    if (p->naming)
        return;
    DL_APPEND(e->orphans, p);
    if (p->taken == 0) /* nothing to remember */
        producer_forget(e, p);
}

bool td_producer_name(struct td_engine *e, struct td_producer *p,
                      struct td_str name)
{
    p->naming = malloc(sizeof(*p->naming));
    if (!p->naming)
        return false;
    td_naming_init(p->naming, name);
    td_naming_pass(p->naming, p->stored.sequence);
    if (!p->session)
        DL_DELETE(e->orphans, p);
    e->names_len++;
    return true;
}

static bool is_stale(const struct td_engine *e, const struct td_producer *p)
{
    int64_t keep = p->stored.sequence > 0 ? TD_PRODUCER_STORED_KEEP_MS
                                          : TD_PRODUCER_KEEP_MS;

    return e->now_ms - p->ended_ms >= keep;
}

void td_producer_tick(struct td_engine *e)
{
    struct td_producer *p;
    struct td_producer *next;

    DL_FOREACH_SAFE(e->orphans, p, next)
    {
        if (e->now_ms - p->ended_ms < TD_PRODUCER_KEEP_MS)
            break; /* the oldest come first */
        if (is_stale(e, p))
            producer_forget(e, p);
    }
}

/* Whoever takes the name anew is to have a higher term than those who had it
 * before: one of them that was thought dead stays fenced. */
static void remember_term(struct td_engine *e, uint64_t term)
{
    struct td_place key = td_place_one(TD_TABLE_TERM, 0);

    if (term > e->gone_term && term <= TD_TERM_GONE_MAX)
        e->gone_term = term;
    if (e->gone_term == 0)
        return;
    /* also the same once more: an earlier one may not have been written */
    td_buf_reset(&e->streams.value);
    td_last_row_pack(&e->streams.value, e->gone_term);
    td_commit_put(e, &key, &e->streams.value, NULL, 0, 0);
}

void td_producer_delete(struct td_engine *e, struct td_producer *p)
{
    remember_term(e, p->naming->term);
    producer_forget(e, p);
    td_commit_raise(e, TD_LEVEL_DISK);
}

/* ---- what is stored of it ---- */

void td_producer_storing(struct td_engine *e, struct td_producer *p)
{
    p->stored_ticket = td_commit_ticket(e);
    if (p->dirty)
        return;
    p->dirty = true;
    p->dirty_next = e->streams.dirty_producers;
    e->streams.dirty_producers = p;
}

bool td_producer_load(struct td_engine *e, struct td_str id,
                      const struct td_stored *stored)
{
    struct td_producer *p = td_producer_get(e, id);

    if (!p)
        return false;
    p->stored = p->kept = *stored;
    p->taken = stored->sequence;
    return true;
}

bool td_producer_load_named(struct td_engine *e, struct td_str id,
                            const struct td_stored *stored,
                            const struct td_naming *naming)
{
    struct td_producer *p;

    if (!td_producer_load(e, id, stored))
        return false;
    p = td_producer_find(e, id);
    if (!p->naming && !td_producer_name(e, p, td_str_of(naming->name)))
        return false;
    *p->naming = *naming;
    return true;
}

void td_producers_take_back(struct td_engine *e)
{
    for (struct td_producer *p = e->producers; p; p = p->hh.next) {
        uint64_t last = p->stored.sequence;

        if (td_commit_is_written(e, p->stored_ticket))
            continue;
        p->stored = p->kept;
        if (last > p->kept.sequence) { /* what comes next is not all there is */
            td_stored_lose(&p->stored, p->kept.sequence + 1, last);
            p->stored.sequence = last;
        }
        if (p->naming)
            td_naming_trim(p->naming, e->streams.written);
        p->stored_ticket = 0;
    }
}

/* ---- its token ---- */

static bool is_same(const uint8_t *a, struct td_str b)
{
    uint8_t differs = 0; /* in constant time: it is a secret */

    if (!b.data || b.len != TD_TOKEN_BYTES)
        return false;
    for (size_t i = 0; i < TD_TOKEN_BYTES; i++)
        differs |= a[i] ^ (uint8_t)b.data[i];
    return differs == 0;
}

static bool has_token(const struct td_producer *p)
{
    return p->told || p->guarded;
}

bool td_producer_knows(const struct td_producer *p, struct td_str shown)
{
    return has_token(p) &&
           (is_same(p->token, shown) || is_same(p->token_before, shown));
}

bool td_producer_admits(const struct td_producer *p, struct td_str shown)
{
    return !p->guarded || td_producer_knows(p, shown);
}

bool td_producer_renew(struct td_engine *e, struct td_producer *p,
                       struct td_str shown)
{
    const struct td_port *port = &e->options.port;
    uint8_t token[TD_TOKEN_BYTES];

    if (!port->random)
        return true;
    /* Who shows the one before may have the next already: it stays. */
    if (!td_producer_knows(p, shown) || is_same(p->token, shown)) {
        if (!port->random(port->ctx, token, sizeof(token)))
            return has_token(p);
        memcpy(p->token_before, has_token(p) ? p->token : token, sizeof(token));
        memcpy(p->token, token, sizeof(token));
    }
    p->told = true;
    return true;
}

void td_producer_heard(struct td_producer *p)
{
    if (!p->told)
        return;
    p->told = false;
    p->guarded = true;
    memcpy(p->token_before, p->token, sizeof(p->token));
}
