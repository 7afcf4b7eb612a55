/* Durable subscriptions of the client's session: what they ask for, what is
 * delivered to them, and how that is settled. */
#include "tests/unit/session_fixture.h"

#include <stdlib.h>

#include "tests/support/mp.h"

static const struct tidings_sub_options mails = {
    .window_events = 10, .stream = "events", .group = "mails"};

static struct td_csub *join(struct fixture *f,
                            const struct tidings_sub_options *options)
{
    struct td_csub *sub = subscribe_with(f, options);

    answer(f, sub, 0);
    assert_int_equal(sub->state, TD_CSUB_LIVE);
    return sub;
}

/* DELIVER of so many events of 6 bytes, with these spans. */
static tidings_err deliver_spans(struct fixture *f, const struct td_csub *sub,
                                 unsigned tag, unsigned events,
                                 const char *spans)
{
    char text[400];

    snprintf(text, sizeof(text),
             "[8 [[%u %u [[b(16) \"/s\" 0 [[\"a\" %u %u 1 0]]]] %s]]]",
             sub->number, tag, events, 6 * events, spans);
    return give_bytes(f, text, (size_t)6 * events);
}

static void say(struct fixture *f, struct td_csub *sub, unsigned verb,
                uint64_t first, uint64_t last)
{
    const struct td_settle how = {.verb = verb, .first = first, .last = last};

    assert_ok(td_client_settle(&f->client, sub, f->client.incarnation, &how));
}

/* The nth SETTLE's rows, one after the other. */
static void expect_rows(struct fixture *f, uint32_t nth, const char *want)
{
    const struct td_str *list = &frame(f, TD_SETTLE, nth)->u.settle.list;
    struct td_buf bytes = {0};

    td_mp(&bytes, want);
    assert_int_equal(list->len, bytes.len);
    assert_memory_equal(list->data, bytes.data, bytes.len);
    td_buf_fini(&bytes);
}

static bool asked(struct fixture *f, const char *options)
{
    const struct td_str *got = &frame(f, TD_SUBSCRIBE, 0)->u.subscribe.options;
    struct td_buf want = {0};
    bool same;

    td_mp(&want, options);
    same = got->len == want.len && memcmp(got->data, want.data, want.len) == 0;
    td_buf_fini(&want);
    return same;
}

/* ---- asking ---- */

static void test_durable_asks_for_stream_and_group(void **state)
{
    struct fixture *f = *state;
    struct tidings_sub_options o = mails;

    o.window_bytes = 4000000;
    o.queue_events = 5; /* means nothing here */
    o.policy = TIDINGS_DROP_NEWEST;
    o.group_policy = TIDINGS_BY_KEY;
    o.start.kind = TIDINGS_START_TIME;
    o.start.time_ms = 1700000000000;
    greet(f, WELCOME);
    subscribe_with(f, &o);
    assert_true(asked(f,
                      "{\"events\" 10 \"bytes\" 4000000 \"stream\" \"events\""
                      " \"group\" \"mails\" \"group_policy\" \"key\""
                      " \"start\" \"time\" \"start_ms\" 1700000000000}"));
}

/* A reader that is begun anew goes on behind what it has had. */
static void test_reader_goes_on_where_it_was(void **state)
{
    const struct tidings_sub_options o = {.window_events = 10,
                                          .window_bytes = 4000000,
                                          .stream = "events",
                                          .start = {TIDINGS_START_ALL, 0, 0}};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &o);
    assert_true(asked(f,
                      "{\"events\" 10 \"bytes\" 4000000 \"stream\" \"events\""
                      " \"start\" \"all\"}"));
    assert_ok(deliver_spans(f, sub, 1, 3, "[[2 7 1] [1 12 1]]"));
    td_client_handled(&f->client, sub, 1, 3, 18);
    assert_int_equal(sub->taken, 3);
    lose(f);
    forget(f);
    greet(f, WELCOME);
    assert_true(asked(f,
                      "{\"events\" 10 \"bytes\" 4000000 \"stream\" \"events\""
                      " \"start\" 13}"));
    td_client_unsubscribe(&f->client, sub);
    assert_null(find(f, TD_SETTLE, 0));
}

