/* SERVE, UNSERVE and HEALTH: instances of services come, say how they are, and
 * go. */
#include "broker/engine/internal.h"

#include "broker/engine/pack.h"

#include <string.h>

/* ---- SERVE ---- */

/* What the client did not choose. */
static void make_id(struct td_engine *e, struct td_instance *instance)
{
    if (instance->id[0])
        return;
    do
        snprintf(instance->id, sizeof(instance->id), "%016llx",
                 (unsigned long long)td_engine_random(e));
    while (td_instance_find(e, td_str_of(instance->id)));
}

/* NULL: it may be added. */
static const char *check(struct td_engine *e, struct td_session *s,
                         const struct td_instance *instance, uint64_t number,
                         tidings_err *err)
{
    *err = TIDINGS_EEXIST;
    if (td_instance_of(s, number))
        return "this session has a service of that number";
    if (td_instance_find(e, td_str_of(instance->id)))
        return "another instance has that id";
    *err = TIDINGS_ELIMIT;
    if (e->serving.instances_len >= TD_INSTANCES_MAX)
        return "the broker has as many instances as it takes";
    /* Those that have ended, and have requests still. */
    if (s->serving.instances_len >= 2 * TD_SERVICES_MAX)
        return "so many instances of this session have requests still";
    if (s->serving.endpoints_len + instance->endpoints_len >
        TD_SESSION_ENDPOINTS_MAX)
        return "the services of one session have at most 1024 endpoints "
               "together: serve the others on another link";
    if (e->serving.endpoints_len + instance->endpoints_len >
        TD_ENDPOINTS_ALL_MAX)
        return "the broker has as many endpoints as it takes: one with a "
               "wildcard answers many types";
    *err = TIDINGS_OK;
    return NULL;
}

static void welcome(struct td_engine *e, struct td_session *s, uint64_t request,
                    const char *id)
{
    struct td_frame f = {
        .op = TD_REPLY,
        .u.reply = {.request = request, .text = td_str_of("")},
    };
    msgpack_packer pk;

    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 1);
    td_pack_str(&pk, "id", td_str_of(id));
    if (e->table.failed) {
        td_session_lose(e, s, TIDINGS_ENOMEM, "broker is out of memory");
        return;
    }
    f.u.reply.result.data = (const char *)e->table.data;
    f.u.reply.result.len = e->table.len;
    td_engine_send(e, s, &f, NULL);
}

static tidings_err serve(struct td_engine *e, struct td_session *s,
                         const struct td_frame *f, const char **why,
                         struct td_instance **out)
{
    uint64_t number = f->u.serve.service;
    struct td_instance *instance;
    tidings_err err;

    *why = "service: a number, 1 to 64";
    if (number < 1 || number > TD_SERVICES_MAX)
        return TIDINGS_EINVAL;
    instance = td_serve_read(e, f, &err, why);
    if (!instance)
        return err;
    instance->session = s;
    instance->number = number;
    instance->since_ms = instance->beat_ms = e->now_ms;
    make_id(e, instance);
    *why = check(e, s, instance, number, &err);
    if (!err) {
        err = td_instance_add(e, instance, f->u.serve.name);
        *why = err == TIDINGS_ELIMIT
                   ? "the broker has as many names as it takes"
                   : "broker is out of memory";
    }
    if (err)
        td_instance_free(e, instance);
    else
        *out = instance;
    return err;
}

void td_serve(struct td_engine *e, struct td_session *s,
              const struct td_frame *f)
{
    struct td_instance *instance = NULL;
    const char *why;
    tidings_err err = serve(e, s, f, &why, &instance);

    if (err)
        td_engine_reply(e, s, f->u.serve.request, err, why);
    else
        welcome(e, s, f->u.serve.request, instance->id);
}

/* ---- UNSERVE ---- */

void td_serve_end(struct td_engine *e, struct td_session *s,
                  const struct td_frame *f)
{
    struct td_instance *instance = td_instance_of(s, f->u.unserve.service);

    if (!instance) {
        td_engine_reply(e, s, f->u.unserve.request, TIDINGS_ENOTFOUND,
                        "this session has no service of that number");
        return;
    }
    td_instance_remove(e, instance, "it has ended");
    td_engine_reply(e, s, f->u.unserve.request, TIDINGS_OK, "");
}

/* ---- HEALTH ---- */

void td_text_keep(char *out, struct td_str text, size_t max)
{
    size_t len = text.len < max ? text.len : max;

    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f
                     ? '?'
                     : text.data[i];
    out[len] = '\0';
}

void td_instance_set_state(struct td_engine *e, struct td_instance *instance,
                           enum td_health state, struct td_str text,
                           const char *reason)
{
    char taken[TD_HEALTH_TEXT_BYTES_MAX + 1];

    td_text_keep(taken, text, TD_HEALTH_TEXT_BYTES_MAX);
    if (instance->state == state && strcmp(instance->text, taken) == 0)
        return;
    instance->state = state;
    memcpy(instance->text, taken, sizeof(taken));
    td_service_changed(e, instance, TD_SERVICE_HEALTH, reason);
}

void td_serve_health(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f)
{
    struct td_instance *instance = td_instance_of(s, f->u.health.service);
    uint64_t state = f->u.health.state;

    if (state < TD_HEALTH_STARTING || state >= TD_HEALTHS_END ||
        f->u.health.text.len > TD_HEALTH_TEXT_BYTES_MAX) {
        e->counters.bad_frames++;
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO,
                        "HEALTH: a state, 1 to 5, and a text of at most 255 "
                        "bytes");
        return;
    }
    if (!instance) /* it has just ended */
        return;
    instance->beat_ms = e->now_ms;
    td_instance_set_state(e, instance, (enum td_health)state, f->u.health.text,
                          "it says so");
}
