/* Who expects what a stream's last sequence is, or that of a key: what is
 * decided upon what is no longer so is refused, and told what is. */
#include "tests/conformance/kept.h"

#include <inttypes.h>
#include <time.h>

#define WRITERS 2
#define TURNS   25u

/* One who publishes an event at a time, and hears what became of it. */
struct writer {
    tidings_bus *bus;
    const struct kept *k;
    bool of_stream;       /* it expects of the stream, and not of a key */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool answered;
    struct tidings_confirm answer;
    uint64_t stored[TURNS]; /* sequences */
    bool failed;
};

static void writer_init(struct writer *w, tidings_bus *bus,
                        const struct kept *k)
{
    memset(w, 0, sizeof(*w));
    w->bus = bus;
    w->k = k;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
}

static void writer_fini(struct writer *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct writer *w = arg;

    pthread_mutex_lock(&w->lock);
    w->answer = *confirm;
    w->answered = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* One event, perhaps of a key, if that is the last sequence. */
static tidings_err write_one(struct writer *w, const char *key,
                             uint64_t expected, uint64_t *sequence)
{
    const struct tidings_attr attr = {
        .name = "partitionkey", .kind = TIDINGS_ATTR_STRING, .string = key};
    const struct tidings_event event = {
        .type = w->k->type, .attrs = &attr, .attrs_len = key != NULL};
    const struct tidings_publish_options options = {.level = TIDINGS_DISK,
                                                    .on_confirm = on_confirm,
                                                    .arg = w,
                                                    .expects = w->of_stream,
                                                    .expects_key =
                                                        !w->of_stream,
                                                    .expected = expected};
    struct timespec end;
    tidings_err err;

    w->answered = false;
    err = tidings_publish_with(w->bus, &event, &options);
    if (err)
        return err;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += CONF_MS / 1000;
    pthread_mutex_lock(&w->lock);
    while (!w->answered &&
           pthread_cond_timedwait(&w->changed, &w->lock, &end) == 0)
        ;
    err = w->answered ? w->answer.err : TIDINGS_ETIMEDOUT;
    *sequence = w->answer.sequence;
    pthread_mutex_unlock(&w->lock);
    return err;
}

/* ---- one writer ---- */

struct step {
    const char *key;
    uint64_t expected;
    tidings_err err;
    uint64_t sequence;
};

static void walk(struct writer *w, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        uint64_t sequence = UINT64_MAX;
        tidings_err err = write_one(w, s->key, s->expected, &sequence);

        if (err != s->err || sequence != s->sequence)
            fail_msg("step %zu: %s, sequence %" PRIu64, i,
                     tidings_err_text(err), sequence);
    }
}

/* Of a stream: its last, whatever was deleted since. */
static void check_stream(struct conf *c, enum tidings_storage storage)
{
    static const struct step before[] = {
        {NULL, 1, TIDINGS_ECONFLICT, 0}, /* it never had any */
        {NULL, 0, TIDINGS_OK, 1},
        {NULL, 0, TIDINGS_ECONFLICT, 1},
        {NULL, 2, TIDINGS_ECONFLICT, 1},
        {NULL, INT64_MAX, TIDINGS_ECONFLICT, 1},
        {NULL, UINT64_C(1) << 63, TIDINGS_EINVAL, UINT64_MAX},
        {NULL, 1, TIDINGS_OK, 2},
        {"x", 2, TIDINGS_OK, 3}, /* a key is nothing to it */
    };
    static const struct step after[] = {
        {NULL, 0, TIDINGS_ECONFLICT, 5},
        {NULL, 5, TIDINGS_OK, 6},
    };
    tidings_bus *bus = kept_open(c);
    struct tally *live;
    struct writer w;
    struct kept k;

    kept_add_in(&k, bus, storage, false);
    live = conf_subscribe(c, bus, k.pattern);
    writer_init(&w, bus, &k);
    w.of_stream = true;
    walk(&w, before, TD_ARRAY_LEN(before));
    kept_publish(&k, bus, 4, 2); /* by one who expects nothing */
    assert_ok(operate(NULL, NULL, bus, "stream.purge",
                      (struct operate_option[]){{"name", k.stream, 0}, {0}}));
    walk(&w, after, TD_ARRAY_LEN(after));
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 6);
    assert_true(tally_wait(live, 6, CONF_MS));
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_int_equal(tally_count(live), 6); /* none that was refused */
    writer_fini(&w);
}

static void test_what_is_expected_of_a_stream_is_its_last(void **state)
{
    kept_in_each_storage(*state, check_stream);
}

/* Of a key: its last that is kept. */
static void check_key(struct conf *c, enum tidings_storage storage)
{
    static const struct step before[] = {
        {"x", 1, TIDINGS_ECONFLICT, 0}, {"x", 0, TIDINGS_OK, 1},
        {"y", 0, TIDINGS_OK, 2}, /* another key */
        {"x", 2, TIDINGS_ECONFLICT, 1}, {"x", 0, TIDINGS_ECONFLICT, 1},
        {"x", 1, TIDINGS_OK, 3},        {"y", 2, TIDINGS_OK, 4},
        {NULL, 0, TIDINGS_EINVAL, 0}, /* there is no key */
    };
    static const struct step after[] = {
        {"y", 4, TIDINGS_ECONFLICT, 0},
        {"y", 0, TIDINGS_OK, 6},
        {"x", 3, TIDINGS_ECONFLICT, 5},
        {"x", 5, TIDINGS_OK, 7},
    };
    tidings_bus *bus = kept_open(c);
    struct writer w;
    struct kept k;

    kept_add_in(&k, bus, storage, true);
    writer_init(&w, bus, &k);
    walk(&w, before, TD_ARRAY_LEN(before));
    kept_publish_key(&k, bus, "x", 5);
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(operate(NULL, NULL, bus, "stream.purge",
                      (struct operate_option[]){
                          {"name", k.stream, 0}, {"before", NULL, 5}, {0}}));
    walk(&w, after, TD_ARRAY_LEN(after));
    writer_fini(&w);
}

