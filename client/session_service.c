/* Services: registered on every link, how they are, what they are asked and
 * what they answer. */
#include "client/session_service.h"

#include "client/session_internal.h"
#include "proto/option.h"
#include "proto/type.h"

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* ---- beginning and ending ---- */

static void beat_at(struct td_client *c, struct td_cservice *s, int64_t at_ms)
{
    s->beat_ms = at_ms;
    if (at_ms < c->beat_ms)
        c->beat_ms = at_ms;
}

/* It says by that how it is. */
static void beat_later(struct td_client *c, struct td_cservice *s)
{
    s->beat_ms = TD_CLIENT_NEVER;
    if (s->health_ms && s->state == TD_CSERVICE_LIVE)
        beat_at(c, s, c->now_ms + (int64_t)s->health_ms);
}

static void send_serve(struct td_client *c, struct td_cservice *s)
{
    struct td_frame f = {.op = TD_SERVE};
    bool has_id = *s->id != '\0';

    s->state = TD_CSERVICE_ASKED;
    s->unsaid = false;
    s->request = ++c->next_request;
    td_client_options_begin(c, s->options_len + 2u + has_id);
    if (has_id)
        td_client_option_str(c, "id", s->id);
    td_client_option_uint(c, "state", s->health);
    td_client_option_str(c, "text", s->why);
    td_buf_append(&c->scratch, s->options.data, s->options.len);
    f.u.serve.request = s->request;
    f.u.serve.service = s->number;
    f.u.serve.name = td_str_of(s->name);
    f.u.serve.version = td_str_of(s->version);
    f.u.serve.options = td_client_scratch(c);
    beat_later(c, s);
    td_client_send_scratch(c, &f);
}

static struct td_cservice *find(const struct td_client *c, uint64_t number)
{
    struct td_cservice *s;

    DL_FOREACH(c->services, s)
    {
        if (s->number == number)
            return s;
    }
    return NULL;
}

static uint32_t free_number(const struct td_client *c)
{
    uint32_t number = 1;

    while (number <= TD_SERVICES_MAX && find(c, number))
        number++;
    return number <= TD_SERVICES_MAX ? number : 0;
}

tidings_err td_client_serve(struct td_client *c, struct td_cservice **out,
                            const struct td_cserving *how)
{
    uint32_t number = free_number(c);
    struct td_cservice *s;

    if (number == 0)
        return TIDINGS_ELIMIT;
    s = calloc(1, sizeof(*s));
    if (!s)
        return TIDINGS_ENOMEM;
    s->number = number;
    s->endpoints_len = how->endpoints_len;
    snprintf(s->name, sizeof(s->name), "%s", how->name);
    snprintf(s->version, sizeof(s->version), "%s", how->version);
    s->options = *how->options;
    s->options_len = how->options_len;
    memset(how->options, 0, sizeof(*how->options));
    s->health = how->health;
    s->health_ms = how->health_ms;
    s->beat_ms = TD_CLIENT_NEVER;
    DL_APPEND(c->services, s);
    if (c->state == TD_CLIENT_READY)
        send_serve(c, s);
    *out = s;
    return TIDINGS_OK;
}

void td_client_unserve(struct td_client *c, struct td_cservice *s)
{
    struct td_frame f = {.op = TD_UNSERVE};

    s->beat_ms = TD_CLIENT_NEVER;
    if (c->state != TD_CLIENT_READY ||
        (s->state != TD_CSERVICE_LIVE && s->state != TD_CSERVICE_ASKED)) {
        if (s->state != TD_CSERVICE_ENDING)
            s->state = TD_CSERVICE_ENDED;
        return;
    }
    s->state = TD_CSERVICE_ENDING;
    s->request = ++c->next_request;
    f.u.unserve.request = s->request;
    f.u.unserve.service = s->number;
    td_client_send(c, &f, NULL);
}

void td_client_service_forget(struct td_client *c, struct td_cservice *s)
{
    DL_DELETE(c->services, s);
    td_buf_fini(&s->options);
    free(s);
}

/* ---- links ---- */

static void drained(struct td_client *c, struct td_cservice *s, bool draining)
{
    const struct td_client_port *port = &c->options.port;

    if (s->draining == draining)
        return;
    s->draining = draining;
    if (port->drain)
        port->drain(port->ctx, s, draining);
}

void td_client_services_lost(struct td_client *c)
{
    struct td_cservice *s;

    c->beat_ms = TD_CLIENT_NEVER;
    DL_FOREACH(c->services, s)
    {
        s->beat_ms = TD_CLIENT_NEVER;
        drained(c, s, false);
        if (s->state == TD_CSERVICE_ENDING)
            s->state = TD_CSERVICE_ENDED;
        else if (s->state != TD_CSERVICE_ENDED &&
                 (s->state != TD_CSERVICE_REFUSED || s->renewing))
            s->state = TD_CSERVICE_WANTED;
    }
}

