/* Streams and confirms: what was stored, where, how safely, and what is refused
 * in which words. */
#include "tests/conformance/kept.h"

#define EVENTS 2000u

/* What callbacks were told; one at a time, looked at after a flush. */
static struct {
    atomic_uint calls;
    uint64_t sequences[EVENTS];
    struct tidings_confirm last;
    char stream[80];
    atomic_uint errs;
    atomic_uint disorder;
} told;

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    unsigned i = atomic_load(&told.calls);

    if ((uintptr_t)arg != i)
        atomic_fetch_add(&told.disorder, 1);
    if (confirm->err)
        atomic_fetch_add(&told.errs, 1);
    told.last = *confirm;
    snprintf(told.stream, sizeof(told.stream), "%s", confirm->stream);
    if (i < EVENTS)
        told.sequences[i] = confirm->sequence;
    atomic_fetch_add(&told.calls, 1);
}

static bool told_wait(unsigned calls)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(&told.calls) < calls && td_proc_now_ms() < end)
        conf_pause_us(500);
    return atomic_load(&told.calls) == calls;
}

static void publish_with(tidings_bus *bus, const char *type, unsigned i,
                         enum tidings_level level)
{
    const struct tidings_event event = {.type = type};
    const struct tidings_publish_options options = {
        .level = level, .on_confirm = on_confirm, .arg = (void *)(uintptr_t)i};

    assert_ok(tidings_publish_with(bus, &event, &options));
}

/* ---- levels ---- */

static void check_level(struct conf *c, enum tidings_level asked)
{
    tidings_bus *bus = conf_open(c, NULL);
    struct kept k;

    memset(&told, 0, sizeof(told));
    kept_add(&k, bus);
    for (unsigned i = 0; i < EVENTS; i++)
        publish_with(bus, k.type, i, asked);
    assert_true(told_wait(EVENTS));
    assert_int_equal(told.errs, 0);
    assert_int_equal(told.disorder, 0);
    assert_string_equal(told.stream, k.stream);
    assert_false(told.last.duplicate);
    if (conf_has_data())
        assert_true(told.last.level >= asked);
    else
        assert_int_equal(told.last.level, TIDINGS_MEMORY); /* and no more */
    for (unsigned i = 0; i < EVENTS; i++) {
        uint64_t named = told.sequences[i];

        if (conf_has_data() && asked == TIDINGS_MEMORY)
            assert_int_equal(named, 0); /* it may yet be lost */
        else if (conf_has_data())
            assert_int_equal(named, i + 1);
        else
            assert_true(named == 0 || named == i + 1); /* level memory */
    }
    for (int64_t end = td_proc_now_ms() + CONF_MS; /* lists show what is kept */
         operate_stream_figure(bus, k.stream, "last") < EVENTS &&
         td_proc_now_ms() < end;)
        conf_pause_us(500);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), EVENTS);
}

static void test_confirms_name_stream_sequence_and_level(void **state)
{
    check_level(*state, TIDINGS_MEMORY);
    check_level(*state, TIDINGS_OS);
    check_level(*state, TIDINGS_DISK);
}

static void test_callbacks_alone_ask_for_the_disk(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct kept k;

    memset(&told, 0, sizeof(told));
    kept_add(&k, bus);
    publish_with(bus, k.type, 0, TIDINGS_NO_CONFIRM);
    assert_true(told_wait(1));
    assert_int_equal(told.last.level,
                     conf_has_data() ? TIDINGS_DISK : TIDINGS_MEMORY);
    assert_ok(tidings_flush(bus, CONF_MS));
}

static void test_flush_returns_when_all_is_stored(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_info info;
    struct kept k;

    kept_add(&k, bus);
    for (uint64_t round = 0; round < 5; round++) {
        kept_publish(&k, bus, 1 + round * EVENTS, EVENTS);
        assert_int_equal(operate_stream_figure(bus, k.stream, "last"),
                         (round + 1) * EVENTS);
        assert_ok(tidings_info(&info, bus));
        assert_int_equal(info.confirmed, (round + 1) * EVENTS);
        assert_int_equal(info.unconfirmed, 0);
    }
    assert_int_equal(operate_stream_figure(bus, k.stream, "events"),
                     5 * EVENTS);
}

