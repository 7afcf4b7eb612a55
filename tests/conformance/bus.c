/* Opening, waiting, closing, and looking at a bus. */
#include "tests/conformance/conformance.h"

#include <signal.h>
#include <stdlib.h>

#define DEADLINE_SLACK_MS 3000 /* a call that waits may be so late here */

/* ---- the library ---- */

static void test_library_tells_its_version(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof(text), "%d.%d.%d", TIDINGS_VERSION_MAJOR,
             TIDINGS_VERSION_MINOR, TIDINGS_VERSION_PATCH);
    assert_string_equal(tidings_version(), text);
    tidings_free(NULL);
}

static void test_status_kinds_have_names(void **state)
{
    static const struct {
        enum tidings_status_kind kind;
        const char *name;
    } rows[] = {
        {TIDINGS_UP, "up"},
        {TIDINGS_DOWN, "down"},
        {TIDINGS_NEW_EPOCH, "new_epoch"},
        {TIDINGS_NEW_SESSION, "new_session"},
        {TIDINGS_GAP, "gap"},
        {TIDINGS_REFUSED, "refused"},
        {TIDINGS_HANDLER_FAILED, "handler_failed"},
        {TIDINGS_BAD_EVENT, "bad_event"},
        {TIDINGS_HANDLER_LATE, "handler_late"},
        {TIDINGS_STALE, "stale"},
        {TIDINGS_UNSTORED, "unstored"},
        {TIDINGS_FENCED, "fenced"},
        {TIDINGS_GROUP_FULL, "group_full"},
        {(enum tidings_status_kind)(TIDINGS_GROUP_FULL + 1), "?"},
        {(enum tidings_status_kind) - 1, "?"},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_string_equal(tidings_status_name(rows[i].kind), rows[i].name);
}

static void *detail_of_a_new_thread(void *arg)
{
    char *out = arg;

    snprintf(out, 512, "%s", tidings_detail());
    return NULL;
}

static void test_detail_is_of_the_thread_and_cut(void **state)
{
    char long_text[600];
    char other[512] = "x";
    pthread_t thread;

    (void)state;
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    tidings_set_detail(long_text);
    assert_int_equal(strlen(tidings_detail()), 511);
    assert_int_equal(
        pthread_create(&thread, NULL, detail_of_a_new_thread, other), 0);
    pthread_join(thread, NULL);
    assert_string_equal(other, "");
    tidings_set_detail(NULL);
    assert_string_equal(tidings_detail(), "");
}

/* ---- opening ---- */

static void test_open_refuses_bad_urls(void **state)
{
    static const struct {
        const char *url;
        tidings_err err;
    } rows[] = {
        {"", TIDINGS_EINVAL},
        {"inproc", TIDINGS_EINVAL},
        {"inproc:name", TIDINGS_EINVAL},
        {"inproc://", TIDINGS_EINVAL},
        {"inproc://a b", TIDINGS_EINVAL},
        {"inproc://a/b", TIDINGS_EINVAL},
        {"inproc://a?durable=yes", TIDINGS_EINVAL},
        {"inproc://\xc3\xa9", TIDINGS_EINVAL},
        {"inproc://"
         "12345678901234567890123456789012345678901234567890123456789012345",
         TIDINGS_EINVAL},
        {"tcp://", TIDINGS_EINVAL},
        {"tcp://127.0.0.1", TIDINGS_EINVAL},
        {"tcp://127.0.0.1:", TIDINGS_EINVAL},
        {"tcp://127.0.0.1:bus", TIDINGS_EINVAL},
        {"tcp://127.0.0.1:*", TIDINGS_EINVAL},
        {"tcp:// 127.0.0.1:7450", TIDINGS_EINVAL},
        {"tcp://127.0.0.1:0", TIDINGS_EINVAL},
        {"tcp://127.0.0.1:65536", TIDINGS_EINVAL},
        {"tcp://127.0.0.1:-1", TIDINGS_EINVAL},
        {"tcp://127.0.0.1:80x", TIDINGS_EINVAL},
        {"tcp://:7450", TIDINGS_EINVAL},
        {"tcp://*:7450", TIDINGS_EINVAL},
        {"ipc://", TIDINGS_EINVAL},
        {"ipc:///", TIDINGS_EINVAL},
        {"ipc://relative", TIDINGS_EINVAL},
        {"ipc:///tmp/"
         "12345678901234567890123456789012345678901234567890123456789012345"
         "12345678901234567890123456789012345678901234567890123456789012345",
         TIDINGS_EINVAL},
        {"http://127.0.0.1:7450", TIDINGS_ENOTSUP},
        {"TCP://127.0.0.1:7450", TIDINGS_ENOTSUP},
        {"://", TIDINGS_ENOTSUP},
    };
    tidings_bus *const untouched = (tidings_bus *)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_bus *bus = untouched;
        tidings_err err = tidings_open(&bus, rows[i].url, NULL);

        if (!err)
            tidings_close(bus);
        assert_row(rows[i].url, err == rows[i].err);
        assert_row(rows[i].url, bus == untouched);
        assert_row(rows[i].url, strstr(tidings_detail(), rows[i].url));
        assert_row(rows[i].url, *tidings_detail());
    }
    assert_err(tidings_open(NULL, conf_url(), NULL), TIDINGS_EINVAL);
    assert_err(tidings_open((tidings_bus *[]){NULL}, NULL, NULL),
               TIDINGS_EINVAL);
}

