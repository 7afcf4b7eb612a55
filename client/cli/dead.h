/* dead.h: the event of a dead letter, from the table and body that the broker
 * answers with (PROTOCOL.md 5 and 10.3). */
#ifndef TD_CLI_DEAD_H
#define TD_CLI_DEAD_H

#include "tidings/tidings.h"

#define TD_DEAD_ID_BYTES 41 /* 26 digits of the producer, '-', 13, NUL */

struct td_dead {
    struct tidings_event event; /* what it points to is here and in the row */
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX];
    char made_id[TD_DEAD_ID_BYTES];
    char *texts; /* strings, each with its NUL */
};

/** @param row  of dlq.list with data; lives as long as the event is used.
 *  @return TIDINGS_OK, for td_dead_fini(); TIDINGS_ENOTFOUND: the row has no
 *          event; TIDINGS_EPROTO: not what PROTOCOL.md says; TIDINGS_ENOMEM */
tidings_err td_dead_open(struct td_dead *out, struct tidings_value row);
void td_dead_fini(struct td_dead *dead);

#endif
