#include "broker/engine/pack.h"

#include <string.h>

bool td_str_is(struct td_str str, const char *text)
{
    return str.len == strlen(text) && memcmp(str.data, text, str.len) == 0;
}

void td_pack_text(msgpack_packer *pk, struct td_str text)
{
    msgpack_pack_str(pk, text.len);
    msgpack_pack_str_body(pk, text.data, text.len);
}

void td_pack_key(msgpack_packer *pk, const char *key)
{
    td_pack_text(pk, td_str_of(key));
}

void td_pack_uint(msgpack_packer *pk, const char *key, uint64_t value)
{
    td_pack_key(pk, key);
    msgpack_pack_uint64(pk, value);
}

void td_pack_str(msgpack_packer *pk, const char *key, struct td_str value)
{
    td_pack_key(pk, key);
    td_pack_text(pk, value);
}

void td_pack_dropped(msgpack_packer *pk, const struct td_ledger *ledger)
{
    td_pack_key(pk, "dropped");
    msgpack_pack_map(pk, TD_DROPS);
    for (int i = 0; i < TD_DROPS; i++)
        td_pack_uint(pk, td_drop_names[i], ledger->dropped[i]);
}

void td_pack_type_count(msgpack_packer *pk, uint32_t more,
                        const struct td_type_count *count)
{
    msgpack_pack_map(pk, 5 + more);
    td_pack_uint(pk, "published", count->published);
    td_pack_uint(pk, "duplicates", count->duplicates);
    td_pack_uint(pk, "routed", count->routed);
    td_pack_uint(pk, "unmatched", count->unmatched);
    td_pack_uint(pk, "bytes", count->bytes);
}
