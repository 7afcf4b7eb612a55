/* tidings dlq redrive, dlq purge: many dead letters, some at a time. */
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

/* One call for the numbers first to last; 0: no end. Its result is the
 * answer. */
static tidings_err call(struct work *w, uint64_t first, uint64_t last)
{
    struct td_dlq *d = &w->dlq;

    td_dlq_begin(d, last ? 2 : 1);
    td_ask_uint(&d->ask, "first", first);
    if (last)
        td_ask_uint(&d->ask, "last", last);
    return td_ask_call(&d->ask, w->call);
}

/* All that there are: the broker says where to go on. */
static tidings_err all(struct work *w)
{
    tidings_err err;

    do {
        err = call(w, w->next, w->last);
        if (err)
            break;
        w->done += td_row_uint(w->dlq.ask.answer, "events");
        w->next = td_row_uint(w->dlq.ask.answer, "next");
        td_progress_show(&w->progress, w->done, w->total);
    } while (w->next > 0 && !td_stopped());
    return err;
}

/* ---- some of them, or not too fast ---- */

/* How many of the next page: within limit, and a piece of a second's. */
static uint64_t piece(const struct work *w)
{
    const struct td_settings *settings = w->dlq.ask.settings;
    uint64_t limit = settings->durable.limit;
    uint64_t n = TD_DLQ_PAGE;

    if (settings->rate > 0 && settings->rate / PIECES_PER_S < (double)n)
        n = (uint64_t)(settings->rate / PIECES_PER_S);
    if (n == 0)
        n = 1;
    return limit && limit - w->done < n ? limit - w->done : n;
}

/* The page's first and last that are not on their way already.
 * @return how many lie between */
static uint64_t choose(struct work *w, uint64_t *first, uint64_t *last)
{
    struct tidings_value row;
    uint64_t chosen = 0;

    for (size_t i = 0; !tidings_at(&row, w->dlq.rows, i); i++) {
        uint64_t number = td_row_uint(row, "number");

        if (w->last && number > w->last)
            break;
        if (td_row_bool(row, "redriven"))
            continue;
        *first = chosen ? *first : number;
        *last = number;
        chosen++;
    }
    return chosen;
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

static tidings_err some(struct work *w)
{
    uint64_t limit = w->dlq.ask.settings->durable.limit;
    tidings_err err = TIDINGS_OK;

    while (!err && (!limit || w->done < limit) && pace(w)) {
        uint64_t first = 0, last = 0, chosen;

        err = td_dlq_page(&w->dlq, w->next, piece(w), false);
        if (err)
            break;
        chosen = choose(w, &first, &last);
        if (chosen > 0)
            err = call(w, first, last);
        if (!err)
            w->done += chosen;
        td_progress_show(&w->progress, w->done, w->total);
        if (w->dlq.next == 0 || (w->last && w->dlq.next > w->last))
            break;
        w->next = w->dlq.next;
    }
    return err;
}

/* ---- both ---- */

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
        err = settings->durable.limit || settings->rate > 0 ? some(w) : all(w);
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