/* ---- settling ---- */

static void test_durable_settles_a_batch_with_one_row(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 4, "[[3 100 1] [1 50 3]]"));
    assert_int_equal(f->delivery.spans.len, 9);
    assert_int_equal(sub->redelivered, 1);
    for (unsigned tag = 1; tag <= 4; tag++)
        say(f, sub, TD_ACK, tag, tag);
    assert_null(find(f, TD_SETTLE, 0));
    assert_int_equal(td_client_due_ms(&f->client), f->now + 1);
    assert_true(td_client_send_settled(&f->client));
    expect_rows(f, 0, "[[1 1 1 4 0 \"\"]]");
    assert_null(find(f, TD_PING, 0)); /* acks need no proof */
    assert_null(find(f, TD_CREDIT, 0));
    assert_false(td_client_send_settled(&f->client));
    assert_int_equal(sub->taken, 4);
}

static void test_durable_settles_before_credit(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 8, "[[8 1 1]]"));
    say(f, sub, TD_ACK, 2, 6); /* half a window, but none from the start on */
    expect_rows(f, 0, "[[1 1 2 6 0 \"\"]]");
    assert_null(find(f, TD_CREDIT, 0));
    say(f, sub, TD_ACK, 1, 1);
    expect_rows(f, 1, "[[1 1 1 1 0 \"\"]]");
    assert_int_equal(credit(f, 0).taken, 6);
    assert_int_equal(credit(f, 0).events_limit, 16);
    assert_int_equal(f->sent[f->sent_len - 1].frame.op, TD_CREDIT);
}

static void test_durable_is_settled_within_a_millisecond(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 1, "[[1 1 1]]"));
    say(f, sub, TD_ACK, 1, 1);
    tick(f);
    assert_int_equal(f->next, f->now + 1);
    assert_null(find(f, TD_SETTLE, 0));
    f->now++;
    tick(f);
    expect_rows(f, 0, "[[1 1 1 1 0 \"\"]]");
}

/* Where the group deals by what its members hold, as its broker says, one that
 * holds nothing any more says so at once. */
static void test_durable_says_that_it_has_run_dry(void **state)
{
    static const struct {
        const char *policy;
        bool at_once;
    } rows[] = {{"round_robin", false},  {"random", false},
                {"least_pending", true}, {"key", true},
                {"single", false},       {"keys", false}};
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_csub *sub = subscribe_with(f, &mails);
        char reply[128];

        snprintf(reply, sizeof(reply),
                 "[7 %u 0 \"\" {\"group_policy\" \"%s\"}]",
                 (unsigned)sub->request, rows[i].policy);
        assert_ok(give(f, reply));
        forget(f);
        assert_ok(deliver_spans(f, sub, 1, 3, "[[3 1 1]]"));
        say(f, sub, TD_ACK, 1, 2);
        assert_row(rows[i].policy, !find(f, TD_CREDIT, 0)); /* one is left */
        say(f, sub, TD_ACK, 3, 3);
        assert_row(rows[i].policy, !!find(f, TD_CREDIT, 0) == rows[i].at_once);
        assert_row(rows[i].policy, !!find(f, TD_SETTLE, 0) == rows[i].at_once);
        f->now += TD_LAZY_MS; /* and in any case before long */
        tick(f);
        assert_int_equal(credit(f, 0).taken, 3);
    }
}

/* Failures go with their reasons, before acks, and it is asked whether they
 * have arrived. */
