/* What a member has in flight, after random steps, against a row for each
 * tag. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/inflight.h"

#define TAGS  30000u /* that the model has rows for */
#define STEPS 4000
#define SEEDS 6

/* ---- dice ---- */

static uint64_t dice;

static uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

/* ---- the model ---- */

struct row {
    bool there;
    uint32_t deliveries;
    uint64_t sequence;
    int64_t first_ms;
    int64_t deadline_ms;
};

struct model {
    struct row rows[TAGS + 1]; /* by tag */
    uint64_t last_tag;
    uint64_t at;       /* what is shown: the next tag … */
    bool was_missing;  /* … and whether the one before it was not there */
    bool takes;        /* what is there is shown too, and goes */
    int64_t before_ms; /* only what is due before it: INT64_MAX: all */
};

static bool model_has(const struct model *m, uint64_t tag)
{
    return tag <= TAGS && m->rows[tag].there;
}

static uint64_t model_events(const struct model *m)
{
    uint64_t n = 0;

    for (uint64_t tag = 1; tag <= m->last_tag; tag++)
        n += m->rows[tag].there;
    return n;
}

static void shown_missing(struct model *m, const struct td_lease *range)
{
    uint64_t last = (uint64_t)range->deadline_ms;

    assert_false(m->was_missing); /* one range, not two */
    assert_int_equal(range->count, 1);
    assert_true(range->tag <= last);
    while (!m->takes && model_has(m, m->at)) /* those are not shown */
        m->at++;
    assert_true(range->tag == m->at);
    for (uint64_t tag = m->at; tag <= last && tag <= TAGS; tag++)
        assert_false(model_has(m, tag));
    m->at = last + 1;
    m->was_missing = m->takes;
}

static void shown_part(struct model *m, const struct td_lease *part)
{
    assert_true(m->takes);
    assert_true(part->count > 0);
    for (uint32_t i = 0; i < part->count; i++) {
        struct row *row = &m->rows[part->tag + i];

        assert_true(part->tag + i <= TAGS && row->there);
        assert_true(row->deadline_ms <= m->before_ms);
        assert_int_equal(row->sequence, part->sequence + i);
        assert_int_equal(row->deliveries, part->deliveries);
        assert_int_equal(row->first_ms, part->first_ms);
        assert_int_equal(row->deadline_ms, part->deadline_ms);
        row->there = false;
    }
    m->was_missing = false;
}

/* Of td_inflight_take() and _extend(). */
static void shown(void *ctx, const struct td_lease *lease)
{
    struct model *m = ctx;

    if (lease->sequence == 0) {
        shown_missing(m, lease);
        return;
    }
    assert_int_equal(lease->tag, m->at);
    m->at += lease->count;
    shown_part(m, lease);
}

/* Of td_inflight_expire() and _clear(): in order, with gaps. */
static void shown_late(void *ctx, const struct td_lease *lease)
{
    struct model *m = ctx;

    assert_true(lease->tag >= m->at);
    m->at = lease->tag + lease->count;
    shown_part(m, lease);
}

/* ---- what is true at all times ---- */

static void check(const struct td_inflight *f, const struct model *m)
{
    uint64_t end = 0;
    uint32_t gone = 0;
    int64_t deadline_ms = INT64_MIN;
    uint64_t events = 0;

    assert_true(f->len <= f->cap);
    for (uint32_t i = 0; i < f->len; i++) {
        const struct td_lease *l = &f->leases[(f->head + i) & (f->cap - 1)];

        assert_true(l->tag >= end);
        end = l->tag + l->count;
        if (l->count == 0) {
            assert_true(i > 0 && i < f->len - 1);
            gone++;
            continue;
        }
        for (uint64_t tag = l->tag; tag < end; tag++) {
            assert_true(model_has(m, tag));
            assert_int_equal(m->rows[tag].sequence, l->sequence + tag - l->tag);
            assert_int_equal(m->rows[tag].deadline_ms, l->deadline_ms);
        }
        events += l->count;
        assert_true(f->earliest_ms <= l->deadline_ms);
        assert_true(f->mixed || deadline_ms <= l->deadline_ms);
        deadline_ms = l->deadline_ms;
    }
    assert_int_equal(f->gone, gone);
    assert_true(gone < 16 || gone <= f->len / 2);
    assert_int_equal(f->events, events);
    assert_int_equal(f->events, model_events(m));
    assert_int_equal(f->last_tag, m->last_tag);
    assert_true(events > 0 || f->last_tag == 0 || f->earliest_ms == INT64_MAX);
}

/* ---- random walks ---- */

