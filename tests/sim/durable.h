/* Whole systems that keep events, from a seed: publishers with confirms,
 * members of durable groups, readers and an operator, against the broker's
 * engine over a store that is slow, fails, is killed and loses its power.
 *
 * Engine, store model and clients' sessions are the real ones; around them are
 * queues of messages (pipe.h) and a clock that costs nothing to wait for, as in
 * sim.h.
 * What is true is kept a second time: which event stands where in its stream,
 * as soon as the store has it, and what has become of it in each group.
 *
 *   durable_world.c    the loop, and the end
 *   durable_choose.c   what a seed makes of the world; what goes wrong
 *   durable_net.c      links
 *   durable_broker.c   the broker's process
 *   durable_store.c    … and its store
 *   durable_client.c   a client's process around td_client
 *   durable_event.c    events, and how each is told from all others
 *   durable_named.c    that has a name, and holds it alone
 *   durable_publish.c  what it publishes, and what is confirmed
 *   durable_member.c   what it is delivered, and what its handlers say
 *   durable_fetch.c    … or what waits until it is fetched
 *   durable_operator.c who declares streams and groups, and redrives
 *   durable_book.c     what is true of streams
 *   durable_schedule.c … of what waits for its time
 *   durable_purge.c    … of what operators purge
 *   durable_names.c    … of the newest of each name
 *   durable_expiry.c   … of what expires
 *   durable_marks.c    … and of groups
 *   durable_sought.c   … that are sent elsewhere
 *   durable_sent.c     deliveries, as they leave the broker
 *   durable_check.c    the engine's own accounts */
#ifndef TESTS_SIM_DURABLE_H
#define TESTS_SIM_DURABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/seeds.h"

/* What must happen now and then: a simulation that never does it proves
 * nothing about it. */
#define DUR_SEEN_MAP(X)                                                        \
    X(KILLED, "a broker is killed")                                            \
    X(POWER_CUT, "the power is cut")                                           \
    X(POWER_LOST, "… and what was only written is lost")                       \
    X(UNCOMMITTED_KEPT, "a crash keeps what was not answered")                 \
    X(UNCOMMITTED_LOST, "… or loses it")                                       \
    X(STOPPED, "a broker stops in order")                                      \
    X(COMMIT_FULL, "a commit fails, full")                                     \
    X(COMMIT_FULL_MANY, "… with several in flight")                            \
    X(COMMIT_IO, "a commit fails for good")                                    \
    X(NO_ROOM, "the disk is full but for the reserve")                         \
    X(READ_FAILED, "a read fails")                                             \
    X(COMMIT_EACH, "each n-th commit fails")                                   \
    X(COMMIT_NONE, "… or all do, for a while")                                 \
    X(READ_EACH, "each n-th read fails")                                       \
    X(READ_NONE, "… or all do, for a while")                                   \
    X(LOAD_FAILED, "a broker cannot read its store, and starts anew")          \
    X(SLOW_STORE, "the store answers late")                                    \
    X(CONFIRMED_OS, "an event is confirmed at os")                             \
    X(CONFIRMED_DISK, "… and at disk")                                         \
    X(REFUSED, "an event is confirmed as not stored")                          \
    X(REPEAT, "an event is confirmed as a repeat of another with its id")      \
    X(DUPLICATE, "an event is confirmed a second time")                        \
    X(DUPLICATE_CRASH, "… after a crash")                                      \
    X(RESUMED, "a session is resumed with unsettled events")                   \
    X(ACKED, "an event is acked")                                              \
    X(NAKED, "an event is naked")                                              \
    X(RELEASED, "an event is released")                                        \
    X(TERMED, "an event is termed")                                            \
    X(FETCHED, "an event is fetched")                                          \
    X(HELD, "… or waits for that, and the broker is told")                     \
    X(GIVEN_BACK, "… or goes back, as nobody fetches it in time")              \
    X(HELD_LOST, "… or was taken away, as the broker was told too late")       \
    X(STALE, "a settlement comes too late")                                    \
    X(TIMED_OUT, "an event is not settled in time")                            \
    X(LOST, "an event is lost with its member")                                \
    X(REDELIVERED, "an event is delivered again")                              \
    X(REDELIVERED_CRASH, "an acked event is delivered again after a crash")    \
    X(DEAD, "an event becomes a dead letter")                                  \
    X(REDRIVEN, "a dead letter is delivered again")                            \
    X(REDRIVEN_DONE, "… and settled")                                          \
    X(PARKED, "a key waits")                                                   \
    X(PARKED_MANY, "… with several events")                                    \
    X(KEYED_PIPELINE, "a member has several events of a key")                  \
    X(OUTAGE, "a member parks its group")                                      \
    X(OUTAGE_AGAIN, "… so does one that has the probe")                        \
    X(OUTAGE_RAMP, "… or it acks that, and more come")                         \
    X(OUTAGE_OVER, "… until all do")                                           \
    X(FULL_GROUP, "a group has as much in flight as it may")                   \
    X(PAUSED, "a group is paused")                                             \
    X(SOUGHT, "a group is sent elsewhere")                                     \
    X(SOUGHT_BACK, "… and is back, as that could not be written")              \
    X(EXPIRED, "retention overtakes a group")                                  \
    X(READ_BACK, "what is not in memory is read")                              \
    X(MEMORY_STREAM, "a stream in memory takes events")                        \
    X(BACKLOG, "a stream with retention drops what is old")                    \
    X(PURGED, "events of a stream are purged")                                 \
    X(PURGED_DEAD, "dead letters are purged")                                  \
    X(REST, "of a batch that was answered in part the rest is sent again")     \
    X(NAMED, "a producer begins where its name has come to")                   \
    X(NAMED_FENCED, "… and is fenced")                                         \
    X(NAMED_ZOMBIE, "… and publishes all the same")                            \
    X(NAMED_AGAIN, "… and is told that an event of a former life is stored")   \
    X(NAMED_LEFT_OUT, "… and leaves numbers out")                              \
    X(NAMED_CRASH, "… after a broker crashed")                                 \
    X(LAST, "a reader is sent the last of a name")                             \
    X(COMPACTED, "compaction takes what is not the last of its name")          \
    X(TOMBSTONE_GONE, "… and an old tombstone")                                \
    X(EXPIRES, "an event expires before a group comes to it")                  \
    X(EXPIRES_ON_WAY, "… or on its way")                                       \
    X(EXPIRES_REDRIVEN, "… or is dead, and delivered all the same")            \
    X(LOST_ALL, "a group is told of events in a row that it lost")             \
    X(LOST_SOME, "… or among others")                                          \
    X(LOST_BEFORE, "… under an earlier broker")                                \
    X(SCHEDULED, "an event waits for its time")                                \
    X(SCHEDULED_CRASH, "… while a broker crashes")                             \
    X(FIRED, "an event that waited is stored")                                 \
    X(CANCELLED, "an event that waits is cancelled")                           \
    X(CANCEL_LATE, "… or it is too late for that")                             \
    X(CANCEL_FAILED, "… or that cannot be written")

enum dur_seen {
#define DUR_SEEN_ENUM(name, text) DUR_SEEN_##name,
    DUR_SEEN_MAP(DUR_SEEN_ENUM)
#undef DUR_SEEN_ENUM
        DUR_SEEN_END
};

_Static_assert(DUR_SEEN_END <= SIM_SEEN_MAX, "a result has room for all");

extern const char *const dur_seen_texts[DUR_SEEN_END];

/* Runs the history of one seed; verbose prints it. */
void dur_run(struct sim_result *out, uint64_t seed, bool verbose);

#endif
