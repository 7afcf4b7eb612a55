#include "client/cli/bench_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/option_values.h"
#include "client/cli/out.h"
#include "client/cli/span.h"
#include "client/cli/table.h"
#include "tidings/json.h"

#define BAR_COLUMNS 40

static const struct {
    const char *title;
    const char *key; /* in JSON */
    double part;
} percentiles[] = {
    {"p50", "p50_us", 0.5},
    {"p90", "p90_us", 0.9},
    {"p99", "p99_us", 0.99},
    {"p99.9", "p999_us", 0.999},
};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

/* Not above the longest: the end of a bucket may be. */
static double at_us(const struct td_round *r, double part)
{
    uint64_t ns = td_histogram_at(&r->latency, part);

    return (double)(ns < r->most_ns ? ns : r->most_ns) / 1000;
}

static double per_s(uint64_t events, double seconds)
{
    return seconds > 0 ? (double)events / seconds : 0;
}

static double mb_per_s(uint64_t events, double seconds, size_t bytes)
{
    return per_s(events, seconds) * (double)bytes / 1e6;
}

/* ---- for people ---- */

static void add_count(struct td_table *t, uint64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, n);
    td_table_add(t, text);
}

static void add_amount(struct td_table *t, double amount)
{
    char text[TD_SPAN_BYTES];

    td_table_add(t, td_amount(text, amount));
}

static void add_latency(struct td_table *t, const struct td_round *r, double us)
{
    char text[TD_SPAN_BYTES];

    td_table_add(t, r->latency.total ? td_latency(text, us) : "");
}

static void add_round(struct td_table *t, const char *name,
                      const struct td_round *r, size_t bytes)
{
    td_table_add(t, name);
    add_count(t, r->published);
    add_amount(t, per_s(r->published, r->publish_s));
    add_amount(t, mb_per_s(r->published, r->publish_s, bytes));
    add_count(t, r->delivered);
    add_amount(t, per_s(r->delivered, r->deliver_s));
    add_amount(t, mb_per_s(r->delivered, r->deliver_s, bytes));
    add_count(t, r->missed);
    add_count(t, r->lost);
    for (size_t i = 0; i < PERCENTILES; i++)
        add_latency(t, r, at_us(r, percentiles[i].part));
    add_latency(t, r, (double)r->most_ns / 1000);
}

static void fill_columns(struct td_table *t)
{
    static const char *const titles[] = {"round", "published", "/s",
                                         "MB/s",  "delivered", "/s",
                                         "MB/s",  "missed",    "lost"};

    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        td_table_column(t, titles[i], true);
    for (size_t i = 0; i < PERCENTILES; i++)
        td_table_column(t, percentiles[i].title, true);
    td_table_column(t, "max", true);
}

static void put_what(const struct td_load *load)
{
    const struct td_settings *s = load->settings;

    printf("%u publisher%s, %u subscriber%s", load->publishers_len,
           td_plural(load->publishers_len, "", "s"), load->subscribers_len,
           td_plural(load->subscribers_len, "", "s"));
    if (s->sub.group)
        printf(" in group %s", s->sub.group);
    if (s->bench.durable)
        printf(" of a stream");
    printf(", events of %zu bytes and %u type%s, ", load->data_len,
           load->types_len, td_plural(load->types_len, "", "s"));
    if (s->rate > 0)
        printf("%g a second", s->rate);
    else
        printf("as fast as they go");
    if (s->bench.durable)
        printf(", confirmed: %s", td_level_names[td_load_level(load)]);
    printf(", at %s\n\n", td_url(s));
}

/* One line for each doubling that occurred, as far as the first and last. */
static void put_histogram(const struct td_histogram *h)
{
    static const char bar[] = "########################################";
    uint64_t low = 1, most = 0, end;

    for (uint64_t ns = 1; ns >> TD_HISTOGRAM_BITS == 0; ns *= 2) {
        uint64_t n = td_histogram_between(h, ns, 2 * ns);

        if (n > most)
            most = n;
    }
    while (td_histogram_between(h, 0, 2 * low) == 0)
        low *= 2;
    end = td_histogram_at(h, 1.0);
    printf("\nlatency\n");
    for (; low <= end; low *= 2) {
        uint64_t n = td_histogram_between(h, low, 2 * low);
        char from[TD_SPAN_BYTES];

        printf("%9s  %-*.*s %5.1f %%\n", td_latency(from, (double)low / 1000),
               BAR_COLUMNS, (int)((n * BAR_COLUMNS + most - 1) / most), bar,
               100 * (double)n / (double)h->total);
    }
}

