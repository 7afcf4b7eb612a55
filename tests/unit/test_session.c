/* The client's session as a machine: a port that records, messages and time
 * by hand. Whole systems are in tests/sim. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/session.h"
#include "proto/limits.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

#define SENT_MAX   2048
#define STATUS_MAX 32

struct sent {
    struct td_buf control;
    struct td_frame frame;
    bool body;
};

struct fixture {
    struct td_client client;
    int64_t now;
    int64_t next;
    bool open;
    unsigned opens;
    tidings_err open_err;
    bool refuses; /* the link takes nothing */
    unsigned calls;
    unsigned starved_call;
    size_t starved_allocation;
    bool starved;
    struct sent sent[SENT_MAX];
    uint32_t sent_len;
    struct {
        enum tidings_status_kind kind;
        tidings_err err;
        uint64_t count;
        char text[128];
    } status[STATUS_MAX];
    uint32_t status_len;
    struct td_delivery delivery;
};

/* ---- the port ---- */

static tidings_err port_open(void *ctx)
{
    struct fixture *f = ctx;

    if (f->open_err)
        return f->open_err;
    assert_false(f->open);
    f->open = true;
    f->opens++;
    return TIDINGS_OK;
}

static void port_close(void *ctx)
{
    struct fixture *f = ctx;

    assert_true(f->open);
    f->open = false;
}

static bool port_send(void *ctx, const void *control, size_t len,
                      struct td_body *body)
{
    struct fixture *f = ctx;
    struct sent *s = &f->sent[f->sent_len];
    const char *why;

    assert_true(f->open);
    if (f->refuses || f->sent_len == SENT_MAX)
        return false;
    memset(s, 0, sizeof(*s));
    td_buf_append(&s->control, control, len);
    if (s->control.failed)
        return false;
    assert_ok(td_frame_decode(&s->frame, s->control.data, s->control.len, true,
                              &why));
    s->body = body != NULL;
    f->sent_len++;
    return true;
}

static void port_status(void *ctx, enum tidings_status_kind kind,
                        tidings_err err, const char *text, struct td_csub *sub,
                        uint64_t count)
{
    struct fixture *f = ctx;

    (void)sub;
    assert_true(f->status_len < STATUS_MAX);
    f->status[f->status_len].kind = kind;
    f->status[f->status_len].err = err;
    f->status[f->status_len].count = count;
    snprintf(f->status[f->status_len].text,
             sizeof(f->status[f->status_len].text), "%s", text);
    f->status_len++;
}

static void forget(struct fixture *f)
{
    while (f->sent_len > 0)
        td_buf_fini(&f->sent[--f->sent_len].control);
    f->status_len = 0;
}

static void start(struct fixture *f)
{
    const struct td_client_options options = {
        .name = "test",
        .source = "/test",
        .producer = "0123456789abcde",
        .unconfirmed_events = 1000,
        .unconfirmed_bytes = 1 << 20,
        .seed = 42,
        .port = {.ctx = f,
                 .open = port_open,
                 .close = port_close,
                 .send = port_send,
                 .status = port_status},
    };

    f->now = 100000;
    td_client_init(&f->client, &options, f->now);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    start(f);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_client_fini(&f->client);
    forget(f);
    free(f);
    return 0;
}

/* ---- giving ---- */

static void tick(struct fixture *f)
{
    f->next = td_client_tick(&f->client, f->now);
}

static tidings_err give(struct fixture *f, const char *text)
{
    struct td_buf b = {0};
    tidings_err err;

    td_mp(&b, text);
    err = td_client_message(&f->client, b.data, b.len, NULL, f->now,
                            &f->delivery);
    td_buf_fini(&b);
    return err;
}

static tidings_err deliver(struct fixture *f, unsigned subscription,
                           unsigned tag)
{
    struct td_body *body = td_body_copy("\xc4\x04\x92\x00\xc4\x00", 6);
    struct td_buf b = {0};
    char text[100];
    tidings_err err;

    snprintf(text, sizeof(text),
             "[8 %u %u [[b(16) \"/s\" 0 [[\"a\" 1 6 1 0]]]]]", subscription,
             tag);
    td_mp(&b, text);
    err = td_client_message(&f->client, b.data, b.len, body, f->now,
                            &f->delivery);
    td_buf_fini(&b);
    td_body_unref(body);
    return err;
}

