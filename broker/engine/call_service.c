/* CALL: the registry of services, a page at a time, and what operators do with
 * it. Nothing of it is stored. */
#include "broker/engine/call.h"

#include "broker/engine/pack.h"
#include "broker/engine/service_pack.h"
#include "proto/option.h"
#include "proto/service.h"

#include <stdlib.h>
#include <string.h>

/* Of one answer: within the bounds of a control frame. One instance has at most
 * 120 KiB and 11,000 values. */
#define PAGE_BYTES (256u << 10)
#define PAGE_NODES 12000u

struct page {
    struct td_engine *e;
    enum td_service_detail detail;
    struct td_str name; /* empty: of all */
    struct td_str id;
    uint64_t from;
    uint64_t passed; /* instances that were looked at … */
    uint64_t named;  /* … and names that have none */
    uint32_t rows;
    uint32_t names; /* of those that have no instances */
    size_t nodes;
    bool full;
    struct td_buf list;   /* the rows */
    struct td_buf totals; /* of stats */
    uint32_t totals_len;
};

static bool is_wished(struct td_str wish, const char *name)
{
    return wish.len == 0 || td_str_is(wish, name);
}

/* False: there is no room for it. */
static bool add_row(struct page *page, const struct td_instance *instance)
{
    uint32_t most = page->detail == TD_SERVICE_LIST ? TD_SERVICE_ROWS_MAX
                                                    : TD_SERVICE_DETAILS_MAX;
    size_t nodes = td_instance_nodes(instance, page->detail);
    size_t len = page->list.len;
    msgpack_packer pk;

    if (page->rows == most ||
        (page->rows > 0 && page->nodes + nodes > PAGE_NODES))
        return false;
    msgpack_packer_init(&pk, &page->list, td_buf_pack_write);
    td_instance_pack(page->e, &page->list, &pk, instance, page->detail, 0);
    if (page->rows > 0 && page->list.len + page->totals.len > PAGE_BYTES) {
        page->list.len = len;
        return false;
    }
    page->nodes += nodes;
    page->rows++;
    return true;
}

static void add_totals(struct page *page, const struct td_service *service)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, &page->totals, td_buf_pack_write);
    td_service_pack_totals(page->e, &pk, service);
    page->nodes += td_service_nodes(service);
    page->totals_len++;
}

/* A name's totals stand beside its first instance. */
static void add_service(struct page *page, const struct td_service *service)
{
    bool stats = page->detail == TD_SERVICE_STATS;
    const struct td_instance *instance;
    bool first = true;

    DL_FOREACH2(service->instances, instance, service_next)
    {
        if (!is_wished(page->id, instance->id))
            continue;
        if (page->passed++ >= page->from && !page->full) {
            page->full = !add_row(page, instance);
            if (first && !page->full && stats)
                add_totals(page, service);
        }
        first = false;
    }
}

/* A name without instances, which has weights: they are rows after all those. */
static void add_name(struct page *page, const struct td_service *service)
{
    size_t len = page->totals.len;
    size_t nodes = page->nodes;

    if (page->passed + page->named++ < page->from || page->full)
        return;
    add_totals(page, service);
    page->full = page->nodes > PAGE_NODES ||
                 page->list.len + page->totals.len > PAGE_BYTES;
    if (!page->full) {
        page->names++;
        return;
    }
    page->totals.len = len;
    page->nodes = nodes;
    page->totals_len--;
}

/* The row that the next page begins with; 0: this was the last. */
static uint64_t next_of(const struct page *page)
{
    uint64_t next = page->from + page->rows + page->names;

    return next < page->passed + page->named ? next : 0;
}

static void reply(struct td_engine *e, const struct td_asked *a,
                  const struct page *page)
{
    bool stats = page->detail == TD_SERVICE_STATS;
    msgpack_packer pk;

    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, stats ? 5 : 3);
    td_pack_uint(&pk, "revision", e->serving.revision);
    td_pack_uint(&pk, "services_total", page->passed);
    td_pack_key(&pk, "services");
    msgpack_pack_array(&pk, page->rows);
    td_buf_append(&e->table, page->list.data, page->list.len);
    if (stats) {
        td_pack_uint(&pk, "next", next_of(page));
        td_pack_key(&pk, "totals");
        msgpack_pack_array(&pk, page->totals_len);
        td_buf_append(&e->table, page->totals.data, page->totals.len);
    }
    e->table.failed |= page->list.failed || page->totals.failed;
    td_asked_result(e, a->session, a->request);
}

static void answer(struct td_engine *e, const struct td_asked *a,
                   enum td_service_detail detail)
{
    struct page page = {
        .e = e, .detail = detail, .name = td_no_str, .id = td_no_str};

    if (!td_map_uint(a->options, "from", &page.from) ||
        !td_map_str(a->options, "name", &page.name) ||
        !td_map_str(a->options, "id", &page.id)) {
        td_asked_fail(e, a, TIDINGS_EINVAL,
                      "name and id are str, and from is a number of rows");
        return;
    }
    for (struct td_service *s = e->serving.services; s; s = s->hh.next) {
        if (is_wished(page.name, s->name))
            add_service(&page, s);
    }
    for (struct td_service *s = e->serving.services; s; s = s->hh.next) {
        if (detail == TD_SERVICE_STATS && page.id.len == 0 && !s->instances &&
            is_wished(page.name, s->name))
            add_name(&page, s);
    }
    reply(e, a, &page);
    td_buf_fini(&page.list);
    td_buf_fini(&page.totals);
}

void td_operate_service_list(struct td_engine *e, const struct td_asked *a)
{
    answer(e, a, TD_SERVICE_LIST);
}

