/* What breaker, bulkhead and retry share. */
#ifndef TD_RESILIENCE_H
#define TD_RESILIENCE_H

#include <stdint.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "tidings/resilience.h"

/* A name of an option: copied, "" for NULL. TIDINGS_EINVAL, and the detail. */
tidings_err td_take_name(char out[TD_NAME_BYTES_MAX + 1], const char *name);

/* A number of an option: otherwise for 0, EINVAL outside 1..most. */
tidings_err td_take_number(uint32_t *out, const char *what, int value,
                           uint32_t otherwise, uint32_t most);

/* The same where -1 is none, which is 0. */
tidings_err td_take_number_or_none(uint32_t *out, const char *what, int value,
                                   uint32_t otherwise, uint32_t most);

/* breaker.c: the breakers that are attached to a bus, as one value of msgpack:
 * PROTOCOL.md 11.1, of a ping. Takes their locks. */
void td_breakers_pack(struct td_buf *out, const tidings_bus *bus);

#endif
