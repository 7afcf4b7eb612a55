/* The engine, message by message, through a port that records what it sends.
 * Whole systems are in tests/sim; here are the single rules of PROTOCOL.md. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/internal.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

#define SENT_MAX 4096

/* A message that the engine sent. */
struct sent {
    char peer[8];
    struct td_buf control;
    struct td_frame frame;
    struct td_body *body;
};

struct fixture {
    struct td_engine *engine;
    int64_t now;
    int64_t next; /* as the last flush said */
    struct sent sent[SENT_MAX];
    uint32_t sent_len;
    bool refuses; /* the port takes nothing */
    /* From its n-th call on the engine's m-th allocation fails; 0: never. */
    unsigned calls;
    unsigned starved_call;
    size_t starved_allocation;
    bool starved;
    struct td_batches batches;
};

/* ---- the port ---- */

static bool port_send(void *ctx, struct td_str peer, const void *control,
                      size_t len, struct td_body *body)
{
    struct fixture *f = ctx;
    struct sent *s = &f->sent[f->sent_len];

    if (f->refuses || f->sent_len == SENT_MAX)
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

static void forget(struct fixture *f)
{
    while (f->sent_len > 0) {
        struct sent *s = &f->sent[--f->sent_len];

        td_buf_fini(&s->control);
        td_body_unref(s->body);
    }
}

static tidings_err start(struct fixture *f, size_t memory_bytes)
{
    const struct td_engine_options options = {
        .epoch = 77,
        .memory_bytes = memory_bytes,
        .version = "1.2.3",
        .port = {.send = port_send, .ctx = f},
    };

    return td_engine_new(&f->engine, &options, f->now);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    f->now = 1000;
    return start(f, 0) ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_engine_free(f->engine);
    forget(f);
    free(f);
    return 0;
}

/* ---- giving ---- */

static struct td_str peer_of(const char *peer)
{
    return td_str_of(peer);
}

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

static void message(struct fixture *f, const char *peer, unsigned frames,
                    const struct td_buf *control, struct td_body *body)
{
    starve(f);
    td_engine_message(f->engine, peer_of(peer), frames, control->data,
                      control->len, body, f->now);
    feed(f);
}

/* A message without a body, in the notation of mp.h. */
static void give(struct fixture *f, const char *peer, const char *text)
{
    struct td_buf b = {0};

    td_mp(&b, text);
    message(f, peer, 1, &b, NULL);
    td_buf_fini(&b);
}

static void flush(struct fixture *f)
{
    starve(f);
    f->next = td_engine_flush(f->engine, f->now);
    feed(f);
}

/* Time passes, and the engine is called whenever it asked to be. */
static void pass(struct fixture *f, int64_t ms)
{
    int64_t end = f->now + ms;

    while (f->next < end) {
        f->now = f->next > f->now ? f->next : f->now + 1;
        flush(f);
    }
    f->now = end;
    flush(f);
}

/* The producer of a peer is its name, repeated. */
static void producer_of(uint8_t out[TD_PRODUCER_BYTES], const char *peer)
{
    for (size_t i = 0; i < TD_PRODUCER_BYTES; i++)
        out[i] = (uint8_t)peer[i % strlen(peer)];
}

static void hello(struct fixture *f, const char *peer)
{
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_frame hi = {.op = TD_HELLO};
    struct td_buf b = {0};

    producer_of(producer, peer);
    hi.u.hello.magic = td_str_of("tidings");
    hi.u.hello.version_min = hi.u.hello.version_max = 1;
    hi.u.hello.producer.data = (const char *)producer;
    hi.u.hello.producer.len = sizeof(producer);
    hi.u.hello.name = td_str_of(peer);
    hi.u.hello.options = td_empty_map;
    td_frame_encode(&b, &hi);
    message(f, peer, 1, &b, NULL);
    td_buf_fini(&b);
}

/* A run to be published. */
struct piece {
    const char *type;
    uint32_t count;
    uint32_t size; /* of each event's data */
    uint64_t first;
};

static uint32_t piece_bytes(const struct piece *piece)
{
    return piece->count * (uint32_t)td_event_size(0, piece->size, 0);
}

static uint8_t *put_piece(uint8_t *to, const struct piece *piece)
{
    static const uint8_t data[1u << 20];
    const struct td_str none = {NULL, 0};

    for (uint32_t i = 0; i < piece->count; i++)
        to = td_event_put(to, 0, data, piece->size, none);
    return to;
}

static struct td_body *body_of(const struct piece *pieces, uint32_t n)
{
    uint32_t bytes = 0;
    uint8_t *data;
    struct td_body *body;

    for (uint32_t i = 0; i < n; i++)
        bytes += piece_bytes(&pieces[i]);
    body = td_body_new(bytes, &data);
    for (uint32_t i = 0; body && i < n; i++)
        data = put_piece(data, &pieces[i]);
    return body;
}

/* One PUBLISH with one batch. */
static struct td_body *publish(struct fixture *f, const char *peer,
                               uint64_t flags, const struct piece *pieces,
                               uint32_t n)
{
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_run runs[8] = {0};
    struct td_batch batch = {.runs = runs, .runs_len = n};
    struct td_frame out = {.op = TD_PUBLISH};
    struct td_body *body = body_of(pieces, n);
    struct td_buf table = {0};
    struct td_buf b = {0};

    producer_of(producer, peer);
    batch.producer.data = (const char *)producer;
    batch.producer.len = sizeof(producer);
    batch.source = td_str_of("/test");
    for (uint32_t i = 0; i < n; i++) {
        runs[i].type = td_str_of(pieces[i].type);
        runs[i].count = pieces[i].count;
        runs[i].bytes = piece_bytes(&pieces[i]);
        runs[i].first = pieces[i].first;
    }
    td_batches_begin(&table, 1);
    td_batch_pack(&table, &batch);
    out.u.publish.flags = flags;
    out.u.publish.batches.data = (const char *)table.data;
    out.u.publish.batches.len = table.len;
    td_frame_encode(&b, &out);
    if (body && !b.failed)
        message(f, peer, 2, &b, body);
    td_buf_fini(&table);
    td_buf_fini(&b);
    td_body_unref(body);
    return body; /* to be compared with, no more */
}

static struct td_body *publish_one(struct fixture *f, const char *peer,
                                   const char *type, uint32_t count,
                                   uint32_t size, uint64_t first)
{
    const struct piece piece = {type, count, size, first};

    return publish(f, peer, 0, &piece, 1);
}

/* ---- getting ---- */

/* The n-th message of this operation to the peer, decoded; NULL: none. */
static struct sent *find(struct fixture *f, const char *peer, enum td_op op,
                         uint32_t nth)
{
    for (uint32_t i = 0; i < f->sent_len; i++) {
        struct sent *s = &f->sent[i];
        const char *why;

        if (strcmp(s->peer, peer) != 0)
            continue;
        assert_ok(td_frame_decode(&s->frame, s->control.data, s->control.len,
                                  false, &why));
        if (s->frame.op == op && nth-- == 0)
            return s;
    }
    return NULL;
}

static struct td_frame *frame(struct fixture *f, const char *peer,
                              enum td_op op, uint32_t nth)
{
    struct sent *s = find(f, peer, op, nth);

    if (!s)
        print_error("no %s to %s\n", td_op_name(op), peer);
    assert_non_null(s);
    return &s->frame;
}

/* Batches of the n-th DELIVER to the peer. */
static const struct td_batches *delivered(struct fixture *f, const char *peer,
                                          uint32_t nth)
{
    struct td_frame *d = frame(f, peer, TD_DELIVER, nth);
    struct sent *s = find(f, peer, TD_DELIVER, nth);
    const char *why;

    assert_ok(td_batches_decode(&f->batches, d->u.deliver.batches,
                                s->body->data, s->body->len, &why));
    return &f->batches;
}

/* Events of all DELIVER to the peer. */
static uint64_t events_to(struct fixture *f, const char *peer)
{
    uint64_t events = 0;

    for (uint32_t i = 0; find(f, peer, TD_DELIVER, i); i++)
        events += delivered(f, peer, i)->events;
    return events;
}

static void assert_bye(struct fixture *f, const char *row, const char *peer,
                       tidings_err code)
{
    struct sent *s = find(f, peer, TD_BYE, 0);

    assert_row(row, s != NULL);
    assert_row(row, s->frame.u.bye.code == (uint64_t)code);
    assert_row(row, s->frame.u.bye.text.len > 0);
}

static uint64_t sessions(struct fixture *f)
{
    return HASH_COUNT(f->engine->sessions);
}

/* Two peers: "pub" publishes, "sub" has subscription 1 with this pattern. */
static void begin(struct fixture *f, const char *pattern, const char *options)
{
    char text[200];

    hello(f, "pub");
    hello(f, "sub");
    snprintf(text, sizeof(text), "[5 1 1 \"%s\" %s]", pattern, options);
    give(f, "sub", text);
    flush(f);
    assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.code, 0);
    forget(f);
}

