/* tidings pub: publish one event, one event many times, or one for each line
 * of standard input. */
#include <inttypes.h>
#include <string.h>

#include "client/cli/attrs.h"
#include "client/cli/cli.h"
#include "client/cli/confirms.h"
#include "client/cli/connect.h"
#include "client/cli/later.h"
#include "client/cli/lines.h"
#include "client/cli/option_values.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"
#include "client/cli/ready.h"
#include "client/cli/stop.h"

#define SLICE_MS 100 /* how soon a signal is heard while the bus is full */

struct pub {
    const struct td_settings *settings;
    const char *type; /* NULL with --event: the event has its own */
    const char *data; /* NULL: none; "-" is lines */
    bool lines;
    int64_t time_us; /* of --attr time, 0: none */
    tidings_bus *bus;
    struct td_progress progress;
    struct td_later later;
    uint64_t done; /* events packed */
    bool up;       /* a broker greeted us; what on_status knows, no one else */
    bool down;     /* and was lost again, and the user told */
    struct td_confirms confirms;
    struct tidings_info info; /* at the end */
};

/* ---- the link ---- */

/* On a thread of the library. */
static void on_status(void *arg, const struct tidings_status *status)
{
    struct pub *p = arg;

    switch (status->kind) {
    case TIDINGS_UP:
        if (p->down)
            td_complain("connected again");
        p->up = true;
        p->down = false;
        break;
    case TIDINGS_DOWN:
        if (p->up && !p->down)
            td_complain("link lost, trying again: %s", status->text);
        p->down = p->up;
        break;
    case TIDINGS_NEW_EPOCH:
        td_complain("another broker than before");
        if (status->count)
            td_advise("%" PRIu64 " event%s sent again that the old one may "
                      "have delivered",
                      status->count, td_plural(status->count, " is", "s are"));
        break;
    default: /* about subscriptions */
        break;
    }
}

/* ---- publishing ---- */

/* The n-th event has its own moment, counted from the start: lateness of one
 * does not move the next. */
static bool pace(const struct pub *p)
{
    double rate = p->settings->rate;

    if (rate <= 0 || p->done == 0)
        return !td_stopped();
    return td_sleep_until(p->progress.start_us +
                          (int64_t)((double)p->done * 1e6 / rate));
}

/* In slices, as long as --timeout allows, while there is no room. */
static tidings_err publish(struct pub *p, const struct tidings_event *event)
{
    struct tidings_publish_options options = {0};
    uint64_t first = p->settings->durable.sequence;
    int left_ms = td_timeout_ms(p->settings);
    struct td_expiring expiring;
    tidings_err err = TIDINGS_OK;

    if (p->settings->durable.expires_ms) {
        err = td_later_expire(&expiring, event, p->settings);
        event = &expiring.event;
    }
    if (err)
        return err;
    if (td_later_asked(p->settings))
        options = td_later_options(&p->later, p->settings);
    else if (td_confirms_asked(p->settings))
        options = td_confirms_options(&p->confirms);
    if (first)
        options.sequence = first + p->done;
    do {
        err = tidings_publish_with(p->bus, event, &options);
        left_ms -= SLICE_MS;
    } while (err == TIDINGS_EFULL && left_ms > 0 && !td_stopped());
    if (!err)
        p->done++;
    return err;
}

static tidings_err flush(struct pub *p)
{
    int left_ms = td_timeout_ms(p->settings);
    tidings_err err;

    do {
        err = tidings_flush(p->bus, left_ms < SLICE_MS ? left_ms : SLICE_MS);
        left_ms -= SLICE_MS;
    } while (err == TIDINGS_ETIMEDOUT && left_ms > 0 && !td_stopped());
    return err;
}

static int interrupted(struct pub *p)
{
    td_progress_wipe();
    td_complain("interrupted after %" PRIu64 " event%s", p->done,
                td_plural(p->done, "", "s"));
    return TD_EXIT_FAILED;
}

