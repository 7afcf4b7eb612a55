/* The command line and the configuration file together: which wins, and what
 * is refused of the file. */
#include "tests/support/td_test.h"

#include <stdlib.h>
#include <unistd.h>

#include "broker/config.h"
#include "broker/options.h"
#include "proto/limits.h"

#define ARGS_MAX 10

struct taken {
    char path[64];
    char why[TD_CONFIG_WHY_BYTES];
    struct td_config *config;
    struct td_options o;
};

static int setup(void **state)
{
    struct taken *t = calloc(1, sizeof(*t));
    int fd;

    *state = t;
    if (!t)
        return -1;
    snprintf(t->path, sizeof(t->path), "/tmp/tidings-config-XXXXXX");
    fd = mkstemp(t->path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    struct taken *t = *state;

    td_config_free(t->config);
    unlink(t->path);
    free(t);
    return 0;
}

/* Parses arguments, ending with NULL, and takes the file's settings. */
static bool take(struct taken *t, const char *text, char *const *args)
{
    char *argv[ARGS_MAX + 1] = {(char *)"tidingsd"};
    FILE *out = fopen(t->path, "w");
    int argc = 1;

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    while (args && *args && argc < ARGS_MAX)
        argv[argc++] = *args++;
    assert_int_equal(td_options_parse(&t->o, argc, argv, stderr), 0);
    td_config_free(t->config);
    memset(t->why, 0, sizeof(t->why));
    t->config = td_config_read(t->path, t->why);
    assert_row(text, t->config != NULL);
    return td_options_take(&t->o, t->config, t->why);
}

static const char settings[] = "listen: [tcp://127.0.0.1:1, ipc:///x]\n"
                               "data: folder\n"
                               "log_level: debug\n"
                               "memory_max: 1G\n"
                               "session_memory_max: 64M\n"
                               "grace: 30s\n";

static void test_config_settings_are_taken(void **state)
{
    struct taken *t = *state;

    assert_true(take(t, settings, NULL));
    assert_int_equal(t->o.listen_len, 2);
    assert_string_equal(t->o.listen[0], "tcp://127.0.0.1:1");
    assert_string_equal(t->o.listen[1], "ipc:///x");
    assert_string_equal(t->o.data, "folder");
    assert_int_equal(t->o.log_level, TD_LOG_DEBUG);
    assert_int_equal(t->o.memory_bytes, 1 << 30);
    assert_int_equal(t->o.session_bytes, 64 << 20);
    assert_int_equal(t->o.grace_ms, 30000);
}

static void test_config_leaves_defaults(void **state)
{
    struct taken *t = *state;

    assert_true(take(t, "log_level: warn\n", NULL));
    assert_int_equal(t->o.log_level, TD_LOG_WARN);
    assert_int_equal(t->o.listen_len, 1);
    assert_string_equal(t->o.listen[0], "tcp://127.0.0.1:7450");
    assert_null(t->o.data);
    assert_int_equal(t->o.memory_bytes, TD_MEMORY_BYTES);
    assert_int_equal(t->o.session_bytes, TD_SESSION_BYTES);
    assert_int_equal(t->o.grace_ms, TD_GRACE_MS);
}

static void test_config_gives_way_to_the_command_line(void **state)
{
    char *args[] = {(char *)"--listen=tcp://127.0.0.1:9",
                    (char *)"--data=other",
                    (char *)"--log-level=error",
                    (char *)"--memory-max=2G",
                    (char *)"--session-memory-max=32M",
                    (char *)"--grace=0",
                    NULL};
    struct taken *t = *state;

    assert_true(take(t, settings, args));
    assert_int_equal(t->o.listen_len, 1);
    assert_string_equal(t->o.listen[0], "tcp://127.0.0.1:9");
    assert_string_equal(t->o.data, "other");
    assert_int_equal(t->o.log_level, TD_LOG_ERROR);
    assert_int_equal(t->o.memory_bytes, 2u << 30);
    assert_int_equal(t->o.session_bytes, 32 << 20);
    assert_int_equal(t->o.grace_ms, -1);
}

static void test_config_settings_are_refused_with_their_line(void **state)
{
    static const struct {
        const char *text;
        size_t line;
        const char *word;
    } rows[] = {
        {"data: x\nlog_level: loud\n", 2, "log_level loud: expected error"},
        {"memory_max: 1M\n", 1, "at least 16M"},
        {"\nsession_memory_max: x\n", 2, "session_memory_max x: expected"},
        {"grace: 3601\n", 1, "3600"},
        {"grace: 61m\n", 1, "grace 61m"},
        {"listen: [tcp://127.0.0.1:1,\n nonsense]\n", 2, "listen nonsense"},
        {"listen: [tcp://127.0.0.1:70000]\n", 1, "70000"},
        {"streams:\n- {name: s, patterns: [a]}\n", 2, "no data folder"},
    };
    struct taken *t = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char where[128];

        snprintf(where, sizeof(where), "%s:%zu: ", t->path, rows[i].line);
        assert_row(rows[i].text, !take(t, rows[i].text, NULL));
        assert_row(t->why, strncmp(t->why, where, strlen(where)) == 0);
        assert_row(t->why, strstr(t->why, rows[i].word) != NULL);
    }
}

static void test_config_listens_at_16_addresses(void **state)
{
    struct taken *t = *state;
    char text[1024] = "listen:\n";

    for (unsigned i = 1; i <= TD_LISTEN_MAX + 1; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "- tcp://127.0.0.1:%u\n", i);
        assert_row(text, take(t, text, NULL) == (i <= TD_LISTEN_MAX));
    }
    assert_non_null(strstr(t->why, ":18: "));
    assert_non_null(strstr(t->why, "16"));
}

static void test_config_streams_in_memory_need_no_folder(void **state)
{
    char *args[] = {(char *)"--data", (char *)"d", NULL};
    struct taken *t = *state;

    assert_true(take(t,
                     "streams:\n- {name: s, patterns: [a],\n"
                     "   storage: memory}\n",
                     NULL));
    assert_true(take(t, "streams:\n- {name: s, patterns: [a]}\n", args));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_config_settings_are_taken),
        TEST(test_config_leaves_defaults),
        TEST(test_config_gives_way_to_the_command_line),
        TEST(test_config_settings_are_refused_with_their_line),
        TEST(test_config_listens_at_16_addresses),
        TEST(test_config_streams_in_memory_need_no_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
