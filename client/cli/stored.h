/* stored.h: an event of a stream as a line of CloudEvents JSON that says where
 * it stands, in an attribute. */
#ifndef TD_CLI_STORED_H
#define TD_CLI_STORED_H

#include <stdint.h>

#include "tidings/tidings.h"

#define TD_STORED_ATTR "streamsequence"

/** Without a line break; *out is freed with tidings_free(). */
tidings_err td_stored_json(char **out, uint64_t sequence,
                           const struct tidings_event *event);

/** What the attribute of an event that was read says; 0: it has none. */
uint64_t td_stored_sequence(const struct tidings_event *event);

#endif
