/* A durable group that deals by key, whose members come and go under load, each
 * a process, some of them killed (FAULTS D16): what a dead member had goes on
 * with others, and each key's events are handled in their order. */
#include "tests/support/operate.h"
#include "tests/system/system.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/support/folder.h"
#include "tests/system/record.h"

#define STREAM     "events"
#define GROUP      "workers"
#define MEMBERS    3
#define KEYS       16
#define TURNS      4 /* in each a member is killed or leaves, and another comes */
#define EACH       400   /* events in a turn */
#define HANDLER_US "500" /* so that some is in flight */
#define EVENTS     (TURNS * EACH)

struct fixture {
    struct td_folder folder;
    struct td_daemon broker;
    struct td_proc members[MEMBERS];
    tidings_bus *bus;
    char records[TD_FOLDER_PATH_MAX + 16];
    uint64_t published;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    snprintf(f->records, sizeof(f->records), "%s/records", f->folder.path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->bus);
    for (size_t i = 0; i < MEMBERS; i++)
        td_proc_end(&f->members[i]);
    td_daemon_end(&f->broker);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}

static void start_member(struct fixture *f, size_t i)
{
    const char *argv[] = {"system_member",
                          f->broker.endpoint[0],
                          STREAM,
                          GROUP,
                          f->records,
                          HANDLER_US,
                          NULL};

    td_proc_end(&f->members[i]);
    assert_true(td_proc_start(&f->members[i], argv));
    sys_expect(&f->members[i], "ready");
}

static void start(struct fixture *f)
{
    const char *args[] = {"--data", f->folder.path, "--grace", "0", NULL};
    const struct tidings_options confirmed = {.confirm = TIDINGS_DISK};
    const struct tidings_group_options group = {.stream = STREAM,
                                                .group = GROUP,
                                                .policy = TIDINGS_BY_KEY,
                                                .max_deliver = 100,
                                                .backoff_ms = 10,
                                                .backoff_max_ms = 10};

    sys_broker_start(&f->broker, args);
    assert_ok(tidings_open(&f->bus, f->broker.endpoint[0], &confirmed));
    assert_ok(tidings_group_add(f->bus, &group, SYS_WAIT_MS));
    for (size_t i = 0; i < MEMBERS; i++)
        start_member(f, i);
}

static void publish(struct fixture *f, uint64_t events)
{
    char key[24];
    struct tidings_attr attr = {.name = "partitionkey", .string = key};

    for (uint64_t end = f->published + events; f->published < end;) {
        const uint64_t word[2] = {0, ++f->published};
        const struct tidings_event event = {.type = "order.placed",
                                            .data = word,
                                            .data_len = sizeof(word),
                                            .attrs = &attr,
                                            .attrs_len = 1};

        snprintf(key, sizeof(key), "k%u", (unsigned)(word[1] % KEYS));
        assert_ok(tidings_publish_event(f->bus, &event));
    }
}

/* Killed, as it comes, or told to end. */
static void end_member(struct fixture *f, unsigned turn)
{
    struct td_proc *member = &f->members[turn % MEMBERS];

    if (turn % 3 == 2)
        td_proc_hang_up(member);
    else
        td_proc_signal(member, SIGKILL);
    assert_true(td_proc_wait(member, SYS_WAIT_MS));
    start_member(f, turn % MEMBERS);
}

/* ---- what they have written ---- */

struct tallied {
    int64_t last[KEYS]; /* the highest that was handled */
    uint32_t pids[64];
    size_t pids_len;
    uint64_t again;
};

static void note_pid(struct tallied *t, uint32_t pid)
{
    size_t i = 0;

    while (i < t->pids_len && t->pids[i] != pid)
        i++;
    assert_true(i < TD_ARRAY_LEN(t->pids));
    t->pids[i] = pid;
    t->pids_len += i == t->pids_len;
}

/* A key goes on with its next event, or back to one that failed: with who
 * died, and so again. */
static void tally(struct tallied *t, const struct member_record *r)
{
    int64_t n = (int64_t)r->word[1];
    int64_t *last = &t->last[n % KEYS];

    assert_in_range(n, 1, EVENTS);
    if (n > *last + KEYS || (n <= *last && r->deliveries < 2))
        fail_msg("event %lld, delivered %u times, comes after %lld of its key",
                 (long long)n, r->deliveries, (long long)*last);
    t->again += n <= *last;
    if (n > *last)
        *last = n;
    note_pid(t, r->pid);
}

static void check_records(struct fixture *f)
{
    FILE *file = fopen(f->records, "r");
    struct tallied t = {.pids_len = 0};
    struct member_record r;

    assert_non_null(file);
    for (int64_t key = 0; key < KEYS; key++)
        t.last[key] = key == 0 ? 0 : key - KEYS; /* its first one is key */
    while (fread(&r, sizeof(r), 1, file) == 1)
        tally(&t, &r);
    fclose(file);
    for (int64_t key = 0; key < KEYS; key++)
        assert_true(t.last[key] > EVENTS - KEYS && t.last[key] <= EVENTS);
    print_message("%zu members, %llu events again\n", t.pids_len,
                  (unsigned long long)t.again);
    assert_true(t.pids_len > MEMBERS);
    assert_true(t.again > 0);
}

static void test_keys_keep_their_order_whoever_dies(void **state)
{
    struct fixture *f = *state;

    start(f);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        publish(f, EACH / 2);
        assert_true(operate_group_until(f->bus, STREAM, GROUP, "acked",
                                        turn * EACH + EACH / 8, SYS_WAIT_MS));
        end_member(f, turn);
        publish(f, EACH / 2); /* so that its link is seen to be lost */
        assert_true(operate_group_until(f->bus, STREAM, GROUP, "acked",
                                        (turn + 1) * EACH, SYS_WAIT_MS));
    }
    assert_ok(tidings_flush(f->bus, SYS_WAIT_MS));
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, 2 * SYS_WAIT_MS));
    assert_int_equal(operate_group_figure(f->bus, STREAM, GROUP, "dead"), 0);
    check_records(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_keep_their_order_whoever_dies,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
