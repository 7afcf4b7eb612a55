#include "proto/scan.h"

#include "proto/limits.h"

#include <string.h>

const struct td_scan_limits td_scan_control = {TD_SCAN_DEPTH_MAX,
                                               TD_SCAN_NODES_MAX, false};
const struct td_scan_limits td_scan_attrs = {1, 2 * TD_ATTRS_MAX + 1, false};
const struct td_scan_limits td_scan_data = {TD_DATA_DEPTH_MAX,
                                            TD_DATA_NODES_MAX, true};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* n: 1, 2, 4 or 8; 0 is 0. Written so that a compiler makes one load of it. */
static uint64_t big_endian(const uint8_t *p, size_t n)
{
    switch (n) {
    case 0:
        return 0;
    case 1:
        return *p;
    case 2:
        return (uint64_t)p[0] << 8 | p[1];
    case 4:
        return be32(p);
    default:
        return (uint64_t)be32(p) << 32 | be32(p + 4);
    }
}

static struct td_head head(enum td_kind kind, size_t size, uint64_t value)
{
    struct td_head h = {kind, size, {.uint = value}};

    return h;
}

static struct td_head head_int(size_t size, int64_t value)
{
    if (value >= 0)
        return head(TD_KIND_UINT, size, (uint64_t)value);

    struct td_head h = {TD_KIND_NINT, size, {.nint = value}};

    return h;
}

static struct td_head head_real(size_t size, const uint8_t *p)
{
    struct td_head h = {TD_KIND_FLOAT, size, {.real = 0}};

    if (size == 5) {
        uint32_t bits = (uint32_t)big_endian(p, 4);
        float f;

        memcpy(&f, &bits, sizeof(f));
        h.u.real = f;
    } else {
        uint64_t bits = big_endian(p, 8);

        memcpy(&h.u.real, &bits, sizeof(bits));
    }
    return h;
}

static int64_t sign_extend(uint64_t value, size_t bytes)
{
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);

    return (int64_t)((value ^ sign) - sign);
}

/* Bytes of each head 0xc0..0xdf, the type byte included; 0 is not msgpack. */
static const uint8_t head_sizes[32] = {
    1, 0, 1, 1, 2, 3, 5, 3, 4, 6, 5, 9, 2, 3, 5, 9, /* nil … uint64 */
    2, 3, 5, 9, 2, 2, 2, 2, 2, 2, 3, 5, 3, 5, 3, 5, /* int8 … map32 */
};

struct td_head td_head_at(const uint8_t *p, const uint8_t *end)
{
    const struct td_head none = {TD_KIND_NONE, 0, {.uint = 0}};
    size_t size;

    if (p >= end)
        return none;
    if (*p <= 0x7f)
        return head(TD_KIND_UINT, 1, *p);
    if (*p >= 0xe0)
        return head_int(1, (int8_t)*p);
    if (*p <= 0x8f)
        return head(TD_KIND_MAP, 1, *p & 0x0f);
    if (*p <= 0x9f)
        return head(TD_KIND_ARRAY, 1, *p & 0x0f);
    if (*p <= 0xbf)
        return head(TD_KIND_STR, 1, *p & 0x1f);

    size = head_sizes[*p - 0xc0];
    if (size == 0 || (size_t)(end - p) < size)
        return none;

    /* The last byte of these heads is the ext type. */
    bool ext = *p >= 0xc7 && *p <= 0xc9;
    uint64_t value = big_endian(p + 1, size - 1 - ext);

