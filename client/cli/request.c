/* tidings request: ask whoever answers a type, and print what they say. */
#include <inttypes.h>
#include <string.h>

#include "client/cli/attrs.h"
#include "client/cli/cli.h"
#include "client/cli/connect.h"
#include "client/cli/escape.h"
#include "client/cli/lines.h"
#include "client/cli/out.h"
#include "client/cli/ready.h"
#include "client/cli/show.h"
#include "client/cli/stop.h"
#include "tidings/json.h"

#define TIMEOUT_MS 5000 /* --help says so, too */

struct request {
    const struct td_settings *settings;
    const char *type;
    const char *data; /* NULL: none; "-" is lines */
    int64_t time_us;  /* of --attr time, 0: none */
    tidings_bus *bus;
    uint64_t answers;
    int code; /* of the first that failed */
};

static int timeout_ms(const struct td_settings *settings)
{
    return settings->timeout_s > 0 ? td_timeout_ms(settings) : TIMEOUT_MS;
}

/* ---- what is printed ---- */

static int code_of(tidings_err err)
{
    switch (err) {
    case TIDINGS_OK:
        return TD_EXIT_DONE;
    case TIDINGS_EREMOTE:
        return TD_EXIT_ANSWERED;
    case TIDINGS_ENORESPONDER:
    case TIDINGS_EBREAKER:
    case TIDINGS_EFULL:
        return TD_EXIT_NOBODY;
    case TIDINGS_ETIMEDOUT:
        return TD_EXIT_TIMED_OUT;
    case TIDINGS_EUNREACH:
        return TD_EXIT_NO_BROKER;
    case TIDINGS_EINVAL:
        return TD_EXIT_USAGE;
    default:
        return TD_EXIT_FAILED;
    }
}

static void put_json_text(const char *key, const char *text)
{
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    char *json = NULL;
    size_t len;

    tidings_put_string(w, text);
    if (!tidings_writer_bytes(w, &bytes, &len) &&
        !tidings_data_to_json(&json, bytes, len))
        printf(",\"%s\":%s", key, json);
    tidings_free(json);
    tidings_writer_free(w);
}

/* An answer has no content type: what is not msgpack, or no JSON can say, is
 * bytes, as in an event. */
static void put_json_bytes(const struct tidings_reply *reply)
{
    static const char member[] = ",\"data_base64\":\"";
    const struct tidings_event event = {
        .type = "answer",
        .id = "1",
        .source = "/",
        .datacontenttype = "application/octet-stream",
        .data = reply->data,
        .data_len = reply->len,
    };
    char *json = NULL;
    const char *at;

    if (tidings_event_to_json(&json, &event))
        return; /* no memory */
    at = strstr(json, member);
    if (at)
        printf(
            "%.*s\"",
            (int)(sizeof(member) - 1 + strcspn(at + sizeof(member) - 1, "\"")),
            at);
    tidings_free(json);
}

static void put_json(const struct tidings_reply *reply)
{
    char *json = NULL;

    printf("{\"err\":\"%s\",\"status\":%d,\"attempts\":%u",
           tidings_err_name(reply->err), reply->status, reply->attempts);
    put_json_text("text", reply->text);
    put_json_text("instance", reply->instance);
    if (reply->len > 0 && !tidings_data_to_json(&json, reply->data, reply->len))
        printf(",\"data\":%s", json);
    else if (reply->len > 0)
        put_json_bytes(reply);
    tidings_free(json);
    fputs("}\n", stdout);
}

static bool is_text(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if ((c < 0x20 && !memchr("\t\n\r", c, 3)) || c == 0x7f)
            return false;
    }
    return true;
}

/* An answer has no content type: what is not msgpack may be a text. */
static void put_data(const struct tidings_reply *reply)
{
    char *json = NULL;
    struct tidings_event event = {.data = reply->data, .data_len = reply->len};

    if (tidings_data_to_json(&json, reply->data, reply->len))
        event.datacontenttype = is_text(reply->data, reply->len)
                                    ? "text/plain"
                                    : "application/octet-stream";
    tidings_free(json);
    td_show_data(&event);
    fputs("\n", stdout);
}

/* "answered with status 503 by 7f3a: the disk is full", and its detail below. */
static void complain(const struct request *r, const struct tidings_reply *reply)
{
    const char *by = *reply->instance ? " by " : "";
    const char *text =
        *reply->text ? reply->text : tidings_err_text(reply->err);
    char *json = NULL;

    if (reply->err != TIDINGS_EREMOTE) {
        bool said = strncmp(text, r->type, strlen(r->type)) == 0;

        td_complain("%s%s%s", said ? "" : r->type, said ? "" : ": ", text);
        return;
    }
    td_complain("%s: answered with status %d%s%s%s%s", r->type, reply->status,
                by, reply->instance, *reply->text ? ": " : "", reply->text);
    if (reply->len > 0 && !tidings_data_to_json(&json, reply->data, reply->len))
        td_advise("%s", json);
    else if (reply->len > 0)
        td_advise("with %zu bytes that are not msgpack: --json has them",
                  reply->len);
    tidings_free(json);
}

