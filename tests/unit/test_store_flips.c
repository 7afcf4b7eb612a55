/* Every byte of a small store flipped in one bit: wrong bytes are never served,
 * and nothing is missing without a word. A process of its own reads each, since
 * LMDB may crash on a damaged page; with the guard that is an error, too. */
#include "tests/support/td_test.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/store_rig.h"

#define STRIDE  97 /* bytes between flips; with TIDINGS_LONG=1 every byte */
#define RECORDS 60

/* What a flip may come to. */
enum outcome {
    SAME,    /* it hit what is not used */
    REFUSED, /* the folder is not opened, or the read says no */
    DAMAGED, /* records are reported as damaged, the others are right */
    CRASHED, /* the process is gone */
    MISSING, /* without a word */
    WRONG,   /* without a word */
    OUTCOMES
};

static const char *const names[OUTCOMES] = {"same",    "refused", "damaged",
                                            "crashed", "missing", "wrong"};

/* Shared with the process that reads. */
struct shared {
    size_t at; /* the bit it is at */
    unsigned count[OUTCOMES];
    size_t first_bad;
};

static struct td_rig rig;
static struct shared *shared;
static uint8_t *sound;
static size_t sound_len; /* pages in use */
static char mark[64];    /* of its lock, when it was closed */
static bool marked;      /* the folder was closed, and says so */
static size_t step;

static void path_of(char *out, const char *name)
{
    snprintf(out, 200, "%.120s/%s", rig.dir, name);
}

/* The i-th record: small ones, and some beside the tree. */
static void record(unsigned i, char *key, char *value, size_t *len)
{
    snprintf(key, 16, "key%05u", i * 7);
    *len = i % 10 == 5 ? 4000 + 100 * i : 20 + i;
    memset(value, 'a' + (int)(i % 26), *len);
}

static void make_store(void)
{
    static char value[16384];
    char key[16];
    size_t len;
    char path[200];
    struct stat st;
    struct td_store_info info;
    int fd;

    td_rig_open(&rig);
    for (unsigned i = 0; i < RECORDS + 10; i++) {
        struct td_txn txn = {0};

        record(i, key, value, &len);
        td_txn_put(&txn, td_rig_str(key), (struct td_str){value, len}, NULL, 0,
                   0);
        assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_OS));
    }
    {
        struct td_txn txn = {0};

        record(RECORDS, key, value, &len);
        td_txn_delete_range(&txn, td_rig_str(key), td_rig_str("z"));
        assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
    }
    rig.store->face->info(rig.store, &info);
    td_rig_close(&rig);
    path_of(path, "data.mdb");
    fd = open(path, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    sound = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, sound, (size_t)st.st_size), st.st_size);
    close(fd);
    path_of(path, "lock");
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, mark, sizeof(mark)), sizeof(mark));
    close(fd);
    sound_len = (size_t)st.st_size;
    while (sound_len > 0 && sound[sound_len - 1] == 0) /* the reserve */
        sound_len--;
}

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    td_rig_init(&rig, false);
    rig.options.reserve_bytes = 64 << 10;
    make_store();
    /* the processes that read take the signals from cmocka, each for itself */
    rig.options.guard = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(sound);
    munmap(shared, sizeof(*shared));
    td_rig_fini(&rig);
    return 0;
}

/* ---- the process that reads ---- */

static struct td_store_answer *wait_for(struct td_store *store)
{
    struct pollfd p = {.fd = store->face->fd(store), .events = POLLIN};
    struct td_store_answer *answer;

    while (!(answer = store->face->next(store))) {
        if (poll(&p, 1, RIG_DEADLINE_MS) != 1)
            _exit(9);
    }
    return answer;
}

static enum outcome compare(const struct td_store_answer *answer)
{
    static char value[16384];
    char key[16];
    size_t len;
    unsigned expected = 0;
    bool damaged = false;

