#include "tests/unit/engine_harness.h"

#include <stdlib.h>

#include "tests/support/alloc.h"
#include "proto/id.h"
#include "tests/support/mp.h"

/* ---- the port ---- */

#define JUDGE "~judge" /* what is sent to it is kept apart */

static bool port_send(void *ctx, struct td_str peer, const void *control,
                      size_t len, struct td_body *body)
{
    struct fixture *f = ctx;
    struct sent *s = &f->sent[f->sent_len];

    if (is_text(peer, JUDGE)) {
        td_buf_reset(&f->stats);
        td_buf_append(&f->stats, control, len);
        return true;
    }
    if (f->refuses || f->sent_len == SENT_MAX ||
        (f->deaf && is_text(peer, f->deaf)))
        return false;
    memset(s, 0, sizeof(*s));
    memcpy(s->peer, peer.data, peer.len < 7 ? peer.len : 7);
    td_buf_append(&s->control, control, len);
    if (s->control.failed)
        return false; /* as a link without memory would */
    s->body = body ? td_body_ref(body) : NULL;
    f->sent_len++;
    return true;
}

/* The n-th token is n, 16 times. */
static bool port_random(void *ctx, void *out, size_t len)
{
    struct fixture *f = ctx;

    memset(out, ++f->tokens, len);
    return true;
}

static int64_t port_unix_us(void *ctx)
{
    const struct fixture *f = ctx;

    return 1000 * (f->now + f->unix_ahead_ms);
}

void forget(struct fixture *f)
{
    while (f->sent_len > 0) {
        struct sent *s = &f->sent[--f->sent_len];

        td_buf_fini(&s->control);
        td_body_unref(s->body);
    }
}

void start(struct fixture *f, struct td_engine_options options)
{
    options.epoch = 77;
    options.seed = 88;
    options.version = "1.2.3";
    options.port.send = port_send;
    options.port.random = options.grace_ms > 0 ? port_random : NULL;
    options.port.unix_us = port_unix_us;
    options.port.ctx = f;
    assert_ok(td_engine_new(&f->engine, &options, f->now));
}

void restart(struct fixture *f, struct td_engine_options options)
{
    td_engine_free(f->engine);
    f->engine = NULL;
    start(f, options);
}

static int setup_with(void **state, int64_t grace_ms)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    f->now = 1000;
    start(f, (struct td_engine_options){.grace_ms = grace_ms});
    return 0;
}

int setup(void **state)
{
    return setup_with(state, 0);
}

int setup_resumable(void **state)
{
    return setup_with(state, TD_GRACE_MS);
}

int teardown(void **state)
{
    struct fixture *f = *state;

    td_engine_free(f->engine);
    forget(f);
    td_buf_fini(&f->stats);
    free(f);
    return 0;
}

/* ---- giving ---- */

static void starve(struct fixture *f)
{
    if (++f->calls == f->starved_call)
        td_alloc_fail(f->starved_allocation);
}

static void feed(struct fixture *f)
{
    f->starved = f->starved || td_alloc_failed();
    td_alloc_fail(0);
    judge(f);
}

void message(struct fixture *f, const char *peer, unsigned frames,
             const struct td_buf *control, struct td_body *body)
{
    starve(f);
    td_engine_message(f->engine, td_str_of(peer), frames, control->data,
                      control->len, body, f->now);
    feed(f);
}

void give(struct fixture *f, const char *peer, const char *text)
{
    struct td_buf b = {0};

    td_mp(&b, text);
    message(f, peer, 1, &b, NULL);
    td_buf_fini(&b);
}

void givef(struct fixture *f, const char *peer, const char *format, ...)
{
    char text[2048];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof(text));
    give(f, peer, text);
}

void gone(struct fixture *f, const char *peer)
{
    td_engine_gone(f->engine, td_str_of(peer), f->now);
    judge(f);
}

void flush(struct fixture *f)
{
    starve(f);
    f->next = td_engine_flush(f->engine, f->now);
    feed(f);
}

