/* What a process serves: instances that begin, say how they are, and end. */
#include "tests/sim/services_world.h"

#include "client/service_options.h"

#include <stdio.h>
#include <string.h>

const char *const svc_names[SVC_SERVICES] = {"ape", "bee", "cat"};
const char *const svc_versions[SVC_VERSIONS] = {"1.0.0", "1.1.0", "2.0.0-rc.1"};

static tidings_err handler(void *arg, tidings_task *task,
                           const struct tidings_event *event)
{
    (void)arg;
    (void)task;
    (void)event;
    return TIDINGS_OK; /* nobody calls it: tasks are the simulation's own */
}

/* ---- beginning ---- */

static void register_it(struct svc_client *client, struct svc_instance *i,
                        const struct tidings_service_options *o)
{
    struct td_buf options = {0};
    struct td_cserving how = {.name = o->name,
                              .version = o->version,
                              .options = &options,
                              .endpoints_len = (uint32_t)o->endpoints_len,
                              .health = (enum td_health)o->health,
                              .health_ms = td_service_health_ms(o)};

    SVC_CHECK(client->w, !td_service_check(o), "a service that cannot be");
    how.options_len = td_service_pack(&options, o, "sim", 1);
    SVC_CHECK(client->w,
              !options.failed &&
                  !td_client_serve(&client->bus.client, &i->cs, &how),
              "out of memory");
    td_buf_fini(&options);
    if (i->cs)
        i->cs->owner = i;
}

void svc_serve(struct svc_client *client, struct svc_instance *i)
{
    struct svc *w = client->w;
    const struct svc_config *cf = &w->config;
    struct sim_random *r = &w->random;
    char own[16];
    char description[32];
    char usual[16];
    struct tidings_endpoint endpoints[3] = {
        {.type = own,
         .handler = handler,
         .name = "own",
         .balance = cf->balance,
         .max_in_flight = cf->max_in_flight},
        {.type = "all.do", .handler = handler, .balance = cf->balance},
        {.type = usual,
         .handler = handler,
         .balance = cf->balance,
         .max_in_flight = cf->max_in_flight},
    };
    struct tidings_service_options o = {
        .description = description,
        .version = svc_versions[sim_below(r, SVC_VERSIONS)],
        .endpoints = endpoints,
        .endpoints_len = 2,
        .health = sim_chance(r, 900) ? TIDINGS_RUNNING : TIDINGS_STARTING,
        .health_ms = cf->health_ms,
        .breaker = {.failures = cf->failures,
                    .rate_percent = cf->rate_percent,
                    .recovery_ms = cf->recovery_ms},
        .service_breaker = {.rate_percent = cf->rate_percent,
                            .recovery_ms = cf->recovery_ms},
    };

    memset(i, 0, sizeof(*i));
    i->client = client;
    i->uid = ++w->uids;
    i->service = (uint32_t)sim_below(r, cf->services);
    i->wide = sim_chance(r, 300);
    i->workers = 1 + (unsigned)sim_below(r, 4);
    i->room = sim_chance(r, 100) ? 2 : 200;
    o.name = svc_names[i->service];
    snprintf(own, sizeof(own), "%s.%s", o.name, i->wide ? "*" : "do");
    snprintf(usual, sizeof(usual), "%s.do", o.name);
    if (i->wide && sim_chance(r, 500))
        o.endpoints_len = 3; /* two that a request may go to */
    snprintf(description, sizeof(description), "%u %d", i->uid, i->wide);
    register_it(client, i, &o);
    svc_say(w, "client %u serves %s %s as instance %u, %s", client->index,
            o.name, o.version, i->uid, own);
    if (o.health == TIDINGS_STARTING && sim_chance(r, 500))
        td_client_health(&client->bus.client, i->cs, TD_HEALTH_RUNNING, "");
}

struct svc_instance *svc_instance_any(struct svc *w)
{
    for (int tries = 0; tries < 20; tries++) {
        struct svc_client *client =
            &w->clients[sim_below(&w->random, w->clients_len)];
        struct svc_instance *i =
            &client->instances[sim_below(&w->random, SVC_INSTANCES)];

        if (client->up && !client->paused_until_ms && i->cs && !i->stopping)
            return i;
    }
    return NULL;
}

/* ---- ending ---- */

void svc_instance_end(struct svc_instance *i)
{
    svc_say(i->client->w, "instance %u ends", i->uid);
    i->stopping = true;
    td_client_unserve(&i->client->bus.client, i->cs);
    svc_tasks_refuse(i);
}

void svc_instance_stop(struct svc_instance *i)
{
    svc_say(i->client->w, "instance %u stops", i->uid);
    i->stopping = true;
    td_client_health(&i->client->bus.client, i->cs, TD_HEALTH_STOPPING,
                     "it is stopped");
}

void svc_instance_drained(void *ctx, struct td_cservice *cs, bool drain)
{
    struct svc_client *client = ctx;
    struct svc_instance *i = cs->owner;

    i->draining = drain;
    svc_say(client->w, "instance %u is to %s", i->uid,
            drain ? "drain" : "drain no more");
}

/* ---- a turn ---- */

static bool is_over(const struct svc_instance *i)
{
    return i->cs->state == TD_CSERVICE_ENDING ||
           i->cs->state == TD_CSERVICE_ENDED;
}

static void look_at_name(struct svc_client *client, struct svc_instance *i)
{
    if (i->cs->state != TD_CSERVICE_LIVE || strcmp(i->was, i->cs->id) == 0)
        return;
    SVC_CHECK(client->w, !*i->was, "instance %u was %s, and is now %s", i->uid,
              i->was, i->cs->id);
    memcpy(i->was, i->cs->id, sizeof(i->was));
}

static void run(struct svc_client *client, struct svc_instance *i)
{
    struct td_client *c = &client->bus.client;

    SVC_CHECK(client->w, i->cs->state != TD_CSERVICE_REFUSED,
              "instance %u is refused: %s", i->uid, i->cs->text);
    look_at_name(client, i);
    if (is_over(i))
        svc_tasks_refuse(i);
    svc_tasks_run(i);
    if (i->stopping && !is_over(i) && !i->tasks) {
        svc_seen(client->w, SVC_SEEN_STOPPED);
        td_client_unserve(c, i->cs);
    }
    if (i->cs->state != TD_CSERVICE_ENDED || i->tasks)
        return;
    td_client_service_forget(c, i->cs);
    memset(i, 0, sizeof(*i));
}

void svc_serve_run(struct svc_client *client)
{
    for (uint32_t n = 0; n < SVC_INSTANCES; n++) {
        if (client->instances[n].cs)
            run(client, &client->instances[n]);
    }
    td_client_send_answers(&client->bus.client, &client->answers);
}

bool svc_serve_waits(const struct svc_client *client)
{
    for (uint32_t n = 0; n < SVC_INSTANCES; n++) {
        const struct svc_instance *i = &client->instances[n];

        if (i->cs &&
            (i->tasks || i->stopping || i->cs->state != TD_CSERVICE_LIVE))
            return true;
    }
    return client->serves && !client->instances[0].cs;
}
