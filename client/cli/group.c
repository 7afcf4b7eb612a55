/* tidings group: durable groups, how they fare, and what is done to them. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/ask.h"
#include "client/cli/connect.h"
#include "client/cli/group_words.h"
#include "client/cli/out.h"
#include "client/cli/rows.h"
#include "client/cli/span.h"
#include "client/cli/when.h"

/* Those whose words are "STREAM GROUP". */
struct group {
    struct td_ask ask;
    const char *stream;
    const char *name;
};

static int refused(const struct group *g, tidings_err err)
{
    char what[200];

    snprintf(what, sizeof(what), "group %.70s of stream %.70s", g->name,
             g->stream);
    return td_refused(g->ask.settings, err, what);
}

/* ---- one of them ---- */

static void add_span(struct td_table *t, struct tidings_value row,
                     const char *name, const char *key)
{
    uint64_t ms = td_row_uint(row, key);
    char text[TD_SPAN_BYTES];

    td_table_add(t, name);
    if (ms < 1000)
        snprintf(text, sizeof(text), "%" PRIu64 " ms", ms);
    else
        td_span(text, ms);
    td_table_add(t, text);
}

static void add_start(struct td_table *t, struct tidings_value row)
{
    char text[TD_MOMENT_BYTES];
    int64_t ms;

    if (tidings_get_int(&ms, row, "start_ms")) {
        td_rows_pair(t, row, "start", "start");
        return;
    }
    td_table_add(t, "start");
    td_table_add(t, td_moment(text, ms, td_is_terminal(stdout)));
}

/* What it is, and what it has done: two tables side by side. */
static void fill(struct td_table *t, struct tidings_value row)
{
    static const char *const pairs[][2] = {
        {"policy", "group_policy"},
        {"max in flight", "max_in_flight"},
        {"max deliver", "max_deliver"},
        {"members", "members"},
        {"floor", "floor"},
        {"next", "next"},
        {"lag", "lag"},
        {"in flight", "in_flight"},
        {"waiting", "waiting"},
        {"dead", "dead"},
        {"delivered", "delivered"},
        {"redelivered", "redelivered"},
        {"acked", "acked"},
        {"naked", "naked"},
        {"timed out", "timed_out"},
        {"lost", "lost"},
        {"released", "released"},
        {"termed", "termed"},
        {"stale", "stale"},
        {"expired", "expired"},
        {"expirytime", "expirytime"},
    };

    td_rows_pair(t, row, "stream", "stream");
    td_rows_pair(t, row, "group", "group");
    td_rows_pair(t, row, "takes", "pattern");
    add_start(t, row);
    add_span(t, row, "ack wait", "ack_wait_ms");
    add_span(t, row, "backoff", "backoff_ms");
    add_span(t, row, "backoff max", "backoff_max_ms");
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        td_rows_pair(t, row, pairs[i][0], pairs[i][1]);
}

static int put_fields(const struct group *g, struct tidings_value row)
{
    struct td_table t = {0}, folded = {0};
    bool put;

    td_table_column(&t, "", false);
    td_table_column(&t, "", false);
    fill(&t, row);
    td_table_fold(&folded, &t, 2);
    put = td_table_put(&folded, stdout, SIZE_MAX, "\n");
    td_table_fini(&t);
    td_table_fini(&folded);
    if (!put)
        return TD_EXIT_FAILED;
    td_group_words(row, g->stream, g->name);
    return TD_EXIT_DONE;
}

static int show(struct group *g)
{
    struct td_found found = {0};
    tidings_err err = td_rows_group(&found, &g->ask, g->stream, g->name);
    int code;

    if (err)
        return refused(g, err);
    code = g->ask.settings->json ? td_row_json(found.row)
                                 : put_fields(g, found.row);
    td_list_fini(&found.list);
    return code == TD_EXIT_DONE ? td_flush_out() : code;
}

/* ---- what is done to them: done, and one line or row that says so ---- */

static int said_done(struct group *g, const char *text)
{
    if (g->ask.settings->json)
        return show(g);
    printf("group %s of stream %s %s\n", g->name, g->stream, text);
    return td_flush_out();
}

/* The names, and more options that follow. */
static void begin(struct group *g, uint32_t more)
{
    td_ask_map(&g->ask, 2 + more);
    td_ask_string(&g->ask, "stream", g->stream);
    td_ask_string(&g->ask, "group", g->name);
}

static int call(struct group *g, const char *name, const char *text)
{
    tidings_err err = td_ask_call(&g->ask, name);

    return err ? refused(g, err) : said_done(g, text);
}

