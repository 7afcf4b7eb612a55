/* Closed batches on their way: sent, taken, sent again. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/publisher.h"

static int setup(void **state)
{
    struct td_publisher *p = calloc(1, sizeof(*p));

    *state = p;
    if (!p)
        return -1;
    td_publisher_init(p);
    return 0;
}

static int teardown(void **state)
{
    struct td_publisher *p = *state;

    td_publisher_fini(p);
    free(p);
    return 0;
}

/* A list of batches of ten events and 100 bytes each, the first of which ends
 * with this sequence. */
static struct td_outgoing *list_at(uint64_t last, int n,
                                   enum tidings_level level)
{
    struct td_outgoing *list = NULL;
    struct td_outgoing **tail = &list;

    for (int i = 0; i < n; i++) {
        struct td_outgoing *out = td_outgoing_new(10, level, 0);

        assert_non_null(out);
        out->body = td_body_copy("x", 1);
        out->last = last + 10 * (uint64_t)i;
        out->bytes = 100;
        *tail = out;
        tail = &out->next;
    }
    return list;
}

static struct td_outgoing *list_of(uint64_t last, int n)
{
    return list_at(last, n, TIDINGS_NO_CONFIRM);
}

static void send_all(struct td_publisher *p)
{
    while (p->unsent)
        td_publisher_sent(p);
}

static void test_publisher_sends_in_order(void **state)
{
    struct td_publisher *p = *state;

    td_publisher_add(p, NULL);
    assert_null(p->unsent);
    td_publisher_add(p, list_of(10, 2));
    td_publisher_add(p, list_of(30, 1));
    assert_int_equal(p->unsent_bytes, 300);
    for (uint64_t last = 10; last <= 30; last += 10) {
        assert_int_equal(p->unsent->last, last);
        td_publisher_sent(p);
        assert_int_equal(p->sent, last);
    }
    assert_null(p->unsent);
    assert_int_equal(p->unsent_bytes, 0);
    td_publisher_add(p, list_of(40, 1));
    assert_int_equal(p->unsent->last, 40);
}

static void test_publisher_lets_go_of_what_was_taken(void **state)
{
    struct td_publisher *p = *state;

    td_publisher_add(p, list_of(10, 3));
    send_all(p);
    td_publisher_taken(p, 9); /* not all of the first */
    assert_int_equal(p->taken, 0);
    td_publisher_taken(p, 25);
    assert_int_equal(p->taken, 20);
    assert_int_equal(p->done_events, 20);
    assert_int_equal(p->done_bytes, 200 + 2 * TD_OUTGOING_BYTES);
    assert_int_equal(p->head->last, 30);
    td_publisher_taken(p, 10); /* told again */
    assert_int_equal(p->taken, 20);
    td_publisher_taken(p, 30);
    assert_null(p->head);
    td_publisher_add(p, list_of(40, 1));
    assert_int_equal(p->head->last, 40);
    assert_ptr_equal(p->unsent, p->head);
}

static void test_publisher_sends_all_again_in_a_new_session(void **state)
{
    struct td_publisher *p = *state;

    td_publisher_add(p, list_of(10, 4));
    td_publisher_sent(p);
    td_publisher_sent(p);
    td_publisher_sent(p);
    td_publisher_taken(p, 10);
    assert_int_equal(td_publisher_rewind(p), 20);
    assert_int_equal(p->unsent->last, 20);
    assert_int_equal(p->unsent_bytes, 300);
    assert_int_equal(p->sent, 30);
    td_publisher_sent(p);
    assert_int_equal(p->sent, 30); /* it was once further */
    assert_int_equal(td_publisher_rewind(p), 20);
}

/* The greeting may cover what has not been sent in this session yet. */
static void test_publisher_does_not_send_what_was_taken(void **state)
{
    struct td_publisher *p = *state;

    td_publisher_add(p, list_of(10, 3));
    send_all(p);
    assert_int_equal(td_publisher_rewind(p), 30);
    td_publisher_taken(p, 20);
    assert_int_equal(p->unsent->last, 30);
    assert_int_equal(p->unsent_bytes, 100);
    td_publisher_taken(p, 30);
    assert_null(p->unsent);
    assert_int_equal(p->unsent_bytes, 0);
    assert_int_equal(td_publisher_rewind(p), 0);
}