/* What is stored is live as well, and once. */
static void test_stored_events_are_live_as_well(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tally *t;
    struct kept k;

    kept_add(&k, bus);
    t = conf_subscribe(c, bus, k.pattern);
    kept_publish(&k, bus, 1, 100);
    assert_true(tally_wait(t, 100, CONF_MS));
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_int_equal(tally_count(t), 100);
}

/* ---- where no stream is ---- */

static void test_default_stream_takes_what_no_other_takes(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus =
        conf_open(c, &(struct tidings_options){.confirm = TIDINGS_OS});
    uint64_t last = 0;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    last = operate_stream_figure(bus, "events", "last");
    memset(&told, 0, sizeof(told));
    publish_with(bus, "nobodys.type", 0, TIDINGS_DISK);
    publish_with(bus, k.type, 1, TIDINGS_DISK);
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_true(told_wait(2));
    assert_int_equal(told.errs, 0);
    assert_int_equal(told.sequences[0], last + 1);
    assert_int_equal(told.sequences[1], 1);
    assert_int_equal(operate_stream_figure(bus, "events", "last"), last + 1);
}

/* D19 */
static void test_no_stream_is_an_error_of_confirms(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    tidings_bus *bus =
        conf_open(c, &(struct tidings_options){.confirm = TIDINGS_DISK,
                                               .on_status = tally_status,
                                               .on_status_arg = s});
    struct tally *t;

    if (conf_has_data())
        skip(); /* the default stream takes it */
    t = conf_subscribe(c, bus, "nobodys.>");
    memset(&told, 0, sizeof(told));
    publish_with(bus, "nobodys.type", 0, TIDINGS_DISK);
    assert_ok(tidings_flush(bus, CONF_MS)); /* its callback was told */
    assert_true(told_wait(1));
    assert_int_equal(told.last.err, TIDINGS_ENOSTREAM);
    assert_int_equal(told.last.sequence, 0);
    assert_string_equal(told.stream, "");
    assert_ok(tidings_publish(bus, "nobodys.type", NULL, 0));
    assert_err(tidings_flush(bus, CONF_MS), TIDINGS_ENOSTREAM);
    assert_non_null(strstr(tidings_detail(), "nobodys.type"));
    assert_ok(tidings_flush(bus, CONF_MS)); /* said once */
    assert_true(tally_wait_status(s, TIDINGS_UNSTORED, 1, CONF_MS));
    assert_true(tally_wait(t, 2, CONF_MS)); /* live all the same */
}

/* ---- streams ---- */

static void check_refusal(tidings_bus *bus,
                          const struct tidings_stream_options *options,
                          tidings_err err, const char *words)
{
    assert_err(tidings_stream_add(bus, options, CONF_MS), err);
    if (strcmp(tidings_detail(), words) != 0)
        fail_msg("\"%s\", not \"%s\"", tidings_detail(), words);
}

static void test_streams_are_refused_in_the_same_words(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_stream_options options;
    struct tidings_stream_options other;
    const char *patterns[1];
    char words[256];
    struct kept k;
    struct kept k2;

    kept_name(&k);
    kept_name(&k2);
    options = kept_options(&k, patterns);
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    assert_ok(tidings_stream_add(bus, &options, CONF_MS)); /* the same */
    other = options;
    other.max_events = 7;
    check_refusal(bus, &other, TIDINGS_EEXIST,
                  "it is there with other options: max_events "
                  "differs; stream.set changes it");
    other = options;
    other.name = k2.stream;
    patterns[0] = k.type;
    snprintf(words, sizeof(words), "pattern %s overlaps with %s of stream %s",
             k.type, k.pattern, k.stream);
    check_refusal(bus, &other, TIDINGS_EINVAL, words);
    patterns[0] = "a..b";
    assert_err(tidings_stream_add(bus, &other, CONF_MS), TIDINGS_EINVAL);
    patterns[0] = "$sys.a";
    assert_err(tidings_stream_add(bus, &other, CONF_MS), TIDINGS_EINVAL);
    patterns[0] = k2.pattern;
    other.name = "no name";
    assert_err(tidings_stream_add(bus, &other, CONF_MS), TIDINGS_EINVAL);
    other.name = k2.stream;
    other.patterns_len = 0;
    assert_err(tidings_stream_add(bus, &other, CONF_MS), TIDINGS_EINVAL);
    other.patterns_len = 17;
    assert_err(tidings_stream_add(bus, &other, CONF_MS), TIDINGS_EINVAL);
    assert_err(tidings_stream_add(bus, NULL, CONF_MS), TIDINGS_EINVAL);
}