static int add(struct group *g)
{
    const struct td_settings *settings = g->ask.settings;
    struct tidings_group_options options = settings->durable.group;
    tidings_err err;

    options.stream = g->stream;
    options.group = g->name;
    if (settings->durable.patterns_len > 0)
        options.pattern = settings->durable.patterns[0];
    options.start = settings->sub.start;
    options.policy = settings->sub.group_policy;
    err = tidings_group_add(g->ask.bus, &options, td_timeout_ms(settings));
    return err ? refused(g, err) : said_done(g, "is there");
}

static int pause_it(struct group *g)
{
    const struct tidings_start *until = &g->ask.settings->durable.until;
    char moment[TD_MOMENT_BYTES], text[TD_MOMENT_BYTES + 20] = "is paused";

    begin(g, 1);
    td_ask_uint(&g->ask, "until_ms", (uint64_t)until->time_ms);
    if (until->kind == TIDINGS_START_TIME)
        snprintf(text, sizeof(text), "is paused until %s",
                 td_moment(moment, until->time_ms, td_is_terminal(stdout)));
    return call(g, "group.pause", text);
}

static int resume(struct group *g)
{
    begin(g, 0);
    return call(g, "group.resume", "is resumed");
}

static int seek(struct group *g)
{
    const struct tidings_start *start = &g->ask.settings->sub.start;

    begin(g, start->kind == TIDINGS_START_TIME ? 2 : 1);
    switch (start->kind) {
    case TIDINGS_START_DEFAULT:
    case TIDINGS_START_NEW:
        td_ask_string(&g->ask, "start", "new");
        break;
    case TIDINGS_START_ALL:
        td_ask_string(&g->ask, "start", "all");
        break;
    case TIDINGS_START_SEQUENCE:
        td_ask_uint(&g->ask, "start", start->sequence);
        break;
    case TIDINGS_START_TIME:
        td_ask_string(&g->ask, "start", "time");
        td_ask_uint(&g->ask, "start_ms", (uint64_t)start->time_ms);
        break;
    case TIDINGS_START_LAST:
        td_ask_string(&g->ask, "start", "last");
        break;
    }
    return call(g, "group.seek", "goes on from there");
}

static int erase(struct group *g)
{
    tidings_err err;

    begin(g, 0);
    err = td_ask_call(&g->ask, "group.delete");
    if (err)
        return refused(g, err);
    if (g->ask.settings->json) /* names have nothing in them to escape */
        printf("{\"deleted\":\"%s\",\"stream\":\"%s\"}\n", g->name, g->stream);
    else
        printf("group %s of stream %s is deleted\n", g->name, g->stream);
    return td_flush_out();
}

/* ---- the command lines ---- */

static int run(const struct td_settings *settings, const char *command,
               int (*what)(struct group *g))
{
    struct group g = {0};
    int code = td_names(settings, command, "STREAM GROUP");

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&g.ask, settings);
    if (code != TD_EXIT_DONE)
        return code;
    g.stream = settings->words[0];
    g.name = settings->words[1];
    code = what(&g);
    td_ask_close(&g.ask);
    return code;
}

int td_cli_group_add(const struct td_settings *settings)
{
    return run(settings, "group add", add);
}

int td_cli_group_show(const struct td_settings *settings)
{
    return run(settings, "group show", show);
}

int td_cli_group_pause(const struct td_settings *settings)
{
    return run(settings, "group pause", pause_it);
}

int td_cli_group_resume(const struct td_settings *settings)
{
    return run(settings, "group resume", resume);
}

int td_cli_group_seek(const struct td_settings *settings)
{
    if (settings->words_len == 2 &&
        settings->sub.start.kind == TIDINGS_START_DEFAULT) {
        td_complain(
            "group seek wants --start: new, all, last, a sequence or a time");
        return TD_EXIT_USAGE;
    }
    return run(settings, "group seek", seek);
}

int td_cli_group_delete(const struct td_settings *settings)
{
    int code = td_names(settings, "group delete", "STREAM GROUP");

    if (code == TD_EXIT_DONE)
        code = td_sure(settings, "group delete");
    return code == TD_EXIT_DONE ? run(settings, "group delete", erase) : code;
}

int td_cli_group_list(const struct td_settings *settings)
{
    const char *stream = settings->words_len > 0 ? settings->words[0] : NULL;
    struct td_list groups = {0};
    struct td_ask a;
    tidings_err err;
    int code = td_names(settings, "group list", stream ? "STREAM" : "");

    if (code == TD_EXIT_DONE)
        code = td_ask_open(&a, settings);
    if (code != TD_EXIT_DONE)
        return code;
    err = td_list_fetch(&groups, &a, "group.list", "groups", stream);
    if (err)
        code = td_refused(settings, err, stream ? stream : "groups");
    else
        code = settings->json ? td_rows_json(&groups) : td_rows_groups(&groups);
    td_list_fini(&groups);
    td_ask_close(&a);
    return code;
}
