/* tidings audit: do the broker's counters balance? The equations are those of
 * PROTOCOL.md 7.
 *
 * Rows come in pages while the broker goes on, so each row is judged by its
 * own equation, and totals against sums by one answer that has both. */
#include <inttypes.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/equation.h"
#include "client/cli/out.h"
#include "client/cli/pages.h"
#include "client/cli/span.h"
#include "client/cli/table.h"

#define NAME_BYTES 400 /* a pattern of 255 bytes and a group of 64 */

static const struct td_form flow = {
    "published = duplicates + routed + unmatched",
    "published",
    {"duplicates", "routed", "unmatched"}};
static const struct td_form fate = {"matched = delivered + pending + dropped",
                                    "matched",
                                    {"delivered", "pending", "dropped"}};
/* Of a durable group: what has become of its deliveries, and where the events
 * are that it has begun with and not settled. */
static const struct td_form outcome = {
    "delivered = acked + failed + released + termed + returned + in_flight",
    "delivered",
    {"acked", "failed", "released", "termed", "returned", "in_flight"}};
static const struct td_form place = {
    "out = queued + in_flight + waiting + aside + dying",
    "out",
    {"queued", "in_flight", "waiting", "aside", "dying"}};

static const struct td_form asked = {
    "accepted = answered + errors + timeouts + lost + in_flight",
    "accepted",
    {"answered", "errors", "timeouts", "lost", "in_flight"}};

/* Counted twice: in total, and in each row. */
static const char *const counted_twice[] = {
    "published", "duplicates", "routed",  "unmatched",
    "matched",   "delivered",  "pending",
};

struct audit {
    const struct td_settings *settings;
    tidings_bus *bus;
    struct td_pages counters; /* rows "none": totals and sums */
    struct td_table flows, fates, outcomes, places, requests, sums;
    tidings_writer *writer; /* --json: each equation is printed as it comes */
    uint64_t checked;
    uint64_t off;
    tidings_err err; /* of the writer */
};

/* ---- judging ---- */

static void put_json(struct audit *a, const struct td_equation *e)
{
    tidings_err err;

    fputs(a->checked ? "," : "", stdout);
    err = td_equation_put_json(a->writer, e);
    if (err && !a->err)
        a->err = err;
}

static void judge(struct audit *a, struct td_table *t,
                  const struct td_equation *e)
{
    if (a->settings->json)
        put_json(a, e);
    else
        td_equation_add(t, e);
    a->checked++;
    a->off += !td_equation_holds(e);
}

static uint64_t read_count(struct td_equation *e, struct tidings_value map,
                           const char *key)
{
    uint64_t n = 0;

    if (td_count(&n, map, key))
        e->missing = key;
    return n;
}

static void judge_form(struct audit *a, struct td_table *t,
                       const struct td_form *form, const char *of,
                       const char *name, struct tidings_value map)
{
    struct td_equation e = {
        .of = of, .name = name, .text = form->text, .form = form};

    e.left = read_count(&e, map, form->left);
    for (size_t i = 0; form->right[i]; i++) {
        e.terms[i] = read_count(&e, map, form->right[i]);
        e.right += e.terms[i];
    }
    judge(a, t, &e);
}

static void judge_sum(struct audit *a, const char *name, const char *key,
                      struct tidings_value totals, struct tidings_value sums)
{
    struct td_equation e = {
        .of = "sum", .name = name, .text = "total = sum of the rows"};

    e.left = read_count(&e, totals, key);
    e.right = read_count(&e, sums, key);
    judge(a, &a->sums, &e);
}

/* Reasons come from the totals: a broker may have more than we know. */
static void judge_dropped(struct audit *a, struct tidings_value totals,
                          struct tidings_value sums)
{
    struct tidings_value all, rows, reason, number;