static void test_publisher_frees_what_it_holds(void **state)
{
    struct td_publisher p;

    (void)state; /* the sanitizer sees what is left */
    td_publisher_init(&p);
    td_publisher_fini(&p);
    td_publisher_init(&p);
    td_publisher_add(&p, list_of(10, 3));
    td_publisher_sent(&p);
    td_publisher_fini(&p);
}

/* ---- confirms ---- */

static uint32_t tell(struct td_publisher *p, uint64_t from, uint64_t to)
{
    struct td_outgoing *out = td_publisher_find(p, from);

    assert_non_null(out);
    return td_publisher_tell(p, out, (struct td_stretch){from, to});
}

/* 1..10 and 41..50 are to be confirmed, 11..40 are not. */
static void add_mixed(struct td_publisher *p)
{
    td_publisher_add(p, list_at(10, 1, TIDINGS_DISK));
    td_publisher_add(p, list_of(20, 3));
    td_publisher_add(p, list_at(50, 1, TIDINGS_DISK));
}

static void test_publisher_keeps_what_is_not_confirmed(void **state)
{
    struct td_publisher *p = *state;

    add_mixed(p);
    send_all(p);
    assert_int_equal(td_publisher_done(p), 0);
    td_publisher_taken(p, 30);
    assert_int_equal(p->taken, 30);
    assert_int_equal(p->done_events, 20); /* 11..30 */
    assert_int_equal(td_publisher_done(p), 0);
    assert_int_equal(tell(p, 1, 4), 4);
    assert_int_equal(tell(p, 8, 10), 3);
    assert_int_equal(p->head->last, 10);
    assert_int_equal(tell(p, 5, 7), 3);
    assert_int_equal(p->head->last, 40);
    assert_int_equal(p->done_events, 30);
    assert_int_equal(td_publisher_done(p), 30);
    td_publisher_taken(p, 50);
    assert_int_equal(td_publisher_done(p), 40);
    assert_int_equal(tell(p, 41, 50), 10);
    assert_null(p->head);
    assert_null(p->tail);
    assert_int_equal(p->done_events, 50);
    assert_int_equal(p->done_bytes, 5 * (100 + TD_OUTGOING_BYTES));
    assert_int_equal(td_publisher_done(p), 50);
    td_publisher_called(p, 2);
    assert_int_equal(p->done_bytes,
                     5 * (100 + TD_OUTGOING_BYTES) + 2 * TD_WAITER_BYTES);
}

static void test_publisher_finds_in_any_order(void **state)
{
    static const uint64_t order[] = {41, 1,  100, 55, 56, 54, 91,
                                     20, 21, 11,  10, 99, 30};
    struct td_publisher *p = *state;

    assert_null(td_publisher_find(p, 1));
    td_publisher_add(p, list_at(10, 10, TIDINGS_OS));
    for (size_t i = 0; i < TD_ARRAY_LEN(order); i++) {
        const struct td_outgoing *out = td_publisher_find(p, order[i]);

        assert_row_at("found", i,
                      out && td_outgoing_first(out) <= order[i] &&
                          out->last >= order[i]);
    }
    assert_null(td_publisher_find(p, 0));
    assert_null(td_publisher_find(p, 101));
    send_all(p);
    td_publisher_taken(p, 100);
    tell(p, 51, 60); /* out of the middle */
    assert_null(td_publisher_find(p, 55));
    assert_int_equal(td_publisher_find(p, 50)->last, 50);
    assert_int_equal(td_publisher_find(p, 61)->last, 70);
    for (uint64_t last = 100; last > 0; last -= 10) {
        if (last != 60)
            tell(p, last - 9, last);
        assert_null(td_publisher_find(p, last));
    }
    assert_null(p->head);
    assert_null(p->near);
}

