/* Closed batches that the broker has not taken yet, or not confirmed, in
 * order: what is sent, and sent again in the next session. Pure. */
#ifndef TD_PUBLISHER_H
#define TD_PUBLISHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/packer.h"

struct td_publisher {
    struct td_outgoing *head; /* held, oldest first */
    struct td_outgoing *tail;
    struct td_outgoing *unsent;  /* first not sent in this session; or NULL */
    struct td_outgoing *untaken; /* first not taken in any; or NULL */
    struct td_outgoing *near;    /* where the last confirm was; or NULL */
    uint64_t sent;               /* highest sequence ever sent */
    uint64_t taken;              /* highest taken … */
    uint64_t taken_events;       /* … and how many were */
    /* What a packing thread compares with its own counts; see td_packer. */
    atomic_uint_fast64_t done_events; /* let go: taken, and confirmed if that
                                         was asked */
    atomic_uint_fast64_t done_bytes;  /* the same, and waiters that were called:
                                         see td_publisher_called() */
    atomic_uint_fast64_t unsent_bytes;
};

void td_publisher_init(struct td_publisher *p);
void td_publisher_fini(struct td_publisher *p);

/* Takes a list of batches over; NULL: none. Their sequences rise; only when
 * nothing is held may they begin below what was taken. */
void td_publisher_add(struct td_publisher *p, struct td_outgoing *list);

/* The first unsent batch was sent, all of it. */
void td_publisher_sent(struct td_publisher *p);

/* The last sequence sent in this session; not less than the last let go. */
uint64_t td_publisher_sent_here(const struct td_publisher *p);

/* Everything up to this sequence was taken. What need not be confirmed is let
 * go. */
void td_publisher_taken(struct td_publisher *p, uint64_t sequence);

/* The batch that is held with this event; NULL: none is. */
struct td_outgoing *td_publisher_find(struct td_publisher *p,
                                      uint64_t sequence);

/* These events of a batch that was taken are confirmed, as td_outgoing_tell();
 * it is let go when all of them are. */
uint32_t td_publisher_tell(struct td_publisher *p, struct td_outgoing *out,
                           struct td_stretch s);

/* The last sequence of which all up to it are taken, and confirmed if that was
 * asked. */
uint64_t td_publisher_done(const struct td_publisher *p);

/* Nobody will confirm it any more: it is let go. Returns how many of its events
 * were not confirmed. */
uint32_t td_publisher_give_up(struct td_publisher *p, struct td_outgoing *out);

/* What the broker has of a numbering that others have begun. */
void td_publisher_begin(struct td_publisher *p, uint64_t taken);

/* So many waiters were called: they take no memory any more. */
void td_publisher_called(struct td_publisher *p, size_t waiters);

/* A new session: all that is held is unsent again, but for events that are
 * confirmed. Returns how many will be sent a second time. */
uint64_t td_publisher_rewind(struct td_publisher *p);

#endif