#define WELCOME "[2 1 7 1 0 1000 1000000 {}]"

/* READY, with this WELCOME. */
static void greet(struct fixture *f, const char *welcome)
{
    if (f->client.state == TD_CLIENT_DOWN) {
        f->now = f->client.retry_ms > f->now ? f->client.retry_ms : f->now;
        tick(f);
    }
    assert_int_equal(f->client.state, TD_CLIENT_GREETING);
    assert_ok(give(f, welcome));
    assert_int_equal(f->client.state, TD_CLIENT_READY);
}

static tidings_err publish(struct fixture *f, size_t len)
{
    static const uint8_t zeros[TD_DATA_BYTES_MAX];
    const struct td_packing event = {
        .type = td_str_of("a"), .time_us = 5, .data = zeros, .len = len};

    return td_client_publish(&f->client, &event);
}

static struct td_csub *subscribe(struct fixture *f, size_t window_events)
{
    const struct tidings_sub_options options = {.window_events = window_events};
    struct td_csub *sub = NULL;

    assert_ok(td_client_subscribe(&f->client, &sub, "a.*", &options));
    return sub;
}

/* A subscription that the broker has. */
static struct td_csub *subscribe_live(struct fixture *f, size_t window_events)
{
    struct td_csub *sub = subscribe(f, window_events);
    char text[40];

    snprintf(text, sizeof(text), "[7 %u 0 \"\" nil]", (unsigned)sub->request);
    assert_ok(give(f, text));
    assert_int_equal(sub->state, TD_CSUB_LIVE);
    return sub;
}

/* ---- getting ---- */

static const struct td_frame *find(struct fixture *f, enum td_op op,
                                   uint32_t nth)
{
    for (uint32_t i = 0; i < f->sent_len; i++) {
        if (f->sent[i].frame.op == op && nth-- == 0)
            return &f->sent[i].frame;
    }
    return NULL;
}

static const struct td_frame *frame(struct fixture *f, enum td_op op,
                                    uint32_t nth)
{
    const struct td_frame *found = find(f, op, nth);

    if (!found)
        print_error("%s was not sent\n", td_op_name(op));
    assert_non_null(found);
    return found;
}

static bool was_told(const struct fixture *f, enum tidings_status_kind kind)
{
    for (uint32_t i = 0; i < f->status_len; i++) {
        if (f->status[i].kind == kind)
            return true;
    }
    return false;
}

/* ---- connecting ---- */

static void test_session_greets_at_its_first_tick(void **state)
{
    struct fixture *f = *state;

    tick(f);
    assert_true(f->open);
    assert_int_equal(f->next, f->now + TD_GREETING_MS);
    assert_int_equal(frame(f, TD_HELLO, 0)->u.hello.version_min,
                     TD_PROTOCOL_VERSION);
    assert_memory_equal(frame(f, TD_HELLO, 0)->u.hello.producer.data,
                        "0123456789abcde", 16);
    assert_false(was_told(f, TIDINGS_UP));
    assert_ok(give(f, WELCOME));
    assert_true(was_told(f, TIDINGS_UP));
    assert_false(was_told(f, TIDINGS_NEW_EPOCH));
    assert_int_equal(f->client.connects, 1);
}

static void test_session_gives_up_on_a_greeting(void **state)
{
    struct fixture *f = *state;

    tick(f);
    f->now += TD_GREETING_MS - 1;
    tick(f);
    assert_true(f->open);
    f->now++;
    tick(f);
    assert_false(f->open);
    assert_int_equal(f->client.state, TD_CLIENT_DOWN);
    assert_int_equal(f->client.last_err, TIDINGS_EUNREACH);
    assert_int_equal(f->status_len, 0); /* it was never up */
}

