/* The relay itself: what it does next, through operations of the database and
 * of the broker that it is given. It reads no clock and has no thread: a test
 * drives it with models of both (tests/unit/test_relay_random.c).
 *
 *            the outbox is ours        the broker said its last number
 *   CLOSED ---------------------> OPEN -------------------------------> READY
 *      ^                                                                  |
 *      +------------- database or name lost, after a pause ---------------+
 *
 * READY goes round: read rows; pick a list; one step of the database that
 * removes the list before and claims this one; publish it; hear what became of
 * it. So each list costs one transaction, and none is ever published that the
 * database does not know of. A claim is a number of the named producer: those of
 * a list begin at the time of the claim, in microseconds, or behind the last
 * one, so that no other relay's list can end at the same number. Whoever begins
 * asks the broker: if the last number is the end of what is claimed, that list
 * was stored; if it is before its beginning, it was not, and never will be, since
 * greeting has fenced who sent it. */
#ifndef OUTBOX_TURN_H
#define OUTBOX_TURN_H

#include "client/outbox/window.h"

/* What became of a list. */
struct td_answer {
    bool judged; /* by the broker; otherwise it was not even sent */
    char stream[65];
    char text[TD_OUTBOX_REASON_BYTES];
};

struct td_broker_ops {
    /* Greets under that name, and what its last number is. Called anew until
     * it succeeds, or after close. */
    tidings_err (*open)(void *ctx, const char *producer, uint64_t *last);
    /* Publishes a list as a whole, under the numbers from first on, and waits
     * until it is known what became of it. */
    tidings_err (*publish)(void *ctx, const struct td_outbox_list *list,
                           uint64_t first, struct td_answer *out);
    void (*close)(void *ctx);
};

enum td_turn_state { TD_TURN_CLOSED, TD_TURN_OPEN, TD_TURN_READY };

struct td_turn {
    /* set by who owns it, before the first turn */
    struct tidings_outbox_ops ops;
    void *db;
    struct td_broker_ops broker_ops;
    void *broker;
    void (*on_status)(void *arg, const struct tidings_relay_status *status);
    void *on_status_arg;

    enum td_turn_state state;
    bool standing_by; /* and told so */
    bool empty;       /* the last turn found no row, and nothing is owed */
    tidings_err trouble;
    int pause_ms;  /* the next one after a failure … */
    int fenced_ms; /* … and after it was fenced */
    size_t most;   /* rows of the next list */
    uint64_t last; /* number that was given */
    bool owes;     /* the claim's rows are stored, and not removed yet */
    int64_t counted_us;
    uint64_t relayed;
    uint64_t refused;
    uint64_t waiting;
    int64_t oldest_us;
    struct tidings_outbox_claim claim; /* as it is in the database */
    struct tidings_outbox_claim next;
    struct td_outbox_list list;
    struct tidings_outbox_rows window;
};

void td_turn_init(struct td_turn *t);
void td_turn_fini(struct td_turn *t); /* closes both */

/* Does the next thing. Returns ms after which it wants to be called again, 0:
 * at once; -1: when there are new rows. */
int td_turn(struct td_turn *t, int64_t now_us);

/* What is wrong is told, once. */
void td_turn_trouble(struct td_turn *t, tidings_err err, const char *text);

#endif
