#include "proto/option.h"

#include "proto/frame.h"

#include <string.h>

bool td_bytes_equal(struct td_str a, struct td_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool td_option_name(struct td_str map, const char *key,
                    const char *const *names, unsigned n, unsigned *out)
{
    struct td_str value = {NULL, 0};

    if (!td_map_find(map, key, &value))
        return true;
    if (!td_map_str(map, key, &value))
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (td_bytes_equal(value, td_str_of(names[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

void td_option_pack_one(msgpack_packer *pk, struct td_str str)
{
    msgpack_pack_str(pk, str.len);
    msgpack_pack_str_body(pk, str.data, str.len);
}

void td_option_pack_str(msgpack_packer *pk, const char *key,
                        struct td_str value)
{
    td_option_pack_one(pk, td_str_of(key));
    td_option_pack_one(pk, value);
}

void td_option_pack_uint(msgpack_packer *pk, const char *key, uint64_t value)
{
    td_option_pack_one(pk, td_str_of(key));
    msgpack_pack_uint64(pk, value);
}

void td_option_pack_bool(msgpack_packer *pk, const char *key, bool value)
{
    td_option_pack_one(pk, td_str_of(key));
    if (value)
        msgpack_pack_true(pk);
    else
        msgpack_pack_false(pk);
}