void td_client_services_ask(struct td_client *c)
{
    struct td_cservice *s;

    DL_FOREACH(c->services, s)
    {
        if (s->state == TD_CSERVICE_WANTED)
            send_serve(c, s);
    }
}

/* ---- answers to SERVE and UNSERVE ---- */

static void accepted(struct td_client *c, struct td_cservice *s,
                     const struct td_frame *f)
{
    struct td_str id = {"", 0};

    td_map_str(f->u.reply.result, "id", &id);
    if (id.len > 0 && id.len < sizeof(s->id)) {
        memcpy(s->id, id.data, id.len);
        s->id[id.len] = '\0';
    }
    s->state = TD_CSERVICE_LIVE;
    s->renewing = true;
    beat_later(c, s);
    if (s->unsaid)
        td_client_health(c, s, s->health, s->why);
}

/* One that was live is asked for again, later: it may have been a limit. */
static void refused(struct td_client *c, struct td_cservice *s)
{
    char text[sizeof(s->name) + sizeof(s->text) + 16];

    s->state = TD_CSERVICE_REFUSED;
    s->beat_ms = TD_CLIENT_NEVER;
    if (!s->renewing)
        return;
    beat_at(c, s, c->now_ms + TD_RETRY_MAX_MS);
    snprintf(text, sizeof(text), "service %s: %s", s->name, s->text);
    td_client_status(c, TIDINGS_REFUSED, s->code, text, 0);
}

static void answered(struct td_client *c, struct td_cservice *s,
                     const struct td_frame *f)
{
    if (s->state == TD_CSERVICE_ENDING) {
        s->state = TD_CSERVICE_ENDED;
        return;
    }
    s->code = (tidings_err)f->u.reply.code;
    snprintf(s->text, sizeof(s->text), "%.*s", (int)f->u.reply.text.len,
             f->u.reply.text.data);
    if (!s->code) {
        accepted(c, s, f);
    } else if (s->code == TIDINGS_EEXIST && *s->id) {
        s->id[0] = '\0'; /* the broker has not missed our old link yet, or
                            somebody else is called so */
        send_serve(c, s);
    } else {
        refused(c, s);
    }
}

bool td_client_service_on_reply(struct td_client *c, const struct td_frame *f)
{
    struct td_cservice *s;

    DL_FOREACH(c->services, s)
    {
        if (s->request == f->u.reply.request &&
            (s->state == TD_CSERVICE_ASKED || s->state == TD_CSERVICE_ENDING)) {
            answered(c, s, f);
            return true;
        }
    }
    return false;
}

/* ---- how they are ---- */

void td_client_health(struct td_client *c, struct td_cservice *s,
                      enum td_health health, const char *why)
{
    struct td_frame f = {.op = TD_HEALTH};

    s->health = health;
    if (why != s->why)
        snprintf(s->why, sizeof(s->why), "%s", why);
    s->unsaid = s->state == TD_CSERVICE_ASKED;
    if (s->state != TD_CSERVICE_LIVE)
        return; /* SERVE says it, or the answer to that reminds us */
    f.u.health.service = s->number;
    f.u.health.state = health;
    f.u.health.text = td_str_of(s->why);
    beat_later(c, s);
    td_client_send(c, &f, NULL);
}

tidings_err td_client_on_health(struct td_client *c, const struct td_frame *f)
{
    struct td_cservice *s = find(c, f->u.health.service);
    uint64_t state = f->u.health.state;

    if (state != TD_HEALTH_STOPPING && state != TD_HEALTH_RUNNING)
        return td_client_breach(c, "wants a service to be what it cannot");
    if (s && s->state == TD_CSERVICE_LIVE)
        drained(c, s, state == TD_HEALTH_STOPPING);
    return TIDINGS_OK;
}

void td_client_services_tick(struct td_client *c)
{
    const struct td_client_port *port = &c->options.port;
    struct td_cservice *s;

    DL_FOREACH(c->services, s)
    {
        if (s->beat_ms <= c->now_ms) {
            s->beat_ms = TD_CLIENT_NEVER;
            if (s->state == TD_CSERVICE_REFUSED)
                send_serve(c, s);
            else if (port->beat)
                port->beat(port->ctx, s);
            else
                td_client_health(c, s, s->health, s->why);
        }
    }
    c->beat_ms = TD_CLIENT_NEVER;
    DL_FOREACH(c->services, s)
    {
        if (s->beat_ms < c->beat_ms)
            c->beat_ms = s->beat_ms;
    }
}

/* ---- requests ---- */

