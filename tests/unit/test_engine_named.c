/* The engine: producers that have a name, and who holds it. */
#include "tests/unit/stream_fixture.h"

#include "proto/id.h"

#define A "{\"producer\" \"a\"}"

static void put_size(struct streams *s, const char *peer, uint32_t size,
                     uint32_t events, uint64_t first)
{
    const struct piece piece = {"a.b", events, size, first, NULL};

    publish(s->f, peer, DISK, &piece, 1);
    settle_down(s);
}

static void check_confirm(struct streams *s, const char *peer, uint32_t nth,
                          const struct td_confirm *is)
{
    struct td_confirm row;

    assert_true(confirm_to(s, peer, nth, &row));
    assert_int_equal(row.first, is->first);
    assert_int_equal(row.count, is->count);
    assert_int_equal(row.code, is->code);
    assert_int_equal(row.duplicate, is->duplicate);
    assert_int_equal(row.level, is->code ? 0 : TD_LEVEL_DISK);
}

#define CONFIRM(peer, nth, first_, count_, code_, duplicate_)                  \
    check_confirm(s, peer, nth,                                                \
                  &(struct td_confirm){.first = (first_),                      \
                                       .count = (count_),                      \
                                       .code = (code_),                        \
                                       .duplicate = (duplicate_)})

static uint64_t stored_events(struct streams *s, const char *peer)
{
    return count(row_of(call(s, peer, "stream.list", "{}"), "streams", 0),
                 "last");
}

/* ---- numbering and fencing ---- */

static void test_named_goes_on_where_it_was(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    check_welcome(s, "=a/1", 1, 0);
    put_size(s, "=a/1", 10, 3, 1);
    CONFIRM("=a/1", 0, 1, 3, TIDINGS_OK, false);
    cut_power(s);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, 3);
    put_size(s, "=a/2", 10, 3, 2); /* two of them again */
    CONFIRM("=a/2", 0, 2, 2, TIDINGS_OK, true);
    CONFIRM("=a/2", 1, 4, 1, TIDINGS_OK, false);
    assert_int_equal(stored_events(s, "=a/2"), 4);
}

static void test_named_is_held_by_the_last_who_came(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 3, 1);
    hello_term(s, "=a/2", 0);
    assert_bye(s->f, "the one before", "=a/1", TIDINGS_EFENCED);
    check_welcome(s, "=a/2", 2, 3);
    forget(s->f);
    put_size(s, "=a/1", 10, 1, 4); /* it has no session */
    assert_bye(s->f, "without a session", "=a/1", TIDINGS_EFENCED);
    forget(s->f);
    hello_term(s, "=a/1", 1);
    assert_bye(s->f, "with its old term", "=a/1", TIDINGS_EFENCED);
    cut_power(s);
    hello_term(s, "=a/1", 1);
    assert_bye(s->f, "of another broker", "=a/1", TIDINGS_EFENCED);
    hello_term(s, "=a/2", 2);
    check_welcome(s, "=a/2", 2, 3);
    assert_int_equal(stored_events(s, "=a/2"), 3);
}

/* What it had sent is no nonsense; nor is what it says of itself from then on
 * what it was. */
static void test_named_frames_on_their_way_are_fenced(void **state)
{
    struct streams *s = *state;
    const struct td_counters *c = &s->f->engine->counters;

    hello_term(s, "=a/1", 0);
    hello_term(s, "=a/2", 0);
    put_size(s, "=a/1", 10, 3, 1);
    give(s->f, "=a/1", "[14 0 \"\"]");
    put_size(s, "=b/1", 10, 3, 1); /* a stranger */
    assert_int_equal(c->fenced, 1);
    assert_int_equal(c->bad_frames, 1);
    hello_term(s, "=a/1", 1);
    assert_int_equal(c->fenced, 2);
    forget(s->f);
    hello_term(s, "=a/1", 0); /* it takes the name back */
    check_welcome(s, "=a/1", 3, 0);
    put_size(s, "=a/2", 10, 1, 1);
    assert_int_equal(c->fenced, 3);
    give(s->f, "=a/1", "[14 0 \"\"]");
    put_size(s, "=a/1", 10, 1, 1);
    assert_int_equal(c->fenced, 3);
    assert_int_equal(c->bad_frames, 2);
}

