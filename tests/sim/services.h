/* Whole systems of requests and services, from a seed: callers, instances and
 * an operator, against the broker's engine, over links that delay, break and go
 * silent.
 *
 * Engine, clients' sessions and the copy of the registry are the real ones;
 * around them are queues of messages (pipe.h) and a clock that costs nothing to
 * wait for, as in sim.h. What is true is kept a second time: who is registered and
 * how it is, from the messages that the broker has read, and what each request
 * has been through.
 *
 *   services_world.c     the loop, and the end
 *   services_choose.c    what a seed makes of the world
 *   services_faults.c    what goes wrong
 *   services_net.c       links
 *   services_broker.c    the broker's process
 *   services_client.c    a client's process around td_client
 *   services_caller.c    what it asks, and what comes of it
 *   services_instance.c  what it serves …
 *   services_task.c      … and the requests in its hands
 *   services_operator.c  who drains, weighs and watches
 *   services_known.c     what is true of the registry
 *   services_given.c     … of who is given a request
 *   services_said.c      … and of what callers are told
 *   services_check.c     the engine's own accounts */
#ifndef TESTS_SIM_SERVICES_H
#define TESTS_SIM_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/seeds.h"

/* What must happen now and then: a simulation that never does it proves
 * nothing about it. */
#define SVC_SEEN_MAP(X)                                                        \
    X(ANSWERED, "a request is answered")                                       \
    X(REMOTE, "a handler fails")                                               \
    X(LARGE, "a large body goes there and back")                               \
    X(LOST, "whoever had a request is lost")                                   \
    X(LOST_OWN, "a caller's link is lost with a request on it")                \
    X(UNSENT, "a request finds no broker in time")                             \
    X(NORESPONDER, "nobody answers a request")                                 \
    X(FULL, "whoever answers has as many as it takes")                         \
    X(FULL_OWN, "an instance has no room")                                     \
    X(BROKEN, "a breaker refuses a request")                                   \
    X(TIMEOUT, "a deadline passes")                                            \
    X(TIMEOUT_THERE, "a deadline has passed when an instance would begin")     \
    X(ENDED_THERE, "an instance has ended, and says so of what waits")         \
    X(LATE, "an answer comes for a request that is over")                      \
    X(WAITED, "a request waits until its instance reads")                      \
    X(AGAIN_OK, "a request is tried again, elsewhere, and answered")           \
    X(AGAIN_LINK, "… over another link")                                       \
    X(AGAIN_CUT, "the budget of retries is spent")                             \
    X(WITHDRAWN, "a caller waits no more")                                     \
    X(MANY, "a request to many is answered by several")                        \
    X(MANY_LOST, "… and one of them is lost")                                  \
    X(MANY_LATE, "… or late")                                                  \
    X(PINGED, "instances answer a ping")                                       \
    X(GROUPS, "a request goes to several groups")                              \
    X(TURNS, "requests go round, and totals are compared")                     \
    X(KEYED, "a key goes where it went before")                                \
    X(DEGRADED, "one that is degraded gets what no other may have")            \
    X(DRAINED, "instances are drained")                                        \
    X(UNDRAINED, "… and are not any more")                                     \
    X(WEIGHED, "versions are weighed")                                         \
    X(SILENT, "an instance says nothing, and is down")                         \
    X(SPOKE, "… and is up again")                                              \
    X(OPENED, "a breaker opens")                                               \
    X(HALF_OPEN, "… is half open")                                             \
    X(CLOSED, "… and is closed")                                               \
    X(OPENED_AGAIN, "… or opens again")                                        \
    X(STOPPED, "an instance stops in order")                                   \
    X(RESUMED, "a session that serves is resumed")                             \
    X(SHUT, "an idle instance's link takes no PING")                           \
    X(SHUT_BUSY, "… or that of one with requests")                             \
    X(SILENCE, "a silent client is taken for dead")                            \
    X(STALE, "a copy of the registry is stale")                                \
    X(TRUE_AGAIN, "… and true again")                                          \
    X(GAP, "… or misses an event")                                             \
    X(NEW_EPOCH, "another broker comes")                                       \
    X(SHUTDOWN, "a broker stops in order")                                     \
    X(BROKER_PAUSED, "the broker stands still")                                \
    X(CLIENT_PAUSED, "a client stands still")

enum svc_seen {
#define SVC_SEEN_ENUM(name, text) SVC_SEEN_##name,
    SVC_SEEN_MAP(SVC_SEEN_ENUM)
#undef SVC_SEEN_ENUM
        SVC_SEEN_END
};

_Static_assert(SVC_SEEN_END <= SIM_SEEN_MAX, "a result has room for all");

extern const char *const svc_seen_texts[SVC_SEEN_END];

/* Runs the history of one seed; verbose prints it. */
void svc_run(struct sim_result *out, uint64_t seed, bool verbose);

#endif