static void test_open_takes_names_of_64_bytes(void **state)
{
    static const char url[] =
        "inproc://"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    struct conf *c = *state;

    assert_int_equal(strlen(url), 9 + 64);
    assert_ok(tidings_wait(conf_open_at(c, url, NULL), CONF_MS));
    assert_ok(tidings_wait(conf_open_at(c, "inproc://.", NULL), CONF_MS));
}

static void test_open_checks_options(void **state)
{
    static char text[2048];
    const char *end = text + sizeof(text) - 1;
    const struct {
        const char *row;
        struct tidings_options o;
        tidings_err err;
    } rows[] = {
        {"name of 64", {.name = end - 64}, TIDINGS_OK},
        {"name of 65", {.name = end - 65}, TIDINGS_EINVAL},
        {"name, space", {.name = "a b"}, TIDINGS_EINVAL},
        {"name, control", {.name = "a\nb"}, TIDINGS_EINVAL},
        {"source of 1023", {.source = end - 1023}, TIDINGS_OK},
        {"source of 1024", {.source = end - 1024}, TIDINGS_EINVAL},
        {"source, space", {.source = "/a b"}, TIDINGS_EINVAL},
        {"publish for a day", {.publish_timeout_ms = 86400000}, TIDINGS_OK},
        {"publish longer", {.publish_timeout_ms = 86400001}, TIDINGS_EINVAL},
        {"publish not at all", {.publish_timeout_ms = -1}, TIDINGS_OK},
        {"close for a day", {.close_timeout_ms = 86400000}, TIDINGS_OK},
        {"close longer", {.close_timeout_ms = 86400001}, TIDINGS_EINVAL},
        {"close not at all", {.close_timeout_ms = -1}, TIDINGS_OK},
        {"bytes 2 MiB", {.unconfirmed_bytes = 2u << 20}, TIDINGS_OK},
        {"bytes less", {.unconfirmed_bytes = (2u << 20) - 1}, TIDINGS_EINVAL},
        {"one event", {.unconfirmed_events = 1}, TIDINGS_OK},
    };

    (void)state;
    memset(text, 'n', sizeof(text) - 1);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_bus *bus = NULL;
        tidings_err err = tidings_open(&bus, conf_url(), &rows[i].o);

        assert_row(rows[i].row, err == rows[i].err);
        assert_row(rows[i].row, (bus == NULL) == (err != TIDINGS_OK));
        assert_row(rows[i].row, !err || *tidings_detail());
        if (!err)
            assert_row(rows[i].row, !tidings_close(bus));
    }
}

/* ---- waiting ---- */