/* The oldest are forgotten. */
static void test_named_fences_many(void **state)
{
    struct streams *s = *state;
    const struct td_counters *c = &s->f->engine->counters;
    char peer[16];

    for (unsigned i = 0; i <= TD_FENCED_PEERS + 1; i++) {
        snprintf(peer, sizeof(peer), "=a/%u", i);
        hello_term(s, peer, 0);
    }
    put_size(s, "=a/0", 10, 1, 1);
    assert_int_equal(c->fenced, 0);
    assert_int_equal(c->bad_frames, 1);
    put_size(s, "=a/1", 10, 1, 1);
    put_size(s, "=a/64", 10, 1, 1);
    assert_int_equal(c->fenced, 2);
}

/* A holder that is stopped is fenced while it is away, or silent. */
static void test_named_fences_who_is_away(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    gone(s->f, "=a/1");
    flush(s->f);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, 0);
    hello_term(s, "=a/3", 1);
    assert_bye(s->f, "back", "=a/3", TIDINGS_EFENCED);
}

static void test_named_reconnects_under_its_term(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 3, 1);
    hello_term(s, "=a/2", 1);
    assert_bye(s->f, "its old link", "=a/1", TIDINGS_EEXIST);
    check_welcome(s, "=a/2", 1, 3);
    kill_broker(s);
    hello_term(s, "=a/3", 1);
    check_welcome(s, "=a/3", 1, 3);
}

/* A folder that was restored from a copy knows less than its clients. */
static void test_named_believes_a_higher_term(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 7);
    check_welcome(s, "=a/1", 7, 0);
    hello_term(s, "=a/2", 6);
    assert_bye(s->f, "a lower one", "=a/2", TIDINGS_EFENCED);
    kill_broker(s);
    hello_term(s, "=a/3", 0);
    check_welcome(s, "=a/3", 8, 0);
}

static void test_named_is_greeted_when_its_term_is_kept(void **state)
{
    struct streams *s = *state;

    hold_store(s);
    hello_term(s, "=a/1", 0);
    assert_null(find(s->f, "=a/1", TD_WELCOME, 0));
    kill_broker(s); /* before: nobody has been the holder */
    hold_store(s);
    hello_term(s, "=a/2", 0);
    hello_term(s, "=a/3", 0);
    assert_bye(s->f, "not greeted yet", "=a/2", TIDINGS_EFENCED);
    let_store(s);
    assert_null(find(s->f, "=a/2", TD_WELCOME, 0));
    check_welcome(s, "=a/3", 2, 0);
}

static void test_named_are_greeted_each(void **state)
{
    struct streams *s = *state;

    hold_store(s);
    hello_term(s, "=a/1", 0);
    hello_with(s->f, "=b/1", "{\"producer\" \"b\" \"term\" 0}");
    settle_down(s);
    assert_null(find(s->f, "=a/1", TD_WELCOME, 0));
    assert_null(find(s->f, "=b/1", TD_WELCOME, 0));
    let_store(s);
    check_welcome(s, "=a/1", 1, 0);
    check_welcome(s, "=b/1", 1, 0);
}

static void test_named_says_nothing_before_it_is_greeted(void **state)
{
    static const char *const rows[] = {"[11 1]", "[13 1 {}]",
                                       "[5 1 1 \"a\" " WIDE "]"};
    struct streams *s = *state;

    hold_store(s);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        forget(s->f);
        hello_term(s, "=a/1", 0);
        give(s->f, "=a/1", rows[i]);
        flush(s->f);
        assert_bye(s->f, rows[i], "=a/1", TIDINGS_EPROTO);
    }
    forget(s->f);
    hello_term(s, "=a/1", 0);
    gone(s->f, "=a/1");
    hello_term(s, "=a/2", 0);
    give(s->f, "=a/2", "[14 0 \"\"]");
    let_store(s);
    assert_null(find(s->f, "=a/1", TD_WELCOME, 0));
    assert_null(find(s->f, "=a/2", TD_WELCOME, 0));
    hello_term(s, "=a/3", 0);
    check_welcome(s, "=a/3", 6, 0);
}

