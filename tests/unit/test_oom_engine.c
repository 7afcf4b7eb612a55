/* The engine without memory: whole scenarios, again and again, with the n-th
 * allocation failing, and with all from the n-th on, for every n. */
#include "tests/support/td_test.h"

#include "tests/support/alloc.h"
#include "tests/unit/oom_peers.h"
#include "tests/unit/oom_steps.h"

#define N_MAX 20000 /* a scenario that never gets through is a bug */

struct scenario {
    const struct oom_step *steps;
    size_t memory_bytes; /* of the engine's queues; 0: the default */
    uint64_t resumes;    /* sessions, when nothing fails */
};

static void take_step(struct oom_broker *b, const struct oom_step *s)
{
    switch (s->op) {
    case HELLO:
        oom_hello(b, s->peer);
        return;
    case RESUME:
        oom_resume(b, s->peer);
        return;
    case DEAF:
        b->peers[s->peer].deaf = true;
        return;
    case SUB:
        oom_subscribe(b, s->peer, s->n, s->text, s->options);
        return;
    case UNSUB:
        oom_unsubscribe(b, s->peer, s->n);
        return;
    case PUB:
        oom_publish(b, s->peer, s->text, s->n);
        return;
    case CREDIT:
        oom_credit(b, s->peer);
        return;
    case STATS:
        oom_stats(b, s->peer, s->text);
        return;
    case BYE:
        oom_bye(b, s->peer);
        return;
    case GONE:
        oom_gone(b, s->peer);
        return;
    case PASS:
        oom_pass(b, s->n);
        return;
    case END:
        return;
    }
}

/* With memory again: whoever greets, subscribes and publishes is served. */
static void check_service(struct oom_broker *b)
{
    td_alloc_stop();
    oom_come_to_rest(b);
    for (unsigned i = 0; i < OOM_PEERS - 1; i++)
        oom_hello(b, i);
    oom_subscribe(b, 1, OOM_SUBS - 1, "after.*", OOM_WIDE);
    oom_publish(b, 0, "after.all 3 10", 0);
    oom_publish(b, 2, "after.all 4 10", 0);
    assert_int_equal(b->peers[1].subs[OOM_SUBS - 1].received, 7);
    oom_come_to_rest(b);
}

/* false: the scenario ran through without meeting the failure. */
static bool run(const struct scenario *scenario, enum td_alloc_way way,
                size_t n)
{
    static struct oom_broker b;
    size_t before = td_alloc_live();
    bool failed;

    oom_start(&b, scenario->memory_bytes);
    td_alloc_arm(way, n);
    for (const struct oom_step *s = scenario->steps; s->op != END; s++) {
        take_step(&b, s);
        if (td_alloc_failed())
            oom_check_ledger(&b);
        if (td_alloc_failed() && way == TD_ALLOC_ONE)
            oom_find_lost(&b);
    }
    failed = td_alloc_failed();
    if (!failed)
        assert_int_equal(oom_count(&b, "resumed"), scenario->resumes);
    check_service(&b);
    oom_finish(&b);
    assert_int_equal(td_alloc_live(), before);
    return failed;
}

static void run_each(const struct scenario *scenario)
{
    for (enum td_alloc_way way = TD_ALLOC_ONE; way <= TD_ALLOC_REST; way++) {
        size_t n = 1;

        while (run(scenario, way, n))
            assert_true(++n < N_MAX);
        assert_true(n > 20); /* it does meet failures */
    }
}

static void test_engine_serves_on_when_memory_fails_in_a_session(void **state)
{
    const struct scenario scenario = {oom_life, 0, 0};
    (void)state;

    run_each(&scenario);
}

static void test_engine_tells_what_is_lost_when_queues_are_over(void **state)
{
    const struct scenario scenario = {oom_slow, 0, 0};
    (void)state;

    run_each(&scenario);
}

static void test_engine_shares_when_memory_fails(void **state)
{
    static const struct scenario scenarios[] = {{oom_round_robin, 0, 0},
                                                {oom_random_member, 0, 0},
                                                {oom_least_pending, 0, 0},
                                                {oom_by_key, 0, 0}};
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(scenarios); i++)
        run_each(&scenarios[i]);
}

static void test_engine_drops_and_tells_when_memory_fails(void **state)
{
    const struct scenario scenario = {oom_dropping, 0, 0};
    (void)state;

    run_each(&scenario);
}

static void test_engine_resumes_or_begins_anew_when_memory_fails(void **state)
{
    static const struct scenario scenarios[] = {{oom_resumed, 0, 2},
                                                {oom_alone, 0, 1}};
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(scenarios); i++)
        run_each(&scenarios[i]);
}

static void test_engine_advises_as_far_as_memory_goes(void **state)
{
    const struct scenario scenario = {oom_advised, 0, 1};
    (void)state;

    run_each(&scenario);
}

static void test_engine_gathers_whole_or_not_at_all(void **state)
{
    const struct scenario scenario = {oom_many, 0, 0};
    (void)state;

    run_each(&scenario);
}

static void test_engine_keeps_its_bound_when_memory_fails(void **state)
{
    const struct scenario scenario = {oom_full, 64u << 10, 0};
    (void)state;

    run_each(&scenario);
}

/* Tables that grow while they are full of others. */
static void test_engine_keeps_what_it_has_when_a_table_cannot_grow(void **state)
{
    static struct oom_broker b;
    (void)state;

    for (size_t n = 1; n <= 30; n++) {
        size_t before = td_alloc_live();
        char text[64];

        oom_start(&b, 0);
        oom_hello(&b, 0);
        oom_hello(&b, 1);
        for (unsigned i = 1; i < OOM_SUBS - 1; i++) {
            snprintf(text, sizeof(text), i % 2 ? "t%u.x.*" : "*.x.>", i);
            td_alloc_arm(i % 2 ? TD_ALLOC_ONE : TD_ALLOC_REST, n);
            oom_subscribe(&b, 1, i, text, OOM_WIDE);
            snprintf(text, sizeof(text), "t%u.x.y 2 10", i);
            oom_publish(&b, 0, text, 0);
            td_alloc_stop();
            oom_find_lost(&b);
            oom_credit(&b, 1);
            oom_hello(&b, 0);
            oom_hello(&b, 1);
        }
        oom_check_ledger(&b);
        check_service(&b);
        oom_finish(&b);
        assert_int_equal(td_alloc_live(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_serves_on_when_memory_fails_in_a_session),
        cmocka_unit_test(test_engine_tells_what_is_lost_when_queues_are_over),
        cmocka_unit_test(test_engine_shares_when_memory_fails),
        cmocka_unit_test(test_engine_drops_and_tells_when_memory_fails),
        cmocka_unit_test(test_engine_resumes_or_begins_anew_when_memory_fails),
        cmocka_unit_test(test_engine_advises_as_far_as_memory_goes),
        cmocka_unit_test(test_engine_gathers_whole_or_not_at_all),
        cmocka_unit_test(test_engine_keeps_its_bound_when_memory_fails),
        cmocka_unit_test(
            test_engine_keeps_what_it_has_when_a_table_cannot_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
