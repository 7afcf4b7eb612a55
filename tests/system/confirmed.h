/* Publishers that ask for confirms and go on by themselves whatever happens to
 * the broker, and the check of a stream against what they were told (FAULTS
 * C01). Each event carries its publisher's number and its own: 1, 2, 3, … */
#ifndef TESTS_SYSTEM_CONFIRMED_H
#define TESTS_SYSTEM_CONFIRMED_H

#include "tests/support/operate.h"
#include "tests/system/system.h"

#include <stdatomic.h>

#define CONFIRMED_PUBLISHERS 4
#define CONFIRMED_EVENTS_MAX (1u << 21) /* of one publisher: then it rests */

enum confirmed_style {
    CONFIRMED_BURSTS, /* many at once, at level disk, each with a callback */
    CONFIRMED_ONE_BY_ONE, /* one, and wait for its confirm at level disk */
    CONFIRMED_LARGE,      /* some kilobytes each, at level disk */
    CONFIRMED_OS          /* bursts at level os: kill -9 loses none of these */
};

struct confirmed_event {
    uint32_t sequence; /* in the stream, as it was confirmed; 0: not told */
    uint8_t calls;     /* of its callback */
    uint8_t seen;      /* in the stream */
};

struct confirmed {
    tidings_bus *bus; /* NULL: not started */
    pthread_t thread;
    const char *type;
    unsigned number;
    enum confirmed_style style;
    int pause_ms; /* between two bursts */
    atomic_bool stop;
    atomic_ullong published;
    atomic_ullong confirmed;
    atomic_uint bad; /* confirms that are errors, or of too low a level … */
    char first_bad[160];            /* … and what the first one said */
    atomic_uint failed;             /* calls that gave what they should not */
    struct confirmed_event *events; /* CONFIRMED_EVENTS_MAX + 1, from 1 on */
};

/** Begin to publish. */
void confirmed_start(struct confirmed *p, const char *url, const char *type,
                     unsigned number, int pause_ms);

/** Stop publishing, and have all of it confirmed: each event once. */
void confirmed_stop(struct confirmed *p);

/** End its bus and free it; an empty struct is left alone. */
void confirmed_end(struct confirmed *p);

/**
 * Read a stream from its beginning, and check that it has each event of each
 * publisher once, in order, under the sequence that it was confirmed with, and
 * nothing else. Returns how many events that is.
 */
uint64_t confirmed_check(tidings_bus *bus, const char *stream,
                         struct confirmed *publishers, size_t len);

#endif
