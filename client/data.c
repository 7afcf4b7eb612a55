/* tidings/data.h: writing with msgpack-c, reading with the bounded scanner. */
#include "tidings/data.h"

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/scan.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

struct tidings_writer {
    struct td_buf buf;
    msgpack_packer pk;
};

tidings_writer *tidings_writer_new(void)
{
    tidings_writer *w = calloc(1, sizeof(*w));

    if (w)
        msgpack_packer_init(&w->pk, &w->buf, td_buf_pack_write);
    return w;
}

void tidings_writer_free(tidings_writer *w)
{
    if (!w)
        return;
    td_buf_fini(&w->buf);
    free(w);
}

void tidings_writer_reset(tidings_writer *w)
{
    if (w)
        td_buf_reset(&w->buf);
}

/* Failures stick in the buffer, so what the packer returns is not needed. */
void tidings_put_map(tidings_writer *w, uint32_t pairs)
{
    if (w)
        msgpack_pack_map(&w->pk, pairs);
}

void tidings_put_array(tidings_writer *w, uint32_t items)
{
    if (w)
        msgpack_pack_array(&w->pk, items);
}

void tidings_put_nil(tidings_writer *w)
{
    if (w)
        msgpack_pack_nil(&w->pk);
}

void tidings_put_bool(tidings_writer *w, bool value)
{
    if (w && value)
        msgpack_pack_true(&w->pk);
    else if (w)
        msgpack_pack_false(&w->pk);
}

void tidings_put_int(tidings_writer *w, int64_t value)
{
    if (w)
        msgpack_pack_int64(&w->pk, value);
}

void tidings_put_uint(tidings_writer *w, uint64_t value)
{
    if (w)
        msgpack_pack_uint64(&w->pk, value);
}

void tidings_put_double(tidings_writer *w, double value)
{
    if (w)
        msgpack_pack_double(&w->pk, value);
}

void tidings_put_string(tidings_writer *w, const char *value)
{
    if (value)
        tidings_put_string_n(w, value, strlen(value));
    else
        tidings_put_nil(w);
}

void tidings_put_string_n(tidings_writer *w, const char *value, size_t len)
{
    if (!w)
        return;
    msgpack_pack_str(&w->pk, len);
    msgpack_pack_str_body(&w->pk, value, len);
}

void tidings_put_binary(tidings_writer *w, const void *value, size_t len)
{
    if (!w)
        return;
    msgpack_pack_bin(&w->pk, len);
    msgpack_pack_bin_body(&w->pk, value, len);
}

tidings_err tidings_writer_bytes(tidings_writer *w, const void **out,
                                 size_t *len)
{
    if (!w || w->buf.failed)
        return TIDINGS_ENOMEM;
    if (!out || !len || w->buf.len == 0)
        return TIDINGS_EINVAL;
    if (w->buf.len > TD_DATA_BYTES_MAX)
        return TIDINGS_ELIMIT;
    if (!td_scan(w->buf.data, w->buf.len, &td_scan_data))
        return TIDINGS_EINVAL;
    *out = w->buf.data;
    *len = w->buf.len;
    return TIDINGS_OK;
}

/* ---- reading ---- */

static struct td_reader reader_of(struct tidings_value value)
{
    return td_reader_of(value.bytes, value.bytes ? value.len : 0);
}

static struct td_head head_of(struct tidings_value value)
{
    struct td_reader r = reader_of(value);

    return td_head_at(r.p, r.end);
}

static struct tidings_value value_of(struct td_str raw)
{
    struct tidings_value value = {(const unsigned char *)raw.data, raw.len};

    return value;
}

tidings_err tidings_value_read(struct tidings_value *out, const void *data,
                               size_t len)
{
    if (!out || !data || !td_scan(data, len, &td_scan_data))
        return TIDINGS_EPROTO;
    out->bytes = data;
    out->len = len;
    return TIDINGS_OK;
}

enum tidings_kind tidings_value_kind(struct tidings_value value)
{
    switch (head_of(value).kind) {
    case TD_KIND_BOOL:
        return TIDINGS_KIND_BOOL;
    case TD_KIND_UINT:
    case TD_KIND_NINT:
        return TIDINGS_KIND_INT;
    case TD_KIND_FLOAT:
        return TIDINGS_KIND_DOUBLE;
    case TD_KIND_STR:
        return TIDINGS_KIND_STRING;
    case TD_KIND_BIN:
        return TIDINGS_KIND_BINARY;
    case TD_KIND_ARRAY:
        return TIDINGS_KIND_ARRAY;
    case TD_KIND_MAP:
        return TIDINGS_KIND_MAP;
    case TD_KIND_EXT:
        return TIDINGS_KIND_EXT;
    case TD_KIND_NIL:
    case TD_KIND_NONE:
        break;
    }
    return TIDINGS_KIND_NIL;
}

size_t tidings_value_count(struct tidings_value value)
{
    struct td_head h = head_of(value);

    return h.kind == TD_KIND_ARRAY || h.kind == TD_KIND_MAP ? (size_t)h.u.count
                                                            : 0;
}

