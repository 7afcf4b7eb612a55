/* The configuration file, as tables: what is taken, what is refused, in which
 * line and by which words. */
#include "tests/support/td_test.h"

#include <stdlib.h>
#include <unistd.h>

#include "broker/config.h"
#include "proto/frame.h"
#include "tests/support/alloc.h"

struct file {
    char path[64];
    char why[TD_CONFIG_WHY_BYTES];
};

static int setup(void **state)
{
    struct file *f = calloc(1, sizeof(*f));
    int fd;

    *state = f;
    if (!f)
        return -1;
    snprintf(f->path, sizeof(f->path), "/tmp/tidings-config-XXXXXX");
    fd = mkstemp(f->path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    struct file *f = *state;

    unlink(f->path);
    free(f);
    return 0;
}

static void write_file(const struct file *f, const char *text, size_t len)
{
    FILE *out = fopen(f->path, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static struct td_config *read_text(struct file *f, const char *text)
{
    write_file(f, text, strlen(text));
    memset(f->why, 0, sizeof(f->why));
    return td_config_read(f->path, f->why);
}

static bool is(struct td_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* ---- what is taken ---- */

static const char whole[] = "# all there is\n"
                            "listen: [tcp://127.0.0.1:1, 'ipc:///x']\n"
                            "data: /var/lib/tidings\n"
                            "log_level: debug\n"
                            "memory_max: 1G\n"
                            "session_memory_max: 64M\n"
                            "grace: 30s\n"
                            "streams:\n"
                            "  - name: orders\n"
                            "    patterns: [order.>, invoice.*]\n"
                            "    max_age: 7d\n"
                            "    max_bytes: 10G\n"
                            "    max_events: 010\n"
                            "    dedup: 1h\n"
                            "    dedup_events: 20\n"
                            "    on_full: reject\n"
                            "    storage: disk\n"
                            "    keyed: true\n"
                            "    compact: true\n"
                            "    tombstone: 1h\n"
                            "  - {name: live, patterns: [l], storage: memory}\n"
                            "  - {name: events, max_age: 90d}\n"
                            "groups:\n"
                            "  - stream: orders\n"
                            "    group: billing\n"
                            "    pattern: order.paid\n"
                            "    start: 2024-02-29T12:00:00Z\n"
                            "    group_policy: key\n"
                            "    max_in_flight: 100\n"
                            "    ack_wait: 1m\n"
                            "    max_deliver: 3\n"
                            "    backoff: 1s\n"
                            "    backoff_max: 5m\n"
                            "  - {stream: live, group: x, start: 17}\n"
                            "  - {stream: live, group: y, start: last}\n";

static void test_config_streams_land_in_their_members(void **state)
{
    struct td_config *c = read_text(*state, whole);
    const struct td_declared *d;

    assert_non_null(c);
    d = td_config_declared(c);
    assert_int_equal(d->streams_len, 3);
    assert_true(is(d->streams[0].name, "orders"));
    assert_int_equal(d->streams[0].patterns_len, 2);
    assert_true(is(d->streams[0].patterns[0], "order.>"));
    assert_true(is(d->streams[0].patterns[1], "invoice.*"));
    assert_int_equal(d->streams[0].max_age_ms, 7 * 86400000LL);
    assert_int_equal(d->streams[0].max_bytes, (int64_t)10 << 30);
    assert_int_equal(d->streams[0].max_events, 10);
    assert_int_equal(d->streams[0].dedup_ms, 3600000);
    assert_int_equal(d->streams[0].dedup_events, 20);
    assert_int_equal(d->streams[0].on_full, TD_REJECT);
    assert_int_equal(d->streams[0].storage, TD_ON_DISK);
    assert_true(d->streams[0].keyed);
    assert_true(d->streams[0].compact);
    assert_int_equal(d->streams[0].tombstone_ms, 3600000);
    assert_true(is(d->streams[1].name, "live"));
    assert_int_equal(d->streams[1].max_age_ms, 0);
    assert_int_equal(d->streams[1].dedup_ms, TD_DEDUP_MS);
    assert_int_equal(d->streams[1].dedup_events, TD_DEDUP_EVENTS);
    assert_int_equal(d->streams[1].on_full, TD_DISCARD_OLD);
    assert_int_equal(d->streams[1].storage, TD_IN_MEMORY);
    assert_false(d->streams[1].keyed);
    assert_int_equal(d->streams[2].patterns_len, 1); /* of that one alone */
    assert_true(is(d->streams[2].patterns[0], ">"));
    assert_int_equal(d->streams[2].max_age_ms, 90 * 86400000LL);
    td_config_free(c);
}

static void test_config_groups_land_in_their_members(void **state)
{
    struct td_config *c = read_text(*state, whole);
    const struct td_durable_options *o;

    assert_non_null(c);
    assert_int_equal(td_config_declared(c)->groups_len, 3);
    o = &td_config_declared(c)->groups[0].options;
    assert_true(is(o->stream, "orders"));
    assert_true(is(o->group, "billing"));
    assert_true(is(o->pattern, "order.paid"));
    assert_int_equal(o->start.kind, TD_START_TIME);
    assert_int_equal(o->start.time_ms, 1709208000000);
    assert_int_equal(o->share, 3);
    assert_int_equal(o->max_in_flight, 100);
    assert_int_equal(o->ack_wait_ms, 60000);
    assert_int_equal(o->max_deliver, 3);
    assert_int_equal(o->backoff_ms, 1000);
    assert_int_equal(o->backoff_max_ms, 300000);
    assert_int_equal(td_config_declared(c)->groups[0].given, 255);
    o = &td_config_declared(c)->groups[1].options;
    assert_true(is(o->pattern, ">"));
    assert_int_equal(o->start.kind, TD_START_SEQUENCE);
    assert_int_equal(o->start.sequence, 17);
    assert_int_equal(o->ack_wait_ms, TD_ACK_WAIT_MS);
    assert_int_equal(td_config_declared(c)->groups[1].given, TD_GIVEN_START);
    o = &td_config_declared(c)->groups[2].options;
    assert_int_equal(o->start.kind, TD_START_LAST);
    td_config_free(c);
}

static void test_config_that_says_nothing_is_one(void **state)
{
    static const char *const texts[] = {"", "# nothing yet\n", "{}\n",
                                        "streams: []\ngroups: []\n"};

    for (size_t i = 0; i < TD_ARRAY_LEN(texts); i++) {
        struct td_config *c = read_text(*state, texts[i]);

        assert_row(texts[i], c != NULL);
        assert_row(texts[i], td_config_declared(c)->streams_len == 0);
        assert_row(texts[i], td_config_declared(c)->groups_len == 0);
        assert_row(texts[i], !td_config_setting(c, "listen", 0));
        assert_row(texts[i], !td_config_setting(c, "data", 0));
        td_config_free(c);
    }
}

/* ---- what is refused ---- */

#define S "data: d\nstreams:\n- name: s\n  patterns: [a]\n" /* 4 lines */
#define G "groups:\n- stream: s\n  group: g\n"              /* 3 lines */

static const struct {
    const char *text;
    size_t line; /* 0: none is said */
    const char *word;
} bad[] = {
    /* not YAML, or not what is expected of it */
    {"data: \"x\n", 2, "end of stream"},
    {"\tdata: x\n", 1, "cannot start any token"},
    {"data: x\nlisten: [a\n", 3, "expected"},
    {"data: \xff\n", 1, "UTF-8"},
    {"data: \"a\\0b\"\n", 1, "NUL"},
    {"data: x\n---\ndata: y\n", 2, "second document"},
    {"? [a]\n: b\n", 1, "key"},
    {"data: &a x\nlog_level: *a\n", 1, "alias"},
    {"\ndata: *a\n", 2, "alias"},
    {"\nwords\n", 2, "MAPPING"},
    {"- a\n", 1, "MAPPING"},
    /* keys */
    {"lisen: x\n", 1, "lisen"},
    {"data: x\n\n\nlisen: x\n", 4, "lisen"},
    {"data: lisen\nlisen: x\n", 2, "lisen"},
    {"Data: x\n", 1, "Data"},
    {"version: 1\n", 1, "version"},
    {"data: x\ndata: y\n", 2, "data"},
    {S "  max_ages: 7d\n", 5, "max_ages"},
    {S "  max_events: 7\n  name: t\n", 6, "name"},
    {G "  keyed: yes\n", 4, "keyed"},
    {"streams:\n- name: s\n", 2, "patterns"},
    {"streams:\n- patterns: [a]\n", 2, "name"},
    {"groups:\n- stream: s\n", 2, "group"},
    {"groups:\n- group: s\n", 2, "stream"},
    /* types */
    {"listen: tcp://127.0.0.1:1\n", 1, "SEQUENCE"},
    {"data: [x]\n", 1, "STRING"},
    {"data: {x: y}\n", 1, "STRING"},
    {"streams: 7\n", 1, "SEQUENCE"},
    {"streams: {}\n", 1, "SEQUENCE"},
    {"data: d\nstreams:\n- s\n", 3, "MAPPING"},
    {"streams:\n- name: s\n  patterns: a\n", 3, "SEQUENCE"},
    {"streams:\n- name: s\n  patterns:\n  - a\n  - [b]\n", 5, "STRING"},
    {"data:\n", 1, "data has no value"},
    {"data: d\ngrace: ~\n", 2, "grace has no value"},
    {S "  max_age: null\n", 5, "max_age has no value"},
    /* streams */
    {S "  max_age: 7\n", 5, "max_age 7: expected a duration"},
    {S "  max_age: 1w\n", 5, "7d"},
    {S "  max_bytes: 10GB\n", 5, "max_bytes 10GB: expected"},
    {S "  max_events: -4\n", 5, "max_events -4: expected a number"},
    {S "  max_events: many\n", 5, "many"},
    {S "  max_events: 99999999999999999999\n", 5, "max_events"},
    {S "  dedup: 7\n", 5, "dedup 7: expected a duration"},
    {S "  dedup_events: 1048577\n", 5, "dedup_events is 0, for off"},
    {S "  on_full: drop\n", 5, "discard_old or reject"},
    {S "  storage: tape\n", 5, "disk or memory"},
    {S "  keyed: maybe\n", 5, "keyed maybe: expected true or false"},
    {"streams:\n- name: a b\n  patterns: [a]\n", 2, "A-Z"},
    {"streams:\n- name: "
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
     "  patterns: [a]\n",
     2, "1 to 64"},
    {"streams:\n- name: s\n  patterns: []\n", 3, "at least one"},
    {"streams:\n- name: s\n  patterns: [a..b]\n", 3, "not valid"},
    {"streams:\n- name: s\n  patterns: [$tidings.>]\n", 3, "$"},
    {"streams:\n- name: s\n  patterns: [a.*, '*.b']\n", 3, "two"},
    {"streams:\n- name: s\n"
     "  patterns: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]\n",
     3, "16"},
    {S "- name: t\n  patterns: [b.c, '*']\n", 6,
     "pattern * overlaps with a of stream s"},
    {S "- name: s\n  patterns: [b]\n", 5, "second stream s"},
    {S "- name: events\n  patterns: [b]\n", 6, "takes what no other takes"},
    {"streams:\n- name: events\n  patterns: ['>', $a]\n", 3, "$"},
    /* groups */
    {G "  start: soon\n", 4, "start soon: expected new, all"},
    {G "  start: 0\n", 4, "1 or more"},
    {G "  start: 2024-02-30\n", 4, "2024-02-29"},
    {G "  group_policy: fair\n", 4, "round_robin"},
    {G "  pattern: a..b\n", 4, "pattern"},
    {G "  ack_wait: 30\n", 4, "ack_wait 30: expected a duration"},
    {G "  ack_wait: 0\n", 4, "ack_wait_ms is 1 to"},
    {G "  ack_wait: 2d\n", 4, "ack_wait_ms is 1 to"},
    {G "  max_deliver: 251\n", 4, "250"},
    {G "  max_in_flight: 0\n", 4, "max_in_flight"},
    {G "  backoff: 2s\n  backoff_max: 1s\n", 5, "raise it"},
    {G "  pattern: a\n- stream: s\n  group: g\n", 6, "second group g"},
    {"groups:\n- {stream: s, group: a/b}\n", 2, "A-Z"},
};

static void test_config_is_refused_with_line_and_reason(void **state)
{
    struct file *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        char where[128];

        if (bad[i].line)
            snprintf(where, sizeof(where), "%s:%zu: ", f->path, bad[i].line);
        else
            snprintf(where, sizeof(where), "%s: ", f->path);
        assert_row(bad[i].text, !read_text(f, bad[i].text));
        if (!strstr(f->why, bad[i].word) ||
            strncmp(f->why, where, strlen(where)) != 0)
            print_error("said: %s\n", f->why);
        assert_row(bad[i].text, strncmp(f->why, where, strlen(where)) == 0);
        assert_row(bad[i].text, strstr(f->why, bad[i].word) != NULL);
        assert_row(bad[i].text, strchr(f->why, '\n') == NULL);
    }
}

/* Of these libyaml would take minutes. */
static void test_config_that_takes_long_is_refused(void **state)
{
    static const struct {
        const char *unit;
        const char *says;
    } rows[] = {
        {"[", "more than 16 lists and maps"},
        {"{", "more than 16 lists and maps"},
        {"{a: [", "more than 16 lists and maps"},
        {"- ", "more than 16 lists and maps"},
        {"- &a 1\n", "no anchors"},
    };
    struct file *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        FILE *file = fopen(f->path, "w");

        assert_non_null(file);
        for (unsigned k = 0; k < 200000; k++)
            fputs(rows[i].unit, file);
        assert_int_equal(fclose(file), 0);
        assert_null(td_config_read(f->path, f->why));
        assert_row(rows[i].unit, strstr(f->why, ":1: ") != NULL);
        assert_row(f->why, strstr(f->why, rows[i].says) != NULL);
    }
}

static void test_config_that_cannot_be_read_is_named(void **state)
{
    struct file *f = *state;

    assert_null(td_config_read("/nowhere/at/all.yaml", f->why));
    assert_non_null(strstr(f->why, "/nowhere/at/all.yaml: No such file"));
    assert_null(td_config_read("/tmp", f->why));
    assert_non_null(strstr(f->why, "regular file"));
    assert_int_equal(truncate(f->path, (8 << 20) + 1), 0);
    assert_null(td_config_read(f->path, f->why));
    assert_non_null(strstr(f->why, "8 MiB"));
}

/* Deep, and long: told, and no more than that. */
static void test_config_of_any_shape_is_survived(void **state)
{
    enum { LONG = 20000 };
    struct file *f = *state;
    char *text = malloc(LONG + 1);

    assert_non_null(text);
    memset(text, '[', LONG);
    text[LONG] = '\0';
    assert_null(read_text(f, text));
    memset(text, 'a', LONG);
    assert_null(read_text(f, text));
    assert_true(strlen(f->why) < sizeof(f->why));
    memcpy(text, "data: ", 6);
    td_config_free(read_text(f, text));
    for (size_t len = 0; len < sizeof(whole); len++) { /* cut anywhere */
        write_file(f, whole, len);
        td_config_free(td_config_read(f->path, f->why));
    }
    free(text);
}

static tidings_err read_whole(void *arg)
{
    struct file *f = arg;
    struct td_config *c = td_config_read(f->path, f->why);

    if (!c)
        return strstr(f->why, "memory") ? TIDINGS_ENOMEM : TIDINGS_EINVAL;
    td_config_free(c);
    return TIDINGS_OK;
}

static void test_config_runs_out_of_memory(void **state)
{
    struct file *f = *state;

    write_file(f, whole, strlen(whole));
    assert_true(td_alloc_each(read_whole, f) > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_config_streams_land_in_their_members),
        TEST(test_config_groups_land_in_their_members),
        TEST(test_config_that_says_nothing_is_one),
        TEST(test_config_is_refused_with_line_and_reason),
        TEST(test_config_that_cannot_be_read_is_named),
        TEST(test_config_that_takes_long_is_refused),
        TEST(test_config_of_any_shape_is_survived),
        TEST(test_config_runs_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
