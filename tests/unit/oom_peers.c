#include "tests/unit/oom_peers.h"

#include <msgpack.h>

#include "proto/frame.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"
#include "tests/support/td_test.h"

const char *const oom_names[OOM_PEERS] = {"anna", "bert", "cleo", "judge"};

/* ---- what the engine says ---- */

#define MSGPACK_TRUE '\xc3'

static void on_welcome(struct oom_peer *p, const struct td_frame *f)
{
    struct td_str value = {0};
    struct td_reader r;

    assert_true(f->u.welcome.taken <= p->sequence);
    p->sequence = f->u.welcome.taken; /* the rest is not sent again */
    p->messages = 0;
    assert_true(td_map_find(f->u.welcome.limits, "resumed", &value));
    if (value.data[0] != MSGPACK_TRUE)
        memset(p->subs, 0, sizeof(p->subs));
    assert_true(td_map_find(f->u.welcome.limits, "token", &value));
    r = td_reader_of(value.data, value.len);
    assert_true(td_read_bin(&r, &value) && value.len == sizeof(p->token));
    memcpy(p->token, value.data, value.len);
    p->up = p->resumable = p->has_token = true;
}

static void on_reply(struct oom_broker *b, struct oom_peer *p,
                     const struct td_frame *f)
{
    p->answered = f->u.reply.request;
    p->code = (tidings_err)f->u.reply.code;
    if (p->asked && p->answered == p->request && !p->code)
        p->subs[p->asked].live = !p->subs[p->asked].live;
    if (p == &b->peers[OOM_JUDGE]) {
        td_buf_reset(&b->stats);
        td_buf_append(&b->stats, f->u.reply.result.data, f->u.reply.result.len);
    }
}

static void on_part(struct oom_broker *b, struct oom_peer *p,
                    const struct td_part *part, struct td_str *body)
{
    struct oom_sub *sub = &p->subs[part->subscription];
    const char *why;
    uint32_t events;
    uint32_t bytes;

    assert_true(part->subscription < OOM_SUBS && sub->live);
    assert_int_equal(part->tag, sub->received + 1);
    assert_true(td_batches_sum(part->batches, &events, &bytes));
    assert_true(bytes <= body->len);
    if (td_batches_decode(&b->batches, part->batches,
                          (const uint8_t *)body->data, bytes, &why))
        fail_msg("DELIVER: %s", why);
    body->data += bytes;
    body->len -= bytes;
    sub->received += events;
    sub->bytes += bytes;
}

static void on_deliver(struct oom_broker *b, struct oom_peer *p,
                       const struct td_frame *f, const struct td_body *body)
{
    struct td_reader parts =
        td_reader_of(f->u.deliver.parts.data, f->u.deliver.parts.len);
    struct td_str left = {(const char *)body->data, body->len};
    struct td_part part;
    uint32_t n;

    assert_true(td_read_array(&parts, &n) && n > 0);
    while (n-- > 0) {
        assert_true(td_part_read(&parts, &part));
        on_part(b, p, &part, &left);
    }
    assert_int_equal(left.len, 0);
    p->messages++;
}

static void on_gap(struct oom_peer *p, const struct td_frame *f)
{
    assert_true(f->u.gap.subscription < OOM_SUBS);
    assert_true(p->subs[f->u.gap.subscription].live);
    p->subs[f->u.gap.subscription].missed += f->u.gap.events;
}

static void hear(struct oom_broker *b, struct oom_peer *p,
                 const struct td_frame *f, const struct td_body *body)
{
    switch (f->op) {
    case TD_WELCOME:
        on_welcome(p, f);
        return;
    case TD_TAKEN:
        assert_true(f->u.taken.taken <= p->sequence);
        return;
    case TD_REPLY:
        on_reply(b, p, f);
        return;
    case TD_DELIVER:
        on_deliver(b, p, f, body);
        return;
    case TD_GAP:
        on_gap(p, f);
        return;
    case TD_PONG:
        p->ponged = true;
        return;
    case TD_PING: /* it is looked for, and says nothing */
        return;
    case TD_BYE:
        p->up = p->resumable = false;
        memset(p->subs, 0, sizeof(p->subs));
        return;
    default:
        fail_msg("the engine said %s", td_op_name(f->op));
    }
}

static bool port_send(void *ctx, struct td_str key, const void *control,
                      size_t len, struct td_body *body)
{
    struct oom_broker *b = ctx;
    const char *why;
    struct td_frame f;

    td_alloc_hold(true);
    for (unsigned i = 0; i < OOM_PEERS; i++) {
        if (strlen(oom_names[i]) != key.len ||
            memcmp(oom_names[i], key.data, key.len) != 0 || b->peers[i].deaf)
            continue;
        assert_ok(td_frame_decode(&f, control, len, false, &why));
        hear(b, &b->peers[i], &f, body);
    }
    td_alloc_hold(false);
    return true;
}