/* Doubled, at random between a half and all of it, up to the largest. */
static void test_session_tries_again_later_and_later(void **state)
{
    struct fixture *f = *state;
    int64_t ms = TD_RETRY_MIN_MS;

    f->open_err = TIDINGS_EUNREACH;
    for (int i = 0; i < 12; i++) {
        tick(f);
        assert_true(f->next - f->now >= ms / 2);
        assert_true(f->next - f->now <= ms);
        f->now = f->next - 1;
        tick(f);
        assert_int_equal(f->next, f->now + 1);
        f->now = f->next;
        ms = ms * 2 > TD_RETRY_MAX_MS ? TD_RETRY_MAX_MS : ms * 2;
    }
    f->open_err = TIDINGS_OK;
    greet(f, WELCOME); /* thrown out at once: not a reason to hurry */
    td_client_lost(&f->client, TIDINGS_EPROTO, "breach", f->now);
    assert_true(f->client.retry_ms - f->now >= TD_RETRY_MAX_MS / 2);
    greet(f, WELCOME);
    f->now += TD_RETRY_MAX_MS;
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    assert_true(f->client.retry_ms - f->now <= TD_RETRY_MIN_MS);
}

static void test_session_says_why_it_is_down(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(give(f, "[14 12 \"broker is stopping\"]"));
    assert_false(f->open);
    assert_true(was_told(f, TIDINGS_DOWN));
    assert_string_equal(f->client.last_text, "broker is stopping");
    assert_int_equal(f->client.last_err, 12);
    td_client_lost(&f->client, TIDINGS_EIO, "late", f->now); /* it is down */
    assert_int_equal(f->client.last_err, 12);
}

static void test_session_tells_of_a_new_epoch(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    greet(f, WELCOME);
    assert_false(was_told(f, TIDINGS_NEW_EPOCH));
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    greet(f, "[2 1 8 1 0 1000 1000000 {}]");
    assert_true(was_told(f, TIDINGS_NEW_EPOCH));
}

static void test_session_notices_a_link_that_takes_nothing(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    f->refuses = true;
    assert_ok(publish(f, 1)); /* kept for the next session */
    assert_true(f->open);
    tick(f);
    assert_false(f->open);
    f->refuses = false;
    forget(f);
    greet(f, WELCOME);
    assert_non_null(find(f, TD_PUBLISH, 0));
}

static void test_session_does_not_open_again_once_closed(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    td_client_close(&f->client);
    assert_non_null(find(f, TD_BYE, 0));
    assert_false(f->open);
    f->now += 3600000;
    tick(f);
    assert_true(f->next == TD_CLIENT_NEVER);
    assert_int_equal(f->opens, 1);
    td_client_close(&f->client);
}

/* ---- what the broker must not do ---- */

static void test_session_ends_with_a_broker_that_breaks_the_rules(void **state)
{
    static const struct {
        bool ready;
        const char *text;
    } rows[] = {
        {false, "[4 0 1000 1000000]"},
        {false, "<c1>"},
        {false, "[2 1 0 1 0 1000 1000000 {}]"}, /* no epoch */
        {false, "[2 2 7 1 0 1000 1000000 {}]"}, /* not asked for */
        {false, "[2 1 7 1 1 1000 1000000 {}]"}, /* taken, never sent */
        {true, WELCOME},
        {true, "[4 1 1000 1000000]"},
        {true, "[4 0 999 1000000]"}, /* limits fall */
        {true, "[4 0 1000 999999]"},
        {true, "[3 0 []]"},
        {true, "[8 1 1 []]"}, /* without its body */
        {true, "[1 \"tidings\" 1 1 b(16) \"\" {}]"},
        {true, "[60]"},
        {true, "[]"},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        if (rows[i].ready)
            greet(f, WELCOME);
        else
            tick(f);
        assert_row(rows[i].text, give(f, rows[i].text) == TIDINGS_EPROTO);
        assert_row(rows[i].text, !f->open);
        assert_row(rows[i].text, f->client.state == TD_CLIENT_DOWN);
        assert_row(rows[i].text, f->client.retry_ms > f->now);
        assert_ok(give(f, rows[i].text)); /* left over: ignored */
        teardown((void **)&f);
    }
    (void)state;
}