static void test_durable_says_why_it_failed(void **state)
{
    const struct td_settle nak = {.verb = TD_NAK,
                                  .first = 2,
                                  .last = 2,
                                  .delay_ms = 700,
                                  .reason = {"no mail", 7}};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 3, "[[3 1 1]]"));
    say(f, sub, TD_ACK, 1, 1);
    assert_ok(td_client_settle(&f->client, sub, 1, &nak));
    assert_err(td_client_settle(&f->client, sub, 1, &nak), TIDINGS_EEXIST);
    say(f, sub, TD_TERM, 3, 3);
    td_client_send_settled(&f->client);
    expect_rows(
        f, 0, "[[1 2 2 2 700 \"no mail\"] [1 4 3 3 0 \"\"] [1 1 1 1 0 \"\"]]");
    assert_int_equal(frame(f, TD_PING, 0)->u.ping.token,
                     f->client.next_request);
    assert_int_equal(sub->settling.naked, 1);
    assert_int_equal(sub->settling.termed, 1);
}

static void test_durable_gives_back_what_is_left(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 5, "[[5 1 1]]"));
    say(f, sub, TD_ACK, 1, 2);
    td_client_unsubscribe(&f->client, sub);
    expect_rows(f, 0, "[[1 3 3 5 0 \"\"] [1 1 1 2 0 \"\"]]");
    assert_int_equal(credit(f, 0).taken, 5);
    assert_int_equal(f->sent[f->sent_len - 1].frame.op, TD_UNSUBSCRIBE);
}

static void test_durable_gives_back_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 2, "[[2 1 1]]"));
    td_client_close(&f->client);
    expect_rows(f, 0, "[[1 3 1 2 0 \"\"]]");
    assert_int_equal(f->sent[f->sent_len - 1].frame.op, TD_BYE);
}

/* What waits is held, and once more what was begun with since. */
static void test_durable_says_what_is_in_hand(void **state)
{
    const struct td_at at = {1, 1};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 6, "[[6 1 1]]"));
    say(f, sub, TD_ACK, 2, 2);
    td_client_settle_later(&f->client, sub, 1, 4, 4);
    td_client_hold(&f->client, sub, &at, 1);
    td_client_send_settled(&f->client);
    expect_rows(f, 0, "[[1 5 1 1 0 \"\"] [1 5 3 6 0 \"\"] [1 1 2 2 0 \"\"]]");
    td_client_hold(&f->client, sub, &at, 1);
    td_client_send_settled(&f->client);
    expect_rows(f, 1, "[[1 5 3 3 0 \"\"] [1 5 5 6 0 \"\"]]");
    assert_null(find(f, TD_PING, 0));
}

/* What the broker has taken away goes to no handler, and needs no word; the rest
 * that waits is given back. */
static void test_durable_gives_back_what_waits(void **state)
{
    const struct td_at at = {2, 3};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 8, "[[8 1 1]]"));
    say(f, sub, TD_ACK, 1, 1);
    td_client_settle_later(&f->client, sub, 1, 6, 6);
    td_client_hold(&f->client, sub, &at, 1);
    td_client_send_settled(&f->client);
    assert_ok(give(f, "[18 [[1 4 5 14] [1 3 3 14] [1 6 6 14]]]"));
    assert_int_equal(f->lost, 5);
    assert_int_equal(sub->stale, 2); /* somebody is, or was, at these */
    forget(f);
    td_client_give_back(&f->client, sub, 7, &at, 1);
    expect_rows(f, 0, "[[1 3 7 7 0 \"\"]]");
    assert_non_null(find(f, TD_PING, 0));
    say(f, sub, TD_ACK, 2, 3);
    say(f, sub, TD_ACK, 6, 6);
    assert_int_equal(sub->taken, 7);
    say(f, sub, TD_ACK, 8, 8);
    assert_int_equal(sub->settling.released, 1);
    assert_int_equal(sub->settling.acked, 5);
}

/* ---- how much a member has ---- */

/* Handled so long after what was handled before. */
static void handle(struct fixture *f, struct td_csub *sub, uint64_t events,
                   int64_t ms)
{
    uint64_t first = sub->settling.handled + 1;

    say(f, sub, TD_ACK, first, first + events - 1);
    f->now += ms;
    td_client_pace(&f->client, sub, f->now);
}

