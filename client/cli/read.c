/* tidings tail, tidings replay: what a stream keeps, for people and for other
 * programs. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/ask.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"
#include "client/cli/reading.h"
#include "client/cli/show.h"
#include "client/cli/stop.h"
#include "client/cli/stored.h"
#include "tidings/json.h"

/* A line that was made of an event, or why it was not. */
static bool put_json(const struct tidings_event *event, char *json,
                     tidings_err err)
{
    if (err)
        td_complain("event %s of type %s is not shown: %s",
                    event->id ? event->id : "?", event->type, td_why(err));
    else
        puts(json);
    tidings_free(json);
    return true;
}

static bool print_json(const struct tidings_event *event)
{
    char *json = NULL;
    tidings_err err = tidings_event_to_json(&json, event);

    return put_json(event, json, err);
}

/* ---- tail ---- */

struct tail {
    struct td_reading reading;
    struct td_show show;
};

/* With an attribute that says where it stands. */
static bool print_stored_json(uint64_t sequence,
                              const struct tidings_event *event)
{
    char *json = NULL;
    tidings_err err = td_stored_json(&json, sequence, event);

    return put_json(event, json, err);
}

static bool tail_one(void *arg, uint64_t sequence,
                     const struct tidings_event *event)
{
    struct tail *tail = arg;

    if (tail->reading.settings->json)
        return print_stored_json(sequence, event);
    td_show_stored(&tail->show, sequence, event);
    return true;
}

int td_cli_tail(const struct td_settings *settings)
{
    struct tail tail = {.reading = {.settings = settings,
                                    .start = settings->sub.start,
                                    .follow = settings->durable.follow,
                                    .each = tail_one,
                                    .arg = &tail}};
    int code = td_names(settings, "tail", "STREAM");

    if (code != TD_EXIT_DONE)
        return code;
    tail.reading.stream = settings->words[0];
    if (tail.reading.start.kind == TIDINGS_START_DEFAULT)
        tail.reading.start.kind =
            settings->durable.follow ? TIDINGS_START_NEW : TIDINGS_START_ALL;
    td_show_init(&tail.show);
    return td_read_conclude(&tail.reading, td_read(&tail.reading));
}

/* ---- replay ---- */

struct replay {
    struct td_reading reading;
    struct td_progress progress;
    int64_t began_us; /* when the first was printed, and its time */
    int64_t first_us;
    bool paced; /* one has been printed */
};

/* When the next one is due, on the clock of td_clock_us(). */
static int64_t due_us(const struct replay *p, const struct tidings_event *event)
{
    const struct td_settings *settings = p->reading.settings;

    if (settings->rate > 0)
        return p->began_us +
               (int64_t)((double)p->reading.count * 1e6 / settings->rate);
    if (settings->durable.original_pace)
        return p->began_us + (event->time_us - p->first_us);
    return 0;
}

/* @return false: a signal came first */
static bool pace(struct replay *p, const struct tidings_event *event)
{
    int64_t due;

    if (!p->paced) {
        p->paced = true;
        p->began_us = td_clock_us();
        p->first_us = event->time_us;
    }
    due = due_us(p, event);
    if (due <= td_clock_us())
        return !td_stopped();
    fflush(stdout); /* those before are due */
    return td_out_open() && td_sleep_until(due);
}

static bool replay_one(void *arg, uint64_t sequence,
                       const struct tidings_event *event)
{
    struct replay *p = arg;
    const struct td_reading *r = &p->reading;
    double seconds;

    if (!pace(p, event))
        return false;
    print_json(event);
    if (!td_progress_due(&p->progress))
        return true;
    seconds = (double)(td_clock_us() - p->progress.start_us) / 1e6;
    td_progress_part(&p->progress,
                     (double)(sequence - r->first + 1) /
                         (double)(r->end - r->first + 1),
                     "%" PRIu64 " of %" PRIu64 "  %.0f/s", sequence, r->end,
                     (double)(r->count + 1) / seconds);
    return true;
}

/* For a person who sent it elsewhere; a program counts lines. */
static void summarise(const struct replay *p)
{
    double seconds = (double)(td_clock_us() - p->progress.start_us) / 1e6;

    td_progress_wipe();
    if (p->progress.on)
        fprintf(stderr, "%" PRIu64 " %s in %.2f s, up to %" PRIu64 "\n",
                p->reading.count,
                td_plural(p->reading.count, "event", "events"), seconds,
                p->reading.last);
}

int td_cli_replay(const struct td_settings *settings)
{
    struct replay p = {.reading = {.settings = settings,
                                   .start = settings->sub.start,
                                   .until = settings->durable.until,
                                   .each = replay_one,
                                   .arg = &p}};
    int code = td_names(settings, "replay", "STREAM");

    if (code != TD_EXIT_DONE)
        return code;
    if (settings->rate > 0 && settings->durable.original_pace) {
        td_complain("--rate and --original-pace: one of them");
        return TD_EXIT_USAGE;
    }
    p.reading.stream = settings->words[0];
    if (p.reading.start.kind == TIDINGS_START_DEFAULT)
        p.reading.start.kind = TIDINGS_START_ALL;
    td_progress_start(&p.progress);
    p.progress.on = p.progress.on && !td_is_terminal(stdout);
    code = td_read(&p.reading);
    if (code == TD_EXIT_DONE && td_stopped()) {
        td_complain("interrupted after %" PRIu64 " event%s", p.reading.count,
                    td_plural(p.reading.count, "", "s"));
        return TD_EXIT_FAILED;
    }
    summarise(&p);
    return td_read_conclude(&p.reading, code);
}