static void test_disk_streams_want_a_data_folder(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_stream_options options;
    const char *patterns[1];
    struct kept k;

    kept_name(&k);
    options = kept_options(&k, patterns);
    options.storage = TIDINGS_STORE_DISK;
    if (conf_has_data())
        assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    else
        check_refusal(bus, &options, TIDINGS_ENOTSUP,
                      "the broker has no data folder: start it with --data "
                      "DIR, or ask for storage memory");
    kept_name(&k);
    options = kept_options(&k, patterns);
    options.storage = TIDINGS_STORE_MEMORY;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
}

static void test_full_streams_reject_what_was_asked_to_be(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_stream_options options;
    const char *patterns[1];
    struct kept k;
    uint64_t n = 11;

    kept_name(&k);
    options = kept_options(&k, patterns);
    options.max_events = 10;
    options.on_full = TIDINGS_REJECT;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    kept_publish(&k, bus, 1, 5); /* whole records are purged */
    kept_publish(&k, bus, 6, 5);
    assert_ok(tidings_publish(bus, k.type, &n, sizeof(n)));
    assert_err(tidings_flush(bus, CONF_MS), TIDINGS_EFULL);
    assert_int_equal(operate_stream_figure(bus, k.stream, "events"), 10);
    assert_ok(operate(NULL, NULL, bus, "stream.purge",
                      (struct operate_option[]){
                          {"name", k.stream, 0}, {"before", NULL, 6}, {0}}));
    assert_int_equal(operate_stream_figure(bus, k.stream, "first"), 6);
    kept_publish(&k, bus, 11, 5);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 15);
}

static void publish_id(tidings_bus *bus, const char *type, const char *source,
                       const char *id)
{
    const struct tidings_event event = {
        .type = type, .source = source, .id = id};
    const struct tidings_publish_options options = {.level = TIDINGS_DISK,
                                                    .on_confirm = on_confirm};

    atomic_store(&told.calls, 0);
    assert_ok(tidings_publish_with(bus, &event, &options));
    assert_true(told_wait(1));
    assert_int_equal(told.errs, 0);
}

/* By two buses, as of a process that was started anew. */
static void test_events_with_an_id_are_stored_once(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *other = kept_open(c);
    struct kept k;

    memset(&told, 0, sizeof(told));
    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 3);
    publish_id(bus, k.type, "/shop", "order-1");
    assert_int_equal(told.last.sequence, 4);
    assert_false(told.last.duplicate);
    publish_id(other, k.type, "/shop", "order-1");
    assert_int_equal(told.last.sequence, 4);
    assert_true(told.last.duplicate);
    assert_string_equal(told.stream, k.stream);
    publish_id(other, k.type, "/shop", "order-2");
    assert_int_equal(told.last.sequence, 5);
    publish_id(other, k.type, "/warehouse", "order-1");
    assert_int_equal(told.last.sequence, 6);
    assert_false(told.last.duplicate);
    assert_int_equal(operate_stream_figure(bus, k.stream, "events"), 6);
    assert_int_equal(operate_stream_figure(bus, k.stream, "repeats"), 1);
}

static void test_events_without_a_window_are_stored_twice(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_stream_options options;
    const char *patterns[1];
    struct kept k;

    memset(&told, 0, sizeof(told));
    kept_name(&k);
    options = kept_options(&k, patterns);
    options.dedup_ms = TIDINGS_NO_DEDUP;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    publish_id(bus, k.type, "/shop", "order-1");
    publish_id(bus, k.type, "/shop", "order-1");
    assert_int_equal(told.last.sequence, 2);
    assert_false(told.last.duplicate);
    kept_name(&k);
    options = kept_options(&k, patterns);
    options.dedup_events = 1;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    publish_id(bus, k.type, "/shop", "order-1");
    publish_id(bus, k.type, "/shop", "order-1");
    assert_true(told.last.duplicate);
    publish_id(bus, k.type, "/shop", "order-2");
    publish_id(bus, k.type, "/shop", "order-1");
    assert_int_equal(told.last.sequence, 3);
    options.dedup_events = 1048577;
    assert_err(tidings_stream_add(bus, &options, CONF_MS), TIDINGS_EINVAL);
}

