/* What is true of the registry: the messages that the broker has read say who
 * is there, and how it is. */
#include "tests/sim/services_world.h"

#include "proto/option.h"

#include <stdio.h>
#include <string.h>

struct svc_known *svc_known_find(struct svc *w, const char *id)
{
    for (uint32_t i = w->known_len; i-- > 0;) {
        if (strcmp(w->known[i].id, id) == 0)
            return &w->known[i];
    }
    return NULL;
}

struct svc_link *svc_known_link(struct svc *w, const struct svc_known *k)
{
    struct svc_link *link;

    DL_FOREACH(w->links, link)
    {
        if (link->number == k->link)
            return link;
    }
    return NULL;
}

bool svc_known_is_lost(struct svc *w, const struct svc_known *k)
{
    const struct svc_link *link = svc_known_link(w, k);

    return !k->there || !link || link->hurt;
}

bool svc_known_is_broken(struct svc *w, const struct svc_known *k)
{
    const struct td_instance *i =
        td_instance_find(w->broker.engine, td_str_of(k->id));

    return i && (i->breaker.state != TD_BREAKER_CLOSED ||
                 i->service->breaker.state != TD_BREAKER_CLOSED);
}

static bool has_room(const struct td_instance *i, uint32_t more)
{
    for (uint32_t n = 0; n < i->endpoints_len; n++) {
        const struct td_endpoint *endpoint = &i->endpoints[n];

        if (endpoint->candidate.in_flight + more > endpoint->max_in_flight)
            return false;
    }
    return true;
}

bool svc_known_is_open(struct svc *w, const struct svc_known *k, uint32_t more)
{
    const struct td_instance *i =
        td_instance_find(w->broker.engine, td_str_of(k->id));

    return i && !svc_known_is_broken(w, k) && has_room(i, more) &&
           td_bundles_may_go(w->broker.engine, i->session) &&
           i->session->bundles.bytes == 0;
}

static struct svc_known *find_number(struct svc *w, const struct svc_link *link,
                                     uint64_t number)
{
    for (uint32_t i = w->known_len; i-- > 0;) {
        struct svc_known *k = &w->known[i];

        if (k->there && k->link == link->number && k->number == number)
            return k;
    }
    return NULL;
}

/* ---- they come ---- */

static uint32_t place_of(const char *const *names, uint32_t n, struct td_str s)
{
    uint32_t i = 0;

    while (i < n && !td_bytes_equal(s, td_str_of(names[i])))
        i++;
    return i;
}

static void served(struct svc *w, struct svc_link *link,
                   const struct td_frame *f)
{
    struct td_str options = f->u.serve.options;
    struct td_str description = {"", 0};
    uint64_t state = TD_HEALTH_STARTING;
    struct svc_known *k;
    unsigned wide = 0;

    if (!w->broker.accepted)
        return;
    w->known = sim_grow(w->known, w->known_len, &w->known_cap, sizeof(*k));
    k = &w->known[w->known_len++];
    memset(k, 0, sizeof(*k));
    td_map_str(options, "description", &description);
    td_map_uint(options, "state", &state);
    sscanf(description.data, "%u %u", &k->uid, &wide);
    k->wide = wide;
    k->there = true;
    k->service = place_of(svc_names, SVC_SERVICES, f->u.serve.name);
    k->version = svc_versions[place_of(svc_versions, SVC_VERSIONS - 1,
                                       f->u.serve.version)];
    memcpy(k->id, w->broker.id, sizeof(k->id));
    k->link = link->number;
    k->number = f->u.serve.service;
    k->state = (enum td_health)state;
    k->said_ms = w->now_ms;
    svc_say(w, "broker has instance %u as %s", k->uid, k->id);
}

/* ---- they change ---- */

/* Who asked may be lost by what it has called forth: then nobody is told. */
static bool is_drained(struct svc *w, const struct svc_known *k, bool undo)
{
    const struct td_instance *i =
        td_instance_find(w->broker.engine, td_str_of(k->id));

    return w->broker.accepted || (i && i->draining != undo);
}

