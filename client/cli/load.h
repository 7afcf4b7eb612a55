/* load.h: what `tidings bench` runs: publishers and subscribers, each with a
 * bus of its own, publishers each with a thread. A round begins when all
 * publish and ends when all that was published has arrived or was told missed.
 *
 * An event's data is one msgpack bin, so that anyone may look at it; where it
 * begins stand its round, publisher, number and moment. */
#ifndef TD_CLI_LOAD_H
#define TD_CLI_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli/cli.h"
#include "client/cli/histogram.h"

#define TD_LOAD_PUBLISHERS_MAX 64
#define TD_LOAD_SLICE_MS       100 /* how soon a full bus hears of the end */

/* At the beginning of an event's data; TD_CLI_BENCH_SIZE_MIN has room for it. */
struct td_stamp {
    uint32_t round;
    uint32_t publisher;
    uint64_t number; /* of the publisher in the round, from 1 */
    int64_t moment_ns;
};

struct td_load;

struct td_load_publisher {
    struct td_load *load;
    tidings_bus *bus;
    pthread_t thread;
    unsigned index;
    unsigned char *data;        /* a copy of the load's, for its stamps */
    _Atomic uint64_t published; /* in this round */
    _Atomic int64_t done_ns;    /* 0: not yet */
    tidings_err err;            /* why it ended early; after it has ended */
    char why[256];
};

struct td_load_subscriber {
    struct td_load *load;
    tidings_bus *bus;
    _Atomic uint64_t delivered; /* since it began; so are the next two */
    _Atomic uint64_t missed;    /* told by on_gap */
    _Atomic uint64_t again;     /* delivered before */
    _Atomic int64_t heard_ns;   /* the last event or gap */
    _Atomic uint64_t most_ns;   /* the longest latency of the round */
    struct td_histogram_live latency;
    /* the handler's own */
    uint32_t round;
    uint64_t numbers[TD_LOAD_PUBLISHERS_MAX]; /* the last of each publisher */
};

struct td_load { /* all zero, but settings: not begun */
    const struct td_settings *settings;
    struct td_load_publisher *publishers;
    struct td_load_subscriber *subscribers;
    unsigned publishers_len;
    unsigned subscribers_len;
    char (*types)[64];
    unsigned types_len;
    unsigned char *data;
    size_t data_len;
    size_t stamp_at; /* in data */
    /* with --durable */
    tidings_bus *keeper; /* makes the stream, and deletes it */
    char stream[64];     /* "": none */
    char pattern[80];    /* all types */
    /* of the round */
    uint32_t round; /* from 1 */
    int64_t start_ns;
    _Atomic bool stop;
};

/* What a round brought. */
struct td_round {
    uint64_t published;
    uint64_t expected;  /* deliveries: once for each subscriber, or the group */
    uint64_t delivered; /* without those again */
    uint64_t missed;    /* not delivered, and told */
    uint64_t lost;      /* neither */
    uint64_t again;
    double publish_s;
    double deliver_s;
    uint64_t most_ns;
    struct td_histogram latency;
};

/** Connect and subscribe all. @return an exit code; stderr was told */
int td_load_begin(struct td_load *load);

/** Run a round; a signal ends it early. @return an exit code; stderr was told */
int td_load_round(struct td_round *out, struct td_load *load);

void td_load_end(struct td_load *load);

/* ---- for the parts of a load alone ---- */

/** The thread of a publisher, arg, in one round. */
void *td_load_publish(void *arg);

/** Connect a subscriber. @return an exit code; stderr was told */
int td_load_subscribe(struct td_load *load, struct td_load_subscriber *sub);

/** At which level its events are confirmed. */
enum tidings_level td_load_level(const struct td_load *load);

/** With --durable: a stream of the load's own types.
 *  @return an exit code; stderr was told */
int td_load_keep(struct td_load *load);

/** Delete it again. */
void td_load_forget(struct td_load *load);

/** Add to a number that only this thread changes. */
static inline void td_load_add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_store_explicit(to,
                          atomic_load_explicit(to, memory_order_relaxed) + n,
                          memory_order_release);
}

#endif