void pass(struct fixture *f, int64_t ms)
{
    int64_t end = f->now + ms;

    while (f->next < end) {
        f->now = f->next > f->now ? f->next : f->now + 1;
        flush(f);
    }
    f->now = end;
    flush(f);
}

void producer_of(uint8_t out[TD_PRODUCER_BYTES], const char *peer)
{
    size_t len = strcspn(peer, "/");

    if (*peer == '=') {
        td_producer_named(out, (struct td_str){peer + 1, len - 1});
        return;
    }
    for (size_t i = 0; i < TD_PRODUCER_BYTES; i++)
        out[i] = (uint8_t)peer[i % len];
}

void hello_with(struct fixture *f, const char *peer, const char *options)
{
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_frame hi = {.op = TD_HELLO};
    struct td_buf map = {0};
    struct td_buf b = {0};

    producer_of(producer, peer);
    td_mp(&map, options);
    hi.u.hello.magic = td_str_of("tidings");
    hi.u.hello.version_min = hi.u.hello.version_max = 1;
    hi.u.hello.producer.data = (const char *)producer;
    hi.u.hello.producer.len = sizeof(producer);
    hi.u.hello.name = td_str_of(peer);
    hi.u.hello.options = td_mp_str(&map);
    td_frame_encode(&b, &hi);
    message(f, peer, 1, &b, NULL);
    td_buf_fini(&map);
    td_buf_fini(&b);
}

void hello(struct fixture *f, const char *peer)
{
    hello_with(f, peer, "{}");
}

/* ---- beginning ---- */

void subscriber(struct fixture *f, const char *peer, const char *pattern,
                const char *options)
{
    hello(f, peer);
    givef(f, peer, "[5 1 1 \"%s\" %s]", pattern, options);
    assert_int_equal(code_of_reply(f, peer), TIDINGS_OK);
}

void begin(struct fixture *f, const char *pattern, const char *options)
{
    hello(f, "pub");
    subscriber(f, "sub", pattern, options);
    flush(f);
    forget(f);
}

/* ---- getting ---- */

struct sent *find(struct fixture *f, const char *peer, enum td_op op,
                  uint32_t nth)
{
    for (uint32_t i = 0; i < f->sent_len; i++) {
        struct sent *s = &f->sent[i];
        const char *why;

        if (strncmp(s->peer, peer, sizeof(s->peer) - 1) != 0)
            continue;
        assert_ok(td_frame_decode(&s->frame, s->control.data, s->control.len,
                                  false, &why));
        if (s->frame.op == op && nth-- == 0)
            return s;
    }
    return NULL;
}

struct td_frame *frame(struct fixture *f, const char *peer, enum td_op op,
                       uint32_t nth)
{
    struct sent *s = find(f, peer, op, nth);

    if (!s)
        print_error("no %s to %s\n", td_op_name(op), peer);
    assert_non_null(s);
    return &s->frame;
}

/* A part of a message: f->part, and its batches decoded. */
static void open_part(struct fixture *f, struct td_reader *parts,
                      const uint8_t **body, const uint8_t *end)
{
    uint32_t events;
    uint32_t bytes;
    const char *why;

    assert_true(td_part_read(parts, &f->part));
    assert_true(td_batches_sum(f->part.batches, &events, &bytes));
    assert_true(bytes <= (size_t)(end - *body));
    assert_ok(
        td_batches_decode(&f->batches, f->part.batches, *body, bytes, &why));
    *body += bytes;
}

bool part_of(struct fixture *f, struct sent *s, uint32_t nth)
{
    const struct td_str *raw = &s->frame.u.deliver.parts;
    struct td_reader parts = td_reader_of(raw->data, raw->len);
    const uint8_t *body = s->body->data;
    const uint8_t *end = body + s->body->len;
    uint32_t n;

    assert_true(td_read_array(&parts, &n) && n > 0);
    while (n-- > 0) {
        open_part(f, &parts, &body, end);
        if (nth-- == 0)
            return true;
    }
    assert_ptr_equal(body, end);
    return false;
}

