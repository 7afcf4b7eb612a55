/* See ask.h. */
#include "tests/bench/ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many answers free a place before a sender that waits is woken. */
#define WAKE_EACH 4

/* ---- one out for each thread ---- */

struct callers {
    const struct bench_args *args;
    ask_once ask;
    void *arg;
    uint64_t each;
    int64_t *took_ns;
    _Atomic uint64_t wrong;
};

static void call(void *arg, uint64_t who)
{
    struct callers *callers = arg;
    char data[BENCH_DATA_MAX];
    size_t bytes = callers->args->bytes;

    memset(data, 0, bytes);
    for (uint64_t i = 0; i < callers->each; i++) {
        uint64_t number = who * callers->each + i;
        int64_t before_ns = bench_now_ns();

        memcpy(data, &number, sizeof(number));
        if (!callers->ask(callers->arg, data, bytes))
            atomic_fetch_add(&callers->wrong, 1);
        callers->took_ns[number] = bench_now_ns() - before_ns;
    }
}

int ask_each(const struct bench_args *args, ask_once ask, void *arg)
{
    uint64_t clients = args->clients ? args->clients : 1;
    struct callers callers = {args,
                              ask,
                              arg,
                              args->events / clients,
                              calloc(args->events, sizeof(int64_t)),
                              0};
    uint64_t events = callers.each * clients;
    int64_t first_ns;

    if (!callers.took_ns)
        bench_die("no memory for %" PRIu64 " times", args->events);
    first_ns = bench_now_ns();
    bench_each(clients, call, &callers);
    printf("result events=%" PRIu64 " wrong=%" PRIu64 " first_ns=%" PRId64
           " last_ns=%" PRId64,
           events, (uint64_t)callers.wrong, first_ns, bench_now_ns());
    bench_print_percentiles(callers.took_ns, events);
    putchar('\n');
    fflush(stdout);
    free(callers.took_ns);
    return callers.wrong ? 1 : 0;
}

/* ---- many out ---- */

void ask_window_init(struct ask_window *w, const struct bench_args *args)
{
    memset(w, 0, sizeof(*w));
    w->events = args->events;
    w->most = args->each ? args->each : 1024;
    w->bytes = args->bytes;
    w->seen = calloc(args->events / 8 + 1, 1);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    if (!w->seen)
        bench_die("no memory for %" PRIu64 " answers", args->events);
}

static bool has_room(struct ask_window *w)
{
    return w->sent - atomic_load(&w->answered) < w->most;
}

bool ask_window_next(struct ask_window *w, void *data)
{
    if (w->sent == w->events)
        return false;
    if (!has_room(w)) {
        pthread_mutex_lock(&w->mutex);
        while (w->sent - atomic_load(&w->answered) >
               w->most - w->most / WAKE_EACH)
            pthread_cond_wait(&w->changed, &w->mutex);
        pthread_mutex_unlock(&w->mutex);
    }
    memcpy(data, &w->sent, sizeof(w->sent));
    w->sent++;
    return true;
}

static bool is_new(struct ask_window *w, const void *data, size_t len)
{
    uint64_t number;

    if (!data || len != w->bytes)
        return false;
    memcpy(&number, data, sizeof(number));
    if (number >= w->events || w->seen[number / 8] & (1u << number % 8))
        return false;
    w->seen[number / 8] |= (unsigned char)(1u << number % 8);
    return true;
}

void ask_window_take(struct ask_window *w, const void *data, size_t len)
{
    uint64_t answered;

    if (!is_new(w, data, len))
        w->wrong++;
    answered = atomic_fetch_add(&w->answered, 1) + 1;
    if (answered % (w->most / WAKE_EACH) == 0 || answered == w->events) {
        pthread_mutex_lock(&w->mutex);
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->mutex);
    }
}

int ask_window_report(struct ask_window *w, int64_t first_ns)
{
    pthread_mutex_lock(&w->mutex);
    while (atomic_load(&w->answered) < w->events)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    printf("result events=%" PRIu64 " wrong=%" PRIu64 " first_ns=%" PRId64
           " last_ns=%" PRId64 "\n",
           w->events, w->wrong, first_ns, bench_now_ns());
    fflush(stdout);
    free(w->seen);
    return w->wrong ? 1 : 0;
}
