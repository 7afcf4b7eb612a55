/* Peers that break the rules: clients whose messages are changed on their
 * way out, and bare links with garbage. */
#include "tests/sim/world.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define SPOIL_PER_MILLE 60

static void flip(struct sim_random *r, uint8_t *data, size_t len)
{
    for (uint64_t n = 1 + sim_below(r, 3); n > 0 && len > 0; n--)
        data[sim_below(r, len)] ^= (uint8_t)(1u << sim_below(r, 8));
}

static struct td_body *spoil_body(struct sim_random *r, struct td_body *body)
{
    size_t len = body->len;
    uint8_t *data;
    struct td_body *copy;

    if (sim_chance(r, 300))
        len -= sim_below(r, len < 4 ? len : 4);
    copy = td_body_new(len, &data);
    if (!copy)
        return NULL;
    memcpy(data, body->data, len);
    flip(r, data, len);
    return copy;
}

static void send_spoiled(struct sim *sim, struct sim_link *link,
                         const void *control, size_t len, struct td_body *body)
{
    struct sim_random *r = &sim->random;
    uint8_t *copy = malloc(len + 8);
    struct td_body *bad =
        body && sim_chance(r, 400) ? spoil_body(r, body) : NULL;

    if (!copy)
        return;
    memcpy(copy, control, len);
    if (!bad && sim_chance(r, 200)) {
        len -= sim_below(r, len);
    } else if (!bad && sim_chance(r, 200)) {
        for (int i = 0; i < 4; i++)
            copy[len++] = (uint8_t)sim_next(r);
    } else if (!bad) {
        flip(r, copy, len);
    }
    sim_send(sim, &link->up, body ? 2 : 1, copy, len, bad ? bad : body);
    td_body_unref(bad);
    free(copy);
}

void sim_evil_send(struct sim *sim, struct sim_link *link, const void *control,
                   size_t len, struct td_body *body)
{
    struct sim_random *r = &sim->random;
    unsigned frames = body ? 2 : 1;

    if (!sim_chance(r, SPOIL_PER_MILLE)) {
        sim_send(sim, &link->up, frames, control, len, body);
        return;
    }
    switch (sim_below(r, 6)) {
    case 0: /* twice: replayed */
        sim_send(sim, &link->up, frames, control, len, body);
        sim_send(sim, &link->up, frames, control, len, body);
        break;
    case 1: /* not at all */
        break;
    case 2: /* another number of frames */
        sim_send(sim, &link->up, (unsigned)sim_below(r, 5), control, len, body);
        break;
    case 3: /* a body too few, or too many */
        sim_send(sim, &link->up, body ? 1 : 2, control, len,
                 body ? NULL : sim->spare);
        break;
    default:
        send_spoiled(sim, link, control, len, body);
        break;
    }
}

/* ---- a bare peer: valid frames at the wrong time, and noise ---- */

static void put_frame(struct sim *sim, const struct td_frame *f,
                      struct td_body *body)
{
    struct td_buf b = {0};

    td_frame_encode(&b, f);
    if (!b.failed)
        sim_send(sim, &sim->raw->up, body ? 2 : 1, b.data, b.len, body);
    td_buf_fini(&b);
}

static void noise(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    uint8_t bytes[64];
    size_t len = sim_below(r, sizeof(bytes));

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)sim_next(r);
    if (len > 2 && sim_chance(r, 700)) { /* as good as a frame */
        bytes[0] = 0x93;
        bytes[1] = (uint8_t)(1 + sim_below(r, 15));
    }
    sim_send(sim, &sim->raw->up, 1, bytes, len, NULL);
}

/* Its own session's token, or nearly. */
static void pack_token(struct sim *sim, msgpack_packer *pk,
                       const struct td_session *s)
{
    uint8_t token[TD_TOKEN_BYTES];

    memcpy(token, s->producer->token, sizeof(token));
    if (sim_chance(&sim->random, 300))
        flip(&sim->random, token, sizeof(token));
    msgpack_pack_str_with_body(pk, "token", 5);
    msgpack_pack_bin_with_body(pk, token, sizeof(token));
}