static bool port_random(void *ctx, void *out, size_t len)
{
    struct oom_broker *b = ctx;

    memset(out, (int)++b->tokens, len);
    return true;
}

/* ---- life ---- */

void oom_start(struct oom_broker *b, size_t memory_bytes)
{
    const struct td_engine_options options = {
        .epoch = 7,
        .memory_bytes = memory_bytes,
        .version = "1",
        .port = {.send = port_send, .random = port_random, .ctx = b},
    };

    memset(b, 0, sizeof(*b));
    b->now = b->next = 1000;
    assert_ok(td_engine_new(&b->engine, &options, b->now));
}

void oom_finish(struct oom_broker *b)
{
    td_engine_free(b->engine);
    td_buf_fini(&b->stats);
}

void oom_pass(struct oom_broker *b, int64_t ms)
{
    int64_t end = b->now + ms;

    while (b->next < end) {
        b->now = b->next > b->now ? b->next : b->now + 1;
        b->next = td_engine_flush(b->engine, b->now);
    }
    b->now = end;
    b->next = td_engine_flush(b->engine, b->now);
}

/* ---- what peers say ---- */

void oom_say(struct oom_broker *b, unsigned peer, const struct td_frame *frame,
             struct td_body *body)
{
    struct td_buf control = {0};

    td_alloc_hold(true);
    td_frame_encode(&control, frame);
    assert_false(control.failed);
    td_alloc_hold(false);
    td_engine_message(b->engine, td_str_of(oom_names[peer]), body ? 2 : 1,
                      control.data, control.len, body, b->now);
    b->next = td_engine_flush(b->engine, b->now);
    td_alloc_hold(true);
    td_buf_fini(&control);
    td_alloc_hold(false);
}

void oom_producer(uint8_t out[TD_PRODUCER_BYTES], unsigned peer)
{
    memset(out, 'a' + (int)peer, TD_PRODUCER_BYTES);
}

static void hello(struct oom_broker *b, unsigned peer, struct td_str options)
{
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_frame f = {.op = TD_HELLO};

    if (b->peers[peer].up)
        return;
    b->peers[peer].deaf = false;
    oom_producer(producer, peer);
    f.u.hello.magic = td_str_of(TD_PROTOCOL_MAGIC);
    f.u.hello.version_min = f.u.hello.version_max = TD_PROTOCOL_VERSION;
    f.u.hello.producer.data = (const char *)producer;
    f.u.hello.producer.len = sizeof(producer);
    f.u.hello.name = td_str_of(oom_names[peer]);
    f.u.hello.options = options;
    oom_say(b, peer, &f, NULL);
}

static void pack_kept(msgpack_packer *pk, const struct oom_peer *p)
{
    size_t rows = 0;

    for (unsigned i = 0; i < OOM_SUBS; i++)
        rows += p->subs[i].live;
    msgpack_pack_array(pk, rows);
    for (unsigned i = 0; i < OOM_SUBS; i++) {
        if (!p->subs[i].live)
            continue;
        msgpack_pack_array(pk, 3);
        msgpack_pack_uint64(pk, i);
        msgpack_pack_uint64(pk, p->subs[i].received);
        msgpack_pack_uint64(pk, p->subs[i].missed);
    }
}

static void pack_key(msgpack_packer *pk, const char *key)
{
    msgpack_pack_str(pk, strlen(key));
    msgpack_pack_str_body(pk, key, strlen(key));
}

/* The producer is remembered, so that a new session too needs its token. */
static void hello_as(struct oom_broker *b, unsigned peer, bool resume)
{
    const struct oom_peer *p = &b->peers[peer];
    struct td_buf options = {0};
    msgpack_packer pk;

    td_alloc_hold(true);
    msgpack_packer_init(&pk, &options, td_buf_pack_write);
    msgpack_pack_map(&pk, (size_t)p->has_token + resume);
    if (p->has_token) {
        pack_key(&pk, "token");
        msgpack_pack_bin(&pk, sizeof(p->token));
        msgpack_pack_bin_body(&pk, p->token, sizeof(p->token));
    }
    if (resume) {
        pack_key(&pk, "subscriptions");
        pack_kept(&pk, p);
    }
    td_alloc_hold(false);
    hello(b, peer, td_mp_str(&options));
    td_alloc_hold(true);
    td_buf_fini(&options);
    td_alloc_hold(false);
}

void oom_hello(struct oom_broker *b, unsigned peer)
{
    hello_as(b, peer, false);
}

void oom_resume(struct oom_broker *b, unsigned peer)
{
    hello_as(b, peer, b->peers[peer].resumable);
}

/* Every question is answered, or ends the session. */
static void ask(struct oom_broker *b, unsigned peer, const struct td_frame *f,
                unsigned number)
{
    struct oom_peer *p = &b->peers[peer];

    p->asked = number;
    oom_say(b, peer, f, NULL);
    p->asked = 0;
    if (p->up && p->answered != p->request)
        oom_find_lost(b);
    assert_true(!p->up || p->answered == p->request);
}

