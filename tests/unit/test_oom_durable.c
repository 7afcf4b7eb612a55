/* The engine without memory, over a store: a whole life of streams and a group,
 * again and again, with each allocation failing in turn (FAULTS R02). It says
 * so, or does it later; what it confirmed is there, what it refused is not, the
 * group loses nothing, not even over a restart, and nothing is left behind. */
#include "tests/unit/durable_life.h"

#include "tests/support/alloc.h"

/* ---- each allocation ---- */

/* Fails the n-th allocation of a call; how many calls there are. */
static unsigned run(unsigned call, size_t n, bool *failed)
{
    size_t before = td_alloc_live();
    uint64_t stored[LIFE_EVENTS] = {0};
    struct life life = {0};
    struct streams *s;
    unsigned calls;
    void *state;

    assert_int_equal(setup_streams(&state), 0);
    s = state;
    s->f->unjudged = true;
    s->f->calls = 0;
    s->f->starved_call = call;
    s->f->starved_allocation = n;
    live(s, &life);
    calls = s->f->calls;
    *failed = s->f->starved;
    s->f->starved_call = 0;
    check_out(s);
    find_stored(s, stored);
    check_confirms(s, stored);
    check_service(s);
    check_after_kill(s);
    check_group(s, &life);
    teardown_streams(&state);
    assert_int_equal(td_alloc_live(), before);
    return calls;
}

static void test_streams_survive_every_lack_of_memory(void **state)
{
    unsigned failures = 0;
    bool failed = false;
    unsigned calls = run(0, 0, &failed);

    (void)state;
    assert_false(failed);
    for (unsigned call = 1; call <= calls; call++) {
        failed = true;
        for (size_t n = 1; failed; n++) {
            run(call, n, &failed);
            failures += failed;
        }
    }
    print_message("%u allocations in %u calls\n", failures, calls);
    assert_true(failures > 300);
}

/* ---- when it starts ---- */

/* A broker starts over what is there, and its n-th allocation fails; false: it
 * did not come to that. */
static bool load(struct streams *s, size_t n, uint64_t next)
{
    const struct td_stream *stream;
    tidings_err err = TIDINGS_OK;
    bool failed;

    td_engine_free(s->f->engine);
    s->f->engine = NULL;
    forget(s->f);
    td_model_crash(s->model, td_model_committed(s->model));
    s->store = td_model_open(s->model);
    td_model_auto(s->model, 4);
    start(s->f, (struct td_engine_options){.store = s->store});
    td_alloc_fail(n);
    for (int i = 0; i < 100 && !td_engine_is_loaded(s->f->engine, &err); i++)
        td_engine_flush(s->f->engine, s->f->now);
    failed = td_alloc_failed();
    td_alloc_fail(0);
    assert_true(td_engine_is_loaded(s->f->engine, &err));
    if (err) {
        assert_true(failed);
        assert_err(err, TIDINGS_ENOMEM);
        return failed;
    }
    stream = td_stream_find(s->f->engine, td_str_of("events"));
    assert_non_null(stream);
    assert_int_equal(stream->kept.next, next);
    return failed;
}

static void test_streams_are_all_read_or_the_broker_says_no(void **state)
{
    size_t before = td_alloc_live();
    struct life life = {0};
    struct streams *s;
    uint64_t next;
    void *again;
    size_t n = 0;

    (void)state;
    assert_int_equal(setup_streams(&again), 0);
    s = again;
    s->f->unjudged = true;
    live(s, &life);
    next = td_stream_find(s->f->engine, td_str_of("events"))->head.next;
    do
        n++;
    while (load(s, n, next));
    assert_true(n > 20);
    teardown_streams(&again);
    assert_int_equal(td_alloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_survive_every_lack_of_memory),
        cmocka_unit_test(test_streams_are_all_read_or_the_broker_says_no),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
