/* What the conformance suite's files share: the broker under test, buses and
 * tallies that a test's teardown ends for it, and the list of suites.
 *
 * A test sees tidings through its public header alone and runs unchanged on
 * every backend; where one promises less, the test asks conf_has_daemon().
 * Asserts are for the test's own thread only: handlers and threads write into
 * tallies, and the test looks at those. */
#ifndef TESTS_CONFORMANCE_CONFORMANCE_H
#define TESTS_CONFORMANCE_CONFORMANCE_H

#include "tests/support/td_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/chaosproxy.h"
#include "tests/support/proc.h"
#include "tidings/tidings.h"

/* What should take milliseconds may take so long before a test fails. */
#define CONF_MS             15000
#define CONF_BUSES_MAX      8u
#define CONF_PUBLISHERS_MAX 8u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONF_SLOW 8 /* times fewer rounds: instrumented code is so slow */
#else
#define CONF_SLOW 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CONF_ADDRESS_SANITIZED 1
#else
#define CONF_ADDRESS_SANITIZED 0
#endif

/* ---- tallies ---- */

/* What a handler, or on_status, has seen. */
struct tally {
    struct tally *next;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    uint64_t count;                  /* events */
    char type[TIDINGS_TYPE_MAX + 1]; /* of the last */
    char id[TIDINGS_ID_MAX + 1];
    char source[TIDINGS_SOURCE_MAX + 1];
    int64_t time_us;
    size_t data_len;
    uint64_t next_n[CONF_PUBLISHERS_MAX]; /* numbered events: the next one */
    uint64_t holes;                       /* numbers that were left out */
    uint64_t disorder;                    /* numbers that came late or twice */
    uint64_t statuses[TIDINGS_GROUP_FULL + 1];
    uint64_t missed;              /* sum of GAPs */
    struct tidings_status status; /* the last; its texts are below */
    char status_text[256];
    char status_type[TIDINGS_TYPE_MAX + 1];
    char status_id[TIDINGS_ID_MAX + 1];
    /* set before subscribing */
    tidings_err answer; /* what tally_event() returns */
};

/* A handler: arg is a tally. */
tidings_err tally_event(void *arg, const struct tidings_event *event);
/* For on_status: on_status_arg is a tally. */
void tally_status(void *arg, const struct tidings_status *status);

/* Waits until it has seen n events, or so many of a status. */
bool tally_wait(struct tally *t, uint64_t n, int timeout_ms);
bool tally_wait_status(struct tally *t, enum tidings_status_kind kind,
                       uint64_t n, int timeout_ms);
/* A copy to look at. */
struct tally tally_now(struct tally *t);
uint64_t tally_count(struct tally *t);

/* ---- the fixture ---- */

struct conf {
    tidings_bus *buses[CONF_BUSES_MAX];
    size_t buses_len;
    struct tally *tallies;
    struct td_chaos *chaos;
};

int conf_setup(void **state);
/* Closes the buses, ends the proxy and frees tallies. */
int conf_teardown(void **state);

/* The broker under test; inproc names differ from test to test. */
const char *conf_url(void);
/* The backend has a daemon; inproc has not. */
bool conf_has_daemon(void);
/* The broker keeps what is published in a data folder. */
bool conf_has_data(void);
/* The broker is killed and comes back where it was; inproc, which lives in
 * this process, is closed with all its buses and opened by the next. For
 * backends with data alone. */
void conf_restart(struct conf *c);
struct td_daemon *conf_daemon(void);
/* An address of the backend where nobody answers. */
const char *conf_dead_url(char out[256]);
/* One of the backend to bind to. */
const char *conf_free_url(char out[256]);

/* An open, connected bus; NULL: the defaults. */
tidings_bus *conf_open(struct conf *c, const struct tidings_options *options);
/* One at an address of its own; not waited for. */
tidings_bus *conf_open_at(struct conf *c, const char *url,
                          const struct tidings_options *options);
/* The test's proxy before the broker, whose links can be cut: for backends with
 * a daemon. */
struct td_chaos *conf_chaos(struct conf *c);
/* The test has closed it, or is going to. */
void conf_forget(struct conf *c, tidings_bus *bus);
struct tally *conf_tally(struct conf *c);
/* A tally subscribed to pattern. */
struct tally *conf_subscribe(struct conf *c, tidings_bus *bus,
                             const char *pattern);

/* ---- events ---- */

/* Event n, from 1, of publisher who: its tally finds holes and disorder. */
tidings_err conf_publish(tidings_bus *bus, const char *type, unsigned who,
                         uint64_t n);
/* Events 1 to n; stops at the first error. */
tidings_err conf_publish_many(tidings_bus *bus, const char *type, unsigned who,
                              uint64_t n);

/* ---- the rest ---- */

/* The integer under a key of the broker's counters. */
uint64_t conf_counter(tidings_bus *bus, const char *name);
/* A number in 0..below-1 from a state that is advanced. */
uint32_t conf_random(uint32_t *state, uint32_t below);
void conf_pause_us(long us);
/* The time of day. */
int64_t conf_unix_us(void);
int64_t conf_unix_ms(void);
/* Runs this in a child of fork(), which ends with what it returns: that, 0 to
 * 255; -1: there was no child, or a signal ended it, that of an alarm if it
 * hung. Asserts nothing: other threads may be using the caller's stack. */
int conf_in_child(int (*run)(void *arg), void *arg);
/* What the environment asks for with TIDINGS_LONG. */
bool conf_is_long(void);

/* A row of a suite's table. */
#define CONF_TEST(test)                                                        \
    cmocka_unit_test_setup_teardown(test, conf_setup, conf_teardown)

/* The suites: cmocka groups, with the suite's name. */
int conf_run_bus(void);
int conf_run_handle(void);
int conf_run_publish(void);
int conf_run_subscribe(void);
int conf_run_handler(void);
int conf_run_workers(void);
int conf_run_workers_end(void);
int conf_run_figures(void);
int conf_run_loop(void);
int conf_run_end(void);
int conf_run_fork(void);
int conf_run_bounds(void);
int conf_run_peer(void);
int conf_run_stress(void);
int conf_run_confirm(void);
int conf_run_stored(void);
int conf_run_groups(void);
int conf_run_settle(void);
int conf_run_race(void);
int conf_run_hold(void);
int conf_run_outage(void);
int conf_run_fetch(void);
int conf_run_fetch_ends(void);
int conf_run_dead(void);
int conf_run_named(void);
int conf_run_expect(void);
int conf_run_lists(void);
int conf_run_policies(void);
int conf_run_readers(void);
int conf_run_repeats(void);
int conf_run_retention(void);
int conf_run_newest(void);
int conf_run_again(void);
int conf_run_schedule(void);
int conf_run_expiry(void);
int conf_run_service(void);
int conf_run_service_ends(void);
int conf_run_tasks(void);
int conf_run_tasks_answer(void);
int conf_run_tasks_end(void);
int conf_run_resilience(void);
int conf_run_request(void);
int conf_run_request_async(void);
int conf_run_request_threads(void);
int conf_run_discover(void);

#endif
