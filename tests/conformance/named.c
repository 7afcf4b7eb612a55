/* Publishing under a name: the numbering outlives the bus, one bus at a time
 * has the name, and what comes again is told from what is another. */
#include "tests/conformance/kept.h"

#include <poll.h>

#define EVENTS 200u

/* What callbacks were told, in their order; one thread at a time. */
struct told {
    pthread_mutex_t lock; /* of what follows */
    uint64_t calls;
    uint64_t stored;
    uint64_t duplicates;
    uint64_t fenced;
    uint64_t disorder; /* stored after it was fenced, or anything else */
    tidings_err err;   /* the last */
};

static void told_begin(struct told *t)
{
    memset(t, 0, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
}

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct told *t = arg;

    pthread_mutex_lock(&t->lock);
    t->calls++;
    t->err = confirm->err;
    if (!confirm->err) {
        t->stored++;
        t->duplicates += confirm->duplicate;
        t->disorder += t->fenced > 0;
    } else if (confirm->err == TIDINGS_EFENCED) {
        t->fenced++;
    }
    pthread_mutex_unlock(&t->lock);
}

/* A name that no other test has, after its stream. */
static tidings_bus *open_named(struct conf *c, const struct kept *k,
                               struct tally *statuses)
{
    const struct tidings_options options = {
        .producer = k->stream,
        .on_status = statuses ? tally_status : NULL,
        .on_status_arg = statuses,
    };

    return conf_open(c, &options);
}

static void close_named(struct conf *c, tidings_bus *bus)
{
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));
}

static uint64_t last_of(tidings_bus *bus)
{
    uint64_t last;

    assert_ok(tidings_producer_last(bus, &last, CONF_MS));
    return last;
}

static void publish_as(tidings_bus *bus, const struct kept *k,
                       uint64_t sequence, const char *data, struct told *t)
{
    const struct tidings_event event = {
        .type = k->type, .data = data, .data_len = strlen(data)};
    const struct tidings_publish_options options = {
        .sequence = sequence, .on_confirm = t ? on_confirm : NULL, .arg = t};

    assert_ok(tidings_publish_with(bus, &event, &options));
}

/* What becomes of one event, published alone. */
static struct told ask(tidings_bus *bus, const struct kept *k,
                       uint64_t sequence, const char *data)
{
    struct told t;

    told_begin(&t);
    publish_as(bus, k, sequence, data, &t);
    assert_ok(tidings_flush(bus, CONF_MS));
    for (int64_t end = td_proc_now_ms() + CONF_MS; td_proc_now_ms() < end;) {
        uint64_t calls;

        pthread_mutex_lock(&t.lock);
        calls = t.calls;
        pthread_mutex_unlock(&t.lock);
        if (calls > 0)
            return t;
        conf_pause_us(200);
    }
    fail_msg("no callback");
    return t;
}

static uint64_t stored_in(tidings_bus *bus, const struct kept *k)
{
    return operate_stream_figure(bus, k->stream, "last");
}

/* ---- tests ---- */

static void test_named_bus_needs_a_data_folder(void **state)
{
    const struct tidings_options options = {.producer = "p",
                                            .publish_timeout_ms = 20};
    struct conf *c = *state;
    tidings_bus *bus = conf_open_at(c, conf_url(), &options);
    uint64_t last;

    if (conf_has_data()) {
        assert_ok(tidings_wait(bus, CONF_MS));
        return;
    }
    assert_err(tidings_wait(bus, 500), TIDINGS_ENOTSUP);
    assert_non_null(strstr(tidings_detail(), "data folder"));
    assert_err(tidings_producer_last(bus, &last, 0), TIDINGS_ENOTSUP);
    assert_err(tidings_publish(bus, "a", NULL, 0), TIDINGS_ENOTSUP);
    assert_non_null(strstr(tidings_detail(), "data folder"));
}

static void test_named_options_are_checked(void **state)
{
    static const char *const bad[] = {"", "a b", "a/b", "ä",
                                      "12345678901234567890123456789012"
                                      "123456789012345678901234567890123"};
    const struct tidings_publish_options second = {.sequence = 2};
    const struct tidings_publish_options beyond = {.sequence =
                                                       (1ull << 62) + 1};
    const struct tidings_event event = {.type = "a"};
    struct conf *c = *state;
    tidings_bus *bus;
    uint64_t last;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        const struct tidings_options options = {.producer = bad[i]};

        assert_row(bad[i],
                   tidings_open(&bus, conf_url(), &options) == TIDINGS_EINVAL);
    }
    bus = conf_open(c, NULL);
    assert_err(tidings_producer_last(bus, &last, 0), TIDINGS_EINVAL);
    assert_err(tidings_producer_last(bus, NULL, 0), TIDINGS_EINVAL);
    assert_err(tidings_publish_with(bus, &event, &second), TIDINGS_EINVAL);
    assert_err(tidings_publish_all(bus, &event, 1, &second), TIDINGS_EINVAL);
    assert_err(tidings_publish_with(bus, &event, &beyond), TIDINGS_EINVAL);
}

