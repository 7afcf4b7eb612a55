/* tidings dlq redrive, dlq purge: many dead letters, a call's worth at a time. */
#include <inttypes.h>

#include "client/cli/dlq.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"
#include "client/cli/stop.h"

#define PIECES_PER_S 10 /* of a paced run: it looks even */

struct work {
    struct td_dlq dlq;
    const char *call; /* "dlq.redrive" or "dlq.purge" */
    uint64_t next;    /* number to go on with */
    uint64_t last;    /* 0: no end */
    uint64_t done;
    uint64_t total; /* how many there are to do, as far as known */
    struct td_progress progress;
};

/* How many with the next call: within limit, and a piece of a second's; 0: as
 * many as it takes. */
static uint64_t piece(const struct work *w)
{
    const struct td_settings *settings = w->dlq.ask.settings;
    uint64_t limit = settings->durable.limit;
    uint64_t left = limit ? limit - w->done : UINT64_MAX;
    double paced = settings->rate / PIECES_PER_S;

    if (settings->rate > 0 && paced < (double)left)
        return paced < 1 ? 1 : (uint64_t)paced;
    return limit ? left : 0;
}

/* One call for the numbers from next on. */
static tidings_err call(struct work *w)
{
    struct td_dlq *d = &w->dlq;
    uint64_t limit = piece(w);
    tidings_err err;

    td_dlq_begin(d, 1u + (w->last > 0) + (limit > 0));
    td_ask_uint(&d->ask, "first", w->next);
    if (w->last > 0)
        td_ask_uint(&d->ask, "last", w->last);
    if (limit > 0)
        td_ask_uint(&d->ask, "limit", limit);
    err = td_ask_call(&d->ask, w->call);
    if (err)
        return err;
    w->done += td_row_uint(d->ask.answer, "events");
    w->next = td_row_uint(d->ask.answer, "next");
    td_progress_show(&w->progress, w->done, w->total);
    return TIDINGS_OK;
}

/* @return false: a signal came first */
static bool pace(const struct work *w)
{
    double rate = w->dlq.ask.settings->rate;

    if (rate <= 0)
        return !td_stopped();
    return td_sleep_until(w->progress.start_us +
                          (int64_t)((double)w->done * 1e6 / rate));
}

static tidings_err all(struct work *w)
{
    uint64_t limit = w->dlq.ask.settings->durable.limit;
    tidings_err err;

    do
        err = call(w);
    while (!err && w->next > 0 && (!limit || w->done < limit) && pace(w));
    return err;
}

/* For the bar: no more than there are, than fit in between, than were asked. */
static tidings_err count(struct work *w)
{
    const struct td_durable_settings *d = &w->dlq.ask.settings->durable;
    tidings_err err = td_dlq_page(&w->dlq, w->next, 1, false);

    if (d->patterns_len > 0)
        return err; /* how many there are of a type is not known */
    w->total = w->dlq.total;
    if (d->last && d->last + 1 - d->first < w->total)
        w->total = d->last + 1 - d->first;
    if (d->limit && d->limit < w->total)
        w->total = d->limit;
    return err;
}

static int run(struct work *w, const char *text)
{
    const struct td_settings *settings = w->dlq.ask.settings;
    tidings_err err = count(w);

    td_progress_start(&w->progress);
    if (!err)
        err = all(w);
    td_progress_wipe();
    if (err && w->done > 0)
        td_complain("%" PRIu64 " %s before", w->done, text);
    if (err)
        return td_dlq_refused(&w->dlq, err);
    if (settings->json)
        printf("{\"events\":%" PRIu64 "}\n", w->done);
    else
        printf("%" PRIu64 " %s\n", w->done, text);
    if (td_stopped()) {
        td_flush_out();
        td_complain("interrupted");
        return TD_EXIT_FAILED;
    }
    return td_flush_out();
}

static int work(const struct td_settings *settings, const char *command,
                const char *call_name, const char *text)
{
    const struct td_durable_settings *d = &settings->durable;
    struct work w = {.call = call_name, .next = d->first, .last = d->last};
    int code;

    if (d->last && d->first > d->last) {
        td_complain("%s: --first is above --last", command);
        return TD_EXIT_USAGE;
    }
    code = td_dlq_open(&w.dlq, settings, command, "STREAM GROUP");
    if (code != TD_EXIT_DONE)
        return code;
    code = run(&w, text);
    td_ask_close(&w.dlq.ask);
    return code;
}

int td_cli_dlq_redrive(const struct td_settings *settings)
{
    return work(settings, "dlq redrive", "dlq.redrive", "redriven");
}

int td_cli_dlq_purge(const struct td_settings *settings)
{
    int code = td_names(settings, "dlq purge", "STREAM GROUP");

    if (code == TD_EXIT_DONE)
        code = td_sure(settings, "dlq purge");
    return code == TD_EXIT_DONE
               ? work(settings, "dlq purge", "dlq.purge", "purged")
               : code;
}