#define WIDE "{\"events\" 100000 \"bytes\" 100000000}"

/* ---- greeting ---- */

static void test_engine_welcomes_with_all_that_a_client_needs(void **state)
{
    struct fixture *f = *state;
    struct td_frame *w;
    uint64_t value = 0;

    hello(f, "a");
    w = frame(f, "a", TD_WELCOME, 0);
    assert_int_equal(w->u.welcome.version, TD_PROTOCOL_VERSION);
    assert_int_equal(w->u.welcome.epoch, 77);
    assert_int_equal(w->u.welcome.session, 1);
    assert_int_equal(w->u.welcome.taken, 0);
    assert_int_equal(w->u.welcome.events_limit, TD_PUBLISH_EVENTS);
    assert_int_equal(w->u.welcome.bytes_limit, TD_PUBLISH_BYTES);
    assert_true(td_map_uint(w->u.welcome.limits, "body_max", &value));
    assert_int_equal(value, TD_BODY_BYTES_MAX);
    assert_true(td_map_uint(w->u.welcome.limits, "control_max", &value));
    assert_int_equal(value, TD_CONTROL_BYTES_MAX);
    assert_true(td_map_uint(w->u.welcome.limits, "heartbeat_ms", &value));
    assert_int_equal(value, TD_HEARTBEAT_MS);
}

static void test_engine_answers_a_second_hello_and_goes_on(void **state)
{
    struct fixture *f = *state;

    hello(f, "a");
    hello(f, "a");
    flush(f);
    assert_int_equal(frame(f, "a", TD_REPLY, 0)->u.reply.request, 0);
    assert_int_equal(frame(f, "a", TD_REPLY, 0)->u.reply.code, TIDINGS_EPROTO);
    assert_int_equal(sessions(f), 1);
}

/* Who has no session gets BYE, whatever it says but HELLO and BYE. */
static void test_engine_refuses_who_does_not_greet(void **state)
{
    static const struct {
        const char *text;
        tidings_err code;
    } rows[] = {
        {"[11 1]", TIDINGS_EPROTO},
        {"[5 1 1 \"a\" " WIDE "]", TIDINGS_EPROTO},
        {"[9 0 []]", TIDINGS_EPROTO},
        {"[13 1 {}]", TIDINGS_EPROTO},
        {"[12 1]", TIDINGS_EPROTO},
        {"[99]", TIDINGS_EPROTO},
        {"<c1>", TIDINGS_EPROTO},
        {"[2 1 1 1 0 0 0 {}]", TIDINGS_EPROTO}, /* not a client's */
        {"[1 \"udings\" 1 1 b(16) \"\" {}]", TIDINGS_EPROTO},
        {"[1 \"tidings\" 2 9 b(16) \"\" {}]", TIDINGS_EVERSION},
        {"[1 \"tidings\" 0 0 b(16) \"\" {}]", TIDINGS_EVERSION},
        {"[1 \"tidings\" 1 1 b(15) \"\" {}]", TIDINGS_EPROTO},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f = *state;

        give(f, "x", rows[i].text);
        flush(f);
        assert_bye(f, rows[i].text, "x", rows[i].code);
        assert_row(rows[i].text, sessions(f) == 0);
        forget(f);
    }
}

static void test_engine_does_not_say_goodbye_for_ever(void **state)
{
    struct fixture *f = *state;

    give(f, "x", "[14 0 \"\"]");
    flush(f);
    assert_int_equal(f->sent_len, 0);
}

static void test_engine_takes_any_common_version(void **state)
{
    struct fixture *f = *state;

    give(f, "x", "[1 \"tidings\" 0 9 b(16) \"\" {} \"later field\"]");
    assert_int_equal(frame(f, "x", TD_WELCOME, 0)->u.welcome.version,
                     TD_PROTOCOL_VERSION);
}

static void test_engine_ends_a_session_when_its_producer_comes_again(
    void **state)
{
    struct fixture *f = *state;

    give(f, "one", "[1 \"tidings\" 1 1 b(16) \"\" {}]");
    give(f, "one", "[5 1 1 \"a\" " WIDE "]");
    give(f, "two", "[1 \"tidings\" 1 1 b(16) \"\" {}]");
    flush(f);
    assert_bye(f, "replaced", "one", TIDINGS_EEXIST);
    assert_non_null(find(f, "two", TD_WELCOME, 0));
    assert_int_equal(sessions(f), 1);
    assert_int_equal(f->engine->subs_len, 0);
}

static void test_engine_may_be_greeted_again_in_the_same_turn(void **state)
{
    struct fixture *f = *state;

    hello(f, "a");
    give(f, "a", "[14 0 \"\"]");
    hello(f, "a");
    flush(f);
    assert_non_null(find(f, "a", TD_WELCOME, 1));
    assert_int_equal(sessions(f), 1);
}

