/* The engine over a folder in which a bit was flipped, byte after byte (FAULTS
 * C05, C06): it never serves what was not stored, misses nothing without a
 * word, and gives no number a second time. A process of its own tries each,
 * since LMDB may crash on a damaged page. */
#include "tests/unit/stream_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/store_rig.h"

#define STRIDE  101 /* bytes between flips; with TIDINGS_LONG=1 every byte */
#define EVENTS  60u /* of the stream, each with its sequence as its number */
#define GIVE_UP 9   /* exit code: the test itself is wrong */

enum outcome {
    SAME,    /* it hit what is not used, or is there twice */
    TOLD,    /* the reader is told that events are lost */
    REFUSED, /* the folder is not opened, or nothing is read or taken */
    CRASHED, /* the process is gone */
    MISSING, /* without a word */
    WRONG,   /* another event */
    AGAIN,   /* a new one got a number that was used */
    OUTCOMES
};

static const char *const names[OUTCOMES] = {
    "same", "told", "refused", "crashed", "missing", "wrong", "again"};

/* Shared with the process that tries. */
struct shared {
    size_t at; /* the byte it is at */
    unsigned count[OUTCOMES];
    size_t first_bad;
};

static struct td_rig rig;
static struct shared *shared;
static uint8_t *sound;
static size_t sound_len; /* pages in use */
static char mark[64];    /* of its lock, when it was closed */
static size_t step;
static bool recovered;

static void path_of(char *out, const char *name)
{
    snprintf(out, 200, "%.120s/%s", rig.dir, name);
}

/* ---- the folder ---- */

static void live(struct streams *s)
{
    static const uint32_t sizes[] = {10, 300, 4000};

    hello(s->f, "pub");
    hello(s->f, "sub");
    call(s, "pub", "stream.add", "{\"name\" \"o\" \"patterns\" [\"o.>\"]}");
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    for (uint64_t n = 1; n <= EVENTS; n += 5) {
        const struct piece piece = {"a.b", 5, sizes[n % 3], n, NULL};

        publish(s->f, "pub", DISK, &piece, 1);
        settle_down(s);
    }
    settle(s, "sub", TD_ACK, 1, EVENTS / 2);
    settle(s, "sub", TD_TERM, EVENTS, EVENTS);
    pass(s->f, 100);
    settle_down(s);
}

static void keep_sound(void)
{
    struct stat st;
    char path[200];
    int fd;

    path_of(path, "data.mdb");
    fd = open(path, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    sound = malloc((size_t)st.st_size);
    assert_int_equal(read(fd, sound, (size_t)st.st_size), st.st_size);
    close(fd);
    sound_len = (size_t)st.st_size;
    while (sound_len > 0 && sound[sound_len - 1] == 0) /* the reserve */
        sound_len--;
    path_of(path, "lock");
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, mark, sizeof(mark)), sizeof(mark));
    close(fd);
}

/* ---- the process that tries ---- */

/* The operator is told that a stream's state was lost. */
static void on_log(void *ctx, enum td_log_level level, const char *id,
                   const char *text)
{
    (void)ctx;
    (void)level;
    (void)text;
    recovered = recovered || strcmp(id, "STREAM-RECOVERED") == 0;
}

/* The store, and its engine once that has read it; false: it does not want
 * to. */
static bool load(struct streams *s)
{
    char why[TD_STORE_WHY_BYTES];
    tidings_err err = TIDINGS_OK;

    if (td_lmdb_open(&s->store, rig.dir, &rig.options, why) != TIDINGS_OK) {
        s->store = NULL;
        return false;
    }
    recovered = false;
    start(s->f, (struct td_engine_options){
                    .store = s->store,
                    .log = {.level = TD_LOG_WARN, .write = on_log}});
    while (!td_engine_is_loaded(s->f->engine, &err)) {
        struct pollfd p = {.fd = s->store->face->fd(s->store),
                           .events = POLLIN};

        flush(s->f);
        if (s->f->engine->streams.reads && poll(&p, 1, RIG_DEADLINE_MS) != 1)
            _exit(GIVE_UP);
    }
    return err == TIDINGS_OK;
}

/* Events of a part under their sequences; false: one is another. */
static bool check_part(const struct streams *s, uint64_t *seen)
{
    struct td_reader spans =
        td_reader_of(s->f->part.spans.data, s->f->part.spans.len);
    struct td_span span = {0};
    uint32_t rows;

    if (!td_read_array(&spans, &rows))
        return false;
    for (uint32_t b = 0; b < s->f->batches.len; b++) {
        const struct td_batch *batch = &s->f->batches.batch[b];

        for (uint32_t r = 0; r < batch->runs_len; r++) {
            for (uint64_t q = 0; q < batch->runs[r].count; q++) {
                if (span.count == 0 && !td_span_read(&spans, &span))
                    return false;
                if (span.sequence <= EVENTS &&
                    batch->runs[r].first + q != span.sequence)
                    return false;
                *seen += span.sequence <= EVENTS;
                span.sequence++;
                span.count--;
            }
        }
    }
    return true;
}

