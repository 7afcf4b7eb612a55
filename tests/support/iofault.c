/* A disk that is slow or fails, for processes that tests start: preloaded in
 * front of libc, and told what to do by a file that may change meanwhile. It
 * watches regular files named data.mdb and log.
 *
 *     LD_PRELOAD=…/iofault.so TIDINGS_IOFAULT=FILE tidingsd --data DIR
 *
 * FILE holds two numbers: how many milliseconds each sync takes, -1 for as long
 * as it says so; and with which errno writes and syncs fail, 0 for none. While
 * it is not there nothing happens. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 2 /* while a sync is held */

static bool is_watched(int fd)
{
    char link[64];
    char path[512];
    const char *name;
    ssize_t len;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof(path) - 1);
    if (len <= 0)
        return false;
    path[len] = '\0';
    name = strrchr(path, '/');
    return name &&
           (strcmp(name, "/data.mdb") == 0 || strcmp(name, "/log") == 0);
}

static void look(int *sync_ms, int *error)
{
    const char *path = getenv("TIDINGS_IOFAULT");
    char text[64] = "";
    char *end = text;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    if (fd >= 0)
        close(fd);
    *sync_ms = (int)strtol(text, &end, 10);
    *error = (int)strtol(end, NULL, 10);
}

static void rest(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000,
                         .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

/* Waits as long as a sync is to take; what it is to fail with. */
static int sync_fault(void)
{
    int ms;
    int error;

    look(&ms, &error);
    if (ms > 0)
        rest(ms);
    while (ms < 0) {
        rest(LOOK_MS);
        look(&ms, &error);
    }
    return error;
}

static int write_fault(int fd)
{
    bool sync = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    int ms;
    int error;

    if (sync)
        return sync_fault();
    look(&ms, &error);
    return error;
}

/* offset -1: where the file stands. */
static ssize_t do_write(int fd, const struct iovec *iov, int n, off_t offset)
{
    int error = is_watched(fd) ? write_fault(fd) : 0;

    if (error) {
        errno = error;
        return -1;
    }
    return offset < 0 ? syscall(SYS_writev, fd, iov, n)
                      : syscall(SYS_pwritev, fd, iov, n, offset, 0);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    const struct iovec iov = {(void *)buf, len};

    return do_write(fd, &iov, 1, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
    return pwrite(fd, buf, len, offset);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    return do_write(fd, iov, n, -1);
}

static int do_sync(int fd, long number)
{
    int error = is_watched(fd) ? sync_fault() : 0;

    if (error) {
        errno = error;
        return -1;
    }
    return (int)syscall(number, fd);
}

int fdatasync(int fd)
{
    return do_sync(fd, SYS_fdatasync);
}

int fsync(int fd)
{
    return do_sync(fd, SYS_fsync);
}
