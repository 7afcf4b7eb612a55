/* Streams and groups that whoever starts the broker wants to be there. */
#ifndef TD_DECLARE_H
#define TD_DECLARE_H

#include <stdint.h>

#include "proto/stream.h"
#include "tidings/err.h"

struct td_engine;

struct td_declared_group {
    struct td_durable_options options;
    unsigned given; /* of enum td_given: only these are compared */
};

/* Borrowed, during calls alone. */
struct td_declared {
    const struct td_stream_options *streams;
    uint32_t streams_len;
    const struct td_declared_group *groups;
    uint32_t groups_len;
};

/**
 * Have streams and groups be there, all of them or none, and then the default
 * stream. A stream that is there gets the bounds of the list; one that is
 * another, or a group with other options, is in the way. Streams of one list may
 * not overlap.
 *
 * @param at    on failure which of the list it is: streams, then groups; their
 *              number if it is none of them.
 * @param text  on failure why; valid until the next call.
 * @return TIDINGS_ENOMEM: some of them may be there.
 */
tidings_err td_engine_declare(struct td_engine *e, const struct td_declared *d,
                              uint32_t *at, const char **text);

#endif