static int put_table(const struct td_report *report, const struct td_load *load)
{
    struct td_table t = {0};
    bool put;

    put_what(load);
    fill_columns(&t);
    for (unsigned i = 0; i < report->len; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%u", i + 1);
        add_round(&t, name, &report->rounds[i], load->data_len);
    }
    if (report->len > 1)
        add_round(&t, "all", &report->all, load->data_len);
    put = td_table_put(&t, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    if (td_is_terminal(stdout) && report->all.latency.total)
        put_histogram(&report->all.latency);
    return put ? td_flush_out() : TD_EXIT_FAILED;
}

/* ---- for programs ---- */

static void put_uint(tidings_writer *w, const char *key, uint64_t value)
{
    tidings_put_string(w, key);
    tidings_put_uint(w, value);
}

static void put_double(tidings_writer *w, const char *key, double value)
{
    tidings_put_string(w, key);
    tidings_put_double(w, value);
}

static void put_round(tidings_writer *w, const struct td_round *r, size_t bytes)
{
    tidings_put_map(w, 10);
    put_uint(w, "published", r->published);
    put_double(w, "published_per_s", per_s(r->published, r->publish_s));
    put_double(w, "published_mb_per_s",
               mb_per_s(r->published, r->publish_s, bytes));
    put_uint(w, "delivered", r->delivered);
    put_double(w, "delivered_per_s", per_s(r->delivered, r->deliver_s));
    put_double(w, "delivered_mb_per_s",
               mb_per_s(r->delivered, r->deliver_s, bytes));
    put_uint(w, "missed", r->missed);
    put_uint(w, "lost", r->lost);
    put_uint(w, "again", r->again);
    tidings_put_string(w, "latency");
    tidings_put_map(w, r->latency.total ? PERCENTILES + 1 : 0);
    if (!r->latency.total)
        return;
    for (size_t i = 0; i < PERCENTILES; i++)
        put_double(w, percentiles[i].key, at_us(r, percentiles[i].part));
    put_double(w, "max_us", (double)r->most_ns / 1000);
}

static void write_report(tidings_writer *w, const struct td_report *report,
                         const struct td_load *load)
{
    const struct td_settings *s = load->settings;

    tidings_put_map(w, 10);
    tidings_put_string(w, "url");
    tidings_put_string(w, td_url(s));
    put_uint(w, "publishers", load->publishers_len);
    put_uint(w, "subscribers", load->subscribers_len);
    tidings_put_string(w, "group");
    tidings_put_string(w, s->sub.group ? s->sub.group : "");
    tidings_put_string(w, "confirm");
    tidings_put_string(w, td_level_names[td_load_level(load)]);
    put_uint(w, "size", load->data_len);
    put_uint(w, "types", load->types_len);
    put_double(w, "rate", s->rate);
    tidings_put_string(w, "rounds");
    tidings_put_array(w, report->len);
    for (unsigned i = 0; i < report->len; i++)
        put_round(w, &report->rounds[i], load->data_len);
    tidings_put_string(w, "all");
    put_round(w, &report->all, load->data_len);
}

static int put_json(const struct td_report *report, const struct td_load *load)
{
    tidings_writer *w = tidings_writer_new();
    const void *data;
    size_t len;
    char *json = NULL;
    tidings_err err;

    write_report(w, report, load);
    err = tidings_writer_bytes(w, &data, &len);
    if (!err)
        err = tidings_data_to_json(&json, data, len);
    if (!err)
        puts(json);
    tidings_free(json);
    tidings_writer_free(w);
    return err ? td_complain_err(err, "the results") : td_flush_out();
}

int td_report_put(const struct td_report *report, const struct td_load *load)
{
    return load->settings->json ? put_json(report, load)
                                : put_table(report, load);
}
