/* Whole systems from a seed: publishers, the broker's engine, subscribers and
 * hostile peers, over links that delay, break and go silent, under a clock
 * that costs nothing to wait for.
 *
 * The engine (broker/engine/engine.h) and the client's session
 * (client/session.h) are the real ones. Around them are only queues of
 * messages and a list of who wants to be called when, so a seed always gives
 * the same history, and a history of half a minute takes a few milliseconds.
 *
 *   world.c             the loop, and the end
 *   choose.c, faults.c  what a seed makes of the world; what goes wrong
 *   net.c, pipe.c       links, and each direction of one
 *   tell.c              what is told of a history
 *   broker.c            the broker's process around the engine
 *   model.c             what the engine ought to do, worked out a second time
 *   owed.c, group.c     … what each subscriber is owed, and each group
 *   resume.c            … who may come back
 *   sent.c              … compared with what it sends
 *   check.c, bound.c    … and with its state
 *   group_check.c       … its groups'
 *   ledger.c            … and its counters
 *   client.c            a client's process around td_client
 *   receive.c, act.c    … what it receives; what it publishes and asks
 *   final.c             … and what it has in the end
 *   content.c           what the events hold, so that each can be recognised
 *   evil.c              peers that break the rules */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/seeds.h"

/* What must happen now and then: a simulation that never does it proves
 * nothing about it. */
#define SIM_SEEN_MAP(X)                                                        \
    X(COVERED, "WELCOME covers events whose TAKEN was lost")                   \
    X(RESENT, "events are sent again in a new session")                        \
    X(DUPLICATES, "a repeated message is skipped")                             \
    X(DUPLICATES_PART, "a message is skipped in part")                         \
    X(REMEMBERED, "a producer comes back and is known")                        \
    X(FORGOTTEN, "a producer comes back too late to be known")                 \
    X(REPLACED, "a session ends because its producer greets again")            \
    X(RESUMED, "a session is resumed")                                         \
    X(RESUMED_ALIVE, "… while its old link is not known to be lost")           \
    X(RESUMED_AGAIN, "… and what was in flight is sent again")                 \
    X(RESUMED_GAP, "… and a gap that was not heard of is told again")          \
    X(RESUMED_LESS, "… without a subscription that ended meanwhile")           \
    X(RELAPSED, "a link is lost while it resumes a session")                   \
    X(LATE, "a client asks to resume what is over")                            \
    X(UNKEPT, "what is in flight was let go, so nothing is resumed")           \
    X(IMPOSSIBLE, "counts that cannot be are refused")                         \
    X(FORGED, "a forged token is refused")                                     \
    X(AWAY_OVER, "a session is away for too long, and ends")                   \
    X(BROKER_SILENCE, "the broker takes a silent client for dead")             \
    X(CLIENT_SILENCE, "a client takes a silent broker for dead")               \
    X(NO_WELCOME, "a greeting is not answered in time")                        \
    X(NEW_EPOCH, "a client is told of a new epoch")                            \
    X(AGAIN, "… and what comes again is not handled again")                    \
    X(SHUTDOWN, "a broker drains and says goodbye")                            \
    X(BROKER_PAUSED, "the broker stands still for longer than it may be dead") \
    X(CLIENT_PAUSED, "a client stands still until it is taken for dead")       \
    X(BY_REFERENCE, "a body goes out as it came in")                           \
    X(GATHERED, "one DELIVER carries several batches")                         \
    X(TOGETHER, "one DELIVER carries several subscriptions' events")           \
    X(GATHERED_FULL, "a DELIVER of several batches is full")                   \
    X(MATCHED_PART, "a subscription matches some runs of a batch")             \
    X(SPLIT, "credit ends in the middle of a batch")                           \
    X(BODY_MANY, "a PUBLISH carries several batches")                          \
    X(MESSAGES_FULL, "a session has as many unanswered DELIVER as it may")     \
    X(HOLD, "a full queue withholds credit")                                   \
    X(HOLD_EASED, "a queue empties while it withholds credit")                 \
    X(HOLD_SPENT, "the budget of block is spent")                              \
    X(HOLD_DRAINED, "a publisher runs out of credit that is withheld")         \
    X(HOLD_MANY, "a session is under more holds than it remembers")            \
    X(DROPPED_SLOW, "a queue drops its oldest, slow")                          \
    X(GROUPED, "a group deals to several members")                             \
    X(ROUND_ROBIN, "… in turn, and their totals are compared")                 \
    X(KEYED, "… and a key goes on to the member that holds it")                \
    X(KEY_MOVED, "… and to another when it does not any more")                 \
    X(LET_GO, "a member that is away has its keys no more")                    \
    X(STRAY, "… and what comes back from it, after later events")              \
    X(MEMBER_LOST, "a member ends with what it was sent")                      \
    X(JOIN_REFUSED, "a member asks for what its group is not")                 \
    X(DROPPED_OLDEST, "a queue drops its oldest, as asked")                    \
    X(DROPPED_NEWEST, "what does not fit is not queued, as asked")             \
    X(DROPPED_MEMORY, "a queue drops its oldest, memory")                      \
    X(DROPPED_LOST, "events end with their session")                           \
    X(DROPPED_UNSUBSCRIBED, "a subscription ends with events in flight")       \
    X(GAP, "a subscriber is told of a gap")                                    \
    X(GAPS_MANY, "a silent subscriber is told of no more gaps")                \
    X(REFUSED, "a subscription is refused")                                    \
    X(FULL, "a publisher meets the bound of its own list")                     \
    X(OUT_OF_CREDIT, "a publisher has batches and no credit")                  \
    X(UNMATCHED, "nobody wants an event")                                      \
    X(BACK_IN_TIME, "an event is older than its batch")                        \
    X(LARGEST, "an event of the largest size arrives")                         \
    X(SLOW_HANDLER, "credit returns late")                                     \
    X(STATS, "counters are asked for and balance")                             \
    X(ASKED_AGAIN, "a question is asked again in a new session")               \
    X(BREACH, "a breach of credit ends a session")                             \
    X(BAD_FRAME, "a bad frame ends a session")                                 \
    X(ADVISED, "the broker's own event is delivered")                          \
    X(ADVISED_DROP, "… and one is dropped")                                    \
    X(STARVED, "there is no memory")                                           \
    X(SEND_FAILED, "a session ends because its link takes nothing")

enum sim_seen {
#define SIM_SEEN_ENUM(name, text) SIM_SEEN_##name,
    SIM_SEEN_MAP(SIM_SEEN_ENUM)
#undef SIM_SEEN_ENUM
        SIM_SEEN_END
};

_Static_assert(SIM_SEEN_END <= SIM_SEEN_MAX, "a result has room for all");

extern const char *const sim_seen_texts[SIM_SEEN_END];

/* Runs the history of one seed; verbose prints it. */
void sim_run(struct sim_result *out, uint64_t seed, bool verbose);

#endif
