/* REQUEST: checked as a whole, then each is handed to those who are to answer
 * it, or refused. */
#include "broker/engine/internal.h"

#include "broker/engine/hand.h"
#include "broker/engine/task.h"
#include "proto/batch.h"
#include "proto/option.h"
#include "proto/service.h"
#include "proto/type.h"

#include <string.h>

/* ---- the message ---- */

static bool is_one_event(const uint8_t *p, uint64_t bytes)
{
    return td_events_skip(p, p + bytes, 1) == p + bytes;
}

/* A text if it cannot be. */
static const char *check_row(const struct td_request_row *row, const uint8_t *p,
                             size_t left)
{
    if (!td_type_valid(row->type.data, row->type.len))
        return "not a type";
    if (td_type_is_system(row->type.data, row->type.len) &&
        !td_type_is_ping(row->type))
        return "types beginning with $ are the system's";
    if (row->bytes > left || !is_one_event(p, row->bytes))
        return "each row's bytes are one event";
    return NULL;
}

/* Fills the engine's rows; *n: how many. */
static const char *read_rows(struct td_engine *e, const struct td_frame *f,
                             const struct td_body *body, uint32_t *n)
{
    const struct td_str *raw = &f->u.request.list;
    struct td_reader list = td_reader_of(raw->data, raw->len);
    size_t offset = 0;

    if (f->u.request.source.len == 0 ||
        f->u.request.source.len > TD_SOURCE_BYTES_MAX)
        return "a source has 1 to 1023 bytes";
    if (!td_read_array(&list, n) || *n < 1 || *n > TD_ROWS_MAX)
        return "REQUEST has 1 to 1024 rows";
    for (uint32_t i = 0; i < *n; i++) {
        struct td_request_row *row = &e->serving.rows[i];
        const char *why = "a row is [number, type, flags, left_ms, bytes, "
                          "options]";

        if (td_request_read(&list, row))
            why = check_row(row, body->data + offset, body->len - offset);
        if (why)
            return why;
        offset += row->bytes;
    }
    return offset == body->len ? NULL : "the rows' bytes are not the body's";
}

/* ---- options ---- */

static bool read_str(struct td_str options, const char *key,
                     bool (*valid)(const char *s, size_t len),
                     struct td_str *out)
{
    return td_map_str(options, key, out) &&
           (!out->data || valid(out->data, out->len));
}

static bool key_valid(const char *key, size_t len)
{
    return key && len > 0 && len <= TD_ID_BYTES_MAX;
}

/* A text if they cannot be. */
static const char *read_wish(const struct td_request_row *row,
                             struct td_wish *out)
{
    struct td_str options = row->options;
    struct td_str key = {NULL, 0};
    unsigned balance = TD_BALANCE_POLICIES;

    *out = (struct td_wish){.bytes = row->bytes};
    if (options.len == 0)
        return NULL;
    if (!read_str(options, "key", key_valid, &key))
        return "key: a str of 1 to 255 bytes";
    if (!read_str(options, "service", td_service_name_valid, &out->service))
        return "service: 1 to 64 of A-Z a-z 0-9 _ -";
    if (!read_str(options, "instance", td_instance_id_valid, &out->instance))
        return "instance: 1 to 32 of A-Z a-z 0-9 _ . -";
    if (!read_str(options, "version", td_version_valid, &out->version))
        return "version: a semantic version, as 1.0.0";
    if (!td_option_name(options, "balance", td_balance_names,
                        TD_BALANCE_POLICIES, &balance))
        return "balance: round_robin, random, least_in_flight, by_key or "
               "latency";
    out->balances = balance < TD_BALANCE_POLICIES;
    if (out->balances)
        out->balance = (enum td_balance_policy)balance;
    out->keyed = key.data;
    if (key.data)
        out->key = td_balance_hash(key.data, key.len);
    return NULL;
}

/* ---- refusing ---- */

static void respond(struct td_engine *e, struct td_session *s, uint64_t number,
                    tidings_err code, const char *text)
{
    const struct td_response_row row = {
        .number = number, .code = code, .text = td_str_of(text)};

    td_bundle_response(e, s, &row, NULL, 0);
}

