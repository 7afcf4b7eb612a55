#include "tests/unit/session_fixture.h"

#include <stdlib.h>

#include "tests/support/mp.h"

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
    snprintf(s->bytes, sizeof(s->bytes), "%.*s", body ? (int)body->len : 0,
             body ? (const char *)body->data : "");
    if (s->control.failed)
        return false;
    assert_ok(td_frame_decode(&s->frame, s->control.data, s->control.len, true,
                              &why));
    s->body = body != NULL;
    f->sent_len++;
    return true;
}

static void port_lost(void *ctx, struct td_csub *sub, uint64_t last)
{
    struct fixture *f = ctx;

    (void)sub;
    f->lost = last;
}

static void port_status(void *ctx, enum tidings_status_kind kind,
                        tidings_err err, const char *text, struct td_csub *sub,
                        uint64_t count)
{
    struct fixture *f = ctx;

    assert_true(kind != TIDINGS_GAP || sub);
    assert_true(f->status_len < STATUS_MAX);
    f->status[f->status_len].kind = kind;
    f->status[f->status_len].err = err;
    f->status[f->status_len].count = count;
    snprintf(f->status[f->status_len].text,
             sizeof(f->status[f->status_len].text), "%s", text);
    f->status_len++;
}

static void port_gap(void *ctx, struct td_csub *sub, const struct td_gap *gap)
{
    struct fixture *f = ctx;

    port_status(ctx, TIDINGS_GAP, TIDINGS_EFULL, gap->text, sub, gap->events);
    snprintf(f->gap_reason, sizeof(f->gap_reason), "%.*s", (int)gap->reason.len,
             gap->reason.data);
    f->gap_first = gap->first;
    f->gap_last = gap->last;
}

static void port_beat(void *ctx, struct td_cservice *service)
{
    struct fixture *f = ctx;

    f->asked = service;
    f->beats++;
}

static void port_drain(void *ctx, struct td_cservice *service, bool drain)
{
    struct fixture *f = ctx;

    (void)service;
    f->drains += drain ? 1 : -1;
}

static void port_answered(void *ctx, struct td_request *r,
                          const struct td_response *response)
{
    struct fixture *f = ctx;
    uint32_t i = f->answered_len++;

    assert_true(i < ANSWERED_MAX);
    f->answered[i].request = r;
    f->answered[i].code = response->code;
    f->answered[i].status = response->status;
    f->answered[i].left = response->left;
    f->answered[i].len = response->data.len;
    snprintf(f->answered[i].text, sizeof(f->answered[i].text), "%.*s",
             (int)response->text.len, response->text.data);
    snprintf(f->answered[i].instance, sizeof(f->answered[i].instance), "%.*s",
             (int)response->instance.len, response->instance.data);
}

void forget(struct fixture *f)
{
    while (f->sent_len > 0)
        td_buf_fini(&f->sent[--f->sent_len].control);
    f->status_len = 0;
    f->answered_len = 0;
}

void start(struct fixture *f)
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
                 .gap = port_gap,
                 .lost = port_lost,
                 .answered = port_answered,
                 .status = port_status,
                 .beat = port_beat,
                 .drain = port_drain},
    };

    f->now = 100000;
    td_client_init(&f->client, &options, f->now);
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    start(f);
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;

    td_client_fini(&f->client);
    forget(f);
    free(f);
    return 0;
}

/* ---- giving ---- */

void tick(struct fixture *f)
{
    f->next = td_client_tick(&f->client, f->now);
}

static tidings_err give_message(struct fixture *f, const char *text,
                                struct td_body *body)
{
    struct td_buf b = {0};
    struct td_deliveries all;
    struct td_delivery d;
    struct td_handed handed;
    tidings_err err;

    td_mp(&b, text);
    err = td_client_message(&f->client, b.data, b.len, body, f->now, &all);
    f->deliveries = 0;
    memset(&f->delivery, 0, sizeof(f->delivery));
    while (!err && !(err = td_client_next(&f->client, &all, &d)) && d.sub) {
        f->delivery = d;
        f->deliveries++;
    }
    f->tasks = 0;
    memset(&f->handed, 0, sizeof(f->handed));
    while (!err && !(err = td_client_next_task(&f->client, &all, &handed)) &&
           handed.service) {
        f->handed = handed;
        f->tasks++;
    }
    td_buf_fini(&b);
    td_body_unref(body);
    return err;
}

tidings_err give(struct fixture *f, const char *text)
{
    return give_message(f, text, NULL);
}

tidings_err give_bytes(struct fixture *f, const char *text, size_t len)
{
    static const uint8_t zeros[100];

    assert_true(len <= sizeof(zeros));
    return give_message(f, text, td_body_copy(zeros, len));
}

tidings_err give_with(struct fixture *f, const char *text, const char *bytes)
{
    return give_message(f, text, td_body_copy(bytes, strlen(bytes)));
}

tidings_err give_body(struct fixture *f, const char *text)
{
    return give_bytes(f, text, 0);
}

