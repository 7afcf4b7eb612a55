/* Watches what one bus is handed: the order of each publisher's events, holes
 * in it, how long nothing came, and what on_status was told. Records on the
 * library's thread; the thread that tests reads and waits under the lock.
 *
 * Publishers of these tests give each event its number, 1, 2, 3, … in eight
 * bytes of this machine's order, so that number and sequence are the same.
 */
#ifndef TESTS_SYSTEM_WATCH_H
#define TESTS_SYSTEM_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tidings/tidings.h"

#define WATCH_PRODUCERS_MAX 16

struct watch_producer {
    char name[27];    /* the first 26 digits of its ids */
    uint64_t first;   /* sequence of the first event of this epoch … */
    uint64_t last;    /* … and of the latest */
    uint64_t highest; /* of all epochs */
    bool rejoin;      /* the link was down: a hole here is no hole */
    bool fresh;       /* the broker was another: so is a repetition */
};

struct watch {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* on the monotonic clock */
    uint64_t events;
    uint64_t holes;     /* events missing between two of a producer */
    uint64_t backwards; /* events not above the one before */
    uint64_t again;     /* events that came before, under any broker */
    uint64_t wrong;     /* number and sequence differ, or no id of ours */
    struct watch_producer producers[WATCH_PRODUCERS_MAX];
    size_t producers_len;
    int64_t last_ms;    /* when the latest event came … */
    int64_t longest_ms; /* … and the longest wait for one, see watch_mark() */

    uint64_t up, down, new_epoch, new_session, refused, handler_failed,
        bad_events;
    uint64_t gaps;   /* how often a GAP was told … */
    uint64_t missed; /* … and of how many events */
    tidings_err down_err;
    void (*on_status)(void *arg, const struct tidings_status *); /* or NULL */
    void *on_status_arg;
};

void watch_init(struct watch *w);
void watch_fini(struct watch *w);

/* A tidings_handler, and an on_status; arg is the struct watch. */
tidings_err watch_on_event(void *arg, const struct tidings_event *event);
void watch_on_status(void *arg, const struct tidings_status *status);

/** Forget the longest wait so far. */
void watch_mark(struct watch *w);

/** A copy to look at. */
struct watch watch_now(struct watch *w);

/** The producer of that name, NULL: nothing came of it. Under a copy. */
const struct watch_producer *watch_find(const struct watch *w,
                                        const char *name);

/** Wait until is(copy, arg); false when it is not within timeout_ms. */
bool watch_until(struct watch *w, bool (*is)(const struct watch *, void *arg),
                 void *arg, int timeout_ms);

/* The waits that come up most: a field has reached at_least. */
bool watch_until_events(struct watch *w, uint64_t at_least, int timeout_ms);
bool watch_until_up(struct watch *w, uint64_t at_least, int timeout_ms);
bool watch_until_down(struct watch *w, uint64_t at_least, int timeout_ms);

#endif