static void refuse(const struct td_taking *t, struct td_session *s)
{
    struct td_engine *e = t->e;
    uint64_t number = t->row->number;
    const struct td_refusal *why = &t->why;
    struct td_request_counts *count = &e->serving.count;
    struct td_service *service = td_hand_meant(t);
    char text[80];

    switch (why->code) {
    case TIDINGS_EFULL:
        count->full++;
        if (service)
            service->full++;
        respond(e, s, number, why->code,
                why->shared
                    ? "you, or whoever answers this, have a share of all "
                      "requests in flight: wait for answers"
                    : "whoever answers this has as many requests as it takes");
        return;
    case TIDINGS_EBREAKER:
        count->broken++;
        if (why->left_ms == 0)
            snprintf(text, sizeof(text),
                     "the breaker is half open: its probe is out");
        else
            snprintf(text, sizeof(text),
                     "the breaker is open for another %lld ms",
                     (long long)why->left_ms);
        respond(e, s, number, why->code, text);
        return;
    default:
        count->noresponder++;
        if (service)
            service->noresponder++;
        respond(e, s, number, TIDINGS_ENORESPONDER,
                "nobody answers this, or none that is fit");
    }
}

/* What is in flight is waited for while the broker stops, and nothing else. */
static void refuse_stopping(struct td_engine *e, struct td_session *s,
                            uint64_t number)
{
    e->serving.count.noresponder++;
    respond(e, s, number, TIDINGS_ENORESPONDER,
            "the broker is stopping: ask again when it is back");
}

static void refuse_full(struct td_engine *e, struct td_session *s,
                        uint64_t number, const char *text)
{
    e->serving.count.full++;
    respond(e, s, number, TIDINGS_EFULL, text);
}

/* ---- a request ---- */

static void take(struct td_taking *t, struct td_session *s)
{
    struct td_engine *e = t->e;
    uint64_t number = t->row->number;
    struct td_request_counts *count = &e->serving.count;
    bool lean;

    t->asking = td_asking_begin(e, s, t->row);
    if (!t->asking) {
        refuse_full(e, s, number,
                    "the broker has as many requests as it takes");
        return;
    }
    t->asking->many = t->asking->many || td_type_is_ping(t->row->type);
    lean = !td_hand_out(t);
    if (t->asking->out > 0) {
        count->accepted++;
        count->in_flight++;
        return;
    }
    td_asking_end(e, t->asking);
    if (lean)
        refuse_full(e, s, number, "broker is out of memory");
    else
        refuse(t, s);
}

static void take_row(struct td_engine *e, struct td_session *s,
                     struct td_taking *t)
{
    uint64_t number = t->row->number;
    const char *why = read_wish(t->row, &t->wish);

    if (why)
        respond(e, s, number, TIDINGS_EINVAL, why);
    else if (e->draining)
        refuse_stopping(e, s, number);
    else if (s->serving.askings_len + s->bundles.responses.rows >=
             TD_REQUESTS_MAX)
        refuse_full(e, s, number, "so many requests of yours are unanswered");
    else
        take(t, s);
}

static void breach(struct td_engine *e, struct td_session *s, const char *why)
{
    e->counters.bad_frames++;
    td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO, why);
}

void td_request(struct td_engine *e, struct td_session *s,
                const struct td_frame *f, struct td_body *body)
{
    size_t offset = 0;
    uint32_t n;
    const char *why = read_rows(e, f, body, &n);

    if (why) {
        breach(e, s, why);
        return;
    }
    for (uint32_t i = 0; i < n && !s->doomed; i++) {
        struct td_taking t = {.e = e,
                              .f = f,
                              .row = &e->serving.rows[i],
                              .body = body,
                              .offset = offset,
                              .why = {.code = TIDINGS_ENORESPONDER}};

        if (td_asking_is(e, s, t.row->number)) {
            breach(e, s, "a request of that number is unanswered");
            return;
        }
        take_row(e, s, &t);
        offset += t.row->bytes;
    }
}
