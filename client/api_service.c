/* Services: beginning them, how they are, ending them. */
#include "client/api.h"
#include "client/detail.h"
#include "client/handle.h"
#include "client/service_options.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

const char *tidings_health_name(enum tidings_health health)
{
    static const char *const names[] = {
        [TIDINGS_STARTING] = "starting", [TIDINGS_RUNNING] = "running",
        [TIDINGS_DEGRADED] = "degraded", [TIDINGS_STOPPING] = "stopping",
        [TIDINGS_SICK] = "down",
    };

    return health >= TIDINGS_STARTING && health <= TIDINGS_SICK ? names[health]
                                                                : "?";
}

/* ---- beginning ---- */

/* "": it has none, or no short one. */
static void host_name(char *out, size_t size)
{
    if (gethostname(out, size) != 0 || !td_utf8_valid(out))
        out[0] = '\0';
    out[size - 1] = '\0';
}

static struct td_bus_service *service_new(
    struct td_bus *b, const struct tidings_service_options *o)
{
    struct td_bus_service *s =
        calloc(1, sizeof(*s) + o->endpoints_len * sizeof(s->endpoints[0]));

    if (!s)
        return NULL;
    s->bus = b;
    s->number = ++b->services.next_number;
    s->check = o->health_check;
    s->check_arg = o->health_arg;
    s->on_drain = o->on_drain;
    s->on_drain_arg = o->on_drain_arg;
    s->health = o->health ? o->health : TIDINGS_RUNNING;
    s->endpoints_len = (uint32_t)o->endpoints_len;
    for (uint32_t i = 0; i < s->endpoints_len; i++) {
        const struct tidings_endpoint *e = &o->endpoints[i];

        s->endpoints[i].handler = e->handler;
        s->endpoints[i].arg = e->arg;
        s->endpoints[i].open_max =
            e->max_in_flight ? e->max_in_flight : TD_TASKS_OUT;
    }
    return s;
}

static tidings_err register_it(struct td_bus *b, struct td_bus_service *s,
                               const struct tidings_service_options *o)
{
    char host[TD_NAME_BYTES_MAX + 1];
    struct td_buf options = {0};
    struct td_cserving how = {.name = o->name,
                              .version = o->version,
                              .options = &options,
                              .endpoints_len = s->endpoints_len,
                              .health = (enum td_health)s->health,
                              .health_ms = td_service_health_ms(o)};
    tidings_err err = TIDINGS_ENOMEM;

    host_name(host, sizeof(host));
    how.options_len = td_service_pack(&options, o, host, (long)getpid());
    if (!options.failed)
        err = td_client_serve(&b->client, &s->cservice, &how);
    td_buf_fini(&options);
    if (err == TIDINGS_ELIMIT)
        return td_fail(err, "%u services on this bus", TD_SERVICES_MAX);
    if (!err)
        s->cservice->owner = s;
    return err;
}

static bool is_answered(struct td_bus *b, void *arg)
{
    const struct td_bus_service *s = arg;

    (void)b;
    return s->cservice->state == TD_CSERVICE_LIVE ||
           s->cservice->state == TD_CSERVICE_REFUSED;
}

/* Registers it, and waits for the broker's answer. */
static tidings_err begin(struct td_bus *b, struct td_bus_service *s,
                         const struct tidings_service_options *o)
{
    int timeout_ms = o->timeout_ms ? o->timeout_ms : TD_REQUEST_MS;
    tidings_err err = td_answers_begin(&b->services);

    if (!err && o->workers > 0)
        err = td_crew_new(s, o->workers);
    if (!err)
        err = register_it(b, s, o);
    if (err)
        return err;
    td_bus_touched(b);
    if (!td_bus_wait_broker(b, is_answered, s, td_now_ms() + timeout_ms))
        return td_why_not(b, "serve");
    if (s->cservice->state == TD_CSERVICE_REFUSED)
        return td_fail(s->cservice->code, "%s", s->cservice->text);
    s->begun = true;
    return TIDINGS_OK;
}

