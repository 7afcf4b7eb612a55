/* The file of `tidings up`, as tables: what is taken, what is refused, in which
 * line and by which words. */
#include "tests/support/td_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/up/file.h"
#include "tests/support/alloc.h"

struct fixture {
    char folder[64];
    char path[80];
    char why[TD_YAML_WHY_BYTES];
    struct td_up_file file;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    snprintf(f->folder, sizeof(f->folder), "/tmp/tidings-up-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/up.yaml", f->folder);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void write_file(const struct fixture *f, const char *text)
{
    FILE *out = fopen(f->path, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
    assert_int_equal(fclose(out), 0);
}

static bool read_text(struct fixture *f, const char *text)
{
    write_file(f, text);
    memset(f->why, 0, sizeof(f->why));
    return td_up_file_read(&f->file, f->path, f->why);
}

/* ---- what is taken ---- */

static void test_file_says_all_of_a_service(void **state)
{
    struct fixture *f = *state;
    const struct td_up_service *s;

    assert_true(read_text(
        f, "bus: tcp://127.0.0.1:7450\n"
           "services:\n"
           "  - name: broker\n"
           "    command: [tidingsd, --listen, \"tcp://127.0.0.1:7450\"]\n"
           "    ready: bus\n"
           "  - name: inventory\n"
           "    command: ./inventory --db 'my stock.db'\n"
           "    directory: .\n"
           "    environment: {STOCK: \"5\", EMPTY: \"\"}\n"
           "    needs: [broker]\n"
           "    ready: service\n"
           "    service: stock\n"
           "    ready_timeout: 3s\n"
           "    instances: 2\n"
           "    restart: {policy: always, backoff: 100ms, backoff_max: 5s,\n"
           "              max: 3, window: 1m}\n"
           "    stop: {signal: INT, timeout: 250ms}\n"));
    assert_string_equal(f->file.spec.bus, "tcp://127.0.0.1:7450");
    assert_int_equal(f->file.spec.len, 2);

    s = &f->file.spec.services[0];
    assert_string_equal(s->command[2], "tcp://127.0.0.1:7450");
    assert_null(s->command[3]);
    assert_int_equal(s->ready, TD_UP_READY_BUS);

    s = &f->file.spec.services[1];
    assert_string_equal(s->name, "inventory");
    assert_int_equal(s->line, 6);
    assert_string_equal(s->command[0], "./inventory");
    assert_string_equal(s->command[2], "my stock.db");
    assert_null(s->command[3]);
    assert_memory_equal(s->directory, f->folder, strlen(f->folder));
    assert_int_equal(s->environment_len, 2);
    assert_string_equal(s->environment[0].name, "STOCK");
    assert_string_equal(s->environment[0].value, "5");
    assert_string_equal(s->environment[1].value, "");
    assert_int_equal(s->needs_len, 1);
    assert_int_equal(s->needs[0], 0);
    assert_int_equal(s->ready, TD_UP_READY_SERVICE);
    assert_string_equal(s->bus_name, "stock");
    assert_int_equal(s->ready_timeout_ms, 3000);
    assert_int_equal(s->instances, 2);
    assert_int_equal(s->policy, TD_UP_ALWAYS);
    assert_int_equal(s->backoff_ms, 100);
    assert_int_equal(s->backoff_max_ms, 5000);
    assert_int_equal(s->restarts_max, 3);
    assert_int_equal(s->restart_window_ms, 60000);
    assert_int_equal(s->stop_signal, SIGINT);
    assert_int_equal(s->stop_timeout_ms, 250);
    td_up_file_fini(&f->file);
}

static void test_file_has_defaults_for_what_it_does_not_say(void **state)
{
    struct fixture *f = *state;
    const struct td_up_service *s;

    assert_true(read_text(f, "services: [{command: a, name: b}]\n"));
    s = &f->file.spec.services[0];
    assert_null(f->file.spec.bus);
    assert_string_equal(s->directory, f->folder);
    assert_int_equal(s->environment_len, 0);
    assert_int_equal(s->ready, TD_UP_READY_STARTED);
    assert_string_equal(s->bus_name, "b");
    assert_int_equal(s->ready_timeout_ms, TD_UP_READY_TIMEOUT_MS);
    assert_int_equal(s->instances, 1);
    assert_int_equal(s->policy, TD_UP_ON_FAILURE);
    assert_int_equal(s->backoff_ms, TD_UP_BACKOFF_MS);
    assert_int_equal(s->backoff_max_ms, TD_UP_BACKOFF_MAX_MS);
    assert_int_equal(s->restarts_max, TD_UP_RESTARTS);
    assert_int_equal(s->restart_window_ms, TD_UP_RESTART_WINDOW_MS);
    assert_int_equal(s->stop_signal, SIGTERM);
    assert_int_equal(s->stop_timeout_ms, TD_UP_STOP_TIMEOUT_MS);
    td_up_file_fini(&f->file);
}

static void test_file_may_name_what_comes_later_and_restart_in_a_word(
    void **state)
{
    struct fixture *f = *state;

    assert_true(read_text(f, "services:\n"
                             "- {name: a, command: x, needs: [b]}\n"
                             "- {name: b, command: x, restart: never}\n"));
    assert_int_equal(f->file.spec.services[0].needs[0], 1);
    assert_int_equal(f->file.spec.order[0], 1);
    assert_int_equal(f->file.spec.order[1], 0);
    assert_int_equal(f->file.spec.services[1].policy, TD_UP_NEVER);
    td_up_file_fini(&f->file);
}

/* ---- what is refused ---- */

#define ONE "services:\n- name: a\n  command: x\n"

static void test_file_is_refused_with_line_and_reason(void **state)
{
    static const struct {
        const char *text;
        size_t line; /* 0: none */
        const char *said;
    } rows[] = {
        {"", 0, "it says nothing: it needs services"},
        {"a", 1, "the file is a map"},
        {"{}", 1, "the file needs a services"},
        {"servics: []", 1, "unknown key servics; did you mean services?"},
        {"port: 1", 1, "unknown key port: the file has bus, services"},
        {"services: []", 1, "services is a list"},
        {"services: {a: b}", 1, "services is a list"},
        {"services:\n- a", 2, "a service is a map"},
        {"services:\n- {name: a}", 2, "a service needs a command"},
        {"services:\n- {command: a}", 2, "a service needs a name"},
        {"bus: udp://x\n" ONE, 1, "tcp://HOST:PORT"},
        {"bus: [a]\n" ONE, 1, "tcp://HOST:PORT"},
        {"bus: inproc://x\n" ONE, 1, "tcp://HOST:PORT"},
        {ONE "services: []", 4, "a second services"},
        {ONE "  comand: y", 4, "did you mean command?"},
        {ONE "  command: y", 4, "a second command"},
        {ONE "  ready:", 4, "has no value"},
        {ONE "  xyzzy: y", 4, "unknown key xyzzy: a service has name, "},
        {"services:\n- {name: a b, command: x}", 2, "name a b: wants"},
        {"services:\n- {name: a.b, command: x}", 2, "name a.b: wants"},
        {"services:\n- {name: \"\", command: x}", 2, "name : wants"},
        {ONE "  ready: service\n  service: b.c", 5, "service b.c: wants"},
        {"services:\n- {name: [a], command: x}", 2, "name : wants"},
        {"services:\n- {name: a, command: \"\"}", 2, "no command"},
        {"services:\n- {name: a, command: \"''\"}", 2, "no command"},
        {"services:\n- {name: a, command: []}", 2, "no command"},
        {"services:\n- {name: a, command: [\"\"]}", 2, "no command"},
        {"services:\n- {name: a, command: [[b]]}", 2, "its items are words"},
        {"services:\n- {name: a, command: {b: c}}", 2, "a text or a list"},
        {"services:\n- {name: a, command: b | c}", 2, "there is no shell"},
        {ONE "  directory: none/such", 4, "there is no such folder"},
        {ONE "  directory: /dev/null", 4, "there is no such folder"},
        {ONE "  environment: [A]", 4, "environment is a map"},
        {ONE "  environment: {A=B: c}", 4, "is no name"},
        {ONE "  environment: {\"\": c}", 4, "is no name"},
        {ONE "  environment: {A: [c]}", 4, "A wants a text"},
        {ONE "  environment: {A: b,\n    A: c}", 5, "a second A"},
        {ONE "  needs: b", 4, "needs is a list"},
        {ONE "  needs: [b]", 4, "a needs b, which is no service of this file"},
        {ONE "  needs: [[a]]", 4, "needs is a list of names"},
        {ONE "  needs: [a]", 2, "a needs a: none of them could be the first"},
        {ONE "  ready: yes", 4, "ready yes: wants one of started, bus, serv"},
        {ONE "  service: b", 2, "service b is for ready: service"},
        {ONE "  ready_timeout: 5", 4, "wants a duration such as 200ms"},
        {ONE "  ready_timeout: 25h", 4, "up to 24h"},
        {ONE "  instances: 0", 4, "wants a number from 1 to 32"},
        {ONE "  instances: 33", 4, "wants a number from 1 to 32"},
        {ONE "  instances: two", 4, "wants a number from 1 to 32"},
        {ONE "  restart: sometimes", 4, "wants one of on-failure, always,"},
        {ONE "  restart: [always]", 4, "restart is a map"},
        {ONE "  restart: {backof: 1s}", 4, "did you mean backoff?"},
        {ONE "  restart: {max: 101}", 4, "from 1 to 100"},
        {ONE "  restart: {backoff: 11s}", 4, "longer than backoff_max"},
        {ONE "  stop: {signal: SIGTERM}", 4, "wants one of TERM, INT"},
        {ONE "  stop: {timeout: 0s}", 4, "timeout 0s: wants a duration"},
        {ONE "  stop: TERM", 4, "stop is a map"},
        {ONE "- {name: a, command: x}", 4,
         "a second service a, the first is in line 2"},
        {ONE "  needs: [b]\n- {name: b, command: x, needs: [c]}\n"
             "- {name: c, command: x, needs: [b]}",
         5, "b needs c needs b: none of them could be the first"},
        {ONE "- {name: b, command: x, needs: [a, a]}", 4, "needs a twice"},
        {ONE "  environment: {A: *b}", 4, "undefined alias"},
        {ONE "  environment: &b {A: c}", 4, "no anchors"},
        {ONE "\t", 4, ""},
        {ONE "---\na: b", 4, "a second document"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char where[128];
        bool ok = read_text(f, rows[i].text);

        td_up_file_fini(&f->file);
        snprintf(where, sizeof(where),
                 rows[i].line ? "%s:%zu: " : "%s: ", f->path, rows[i].line);
        if (ok || strncmp(f->why, where, strlen(where)) != 0 ||
            !strstr(f->why, rows[i].said))
            fail_msg("%s\n%s: %s", rows[i].text, ok ? "taken" : "said", f->why);
    }
}

/* Beyond a bound by one, each. */
static void test_file_is_refused_beyond_its_bounds(void **state)
{
    static const struct {
        const char *before;
        const char *each; /* %u: which */
        unsigned times;
        const char *behind;
        const char *said;
    } rows[] = {
        {"services:\n", "- {name: a%u, command: x}\n", 65, "",
         "more than 64 services"},
        {"services:\n", "- {name: a%u, command: x, instances: 32}\n", 5, "",
         "160 instances in all: more than 128"},
        {"services:\n- {name: a, command: [", "%u, ", 257, "]}",
         "more than 256 words"},
        {"services:\n- {name: a, command: \"", "%u ", 257, "\"}",
         "too many words"},
        {ONE "  environment: {", "A%u: b, ", 129, "}",
         "more than 128 variables"},
        {ONE "  needs: [", "a%u, ", 65, "]", "more than 64"},
        {"services:\n- {command: x, name: ", "n", 65, "}", "1 to 64 letters"},
        {ONE "  ready: service\n  service: ", "n", 65, "", "1 to 64 letters"},
    };
    static char text[16384];
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len;

        snprintf(text, sizeof(text), "%s", rows[i].before);
        for (unsigned n = 0; n < rows[i].times; n++) {
            len = strlen(text);
            snprintf(text + len, sizeof(text) - len,
                     rows[i].each, /* NOLINT: of the table */
                     n);
        }
        len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s", rows[i].behind);
        assert_false(read_text(f, text));
        td_up_file_fini(&f->file);
        if (!strstr(f->why, rows[i].said))
            fail_msg("row %zu: %s", i, f->why);
    }
}

static void test_file_that_cannot_be_read_is_told(void **state)
{
    struct fixture *f = *state;

    assert_false(td_up_file_read(&f->file, "/none/such.yaml", f->why));
    assert_string_equal(f->why, "/none/such.yaml: No such file or directory");
    td_up_file_fini(&f->file);
    assert_false(td_up_file_read(&f->file, "/tmp", f->why));
    assert_string_equal(f->why, "/tmp: it is no regular file");
    td_up_file_fini(&f->file);
}

static void test_file_may_be_cut_anywhere(void **state)
{
    static const char whole[] =
        "bus: ipc:///x\nservices:\n- name: a\n  command: [x, \"y\", 'z']\n"
        "  environment: {A: \"b\"}\n  needs: [b]\n  restart: {max: 3}\n"
        "- {name: b, command: 'c \"d e\"', stop: {signal: INT}}\n";
    struct fixture *f = *state;
    char text[sizeof(whole)];
    unsigned taken = 0;

    for (size_t len = 0; len < sizeof(whole); len++) {
        snprintf(text, len + 1, "%s", whole);
        taken += read_text(f, text);
        td_up_file_fini(&f->file);
    }
    assert_true(taken >= 1);
}

/* ---- without memory ---- */

static tidings_err read_whole(void *arg)
{
    struct fixture *f = arg;
    bool ok = td_up_file_read(&f->file, f->path, f->why);

    td_up_file_fini(&f->file);
    return ok ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static void test_file_survives_each_allocation_that_fails(void **state)
{
    struct fixture *f = *state;

    write_file(f, ONE "  directory: .\n"
                      "  environment: {A: b}\n");
    assert_true(td_alloc_each(read_whole, f) > 5);
}

#define READS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READS(test_file_says_all_of_a_service),
        READS(test_file_has_defaults_for_what_it_does_not_say),
        READS(test_file_may_name_what_comes_later_and_restart_in_a_word),
        READS(test_file_is_refused_with_line_and_reason),
        READS(test_file_is_refused_beyond_its_bounds),
        READS(test_file_that_cannot_be_read_is_told),
        READS(test_file_may_be_cut_anywhere),
        READS(test_file_survives_each_allocation_that_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
