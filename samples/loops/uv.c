/* tidings in a loop of libuv, beside a timer and signals.
 *
 *     loop_uv URL PATTERN [COUNT]
 *
 * Publishes loop.tick every second; prints each event that PATTERN matches.
 * Ends at SIGINT or SIGTERM, or after COUNT events.
 *
 * What must be right:
 * - The bus is opened with own_loop. Then handlers and on_status are called
 *   inside tidings_dispatch() and nowhere else.
 * - uv_poll is level-triggered: it calls again as long as anything waits. So
 *   dispatch a bounded number of events in each call, and the loop's other
 *   handles get their turn while events pour in.
 * - Nothing in the loop may wait: a publish that finds no room fails at once
 *   with TIDINGS_EFULL (publish_timeout_ms = -1).
 * - The uv_poll is closed, and the loop has run to its end, before
 *   tidings_close(), which closes the descriptor.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <tidings/tidings.h>
#include <uv.h>

#define EVENTS_A_TURN 64

static struct program {
    tidings_bus *bus;
    unsigned long left; /* events still to be printed */
    unsigned long ticks;
    tidings_err err; /* that ended the loop */
    uv_poll_t poll;
    uv_timer_t timer;
    uv_signal_t interrupt;
    uv_signal_t terminate;
} p;

static int complain(const char *what, tidings_err err)
{
    fprintf(stderr, "loop_uv: %s: %s: %s\n", what, tidings_err_text(err),
            tidings_detail());
    return 1;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Without handles the loop ends. */
static void stop(void)
{
    uv_walk(uv_default_loop(), close_handle, NULL);
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    (void)arg;
    if (p.left > 0) {
        printf("%s %.*s\n", event->type, (int)event->data_len,
               (const char *)event->data);
        p.left--;
    }
    return TIDINGS_OK;
}

static void on_status(void *arg, const struct tidings_status *status)
{
    (void)arg;
    fprintf(stderr, "loop_uv: %s: %s\n", tidings_status_name(status->kind),
            status->text);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)handle;
    (void)events;
    p.err =
        status < 0 ? TIDINGS_EIO : tidings_dispatch(NULL, p.bus, EVENTS_A_TURN);
    if (p.err || p.left == 0)
        stop();
}

static void on_tick(uv_timer_t *timer)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%lu", ++p.ticks);
    const struct tidings_event event = {.type = "loop.tick",
                                        .data = text,
                                        .data_len = (size_t)len,
                                        .datacontenttype = "text/plain"};
    tidings_err err = tidings_publish_event(p.bus, &event);

    (void)timer;
    if (err)
        complain("publish", err);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    stop();
}

static tidings_err run(void)
{
    uv_loop_t *loop = uv_default_loop();
    int fd;
    tidings_err err = tidings_fd(&fd, p.bus);

    if (err)
        return err;
    if (uv_poll_init(loop, &p.poll, fd) || uv_timer_init(loop, &p.timer) ||
        uv_signal_init(loop, &p.interrupt) ||
        uv_signal_init(loop, &p.terminate) ||
        uv_poll_start(&p.poll, UV_READABLE, on_readable) ||
        uv_timer_start(&p.timer, on_tick, 1000, 1000) ||
        uv_signal_start(&p.interrupt, on_signal, SIGINT) ||
        uv_signal_start(&p.terminate, on_signal, SIGTERM)) {
        p.err = TIDINGS_EIO;
        stop();
    }
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return p.err;
}

int main(int argc, char **argv)
{
    const struct tidings_options options = {
        .name = "loop_uv",
        .own_loop = true,
        .publish_timeout_ms = -1,
        .on_status = on_status,
    };
    tidings_err err;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: loop_uv URL PATTERN [COUNT]\n");
        return 2;
    }
    p.left = argc > 3 ? strtoul(argv[3], NULL, 10) : ULONG_MAX;
    setvbuf(stdout, NULL, _IOLBF, 0);

    if ((err = tidings_open(&p.bus, argv[1], &options)) ||
        (err = tidings_subscribe(NULL, p.bus, argv[2], on_event, NULL, NULL)) ||
        (err = run()))
        complain(argv[1], err);
    tidings_close(p.bus);
    return err ? 1 : 0;
}
