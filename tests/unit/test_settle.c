/* What a member of a durable group has settled: against a naive model, through
 * links that are lost; and without memory. */
#include "tests/support/td_test.h"

#include "client/settle.h"
#include "tests/support/alloc.h"

#define TAGS_MAX 6000u
#define WINDOW   300u
#define SEEDS    200u

/* The broker that it talks to, and what is really so. */
struct model {
    struct td_settling s;
    unsigned said[TAGS_MAX];  /* verb of the first settlement here; 0: none */
    unsigned heard[TAGS_MAX]; /* the broker's, of those that arrived */
    uint64_t bytes[TAGS_MAX]; /* of parts, at their last tag */
    uint64_t limit;           /* the credit that the broker has been told */
    uint64_t ping;            /* the last that was sent */
    uint32_t random;
};

static uint32_t below(struct model *m, uint32_t n)
{
    m->random = m->random * 1664525u + 1013904223u;
    return (m->random >> 8) % n;
}

static void receive(struct model *m)
{
    uint64_t room = m->limit - m->s.received;
    uint32_t n = 1 + below(m, 40);

    if (n > room || m->s.received + n >= TAGS_MAX)
        return;
    assert_true(td_settling_receive(&m->s, n, 10 * n));
    m->bytes[m->s.received] = 10 * n;
}

static void settle(struct model *m)
{
    static const unsigned verbs[] = {TD_ACK, TD_ACK,     TD_ACK,
                                     TD_NAK, TD_RELEASE, TD_TERM};
    struct td_settle how = {.verb = verbs[below(m, 6)]};
    uint32_t open = (uint32_t)(m->s.received - m->s.taken);
    tidings_err want = TIDINGS_EEXIST;

    if (open == 0)
        return;
    how.first = m->s.taken + 1 + below(m, open);
    how.last = how.first + below(m, 8);
    if (how.last > m->s.received)
        how.last = m->s.received;
    if (how.verb == TD_NAK)
        how.reason = td_str_of("because");
    for (uint64_t tag = how.first; tag <= how.last; tag++) {
        if (m->said[tag])
            continue;
        m->said[tag] = (unsigned)how.verb;
        want = TIDINGS_OK;
    }
    assert_int_equal(td_settling_settle(&m->s, &how), want);
}

/* A thread is somewhere, or two are: they keep what they are at. */
static void give_back(struct model *m)
{
    uint64_t open = m->s.received - m->s.taken;
    struct td_at at[2];
    uint64_t last;

    if (open == 0)
        return;
    last = m->s.taken + 1 + below(m, (uint32_t)open);
    for (unsigned i = 0; i < 2; i++) {
        at[i].first = m->s.taken + 1 + below(m, (uint32_t)open);
        at[i].tag = at[i].first + below(m, 5);
    }
    td_settling_hold(&m->s, at, 2);
    assert_ok(td_settling_give_back(&m->s, last, at, 2));
    for (uint64_t tag = 1; tag <= last; tag++) {
        if ((tag < at[0].first || tag > at[0].tag) &&
            (tag < at[1].first || tag > at[1].tag) && !m->said[tag])
            m->said[tag] = TD_RELEASE;
    }
}

/* What goes out is heard, unless the link is lost from this row on. */
static void send_all(struct model *m, bool lost)
{
    struct td_settle row;

    while (td_settling_next(&m->s, &row, m->ping + 1)) {
        assert_true(row.first >= 1 && row.last <= m->s.received);
        if (lost && below(m, 3) == 0)
            lost = below(m, 2); /* … or not quite yet */
        if (lost)
            continue;
        for (uint64_t tag = row.first; tag <= row.last; tag++) {
            if (row.verb == TD_PROGRESS)
                continue;
            assert_int_not_equal(m->said[tag], 0);
            if (!m->heard[tag])
                m->heard[tag] = (unsigned)row.verb;
        }
    }
    if (!lost)
        m->limit = m->s.taken + WINDOW; /* a CREDIT follows */
}

static void check(struct model *m)
{
    uint64_t taken = 0;
    uint64_t bytes = 0;

    while (taken < m->s.received && m->said[taken + 1])
        bytes += m->bytes[++taken];
    assert_int_equal(m->s.taken, taken);
    assert_int_equal(m->s.taken_bytes, bytes);
}

static void check_heard(struct model *m)
{
    for (uint64_t tag = 1; tag <= m->s.received; tag++)
        assert_int_equal(m->heard[tag], m->said[tag]);
}

/* All that was sent on a lost link may be lost, or its end, and is sent again:
 * in the end the broker has heard of each tag what was said first. */
static void lose_link(struct model *m)
{
    send_all(m, true);
    td_settling_again(&m->s, WINDOW, m->ping + 1);
    send_all(m, false);
    m->ping++;
    check_heard(m);
    for (uint64_t tag = m->s.floor + 1; tag <= m->s.received; tag++)
        assert_true(!m->said[tag] ||
                    td_settling_refused(&m->s, tag, tag, true) <= 1);
    if (below(m, 2))
        td_settling_proved(&m->s, m->ping);
}

