/* Producers and event ids: PROTOCOL.md 5, "Event id". */
#ifndef TD_ID_H
#define TD_ID_H

#include <stdint.h>

#include "proto/limits.h"
#include "proto/scan.h"

/* A ULID: 48 bits of Unix milliseconds, 80 bits of randomness handed in. */
void td_producer_make(uint8_t out[TD_PRODUCER_BYTES], uint64_t unix_ms,
                      const uint8_t random[10]);

/* That of a producer with a name: XXH3, 128 bits, big-endian, of the name. */
void td_producer_named(uint8_t out[TD_PRODUCER_BYTES], struct td_str name);

/* Writes TD_ID_TEXT_BYTES characters and a NUL. */
void td_id_format(char out[TD_ID_TEXT_BYTES + 1],
                  const uint8_t producer[TD_PRODUCER_BYTES], uint64_t sequence);

/* Counts a formatted id up by one: cheaper than formatting it anew. */
void td_id_increment(char id[TD_ID_TEXT_BYTES + 1]);

#endif
