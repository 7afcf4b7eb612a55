/* tidings service watch: what changes in the registry, as it does. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/connect.h"
#include "client/cli/escape.h"
#include "client/cli/out.h"
#include "client/cli/service.h"
#include "client/cli/status.h"
#include "client/cli/stop.h"
#include "client/cli/when.h"
#include "tidings/json.h"

#define CHANGES   "$service.*"
#define DISPATCH  1024 /* then flush, and look at signals */
#define NAME_WIDE 20

struct watch {
    const struct td_settings *settings;
    bool here; /* local time */
    bool colour;
    struct td_status status;
    uint64_t seen;
};

static bool is_of_interest(const struct watch *w, struct tidings_value row)
{
    const struct td_settings *s = w->settings;

    return (s->words_len == 0 || td_row_is(row, "service", s->words[0])) &&
           (!s->service.id || td_row_is(row, "id", s->service.id));
}

static void put_cell(struct tidings_value row, const char *key, size_t wide)
{
    size_t len;
    const char *text = td_row_text(&len, row, key);
    size_t put = td_put_escaped(stdout, len ? text : "-", len ? len : 1);

    printf("%*s  ", put < wide ? (int)(wide - put) : 0, "");
}

static void put_word(const struct watch *w, const char *word)
{
    const char *code = w->colour ? td_service_paint(word) : NULL;

    printf("%s%-9s%s  ", code ? code : "", word, code ? "\033[0m" : "");
}

/* "12:00:01 health   users  7f3a  1.2.0  degraded  slow disk" */
static void put_line(const struct watch *w, const struct tidings_event *event,
                     struct tidings_value row)
{
    const char *what = strchr(event->type, '.') + 1;
    char moment[TD_MOMENT_BYTES], breaker[20];
    bool breaks = strcmp(what, "breaker") == 0;
    bool gone = strcmp(what, "down") == 0;
    const char *why = gone || td_row_is(row, "text", "") ? "reason" : "text";
    size_t len;
    const char *text;

    printf("%s  %-7s  ", td_moment(moment, event->time_us / 1000, w->here),
           what);
    put_cell(row, "service", NAME_WIDE);
    put_cell(row, "id", NAME_WIDE);
    if (breaks) {
        text = td_row_text(&len, row, "breaker");
        snprintf(breaker, sizeof(breaker), "%.*s", (int)len, text);
        put_word(w, breaker);
    } else {
        put_cell(row, "version", 8);
        put_word(w, gone ? "gone" : td_service_state(row));
        text = td_row_text(&len, row, why);
        td_put_escaped(stdout, text, len);
    }
    fputs("\n", stdout);
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct watch *w = arg;
    struct tidings_value row;
    char *json = NULL;

    if (tidings_value_read(&row, event->data, event->data_len) ||
        !is_of_interest(w, row))
        return TIDINGS_OK;
    w->seen++;
    if (!w->settings->json) {
        put_line(w, event, row);
    } else if (!tidings_event_to_json(&json, event)) {
        puts(json);
        tidings_free(json);
    }
    return TIDINGS_OK;
}

static void on_status(void *arg, const struct tidings_status *status)
{
    struct watch *w = arg;

    td_status_tell(&w->status, status);
}

static bool enough(const struct watch *w)
{
    return w->settings->count && w->seen >= w->settings->count;
}

static int loop(struct watch *w, tidings_bus *bus)
{
    struct pollfd fds[] = {{.events = POLLIN},
                           {.fd = td_stop_fd(), .events = POLLIN},
                           {.fd = STDOUT_FILENO}};
    tidings_err err = tidings_fd(&fds[0].fd, bus);
    int code = TD_EXIT_DONE;

    while (!err && code == TD_EXIT_DONE && !enough(w) && !td_stopped() &&
           td_out_open()) {
        poll(fds, 3, -1);
        err = tidings_dispatch(NULL, bus, DISPATCH);
        code = td_flush_out();
    }
    return err ? td_complain_err(err, "receiving") : code;
}

static int run(struct watch *w)
{
    const struct tidings_options options = {
        .name = "tidings-watch",
        .close_timeout_ms = -1,
        .own_loop = true, /* events are printed where signals are heard */
        .on_status = on_status,
        .on_status_arg = w,
    };
    const struct tidings_sub_options sub = {.timeout_ms =
                                                td_timeout_ms(w->settings)};
    tidings_bus *bus;
    tidings_err err;
    int code = td_connect(&bus, w->settings, &options);

    if (code != TD_EXIT_DONE)
        return code;
    err = tidings_subscribe(NULL, bus, CHANGES, on_event, w, &sub);
    if (err) {
        code = td_complain_err(err, CHANGES);
    } else {
        fprintf(stderr, "watching services at %s\n", td_url(w->settings));
        fflush(stderr); /* scripts wait for this line */
        code = loop(w, bus);
    }
    tidings_close(bus);
    return code;
}

int td_cli_service_watch(const struct td_settings *settings)
{
    struct watch w = {.settings = settings,
                      .here = td_is_terminal(stdout),
                      .colour = td_wants_colour(stdout)};
    int code = td_names(settings, "service watch",
                        settings->words_len > 0 ? "NAME" : "");

    return code == TD_EXIT_DONE ? run(&w) : code;
}
