/* A service with an outbox and one with an inbox, killed with -9 at random
 * points again and again, and the broker and the database server now and then:
 * each number that was written is published once, and has its effect once, in
 * the order of its key. */
#include "tests/system/system.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/folder.h"
#include "tests/support/operate.h"
#include "tests/support/postgres.h"
#include "tests/system/outbox_db.h"

#define KILLS      15
#define KILLS_LONG 500
#define STREAM     "events"
#define GROUP      "readers"
#define DONE_MS    90000

enum { WRITER, READER, WORKERS };

struct outbox {
    struct td_folder folder;
    struct td_folder data;
    struct td_daemon broker;
    struct td_postgres postgres;
    struct td_proc worker[WORKERS];
    char where[WORKERS][sizeof(((struct td_postgres *)NULL)->conninfo)];
    struct sys_peer peer;
    uint32_t random;
    int kills[WORKERS + 2];
};

static int setup(void **state)
{
    struct outbox *o = calloc(1, sizeof(*o));

    if (!o || !td_folder_new(&o->folder) || !td_folder_new(&o->data))
        return -1;
    o->random = (uint32_t)time(NULL);
    print_message("seed %u\n", o->random);
    *state = o;
    return 0;
}

static int teardown(void **state)
{
    struct outbox *o = *state;

    for (int i = 0; i < WORKERS; i++)
        td_proc_end(&o->worker[i]);
    sys_peer_close(&o->peer);
    td_daemon_end(&o->broker);
    td_postgres_end(&o->postgres);
    td_folder_remove(&o->folder);
    td_folder_remove(&o->data);
    free(o);
    return 0;
}

static int below(struct outbox *o, uint32_t limit)
{
    o->random = o->random * 1664525u + 1013904223u;
    return (int)(((uint64_t)o->random * limit) >> 32);
}

static bool is_long(void)
{
    const char *asked = getenv("TIDINGS_LONG");

    return asked && *asked && strcmp(asked, "0") != 0;
}

static const char *const *args_of(struct outbox *o)
{
    static const char *args[] = {"--data", NULL, "--grace", "0", NULL};

    args[1] = o->data.path;
    return args;
}

static void start(struct outbox *o, int which, const char *role)
{
    char seed[16];
    const char *argv[] = {"outbox_worker",
                          role,
                          o->where[which],
                          o->broker.endpoint[0],
                          STREAM,
                          GROUP,
                          seed,
                          NULL};

    snprintf(seed, sizeof(seed), "%d", below(o, 1u << 30));
    td_proc_end(&o->worker[which]);
    assert_true(td_proc_start(&o->worker[which], argv));
}

static void begin(struct outbox *o)
{
    const struct tidings_group_options options = {
        .stream = STREAM,
        .group = GROUP,
        .pattern = "kill.>",
        .start = {.kind = TIDINGS_START_ALL},
        .policy = TIDINGS_BY_KEY,
        .ack_wait_ms = 5000,
        .max_deliver = 250,
        .backoff_ms = 10,
        .backoff_max_ms = 100,
    };

    sys_broker_start(&o->broker, args_of(o));
    sys_peer_open(&o->peer, o->broker.endpoint[0], "operator");
    assert_ok(tidings_group_add(o->peer.bus, &options, SYS_WAIT_MS));
    start(o, WRITER, "write");
    start(o, READER, "read");
}

/* In half of the cases it has begun its work; what it was killed within is then
 * anything between two steps of a transaction, a list or a handler. */
static void kill_worker(struct outbox *o, int which)
{
    if (below(o, 2))
        sys_expect(&o->worker[which], "ready");
    poll(NULL, 0, below(o, 40));
    if (td_proc_wait(&o->worker[which], 0))
        fail_msg("worker ended: %s", td_proc_errors(&o->worker[which]));
    sys_kill(&o->worker[which]);
    start(o, which, which == WRITER ? "write" : "read");
}

/* The server takes its clients along. */
static void kill_server(struct outbox *o)
{
    poll(NULL, 0, below(o, 40));
    for (int i = 0; i < WORKERS; i++)
        td_proc_end(&o->worker[i]);
    assert_true(td_postgres_crash(&o->postgres));
    start(o, WRITER, "write");
    start(o, READER, "read");
}

