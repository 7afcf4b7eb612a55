/* The engine: memory that is not there. */
#include "tests/unit/engine_harness.h"

/* All that allocates. With a failure anywhere the engine goes on, its books
 * balance, and whoever greets afresh is served. Returns how many calls. */
static unsigned history(struct fixture *f)
{
    const struct piece pieces[] = {{"a", 2, 9000, 1, NULL},
                                   {"b", 2, 100, 3, NULL}};
    const struct td_counters *c;
    unsigned calls;

    f->calls = 0;
    f->starved = false;
    start(f, (struct td_engine_options){0});
    c = &f->engine->counters;
    hello(f, "pub");
    hello(f, "sub");
    give(f, "sub", "[5 1 1 \"a\" {\"events\" 3 \"bytes\" 2000000}]");
    give(f, "sub",
         "[5 2 2 \">\" {\"events\" 1 \"bytes\" 2000000 "
         "\"queue_events\" 2}]");
    publish(f, "pub", 0, pieces, 2);
    publish_one(f, "pub", "a", 3, 10, 5);
    flush(f);
    give(f, "sub", "[13 1 {}]");
    f->now += TD_BLOCK_MS;
    flush(f);
    assert_int_equal(c->published, c->duplicates + c->routed + c->unmatched);
    calls = f->calls;
    hello(f, "fresh");
    assert_non_null(find(f, "fresh", TD_WELCOME, 0));
    td_engine_stop(f->engine, f->now);
    assert_int_equal(c->gone.matched,
                     c->gone.delivered + c->gone.dropped[TD_DROP_SLOW] +
                         c->gone.dropped[TD_DROP_MEMORY] +
                         c->gone.dropped[TD_DROP_SESSION_LOST]);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
    td_engine_free(f->engine);
    f->engine = NULL;
    forget(f);
    return calls;
}

static void test_engine_survives_every_lack_of_memory(void **state)
{
    struct fixture *f = *state;
    unsigned failures = 0;
    unsigned calls;

    td_engine_free(f->engine);
    calls = history(f);
    for (f->starved_call = 1; f->starved_call <= calls; f->starved_call++) {
        f->starved_allocation = 0;
        do {
            f->starved_allocation++;
            history(f);
            failures += f->starved;
        } while (f->starved);
    }
    assert_true(failures > 40);
}

/* What there was no memory to send goes out when there is, unasked. */
static void test_engine_delivers_when_there_is_memory_again(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    publish_one(f, "pub", "a", 3, 10, 1);
    publish_one(f, "pub", "a", 3, 10, 4); /* two batches, to be gathered */
    f->calls = 0;
    f->starved_call = f->starved_allocation = 1;
    flush(f);
    assert_true(f->starved);
    while (events_to(f, "sub") == 0) {
        assert_true(f->next <= f->now + 100);
        f->now = f->next;
        flush(f);
    }
    assert_int_equal(sessions(f), 2);
}

/* What there was no memory to keep is counted and told. */
static void test_engine_tells_of_what_it_had_no_memory_for(void **state)
{
    struct fixture *f = *state;
    uint64_t lost = 0;

    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 1, 10, 1);
    flush(f);
    f->starved_call = 1;
    for (f->starved_allocation = 1; lost == 0; f->starved_allocation++) {
        f->calls = 0;
        publish_one(f, "pub", "a", 2, 10, 10 * f->starved_allocation);
        assert_true(f->starved_allocation < 50);
        for (struct td_session *s = f->engine->sessions; s; s = s->hh.next) {
            if (s->subs)
                lost = s->subs->group->ledger.dropped[TD_DROP_MEMORY];
        }
        if (sessions(f) < 2 || find(f, "pub", TD_BYE, 0))
            hello(f, "pub"); /* it was its message that failed */
        forget(f);
    }
    give(f, "sub", "[9 1 [[1 1 1000 2000000]]]");
    flush(f);
    assert_int_equal(frame(f, "sub", TD_GAP, 0)->u.gap.events, lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_survives_every_lack_of_memory),
        TEST(test_engine_delivers_when_there_is_memory_again),
        TEST(test_engine_tells_of_what_it_had_no_memory_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
