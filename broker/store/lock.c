#include "broker/store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store/lmdb.h"

/* One block, written over in place: a full disk has room for it. */
#define LOCK_BYTES 64

#define WITH_LOG ", with log" /* a folder of old says nothing of it */

struct td_lock {
    struct td_lock *next; /* in the list of all */
    dev_t dev;            /* of the folder */
    ino_t ino;
    int fd;
    enum td_lock_mark found;
    bool found_log;
    uint64_t transaction;
    uint64_t hash;
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct td_lock *all;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* ---- forks ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&all_lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&all_lock);
}

static void close_file(const struct td_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
}

/* The lock is the open file's, which a child shares: it would live on in it. */
static void in_child(void)
{
    for (struct td_lock *lock = all; lock; lock = lock->next)
        close_file(lock);
    all = NULL;
    pthread_mutex_unlock(&all_lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* ---- the file ---- */

static void read_mark(struct td_lock *lock, char text[LOCK_BYTES + 1])
{
    ssize_t n = pread(lock->fd, text, LOCK_BYTES, 0);

    text[n > 0 ? n : 0] = '\0';
    if (n == 0)
        lock->found = TD_LOCK_NEW;
    else if (sscanf(text, "clean at %" SCNu64 " %" SCNx64, &lock->transaction,
                    &lock->hash) == 2)
        lock->found = TD_LOCK_CLEAN;
    else
        lock->found = TD_LOCK_UNCLEAN;
    lock->found_log = lock->found == TD_LOCK_UNCLEAN && strstr(text, WITH_LOG);
}

static bool write_mark(struct td_lock *lock, const char *text)
{
    char line[LOCK_BYTES + 1];

    snprintf(line, sizeof(line), "%-*s", LOCK_BYTES - 1, text);
    line[LOCK_BYTES - 1] = '\n';
    return pwrite(lock->fd, line, LOCK_BYTES, 0) == LOCK_BYTES;
}

bool td_lock_is_held(const struct td_lock *lock)
{
    return lock->fd >= 0;
}

bool td_lock_found_log(const struct td_lock *lock)
{
    return lock->found_log;
}

bool td_lock_mark_open(struct td_lock *lock, bool log)
{
    char text[LOCK_BYTES];

    snprintf(text, sizeof(text), "open in process %ld%s", (long)getpid(),
             log ? WITH_LOG : "");
    return write_mark(lock, text) && fsync(lock->fd) == 0;
}

bool td_lock_mark_clean(struct td_lock *lock, uint64_t transaction,
                        uint64_t hash)
{
    char text[LOCK_BYTES];

    snprintf(text, sizeof(text), "clean at %" PRIu64 " %016" PRIx64,
             transaction, hash);
    return write_mark(lock, text) && fsync(lock->fd) == 0;
}

enum td_lock_mark td_lock_found(const struct td_lock *lock,
                                uint64_t *transaction, uint64_t *hash)
{
    *hash = lock->hash;
    *transaction = lock->transaction;
    return lock->found;
}

/* ---- taking it ---- */

bool td_lock_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return synced;
}

/* The folder, made if it may be; its entry in its parent is synced. */
static tidings_err make_dir(const char *dir)
{
    char parent[4096];
    char *slash;

    if (mkdir(dir, 0700) != 0)
        return errno == EEXIST ? TIDINGS_OK : TIDINGS_EIO;
    if (snprintf(parent, sizeof(parent), "%s", dir) >= (int)sizeof(parent))
        return TIDINGS_EIO;
    slash = parent + strlen(parent);
    while (slash > parent && slash[-1] == '/') /* at its end */
        *--slash = '\0';
    slash = strrchr(parent, '/');
    if (!slash)
        strcpy(parent, ".");
    else
        slash[slash == parent] = '\0';
    return td_lock_sync_dir(parent) ? TIDINGS_OK : TIDINGS_EIO;
}

static bool is_listed(const struct stat *st)
{
    for (struct td_lock *lock = all; lock; lock = lock->next) {
        if (lock->dev == st->st_dev && lock->ino == st->st_ino)
            return true;
    }
    return false;
}

static bool may_not_write(void)
{
    return errno == EROFS || errno == EACCES;
}

/* Opens and locks DIR/lock; held: by another process. Whoever only reads does
 * without it where it cannot be: fd is -1. */
static tidings_err lock_file(struct td_lock *lock, const char *dir, bool reads,
                             char *why)
{
    char path[4096];
    char text[LOCK_BYTES + 1];
    long pid;

    snprintf(path, sizeof(path), "%s/lock", dir);
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock->fd < 0 && reads && may_not_write()) {
        lock->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (lock->fd < 0 && (errno == ENOENT || may_not_write()))
            return TIDINGS_OK;
    }
    if (lock->fd < 0) {
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s: %s", path, strerror(errno));
        return TIDINGS_EIO;
    }
    if (flock(lock->fd, LOCK_EX | LOCK_NB) == 0) {
        read_mark(lock, text);
        return TIDINGS_OK;
    }
    if (errno != EWOULDBLOCK) {
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s: %s", path, strerror(errno));
        return TIDINGS_EIO;
    }
    read_mark(lock, text);
    if (sscanf(text, "open in process %ld", &pid) == 1)
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s is in use by process %ld",
                 dir, pid);
    else
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s is in use by another process",
                 dir);
    return TIDINGS_EEXIST;
}

/* With all_lock held. */
static tidings_err take(struct td_lock *lock, const char *dir, bool reads,
                        char *why)
{
    struct stat st;
    tidings_err err;

    if (stat(dir, &st) != 0) {
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s: %s", dir, strerror(errno));
        return errno == ENOENT ? TIDINGS_ENOTFOUND : TIDINGS_EIO;
    }
    if (is_listed(&st)) {
        snprintf(why, TD_STORE_WHY_BYTES, "%.150s is in use by this process",
                 dir);
        return TIDINGS_EEXIST;
    }
    lock->dev = st.st_dev;
    lock->ino = st.st_ino;
    err = lock_file(lock, dir, reads, why);
    if (err)
        return err;
    lock->next = all;
    all = lock;
    return TIDINGS_OK;
}

tidings_err td_lock_take(struct td_lock **out, const char *dir, bool make,
                         char *why)
{
    struct td_lock *lock = calloc(1, sizeof(*lock));
    tidings_err err;

    snprintf(why, TD_STORE_WHY_BYTES, "%s", tidings_err_text(TIDINGS_ENOMEM));
    if (!lock)
        return TIDINGS_ENOMEM;
    lock->fd = -1;
    pthread_once(&fork_once, watch_forks);
    if (make && make_dir(dir) != TIDINGS_OK) {
        snprintf(why, TD_STORE_WHY_BYTES, "cannot make %.150s: %s", dir,
                 strerror(errno));
        free(lock);
        return TIDINGS_EIO;
    }
    pthread_mutex_lock(&all_lock);
    err = take(lock, dir, !make, why);
    pthread_mutex_unlock(&all_lock);
    if (err) {
        close_file(lock);
        free(lock);
        return err;
    }
    *out = lock;
    return TIDINGS_OK;
}

void td_lock_release(struct td_lock *lock)
{
    struct td_lock **at = &all;

    if (!lock)
        return;
    pthread_mutex_lock(&all_lock);
    while (*at && *at != lock)
        at = &(*at)->next;
    if (*at)
        *at = lock->next;
    if (lock->fd >= 0)
        flock(lock->fd, LOCK_UN); /* also for a child that is only just made */
    close_file(lock);             /* before a fork could keep it */
    pthread_mutex_unlock(&all_lock);
    free(lock);
}
