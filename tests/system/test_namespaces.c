/* Links that fall silent where packets are lost, not bytes (FAULTS N01, N02):
 * the broker in a network namespace of its own, at the other end of a veth
 * pair. A wrong address of the neighbour loses all packets of one direction,
 * and no end is told of it. Needs root and iproute2; takes a minute, so only
 * the long run has it. test_links.c has the same by a proxy. */
#include "tests/system/system.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/usage.h"

#define SKIPPED  77    /* exit code: CTest counts it as skipped */
#define DEAD_MS  15000 /* PROTOCOL.md 9 */
#define SLACK_MS 4000
#define HERE     "10.213.77.1" /* of a range that few use */
#define THERE    "10.213.77.2"
#define NOBODY   "02:00:00:00:00:01" /* has no interface */

struct fixture {
    char space[32];
    char link[16]; /* our end; the other's name ends with "p" */
    struct td_daemon broker;
    struct sys_peer peer;
    uint64_t published;
};

/* Whether the shell command succeeds. */
static bool run(const char *format, const char *a, const char *b)
{
    const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
    struct td_proc p = {0};
    char command[512];
    bool done;

    snprintf(command, sizeof(command), format, a, b);
    argv[2] = command;
    done = td_proc_start(&p, argv) && td_proc_wait(&p, SYS_WAIT_MS) &&
           td_proc_exit_code(&p) == 0;
    if (!done)
        printf("%s: %s\n", command, td_proc_errors(&p));
    td_proc_end(&p);
    return done;
}

static bool connect_them(struct fixture *f)
{
    return run("ip netns add %s", f->space, "") &&
           run("ip link add %s type veth peer name %sp", f->link, f->link) &&
           run("ip link set %sp netns %s", f->link, f->space) &&
           run("ip addr add " HERE "/24 dev %s && ip link set %s up", f->link,
               f->link) &&
           run("ip -n %s addr add " THERE "/24 dev %sp", f->space, f->link) &&
           run("ip -n %s link set %sp up", f->space, f->link) &&
           run("ip -n %s link set lo up", f->space, "");
}

static void make_names(struct fixture *f)
{
    snprintf(f->space, sizeof(f->space), "tidings-%d", (int)getpid());
    snprintf(f->link, sizeof(f->link), "td%d", (int)getpid() % 100000);
}

static void start_broker(struct fixture *f)
{
    char path[1024];
    char command[2048];
    const char *argv[] = {"/bin/sh", "-c", command, NULL};

    snprintf(command, sizeof(command),
             "exec ip netns exec %s '%s' --listen 'tcp://" THERE ":*'",
             f->space, td_proc_path(path, sizeof(path), "tidingsd"));
    assert_true(td_proc_start(&f->broker.proc, argv));
    snprintf(f->broker.endpoint[0], sizeof(f->broker.endpoint[0]), "%.250s",
             sys_expect(&f->broker.proc, "listening "));
    sys_expect(&f->broker.proc, "ready");
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    *state = f;
    make_names(f);
    if (!connect_them(f))
        return -1;
    start_broker(f);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "peer");
    sys_peer_subscribe(&f->peer, "far.>");
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sys_peer_close(&f->peer);
    td_daemon_end(&f->broker);
    run("ip link del %s", f->link, "");
    run("ip netns del %s", f->space, "");
    free(f);
    return 0;
}

/* ---- the faults ---- */

/* Packets to the broker are lost, or those from it. */
static void lose_up(struct fixture *f)
{
    assert_true(run("ip neigh replace " THERE " lladdr " NOBODY
                    " dev %s nud permanent",
                    f->link, ""));
}

static void lose_down(struct fixture *f)
{
    assert_true(run("ip -n %s neigh replace " HERE " lladdr " NOBODY
                    " dev %sp nud permanent",
                    f->space, f->link));
}

static void mend(struct fixture *f)
{
    run("ip neigh del " THERE " dev %s 2>/dev/null; :", f->link, "");
    run("ip -n %s neigh del " HERE " dev %sp 2>/dev/null; :", f->space,
        f->link);
}

static void publish(struct fixture *f)
{
    f->published++;
    sys_publish(&f->peer, "far.x", f->published);
}

/* It is found, and once the link is mended all goes on: what was published
 * meanwhile is taken, once. */
static void outlive(struct fixture *f, const char *name)
{
    uint64_t downs = watch_now(&f->peer.watch).down;
    uint64_t ups = watch_now(&f->peer.watch).up;
    int64_t start_ms = td_proc_now_ms();

    publish(f);
    assert_true(
        watch_until_down(&f->peer.watch, downs + 1, DEAD_MS + SLACK_MS));
    print_message("%s: found after %d ms\n", name,
                  (int)(td_proc_now_ms() - start_ms));
    publish(f);
    mend(f);
    assert_true(watch_until_up(&f->peer.watch, ups + 1, 2 * SYS_WAIT_MS));
    assert_ok(tidings_flush(f->peer.bus, SYS_WAIT_MS));

    uint64_t before = watch_now(&f->peer.watch).events;
    struct sys_counters counters;

    publish(f);
    assert_ok(tidings_flush(f->peer.bus, SYS_WAIT_MS));
    assert_true(watch_until_events(&f->peer.watch, before + 1, SYS_WAIT_MS));
    counters = sys_counters(f->peer.bus);
    assert_int_equal(counters.published - counters.duplicates, f->published);
    assert_int_equal(watch_now(&f->peer.watch).backwards, 0);
    assert_int_equal(watch_now(&f->peer.watch).wrong, 0);
}

static void test_packets_to_the_broker_are_lost(void **state)
{
    lose_up(*state);
    outlive(*state, "to the broker");
}

static void test_packets_from_the_broker_are_lost(void **state)
{
    lose_down(*state);
    outlive(*state, "from the broker");
}

static void test_packets_of_both_directions_are_lost(void **state)
{
    lose_up(*state);
    lose_down(*state);
    outlive(*state, "both ways");
}

static bool may_have_namespaces(void)
{
    struct fixture f = {0};
    bool may;

    make_names(&f);
    may = connect_them(&f);
    run("ip link del %s 2>/dev/null; :", f.link, "");
    run("ip netns del %s 2>/dev/null; :", f.space, "");
    return may;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packets_to_the_broker_are_lost),
        TEST(test_packets_from_the_broker_are_lost),
        TEST(test_packets_of_both_directions_are_lost),
    };

    if (!usage_is_long()) {
        printf("skipped: takes a minute; TIDINGS_LONG=1 runs it\n");
        return SKIPPED;
    }
    if (!may_have_namespaces()) {
        printf("skipped: needs root, network namespaces and veth\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
