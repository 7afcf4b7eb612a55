/* After the broker was killed, or closed: what was confirmed is there, once,
 * and groups are where they were. */
#include "tests/conformance/kept.h"

#define EVENTS 3000u
#define GROUP  "g"

static const struct tidings_sub_options from_all = {
    .start = {.kind = TIDINGS_START_ALL}};

/* D01, D04: killed while events are under way: each is stored once, in order. */
static void test_what_is_sent_again_is_stored_once(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_info info;
    struct kept k;

    if (!conf_has_data() || !conf_has_daemon())
        skip(); /* inproc ends with its publishers */
    kept_add(&k, bus);
    for (uint64_t n = 1; n <= EVENTS; n++) {
        assert_ok(tidings_publish(bus, k.type, &n, sizeof(n)));
        if (n % (EVENTS / 3) == 0)
            conf_restart(c);
    }
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.confirmed, EVENTS);
    assert_int_equal(info.unstored, 0);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), EVENTS);
    hand_join(h, bus, &k, NULL, &from_all);
    assert_true(hand_wait(h, EVENTS, CONF_MS));
    assert_true(hand_saw_just(h, 1, EVENTS));
}

/* A member of the old broker is one of the new, and goes on. */
static void test_members_go_on_with_the_next_broker(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    bool seen[201] = {0};
    struct kept k;

    if (!conf_has_data() || !conf_has_daemon())
        skip();
    kept_add(&k, bus);
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 100);
    conf_restart(c);
    kept_publish(&k, bus, 101, 100);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    for (uint64_t i = 0; i < hand_count(h); i++)
        seen[hand_call(h, i).n] = true;
    for (unsigned n = 1; n <= 200; n++)
        assert_true(seen[n]);
}

static void test_what_was_settled_stays_settled(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 100);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(tidings_close(bus)); /* a bus open elsewhere would renew */
    conf_forget(c, bus);
    /* the next commit has taken settlements along: it was waited for */
    bus = kept_open(c);
    kept_publish(&k, bus, 101, 100);
    conf_restart(c);
    if (conf_has_daemon()) {
        tidings_close(bus);
        conf_forget(c, bus);
    }
    bus = kept_open(c);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "floor"), 101);
    hand_join(h, bus, &k, GROUP, NULL);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(hand_saw_just(h, 1, 200));
}

/* ---- what operators did ---- */

static tidings_err term_all(struct hand *h, const struct hand_call *call)
{
    (void)h;
    (void)call;
    return TIDINGS_ETERM;
}

static void test_operators_find_what_they_left(void **state)
{
    const struct tidings_group_options group = {
        .group = "other", .max_deliver = 7, .ack_wait_ms = 1234};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_group_options options = group;
    struct tidings_stream_options again;
    const char *patterns[1];
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    options.stream = k.stream;
    assert_ok(tidings_group_add(bus, &options, CONF_MS));
    h->answer = term_all;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(operate_group(bus, "group.pause", k.stream, "other", NULL, 0));
    conf_restart(c);
    if (conf_has_daemon()) {
        tidings_close(bus);
        conf_forget(c, bus);
    }
    bus = kept_open(c);
    again = kept_options(&k, patterns);
    assert_ok(tidings_stream_add(bus, &again, CONF_MS)); /* as it was */
    assert_ok(tidings_group_add(bus, &options, CONF_MS));
    assert_true(operate_group_flag(bus, k.stream, "other", "paused"));
    assert_int_equal(operate_group_figure(bus, k.stream, "other", "lag"), 10);
    assert_int_equal(operate_dead_at(bus, k.stream, GROUP, 0).total, 10);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 10);
}

/* One in memory is gone with the broker, as it was said. */
static void test_streams_in_memory_end_with_the_broker(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus =
        conf_open(c, &(struct tidings_options){.confirm = TIDINGS_MEMORY});
    struct tidings_stream_options options;
    const char *patterns[1];
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_name(&k);
    options = kept_options(&k, patterns);
    options.storage = TIDINGS_STORE_MEMORY;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    kept_publish(&k, bus, 1, 10);
    conf_restart(c);
    if (conf_has_daemon()) {
        tidings_close(bus);
        conf_forget(c, bus);
    }
    bus = kept_open(c);
    assert_err(operate(NULL, NULL, bus, "stream.delete",
                       (struct operate_option[]){{"name", k.stream, 0}, {0}}),
               TIDINGS_ENOTFOUND);
}

/* ---- one folder, one broker ---- */

static void test_a_data_folder_has_one_broker(void **state)
{
    struct conf *c = *state;
    const char *data = strchr(conf_url(), '=');
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *second = NULL;
    char url[256];

    (void)bus;
    if (!conf_has_data() || conf_has_daemon())
        skip(); /* the daemon's: a system test */
    snprintf(url, sizeof(url), "inproc://another?data%.200s", data);
    assert_err(tidings_open(&second, url, NULL), TIDINGS_EEXIST);
    assert_non_null(strstr(tidings_detail(), "in use"));
    snprintf(url, sizeof(url), "%.*s", (int)strcspn(conf_url(), "?"),
             conf_url());
    assert_err(tidings_open(&second, url, NULL), TIDINGS_EEXIST);
    assert_non_null(strstr(tidings_detail(), "another data folder"));
}

/* What is known to be settled does not come again. */
static void test_what_was_settled_and_synced_is_over(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;
    tidings_sub *sub;

    kept_add(&k, bus);
    sub = hand_join(h, bus, &k, GROUP, NULL);
    if (!conf_has_data()) {
        assert_err(tidings_settled(sub, CONF_MS), TIDINGS_ENOTSUP);
        return;
    }
    assert_ok(tidings_settled(sub, CONF_MS)); /* nothing is to be settled */
    kept_publish(&k, bus, 1, 100);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(tidings_settled(sub, CONF_MS));
    assert_err(tidings_settled(hand_join(h, bus, &k, NULL, NULL), CONF_MS),
               TIDINGS_ENOTSUP);
    if (!conf_has_daemon())
        return;
    conf_restart(c);
    kept_publish(&k, bus, 101, 1);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "delivered"),
                     1);
}

int conf_run_again(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_what_is_sent_again_is_stored_once),
        KEPT_TEST(test_members_go_on_with_the_next_broker),
        KEPT_TEST(test_what_was_settled_stays_settled),
        KEPT_TEST(test_operators_find_what_they_left),
        KEPT_TEST(test_streams_in_memory_end_with_the_broker),
        KEPT_TEST(test_a_data_folder_has_one_broker),
        KEPT_TEST(test_what_was_settled_and_synced_is_over),
    };

    return cmocka_run_group_tests_name("again", tests, NULL, NULL);
}
