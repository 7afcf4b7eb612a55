/* The child process in which a folder is walked, and who waits for it.
 *
 * The child is forked, and never runs another program: a library has none. It
 * reports in memory that both share, and keys through a pipe, whose end is
 * also the sign that it is gone. */
#include "broker/store/lmdb_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the child ---- */

/* Whatever it meets, it ends quietly and leaves nothing behind. */
static void in_child(struct td_lmdb_walk *walk, const char *dir, int fd,
                     bool keys)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE, SIGILL};
    struct rlimit none = {0, 0};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &none);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        signal(faults[i], SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    if (null >= 0)
        dup2(null, STDERR_FILENO); /* LMDB writes its assertions there */
    td_lmdb_walk(walk, dir, keys ? fd : -1);
    _exit(0);
}

/* ---- who waits ---- */

#define TELL_MS 100

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Who waits, and for what. */
struct waiting {
    const struct td_lmdb_watch *watch;
    const struct td_lmdb_walk *walk; /* what the child says of it so far */
    int fd;                          /* damaged keys come from here */
    int64_t deadline_ms;             /* -1: there is none */
};

static void tell(const struct waiting *w)
{
    uint64_t total = w->walk->pages;
    uint64_t done = w->walk->pages_read;

    if (w->watch->progress && total > 0)
        w->watch->progress(w->watch->ctx, done < total ? done : total, total);
}

/* Something has come, or the end; false: neither did by the deadline. */
static bool wait_for(const struct waiting *w)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};

    for (;;) {
        int64_t left = w->deadline_ms < 0 ? -1 : w->deadline_ms - now_ms();
        int n;

        if (w->deadline_ms >= 0 && left <= 0)
            return false;
        if (w->watch->progress && (left < 0 || left > TELL_MS))
            left = TELL_MS;
        n = poll(&p, 1, (int)left);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
        tell(w);
    }
}

