/* Links without memory: opening, sending and receiving say so, leave nothing
 * behind, and work the next time. */
#include "tests/support/td_test.h"

#include <time.h>
#include <zmq.h>

#include "client/link.h"
#include "proto/limits.h"
#include "tests/support/alloc.h"

#define WAIT_MS 10000

/* ---- what every backend does ---- */

static tidings_err open_and_close(void *arg)
{
    const char *url = arg;
    const struct td_backend *backend = td_backend_of(url);
    struct td_link *link = NULL;
    tidings_err err = backend->new (&link, url);

    if (!err)
        err = backend->open(link);
    if (!err) {
        backend->close(link);
        err = backend->open(link); /* as after every lost link */
    }
    if (link)
        backend->free(link);
    return err;
}

static void test_link_is_opened_whole_or_not_at_all(void **state)
{
    static char inproc[] = "inproc://oom-link";
    static char ipc[] = "ipc:///nowhere/oom-link";
    static char tcp[] = "tcp://127.0.0.1:9";
    (void)state;

    assert_true(td_alloc_each(open_and_close, inproc) >= 5);
    assert_true(td_alloc_each(open_and_close, ipc) >= 2);
    assert_true(td_alloc_each(open_and_close, tcp) >= 2);
}

/* What arrives within the time; the link may say that it is lost. */
static enum td_receive receive(const struct td_backend *backend,
                               struct td_link *link, struct td_message **out,
                               const char **why)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    enum td_receive got = TD_NOTHING;

    for (int i = 0; i < WAIT_MS && got == TD_NOTHING; i++) {
        if (i > 0)
            nanosleep(&moment, NULL);
        got = backend->receive(link, out, why);
    }
    return got;
}

/* ---- tcp ---- */

struct broker {
    void *context;
    void *router;
    char url[64];
};

static int start_broker(void **state)
{
    static struct broker b;
    size_t size = sizeof(b.url);

    b.context = zmq_ctx_new();
    b.router = zmq_socket(b.context, ZMQ_ROUTER);
    *state = &b;
    if (zmq_bind(b.router, "tcp://127.0.0.1:*") != 0)
        return -1;
    return zmq_getsockopt(b.router, ZMQ_LAST_ENDPOINT, b.url, &size);
}

static int stop_broker(void **state)
{
    struct broker *b = *state;
    const int linger = 0;

    zmq_setsockopt(b->router, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_close(b->router);
    zmq_ctx_term(b->context);
    return 0;
}

static const size_t body_sizes[] = {10, TD_COPY_BYTES + 10};

/* Both ways, with a body that is copied and with one that is not. */
static tidings_err exchange(void *arg)
{
    static const char zeros[TD_COPY_BYTES + 10];
    struct broker *b = arg;
    const struct td_backend *backend = td_backend_of(b->url);
    struct td_message *m = NULL;
    const char *why = NULL;
    struct td_link *link;
    tidings_err err = backend->new (&link, b->url);
    char id[16];
    int id_len;

    if (err)
        return err;
    assert_true(backend->send(link, "hello", 5, NULL));
    id_len = zmq_recv(b->router, id, sizeof(id), 0);
    assert_int_equal(zmq_recv(b->router, NULL, 0, 0), 5);
    for (size_t i = 0; i < TD_ARRAY_LEN(body_sizes) && !err; i++) {
        zmq_send(b->router, id, (size_t)id_len, ZMQ_SNDMORE);
        zmq_send(b->router, "control", 7, ZMQ_SNDMORE);
        zmq_send(b->router, zeros, body_sizes[i], 0);
        if (receive(backend, link, &m, &why) == TD_LINK_LOST) {
            assert_string_equal(why, "out of memory");
            err = TIDINGS_ENOMEM;
        } else {
            assert_int_equal(m->body->len, body_sizes[i]);
            td_message_unref(m);
        }
    }
    backend->free(link);
    return err;
}

static void test_link_over_tcp_is_lost_when_a_message_is(void **state)
{
    assert_int_equal(td_alloc_each(exchange, *state), 2 + 2 * 2);
}

/* ---- inproc ---- */

/* The first allocation is for what is sent, the second for the answer. */
static void test_link_in_process_is_lost_when_a_message_is(void **state)
{
    const struct td_backend *backend = &td_backend_inproc;
    struct td_message *m = NULL;
    const char *why = NULL;
    struct td_link *link;
    size_t before = td_alloc_live();
    (void)state;

    assert_ok(backend->new (&link, "inproc://oom-link"));
    assert_ok(backend->open(link));
    assert_true(backend->send(link, "\x90", 1, NULL)); /* its BYE has memory */
    assert_int_equal(receive(backend, link, &m, &why), TD_RECEIVED);
    td_message_unref(m);

    td_alloc_arm_all(TD_ALLOC_ONE, 1);
    assert_false(backend->send(link, "\x90", 1, NULL));
    td_alloc_arm_all(TD_ALLOC_ONE, 2);
    assert_true(backend->send(link, "\x90", 1, NULL));
    assert_int_equal(receive(backend, link, &m, &why), TD_LINK_LOST);
    assert_string_equal(why, "broker is out of memory");
    td_alloc_stop();

    backend->close(link);
    assert_ok(backend->open(link));
    assert_true(backend->send(link, "\x90", 1, NULL));
    assert_int_equal(receive(backend, link, &m, &why), TD_RECEIVED);
    td_message_unref(m);
    backend->free(link);
    assert_int_equal(td_alloc_live(), before);
}

static void test_link_in_process_is_closed_with_messages_unread(void **state)
{
    const struct td_backend *backend = &td_backend_inproc;
    struct td_message *m = NULL;
    const char *why = NULL;
    struct td_link *link;
    size_t before = td_alloc_live();
    (void)state;

    assert_ok(backend->new (&link, "inproc://oom-link"));
    assert_ok(backend->open(link));
    for (int i = 0; i < 100; i++)
        assert_true(backend->send(link, "\x90", 1, NULL));
    assert_int_equal(receive(backend, link, &m, &why), TD_RECEIVED);
    td_message_unref(m);
    backend->free(link);
    assert_int_equal(td_alloc_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_is_opened_whole_or_not_at_all),
        cmocka_unit_test_setup_teardown(
            test_link_over_tcp_is_lost_when_a_message_is, start_broker,
            stop_broker),
        cmocka_unit_test(test_link_in_process_is_lost_when_a_message_is),
        cmocka_unit_test(test_link_in_process_is_closed_with_messages_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