static void add(struct td_inflight *f, struct model *m, int64_t now_ms)
{
    uint32_t most = roll(3) ? 3 : 60;
    struct td_lease lease = {
        .tag = m->last_tag + 1 + (roll(9) ? 0 : roll(3)),
        .sequence = 1 + roll(1000000),
        .count = 1 + (uint32_t)roll(most),
        .deliveries = 1 + (uint32_t)roll(2),
        .first_ms = (int64_t)roll(3),
        .deadline_ms = now_ms + 1000 - (roll(20) ? 0 : (int64_t)roll(900)),
    };
    uint32_t len = f->len;

    if (lease.tag + lease.count > TAGS)
        return;
    if (model_has(m, lease.tag - 1) && roll(2)) { /* goes on */
        const struct row *row = &m->rows[lease.tag - 1];

        lease.sequence = row->sequence + 1;
        lease.deliveries = row->deliveries;
        lease.first_ms = row->first_ms;
        lease.deadline_ms = row->deadline_ms;
        assert_true(td_inflight_add(f, &lease));
        assert_int_equal(f->len, len); /* and is joined */
    } else {
        assert_true(td_inflight_add(f, &lease));
    }
    for (uint32_t i = 0; i < lease.count; i++) {
        m->rows[lease.tag + i] = (struct row){
            .there = true,
            .deliveries = lease.deliveries,
            .sequence = lease.sequence + i,
            .first_ms = lease.first_ms,
            .deadline_ms = lease.deadline_ms,
        };
    }
    m->last_tag = lease.tag + lease.count - 1;
}

/* Now and then beyond what there ever was. */
static void some_range(const struct td_inflight *f, const struct model *m,
                       uint64_t *first, uint64_t *last)
{
    uint64_t begin = f->len > 0 ? f->leases[f->head].tag : m->last_tag;
    uint64_t span = m->last_tag + 3 - begin;

    *first = roll(3) ? begin + roll(span) : begin + roll(5);
    *last = *first + (roll(4) ? roll(4) : roll(200));
    if (roll(100) == 0)
        *first = roll(2) ? 0 : roll(m->last_tag + 1);
    if (roll(200) == 0)
        *last = *first > 0 && roll(2) ? *first - 1 : UINT64_MAX - 1 - roll(2);
}

static void begin_showing(struct model *m, uint64_t at, bool takes)
{
    m->at = at;
    m->takes = takes;
    m->was_missing = false;
    m->before_ms = INT64_MAX;
}

static void take(struct td_inflight *f, struct model *m)
{
    uint64_t first;
    uint64_t last;

    some_range(f, m, &first, &last);
    begin_showing(m, first, true);
    assert_true(td_inflight_take(f, first, last, shown, m));
    assert_true(m->at == (first > last ? first : last + 1));
    for (uint64_t tag = first; tag <= last && tag <= TAGS; tag++)
        assert_false(model_has(m, tag));
}

static void extend(struct td_inflight *f, struct model *m, int64_t now_ms)
{
    int64_t deadline_ms = now_ms + (roll(4) ? 1000 : (int64_t)roll(1000));
    uint64_t first;
    uint64_t last;

    some_range(f, m, &first, &last);
    begin_showing(m, first, false);
    assert_true(td_inflight_extend(f, first, last, deadline_ms, shown, m));
    for (uint64_t tag = m->at; tag <= last && first <= last; tag++) {
        assert_true(tag <= TAGS); /* or it was missing, and not shown */
        assert_true(model_has(m, tag));
    }
    for (uint64_t tag = first; tag <= last && tag <= TAGS; tag++)
        m->rows[tag].deadline_ms = deadline_ms;
}

static void expire(struct td_inflight *f, struct model *m, int64_t now_ms)
{
    begin_showing(m, 0, true);
    m->before_ms = now_ms;
    td_inflight_expire(f, now_ms, shown_late, m);
    for (uint64_t tag = 1; tag <= m->last_tag; tag++)
        assert_true(!m->rows[tag].there || m->rows[tag].deadline_ms > now_ms);
}

static void walk(uint64_t seed)
{
    struct model *m = calloc(1, sizeof(*m));
    struct td_inflight f = {0};
    int64_t now_ms = 0;
    uint32_t most = 0;

    assert_non_null(m);
    dice = seed;
    for (int i = 0; i < STEPS; i++) {
        uint64_t side = roll(60);

        now_ms += (int64_t)roll(3);
        if (side == 0)
            expire(&f, m, now_ms);
        else if (side < 6)
            extend(&f, m, now_ms);
        else if (side < 30)
            add(&f, m, now_ms);
        else
            take(&f, m);
        most = f.len > most ? f.len : most;
        check(&f, m);
    }
    assert_true(most > 20);
    add(&f, m, now_ms);
    begin_showing(m, 0, true);
    td_inflight_clear(&f, shown_late, m);
    check(&f, m);
    assert_int_equal(f.events, 0);
    td_inflight_fini(&f);
    free(m);
}

static void test_inflight_agrees_with_a_row_for_each_tag(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        walk(seed * 0x9e3779b97f4a7c15u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inflight_agrees_with_a_row_for_each_tag),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