    if (tidings_get(&all, totals, "dropped") ||
        tidings_get(&rows, sums, "dropped") ||
        tidings_value_kind(all) != TIDINGS_KIND_MAP ||
        tidings_value_kind(rows) != TIDINGS_KIND_MAP) {
        judge_sum(a, "dropped", "dropped", totals, sums);
        return;
    }
    for (size_t i = 0; !tidings_pair_at(&reason, &number, all, i); i++) {
        char name[64] = "dropped.";
        const char *text;
        size_t len;

        if (tidings_as_string(&text, &len, reason) || len > 40)
            continue;
        memcpy(name + 8, text, len);
        judge_sum(a, name, name + 8, all, rows);
    }
}

static void judge_totals(struct audit *a)
{
    struct tidings_value totals = td_pages_totals(&a->counters);
    struct tidings_value sums, others, requests;

    judge_form(a, &a->flows, &flow, "total", "", totals);
    judge_form(a, &a->fates, &fate, "total", "", totals);
    if (!tidings_get(&requests, totals, "requests"))
        judge_form(a, &a->requests, &asked, "requests", "", requests);
    if (!tidings_get(&others, totals, "types_other"))
        judge_form(a, &a->flows, &flow, "other types", "", others);
    if (tidings_get(&sums, totals, "sums"))
        sums = (struct tidings_value){0};
    for (size_t i = 0; i < sizeof(counted_twice) / sizeof(*counted_twice); i++)
        judge_sum(a, counted_twice[i], counted_twice[i], totals, sums);
    judge_dropped(a, totals, sums);
}

/* "user.created"; "workers user.*"; "session 3 subscription 1 user.*" */
static bool judge_type(void *arg, struct tidings_value row)
{
    struct audit *a = arg;
    char name[NAME_BYTES] = "?";

    tidings_get_string(name, sizeof(name), row, "type");
    judge_form(a, &a->flows, &flow, "type", name, row);
    return !a->err;
}

static bool judge_group(void *arg, struct tidings_value row)
{
    struct audit *a = arg;
    char group[80] = "?", pattern[260] = "?", name[NAME_BYTES];

    tidings_get_string(group, sizeof(group), row, "group");
    tidings_get_string(pattern, sizeof(pattern), row, "pattern");
    snprintf(name, sizeof(name), "%s %s", group, pattern);
    judge_form(a, &a->fates, &fate, "group", name, row);
    return !a->err;
}

static bool judge_subscription(void *arg, struct tidings_value row)
{
    struct audit *a = arg;
    char pattern[260] = "?", name[NAME_BYTES];
    uint64_t session = 0, number = 0;

    tidings_get_uint(&session, row, "session");
    tidings_get_uint(&number, row, "subscription");
    tidings_get_string(pattern, sizeof(pattern), row, "pattern");
    snprintf(name, sizeof(name), "%" PRIu64 ".%" PRIu64 " %s", session, number,
             pattern);
    judge_form(a, &a->fates, &fate, "subscription", name, row);
    return !a->err;
}

static bool judge_consumer(void *arg, struct tidings_value row)
{
    struct audit *a = arg;
    char stream[80] = "?", group[80] = "?", name[NAME_BYTES];

    tidings_get_string(stream, sizeof(stream), row, "stream");
    tidings_get_string(group, sizeof(group), row, "group");
    snprintf(name, sizeof(name), "%s %s", stream, group);
    judge_form(a, &a->outcomes, &outcome, "durable group", name, row);
    judge_form(a, &a->places, &place, "durable group", name, row);
    return !a->err;
}

static const struct {
    const char *rows;
    bool (*judge)(void *arg, struct tidings_value row);
} kinds[] = {
    {"types", judge_type},
    {"groups", judge_group},
    {"subscriptions", judge_subscription},
    {"consumers", judge_consumer},
};