static void test_engine_replaces_what_would_upset_a_terminal(void **state)
{
    struct fixture *f = *state;

    give(f, "a", "[1 \"tidings\" 1 1 b(16) <a4 41 1b 7f 42> {}]");
    assert_string_equal(f->engine->sessions->name, "A??B");
}

/* ---- what a bad message gets ---- */

/* In a session: the session ends, and nothing else has changed. */
static void test_engine_ends_a_session_that_breaks_the_rules(void **state)
{
    static const char *const rows[] = {
        "<c1>",
        "[]",
        "[0]",
        "[63 1]",
        "[11]",
        "[11 \"1\"]",
        "[11 -1]",
        "<92 0b 01 00>",                 /* a byte left over */
        "[4 1 1 1]",                     /* the broker's */
        "[3 0 []]",                      /* PUBLISH without its body */
        "[9 1 []]",                      /* more messages than were sent */
        "[9 0 [[1 1 5000000 5000000]]]", /* more than was delivered */
        "[9 0 [[1 0 1 5000000]]]",       /* limits fall */
        "[9 0 [[1 0 5000000 1]]]",
        "[9 0 [[1 0 5000000]]]",
        "[9 0 [1]]",
        "[9 0 {}]",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        begin(f, "a", "{\"events\" 100 \"bytes\" 2000000}");
        give(f, "sub", rows[i]);
        flush(f);
        assert_bye(f, rows[i], "sub", TIDINGS_EPROTO);
        assert_row(rows[i], sessions(f) == 1 && f->engine->subs_len == 0);
        assert_row(
            rows[i],
            f->engine->counters.bad_frames + f->engine->counters.breaches == 1);
        teardown((void **)&f);
    }
    (void)state;
}

static void test_engine_wants_one_frame_or_two(void **state)
{
    static const struct {
        unsigned frames;
        bool body;
    } rows[] = {{0, false}, {1, true}, {2, false}, {3, true}, {9, false}};

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f = *state;
        struct td_body *body = td_body_copy("x", 1);
        struct td_buf b = {0};

        hello(f, "a");
        td_mp(&b, "[11 1]");
        message(f, "a", rows[i].frames, &b, rows[i].body ? body : NULL);
        flush(f);
        assert_bye(f, "frames", "a", TIDINGS_EPROTO);
        assert_int_equal(sessions(f), 0);
        td_buf_fini(&b);
        td_body_unref(body);
        forget(f);
    }
}

static void test_engine_ends_a_session_whose_batch_is_not_its_own(void **state)
{
    struct fixture *f = *state;
    struct td_body *body = td_body_copy("\xc4\x03\x92\x00\xc0", 5);
    struct td_buf b = {0};

    begin(f, ">", WIDE);
    td_mp(&b, "[3 0 [['another producer' \"/s\" 0 [[\"a\" 1 5 1 0]]]]]");
    message(f, "pub", 2, &b, body);
    flush(f);
    assert_bye(f, "producer", "pub", TIDINGS_EPROTO);
    assert_null(find(f, "sub", TD_DELIVER, 0));
    td_buf_fini(&b);
    td_body_unref(body);
}

static void test_engine_ends_a_session_whose_sequences_fall(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {{"a", 2, 0, 5}, {"b", 1, 0, 6}};

    begin(f, ">", WIDE);
    publish(f, "pub", 0, pieces, 2);
    flush(f);
    assert_bye(f, "sequences", "pub", TIDINGS_EPROTO);
    assert_int_equal(f->engine->counters.published, 0);
}

static void test_engine_keeps_the_systems_types_to_itself(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "$sys.a", 1, 0, 1);
    flush(f);
    assert_bye(f, "system", "pub", TIDINGS_EPROTO);
    assert_int_equal(f->engine->counters.published, 0);
}

static void test_engine_ends_a_session_that_exceeds_its_credit(void **state)
{
    struct fixture *f = *state;

    begin(f, "nothing", WIDE);
    publish_one(f, "pub", "a", TD_PUBLISH_EVENTS - 1, 0, 1);
    publish_one(f, "pub", "a", 1, 0, TD_PUBLISH_EVENTS);
    assert_int_equal(f->engine->counters.published, TD_PUBLISH_EVENTS);
    publish_one(f, "pub", "a", 1, 0, TD_PUBLISH_EVENTS + 1);
    flush(f);
    assert_bye(f, "credit", "pub", TIDINGS_EPROTO);
    assert_int_equal(f->engine->counters.breaches, 1);
    assert_int_equal(f->engine->counters.published, TD_PUBLISH_EVENTS);
}

/* ---- publishing ---- */

static void test_engine_passes_a_whole_batch_on_by_reference(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {{"a", 2, 30, 1}, {"b", 3, 20, 3}};
    struct td_body *body;
    const struct td_batches *b;

    begin(f, ">", WIDE);
    body = publish(f, "pub", 0, pieces, 2);
    flush(f);
    assert_ptr_equal(find(f, "sub", TD_DELIVER, 0)->body, body);
    assert_int_equal(frame(f, "sub", TD_DELIVER, 0)->u.deliver.subscription, 1);
    assert_int_equal(frame(f, "sub", TD_DELIVER, 0)->u.deliver.tag, 1);
    b = delivered(f, "sub", 0);
    assert_int_equal(b->len, 1);
    assert_int_equal(b->runs_len, 2);
    assert_int_equal(b->runs[1].first, 3);
    assert_int_equal(b->batch[0].source.len, 5);
}

static void test_engine_gathers_the_runs_that_match(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {
        {"a", 1, 10, 1}, {"b", 2, 20, 2}, {"a", 3, 30, 4}, {"c", 4, 40, 7}};
    const struct td_batches *b;

    begin(f, "a", WIDE);
    give(f, "sub", "[5 2 2 \"c\" " WIDE "]");
    publish(f, "pub", 0, pieces, 4);
    flush(f);
    b = delivered(f, "sub", 0);
    assert_int_equal(b->runs_len, 2);
    assert_int_equal(b->runs[0].first, 1);
    assert_int_equal(b->runs[1].first, 4);
    assert_int_equal(b->events, 4);
    assert_int_equal(frame(f, "sub", TD_DELIVER, 1)->u.deliver.subscription, 2);
    b = delivered(f, "sub", 1);
    assert_int_equal(b->runs_len, 1);
    assert_int_equal(b->runs[0].first, 7);
    assert_int_equal(f->engine->counters.routed, 8);
    assert_int_equal(f->engine->counters.unmatched, 2);
}

