/* Requests that wait for their answer: by whom they were made, and until
 * when. */
#include "broker/engine/internal.h"

#include "broker/engine/task.h"

#include <stdlib.h>

#define FIRST_BUCKETS 256u

/* ---- the table: by session and number ---- */

static uint32_t hash_of(const struct td_engine *e, uint64_t session,
                        uint64_t number)
{
    uint64_t z = (number + e->options.seed) * 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30) ^ session) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z ^ (z >> 31));
}

static struct td_asking **place_of(const struct td_engine *e, uint64_t session,
                                   uint64_t number)
{
    const struct td_asked_table *t = &e->serving.asked;

    return &t->buckets[hash_of(e, session, number) & (t->len - 1)];
}

static void table_put(struct td_engine *e, struct td_asking *asking)
{
    struct td_asking **place = place_of(e, asking->session, asking->number);

    asking->bucket = *place;
    *place = asking;
}

/* One more fits in. False: no memory, and there is no table yet. */
static bool table_grow(struct td_engine *e)
{
    struct td_asked_table *t = &e->serving.asked;
    struct td_asked_table old = *t;

    if (e->serving.askings.len < old.len)
        return true;
    t->len = old.len ? old.len * 2 : FIRST_BUCKETS;
    t->buckets = calloc(t->len, sizeof(*t->buckets));
    if (!t->buckets) {
        *t = old; /* it gets slower */
        return old.len > 0;
    }
    for (uint32_t i = 0; i < old.len; i++) {
        while (old.buckets[i]) {
            struct td_asking *asking = old.buckets[i];

            old.buckets[i] = asking->bucket;
            table_put(e, asking);
        }
    }
    free(old.buckets);
    return true;
}

bool td_asking_is(struct td_engine *e, struct td_session *s, uint64_t number)
{
    const struct td_asking *asking;

    if (s->serving.askings_len == 0)
        return false;
    asking = *place_of(e, s->number, number);
    while (asking && (asking->number != number || asking->session != s->number))
        asking = asking->bucket;
    return asking;
}

/* ---- their life ---- */

struct td_asking *td_asking_begin(struct td_engine *e, struct td_session *s,
                                  const struct td_request_row *row)
{
    struct td_serving *sv = &e->serving;
    struct td_asking *asking;

    if (!table_grow(e) || !td_deadlines_reserve(sv))
        return NULL;
    asking = td_slots_take(&sv->askings);
    if (!asking)
        return NULL;
    asking->caller = s;
    asking->session = s->number;
    asking->number = row->number;
    asking->many = row->flags & TD_REQUEST_MANY;
    asking->deadline_ms = e->now_ms + (int64_t)row->left_ms;
    table_put(e, asking);
    DL_APPEND(s->serving.askings, asking);
    s->serving.askings_len++;
    td_deadlines_add(sv, asking);
    return asking;
}

void td_asking_release(struct td_engine *e, struct td_asking *asking)
{
    struct td_session *s = asking->caller;
    struct td_asking **place;

    if (!s)
        return;
    place = place_of(e, asking->session, asking->number);
    while (*place != asking)
        place = &(*place)->bucket;
    *place = asking->bucket;
    DL_DELETE(s->serving.askings, asking);
    s->serving.askings_len--;
    s->serving.asked -= asking->out;
    asking->caller = NULL;
}

void td_asking_end(struct td_engine *e, struct td_asking *asking)
{
    td_asking_release(e, asking);
    td_deadlines_remove(&e->serving, asking);
    td_slots_give(&e->serving.askings, asking);
}

void td_askings_orphan(struct td_engine *e, struct td_session *s)
{
    while (s->serving.askings)
        td_asking_release(e, s->serving.askings);
}
