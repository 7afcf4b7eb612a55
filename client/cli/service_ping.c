/* tidings service ping: whether each instance is there, and how soon it says
 * so: past all that waits for its handlers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/service.h"
#include "client/cli/span.h"
#include "client/cli/stop.h"

struct pings {
    const struct td_settings *settings;
    int64_t start_us;
    uint64_t asked;
    uint64_t answered;
    struct td_table table;
};

static void put_json(const struct tidings_reply *reply, const char *state,
                     int64_t us)
{
    /* neither id nor state has anything to escape */
    printf("{\"id\":\"%s\",\"err\":\"%s\",\"state\":\"%s\",\"us\":%" PRId64
           "}\n",
           reply->instance, tidings_err_name(reply->err), state, us);
}

static void on_reply(void *arg, const struct tidings_reply *reply)
{
    struct pings *p = arg;
    int64_t us = td_clock_us() - p->start_us;
    struct tidings_value map;
    const char *state = "";
    size_t len = 0;
    const char *text = "";
    char span[TD_SPAN_BYTES];

    p->asked += *reply->instance != '\0';
    if (!reply->err && !tidings_value_read(&map, reply->data, reply->len)) {
        state = td_service_state(map);
        text = td_row_text(&len, map, "text");
        p->answered++;
    }
    if (p->settings->json) {
        put_json(reply, state, us);
        return;
    }
    if (!*reply->instance)
        return;
    td_table_add(&p->table, reply->instance);
    td_table_add(&p->table, reply->err ? tidings_err_name(reply->err) : state);
    td_table_add(&p->table, reply->err ? "" : td_latency(span, (double)us));
    td_table_add_n(&p->table, text, len);
}

static int put_table(struct pings *p)
{
    if (td_table_rows(&p->table) > 0 &&
        !td_table_put(&p->table, stdout, SIZE_MAX, "\n"))
        return TD_EXIT_FAILED;
    return td_flush_out();
}

static int ping(struct pings *p, tidings_bus *bus)
{
    const struct td_settings *settings = p->settings;
    const struct tidings_event event = {.type = "$service.ping"};
    const struct tidings_many_options options = {
        .timeout_ms = td_timeout_ms(settings),
        .service = settings->words_len > 0 ? settings->words[0] : NULL,
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

int td_cli_service_ping(const struct td_settings *settings)
{
    static const char *const columns[] = {"instance", "state", "#after", "why"};
    const struct tidings_options options = {.name = "tidings-ping",
                                            .close_timeout_ms = -1};
    struct pings p = {.settings = settings,
                      .table.colour = td_wants_colour(stdout)};
    tidings_bus *bus;
    int code = td_names(settings, "service ping",
                        settings->words_len > 0 ? "NAME" : "");

    if (code == TD_EXIT_DONE)
        code = td_connect(&bus, settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        td_rows_column(&p.table, columns[i]);
        if (strcmp(columns[i], "state") == 0)
            td_table_painted(&p.table, td_service_paint);
    }
    code = ping(&p, bus);
    td_table_fini(&p.table);
    tidings_close(bus);
    return code;
}