static void test_named_is_sent_away_when_its_term_is_lost(void **state)
{
    struct streams *s = *state;

    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    hello_term(s, "=a/1", 0);
    let_store(s);
    assert_bye(s->f, "not kept", "=a/1", TIDINGS_EFULL);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, 0);
    cut_power(s);
    hello_term(s, "=a/3", 1);
    assert_bye(s->f, "kept later", "=a/3", TIDINGS_EFENCED);
}

/* ---- the same sequence ---- */

static void test_named_tells_duplicates_from_conflicts(void **state)
{
    static const struct piece other = {"a.c", 1, 10, 4, NULL};
    const struct piece mixed[] = {{"a.b", 2, 10, 2, NULL},
                                  {"a.b", 1, 11, 4, NULL},
                                  {"a.b", 2, 10, 5, NULL}};
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 5, 1);
    for (int broker = 0; broker < 2; broker++) {
        forget(s->f);
        put_size(s, "=a/1", 11, 2, 4);
        CONFIRM("=a/1", 0, 4, 2, TIDINGS_ECONFLICT, false);
        publish(s->f, "=a/1", DISK, &other, 1);
        settle_down(s);
        CONFIRM("=a/1", 1, 4, 1, TIDINGS_ECONFLICT, false);
        publish(s->f, "=a/1", DISK, mixed, 3);
        settle_down(s);
        CONFIRM("=a/1", 2, 2, 2, TIDINGS_OK, true);
        CONFIRM("=a/1", 3, 4, 1, TIDINGS_ECONFLICT, false);
        if (broker > 0)
            break;
        CONFIRM("=a/1", 4, 5, 1, TIDINGS_OK, true);
        CONFIRM("=a/1", 5, 6, 1, TIDINGS_OK, false);
        cut_power(s);
        hello_term(s, "=a/1", 1);
    }
    CONFIRM("=a/1", 4, 5, 2, TIDINGS_OK, true);
    assert_int_equal(stored_events(s, "=a/1"), 6);
}

static void test_named_remembers_its_last_events(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 3 * TD_NAMED_HASHES, 1);
    forget(s->f);
    put_size(s, "=a/1", 11, 1, 2 * TD_NAMED_HASHES);
    CONFIRM("=a/1", 0, 2 * TD_NAMED_HASHES, 1, TIDINGS_OK, true);
    put_size(s, "=a/1", 11, 1, 2 * TD_NAMED_HASHES + 1);
    CONFIRM("=a/1", 1, 2 * TD_NAMED_HASHES + 1, 1, TIDINGS_ECONFLICT, false);
    put_size(s, "=a/1", 11, 1, 3 * TD_NAMED_HASHES);
    CONFIRM("=a/1", 2, 3 * TD_NAMED_HASHES, 1, TIDINGS_ECONFLICT, false);
}

/* C11: what was to be stored has pushed out what is: that is not called another
 * event; and what was not stored is, when it comes again. */
static void test_named_knows_less_when_a_large_commit_fails(void **state)
{
    struct streams *s = *state;
    uint32_t many = TD_NAMED_HASHES + 10;

    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 20, 1);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    put_size(s, "=a/1", 10, TD_NAMED_HASHES - 10, 21); /* pushes out 10 */
    CONFIRM("=a/1", 1, 21, TD_NAMED_HASHES - 10, TIDINGS_EFULL, false);
    put_size(s, "=a/1", 11, 1, 10);
    CONFIRM("=a/1", 2, 10, 1, TIDINGS_OK, true);
    put_size(s, "=a/1", 11, 1, 11);
    CONFIRM("=a/1", 3, 11, 1, TIDINGS_ECONFLICT, false);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    put_size(s, "=a/1", 10, many, 21 + TD_NAMED_HASHES); /* … all */
    forget(s->f);
    put_size(s, "=a/1", 11, 1, 20);
    CONFIRM("=a/1", 0, 20, 1, TIDINGS_OK, true);
    put_size(s, "=a/1", 11, 1, 21);
    CONFIRM("=a/1", 1, 21, 1, TIDINGS_OK, false);
    put_size(s, "=a/1", 10, many, 21 + TD_NAMED_HASHES);
    CONFIRM("=a/1", 2, 21 + TD_NAMED_HASHES, many, TIDINGS_OK, false);
    assert_int_equal(stored_events(s, "=a/1"), 20 + 1 + many);
}

