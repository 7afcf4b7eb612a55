/* Streams and groups that whoever starts the broker wants to be there, and
 * bounds that change while it runs. */
#include "tests/unit/stream_fixture.h"

#include "broker/engine/declare.h"
#include "tests/support/mp.h"

#define STREAM(stream, taken)                                                  \
    {                                                                          \
        .name = {stream, sizeof(stream) - 1},                                  \
        .patterns = {{taken, sizeof(taken) - 1}}, .patterns_len = 1            \
    }

static struct td_declared_group group_of(const char *stream, const char *group,
                                         uint32_t max_deliver)
{
    return (struct td_declared_group){
        .options = {.stream = td_str_of(stream),
                    .group = td_str_of(group),
                    .pattern = td_str_of(">"),
                    .max_in_flight = TD_IN_FLIGHT,
                    .ack_wait_ms = TD_ACK_WAIT_MS,
                    .max_deliver = max_deliver,
                    .backoff_ms = TD_BACKOFF_MS,
                    .backoff_max_ms = TD_BACKOFF_MAX_MS},
        .given = TD_GIVEN_MAX_DELIVER,
    };
}

static uint32_t streams_of(struct streams *s)
{
    return HASH_COUNT(s->f->engine->streams.all);
}

/* Fails at that place, with that word, and leaves everything as it was. */
static void check_refused(struct streams *s, const struct td_declared *d,
                          tidings_err code, uint32_t where, const char *word)
{
    uint32_t streams = streams_of(s);
    uint32_t groups = s->f->engine->streams.groups_len;
    const char *text;
    uint32_t at;

    assert_err(td_engine_declare(s->f->engine, d, &at, &text), code);
    assert_row(text, strstr(text, word) != NULL);
    assert_int_equal(at, where);
    assert_int_equal(streams_of(s), streams);
    assert_int_equal(s->f->engine->streams.groups_len, groups);
}

static void declare_ok(struct streams *s, const struct td_declared *d)
{
    const char *text;
    uint32_t at;

    assert_ok(td_engine_declare(s->f->engine, d, &at, &text));
    settle_down(s);
}

static const struct td_stream *stream_of(struct streams *s, const char *name)
{
    const struct td_stream *stream =
        td_stream_find(s->f->engine, td_str_of(name));

    assert_non_null(stream);
    return stream;
}

static uint64_t bound_of(struct streams *s, const char *name)
{
    return stream_of(s, name)->options.max_events;
}

static uint64_t kept_of(struct streams *s, const char *name)
{
    return stream_of(s, name)->kept.next - stream_of(s, name)->kept.first;
}

static void test_declared_streams_and_groups_are_kept(void **state)
{
    struct td_stream_options list[] = {STREAM("a", "a.>"), STREAM("b", "b.>")};
    struct td_declared_group groups[] = {group_of("b", "g", 3),
                                         group_of("events", "g", 4)};
    const struct td_declared d = {list, 2, groups, 2};
    struct streams *s = *state;

    declare_ok(s, &d);
    assert_int_equal(streams_of(s), 3);
    cut_power(s);
    assert_int_equal(streams_of(s), 3);
    assert_int_equal(s->f->engine->streams.groups_len, 2);
    declare_ok(s, &d); /* they are there */
    assert_int_equal(streams_of(s), 3);
    assert_int_equal(s->f->engine->streams.groups_len, 2);
}

static void test_a_declared_group_is_before_what_comes_next(void **state)
{
    struct td_stream_options list[] = {STREAM("a", "a.>")};
    struct td_declared_group groups[] = {group_of("a", "g", 3)};
    const struct td_declared d = {list, 1, groups, 1};
    struct streams *s = *state;

    declare_ok(s, &d);
    hello(s->f, "pub");
    put(s, "pub", "a.b", 3, 1, DISK);
    settle_down(s);
    cut_power(s);
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "a", "g", "");
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

