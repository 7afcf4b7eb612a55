/* tidings status, tidings down: what asks a `tidings up` that runs. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/ask.h"
#include "client/cli/out.h"
#include "client/cli/span.h"
#include "client/cli/stop.h"
#include "client/cli/table.h"
#include "client/cli/up/state.h"
#include "client/cli/when.h"
#include "tidings/data.h"

#define REPORT_BYTES (256 * 1024) /* of the most processes there may be */
#define ANSWER_MS    5000         /* it has nothing else that takes long */

/* ---- asking ---- */

/* Send word. @return the socket to be read; -1: nobody is there, owner is 0; or
 * stderr was told why there is no answer */
static int ask(struct td_up_state *state, const char *word)
{
    int fd = state->owner ? td_up_state_connect(state) : -1;

    if (state->owner == 0)
        return -1;
    if (fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word))
        return fd;
    td_complain("process %d does not answer: %s", (int)state->owner,
                strerror(errno));
    td_advise("it may be about to end: try again");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Up to its end. @return the bytes; -1: stderr was told */
static ssize_t read_all(int fd, char *out, size_t size)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < size) {
        n = poll(&poll_fd, 1, ANSWER_MS) > 0 ? read(fd, out + len, size - len)
                                             : -1;
        len += n > 0 ? (size_t)n : 0;
    }
    if (n == 0 && len)
        return (ssize_t)len;
    td_complain("no answer: try again");
    return -1;
}

/* ---- status ---- */

static void add_text(struct td_table *t, struct tidings_value row,
                     const char *key)
{
    size_t len;
    const char *text = td_row_text(&len, row, key);

    td_table_add_n(t, text, len);
}

static void add_number(struct td_table *t, struct tidings_value row,
                       const char *key)
{
    char text[32] = "";
    int64_t n;

    if (tidings_get_int(&n, row, key) == TIDINGS_OK)
        snprintf(text, sizeof(text), "%" PRId64, n);
    td_table_add(t, text);
}

static void add_since(struct td_table *t, struct tidings_value row)
{
    int64_t ms = td_wall_ms() - (int64_t)td_row_uint(row, "since_ms");
    char text[TD_SPAN_BYTES];

    td_table_add(t, td_span(text, ms > 0 ? (uint64_t)ms : 0));
}

static void add_ready(struct td_table *t, struct tidings_value row)
{
    char text[TD_SPAN_BYTES] = "";
    int64_t ms;

    if (tidings_get_int(&ms, row, "ready_ms") == TIDINGS_OK && ms >= 0)
        td_latency(text, (double)ms * 1000);
    td_table_add(t, text);
}

/* How it ended last; of what cannot start, why. */
static void add_note(struct td_table *t, struct tidings_value row)
{
    char text[128];
    size_t len;
    const char *blocker = td_row_text(&len, row, "blocked_by");

    if (len == 0) {
        add_text(t, row, "last");
        return;
    }
    snprintf(text, sizeof(text), "%.*s is not ready", (int)len, blocker);
    td_table_add(t, text);
}

static int put_table(struct tidings_value report)
{
    static const struct {
        const char *title;
        bool number;
    } columns[] = {{"service", false}, {"instance", true}, {"state", false},
                   {"pid", true},      {"restarts", true}, {"since", true},
                   {"ready in", true}, {"last", false}};
    struct td_table t = {0};
    struct tidings_value rows, row;
    bool ok;

    if (tidings_get(&rows, report, "instances"))
        return td_complain_err(TIDINGS_EPROTO, "status");
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        td_table_column(&t, columns[i].title, columns[i].number);
    for (size_t i = 0; tidings_at(&row, rows, i) == TIDINGS_OK; i++) {
        add_text(&t, row, "service");
        add_number(&t, row, "instance");
        add_text(&t, row, "state");
        add_number(&t, row, "pid");
        add_number(&t, row, "restarts");
        add_since(&t, row);
        add_ready(&t, row);
        add_note(&t, row);
    }
    ok = td_table_put(&t, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    return ok ? td_flush_out() : TD_EXIT_FAILED;
}

static int put_report(const char *bytes, size_t len, bool json)
{
    struct tidings_value report;
    tidings_err err = tidings_value_read(&report, bytes, len);
    int code;

    if (err)
        return td_complain_err(err, "status");
    if (!json)
        return put_table(report);
    code = td_row_json(report);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

static int show(int fd, bool json)
{
    char *bytes = malloc(REPORT_BYTES);
    int code = TD_EXIT_FAILED;
    ssize_t len = -1;

    if (bytes)
        len = read_all(fd, bytes, REPORT_BYTES);
    else
        td_complain("out of memory");
    if (len >= 0)
        code = put_report(bytes, (size_t)len, json);
    free(bytes);
    return code;
}

static int status(struct td_up_state *state, const char *file, bool json)
{
    int fd = ask(state, "status\n");
    int code;

    if (fd < 0 && state->owner == 0) {
        td_complain("%s is not up", file);
        td_advise("tidings up %s starts it", file);
    }
    if (fd < 0)
        return TD_EXIT_FAILED;
    code = show(fd, json);
    close(fd);
    return code;
}

int td_cli_status(const struct td_settings *settings)
{
    const char *file = td_up_file_name(settings, "status");
    struct td_up_state state;
    int code;

    if (!file)
        return TD_EXIT_USAGE;
    code = td_up_state_look(&state, settings, file);
    if (code == TD_EXIT_DONE)
        code = status(&state, file, settings->json);
    td_up_state_fini(&state);
    return code;
}

/* ---- down ---- */

/* What it says until it is gone. @return false: a signal came first */
static bool follow(int fd)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
                            {.fd = td_stop_fd(), .events = POLLIN}};
    char bytes[4096];
    ssize_t n = 1;

    while (n > 0) {
        if ((poll(fds, 2, -1) < 0 && errno != EINTR) || td_stopped())
            return false;
        n = fds[0].revents ? read(fd, bytes, sizeof(bytes)) : 1;
        if (n > 0 && fds[0].revents)
            fwrite(bytes, 1, (size_t)n, stdout);
        fflush(stdout);
    }
    return true;
}

static int down(struct td_up_state *state, const char *file)
{
    int fd = ask(state, "down\n");
    bool gone;

    if (fd < 0 && state->owner == 0) {
        td_complain("%s is not up: nothing to stop", file);
        return TD_EXIT_DONE;
    }
    if (fd < 0)
        return TD_EXIT_FAILED;
    gone = follow(fd);
    close(fd);
    if (!gone) {
        td_complain("%s goes on stopping without this command", file);
        return TD_EXIT_FAILED;
    }
    td_up_state_wait(state);
    return td_flush_out();
}

int td_cli_down(const struct td_settings *settings)
{
    const char *file = td_up_file_name(settings, "down");
    struct td_up_state state;
    int code;

    if (!file)
        return TD_EXIT_USAGE;
    code = td_up_state_look(&state, settings, file);
    if (code == TD_EXIT_DONE)
        code = down(&state, file);
    td_up_state_fini(&state);
    return code;
}