static void test_wait_tells_when_the_bus_is_up(void **state)
{
    struct conf *c = *state;
    struct tally *t = conf_tally(c);
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = t};
    tidings_bus *bus = conf_open_at(c, conf_url(), &o);
    struct tidings_info info;

    assert_ok(tidings_wait(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_true(info.up);
    assert_true(info.epoch != 0);
    assert_int_equal(info.connects, 1);
    assert_true(tally_wait_status(t, TIDINGS_UP, 1, CONF_MS));
    assert_null(tally_now(t).status.sub);
    assert_ok(tidings_wait(bus, 0));
    assert_int_equal(tally_now(t).statuses[TIDINGS_UP], 1);
}

static void test_wait_names_the_url_when_nobody_answers(void **state)
{
    struct conf *c = *state;
    struct tidings_info info;
    char url[256];
    tidings_bus *bus;
    int64_t start;

    if (!conf_has_daemon())
        skip();
    bus = conf_open_at(c, conf_dead_url(url), NULL);
    start = td_proc_now_ms();
    assert_err(tidings_wait(bus, 300), TIDINGS_EUNREACH);
    assert_in_range(td_proc_now_ms() - start, 300, 300 + DEADLINE_SLACK_MS);
    assert_non_null(strstr(tidings_detail(), url));
    assert_non_null(strstr(tidings_detail(), "refused"));
    assert_err(tidings_wait(bus, 0), TIDINGS_EUNREACH);
    assert_ok(tidings_info(&info, bus));
    assert_false(info.up);
    assert_int_equal(info.epoch, 0);
    assert_int_equal(info.connects, 0);
}

/* What needs a link says that there is none; nothing waits for longer. */
static void test_calls_without_a_broker_are_unreachable(void **state)
{
    const struct tidings_sub_options so = {.timeout_ms = 50};
    struct conf *c = *state;
    struct tally *t = conf_tally(c);
    void *bytes = NULL;
    size_t len;
    int64_t us;
    char url[256];
    tidings_bus *bus;
    int64_t start = td_proc_now_ms();

    if (!conf_has_daemon())
        skip();
    bus = conf_open_at(c, conf_dead_url(url), NULL);
    assert_err(tidings_ping(&us, bus, 50), TIDINGS_EUNREACH);
    assert_err(tidings_stats(&bytes, &len, bus, 50), TIDINGS_EUNREACH);
    assert_err(tidings_subscribe(NULL, bus, ">", tally_event, t, &so),
               TIDINGS_EUNREACH);
    assert_non_null(strstr(tidings_detail(), url));
    assert_ok(tidings_flush(bus, 50)); /* there is nothing to flush */
    assert_ok(tidings_publish(bus, "a.b", NULL, 0));
    assert_err(tidings_flush(bus, 50), TIDINGS_ETIMEDOUT);
    assert_err(tidings_drain(bus, 50), TIDINGS_ETIMEDOUT);
    assert_in_range(td_proc_now_ms() - start, 200, 250 + DEADLINE_SLACK_MS);
}

/* ---- an own broker that does not answer ---- */

static void freeze(void)
{
    assert_true(td_proc_freeze(&conf_daemon()->proc, CONF_MS));
}

static void test_calls_to_a_silent_broker_time_out(void **state)
{
    const struct tidings_sub_options so = {.timeout_ms = 50};
    const struct tidings_options o = {.close_timeout_ms = 100};
    struct conf *c = *state;
    struct tally *t;
    tidings_bus *bus;
    tidings_sub *sub;
    void *bytes = NULL;
    size_t len;
    int64_t us;

    if (!conf_has_daemon())
        skip();
    bus = conf_open(c, &o);
    t = conf_tally(c);
    assert_ok(tidings_subscribe(&sub, bus, "silent.>", tally_event, t, NULL));
    freeze();
    assert_err(tidings_ping(&us, bus, 50), TIDINGS_ETIMEDOUT);
    assert_err(tidings_stats(&bytes, &len, bus, 50), TIDINGS_ETIMEDOUT);
    assert_err(tidings_subscribe(NULL, bus, "silent.>", tally_event, t, &so),
               TIDINGS_ETIMEDOUT);
    assert_ok(tidings_publish(bus, "silent.a", NULL, 0));
    assert_err(tidings_flush(bus, 50), TIDINGS_ETIMEDOUT);
    assert_err(tidings_unsubscribe(sub, 50), TIDINGS_ETIMEDOUT);
    assert_err(tidings_unsubscribe(sub, 50), TIDINGS_ECLOSED);
    assert_ok(tidings_wait(bus, 0)); /* it does not know yet */

    td_proc_signal(&conf_daemon()->proc, SIGCONT);
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_ping(&us, bus, CONF_MS));
    assert_int_equal(tally_count(t), 0); /* neither subscription was kept */
}