static void test_durable_window_follows_the_handler(void **state)
{
    const struct tidings_sub_options o = {.stream = "events", .group = "g"};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &o);
    assert_int_equal(sub->window_events, TD_WINDOW_EVENTS_MIN);
    for (unsigned tag = 1; tag <= 1000; tag += 10)
        assert_ok(deliver_spans(f, sub, tag, 10, "[[10 1 1]]"));
    td_client_pace(&f->client, sub, f->now); /* since then */
    handle(f, sub, 16, 10);
    assert_int_equal(sub->window_events, 32);
    assert_int_equal(sub->limit, 48);
    handle(f, sub, 16, 10);
    assert_int_equal(sub->window_events, 32); /* half of it */
    handle(f, sub, 16, 10);
    assert_int_equal(sub->window_events, 64);
    handle(f, sub, 64, 300);
    assert_int_equal(sub->window_events, 64);
    handle(f, sub, 40, 500); /* it has become slower … */
    assert_int_equal(sub->window_events, 20);
    assert_int_equal(sub->limit, 152 + 64); /* … what is told stays */
    handle(f, sub, 1, 5000);
    assert_int_equal(sub->window_events, TD_WINDOW_EVENTS_MIN);
    td_client_settle_later(&f->client, sub, 1, 154, 1000); /* all that came */
    assert_int_equal(sub->limit, 1000 + TD_WINDOW_EVENTS_MIN);
    td_client_pace(&f->client, sub, f->now + 60000);
    assert_ok(deliver_spans(f, sub, 1001, 10, "[[10 1001 1]]"));
    td_client_stick(&f->client, sub, true);
    say(f, sub, TD_ACK, 1001, 1010);
    assert_int_equal(sub->limit, 1000 + TD_WINDOW_EVENTS_MIN);
    td_client_stick(&f->client, sub, false);
    assert_int_equal(sub->limit, 1010 + sub->window_events);
    assert_int_equal(sub->taken, 153); /* what is settled is another matter */
}

/* However slow they are, each has an event, and one is on its way to it. */
static void test_durable_window_has_room_for_every_worker(void **state)
{
    const struct tidings_sub_options o = {
        .stream = "events", .group = "g", .workers = 64};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &o);
    assert_int_equal(sub->window_events, 128);
    assert_int_equal(sub->limit, 128);
    for (unsigned tag = 1; tag <= 130; tag += 10)
        assert_ok(deliver_spans(f, sub, tag, 10, "[[10 1 1]]"));
    td_client_pace(&f->client, sub, f->now); /* since then */
    handle(f, sub, 64, 1000);
    assert_int_equal(sub->window_events, 128);
    assert_int_equal(sub->limit, 64 + 128);
}

static void test_durable_splits_what_does_not_fit_a_frame(void **state)
{
    const struct tidings_sub_options o = {
        .window_events = 8192, .stream = "events", .group = "g"};
    struct fixture *f = *state;
    struct td_csub *sub;
    uint32_t rows = 0;

    greet(f, WELCOME);
    sub = join(f, &o);
    for (unsigned tag = 1; tag <= 2400; tag += 10)
        assert_ok(deliver_spans(f, sub, tag, 10, "[[10 1 1]]"));
    for (unsigned tag = 1; tag < 2400; tag += 2)
        say(f, sub, TD_TERM, tag, tag);
    forget(f);
    td_client_send_settled(&f->client);
    for (uint32_t i = 0; find(f, TD_SETTLE, i); i++) {
        const struct td_str *list = &find(f, TD_SETTLE, i)->u.settle.list;
        struct td_reader r = td_reader_of(list->data, list->len);
        uint32_t n;

        assert_true(td_read_array(&r, &n));
        assert_true(n <= TD_SETTLE_ROWS_MAX);
        rows += n;
    }
    assert_int_equal(rows, 1200);
    assert_non_null(find(f, TD_SETTLE, 1));
}

/* ---- links and sessions ---- */

