#include "client/cli/up/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/cli/up/child.h"

#define DEPTH_MAX  64 /* parents of parents */
#define ROUNDS_MAX 16 /* against one that forks faster than it is killed */

/* Its mark is among the first that execve() was given; a process with more
 * than this before it is still killed at the end, with all others. */
#define ENVIRONMENT_BYTES (128 * 1024)

bool td_tree_adopt(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

/* A file of /proc/PID, with a NUL. @return its bytes; -1: there is none */
static ssize_t read_of(char *out, size_t size, pid_t pid, const char *name)
{
    char path[64];
    size_t len = 0;
    ssize_t n = 1;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while (n > 0 && len < size - 1) {
        n = read(fd, out + len, size - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    out[len] = '\0';
    return (ssize_t)len;
}

/* 0: there is no such process, or it is dead and not reaped. */
static pid_t parent_of(pid_t pid)
{
    char text[512];
    const char *at; /* behind the name, which may have any characters */
    char state;
    int parent;

    if (read_of(text, sizeof(text), pid, "stat") < 0)
        return 0;
    at = strrchr(text, ')');
    if (!at || sscanf(at, ") %c %d", &state, &parent) != 2 || state == 'Z' ||
        state == 'X')
        return 0;
    return parent;
}

bool td_tree_is_below(pid_t pid, pid_t above)
{
    for (int depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
        if (pid == above)
            return true;
        pid = parent_of(pid);
    }
    return false;
}

static bool has_label(pid_t pid, const char *label)
{
    char *text = malloc(ENVIRONMENT_BYTES);
    bool found = false;
    ssize_t len = 0;

    if (text)
        len = read_of(text, ENVIRONMENT_BYTES, pid, "environ");
    for (const char *at = text; len > 0 && at < text + len && !found;
         at += strlen(at) + 1)
        found = strncmp(at, TD_CHILD_MARK "=", sizeof(TD_CHILD_MARK)) == 0 &&
                strcmp(at + sizeof(TD_CHILD_MARK), label) == 0;
    free(text);
    return found;
}

static unsigned kill_round(const char *label)
{
    DIR *all = opendir("/proc");
    const struct dirent *entry;
    pid_t self = getpid();
    unsigned killed = 0;

    while (all && (entry = readdir(all))) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0])
                        ? (pid_t)atoi(entry->d_name)
                        : 0;

        if (pid > 1 && pid != self && parent_of(pid) != 0 &&
            td_tree_is_below(pid, self) && (!label || has_label(pid, label)) &&
            kill(pid, SIGKILL) == 0)
            killed++;
    }
    if (all)
        closedir(all);
    return killed;
}

/* Who was killed may be seen again until he is dead: a round more is no harm,
 * and one that finds nothing is the last. */
unsigned td_tree_kill(const char *label)
{
    unsigned killed = 0, found = 1;

    for (int round = 0; round < ROUNDS_MAX && found; round++) {
        found = kill_round(label);
        killed += found;
        if (found)
            usleep(1000);
    }
    return killed;
}
