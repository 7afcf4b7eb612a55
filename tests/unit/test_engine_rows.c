/* The engine: rows of the store that are whole, and say what cannot be. */
#include "tests/unit/stream_fixture.h"

/* As the engine itself would; then the broker starts anew. */
static void restart_with(struct streams *s, const struct td_place *key,
                         struct td_buf *value)
{
    td_commit_put(s->f->engine, key, value, NULL, 0, 0);
    td_commit_raise(s->f->engine, TD_LEVEL_DISK);
    td_buf_fini(value);
    settle_down(s);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
}

/* Where another row stands, beside that of event 1, which is due at 5000000. */
static const struct {
    const char *name;
    int64_t due_ms;
    uint64_t number;
    uint64_t next;     /* the number that comes next … */
    const char *event; /* … or an event; NULL: none */
} places[] = {
    {"a number twice, earlier", 4000000, 1, 0, "event"},
    {"a number twice, later", 6000000, 1, 0, "event"},
    {"the last number of all", 6000000, UINT64_MAX, 0, "event"},
    {"an event without a number", 6000000, 0, 0, "event"},
    {"what comes next, as an event", 6000000, 7, 9, NULL},
    {"no event", 6000000, 7, 0, NULL},
};

static void test_scheduled_rows_that_cannot_be_are_left_out(void **state)
{
    const struct piece piece = {"a", 1, 10, 1, NULL};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(places); i++) {
        const struct td_place key =
            td_place_due(places[i].due_ms, places[i].number);
        struct td_schedule_row row = {.next = places[i].next};
        struct td_buf value = {0};
        struct streams *s;
        void *own = NULL;

        assert_int_equal(setup_streams(&own), 0);
        s = own;
        hello(s->f, "pub");
        publish_if(s->f, "pub", DISK, &piece, 1, "{\"at_ms\" 5000000}");
        settle_down(s);
        row.body = places[i].event ? td_str_of(places[i].event) : td_no_str;
        td_schedule_row_pack(&value, &row);
        restart_with(s, &key, &value);
        assert_row(places[i].name, count(call(s, "pub", "schedule.list", "{}"),
                                         "scheduled_total") == 1);
        assert_row(places[i].name, s->f->engine->streams.lost_states == 1);
        teardown_streams(&own);
    }
}

/* A group that is to have the newest alone of what there was, and nothing else
 * ever, as its row says. */
static void test_a_group_has_all_that_is_stored_from_now_on(void **state)
{
    const struct td_place key = td_place_one(TD_TABLE_FLOOR, 1);
    const struct td_floor row = {
        .floor = 1, .dead_next = 1, .newest_to = UINT64_MAX};
    struct streams *s = *state;
    struct td_buf value = {0};
    struct td_span span;

    hello(s->f, "pub");
    put(s, "pub", "a", 3, 1, DISK);
    call(s, "pub", "group.add",
         "{\"stream\" \"events\" \"group\" \"g\" \"start\" \"all\"}");
    pass(s->f, 100);
    settle_down(s);
    td_floor_pack(&value, &row);
    restart_with(s, &key, &value);
    put(s, "pub", "a", 3, 4, DISK);
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(events_to(s->f, "sub"), 3);
    assert_true(span_to(s, "sub", 0, &span));
    assert_int_equal(span.sequence, 4);
    assert_int_equal(span.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scheduled_rows_that_cannot_be_are_left_out),
        TEST_STREAM(test_a_group_has_all_that_is_stored_from_now_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