/* Subscriptions with one match set share what was gathered for them. */
static void test_engine_gathers_once_for_all(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {{"a", 1, 100, 1}, {"b", 1, 100, 2}};

    begin(f, "a", WIDE);
    give(f, "sub", "[5 2 2 \"*\" " WIDE "]");
    hello(f, "sub2");
    give(f, "sub2", "[5 1 1 \"a\" " WIDE "]");
    publish(f, "pub", 0, pieces, 2);
    flush(f);
    assert_ptr_equal(find(f, "sub", TD_DELIVER, 0)->body,
                     find(f, "sub2", TD_DELIVER, 0)->body);
}

static void test_engine_skips_what_was_taken(void **state)
{
    struct fixture *f = *state;
    const struct piece again[] = {
        {"a", 3, 10, 1}, {"a", 3, 20, 4}, {"b", 2, 30, 7}};
    const struct td_batches *b;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 5, 10, 1);
    flush(f);
    forget(f);
    publish(f, "pub", 0, again, 3);
    flush(f);
    b = delivered(f, "sub", 0);
    assert_int_equal(b->runs_len, 2);
    assert_int_equal(b->runs[0].first, 6);
    assert_int_equal(b->runs[0].count, 1);
    assert_int_equal(b->runs[0].bytes, td_event_size(0, 20, 0));
    assert_int_equal(b->runs[1].first, 7);
    assert_int_equal(f->engine->counters.published, 13);
    assert_int_equal(f->engine->counters.duplicates, 5);
    publish(f, "pub", 0, again, 3);
    assert_int_equal(f->engine->counters.duplicates, 13);
}

static void test_engine_says_what_it_has_taken_when_it_is_asked(void **state)
{
    struct fixture *f = *state;
    const struct piece piece = {"a", 3, 0, 1};
    struct td_frame *t;

    begin(f, ">", WIDE);
    publish(f, "pub", TD_PUBLISH_ASK, &piece, 1);
    assert_null(find(f, "pub", TD_TAKEN, 0)); /* not before the turn ends */
    flush(f);
    t = frame(f, "pub", TD_TAKEN, 0);
    assert_int_equal(t->u.taken.taken, 3);
    assert_int_equal(t->u.taken.events_limit, 3 + TD_PUBLISH_EVENTS);
    assert_int_equal(t->u.taken.bytes_limit,
                     3 * td_event_size(0, 0, 0) + TD_PUBLISH_BYTES);
    assert_null(find(f, "pub", TD_TAKEN, 1));
}

static void test_engine_says_lazily_what_nobody_waits_for(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 1, 0, 1);
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 0));
    assert_int_equal(f->next, f->now + TD_LAZY_MS);
    f->now = f->next - 1;
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 0));
    f->now++;
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 1);
    assert_true(f->next > f->now + TD_LAZY_MS);
}

static void test_engine_says_so_when_a_quarter_of_credit_is_used(void **state)
{
    struct fixture *f = *state;

    begin(f, "nothing", WIDE);
    publish_one(f, "pub", "a", TD_PUBLISH_EVENTS / 4, 0, 1);
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 0));
    publish_one(f, "pub", "a", 1, 0, TD_PUBLISH_EVENTS / 4 + 1);
    flush(f);
    assert_non_null(find(f, "pub", TD_TAKEN, 0));
    forget(f);
    publish_one(f, "pub", "b", 1, TD_DATA_BYTES_MAX, 40000);
    publish_one(f, "pub", "b", 1, TD_DATA_BYTES_MAX, 40001);
    flush(f);
    assert_non_null(find(f, "pub", TD_TAKEN, 0));
}

static void test_engine_says_what_it_has_taken_before_pong(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 4, 0, 1);
    give(f, "pub", "[11 9]");
    assert_int_equal(f->sent_len, 2);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 4);
    assert_int_equal(frame(f, "pub", TD_PONG, 0)->u.pong.token, 9);
    assert_true(find(f, "pub", TD_TAKEN, 0) < find(f, "pub", TD_PONG, 0));
    give(f, "pub", "[11 10]");
    assert_null(find(f, "pub", TD_TAKEN, 1));
}

/* What was published before BYE has been taken. */
static void test_engine_takes_what_came_before_bye(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 2, 0, 1);
    give(f, "pub", "[14 0 \"\"]");
    flush(f);
    assert_int_equal(events_to(f, "sub"), 2);
    assert_null(find(f, "pub", TD_BYE, 0));
    assert_int_equal(sessions(f), 1);
}

/* ---- subscribing ---- */

static void test_engine_answers_what_cannot_be_subscribed(void **state)
{
    static const struct {
        const char *text;
        tidings_err code;
    } rows[] = {
        {"[5 7 1 \"a.b\" " WIDE "]", TIDINGS_EEXIST},
        {"[5 7 0 \"a\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2147483648 \"a\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2147483647 \"a\" " WIDE "]", TIDINGS_OK},
        {"[5 7 2 \"\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2 \"a..b\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2 \">.a\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 1000}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 0 \"bytes\" 9000000}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" \"1\" \"bytes\" 9000000}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"queue_events\" 0}]",
         TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"queue_events\" "
         "1048577}]",
         TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"queue_bytes\" "
         "1073741825}]",
         TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"policy\" \"lose\"}]",
         TIDINGS_ENOTSUP},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"policy\" \"block\" "
         "\"later\" [1 2]}]",
         TIDINGS_OK},
    };
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_frame *r;

        give(f, "sub", rows[i].text);
        r = frame(f, "sub", TD_REPLY, 0);
        assert_row(rows[i].text, r->u.reply.request == 7);
        assert_row(rows[i].text, r->u.reply.code == (uint64_t)rows[i].code);
        assert_row(rows[i].text, !rows[i].code || r->u.reply.text.len > 0);
        forget(f);
    }
    assert_int_equal(sessions(f), 2);
    assert_int_equal(f->engine->subs_len, 3);
}

static void test_engine_bounds_the_subscriptions_of_a_session(void **state)
{
    struct fixture *f = *state;
    char text[100];

    hello(f, "sub");
    for (unsigned i = 1; i <= TD_SUBSCRIPTIONS_MAX + 1; i++) {
        snprintf(text, sizeof(text), "[5 %u %u \"a.%u\" " WIDE "]", i, i, i);
        give(f, "sub", text);
        assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.code,
                         i > TD_SUBSCRIPTIONS_MAX ? TIDINGS_ELIMIT
                                                  : TIDINGS_OK);
        forget(f);
    }
}

static void test_engine_counts_what_an_ended_subscription_had(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 3 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 10, 5, 1);
    flush(f);
    give(f, "sub", "[9 1 [[1 2 3 2000000]]]");
    give(f, "sub", "[6 8 1]");
    assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.request, 8);
    assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.code, 0);
    assert_int_equal(f->engine->counters.gone.matched, 10);
    assert_int_equal(f->engine->counters.gone.delivered, 2);
    assert_int_equal(f->engine->counters.gone.dropped[TD_DROP_UNSUBSCRIBED], 8);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
    give(f, "sub", "[6 9 1]");
    assert_int_equal(frame(f, "sub", TD_REPLY, 1)->u.reply.code,
                     TIDINGS_ENOTFOUND);
    give(f, "sub", "[9 1 [[1 3 5 2000000]]]"); /* it has just ended */
    flush(f);
    assert_int_equal(sessions(f), 2);
}

