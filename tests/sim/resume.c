/* Sessions that come back: whether they may, worked out a second time, and
 * what they are owed again. */
#include "tests/sim/world.h"

#include <string.h>

struct kept {
    uint64_t number;
    uint64_t received;
    uint64_t missed;
};

struct td_session *sim_session_numbered(struct sim *sim, uint64_t number)
{
    struct td_session *s;

    HASH_FIND(hh, sim->broker.engine->sessions, &number, sizeof(number), s);
    return s;
}

struct td_session *sim_session_of(struct sim *sim, struct td_str producer)
{
    const struct td_engine *e = sim->broker.engine;
    struct td_session *s = e ? e->sessions : NULL;

    while (s && (!s->producer || memcmp(s->producer->id, producer.data,
                                        TD_PRODUCER_BYTES) != 0))
        s = s->hh.next;
    return s;
}

static bool read_kept(struct td_reader *list, struct kept *out)
{
    uint32_t fields;

    return td_read_array(list, &fields) && fields == 3 &&
           td_read_uint(list, &out->number) &&
           td_read_uint(list, &out->received) &&
           td_read_uint(list, &out->missed);
}

static uint64_t kept_from(const struct td_session *s, uint64_t number)
{
    const struct td_sub *sub;

    HASH_FIND(hh, s->subs, &number, sizeof(number), sub);
    return sub ? sub->flight_first : 0;
}

static bool is_listed_twice(struct td_str list, uint64_t number)
{
    struct td_reader r = td_reader_of(list.data, list.len);
    uint32_t rows;
    uint32_t times = 0;
    struct kept row;

    if (!td_read_array(&r, &rows))
        return false;
    while (rows-- > 0 && read_kept(&r, &row))
        times += row.number == number;
    return times > 1;
}

/* Whether the broker has what every row asks for. */
static bool can_be(struct sim *sim, const struct td_session *s,
                   struct td_str list)
{
    struct td_reader r = td_reader_of(list.data, list.len);
    uint32_t rows;

    if (!td_read_array(&r, &rows))
        return false;
    while (rows-- > 0) {
        const struct sim_esub *sub;
        struct kept row;

        if (!read_kept(&r, &row))
            return false;
        sub = sim_esub_find(sim, s->number, row.number);
        if (is_listed_twice(list, row.number))
            return false;
        if (!sub || row.received < sub->delivered || row.received > sub->sent ||
            row.missed > sub->gap_told) {
            sim_seen(sim, SIM_SEEN_IMPOSSIBLE);
            return false;
        }
        if (row.received < kept_from(s, row.number)) {
            sim_seen(sim, SIM_SEEN_UNKEPT);
            return false;
        }
    }
    return true;
}

static bool is_token_of(const struct td_session *s, struct td_str token)
{
    const struct td_producer *p = s->producer;

    return token.len == sizeof(p->token) &&
           (memcmp(token.data, p->token, token.len) == 0 ||
            (p->told && memcmp(token.data, p->token_before, token.len) == 0));
}

void sim_resume_before(struct sim *sim, struct sim_link *link,
                       const struct td_frame *f)
{
    struct sim_model *m = &sim->model;
    const struct td_session *s = sim_session_of(sim, f->u.hello.producer);
    struct td_str token = {NULL, 0};
    struct td_str list;

    memset(&m->resume, 0, sizeof(m->resume));
    m->resume.asked = td_map_bin(f->u.hello.options, "token", &token) &&
                      token.data &&
                      td_map_find(f->u.hello.options, "subscriptions", &list);
    if (!m->resume.asked)
        return;
    m->resume.list = list;
    if (!s || (s->doomed && !s->keeps)) {
        if (!link->evil && f->u.hello.producer.data)
            sim_seen(sim, SIM_SEEN_LATE);
        return;
    }
    m->resume.session = s->number;
    m->resume.alive = !s->away && !s->doomed;
    if (!is_token_of(s, token))
        sim_seen(sim, SIM_SEEN_FORGED);
    else
        m->resume.due = can_be(sim, s, list);
}

/* ---- its WELCOME ---- */

static void note_again(struct sim *sim, const struct sim_esub *sub,
                       const struct kept *row)
{
    if (row->received < sub->sent)
        sim_seen(sim, SIM_SEEN_RESUMED_AGAIN);
    if (row->missed < sub->gap_told)
        sim_seen(sim, SIM_SEEN_RESUMED_GAP);
}

static void resume_sub(struct sim *sim, struct sim_link *link,
                       const struct kept *row)
{
    struct sim_esub *sub = sim_esub_find(sim, link->session, row->number);

    if (!sub)
        return;
    sub->link = link;
    sub->listed = true;
    note_again(sim, sub, row);
    sim_owe_again(sim, sub, row->received);
    if (sub->group)
        sub->group->gap_told -= sub->gap_told - row->missed;
    sub->gap_told = row->missed;
}

/* Those that its client did not list. */
static void end_others(struct sim *sim, const struct sim_link *link)
{
    struct sim_esub *sub;
    struct sim_esub *next;

    DL_FOREACH_SAFE(sim->model.subs, sub, next)
    {
        if (sub->session != link->session || sub->listed)
            continue;
        sim_seen(sim, SIM_SEEN_RESUMED_LESS);
        sim_esub_free(sim, sub);
    }
}

static void resumed(struct sim *sim, struct sim_link *link)
{
    struct sim_model *m = &sim->model;
    struct td_reader r = td_reader_of(m->resume.list.data, m->resume.list.len);
    struct sim_esub *sub;
    struct kept row;
    uint32_t rows;

    sim_seen(sim, SIM_SEEN_RESUMED);
    if (m->resume.alive)
        sim_seen(sim, SIM_SEEN_RESUMED_ALIVE);
    if (!td_read_array(&r, &rows))
        return;
    DL_FOREACH(m->subs, sub)
    {
        sub->listed = false;
    }
    while (rows-- > 0 && read_kept(&r, &row))
        resume_sub(sim, link, &row);
    end_others(sim, link);
}

void sim_resume_welcome(struct sim *sim, struct sim_link *link,
                        const struct td_frame *f)
{
    struct sim_model *m = &sim->model;
    bool is_resumed = false;

    SIM_CHECK(sim, td_map_bool(f->u.welcome.limits, "resumed", &is_resumed),
              "WELCOME does not say whether it resumes");
    SIM_CHECK(sim, is_resumed || !m->resume.due || sim->config.starved,
              "link %u may resume session %llu and does not", link->number,
              (unsigned long long)m->resume.session);
    SIM_CHECK(sim, !is_resumed || m->resume.due,
              "link %u resumes what it may not", link->number);
    if (!is_resumed)
        return;
    SIM_CHECK(sim, f->u.welcome.session == m->resume.session,
              "resumed as session %llu, was %llu",
              (unsigned long long)f->u.welcome.session,
              (unsigned long long)m->resume.session);
    resumed(sim, link);
}
