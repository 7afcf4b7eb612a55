/* What the processes print. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "client/cli/up/run.h"
#include "proto/plural.h"

#define READ_BYTES 16384 /* at a turn, of each */

static void on_line(void *arg, const char *line, size_t len)
{
    struct td_up_process *p = arg;

    if (!td_up_log_line(&p->run->log, p->label, p->colour, '|', line, len))
        p->dropped++;
}

static void end_pipe(struct td_up_process *p, struct td_up_pipe *pipe)
{
    td_up_text_end(&pipe->text, on_line, p);
    close(pipe->fd);
    pipe->fd = -1;
}

/* @return whether there may be more */
static bool read_pipe(struct td_up_process *p, struct td_up_pipe *pipe)
{
    char bytes[READ_BYTES];
    ssize_t n = read(pipe->fd, bytes, sizeof(bytes));

    if (n > 0) {
        td_up_text_feed(&pipe->text, bytes, (size_t)n, on_line, p);
        return n == (ssize_t)sizeof(bytes);
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        end_pipe(p, pipe);
    return false;
}

void td_up_process_rest(struct td_up_process *p)
{
    for (int k = 0; k < 2; k++) {
        while (p->pipes[k].fd >= 0 && read_pipe(p, &p->pipes[k]))
            ;
        if (p->pipes[k].fd >= 0)
            end_pipe(p, &p->pipes[k]);
    }
}

/* Services are read while half of the log is free; what all of them print in
 * one turn, escaped, or leave behind when they die, may be more than that. */
void td_up_run_tell_dropped(struct td_up_run *r)
{
    if (!td_up_log_has_room(&r->log) && !td_plan_over(&r->plan))
        return;
    for (uint32_t i = 0; i < r->plan.len; i++) {
        struct td_up_process *p = &r->processes[i];

        if (p->dropped > 0)
            td_up_run_tell(r, p,
                           "%" PRIu64 " %s dropped: more than could be "
                           "written",
                           p->dropped,
                           td_plural(p->dropped, "line was", "lines were"));
        p->dropped = 0;
    }
}

size_t td_up_run_polls(const struct td_up_run *r, struct pollfd *out)
{
    size_t len = 0;

    if (!td_up_log_has_room(&r->log))
        return 0;
    for (uint32_t i = 0; i < r->plan.len; i++) {
        for (int k = 0; k < 2; k++) {
            if (r->processes[i].pipes[k].fd >= 0)
                out[len++] = (struct pollfd){.fd = r->processes[i].pipes[k].fd,
                                             .events = POLLIN};
        }
    }
    return len;
}

void td_up_run_read(struct td_up_run *r, int fd)
{
    for (uint32_t i = 0; i < r->plan.len; i++) {
        for (int k = 0; k < 2; k++) {
            if (r->processes[i].pipes[k].fd == fd) {
                read_pipe(&r->processes[i], &r->processes[i].pipes[k]);
                return;
            }
        }
    }
}