static void test_session_takes_what_later_versions_add(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 1000 1000000 {\"later\" [1 2]} \"field\"]");
    assert_ok(give(f, "[4 0 1000 1000000 1]"));
}

/* ---- publishing ---- */

static void test_session_sends_at_once_when_the_link_is_idle(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(publish(f, 10));
    assert_non_null(find(f, TD_PUBLISH, 0));
    assert_int_equal(td_client_unconfirmed(&f->client), 1);
    assert_ok(give(f, "[4 1 1000 1000000]"));
    assert_int_equal(td_client_unconfirmed(&f->client), 0);
}

/* While an answer is out the batch fills; it leaves when the answer is in. */
static void test_session_makes_batches_of_load(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (int i = 0; i < 100; i++)
        assert_ok(publish(f, 10));
    assert_int_equal(frame(f, TD_PUBLISH, 0)->u.publish.flags, TD_PUBLISH_ASK);
    assert_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 1 1000 1000000]"));
    assert_null(find(f, TD_PUBLISH, 2));
    assert_int_equal(
        td_batches_events(frame(f, TD_PUBLISH, 1)->u.publish.batches), 99);
}

static void test_session_keeps_within_its_credit(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 3 1000000 {}]");
    for (int i = 0; i < 3; i++)
        assert_ok(publish(f, 10)); /* one leaves, two wait for an answer */
    assert_ok(give(f, "[4 1 3 1000000]"));
    assert_non_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 3 3 1000000]"));
    assert_ok(publish(f, 10));
    td_client_pump(&f->client);
    assert_null(find(f, TD_PUBLISH, 2)); /* though the link is idle */
    assert_ok(give(f, "[4 3 4 1000000]"));
    assert_non_null(find(f, TD_PUBLISH, 2));
}

static void test_session_keeps_within_its_credit_for_bytes(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 1000 100 {}]");
    assert_ok(publish(f, 90)); /* 96 with what is around it */
    assert_non_null(find(f, TD_PUBLISH, 0));
    assert_ok(give(f, "[4 1 1000 191]"));
    assert_ok(publish(f, 90));
    assert_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 1 1000 192]"));
    assert_non_null(find(f, TD_PUBLISH, 1));
}

static void test_session_keeps_unconfirmed_events_within_bounds(void **state)
{
    struct fixture *f = *state;
    int n = 0;

    while (n < 2000 && publish(f, 10) == TIDINGS_OK)
        n++;
    assert_int_equal(n, 1000);
    assert_false(td_client_has_room(&f->client));
    greet(f, "[2 1 7 1 0 100000 10000000 {}]");
    assert_false(td_client_has_room(&f->client)); /* sent is not taken */
    assert_ok(give(f, "[4 1000 100000 10000000]"));
    assert_true(td_client_has_room(&f->client));
    assert_ok(publish(f, 10));
}

static void test_session_keeps_unconfirmed_bytes_within_bounds(void **state)
{
    struct fixture *f = *state;

    assert_ok(publish(f, TD_DATA_BYTES_MAX)); /* one may always be */
    assert_err(publish(f, 1), TIDINGS_EFULL);
}

static void test_session_sends_again_what_was_not_taken(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(publish(f, 10));
    assert_ok(publish(f, 10));
    td_client_ask(&f->client);
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    assert_int_equal(td_client_unconfirmed(&f->client), 2);
    forget(f);
    greet(f, "[2 1 7 2 1 1000 1000000 {}]"); /* the first was taken */
    assert_int_equal(td_client_unconfirmed(&f->client), 1);
    assert_non_null(find(f, TD_PUBLISH, 0));
    assert_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 2 1000 1000000]"));
    assert_int_equal(td_client_unconfirmed(&f->client), 0);
}