static void test_durable_settles_again_over_the_next_link(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    char text[60];

    greet(f, GREETED);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 4, "[[4 1 1]]"));
    say(f, sub, TD_ACK, 1, 1);
    td_client_send_settled(&f->client);
    lose(f);
    say(f, sub, TD_NAK, 2, 2); /* while it is away */
    assert_null(find(f, TD_SETTLE, 1));
    resume(f);
    expect_rows(f, 0, "[[1 2 2 2 0 \"\"] [1 1 1 1 0 \"\"]]");
    assert_ok(give(f, "[18 [[1 1 1 14]]]")); /* known: no news */
    assert_false(was_told(f, TIDINGS_STALE));
    assert_ok(give(f, "[18 [[1 2 2 14]]]")); /* but that is */
    assert_int_equal(count_of(f, TIDINGS_STALE), 1);
    snprintf(text, sizeof(text), "[12 %u]",
             (unsigned)frame(f, TD_PING, 0)->u.ping.token);
    assert_ok(give(f, text));
    assert_null(sub->settling.sent); /* it has arrived */
    say(f, sub, TD_ACK, 3, 3);
    td_client_send_settled(&f->client);
    expect_rows(f, 1, "[[1 1 3 3 0 \"\"]]");
}

/* Its group was deleted: it does not make it anew, and has nothing to settle. */
static void test_durable_ends_with_its_group(void **state)
{
    const struct td_settle ack = {.verb = TD_ACK, .first = 1, .last = 1};
    struct fixture *f = *state;
    struct td_csub *sub;
    uint32_t told;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 8, "[[8 1 1]]"));
    assert_ok(give(f, "[10 1 0 \"deleted\"]"));
    assert_int_equal(sub->state, TD_CSUB_REFUSED);
    assert_err(sub->code, TIDINGS_ECLOSED);
    assert_string_equal(sub->text, "its group was deleted");
    assert_string_equal(text_of(f, TIDINGS_REFUSED), sub->text);
    assert_false(was_told(f, TIDINGS_GAP)); /* nothing was missed */
    told = f->status_len;
    assert_ok(give(f, "[10 1 0 \"deleted\"]"));
    assert_int_equal(f->status_len, told);
    assert_err(td_client_settle(&f->client, sub, 1, &ack), TIDINGS_ENOTFOUND);
    assert_ok(deliver_spans(f, sub, 9, 1, "[[1 9 1]]")); /* was on its way */
    lose(f);
    forget(f);
    greet(f, WELCOME);
    assert_null(find(f, TD_SUBSCRIBE, 0));
    assert_null(find(f, TD_SETTLE, 0));
    td_client_unsubscribe(&f->client, sub);
    assert_int_equal(sub->state, TD_CSUB_ENDED);
    assert_null(find(f, TD_UNSUBSCRIBE, 0));
}

static void test_durable_forgets_with_the_session(void **state)
{
    const struct td_settle ack = {.verb = TD_ACK, .first = 1, .last = 1};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 4, "[[4 1 1]]"));
    lose(f);
    reopen(f);
    greet(f, ANEW);
    assert_err(td_client_settle(&f->client, sub, 1, &ack), TIDINGS_ENOTFOUND);
    answer(f, sub, 0);
    assert_err(td_client_settle(&f->client, sub, 1, &ack), TIDINGS_ENOTFOUND);
    assert_err(td_client_settle(&f->client, sub, 2, &ack), TIDINGS_ENOTFOUND);
    assert_ok(deliver_spans(f, sub, 1, 1, "[[1 1 2]]"));
    assert_ok(td_client_settle(&f->client, sub, 2, &ack));
    assert_int_equal(sub->taken, 1);
}

/* ---- what the broker says ---- */