/* Exactly len bytes, by the deadline; false: none come any more. */
static bool take(const struct waiting *w, void *data, size_t len)
{
    char *at = data;
    ssize_t n;

    while (len > 0) {
        if (!wait_for(w))
            return false;
        n = read(w->fd, at, len);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void listen_to(const struct waiting *w)
{
    uint8_t head[2];
    char key[UINT16_MAX];

    while (take(w, head, sizeof(head))) {
        size_t len = (size_t)head[0] << 8 | head[1];

        if (!take(w, key, len))
            return;
        if (w->watch->damaged)
            w->watch->damaged(w->watch->ctx, (struct td_str){key, len});
    }
}

/* The child is gone, or goes now; how it ended. */
static int reap(pid_t pid)
{
    int status = 0;

    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* A walk that was neither done nor stopped by us has crashed. */
static void judge(struct td_lmdb_walk *walk, int status, bool in_time)
{
    struct td_lmdb_damage *damage = &walk->damage;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

    if (walk->done || damage->tree || (killed && !in_time))
        return;
    damage->tree = true;
    if (!damage->first[0])
        snprintf(damage->first, sizeof(damage->first),
                 "the tree: reading it crashes behind record %" PRIu64,
                 damage->records);
}

static bool walk_in_child(struct td_lmdb_walk *shared, const char *dir,
                          const struct td_lmdb_watch *watch, int wait_ms)
{
    struct waiting w = {
        .watch = watch,
        .walk = shared,
        .deadline_ms = wait_ms < 0 ? -1 : now_ms() + wait_ms,
    };
    int pipe_fd[2];
    bool in_time;
    pid_t pid;

    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return false;
    pid = fork();
    if (pid == 0)
        in_child(shared, dir, pipe_fd[1], watch->damaged != NULL);
    close(pipe_fd[1]);
    if (pid > 0) {
        w.fd = pipe_fd[0];
        listen_to(&w);
        in_time = wait_ms < 0 || now_ms() < w.deadline_ms;
        judge(shared, reap(pid), in_time);
        tell(&w);
    }
    close(pipe_fd[0]);
    return pid > 0;
}

bool td_lmdb_walk_apart(struct td_lmdb_walk *out, const char *dir,
                        const struct td_lmdb_watch *watch, int wait_ms)
{
    static const struct td_lmdb_watch nobody;
    struct td_lmdb_walk *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool walked;

    if (shared == MAP_FAILED)
        return false;
    walked = walk_in_child(shared, dir, watch ? watch : &nobody, wait_ms);
    *out = *shared;
    munmap(shared, sizeof(*shared));
    return walked;
}

/* ---- offline ---- */

/* The folder is as it was closed, if it was. */
static void check_mark(const struct td_lock *lock, struct td_lmdb_walk *walk)
{
    struct td_lmdb_damage *damage = &walk->damage;
    uint64_t marked;
    uint64_t hash;

    if (damage->tree || td_lock_found(lock, &marked, &hash) != TD_LOCK_CLEAN ||
        marked == walk->transaction)
        return;
    damage->tree = true;
    snprintf(damage->first, sizeof(damage->first),
             "it holds transaction %" PRIu64 ", and was closed at %" PRIu64,
             walk->transaction, marked);
}

/* The log is whole, and goes with LMDB. One that was closed has nothing in it
 * that counts. */
static void check_log(const struct td_lock *lock, const char *dir,
                      struct td_lmdb_walk *walk)
{
    struct td_lmdb_damage *damage = &walk->damage;
    struct td_store_log_found found = {0};
    struct td_store_log log;
    uint64_t marked;
    uint64_t hash;
    int rc;

    if (damage->tree || td_lock_found(lock, &marked, &hash) == TD_LOCK_CLEAN)
        return;
    rc = td_store_log_look(&log, dir, walk->id);
    if (!rc)
        rc = td_store_log_find(&log, walk->transaction, &found);
    if (rc == ENOENT)
        rc = 0; /* there may be none */
    if (rc) {
        damage->tree = true;
        snprintf(damage->first, sizeof(damage->first), "the log: %s",
                 strerror(rc));
    } else if (!td_lmdb_log_is_sound(lock, &found)) {
        damage->tree = true;
        td_lmdb_log_say(dir, &found, walk->transaction, damage->first,
                        sizeof(damage->first));
    }
    td_store_log_close(&log);
}

/* Nothing that a broker makes is in the folder, which is there. */
static bool is_no_store(const char *dir)
{
    static const char *const files[] = {"data.mdb", "lock", "log"};
    struct stat st;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool none = fd >= 0;

    for (size_t i = 0; none && i < sizeof(files) / sizeof(files[0]); i++)
        none = fstatat(fd, files[i], &st, 0) != 0 && errno == ENOENT;
    if (fd >= 0)
        close(fd);
    return none;
}

tidings_err td_lmdb_verify(const char *dir, const struct td_lmdb_watch *watch,
                           struct td_lmdb_damage *out, char *why)
{
    struct td_lock *lock = NULL;
    struct td_lmdb_walk walk;
    tidings_err err;

    if (is_no_store(dir)) { /* and the lock's file is not left in it */
        snprintf(why, TD_STORE_WHY_BYTES, "no store is in %.150s", dir);
        return TIDINGS_ENOTFOUND;
    }
    err = td_lock_take(&lock, dir, false, why);
    if (err)
        return err;
    if (!td_lmdb_is_left(dir, lock, why)) {
        err = TIDINGS_EIO;
    } else if (td_lmdb_walk_apart(&walk, dir, watch, -1)) {
        check_mark(lock, &walk);
        check_log(lock, dir, &walk);
        *out = walk.damage;
        out->unlocked = !td_lock_is_held(lock);
    } else {
        err = TIDINGS_EIO;
        snprintf(why, TD_STORE_WHY_BYTES, "cannot check %.150s: %s", dir,
                 strerror(errno));
    }
    td_lock_release(lock);
    return err;
}