/* A restart between two kinds of rows would mix two books. */
static tidings_err judge_rows(struct audit *a)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct td_pages pages;
        tidings_err err = td_pages_fetch(&pages, a->bus, kinds[i].rows,
                                         td_timeout_ms(a->settings));

        if (err)
            return err;
        if (pages.epoch != a->counters.epoch) {
            tidings_set_detail("the broker was restarted during the audit");
            err = TIDINGS_EUNREACH;
        } else if (!td_pages_each(&pages, kinds[i].judge, a)) {
            err = a->err;
        }
        td_pages_fini(&pages);
        if (err)
            return err;
    }
    return a->err;
}

/* ---- printing ---- */

static void put_head(const struct audit *a)
{
    uint64_t uptime_ms = 0;
    char span[TD_SPAN_BYTES];

    tidings_get_uint(&uptime_ms, td_pages_totals(&a->counters), "uptime_ms");
    if (a->settings->json)
        printf("{\"epoch\":%" PRIu64 ",\"uptime_ms\":%" PRIu64
               ",\"equations\":[",
               a->counters.epoch, uptime_ms);
    else
        printf("broker at %s\nepoch %" PRIu64 ", up %s\n", td_url(a->settings),
               a->counters.epoch, td_span(span, uptime_ms));
}

static bool put_table(const struct td_table *t, const char *text)
{
    printf("\n%s\n", text);
    return td_table_put(t, stdout, SIZE_MAX, "\n");
}

static int put_end(struct audit *a)
{
    bool put = true;
    int code;

    if (a->settings->json) {
        printf("],\"checked\":%" PRIu64 ",\"unbalanced\":%" PRIu64
               ",\"balanced\":%s}\n",
               a->checked, a->off, a->off ? "false" : "true");
    } else {
        put = put_table(&a->flows, flow.text) &&
              put_table(&a->fates, fate.text) &&
              (!td_table_rows(&a->places) ||
               (put_table(&a->outcomes, outcome.text) &&
                put_table(&a->places, place.text))) &&
              (!td_table_rows(&a->requests) ||
               put_table(&a->requests, asked.text)) &&
              put_table(&a->sums, "total = sum of the rows, alive or gone");
        if (put && !a->off)
            printf("\nbalanced: %" PRIu64 " equations hold\n", a->checked);
    }
    code = put ? td_flush_out() : TD_EXIT_FAILED;
    if (a->off) {
        td_complain("NOT BALANCED: %" PRIu64 " of %" PRIu64
                    " equations %s not hold",
                    a->off, a->checked, td_plural(a->off, "does", "do"));
        code = TD_EXIT_FAILED;
    }
    return code;
}

static int run(struct audit *a)
{
    tidings_err err = td_pages_fetch(&a->counters, a->bus, "none",
                                     td_timeout_ms(a->settings));

    if (err)
        return td_complain_err(err, "audit");
    td_equation_columns(&a->flows, &flow, flow.left, "sum");
    td_equation_columns(&a->fates, &fate, fate.left, "sum");
    td_equation_columns(&a->outcomes, &outcome, outcome.left, "sum");
    td_equation_columns(&a->places, &place, place.left, "sum");
    td_equation_columns(&a->requests, &asked, asked.left, "sum");
    td_equation_columns(&a->sums, NULL, "total", "rows");
    put_head(a);
    judge_totals(a);
    err = judge_rows(a);
    if (err)
        return td_complain_err(err, "audit");
    return put_end(a);
}

int td_cli_audit(const struct td_settings *settings)
{
    struct audit a = {.settings = settings};
    struct tidings_options options = {.name = "tidings-audit",
                                      .close_timeout_ms = -1};
    int code = td_no_words(settings, "audit");

    if (code == TD_EXIT_DONE)
        code = td_connect(&a.bus, settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    a.writer = tidings_writer_new(); /* NULL: told by its first bytes */
    code = run(&a);
    tidings_writer_free(a.writer);
    td_table_fini(&a.flows);
    td_table_fini(&a.fates);
    td_table_fini(&a.outcomes);
    td_table_fini(&a.places);
    td_table_fini(&a.requests);
    td_table_fini(&a.sums);
    td_pages_fini(&a.counters);
    tidings_close(a.bus);
    return code;
}
