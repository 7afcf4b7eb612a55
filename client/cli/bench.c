/* tidings bench: how fast is this broker, from here, with these events? */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench_report.h"
#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/load.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"

static int usage(const char *what)
{
    td_complain("%s", what);
    td_advise("tidings bench --help shows how");
    return TD_EXIT_USAGE;
}

static int check(const struct td_settings *s)
{
    if (td_no_words(s, "bench") != TD_EXIT_DONE)
        return TD_EXIT_USAGE;
    if (s->count && s->bench.duration_s > 0)
        return usage("--count or --duration ends a round, not both");
    if (s->durable.confirm && !s->bench.durable)
        return usage("--confirm goes with --durable");
    if (s->sub.group_policy && !s->sub.group)
        return usage("--group-policy goes with --group");
    return TD_EXIT_DONE;
}

/* Told or not: what nobody was told of is a broken promise. */
static int verdict(const struct td_round *all)
{
    if (all->lost)
        td_complain("%" PRIu64 " of %" PRIu64 " %s lost, and nobody was told",
                    all->lost, all->expected,
                    td_plural(all->expected, "event was", "events were"));
    if (all->again)
        td_complain("%" PRIu64 " %s delivered more than once", all->again,
                    td_plural(all->again, "event was", "events were"));
    return all->lost || all->again ? TD_EXIT_FAILED : TD_EXIT_DONE;
}

static void add_round(struct td_round *all, const struct td_round *r)
{
    all->published += r->published;
    all->expected += r->expected;
    all->delivered += r->delivered;
    all->missed += r->missed;
    all->lost += r->lost;
    all->again += r->again;
    all->publish_s += r->publish_s;
    all->deliver_s += r->deliver_s;
    if (r->most_ns > all->most_ns)
        all->most_ns = r->most_ns;
    td_histogram_plus(&all->latency, &r->latency);
}

/* A round that failed half way is not among the results. */
static int measure(struct td_load *load, struct td_report *report)
{
    unsigned rounds = load->settings->bench.rounds;
    int code = TD_EXIT_DONE;

    if (!rounds)
        rounds = TD_CLI_BENCH_ROUNDS;
    report->rounds = calloc(rounds, sizeof(*report->rounds));
    if (!report->rounds) {
        td_complain("out of memory");
        return TD_EXIT_FAILED;
    }
    while (code == TD_EXIT_DONE && report->len < rounds && !td_stopped()) {
        struct td_round *r = &report->rounds[report->len];

        code = td_load_round(r, load);
        if (code != TD_EXIT_DONE)
            break;
        add_round(&report->all, r);
        report->len++;
        if (r->lost)
            break; /* what comes late would count in the next */
    }
    return code;
}

static int run(struct td_load *load, struct td_report *report)
{
    int code = td_load_begin(load), told;

    if (code == TD_EXIT_DONE)
        code = measure(load, report);
    if (report->len == 0 && code == TD_EXIT_DONE) {
        td_complain("interrupted before the first round was done");
        code = TD_EXIT_FAILED;
    }
    if (report->len > 0) {
        told = td_report_put(report, load);
        if (code == TD_EXIT_DONE)
            code = told;
        if (verdict(&report->all) != TD_EXIT_DONE && code == TD_EXIT_DONE)
            code = TD_EXIT_FAILED;
    }
    return code;
}

int td_cli_bench(const struct td_settings *settings)
{
    struct td_load load = {.settings = settings};
    struct td_report *report;
    int code = check(settings);

    if (code != TD_EXIT_DONE)
        return code;
    report = calloc(1, sizeof(*report)); /* it holds a histogram */
    if (!report) {
        td_complain("out of memory");
        return TD_EXIT_FAILED;
    }
    code = run(&load, report);
    td_load_end(&load);
    free(report->rounds);
    free(report);
    return code;
}
