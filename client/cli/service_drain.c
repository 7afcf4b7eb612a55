/* tidings service drain, weight: who is to get requests. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/option_values.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"
#include "client/cli/service.h"
#include "client/cli/stop.h"

#define LOOK_US 100000 /* between looks at who is still busy */

/* ---- drain ---- */

struct busy {
    uint64_t requests;
    uint64_t instances;
};

static bool count_busy(void *arg, struct tidings_value row)
{
    struct busy *busy = arg;
    uint64_t requests = td_row_uint(row, "in_flight");

    busy->requests += requests;
    busy->instances += requests > 0;
    return true;
}

/* Whose instances are gone has nothing in flight. */
static tidings_err look(struct busy *out, struct td_ask *a)
{
    struct td_list list = {0};
    tidings_err err = td_service_fetch(&list, a, "service.list");

    *out = (struct busy){0};
    td_list_each(&list, count_busy, out);
    td_list_fini(&list);
    return err == TIDINGS_ENOTFOUND ? TIDINGS_OK : err;
}

static int still_busy(const struct busy *busy)
{
    td_progress_wipe();
    td_complain(
        "%" PRIu64 " %s still in flight, at %" PRIu64 " %s", busy->requests,
        td_plural(busy->requests, "request is", "requests are"),
        busy->instances, td_plural(busy->instances, "instance", "instances"));
    return td_stopped() ? TD_EXIT_FAILED : TD_EXIT_TIMED_OUT;
}

/* Until nothing is in flight; without --timeout as long as it takes. */
static int await(struct td_ask *a)
{
    const struct td_settings *settings = a->settings;
    int64_t next_us = td_clock_us();
    int64_t end_us = settings->timeout_s > 0
                         ? next_us + (int64_t)(settings->timeout_s * 1e6)
                         : INT64_MAX;
    struct td_progress progress;
    uint64_t most = 0;
    struct busy busy;

    td_progress_start(&progress);
    for (;;) {
        tidings_err err = look(&busy, a);

        if (err) {
            td_progress_wipe();
            return td_service_refused(settings, err);
        }
        if (busy.requests == 0)
            break;
        if (busy.requests > most)
            most = busy.requests;
        td_progress_part(&progress, 1 - (double)busy.requests / (double)most,
                         "%" PRIu64 " in flight", busy.requests);
        next_us += LOOK_US;
        if (next_us > end_us || !td_sleep_until(next_us))
            return still_busy(&busy);
    }
    td_progress_wipe();
    return TD_EXIT_DONE;
}

static int put_drained(const struct td_settings *settings, uint64_t told)
{
    bool undo = settings->service.undo;

    if (settings->json) /* a name that is there has nothing to escape */
        printf("{\"service\":\"%s\",\"%s\":%" PRIu64 "}\n", settings->words[0],
               undo ? "resumed" : "draining", told);
    else
        printf(
            "%" PRIu64 " %s of service %s %s\n", told,
            td_plural(told, "instance", "instances"), settings->words[0],
            undo ? td_plural(told, "gets requests again", "get requests again")
            : settings->service.wait
                ? td_plural(told, "is drained", "are drained")
                : td_plural(told, "gets nothing new", "get nothing new"));
    return td_flush_out();
}

static tidings_err drain(struct td_ask *a)
{
    const struct td_service_settings *s = &a->settings->service;

    td_ask_map(a, 2 + (s->id != NULL));
    td_ask_string(a, "name", a->settings->words[0]);
    if (s->id)
        td_ask_string(a, "id", s->id);
    tidings_put_string(a->options, "undo");
    tidings_put_bool(a->options, s->undo);
    return td_ask_call(a, "service.drain");
}

int td_cli_service_drain(const struct td_settings *settings)
{
    struct td_ask a;
    uint64_t told;
    tidings_err err;
    int code = td_names(settings, "service drain", "NAME");

    if (code == TD_EXIT_DONE && settings->service.wait &&
        settings->service.undo) {
        td_complain("--wait goes without --undo");
        code = TD_EXIT_USAGE;
    }
    if (code == TD_EXIT_DONE)
        code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    err = drain(&a);
    told = err ? 0 : td_row_uint(a.answer, "instances");
    if (err)
        code = td_service_refused(settings, err);
    else if (settings->service.wait)
        code = await(&a);
    td_ask_close(&a);
    return code == TD_EXIT_DONE ? put_drained(settings, told) : code;
}

/* ---- weight ---- */

/* -1: none. NULL, or what is wanted instead. */
static const char *read_percent(int *out, const char *value)
{
    size_t digits = strspn(value, "0123456789");

    if (strcmp(value, "none") == 0) {
        *out = -1;
        return NULL;
    }
    *out = 0;
    for (size_t i = 0; i < digits && *out <= 100; i++)
        *out = *out * 10 + (value[i] - '0');
    if (digits == 0 || *out > 100 ||
        (value[digits] && strcmp(value + digits, "%") != 0))
        return "0 to 100, or none";
    return NULL;
}

static tidings_err weigh(struct td_ask *a, int percent)
{
    td_ask_map(a, 3);
    td_ask_string(a, "name", a->settings->words[0]);
    td_ask_string(a, "version", a->settings->words[1]);
    tidings_put_string(a->options, "percent");
    if (percent < 0)
        tidings_put_nil(a->options);
    else
        tidings_put_uint(a->options, (uint64_t)percent);
    return td_ask_call(a, "service.weight");
}

int td_cli_service_weight(const struct td_settings *settings)
{
    const char *wanted;
    struct td_ask a;
    tidings_err err;
    int percent;
    int code = td_names(settings, "service weight", "NAME VERSION PERCENT");

    if (code != TD_EXIT_DONE)
        return code;
    wanted = read_percent(&percent, settings->words[2]);
    if (wanted) {
        td_complain("service weight: PERCENT \"%s\": wants %s",
                    settings->words[2], wanted);
        return TD_EXIT_USAGE;
    }
    code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    err = weigh(&a, percent);
    td_ask_close(&a);
    return err ? td_service_refused(settings, err) : TD_EXIT_DONE;
}
