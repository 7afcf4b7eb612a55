/* What a member of a durable group has been delivered, and what has become of
 * it: by tag, from delivery until the broker is known to have heard of it
 * (PROTOCOL.md 10.2). Pure, and of one session of the broker's.
 *
 *        received          settled            sent           proven
 *   ... --------> unsettled ------> unsent ---------> sent ---------> forgotten
 *                                      ^    resumed     |
 *                                      +----------------+
 *
 * Tags stand in bitmaps, a ring from the first that is not settled and sent to
 * the last that was received; so a batch of acks costs a few words whatever
 * its order, and leaves as one row. What is not an ack is a row from the
 * start. */
#ifndef TD_SETTLE_H
#define TD_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "tidings/err.h"

struct td_settle_row;

/* One bit for each tag. */
enum td_settle_bits {
    TD_BITS_SETTLED,
    TD_BITS_UNSENT, /* acked, and the broker is to be told */
    TD_BITS_AGAIN,  /* sent again after the link was lost */
    TD_BITS_LATER,  /* its handler has returned; somebody will settle it */
    TD_BITS_BEGUN,  /* somebody has begun with it, and it is held no more */
    TD_BITS_LOST,   /* nobody has, and the broker has taken it away */
    TD_BITS
};

/* Where a thread is that calls handlers: at a tag, and those before it, from
 * the first on, it is done with, but they are not settled here yet. */
struct td_at {
    uint64_t first;
    uint64_t tag;
};

struct td_settling {
    uint64_t received;    /* the highest tag delivered */
    uint64_t taken;       /* all up to it are settled … */
    uint64_t taken_bytes; /* … and of whole parts up to it */
    uint64_t handled;     /* are settled, or will be by somebody */
    uint64_t floor;       /* all up to it are settled and sent: no bits */
    uint64_t *bits[TD_BITS];
    uint64_t words;               /* of each; a power of two */
    uint64_t acks;                /* unsent */
    struct td_settle_row *unsent; /* but acks */
    struct td_settle_row *sent;   /* which may be lost with the link */
    struct {
        uint64_t last; /* of the part */
        uint64_t bytes;
    } * parts;          /* a ring */
    uint64_t parts_cap; /* a power of two */
    uint64_t parts_at;
    uint64_t parts_len;
    /* Acks may be lost with the link as well: */
    uint64_t proven;    /* all up to it have arrived */
    uint64_t unproven;  /* these will have, … */
    uint64_t proving;   /* … when this PING or a later one is answered; 0 */
    uint64_t lost_last; /* from there on up to this one they are to be sent
                             again; 0: none */
    uint64_t lost;      /* the highest tag that is, of the last look; 0: none */
    uint64_t again;     /* all up to it were sent again … */
    uint64_t again_until; /* … and are answered when this PING is; 0: none */
    /* since the subscription began, over sessions */
    uint64_t acked;
    uint64_t naked;
    uint64_t released;
    uint64_t termed;
};

/* Zeroed memory is one of a session that has begun. */
void td_settling_fini(struct td_settling *s);
/* Another session: all is forgotten but the totals. */
void td_settling_reset(struct td_settling *s);

/* A part of so many events was delivered; false: no memory, nothing changed. */
bool td_settling_receive(struct td_settling *s, uint64_t events,
                         uint64_t bytes);
/* The last part was not, after all. */
void td_settling_take_back(struct td_settling *s, uint64_t events);

/**
 * Settle those of first..last that are not yet.
 *
 * @param how  its tags and verb: any but progress; reason is copied.
 * @return TIDINGS_OK
 *         TIDINGS_EEXIST    all of them were settled before.
 *         TIDINGS_ENOTFOUND they were not delivered.
 *         TIDINGS_ENOMEM    a row cannot be kept: the session is to end, so
 *                           that the broker delivers it again.
 */
tidings_err td_settling_settle(struct td_settling *s,
                               const struct td_settle *how);
/* Their handlers have returned, and somebody will settle them. */
void td_settling_later(struct td_settling *s, uint64_t first, uint64_t last);
/* Whether a tag is neither settled nor unknown. */
bool td_settling_is_open(const struct td_settling *s, uint64_t tag);

/* Whether there are some that somebody will settle. */
bool td_settling_has_later(const struct td_settling *s);

/* All that is unsettled is given back. TIDINGS_OK, or as above. */
tidings_err td_settling_release_all(struct td_settling *s);
/* Those up to last that nobody has begun with are given back, but for what the
 * broker has taken away anyway. TIDINGS_OK, or as above. */
tidings_err td_settling_give_back(struct td_settling *s, uint64_t last,
                                  const struct td_at *at, unsigned at_len);
/* Somebody is at work on a tag; false: there is nothing to say, or no memory to
 * say it. */
bool td_settling_progress(struct td_settling *s, uint64_t tag);
/* The broker is told that all is in hand that nobody has begun with, and once
 * more what was begun with since the last time; false as above. */
bool td_settling_hold(struct td_settling *s, const struct td_at *at,
                      unsigned at_len);

/* Whether there is something to send. */
bool td_settling_has_unsent(const struct td_settling *s);

/* The next row to be sent, which now counts as sent; its reason is valid until
 * the next call of anything. ping: all PING so far had lower numbers. false:
 * there are no more. */
bool td_settling_next(struct td_settling *s, struct td_settle *row,
                      uint64_t ping);

/* The PING of this number was answered: what was sent before it has arrived. */
void td_settling_proved(struct td_settling *s, uint64_t ping);
/* The session is resumed: what may have been lost is sent again; the next PING
 * will have this number. window: the broker never has more than so many events
 * out, so that what it delivers proves what it has heard. */
void td_settling_again(struct td_settling *s, uint64_t window, uint64_t ping);

/* The broker did not believe these: how many of them that is news of, because
 * they were not just sent again. All up to received. Those that nobody has begun
 * with, and that were to be held, are lost, and do not count. */
uint64_t td_settling_refused(struct td_settling *s, uint64_t first,
                             uint64_t last, bool known);

#endif
