#include "tests/system/usage.h"

#include "tests/system/system.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

bool usage_is_long(void)
{
    const char *asked = getenv("TIDINGS_LONG");

    return asked && *asked && strcmp(asked, "0") != 0;
}

long usage_cpu_ms(const struct td_proc *p)
{
    unsigned long user = 0;
    unsigned long system = 0;
    char path[64];
    char line[1024];
    const char *at = NULL;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)p->pid);
    f = p->pid > 0 ? fopen(path, "r") : NULL;
    if (!f)
        return -1;
    if (fgets(line, sizeof(line), f))
        at = strrchr(line, ')'); /* its name may hold anything */
    fclose(f);
    if (!at || sscanf(at + 1,
                      "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                      "%lu %lu",
                      &user, &system) != 2)
        return -1;
    return (long)((user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

static int count_in(const char *path)
{
    DIR *folder = opendir(path);
    int n = -2; /* "." and ".." */

    if (!folder)
        return -1;
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

int usage_descriptors(const struct td_proc *p)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long)p->pid);
    return p->pid > 0 ? count_in(path) : -1;
}

int usage_own_descriptors(void)
{
    return count_in("/proc/self/fd") - 1; /* the folder itself */
}

bool usage_may_open(unsigned descriptors)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur < descriptors) {
        limit.rlim_cur =
            limit.rlim_max < descriptors ? limit.rlim_max : descriptors;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= descriptors;
}

void usage_broker_start(struct td_daemon *d, const char *limits,
                        const char *options)
{
    char path[1024];
    char command[2048];
    const char *argv[] = {"/bin/sh", "-c", command, NULL};

    snprintf(command, sizeof(command),
             "%s && exec '%s' --listen 'tcp://127.0.0.1:*' %s", limits,
             td_proc_path(path, sizeof(path), "tidingsd"), options);
    assert_true(td_proc_start(&d->proc, argv));
    snprintf(d->endpoint[0], sizeof(d->endpoint[0]), "%.250s",
             sys_expect(&d->proc, "listening "));
    d->listening = 1;
    sys_expect(&d->proc, "ready");
}
