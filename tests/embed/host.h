/* What the tests of a host share: what is in the process (threads,
 * descriptors), and what its handlers have seen.
 *
 * Asserts are for the test's own thread: handlers and threads record. */
#ifndef TESTS_EMBED_HOST_H
#define TESTS_EMBED_HOST_H

#include "tests/support/td_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/proc.h"
#include "tidings/tidings.h"

/* What should take milliseconds may take so long before a test fails. */
#define HOST_MS          15000
#define HOST_SENDERS_MAX 16u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HOST_SLOW 8 /* times fewer rounds: instrumented code is so slow */
#else
#define HOST_SLOW 1
#endif

/* ---- what is in the process ---- */

struct host_use {
    unsigned threads;
    unsigned descriptors;
};

struct host_use host_use_now(void);
/* Fails the test when it does not get back to that. An ended thread may be
 * listed for a moment, so it looks again until a deadline. */
void host_expect_use(struct host_use before);

/* ---- what a handler has seen ---- */

/* Events are numbered by their sender: 1, 2, 3, … */
struct host_seen {
    atomic_uint_fast64_t events;
    atomic_uint_fast64_t wrong; /* not numbered, or not the next number */
    atomic_uint_fast64_t last[HOST_SENDERS_MAX];
};

/* What event n of a sender holds; sizeof() of it. */
struct host_number {
    uint64_t sender; /* below HOST_SENDERS_MAX */
    uint64_t n;
};

/* A handler: arg is a struct host_seen. */
tidings_err host_on_event(void *arg, const struct tidings_event *event);

/* Waits until it has seen n; false: not within HOST_MS. */
bool host_wait_events(struct host_seen *seen, uint64_t n);

/* ---- a broker beside ---- */

void host_broker_start(struct td_daemon *d);

#endif