tidings_err deliver_events(struct fixture *f, unsigned subscription,
                           unsigned tag, unsigned events)
{
    static const char event[] = "\xc4\x04\x92\x00\xc4"; /* and its NUL */
    struct td_buf bytes = {0};
    struct td_body *body;
    char text[100];

    for (unsigned i = 0; i < events; i++)
        td_buf_append(&bytes, event, sizeof(event));
    body = td_body_copy(bytes.data, bytes.len);
    td_buf_fini(&bytes);
    snprintf(text, sizeof(text),
             "[8 [[%u %u [[b(16) \"/s\" 0 [[\"a\" %u %u 1 0]]]]]]]",
             subscription, tag, events, 6 * events);
    return give_message(f, text, body);
}

uint32_t events_of(struct td_str batches)
{
    uint32_t events;
    uint32_t bytes;

    assert_true(td_batches_sum(batches, &events, &bytes));
    return events;
}

tidings_err deliver(struct fixture *f, unsigned subscription, unsigned tag)
{
    return deliver_events(f, subscription, tag, 1);
}

void greet(struct fixture *f, const char *welcome)
{
    if (f->client.state == TD_CLIENT_DOWN) {
        f->now = f->client.retry_ms > f->now ? f->client.retry_ms : f->now;
        tick(f);
    }
    assert_int_equal(f->client.state, TD_CLIENT_GREETING);
    assert_ok(give(f, welcome));
    assert_int_equal(f->client.state, TD_CLIENT_READY);
}

void lose(struct fixture *f)
{
    td_client_lost(&f->client, TIDINGS_EUNREACH, "gone", f->now);
}

void bye(struct fixture *f, unsigned code)
{
    char text[40];

    snprintf(text, sizeof(text), "[14 %u \"bye\"]", code);
    assert_ok(give(f, text));
}

void reopen(struct fixture *f)
{
    assert_int_equal(f->client.state, TD_CLIENT_DOWN);
    forget(f);
    f->now = f->client.retry_ms;
    tick(f);
    assert_int_equal(f->client.state, TD_CLIENT_GREETING);
}

void resume(struct fixture *f)
{
    reopen(f);
    greet(f, RESUMED);
}

tidings_err publish(struct fixture *f, size_t len)
{
    static const uint8_t zeros[TD_DATA_BYTES_MAX];
    const struct td_packing event = {
        .type = td_str_of("a"), .time_us = 5, .data = zeros, .len = len};

    return td_client_publish(&f->client, &event);
}

struct td_csub *subscribe_with(struct fixture *f,
                               const struct tidings_sub_options *options)
{
    struct td_csub *sub = NULL;

    assert_ok(td_client_subscribe(&f->client, &sub, "a.*", options));
    return sub;
}

struct td_csub *subscribe(struct fixture *f, size_t window_events)
{
    const struct tidings_sub_options options = {.window_events = window_events};

    return subscribe_with(f, &options);
}

void answer(struct fixture *f, const struct td_csub *sub, unsigned code)
{
    char text[40];

    snprintf(text, sizeof(text), "[7 %u %u \"so\" nil]", (unsigned)sub->request,
             code);
    assert_ok(give(f, text));
}

struct td_csub *subscribe_live(struct fixture *f, size_t window_events)
{
    struct td_csub *sub = subscribe(f, window_events);

    answer(f, sub, 0);
    assert_int_equal(sub->state, TD_CSUB_LIVE);
    return sub;
}

/* ---- getting ---- */

const struct td_frame *find(struct fixture *f, enum td_op op, uint32_t nth)
{
    for (uint32_t i = 0; i < f->sent_len; i++) {
        if (f->sent[i].frame.op == op && nth-- == 0)
            return &f->sent[i].frame;
    }
    return NULL;
}

const struct td_frame *frame(struct fixture *f, enum td_op op, uint32_t nth)
{
    const struct td_frame *found = find(f, op, nth);

    if (!found)
        print_error("%s was not sent\n", td_op_name(op));
    assert_non_null(found);
    return found;
}

bool said_hello(struct fixture *f, const char *options)
{
    const struct td_str *got = NULL;
    struct td_buf want = {0};
    bool same;

    for (uint32_t i = 0; find(f, TD_HELLO, i); i++)
        got = &find(f, TD_HELLO, i)->u.hello.options;
    assert_non_null(got);
    td_mp(&want, options);
    same = got->len == want.len && memcmp(got->data, want.data, want.len) == 0;
    td_buf_fini(&want);
    return same;
}

struct td_credit credit(struct fixture *f, uint32_t nth)
{
    const struct td_str *list = &frame(f, TD_CREDIT, nth)->u.credit.list;
    struct td_reader r = td_reader_of(list->data, list->len);
    struct td_credit row = {0};
    uint32_t rows = 0;

    assert_true(td_read_array(&r, &rows));
    assert_int_equal(rows, 1);
    assert_true(td_credit_read(&r, &row));
    return row;
}

/* The last of a kind: its place plus 1; 0: none. */
static uint32_t last_of(const struct fixture *f, enum tidings_status_kind kind)
{
    uint32_t at = f->status_len;

    while (at > 0 && f->status[at - 1].kind != kind)
        at--;
    return at;
}

bool was_told(const struct fixture *f, enum tidings_status_kind kind)
{
    return last_of(f, kind) > 0;
}

const char *text_of(const struct fixture *f, enum tidings_status_kind kind)
{
    assert_true(was_told(f, kind));
    return f->status[last_of(f, kind) - 1].text;
}

uint64_t count_of(const struct fixture *f, enum tidings_status_kind kind)
{
    assert_true(was_told(f, kind));
    return f->status[last_of(f, kind) - 1].count;
}
