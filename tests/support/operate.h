/* What operators do with streams, for tests: calls with their options, and the
 * figures of lists. All of it asserts, so it is for the test's own thread. */
#ifndef TESTS_SUPPORT_OPERATE_H
#define TESTS_SUPPORT_OPERATE_H

#include "tests/support/td_test.h"
#include "tidings/tidings.h"

#define OPERATE_MS 20000 /* what should take milliseconds may take so long */

/* An option of a call: a text, or a number if that is NULL. */
struct operate_option {
    const char *key; /* NULL: the list ends */
    const char *text;
    uint64_t number;
};

/** A call; *out as tidings_call(), NULL: the result is not wanted. */
tidings_err operate(void **out, size_t *len, tidings_bus *bus, const char *name,
                    const struct operate_option *options);

/** One with a stream and a group, and perhaps a number (key NULL: none). */
tidings_err operate_group(tidings_bus *bus, const char *name,
                          const char *stream, const char *group,
                          const char *key, uint64_t number);

/** A figure of a stream's row; the test fails if there is no such row. */
uint64_t operate_stream_figure(tidings_bus *bus, const char *stream,
                               const char *key);
/** The same of a group. */
uint64_t operate_group_figure(tidings_bus *bus, const char *stream,
                              const char *group, const char *key);
bool operate_group_flag(tidings_bus *bus, const char *stream, const char *group,
                        const char *key);

/** Wait until a figure of a group is at least so much. */
bool operate_group_until(tidings_bus *bus, const char *stream,
                         const char *group, const char *key, uint64_t at_least,
                         int timeout_ms);

/** Wait until all that the stream has is settled by the group. */
bool operate_until_settled(tidings_bus *bus, const char *stream,
                           const char *group, int timeout_ms);

/* A dead letter, as dlq.list gives it. */
struct operate_dead {
    uint64_t total; /* of the group; the rest is of the first row */
    uint64_t number, sequence, deliveries;
    int64_t first_ms, last_ms;
    char type[256];
    char reason[32];
    char error[256];
    char stream[65];
    char handler[65];
    bool redriven;
};

/** What is dead, from a number on; total 0: nothing is. */
struct operate_dead operate_dead_at(tidings_bus *bus, const char *stream,
                                    const char *group, uint64_t from);

/** dlq.redrive or dlq.purge of all, call after call; how many events. */
uint64_t operate_dead_all(tidings_bus *bus, const char *name,
                          const char *stream, const char *group);

#endif
