/* The engine: how long what has failed waits until it comes again: doubled with
 * each failure, each time less or more by up to a fifth, however it failed. */
#include "tests/unit/stream_fixture.h"

#include <stdlib.h>
#include <string.h>

#define SPREAD   250u /* events that fail at one moment */
#define HEARD_MS 3000 /* a peer says so often that it is there */
#define TURNS    4    /* at one moment: the store has answered by then */

/* The peer's next delivery: how long after now it comes; -1: not within. */
static int64_t until_again(struct streams *s, const char *peer,
                           int64_t within_ms)
{
    struct fixture *f = s->f;
    int64_t begin = f->now;

    while (events_to(f, peer) == 0) {
        int64_t next =
            f->next < f->now + HEARD_MS ? f->next : f->now + HEARD_MS;

        if (f->now - begin > within_ms)
            return -1;
        forget(f);
        f->now = next > f->now ? next : f->now + 1;
        give(f, peer, "[11 1]"); /* it is there */
        for (int i = 0; i < TURNS; i++)
            flush(f);
    }
    return f->now - begin;
}

/* ---- attempts ---- */

/* One way to fail: the peer's delivery n of an event. Returns who gets the next
 * one. */
typedef const char *failing(struct streams *s, const char *peer, unsigned n);

static const char *nak(struct streams *s, const char *peer, unsigned n)
{
    settle(s, peer, TD_NAK, n, n);
    return peer;
}

/* Nothing is said: ack_wait_ms passes. */
static const char *keep(struct streams *s, const char *peer, unsigned n)
{
    (void)s;
    (void)n;
    return peer;
}

static void join(struct streams *s, const char *peer, const char *options)
{
    hello(s->f, peer);
    consume(s, peer, 1, ">", "events", "g", options);
}

/* Its session ends, and another member comes. */
static const char *lose(struct streams *s, const char *peer, unsigned n)
{
    static const char *const peers[] = {"m0", "m1", "m2", "m3", "m4",  "m5",
                                        "m6", "m7", "m8", "m9", "m10", "m11"};

    join(s, peers[n], "");
    gone(s->f, peer);
    settle_down(s);
    return peers[n];
}

static const struct {
    const char *name;
    failing *how;
    const char *options;
    int64_t wait_ms; /* before it has failed */
    int64_t first_ms;
    int64_t most_ms;
    unsigned deliveries;
} rows[] = {
    {"nak by default", nak, "\"max_deliver\" 12", 0, 200, 60000, 12},
    {"late by default", keep, "\"max_deliver\" 12", 30000, 200, 60000, 12},
    {"nak", nak, "\"backoff_ms\" 300 \"backoff_max_ms\" 2000", 0, 300, 2000,
     10},
    {"late", keep,
     "\"backoff_ms\" 300 \"backoff_max_ms\" 2000 \"ack_wait_ms\" 700", 700, 300,
     2000, 10},
    {"lost", lose, "\"backoff_ms\" 300 \"backoff_max_ms\" 2000", 0, 300, 2000,
     10},
    {"no growth", nak, "\"backoff_ms\" 500 \"backoff_max_ms\" 500", 0, 500, 500,
     10},
    {"no fifth", nak, "\"backoff_ms\" 4 \"backoff_max_ms\" 4", 0, 4, 4, 10},
    {"at once", nak, "\"backoff_ms\" 0 \"backoff_max_ms\" 0", 0, 0, 0, 10},
};

static void check_row(struct streams *s, size_t i)
{
    const char *peer = "sub";
    int64_t ms = rows[i].first_ms;

    s->f->engine->options.grace_ms = -1; /* who is lost has failed at once */
    hello(s->f, "pub");
    join(s, peer, rows[i].options);
    put(s, "pub", "a", 1, 1, DISK);
    for (unsigned n = 1; n < rows[i].deliveries; n++) {
        int64_t least = rows[i].wait_ms + ms - ms / 5;
        int64_t most = rows[i].wait_ms + ms + ms / 5;
        struct td_span span;
        int64_t took;

        forget(s->f);
        peer = rows[i].how(s, peer, n);
        took = until_again(s, peer, most);
        if (took < least || took > most)
            fail_msg("%s: failure %u: %lld ms, not %lld to %lld", rows[i].name,
                     n, (long long)took, (long long)least, (long long)most);
        assert_row(rows[i].name, span_to(s, peer, 0, &span));
        assert_row(rows[i].name, span.deliveries == n + 1);
        if (ms < rows[i].most_ms)
            ms = 2 * ms < rows[i].most_ms ? 2 * ms : rows[i].most_ms;
    }
    forget(s->f);
    peer = rows[i].how(s, peer, rows[i].deliveries);
    ms = rows[i].wait_ms + 2 * rows[i].most_ms;
    assert_row(rows[i].name, until_again(s, peer, ms) == -1);
}

static void test_backoff_doubles_up_to_its_bound(void **state)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        check_row(*state, i);
        teardown_streams(state);
        assert_int_equal(setup_streams(state), 0);
    }
}

/* ---- by how much they differ ---- */

/* Events that fail at one moment do not come again at one moment. */
static void test_backoff_spreads_what_failed_together(void **state)
{
    struct streams *s = *state;
    struct fixture *f = s->f;
    unsigned at[401] = {0}; /* come so many ms after the first could */
    unsigned moments = 0;
    unsigned early = 0;
    unsigned late = 0;
    int64_t begin;

    hello(f, "pub");
    join(s, "sub", "\"backoff_ms\" 1000");
    put(s, "pub", "a", SPREAD, 1, DISK);
    for (unsigned tag = 1; tag <= SPREAD; tag++) {
        settle(s, "sub", TD_NAK, tag, tag);
        forget(f);
    }
    begin = f->now;
    for (uint64_t came = 0; came < SPREAD;) {
        int64_t ms;

        assert_int_not_equal(until_again(s, "sub", 2000), -1);
        ms = f->now - begin;
        assert_true(ms >= 800 && ms <= 1200);
        at[ms - 800] += (unsigned)events_to(f, "sub");
        came += events_to(f, "sub");
        forget(f);
    }
    for (unsigned ms = 0; ms <= 400; ms++) {
        moments += at[ms] > 0;
        early += ms < 100 ? at[ms] : 0;
        late += ms > 300 ? at[ms] : 0;
    }
    assert_true(moments > SPREAD / 2);
    assert_true(early > SPREAD / 8 && late > SPREAD / 8); /* a quarter each */
}

/* Who says how long waits just that. */
static void test_backoff_is_not_for_delays_that_are_asked_for(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    join(s, "sub", "");
    put(s, "pub", "a", 1, 1, DISK);
    for (unsigned n = 1; n < 5; n++) {
        forget(s->f);
        givef(s->f, "sub", "[17 [[1 2 %u %u 5000 \"\"]]]", n, n);
        settle_down(s);
        assert_int_equal(until_again(s, "sub", 10000), 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_backoff_doubles_up_to_its_bound),
        TEST_STREAM(test_backoff_spreads_what_failed_together),
        TEST_STREAM(test_backoff_is_not_for_delays_that_are_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
