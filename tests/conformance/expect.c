/* Who expects what a stream's last sequence is, or that of a key. */
#include "tests/conformance/kept.h"

#include <time.h>

#define WRITERS 2
#define TURNS   25u

struct writer {
    tidings_bus *bus;
    const struct kept *k;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool answered;
    struct tidings_confirm answer;
    uint64_t stored[TURNS]; /* sequences */
    bool failed;
};

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct writer *w = arg;

    pthread_mutex_lock(&w->lock);
    w->answer = *confirm;
    w->answered = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* One event of the key, if that is its last sequence. */
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
                                                    .expects_key = true,
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

/* Every number of the key is one writer's: nothing was decided twice. */
static void test_writers_of_one_key_notice_each_other(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct writer w[WRITERS];
    bool seen[WRITERS * TURNS + 1] = {false};
    pthread_t thread[WRITERS];
    struct kept k;

    kept_add_keyed(&k, bus);
    for (int i = 0; i < WRITERS; i++) {
        writer_init(&w[i], kept_open(c), &k);
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

static void test_what_is_expected_of_a_key_is_one(void **state)
{
    const struct tidings_publish_options both = {.expects = true,
                                                 .expects_key = true};
    const struct tidings_event event = {.type = "a"};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct kept k, plain;
    struct writer w;
    uint64_t sequence;

    kept_add_keyed(&k, bus);
    kept_add(&plain, bus);
    writer_init(&w, bus, &k);
    assert_err(tidings_publish_with(bus, &event, &both), TIDINGS_EINVAL);
    assert_ok(write_one(&w, "x", 0, &sequence));
    assert_int_equal(sequence, 1);
    assert_ok(write_one(&w, "y", 0, &sequence));
    assert_err(write_one(&w, "x", 2, &sequence), TIDINGS_ECONFLICT);
    assert_int_equal(sequence, 1);
    assert_err(write_one(&w, NULL, 0, &sequence), TIDINGS_EINVAL);
    w.k = &plain; /* it is not keyed */
    assert_err(write_one(&w, "x", 0, &sequence), TIDINGS_EINVAL);
    writer_fini(&w);
}

int conf_run_expect(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_writers_of_one_key_notice_each_other),
        KEPT_TEST(test_what_is_expected_of_a_key_is_one),
    };

    return cmocka_run_group_tests_name("expect", tests, NULL, NULL);
}
