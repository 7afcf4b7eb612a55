/* An operator, who drains, weighs and looks; and the copy of the registry,
 * which is to be as the broker's whenever it says so. */
#include "tests/sim/services_world.h"

#include "proto/option.h"

#include <stdlib.h>
#include <string.h>

/* ---- calls ---- */

static void pack(struct svc_question *q, msgpack_packer *pk, uint32_t pairs)
{
    td_buf_reset(&q->options);
    msgpack_packer_init(pk, &q->options, td_buf_pack_write);
    msgpack_pack_map(pk, pairs);
}

static void pack_name(struct svc *w, msgpack_packer *pk)
{
    uint64_t n = sim_below(&w->random, w->config.services);

    td_option_pack_str(pk, "name", td_str_of(svc_names[n]));
}

static const char *drain(struct svc *w, msgpack_packer *pk)
{
    struct svc_instance *i =
        sim_chance(&w->random, 700) ? svc_instance_any(w) : NULL;
    bool undo = w->healing || sim_chance(&w->random, 550);

    pack(&w->question, pk, i ? 3 : 2);
    if (i) {
        td_option_pack_str(pk, "name", td_str_of(svc_names[i->service]));
        td_option_pack_str(pk, "id", td_str_of(i->cs->id));
    } else {
        pack_name(w, pk);
    }
    td_option_pack_bool(pk, "undo", undo);
    return "service.drain";
}

static const char *weigh(struct svc *w, msgpack_packer *pk)
{
    bool ends = sim_chance(&w->random, 500);

    pack(&w->question, pk, ends ? 2 : 3);
    pack_name(w, pk);
    td_option_pack_str(
        pk, "version",
        td_str_of(svc_versions[sim_below(&w->random, SVC_VERSIONS)]));
    if (!ends)
        td_option_pack_uint(pk, "percent", sim_below(&w->random, 6) * 10);
    return "service.weight";
}

static const char *look(struct svc *w, msgpack_packer *pk)
{
    static const char *const names[] = {"service.list", "service.info",
                                        "service.stats"};

    pack(&w->question, pk, 0);
    return names[sim_below(&w->random, 3)];
}

void svc_operate(struct svc_client *client)
{
    struct svc *w = client->w;
    struct svc_question *q = &w->question;
    msgpack_packer pk;

    if (w->healing || q->asking || !sim_chance(&w->random, w->config.operating))
        return;
    if (w->config.weighs && sim_chance(&w->random, 300))
        q->q.name = weigh(w, &pk);
    else if (sim_chance(&w->random, 800))
        q->q.name = drain(w, &pk);
    else
        q->q.name = look(w, &pk);
    q->q.options =
        (struct td_str){(const char *)q->options.data, q->options.len};
    q->q.rows = NULL;
    q->q.from = 0;
    q->asking = true;
    td_client_question(&client->bus.client, &q->q, TD_CALL);
}

void svc_operate_read(struct svc_client *client)
{
    struct svc *w = client->w;
    struct svc_question *q = &w->question;

    if (!q->asking || !q->q.done)
        return;
    svc_say(w, "%s: %s", q->q.name, tidings_err_name(q->q.code));
    SVC_CHECK(w,
              q->q.code == TIDINGS_OK || q->q.code == TIDINGS_ENOTFOUND ||
                  q->q.code == TIDINGS_ETIMEDOUT ||
                  (q->q.code == TIDINGS_EINVAL && w->config.weighs),
              "%s: %s", q->q.name, q->q.text);
    td_client_withdraw(&client->bus.client, &q->q);
    free(q->q.result);
    q->asking = false;
}

void svc_operate_drop(struct svc_client *client)
{
    struct svc_question *q = &client->w->question;

    if (!q->asking)
        return;
    td_client_withdraw(&client->bus.client, &q->q);
    free(q->q.result);
    q->asking = false;
}

/* ---- the copy of the registry ---- */

void svc_watch_start(struct svc_client *client)
{
    SVC_CHECK(client->w, !td_discovery_begin(&client->bus), "out of memory");
}

void svc_watch_gap(struct svc_client *client)
{
    svc_seen(client->w, SVC_SEEN_GAP);
    td_discovery_missed(&client->bus);
}

static bool is_same(const struct tidings_instance *a,
                    const struct td_instance *b)
{
    return strcmp(a->service, b->service->name) == 0 &&
           strcmp(a->version, b->version) == 0 &&
           strcmp(a->text, b->text) == 0 &&
           (unsigned)a->health == (unsigned)b->state &&
           a->draining == b->draining && a->types_len == b->endpoints_len;
}

static void check_same(struct svc *w, const struct tidings_instances *list)
{
    struct td_engine *e = w->broker.engine;

    SVC_CHECK(w, list->len == HASH_COUNT(e->serving.instances),
              "revision %llu has %u instances, and its copy %zu",
              (ull)e->serving.revision, HASH_COUNT(e->serving.instances),
              list->len);
    for (size_t i = 0; i < list->len && !w->failed; i++) {
        const struct td_instance *is =
            td_instance_find(e, td_str_of(list->list[i].id));

        SVC_CHECK(w, is && is_same(&list->list[i], is),
                  "the copy of instance %s is not as it is", list->list[i].id);
    }
}

/* None that has been gone for longer than its event takes to come, and a round
 * trip. */
static void check_gone(struct svc_client *client,
                       const struct tidings_instances *list)
{
    struct svc *w = client->w;
    int64_t most_ms = 2 * (w->config.delay_max_ms + w->config.turn_ms) + 5;

    if (!client->link || client->link->hurt || w->healing ||
        client->paused_ms + most_ms >= w->now_ms ||
        w->broker.paused_ms + most_ms >= w->now_ms || w->broker.paused_until_ms)
        return;
    for (size_t i = 0; i < list->len; i++) {
        const struct svc_known *k = svc_known_find(w, list->list[i].id);

        SVC_CHECK(w, k, "instance %s has never been there", list->list[i].id);
        SVC_CHECK(w, !k || k->there || w->now_ms - k->gone_ms <= most_ms,
                  "instance %s has been gone for %lld ms", list->list[i].id,
                  (long long)(k ? w->now_ms - k->gone_ms : 0));
    }
}

static bool is_current(const struct svc_client *client)
{
    const struct svc *w = client->w;
    const struct td_engine *e = w->broker.engine;

    return e && client->bus.client.epoch == w->broker.epoch &&
           client->bus.discovery.copy.revision == e->serving.revision;
}

void svc_watch(struct svc_client *client)
{
    struct svc *w = client->w;
    struct td_discovery *d = &client->bus.discovery;
    struct tidings_instances *list;
    bool is_true;

    td_discovery_step(&client->bus);
    is_true = td_discovery_is_true(&client->bus);
    list = td_registry_list(&d->copy, NULL);
    SVC_CHECK(w, list, "out of memory");
    if (!list)
        return;
    SVC_CHECK(w, !is_true || !list->stale, "what is true is called stale");
    if (!is_true && client->was_true) {
        svc_seen(w, SVC_SEEN_STALE);
        client->told_stale = true;
    }
    if (is_true && client->told_stale) {
        svc_seen(w, SVC_SEEN_TRUE_AGAIN);
        client->told_stale = false;
    }
    client->was_true = is_true;
    if (is_true && is_current(client))
        check_same(w, list);
    if (is_true)
        check_gone(client, list);
    tidings_instances_free(list);
}

const char *svc_watch_waits(struct svc_client *client)
{
    return td_discovery_is_true(&client->bus) && is_current(client)
               ? NULL
               : "a copy of the registry";
}