static void test_publisher_sends_again_what_is_not_confirmed(void **state)
{
    struct td_publisher *p = *state;

    add_mixed(p);
    send_all(p);
    td_publisher_taken(p, 50);
    tell(p, 1, 9);
    assert_int_equal(td_publisher_rewind(p), 11); /* 10, 41..50 */
    assert_int_equal(p->unsent_bytes, 200);
    assert_int_equal(td_publisher_sent_here(p), 0);
    td_publisher_sent(p);
    assert_int_equal(td_publisher_sent_here(p), 40);
    assert_int_equal(p->sent, 50);
    assert_int_equal(td_publisher_done(p), 0);
    assert_int_equal(tell(p, 10, 10), 1);
    assert_int_equal(td_publisher_done(p), 40);
    assert_int_equal(p->unsent->last, 50);
}

/* Each half was confirmed in a session of its own. */
static void test_publisher_lets_go_of_what_two_sessions_confirmed(void **state)
{
    struct td_publisher *p = *state;

    add_mixed(p);
    send_all(p);
    td_publisher_taken(p, 50);
    tell(p, 1, 5);
    assert_int_equal(td_publisher_rewind(p), 15);
    td_publisher_sent(p);
    tell(p, 6, 10);
    assert_int_equal(p->head->last, 50);
    assert_int_equal(p->done_events, 40);
    assert_int_equal(td_publisher_rewind(p), 10);
    assert_int_equal(p->unsent->last, 50);
}

/* What was sent of it in parts can be confirmed, and no more; a new session
 * begins it anew. */
static void test_publisher_sends_a_batch_in_parts(void **state)
{
    struct td_publisher *p = *state;

    td_publisher_add(p, list_at(10, 1, TIDINGS_DISK));
    send_all(p);
    tell(p, 5, 5);
    td_publisher_rewind(p);
    assert_int_equal(td_publisher_sent_here(p), 0);
    p->unsent->at = 8;
    assert_int_equal(td_publisher_sent_here(p), 7);
    assert_int_equal(td_publisher_rewind(p), 9);
    assert_int_equal(td_publisher_sent_here(p), 0);
    td_publisher_sent(p);
    assert_int_equal(td_publisher_sent_here(p), 10);
}

/* Sequences and totals of 63 bits, around every power of two that a narrower
 * counter would stumble over. */
static void test_publisher_counts_on_past_every_width(void **state)
{
    static const uint64_t before[] = {INT32_MAX - 15, UINT32_MAX - 15,
                                      ((uint64_t)1 << 53) - 15, INT64_MAX - 41};
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(before); i++) {
        uint64_t from = before[i];
        struct td_publisher p;

        td_publisher_init(&p);
        p.taken = p.sent = p.done_events = p.done_bytes = from;
        td_publisher_add(&p, list_of(from + 10, 4));
        td_publisher_sent(&p);
        td_publisher_sent(&p);
        td_publisher_sent(&p);
        assert_row_at("sent", i, p.sent == from + 30);
        td_publisher_taken(&p, from + 29);
        assert_row_at("taken", i, p.taken == from + 20);
        assert_row_at("events", i, p.done_events == from + 20);
        assert_row_at("bytes", i,
                      p.done_bytes == from + 200 + 2 * TD_OUTGOING_BYTES);
        assert_row_at("again", i, td_publisher_rewind(&p) == 10);
        assert_row_at("unsent", i, p.unsent->last == from + 30);
        td_publisher_taken(&p, from + 40);
        assert_row_at("all", i, !p.head && !p.unsent && p.taken == from + 40);
        td_publisher_fini(&p);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_publisher_sends_in_order),
        TEST(test_publisher_lets_go_of_what_was_taken),
        TEST(test_publisher_sends_all_again_in_a_new_session),
        TEST(test_publisher_does_not_send_what_was_taken),
        TEST(test_publisher_keeps_what_is_not_confirmed),
        TEST(test_publisher_finds_in_any_order),
        TEST(test_publisher_sends_again_what_is_not_confirmed),
        TEST(test_publisher_lets_go_of_what_two_sessions_confirmed),
        TEST(test_publisher_sends_a_batch_in_parts),
        TEST(test_publisher_counts_on_past_every_width),
        TEST(test_publisher_frees_what_it_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