static void test_named_numbering_goes_on(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, kept_open(c));
    for (unsigned round = 0; round < 3; round++) {
        bus = open_named(c, &k, NULL);
        assert_int_equal(last_of(bus), round * EVENTS);
        kept_publish(&k, bus, round * EVENTS + 1, EVENTS);
        assert_int_equal(last_of(bus), (round + 1) * EVENTS);
        assert_int_equal(stored_in(bus, &k), (round + 1) * EVENTS);
        close_named(c, bus);
        if (round > 0)
            conf_restart(c);
    }
    bus = open_named(c, &k, NULL);
    assert_int_equal(last_of(bus), 3 * EVENTS);
    conf_restart(c); /* under a bus that is open: it goes on as it was */
    if (!conf_has_daemon())
        bus = open_named(c, &k, NULL);
    kept_publish(&k, bus, 3 * EVENTS + 1, EVENTS);
    assert_int_equal(last_of(bus), 4 * EVENTS);
    assert_int_equal(stored_in(bus, &k), 4 * EVENTS);
}

static void check_fenced(tidings_bus *bus, const struct kept *k)
{
    const struct tidings_event event = {.type = k->type};
    struct tidings_info info;
    uint64_t last;
    size_t len;
    void *map;

    assert_err(tidings_publish(bus, k->type, NULL, 0), TIDINGS_EFENCED);
    assert_non_null(strstr(tidings_detail(), k->stream));
    assert_err(tidings_publish_event(bus, &event), TIDINGS_EFENCED);
    assert_err(tidings_publish_all(bus, &event, 1, NULL), TIDINGS_EFENCED);
    assert_err(tidings_wait(bus, CONF_MS), TIDINGS_EFENCED);
    assert_err(tidings_producer_last(bus, &last, CONF_MS), TIDINGS_EFENCED);
    assert_err(tidings_stats(&map, &len, bus, CONF_MS), TIDINGS_EFENCED);
    assert_err(
        tidings_subscribe(NULL, bus, k->pattern, tally_event, NULL, NULL),
        TIDINGS_EFENCED);
    assert_ok(tidings_info(&info, bus));
    assert_false(info.up);
    assert_int_equal(info.unconfirmed, 0);
}

static void test_named_bus_is_fenced_by_the_next(void **state)
{
    struct conf *c = *state;
    tidings_bus *first;
    tidings_bus *second;
    struct tally *t;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, kept_open(c));
    t = conf_tally(c);
    first = open_named(c, &k, t);
    kept_publish(&k, first, 1, 10);
    assert_ok(tidings_subscribe(NULL, first, k.pattern, tally_event,
                                conf_tally(c), NULL));
    second = open_named(c, &k, NULL);
    assert_int_equal(last_of(second), 10);
    assert_true(tally_wait_status(t, TIDINGS_FENCED, 1, CONF_MS));
    check_fenced(first, &k);
    assert_ok(tidings_flush(first, 0)); /* all that it had was stored */
    kept_publish(&k, second, 11, 10);
    conf_forget(c, first);
    assert_ok(tidings_close(first));
    assert_int_equal(last_of(second), 20);
    assert_int_equal(stored_in(second, &k), 20);
}

/* The first publishes as fast as it can while the second takes its name: each of
 * its events is told, and what was not stored then never is. */
static void test_named_events_are_told_they_are_fenced(void **state)
{
    struct conf *c = *state;
    tidings_bus *first;
    tidings_bus *second;
    struct told t;
    struct kept k;
    uint64_t last;
    uint64_t n = 0;

    if (!conf_has_data())
        skip();
    kept_add(&k, kept_open(c));
    told_begin(&t);
    first = open_named(c, &k, NULL);
    for (; n < EVENTS; n++)
        publish_as(first, &k, 0, "first", &t);
    second = open_named(c, &k, NULL);
    last = last_of(second);
    for (tidings_err err = TIDINGS_OK; err != TIDINGS_EFENCED;) {
        const struct tidings_event event = {
            .type = k.type, .data = "first", .data_len = 5};
        const struct tidings_publish_options o = {.on_confirm = on_confirm,
                                                  .arg = &t};

        err = tidings_publish_with(first, &event, &o);
        n += err == TIDINGS_OK;
        assert_true(err == TIDINGS_OK || err == TIDINGS_EFENCED);
    }
    for (uint64_t i = 1; i <= EVENTS; i++)
        publish_as(second, &k, last + i, "second", NULL);
    assert_ok(tidings_flush(second, CONF_MS)); /* none is a conflict */
    conf_forget(c, first);
    assert_ok(tidings_close(first));
    assert_int_equal(t.calls, n);
    assert_int_equal(t.stored + t.fenced, n);
    assert_int_equal(t.disorder, 0);
    assert_true(t.stored <= last);
    assert_int_equal(stored_in(second, &k), last + EVENTS);
}