static enum outcome read_all(struct streams *s)
{
    struct td_store_info info;
    struct sent *sent;
    uint64_t seen = 0;

    hello(s->f, "rd");
    consume(s, "rd", 1, ">", "events", NULL, "\"start\" \"all\"");
    for (uint32_t i = 0; (sent = find(s->f, "rd", TD_DELIVER, i)); i++) {
        for (uint32_t n = 0; part_of(s->f, sent, n); n++) {
            if (!check_part(s, &seen))
                return WRONG;
        }
    }
    s->store->face->info(s->store, &info);
    if (seen == EVENTS)
        return SAME;
    if (info.failed)
        return REFUSED; /* and the operator is told */
    if (recovered)
        return TOLD; /* with its state the way to its records may be lost */
    return seen + missed_by(s->f, "rd", NULL) >= EVENTS ? TOLD : MISSING;
}

static enum outcome try_it(struct streams *s)
{
    const struct piece piece = {"a.b", 1, 10, EVENTS + 1, NULL};
    struct td_confirm row;
    enum outcome outcome = REFUSED;

    if (load(s)) {
        hello(s->f, "pub");
        publish(s->f, "pub", DISK, &piece, 1);
        settle_down(s);
        outcome = read_all(s);
        if (confirm_to(s, "pub", 0, &row) && !row.code &&
            row.sequence <= EVENTS)
            outcome = AGAIN;
    }
    end_streams(s);
    return outcome;
}

/* The folder with one bit flipped; opening and closing may have written. */
static void damage(int data_fd, int lock_fd, int log_fd, const void *log,
                   size_t log_len)
{
    uint8_t byte = sound[shared->at] ^ (uint8_t)(1u << (shared->at / step % 8));

    if (pwrite(data_fd, sound, sound_len, 0) != (ssize_t)sound_len ||
        pwrite(data_fd, &byte, 1, (off_t)shared->at) != 1 ||
        pwrite(lock_fd, mark, sizeof(mark), 0) != sizeof(mark) ||
        pwrite(log_fd, log, log_len, 0) != (ssize_t)log_len)
        _exit(GIVE_UP);
}

static int open_one(const char *name)
{
    char path[200];

    path_of(path, name);
    return open(path, O_RDWR);
}

static void try_on(struct streams *s, const void *log, size_t log_len)
{
    struct rlimit none = {0, 0};
    int data_fd = open_one("data.mdb");
    int lock_fd = open_one("lock");
    int log_fd = open_one("log");

    setrlimit(RLIMIT_CORE, &none);
    if (!freopen("/dev/null", "w", stderr)) /* LMDB's assertions */
        _exit(GIVE_UP);
    for (; shared->at < sound_len; shared->at += step) {
        enum outcome outcome;

        damage(data_fd, lock_fd, log_fd, log, log_len);
        outcome = try_it(s);
        shared->count[outcome]++;
        if (outcome >= MISSING && !shared->first_bad)
            shared->first_bad = shared->at;
    }
    _exit(0);
}

/* ---- */

static void *read_log(size_t *len)
{
    int fd = open_one("log");
    struct stat st;
    void *bytes;

    assert_int_equal(fstat(fd, &st), 0);
    *len = (size_t)st.st_size;
    bytes = malloc(*len);
    assert_int_equal(read(fd, bytes, *len), *len);
    close(fd);
    return bytes;
}

static void try_all(struct streams *s)
{
    size_t log_len;
    void *log = read_log(&log_len);

    while (shared->at < sound_len) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
            try_on(s, log, log_len);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            break;
        if (WIFEXITED(status))
            fail_msg("whoever tried byte %zu gave up", shared->at);
        shared->count[CRASHED]++;
        shared->at += step;
    }
    free(log);
}

static void test_engine_over_flipped_bits(void **state)
{
    const char *is_long = getenv("TIDINGS_LONG");
    struct streams *s = *state;

    td_rig_open(&rig);
    begin_streams(s, rig.store);
    live(s);
    end_streams(s);
    rig.store = NULL;
    keep_sound();
    rig.options.guard = true;
    step = is_long && *is_long == '1' ? 1 : STRIDE;
    try_all(s);
    for (int i = 0; i < OUTCOMES; i++)
        print_message("%s%s %u", i ? ", " : "", names[i], shared->count[i]);
    print_message(" of %zu bytes\n", sound_len);
    if (shared->first_bad)
        fail_msg("the first one is byte %zu", shared->first_bad);
    assert_true(shared->count[SAME] > 0 && shared->count[TOLD] > 0);
}

static int setup_folder(void **state)
{
    struct streams *s = calloc(1, sizeof(*s));

    s->f = calloc(1, sizeof(*s->f));
    s->f->now = 1000;
    s->f->unjudged = true;
    td_rig_init(&rig, false);
    rig.options.reserve_bytes = 64 << 10;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *state = s;
    return 0;
}

static int teardown_folder(void **state)
{
    struct streams *s = *state;
    void *f = s->f;

    teardown(&f);
    munmap(shared, sizeof(*shared));
    free(sound);
    td_rig_fini(&rig);
    free(s);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_engine_over_flipped_bits,
                                        setup_folder, teardown_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
