/* The command line's options of streams, groups and dead letters: what they
 * set, and what is refused in which words. What they share with the other
 * commands is tested with those. */
#include "tests/unit/cli_fixture.h"

#include "client/cli/cli.h"
#include "client/cli/options.h"

#define WORDS_MAX 40

static struct td_settings settings;
static const char *said;

/* args: words with one blank between them; an empty one cannot be said. */
static bool read_words(uint64_t command, const char *args)
{
    static char line[512];
    static char *words[WORDS_MAX + 1];
    int n = 0;
    bool ok;

    settings = (struct td_settings){0};
    snprintf(line, sizeof(line), "command %s", args);
    for (char *word = strtok(line, " "); word && n < WORDS_MAX;
         word = strtok(NULL, " "))
        words[n++] = word;
    words[n] = NULL;
    said_begin();
    ok = td_options_read(&settings, command, n, words, "hint");
    said = said_end();
    return ok;
}

static void test_options_describe_a_stream(void **state)
{
    const struct tidings_stream_options *o = &settings.durable.stream;
    (void)state;

    assert_true(
        read_words(TD_CLI_STREAM_ADD,
                   "orders --pattern order.> -p user.* --max-age 7d "
                   "--max-bytes 10M --max-events 1000 --on-full reject "
                   "--dedup 1h --dedup-events 9 --storage memory --keyed "
                   "--json"));
    assert_int_equal(settings.words_len, 1);
    assert_string_equal(settings.words[0], "orders");
    assert_int_equal(settings.durable.patterns_len, 2);
    assert_string_equal(settings.durable.patterns[0], "order.>");
    assert_string_equal(settings.durable.patterns[1], "user.*");
    assert_true(o->max_age_ms == UINT64_C(7) * 86400000);
    assert_true(o->max_bytes == 10u << 20);
    assert_true(o->max_events == 1000);
    assert_true(o->dedup_ms == 3600000);
    assert_true(o->dedup_events == 9);
    assert_int_equal(o->on_full, TIDINGS_REJECT);
    assert_int_equal(o->storage, TIDINGS_STORE_MEMORY);
    assert_true(o->keyed);
    assert_true(settings.json);
}

static void test_options_describe_a_group(void **state)
{
    const struct tidings_group_options *o = &settings.durable.group;
    (void)state;

    assert_true(read_words(TD_CLI_GROUP_ADD,
                           "events mails -p user.* --start 17 --group-policy "
                           "key --max-in-flight 100 --ack-wait 10s "
                           "--max-deliver 3 --backoff 50ms --backoff-max 1m"));
    assert_int_equal(settings.words_len, 2);
    assert_string_equal(settings.durable.patterns[0], "user.*");
    assert_int_equal(settings.sub.start.kind, TIDINGS_START_SEQUENCE);
    assert_true(settings.sub.start.sequence == 17);
    assert_int_equal(settings.sub.group_policy, TIDINGS_BY_KEY);
    assert_int_equal(o->max_in_flight, 100);
    assert_int_equal(o->ack_wait_ms, 10000);
    assert_int_equal(o->max_deliver, 3);
    assert_int_equal(o->backoff_ms, 50);
    assert_int_equal(o->backoff_max_ms, 60000);
}

static void test_options_say_what_is_read(void **state)
{
    (void)state;

    assert_true(read_words(TD_CLI_TAIL, "s --start all -f -n 3 -j -p a.*"));
    assert_int_equal(settings.sub.start.kind, TIDINGS_START_ALL);
    assert_true(settings.durable.follow && settings.json);
    assert_true(settings.count == 3);

    assert_true(
        read_words(TD_CLI_REPLAY, "s --start -5m --until 99 --rate 10"));
    assert_int_equal(settings.sub.start.kind, TIDINGS_START_TIME);
    assert_int_equal(settings.durable.until.kind, TIDINGS_START_SEQUENCE);
    assert_true(settings.durable.until.sequence == 99);
    assert_true(settings.rate == 10);

    assert_true(read_words(TD_CLI_REPLAY, "s --until -1d --original-pace"));
    assert_int_equal(settings.durable.until.kind, TIDINGS_START_TIME);
    assert_true(settings.durable.original_pace);
}

static void test_options_say_which_dead_letters(void **state)
{
    const struct td_durable_settings *d = &settings.durable;
    (void)state;

    assert_true(read_words(TD_CLI_DLQ_REDRIVE,
                           "s g --first 3 --last 9 --limit 5 --rate 0.5"));
    assert_true(d->first == 3 && d->last == 9 && d->limit == 5);
    assert_true(settings.rate == 0.5);
    assert_true(read_words(TD_CLI_DLQ_PURGE, "s g --yes --limit 7 --rate 2"));
    assert_true(d->yes && d->limit == 7 && settings.rate == 2);
}

