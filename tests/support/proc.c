#include "tests/support/proc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef TIDINGS_BIN
#define TIDINGS_BIN "."
#endif

#define START_MS 10000 /* tidingsd under a sanitizer on a busy machine */
#define LOOK_MS  2 /* between two looks at a child: waitpid has no deadline */
#define ARGS_MAX 32

int64_t td_proc_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int left_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - td_proc_now_ms();

    return left > 0 ? (int)left : 0;
}

const char *td_proc_path(char *out, size_t size, const char *program)
{
    const char *folder = getenv("TIDINGS_BIN");

    snprintf(out, size, "%s/%s", folder && *folder ? folder : TIDINGS_BIN,
             program);
    return out;
}

/* ---- starting ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Not inherited by the next child: it would hide the end of this one. */
static void keep_private(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* An unlinked file, not a pipe: a child that logs much never waits for us. */
static int errors_file(void)
{
    char path[] = "/tmp/td-proc-XXXXXX";
    int fd = mkstemp(path);

    if (fd >= 0)
        unlink(path);
    return fd;
}

static void complain(const char *path)
{
    static const char text[] = "cannot run ";

    if (write(2, text, sizeof(text) - 1) < 0 ||
        write(2, path, strlen(path)) < 0 || write(2, "\n", 1) < 0)
        _exit(126);
}

/* In the child, between fork and exec: only what is safe after fork. */
static void become(const char *path, const char *const *argv, int in, int out,
                   int err, pid_t parent)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* it died before the line above */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(127);
    execv(path, (char *const *)argv);
    complain(path);
    _exit(127);
}

bool td_proc_start(struct td_proc *p, const char *const *argv)
{
    char path[1024];
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    int err = -1;
    pid_t parent = getpid();
    pid_t pid = -1;

    assert(!p->started);
    if (strchr(argv[0], '/'))
        snprintf(path, sizeof(path), "%s", argv[0]);
    else
        td_proc_path(path, sizeof(path), argv[0]);

    /* A socket pair, not a pipe: writing to a dead child raises no SIGPIPE. */
    err = errors_file();
    if (err < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, in) < 0 || pipe(out) < 0)
        goto out;
    keep_private(in[0]);
    keep_private(in[1]);
    keep_private(out[0]);
    keep_private(out[1]);
    keep_private(err);

    pid = fork();
    if (pid < 0)
        goto out;
    if (pid == 0)
        become(path, argv, in[1], out[1], err, parent);

    p->started = true;
    p->pid = pid;
    p->in = in[0];
    p->out = out[0];
    p->err = err;
    in[0] = out[0] = err = -1; /* they are the struct's now */
out:
    close_fd(&in[0]);
    close_fd(&in[1]);
    close_fd(&out[0]);
    close_fd(&out[1]);
    close_fd(&err);
    return pid > 0;
}

/* ---- talking ---- */

/* Move the first line, or what must count as one, from buffer to line. */
static bool cut_line(struct td_proc *p)
{
    char *end = memchr(p->buffer, '\n', p->held);
    size_t len = end ? (size_t)(end - p->buffer) : p->held;
    size_t used = end ? len + 1 : len;

    if (!end && p->held < sizeof(p->buffer) && (p->out >= 0 || p->held == 0))
        return false;

    memcpy(p->line, p->buffer, len);
    p->line[len] = '\0';
    memmove(p->buffer, p->buffer + used, p->held - used);
    p->held -= used;
    return true;
}

const char *td_proc_line(struct td_proc *p, int timeout_ms)
{
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;

    while (p->started && !cut_line(p)) {
        struct pollfd ready = {.fd = p->out, .events = POLLIN};
        ssize_t n;

        if (p->out < 0)
            return NULL;
        n = poll(&ready, 1, left_ms(deadline_ms));
        if (n == 0)
            return NULL;
        if (n < 0)
            continue; /* EINTR */
        n = read(p->out, p->buffer + p->held, sizeof(p->buffer) - p->held);
        if (n > 0)
            p->held += (size_t)n;
        else if (n == 0 || errno != EINTR)
            close_fd(&p->out);
    }
    return p->started ? p->line : NULL;
}

const char *td_proc_expect(struct td_proc *p, const char *prefix,
                           int timeout_ms)
{
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;
    size_t len = strlen(prefix);
    const char *line;

    while ((line = td_proc_line(p, left_ms(deadline_ms))) != NULL) {
        if (strncmp(line, prefix, len) == 0)
            return line + len;
    }
    return NULL;
}

static bool say_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

bool td_proc_say(struct td_proc *p, const char *line)
{
    return p->started && p->in >= 0 && say_all(p->in, line, strlen(line)) &&
           say_all(p->in, "\n", 1);
}

void td_proc_hang_up(struct td_proc *p)
{
    if (p->started)
        close_fd(&p->in);
}

