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
#define ROUND_US   1000

bool td_tree_adopt(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

/* 0: there is no such process, or it is dead and not reaped. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512] = "";
    const char *at; /* behind the name, which may have any characters */
    char state;
    int parent, fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    if (fd >= 0)
        close(fd);
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

/* Anywhere in its environment: a shell hands it on in an order of its own. */
static bool has_mark(pid_t pid, const char *mark)
{
    char path[64];
    char *text = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    file = fopen(path, "re");
    while (file && !found && getdelim(&text, &size, '\0', file) > 0)
        found = strcmp(text, mark) == 0;
    if (file)
        fclose(file);
    free(text);
    return found;
}

/* ---- all processes ---- */

struct one {
    pid_t pid;
    pid_t parent;
};

struct all {
    struct one *list;
    size_t len;
    size_t cap;
};

/* Without memory some are left out: they are found in a later round. */
static void add(struct all *all, pid_t pid, pid_t parent)
{
    if (all->len == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 256;
        struct one *list = realloc(all->list, cap * sizeof(*list));

        if (!list)
            return;
        all->list = list;
        all->cap = cap;
    }
    all->list[all->len++] = (struct one){.pid = pid, .parent = parent};
}

static void read_processes(struct all *all)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0])
                        ? (pid_t)atoi(entry->d_name)
                        : 0;
        pid_t parent = pid > 1 ? parent_of(pid) : 0;

        if (parent)
            add(all, pid, parent);
    }
    if (folder)
        closedir(folder);
}

static pid_t parent_in(const struct all *all, pid_t pid)
{
    for (size_t i = 0; i < all->len; i++) {
        if (all->list[i].pid == pid)
            return all->list[i].parent;
    }
    return 0;
}

static bool is_ours(const struct all *all, const struct one *one, pid_t self)
{
    pid_t at = one->parent;

    for (int depth = 0; at > 1 && depth < DEPTH_MAX; depth++) {
        if (at == self)
            return true;
        at = parent_in(all, at);
    }
    return false;
}

static unsigned kill_round(const char *mark)
{
    struct all all = {0};
    pid_t self = getpid();
    unsigned killed = 0;

    read_processes(&all);
    for (size_t i = 0; i < all.len; i++) {
        if (is_ours(&all, &all.list[i], self) &&
            (!mark || has_mark(all.list[i].pid, mark)) &&
            kill(all.list[i].pid, SIGKILL) == 0)
            killed++;
    }
    free(all.list);
    return killed;
}

/* Who was killed may be seen again until he is dead: a round more is no harm,
 * and one that finds nothing is the last. */
unsigned td_tree_kill(const char *label)
{
    char mark[TD_CHILD_MARK_BYTES];
    unsigned killed = 0, found = 1;

    for (int round = 0; round < ROUNDS_MAX && found; round++) {
        found = kill_round(label ? td_child_mark(mark, label) : NULL);
        killed += found;
        if (found)
            usleep(ROUND_US);
    }
    return killed;
}
