/* What is stored of a value: eight bytes of checksum, then the value.
 *
 * The checksum is XXH3_64bits of the value, seeded with XXH3_64bits of the key,
 * little endian: a record under another's key is damaged too. */
#ifndef TD_STORE_RECORD_H
#define TD_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/scan.h"

#define TD_RECORD_HEAD_BYTES 8u

/* Writes the checksum at place; len bytes of value stand behind it. */
void td_record_seal(uint8_t *place, struct td_str key, size_t len);

/* Whether stored bytes are what was sealed under the key. */
bool td_record_check(struct td_str key, struct td_str stored);

#endif