/* What was passed over is gone: it must not be called a duplicate. */
static void test_named_numbers_may_be_left_out(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 1, 1);
    put_size(s, "=a/1", 10, 1, 1000000);
    CONFIRM("=a/1", 1, 1000000, 1, TIDINGS_OK, false);
    put_size(s, "=a/1", 10, 1, 500);
    CONFIRM("=a/1", 2, 500, 1, TIDINGS_ECONFLICT, false);
    cut_power(s);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, 1000000);
}

/* What a store refused is stored when it comes again, under its number; and a
 * new holder begins with it. */
static void test_named_stores_later_what_was_refused(void **state)
{
    struct streams *s = *state;

    subscriber(s->f, "sub", "a.b", WIDE);
    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 2, 1);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    put_size(s, "=a/1", 10, 2, 3);
    CONFIRM("=a/1", 1, 3, 2, TIDINGS_EFULL, false);
    put_size(s, "=a/1", 10, 1, 5);
    CONFIRM("=a/1", 2, 5, 1, TIDINGS_OK, false);
    put_size(s, "=a/1", 12, 1, 4); /* nothing is there, so it may be other */
    CONFIRM("=a/1", 3, 4, 1, TIDINGS_OK, false);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    put_size(s, "=a/1", 10, 2, 6);
    CONFIRM("=a/1", 4, 6, 2, TIDINGS_EFULL, false);
    assert_int_equal(events_to(s->f, "sub"), 7);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, 5);
    put_size(s, "=a/2", 12, 1, 6);
    CONFIRM("=a/2", 0, 6, 1, TIDINGS_OK, false);
    assert_int_equal(events_to(s->f, "sub"), 8);
    put_size(s, "=a/2", 10, 1, 3);
    CONFIRM("=a/2", 1, 3, 1, TIDINGS_OK, false);
    assert_int_equal(stored_events(s, "=a/2"), 6);
}

/* With more holes than are kept track of, what is stored is known all the same
 * when one more commit fails: no number is given out twice. */
static void test_named_with_many_holes_goes_on_behind_what_is_stored(
    void **state)
{
    struct streams *s = *state;
    uint64_t n = 1;

    hello_term(s, "=a/1", 0);
    for (uint32_t i = 0; i < TD_HOLES_MAX + 2; i++) {
        put_size(s, "=a/1", 10, 1, n++);
        td_model_fail(s->model, 1, TIDINGS_EFULL);
        put_size(s, "=a/1", 10, 1, n++);
        settle_down(s);
    }
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, n - 2);
    put_size(s, "=a/2", 12, 1, 1);
    CONFIRM("=a/2", 0, 1, 1, TIDINGS_ECONFLICT, false);
    put_size(s, "=a/2", 10, 1, 1);
    CONFIRM("=a/2", 1, 1, 1, TIDINGS_OK, true);
}

/* What waits for its time is stored under its number, as anything else. */
static void test_named_schedules_once(void **state)
{
    static const struct piece same = {"a.b", 2, 10, 1, NULL};
    static const struct piece mixed[] = {{"a.b", 1, 10, 1, NULL},
                                         {"a.b", 1, 11, 2, NULL}};
    struct streams *s = *state;

    for (unsigned broker = 0; broker < 2; broker++) {
        hello_term(s, "=a/1", 0);
        check_welcome(s, "=a/1", broker + 1, broker ? 2 : 0);
        publish_if(s->f, "=a/1", DISK, &same, 1, "{\"after_ms\" 60000}");
        settle_down(s);
        CONFIRM("=a/1", 0, 1, 2, TIDINGS_OK, broker > 0);
        publish_if(s->f, "=a/1", DISK, mixed, 2, "{\"after_ms\" 60000}");
        settle_down(s);
        CONFIRM("=a/1", 1, 1, 1, TIDINGS_OK, true);
        CONFIRM("=a/1", 2, 2, 1, TIDINGS_ECONFLICT, false);
        cut_power(s);
    }
}