/* D17: of what retention took the sequences are known. */
static const struct {
    const char *frame; /* behind the subscription's number */
    const char *group; /* NULL: it reads */
    uint64_t first;
    uint64_t last;
    const char *text;
} lost[] = {
    {"120 \"expired\" 17 136", "mails", 17, 136,
     "lost 120 events, sequences 17 to 136 of events: retention was faster "
     "than "
     "group mails"},
    {"1 \"expired\" 17 17", "mails", 17, 17,
     "lost 1 event, sequence 17 of events: retention was faster than group "
     "mails"},
    {"6 \"damaged\" 7 12", "mails", 7, 12,
     "lost 6 events, sequences 7 to 12 of events: damaged in the store"},
    {"6 \"damaged\" 7 12", NULL, 7, 12,
     "lost 6 events, sequences 7 to 12 of events: damaged in the store"},
    {"2 \"expired\" 1 9", NULL, 1, 9,
     "lost 2 events, sequences 1 to 9 of events: retention was faster than "
     "this "
     "reader"},
    {"2 \"expired\"", "mails", 0, 0, "missed 2 events: expired"},
    {"2 \"expired\" 3", "mails", 0, 0, "missed 2 events: expired"},
    {"2 \"expired\" 0 3", "mails", 0, 0, "missed 2 events: expired"},
    {"2 \"expired\" 4 3", "mails", 0, 0, "missed 2 events: expired"},
    {"2 \"expired\" 4 5 6", "mails", 4, 5,
     "lost 2 events, sequences 4 to 5 of events: retention was faster than "
     "group mails"},
};

static void test_durable_tells_which_sequences_were_lost(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (size_t i = 0; i < TD_ARRAY_LEN(lost); i++) {
        const struct tidings_sub_options o = {.stream = "events",
                                              .group = lost[i].group};
        struct td_csub *sub = join(f, &o);
        char text[100];

        forget(f);
        snprintf(text, sizeof(text), "[10 %u %s]", sub->number, lost[i].frame);
        assert_row(text, give(f, text) == TIDINGS_OK);
        assert_row(text, f->status_len == 1 &&
                             f->status[0].kind == TIDINGS_GAP &&
                             f->status[0].count == sub->missed);
        assert_string_equal(f->status[0].text, lost[i].text);
        assert_row(text, f->gap_first == lost[i].first &&
                             f->gap_last == lost[i].last);
    }
}

/* A live subscription has no sequences, whatever the broker says. */
static void test_live_gap_has_no_sequences(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    subscribe_live(f, 0);
    assert_ok(give(f, "[10 1 2 \"slow\" 4 5]"));
    assert_int_equal(f->gap_first, 0);
    assert_int_equal(f->gap_last, 0);
}

static void test_durable_tells_of_stale_settlements(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    assert_ok(deliver_spans(f, sub, 1, 5, "[[5 1 1]]"));
    say(f, sub, TD_ACK, 1, 5);
    assert_ok(give(f, "[18 [[1 2 4 14] [77 1 9 7]]]"));
    assert_int_equal(count_of(f, TIDINGS_STALE), 3);
    assert_int_equal(sub->stale, 3);
    assert_ok(give(f, "[18 []]"));
}

static void test_durable_hostile_messages_end_the_session(void **state)
{
    static const char *const spans[] = {
        "[]",        "[[1 1 1]]",         "[[3 1 1]]",
        "[[2 0 1]]", "[[1 1 1] [2 2 1]]", "[[2 9223372036854775807 1]]",
        "[[2 1 0]]", "[[0 1 1] [2 1 1]]", "[[2 1]]",
        "[2 1 1]",   "[[\"2\" 1 1]]",     "[[4294967298 1 1]]",
    };
    static const char *const settled[] = {
        "[18 [[1 1 3 14]]]", "[18 [[1 1 9223372036854775807 14]]]",
        "[18 [[1 2 1 14]]]", "[18 [[1 0 1 14]]]",
        "[18 [[1 1]]]",
    };
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f, &mails);
    for (unsigned i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        if (deliver_spans(f, sub, 1, 2, spans[i]) != TIDINGS_EPROTO)
            print_error("spans %s were taken\n", spans[i]);
        assert_int_equal(f->client.state, TD_CLIENT_DOWN);
        forget(f);
        greet(f, WELCOME);
        answer(f, sub, 0);
    }
    assert_err(deliver(f, sub->number, 1), TIDINGS_EPROTO); /* without any */
    for (unsigned i = 0; i < sizeof(settled) / sizeof(settled[0]); i++) {
        forget(f);
        greet(f, WELCOME);
        answer(f, sub, 0);
        assert_ok(deliver_spans(f, sub, 1, 2, "[[2 1 1]]"));
        if (give(f, settled[i]) != TIDINGS_EPROTO)
            print_error("%s was taken\n", settled[i]);
        assert_int_equal(f->client.state, TD_CLIENT_DOWN);
    }
}

