#include "client/cli/up/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/cli/up/report.h"

void td_up_control_init(struct td_up_control *c, int fd, const char *file)
{
    *c = (struct td_up_control){.fd = fd, .file = file};
    for (size_t i = 0; i < TD_UP_ASKING_MAX; i++)
        c->asking[i].fd = -1;
}

static void end(struct td_up_asking *a)
{
    if (a->fd >= 0)
        close(a->fd);
    *a = (struct td_up_asking){.fd = -1};
}

void td_up_control_fini(struct td_up_control *c)
{
    for (size_t i = 0; i < TD_UP_ASKING_MAX; i++)
        end(&c->asking[i]);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static struct td_up_asking *find(struct td_up_control *c, int fd)
{
    for (size_t i = 0; i < TD_UP_ASKING_MAX; i++) {
        if (c->asking[i].fd == fd)
            return &c->asking[i];
    }
    return NULL;
}

size_t td_up_control_polls(const struct td_up_control *c, struct pollfd *out)
{
    size_t len = 0;

    for (size_t i = 0; i < TD_UP_ASKING_MAX; i++) {
        if (c->asking[i].fd >= 0)
            out[len++] =
                (struct pollfd){.fd = c->asking[i].fd, .events = POLLIN};
    }
    if (len < TD_UP_ASKING_MAX)
        out[len++] = (struct pollfd){.fd = c->fd, .events = POLLIN};
    return len;
}

static void answer_status(struct td_up_control *c, struct td_up_asking *a,
                          const struct td_up_run *run, int64_t now_ms)
{
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    size_t len;

    td_up_report(w, run, c->file, now_ms);
    /* A socket's buffer has room for more than the longest: it is not waited
     * for, and one that is cut short is no report. */
    if (tidings_writer_bytes(w, &bytes, &len) == TIDINGS_OK)
        send(a->fd, bytes, len, MSG_NOSIGNAL);
    tidings_writer_free(w);
    end(a);
}

static void answer_down(struct td_up_asking *a, struct td_up_run *run)
{
    td_up_log_follow(&run->log, a->fd);
    a->fd = -1;
    end(a);
    td_plan_stop(&run->plan);
}

static void answer(struct td_up_control *c, struct td_up_asking *a,
                   struct td_up_run *run, int64_t now_ms)
{
    if (strcmp(a->line, "status") == 0)
        answer_status(c, a, run, now_ms);
    else if (strcmp(a->line, "down") == 0)
        answer_down(a, run);
    else
        end(a);
}

static void read_line(struct td_up_control *c, struct td_up_asking *a,
                      struct td_up_run *run, int64_t now_ms)
{
    size_t room = sizeof(a->line) - 1 - a->len;
    ssize_t n = recv(a->fd, a->line + a->len, room, 0);
    char *stop;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end(a);
        return;
    }
    a->len += (size_t)n;
    stop = memchr(a->line, '\n', a->len);
    if (stop) {
        *stop = '\0';
        answer(c, a, run, now_ms);
    } else if (a->len == sizeof(a->line) - 1) {
        end(a);
    }
}

void td_up_control_read(struct td_up_control *c, int fd, struct td_up_run *run,
                        int64_t now_ms)
{
    struct td_up_asking *a = find(c, fd);

    if (a) {
        read_line(c, a, run, now_ms);
        return;
    }
    a = find(c, -1);
    if (fd == c->fd && a)
        a->fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
