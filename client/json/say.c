/* msgpack as JSON text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "client/json/convert.h"
#include "tidings/data.h"

static tidings_err unsayable(const char *what)
{
    return td_json_fail(TIDINGS_EINVAL, "JSON cannot say %s", what);
}

static tidings_err say(struct td_text *t, const msgpack_object *value);

static tidings_err say_string(struct td_text *t, const msgpack_object_str *str)
{
    if (!td_text_sayable(str->ptr, str->size))
        return unsayable("a string that is not UTF-8 or has a NUL");
    td_text_string(t, str->ptr, str->size);
    return TIDINGS_OK;
}

static int compare_keys(const void *left, const void *right)
{
    const msgpack_object_str *l = left, *r = right;
    size_t common = l->size < r->size ? l->size : r->size;
    int order = common ? memcmp(l->ptr, r->ptr, common) : 0;

    return order ? order : (l->size > r->size) - (l->size < r->size);
}

/* By sorting, because a hostile map can hold half a million keys. */
static tidings_err check_keys(const msgpack_object_map *map)
{
    msgpack_object_str *keys = malloc((map->size + 1) * sizeof(*keys));
    tidings_err err = TIDINGS_OK;

    if (!keys)
        return TIDINGS_ENOMEM;
    for (uint32_t i = 0; !err && i < map->size; i++) {
        if (map->ptr[i].key.type != MSGPACK_OBJECT_STR)
            err = unsayable("a key that is not a string");
        else
            keys[i] = map->ptr[i].key.via.str;
    }
    if (!err)
        qsort(keys, map->size, sizeof(*keys), compare_keys);
    for (uint32_t i = 1; !err && i < map->size; i++) {
        if (compare_keys(&keys[i - 1], &keys[i]) == 0)
            err = unsayable("a map with the same key twice");
    }
    free(keys);
    return err;
}

static tidings_err say_map(struct td_text *t, const msgpack_object_map *map)
{
    tidings_err err = check_keys(map);

    td_text_puts(t, "{");
    for (uint32_t i = 0; !err && i < map->size; i++) {
        td_text_puts(t, i ? "," : "");
        err = say_string(t, &map->ptr[i].key.via.str);
        if (err)
            break;
        td_text_puts(t, ":");
        err = say(t, &map->ptr[i].val);
    }
    td_text_puts(t, "}");
    return err;
}

static tidings_err say_array(struct td_text *t,
                             const msgpack_object_array *array)
{
    tidings_err err = TIDINGS_OK;

    td_text_puts(t, "[");
    for (uint32_t i = 0; !err && i < array->size; i++) {
        td_text_puts(t, i ? "," : "");
        err = say(t, &array->ptr[i]);
    }
    td_text_puts(t, "]");
    return err;
}

/* Recursion is at most TD_DATA_DEPTH_MAX: the bytes were checked. */
static tidings_err say(struct td_text *t, const msgpack_object *value)
{
    switch (value->type) {
    case MSGPACK_OBJECT_NIL:
        td_text_puts(t, "null");
        return TIDINGS_OK;
    case MSGPACK_OBJECT_BOOLEAN:
        td_text_puts(t, value->via.boolean ? "true" : "false");
        return TIDINGS_OK;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        if (value->via.u64 > INT64_MAX)
            return unsayable("an integer beyond 63 bits");
        td_text_int(t, (int64_t)value->via.u64);
        return TIDINGS_OK;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        td_text_int(t, value->via.i64);
        return TIDINGS_OK;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        if (!isfinite(value->via.f64))
            return unsayable("a number that is not finite");
        td_text_real(t, value->via.f64);
        return TIDINGS_OK;
    case MSGPACK_OBJECT_STR:
        return say_string(t, &value->via.str);
    case MSGPACK_OBJECT_ARRAY:
        return say_array(t, &value->via.array);
    case MSGPACK_OBJECT_MAP:
        return say_map(t, &value->via.map);
    case MSGPACK_OBJECT_BIN:
        return unsayable("binary");
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return unsayable("a msgpack extension");
}

/* tidings_value_read() goes first: msgpack-c allocates what a header
 * promises. Its tree is used and not tidings_at(), which hops over all the
 * items before the one asked for. */
tidings_err td_msgpack_to_text(struct td_text *t, const void *data, size_t len)
{
    struct tidings_value checked;
    msgpack_unpacked tree;
    size_t used = 0;
    tidings_err err = TIDINGS_ENOMEM; /* it was checked: nothing else is left */

    if (tidings_value_read(&checked, data, len))
        return td_json_fail(TIDINGS_EINVAL, "not one msgpack value");

    msgpack_unpacked_init(&tree);
    if (msgpack_unpack_next(&tree, data, len, &used) == MSGPACK_UNPACK_SUCCESS)
        err = say(t, &tree.data);
    msgpack_unpacked_destroy(&tree);
    return err;
}