    switch (*p) {
    case 0xc0:
        return head(TD_KIND_NIL, size, 0);
    case 0xc2:
    case 0xc3: {
        struct td_head h = {TD_KIND_BOOL, size, {.boolean = *p == 0xc3}};

        return h;
    }
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return head(TD_KIND_BIN, size, value);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return head(TD_KIND_EXT, size, value);
    case 0xca:
    case 0xcb:
        return head_real(size, p + 1);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return head(TD_KIND_UINT, size, value);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return head_int(size, sign_extend(value, size - 1));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return head(TD_KIND_EXT, size, (uint64_t)1 << (*p - 0xd4));
    case 0xd9:
    case 0xda:
    case 0xdb:
        return head(TD_KIND_STR, size, value);
    case 0xdc:
    case 0xdd:
        return head(TD_KIND_ARRAY, size, value);
    default: /* 0xde, 0xdf */
        return head(TD_KIND_MAP, size, value);
    }
}

/* Bytes of a value that is its head alone: 0xc0..0xdf; 0: it is none such. */
static const uint8_t plain_sizes[32] = {
    1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, /* nil … uint64 */
    2, 3, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* int8 … int64 */
};

/* Bytes of a value whose first byte says them all, as nearly every one's does;
 * 0: it is another. */
static size_t plain_size(uint8_t first)
{
    if (first <= 0x7f || first >= 0xe0)
        return 1;
    if (first >= 0xc0)
        return plain_sizes[first - 0xc0];
    return first >= 0xa0 ? 1u + (first & 0x1f) : 0;
}

/* Walks one value. stack[d] counts the values still due at depth d; a
 * container can never ask for more of them than there are bytes left. */
static const uint8_t *walk(const uint8_t *p, const uint8_t *end,
                           const struct td_scan_limits *limits)
{
    uint64_t stack[TD_DATA_DEPTH_MAX + 1];
    unsigned depth = 0;
    size_t nodes = 0;

    stack[0] = 1;
    for (;;) {
        size_t plain = p < end ? plain_size(*p) : 0;
        struct td_head h = {TD_KIND_NIL, plain, {.uint = 0}};
        uint64_t due;

        if (plain == 0)
            h = td_head_at(p, end);
        if (h.kind == TD_KIND_NONE || h.size > (size_t)(end - p) ||
            ++nodes > limits->nodes)
            return NULL;
        p += h.size;
        stack[depth]--;

        switch (h.kind) {
        case TD_KIND_EXT:
            if (!limits->ext)
                return NULL;
            /* fall through */
        case TD_KIND_STR:
        case TD_KIND_BIN:
            if (h.u.len > (uint64_t)(end - p))
                return NULL;
            p += h.u.len;
            break;
        case TD_KIND_ARRAY:
        case TD_KIND_MAP:
            due = h.kind == TD_KIND_MAP ? 2 * h.u.count : h.u.count;
            if (due > (uint64_t)(end - p) || ++depth > limits->depth)
                return NULL;
            stack[depth] = due;
            break;
        default:
            break;
        }
        while (stack[depth] == 0) {
            if (depth == 0)
                return p;
            depth--;
        }
    }
}

bool td_scan(const void *data, size_t len, const struct td_scan_limits *limits)
{
    const uint8_t *p = data;

    return len > 0 && walk(p, p + len, limits) == p + len;
}

/* ---- reader ---- */

struct td_reader td_reader_of(const void *data, size_t len)
{
    struct td_reader r = {data, data};

    if (len > 0) /* nothing may come as NULL, which has no sums */
        r.end += len;
    return r;
}

bool td_read_uint(struct td_reader *r, uint64_t *out)
{
    struct td_head h;

    if (r->p < r->end && *r->p <= 0x7f) { /* a small one, as most are */
        *out = *r->p++;
        return true;
    }
    h = td_head_at(r->p, r->end);
    if (h.kind != TD_KIND_UINT || h.u.uint > INT64_MAX)
        return false;
    *out = h.u.uint;
    r->p += h.size;
    return true;
}

bool td_read_int(struct td_reader *r, int64_t *out)
{
    struct td_head h = td_head_at(r->p, r->end);

    if (h.kind == TD_KIND_UINT && h.u.uint <= INT64_MAX)
        *out = (int64_t)h.u.uint;
    else if (h.kind == TD_KIND_NINT)
        *out = h.u.nint;
    else
        return false;
    r->p += h.size;
    return true;
}