/* A batch that is taken as a whole is not, when a part of it is stored: it would
 * be stored twice. Nor when it comes again. */
static void test_named_refuses_a_whole_that_is_partly_stored(void **state)
{
    static const struct {
        uint64_t flags;
        const char *options;
    } rows[] = {{DISK | TD_PUBLISH_ATOMIC, "{}"},
                {DISK, "{\"expect\" 7}"},
                {DISK, "{\"after_ms\" 60000}"}};
    static const struct piece across = {"a.b", 6, 10, 5, NULL};
    struct streams *s = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        hello_term(s, "=a/1", 0);
        if (i == 0)
            put_size(s, "=a/1", 10, 7, 1);
        forget(s->f);
        for (uint32_t again = 0; again < 2; again++) {
            publish_if(s->f, "=a/1", rows[i].flags, &across, 1,
                       rows[i].options);
            settle_down(s);
            CONFIRM("=a/1", again, 5, 6, TIDINGS_ECONFLICT, false);
        }
        assert_int_equal(stored_events(s, "=a/1"), 7);
        put_size(s, "=a/1", 10, 3, 5); /* they still count as stored */
        CONFIRM("=a/1", 2, 5, 3, TIDINGS_OK, true);
        cut_power(s);
    }
    hello_term(s, "=a/1", 0);
    forget(s->f);
    put_size(s, "=a/1", 10, 3, 8); /* the rest does not */
    CONFIRM("=a/1", 0, 8, 3, TIDINGS_OK, false);
    assert_int_equal(stored_events(s, "=a/1"), 10);
}

/* ---- whose it is ---- */

static void test_named_is_not_forgotten(void **state)
{
    struct streams *s = *state;

    hello_term(s, "=a/1", 0);
    hello(s->f, "pub");
    put_size(s, "=a/1", 10, 2, 1);
    put_size(s, "pub", 10, 2, 1);
    give(s->f, "=a/1", "[14 0 \"\"]");
    give(s->f, "pub", "[14 0 \"\"]");
    flush(s->f);
    s->f->now += 2 * TD_PRODUCER_STORED_KEEP_MS;
    settle_down(s);
    s->f->now += 2 * TD_HEARTBEAT_MS;
    settle_down(s);
    forget(s->f);
    hello(s->f, "pub");
    assert_int_equal(frame(s->f, "pub", TD_WELCOME, 0)->u.welcome.taken, 0);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, 2);
}

static void test_named_needs_its_name(void **state)
{
    struct streams *s = *state;

    hello_with(s->f, "=a/1", "{}");
    assert_non_null(find(s->f, "=a/1", TD_WELCOME, 0));
    put_size(s, "=a/1", 10, 2, 1);
    hello_term(s, "=a/2", 0); /* the name comes before */
    check_welcome(s, "=a/2", 1, 2);
    hello_with(s->f, "=a/3", "{}");
    assert_bye(s->f, "without", "=a/3", TIDINGS_EEXIST);
    put_size(s, "=a/2", 11, 2, 2); /* nobody knows what was under 2 */
    CONFIRM("=a/2", 0, 2, 1, TIDINGS_OK, true);
    CONFIRM("=a/2", 1, 3, 1, TIDINGS_OK, false);
}