static void test_session_asks_for_what_nobody_told(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    td_client_ask(&f->client);
    assert_null(find(f, TD_PING, 0)); /* nothing is out */
    assert_ok(publish(f, 10));
    td_client_ask(&f->client);
    assert_true(f->client.asked == 1);
    assert_true((find(f, TD_PING, 0) != NULL) !=
                (frame(f, TD_PUBLISH, 0)->u.publish.flags == TD_PUBLISH_ASK));
    forget(f);
    td_client_ask(&f->client);
    assert_null(find(f, TD_PING, 0)); /* it has been asked */
}

/* ---- subscribing ---- */

static void test_session_subscribes_when_there_is_a_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub = subscribe(f, 100);
    const struct td_frame *s;
    uint64_t value = 0;

    assert_int_equal(sub->state, TD_CSUB_WANTED);
    greet(f, WELCOME);
    assert_int_equal(sub->state, TD_CSUB_ASKED);
    s = frame(f, TD_SUBSCRIBE, 0);
    assert_int_equal(s->u.subscribe.subscription, sub->number);
    assert_memory_equal(s->u.subscribe.pattern.data, "a.*", 3);
    assert_true(td_map_uint(s->u.subscribe.options, "events", &value));
    assert_int_equal(value, 100);
    assert_true(td_map_uint(s->u.subscribe.options, "bytes", &value));
    assert_int_equal(value, TD_WINDOW_BYTES);
    assert_true(td_map_uint(s->u.subscribe.options, "queue_events", &value));
    assert_int_equal(value, TD_QUEUE_EVENTS);
    assert_true(td_map_uint(s->u.subscribe.options, "queue_bytes", &value));
    assert_int_equal(value, TD_QUEUE_BYTES);
}

static void test_session_subscribes_again_in_every_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    uint64_t request;

    greet(f, WELCOME);
    sub = subscribe_live(f, 100);
    request = sub->request;
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    assert_int_equal(sub->state, TD_CSUB_WANTED);
    forget(f);
    greet(f, WELCOME);
    assert_int_equal(sub->state, TD_CSUB_ASKED);
    assert_true(frame(f, TD_SUBSCRIBE, 0)->u.subscribe.request > request);
    assert_ok(give(f, "[7 1 14 \"refused: an old request\" nil]"));
    assert_int_equal(sub->state, TD_CSUB_ASKED);
}

static void test_session_tells_when_a_renewed_one_is_refused(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    char text[60];

    greet(f, WELCOME);
    sub = subscribe(f, 0);
    snprintf(text, sizeof(text), "[7 %u 4 \"no\" nil]", (unsigned)sub->request);
    assert_ok(give(f, text));
    assert_int_equal(sub->state, TD_CSUB_REFUSED);
    assert_string_equal(sub->text, "no");
    assert_false(was_told(f, TIDINGS_REFUSED)); /* its owner waits for it */
    sub = subscribe_live(f, 0);
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    greet(f, WELCOME);
    snprintf(text, sizeof(text), "[7 %u 4 \"no\" nil]", (unsigned)sub->request);
    assert_ok(give(f, text));
    assert_true(was_told(f, TIDINGS_REFUSED));
}

static void test_session_unsubscribes(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub = subscribe(f, 0);
    char text[60];

    td_client_unsubscribe(&f->client, sub); /* nobody knew of it */
    assert_int_equal(sub->state, TD_CSUB_ENDED);
    td_client_forget(&f->client, sub);
    greet(f, WELCOME);
    sub = subscribe_live(f, 0);
    td_client_unsubscribe(&f->client, sub);
    assert_int_equal(sub->state, TD_CSUB_ENDING);
    assert_int_equal(frame(f, TD_UNSUBSCRIBE, 0)->u.unsubscribe.subscription,
                     sub->number);
    assert_ok(deliver(f, sub->number, 1)); /* it was in flight */
    assert_ptr_equal(f->delivery.sub, sub);
    td_client_handled(&f->client, sub, f->client.connects, 1, 6);
    snprintf(text, sizeof(text), "[7 %u 0 \"\" nil]", (unsigned)sub->request);
    assert_ok(give(f, text));
    assert_int_equal(sub->state, TD_CSUB_ENDED);
    td_client_forget(&f->client, sub);
    assert_ok(deliver(f, 2, 2));
    assert_null(f->delivery.sub);
    sub = subscribe_live(f, 0);
    td_client_unsubscribe(&f->client, sub);
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    assert_int_equal(sub->state, TD_CSUB_ENDED); /* as its session */
}