static void test_what_is_expected_of_a_key_is_its_last(void **state)
{
    kept_in_each_storage(*state, check_key);
}

static void test_what_is_expected_is_one(void **state)
{
    const struct tidings_publish_options both = {.expects = true,
                                                 .expects_key = true};
    const struct tidings_event event = {.type = "a"};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct kept plain;
    struct writer w;
    uint64_t sequence;

    assert_err(tidings_publish_with(bus, &event, &both), TIDINGS_EINVAL);
    kept_add(&plain, bus);
    writer_init(&w, bus, &plain); /* it is not keyed */
    assert_err(write_one(&w, "x", 0, &sequence), TIDINGS_EINVAL);
    writer_fini(&w);
}

/* Who asks for no callback hears it from the flush. */
static void test_flush_says_what_was_not_as_expected(void **state)
{
    const struct tidings_publish_options options = {.expects = true,
                                                    .expected = 7};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_event event = {0};
    struct tidings_info info;
    struct kept k;

    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 3);
    event.type = k.type;
    assert_ok(tidings_publish_with(bus, &event, &options));
    assert_err(tidings_flush(bus, CONF_MS), TIDINGS_ECONFLICT);
    assert_non_null(strstr(tidings_detail(), k.type));
    assert_ok(tidings_flush(bus, CONF_MS)); /* said once */
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.unstored, 1);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 3);
}

/* What was the last is known to the next broker as well. */
static void test_the_next_broker_knows_what_to_expect(void **state)
{
    static const struct step of_stream[] = {
        {NULL, 0, TIDINGS_ECONFLICT, 3},
        {NULL, 2, TIDINGS_ECONFLICT, 3},
        {NULL, 3, TIDINGS_OK, 4},
    };
    static const struct step of_key[] = {
        {"y", 1, TIDINGS_ECONFLICT, 0},
        {"x", 0, TIDINGS_ECONFLICT, 3},
        {"x", 3, TIDINGS_OK, 5},
    };
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct writer w;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add_keyed(&k, bus);
    for (uint64_t n = 1; n <= 3; n++)
        kept_publish_key(&k, bus, "x", n);
    assert_ok(tidings_flush(bus, CONF_MS));
    conf_restart(c);
    writer_init(&w, conf_has_daemon() ? bus : kept_open(c), &k);
    w.of_stream = true;
    walk(&w, of_stream, TD_ARRAY_LEN(of_stream));
    w.of_stream = false;
    walk(&w, of_key, TD_ARRAY_LEN(of_key));
    writer_fini(&w);
}

/* ---- several ---- */

/* Each of its events is decided upon the one before it. */
static void *write_all(void *arg)
{
    struct writer *w = arg;
    uint64_t last = 0;

    for (uint32_t i = 0; i < TURNS && !w->failed;) {
        tidings_err err = write_one(w, "account", last, &last);

        if (!err)
            w->stored[i++] = last;
        w->failed = err && err != TIDINGS_ECONFLICT;
    }
    return NULL;
}

/* Every number is one writer's: nothing was decided twice. */
static void check_writers(struct conf *c, bool of_stream,
                          enum tidings_storage storage)
{
    tidings_bus *bus = kept_open(c);
    struct writer w[WRITERS];
    bool seen[WRITERS * TURNS + 1] = {false};
    pthread_t thread[WRITERS];
    struct kept k;

    kept_add_in(&k, bus, storage, !of_stream);
    for (int i = 0; i < WRITERS; i++) {
        writer_init(&w[i], kept_open(c), &k);
        w[i].of_stream = of_stream;
        assert_int_equal(pthread_create(&thread[i], NULL, write_all, &w[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < WRITERS; i++) {
        assert_false(w[i].failed);
        for (uint32_t n = 0; n < TURNS; n++) {
            assert_true(w[i].stored[n] <= WRITERS * TURNS);
            assert_false(seen[w[i].stored[n]]);
            seen[w[i].stored[n]] = true;
        }
        writer_fini(&w[i]);
    }
    assert_false(seen[0]);
}

static void check_writers_of_key(struct conf *c, enum tidings_storage storage)
{
    check_writers(c, false, storage);
}

static void check_writers_of_stream(struct conf *c,
                                    enum tidings_storage storage)
{
    check_writers(c, true, storage);
}

static void test_writers_of_one_key_notice_each_other(void **state)
{
    kept_in_each_storage(*state, check_writers_of_key);
}

static void test_writers_of_one_stream_notice_each_other(void **state)
{
    kept_in_each_storage(*state, check_writers_of_stream);
}

int conf_run_expect(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_what_is_expected_of_a_stream_is_its_last),
        KEPT_TEST(test_what_is_expected_of_a_key_is_its_last),
        KEPT_TEST(test_what_is_expected_is_one),
        KEPT_TEST(test_flush_says_what_was_not_as_expected),
        KEPT_TEST(test_the_next_broker_knows_what_to_expect),
        KEPT_TEST(test_writers_of_one_key_notice_each_other),
        KEPT_TEST(test_writers_of_one_stream_notice_each_other),
    };

    return cmocka_run_group_tests_name("expect", tests, NULL, NULL);
}