static void test_streams_are_listed_and_deleted(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct kept k;

    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 3);
    assert_int_equal(operate_stream_figure(bus, k.stream, "first"), 1);
    assert_int_equal(operate_stream_figure(bus, k.stream, "events"), 3);
    assert_true(operate_stream_figure(bus, k.stream, "bytes") > 24);
    assert_true(operate_stream_figure(bus, k.stream, "stored_ms") > 0);
    assert_ok(operate(NULL, NULL, bus, "stream.delete",
                      (struct operate_option[]){{"name", k.stream, 0}, {0}}));
    assert_err(operate(NULL, NULL, bus, "stream.delete",
                       (struct operate_option[]){{"name", k.stream, 0}, {0}}),
               TIDINGS_ENOTFOUND);
}

/* ---- calls ---- */

static void test_calls_are_refused_in_the_same_words(void **state)
{
    static const struct {
        const char *call;
        tidings_err err;
        const char *words;
    } rows[] = {
        {"stream.eat", TIDINGS_ENOTSUP, "the broker knows no such call"},
        {"stream.delete", TIDINGS_EINVAL, "name the stream"},
        {"stream.purge", TIDINGS_EINVAL, "name the stream"},
        {"group.pause", TIDINGS_EINVAL, "name the stream"},
        {"group.resume", TIDINGS_EINVAL, "name the stream"},
        {"group.seek", TIDINGS_EINVAL, "name the stream"},
        {"group.delete", TIDINGS_EINVAL, "name the stream"},
        {"dlq.list", TIDINGS_EINVAL, "name the stream"},
        {"dlq.redrive", TIDINGS_EINVAL, "name the stream"},
        {"dlq.purge", TIDINGS_EINVAL, "name the stream"},
    };
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct kept k;

    kept_add(&k, bus);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_err err =
            tidings_call(NULL, NULL, bus, rows[i].call, NULL, 0, CONF_MS);

        assert_row(rows[i].call, err == rows[i].err);
        assert_row(rows[i].call, !strcmp(tidings_detail(), rows[i].words));
        if (strncmp(rows[i].call, "stream.", 7) == 0)
            continue;
        err = operate_group(bus, rows[i].call, "nowhere", "g", NULL, 0);
        assert_row(rows[i].call, err == TIDINGS_ENOTFOUND);
        assert_row(rows[i].call, !strcmp(tidings_detail(), "no such stream"));
        err = operate_group(bus, rows[i].call, k.stream, "none", NULL, 0);
        assert_row(rows[i].call, err == TIDINGS_ENOTFOUND);
        assert_row(rows[i].call,
                   !strcmp(tidings_detail(), "no such group of this stream"));
    }
}

static void test_subscribing_to_no_stream_is_refused(void **state)
{
    const struct tidings_sub_options options = {.stream = "nowhere",
                                                .group = "g"};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    assert_err(tidings_subscribe(NULL, bus, ">", hand_take, h, &options),
               TIDINGS_ENOTFOUND);
    assert_string_equal(tidings_detail(), "no such stream");
}

int conf_run_stored(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_confirms_name_stream_sequence_and_level),
        KEPT_TEST(test_callbacks_alone_ask_for_the_disk),
        KEPT_TEST(test_flush_returns_when_all_is_stored),
        KEPT_TEST(test_stored_events_are_live_as_well),
        KEPT_TEST(test_default_stream_takes_what_no_other_takes),
        KEPT_TEST(test_no_stream_is_an_error_of_confirms),
        KEPT_TEST(test_streams_are_refused_in_the_same_words),
        KEPT_TEST(test_disk_streams_want_a_data_folder),
        KEPT_TEST(test_full_streams_reject_what_was_asked_to_be),
        KEPT_TEST(test_events_with_an_id_are_stored_once),
        KEPT_TEST(test_events_without_a_window_are_stored_twice),
        KEPT_TEST(test_streams_are_listed_and_deleted),
        KEPT_TEST(test_calls_are_refused_in_the_same_words),
        KEPT_TEST(test_subscribing_to_no_stream_is_refused),
    };

    return cmocka_run_group_tests_name("stored", tests, NULL, NULL);
}
