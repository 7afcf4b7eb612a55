/* Writing the engine's counters as msgpack, for STATS and advisories. */
#ifndef TD_PACK_H
#define TD_PACK_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/internal.h"

bool td_str_is(struct td_str str, const char *text);

void td_pack_text(msgpack_packer *pk, struct td_str text);
void td_pack_key(msgpack_packer *pk, const char *key);
/* One pair of a map. */
void td_pack_uint(msgpack_packer *pk, const char *key, uint64_t value);
void td_pack_str(msgpack_packer *pk, const char *key, struct td_str value);
void td_pack_dropped(msgpack_packer *pk, const struct td_ledger *ledger);
/* A map with the counts, and room for so many more pairs. */
void td_pack_type_count(msgpack_packer *pk, uint32_t more,
                        const struct td_type_count *count);

#endif
