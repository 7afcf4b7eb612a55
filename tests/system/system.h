/* What the system tests share: buses of this process with a watch on them,
 * workers (worker.c), and the broker's counters. All of it asserts, so it is
 * for the test's own thread only.
 */
#ifndef TESTS_SYSTEM_SYSTEM_H
#define TESTS_SYSTEM_SYSTEM_H

#include "tests/support/td_test.h"

#include "tests/support/proc.h"
#include "tests/system/ledger.h"
#include "tests/system/watch.h"
#include "tidings/tidings.h"

/* How long what should take milliseconds may take before a test fails. */
#define SYS_WAIT_MS 15000
/* The broker promises to be gone this soon after SIGTERM (FAULTS R11). */
#define SYS_STOP_MS 5000

/* Sanitizers keep memory of their own: then its size says nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SYS_SANITIZED 1
#else
#define SYS_SANITIZED 0
#endif

/* ---- the broker ---- */

/** td_daemon_start() that fails the test with what the broker said. */
void sys_broker_start(struct td_daemon *d, const char *const *extra);
void sys_broker_restart(struct td_daemon *d, const char *const *extra);

/** Kill it as a crash would, and wait until it is gone. */
void sys_kill(struct td_proc *p);

/** Signal it; it must exit 0 within SYS_STOP_MS. Gives how long it took. */
int sys_stop(struct td_proc *p, int signal_number);

/** Whether these words are in its log, within SYS_WAIT_MS. */
bool sys_says(struct td_proc *p, const char *words);

/* ---- a bus of this process ---- */

struct sys_peer {
    tidings_bus *bus;
    struct watch watch;
};

/** Open a bus and wait until it is connected. */
void sys_peer_open(struct sys_peer *p, const char *url, const char *name);
/** Subscribe its watch. */
void sys_peer_subscribe(struct sys_peer *p, const char *pattern);
/** Close it and free its watch; an empty struct is left alone. */
void sys_peer_close(struct sys_peer *p);

/** Publish the event numbered n, 1, 2, 3, … of this bus. */
void sys_publish(struct sys_peer *p, const char *type, uint64_t n);

/** A live round trip: an event goes from `from` to `to`, which has a
 *  subscription that matches type, and nothing else comes. */
void sys_round_trip(struct sys_peer *from, struct sys_peer *to,
                    const char *type, uint64_t n);

/* ---- workers ---- */

/** Start worker.c and wait until it is ready; args end with NULL. */
void sys_worker(struct td_proc *p, const char *url, const char *role,
                const char *pattern, const char *const *args);

/** The next line that begins with prefix; the test fails if none comes. */
const char *sys_expect(struct td_proc *p, const char *prefix);

/** The number after " NAME=" in a line of a worker's; fails if not there. */
uint64_t sys_field(const char *line, const char *name);

struct sys_info {
    uint64_t published, taken, unconfirmed, resent, missed;
    uint64_t connects, packed, events, holes, backwards, wrong, told, keys;
};

/** Ask a worker for its counters. */
struct sys_info sys_worker_info(struct td_proc *p);

/** Have a publishing worker stop, and have all it published taken, once. */
struct sys_info sys_publisher_stop(struct td_proc *p);

/* ---- the broker's counters: PROTOCOL.md 7, counters.c ---- */

struct sys_counters {
    uint64_t epoch, published, duplicates, routed, unmatched;
    uint64_t matched, delivered;
    uint64_t dropped, slow, session_lost, unsubscribed; /* dropped: the sum */
    uint64_t sessions, pending, queued_bytes, withheld;
    uint64_t bad_frames, breaches, silent;
};

/** Read the counters, and check that every sum of theirs holds. */
struct sys_counters sys_counters(tidings_bus *bus);

/** The sum of the subscriptions with exactly this pattern. */
struct ledger_row sys_row(tidings_bus *bus, const char *pattern);
/** Wait until there is one subscription with this pattern, … */
void sys_until_subscribed(tidings_bus *bus, const char *pattern);
/** … until there is none any more: a BYE may be on its way, … */
void sys_until_gone(tidings_bus *bus, const char *pattern);
/** … until nothing waits for those that have it. */
void sys_until_caught_up(tidings_bus *bus, const char *pattern);

/** Look until is(counters, arg); fails when it is not within timeout_ms. */
struct sys_counters sys_counters_until(tidings_bus *bus,
                                       bool (*is)(const struct sys_counters *,
                                                  const void *arg),
                                       const void *arg, int timeout_ms);

#endif