static void run(struct model *m)
{
    m->limit = WINDOW;
    for (unsigned step = 0; step < 800; step++) {
        switch (below(m, 20)) {
        case 0:
            lose_link(m);
            break;
        case 1:
            m->ping++;
            td_settling_proved(&m->s, m->ping);
            break;
        case 2:
        case 3:
        case 4:
            send_all(m, false);
            check_heard(m);
            break;
        case 5:
        case 6:
        case 7:
            receive(m);
            break;
        case 8:
            give_back(m);
            break;
        default:
            settle(m);
        }
        check(m);
    }
    assert_ok(td_settling_release_all(&m->s));
    assert_int_equal(m->s.taken, m->s.received);
    assert_int_equal(m->s.parts_len, 0);
}

static void test_settling_is_as_the_model_says(void **state)
{
    static struct model m;

    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        memset(&m, 0, sizeof(m));
        m.random = seed;
        run(&m);
        td_settling_fini(&m.s);
    }
}

/* ---- by hand ---- */

static void say(struct td_settling *s, unsigned verb, uint64_t first,
                uint64_t last)
{
    const struct td_settle how = {.verb = verb, .first = first, .last = last};

    assert_ok(td_settling_settle(s, &how));
}

static void expect(struct td_settling *s, unsigned verb, uint64_t first,
                   uint64_t last)
{
    struct td_settle row;

    assert_true(td_settling_next(s, &row, 1));
    assert_int_equal(row.verb, verb);
    assert_int_equal(row.first, first);
    assert_int_equal(row.last, last);
}

static void expect_no_more(struct td_settling *s)
{
    struct td_settle row;

    assert_false(td_settling_next(s, &row, 1));
    assert_false(td_settling_has_unsent(s));
}

static void test_settling_joins_acks_of_any_order(void **state)
{
    struct td_settling s = {0};

    (void)state;
    assert_true(td_settling_receive(&s, 500, 5000));
    say(&s, TD_ACK, 200, 500);
    assert_int_equal(s.taken, 0);
    say(&s, TD_ACK, 1, 63);
    say(&s, TD_ACK, 65, 199);
    say(&s, TD_ACK, 64, 64);
    assert_int_equal(s.taken, 500);
    assert_int_equal(s.taken_bytes, 5000);
    expect(&s, TD_ACK, 1, 500);
    expect_no_more(&s);
    assert_int_equal(s.acked, 500);
    td_settling_fini(&s);
}

/* A delivery that is settled later holds back what is taken, and no other. */
static void test_settling_leaves_a_hole_for_what_is_later(void **state)
{
    const struct td_settle again = {.verb = TD_NAK, .first = 3, .last = 3};
    struct td_settling s = {0};

    (void)state;
    assert_true(td_settling_receive(&s, 10, 100));
    say(&s, TD_ACK, 1, 2);
    td_settling_later(&s, 3, 3);
    assert_true(td_settling_has_later(&s));
    say(&s, TD_ACK, 4, 10);
    expect(&s, TD_ACK, 1, 2);
    expect(&s, TD_ACK, 4, 10);
    expect_no_more(&s);
    assert_int_equal(s.taken, 2);
    assert_true(td_settling_is_open(&s, 3));
    assert_false(td_settling_is_open(&s, 4));
    assert_false(td_settling_progress(&s, 4));
    assert_true(td_settling_progress(&s, 3));
    expect(&s, TD_PROGRESS, 3, 3);
    say(&s, TD_TERM, 3, 3);
    assert_false(td_settling_has_later(&s));
    assert_err(td_settling_settle(&s, &again), TIDINGS_EEXIST);
    assert_int_equal(s.taken, 10);
    expect(&s, TD_TERM, 3, 3);
    expect_no_more(&s);
    td_settling_fini(&s);
}

/* What the broker took away before anybody began with it needs no word, and
 * does not count as too late. */
static void test_settling_forgets_what_is_lost(void **state)
{
    const struct td_at at = {2, 4}; /* done with 2 and 3 */
    struct td_settling s = {0};

    (void)state;
    assert_true(td_settling_receive(&s, 10, 100));
    say(&s, TD_ACK, 1, 1);
    expect(&s, TD_ACK, 1, 1);
    assert_true(td_settling_hold(&s, &at, 1));
    expect(&s, TD_PROGRESS, 2, 10);
    assert_int_equal(td_settling_refused(&s, 4, 6, true), 1);
    assert_int_equal(s.lost, 6);
    assert_ok(td_settling_give_back(&s, 8, &at, 1));
    expect(&s, TD_RELEASE, 7, 8);
    expect_no_more(&s);
    assert_true(td_settling_hold(&s, &at, 1));
    expect(&s, TD_PROGRESS, 2, 3);
    expect(&s, TD_PROGRESS, 9, 10);
    say(&s, TD_ACK, 2, 4);
    say(&s, TD_ACK, 9, 10);
    assert_int_equal(s.taken, 10);
    assert_int_equal(s.released, 2);
    td_settling_fini(&s);
}