/* What it claims to have: now and then what can be. */
static void pack_kept(struct sim *sim, msgpack_packer *pk)
{
    struct sim_random *r = &sim->random;
    uint64_t rows = sim_below(r, 4);

    msgpack_pack_str_with_body(pk, "subscriptions", 13);
    msgpack_pack_array(pk, rows);
    while (rows-- > 0) {
        msgpack_pack_array(pk, sim_chance(r, 950) ? 3 : 2);
        msgpack_pack_uint64(pk, 1 + sim_below(r, 3));
        msgpack_pack_uint64(pk, sim_chance(r, 500) ? 0 : sim_below(r, 200));
        msgpack_pack_uint64(pk, sim_chance(r, 800) ? 0 : sim_below(r, 100));
    }
}

/* Asks to go on with the session that its producer has, if it has one. */
static void pack_resume(struct sim *sim, struct td_buf *to,
                        const struct sim_producer *p)
{
    const struct td_session *s = sim_session_of(
        sim, (struct td_str){(const char *)p->id, sizeof(p->id)});
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, td_buf_pack_write);
    msgpack_pack_map(&pk, s ? 2 : 0);
    if (!s)
        return;
    pack_token(sim, &pk, s);
    pack_kept(sim, &pk);
}

static struct sim_producer *raw_producer(struct sim *sim)
{
    if (!sim->raw_producer || sim_chance(&sim->random, 300))
        sim->raw_producer = sim_producer_add(sim, true);
    return sim->raw_producer;
}

static void hello(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct sim_producer *p = raw_producer(sim);
    struct td_frame f = {.op = TD_HELLO};
    struct td_buf options = {0};

    f.u.hello.magic = td_str_of(sim_chance(r, 100) ? "udings" : "tidings");
    f.u.hello.version_min = sim_below(r, 3);
    f.u.hello.version_max = f.u.hello.version_min + sim_below(r, 2);
    f.u.hello.producer.data = (const char *)p->id;
    f.u.hello.producer.len = sizeof(p->id);
    f.u.hello.name = td_str_of("evil");
    pack_resume(sim, &options, p);
    f.u.hello.options.data = (const char *)options.data;
    f.u.hello.options.len = options.len;
    put_frame(sim, &f, NULL);
    td_buf_fini(&options);
}

static void pack_text(msgpack_packer *pk, const char *key, const char *value)
{
    msgpack_pack_str_with_body(pk, key, strlen(key));
    msgpack_pack_str_with_body(pk, value, strlen(value));
}

/* Now and then of a group, under policies that may be another's. */
static void pack_wish(struct sim *sim, struct td_buf *to)
{
    static const char *const names[] = {"g0", "g1", "g2", "", "a group"};
    struct sim_random *r = &sim->random;
    bool grouped = sim->config.grouped > 0 && sim_chance(r, 400);
    msgpack_packer pk;

    msgpack_packer_init(&pk, to, td_buf_pack_write);
    msgpack_pack_map(&pk, grouped ? 5 : 2);
    msgpack_pack_str_with_body(&pk, "events", 6);
    msgpack_pack_uint64(&pk, 100);
    msgpack_pack_str_with_body(&pk, "bytes", 5);
    msgpack_pack_uint64(&pk, 2u << 20);
    if (!grouped)
        return;
    pack_text(&pk, "group", names[sim_below(r, 5)]);
    pack_text(&pk, "policy", td_policy_names[sim_below(r, TD_POLICIES)]);
    pack_text(&pk, "group_policy", td_share_names[sim_below(r, TD_SHARES)]);
}

/* A subscriber that never reads and never gives credit. */
static void hoard(struct sim *sim)
{
    struct td_frame f = {.op = TD_SUBSCRIBE};
    struct td_buf options = {0};

    f.u.subscribe.request = 1 + sim_below(&sim->random, 3);
    f.u.subscribe.subscription = sim_below(&sim->random, 4);
    f.u.subscribe.pattern =
        td_str_of(sim_chance(&sim->random, 900) ? ">" : "..");
    pack_wish(sim, &options);
    f.u.subscribe.options.data = (const char *)options.data;
    f.u.subscribe.options.len = options.len;
    put_frame(sim, &f, NULL);
    td_buf_fini(&options);
}

