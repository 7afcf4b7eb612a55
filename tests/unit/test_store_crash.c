/* kill -9, again and again: what was answered is there, in order, nothing is
 * there by half, and the folder opens at once. */
#include "tests/support/td_test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/store_rig.h"

#define CYCLES    100 /* with TIDINGS_LONG=1 1,000 */
#define LIFE_MS   25  /* at most, behind its first answer */
#define IN_FLIGHT 16
#define KEPT      200 /* records; older ones are deleted */

static struct td_rig rig;
static uint64_t seed = 99;
static uint64_t body_bytes; /* at most: large ones go past the log */

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static int setup(void **state)
{
    (void)state;
    td_rig_init(&rig, false);
    body_bytes = 20000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    td_rig_fini(&rig);
    return 0;
}

/* ---- the child ---- */

/* Transaction n: its record, and the count of all. */
static void fill(struct td_txn *txn, uint64_t n)
{
    char key[32];
    char value[32];
    static char large[20000];

    snprintf(key, sizeof(key), "n%012llu", (unsigned long long)n);
    snprintf(value, sizeof(value), "%llu", (unsigned long long)n);
    memset(large, 'x', sizeof(large));
    td_txn_put(txn, td_rig_str(key), td_rig_str(value), NULL, 0, 0);
    td_rig_put(txn, "count", value);
    td_txn_put(txn, td_rig_str("body"),
               (struct td_str){large, n * 37 % body_bytes}, NULL, 0, 0);
    if (n > KEPT) {
        snprintf(key, sizeof(key), "n%012llu", (unsigned long long)(n - KEPT));
        td_txn_delete_range(txn, td_rig_str("n"), td_rig_str(key));
    }
}

static void submit(struct td_store *store, uint64_t n)
{
    struct td_txn txn = {0};

    fill(&txn, n);
    td_txn_raise(&txn, n % 5 ? TD_LEVEL_OS : TD_LEVEL_DISK);
    store->face->submit(store, &txn, n);
}

/* Writes on behind n, and tells what was answered, until it is killed. */
static void write_on(int fd, uint64_t n)
{
    char why[TD_STORE_WHY_BYTES];
    struct td_store *store;
    uint64_t answered = n;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (td_lmdb_open(&store, rig.dir, &rig.options, why) != TIDINGS_OK)
        _exit(1);
    for (;;) {
        struct pollfd p = {.fd = store->face->fd(store), .events = POLLIN};
        struct td_store_answer *answer;

        while (n < answered + IN_FLIGHT)
            submit(store, ++n);
        poll(&p, 1, -1);
        while ((answer = store->face->next(store))) {
            if (answer->err || answer->ticket != answered + 1)
                _exit(2);
            answered = answer->ticket;
            if (write(fd, &answered, sizeof(answered)) != sizeof(answered))
                _exit(3);
            td_store_answer_free(answer);
        }
    }
}

/* ---- a cycle ---- */

static pid_t child_start(int *fd, uint64_t n)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        write_on(ends[1], n);
    }
    close(ends[1]);
    *fd = ends[0];
    return pid;
}

/* The last one that was answered before the child was killed. */
static uint64_t answered_by(int fd, pid_t pid, uint64_t before)
{
    uint64_t n = before;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct timespec life = {.tv_nsec = (long)below(LIFE_MS) * 1000000 +
                                       (long)below(1000) * 1000};
    int status;

    assert_int_equal(poll(&p, 1, RIG_DEADLINE_MS), 1);
    /* not for anything to happen: it dies at a moment by chance. It may fill
     * the pipe meanwhile, so that is emptied */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (life.tv_nsec > 0) {
        struct timespec step = {.tv_nsec = 500000};

        nanosleep(&step, NULL);
        life.tv_nsec -= step.tv_nsec;
        while (read(fd, &n, sizeof(n)) == sizeof(n))
            ;
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (read(fd, &n, sizeof(n)) == sizeof(n))
        ;
    close(fd);
    return n;
}

/* All records up to the count, without a hole; how many. */
static uint64_t check(uint64_t answered)
{
    struct td_store_answer *answer;
    uint64_t n;
    uint64_t first;
    char text[32];

    td_rig_open(&rig);
    n = strtoull(td_rig_get(&rig, "count"), NULL, 10);
    assert_true(n >= answered && n <= answered + IN_FLIGHT);
    first = n > KEPT ? n - KEPT : 1;
    answer = td_rig_read(&rig, td_rig_str("n"), td_rig_str("o"), false,
                         UINT32_MAX, SIZE_MAX);
    assert_ok(answer->err);
    assert_int_equal(answer->records_len, n - first + 1);
    for (uint64_t i = 0; i < answer->records_len; i++) {
        const struct td_record *r = &answer->records[i];

        snprintf(text, sizeof(text), "n%012llu", (unsigned long long)first + i);
        assert_false(r->damaged);
        assert_memory_equal(r->key.data, text, r->key.len);
        snprintf(text, sizeof(text), "%llu", (unsigned long long)first + i);
        assert_int_equal(r->value.len, strlen(text));
        assert_memory_equal(r->value.data, text, r->value.len);
    }
    td_store_answer_free(answer);
    answer = td_rig_read(&rig, td_rig_str("body"), td_rig_str("bodz"), false, 1,
                         SIZE_MAX);
    assert_int_equal(answer->records[0].value.len, n * 37 % body_bytes);
    td_store_answer_free(answer);
    td_rig_close(&rig);
    return n;
}

static void kill_again_and_again(void)
{
    const char *is_long = getenv("TIDINGS_LONG");
    int cycles = is_long && *is_long == '1' ? 10 * CYCLES : CYCLES;
    uint64_t n = 0;

    for (int i = 0; i < cycles; i++) {
        int fd;
        pid_t pid = child_start(&fd, n);

        n = check(answered_by(fd, pid, n));
    }
    assert_true(n > (uint64_t)cycles);
}

static void test_store_survives_kills(void **state)
{
    (void)state;
    kill_again_and_again();
}

/* What is committed is mostly in the log alone. */
static void test_store_survives_kills_with_small_commits(void **state)
{
    (void)state;
    body_bytes = 50;
    rig.options.reserve_bytes = 4 << 20;
    kill_again_and_again();
}

/* Killed while it opens, several times in a row. */
static void test_store_survives_kills_while_it_opens(void **state)
{
    uint64_t n;
    int fd;
    pid_t pid;

    (void)state;
    pid = child_start(&fd, 0);
    n = answered_by(fd, pid, 0);
    for (int i = 0; i < 30; i++) {
        struct timespec t = {.tv_nsec = (long)below(8000) * 1000};
        int status;

        pid = child_start(&fd, n);
        nanosleep(&t, NULL);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        while (read(fd, &n, sizeof(n)) == sizeof(n))
            ;
        close(fd);
        if (i % 3 == 2)
            n = check(n);
        else
            n = n ? n : 0;
        if (i % 3 != 2) { /* it may have gone on: the next one must know */
            td_rig_open(&rig);
            n = strtoull(td_rig_get(&rig, "count"), NULL, 10);
            td_rig_close(&rig);
        }
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_survives_kills),
        TEST(test_store_survives_kills_with_small_commits),
        TEST(test_store_survives_kills_while_it_opens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