    if (answer->err)
        return REFUSED;
    for (uint32_t i = 0; i < answer->records_len; i++) {
        const struct td_record *r = &answer->records[i];

        if (r->damaged) {
            damaged = true;
            continue;
        }
        for (; expected < RECORDS; expected++) {
            record(expected, key, value, &len);
            if (r->key.len == strlen(key) &&
                memcmp(r->key.data, key, r->key.len) == 0)
                break;
        }
        if (expected == RECORDS || r->value.len != len ||
            memcmp(r->value.data, value, len) != 0)
            return WRONG;
        expected++;
    }
    if (damaged)
        return DAMAGED;
    return answer->records_len == RECORDS ? SAME : MISSING;
}

static enum outcome look(void)
{
    char why[TD_STORE_WHY_BYTES];
    struct td_store *store;
    struct td_store_answer *answer;
    enum outcome outcome;

    if (td_lmdb_open(&store, rig.dir, &rig.options, why) != TIDINGS_OK)
        return REFUSED;
    if (!store->face->read(store, td_rig_str(""), td_rig_str(""), false,
                           UINT32_MAX, SIZE_MAX, 1))
        _exit(9);
    answer = wait_for(store);
    outcome = compare(answer);
    td_store_answer_free(answer);
    store->face->close(store);
    return outcome;
}

/* The folder with one bit flipped. */
static void damage(size_t bit, int data_fd, int lock_fd)
{
    uint8_t byte = sound[bit / 8] ^ (uint8_t)(1u << (bit % 8));
    static const char open_mark[64] = "open in process 1";

    /* opening and closing may have written: all as it was */
    if (pwrite(data_fd, sound, sound_len, 0) != (ssize_t)sound_len)
        _exit(9);
    if (pwrite(data_fd, &byte, 1, (off_t)(bit / 8)) != 1)
        _exit(9);
    if (pwrite(lock_fd, marked ? mark : open_mark, sizeof(mark), 0) !=
        sizeof(mark))
        _exit(9);
}

static void read_on(void)
{
    struct rlimit none = {0, 0};
    char path[200];
    int data_fd;
    int lock_fd;

    setrlimit(RLIMIT_CORE, &none);
    if (!freopen("/dev/null", "w", stderr)) /* LMDB's assertions */
        _exit(9);
    path_of(path, "data.mdb");
    data_fd = open(path, O_RDWR);
    path_of(path, "lock");
    lock_fd = open(path, O_RDWR | O_CREAT, 0600);
    for (; shared->at < sound_len * 8; shared->at += step) {
        enum outcome outcome;

        damage(shared->at, data_fd, lock_fd);
        outcome = look();
        shared->count[outcome]++;
        if (outcome >= MISSING && !shared->first_bad)
            shared->first_bad = shared->at;
    }
    _exit(0);
}

static void flip_all(void)
{
    const char *is_long = getenv("TIDINGS_LONG");

    step = is_long && *is_long == '1' ? 9 : 8 * STRIDE + 1;
    memset(shared, 0, sizeof(*shared));
    while (shared->at < sound_len * 8) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
            read_on();
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 9)
            fail_msg("the reader of bit %zu gave up", shared->at);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            break;
        shared->count[CRASHED]++;
        shared->at += step;
    }
    for (int i = 0; i < OUTCOMES; i++)
        printf("%s%s %u", i ? ", " : "", names[i], shared->count[i]);
    printf(" of %zu bytes\n", sound_len);
    if (shared->count[WRONG] || shared->count[MISSING])
        fail_msg("the first one is bit %zu of byte %zu", shared->first_bad % 8,
                 shared->first_bad / 8);
    assert_true(shared->count[DAMAGED] > 0);
    assert_true(shared->count[REFUSED] > 0);
}

static void test_store_flipped_after_an_unclean_stop(void **state)
{
    (void)state;
    marked = false;
    flip_all();
}

/* Nothing is walked then: every record is checked when it is read. */
static void test_store_flipped_after_it_was_closed(void **state)
{
    (void)state;
    marked = true;
    flip_all();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_flipped_after_an_unclean_stop),
        TEST(test_store_flipped_after_it_was_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
