#include "tests/support/store_disk.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* To libraries, too. */
#define SHOWN __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static char folder[256];
static unsigned count[TD_DISK_CALLS];
static enum td_disk_call fail_call;
static unsigned fail_at; /* 0: none */
static int fail_error;
static bool fail_for_good;
static bool has_failed;
static int slow_ms;
static atomic_int syncing;
static pthread_cond_t let_go = PTHREAD_COND_INITIALIZER;
static bool held;
static unsigned entries; /* of the folder, when it was synced last */
static bool logging;
static struct td_disk_event *events;
static size_t events_len;

/* ---- what is watched ---- */

/* Whether the file lies in the folder; which of those that are logged it is,
 * or TD_DISK_FILES. */
static bool is_watched(int fd, enum td_disk_file *file)
{
    char link[64];
    char path[512];
    ssize_t len;

    if (!folder[0])
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof(path) - 1);
    if (len < 0)
        return false;
    path[len] = '\0';
    *file = TD_DISK_FILES;
    if (strncmp(path, folder, strlen(folder)) != 0)
        return false;
    if (strcmp(path + strlen(folder), "/data.mdb") == 0)
        *file = TD_DISK_DATA;
    else if (strcmp(path + strlen(folder), "/log") == 0)
        *file = TD_DISK_LOG;
    return true;
}

void td_disk_watch(const char *dir)
{
    pthread_mutex_lock(&lock);
    folder[0] = '\0';
    if (dir && !realpath(dir, folder))
        folder[0] = '\0';
    memset(count, 0, sizeof(count));
    entries = 0;
    fail_at = 0;
    has_failed = false;
    slow_ms = 0;
    pthread_mutex_unlock(&lock);
}

void td_disk_fail(enum td_disk_call call, unsigned n, int error, bool for_good)
{
    pthread_mutex_lock(&lock);
    fail_call = call;
    fail_at = n ? count[call] + n : 0;
    fail_error = error;
    fail_for_good = for_good;
    has_failed = false;
    pthread_mutex_unlock(&lock);
}

bool td_disk_failed(void)
{
    pthread_mutex_lock(&lock);
    bool failed = has_failed;
    pthread_mutex_unlock(&lock);
    return failed;
}

unsigned td_disk_count(enum td_disk_call call)
{
    pthread_mutex_lock(&lock);
    unsigned n = count[call];
    pthread_mutex_unlock(&lock);
    return n;
}

unsigned td_disk_entries(const char *dir)
{
    unsigned n = 0;
    DIR *d = opendir(dir);

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

unsigned td_disk_entries_synced(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = entries;
    pthread_mutex_unlock(&lock);
    return n;
}

void td_disk_slow(int ms)
{
    pthread_mutex_lock(&lock);
    slow_ms = ms;
    pthread_mutex_unlock(&lock);
}

void td_disk_hold(bool on)
{
    pthread_mutex_lock(&lock);
    held = on;
    pthread_cond_broadcast(&let_go);
    pthread_mutex_unlock(&lock);
}

bool td_disk_syncing(void)
{
    return atomic_load(&syncing) > 0;
}

/* Counts a call; true: it is to fail, with *error. With the lock held. */
static bool fails(enum td_disk_call call, int *error)
{
    unsigned n = ++count[call];

    if (fail_at == 0 || call != fail_call || n < fail_at ||
        (n > fail_at && !fail_for_good))
        return false;
    has_failed = true;
    *error = fail_error;
    return true;
}

/* ---- the log ---- */

static void note(struct td_disk_event event, const void *data)
{
    if ((events_len & (events_len - 1)) == 0)
        events = realloc(events,
                         (events_len ? 2 * events_len : 1) * sizeof(*events));
    if (event.len) {
        event.data = malloc(event.len);
        memcpy(event.data, data, event.len);
    }
    events[events_len++] = event;
}

void td_disk_log(bool on)
{
    pthread_mutex_lock(&lock);
    logging = on;
    pthread_mutex_unlock(&lock);
}

void td_disk_mark(uint64_t number)
{
    struct td_disk_event event = {.kind = TD_DISK_MARK, .number = number};

    pthread_mutex_lock(&lock);
    if (logging)
        note(event, NULL);
    pthread_mutex_unlock(&lock);
}

const struct td_disk_event *td_disk_events(size_t *len)
{
    *len = events_len;
    return events;
}

void td_disk_forget(void)
{
    for (size_t i = 0; i < events_len; i++)
        free(events[i].data);
    free(events);
    events = NULL;
    events_len = 0;
}

/* ---- the calls ---- */

static void slow_down(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000,
                         .tv_nsec = (long)(ms % 1000) * 1000000};

    atomic_fetch_add(&syncing, 1);
    if (ms)
        nanosleep(&t, NULL);
    pthread_mutex_lock(&lock);
    while (held)
        pthread_cond_wait(&let_go, &lock);
    pthread_mutex_unlock(&lock);
    atomic_fetch_sub(&syncing, 1);
}