const char *td_proc_errors(struct td_proc *p)
{
    struct stat file;
    off_t from = 0;
    ssize_t n = 0;

    if (p->started && fstat(p->err, &file) == 0) {
        if (file.st_size > TD_PROC_ERRORS_MAX)
            from = file.st_size - TD_PROC_ERRORS_MAX;
        /* pread: the child writes through the same offset */
        n = pread(p->err, p->errors, TD_PROC_ERRORS_MAX, from);
    }
    p->errors[n > 0 ? n : 0] = '\0';
    return p->errors;
}

/* ---- signals and the end ---- */

bool td_proc_signal(struct td_proc *p, int signal_number)
{
    return p->started && p->pid > 0 && kill(p->pid, signal_number) == 0;
}

/* Look once; true when it has ended. */
static bool reap(struct td_proc *p, int options)
{
    int status;
    pid_t pid;

    if (!p->started || p->pid <= 0)
        return true;
    do
        pid = waitpid(p->pid, &status, options);
    while (pid < 0 && errno == EINTR);
    if (pid == 0 || (pid > 0 && WIFSTOPPED(status)))
        return false;

    p->status = status;
    p->reaped = pid > 0;
    p->pid = 0;
    return true;
}

static void look_later(int64_t deadline_ms)
{
    int left = left_ms(deadline_ms);

    poll(NULL, 0, left < LOOK_MS ? left : LOOK_MS);
}

bool td_proc_wait(struct td_proc *p, int timeout_ms)
{
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;

    while (!reap(p, WNOHANG)) {
        if (left_ms(deadline_ms) == 0)
            return false;
        look_later(deadline_ms);
    }
    return p->reaped;
}

bool td_proc_freeze(struct td_proc *p, int timeout_ms)
{
    int64_t deadline_ms = td_proc_now_ms() + timeout_ms;

    if (!td_proc_signal(p, SIGSTOP))
        return false;
    for (;;) {
        int status;
        pid_t pid = waitpid(p->pid, &status, WNOHANG | WUNTRACED);

        if (pid > 0 && WIFSTOPPED(status))
            return true;
        if (pid > 0) { /* it ended instead */
            p->status = status;
            p->reaped = true;
            p->pid = 0;
            return false;
        }
        if (left_ms(deadline_ms) == 0)
            return false;
        look_later(deadline_ms);
    }
}

int td_proc_exit_code(const struct td_proc *p)
{
    return p->reaped && WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -1;
}

long td_proc_resident_kb(const struct td_proc *p)
{
    char path[64];
    char line[256];
    long kb = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)p->pid);
    f = p->pid > 0 ? fopen(path, "r") : NULL;
    if (!f)
        return -1;
    while (kb < 0 && fgets(line, sizeof(line), f))
        sscanf(line, "VmRSS: %ld", &kb);
    fclose(f);
    return kb;
}

void td_proc_end(struct td_proc *p)
{
    if (!p->started)
        return;
    if (td_proc_signal(p, SIGKILL))
        reap(p, 0);
    close_fd(&p->in);
    close_fd(&p->out);
    close_fd(&p->err);
    p->held = 0;
    p->reaped = false;
    p->started = false;
}

/* ---- the broker ---- */

static bool until_ready(struct td_daemon *d, int64_t deadline_ms)
{
    const char *line;

    d->listening = 0;
    while ((line = td_proc_line(&d->proc, left_ms(deadline_ms))) != NULL) {
        if (strcmp(line, "ready") == 0)
            return d->listening > 0;
        if (strncmp(line, "listening ", 10) == 0 &&
            d->listening < TD_DAEMON_LISTEN_MAX)
            snprintf(d->endpoint[d->listening++], sizeof(d->endpoint[0]),
                     "%.250s", line + 10);
    }
    return false;
}

static bool start_by(struct td_daemon *d, const char *listen,
                     const char *const *extra, int64_t deadline_ms)
{
    const char *argv[ARGS_MAX] = {"tidingsd", "--listen", listen};
    size_t n = 3;

    while (extra && *extra && n < ARGS_MAX - 1)
        argv[n++] = *extra++;
    argv[n] = NULL;
    return td_proc_start(&d->proc, argv) && until_ready(d, deadline_ms);
}

bool td_daemon_start(struct td_daemon *d, const char *listen,
                     const char *const *extra)
{
    return start_by(d, listen, extra, td_proc_now_ms() + START_MS);
}

bool td_daemon_restart(struct td_daemon *d, const char *const *extra)
{
    int64_t deadline_ms = td_proc_now_ms() + START_MS;
    char listen[sizeof(d->endpoint[0])];

    /* A client that tries the port meanwhile may by chance hold it itself. */
    memcpy(listen, d->endpoint[0], sizeof(listen));
    do {
        td_proc_end(&d->proc);
        if (start_by(d, listen, extra, deadline_ms))
            return true;
        memcpy(d->endpoint[0], listen, sizeof(listen));
        look_later(deadline_ms);
    } while (left_ms(deadline_ms) > 0);
    return false;
}

void td_daemon_end(struct td_daemon *d)
{
    td_proc_end(&d->proc);
}
