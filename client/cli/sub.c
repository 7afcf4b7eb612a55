/* tidings sub: print the events of some patterns until enough are printed,
 * time is up, a signal comes, or nobody reads any more. */
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/show.h"
#include "client/cli/status.h"
#include "client/cli/stop.h"
#include "tidings/json.h"

#define DISPATCH_EVENTS 1024 /* then flush, and look at signals and time */
#define FETCH_EVENTS    64   /* the same of a durable group with --count … */
#define FETCH_MS        200  /* … and so long */

struct sub {
    const struct td_settings *settings;
    tidings_bus *bus;
    int64_t deadline_us; /* INT64_MAX: none */
    struct td_show show;
    uint64_t printed;
    struct td_status status;
    /* Of a durable group: what is printed, and settled when that is out. */
    struct tidings_delivery printed_of[DISPATCH_EVENTS];
    size_t unsettled;
    tidings_sub *pulled; /* with --count: no more are delivered */
};

/* What the handler of one pattern is given. */
struct one {
    struct sub *sub;
    size_t index; /* of its pattern */
};

static bool enough(const struct sub *sub)
{
    return sub->settings->count && sub->printed >= sub->settings->count;
}

/* An event comes once for each pattern that it matches; the first of these
 * prints it. In groups the first may have gone to another member. */
static bool first_match(const struct one *one, const char *type)
{
    if (one->sub->settings->sub.group)
        return true;
    for (size_t i = 0; i < one->index; i++) {
        if (tidings_pattern_matches(one->sub->settings->words[i], type))
            return false;
    }
    return true;
}

static bool print_json(const struct tidings_event *event)
{
    char *json = NULL;
    tidings_err err = tidings_event_to_json(&json, event);

    if (err) {
        td_complain("event %s of type %s is not shown: %s",
                    event->id ? event->id : "?", event->type, td_why(err));
        return false;
    }
    puts(json);
    tidings_free(json);
    return true;
}

static bool show(struct sub *sub, const struct tidings_event *event)
{
    if (sub->settings->json)
        return print_json(event);
    td_show_event(&sub->show, event);
    return true;
}

static bool is_durable(const struct sub *sub)
{
    return sub->settings->sub.stream && sub->settings->sub.group;
}

/* One that could not be printed is another's, or nobody's. */
static tidings_err printed(struct sub *sub, const struct tidings_event *event)
{
    struct tidings_delivery *delivery = &sub->printed_of[sub->unsettled];

    sub->printed++;
    if (!is_durable(sub) || tidings_delivery(delivery, event))
        return TIDINGS_OK;
    sub->unsettled++; /* no more than are dispatched at once */
    return TIDINGS_ELATER;
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    const struct one *one = arg;
    struct sub *sub = one->sub;

    if (enough(sub)) /* a durable group gives it to another */
        return is_durable(sub) ? TIDINGS_ERELEASE : TIDINGS_OK;
    if (!first_match(one, event->type))
        return TIDINGS_OK;
    if (!show(sub, event))
        return is_durable(sub) ? TIDINGS_ETERM : TIDINGS_OK;
    return printed(sub, event);
}

/* What is printed is done; what is not, because nobody reads, is another's. */
static void settle(struct sub *sub, bool out)
{
    enum tidings_settlement how = out ? TIDINGS_ACK : TIDINGS_RELEASE;

    for (size_t i = 0; i < sub->unsettled; i++)
        tidings_settle(&sub->printed_of[i], how, 0, NULL);
    sub->unsettled = 0;
}

/* Where they would have stood among the events that are printed. */
static void on_gap(void *arg, const struct tidings_gap *gap)
{
    const struct one *one = arg;
    const struct td_settings *settings = one->sub->settings;
    bool many = settings->words_len > 1;

    if (gap->first > 0)
        td_status_tell_lost(gap, settings->sub.stream, settings->sub.group);
    else
        td_complain("missed %" PRIu64 " event%s%s%s: %s", gap->missed,
                    td_plural(gap->missed, "", "s"), many ? " of " : "",
                    many ? settings->words[one->index] : "", gap->reason);
}

static void on_status(void *arg, const struct tidings_status *status)
{
    struct sub *sub = arg;

    td_status_tell(&sub->status, status);
}

