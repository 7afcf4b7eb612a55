/* The batch that is being packed. Pure; the bus guards it with a lock of its
 * own, so that packing an event never waits for the link. */
#ifndef TD_PACKER_H
#define TD_PACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/outgoing.h"
#include "proto/batch.h"
#include "proto/body.h"
#include "tidings/err.h"

/* A closed batch keeps memory beside its body: counted, so that many tiny
 * batches meet the bound on bytes too. */
#define TD_OUTGOING_BYTES 256u

struct td_open_run {
    uint32_t type_at; /* in types */
    uint32_t type_len;
    uint32_t flags;
    uint32_t count;
    uint32_t bytes;
    uint64_t first;
};

struct td_packer {
    uint8_t producer[TD_PRODUCER_BYTES];
    struct td_str source;   /* borrowed */
    uint64_t sequence;      /* of the event packed last */
    uint64_t packed_events; /* ever */
    uint64_t packed_bytes;  /* ever, TD_OUTGOING_BYTES a batch included, and
                               TD_WAITER_BYTES a waiter */
    struct td_body *body;   /* NULL: nothing is packed */
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t cap_hint; /* what the last one needed */
    int64_t base_us;
    uint32_t events;
    enum tidings_level level; /* of all of them */
    struct td_waiter *waiters;
    size_t waiters_len;
    size_t waiters_cap;
    size_t waiters_hint; /* how many the last one had */
    struct td_open_run *runs;
    uint32_t runs_len;
    uint32_t runs_cap;
    struct td_buf types;
    struct td_buf table;
    /* closed batches that nobody has taken from here yet */
    struct td_outgoing *closed;
    struct td_outgoing **closed_tail;
    size_t closed_bytes;
};

/* An event to be packed: flags of enum td_run_flag; attrs an encoded map, or
 * empty; on_confirm needs a level. */
struct td_packing {
    struct td_str type;
    uint32_t flags;
    int64_t time_us;
    const void *data;
    size_t len;
    struct td_str attrs;
    uint64_t sequence; /* 0: the next */
    enum tidings_level level;
    tidings_on_confirm on_confirm; /* NULL: nobody waits */
    void *arg;
};

/* A batch of its own, that is stored as a whole or not at all. */
struct td_apart {
    bool expects; /* only if this is the stream's last sequence */
    uint64_t expected;
    bool of_key; /* that of the events' key, not of the stream */
    struct td_due_option due;
};

void td_packer_init(struct td_packer *p,
                    const uint8_t producer[TD_PRODUCER_BYTES],
                    struct td_str source);
void td_packer_fini(struct td_packer *p);

/* Closes the batch first if its events are of another level, or not those just
 * before the event's sequence.
 *
 * TIDINGS_EFULL: the batch has to be closed first; TIDINGS_EINVAL: the type is
 * none that may be published; TIDINGS_ENOMEM. Nothing is packed then. */
tidings_err td_packer_pack(struct td_packer *p, const struct td_packing *event);

/* The same for all of them, as one batch and nothing else in it; they have one
 * level, not 0. TIDINGS_ELIMIT: they are too much for one batch. */
tidings_err td_packer_pack_apart(struct td_packer *p,
                                 const struct td_packing *events, size_t len,
                                 const struct td_apart *apart);

/* Whether the batch is as large as one should be. */
bool td_packer_is_full(const struct td_packer *p);

/* Closes the batch and begins the next. Nothing happens when it is empty, or
 * when there is no memory: then it goes on. */
void td_packer_close(struct td_packer *p);

/* All closed batches, as a list, oldest first. */
struct td_outgoing *td_packer_take(struct td_packer *p);

#endif