bool td_read_bool(struct td_reader *r, bool *out)
{
    struct td_head h = td_head_at(r->p, r->end);

    if (h.kind != TD_KIND_BOOL)
        return false;
    *out = h.u.boolean;
    r->p += h.size;
    return true;
}

static bool read_bytes(struct td_reader *r, enum td_kind kind,
                       struct td_str *out)
{
    struct td_head h = td_head_at(r->p, r->end);

    if (h.kind != kind || h.u.len > (uint64_t)(r->end - r->p) - h.size)
        return false;
    out->data = (const char *)r->p + h.size;
    out->len = h.u.len;
    r->p += h.size + h.u.len;
    return true;
}

bool td_read_str(struct td_reader *r, struct td_str *out)
{
    size_t left = (size_t)(r->end - r->p);

    if (left > 0 && (*r->p & 0xe0) == 0xa0 && (*r->p & 0x1fu) < left) {
        out->data = (const char *)r->p + 1; /* likewise */
        out->len = *r->p & 0x1fu;
        r->p += 1 + out->len;
        return true;
    }
    return read_bytes(r, TD_KIND_STR, out);
}

bool td_read_bin(struct td_reader *r, struct td_str *out)
{
    return read_bytes(r, TD_KIND_BIN, out);
}

static bool read_count(struct td_reader *r, enum td_kind kind, uint32_t *out)
{
    struct td_head h = td_head_at(r->p, r->end);

    if (h.kind != kind)
        return false;
    *out = (uint32_t)h.u.count; /* array32 and map32 are the widest */
    r->p += h.size;
    return true;
}

bool td_read_array(struct td_reader *r, uint32_t *count)
{
    return read_count(r, TD_KIND_ARRAY, count);
}

bool td_read_map(struct td_reader *r, uint32_t *pairs)
{
    return read_count(r, TD_KIND_MAP, pairs);
}

bool td_read_raw(struct td_reader *r, struct td_str *out)
{
    const uint8_t *after = walk(r->p, r->end, &td_scan_data);

    if (!after)
        return false;
    out->data = (const char *)r->p;
    out->len = (size_t)(after - r->p);
    r->p = after;
    return true;
}

/* ---- maps ---- */

bool td_map_find(struct td_str map, const char *key, struct td_str *out)
{
    struct td_reader r = td_reader_of(map.data, map.len);
    size_t key_len = strlen(key);
    uint32_t pairs;

    if (!td_read_map(&r, &pairs))
        return false;
    while (pairs-- > 0) {
        struct td_str name = {NULL, 0};
        struct td_str value;
        bool is_str = td_read_str(&r, &name);

        if ((!is_str && !td_read_raw(&r, &value)) || !td_read_raw(&r, &value))
            return false;
        if (is_str && name.len == key_len &&
            memcmp(name.data, key, key_len) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* A reader of an option's value; *absent: there is none. */
static struct td_reader option_of(struct td_str map, const char *key,
                                  bool *absent)
{
    struct td_str value = {NULL, 0};

    *absent = !td_map_find(map, key, &value);
    return td_reader_of(value.data, value.len);
}

bool td_map_uint(struct td_str map, const char *key, uint64_t *out)
{
    bool absent;
    struct td_reader r = option_of(map, key, &absent);

    return absent || td_read_uint(&r, out);
}

bool td_map_str(struct td_str map, const char *key, struct td_str *out)
{
    bool absent;
    struct td_reader r = option_of(map, key, &absent);

    return absent || td_read_str(&r, out);
}

bool td_map_bin(struct td_str map, const char *key, struct td_str *out)
{
    bool absent;
    struct td_reader r = option_of(map, key, &absent);

    return absent || td_read_bin(&r, out);
}

bool td_map_bool(struct td_str map, const char *key, bool *out)
{
    bool absent;
    struct td_reader r = option_of(map, key, &absent);

    return absent || td_read_bool(&r, out);
}
