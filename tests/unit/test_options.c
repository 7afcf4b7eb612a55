/* tidingsd's command line, as tables: what is taken, what is refused, and what
 * is said about it. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/options.h"
#include "proto/limits.h"

#define ARGS_MAX 40

/* Words split at spaces, in a buffer that lives as long as the options. */
struct line {
    char text[2048];
    char *argv[ARGS_MAX];
    int argc;
};

static void split(struct line *l, const char *text)
{
    char *save = NULL;

    snprintf(l->text, sizeof(l->text), "tidingsd %s", text);
    l->argc = 0;
    for (char *word = strtok_r(l->text, " ", &save); word;
         word = strtok_r(NULL, " ", &save))
        l->argv[l->argc++] = word;
    l->argv[l->argc] = NULL;
}

/* What parsing gives; *said is what it told, to be freed. */
static int parse(struct td_options *out, struct line *l, const char *text,
                 char **said)
{
    size_t len;
    FILE *err = open_memstream(said, &len);
    int code;

    assert_non_null(err);
    split(l, text);
    code = td_options_parse(out, l->argc, l->argv, err);
    fclose(err);
    return code;
}

static void test_options_have_defaults(void **state)
{
    struct td_options o;
    struct line l;
    char *said;

    (void)state;
    assert_int_equal(parse(&o, &l, "", &said), 0);
    assert_string_equal(said, "");
    free(said);
    assert_int_equal(o.listen_len, 1);
    assert_string_equal(o.listen[0], "tcp://127.0.0.1:7450");
    assert_int_equal(o.log_level, TD_LOG_INFO);
    assert_int_equal(o.memory_bytes, TD_MEMORY_BYTES);
    assert_int_equal(o.session_bytes, TD_SESSION_BYTES);
    assert_int_equal(o.grace_ms, TD_GRACE_MS);
    assert_false(o.help);
    assert_false(o.version);
}

static void test_options_are_taken(void **state)
{
    static const struct {
        const char *text;
        size_t memory_bytes;
        enum td_log_level level;
        const char *listen; /* the last */
        unsigned listen_len;
    } rows[] = {
        {"--listen tcp://0.0.0.0:1", TD_MEMORY_BYTES, TD_LOG_INFO,
         "tcp://0.0.0.0:1", 1},
        {"--listen=ipc:///a=b", TD_MEMORY_BYTES, TD_LOG_INFO, "ipc:///a=b", 1},
        {"--listen tcp://a:1 --listen tcp://b:2", TD_MEMORY_BYTES, TD_LOG_INFO,
         "tcp://b:2", 2},
        {"--memory-max 16M", 16u << 20, TD_LOG_INFO, "tcp://127.0.0.1:7450", 1},
        {"--memory-max=16777216", 16u << 20, TD_LOG_INFO,
         "tcp://127.0.0.1:7450", 1},
        {"--memory-max 20000k", 20000u << 10, TD_LOG_INFO,
         "tcp://127.0.0.1:7450", 1},
        {"--memory-max 3G", (size_t)3 << 30, TD_LOG_INFO,
         "tcp://127.0.0.1:7450", 1},
        {"--log-level error", TD_MEMORY_BYTES, TD_LOG_ERROR,
         "tcp://127.0.0.1:7450", 1},
        {"--log-level debug --log-level=warn", TD_MEMORY_BYTES, TD_LOG_WARN,
         "tcp://127.0.0.1:7450", 1},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_options o;
        struct line l;
        char *said;

        assert_row(rows[i].text, parse(&o, &l, rows[i].text, &said) == 0);
        assert_row(rows[i].text, *said == '\0');
        free(said);
        assert_row(rows[i].text, o.memory_bytes == rows[i].memory_bytes);
        assert_row(rows[i].text, o.log_level == rows[i].level);
        assert_row(rows[i].text, o.listen_len == rows[i].listen_len);
        assert_row(rows[i].text,
                   strcmp(o.listen[o.listen_len - 1], rows[i].listen) == 0);
    }
}

static void test_what_a_session_may_keep_is_taken(void **state)
{
    static const struct {
        const char *text;
        size_t session_bytes;
        int64_t grace_ms;
    } rows[] = {
        {"--session-memory-max 16M", 16u << 20, TD_GRACE_MS},
        {"--session-memory-max=1G", 1u << 30, TD_GRACE_MS},
        {"--session-memory-max 16384k --memory-max 1G", 16u << 20, TD_GRACE_MS},
        {"--grace 1", TD_SESSION_BYTES, 1000},
        {"--grace=60", TD_SESSION_BYTES, 60000},
        {"--grace 3600", TD_SESSION_BYTES, TD_GRACE_MS_MAX},
        {"--grace 15s", TD_SESSION_BYTES, 15000},
        {"--grace 500ms", TD_SESSION_BYTES, 500},
        {"--grace 1h", TD_SESSION_BYTES, TD_GRACE_MS_MAX},
        {"--grace 0", TD_SESSION_BYTES, -1}, /* sessions are not kept */
        {"--grace 5 --grace 7", TD_SESSION_BYTES, 7000},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_options o;
        struct line l;
        char *said;

        assert_row(rows[i].text, parse(&o, &l, rows[i].text, &said) == 0);
        assert_row(rows[i].text, *said == '\0');
        free(said);
        assert_row(rows[i].text, o.session_bytes == rows[i].session_bytes);
        assert_row(rows[i].text, o.grace_ms == rows[i].grace_ms);
    }
}

