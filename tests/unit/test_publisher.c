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
static struct td_outgoing *list_of(uint64_t last, int n)
{
    struct td_outgoing *list = NULL;
    struct td_outgoing **tail = &list;

    for (int i = 0; i < n; i++) {
        struct td_outgoing *out = calloc(1, sizeof(*out));

        assert_non_null(out);
        out->body = td_body_copy("x", 1);
        out->last = last + 10 * (uint64_t)i;
        out->events = 10;
        out->bytes = 100;
        *tail = out;
        tail = &out->next;
    }
    return list;
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
    assert_int_equal(p->taken_events, 20);
    assert_int_equal(p->taken_bytes, 200 + 2 * TD_OUTGOING_BYTES);
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
        p.taken = p.sent = p.taken_events = p.taken_bytes = from;
        td_publisher_add(&p, list_of(from + 10, 4));
        td_publisher_sent(&p);
        td_publisher_sent(&p);
        td_publisher_sent(&p);
        assert_row_at("sent", i, p.sent == from + 30);
        td_publisher_taken(&p, from + 29);
        assert_row_at("taken", i, p.taken == from + 20);
        assert_row_at("events", i, p.taken_events == from + 20);
        assert_row_at("bytes", i,
                      p.taken_bytes == from + 200 + 2 * TD_OUTGOING_BYTES);
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
        TEST(test_publisher_counts_on_past_every_width),
        TEST(test_publisher_frees_what_it_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
