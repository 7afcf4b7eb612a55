/* tidings in a loop around poll(): events are handled between other things,
 * on this thread, and no lock is needed.
 *
 *     loop_poll URL PATTERN [COUNT]
 *
 * Each line of standard input is published as an event of type loop.line; each
 * event that PATTERN matches is printed. Ends at the end of input, or after
 * COUNT events.
 *
 * What must be right:
 * - The bus is opened with own_loop. Then handlers and on_status are called
 *   inside tidings_dispatch() and nowhere else.
 * - The descriptor is readable as long as anything waits. poll() tells that
 *   again and again (it is level-triggered), so nothing is lost by handling a
 *   bounded number of events a turn; without a bound, input would have to wait
 *   while events pour in.
 * - Nothing in the loop may wait: a publish that finds no room fails at once
 *   with TIDINGS_EFULL (publish_timeout_ms = -1).
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidings/tidings.h>
#include <unistd.h>

#define EVENTS_A_TURN 64
#define DRAIN_MS      2000

static unsigned long left; /* events still to be printed */

static int complain(const char *what, tidings_err err)
{
    fprintf(stderr, "loop_poll: %s: %s: %s\n", what, tidings_err_text(err),
            tidings_detail());
    return 1;
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    (void)arg;
    if (left > 0) {
        printf("%s %.*s\n", event->type, (int)event->data_len,
               (const char *)event->data);
        left--;
    }
    return TIDINGS_OK;
}

static void on_status(void *arg, const struct tidings_status *status)
{
    (void)arg;
    fprintf(stderr, "loop_poll: %s: %s\n", tidings_status_name(status->kind),
            status->text);
}

static void publish_line(tidings_bus *bus, const char *line, size_t len)
{
    const struct tidings_event event = {.type = "loop.line",
                                        .data = line,
                                        .data_len = len,
                                        .datacontenttype = "text/plain"};
    tidings_err err = tidings_publish_event(bus, &event);

    if (err)
        complain("publish", err);
}

/* Reads once, and publishes the whole lines; 0: the end of input. */
static int read_input(tidings_bus *bus)
{
    static char text[4096];
    static size_t held;
    char *line = text;
    char *end;
    ssize_t n = read(STDIN_FILENO, text + held, sizeof(text) - held);

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    held += (size_t)n;
    while ((end = memchr(line, '\n', held))) {
        publish_line(bus, line, (size_t)(end - line));
        held -= (size_t)(end + 1 - line);
        line = end + 1;
    }
    memmove(text, line, held);
    if (held > 0 && (n == 0 || held == sizeof(text))) {
        publish_line(bus, text, held); /* the last, or one too long */
        held = 0;
    }
    return n > 0;
}

static tidings_err loop(tidings_bus *bus)
{
    struct pollfd fds[2] = {{.events = POLLIN},
                            {.fd = STDIN_FILENO, .events = POLLIN}};
    tidings_err err = tidings_fd(&fds[0].fd, bus);

    while (!err && left > 0) {
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return TIDINGS_EIO;
        }
        if (fds[0].revents)
            err = tidings_dispatch(NULL, bus, EVENTS_A_TURN);
        if (!err && fds[1].revents && !read_input(bus))
            return tidings_drain(bus, DRAIN_MS); /* our own lines come yet */
    }
    return err;
}

int main(int argc, char **argv)
{
    const struct tidings_options options = {
        .name = "loop_poll",
        .own_loop = true,
        .publish_timeout_ms = -1,
        .on_status = on_status,
    };
    tidings_bus *bus = NULL;
    tidings_err err;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: loop_poll URL PATTERN [COUNT]\n");
        return 2;
    }
    left = argc > 3 ? strtoul(argv[3], NULL, 10) : ULONG_MAX;
    setvbuf(stdout, NULL, _IOLBF, 0);

    if ((err = tidings_open(&bus, argv[1], &options)) ||
        (err = tidings_subscribe(NULL, bus, argv[2], on_event, NULL, NULL)) ||
        (err = loop(bus)))
        complain(argv[1], err);
    tidings_close(bus);
    return err ? 1 : 0;
}
