#include "client/cli/up/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- environment ---- */

struct variables {
    char **list; /* NULL at its end */
    size_t len;
    bool failed;
};

static void free_variables(struct variables *v)
{
    for (size_t i = 0; i < v->len; i++)
        free(v->list[i]);
    free(v->list);
}

/* Takes text; one of that name is replaced. */
static void put(struct variables *v, char *text)
{
    size_t name = text ? strcspn(text, "=") + 1 : 0;
    char **list;

    if (!text) {
        v->failed = true;
        return;
    }
    for (size_t i = 0; i < v->len; i++) {
        if (strncmp(v->list[i], text, name) == 0) {
            free(v->list[i]);
            v->list[i] = text;
            return;
        }
    }
    list = realloc(v->list, (v->len + 2) * sizeof(*list));
    if (!list) {
        free(text);
        v->failed = true;
        return;
    }
    v->list = list;
    v->list[v->len++] = text;
    v->list[v->len] = NULL;
}

static void put_pair(struct variables *v, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *text = malloc(size);

    if (text)
        snprintf(text, size, "%s=%s", name, value);
    put(v, text);
}

const char *td_child_mark(char out[TD_CHILD_MARK_BYTES], const char *label)
{
    snprintf(out, TD_CHILD_MARK_BYTES, TD_CHILD_MARK "=%d/%s", (int)getpid(),
             label);
    return out;
}

static void make_variables(struct variables *v,
                           const struct td_up_service *service, const char *url,
                           const char *label)
{
    char mark[TD_CHILD_MARK_BYTES];

    *v = (struct variables){0};
    for (char **at = environ; *at; at++)
        put(v, strdup(*at));
    put(v, strdup(td_child_mark(mark, label)));
    put_pair(v, "TIDINGS_URL", url);
    put_pair(v, TD_CHILD_NAME, label);
    for (size_t i = 0; i < service->environment_len; i++)
        put_pair(v, service->environment[i].name,
                 service->environment[i].value);
}

/* ---- in the child ---- */

/* What `tidings` ignores or blocks is nothing to its children. */
static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* not all can be set */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int put_streams(const int pipes[2][2])
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(pipes[0][1], STDOUT_FILENO) < 0 ||
        dup2(pipes[1][1], STDERR_FILENO) < 0)
        return errno;
    /* what others left open for us is not for it; an old kernel cannot */
    close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    return 0;
}

/* @return why it could not be run */
static int become(const struct td_up_service *service, char **environment,
                  const int pipes[2][2], pid_t parent)
{
    int why;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        raise(SIGKILL);
    reset_signals();
    if (chdir(service->directory) != 0)
        return errno;
    why = put_streams(pipes);
    if (why)
        return why;
    environ = environment; /* and its PATH */
    execvp(service->command[0], service->command);
    return errno;
}

/* ---- in the parent ---- */

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
        pair[i] = -1;
    }
}

/* Nothing comes from a child that became another program. */
static int read_why(int fd)
{
    int why = 0;
    ssize_t n;

    do
        n = read(fd, &why, sizeof(why));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(why) ? why : 0;
}

/* pipes: stdout, stderr, and what it says when it cannot be run. */
static int start(struct td_child *out, const struct td_up_service *service,
                 char **environment, int pipes[3][2])
{
    pid_t parent = getpid();
    pid_t pid = fork();
    int why;

    if (pid < 0)
        return errno;
    if (pid == 0) {
        why = become(service, environment, (const int(*)[2])pipes, parent);
        if (write(pipes[2][1], &why, sizeof(why)) < 0)
            _exit(126);
        _exit(127);
    }
    setpgid(pid, pid); /* whoever of us two is first */
    close(pipes[2][1]);
    pipes[2][1] = -1;
    why = read_why(pipes[2][0]);
    if (why)
        return why; /* it is reaped with the others */
    *out =
        (struct td_child){.pid = pid, .out = pipes[0][0], .err = pipes[1][0]};
    pipes[0][0] = -1;
    pipes[1][0] = -1;
    return 0;
}

int td_child_spawn(struct td_child *out, const struct td_up_service *service,
                   const char *url, const char *label)
{
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    struct variables variables;
    int why = 0;

    make_variables(&variables, service, url, label);
    if (variables.failed)
        why = ENOMEM;
    for (int i = 0; i < 3 && !why; i++) {
        if (pipe2(pipes[i], O_CLOEXEC) != 0)
            why = errno;
    }
    if (!why)
        why = start(out, service, variables.list, pipes);
    if (!why && (fcntl(out->out, F_SETFL, O_NONBLOCK) != 0 ||
                 fcntl(out->err, F_SETFL, O_NONBLOCK) != 0))
        why = errno; /* cannot be: they are pipes */
    for (int i = 0; i < 3; i++)
        close_pair(pipes[i]);
    free_variables(&variables);
    return why;
}

void td_child_signal(pid_t pid, int signal)
{
    kill(-pid, signal);
}