static void test_bad_options_are_named(void **state)
{
    static const struct {
        const char *text;
        const char *names; /* in what is said */
    } rows[] = {
        {"--lisen tcp://a:1", "--lisen"},
        {"-h", "-h"},
        {"tcp://127.0.0.1:1", "tcp://127.0.0.1:1"},
        {"--", "--"},
        {"--listenx=1", "--listenx"},
        {"--listen", "--listen"},
        {"--log-level", "debug"},
        {"--log-level loud", "loud"},
        {"--log-level INFO", "INFO"},
        {"--log-level=", "--log-level"},
        {"--help=1", "--help"},
        {"--version=1", "--version"},
        {"--memory-max", "--memory-max"},
        {"--memory-max=", "--memory-max"},
        {"--memory-max 15M", "16M"},
        {"--memory-max 0", "16M"},
        {"--memory-max -1", "-1"},
        {"--memory-max +20M", "+20M"},
        {"--memory-max M", "M"},
        {"--memory-max 20MB", "20MB"},
        {"--memory-max 20T", "20T"},
        {"--memory-max 1.5G", "1.5G"},
        {"--memory-max 99999999999999999999", "99999999999999999999"},
        {"--memory-max 17179869184G", "17179869184G"},
        {"--session-memory-max", "--session-memory-max"},
        {"--session-memory-max 15M", "16M"},
        {"--session-memory-max 20MB", "20MB"},
        {"--session-memory-max 99999999999999999999", "99999999999999999999"},
        {"--grace", "--grace"},
        {"--grace=", "--grace"},
        {"--grace 3601", "3600"},
        {"--grace -1", "-1"},
        {"--grace +1", "+1"},
        {"--grace 1.5", "1.5"},
        {"--grace 15sec", "15sec"},
        {"--grace 61m", "61m"},
        {"--config", "--config"},
        {"--config=", "--config"},
        {"--check", "--check"},
        {"--check --log-level debug", "--check"},
        {"--check=", "--check"},
        {"--check a.yaml --config b.yaml", "one file"},
        {"--config b.yaml --check a.yaml", "one file"},
        {"--grace 99999999999999999999", "99999999999999999999"},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_options o;
        struct line l;
        char *said;

        assert_row(rows[i].text, parse(&o, &l, rows[i].text, &said) == 2);
        assert_row(rows[i].text, strncmp(said, "tidingsd: ", 10) == 0);
        assert_row(said, strstr(said, rows[i].names));
        assert_row(said, said[strlen(said) - 1] == '\n');
        free(said);
    }
}

static void test_a_file_is_named_by_config_or_check(void **state)
{
    static const struct {
        const char *text;
        bool check;
    } rows[] = {
        {"--config a.yaml", false},
        {"--config=a.yaml --grace 3", false},
        {"--check a.yaml", true},
        {"--check=a.yaml", true},
        {"--config a.yaml --check", true},
        {"--check --config a.yaml", true},
        {"--check --grace 3 --config a.yaml", true},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_options o;
        struct line l;
        char *said;

        assert_row(rows[i].text, parse(&o, &l, rows[i].text, &said) == 0);
        assert_row(rows[i].text, *said == '\0');
        free(said);
        assert_row(rows[i].text, strcmp(o.config, "a.yaml") == 0);
        assert_row(rows[i].text, o.check == rows[i].check);
    }
}

static void test_addresses_end_at_16(void **state)
{
    char text[1024] = "";
    struct td_options o;
    struct line l;
    char *said;

    (void)state;
    for (unsigned i = 0; i < TD_LISTEN_MAX; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "--listen tcp://a:%u ", i);
    assert_int_equal(parse(&o, &l, text, &said), 0);
    free(said);
    assert_int_equal(o.listen_len, TD_LISTEN_MAX);
    snprintf(text + strlen(text), sizeof(text) - strlen(text),
             "--listen tcp://a:17");
    assert_int_equal(parse(&o, &l, text, &said), 2);
    assert_non_null(strstr(said, "16"));
    free(said);
}

static void test_help_and_version_are_seen(void **state)
{
    struct td_options o;
    struct line l;
    char *said;

    (void)state;
    assert_int_equal(parse(&o, &l, "--help", &said), 0);
    free(said);
    assert_true(o.help);
    assert_false(o.version);
    assert_int_equal(parse(&o, &l, "--version", &said), 0);
    free(said);
    assert_true(o.version);
}

/* The help comes from the table: each option, and each default. */
static void test_help_tells_every_option_and_default(void **state)
{
    static const char *const words[] = {
        "usage: tidingsd",
        "--listen URL",
        "tcp://127.0.0.1:7450",
        "--log-level",
        "default: info",
        "--memory-max SIZE",
        "default: 512M",
        "--help",
        "--version",
        "--session-memory-max SIZE",
        "default: 256M",
        "--grace TIME",
        "default: 15",
        "--config FILE",
        "--check [FILE]",
        "SIGHUP",
        "ready",
        "SIGTERM",
        "Exit codes",
    };
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    assert_non_null(out);
    td_options_help(out);
    fclose(out);
    for (size_t i = 0; i < TD_ARRAY_LEN(words); i++)
        assert_row(words[i], strstr(text, words[i]));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_have_defaults),
        cmocka_unit_test(test_options_are_taken),
        cmocka_unit_test(test_what_a_session_may_keep_is_taken),
        cmocka_unit_test(test_bad_options_are_named),
        cmocka_unit_test(test_a_file_is_named_by_config_or_check),
        cmocka_unit_test(test_addresses_end_at_16),
        cmocka_unit_test(test_help_and_version_are_seen),
        cmocka_unit_test(test_help_tells_every_option_and_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