static void test_named_sequence_that_comes_again(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus;
    struct told t;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, kept_open(c));
    for (int round = 0; round < 2; round++) {
        bus = open_named(c, &k, NULL);
        for (uint64_t n = 5; n < 9; n++) {
            t = ask(bus, &k, n == 8 ? 20 : n, "one");
            assert_int_equal(t.stored, 1);
            assert_int_equal(t.duplicates, round);
        }
        assert_int_equal(ask(bus, &k, 6, "two").err, TIDINGS_ECONFLICT);
        assert_int_equal(ask(bus, &k, 7, "one").duplicates, 1);
        assert_int_equal(ask(bus, &k, 10, "one").err, TIDINGS_ECONFLICT);
        assert_int_equal(last_of(bus), 20);
        assert_int_equal(stored_in(bus, &k), 4);
        close_named(c, bus);
        conf_restart(c);
    }
    bus = open_named(c, &k, NULL);
    assert_int_equal(ask(bus, &k, 0, "one").duplicates, 0);
    assert_int_equal(last_of(bus), 21);
    assert_int_equal(ask(bus, &k, 1ull << 62, "last").stored, 1);
    assert_int_equal(ask(bus, &k, 0, "and on").stored, 1);
    assert_int_equal(last_of(bus), (1ull << 62) + 1);
}

/* A number below the last is in order as long as nothing waits that is above
 * it. */
static void test_named_numbers_rise(void **state)
{
    const struct tidings_publish_options again = {.sequence = 3};
    struct conf *c = *state;
    tidings_bus *bus;
    struct kept k;
    unsigned refused = 0;

    if (!conf_has_data())
        skip();
    kept_add(&k, kept_open(c));
    bus = open_named(c, &k, NULL);
    for (unsigned n = 0; n < 200 && !refused; n++) {
        const struct tidings_event event = {.type = k.type};
        tidings_err err;

        assert_ok(tidings_publish_event(bus, &event));
        assert_ok(tidings_publish_event(bus, &event));
        assert_ok(tidings_publish_event(bus, &event));
        err = tidings_publish_with(bus, &event, &again);
        if (err) {
            assert_int_equal(err, TIDINGS_EINVAL);
            assert_non_null(strstr(tidings_detail(), "sequence 3"));
            refused++;
        }
    }
    assert_int_equal(refused, 1);
    assert_ok(tidings_flush(bus, CONF_MS));
}

static void test_named_lists_are_stored_once(void **state)
{
    struct tidings_event events[5];
    const struct tidings_publish_options options = {.sequence = 7};
    struct conf *c = *state;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, kept_open(c));
    memset(events, 0, sizeof(events));
    for (size_t i = 0; i < 5; i++)
        events[i].type = k.type;
    for (int round = 0; round < 2; round++) {
        tidings_bus *bus = open_named(c, &k, NULL);

        assert_int_equal(last_of(bus), round ? 11 : 0);
        assert_ok(tidings_publish_all(bus, events, 5, &options));
        assert_ok(tidings_flush(bus, CONF_MS));
        assert_int_equal(last_of(bus), 11);
        assert_int_equal(stored_in(bus, &k), 5);
    }
}

static tidings_err delete_name(tidings_bus *bus, const struct kept *k)
{
    const struct operate_option options[] = {{"name", k->stream, 0}, {0}};

    return operate(NULL, NULL, bus, "producer.delete", options);
}

/* The broker reads its BYE a moment after it was closed. */
static tidings_err until_deleted(tidings_bus *bus, const struct kept *k)
{
    int64_t until_ms = td_proc_now_ms() + CONF_MS;
    tidings_err err;

    while ((err = delete_name(bus, k)) == TIDINGS_EEXIST &&
           td_proc_now_ms() < until_ms)
        poll(NULL, 0, 1);
    return err;
}

/* It is forgotten, once nobody has it: whoever takes it begins anew. */
static void test_named_names_are_deleted(void **state)
{
    struct conf *c = *state;
    tidings_bus *other;
    tidings_bus *bus;
    struct kept k;

    if (!conf_has_data())
        skip();
    other = kept_open(c);
    kept_add(&k, other);
    assert_err(delete_name(other, &k), TIDINGS_ENOTFOUND);
    for (uint64_t round = 1; round <= 2; round++) {
        bus = open_named(c, &k, NULL);
        assert_int_equal(last_of(bus), 0);
        publish_as(bus, &k, 1, "same", NULL);
        assert_ok(tidings_flush(bus, CONF_MS));
        assert_int_equal(stored_in(other, &k), round);
        assert_err(delete_name(other, &k), TIDINGS_EEXIST);
        assert_non_null(strstr(tidings_detail(), "has it"));
        close_named(c, bus);
        assert_ok(until_deleted(other, &k));
        assert_err(delete_name(other, &k), TIDINGS_ENOTFOUND);
    }
}

int conf_run_named(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_named_bus_needs_a_data_folder),
        KEPT_TEST(test_named_options_are_checked),
        KEPT_TEST(test_named_numbering_goes_on),
        KEPT_TEST(test_named_bus_is_fenced_by_the_next),
        KEPT_TEST(test_named_events_are_told_they_are_fenced),
        KEPT_TEST(test_named_sequence_that_comes_again),
        KEPT_TEST(test_named_numbers_rise),
        KEPT_TEST(test_named_lists_are_stored_once),
        KEPT_TEST(test_named_names_are_deleted),
    };

    return cmocka_run_group_tests_name("named", tests, NULL, NULL);
}
