/* What wakes a relay's thread: a pipe, so that it can be waited for together
 * with a database's connection, and the word that it is to end. */
#ifndef OUTBOX_SIGNAL_H
#define OUTBOX_SIGNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct td_signal {
    int fd[2];              /* read, write; -1: none */
    _Atomic int64_t end_ms; /* when it was told to end; 0: it was not */
};

bool td_signal_init(struct td_signal *s);
void td_signal_fini(struct td_signal *s);
void td_signal_wake(struct td_signal *s); /* any thread */
void td_signal_end(struct td_signal *s);  /* any thread */
bool td_signal_ended(struct td_signal *s);
/* Whether it was told so longer ago. */
bool td_signal_ended_for(struct td_signal *s, int ms);

/* Waits for a wake or for so long; wakes that came before count. */
void td_signal_wait(struct td_signal *s, int timeout_ms);
/* Wakes that came before count no more. */
void td_signal_clear(struct td_signal *s);
/* Waits for so long or for the end, whoever wakes. */
void td_signal_rest(struct td_signal *s, int timeout_ms);

int64_t td_signal_now_ms(void); /* of a monotonic clock */

#endif
