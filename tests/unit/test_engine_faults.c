/* The engine over a store that fails: a whole life of streams and a group,
 * again and again, with each commit and each read failing in turn, once or from
 * then on. What was confirmed is there and is there once, what was refused is
 * not, the group passes nothing over, all of it is told, and the engine goes on
 * when the store does. */
#include "tests/unit/durable_life.h"

struct fault {
    const char *row;
    tidings_err err;
    bool for_good;
};

static bool told; /* in the log: that a commit or a read failed */

static void on_log(void *ctx, enum td_log_level level, const char *id,
                   const char *text)
{
    (void)ctx;
    (void)text;
    (void)level;
    told = told || strcmp(id, "STORE-FAILED") == 0 ||
           strcmp(id, "STORE-FULL") == 0 ||
           strcmp(id, "STORE-READ-ONLY") == 0 || strcmp(id, "READ-FAILED") == 0;
}

static struct streams *begin_life(void **state)
{
    struct streams *s;

    assert_int_equal(setup_streams(state), 0);
    s = *state;
    s->f->unjudged = true;
    s->f->engine->options.log =
        (struct td_log){.level = TD_LOG_WARN, .write = on_log};
    told = false;
    return s;
}

/* The store is well again; one that was broken, with the next broker. */
static void heal(struct streams *s)
{
    td_model_fail(s->model, 0, TIDINGS_OK);
    td_model_fail_read(s->model, 0, TIDINGS_OK);
    wait_ms(s, 2000); /* what failed is tried again */
}

/* Each event that asked for it was answered, once. */
static void check_answered(struct streams *s, const struct life *life,
                           tidings_err err)
{
    uint32_t answers[LIFE_EVENTS] = {0};
    struct td_confirm row;

    for (uint32_t i = 0; confirm_to(s, "pub", i, &row); i++) {
        assert_true(row.code == TIDINGS_OK || row.code == TIDINGS_ECONFLICT ||
                    row.code == (uint64_t)err || row.code == TIDINGS_EFULL);
        for (uint64_t k = 0; k < row.count; k++)
            answers[row.first + k]++;
    }
    for (uint64_t n = 1; n <= life->published; n++)
        assert_int_equal(answers[n], 1);
}

/* With the n-th commit or read failing; false: there are fewer. */
static bool run(const struct fault *fault, bool read, uint32_t n)
{
    uint64_t stored[LIFE_EVENTS] = {0};
    uint64_t before[LIFE_EVENTS];
    struct life life = {0};
    struct streams *s;
    bool failed;
    bool broken;
    void *state;

    s = begin_life(&state);
    if (read)
        td_model_fail_read(s->model, n, fault->err);
    else
        td_model_fail(s->model, n, fault->err);
    if (fault->for_good)
        td_model_fail_on(s->model);
    live(s, &life);
    failed = td_model_failures(s->model) > 0;
    broken = s->f->engine->streams.broken;
    assert_row_at(fault->row, n, told == failed);
    assert_row_at(fault->row, n,
                  broken == (failed && !read && fault->err == TIDINGS_EIO));
    heal(s);
    check_answered(s, &life, fault->err);
    check_out(s);
    if (!broken)
        check_service(s);
    find_stored(s, stored);
    check_confirms(s, stored);
    memcpy(before, stored, sizeof(before));
    note_confirms(s, &life);
    check_after_kill(s);
    check_rest(s, &life);
    memset(stored, 0, sizeof(stored));
    find_stored(s, stored);
    assert_memory_equal(stored, before, sizeof(stored));
    check_service(s);
    check_group(s, &life);
    teardown_streams(&state);
    return failed;
}

static void run_all(const struct fault *faults, size_t len, bool read)
{
    for (size_t i = 0; i < len; i++) {
        uint32_t n = 1;

        while (run(&faults[i], read, n))
            n++;
        print_message("%s: %u %s\n", faults[i].row, n - 1,
                      read ? "reads" : "commits");
        assert_row(faults[i].row, n > 10);
    }
}

static void test_engine_survives_each_failing_commit(void **state)
{
    static const struct fault faults[] = {
        {"full, once", TIDINGS_EFULL, false},
        {"full, for good", TIDINGS_EFULL, true},
        {"no memory, once", TIDINGS_ENOMEM, false},
        {"no memory, for good", TIDINGS_ENOMEM, true},
        {"too large, once", TIDINGS_ELIMIT, false},
        {"too large, for good", TIDINGS_ELIMIT, true},
        {"broken", TIDINGS_EIO, true},
    };

    (void)state;
    run_all(faults, TD_ARRAY_LEN(faults), false);
}

static void test_engine_survives_each_failing_read(void **state)
{
    static const struct fault faults[] = {
        {"error, once", TIDINGS_EIO, false},
        {"error, for good", TIDINGS_EIO, true},
        {"no memory, once", TIDINGS_ENOMEM, false},
        {"no memory, for good", TIDINGS_ENOMEM, true},
    };

    (void)state;
    run_all(faults, TD_ARRAY_LEN(faults), true);
}

/* ---- when it starts ---- */

/* A broker starts over what is there, and its n-th read fails; false: it has
 * fewer. It says so, or has all. */
static bool load(struct streams *s, const struct fault *fault, uint32_t n,
                 uint64_t next)
{
    const struct td_stream *stream;
    uint32_t before = td_model_failures(s->model);
    tidings_err err = TIDINGS_OK;
    bool failed;

    td_engine_free(s->f->engine);
    s->f->engine = NULL;
    forget(s->f);
    td_model_crash(s->model, td_model_committed(s->model));
    s->store = td_model_open(s->model);
    td_model_fail_read(s->model, n, fault->err);
    if (fault->for_good)
        td_model_fail_on(s->model);
    start(s->f, (struct td_engine_options){.store = s->store});
    for (int i = 0; i < 100 && !td_engine_is_loaded(s->f->engine, &err); i++)
        td_engine_flush(s->f->engine, s->f->now);
    assert_row_at(fault->row, n, td_engine_is_loaded(s->f->engine, &err));
    failed = td_model_failures(s->model) > before;
    td_model_fail_read(s->model, 0, TIDINGS_OK);
    assert_row_at(fault->row, n, err == (failed ? fault->err : TIDINGS_OK));
    if (err)
        return true;
    stream = td_stream_find(s->f->engine, td_str_of("events"));
    assert_non_null(stream);
    assert_int_equal(stream->kept.next, next);
    return failed;
}

static void test_engine_says_that_it_cannot_read(void **state)
{
    static const struct fault faults[] = {
        {"error, once", TIDINGS_EIO, false},
        {"error, for good", TIDINGS_EIO, true},
        {"no memory, once", TIDINGS_ENOMEM, false},
        {"no memory, for good", TIDINGS_ENOMEM, true},
    };
    struct life life = {0};
    struct streams *s;
    uint64_t next;
    void *again;

    (void)state;
    s = begin_life(&again);
    live(s, &life);
    next = td_stream_find(s->f->engine, td_str_of("events"))->head.next;
    for (size_t i = 0; i < TD_ARRAY_LEN(faults); i++) {
        uint32_t n = 1;

        while (load(s, &faults[i], n, next))
            n++;
        assert_row(faults[i].row, n > 8);
    }
    kill_broker(s);
    check_group(s, &life); /* none of it has changed anything */
    teardown_streams(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_survives_each_failing_commit),
        cmocka_unit_test(test_engine_survives_each_failing_read),
        cmocka_unit_test(test_engine_says_that_it_cannot_read),
    };

    return cmocka_run_group_tests_name("engine_faults", tests, NULL, NULL);
}