static void test_settling_refuses_what_was_not_delivered(void **state)
{
    struct td_settle how = {.verb = TD_ACK, .first = 1, .last = 1};
    struct td_settling s = {0};

    (void)state;
    assert_err(td_settling_settle(&s, &how), TIDINGS_ENOTFOUND);
    assert_true(td_settling_receive(&s, 2, 20));
    how.last = 3;
    assert_err(td_settling_settle(&s, &how), TIDINGS_ENOTFOUND);
    how.first = how.last = 0;
    assert_err(td_settling_settle(&s, &how), TIDINGS_ENOTFOUND);
    how.first = how.last = UINT64_MAX;
    assert_err(td_settling_settle(&s, &how), TIDINGS_ENOTFOUND);
    assert_false(td_settling_is_open(&s, 3));
    assert_false(td_settling_is_open(&s, UINT64_MAX));
    td_settling_fini(&s);
}

/* What was sent again may be known: only the rest is news. */
static void test_settling_knows_what_it_sent_again(void **state)
{
    struct td_settling s = {0};

    (void)state;
    assert_true(td_settling_receive(&s, 20, 200));
    say(&s, TD_ACK, 1, 5);
    say(&s, TD_ACK, 8, 10);
    expect(&s, TD_ACK, 1, 5);
    expect(&s, TD_ACK, 8, 10);
    expect_no_more(&s);
    assert_int_equal(td_settling_refused(&s, 1, 5, true), 5);
    say(&s, TD_ACK, 11, 12); /* not sent before the link was lost */
    td_settling_again(&s, 1000, 7);
    expect(&s, TD_ACK, 1, 5);
    expect(&s, TD_ACK, 8, 12);
    expect_no_more(&s);
    assert_int_equal(td_settling_refused(&s, 1, 5, true), 0);
    assert_int_equal(td_settling_refused(&s, 8, 12, true), 2);
    assert_int_equal(td_settling_refused(&s, 8, 12, false), 5);
    td_settling_proved(&s, 7);
    assert_int_equal(td_settling_refused(&s, 8, 12, true), 5);
    td_settling_again(&s, 1000, 9); /* what is proven stays behind */
    expect(&s, TD_ACK, 8, 12);
    expect_no_more(&s);
    td_settling_fini(&s);
}

static void test_settling_gives_all_back(void **state)
{
    struct td_settling s = {0};

    (void)state;
    assert_true(td_settling_receive(&s, 100, 1000));
    say(&s, TD_ACK, 1, 10);
    say(&s, TD_ACK, 20, 29);
    assert_ok(td_settling_release_all(&s));
    expect(&s, TD_RELEASE, 11, 19);
    expect(&s, TD_RELEASE, 30, 100);
    expect(&s, TD_ACK, 1, 10);
    expect(&s, TD_ACK, 20, 29);
    expect_no_more(&s);
    assert_int_equal(s.released, 80);
    td_settling_fini(&s);
}

static void test_settling_takes_a_delivery_back(void **state)
{
    struct td_settling s = {0};

    (void)state;
    assert_true(td_settling_receive(&s, 3, 30));
    assert_true(td_settling_receive(&s, 100, 9));
    td_settling_take_back(&s, 100);
    assert_int_equal(s.received, 3);
    say(&s, TD_ACK, 1, 3);
    assert_int_equal(s.taken_bytes, 30);
    td_settling_fini(&s);
}

/* Each allocation fails in turn: nothing changes, or it says so. */
static void test_settling_without_memory(void **state)
{
    const struct td_settle nak = {.verb = TD_NAK, .first = 2, .last = 2};
    bool done = false;

    (void)state;
    for (unsigned n = 1; !done; n++) {
        struct td_settling s = {0};
        bool received;
        tidings_err err = TIDINGS_OK;

        td_alloc_fail(n);
        received = td_settling_receive(&s, 400, 4000) &&
                   td_settling_receive(&s, 5000, 1);
        if (received)
            err = td_settling_settle(&s, &nak);
        done = !td_alloc_failed();
        td_alloc_fail(0);
        if (!received)
            assert_true(s.received == 0 || s.received == 400);
        else
            assert_int_equal(err, done ? TIDINGS_OK : TIDINGS_ENOMEM);
        if (received && err)
            assert_true(td_settling_is_open(&s, 2));
        td_settling_fini(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settling_is_as_the_model_says),
        cmocka_unit_test(test_settling_joins_acks_of_any_order),
        cmocka_unit_test(test_settling_leaves_a_hole_for_what_is_later),
        cmocka_unit_test(test_settling_forgets_what_is_lost),
        cmocka_unit_test(test_settling_refuses_what_was_not_delivered),
        cmocka_unit_test(test_settling_knows_what_it_sent_again),
        cmocka_unit_test(test_settling_gives_all_back),
        cmocka_unit_test(test_settling_takes_a_delivery_back),
        cmocka_unit_test(test_settling_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