static void test_options_say_how_safe_an_event_is_to_be(void **state)
{
    static const struct {
        const char *args;
        enum tidings_level level;
    } rows[] = {
        {"a", TIDINGS_NO_CONFIRM},
        {"a -c none", TIDINGS_NO_CONFIRM},
        {"a --confirm memory", TIDINGS_MEMORY},
        {"a --confirm os", TIDINGS_OS},
        {"a -c disk", TIDINGS_DISK},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_row(rows[i].args, read_words(TD_CLI_PUB, rows[i].args));
        assert_row(rows[i].args, settings.durable.confirm == rows[i].level);
    }
}

static void test_options_that_are_wrong_say_what_is_wanted(void **state)
{
    static const struct {
        uint64_t command;
        const char *args;
        const char *said;
    } rows[] = {
        {TD_CLI_PUB, "a --confirm most", "none, memory, os or disk"},
        {TD_CLI_STREAM_ADD, "s -p a..b", "tokens joined by dots"},
        {TD_CLI_STREAM_ADD, "s -p", "wants a value"},
        {TD_CLI_STREAM_ADD,
         "s -p a -p b -p c -p d -p e -p f -p g -p h -p i -p j -p k -p l -p m "
         "-p n -p o -p p -p q",
         "at most 16"},
        {TD_CLI_STREAM_ADD, "s --max-age 7", "7d"},
        {TD_CLI_STREAM_ADD, "s --max-age 99999999d", "shorter"},
        {TD_CLI_STREAM_ADD, "s --max-bytes 1T", "8M"},
        {TD_CLI_STREAM_ADD, "s --max-events 0", "whole number"},
        {TD_CLI_STREAM_ADD, "s --dedup 7", "7d"},
        {TD_CLI_STREAM_ADD, "s --dedup-events 0", "1 to 1048576"},
        {TD_CLI_STREAM_ADD, "s --dedup-events 1048577", "1 to 1048576"},
        {TD_CLI_STREAM_ADD, "s --on-full drop", "discard_old or reject"},
        {TD_CLI_STREAM_ADD, "s --storage tape", "disk or memory"},
        {TD_CLI_STREAM_ADD, "s --start all", "unknown option --start"},
        {TD_CLI_STREAM_PURGE, "s --before 0", "whole number"},
        {TD_CLI_STREAM_PURGE, "s --bevor 1", "did you mean --before?"},
        {TD_CLI_GROUP_ADD, "s g -p a -p b", "given once"},
        {TD_CLI_GROUP_ADD, "s g --start soon", "new, all, last, a sequence"},
        {TD_CLI_GROUP_ADD, "s g --start 0", "above 0"},
        {TD_CLI_GROUP_ADD, "s g --max-in-flight 1048577", "1048576"},
        {TD_CLI_GROUP_ADD, "s g --max-deliver 251", "1 to 250"},
        {TD_CLI_GROUP_ADD, "s g --ack-wait 2d", "shorter"},
        {TD_CLI_GROUP_ADD, "s g --backoff 0s", "a duration"},
        {TD_CLI_GROUP_ADD, "s g --group-policy any", "round_robin"},
        {TD_CLI_GROUP_PAUSE, "s g --until -5m", "a time to come"},
        {TD_CLI_GROUP_PAUSE, "s g --until 2001-01-01", "a time to come"},
        {TD_CLI_GROUP_PAUSE, "s g --until 17", "a time to come"},
        {TD_CLI_REPLAY, "s --until new", "a sequence above 0, or a time"},
        {TD_CLI_REPLAY, "s --rate fast", "events per second"},
        {TD_CLI_REPLAY, "s --follow", "unknown option --follow"},
        {TD_CLI_DLQ_LIST, "s g --limit 0", "whole number"},
        {TD_CLI_DLQ_REDRIVE, "s g --first -1", "whole number"},
        {TD_CLI_DLQ_REDRIVE, "s g --last x", "whole number"},
        {TD_CLI_SUB, "a --stream=", "name of a stream"},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_row(rows[i].args, !read_words(rows[i].command, rows[i].args));
        assert_row(rows[i].args, strstr(said, rows[i].said) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_describe_a_stream),
        cmocka_unit_test(test_options_describe_a_group),
        cmocka_unit_test(test_options_say_what_is_read),
        cmocka_unit_test(test_options_say_which_dead_letters),
        cmocka_unit_test(test_options_say_how_safe_an_event_is_to_be),
        cmocka_unit_test(test_options_that_are_wrong_say_what_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