tidings_err tidings_get(struct tidings_value *out, struct tidings_value map,
                        const char *key)
{
    struct td_str raw = {(const char *)map.bytes, map.len};
    struct td_str found;

    if (!out || !key)
        return TIDINGS_EINVAL;
    if (!map.bytes || !td_map_find(raw, key, &found))
        return TIDINGS_ENOTFOUND;
    *out = value_of(found);
    return TIDINGS_OK;
}

/* Walks to the n-th value behind the head; false past the last of count. */
static bool nth(struct td_reader *r, size_t n, size_t count)
{
    struct td_str skipped;

    if (n >= count)
        return false;
    while (n-- > 0) {
        if (!td_read_raw(r, &skipped))
            return false;
    }
    return true;
}

tidings_err tidings_at(struct tidings_value *out, struct tidings_value array,
                       size_t i)
{
    struct td_reader r = reader_of(array);
    struct td_str raw;
    uint32_t count;

    if (!out)
        return TIDINGS_EINVAL;
    if (!td_read_array(&r, &count) || !nth(&r, i, count) ||
        !td_read_raw(&r, &raw))
        return TIDINGS_ENOTFOUND;
    *out = value_of(raw);
    return TIDINGS_OK;
}

tidings_err tidings_pair_at(struct tidings_value *key,
                            struct tidings_value *value,
                            struct tidings_value map, size_t i)
{
    struct td_reader r = reader_of(map);
    struct td_str raw_key;
    struct td_str raw_value;
    uint32_t pairs;

    if (!key || !value)
        return TIDINGS_EINVAL;
    if (!td_read_map(&r, &pairs) || i >= pairs ||
        !nth(&r, 2 * i, 2 * (size_t)pairs) || !td_read_raw(&r, &raw_key) ||
        !td_read_raw(&r, &raw_value))
        return TIDINGS_ENOTFOUND;
    *key = value_of(raw_key);
    *value = value_of(raw_value);
    return TIDINGS_OK;
}

tidings_err tidings_as_bool(bool *out, struct tidings_value value)
{
    struct td_reader r = reader_of(value);

    return out && td_read_bool(&r, out) ? TIDINGS_OK : TIDINGS_EINVAL;
}

tidings_err tidings_as_int(int64_t *out, struct tidings_value value)
{
    struct td_reader r = reader_of(value);

    return out && td_read_int(&r, out) ? TIDINGS_OK : TIDINGS_EINVAL;
}

tidings_err tidings_as_uint(uint64_t *out, struct tidings_value value)
{
    struct td_head h = head_of(value);

    if (!out || h.kind != TD_KIND_UINT)
        return TIDINGS_EINVAL;
    *out = h.u.uint;
    return TIDINGS_OK;
}

tidings_err tidings_as_double(double *out, struct tidings_value value)
{
    struct td_head h = head_of(value);

    if (!out)
        return TIDINGS_EINVAL;
    if (h.kind == TD_KIND_FLOAT)
        *out = h.u.real;
    else if (h.kind == TD_KIND_UINT)
        *out = (double)h.u.uint;
    else if (h.kind == TD_KIND_NINT)
        *out = (double)h.u.nint;
    else
        return TIDINGS_EINVAL;
    return TIDINGS_OK;
}

tidings_err tidings_as_string(const char **out, size_t *len,
                              struct tidings_value value)
{
    struct td_reader r = reader_of(value);
    struct td_str str;

    if (!out || !len || !td_read_str(&r, &str))
        return TIDINGS_EINVAL;
    *out = str.data;
    *len = str.len;
    return TIDINGS_OK;
}

tidings_err tidings_as_binary(const void **out, size_t *len,
                              struct tidings_value value)
{
    struct td_reader r = reader_of(value);
    struct td_str str;

    if (!out || !len || !td_read_bin(&r, &str))
        return TIDINGS_EINVAL;
    *out = str.data;
    *len = str.len;
    return TIDINGS_OK;
}

tidings_err tidings_get_int(int64_t *out, struct tidings_value map,
                            const char *key)
{
    struct tidings_value value;
    tidings_err err = tidings_get(&value, map, key);

    return err ? err : tidings_as_int(out, value);
}

tidings_err tidings_get_uint(uint64_t *out, struct tidings_value map,
                             const char *key)
{
    struct tidings_value value;
    tidings_err err = tidings_get(&value, map, key);

    return err ? err : tidings_as_uint(out, value);
}

tidings_err tidings_get_string(char *out, size_t size, struct tidings_value map,
                               const char *key)
{
    struct tidings_value value;
    const char *text;
    size_t len;
    tidings_err err = tidings_get(&value, map, key);

    if (!err)
        err = tidings_as_string(&text, &len, value);
    if (err)
        return err;
    if (!out || len >= size)
        return TIDINGS_ELIMIT;
    memcpy(out, text, len);
    out[len] = '\0';
    return TIDINGS_OK;
}
