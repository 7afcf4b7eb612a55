/* What the programs of requests share: callers that wait for each answer, and
 * one that has many out. A request's data is its number; an answer that is not
 * the same fails the run.
 *
 *   answer     answer each request with its own data, until ended
 *   ask        --events requests, --clients threads with one out each
 *   pipeline   --events requests, --each of them out at once
 */
#ifndef TESTS_BENCH_ASK_H
#define TESTS_BENCH_ASK_H

#include "tests/bench/bench.h"

/* Asks and waits; false: the answer is wrong, or there is none. */
typedef bool (*ask_once)(void *arg, const void *data, size_t len);

/** Run --clients threads, and print what each request took; the status. */
int ask_each(const struct bench_args *args, ask_once ask, void *arg);

/* Requests of which many are out. */
struct ask_window {
    uint64_t events;
    uint64_t most; /* out at once */
    size_t bytes;
    uint64_t sent;
    _Atomic uint64_t answered; /* by one thread */
    unsigned char *seen;       /* a bit each */
    uint64_t wrong;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

void ask_window_init(struct ask_window *w, const struct bench_args *args);

/** Waits until one more may be sent, and fills its data; false: all were. */
bool ask_window_next(struct ask_window *w, void *data);
/** An answer; data NULL: there is none. */
void ask_window_take(struct ask_window *w, const void *data, size_t len);
/** Waits for the last; prints; the status. */
int ask_window_report(struct ask_window *w, int64_t first_ns);

#endif