tidings_err tidings_serve(tidings_service **out, tidings_bus *bus,
                          const struct tidings_service_options *o)
{
    tidings_err err = td_service_check(o);
    struct td_bus_service *s;
    struct td_bus *b;

    if (!err)
        err = td_check_timeout(o->timeout_ms);
    b = err ? NULL : td_enter(bus, &err);
    if (!b)
        return err;
    s = service_new(b, o);
    if (b->own_loop && o->workers > 0)
        err = td_fail(TIDINGS_ENOTSUP, "workers are threads of the library's: "
                                       "not with own_loop");
    else if (!s)
        err = TIDINGS_ENOMEM;
    if (err) {
        free(s);
        td_exit(b);
        return err;
    }
    DL_APPEND(b->services.list, s);
    b->users++; /* the bus stays, and so does the service */
    err = begin(b, s, o);
    if (!err && out)
        *out = (tidings_service *)td_handle_sub(bus, s->number);
    else if (err)
        td_bus_service_undo(s);
    b->users--;
    td_bus_services_reap(b, false);
    td_exit(b);
    return err;
}

/* ---- one of them ---- */

/* Locks; NULL and *err when it is over. */
static struct td_bus_service *enter(tidings_service *handle, tidings_err *err)
{
    uint32_t number;
    struct td_bus *b = td_handle_lock_sub((tidings_sub *)handle, &number, err);
    struct td_bus_service *s;

    if (!b && *err == TIDINGS_EINVAL)
        *err = td_fail(TIDINGS_EINVAL, "not a service");
    if (!b)
        return NULL;
    s = b->closing ? NULL : td_bus_service_find(b, number);
    if (s)
        return s;
    td_exit(b);
    *err = td_fail(TIDINGS_ECLOSED, "the service has ended");
    return NULL;
}

tidings_err tidings_service_set_health(tidings_service *service,
                                       enum tidings_health health,
                                       const char *text)
{
    char why[TD_HEALTH_TEXT_BYTES_MAX + 1];
    tidings_err err = TIDINGS_OK;
    struct td_bus_service *s;

    if (health < TIDINGS_STARTING || health > TIDINGS_SICK)
        return td_fail(TIDINGS_EINVAL, "health is %d; none of its names",
                       (int)health);
    if (!td_utf8_cut(why, sizeof(why), text))
        return td_fail(TIDINGS_EINVAL, "text is not UTF-8");
    s = enter(service, &err);
    if (!s)
        return err;
    s->health = health;
    td_utf8_cut(s->why, sizeof(s->why), why);
    td_bus_service_say(s);
    td_exit(s->bus);
    return TIDINGS_OK;
}

tidings_err tidings_service_info(struct tidings_service_info *out,
                                 tidings_service *service)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus_service *s;
    const struct td_cservice *c;

    if (!out)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    s = enter(service, &err);
    if (!s)
        return err;
    c = s->cservice;
    *out = (struct tidings_service_info){
        .health = s->stopping ? TIDINGS_STOPPING : s->health,
        .draining = c && c->draining,
        .requests = s->requests,
        .answered = atomic_load(&s->counts.answered),
        .errors = atomic_load(&s->counts.errors),
        .expired = atomic_load(&s->counts.expired),
        .late = atomic_load(&s->counts.late),
        .lost = atomic_load(&s->counts.lost),
        .refused = s->refused,
        .waiting = s->waiting,
        .running = td_bus_service_pending(s, td_now_us()) - s->waiting,
        .handler_us = atomic_load(&s->counts.handler_us),
        .handler_max_us = atomic_load(&s->counts.handler_max_us),
    };
    if (c)
        td_utf8_cut(out->id, sizeof(out->id), c->id);
    td_exit(s->bus);
    return TIDINGS_OK;
}

/* ---- ending ---- */

tidings_err tidings_service_stop(tidings_service *service, int timeout_ms)
{
    int64_t deadline_ms = td_now_ms() + timeout_ms;
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus_service *s = err ? NULL : enter(service, &err);
    struct td_bus *b;

    if (!s)
        return err;
    b = s->bus;
    if (td_in_handler(b)) {
        td_exit(b);
        return td_fail(TIDINGS_EDEADLK,
                       "stop the service outside handlers of its bus");
    }
    if (s->stopping) {
        td_exit(b);
        return td_fail(TIDINGS_ECLOSED, "the service is being stopped");
    }
    b->users++;
    if (!td_bus_services_stop(b, s, deadline_ms))
        err = td_fail(b->closing ? TIDINGS_ECLOSED : TIDINGS_ETIMEDOUT,
                      "not all that had arrived was answered in time");
    b->users--;
    td_bus_services_reap(b, false);
    td_exit(b);
    return err;
}
