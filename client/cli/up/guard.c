#include "client/cli/up/guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/out.h"
#include "client/cli/up/tree.h"

#define LEFT_EVERY_US 5000 /* between looks at what was killed */

void td_up_guard_signals(sigset_t *out)
{
    static const int numbers[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT};

    sigemptyset(out);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(out, numbers[i]);
}

/* In a group of its own a terminal's signals come to the guard alone, which
 * hands them on: each comes once. It may still print there. */
static int become_runner(pid_t guard, int (*run)(void *arg), void *arg)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    setpgid(0, 0);
    sigaction(SIGTTOU, &ignore, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != guard)
        return TD_EXIT_FAILED;
    if (!td_tree_adopt()) {
        td_complain("orphans: %s", strerror(errno));
        return TD_EXIT_FAILED;
    }
    return run(arg);
}

/* What is dead is reaped. @return whether the runner is, and *status */
static bool reap(pid_t runner, int *status)
{
    bool gone = false;
    int other;
    pid_t pid;

    while ((pid = waitpid(-1, &other, WNOHANG)) > 0) {
        if (pid == runner) {
            *status = other;
            gone = true;
        }
    }
    return gone;
}

static void kill_left(void)
{
    int status;

    td_tree_kill(NULL);
    while (waitpid(-1, &status, WNOHANG) >= 0) {
        td_tree_kill(NULL);
        usleep(LEFT_EVERY_US);
    }
}

static int watch(pid_t runner, const sigset_t *signals)
{
    int status = 0;
    bool gone = false;

    while (!gone) {
        int number = sigwaitinfo(signals, NULL);

        if (number > 0 && number != SIGCHLD)
            kill(runner, number);
        gone = reap(runner, &status);
    }
    kill_left();
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    td_complain("killed by signal %d; so were all services", WTERMSIG(status));
    return TD_EXIT_FAILED;
}

int td_up_guard(int (*run)(void *arg), void *arg)
{
    pid_t guard = getpid();
    sigset_t signals;
    pid_t runner;

    td_up_guard_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (!td_tree_adopt()) {
        td_complain("orphans: %s", strerror(errno));
        return TD_EXIT_FAILED;
    }
    fflush(NULL); /* what waits there is to be printed once */
    runner = fork();
    if (runner < 0) {
        td_complain("no process: %s", strerror(errno));
        return TD_EXIT_FAILED;
    }
    if (runner == 0)
        exit(become_runner(guard, run, arg));
    return watch(runner, &signals);
}