/* ---- waiting ---- */

/* For poll(): until the deadline, rounded up so that it is not early. */
static int left_ms(const struct sub *sub)
{
    int64_t left;

    if (sub->deadline_us == INT64_MAX)
        return -1;
    left = (sub->deadline_us - td_clock_us() + 999) / 1000;
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Print what is there; never more than were asked for. */
static int dispatch(struct sub *sub)
{
    tidings_err err = tidings_dispatch(NULL, sub->bus, DISPATCH_EVENTS);
    int code = TD_EXIT_DONE;

    if (err)
        code = td_complain_err(err, "receiving");
    if (td_flush_out() != TD_EXIT_DONE)
        code = TD_EXIT_FAILED;
    settle(sub, code == TD_EXIT_DONE && td_out_open());
    return code;
}

static int timed_out(const struct sub *sub)
{
    td_complain("%" PRIu64 " event%s within %g seconds", sub->printed,
                td_plural(sub->printed, "", "s"), sub->settings->timeout_s);
    return TD_EXIT_TIMED_OUT;
}

/* Those that one call brought; they are settled when they are out. */
static void print_fetched(struct sub *sub, struct tidings_fetched *got,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (show(sub, got[i].event)) {
            sub->printed_of[sub->unsettled++] = got[i].delivery;
            sub->printed++;
        } else {
            tidings_settle(&got[i].delivery, TIDINGS_TERM, 0, "not shown");
        }
        tidings_free(got[i].event);
    }
}

static int fetch(struct sub *sub)
{
    struct tidings_fetched got[FETCH_EVENTS];
    uint64_t left = sub->settings->count - sub->printed;
    int wait_ms = left_ms(sub);
    size_t n = 0;
    tidings_err err = tidings_fetch(
        &n, got, sub->pulled, left < FETCH_EVENTS ? left : FETCH_EVENTS,
        wait_ms < 0 || wait_ms > FETCH_MS ? FETCH_MS : wait_ms);

    print_fetched(sub, got, n);
    if (sub->status.refused)
        return TD_EXIT_FAILED;
    if (err && err != TIDINGS_ETIMEDOUT && err != TIDINGS_EUNREACH)
        return td_complain_err(err, "fetching");
    return dispatch(sub); /* news; and settles */
}

/* With --count nothing but what is wanted is delivered, as the rest is for
 * others. */
static int fetch_all(struct sub *sub)
{
    int code = TD_EXIT_DONE;

    while (code == TD_EXIT_DONE && !enough(sub) && !td_stopped() &&
           td_out_open()) {
        code = fetch(sub);
        if (code == TD_EXIT_DONE && !enough(sub) && left_ms(sub) == 0)
            return timed_out(sub);
    }
    return code;
}

static int loop(struct sub *sub)
{
    /* the third is only watched for its reader going away */
    struct pollfd fds[] = {{.events = POLLIN},
                           {.fd = td_stop_fd(), .events = POLLIN},
                           {.fd = STDOUT_FILENO}};
    tidings_err err = tidings_fd(&fds[0].fd, sub->bus);
    int code = TD_EXIT_DONE;

    if (err)
        return td_complain_err(err, "receiving");
    while (code == TD_EXIT_DONE && !enough(sub) && !td_stopped() &&
           td_out_open()) {
        if (sub->status.refused)
            return TD_EXIT_FAILED;
        if (poll(fds, 3, left_ms(sub)) == 0)
            return timed_out(sub);
        code = dispatch(sub);
        if (sub->deadline_us <= td_clock_us() && !enough(sub))
            fds[0].fd = -1; /* a stream of events must not hide the deadline */
    }
    return code;
}

/* ---- subscribing ---- */

/* Scripts wait for this line. */
static void say_subscribed(const struct td_settings *settings)
{
    fputs("subscribed to", stderr);
    for (size_t i = 0; i < settings->words_len; i++)
        fprintf(stderr, "%s %s", i ? "," : "", settings->words[i]);
    if (settings->sub.group)
        fprintf(stderr, " in group %s", settings->sub.group);
    if (settings->sub.stream)
        fprintf(stderr, " of stream %s", settings->sub.stream);
    fprintf(stderr, " at %s\n", td_url(settings));
    fflush(stderr);
}

