/* Handing a request to those who are to answer it. */
#ifndef TD_HAND_H
#define TD_HAND_H

#include "broker/engine/choose.h"
#include "proto/body.h"

/* A request that is being taken. */
struct td_taking {
    struct td_engine *e;
    const struct td_frame *f;
    const struct td_request_row *row;
    struct td_body *body;
    size_t offset;
    struct td_wish wish;
    struct td_asking *asking;
    struct td_refusal why;
    uint64_t round; /* marks instances that have it */
};

bool td_type_is_ping(struct td_str type);

/* To one instance of each group, to all, or, of a ping, to instances whatever
 * they answer: whoever has it, has a task of the asking. False: no memory. */
bool td_hand_out(struct td_taking *t);
/* Which service was to answer it: the one that it names, or whose instance it
 * does, or of the oldest group for its type; NULL: there is none. */
struct td_service *td_hand_meant(const struct td_taking *t);

#endif