static void put(struct request *r, const struct tidings_reply *reply)
{
    int code = code_of(reply->err);

    if (r->code == TD_EXIT_DONE)
        r->code = code;
    r->answers += reply->err == TIDINGS_OK;
    if (r->settings->json) {
        put_json(reply);
    } else if (reply->err) {
        complain(r, reply);
    } else {
        if (r->settings->service.many) {
            td_put_escaped(stdout, reply->instance, strlen(reply->instance));
            fputs("\t", stdout);
        }
        put_data(reply);
    }
    fflush(stdout); /* one by one; the end looks at errors */
}

static void on_reply(void *arg, const struct tidings_reply *reply)
{
    put(arg, reply);
}

/* ---- asking ---- */

static void ask_one(struct request *r, const struct tidings_event *event)
{
    struct tidings_request_options options = r->settings->service.request;
    struct tidings_reply reply = {0};

    options.timeout_ms = timeout_ms(r->settings);
    tidings_request_event(&reply, r->bus, event, &options);
    if (reply.err == TIDINGS_EUNREACH) {
        td_no_broker(r->settings);
        r->code = TD_EXIT_NO_BROKER;
    } else {
        put(r, &reply);
    }
    tidings_reply_fini(&reply);
}

static void ask_many(struct request *r, const struct tidings_event *event)
{
    const struct tidings_request_options *request =
        &r->settings->service.request;
    const struct tidings_many_options options = {
        .timeout_ms = timeout_ms(r->settings),
        .count = r->settings->count,
        .quiet_ms = (int)r->settings->service.quiet_ms,
        .service = request->service,
        .version = request->version,
        .instance = request->instance,
    };
    uint64_t before = r->answers, answers = 0;
    tidings_err err =
        tidings_request_many(&answers, r->bus, event, &options, on_reply, r);

    if (err && r->answers == before && r->code == TD_EXIT_DONE) {
        complain(r, &(struct tidings_reply){
                        .err = err, .text = td_why(err), .instance = ""});
        r->code = code_of(err);
    } else if (err && r->code == TD_EXIT_DONE) {
        r->code = code_of(err);
    }
}

/* @return false: the data is wrong, and stderr was told */
static bool ask(struct request *r, const char *where, const char *data,
                size_t len)
{
    struct td_ready ready = {0};
    tidings_err err =
        td_ready_event(&ready, r->settings, r->type, r->time_us, data, len);

    if (err)
        td_complain("%s: %s", where, td_why(err));
    else if (r->settings->service.many)
        ask_many(r, &ready.event);
    else
        ask_one(r, &ready.event);
    td_ready_fini(&ready);
    return !err;
}

static int ask_lines(struct request *r)
{
    struct td_lines lines = {0};
    const char *line;
    size_t len;
    enum td_line next;
    int code = TD_EXIT_DONE;

    while (code == TD_EXIT_DONE && td_out_open() &&
           (next = td_lines_next(&lines, &line, &len)) != TD_LINE_END) {
        char where[40];

        snprintf(where, sizeof(where), "line %" PRIu64, lines.number);
        if (next != TD_LINE || !ask(r, where, line, len))
            code = TD_EXIT_FAILED;
    }
    td_lines_fini(&lines);
    return code;
}

static int run(struct request *r)
{
    const struct tidings_options options = {.name = "tidings-request",
                                            .source = "/tidings",
                                            .close_timeout_ms = -1};
    int code = td_connect(&r->bus, r->settings, &options);

    if (code != TD_EXIT_DONE)
        return code;
    if (r->data && strcmp(r->data, "-") == 0)
        code = ask_lines(r);
    else if (!ask(r, "DATA", r->data, r->data ? strlen(r->data) : 0))
        code = TD_EXIT_USAGE;
    tidings_close(r->bus);
    if (code == TD_EXIT_DONE)
        code = r->code;
    return td_flush_out() == TD_EXIT_DONE ? code : TD_EXIT_FAILED;
}

/* ---- the command line ---- */

static int usage(const char *what)
{
    td_complain("%s", what);
    td_advise("tidings request --help shows how");
    return TD_EXIT_USAGE;
}

static int read_words(struct request *r)
{
    const struct td_settings *s = r->settings;
    const struct td_service_settings *service = &s->service;

    if (s->words_len == 0)
        return usage("request wants a TYPE");
    if (s->words_len > 2)
        return usage("request wants one TYPE and one DATA; quote them");
    r->type = s->words[0];
    r->data = s->words_len == 2 ? s->words[1] : NULL;
    if (!service->many && (s->count || service->quiet_ms))
        return usage("--count and --quiet go with --many");
    if (service->many &&
        (service->request.idempotent || service->request.balance))
        return usage("--many asks every instance, once");
    if (service->request.attempts && !service->request.idempotent)
        return usage("--attempts goes with --idempotent");
    return TD_EXIT_DONE;
}

int td_cli_request(const struct td_settings *settings)
{
    struct request r = {.settings = settings};
    tidings_err err;
    int code = read_words(&r);

    if (code != TD_EXIT_DONE)
        return code;
    if (!td_attrs_check(settings, &r.time_us))
        return TD_EXIT_USAGE;
    err = tidings_type_check(r.type);
    if (err && strcmp(r.type, "$service.ping") != 0) {
        td_complain("type \"%s\": %s", r.type, td_why(err));
        return TD_EXIT_USAGE;
    }
    return run(&r);
}
