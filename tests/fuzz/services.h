/* The engine, and what is known of the peers around it. */
#ifndef TESTS_FUZZ_SERVICES_H
#define TESTS_FUZZ_SERVICES_H

#include "tests/fuzz/fuzz.h"

#include "broker/engine/internal.h"

#define PEERS   4u
#define NUMBERS 256u
#define TASKS   32u   /* remembered of a peer */
#define LEFT_MS 1000u /* at most */

struct peer {
    bool here;
    uint64_t messages;       /* HANDLE and RESPONSE */
    uint32_t asked[NUMBERS]; /* and not answered: what is refused at once leaves
                                its number free */
    bool many[NUMBERS];
    uint64_t tasks[TASKS]; /* the last that it was handed */
    uint32_t tasks_len;
};

extern struct world {
    struct td_engine *engine;
    int64_t now;
    const uint8_t *p; /* the input */
    const uint8_t *end;
    struct peer peers[PEERS];
    struct td_buf options;
    struct td_buf list;
    struct td_buf control;
} w;

/* services_steps.c */
void step(void);
/* All that it was sent, or all but a few. */
void say_read(unsigned p);

#endif