/* ---- delivering ---- */

static void test_engine_stays_within_the_credit_for_events(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 3 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 10, 5, 1);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 3);
    give(f, "sub", "[9 1 [[1 3 7 2000000]]]");
    flush(f);
    assert_int_equal(events_to(f, "sub"), 7);
    assert_int_equal(frame(f, "sub", TD_DELIVER, 1)->u.deliver.tag, 4);
    assert_int_equal(delivered(f, "sub", 1)->runs[0].first, 4);
    assert_false(td_engine_is_idle(f->engine));
    give(f, "sub", "[9 2 [[1 7 100 2000000]]]");
    flush(f);
    assert_int_equal(events_to(f, "sub"), 10);
    give(f, "sub", "[9 3 [[1 10 100 2000000]]]");
    assert_true(td_engine_is_idle(f->engine));
}

static void test_engine_stays_within_the_credit_for_bytes(void **state)
{
    struct fixture *f = *state;
    char text[80];
    uint64_t one = td_event_size(0, 600000, 0);

    begin(f, "a", "{\"events\" 100 \"bytes\" 1200000}");
    for (uint32_t i = 0; i < 4; i++)
        publish_one(f, "pub", "a", 1, 600000, 1 + i);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 1);
    snprintf(text, sizeof(text), "[9 1 [[1 1 100 %u]]]",
             (unsigned)(one * 3 - 1));
    give(f, "sub", text);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 2);
    snprintf(text, sizeof(text), "[9 1 [[1 1 100 %u]]]", (unsigned)(one * 4));
    give(f, "sub", text);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 4);
}

static void test_engine_gathers_small_batches(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    for (uint32_t i = 0; i < TD_BATCHES_MAX + 6; i++)
        publish_one(f, "pub", "a", 2, 8, 1 + 2 * i);
    flush(f);
    assert_int_equal(delivered(f, "sub", 0)->len, TD_BATCHES_MAX);
    assert_int_equal(delivered(f, "sub", 1)->len, 6);
    assert_int_equal(frame(f, "sub", TD_DELIVER, 1)->u.deliver.tag,
                     2 * TD_BATCHES_MAX + 1);
    assert_int_equal(events_to(f, "sub"), 2 * (TD_BATCHES_MAX + 6));
}

static void test_engine_leaves_few_messages_unanswered(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    for (uint32_t i = 0; i < TD_MESSAGES_OUT_MAX + 10; i++) {
        publish_one(f, "pub", "a", 1, 1, 1 + i);
        flush(f);
    }
    assert_null(find(f, "sub", TD_DELIVER, TD_MESSAGES_OUT_MAX));
    give(f, "sub", "[9 1 []]"); /* one was received, of no subscription */
    flush(f);
    assert_int_equal(delivered(f, "sub", TD_MESSAGES_OUT_MAX)->events, 10);
    assert_int_equal(events_to(f, "sub"), TD_MESSAGES_OUT_MAX + 10);
}

/* ---- policy block ---- */

#define TINY "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10}"

static void test_engine_withholds_credit_while_a_queue_is_full(void **state)
{
    struct fixture *f = *state;
    const struct piece more = {"a", 1, 0, 13};

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    publish(f, "pub", TD_PUBLISH_ASK, &more, 1);
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 13);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     TD_PUBLISH_EVENTS);
    give(f, "sub", "[9 1 [[1 1 7 2000000]]]"); /* 6 wait: more than half */
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 1));
    give(f, "sub", "[9 2 [[1 7 8 2000000]]]"); /* half empty */
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 1)->u.taken.events_limit,
                     13 + TD_PUBLISH_EVENTS);
    assert_null(f->engine->holds);
    assert_null(f->engine->held);
}

static void test_engine_holds_back_only_who_fills_the_queue(void **state)
{
    struct fixture *f = *state;
    const struct piece other = {"b", 1, 0, 1};

    begin(f, "a", TINY);
    hello(f, "pub2");
    forget(f);
    publish_one(f, "pub", "a", 12, 0, 1);
    publish(f, "pub2", TD_PUBLISH_ASK, &other, 1);
    flush(f);
    assert_int_equal(frame(f, "pub2", TD_TAKEN, 0)->u.taken.events_limit,
                     1 + TD_PUBLISH_EVENTS);
    assert_int_equal(f->engine->held->number, 1);
    assert_null(f->engine->held->held_next);
}

static void test_engine_drops_when_the_budget_is_spent(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1); /* one is sent, 11 wait */
    flush(f);
    assert_int_equal(f->next, f->now + TD_LAZY_MS);
    f->now += TD_LAZY_MS;
    flush(f);
    pass(f, TD_BLOCK_MS - TD_LAZY_MS - 1);
    assert_int_equal(f->next, f->now + 1);
    assert_null(find(f, "sub", TD_GAP, 0));
    forget(f);
    f->now++;
    flush(f);
    assert_null(f->engine->holds);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     12 + TD_PUBLISH_EVENTS);
    give(f, "sub", "[9 1 [[1 1 100 2000000]]]");
    flush(f);
    assert_int_equal(frame(f, "sub", TD_GAP, 0)->u.gap.events, 6);
    assert_memory_equal(frame(f, "sub", TD_GAP, 0)->u.gap.reason.data, "slow",
                        4);
    assert_int_equal(delivered(f, "sub", 0)->runs[0].first, 8);
    assert_true(find(f, "sub", TD_GAP, 0) < find(f, "sub", TD_DELIVER, 0));
}

/* R10: a broker that was stopped itself did not hold anybody back. */
static void test_engine_does_not_charge_holds_for_its_own_pause(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    assert_non_null(f->engine->holds);
    f->now += 10 * TD_BLOCK_MS;
    give(f, "sub", "[9 1 [[1 1 100 2000000]]]");
    flush(f);
    assert_null(find(f, "sub", TD_GAP, 0));
    assert_null(f->engine->holds); /* eased by credit, nothing was dropped */
}

static void test_engine_drops_at_once_without_a_budget(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    pass(f, TD_BLOCK_MS);
    publish_one(f, "pub", "a", 10, 0, 13);
    assert_null(f->engine->holds);
    flush(f);
    f->now += TD_BLOCK_WINDOW_MS + 1000;
    publish_one(f, "pub", "a", 10, 0, 23);
    assert_non_null(f->engine->holds); /* it has its budget again */
}