static void test_named_hello_of_nonsense(void **state)
{
    static const struct {
        const char *options;
        tidings_err code;
    } rows[] = {
        {"{\"producer\" 1}", TIDINGS_EPROTO},
        {"{\"producer\" nil}", TIDINGS_EPROTO},
        {"{\"producer\" b(16)}", TIDINGS_EPROTO},
        {"{\"producer\" \"\"}", TIDINGS_EPROTO},
        {"{\"producer\" \"b\"}", TIDINGS_EPROTO}, /* the id is another's */
        {"{\"producer\" \"a b\"}", TIDINGS_EPROTO},
        {"{\"producer\" \"a\" \"term\" \"1\"}", TIDINGS_EPROTO},
        {"{\"producer\" \"a\" \"term\" -1}", TIDINGS_EPROTO},
        {"{\"producer\" \"a\" \"term\" nil}", TIDINGS_EPROTO},
        {"{\"producer\" \"a\" \"term\" 18446744073709551615}", TIDINGS_EPROTO},
    };
    struct streams *s = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        forget(s->f);
        hello_with(s->f, "=a/1", rows[i].options);
        settle_down(s);
        assert_bye(s->f, rows[i].options, "=a/1", rows[i].code);
        assert_int_equal(sessions(s->f), 0);
    }
    hello_with(s->f, "=a/1",
               "{\"producer\" \"a\" \"term\" 9223372036854775807}");
    settle_down(s);
    check_welcome(s, "=a/1", INT64_MAX, 0);
    hello_term(s, "=a/2", 0);
    assert_bye(s->f, "no more terms", "=a/2", TIDINGS_ELIMIT);
    s->f->engine->names_len = TD_NAMED_PRODUCERS_MAX;
    hello_with(s->f, "=b/1", "{\"producer\" \"b\"}");
    assert_bye(s->f, "too many", "=b/1", TIDINGS_ELIMIT);
    s->f->engine->names_len = 1;
}

static void test_named_needs_a_store(void **state)
{
    struct streams *s = *state;

    restart(s->f, (struct td_engine_options){0});
    hello_with(s->f, "=a/1", A);
    assert_bye(s->f, "no store", "=a/1", TIDINGS_ENOTSUP);
}

/* A damaged row costs the name's history, not the broker. */
static void test_named_row_that_is_damaged(void **state)
{
    struct streams *s = *state;
    uint8_t id[TD_PRODUCER_BYTES];
    struct td_place key;

    hello_term(s, "=a/1", 0);
    put_size(s, "=a/1", 10, 2, 1);
    producer_of(id, "=a");
    key = td_place_producer(id);
    assert_true(td_model_damage(s->model, td_place_str(&key)));
    kill_broker(s);
    assert_int_equal(s->f->engine->streams.lost_states, 1);
    hello_term(s, "=a/2", 1);
    check_welcome(s, "=a/2", 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_named_goes_on_where_it_was),
        TEST_STREAM(test_named_is_held_by_the_last_who_came),
        TEST_STREAM(test_named_fences_who_is_away),
        TEST_STREAM(test_named_frames_on_their_way_are_fenced),
        TEST_STREAM(test_named_fences_many),
        TEST_STREAM(test_named_reconnects_under_its_term),
        TEST_STREAM(test_named_believes_a_higher_term),
        TEST_STREAM(test_named_is_greeted_when_its_term_is_kept),
        TEST_STREAM(test_named_are_greeted_each),
        TEST_STREAM(test_named_says_nothing_before_it_is_greeted),
        TEST_STREAM(test_named_is_sent_away_when_its_term_is_lost),
        TEST_STREAM(test_named_tells_duplicates_from_conflicts),
        TEST_STREAM(test_named_remembers_its_last_events),
        TEST_STREAM(test_named_knows_less_when_a_large_commit_fails),
        TEST_STREAM(test_named_numbers_may_be_left_out),
        TEST_STREAM(test_named_stores_later_what_was_refused),
        TEST_STREAM(test_named_with_many_holes_goes_on_behind_what_is_stored),
        TEST_STREAM(test_named_schedules_once),
        TEST_STREAM(test_named_refuses_a_whole_that_is_partly_stored),
        TEST_STREAM(test_named_is_not_forgotten),
        TEST_STREAM(test_named_needs_its_name),
        TEST_STREAM(test_named_hello_of_nonsense),
        TEST_STREAM(test_named_needs_a_store),
        TEST_STREAM(test_named_row_that_is_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