/* ---- calls ---- */

static void test_call_is_asked_and_answered(void **state)
{
    struct fixture *f = *state;
    struct td_question q = {.name = "stream.add", .options = td_empty_map};
    char text[60];

    greet(f, WELCOME);
    td_client_question(&f->client, &q, TD_CALL);
    assert_int_equal(frame(f, TD_CALL, 0)->u.call.request, q.number);
    snprintf(text, sizeof(text), "[7 %u 14 \"it differs\" nil]",
             (unsigned)q.number);
    assert_ok(give(f, text));
    assert_true(q.done);
    assert_int_equal(q.code, TIDINGS_EEXIST);
    assert_string_equal(q.text, "it differs");
    td_client_withdraw(&f->client, &q);
    free(q.result);
}

/* When its link is lost a call may have been done: only what looks is asked
 * again. */
static void test_call_is_asked_again_when_it_only_looks(void **state)
{
    struct fixture *f = *state;
    struct td_question list = {.name = "group.list", .options = td_empty_map};
    struct td_question add = {.name = "group.add", .options = td_empty_map};
    struct td_question late = {.name = "group.add", .options = td_empty_map};

    greet(f, WELCOME);
    td_client_question(&f->client, &list, TD_CALL);
    td_client_question(&f->client, &add, TD_CALL);
    lose(f);
    assert_true(add.done);
    assert_int_equal(add.code, TIDINGS_ETIMEDOUT);
    assert_non_null(strstr(add.text, "it may have been done"));
    td_client_question(&f->client, &late, TD_CALL); /* no link yet */
    lose(f);
    assert_false(late.done);
    forget(f);
    greet(f, WELCOME);
    assert_int_equal(frame(f, TD_CALL, 0)->u.call.request, list.number);
    assert_int_equal(frame(f, TD_CALL, 1)->u.call.request, late.number);
    assert_null(find(f, TD_CALL, 2));
    td_client_withdraw(&f->client, &list);
    td_client_withdraw(&f->client, &add);
    td_client_withdraw(&f->client, &late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_durable_asks_for_stream_and_group),
        TEST(test_reader_goes_on_where_it_was),
        TEST(test_durable_settles_a_batch_with_one_row),
        TEST(test_durable_settles_before_credit),
        TEST(test_durable_is_settled_within_a_millisecond),
        TEST(test_durable_says_that_it_has_run_dry),
        TEST(test_durable_says_why_it_failed),
        TEST(test_durable_gives_back_what_is_left),
        TEST(test_durable_gives_back_at_the_end),
        TEST(test_durable_says_what_is_in_hand),
        TEST(test_durable_gives_back_what_waits),
        TEST(test_durable_window_follows_the_handler),
        TEST(test_durable_window_has_room_for_every_worker),
        TEST(test_durable_splits_what_does_not_fit_a_frame),
        TEST(test_durable_settles_again_over_the_next_link),
        TEST(test_durable_ends_with_its_group),
        TEST(test_durable_forgets_with_the_session),
        TEST(test_durable_tells_which_sequences_were_lost),
        TEST(test_live_gap_has_no_sequences),
        TEST(test_durable_tells_of_stale_settlements),
        TEST(test_durable_hostile_messages_end_the_session),
        TEST(test_call_is_asked_and_answered),
        TEST(test_call_is_asked_again_when_it_only_looks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