static int not_subscribed(const struct td_settings *settings, tidings_err err,
                          const char *pattern)
{
    if (err == TIDINGS_EUNREACH)
        return td_no_broker(settings);
    if (err != TIDINGS_EINVAL && err != TIDINGS_ENOTSUP &&
        err != TIDINGS_ELIMIT && err != TIDINGS_ENOTFOUND)
        return td_complain_err(err, pattern);
    if (err == TIDINGS_ENOTFOUND && settings->sub.stream)
        td_complain("stream %s: %s", settings->sub.stream, td_why(err));
    else
        td_complain("%s: %s", pattern, td_why(err)); /* refused as it stands */
    return TD_EXIT_USAGE;
}

static bool pulls(const struct sub *sub)
{
    return is_durable(sub) && sub->settings->count;
}

static int subscribe(struct sub *sub, struct one *ones)
{
    const struct td_settings *settings = sub->settings;
    struct tidings_sub_options options = settings->sub;

    options.timeout_ms = td_timeout_ms(settings);
    options.on_gap = on_gap;
    options.pull = pulls(sub);

    for (size_t i = 0; i < settings->words_len; i++) {
        const char *pattern = settings->words[i];
        tidings_err err;

        ones[i] = (struct one){.sub = sub, .index = i};
        err = tidings_subscribe(&sub->pulled, sub->bus, pattern,
                                options.pull ? NULL : on_event, &ones[i],
                                &options);
        if (err)
            return not_subscribed(settings, err, pattern);
    }
    say_subscribed(settings);
    return TD_EXIT_DONE;
}

static int run(struct sub *sub, struct one *ones)
{
    struct tidings_options options = {
        .name = "tidings-sub",
        .close_timeout_ms = -1,
        .own_loop = true, /* events are printed where signals are heard */
        .on_status = on_status,
        .on_status_arg = sub,
    };
    int code = td_connect(&sub->bus, sub->settings, &options);

    if (code != TD_EXIT_DONE)
        return code;
    code = subscribe(sub, ones);
    if (code == TD_EXIT_DONE)
        code = pulls(sub) ? fetch_all(sub) : loop(sub);
    tidings_close(sub->bus);
    return code;
}

static bool patterns_ok(const struct td_settings *settings)
{
    for (size_t i = 0; i < settings->words_len; i++) {
        tidings_err err = tidings_pattern_check(settings->words[i]);

        if (err) {
            td_complain("pattern \"%s\": %s", settings->words[i], td_why(err));
            return false;
        }
    }
    return true;
}

/* What goes with what. */
static bool options_ok(const struct td_settings *settings)
{
    const struct tidings_sub_options *o = &settings->sub;

    if (o->group_policy && !o->group) {
        td_complain("--group-policy goes with --group");
        return false;
    }
    if (o->start.kind && !o->stream) {
        td_complain("--start goes with --stream");
        return false;
    }
    if (o->stream && o->group && settings->words_len > 1) {
        td_complain("a durable group has one PATTERN");
        return false;
    }
    return true;
}

int td_cli_sub(const struct td_settings *settings)
{
    struct sub sub = {.settings = settings, .deadline_us = INT64_MAX};
    struct one *ones;
    int code;

    if (settings->words_len == 0) {
        td_complain("sub wants a PATTERN, such as '>' for everything");
        td_advise("tidings sub --help shows how");
        return TD_EXIT_USAGE;
    }
    if (!patterns_ok(settings))
        return TD_EXIT_USAGE;
    if (!options_ok(settings))
        return TD_EXIT_USAGE;
    if (settings->timeout_s > 0)
        sub.deadline_us =
            td_clock_us() + (int64_t)(settings->timeout_s * 1000000);
    td_show_init(&sub.show);
    sub.status.stored = settings->sub.stream != NULL;

    ones = calloc(settings->words_len, sizeof(*ones));
    if (!ones) {
        td_complain("out of memory");
        return TD_EXIT_FAILED;
    }
    code = run(&sub, ones);
    free(ones); /* after the bus is closed: its handlers used it */
    return code;
}
