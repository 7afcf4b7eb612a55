/* What this process publishes: the batch that is being packed, and those that
 * the broker has not taken yet. Pure: no clock, no socket, no lock. */
#ifndef TD_PUBLISHER_H
#define TD_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/batch.h"
#include "proto/body.h"
#include "tidings/err.h"

/* A closed batch: its table encoded, its body shared with the link. */
struct td_outgoing {
    struct td_outgoing *next;
    struct td_body *body;
    uint64_t last; /* sequence of its last event */
    uint32_t events;
    uint32_t bytes;   /* of the body */
    bool was_sent;    /* in this session or an earlier one */
    size_t wire_len;
    uint8_t wire[]; /* the list of batches, as PUBLISH carries it */
};

struct td_open_run {
    uint32_t type_at; /* in types */
    uint32_t type_len;
    uint32_t flags;
    uint32_t count;
    uint32_t bytes;
    uint64_t first;
};

struct td_publisher {
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_str source; /* borrowed */
    uint64_t sequence;    /* of the event packed last */
    uint64_t sent;        /* highest ever sent */
    uint64_t taken;       /* highest taken */
    /* the batch being packed */
    struct td_body *body; /* NULL: none */
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t cap_hint;
    int64_t base_us;
    uint32_t events;
    struct td_open_run *runs;
    uint32_t runs_len;
    uint32_t runs_cap;
    struct td_buf types;
    struct td_buf table;
    /* closed and not taken, oldest first */
    struct td_outgoing *head;
    struct td_outgoing **tail;
    struct td_outgoing *unsent; /* first not sent in this session; or NULL */
    /* all of it, the open batch included, and its bounds */
    uint64_t held_events;
    uint64_t held_bytes;
    uint64_t unsent_bytes; /* closed, not sent in this session */
    uint64_t events_max;
    uint64_t bytes_max;
};

void td_publisher_init(struct td_publisher *p,
                       const uint8_t producer[TD_PRODUCER_BYTES],
                       struct td_str source, uint64_t events_max,
                       uint64_t bytes_max);
void td_publisher_fini(struct td_publisher *p);

/**
 * Pack one event into the open batch.
 *
 * @param type   valid, not the system's.
 * @param flags  enum td_run_flag.
 * @param attrs  an encoded map, or empty.
 * @return TIDINGS_OK      packed; td_publisher_is_full() may now be true.
 *         TIDINGS_EFULL   events_max or bytes_max is reached.
 *         TIDINGS_ENOMEM  nothing was packed.
 */
tidings_err td_publisher_pack(struct td_publisher *p, struct td_str type,
                              uint32_t flags, int64_t time_us,
                              const void *data, size_t len,
                              struct td_str attrs);

/* Whether the open batch is as large as one should be. */
bool td_publisher_is_full(const struct td_publisher *p);

/* Closes the open batch; nothing to do is TIDINGS_OK. */
tidings_err td_publisher_close(struct td_publisher *p);

/* The first unsent batch was sent. */
void td_publisher_sent(struct td_publisher *p);

/* Everything up to this sequence was taken; it is let go. */
void td_publisher_taken(struct td_publisher *p, uint64_t sequence);

/* A new session: all that is held is unsent again. Returns how many events
 * will be sent a second time. */
uint64_t td_publisher_rewind(struct td_publisher *p);

#endif
