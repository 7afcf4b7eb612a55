/* The scanner against msgpack-c: what the scanner accepts, msgpack-c decodes
 * whole, and both see the same values. What it refuses is not shown to
 * msgpack-c, which would allocate by the counts alone. */
#include "tests/fuzz/fuzz.h"

#include <msgpack.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/scan.h"

static void compare(struct td_reader *r, const msgpack_object *o);

static void compare_bytes(struct td_reader *r, struct td_head h,
                          const char *ptr, uint32_t size)
{
    FUZZ_CHECK(h.u.len == size);
    FUZZ_CHECK(size == 0 || memcmp(r->p, ptr, size) == 0);
    r->p += size;
}

static void compare_real(double ours, double theirs)
{
    FUZZ_CHECK(ours == theirs || (ours != ours && theirs != theirs));
}

static void compare_items(struct td_reader *r, struct td_head h,
                          const msgpack_object_array *array)
{
    FUZZ_CHECK(h.u.count == array->size);
    for (uint32_t i = 0; i < array->size; i++)
        compare(r, &array->ptr[i]);
}

static void compare_pairs(struct td_reader *r, struct td_head h,
                          const msgpack_object_map *map)
{
    FUZZ_CHECK(h.u.count == map->size);
    for (uint32_t i = 0; i < map->size; i++) {
        compare(r, &map->ptr[i].key);
        compare(r, &map->ptr[i].val);
    }
}

/* Recursion is bounded: the scanner has seen at most TD_DATA_DEPTH_MAX. */
static void compare(struct td_reader *r, const msgpack_object *o)
{
    struct td_head h = td_head_at(r->p, r->end);

    r->p += h.size;
    switch (h.kind) {
    case TD_KIND_NIL:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_NIL);
        break;
    case TD_KIND_BOOL:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_BOOLEAN);
        FUZZ_CHECK(o->via.boolean == h.u.boolean);
        break;
    case TD_KIND_UINT:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_POSITIVE_INTEGER);
        FUZZ_CHECK(o->via.u64 == h.u.uint);
        break;
    case TD_KIND_NINT:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER);
        FUZZ_CHECK(o->via.i64 == h.u.nint);
        break;
    case TD_KIND_FLOAT:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_FLOAT32 ||
                   o->type == MSGPACK_OBJECT_FLOAT64);
        compare_real(h.u.real, o->via.f64);
        break;
    case TD_KIND_STR:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_STR);
        compare_bytes(r, h, o->via.str.ptr, o->via.str.size);
        break;
    case TD_KIND_BIN:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_BIN);
        compare_bytes(r, h, o->via.bin.ptr, o->via.bin.size);
        break;
    case TD_KIND_EXT:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_EXT);
        compare_bytes(r, h, o->via.ext.ptr, o->via.ext.size);
        break;
    case TD_KIND_ARRAY:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_ARRAY);
        compare_items(r, h, &o->via.array);
        break;
    case TD_KIND_MAP:
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_MAP);
        compare_pairs(r, h, &o->via.map);
        break;
    case TD_KIND_NONE:
        FUZZ_CHECK(!"accepted, and no value");
    }
}

static void decode_with_msgpack_c(const uint8_t *data, size_t len)
{
    struct td_reader r = td_reader_of(data, len);
    msgpack_unpacked u;
    size_t off = 0;

    msgpack_unpacked_init(&u);
    FUZZ_CHECK(msgpack_unpack_next(&u, (const char *)data, len, &off) ==
               MSGPACK_UNPACK_SUCCESS);
    FUZZ_CHECK(off == len);
    compare(&r, &u.data);
    FUZZ_CHECK(r.p == r.end);
    msgpack_unpacked_destroy(&u);
}

/* The reads of unscanned bytes must stay within them, too. */
static void read_anyway(const uint8_t *data, size_t len)
{
    struct td_reader r = td_reader_of(data, len);
    struct td_str map = {(const char *)data, len};
    struct td_str str;

    while (td_read_raw(&r, &str))
        FUZZ_CHECK(r.p <= r.end && str.len > 0);
    FUZZ_CHECK(!td_map_find(map, "key", &str) ||
               (str.data > map.data && str.data + str.len <= map.data + len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    bool as_data = td_scan(data, len, &td_scan_data);

    /* stricter limits never accept what looser ones refuse */
    if (td_scan(data, len, &td_scan_control) ||
        td_scan(data, len, &td_scan_attrs))
        FUZZ_CHECK(as_data);
    if (as_data)
        decode_with_msgpack_c(data, len);
    if (len > 0)
        read_anyway(data, len);
    return 0;
}
