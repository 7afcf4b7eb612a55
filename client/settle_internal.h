/* What the files of settling share, and nobody else includes.
 *
 * settle.c       what was received, and what became of it
 * settle_hold.c  what is held, and what is given back unseen
 * settle_send.c  what the broker is told, and what it has heard
 * settle_bits.c  one bit for each tag */
#ifndef TD_SETTLE_INTERNAL_H
#define TD_SETTLE_INTERNAL_H

#include "client/settle.h"

/* What is not an ack. */
struct td_settle_row {
    struct td_settle_row *prev;
    struct td_settle_row *next;
    uint64_t verb;
    uint64_t first;
    uint64_t last;
    uint64_t delay_ms;
    uint64_t ping; /* sent: this PING, or a later one, proves it */
    size_t reason_len;
    char reason[];
};

/* settle.c */
bool td_settling_add_row(struct td_settling *s, const struct td_settle *how,
                         uint64_t first, uint64_t last);
/* All of first..last are unsettled; false: no memory. */
bool td_settling_settle_run(struct td_settling *s, const struct td_settle *how,
                            uint64_t first, uint64_t last);
/* Some unsettled ones are about to be, or to be said to be later. */
void td_settling_handled(struct td_settling *s, uint64_t first, uint64_t last);
/* After some were settled. */
void td_settling_advance(struct td_settling *s);

/* settle_hold.c: of first..last, those that are lost from now on. */
uint64_t td_settling_lose(struct td_settling *s, uint64_t first, uint64_t last);

/* settle_bits.c: of tags first..last, which are above floor and at most
 * received, or none. */
void td_bits_set(struct td_settling *s, enum td_settle_bits set, uint64_t first,
                 uint64_t last, bool value);
uint64_t td_bits_count(const struct td_settling *s, enum td_settle_bits set,
                       uint64_t first, uint64_t last);
/* The first whose bit has this value; last + 1: none. */
uint64_t td_bits_find(const struct td_settling *s, enum td_settle_bits set,
                      uint64_t first, uint64_t last, bool value);
/* The next in a row whose bit has this value, *first to *end - 1; false: there
 * are none. */
bool td_bits_run(const struct td_settling *s, enum td_settle_bits set,
                 uint64_t *first, uint64_t *end, uint64_t last, bool value);
/* Room for tags up to last. */
bool td_bits_reserve(struct td_settling *s, uint64_t last);

#endif
