/* A publisher or subscriber in a process of its own, so that a test can kill
 * or stop it. Says what happens to it in lines on standard output, and does
 * what the lines on standard input say.
 *
 *     worker URL pub TYPE [rate=N] [count=N] [keys=N]
 *                                               as fast as it goes, forever;
 *            partitionkeys k0, k1, … in turn, at most 64
 *     worker URL sub PATTERN [window_events=N] [queue_events=N]
 *            [policy=block|drop_oldest|drop_newest] [delay_us=N]
 *            [group=NAME] [group_policy=random|least_pending|key]
 *
 * says:  ready
 *        status KIND err=CODE count=N taken=N text=TEXT
 *        stopped flush=CODE              (a publisher, told to stop)
 *        info NAME=N ...                 (told to)
 *        closed CODE                     (at the end)
 * does:  stop, info, quit; the end of its input is quit
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/watch.h"
#include "tidings/tidings.h"

#define CONNECT_MS 10000
#define FLUSH_MS   20000
#define BURST      256 /* events between two looks at the input */

struct worker {
    tidings_bus *bus;
    struct watch watch;
    const char *type;           /* NULL: a subscriber */
    uint64_t rate;              /* events a second; 0: as fast as it goes */
    uint64_t count;             /* 0: forever */
    uint64_t keys;              /* 0: events have none */
    uint64_t delay_us;          /* what each event takes to handle */
    _Atomic uint64_t seen_keys; /* bit n: k<n> */
    uint64_t published;
    uint64_t refused; /* calls that gave EFULL; each is tried again */
    int64_t start_ns;
    bool stopped;
    bool quit;
    char input[1024];
    size_t held;
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void say_status(void *arg, const struct tidings_status *status)
{
    struct worker *w = arg;
    struct tidings_info info = {0};

    if (status->kind == TIDINGS_GAP)
        return; /* counted; as lines they could fill the pipe and stop us */
    tidings_info(&info, w->bus);
    printf("status %s err=%s count=%" PRIu64 " taken=%" PRIu64 " text=%s\n",
           tidings_status_name(status->kind), tidings_err_name(status->err),
           status->count, info.taken, status->text);
}

static void say_info(struct worker *w)
{
    struct watch seen = watch_now(&w->watch);
    struct tidings_info i = {0};

    tidings_info(&i, w->bus);
    printf("info up=%d published=%" PRIu64 " taken=%" PRIu64
           " unconfirmed=%" PRIu64 " resent=%" PRIu64 " delivered=%" PRIu64
           " failed=%" PRIu64 " missed=%" PRIu64 " waiting=%" PRIu64
           " connects=%" PRIu64 " packed=%" PRIu64 " refused=%" PRIu64
           " events=%" PRIu64 " holes=%" PRIu64 " backwards=%" PRIu64
           " wrong=%" PRIu64 " told=%" PRIu64 " keys=%" PRIu64 "\n",
           i.up, i.published, i.taken, i.unconfirmed, i.resent, i.delivered,
           i.failed, i.missed, i.waiting, i.connects, w->published, w->refused,
           seen.events, seen.holes, seen.backwards, seen.wrong, seen.missed,
           w->seen_keys);
}

/* ---- the input ---- */

static void stop(struct worker *w)
{
    w->stopped = true;
    printf("stopped flush=%s\n",
           tidings_err_name(tidings_flush(w->bus, FLUSH_MS)));
}

static void obey(struct worker *w, const char *line)
{
    if (strcmp(line, "stop") == 0)
        stop(w);
    else if (strcmp(line, "info") == 0)
        say_info(w);
    else if (strcmp(line, "quit") == 0)
        w->quit = true;
    else
        printf("unknown %s\n", line);
}

/* Wait at most timeout_ms for commands, -1: without a limit; do them. */
static void listen_to(struct worker *w, int timeout_ms)
{
    struct pollfd ready = {.fd = 0, .events = POLLIN};
    char *end;
    ssize_t n;

    if (poll(&ready, 1, timeout_ms) <= 0)
        return;
    n = read(0, w->input + w->held, sizeof(w->input) - w->held);
    if (n <= 0) {
        w->quit = true;
        return;
    }
    w->held += (size_t)n;
    while ((end = memchr(w->input, '\n', w->held)) != NULL) {
        size_t used = (size_t)(end - w->input) + 1;

        *end = '\0';
        obey(w, w->input);
        w->held -= used;
        memmove(w->input, w->input + used, w->held);
    }
}

/* ---- subscribing ---- */

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct worker *w = arg;
    const char *key = tidings_event_attr(event, "partitionkey");
    struct timespec delay = {.tv_nsec = (long)w->delay_us * 1000};

    if (w->delay_us)
        nanosleep(&delay, NULL);
    if (key)
        w->seen_keys |= UINT64_C(1) << (strtoul(key + 1, NULL, 10) & 63);
    return watch_on_event(&w->watch, event);
}

/* ---- publishing ---- */