static void lie(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct td_frame f = {.op = TD_CREDIT};
    struct td_credit row = {sim_below(r, 4), sim_below(r, 200),
                            sim_below(r, 200), sim_below(r, 1u << 22)};
    struct td_buf list = {0};

    td_credit_begin(&list, 1);
    td_credit_append(&list, &row);
    f.u.credit.messages = sim_below(r, 10);
    f.u.credit.list.data = (const char *)list.data;
    f.u.credit.list.len = list.len;
    if (!list.failed)
        put_frame(sim, &f, NULL);
    td_buf_fini(&list);
}

static void flood(struct sim *sim)
{
    struct td_frame f = {.op = TD_PING};

    for (uint64_t n = sim_below(&sim->random, 300); n > 0; n--)
        put_frame(sim, &f, NULL);
}

/* A well-formed batch with sequences near the last ones: some are taken
 * already, some are left out. */
static size_t make_batch(struct sim *sim, struct td_buf *table, uint8_t *to,
                         uint64_t *first)
{
    const struct td_str none = {NULL, 0};
    struct sim_random *r = &sim->random;
    struct td_run runs[3];
    struct td_batch batch = {
        .producer = {(const char *)sim->producers[sim->raw->producer].id,
                     TD_PRODUCER_BYTES},
        .source = td_str_of("/evil"),
        .runs = runs,
        .runs_len = 1 + (uint32_t)sim_below(r, 3),
    };
    uint8_t *p = to;

    for (uint32_t i = 0; i < batch.runs_len; i++) {
        struct td_run *run = &runs[i];
        const uint8_t *start = p;

        memset(run, 0, sizeof(*run));
        run->type = td_str_of(sim_types[sim_below(r, SIM_TYPES)]);
        run->first = *first;
        run->count = 1 + (uint32_t)sim_below(r, 4);
        for (uint32_t n = 0; n < run->count; n++)
            p = td_event_put(p, 0, "evil", sim_below(r, 5), none);
        run->bytes = (uint32_t)(p - start);
        *first += run->count + sim_below(r, 2);
    }
    td_batch_pack(table, &batch);
    return (size_t)(p - to);
}

static void publish(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    const struct sim_producer *p;
    struct td_frame f = {.op = TD_PUBLISH};
    uint32_t batches = 1 + (uint32_t)sim_below(r, 3);
    struct td_buf table = {0};
    struct td_body *body;
    uint64_t first;
    uint8_t bytes[512];
    size_t len = 0;

    if (sim->raw->producer == UINT32_MAX)
        return;
    p = &sim->producers[sim->raw->producer];
    first = p->taken + 3 - sim_below(r, p->taken < 3 ? p->taken + 3 : 6);
    td_batches_begin(&table, batches);
    while (batches-- > 0)
        len += make_batch(sim, &table, bytes + len, &first);
    body = td_body_copy(bytes, len);
    f.u.publish.flags = sim_below(r, 2);
    f.u.publish.batches.data = (const char *)table.data;
    f.u.publish.batches.len = table.len;
    if (body)
        put_frame(sim, &f, body);
    td_body_unref(body);
    td_buf_fini(&table);
}

void sim_evil_act(struct sim *sim)
{
    struct sim_random *r = &sim->random;

    sim->evil_ms = sim->now_ms + sim_between(r, 1, 300);
    if (sim->raw && (sim->raw->shut_ms <= sim->now_ms || sim_chance(r, 50))) {
        struct sim_link *old = sim->raw;

        sim->raw = NULL;
        sim_link_close(sim, old, true);
    }
    if (!sim->raw) {
        sim->raw = sim_link_new(sim, NULL, true);
        if (sim->raw)
            hello(sim);
        return;
    }
    switch (sim_below(r, 8)) {
    case 0:
        noise(sim);
        break;
    case 1:
    case 2:
        hoard(sim);
        break;
    case 3:
        lie(sim);
        break;
    case 4:
        flood(sim);
        break;
    case 5:
        if (sim_chance(r, 300))
            hello(sim);
        break;
    default:
        publish(sim);
        break;
    }
}