static uint32_t parts_in(const struct sent *s)
{
    const struct td_str *raw = &s->frame.u.deliver.parts;
    struct td_reader parts = td_reader_of(raw->data, raw->len);
    uint32_t n;

    assert_true(td_read_array(&parts, &n));
    return n;
}

/* false: there are fewer parts. */
static bool find_part(struct fixture *f, const char *peer, uint32_t nth)
{
    struct sent *s;

    for (uint32_t i = 0; (s = find(f, peer, TD_DELIVER, i)); i++) {
        if (nth < parts_in(s))
            return part_of(f, s, nth);
        nth -= parts_in(s);
    }
    return false;
}

const struct td_batches *delivered(struct fixture *f, const char *peer,
                                   uint32_t nth)
{
    assert_true(find_part(f, peer, nth));
    return &f->batches;
}

const struct td_part *part(struct fixture *f, const char *peer, uint32_t nth)
{
    assert_true(find_part(f, peer, nth));
    return &f->part;
}

uint32_t messages_to(struct fixture *f, const char *peer)
{
    uint32_t n = 0;

    while (find(f, peer, TD_DELIVER, n))
        n++;
    return n;
}

uint64_t events_to(struct fixture *f, const char *peer)
{
    uint64_t events = 0;

    for (uint32_t i = 0; find_part(f, peer, i); i++)
        events += f->batches.events;
    return events;
}

uint32_t sequences_to(struct fixture *f, const char *peer, uint64_t *out,
                      uint32_t max)
{
    uint32_t n = 0;

    for (uint32_t i = 0; find_part(f, peer, i); i++) {
        const struct td_batches *b = &f->batches;

        for (uint32_t r = 0; r < b->runs_len; r++) {
            for (uint32_t k = 0; k < b->runs[r].count && n < max; k++)
                out[n++] = b->runs[r].first + k;
        }
    }
    return n;
}

uint64_t missed_by(struct fixture *f, const char *peer, const char *reason)
{
    struct sent *s;
    uint64_t events = 0;

    for (uint32_t i = 0; (s = find(f, peer, TD_GAP, i)); i++) {
        if (!reason || is_text(s->frame.u.gap.reason, reason))
            events += s->frame.u.gap.events;
    }
    return events;
}

void assert_bye(struct fixture *f, const char *row, const char *peer,
                tidings_err code)
{
    struct sent *s = find(f, peer, TD_BYE, 0);

    assert_row(row, s != NULL);
    assert_row(row, s->frame.u.bye.code == (uint64_t)code);
    assert_row(row, s->frame.u.bye.text.len > 0);
}

tidings_err code_of_reply(struct fixture *f, const char *peer)
{
    uint32_t n = 0;

    while (find(f, peer, TD_REPLY, n))
        n++;
    assert_row(peer, n > 0);
    return (tidings_err)frame(f, peer, TD_REPLY, n - 1)->u.reply.code;
}

uint64_t sessions(struct fixture *f)
{
    return HASH_COUNT(f->engine->sessions);
}

struct td_session *session_of(struct fixture *f, const char *peer)
{
    struct td_session *s;

    HASH_FIND(hh_peer, f->engine->peers, peer, strlen(peer), s);
    return s && !s->away ? s : NULL;
}

struct td_sub *sub_of(struct fixture *f, const char *peer, uint64_t number)
{
    struct td_session *s = session_of(f, peer);
    struct td_sub *sub = s ? td_sub_find(s, number) : NULL;

    assert_row(peer, sub != NULL);
    return sub;
}

uint64_t count(struct td_str map, const char *key)
{
    uint64_t value = UINT64_MAX;

    assert_row(key, td_map_uint(map, key, &value) && value != UINT64_MAX);
    return value;
}

struct td_str text_of(struct td_str map, const char *key)
{
    struct td_str text = {NULL, 0};

    assert_row(key, td_map_str(map, key, &text) && text.data);
    return text;
}

struct td_str map_of(struct td_str map, const char *key)
{
    struct td_str value;

    assert_row(key, td_map_find(map, key, &value));
    return value;
}

bool is_text(struct td_str text, const char *is)
{
    return text.len == strlen(is) && memcmp(text.data, is, text.len) == 0;
}