static int not_published(struct pub *p, tidings_err err)
{
    struct tidings_info info;

    td_progress_wipe();
    if (err == TIDINGS_EFULL && td_stopped())
        return interrupted(p);
    if (err == TIDINGS_EFULL && !tidings_info(&info, p->bus) && !info.up) {
        td_complain("the broker was lost: %" PRIu64 " of %" PRIu64 " %s taken",
                    info.taken, info.published,
                    td_plural(info.published, "event was", "events were"));
        return td_no_broker(p->settings);
    }
    if (err == TIDINGS_EFULL) {
        td_complain("the broker takes no more: %" PRIu64 " event%s published",
                    p->done, td_plural(p->done, "", "s"));
        td_advise("tidings stats shows who is slow; --timeout waits longer");
        return TD_EXIT_TIMED_OUT;
    }
    return td_complain_err(err, "event refused");
}

static int publish_one_many_times(struct pub *p, const struct td_ready *r)
{
    uint64_t count = p->settings->count ? p->settings->count : 1;

    while (p->done < count) {
        tidings_err err;

        if (!pace(p))
            return interrupted(p);
        err = publish(p, &r->event);
        if (err)
            return not_published(p, err);
        td_progress_show(&p->progress, p->done, count);
    }
    return TD_EXIT_DONE;
}

static int publish_line(struct pub *p, uint64_t number, const char *line,
                        size_t len)
{
    struct td_ready r = {0};
    tidings_err err;
    int code = TD_EXIT_DONE;

    err = td_ready_event(&r, p->settings, p->type, p->time_us, line, len);
    if (err) {
        td_complain("line %" PRIu64 ": %s", number, td_why(err));
        td_advise("%" PRIu64 " event%s published before it", p->done,
                  td_plural(p->done, " was", "s were"));
        code = TD_EXIT_FAILED;
        goto out;
    }
    if (!pace(p)) {
        code = interrupted(p);
        goto out;
    }
    err = publish(p, &r.event);
    if (err)
        code = not_published(p, err);
out:
    td_ready_fini(&r);
    return code;
}

static int publish_lines(struct pub *p)
{
    struct td_lines lines = {0};
    const char *line;
    size_t len;
    enum td_line next;
    int code = TD_EXIT_DONE;

    while (code == TD_EXIT_DONE &&
           (next = td_lines_next(&lines, &line, &len)) != TD_LINE_END) {
        if (next == TD_LINE)
            code = publish_line(p, lines.number, line, len);
        else
            code = next == TD_LINE_STOPPED ? interrupted(p) : TD_EXIT_FAILED;
    }
    td_lines_fini(&lines);
    return code;
}

/* Lost links and restarts add none: what is sent again is stored once.
 * @return the exit code of what waits for its time */
static int put_confirmed(struct pub *p)
{
    const struct tidings_info *info = &p->info;
    enum tidings_level level = p->settings->durable.confirm;
    bool later = td_later_asked(p->settings);
    bool confirms = !later && td_confirms_asked(p->settings);

    if (p->settings->json) {
        printf("{\"published\":%" PRIu64 ",\"taken\":%" PRIu64
               ",\"confirm\":\"%s\",\"confirmed\":%" PRIu64
               ",\"unstored\":%" PRIu64,
               info->published, info->taken,
               td_level_names[(later || confirms) && !level ? TIDINGS_DISK
                                                            : level],
               info->confirmed, info->unstored);
        if (later)
            td_later_put_json(&p->later);
        if (confirms)
            td_confirms_put_json(&p->confirms);
        fputs("}\n", stdout);
    } else if (confirms)
        td_confirms_put(&p->confirms, info->published);
    return later ? td_later_put(&p->later, p->settings->json) : TD_EXIT_DONE;
}

/* A summary for a person who published more than one. */
static void summarise(const struct pub *p)
{
    double seconds = (double)(td_clock_us() - p->progress.start_us) / 1e6;

    if (p->progress.on && p->done > 1)
        fprintf(stderr, "%" PRIu64 " events in %.2f s, %.0f/s\n", p->done,
                seconds, (double)p->done / seconds);
}

/* Some were not taken, or not confirmed. */
static int unfinished(const struct pub *p, tidings_err err)
{
    if (err != TIDINGS_ETIMEDOUT)
        return td_complain_err(err, "waiting for the broker");
    td_complain("%" PRIu64 " of %" PRIu64 " event%s not %s by the broker in "
                "time",
                p->info.unconfirmed, p->info.published,
                td_plural(p->info.published, "", "s"),
                td_confirms_asked(p->settings) ? "confirmed" : "taken");
    td_advise("they may arrive or not; --timeout waits longer");
    return TD_EXIT_TIMED_OUT;
}

