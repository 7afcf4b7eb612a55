/* A program that ends with open buses, in every way there is:
 *
 *     embed_exits HOW URL
 *
 * Says "ending" when it is about to. Its exit code is 0, whatever else runs
 * at that moment. */
#include "tests/embed/early.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tidings/tidings.h"

#define CLOSE_MS 10000 /* on a machine that is busy with more than us */

static tidings_bus *buses[2];
static atomic_uint came;
static atomic_bool exit_in_handler;

static void say_ending(void)
{
    puts("ending");
    fflush(stdout);
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    (void)event;
    atomic_fetch_add(&came, 1);
    if (arg == &buses[0] && atomic_exchange(&exit_in_handler, false)) {
        say_ending();
        exit(0);
    }
    return TIDINGS_OK;
}

static void *publish_forever(void *arg)
{
    for (;;)
        tidings_publish(buses[0], "exits.a", arg, arg ? 1 : 0);
    return NULL;
}

static void *wait_forever(void *arg)
{
    (void)arg;
    for (;;)
        tidings_flush(buses[1], 60000);
    return NULL;
}

static void close_all(void)
{
    for (int i = 0; i < 2; i++)
        printf("closed: %s\n", tidings_err_name(tidings_close(buses[i])));
    fflush(stdout);
}

static bool open_all(const char *url)
{
    const struct tidings_options options = {.close_timeout_ms = CLOSE_MS};

    for (int i = 0; i < 2; i++) {
        const struct tidings_sub_options o = {.workers = i == 0 ? 0 : 2};

        if (tidings_open(&buses[i], url, &options) ||
            tidings_subscribe(NULL, buses[i], "exits.*", on_event, &buses[i],
                              &o))
            return false;
    }
    return true;
}

/* Events flow, and calls wait, while the program ends. */
static bool get_busy(void)
{
    void *(*const work[])(void *) = {publish_forever, wait_forever};

    for (int i = 0; i < 2; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, work[i], NULL) ||
            pthread_detach(thread))
            return false;
    }
    while (atomic_load(&came) < 100)
        poll(NULL, 0, 1);
    return true;
}

static void *exit_now(void *arg)
{
    (void)arg;
    say_ending();
    exit(0);
}

/* ---- ways to end ---- */

static int by_return(void)
{
    say_ending();
    return 0;
}

static int by_exit(void)
{
    say_ending();
    exit(0);
}

static int by_quick_exit(void)
{
    say_ending();
    quick_exit(0);
}

static int by_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, exit_now, NULL))
        return 1;
    pause();
    return 1;
}

static int by_handler(void)
{
    atomic_store(&exit_in_handler, true);
    pause();
    return 1;
}

/* The first thread ends alone; another ends the process. */
static int by_another(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, exit_now, NULL))
        return 1;
    pthread_exit(NULL);
}

static int by_early(void)
{
    const char *why = early_round_trip();

    printf("early: %s\n", why ? why : "OK");
    say_ending();
    return 0;
}

static const struct way {
    const char *name;
    int (*end)(void);
    bool closes; /* at exit */
    bool idle;   /* with nothing going on */
} ways[] = {
    {"return", by_return, false, false},
    {"return-idle", by_return, false, true},
    {"exit", by_exit, false, false},
    {"quick_exit", by_quick_exit, false, false},
    {"thread", by_thread, false, false},
    {"handler", by_handler, false, false},
    {"another", by_another, false, false},
    {"return-closing", by_return, true, false},
    {"thread-closing", by_thread, true, false},
    {"handler-closing", by_handler, true, false},
    {"early", by_early, false, true},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof(ways) / sizeof(ways[0]); i++) {
        const struct way *way = &ways[i];

        if (strcmp(argv[1], way->name) != 0)
            continue;
        if (way->closes && atexit(close_all))
            return 1;
        if (!open_all(argv[2]) || (!way->idle && !get_busy()))
            return 1;
        return way->end();
    }
    return 2;
}
