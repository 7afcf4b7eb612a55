/* How long a broker takes to be ready, and what it holds when idle.
 *
 *   bench_start READY_TEXT PROGRAM [ARGUMENT...]
 *
 * Runs the program, reads its stdout and stderr until READY_TEXT stands in
 * them, waits until its resident memory is at rest, ends it with SIGTERM and
 * prints both. The time runs from before fork() to the arrival of the text.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define REST_MS 200 /* this long without a change is at rest */

static pid_t child;

static pid_t start(char **argv, int output)
{
    pid_t pid = fork();

    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    /* No broker is left behind, whatever ends us. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execvp(argv[0], argv);
    _exit(127);
}

static void read_until(int fd, const char *text)
{
    char seen[65536];
    size_t len = 0;
    int64_t until_ns = bench_now_ns() + BENCH_WAIT_MS * INT64_C(1000000);

    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        int64_t left_ms = (until_ns - bench_now_ns()) / 1000000;
        ssize_t n;

        if (left_ms <= 0 || len + 1 == sizeof(seen))
            bench_die("never ready");
        if (poll(&item, 1, (int)left_ms) <= 0)
            continue;
        n = read(fd, seen + len, sizeof(seen) - 1 - len);
        if (n <= 0)
            bench_die("ended before it was ready");
        len += (size_t)n;
        seen[len] = '\0';
        if (strstr(seen, text))
            return;
    }
}

static long resident_kib(void)
{
    char path[64], line[256];
    long kib = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)child);
    file = fopen(path, "r");
    if (!file)
        bench_die("%s: %s", path, strerror(errno));
    while (kib < 0 && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %ld kB", &kib) != 1)
            kib = -1;
    fclose(file);
    return kib;
}

/* A broker goes on working for a moment after it said that it is ready. */
static long resident_at_rest_kib(void)
{
    const struct timespec pause = {.tv_nsec = REST_MS * 1000000};
    int64_t until_ns = bench_now_ns() + BENCH_WAIT_MS * INT64_C(1000000);
    long before, now = resident_kib();

    do {
        before = now;
        nanosleep(&pause, NULL);
        now = resident_kib();
    } while (now != before && bench_now_ns() < until_ns);
    return now;
}

static void stop(void)
{
    kill(child, SIGTERM);
    if (waitpid(child, NULL, 0) < 0)
        bench_die("wait: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    char *deadline[] = {argv[0], "start", "--deadline", "30"};
    struct bench_args args;
    int64_t start_ns, ready_ns;
    int fds[2];
    long kib;

    if (argc < 3)
        bench_die("usage: %s READY_TEXT PROGRAM [ARGUMENT...]", argv[0]);
    bench_args_parse(&args, 4, deadline);
    if (pipe(fds))
        bench_die("pipe: %s", strerror(errno));

    start_ns = bench_now_ns();
    child = start(argv + 2, fds[1]);
    close(fds[1]);
    read_until(fds[0], argv[1]);
    ready_ns = bench_now_ns();
    kib = resident_at_rest_kib();
    stop();
    printf("result ready_us=%" PRId64 " resident_kib=%ld\n",
           (ready_ns - start_ns) / 1000, kib);
    return 0;
}