static void drained(struct svc *w, struct td_str options)
{
    struct td_str name = {"", 0};
    struct td_str id = {"", 0};
    bool undo = false;

    td_map_str(options, "name", &name);
    td_map_str(options, "id", &id);
    td_map_bool(options, "undo", &undo);
    for (uint32_t i = 0; i < w->known_len; i++) {
        struct svc_known *k = &w->known[i];

        if (!k->there ||
            !td_bytes_equal(name, td_str_of(svc_names[k->service])) ||
            (id.len > 0 && !td_bytes_equal(id, td_str_of(k->id))) ||
            !is_drained(w, k, undo))
            continue;
        if (k->draining == undo)
            svc_seen(w, undo ? SVC_SEEN_UNDRAINED : SVC_SEEN_DRAINED);
        k->draining = !undo;
    }
}

static void weighed(struct svc *w, struct td_str options)
{
    struct td_str name = {"", 0};
    uint32_t service;

    td_map_str(options, "name", &name);
    service = place_of(svc_names, SVC_SERVICES, name);
    if (service < SVC_SERVICES)
        w->weighed[service] = true;
    svc_seen(w, SVC_SEEN_WEIGHED);
}

static void called(struct svc *w, const struct td_frame *f)
{
    if (w->broker.replied && !w->broker.accepted)
        return;
    if (td_bytes_equal(f->u.call.name, td_str_of("service.drain")))
        drained(w, f->u.call.options);
    else if (td_bytes_equal(f->u.call.name, td_str_of("service.weight")))
        weighed(w, f->u.call.options);
}

static void said(struct svc *w, struct svc_link *link, const struct td_frame *f)
{
    struct svc_known *k = find_number(w, link, f->u.health.service);

    if (!k)
        return;
    if (k->silent && f->u.health.state != TD_HEALTH_DOWN)
        svc_seen(w, SVC_SEEN_SPOKE);
    k->silent = false;
    k->state = (enum td_health)f->u.health.state;
    k->said_ms = w->now_ms;
}

/* ---- they go ---- */

static void gone(struct svc *w, struct svc_known *k)
{
    k->there = false;
    k->gone_ms = w->now_ms;
    svc_say(w, "broker has instance %u no more", k->uid);
}

static void all_gone(struct svc *w, const struct svc_link *link)
{
    for (uint32_t i = 0; i < w->known_len; i++) {
        if (w->known[i].there && w->known[i].link == link->number)
            gone(w, &w->known[i]);
    }
}

void svc_known_heard(struct svc *w, struct svc_link *link,
                     const struct td_frame *f)
{
    struct svc_known *k;

    switch (f->op) {
    case TD_SERVE:
        served(w, link, f);
        break;
    case TD_UNSERVE:
        k = find_number(w, link, f->u.unserve.service);
        if (k)
            gone(w, k);
        break;
    case TD_HEALTH:
        said(w, link, f);
        break;
    case TD_CALL:
        called(w, f);
        break;
    case TD_BYE:
        all_gone(w, link);
        break;
    default:
        break;
    }
}

void svc_known_sweep(struct svc *w)
{
    for (uint32_t i = 0; i < w->known_len; i++) {
        struct svc_known *k = &w->known[i];
        struct svc_link *link;

        if (!k->there)
            continue;
        link = svc_known_link(w, k);
        if (svc_broker_session(w, link))
            continue;
        SVC_CHECK(w, !link || link->hurt,
                  "instance %u is gone, and nothing has happened to link %u",
                  k->uid, k->link);
        if (link && w->now_ms >= link->shut_ms &&
            link->tell_broker_ms == SVC_NEVER)
            svc_seen(w, link->busy ? SVC_SEEN_SHUT_BUSY : SVC_SEEN_SHUT);
        gone(w, k);
    }
}

void svc_known_forget(struct svc *w)
{
    for (uint32_t i = 0; i < w->known_len; i++) {
        if (w->known[i].there)
            gone(w, &w->known[i]);
    }
    memset(w->weighed, 0, sizeof(w->weighed));
    memset(w->round, 0, sizeof(w->round));
    memset(w->keys, 0, sizeof(w->keys));
}
