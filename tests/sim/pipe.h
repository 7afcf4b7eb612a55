/* One direction of a link, in all the simulations: messages that arrive in
 * order, each when it is due. */
#ifndef TESTS_SIM_PIPE_H
#define TESTS_SIM_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/body.h"

struct sim_message {
    struct sim_message *next;
    int64_t at_ms; /* when it arrives */
    unsigned frames;
    struct td_body *body;
    size_t len;
    uint8_t control[];
};

struct sim_pipe {
    struct sim_message *head;
    struct sim_message **tail;
    size_t len;
    int64_t last_ms;  /* nothing overtakes what was sent before */
    int64_t stall_ms; /* nothing arrives before this */
    bool hole;        /* everything is swallowed */
};

void sim_pipe_init(struct sim_pipe *pipe);
/* Puts a message on its way, and a reference to its body (NULL: none); false: no
 * memory. */
bool sim_pipe_put(struct sim_pipe *pipe, int64_t at_ms, unsigned frames,
                  const void *control, size_t len, struct td_body *body);
/* The next that has arrived, the caller's; NULL: none has. */
struct sim_message *sim_pipe_get(struct sim_pipe *pipe, int64_t now_ms);
/* When the next arrives; INT64_MAX: none is under way. */
int64_t sim_pipe_next_ms(const struct sim_pipe *pipe);
/* Loses all but the first so many. */
void sim_pipe_cut(struct sim_pipe *pipe, uint64_t keep);
void sim_message_free(struct sim_message *m); /* NULL does nothing */

#endif
