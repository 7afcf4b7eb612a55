/* What peers do: one step of the input after the other. */
#include "tests/fuzz/services.h"

#include <string.h>

#include "proto/batch.h"
#include "proto/option.h"

/* ---- the input ---- */

static unsigned take(unsigned below)
{
    return w.p < w.end ? *w.p++ % below : 0;
}

static struct td_str str_of(const struct td_buf *b)
{
    return (struct td_str){(const char *)b->data, b->len};
}

/* One of these, divided by blanks. */
static struct td_str word(const char *words, unsigned n)
{
    while (n-- > 0)
        words = strchr(words, ' ') + 1;
    return (struct td_str){words, strcspn(words, " ")};
}

#define TYPE     word("a.b a.c b", take(3))
#define SERVICE  word("one two three", take(3))
#define VERSION  word("1.0.0 2.0.0", take(2))
#define INSTANCE word("i j k", take(3))
#define BALANCE                                                                \
    word("round_robin random least_in_flight by_key latency", take(5))

/* ---- giving ---- */

static struct td_str name_of(unsigned p)
{
    return word("a b c d", p);
}

static void give(unsigned p, const struct td_frame *f, struct td_body *body)
{
    td_buf_reset(&w.control);
    td_frame_encode(&w.control, f);
    FUZZ_CHECK(!w.control.failed);
    td_engine_message(w.engine, name_of(p), body ? 2 : 1, w.control.data,
                      w.control.len, body, w.now);
    td_body_unref(body);
}

/* Options of a frame, to be filled. */
static msgpack_packer options_of(unsigned pairs)
{
    msgpack_packer pk;

    td_buf_reset(&w.options);
    msgpack_packer_init(&pk, &w.options, td_buf_pack_write);
    msgpack_pack_map(&pk, pairs);
    return pk;
}

static void greet(unsigned p)
{
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_frame f = {.op = TD_HELLO};

    memset(producer, (int)p + 1, sizeof(producer));
    options_of(0);
    f.u.hello.magic = td_str_of(TD_PROTOCOL_MAGIC);
    f.u.hello.version_min = f.u.hello.version_max = TD_PROTOCOL_VERSION;
    f.u.hello.producer =
        (struct td_str){(const char *)producer, sizeof(producer)};
    f.u.hello.name = name_of(p);
    f.u.hello.options = str_of(&w.options);
    give(p, &f, NULL);
}

static void pack_endpoint(msgpack_packer *pk)
{
    msgpack_pack_map(pk, 5);
    td_option_pack_str(pk, "name", td_str_of("e"));
    td_option_pack_str(pk, "type", word("a.b a.* > b", take(4)));
    td_option_pack_str(pk, "group", word("g h l", take(3)));
    td_option_pack_str(pk, "balance", BALANCE);
    td_option_pack_uint(pk, "max_in_flight", 1 + take(4));
}

static void serve(unsigned p)
{
    struct td_frame f = {.op = TD_SERVE};
    unsigned endpoints = take(4);
    msgpack_packer pk = options_of(4);

    td_option_pack_str(&pk, "id", INSTANCE);
    td_option_pack_uint(&pk, "state", 1 + take(5));
    td_option_pack_uint(&pk, "health_ms", take(2) * 100);
    td_option_pack_one(&pk, td_str_of("endpoints"));
    msgpack_pack_array(&pk, endpoints);
    while (endpoints-- > 0)
        pack_endpoint(&pk);
    f.u.serve.request = 1;
    f.u.serve.service = 1 + take(3);
    f.u.serve.name = SERVICE;
    f.u.serve.version = VERSION;
    f.u.serve.options = str_of(&w.options);
    give(p, &f, NULL);
}

static void unserve(unsigned p)
{
    struct td_frame f = {.op = TD_UNSERVE};

    f.u.unserve.request = 1;
    f.u.unserve.service = 1 + take(3);
    give(p, &f, NULL);
}

static void say_health(unsigned p)
{
    struct td_frame f = {.op = TD_HEALTH};

    f.u.health.service = 1 + take(3);
    f.u.health.state = 1 + take(5);
    f.u.health.text = td_str_of("so");
    give(p, &f, NULL);
}

static void pack_wish(void)
{
    unsigned which = take(32);
    unsigned pairs = 0;
    msgpack_packer pk;

    for (unsigned i = 0; i < 5; i++)
        pairs += which >> i & 1;
    pk = options_of(pairs);
    if (which & 1)
        td_option_pack_str(&pk, "key", word("k kk kkk", take(3)));
    if (which & 2)
        td_option_pack_str(&pk, "service", SERVICE);
    if (which & 4)
        td_option_pack_str(&pk, "instance", INSTANCE);
    if (which & 8)
        td_option_pack_str(&pk, "version", VERSION);
    if (which & 16)
        td_option_pack_str(&pk, "balance", BALANCE);
}

/* Nearly always of a number that is free. */
static unsigned number_of(const struct peer *peer)
{
    unsigned number = take(NUMBERS);

    for (unsigned i = 0; number % 16 && peer->asked[number] && i < NUMBERS; i++)
        number = (number + 1) % NUMBERS;
    return number;
}