static void test_engine_lets_go_when_the_slow_one_ends(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    assert_non_null(f->engine->held);
    td_engine_gone(f->engine, peer_of("sub"), f->now);
    flush(f);
    assert_null(f->engine->held);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     12 + TD_PUBLISH_EVENTS);
    assert_int_equal(f->engine->counters.gone.dropped[TD_DROP_SESSION_LOST],
                     12);
}

/* A reader that stands still must not be buried under bad news. */
static void test_engine_tells_a_silent_peer_few_gaps(void **state)
{
    struct fixture *f = *state;
    uint32_t gaps = 0;
    uint64_t told = 0;

    begin(f, "a",
          "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 1 "
          "\"queue_bytes\" 1}");
    publish_one(f, "pub", "a", 1, 0, 1);
    flush(f);
    for (uint32_t i = 0; i < 1000; i++) {
        publish_one(f, "pub", "a", 1, 0, 2 + i);
        f->now += 10;
        flush(f);
    }
    while (find(f, "sub", TD_GAP, gaps))
        told += frame(f, "sub", TD_GAP, gaps++)->u.gap.events;
    assert_true(gaps > 0 && gaps < 100);
    give(f, "sub", "[11 1]"); /* it is alive: the rest in one */
    flush(f);
    told += frame(f, "sub", TD_GAP, gaps)->u.gap.events;
    assert_null(find(f, "sub", TD_GAP, gaps + 1));
    assert_int_equal(told, 1000);
}

/* ---- memory ---- */

static void test_engine_drops_from_the_largest_queue_for_memory(void **state)
{
    struct fixture *f = *state;

    td_engine_free(f->engine);
    assert_ok(start(f, 100000));
    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000}");
    give(f, "sub", "[5 2 2 \"b\" {\"events\" 1 \"bytes\" 2000000}]");
    publish_one(f, "pub", "b", 1, 10000, 1);
    publish_one(f, "pub", "b", 1, 10000, 2);
    for (uint32_t i = 0; i < 20; i++) {
        publish_one(f, "pub", "a", 1, 10000, 3 + i);
        assert_true(td_engine_held_bytes(f->engine) <= 100000);
    }
    flush(f);
    give(f, "sub", "[9 2 [[1 1 100 2000000] [2 1 100 2000000]]]");
    flush(f);
    assert_int_equal(frame(f, "sub", TD_GAP, 0)->u.gap.subscription, 1);
    assert_memory_equal(frame(f, "sub", TD_GAP, 0)->u.gap.reason.data, "memory",
                        6);
    assert_null(find(f, "sub", TD_GAP, 1));
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
}

/* ---- silence ---- */

static void test_engine_ends_a_silent_session(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    while (f->now < 1000 + TD_DEAD_MS - 500) {
        f->now += 500;
        give(f, "pub", "[12 1]");
        flush(f);
        assert_true(f->next <= f->now + 1000);
    }
    assert_int_equal(sessions(f), 2);
    f->now += 1500;
    give(f, "pub", "[12 1]");
    flush(f);
    assert_bye(f, "silence", "sub", TIDINGS_ETIMEDOUT);
    assert_int_equal(sessions(f), 1);
    assert_int_equal(f->engine->counters.silent, 1);
}

/* A broker that stood still itself must not blame its clients … */
static void test_engine_counts_only_time_in_which_it_ran(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    f->now += 10 * TD_DEAD_MS;
    flush(f);
    assert_int_equal(sessions(f), 2);
    for (int64_t end = f->now + TD_DEAD_MS + 2000; f->now < end;) {
        f->now += 500;
        give(f, "pub", "[12 1]");
        flush(f);
    }
    assert_int_equal(sessions(f), 1); /* … but then silence is silence */
}

/* … nor excuse those whom it has heard since. */
static void test_engine_counts_silence_from_what_it_heard_last(void **state)
{
    struct fixture *f = *state;

    f->now += 3600000; /* nobody was there, and nobody called */
    begin(f, "a", WIDE);
    f->now += 3600000;
    give(f, "pub", "[12 1]");
    flush(f);
    for (int i = 0; i < (TD_DEAD_MS + 2000) / 500; i++) {
        f->now += 500;
        flush(f);
    }
    assert_int_equal(sessions(f), 0);
}

static void test_engine_wants_no_call_when_nobody_is_there(void **state)
{
    struct fixture *f = *state;

    flush(f);
    assert_true(f->next == TD_NEVER);
    hello(f, "a");
    flush(f);
    assert_int_equal(f->next, f->now + 1000);
    give(f, "a", "[14 0 \"\"]");
    flush(f);
    f->now = f->next;
    flush(f);
    assert_true(f->next == TD_NEVER); /* nothing was published */
}

/* ---- producers ---- */

static void test_engine_remembers_a_producer_for_a_while(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    publish_one(f, "pub", "a", 5, 0, 1);
    give(f, "pub", "[14 0 \"\"]");
    flush(f);
    f->now += TD_PRODUCER_KEEP_MS - 1001;
    flush(f);
    forget(f);
    hello(f, "pub");
    assert_int_equal(frame(f, "pub", TD_WELCOME, 0)->u.welcome.taken, 5);
    give(f, "pub", "[14 0 \"\"]");
    flush(f);
    f->now += TD_PRODUCER_KEEP_MS;
    flush(f);
    forget(f);
    assert_int_equal(HASH_COUNT(f->engine->producers), 1); /* sub's */
    hello(f, "pub");
    assert_int_equal(frame(f, "pub", TD_WELCOME, 0)->u.welcome.taken, 0);
}

static void test_engine_bounds_the_producers_it_remembers(void **state)
{
    struct fixture *f = *state;
    char name[17];

    for (uint32_t i = 0; i < TD_PRODUCERS_MAX + 2; i++) {
        snprintf(name, sizeof(name), "p%06u", i);
        hello(f, name);
        publish_one(f, name, "a", 1, 0, 1);
        give(f, name, "[14 0 \"\"]");
        flush(f);
        forget(f);
    }
    assert_int_equal(HASH_COUNT(f->engine->producers), TD_PRODUCERS_MAX);
    hello(f, "p000001"); /* the oldest were forgotten */
    assert_int_equal(frame(f, "p000001", TD_WELCOME, 0)->u.welcome.taken, 0);
    hello(f, "p000009");
    assert_int_equal(frame(f, "p000009", TD_WELCOME, 0)->u.welcome.taken, 1);
}

static void test_engine_bounds_its_sessions(void **state)
{
    struct fixture *f = *state;
    char name[17];

    for (uint32_t i = 0; i < TD_SESSIONS_MAX; i++) {
        snprintf(name, sizeof(name), "s%06u", i);
        hello(f, name);
        forget(f);
    }
    hello(f, "more");
    assert_bye(f, "sessions", "more", TIDINGS_ELIMIT);
    assert_int_equal(sessions(f), TD_SESSIONS_MAX);
}

/* ---- links ---- */