void td_operate_service_info(struct td_engine *e, const struct td_asked *a)
{
    answer(e, a, TD_SERVICE_INFO);
}

void td_operate_service_stats(struct td_engine *e, const struct td_asked *a)
{
    answer(e, a, TD_SERVICE_STATS);
}

/* ---- drain ---- */

/* Who is to be told: found again by number, as a send may lose a session, and
 * its instances with it. */
struct told {
    uint64_t session;
    uint64_t number;
};

static void tell(struct td_engine *e, const struct told *told, bool drain)
{
    const struct td_frame f = {
        .op = TD_HEALTH,
        .u.health = {.service = told->number,
                     .state = drain ? TD_HEALTH_STOPPING : TD_HEALTH_RUNNING,
                     .text = td_no_str},
    };
    struct td_session *s;

    HASH_FIND(hh, e->sessions, &told->session, sizeof(told->session), s);
    if (s)
        td_engine_send(e, s, &f, NULL);
}

static void drain_all(struct td_engine *e, const struct td_service *service,
                      struct td_str id, bool drain, struct told *told,
                      uint32_t *told_len)
{
    struct td_instance *instance;

    DL_FOREACH2(service->instances, instance, service_next)
    {
        if (!is_wished(id, instance->id))
            continue;
        told[(*told_len)++] =
            (struct told){instance->session->number, instance->number};
        if (instance->draining == drain)
            continue;
        instance->draining = drain;
        td_service_changed(e, instance, TD_SERVICE_HEALTH,
                           drain ? "it is drained by an operator"
                                 : "it is no longer drained");
    }
}

/* The name that the options have; NULL: it is answered. */
static struct td_service *asked_service(struct td_engine *e,
                                        const struct td_asked *a)
{
    struct td_str name = td_no_str;
    struct td_service *service;

    if (!td_map_str(a->options, "name", &name) || name.len == 0) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "name the service");
        return NULL;
    }
    service = td_service_find(e, name);
    if (!service || !service->instances) {
        td_asked_fail(e, a, TIDINGS_ENOTFOUND, "no instance has that name");
        return NULL;
    }
    return service;
}

static void reply_count(struct td_engine *e, const struct td_asked *a,
                        uint32_t instances)
{
    msgpack_packer pk;

    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 1);
    td_pack_uint(&pk, "instances", instances);
    td_asked_result(e, a->session, a->request);
}

void td_operate_service_drain(struct td_engine *e, const struct td_asked *a)
{
    struct td_service *service = asked_service(e, a);
    struct td_str id = td_no_str;
    bool undo = false;
    struct told *told;
    uint32_t n = 0;

    if (!service)
        return;
    if (!td_map_str(a->options, "id", &id) ||
        !td_map_bool(a->options, "undo", &undo)) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "id is a str, undo a bool");
        return;
    }
    told = calloc(service->instances_len, sizeof(*told));
    if (!told) {
        td_asked_fail(e, a, TIDINGS_ENOMEM, "broker is out of memory");
        return;
    }
    drain_all(e, service, id, !undo, told, &n);
    for (uint32_t i = 0; i < n; i++)
        tell(e, &told[i], !undo);
    free(told);
    if (n > 0)
        reply_count(e, a, n);
    else
        td_asked_fail(e, a, TIDINGS_ENOTFOUND, "no instance of it has that id");
}

/* ---- weight ---- */

struct weight {
    struct td_str name;
    char version[TD_VERSION_BYTES_MAX + 1];
    uint32_t percent; /* TD_NO_WEIGHT: none any more */
};

/* NULL, or what is wrong. */
static const char *read_weight(struct td_str options, struct weight *w)
{
    struct td_str version = td_no_str;
    struct td_str raw = td_nil;
    uint64_t percent = UINT64_MAX;

    *w = (struct weight){.name = td_no_str, .percent = TD_NO_WEIGHT};
    if (!td_map_str(options, "name", &w->name) ||
        !td_service_name_valid(w->name.data, w->name.len))
        return "name: 1 to 64 of A-Z a-z 0-9 _ -";
    if (!td_map_str(options, "version", &version) ||
        !td_version_valid(version.data, version.len))
        return "version: a semantic version, as 1.0.0";
    memcpy(w->version, version.data, version.len);
    td_map_find(options, "percent", &raw);
    if (td_bytes_equal(raw, td_nil))
        return NULL;
    if (!td_map_uint(options, "percent", &percent) || percent > 100)
        return "percent: 0 to 100, or nil";
    w->percent = (uint32_t)percent;
    return NULL;
}

/* Also of a name that has no instances yet. */
static tidings_err weigh(struct td_engine *e, const struct weight *w,
                         const char **why)
{
    struct td_service *service;
    tidings_err err;

    if (w->percent == TD_NO_WEIGHT) {
        service = td_service_find(e, w->name);
        return service ? td_weight_set(e, service, w->version, TD_NO_WEIGHT)
                       : TIDINGS_OK;
    }
    *why = "the broker has as many names as it takes";
    service = td_service_get(e, w->name, &err);
    if (!service)
        return err;
    err = td_weight_set(e, service, w->version, w->percent);
    if (err) {
        *why = err == TIDINGS_EINVAL
                   ? "its versions would have more than 100 percent"
                   : "64 versions of it have a weight already";
        td_service_drop(e, service);
    }
    return err;
}

void td_operate_service_weight(struct td_engine *e, const struct td_asked *a)
{
    struct weight w;
    const char *why = read_weight(a->options, &w);
    tidings_err err = why ? TIDINGS_EINVAL : weigh(e, &w, &why);

    if (err == TIDINGS_ENOMEM)
        why = "broker is out of memory";
    td_engine_reply(e, a->session, a->request, err, err ? why : "");
}
