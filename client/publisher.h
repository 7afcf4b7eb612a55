/* Closed batches that the broker has not taken yet, in order: what is sent,
 * and sent again in the next session. Pure. */
#ifndef TD_PUBLISHER_H
#define TD_PUBLISHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/packer.h"

struct td_publisher {
    struct td_outgoing *head; /* not taken, oldest first */
    struct td_outgoing **tail;
    struct td_outgoing *unsent; /* first not sent in this session; or NULL */
    uint64_t sent;              /* highest sequence ever sent */
    uint64_t taken;             /* highest taken */
    /* What a packing thread compares with its own counts; see td_packer. */
    atomic_uint_fast64_t taken_events;
    atomic_uint_fast64_t taken_bytes;
    atomic_uint_fast64_t unsent_bytes;
};

void td_publisher_init(struct td_publisher *p);
void td_publisher_fini(struct td_publisher *p);

/* Takes a list of batches over; NULL: none. */
void td_publisher_add(struct td_publisher *p, struct td_outgoing *list);

/* The first unsent batch was sent. */
void td_publisher_sent(struct td_publisher *p);

/* Everything up to this sequence was taken; it is let go. */
void td_publisher_taken(struct td_publisher *p, uint64_t sequence);

/* A new session: all that is held is unsent again. Returns how many events
 * will be sent a second time. */
uint64_t td_publisher_rewind(struct td_publisher *p);

#endif
