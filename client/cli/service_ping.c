/* tidings service ping: whether each instance is there, and how soon it says
 * so: past all that waits for its handlers; and how its program's breakers
 * are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/service.h"
#include "client/cli/span.h"
#include "client/cli/stop.h"
#include "tidings/json.h"

/* Of one answer: whoever made it may say what he likes. */
#define BREAKERS_MAX 64u

struct pings {
    const struct td_settings *settings;
    int64_t start_us;
    uint64_t asked;
    uint64_t answered;
    struct td_table table;
    struct td_table breakers; /* of the instances' programs */
};

/* What an answer has under key, if it is of that kind: whoever made it may say
 * what he likes. Otherwise it is empty, as is what JSON has no words for. */
static void put_value(struct tidings_value map, const char *key,
                      enum tidings_kind kind)
{
    struct tidings_value value;
    char *json = NULL;

    if (!tidings_get(&value, map, key) && tidings_value_kind(value) == kind &&
        tidings_data_to_json(&json, value.bytes, value.len))
        json = NULL;
    printf(",\"%s\":%s", key,
           json                          ? json
           : kind == TIDINGS_KIND_STRING ? "\"\""
                                         : "[]");
    tidings_free(json);
}

static void put_json(const struct tidings_reply *reply, const char *state,
                     int64_t us, struct tidings_value map)
{
    /* neither id nor state has anything to escape */
    printf("{\"id\":\"%s\",\"err\":\"%s\",\"state\":\"%s\",\"us\":%" PRId64,
           reply->instance, tidings_err_name(reply->err), state, us);
    put_value(map, "service", TIDINGS_KIND_STRING);
    put_value(map, "breakers", TIDINGS_KIND_ARRAY);
    puts("}");
}

static void add_breakers(struct td_table *t, const char *instance,
                         struct tidings_value list)
{
    struct tidings_value row;
    char span[TD_SPAN_BYTES];

    for (size_t i = 0; i < BREAKERS_MAX && !tidings_at(&row, list, i); i++) {
        uint64_t open_ms = td_row_uint(row, "open_ms");

        td_table_add(t, instance);
        td_rows_text(t, row, "name");
        td_rows_text(t, row, "breaker");
        td_rows_count(t, td_row_uint(row, "failures"));
        td_rows_count(t, td_row_uint(row, "refused"));
        td_rows_count(t, td_row_uint(row, "changes"));
        td_table_add(t, open_ms > 0 ? td_span(span, open_ms) : "-");
    }
}

/* One that does not answer says no name: it is the one that was asked for. */
static void add_service(struct pings *p, struct tidings_value map)
{
    const char *asked = td_service_name(p->settings);
    size_t len;
    const char *text = td_row_text(&len, map, "service");

    if (len == 0)
        td_table_add(&p->table, asked ? asked : "-");
    else
        td_table_add_n(&p->table, text, len);
}

static void on_reply(void *arg, const struct tidings_reply *reply)
{
    struct pings *p = arg;
    int64_t us = td_clock_us() - p->start_us;
    struct tidings_value map = {.len = 0};
    struct tidings_value list;
    const char *state = "";
    char span[TD_SPAN_BYTES];

    p->asked += *reply->instance != '\0';
    if (!reply->err && !tidings_value_read(&map, reply->data, reply->len)) {
        state = td_service_state(map);
        p->answered++;
    }
    if (p->settings->json) {
        put_json(reply, state, us, map);
        return;
    }
    if (!*reply->instance)
        return;
    add_service(p, map);
    td_table_add(&p->table, reply->instance);
    td_table_add(&p->table, reply->err ? tidings_err_name(reply->err) : state);
    td_table_add(&p->table, reply->err ? "" : td_latency(span, (double)us));
    td_rows_text(&p->table, map, "text");
    if (!tidings_get(&list, map, "breakers"))
        add_breakers(&p->breakers, reply->instance, list);
}

static int put_table(struct pings *p)
{
    if (td_table_rows(&p->table) > 0 &&
        !td_table_put(&p->table, stdout, SIZE_MAX, "\n"))
        return TD_EXIT_FAILED;
    if (td_table_rows(&p->breakers) > 0) {
        putchar('\n');
        if (!td_table_put(&p->breakers, stdout, SIZE_MAX, "\n"))
            return TD_EXIT_FAILED;
    }
    return td_flush_out();
}

static int ping(struct pings *p, tidings_bus *bus)
{
    const struct td_settings *settings = p->settings;
    const struct tidings_event event = {.type = "$service.ping"};
    const struct tidings_many_options options = {
        .timeout_ms = td_timeout_ms(settings),
        .service = td_service_name(settings),
        .instance = settings->service.id,
    };
    tidings_err err;
    int code;

    p->start_us = td_clock_us();
    err = tidings_request_many(NULL, bus, &event, &options, on_reply, p);
    code = put_table(p);
    if (err == TIDINGS_ENORESPONDER) {
        td_complain("%s: no instance is there",
                    options.service ? options.service : "services");
        return TD_EXIT_NOBODY;
    }
    if (err)
        return td_complain_err(err, "service ping");
    return code == TD_EXIT_DONE && p->answered < p->asked ? TD_EXIT_TIMED_OUT
                                                          : code;
}

static void columns(struct td_table *t, const char *const *titles, size_t len,
                    const char *painted)
{
    t->colour = td_wants_colour(stdout);
    for (size_t i = 0; i < len; i++) {
        td_rows_column(t, titles[i]);
        if (strcmp(titles[i], painted) == 0)
            td_table_painted(t, td_service_paint);
    }
}

int td_cli_service_ping(const struct td_settings *settings)
{
    static const char *const titles[] = {"service", "id", "state", "#after",
                                         "why"};
    static const char *const breakers[] = {
        "instance", "breaker",  "is",        "#failures",
        "#refused", "#changes", "#open for",
    };
    const struct tidings_options options = {.name = "tidings-ping",
                                            .close_timeout_ms = -1};
    struct pings p = {.settings = settings};
    tidings_bus *bus;
    int code = td_names(settings, "service ping",
                        settings->words_len > 0 ? "NAME" : "");

    if (code == TD_EXIT_DONE)
        code = td_connect(&bus, settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    columns(&p.table, titles, sizeof(titles) / sizeof(titles[0]), "state");
    columns(&p.breakers, breakers, sizeof(breakers) / sizeof(breakers[0]),
            "is");
    code = ping(&p, bus);
    td_table_fini(&p.table);
    td_table_fini(&p.breakers);
    tidings_close(bus);
    return code;
}
