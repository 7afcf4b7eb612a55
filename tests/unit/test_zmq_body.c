/* Bodies across libzmq: kept or copied by their size, and nothing left over
 * when there is no memory or nobody takes them. */
#include "tests/support/td_test.h"

#include <stdlib.h>
#include <time.h>

#include "proto/limits.h"
#include "proto/zmq_body.h"
#include "tests/support/alloc.h"

#define WAIT_MS 10000

struct fixture {
    void *context;
    void *from;
    void *to;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const int timeout = WAIT_MS;

    *state = f;
    if (!f)
        return -1;
    f->context = zmq_ctx_new();
    f->from = zmq_socket(f->context, ZMQ_PAIR);
    f->to = zmq_socket(f->context, ZMQ_PAIR);
    zmq_setsockopt(f->to, ZMQ_RCVTIMEO, &timeout, sizeof(timeout));
    return zmq_bind(f->to, "inproc://bodies");
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    zmq_close(f->from);
    zmq_close(f->to);
    zmq_ctx_term(f->context);
    free(f);
    return 0;
}

static const size_t sizes[] = {
    0,
    1,
    TD_COPY_BYTES - 1,
    TD_COPY_BYTES, /* from here on by reference */
    TD_BATCH_BYTES,
    TD_BODY_BYTES_MAX,
};

static struct td_body *body_of(size_t len)
{
    uint8_t *data;
    struct td_body *body = td_body_new(len, &data);

    assert_non_null(body);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7);
    return body;
}

/* The last reference is ours: libzmq lets go on a thread of its own. */
static void wait_for_last(struct td_body *body)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    for (int i = 0; i < WAIT_MS && body->refs > 1; i++)
        nanosleep(&moment, NULL);
    assert_int_equal(body->refs, 1);
}

static void test_zmq_body_arrives_as_it_was_sent(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(zmq_connect(f->from, "inproc://bodies"), 0);
    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++) {
        struct td_body *body = body_of(sizes[i]);
        struct td_body *got;
        zmq_msg_t message;

        assert_true(td_zmq_send_body(f->from, body));
        zmq_msg_init(&message);
        assert_true(zmq_msg_recv(&message, f->to, 0) >= 0);
        got = td_zmq_body_of(&message);
        zmq_msg_close(&message);
        assert_non_null(got);
        assert_int_equal(got->len, sizes[i]);
        assert_memory_equal(got->data, body->data, sizes[i]);
        td_body_unref(got);
        wait_for_last(body);
        td_body_unref(body);
    }
}

static void test_zmq_body_nobody_takes_is_not_kept(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++) {
        struct td_body *body = body_of(sizes[i]);

        assert_false(td_zmq_send_body(f->from, body)); /* not connected */
        assert_int_equal(body->refs, 1);
        td_body_unref(body);
    }
}

static tidings_err receive(void *arg)
{
    const size_t *len = arg;
    struct td_body *body;
    zmq_msg_t message;
    tidings_err err = TIDINGS_OK;

    assert_int_equal(zmq_msg_init_size(&message, *len), 0);
    memset(zmq_msg_data(&message), 7, *len);
    body = td_zmq_body_of(&message);
    if (!body) { /* the message is as it was */
        err = TIDINGS_ENOMEM;
        assert_int_equal(zmq_msg_size(&message), *len);
    }
    td_body_unref(body);
    zmq_msg_close(&message);
    return err;
}

static void test_zmq_body_without_memory_is_none(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++) {
        size_t len = sizes[i];

        assert_int_equal(td_alloc_each(receive, &len), 1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_zmq_body_arrives_as_it_was_sent),
        TEST(test_zmq_body_nobody_takes_is_not_kept),
        TEST(test_zmq_body_without_memory_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