static void kill_something(struct outbox *o)
{
    int which = below(o, 20);

    if (which == 0) {
        poll(NULL, 0, below(o, 40));
        sys_kill(&o->broker.proc);
        sys_broker_restart(&o->broker, args_of(o));
        which = WORKERS;
    } else if (which == 1 && o->postgres.server.started) {
        kill_server(o);
        which = WORKERS + 1;
    } else {
        which %= WORKERS;
        kill_worker(o, which);
    }
    o->kills[which]++;
}

/* ---- what has become of it ---- */

static void await_effects(struct outbox_db *db, int64_t want)
{
    int64_t until = td_proc_now_ms() + DONE_MS;
    int64_t got = 0;

    while ((got = outbox_db_number(db, "SELECT count(*) FROM effects")) <
           want) {
        if (td_proc_now_ms() > until)
            fail_msg("%lld of %lld effects", (long long)got, (long long)want);
        poll(NULL, 0, 20);
    }
}

static void check(struct outbox *o)
{
    struct outbox_db written, read;
    int64_t want;

    sys_kill(&o->worker[WRITER]);
    start(o, WRITER, "flush");
    if (!td_proc_expect(&o->worker[WRITER], "flushed", DONE_MS))
        fail_msg("not flushed: %s", td_proc_errors(&o->worker[WRITER]));
    outbox_db_open(&written, o->where[WRITER]);
    outbox_db_open(&read, o->where[READER]);
    want =
        outbox_db_number(&written, "SELECT coalesce(sum(n), 0) FROM written");
    print_message("%lld numbers; killed: writer %d, reader %d, broker %d, "
                  "server %d\n",
                  (long long)want, o->kills[WRITER], o->kills[READER],
                  o->kills[WORKERS], o->kills[WORKERS + 1]);
    assert_true(want > 0);
    assert_int_equal(
        outbox_db_number(&written, "SELECT count(*) FROM tidings_outbox"), 0);
    assert_int_equal(operate_stream_figure(o->peer.bus, STREAM, "last"), want);
    await_effects(&read, want);
    assert_int_equal(outbox_db_number(&read, "SELECT count(*) FROM effects"),
                     want);
    assert_int_equal(
        outbox_db_number(&read, "SELECT count(*) FROM effects WHERE good = 0"),
        0);
    assert_true(operate_until_settled(o->peer.bus, STREAM, GROUP, DONE_MS));
    assert_int_equal(operate_group_figure(o->peer.bus, STREAM, GROUP, "dead"),
                     0);
    outbox_db_close(&written);
    outbox_db_close(&read);
}

static void kill_and_check(struct outbox *o)
{
    int n = is_long() ? KILLS_LONG : KILLS;

    begin(o);
    for (int i = 0; i < n; i++)
        kill_something(o);
    check(o);
}

static void test_kills_publish_and_handle_once_with_sqlite(void **state)
{
    struct outbox *o = *state;

    snprintf(o->where[WRITER], sizeof(o->where[0]), "sqlite:%s/writer.db",
             o->folder.path);
    snprintf(o->where[READER], sizeof(o->where[0]), "sqlite:%s/reader.db",
             o->folder.path);
    kill_and_check(o);
}

static void test_kills_publish_and_handle_once_with_postgres(void **state)
{
    struct outbox *o = *state;

    if (!td_postgres_installed()) {
        print_message("no PostgreSQL server (on Debian: postgresql)\n");
        skip();
    }
    if (!td_postgres_start(&o->postgres))
        fail_msg("%s", o->postgres.error);
    for (int i = 0; i < WORKERS; i++)
        memcpy(o->where[i], o->postgres.conninfo, sizeof(o->where[i]));
    {
        struct outbox_db db; /* the tables, before two make them at once */

        outbox_db_open(&db, o->where[WRITER]);
        outbox_db_close(&db);
    }
    kill_and_check(o);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kills_publish_and_handle_once_with_sqlite),
        TEST(test_kills_publish_and_handle_once_with_postgres),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