static void test_session_bounds_its_subscriptions(void **state)
{
    struct fixture *f = *state;
    const struct tidings_sub_options options = {0};
    struct td_csub *sub;

    for (unsigned i = 0; i < TD_SUBSCRIPTIONS_MAX; i++)
        subscribe(f, 0);
    assert_err(td_client_subscribe(&f->client, &sub, "a", &options),
               TIDINGS_ELIMIT);
}

/* ---- delivery and credit ---- */

static void test_session_returns_credit_at_half_a_window(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    struct td_credit row;
    struct td_reader list;
    uint32_t rows = 0;

    greet(f, WELCOME);
    sub = subscribe_live(f, 10);
    for (unsigned i = 1; i <= 5; i++) {
        assert_ok(deliver(f, sub->number, i));
        assert_ptr_equal(f->delivery.sub, sub);
        assert_int_equal(f->delivery.tag, i);
    }
    assert_null(find(f, TD_CREDIT, 0)); /* nothing is handled */
    td_client_handled(&f->client, sub, 1, 4, 24);
    assert_null(find(f, TD_CREDIT, 0));
    td_client_handled(&f->client, sub, 1, 1, 6);
    assert_int_equal(frame(f, TD_CREDIT, 0)->u.credit.messages, 5);
    list = td_reader_of(frame(f, TD_CREDIT, 0)->u.credit.list.data,
                        frame(f, TD_CREDIT, 0)->u.credit.list.len);
    assert_true(td_read_array(&list, &rows) && rows == 1);
    assert_true(td_credit_read(&list, &row));
    assert_int_equal(row.subscription, sub->number);
    assert_int_equal(row.taken, 5);
    assert_int_equal(row.events_limit, 15);
    assert_int_equal(row.bytes_limit, 30 + TD_WINDOW_BYTES);
}

static void test_session_returns_the_rest_lazily(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 100);
    assert_ok(deliver(f, sub->number, 1));
    td_client_handled(&f->client, sub, 1, 1, 6);
    tick(f);
    assert_int_equal(f->next, f->now + TD_LAZY_MS);
    f->now += TD_LAZY_MS - 1;
    tick(f);
    assert_null(find(f, TD_CREDIT, 0));
    f->now++;
    tick(f);
    assert_non_null(find(f, TD_CREDIT, 0));
    f->now += TD_LAZY_MS;
    tick(f);
    assert_null(find(f, TD_CREDIT, 1)); /* there is nothing new to say */
}

static void test_session_answers_every_64_messages(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 1000);
    for (unsigned i = 1; i <= 64; i++) {
        assert_null(find(f, TD_CREDIT, 0));
        assert_ok(deliver(f, sub->number, i));
    }
    assert_int_equal(frame(f, TD_CREDIT, 0)->u.credit.messages, 64);
    assert_int_equal(frame(f, TD_CREDIT, 0)->u.credit.list.len, 1);
}

/* Handlers may be done with something of a session that is over. */
static void test_session_forgets_the_credit_of_an_old_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 2);
    assert_ok(deliver(f, sub->number, 1));
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    td_client_handled(&f->client, sub, 1, 1, 6);
    greet(f, WELCOME);
    td_client_handled(&f->client, sub, 1, 1, 6);
    assert_int_equal(sub->taken, 0);
    assert_null(find(f, TD_CREDIT, 0));
}

static void test_session_tells_of_gaps(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 0);
    (void)sub;
    forget(f);
    assert_ok(give(f, "[10 1 17 \"slow\"]"));
    assert_int_equal(f->status[0].kind, TIDINGS_GAP);
    assert_int_equal(f->status[0].count, 17);
    assert_non_null(strstr(f->status[0].text, "slow"));
    assert_int_equal(f->client.missed, 17);
    assert_ok(give(f, "[10 99 1 \"slow\"]")); /* it has just ended */
    assert_int_equal(f->status_len, 1);
}

