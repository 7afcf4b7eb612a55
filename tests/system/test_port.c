/* Nobody, or another service, where the broker is to be (FAULTS N09): who waits
 * for it is told, and finds it when it comes. */
#include "tests/system/system.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct td_daemon broker;
    struct sys_peer peer;
    int listener; /* -1: none */
    int mute;     /* a connection that says nothing; -1: none */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    f->listener = f->mute = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sys_peer_close(&f->peer);
    td_daemon_end(&f->broker);
    if (f->listener >= 0)
        close(f->listener);
    if (f->mute >= 0)
        close(f->mute);
    free(f);
    return 0;
}

/* Listen on a free port of our own and write its URL. */
static void listen_somewhere(struct fixture *f, char *url, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int yes = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(f->listener >= 0);
    setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    assert_int_equal(bind(f->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&at, &len), 0);
    snprintf(url, size, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
}

static void listen_no_more(struct fixture *f)
{
    close(f->listener);
    f->listener = -1;
}

static void open_towards(struct fixture *f, const char *url)
{
    struct tidings_options options = {
        .on_status = watch_on_status,
        .on_status_arg = &f->peer.watch,
    };

    watch_init(&f->peer.watch);
    assert_ok(tidings_open(&f->peer.bus, url, &options));
}

static void expect_unreachable(struct fixture *f, const char *url)
{
    int64_t start_ms = td_proc_now_ms();

    assert_err(tidings_wait(f->peer.bus, 500), TIDINGS_EUNREACH);
    assert_non_null(strstr(tidings_detail(), url));
    assert_true(td_proc_now_ms() - start_ms >= 490);
    assert_true(td_proc_now_ms() - start_ms < 5000);
}

/* A broker appears at url: what was published before is taken. */
static void expect_recovery(struct fixture *f, const char *url)
{
    snprintf(f->broker.endpoint[0], sizeof(f->broker.endpoint[0]), "%s", url);
    sys_broker_restart(&f->broker, NULL);
    assert_ok(tidings_wait(f->peer.bus, SYS_WAIT_MS));
    assert_ok(tidings_flush(f->peer.bus, SYS_WAIT_MS));
    sys_peer_subscribe(&f->peer, "found.>");
    sys_round_trip(&f->peer, &f->peer, "found.it", 2);
}

static void test_wait_names_the_url_when_there_is_no_broker(void **state)
{
    struct fixture *f = *state;
    char url[64];

    listen_somewhere(f, url, sizeof(url)); /* a port that nobody else takes */
    listen_no_more(f);
    open_towards(f, url);
    expect_unreachable(f, url);
    sys_publish(&f->peer, "found.early", 1);
    assert_err(tidings_flush(f->peer.bus, 100), TIDINGS_ETIMEDOUT);

    expect_recovery(f, url);
}

static int accept_one(struct fixture *f)
{
    struct pollfd ready = {.fd = f->listener, .events = POLLIN};
    int fd;

    assert_int_equal(poll(&ready, 1, SYS_WAIT_MS), 1);
    fd = accept(f->listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

/* Say it to the next who connect. */
static void answer_with(struct fixture *f, const char *text, int times)
{
    while (times-- > 0) {
        int fd = accept_one(f);

        send(fd, text, strlen(text), MSG_NOSIGNAL);
        close(fd);
    }
}

static void test_wait_recovers_from_another_service_on_the_port(void **state)
{
    struct fixture *f = *state;
    char url[64];

    listen_somewhere(f, url, sizeof(url));
    open_towards(f, url);
    sys_publish(&f->peer, "found.early", 1);
    answer_with(f, "220 mail.example.com ESMTP\r\n", 2); /* it tries again */
    answer_with(f, "HTTP/1.1 400 Bad Request\r\n\r\n", 1);
    expect_unreachable(f, url);

    listen_no_more(f);
    expect_recovery(f, url);
}

static void test_wait_recovers_from_a_mute_service_on_the_port(void **state)
{
    struct fixture *f = *state;
    char url[64];

    listen_somewhere(f, url, sizeof(url));
    open_towards(f, url);
    sys_publish(&f->peer, "found.early", 1);
    f->mute = accept_one(f); /* and stays connected to the end */
    expect_unreachable(f, url);

    listen_no_more(f);
    expect_recovery(f, url);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wait_names_the_url_when_there_is_no_broker),
        TEST(test_wait_recovers_from_another_service_on_the_port),
        TEST(test_wait_recovers_from_a_mute_service_on_the_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
