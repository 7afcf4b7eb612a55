#include "client/cli/reading.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/ask.h"
#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/rows.h"
#include "client/cli/stop.h"

#define DISPATCH_EVENTS 1024 /* then flush, and look at signals */
#define IDLE_MS         500 /* then see whether there is anything to wait for */

/* ---- where it ends ---- */

static int refused(const struct td_reading *r, tidings_err err)
{
    char what[100];

    snprintf(what, sizeof(what), "stream %.70s", r->stream);
    return td_refused(r->settings, err, what);
}

/* The stream's row as it is now. */
struct row {
    uint64_t first, last, events, stored_ms;
};

static tidings_err look(struct td_reading *r, struct row *out)
{
    struct td_ask a = {.settings = r->settings,
                       .bus = r->bus,
                       .options = tidings_writer_new()};
    struct td_found found = {0};
    tidings_err err = td_rows_stream(&found, &a, r->stream);

    if (!err)
        *out = (struct row){.first = td_row_uint(found.row, "first"),
                            .last = td_row_uint(found.row, "last"),
                            .events = td_row_uint(found.row, "events"),
                            .stored_ms = td_row_uint(found.row, "stored_ms")};
    td_list_fini(&found.list);
    tidings_writer_free(a.options);
    tidings_free(a.data);
    return err;
}

static tidings_err on_first(void *arg, const struct tidings_event *event)
{
    uint64_t *sequence = arg;
    struct tidings_delivery delivery;

    if (*sequence == 0 && !tidings_delivery(&delivery, event))
        *sequence = delivery.sequence;
    return TIDINGS_OK;
}

/* The first sequence that was stored at a time or later: a reader that begins
 * there is asked. */
static int locate(struct td_reading *r, uint64_t *out)
{
    struct tidings_sub_options options = {.stream = r->stream,
                                          .start = r->until};
    int64_t deadline_us =
        td_clock_us() + (int64_t)td_timeout_ms(r->settings) * 1000;
    struct pollfd fds[] = {{.events = POLLIN},
                           {.fd = td_stop_fd(), .events = POLLIN}};
    tidings_sub *sub = NULL;
    tidings_err err = tidings_fd(&fds[0].fd, r->bus);

    *out = 0;
    options.timeout_ms = td_timeout_ms(r->settings);
    if (!err)
        err = tidings_subscribe(&sub, r->bus, ">", on_first, out, &options);
    while (!err && *out == 0 && !td_stopped()) {
        int left_ms = (int)((deadline_us - td_clock_us()) / 1000);

        if (left_ms <= 0)
            err = TIDINGS_ETIMEDOUT;
        else if (poll(fds, 2, left_ms) > 0)
            err = tidings_dispatch(NULL, r->bus, 1);
    }
    if (sub)
        tidings_unsubscribe(sub, td_timeout_ms(r->settings));
    return err ? refused(r, err) : TD_EXIT_DONE;
}

/* Sets end, and over if there is nothing to come. */
static int find_end(struct td_reading *r)
{
    struct row row = {0};
    tidings_err err = look(r, &row);
    int code = TD_EXIT_DONE;
    uint64_t after;

    if (err)
        return refused(r, err);
    if (r->follow)
        return TD_EXIT_DONE;
    r->end = row.last;
    if (r->until.kind == TIDINGS_START_SEQUENCE && r->until.sequence < row.last)
        r->end = r->until.sequence;
    if (r->until.kind == TIDINGS_START_TIME && row.events > 0 &&
        r->until.time_ms <= (int64_t)row.stored_ms) {
        code = locate(r, &after);
        r->end = after > 0 ? after - 1 : 0;
    }
    r->over = row.events == 0 || r->end < row.first ||
              r->start.kind == TIDINGS_START_NEW ||
              (r->start.kind == TIDINGS_START_SEQUENCE &&
               r->start.sequence > r->end) ||
              (r->start.kind == TIDINGS_START_TIME &&
               r->start.time_ms > (int64_t)row.stored_ms);
    return code;
}

/* Nothing has come for a while: what was to come may be gone, or who sends it. */
static int look_again(struct td_reading *r)
{
    struct row row = {0};
    tidings_err err = look(r, &row);

    if (err == TIDINGS_ENOTFOUND) {
        td_complain("stream %s was deleted", r->stream);
        return TD_EXIT_FAILED;
    }
    if (err && !r->follow)
        return refused(r, err);
    if (!err && !r->follow && (row.first > r->end || r->lost_to >= r->end))
        r->over = true;
    return TD_EXIT_DONE;
}