static tidings_err publish_keyed(struct worker *w, const uint64_t *number)
{
    char key[24];
    struct tidings_attr attr = {.name = "partitionkey", .string = key};
    struct tidings_event event = {.type = w->type,
                                  .data = number,
                                  .data_len = sizeof(*number),
                                  .attrs = &attr,
                                  .attrs_len = 1};

    snprintf(key, sizeof(key), "k%" PRIu64, *number % w->keys);
    return tidings_publish_event(w->bus, &event);
}

static void publish_one(struct worker *w)
{
    uint64_t number = w->published + 1;
    tidings_err err;

    if (w->keys)
        err = publish_keyed(w, &number);
    else
        err = tidings_publish(w->bus, w->type, &number, sizeof(number));
    if (!err)
        w->published = number;
    else if (err == TIDINGS_EFULL)
        w->refused++;
    else {
        printf("failed %s %s\n", tidings_err_name(err), tidings_detail());
        w->quit = true;
    }
}

/* How many are due by the clock. */
static uint64_t due(const struct worker *w)
{
    uint64_t all = UINT64_MAX;

    if (w->rate)
        all = (uint64_t)(now_ns() - w->start_ns) / 1000 * w->rate / 1000000;
    if (w->count && all > w->count)
        all = w->count;
    return all > w->published ? all - w->published : 0;
}

static void publish(struct worker *w)
{
    w->start_ns = now_ns();
    while (!w->quit) {
        uint64_t n = w->stopped ? 0 : due(w);

        for (uint64_t i = 0; i < n && i < BURST && !w->quit; i++)
            publish_one(w);
        if (w->stopped || (w->count && w->published == w->count))
            listen_to(w, -1);
        else
            listen_to(w, n > 0 ? 0 : 1);
    }
}

/* ---- the beginning and the end ---- */

static const char *text_arg(int argc, char **argv, const char *name)
{
    size_t len = strlen(name);

    for (int i = 4; i < argc; i++) {
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
            return argv[i] + len + 1;
    }
    return NULL;
}

static uint64_t number_arg(int argc, char **argv, const char *name)
{
    const char *text = text_arg(argc, argv, name);

    return text ? strtoull(text, NULL, 10) : 0;
}

static enum tidings_group_policy group_policy_arg(int argc, char **argv)
{
    const char *name = text_arg(argc, argv, "group_policy");

    if (name && strcmp(name, "random") == 0)
        return TIDINGS_RANDOM;
    if (name && strcmp(name, "least_pending") == 0)
        return TIDINGS_LEAST_PENDING;
    if (name && strcmp(name, "key") == 0)
        return TIDINGS_BY_KEY;
    return TIDINGS_ROUND_ROBIN;
}

static enum tidings_policy policy_arg(int argc, char **argv)
{
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "policy=drop_oldest") == 0)
            return TIDINGS_DROP_OLDEST;
        if (strcmp(argv[i], "policy=drop_newest") == 0)
            return TIDINGS_DROP_NEWEST;
    }
    return TIDINGS_BLOCK;
}

static tidings_err begin(struct worker *w, int argc, char **argv)
{
    struct tidings_sub_options options = {
        .window_events = number_arg(argc, argv, "window_events"),
        .queue_events = number_arg(argc, argv, "queue_events"),
        .policy = policy_arg(argc, argv),
        .group = text_arg(argc, argv, "group"),
        .group_policy = group_policy_arg(argc, argv),
    };
    tidings_err err = tidings_wait(w->bus, CONNECT_MS);

    if (!err && strcmp(argv[2], "sub") == 0)
        err = tidings_subscribe(NULL, w->bus, argv[3], on_event, w, &options);
    if (err)
        fprintf(stderr, "worker: %s %s\n", tidings_err_name(err),
                tidings_detail());
    else
        printf("ready\n");
    return err;
}

int main(int argc, char **argv)
{
    static struct worker w;
    struct tidings_options options = {
        .name = argc > 3 ? argv[3] : "",
        .source = "/worker",
        .publish_timeout_ms = 100, /* it listens to its input as well */
        .on_status = watch_on_status,
        .on_status_arg = &w.watch,
    };

    if (argc < 4)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    watch_init(&w.watch);
    w.watch.on_status = say_status;
    w.watch.on_status_arg = &w;
    w.rate = number_arg(argc, argv, "rate");
    w.count = number_arg(argc, argv, "count");
    w.keys = number_arg(argc, argv, "keys");
    w.delay_us = number_arg(argc, argv, "delay_us");
    if (tidings_open(&w.bus, argv[1], &options)) {
        fprintf(stderr, "worker: %s\n", tidings_detail());
        return 1;
    }
    if (begin(&w, argc, argv))
        return 1;

    if (strcmp(argv[2], "pub") == 0) {
        w.type = argv[3];
        publish(&w);
    }
    while (!w.quit)
        listen_to(&w, -1);
    printf("closed %s\n", tidings_err_name(tidings_close(w.bus)));
    watch_fini(&w.watch);
    return 0;
}
