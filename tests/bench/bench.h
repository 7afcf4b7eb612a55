/* What the benchmark programs share: arguments, clock, deadline, the event,
 * and both ends of a run. Every program measures with this code, so two
 * systems differ only in what carries their events.
 *
 * An event is --bytes long: its number from 0, the time it was sent, filling.
 * A publisher numbers. A sink belongs to one subscriber that gets everything
 * and takes event n only after n - 1; a tally belongs to several that share
 * the events. An event that is lost, doubled, changed or out of order fails
 * the run.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_DATA_BYTES 128           /* unless --bytes says otherwise */
#define BENCH_DATA_MIN   16            /* number and time */
#define BENCH_DATA_MAX   (1u << 20)    /* tidings' and NATS' own bound */
#define BENCH_TYPE       "bench.event" /* or subject, or topic */
#define BENCH_TYPE_BYTES 32            /* of any type, with its NUL */
#define BENCH_WAIT_MS    10000         /* no step of a run may take longer */

struct bench_args {
    const char *role;
    const char *url;
    const char *group;  /* NULL: every subscriber gets everything */
    const char *policy; /* of a full queue; NULL: the default */
    const char *level;  /* of confirms; NULL: the default */
    const char *stream; /* of the durable cases; NULL: the default */
    const char *type;   /* of events; NULL: BENCH_TYPE */
    const char *share;  /* file of a tally that several processes share */
    uint64_t events;
    uint64_t first; /* number of the first one that is published */
    uint64_t keep;  /* bytes that the stream keeps; 0: all */
    uint64_t rate;  /* events/s; 0: as fast as it goes, and no send times */
    uint64_t bytes;
    uint64_t flush_every; /* wait for the broker after so many; 0: at the end */
    uint64_t types;       /* so many, at random; 0: BENCH_TYPE alone */
    uint64_t subscribers; /* processes */
    uint64_t member;      /* which of them, from 0 */
    uint64_t clients;     /* connections of one process */
    uint64_t each;        /* subscriptions of each connection */
    uint64_t slow_us;     /* a subscriber's sleep at every event */
    uint64_t deadline_s;
    bool send_asap;
};

/** Role, then options with their values. Starts the deadline, too. */
void bench_args_parse(struct bench_args *out, int argc, char **argv);

int64_t bench_now_ns(void);

void bench_sleep_until_ns(int64_t at_ns);

/** Print why and end with status 2. */
_Noreturn void bench_die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/** Say on stdout that this process is set up; the runner waits for it. */
void bench_say_ready(void);

/** Do nothing until the runner ends this process. */
_Noreturn void bench_stay(void);

/**
 * Keep this thread, and those that it starts later, on core 0 or 1 of ours;
 * nothing happens on a machine with one. Two threads that hand events over
 * are fastest when they share a core and never run at once, so where the
 * scheduler puts them would decide the figures of a case in one process.
 */
void bench_stay_on_core(int core);

#define BENCH_SENDING_CORE   0
#define BENCH_RECEIVING_CORE 1

/** Type number n of --types, or of those that nothing is published to. */
void bench_type(char out[BENCH_TYPE_BYTES], uint64_t n, bool published);

/**
 * Run work(arg, n) for each n below count, each in a thread of its own, so
 * that setting up many connections takes one round trip at a time for each
 * and not for all together.
 */
void bench_each(uint64_t count, void (*work)(void *arg, uint64_t n), void *arg);

/* ---- the sending end ---- */

struct bench_out {
    void (*send)(void *arg, const char *type, const void *data, size_t len);
    void (*flush)(void *arg); /* wait until the broker has it; may be NULL */
    void *arg;
};

/** Send args->events events from number args->first on, at args->rate. */
void bench_publish(const struct bench_args *args, const struct bench_out *out);

/* ---- the receiving end: one that gets everything ---- */

struct bench_sink {
    uint64_t expected;
    size_t bytes;
    uint64_t slow_us;          /* then it may miss what it is told of */
    _Atomic uint64_t received; /* only the receiving thread writes */
    uint64_t next;             /* the event that is due */
    uint64_t told;             /* said to be dropped */
    uint64_t wrong;            /* not the event that was due */
    int64_t first_ns;
    int64_t last_ns;
    int64_t *latencies_ns; /* NULL without a rate */
    pthread_mutex_t mutex;
    pthread_cond_t complete;
};

void bench_sink_init(struct bench_sink *sink, const struct bench_args *args);
void bench_sink_fini(struct bench_sink *sink);

/**
 * Take one event, from one thread; false when all were taken. With slow_us it
 * sleeps so long first, until SIGUSR1 says that the others are done.
 */
bool bench_sink_take(struct bench_sink *sink, const void *data, size_t len);

/** So many events in all were dropped for this sink; from the same thread. */
void bench_sink_told(struct bench_sink *sink, uint64_t dropped);

/** Wait until another thread has taken all, or nothing comes any more. */
void bench_sink_wait(struct bench_sink *sink);

/** Print the result; the exit status: 1 unless every event was right. */
int bench_sink_report(struct bench_sink *sink);

/** Print the middle and the end of so many times, which it sorts. */
void bench_print_percentiles(int64_t *times_ns, uint64_t count);

/* ---- the receiving end: members that share the events ---- */

struct bench_member; /* one thread takes for it */

struct bench_tally {
    uint64_t expected;
    size_t bytes;
    uint64_t members;
    bool ordered; /* each member gets rising numbers */
    struct bench_member *member;
    unsigned char *seen; /* a row of bits for each member */
    size_t row_bytes;
    int64_t last_ns;
};

/** In args->share, which other processes open too, or in this one alone. */
void bench_tally_init(struct bench_tally *tally, const struct bench_args *args,
                      uint64_t members, bool ordered);
void bench_tally_fini(struct bench_tally *tally);

void bench_tally_take(struct bench_tally *tally, uint64_t member,
                      const void *data, size_t len);

/** Wait until all members together have everything, or nothing comes. */
void bench_tally_wait(struct bench_tally *tally);

/** Print the result of count members; the exit status: 1 unless all members
 *  together got every event once. */
int bench_tally_report(struct bench_tally *tally, uint64_t member,
                       uint64_t count);

#endif