/* ---- silence ---- */

static void test_session_pings_when_it_is_quiet(void **state)
{
    struct fixture *f = *state;
    unsigned pings = 0;

    greet(f, WELCOME);
    for (int64_t end = f->now + 60000; f->now < end; f->now += 500) {
        tick(f);
        assert_true(f->next <= f->now + TD_HEARTBEAT_MS);
        if (find(f, TD_PING, pings)) {
            pings++;
            assert_ok(give(f, "[12 0]"));
        }
    }
    assert_true(pings >= 10 && pings <= 12);
    assert_int_equal(f->client.state, TD_CLIENT_READY);
}

static void test_session_takes_a_silent_broker_for_dead(void **state)
{
    struct fixture *f = *state;
    int64_t heard;

    greet(f, WELCOME);
    heard = f->now;
    while (f->now < heard + TD_DEAD_MS - 500) {
        f->now += 500;
        tick(f);
        assert_int_equal(f->client.state, TD_CLIENT_READY);
    }
    f->now += 500;
    tick(f);
    assert_int_equal(f->client.state, TD_CLIENT_DOWN);
    assert_true(was_told(f, TIDINGS_DOWN));
}

static void test_session_does_not_blame_the_broker_for_its_own_pause(
    void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    tick(f);
    f->now += 10 * TD_DEAD_MS;
    tick(f);
    assert_int_equal(f->client.state, TD_CLIENT_READY);
    assert_non_null(find(f, TD_PING, 0)); /* but asks, and then waits */
    for (int i = 0; i <= TD_DEAD_MS / 500; i++) {
        f->now += 500;
        tick(f);
    }
    assert_true(was_told(f, TIDINGS_DOWN));
}

static void test_session_answers_ping(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(give(f, "[11 123]"));
    assert_int_equal(frame(f, TD_PONG, 0)->u.pong.token, 123);
}

/* ---- questions ---- */

static void test_session_asks_until_it_is_answered(void **state)
{
    struct fixture *f = *state;
    struct td_question stats;
    struct td_question ping;
    char text[60];

    td_client_question(&f->client, &stats, TD_STATS);
    greet(f, WELCOME);
    td_client_question(&f->client, &ping, TD_PING);
    assert_int_equal(frame(f, TD_STATS, 0)->u.stats.request, stats.number);
    assert_int_equal(frame(f, TD_PING, 0)->u.ping.token, ping.number);
    snprintf(text, sizeof(text), "[12 %u]", (unsigned)ping.number);
    assert_ok(give(f, text));
    assert_true(ping.done);
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
    forget(f);
    greet(f, WELCOME);
    assert_non_null(find(f, TD_STATS, 0));
    assert_null(find(f, TD_PING, 0));
    snprintf(text, sizeof(text), "[7 %u 0 \"\" {\"a\" 1}]",
             (unsigned)stats.number);
    assert_ok(give(f, text));
    assert_true(stats.done);
    assert_int_equal(stats.code, TIDINGS_OK);
    assert_int_equal(stats.result_len, 4);
    assert_memory_equal(stats.result, "\x81\xa1\x61\x01", 4);
    td_client_withdraw(&f->client, &stats);
    td_client_withdraw(&f->client, &ping);
    free(stats.result);
}

/* ---- memory that is not there ---- */

/* Calls of the client are counted; from the starved one on, its n-th
 * allocation fails. */
static void starve(struct fixture *f)
{
    if (++f->calls == f->starved_call)
        td_alloc_fail(f->starved_allocation);
}

static void feed(struct fixture *f)
{
    f->starved = f->starved || td_alloc_failed();
    td_alloc_fail(0);
}

static bool starved_publish(struct fixture *f)
{
    tidings_err err;

    starve(f);
    err = publish(f, 20);
    feed(f);
    assert_true(!err || err == TIDINGS_ENOMEM);
    return !err;
}

static void starved_tick(struct fixture *f)
{
    starve(f);
    tick(f);
    feed(f);
}