static void test_engine_ends_a_session_whose_link_takes_nothing(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    publish_one(f, "pub", "a", 3, 0, 1);
    f->refuses = true;
    flush(f);
    f->refuses = false;
    flush(f);
    assert_int_equal(sessions(f), 1);
    assert_int_equal(f->engine->counters.gone.dropped[TD_DROP_SESSION_LOST], 3);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
}

static void test_engine_does_not_know_who_is_gone(void **state)
{
    struct fixture *f = *state;

    td_engine_gone(f->engine, peer_of("x"), f->now);
    hello(f, "a");
    td_engine_gone(f->engine, peer_of("a"), f->now);
    td_engine_gone(f->engine, peer_of("a"), f->now);
    flush(f);
    assert_int_equal(sessions(f), 0);
}

/* ---- stopping ---- */

static void test_engine_drains_and_says_goodbye(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 2, 0, 1);
    td_engine_drain(f->engine);
    hello(f, "late");
    assert_bye(f, "late", "late", TIDINGS_ESHUTDOWN);
    f->now += TD_LAZY_MS;
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 2);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     TD_PUBLISH_EVENTS); /* no more credit */
    assert_false(td_engine_is_idle(f->engine));
    give(f, "sub", "[9 1 [[1 1 2 2000000]]]");
    flush(f);
    give(f, "sub", "[9 2 [[1 2 3 2000000]]]");
    assert_true(td_engine_is_idle(f->engine));
    td_engine_stop(f->engine, f->now);
    assert_bye(f, "stop", "pub", TIDINGS_ESHUTDOWN);
    assert_bye(f, "stop", "sub", TIDINGS_ESHUTDOWN);
    assert_int_equal(sessions(f), 0);
}

/* ---- counters ---- */

static uint64_t count(struct td_str map, const char *key)
{
    uint64_t value = UINT64_MAX;

    assert_row(key, td_map_uint(map, key, &value) && value != UINT64_MAX);
    return value;
}

static void test_engine_stats_say_all(void **state)
{
    struct fixture *f = *state;
    struct td_str map;
    struct td_str rows;
    struct td_str row;
    struct td_str text = {NULL, 0};
    struct td_reader r;
    uint32_t n = 0;

    begin(f, "a", "{\"events\" 3 \"bytes\" 2000000 \"queue_events\" 4}");
    publish_one(f, "pub", "a", 9, 5, 1);
    publish_one(f, "pub", "b", 2, 5, 10);
    publish_one(f, "pub", "b", 2, 5, 10);
    flush(f);
    give(f, "sub", "[9 1 [[1 2 3 2000000]]]");
    flush(f);
    pass(f, 500);
    give(f, "sub", "[13 44 {}]");
    assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.request, 44);
    map = frame(f, "sub", TD_REPLY, 0)->u.reply.result;
    assert_int_equal(count(map, "epoch"), 77);
    assert_true(td_map_str(map, "version", &text));
    assert_memory_equal(text.data, "1.2.3", 5);
    assert_int_equal(count(map, "uptime_ms"), 500);
    assert_int_equal(count(map, "published"), 13);
    assert_int_equal(count(map, "duplicates"), 2);
    assert_int_equal(count(map, "routed"), 9);
    assert_int_equal(count(map, "unmatched"), 2);
    assert_int_equal(count(map, "matched"), 9);
    assert_int_equal(count(map, "delivered"), 2);
    assert_int_equal(count(map, "pending"), 7);
    assert_int_equal(count(map, "sessions"), 2);
    assert_int_equal(count(map, "withheld"), 1);
    assert_int_equal(count(map, "queued_bytes"),
                     td_engine_held_bytes(f->engine));
    assert_int_equal(count(map, "types_cached"), 2);
    assert_int_equal(count(map, "bad_frames"), 0);
    assert_int_equal(count(map, "breaches"), 0);
    assert_int_equal(count(map, "silent"), 0);
    assert_int_equal(count(map, "subscriptions_total"), 1);
    assert_true(td_map_find(map, "dropped", &row));
    assert_int_equal(count(row, "slow"), 0);
    assert_int_equal(count(row, "memory"), 0);
    assert_int_equal(count(row, "session_lost"), 0);
    assert_int_equal(count(row, "unsubscribed"), 0);
    assert_true(td_map_find(map, "subscriptions", &rows));
    r = td_reader_of(rows.data, rows.len);
    assert_true(td_read_array(&r, &n) && n == 1 && td_read_raw(&r, &row));
    assert_int_equal(count(row, "session"), 2);
    assert_int_equal(count(row, "subscription"), 1);
    assert_int_equal(count(row, "matched"), 9);
    assert_int_equal(count(row, "delivered"), 2);
    assert_int_equal(count(row, "pending"), 7);
    assert_int_equal(count(row, "blocked_ms"), 500);
    assert_true(td_map_str(row, "name", &text));
    assert_memory_equal(text.data, "sub", 3);
    assert_true(td_map_str(row, "pattern", &text));
    assert_memory_equal(text.data, "a", 1);
}

/* However many subscriptions with the longest names and patterns there are,
 * a client can read the answer. */
static void test_engine_stats_stay_within_a_frame(void **state)
{
    struct fixture *f = *state;
    char name[TD_NAME_BYTES_MAX + 1];
    char pattern[TD_TYPE_BYTES_MAX + 1];
    char text[512];
    struct td_str map;
    struct sent *s;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(pattern, 'p', sizeof(pattern) - 1);
    pattern[sizeof(pattern) - 1] = '\0';
    for (int peer = 0; peer < 2; peer++) {
        const char *who = peer ? "two" : "one";

        snprintf(text, sizeof(text), "[1 \"tidings\" 1 1 '%16s' \"%s\" {}]",
                 who, name);
        give(f, who, text);
        for (unsigned i = 1; i <= TD_STATS_ROWS_MAX * 3 / 4; i++) {
            snprintf(text, sizeof(text), "[5 %u %u \"%s\" " WIDE "]", i, i,
                     pattern);
            give(f, who, text);
        }
    }
    forget(f);
    give(f, "one", "[13 1 {}]");
    s = find(f, "one", TD_REPLY, 0); /* which scans it */
    assert_non_null(s);
    assert_true(s->control.len <= TD_CONTROL_BYTES_MAX);
    map = s->frame.u.reply.result;
    assert_int_equal(count(map, "subscriptions_total"),
                     TD_STATS_ROWS_MAX * 3 / 4 * 2);
}

/* ---- memory that is not there ---- */

/* All that allocates. With a failure anywhere the engine goes on, its books
 * balance, and whoever greets afresh is served. Returns how many calls. */
