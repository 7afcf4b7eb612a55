/* The lock is beside the file itself, whatever name it was opened by. It is not
 * on that file: to close that would give back the locks of SQLite, which are the
 * process's. A file with several hard links has as many locks; SQLite's journal
 * does not survive that either, and the term in the table keeps their relays
 * apart. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "client/outbox/sqlite_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "client/outbox/sqlite_db.h"

static tidings_err cannot(const char *what, const char *path)
{
    char why[512];

    snprintf(why, sizeof(why), "cannot %s %.400s: %s", what, path,
             strerror(errno));
    return td_sqlite_say(TIDINGS_EIO, why);
}

/* Without symbolic links and dots. NULL: errno says why. */
static char *lock_path(const char *path)
{
    static const char suffix[] = "-relay";
    char *real = realpath(path, NULL);
    size_t size = real ? strlen(real) + sizeof(suffix) : 0;
    char *out = real ? malloc(size) : NULL;

    if (out)
        snprintf(out, size, "%s%s", real, suffix);
    free(real);
    return out;
}

tidings_err td_sqlite_lock(int *fd, const char *path)
{
    char *beside = lock_path(path);
    tidings_err err = TIDINGS_OK;
    int file;

    if (!beside)
        return errno == ENOMEM ? TIDINGS_ENOMEM : cannot("open", path);
    file = open(beside, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0 || flock(file, LOCK_EX | LOCK_NB) != 0)
        err = file >= 0 && errno == EWOULDBLOCK ? TIDINGS_EEXIST
                                                : cannot("lock", beside);
    if (!err)
        *fd = file;
    else if (file >= 0)
        close(file);
    free(beside);
    return err;
}