/* Greets until it is ready, and answers until all is taken. */
static void recover(struct fixture *f)
{
    char text[60];

    for (int i = 0; i < 5 && f->client.state != TD_CLIENT_READY; i++) {
        f->now += TD_RETRY_MAX_MS;
        tick(f);
        if (f->client.state == TD_CLIENT_GREETING)
            assert_ok(give(f, WELCOME));
    }
    f->now += 1000;
    tick(f);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "[4 %u 1000 1000000]",
                 (unsigned)f->client.publisher.sent);
        assert_ok(give(f, text));
    }
}

/* With a failure anywhere the machine goes on, and in the end all that was
 * packed is taken. Returns how many calls were made. */
static unsigned history(struct fixture *f)
{
    const struct tidings_sub_options options = {0};
    struct td_csub *sub = NULL;
    uint64_t packed = 0;

    start(f);
    f->calls = 0;
    f->starved = false;
    packed += starved_publish(f);
    starved_tick(f);
    if (f->client.state == TD_CLIENT_GREETING && !f->client.broken)
        assert_ok(give(f, WELCOME));
    starve(f);
    if (td_client_subscribe(&f->client, &sub, "a", &options))
        sub = NULL;
    feed(f);
    packed += starved_publish(f);
    packed += starved_publish(f);
    starved_tick(f);
    recover(f);
    assert_int_equal(f->client.publisher.taken, packed);
    assert_true(!sub || sub->state == TD_CSUB_ASKED);
    td_client_fini(&f->client);
    f->open = false;
    forget(f);
    return f->calls;
}

static void test_session_survives_every_lack_of_memory(void **state)
{
    struct fixture *f = *state;
    unsigned failures = 0;
    unsigned calls;

    td_client_fini(&f->client);
    calls = history(f);
    for (f->starved_call = 1; f->starved_call <= calls; f->starved_call++) {
        f->starved_allocation = 0;
        do {
            f->starved_allocation++;
            history(f);
            failures += f->starved;
        } while (f->starved);
    }
    assert_true(failures > calls);
    start(f); /* for teardown */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_greets_at_its_first_tick),
        TEST(test_session_gives_up_on_a_greeting),
        TEST(test_session_tries_again_later_and_later),
        TEST(test_session_says_why_it_is_down),
        TEST(test_session_tells_of_a_new_epoch),
        TEST(test_session_notices_a_link_that_takes_nothing),
        TEST(test_session_does_not_open_again_once_closed),
        TEST(test_session_ends_with_a_broker_that_breaks_the_rules),
        TEST(test_session_takes_what_later_versions_add),
        TEST(test_session_sends_at_once_when_the_link_is_idle),
        TEST(test_session_makes_batches_of_load),
        TEST(test_session_keeps_within_its_credit),
        TEST(test_session_keeps_within_its_credit_for_bytes),
        TEST(test_session_keeps_unconfirmed_events_within_bounds),
        TEST(test_session_keeps_unconfirmed_bytes_within_bounds),
        TEST(test_session_sends_again_what_was_not_taken),
        TEST(test_session_asks_for_what_nobody_told),
        TEST(test_session_subscribes_when_there_is_a_session),
        TEST(test_session_subscribes_again_in_every_session),
        TEST(test_session_tells_when_a_renewed_one_is_refused),
        TEST(test_session_unsubscribes),
        TEST(test_session_bounds_its_subscriptions),
        TEST(test_session_returns_credit_at_half_a_window),
        TEST(test_session_returns_the_rest_lazily),
        TEST(test_session_answers_every_64_messages),
        TEST(test_session_forgets_the_credit_of_an_old_session),
        TEST(test_session_tells_of_gaps),
        TEST(test_session_pings_when_it_is_quiet),
        TEST(test_session_takes_a_silent_broker_for_dead),
        TEST(test_session_does_not_blame_the_broker_for_its_own_pause),
        TEST(test_session_answers_ping),
        TEST(test_session_asks_until_it_is_answered),
        TEST(test_session_survives_every_lack_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