static unsigned history(struct fixture *f)
{
    const struct piece pieces[] = {{"a", 2, 9000, 1}, {"b", 2, 100, 3}};
    const struct td_counters *c;
    unsigned calls;

    f->calls = 0;
    f->starved = false;
    assert_ok(start(f, 0));
    c = &f->engine->counters;
    hello(f, "pub");
    hello(f, "sub");
    give(f, "sub", "[5 1 1 \"a\" {\"events\" 3 \"bytes\" 2000000}]");
    give(f, "sub",
         "[5 2 2 \">\" {\"events\" 1 \"bytes\" 2000000 "
         "\"queue_events\" 2}]");
    publish(f, "pub", 0, pieces, 2);
    publish_one(f, "pub", "a", 3, 10, 5);
    flush(f);
    give(f, "sub", "[13 1 {}]");
    f->now += TD_BLOCK_MS;
    flush(f);
    assert_int_equal(c->published, c->duplicates + c->routed + c->unmatched);
    calls = f->calls;
    hello(f, "fresh");
    assert_non_null(find(f, "fresh", TD_WELCOME, 0));
    td_engine_stop(f->engine, f->now);
    assert_int_equal(c->gone.matched,
                     c->gone.delivered + c->gone.dropped[TD_DROP_SLOW] +
                         c->gone.dropped[TD_DROP_MEMORY] +
                         c->gone.dropped[TD_DROP_SESSION_LOST]);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
    td_engine_free(f->engine);
    f->engine = NULL;
    forget(f);
    return calls;
}

static void test_engine_survives_every_lack_of_memory(void **state)
{
    struct fixture *f = *state;
    unsigned failures = 0;
    unsigned calls;

    td_engine_free(f->engine);
    calls = history(f);
    for (f->starved_call = 1; f->starved_call <= calls; f->starved_call++) {
        f->starved_allocation = 0;
        do {
            f->starved_allocation++;
            history(f);
            failures += f->starved;
        } while (f->starved);
    }
    assert_true(failures > 40);
}

/* What there was no memory to send goes out when there is, unasked. */
static void test_engine_delivers_when_there_is_memory_again(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    publish_one(f, "pub", "a", 3, 10, 1);
    publish_one(f, "pub", "a", 3, 10, 4); /* two batches, to be gathered */
    f->calls = 0;
    f->starved_call = f->starved_allocation = 1;
    flush(f);
    assert_true(f->starved);
    while (events_to(f, "sub") == 0) {
        assert_true(f->next <= f->now + 100);
        f->now = f->next;
        flush(f);
    }
    assert_int_equal(sessions(f), 2);
}

/* What there was no memory to keep is counted and told. */
static void test_engine_tells_of_what_it_had_no_memory_for(void **state)
{
    struct fixture *f = *state;
    uint64_t lost = 0;

    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 1, 10, 1);
    flush(f);
    f->starved_call = 1;
    for (f->starved_allocation = 1; lost == 0; f->starved_allocation++) {
        f->calls = 0;
        publish_one(f, "pub", "a", 2, 10, 10 * f->starved_allocation);
        assert_true(f->starved_allocation < 50);
        for (struct td_session *s = f->engine->sessions; s; s = s->hh.next) {
            if (s->subs)
                lost = s->subs->ledger.dropped[TD_DROP_MEMORY];
        }
        if (sessions(f) < 2 || find(f, "pub", TD_BYE, 0))
            hello(f, "pub"); /* it was its message that failed */
        forget(f);
    }
    give(f, "sub", "[9 1 [[1 1 1000 2000000]]]");
    flush(f);
    assert_int_equal(frame(f, "sub", TD_GAP, 0)->u.gap.events, lost);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_welcomes_with_all_that_a_client_needs),
        TEST(test_engine_answers_a_second_hello_and_goes_on),
        TEST(test_engine_refuses_who_does_not_greet),
        TEST(test_engine_does_not_say_goodbye_for_ever),
        TEST(test_engine_takes_any_common_version),
        TEST(test_engine_ends_a_session_when_its_producer_comes_again),
        TEST(test_engine_may_be_greeted_again_in_the_same_turn),
        TEST(test_engine_replaces_what_would_upset_a_terminal),
        TEST(test_engine_ends_a_session_that_breaks_the_rules),
        TEST(test_engine_wants_one_frame_or_two),
        TEST(test_engine_ends_a_session_whose_batch_is_not_its_own),
        TEST(test_engine_ends_a_session_whose_sequences_fall),
        TEST(test_engine_keeps_the_systems_types_to_itself),
        TEST(test_engine_ends_a_session_that_exceeds_its_credit),
        TEST(test_engine_passes_a_whole_batch_on_by_reference),
        TEST(test_engine_gathers_the_runs_that_match),
        TEST(test_engine_gathers_once_for_all),
        TEST(test_engine_skips_what_was_taken),
        TEST(test_engine_says_what_it_has_taken_when_it_is_asked),
        TEST(test_engine_says_lazily_what_nobody_waits_for),
        TEST(test_engine_says_so_when_a_quarter_of_credit_is_used),
        TEST(test_engine_says_what_it_has_taken_before_pong),
        TEST(test_engine_takes_what_came_before_bye),
        TEST(test_engine_answers_what_cannot_be_subscribed),
        TEST(test_engine_bounds_the_subscriptions_of_a_session),
        TEST(test_engine_counts_what_an_ended_subscription_had),
        TEST(test_engine_stays_within_the_credit_for_events),
        TEST(test_engine_stays_within_the_credit_for_bytes),
        TEST(test_engine_gathers_small_batches),
        TEST(test_engine_leaves_few_messages_unanswered),
        TEST(test_engine_withholds_credit_while_a_queue_is_full),
        TEST(test_engine_holds_back_only_who_fills_the_queue),
        TEST(test_engine_drops_when_the_budget_is_spent),
        TEST(test_engine_does_not_charge_holds_for_its_own_pause),
        TEST(test_engine_drops_at_once_without_a_budget),
        TEST(test_engine_lets_go_when_the_slow_one_ends),
        TEST(test_engine_tells_a_silent_peer_few_gaps),
        TEST(test_engine_drops_from_the_largest_queue_for_memory),
        TEST(test_engine_ends_a_silent_session),
        TEST(test_engine_counts_only_time_in_which_it_ran),
        TEST(test_engine_counts_silence_from_what_it_heard_last),
        TEST(test_engine_wants_no_call_when_nobody_is_there),
        TEST(test_engine_remembers_a_producer_for_a_while),
        TEST(test_engine_bounds_the_producers_it_remembers),
        TEST(test_engine_bounds_its_sessions),
        TEST(test_engine_ends_a_session_whose_link_takes_nothing),
        TEST(test_engine_does_not_know_who_is_gone),
        TEST(test_engine_drains_and_says_goodbye),
        TEST(test_engine_stats_say_all),
        TEST(test_engine_stats_stay_within_a_frame),
        TEST(test_engine_survives_every_lack_of_memory),
        TEST(test_engine_delivers_when_there_is_memory_again),
        TEST(test_engine_tells_of_what_it_had_no_memory_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