/* ---- events ---- */

/* With an end all types come, or it would not be seen. */
static bool wanted(const struct td_reading *r, const char *type)
{
    const struct td_durable_settings *d = &r->settings->durable;

    return r->follow || d->patterns_len == 0 ||
           tidings_pattern_matches(d->patterns[0], type);
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct td_reading *r = arg;
    struct tidings_delivery delivery;

    if (r->over || tidings_delivery(&delivery, event) ||
        delivery.sequence <= r->last)
        return TIDINGS_OK;
    if (r->end && delivery.sequence > r->end) {
        r->over = true;
        return TIDINGS_OK;
    }
    r->last = delivery.sequence;
    if (r->first == 0)
        r->first = r->last;
    if (wanted(r, event->type)) {
        if (r->each(r->arg, delivery.sequence, event))
            r->count++;
        else
            r->over = true;
    }
    r->over = r->over || r->last == r->end ||
              (r->settings->count && r->count == r->settings->count);
    return TIDINGS_OK;
}

static void on_gap(void *arg, const struct tidings_gap *gap)
{
    struct td_reading *r = arg;

    if (r->end && gap->first > r->end)
        return; /* the broker reads ahead */
    if (gap->last > r->lost_to)
        r->lost_to = gap->last;
    if (strcmp(gap->reason, "damaged") == 0) {
        if (r->damaged == 0)
            r->damaged_from = gap->first;
        r->damaged += gap->missed;
    }
    if (gap->first > 0)
        td_status_tell_lost(gap, r->stream, NULL);
    else
        td_complain("%" PRIu64 " event%s no longer there: %s", gap->missed,
                    td_plural(gap->missed, " is", "s are"), gap->reason);
}

static void on_status(void *arg, const struct tidings_status *status)
{
    struct td_reading *r = arg;

    td_status_tell(&r->status, status);
}

/* ---- the loop ---- */

static int subscribe(struct td_reading *r)
{
    const struct td_durable_settings *d = &r->settings->durable;
    bool all = !r->follow || d->patterns_len == 0;
    struct tidings_sub_options options = {
        .stream = r->stream,
        .start = r->start,
        .timeout_ms = td_timeout_ms(r->settings),
        .on_gap = on_gap,
    };
    tidings_err err = tidings_subscribe(
        NULL, r->bus, all ? ">" : d->patterns[0], on_event, r, &options);

    return err ? refused(r, err) : TD_EXIT_DONE;
}

static int loop(struct td_reading *r)
{
    /* the third is only watched for its reader going away */
    struct pollfd fds[] = {{.events = POLLIN},
                           {.fd = td_stop_fd(), .events = POLLIN},
                           {.fd = STDOUT_FILENO}};
    tidings_err err = tidings_fd(&fds[0].fd, r->bus);
    int code = TD_EXIT_DONE;

    while (!err && code == TD_EXIT_DONE && !r->over && !td_stopped() &&
           td_out_open()) {
        if (r->status.refused)
            return TD_EXIT_FAILED;
        if (poll(fds, 3, IDLE_MS) == 0) {
            code = look_again(r);
            continue;
        }
        err = tidings_dispatch(NULL, r->bus, DISPATCH_EVENTS);
        if (!err)
            code = td_flush_out();
    }
    return err ? td_complain_err(err, "reading") : code;
}

int td_read(struct td_reading *r)
{
    const struct tidings_options options = {
        .name = "tidings",
        .close_timeout_ms = -1,
        .own_loop = true, /* events are printed where signals are heard */
        .on_status = on_status,
        .on_status_arg = r,
    };
    int code;

    r->status.stored = true;
    code = td_connect(&r->bus, r->settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    code = find_end(r);
    if (code == TD_EXIT_DONE && !r->over)
        code = subscribe(r);
    if (code == TD_EXIT_DONE && !r->over)
        code = loop(r);
    tidings_close(r->bus);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

int td_read_conclude(const struct td_reading *r, int code)
{
    bool enough = r->settings->count && r->count == r->settings->count;

    if (code != TD_EXIT_DONE || r->follow || r->damaged == 0 ||
        (enough && r->damaged_from > r->last))
        return code;
    td_complain("%" PRIu64
                " event%s of %s %s missing here, damaged in the store: "
                "with the broker stopped, `tidings store verify` says more",
                r->damaged, td_plural(r->damaged, "", "s"), r->stream,
                td_plural(r->damaged, "is", "are"));
    return TD_EXIT_FAILED;
}
