/* Deliveries, taken apart for workers. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include <msgpack.h>

#include "client/job.h"
#include "client/packer.h"
#include "proto/frame.h"
#include "tests/support/alloc.h"

#define WORKERS 5

static const uint8_t producer[TD_PRODUCER_BYTES] = "fedcba987654321";

struct fixture {
    struct td_packer packer;
    struct td_batches tables;
    struct td_bus_sub sub;
    struct td_message *message;
    struct td_delivery delivery;
    struct td_job *job;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    td_packer_init(&f->packer, producer, td_str_of("/test"));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_job_free(f->job);
    td_message_unref(f->message);
    td_seen_fini(&f->sub.seen);
    td_packer_fini(&f->packer);
    free(f);
    return 0;
}

static void pack(struct fixture *f, const char *type, const char *key)
{
    struct td_packing event = {.type = td_str_of(type), .time_us = 1000};
    struct td_buf attrs = {0};
    msgpack_packer pk;

    if (key) {
        msgpack_packer_init(&pk, &attrs, td_buf_pack_write);
        msgpack_pack_map(&pk, 1);
        msgpack_pack_str(&pk, 12);
        msgpack_pack_str_body(&pk, "partitionkey", 12);
        msgpack_pack_str(&pk, strlen(key));
        msgpack_pack_str_body(&pk, key, strlen(key));
        event.flags = TD_RUN_KEY;
        event.attrs.data = (const char *)attrs.data;
        event.attrs.len = attrs.len;
    }
    assert_ok(td_packer_pack(&f->packer, &event));
    td_buf_fini(&attrs);
}

static void pack_many(struct fixture *f, const char *type, unsigned n)
{
    while (n-- > 0)
        pack(f, type, NULL);
}

/* What was packed, as it would arrive. */
static void deliver(struct fixture *f)
{
    struct td_outgoing *out;

    td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    assert_non_null(out);
    f->message =
        td_message_new(out->wire, out->wire_len, td_body_ref(out->body));
    assert_non_null(f->message);
    f->delivery.batches.data = (const char *)f->message->control;
    f->delivery.batches.len = f->message->len;
    f->delivery.body.data = (const char *)f->message->body->data;
    f->delivery.body.len = f->message->body->len;
    f->delivery.events = out->events;
    td_outgoing_free(out);
}

static void make(struct fixture *f, bool keyed)
{
    deliver(f);
    assert_ok(td_job_new(&f->job, &f->sub, f->message, &f->delivery, keyed,
                         &f->tables));
}

/* Every event once, in order, with every byte of the body. */
static void test_job_is_cut_into_pieces(void **state)
{
    struct fixture *f = *state;
    struct td_piece piece;
    uint64_t next = 1;
    size_t bytes = 0;

    pack_many(f, "a", 40);
    pack_many(f, "b", 1);
    pack(f, "b", "key"); /* keys are nothing to it */
    pack_many(f, "a", 16);
    make(f, false);
    assert_int_equal(f->job->left, 58);
    while (td_job_cut(f->job, 16, &piece)) {
        assert_int_equal(piece.first, next);
        assert_in_range(piece.count, 1, 16);
        assert_ptr_equal(piece.job, f->job);
        next += piece.count;
        bytes += (size_t)(piece.end - piece.p);
    }
    assert_int_equal(next, 59);
    assert_int_equal(bytes, f->message->body->len);
    assert_false(td_job_cut(f->job, 16, &piece));
}

static void test_piece_is_split_at_an_event(void **state)
{
    struct fixture *f = *state;
    struct td_piece piece;
    struct td_piece half;
    const uint8_t *end;

    pack_many(f, "a", 10);
    make(f, false);
    assert_true(td_job_cut(f->job, 10, &piece));
    end = piece.end;
    half = td_piece_split(&piece, 4);
    assert_int_equal(piece.count, 6);
    assert_int_equal(half.count, 4);
    assert_int_equal(half.first, 7);
    assert_ptr_equal(half.p, piece.end);
    assert_ptr_equal(half.end, end);
    assert_ptr_equal(td_events_skip(half.p, half.end, 4), end);
    half = td_piece_split(&piece, 6); /* all of it */
    assert_int_equal(piece.count, 0);
    assert_int_equal(half.first, 1);
    assert_ptr_equal(half.p, piece.p);
}

struct queues {
    struct td_slips queue[WORKERS];
};

static uint64_t deal(struct fixture *f, struct queues *q)
{
    for (int i = 0; i < WORKERS; i++)
        q->queue[i] = (struct td_slips){NULL, &q->queue[i].head};
    return td_job_deal(f->job, q->queue, WORKERS);
}

/* The worker of each sequence. */
static unsigned read_queues(const struct queues *q, int owner[], size_t max)
{
    unsigned n = 0;

    for (int i = 0; i < WORKERS; i++) {
        uint64_t last = 0;

        for (const struct td_slip *s = q->queue[i].head; s; s = s->next, n++) {
            assert_int_equal(s->piece.count, 1);
            assert_true(s->piece.first > last); /* in their order */
            assert_true(s->piece.first < max);
            last = s->piece.first;
            owner[last] = i;
        }
    }
    return n;
}