tidings_err td_client_on_handle(struct td_client *c, const struct td_frame *f,
                                struct td_body *body, struct td_deliveries *out)
{
    out->parts = td_reader_of(f->u.handle.list.data, f->u.handle.list.len);
    out->body.data = (const char *)body->data;
    out->body.len = body->len;
    if (!td_read_array(&out->parts, &out->tasks_left) || out->tasks_left == 0 ||
        out->tasks_left > TD_ROWS_MAX)
        return td_client_breach(c, "sent no requests, or too many");
    td_client_count_message(c, body->len);
    return TIDINGS_OK;
}

static void answer(struct td_client *c, const struct td_answer_row *row,
                   const void *data)
{
    if (td_answers_add(&c->answers, c->link, row, data))
        c->broken = true; /* somebody would wait for it */
}

static void pong(struct td_client *c, const struct td_cservice *s,
                 const struct td_handle_row *ping)
{
    const struct td_client_port *port = &c->options.port;
    struct td_answer_row row = {.task = ping->task, .text = {"", 0}};
    struct td_str map;

    td_client_options_begin(c, port->breakers ? 4 : 3);
    td_client_option_str(c, "service", s->name);
    td_client_option_uint(c, "state", s->health);
    td_client_option_str(c, "text", s->why);
    if (port->breakers) {
        td_client_option_key(c, "breakers");
        port->breakers(port->ctx, &c->scratch);
    }
    map = td_client_scratch(c);
    row.bytes =
        c->scratch.failed ? 0 : map.len; /* that it is there, at least */
    answer(c, &row, map.data);
}

/* It has just ended: whoever asked may ask another. */
static void refuse(struct td_client *c, const struct td_handle_row *of)
{
    const struct td_answer_row row = {.task = of->task,
                                      .code = TIDINGS_ELOST,
                                      .text = td_str_of("the service has "
                                                        "ended")};

    answer(c, &row, NULL);
}

/* Takes the next row off; false: it is not well-formed. */
static bool read_row(struct td_deliveries *from, struct td_handed *out)
{
    struct td_handle_row *row = &out->row;

    if (!td_handle_read(&from->parts, row) || row->bytes > from->body.len ||
        (--from->tasks_left == 0 && row->bytes < from->body.len) ||
        row->source.len > TD_SOURCE_BYTES_MAX ||
        row->left_ms > TD_TIMEOUT_MS_MAX ||
        !td_type_valid(row->type.data, row->type.len) || row->service == 0 ||
        row->service > TD_SERVICES_MAX)
        return false;
    out->event.data = from->body.data;
    out->event.len = row->bytes;
    from->body.data += row->bytes;
    from->body.len -= row->bytes;
    return true;
}

static tidings_err next(struct td_client *c, struct td_deliveries *from,
                        struct td_handed *out)
{
    struct td_cservice *s;

    if (td_answers_full(&c->answers))
        td_client_send_answers(c, &c->answers);
    if (!read_row(from, out))
        return td_client_breach(c, "sent a malformed request");
    s = find(c, out->row.service);
    if (!s || (s->state != TD_CSERVICE_LIVE && s->state != TD_CSERVICE_ENDING))
        refuse(c, &out->row);
    else if (out->row.endpoint > s->endpoints_len)
        return td_client_breach(c, "sent a request to no endpoint");
    else if (out->row.endpoint == 0)
        pong(c, s, &out->row);
    else
        out->service = s;
    return TIDINGS_OK;
}

tidings_err td_client_next_task(struct td_client *c, struct td_deliveries *from,
                                struct td_handed *out)
{
    tidings_err err = TIDINGS_OK;

    out->service = NULL;
    while (!err && !out->service && from->tasks_left > 0 &&
           c->state == TD_CLIENT_READY)
        err = next(c, from, out);
    if (err)
        td_client_lost_breach(c);
    if (c->answers.len > 0 && !out->service)
        td_client_send_answers(c, &c->answers);
    return err;
}

/* ---- answers ---- */

void td_client_send_answers(struct td_client *c, struct td_answers *answers)
{
    struct td_frame f = {.op = TD_ANSWER};
    struct td_body *body;

    if (answers->len > 0 && answers->link == c->link) {
        body = td_body_copy(answers->body.data, answers->body.len);
        td_buf_reset(&c->scratch);
        td_list_begin(&c->scratch, answers->len);
        td_buf_append(&c->scratch, answers->rows.data, answers->rows.len);
        f.u.answer.list = td_client_scratch(c);
        if (!body || c->scratch.failed)
            c->broken = true; /* those who wait are told that it was lost */
        else
            td_client_send(c, &f, body);
        td_body_unref(body);
    }
    td_answers_reset(answers);
}