static void test_close_tells_what_was_not_taken(void **state)
{
    const struct tidings_options o = {.close_timeout_ms = 100};
    struct conf *c = *state;
    tidings_bus *bus;
    int64_t start;

    if (!conf_has_daemon())
        skip();
    bus = conf_open(c, &o);
    freeze();
    assert_ok(conf_publish_many(bus, "silent.close", 0, 7));
    start = td_proc_now_ms();
    assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);
    assert_in_range(td_proc_now_ms() - start, 100, 100 + DEADLINE_SLACK_MS);
    assert_non_null(strstr(tidings_detail(), "7 events"));
    assert_err(tidings_close(bus), TIDINGS_ECLOSED);
}

static void test_close_without_a_broker_does_not_linger(void **state)
{
    const struct tidings_options o = {.close_timeout_ms = -1};
    char url[256];

    (void)state;
    if (!conf_has_daemon())
        skip();
    for (int published = 0; published < 2; published++) {
        tidings_bus *bus;
        int64_t start;

        assert_ok(tidings_open(&bus, conf_dead_url(url), &o));
        assert_err(tidings_wait(bus, 100), TIDINGS_EUNREACH);
        if (published)
            assert_ok(tidings_publish(bus, "a.b", NULL, 0));
        start = td_proc_now_ms();
        assert_err(tidings_close(bus),
                   published ? TIDINGS_ETIMEDOUT : TIDINGS_OK);
        assert_in_range(td_proc_now_ms() - start, 0, 500);
    }
}

/* ---- looking at it ---- */

static void test_ping_measures_a_round_trip(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    int64_t start = td_proc_now_ms();
    int64_t us = -1;

    assert_ok(tidings_ping(&us, bus, CONF_MS));
    assert_in_range(us, 0, (td_proc_now_ms() - start + 2) * 1000);
    assert_err(tidings_ping(NULL, bus, CONF_MS), TIDINGS_EINVAL);
}

static void test_stats_are_the_brokers_counters(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *t = conf_subscribe(c, bus, "stats.>");
    uint64_t published = conf_counter(bus, "published");
    uint64_t routed = conf_counter(bus, "routed");
    uint64_t unmatched = conf_counter(bus, "unmatched");
    struct tidings_info info;
    void *bytes;
    size_t len;

    assert_ok(conf_publish_many(bus, "stats.a", 0, 5));
    assert_ok(conf_publish_many(bus, "elsewhere", 1, 3));
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_true(tally_wait(t, 5, CONF_MS));
    assert_int_equal(conf_counter(bus, "published"), published + 8);
    assert_int_equal(conf_counter(bus, "routed"), routed + 5);
    assert_int_equal(conf_counter(bus, "unmatched"), unmatched + 3);
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(conf_counter(bus, "epoch"), info.epoch);
    assert_err(tidings_stats(NULL, &len, bus, CONF_MS), TIDINGS_EINVAL);
    assert_err(tidings_stats(&bytes, NULL, bus, CONF_MS), TIDINGS_EINVAL);
}

static void test_info_counts_what_the_bus_did(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *t = conf_subscribe(c, bus, "info.*");
    struct tidings_info info;

    t->answer = TIDINGS_EHANDLER;
    assert_ok(conf_publish_many(bus, "info.a", 0, 100));
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_true(tally_wait(t, 100, CONF_MS));
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.published, 100);
    assert_int_equal(info.taken, 100);
    assert_int_equal(info.unconfirmed, 0);
    assert_int_equal(info.resent, 0);
    assert_int_equal(info.delivered, 100);
    assert_int_equal(info.failed, 100);
    assert_int_equal(info.missed, 0);
    assert_int_equal(info.waiting, 0);
    assert_err(tidings_info(NULL, bus), TIDINGS_EINVAL);
}

/* ---- several buses ---- */