/* Also when publishing failed half way: what was packed is to arrive. Closed,
 * the bus has told of every event. */
static tidings_err settle(struct pub *p)
{
    tidings_err err = flush(p);
    char why[512];

    snprintf(why, sizeof(why), "%s", tidings_detail());
    td_progress_wipe();
    tidings_info(&p->info, p->bus);
    tidings_close(p->bus);
    tidings_set_detail(why);
    return err;
}

static int finish(struct pub *p, int code)
{
    tidings_err err = settle(p);
    int put;
    int out;

    if (p->info.resent > 0) /* a link was lost */
        td_complain("%" PRIu64 " event%s sent again", p->info.resent,
                    td_plural(p->info.resent, " was", "s were"));
    put = put_confirmed(p);
    out = td_flush_out();
    if (code == TD_EXIT_DONE)
        code = put;
    if (!err)
        summarise(p);
    else if (code == TD_EXIT_DONE)
        code = unfinished(p, err);
    else
        unfinished(p, err);
    code = td_confirms_tell(&p->confirms, code);
    return code == TD_EXIT_DONE ? out : code;
}

static int run(struct pub *p, const struct td_ready *r)
{
    struct tidings_options options = {
        .name = "tidings-pub",
        .source = "/tidings",
        .publish_timeout_ms = SLICE_MS,
        .close_timeout_ms = -1, /* settle() waited already */
        .confirm = p->settings->durable.confirm,
        .producer = p->settings->durable.producer,
        .on_status = on_status,
        .on_status_arg = p,
    };
    int code = td_connect(&p->bus, p->settings, &options);

    if (code != TD_EXIT_DONE)
        return code;
    td_progress_start(&p->progress);
    code = p->lines ? publish_lines(p) : publish_one_many_times(p, r);
    return finish(p, code);
}

/* ---- the command line ---- */

static int usage(const char *what)
{
    td_complain("%s", what);
    td_advise("tidings pub --help shows how");
    return TD_EXIT_USAGE;
}

/* TYPE [DATA|-], or [EVENT|-] with --event. */
static int read_words(struct pub *p)
{
    const struct td_settings *s = p->settings;
    bool expects = s->durable.expects || s->durable.expects_key;
    size_t types = s->event ? 0 : 1;

    if (s->words_len < types)
        return usage("pub wants a TYPE");
    if (s->words_len > types + 1)
        return usage(s->event ? "pub --event wants one EVENT; quote it"
                              : "pub wants one TYPE and one DATA; quote them");
    if (types == 1)
        p->type = s->words[0];
    if (s->words_len == types + 1)
        p->data = s->words[types];
    else if (s->event)
        p->data = "-";
    p->lines = p->data && strcmp(p->data, "-") == 0;
    if (p->lines && s->count)
        return usage("--count goes with DATA, not with lines of input");
    if (s->durable.sequence && !s->durable.producer)
        return usage("--sequence goes with --producer");
    if (expects && td_later_asked(s))
        return usage("--expect and --expect-key are judged at once, not "
                     "--at or --after");
    if (expects && (p->lines || s->count > 1))
        return usage("--expect and --expect-key go with one event");
    if (s->event && td_attr_given(s, "datacontenttype"))
        return usage("--attr datacontenttype goes with DATA; an EVENT has "
                     "its own");
    return TD_EXIT_DONE;
}

int td_cli_pub(const struct td_settings *settings)
{
    struct pub p = {.settings = settings, .confirms.settings = settings};
    struct td_ready r = {0};
    tidings_err err = TIDINGS_OK;
    int code = read_words(&p);

    if (code != TD_EXIT_DONE)
        return code;
    if (!td_attrs_check(settings, &p.time_us))
        return TD_EXIT_USAGE;
    if (p.type && (err = tidings_type_check(p.type)) != TIDINGS_OK) {
        td_complain("type \"%s\": %s", p.type, td_why(err));
        return TD_EXIT_USAGE;
    }

    if (!p.lines)
        err = td_ready_event(&r, settings, p.type, p.time_us, p.data,
                             p.data ? strlen(p.data) : 0);
    if (err) {
        td_complain("%s: %s", settings->event ? "EVENT" : "DATA", td_why(err));
        code = TD_EXIT_USAGE;
    } else {
        code = run(&p, &r);
    }
    td_ready_fini(&r);
    return code;
}