static void ask(unsigned p)
{
    static const uint32_t sizes[] = {0, 8, 8000, 9000, 300000};
    static uint8_t data[300000];
    struct peer *peer = &w.peers[p];
    struct td_str none = {NULL, 0};
    unsigned rows = 1 + take(4);
    uint32_t size = sizes[take(5)];
    size_t bytes = td_event_size(0, size, 0);
    struct td_frame f = {.op = TD_REQUEST};
    struct td_body *body;
    uint8_t *to;

    body = td_body_new(bytes * rows, &to);
    FUZZ_CHECK(body);
    td_buf_reset(&w.list);
    td_list_begin(&w.list, rows);
    for (unsigned i = 0; i < rows; i++) {
        struct td_request_row row = {.bytes = bytes};

        row.number = number_of(peer);
        row.flags = take(2) * TD_REQUEST_MANY;
        row.left_ms = 1 + take(LEFT_MS);
        row.type = take(8) ? TYPE : td_str_of("$service.ping");
        if (take(2)) {
            pack_wish();
            row.options = str_of(&w.options);
        }
        if (peer->here) {
            peer->many[row.number] |= row.flags || row.type.data[0] == '$';
            peer->asked[row.number]++;
        }
        td_request_append(&w.list, &row);
        to = td_event_put(to, 0, data, size, none);
    }
    f.u.request.source = td_str_of("/fuzz");
    f.u.request.list = str_of(&w.list);
    give(p, &f, body);
}

static void answer(unsigned p)
{
    static const struct {
        uint64_t code;
        uint64_t status;
    } ends[] = {{TIDINGS_OK, 0},        {TIDINGS_EREMOTE, 404},
                {TIDINGS_EREMOTE, 500}, {TIDINGS_ETIMEDOUT, 0},
                {TIDINGS_EFULL, 0},     {TIDINGS_ELOST, 0}};
    static uint8_t data[100000];
    const struct peer *peer = &w.peers[take(16) ? p : take(PEERS)];
    unsigned rows = 1 + take(4);
    size_t bytes = take(4) ? 10 : sizeof(data);
    struct td_frame f = {.op = TD_ANSWER};
    struct td_body *body;

    td_buf_reset(&w.list);
    td_list_begin(&w.list, rows);
    for (unsigned i = 0; i < rows; i++) {
        unsigned end = take(8);
        struct td_answer_row row = {.task = peer->tasks[take(TASKS)],
                                    .bytes = bytes,
                                    .text = td_str_of("so")};

        row.code = ends[end < 6 ? end : 0].code;
        row.status = ends[end < 6 ? end : 0].status;
        row.held_us = take(2) ? INT64_MAX : take(NUMBERS);
        row.took_us = take(2) ? INT64_MAX : take(NUMBERS);
        td_answer_append(&w.list, &row);
    }
    f.u.answer.list = str_of(&w.list);
    body = td_body_new(bytes * rows, &(uint8_t *){NULL});
    FUZZ_CHECK(body);
    give(p, &f, body);
}

void say_read(unsigned p)
{
    static const uint8_t none = 0x90;
    struct td_frame f = {.op = TD_CREDIT};
    uint64_t seen = w.peers[p].messages;
    unsigned less = take(4);

    f.u.credit.messages = less < seen ? seen - less : seen;
    f.u.credit.list = (struct td_str){(const char *)&none, 1};
    give(p, &f, NULL);
}

static void call(unsigned p)
{
    struct td_frame f = {.op = TD_CALL};
    msgpack_packer pk = options_of(5);

    td_option_pack_str(&pk, "name", SERVICE);
    td_option_pack_str(&pk, "version", VERSION);
    td_option_pack_uint(&pk, "percent", take(101));
    td_option_pack_uint(&pk, "from", take(4));
    td_option_pack_bool(&pk, "undo", take(2));
    f.u.call.request = 2;
    f.u.call.name = word("service.list service.info service.stats "
                         "service.drain service.weight",
                         take(5));
    f.u.call.options = str_of(&w.options);
    give(p, &f, NULL);
}

/* The input's own bytes. */
static void say_anything(unsigned p)
{
    size_t left = (size_t)(w.end - w.p);
    size_t len = take(64);

    len = len < left ? len : left > 0 ? left - 1 : 0;
    td_engine_message(w.engine, name_of(p), 1, w.p, len, NULL, w.now);
    w.p += len;
}

static void leave(unsigned p)
{
    w.peers[p] = (struct peer){0};
    td_engine_gone(w.engine, name_of(p), w.now);
}

static void pass(unsigned p)
{
    (void)p;
    w.now += take(200);
    td_engine_flush(w.engine, w.now);
}

void step(void)
{
    static void (*const steps[])(unsigned p) = {
        ask,          ask,   ask,   ask,      answer,     answer,
        answer,       pass,  pass,  say_read, say_health, call,
        say_anything, serve, serve, leave,    unserve};
    unsigned p = take(PEERS);

    if (!w.peers[p].here)
        greet(p);
    steps[take(sizeof(steps) / sizeof(steps[0]))](p);
}
