/* One round of a bench. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/load.h"
#include "client/cli/out.h"
#include "client/cli/progress.h"
#include "client/cli/stop.h"

#define LOOK_US 1000 /* between looks at what has arrived */

static uint64_t published(const struct td_load *load)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < load->publishers_len; i++)
        n += atomic_load(&load->publishers[i].published);
    return n;
}

/* The sum of all subscribers. */
static uint64_t sum(const struct td_load *load, size_t offset)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < load->subscribers_len; i++) {
        const char *sub = (const char *)&load->subscribers[i];

        n +=
            atomic_load((const _Atomic uint64_t *)(const void *)(sub + offset));
    }
    return n;
}

#define SUM(load, field) sum(load, offsetof(struct td_load_subscriber, field))

static int64_t heard_ns(const struct td_load *load)
{
    int64_t last = load->start_ns;

    for (unsigned i = 0; i < load->subscribers_len; i++) {
        int64_t ns = atomic_load(&load->subscribers[i].heard_ns);

        if (ns > last)
            last = ns;
    }
    return last;
}

static bool all_done(const struct td_load *load)
{
    for (unsigned i = 0; i < load->publishers_len; i++) {
        if (!atomic_load(&load->publishers[i].done_ns))
            return false;
    }
    return true;
}

static double duration_s(const struct td_load *load)
{
    double s = load->settings->bench.duration_s;

    return s > 0 ? s : TD_CLI_BENCH_S;
}

static void show_progress(struct td_load *load, struct td_progress *progress,
                          uint64_t delivered_before)
{
    uint64_t n, count = load->settings->count;
    double seconds = (double)(td_clock_ns() - load->start_ns) / 1e9;

    if (!td_progress_due(progress))
        return;
    n = published(load);
    td_progress_part(
        progress,
        count ? (double)n / (double)count : seconds / duration_s(load),
        "round %" PRIu32 "  %" PRIu64 " published, %" PRIu64 " delivered",
        load->round, n, SUM(load, delivered) - delivered_before);
}

/* Until all publishers are done; with a duration it is this that ends them. */
static void watch_publishers(struct td_load *load, uint64_t delivered_before)
{
    struct td_progress progress;
    int64_t end_ns = load->start_ns + (int64_t)(duration_s(load) * 1e9);
    int64_t pause_us = 20 * LOOK_US;

    td_progress_start(&progress);
    while (!all_done(load)) {
        int64_t left_us = (end_ns - td_clock_ns()) / 1000;

        if (!load->settings->count && left_us <= 0)
            atomic_store(&load->stop, true);
        show_progress(load, &progress, delivered_before);
        td_pause((left_us > 0 && left_us < pause_us) ? left_us : pause_us);
    }
    for (unsigned i = 0; i < load->publishers_len; i++)
        pthread_join(load->publishers[i].thread, NULL);
    td_progress_wipe();
}

/* Until everything has arrived or was told missed, or nothing comes for as
 * long as --timeout. */
static void await_rest(const struct td_load *load, const struct td_round *r,
                       uint64_t before)
{
    int64_t patience_ns = (int64_t)td_timeout_ms(load->settings) * 1000000;
    int64_t began_ns = td_clock_ns();

    while (SUM(load, delivered) + SUM(load, missed) - before < r->expected) {
        int64_t heard = heard_ns(load);

        if (td_clock_ns() - (heard > began_ns ? heard : began_ns) > patience_ns)
            break;
        td_pause(LOOK_US);
    }
}

static bool start_publishers(struct td_load *load)
{
    atomic_store(&load->stop, false);
    for (unsigned i = 0; i < load->subscribers_len; i++)
        atomic_store(&load->subscribers[i].most_ns, 0);
    load->start_ns = td_clock_ns();
    for (unsigned i = 0; i < load->publishers_len; i++) {
        struct td_load_publisher *p = &load->publishers[i];

        atomic_store(&p->published, 0);
        atomic_store(&p->done_ns, 0);
        p->err = TIDINGS_OK;
        if (pthread_create(&p->thread, NULL, td_load_publish, p) == 0)
            continue;
        atomic_store(&load->stop, true);
        while (i-- > 0)
            pthread_join(load->publishers[i].thread, NULL);
        td_complain("no thread for publisher %u", p->index + 1);
        return false;
    }
    return true;
}

static int publishers_code(const struct td_load *load)
{
    for (unsigned i = 0; i < load->publishers_len; i++) {
        const struct td_load_publisher *p = &load->publishers[i];
        struct tidings_info info;

        if (!p->err)
            continue;
        td_complain("publisher %u: %s", i + 1, p->why);
        if (!tidings_info(&info, p->bus) && !info.up)
            return TD_EXIT_NO_BROKER;
        return p->err == TIDINGS_EFULL || p->err == TIDINGS_ETIMEDOUT
                   ? TD_EXIT_TIMED_OUT
                   : TD_EXIT_FAILED;
    }
    return TD_EXIT_DONE;
}

static void read_latency(struct td_histogram *out, const struct td_load *load)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < load->subscribers_len; i++)
        td_histogram_add(out, &load->subscribers[i].latency);
}

static void fill_round(struct td_round *r, const struct td_load *load,
                       const struct td_round *before)
{
    int64_t done_ns = load->start_ns;

    for (unsigned i = 0; i < load->publishers_len; i++) {
        int64_t ns = atomic_load(&load->publishers[i].done_ns);

        if (ns > done_ns)
            done_ns = ns;
    }
    r->publish_s = (double)(done_ns - load->start_ns) / 1e9;
    r->deliver_s = (double)(heard_ns(load) - load->start_ns) / 1e9;
    r->delivered = SUM(load, delivered) - before->delivered;
    r->missed = SUM(load, missed) - before->missed;
    r->again = SUM(load, again) - before->again;
    if (r->delivered + r->missed < r->expected)
        r->lost = r->expected - r->delivered - r->missed;
    for (unsigned i = 0; i < load->subscribers_len; i++) {
        uint64_t ns = atomic_load(&load->subscribers[i].most_ns);

        if (ns > r->most_ns)
            r->most_ns = ns;
    }
    read_latency(&r->latency, load);
    td_histogram_minus(&r->latency, &before->latency);
}

int td_load_round(struct td_round *out, struct td_load *load)
{
    struct td_round before = {.delivered = SUM(load, delivered),
                              .missed = SUM(load, missed),
                              .again = SUM(load, again)};
    struct td_round r = {0};

    read_latency(&before.latency, load);
    load->round++;
    if (!start_publishers(load))
        return TD_EXIT_FAILED;
    watch_publishers(load, before.delivered);
    r.published = published(load);
    r.expected =
        r.published * (load->settings->sub.group ? 1 : load->subscribers_len);
    await_rest(load, &r, before.delivered + before.missed);
    fill_round(&r, load, &before);
    *out = r;
    return publishers_code(load);
}