static void test_events_of_a_key_have_one_worker(void **state)
{
    struct fixture *f = *state;
    struct td_piece piece;
    struct queues q;
    int owner[201];
    bool used[WORKERS] = {false};

    for (int i = 1; i <= 200; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key-%d", i % 20);
        pack(f, i % 7 ? "a" : "b", key);
    }
    pack_many(f, "a", 5); /* without: for whoever comes first */
    make(f, true);
    assert_int_equal(deal(f, &q), 200);
    assert_int_equal(read_queues(&q, owner, 201), 200);
    for (int i = 1; i <= 200; i++) {
        assert_int_equal(owner[i], owner[i % 20 ? i % 20 : 20]);
        used[owner[i]] = true;
    }
    for (int i = 0; i < WORKERS; i++)
        assert_true(used[i]);
    assert_true(td_job_cut(f->job, 16, &piece));
    assert_int_equal(piece.first, 201);
    assert_int_equal(piece.count, 5);
    assert_false(td_job_cut(f->job, 16, &piece));
}

/* Flagged as having a key, and has none: it is handled all the same. */
static void test_events_that_lost_their_key_are_dealt(void **state)
{
    struct fixture *f = *state;
    struct td_packing event = {
        .type = td_str_of("a"), .flags = TD_RUN_KEY, .time_us = 1000};
    struct queues q;
    int owner[11];

    for (int i = 0; i < 10; i++)
        assert_ok(td_packer_pack(&f->packer, &event));
    make(f, true);
    assert_int_equal(deal(f, &q), 10);
    assert_int_equal(read_queues(&q, owner, 11), 10);
}

static void test_events_seen_before_are_left_out(void **state)
{
    struct fixture *f = *state;
    struct td_piece piece;
    size_t bytes;

    f->sub.alone = true;
    td_seen_before(&f->sub.seen, producer, 1, 12);
    pack_many(f, "a", 10);
    pack_many(f, "b", 10);
    make(f, false);
    assert_int_equal(f->job->left, 8);
    assert_int_equal(f->job->duplicates, 12);
    assert_true(td_job_cut(f->job, 16, &piece));
    assert_int_equal(piece.first, 13);
    assert_int_equal(piece.count, 8);
    bytes = (size_t)(piece.end - piece.p);
    assert_int_equal(bytes + f->job->duplicate_bytes, f->message->body->len);
    assert_false(td_job_cut(f->job, 16, &piece));
}

static void test_group_members_leave_nothing_out(void **state)
{
    struct fixture *f = *state;

    f->sub.alone = false;
    td_seen_before(&f->sub.seen, producer, 1, 12);
    pack_many(f, "a", 10);
    make(f, false);
    assert_int_equal(f->job->left, 10);
    assert_int_equal(f->job->duplicates, 0);
}

/* The length of the third of four events is a lie: no event is lost count of,
 * and nothing is read past the end. */
static void check_lie(struct fixture *f, bool keyed)
{
    const uint8_t *third;
    struct td_piece piece;
    struct queues q;
    uint32_t events = 0;

    if (keyed) {
        for (int i = 0; i < 4; i++)
            pack(f, "a", "key");
    } else {
        pack_many(f, "a", 4);
    }
    deliver(f);
    third = td_events_skip(f->message->body->data,
                           f->message->body->data + f->message->body->len, 2);
    *(uint8_t *)(uintptr_t)(third + 1) = 0xff;
    assert_ok(td_job_new(&f->job, &f->sub, f->message, &f->delivery, keyed,
                         &f->tables));
    if (!keyed) {
        while (td_job_cut(f->job, 1, &piece)) {
            events += piece.count;
            assert_true(piece.end <= third || events == 4);
        }
    } else {
        assert_int_equal(deal(f, &q), 4);
        for (int i = 0; i < WORKERS; i++) {
            for (struct td_slip *s = q.queue[i].head; s; s = s->next)
                events += s->piece.count;
        }
    }
    assert_int_equal(events, 4);
}

static void test_lengths_that_lie_do_no_harm(void **state)
{
    check_lie(*state, false);
}

static void test_lengths_that_lie_do_no_harm_to_keys(void **state)
{
    check_lie(*state, true);
}

static void test_malformed_table_is_refused(void **state)
{
    struct fixture *f = *state;

    pack_many(f, "a", 3);
    deliver(f);
    f->delivery.batches.len--;
    assert_err(td_job_new(&f->job, &f->sub, f->message, &f->delivery, false,
                          &f->tables),
               TIDINGS_EPROTO);
    assert_null(f->job);
}

static void test_job_without_memory_leaves_the_message(void **state)
{
    struct fixture *f = *state;
    const struct td_gap gap = {.events = 3, .reason = td_str_of("slow")};

    pack_many(f, "a", 3);
    deliver(f);
    td_alloc_fail(1);
    assert_err(td_job_new(&f->job, &f->sub, f->message, &f->delivery, false,
                          &f->tables),
               TIDINGS_ENOMEM);
    assert_null(f->job);
    assert_ok(td_job_new(&f->job, &f->sub, f->message, &f->delivery, false,
                         &f->tables));
    td_alloc_fail(1);
    assert_null(td_job_gap(&gap));
    td_alloc_fail(0);
}

#define JOB_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOB_TEST(test_job_is_cut_into_pieces),
        JOB_TEST(test_piece_is_split_at_an_event),
        JOB_TEST(test_events_of_a_key_have_one_worker),
        JOB_TEST(test_events_that_lost_their_key_are_dealt),
        JOB_TEST(test_events_seen_before_are_left_out),
        JOB_TEST(test_group_members_leave_nothing_out),
        JOB_TEST(test_lengths_that_lie_do_no_harm),
        JOB_TEST(test_lengths_that_lie_do_no_harm_to_keys),
        JOB_TEST(test_malformed_table_is_refused),
        JOB_TEST(test_job_without_memory_leaves_the_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
