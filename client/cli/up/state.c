#include "client/cli/up/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/cli/out.h"
#include "client/cli/stop.h"

#define LOCK_NAME "lock"
#define BESIDE    ".tidings"
#define BACKLOG   8 /* of those who ask */

/* From taking the lock to listening, and from the last word to letting it go,
 * is a moment. */
#define CONNECT_US       2000000
#define CONNECT_EVERY_US 10000

const char *td_up_file_name(const struct td_settings *settings,
                            const char *command)
{
    if (settings->words_len == 0)
        return TD_UP_DEFAULT_FILE;
    if (settings->words_len == 1)
        return settings->words[0];
    td_complain("%s takes no \"%s\"", command, settings->words[1]);
    td_advise("tidings %s --help shows how", command);
    return NULL;
}

/* ---- the folder ---- */

static int no_file(const char *file)
{
    td_complain("%s: %s", file, strerror(errno));
    td_advise("name the file that `tidings up` runs");
    return TD_EXIT_USAGE;
}

/* A file that is gone has a folder still. */
static bool find_real(char real[PATH_MAX], const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash ? slash + 1 : file;
    char folder[PATH_MAX] = ".";
    size_t len;

    if (realpath(file, real))
        return true;
    if (errno != ENOENT || strlen(file) >= sizeof(folder))
        return false;
    if (slash)
        snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - file), file);
    if (!realpath(folder, real))
        return false;
    len = strlen(real);
    return snprintf(real + len, PATH_MAX - len, "/%s", name) <
           (int)(PATH_MAX - len);
}

/* The same for every name of the file. */
static char *path_beside(const char *file)
{
    char real[PATH_MAX];
    char *name, *path;
    size_t size;

    if (!find_real(real, file))
        return NULL;
    name = strrchr(real, '/');
    *name++ = '\0';
    size = strlen(real) + strlen(name) + sizeof("//" BESIDE);
    path = malloc(size);
    if (path)
        snprintf(path, size, "%s/" BESIDE "/%s", real, name);
    return path;
}

static int find_path(struct td_up_state *s, const struct td_settings *settings,
                     const char *file)
{
    const char *state = settings->up.state;

    s->path = state ? strdup(state) : path_beside(file);
    return s->path ? TD_EXIT_DONE : no_file(file);
}

static int refuse(const struct td_up_state *s)
{
    td_complain("%s: %s", s->path, strerror(errno));
    td_advise("--state DIR names another folder for lock and log");
    return TD_EXIT_FAILED;
}

static bool make_folder(const struct td_up_state *s,
                        const struct td_settings *settings)
{
    char *slash = strrchr(s->path, '/');
    bool made = true;

    if (slash && !settings->up.state) {
        *slash = '\0';
        made = mkdir(s->path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
    }
    return made && (mkdir(s->path, 0700) == 0 || errno == EEXIST);
}

/* ---- the lock ---- */

/* Of the open file, not of the process: it is shared over fork(), and goes with
 * the last that has it. */
static bool lock(const struct td_up_state *s, int how, short type)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    int done;

    do
        done = fcntl(s->lock, how, &whole);
    while (done != 0 && errno == EINTR);
    return done == 0;
}

static bool is_locked(const struct td_up_state *s)
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    return fcntl(s->lock, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

static void read_owner(struct td_up_state *s)
{
    char text[32] = "";
    ssize_t n = pread(s->lock, text, sizeof(text) - 1, 0);

    s->owner = n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
    if (s->owner <= 0)
        s->owner = 1; /* it has not said so yet */
}

static bool open_lock(struct td_up_state *s, int flags)
{
    s->folder = open(s->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (s->folder < 0)
        return false;
    s->lock = openat(s->folder, LOCK_NAME, flags | O_CLOEXEC, 0600);
    return s->lock >= 0;
}

int td_up_state_take(struct td_up_state *s, const struct td_settings *settings,
                     const char *file)
{
    int code;

    *s = (struct td_up_state){.folder = -1, .lock = -1};
    code = find_path(s, settings, file);
    if (code != TD_EXIT_DONE)
        return code;
    if (!make_folder(s, settings) || !open_lock(s, O_RDWR | O_CREAT))
        return refuse(s);
    if (lock(s, F_OFD_SETLK, F_WRLCK)) {
        td_up_state_own(s);
        return TD_EXIT_DONE;
    }
    if (errno != EAGAIN && errno != EACCES)
        return refuse(s);
    read_owner(s);
    td_complain("%s is up already, as process %d", file, (int)s->owner);
    td_advise("tidings status %s shows it, tidings down %s stops it", file,
              file);
    return TD_EXIT_FAILED;
}

int td_up_state_look(struct td_up_state *s, const struct td_settings *settings,
                     const char *file)
{
    int code;

    *s = (struct td_up_state){.folder = -1, .lock = -1};
    code = find_path(s, settings, file);
    if (code != TD_EXIT_DONE)
        return code;
    if (!open_lock(s, O_RDONLY)) {
        if (errno != ENOENT)
            return refuse(s);
    } else if (is_locked(s)) { /* else what is left there is stale */
        read_owner(s);         /* the file may be gone by now */
        return TD_EXIT_DONE;
    }
    return settings->up.state || access(file, F_OK) == 0 ? TD_EXIT_DONE
                                                         : no_file(file);
}

void td_up_state_own(struct td_up_state *s)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

    if (ftruncate(s->lock, 0) != 0 ||
        pwrite(s->lock, text, (size_t)len, 0) != len)
        return; /* only for people */
}

void td_up_state_wait(struct td_up_state *s)
{
    lock(s, F_OFD_SETLKW, F_RDLCK);
    lock(s, F_OFD_SETLK, F_UNLCK);
}

void td_up_state_fini(struct td_up_state *s)
{
    if (s->lock >= 0)
        close(s->lock);
    if (s->folder >= 0)
        close(s->folder);
    free(s->path);
    *s = (struct td_up_state){.folder = -1, .lock = -1};
}

/* ---- the socket ---- */

/* By the folder's descriptor: the path itself may be longer than an address
 * can be. */
static struct sockaddr_un address_of(const struct td_up_state *s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path),
             "/proc/self/fd/%d/" TD_UP_SOCKET_NAME, s->folder);
    return address;
}

int td_up_state_listen(const struct td_up_state *s)
{
    struct sockaddr_un address = address_of(s);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    mode_t mask = umask(0177);

    td_up_state_unlisten(s); /* one that was left behind: we have the lock */
    if (fd >= 0 &&
        (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
         listen(fd, BACKLOG) != 0)) {
        close(fd);
        fd = -1;
    }
    umask(mask);
    return fd;
}

void td_up_state_unlisten(const struct td_up_state *s)
{
    unlinkat(s->folder, TD_UP_SOCKET_NAME, 0);
}

static int connect_once(const struct td_up_state *s)
{
    struct sockaddr_un address = address_of(s);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int td_up_state_connect(struct td_up_state *s)
{
    int64_t end_us = td_clock_us() + CONNECT_US;
    int fd = connect_once(s);

    while (fd < 0 && is_locked(s) && td_clock_us() < end_us) {
        td_pause(CONNECT_EVERY_US);
        fd = connect_once(s);
    }
    if (fd < 0 && !is_locked(s))
        s->owner = 0;
    return fd;
}
