/* A client behind a proxy that breaks its link. It publishes numbered events
 * to itself and to a witness with a sound link, and each of them is checked:
 * whole, in order, once. For threads: nothing asserts, why says what is wrong.
 */
#ifndef TESTS_SYSTEM_LANE_H
#define TESTS_SYSTEM_LANE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/support/chaosproxy.h"
#include "tidings/tidings.h"

struct lane {
    struct td_chaos *chaos;
    tidings_bus *bus;
    char type[32];
    char why[512]; /* "" while all is well; the first failure */
    uint64_t published;
    uint64_t total;  /* published by all its buses that were closed … */
    uint64_t resent; /* … and sent more than once */

    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    uint32_t life;      /* of its buses, which number from 1 each */
    uint64_t witnessed; /* the last that the witness saw … */
    uint64_t seen;      /* … and the last that it saw itself */
    uint64_t missed;    /* by itself, between two sessions */
    bool rejoined;      /* a new session, since the last event */
    uint64_t ups;
    uint64_t downs;
    int64_t down_ms; /* when its link was first found to be down */
};

/** Make the proxy, and have the witness subscribe; false: why says it. */
bool lane_init(struct lane *lane, unsigned number, const char *url,
               tidings_bus *witness);
/** After the witness was closed. */
void lane_fini(struct lane *lane);

/** A new bus through the proxy, with its subscription. */
bool lane_open(struct lane *lane);
bool lane_close(struct lane *lane);

bool lane_publish(struct lane *lane, unsigned events);

/** All it published is taken, and the witness has seen all of it. */
bool lane_settle(struct lane *lane);

/** It sees what it publishes. */
bool lane_hears(struct lane *lane);

bool lane_until_ups(struct lane *lane, uint64_t at_least, int timeout_ms);
bool lane_until_downs(struct lane *lane, uint64_t at_least, int timeout_ms);

#endif
