/* Options of streams and groups as msgpack: what stream.c and durable.c
 * share. */
#ifndef TD_OPTION_H
#define TD_OPTION_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/scan.h"

bool td_bytes_equal(struct td_str a, struct td_str b);

/* A string option that is one of n names: its index. Absent leaves *out,
 * anything else is false. */
bool td_option_name(struct td_str map, const char *key,
                    const char *const *names, unsigned n, unsigned *out);

/* A str alone; the others with their key before them. */
void td_option_pack_one(msgpack_packer *pk, struct td_str str);
void td_option_pack_str(msgpack_packer *pk, const char *key,
                        struct td_str value);
void td_option_pack_bool(msgpack_packer *pk, const char *key, bool value);
void td_option_pack_uint(msgpack_packer *pk, const char *key, uint64_t value);

#endif
