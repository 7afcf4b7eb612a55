/* What the benchmark programs share: arguments, clock, deadline, the event,
 * and both ends of a run. Every program measures with this code, so two
 * systems differ only in what carries their events.
 *
 * An event is 128 bytes: its number from 0, the time it was sent, filling.
 * A publisher numbers; a sink takes event n only after n - 1, so an event that
 * is lost, doubled, changed or out of order fails the run.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_DATA_BYTES 128
#define BENCH_TYPE       "bench.event" /* or subject, or topic */
#define BENCH_WAIT_MS    10000         /* no step of a run may take longer */

struct bench_args {
    const char *role;
    const char *url;
    uint64_t events;
    uint64_t rate; /* events/s; 0: as fast as it goes, and no send times */
    uint64_t subscribers;
    uint64_t deadline_s;
    bool send_asap;
};

/** Role, then options with their values. Starts the deadline, too. */
void bench_args_parse(struct bench_args *out, int argc, char **argv);

int64_t bench_now_ns(void);

/** Print why and end with status 2. */
_Noreturn void bench_die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/** Say on stdout that this process is set up; the runner waits for it. */
void bench_say_ready(void);

/**
 * Keep this thread, and those that it starts later, on core 0 or 1 of ours;
 * nothing happens on a machine with one. Two threads that hand events over
 * are fastest when they share a core and never run at once, so where the
 * scheduler puts them would decide the figures of a case in one process.
 */
void bench_stay_on_core(int core);

#define BENCH_SENDING_CORE   0
#define BENCH_RECEIVING_CORE 1

/* ---- the sending end ---- */

typedef void bench_send(void *arg, const void *data, size_t len);

/** Send args->events events, at args->rate. */
void bench_publish(const struct bench_args *args, bench_send *send, void *arg);

/* ---- the receiving end ---- */

struct bench_sink {
    uint64_t expected;
    _Atomic uint64_t received; /* only the receiving thread writes */
    uint64_t wrong;            /* not the event that was due */
    int64_t first_ns;
    int64_t last_ns;
    int64_t *latencies_ns; /* NULL without a rate */
    pthread_mutex_t mutex;
    pthread_cond_t complete;
};

void bench_sink_init(struct bench_sink *sink, const struct bench_args *args);
void bench_sink_fini(struct bench_sink *sink);

/** Take one event, from one thread; false when all were taken. */
bool bench_sink_take(struct bench_sink *sink, const void *data, size_t len);

/** Wait until another thread has taken all, or nothing comes any more. */
void bench_sink_wait(struct bench_sink *sink);

/** Print the result; the exit status: 1 unless every event was right. */
int bench_sink_report(struct bench_sink *sink);

#endif