/* A write; iov lies at offset, which is -1 for where the file stands. */
static ssize_t do_write(int fd, const struct iovec *iov, int n, off_t offset)
{
    enum td_disk_file file = TD_DISK_FILES;
    bool sync = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    struct iovec half;
    int error = 0;
    ssize_t wrote;
    int wait_ms = 0;

    pthread_mutex_lock(&lock);
    if (!is_watched(fd, &file)) {
        pthread_mutex_unlock(&lock);
        return offset < 0 ? syscall(SYS_writev, fd, iov, n)
                          : syscall(SYS_pwritev, fd, iov, n, offset, 0);
    }
    if (fails(TD_DISK_WRITE, &error) || (sync && fails(TD_DISK_SYNC, &error))) {
        if (error) {
            pthread_mutex_unlock(&lock);
            errno = error;
            return -1;
        }
        half = (struct iovec){iov[0].iov_base, iov[0].iov_len / 2};
        iov = &half;
        n = 1;
    }
    if (offset < 0)
        offset = lseek(fd, 0, SEEK_CUR);
    else
        lseek(fd, offset, SEEK_SET);
    wrote = syscall(SYS_writev, fd, iov, n);
    for (int i = 0; logging && file < TD_DISK_FILES && i < n; i++) {
        note((struct td_disk_event){.file = file,
                                    .kind = TD_DISK_WROTE,
                                    .offset = offset,
                                    .len = iov[i].iov_len,
                                    .durable = sync},
             iov[i].iov_base);
        offset += (off_t)iov[i].iov_len;
    }
    if (sync)
        wait_ms = slow_ms;
    pthread_mutex_unlock(&lock);
    if (sync)
        slow_down(wait_ms);
    return wrote;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset);
SHOWN ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    struct iovec iov = {(void *)buf, len};

    return do_write(fd, &iov, 1, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t offset);
SHOWN ssize_t pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
    return pwrite(fd, buf, len, offset);
}

SHOWN ssize_t writev(int fd, const struct iovec *iov, int n)
{
    return do_write(fd, iov, n, -1);
}

static bool is_folder(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static int do_sync(int fd, long number)
{
    enum td_disk_file file = TD_DISK_FILES;
    int error = 0;
    int wait_ms;
    int rc;

    pthread_mutex_lock(&lock);
    if (!is_watched(fd, &file)) {
        pthread_mutex_unlock(&lock);
        return (int)syscall(number, fd);
    }
    if (fails(TD_DISK_SYNC, &error)) {
        pthread_mutex_unlock(&lock);
        errno = error ? error : EIO;
        return -1;
    }
    wait_ms = slow_ms;
    pthread_mutex_unlock(&lock);
    slow_down(wait_ms);
    rc = (int)syscall(number, fd);
    pthread_mutex_lock(&lock);
    if (rc == 0 && is_folder(fd))
        entries = td_disk_entries(folder);
    if (logging && file < TD_DISK_FILES && rc == 0)
        note((struct td_disk_event){.file = file, .kind = TD_DISK_SYNCED},
             NULL);
    pthread_mutex_unlock(&lock);
    return rc;
}

SHOWN int fdatasync(int fd)
{
    return do_sync(fd, SYS_fdatasync);
}

SHOWN int fsync(int fd)
{
    return do_sync(fd, SYS_fsync);
}

SHOWN int posix_fallocate(int fd, off_t offset, off_t len)
{
    enum td_disk_file file = TD_DISK_FILES;
    int error = 0;
    int rc;

    pthread_mutex_lock(&lock);
    if (is_watched(fd, &file) && fails(TD_DISK_ALLOCATE, &error)) {
        pthread_mutex_unlock(&lock);
        return error ? error : EIO;
    }
    rc = syscall(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
    if (logging && file < TD_DISK_FILES && rc == 0)
        note((struct td_disk_event){.file = file,
                                    .kind = TD_DISK_ALLOCATED,
                                    .number = (uint64_t)(offset + len)},
             NULL);
    pthread_mutex_unlock(&lock);
    return rc;
}
