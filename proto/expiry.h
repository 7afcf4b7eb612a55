/* An event's expirytime (PROTOCOL.md 5, 10.5): after it nobody is to have it. */
#ifndef TD_EXPIRY_H
#define TD_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/batch.h"

/* The moment that an expirytime says, in Unix microseconds; false: it is none,
 * and the event never expires. */
bool td_expiry_read(int64_t *out_us, struct td_str text);

/* The same of an opened event; false also when it has none. */
bool td_expiry_of(int64_t *out_us, const struct td_event *event);

#endif