static void test_what_differs_is_named_and_nothing_is_done(void **state)
{
    struct td_stream_options list[] = {STREAM("new", "n.>"),
                                       STREAM("a", "a.>")};
    struct td_declared_group groups[] = {group_of("a", "g", 3)};
    const struct td_declared first = {&list[1], 1, groups, 1};
    const struct td_declared d = {list, 2, groups, 1};
    struct streams *s = *state;

    declare_ok(s, &first);
    list[1].max_events = 7; /* and more than that */
    list[1].storage = TD_IN_MEMORY;
    check_refused(s, &d, TIDINGS_EEXIST, 1, "storage");
    list[1].storage = TD_ON_DISK;
    list[1].patterns[0] = td_str_of("a.*");
    check_refused(s, &d, TIDINGS_EEXIST, 1, "patterns");
    list[1].patterns[0] = td_str_of("a.>");
    groups[0].options.max_deliver = 4;
    check_refused(s, &d, TIDINGS_EEXIST, 2, "max_deliver");
    assert_int_equal(bound_of(s, "a"), 0);
    groups[0].given = 0; /* nobody asked for that */
    declare_ok(s, &d);
    assert_int_equal(streams_of(s), 3);
}

static void test_a_stream_gets_the_bounds_that_are_declared(void **state)
{
    struct td_stream_options list[] = {STREAM("a", "a.>")};
    const struct td_declared d = {list, 1, NULL, 0};
    struct streams *s = *state;

    declare_ok(s, &d);
    hello(s->f, "pub");
    for (uint64_t i = 1; i <= 5; i++)
        put(s, "pub", "a.b", 1, i, DISK);
    settle_down(s);
    list[0].max_events = 2;
    declare_ok(s, &d);
    assert_int_equal(kept_of(s, "a"), 2);
    cut_power(s);
    assert_int_equal(bound_of(s, "a"), 2);
    assert_int_equal(kept_of(s, "a"), 2);
    list[0].max_events = 0; /* left out: there is none */
    declare_ok(s, &d);
    assert_int_equal(bound_of(s, "a"), 0);
}

static void test_what_cannot_be_is_refused_whole(void **state)
{
    struct td_stream_options list[] = {STREAM("new", "n.>"),
                                       STREAM("other", "a.b")};
    struct td_stream_options there[] = {STREAM("a", "a.>")};
    struct td_declared_group groups[] = {group_of("new", "g", 3),
                                         group_of("nowhere", "g", 3)};
    const struct td_declared first = {there, 1, NULL, 0};
    const struct td_declared overlaps = {list, 2, NULL, 0};
    const struct td_declared homeless = {list, 1, groups, 2};
    struct streams *s = *state;

    declare_ok(s, &first);
    check_refused(s, &overlaps, TIDINGS_EINVAL, 1, "overlaps with a.>");
    check_refused(s, &homeless, TIDINGS_ENOTFOUND, 2, "no such stream");
}

static void test_bounds_change_while_it_runs(void **state)
{
    struct streams *s = *state;

    td_engine_bound(s->f->engine, 64 << 20, 32 << 20, 60000);
    assert_int_equal(s->f->engine->options.memory_bytes, 64 << 20);
    assert_int_equal(s->f->engine->options.session_bytes, 32 << 20);
    hello(s->f, "a");
    gone(s->f, "a");
    pass(s->f, TD_GRACE_MS + 5000); /* longer than it was */
    assert_int_equal(sessions(s->f), 1);
    td_engine_bound(s->f->engine, 64 << 20, 32 << 20, -1);
    pass(s->f, 2000);
    assert_int_equal(sessions(s->f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_declared_streams_and_groups_are_kept),
        TEST_STREAM(test_a_declared_group_is_before_what_comes_next),
        TEST_STREAM(test_what_differs_is_named_and_nothing_is_done),
        TEST_STREAM(test_a_stream_gets_the_bounds_that_are_declared),
        TEST_STREAM(test_what_cannot_be_is_refused_whole),
        TEST_STREAM(test_bounds_change_while_it_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