void oom_subscribe(struct oom_broker *b, unsigned peer, unsigned number,
                   const char *pattern, const char *options)
{
    struct oom_peer *p = &b->peers[peer];
    struct td_frame f = {.op = TD_SUBSCRIBE};
    struct oom_sub *sub = &p->subs[number];
    struct td_buf map = {0};

    if (!p->up || sub->live)
        return;
    td_alloc_hold(true);
    td_mp(&map, options);
    memset(sub, 0, sizeof(*sub));
    snprintf(sub->pattern, sizeof(sub->pattern), "%s", pattern);
    sub->grouped = strstr(options, "\"group\"") != NULL;
    b->advised = b->advised || pattern[0] == '$';
    assert_true(td_map_uint(td_mp_str(&map), "events", &sub->window_events));
    assert_true(td_map_uint(td_mp_str(&map), "bytes", &sub->window_bytes));
    td_alloc_hold(false);
    f.u.subscribe.request = ++p->request;
    f.u.subscribe.subscription = number;
    f.u.subscribe.pattern = td_str_of(pattern);
    f.u.subscribe.options = td_mp_str(&map);
    ask(b, peer, &f, number);
    assert_true(!p->up || !p->code || p->code == TIDINGS_ENOMEM);
    td_alloc_hold(true);
    td_buf_fini(&map);
    td_alloc_hold(false);
}

void oom_unsubscribe(struct oom_broker *b, unsigned peer, unsigned number)
{
    struct oom_peer *p = &b->peers[peer];
    struct td_frame f = {.op = TD_UNSUBSCRIBE};

    if (!p->up || !p->subs[number].live)
        return;
    f.u.unsubscribe.request = ++p->request;
    f.u.unsubscribe.subscription = number;
    ask(b, peer, &f, number);
    assert_true(!p->up || (!p->code && !p->subs[number].live));
}

void oom_credit(struct oom_broker *b, unsigned peer)
{
    struct oom_peer *p = &b->peers[peer];
    struct td_frame f = {.op = TD_CREDIT};
    struct td_buf list = {0};
    uint32_t rows = 0;

    if (!p->up)
        return;
    td_alloc_hold(true);
    for (unsigned i = 0; i < OOM_SUBS; i++)
        rows += p->subs[i].live;
    td_credit_begin(&list, rows);
    for (unsigned i = 0; i < OOM_SUBS; i++) {
        const struct oom_sub *s = &p->subs[i];
        const struct td_credit row = {i, s->received,
                                      s->received + s->window_events,
                                      s->bytes + s->window_bytes};

        if (s->live)
            td_credit_append(&list, &row);
    }
    td_alloc_hold(false);
    f.u.credit.messages = p->messages;
    f.u.credit.list = td_mp_str(&list);
    oom_say(b, peer, &f, NULL);
    td_alloc_hold(true);
    td_buf_fini(&list);
    td_alloc_hold(false);
}

void oom_stats(struct oom_broker *b, unsigned peer, const char *rows)
{
    struct oom_peer *p = &b->peers[peer];
    struct td_frame f = {.op = TD_STATS};
    struct td_buf map = {0};
    char text[64];

    if (!p->up)
        return;
    snprintf(text, sizeof(text), "{\"rows\" \"%s\"}", rows);
    td_alloc_hold(true);
    td_mp(&map, text);
    td_alloc_hold(false);
    f.u.stats.request = ++p->request;
    f.u.stats.options = td_mp_str(&map);
    ask(b, peer, &f, 0);
    assert_true(!p->up || !p->code || p->code == TIDINGS_ENOMEM);
    td_alloc_hold(true);
    td_buf_fini(&map);
    td_alloc_hold(false);
}

void oom_bye(struct oom_broker *b, unsigned peer)
{
    const struct td_frame f = {.op = TD_BYE, .u.bye = {.text = td_str_of("")}};

    if (!b->peers[peer].up)
        return;
    oom_say(b, peer, &f, NULL);
    b->peers[peer].up = b->peers[peer].resumable = false;
    memset(b->peers[peer].subs, 0, sizeof(b->peers[peer].subs));
}

void oom_gone(struct oom_broker *b, unsigned peer)
{
    td_engine_gone(b->engine, td_str_of(oom_names[peer]), b->now);
    b->next = td_engine_flush(b->engine, b->now);
    b->peers[peer].up = false;
}

/* ---- who is still there ---- */

void oom_find_lost(struct oom_broker *b)
{
    const struct td_frame ping = {.op = TD_PING, .u.ping = {.token = 1}};

    for (unsigned i = 0; i < OOM_PEERS; i++) {
        struct oom_peer *p = &b->peers[i];

        if (!p->up || p->deaf)
            continue;
        p->ponged = false;
        td_alloc_hold(true);
        oom_say(b, i, &ping, NULL);
        td_alloc_hold(false);
        assert_true(p->ponged || !p->up);
    }
}
