/* What goes wrong, or is only done to instances. */
#include "tests/sim/services_world.h"

/* One that has a link; NULL: none was found. */
static struct svc_client *linked(struct svc *w)
{
    for (int tries = 0; tries < 10; tries++) {
        struct svc_client *client =
            &w->clients[sim_below(&w->random, w->clients_len)];

        if (client->up && client->link && !client->paused_until_ms)
            return client;
    }
    return NULL;
}

static void lose(struct svc *w)
{
    struct svc_client *client = linked(w);

    if (client)
        svc_link_lose(w, client->link, false);
}

static void silent(struct svc *w)
{
    struct svc_client *client = linked(w);

    if (client)
        svc_link_lose(w, client->link, true);
}

static void end_client(struct svc *w, bool clean)
{
    struct svc_client *client = linked(w);

    if (!client)
        return;
    svc_client_end(client, clean);
    client->restart_ms = w->now_ms + sim_between(&w->random, 1, 3000);
}

static void crash(struct svc *w)
{
    end_client(w, false);
}

static void close_one(struct svc *w)
{
    end_client(w, true);
}

static void pause_one(struct svc *w)
{
    struct svc_client *client = linked(w);

    if (!client)
        return;
    svc_seen(w, SVC_SEEN_CLIENT_PAUSED);
    client->paused_until_ms = w->now_ms + sim_between(&w->random, 100, 8000);
    svc_say(w, "client %u stands still until %lld", client->index,
            (long long)client->paused_until_ms);
}

static void broker_crash(struct svc *w)
{
    svc_broker_end(w, false);
}

static void broker_stop(struct svc *w)
{
    svc_broker_end(w, true);
}

static void broker_pause(struct svc *w)
{
    if (!w->broker.engine)
        return;
    svc_seen(w, SVC_SEEN_BROKER_PAUSED);
    w->broker.paused_until_ms = w->now_ms + sim_between(&w->random, 100, 4000);
    svc_say(w, "the broker stands still until %lld",
            (long long)w->broker.paused_until_ms);
}

/* The process does it, and has a turn right after. */
static struct svc_instance *act(struct svc *w)
{
    struct svc_instance *i = svc_instance_any(w);

    if (i)
        i->client->wake_ms = w->now_ms;
    return i;
}

static void end_one(struct svc *w)
{
    struct svc_instance *i = act(w);

    if (i)
        svc_instance_end(i);
}

static void stop_one(struct svc *w)
{
    struct svc_instance *i = act(w);

    if (i)
        svc_instance_stop(i);
}

static void health(struct svc *w)
{
    static const enum td_health states[] = {
        TD_HEALTH_RUNNING, TD_HEALTH_RUNNING,  TD_HEALTH_RUNNING,
        TD_HEALTH_RUNNING, TD_HEALTH_DEGRADED, TD_HEALTH_DEGRADED,
        TD_HEALTH_DOWN,    TD_HEALTH_STARTING};
    struct svc_instance *i = act(w);

    if (i)
        td_client_health(&i->client->bus.client, i->cs,
                         states[sim_below(&w->random, 8)], "it says so");
}

static void mood(struct svc *w)
{
    struct svc_instance *i = svc_instance_any(w);

    if (i)
        i->mood = (enum svc_mood)(sim_chance(&w->random, 600)
                                      ? SVC_WELL
                                      : sim_below(&w->random, SVC_MOODS));
}

void svc_fault(struct svc *w)
{
    static void (*const faults[SVC_FAULTS])(struct svc *) = {
#define SVC_FAULT_FUNCTION(name, function, weight) function,
        SVC_FAULT_MAP(SVC_FAULT_FUNCTION)
#undef SVC_FAULT_FUNCTION
    };
    uint64_t at = sim_below(&w->random, w->config.total);
    int i = 0;

    while (at >= w->config.weight[i])
        at -= w->config.weight[i++];
    faults[i](w);
    w->fault_ms =
        w->now_ms + 1 +
        (int64_t)sim_below(&w->random, 2 * (uint64_t)w->config.every_ms);
}
