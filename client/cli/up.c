/* tidings up: services as processes. Checks, and then hands over to the folder
 * up/. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"
#include "client/cli/up/file.h"
#include "client/cli/up/guard.h"
#include "client/cli/up/log.h"
#include "client/cli/up/loop.h"
#include "client/cli/up/state.h"

/* ---- --check ---- */

static int check(const struct td_up_file *file, const char *name)
{
    unsigned processes = 0;

    for (uint32_t i = 0; i < file->spec.len; i++)
        processes += file->spec.services[i].instances;
    printf("%s: %u %s, %u %s, in this order:\n", name, file->spec.len,
           file->spec.len == 1 ? "service" : "services", processes,
           processes == 1 ? "process" : "processes");
    for (uint32_t i = 0; i < file->spec.len; i++) {
        const struct td_up_service *s =
            &file->spec.services[file->spec.order[i]];

        printf("  %s", s->name);
        for (uint32_t n = 0; n < s->needs_len; n++)
            printf("%s%s", n ? ", " : " needs ",
                   file->spec.services[s->needs[n]].name);
        printf("\n");
    }
    return td_flush_out();
}

/* ---- --detach ---- */

/* What the background says, until it is ready. @return whether it is */
static bool show(int fd, pid_t guard)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
                            {.fd = td_stop_fd(), .events = POLLIN}};
    char bytes[4096];
    ssize_t n = 1;

    while (n > 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
        if (fds[1].revents) { /* a second signal ends this process itself, */
            kill(guard, SIGTERM); /* and that kills them all */
            fds[1].fd = -1;
        }
        if (!fds[0].revents)
            continue;
        n = read(fd, bytes, sizeof(bytes));
        if (n > 0 && bytes[n - 1] == TD_UP_ALL_READY) {
            fwrite(bytes, 1, (size_t)n - 1, stdout);
            return true;
        }
        if (n > 0)
            fwrite(bytes, 1, (size_t)n, stdout);
        fflush(stdout);
    }
    return false;
}

static int in_front(int fd, pid_t guard, const struct td_up_job *job)
{
    int status = 0;

    if (show(fd, guard)) {
        printf("in the background as process %d, its log is %s/%s\n",
               (int)guard, job->state->path, TD_UP_LOG_NAME);
        return td_flush_out();
    }
    waitpid(guard, &status, 0);
    if (td_stopped())
        return TD_EXIT_DONE;
    td_complain("%s: not all became ready; all are stopped again", job->name);
    return TD_EXIT_FAILED;
}

/* Without a terminal, and in no folder's way. */
static int in_back(struct td_up_job *job)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    if (null < 0 || chdir("/") != 0)
        return TD_EXIT_FAILED;
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close(null);
    td_up_state_own(job->state);
    return td_up_guard(td_up_loop, job);
}

static int detach(struct td_up_job *job)
{
    int ends[2];
    pid_t guard = -1;
    int code;

    fflush(NULL);
    if (pipe(ends) == 0) {
        fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        fcntl(ends[1], F_SETFD, FD_CLOEXEC);
        guard = fork();
    }
    if (guard < 0) {
        td_complain("no process: %s", strerror(errno));
        return TD_EXIT_FAILED;
    }
    if (guard == 0) {
        close(ends[0]);
        job->front = ends[1];
        exit(in_back(job));
    }
    close(ends[1]);
    code = in_front(ends[0], guard, job);
    close(ends[0]);
    return code;
}

/* ---- tidings up ---- */

static const char *url_of(const struct td_settings *settings,
                          const struct td_up_file *file)
{
    if (settings->url || !file->spec.bus)
        return td_url(settings);
    return file->spec.bus;
}

/* One that other processes can open, too. */
static int check_url(const char *url)
{
    if (strncmp(url, "tcp://", 6) == 0 || strncmp(url, "ipc:///", 7) == 0)
        return TD_EXIT_DONE;
    td_complain("%s: the bus wants tcp://HOST:PORT or ipc:///PATH", url);
    return TD_EXIT_USAGE;
}

static int run(const struct td_settings *settings,
               const struct td_up_file *file, const char *name)
{
    struct td_up_state state;
    struct td_up_job job = {
        .file = file,
        .name = name,
        .url = url_of(settings, file),
        .state = &state,
        .abort_on_failure = settings->up.abort_on_failure,
        .front = -1,
    };
    int code = check_url(job.url);

    if (code != TD_EXIT_DONE)
        return code;
    code = td_up_state_take(&state, settings, name);
    if (code == TD_EXIT_DONE)
        code =
            settings->up.detach ? detach(&job) : td_up_guard(td_up_loop, &job);
    td_up_state_fini(&state);
    return code;
}

int td_cli_up(const struct td_settings *settings)
{
    const char *name = td_up_file_name(settings, "up");
    struct td_up_file file;
    char why[TD_YAML_WHY_BYTES];
    int code;

    if (!name)
        return TD_EXIT_USAGE;
    if (!td_up_file_read(&file, name, why)) {
        td_complain("%s", why);
        td_advise("README.md, \"Running services\", says what may stand in it");
        code = TD_EXIT_USAGE;
    } else {
        code = settings->up.check ? check(&file, name)
                                  : run(settings, &file, name);
    }
    td_up_file_fini(&file);
    return code;
}