static void test_buses_of_one_process_are_clients_of_their_own(void **state)
{
    struct conf *c = *state;
    tidings_bus *a = conf_open(c, NULL);
    tidings_bus *b = conf_open(c, NULL);
    struct tally *ta = conf_subscribe(c, a, "several.>");
    struct tally *tb = conf_subscribe(c, b, "several.>");

    assert_ptr_not_equal(a, b);
    assert_ok(conf_publish_many(a, "several.x", 0, 10));
    assert_ok(conf_publish_many(b, "several.x", 1, 10));
    assert_true(tally_wait(ta, 20, CONF_MS));
    assert_true(tally_wait(tb, 20, CONF_MS));
    assert_int_equal(tally_now(ta).holes + tally_now(tb).holes, 0);
}

static void test_inproc_names_are_buses_apart(void **state)
{
    struct conf *c = *state;
    tidings_bus *one = conf_open_at(c, "inproc://apart.one", NULL);
    tidings_bus *two = conf_open_at(c, "inproc://apart.two", NULL);
    tidings_bus *again = conf_open_at(c, "inproc://apart.one", NULL);
    struct tally *t1 = conf_subscribe(c, one, ">");
    struct tally *t2 = conf_subscribe(c, two, ">");
    struct tidings_info info1;
    struct tidings_info info2;

    assert_ok(tidings_wait(again, CONF_MS));
    assert_ok(conf_publish_many(again, "apart", 0, 3));
    assert_ok(conf_publish_many(two, "apart", 0, 2));
    assert_true(tally_wait(t1, 3, CONF_MS));
    assert_true(tally_wait(t2, 2, CONF_MS));
    assert_ok(tidings_info(&info1, one));
    assert_ok(tidings_info(&info2, two));
    assert_true(info1.epoch != info2.epoch);
    assert_int_equal(conf_counter(one, "published"), 3);
    assert_int_equal(conf_counter(two, "published"), 2);
}

static void test_inproc_bus_lives_while_one_handle_is_open(void **state)
{
    struct conf *c = *state;
    tidings_bus *first = conf_open_at(c, "inproc://lives", NULL);
    tidings_bus *second = conf_open_at(c, "inproc://lives", NULL);
    struct tidings_info before;
    struct tidings_info after;

    assert_ok(tidings_wait(second, CONF_MS));
    assert_ok(tidings_info(&before, second));
    assert_ok(tidings_close(first));
    conf_forget(c, first);
    first = conf_open_at(c, "inproc://lives", NULL);
    assert_ok(tidings_wait(first, CONF_MS));
    assert_ok(tidings_info(&after, first));
    assert_true(before.epoch == after.epoch);

    assert_ok(tidings_close(first));
    assert_ok(tidings_close(second));
    conf_forget(c, first);
    conf_forget(c, second);
    first = conf_open_at(c, "inproc://lives", NULL);
    assert_ok(tidings_wait(first, CONF_MS));
    assert_ok(tidings_info(&after, first));
    assert_true(before.epoch != after.epoch);
}

int conf_run_bus(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_library_tells_its_version),
        cmocka_unit_test(test_status_kinds_have_names),
        cmocka_unit_test(test_detail_is_of_the_thread_and_cut),
        CONF_TEST(test_open_refuses_bad_urls),
        CONF_TEST(test_open_takes_names_of_64_bytes),
        CONF_TEST(test_open_checks_options),
        CONF_TEST(test_wait_tells_when_the_bus_is_up),
        CONF_TEST(test_wait_names_the_url_when_nobody_answers),
        CONF_TEST(test_calls_without_a_broker_are_unreachable),
        CONF_TEST(test_calls_to_a_silent_broker_time_out),
        CONF_TEST(test_close_tells_what_was_not_taken),
        CONF_TEST(test_close_without_a_broker_does_not_linger),
        CONF_TEST(test_ping_measures_a_round_trip),
        CONF_TEST(test_stats_are_the_brokers_counters),
        CONF_TEST(test_info_counts_what_the_bus_did),
        CONF_TEST(test_buses_of_one_process_are_clients_of_their_own),
        CONF_TEST(test_inproc_names_are_buses_apart),
        CONF_TEST(test_inproc_bus_lives_while_one_handle_is_open),
    };

    return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
