#include "client/json/convert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "tidings/json.h"

tidings_err td_json_fail(tidings_err err, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    tidings_set_detail(text);
    return err;
}

/* ---- JSON text to jansson's values ---- */

/* jansson's words, except where they speak of its own flags. */
static const char *load_error_text(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a string may not contain NUL (\\u0000)";
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "more follows after the value";
    default:
        return error->text;
    }
}

tidings_err td_json_load(json_t **out, const char *json, size_t len)
{
    json_error_t error = {0}; /* left alone when jansson's first malloc fails */

    if (!json && len > 0)
        return td_json_fail(TIDINGS_EINVAL, "json is NULL");
    if (len > TD_JSON_BYTES_MAX)
        return td_json_fail(TIDINGS_EINVAL, "JSON longer than %u bytes",
                            TD_JSON_BYTES_MAX);

    *out = json_loadb(len ? json : "", len,
                      JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (*out)
        return TIDINGS_OK;
    if (json_error_code(&error) == json_error_out_of_memory || !*error.text)
        return TIDINGS_ENOMEM;
    return td_json_fail(TIDINGS_EINVAL, "not JSON: line %d, column %d: %s",
                        error.line, error.column, load_error_text(&error));
}

/* ---- jansson's values to msgpack ---- */

static tidings_err too_deep(void)
{
    return td_json_fail(TIDINGS_EINVAL, "nested deeper than %u",
                        TD_DATA_DEPTH_MAX);
}

/* depth counts the containers around a value. */
static tidings_err put_value(tidings_writer *w, const json_t *value,
                             unsigned depth);

static tidings_err put_object(tidings_writer *w, const json_t *object,
                              unsigned depth)
{
    json_t *readable = (json_t *)object; /* jansson's iterators take no const */
    const char *key;
    json_t *value;
    tidings_err err = TIDINGS_OK;

    if (depth == TD_DATA_DEPTH_MAX)
        return too_deep();
    tidings_put_map(w, (uint32_t)json_object_size(object));
    json_object_foreach(readable, key, value)
    {
        tidings_put_string(w, key);
        err = put_value(w, value, depth + 1);
        if (err)
            break;
    }
    return err;
}

static tidings_err put_array(tidings_writer *w, const json_t *array,
                             unsigned depth)
{
    size_t i;
    json_t *value;
    tidings_err err = TIDINGS_OK;

    if (depth == TD_DATA_DEPTH_MAX)
        return too_deep();
    tidings_put_array(w, (uint32_t)json_array_size(array));
    json_array_foreach(array, i, value)
    {
        err = put_value(w, value, depth + 1);
        if (err)
            break;
    }
    return err;
}

static tidings_err put_value(tidings_writer *w, const json_t *value,
                             unsigned depth)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return put_object(w, value, depth);
    case JSON_ARRAY:
        return put_array(w, value, depth);
    case JSON_STRING:
        tidings_put_string_n(w, json_string_value(value),
                             json_string_length(value));
        break;
    case JSON_INTEGER:
        tidings_put_int(w, json_integer_value(value));
        break;
    case JSON_REAL:
        tidings_put_double(w, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        tidings_put_bool(w, json_is_true(value));
        break;
    case JSON_NULL:
        tidings_put_nil(w);
        break;
    }
    return TIDINGS_OK;
}

tidings_err td_json_to_msgpack(void **out, size_t *out_len, const json_t *value)
{
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    size_t len;
    void *copy = NULL;
    tidings_err err;

    err = put_value(w, value, 0);
    if (err)
        goto out;
    err = tidings_writer_bytes(w, &bytes, &len);
    if (err == TIDINGS_ELIMIT)
        err = td_json_fail(TIDINGS_EINVAL,
                           "as msgpack it is longer than %u bytes or nested "
                           "deeper than %u",
                           TIDINGS_DATA_MAX, TD_DATA_DEPTH_MAX);
    if (err)
        goto out;
    copy = malloc(len); /* at least one byte: it is a value */
    if (!copy) {
        err = TIDINGS_ENOMEM;
        goto out;
    }
    memcpy(copy, bytes, len);
    *out = copy;
    *out_len = len;
out:
    tidings_writer_free(w);
    return err;
}

/* ---- jansson's values to JSON text ---- */

static tidings_err text_value(struct td_text *t, const json_t *value,
                              unsigned depth);

static tidings_err text_object(struct td_text *t, const json_t *object,
                               unsigned depth)
{
    json_t *readable = (json_t *)object; /* jansson's iterators take no const */
    const char *key, *comma = "";
    json_t *value;

    if (depth == TD_DATA_DEPTH_MAX)
        return too_deep();
    td_text_puts(t, "{");
    json_object_foreach(readable, key, value)
    {
        tidings_err err;

        td_text_puts(t, comma);
        comma = ",";
        td_text_string(t, key, strlen(key));
        td_text_puts(t, ":");
        err = text_value(t, value, depth + 1);
        if (err)
            return err;
    }
    td_text_puts(t, "}");
    return TIDINGS_OK;
}

static tidings_err text_array(struct td_text *t, const json_t *array,
                              unsigned depth)
{
    size_t i;
    json_t *value;

    if (depth == TD_DATA_DEPTH_MAX)
        return too_deep();
    td_text_puts(t, "[");
    json_array_foreach(array, i, value)
    {
        tidings_err err;

        td_text_puts(t, i ? "," : "");
        err = text_value(t, value, depth + 1);
        if (err)
            return err;
    }
    td_text_puts(t, "]");
    return TIDINGS_OK;
}

static tidings_err text_value(struct td_text *t, const json_t *value,
                              unsigned depth)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return text_object(t, value, depth);
    case JSON_ARRAY:
        return text_array(t, value, depth);
    case JSON_STRING:
        td_text_string(t, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        td_text_int(t, json_integer_value(value));
        break;
    case JSON_REAL:
        td_text_real(t, json_real_value(value));
        break;
    case JSON_TRUE:
        td_text_puts(t, "true");
        break;
    case JSON_FALSE:
        td_text_puts(t, "false");
        break;
    case JSON_NULL:
        td_text_puts(t, "null");
        break;
    }
    return TIDINGS_OK;
}

tidings_err td_json_to_text(struct td_text *t, const json_t *value)
{
    return text_value(t, value, 0);
}

/* ---- public: data ---- */

tidings_err tidings_data_from_json(void **out, size_t *out_len,
                                   const char *json, size_t len)
{
    json_t *value = NULL;
    tidings_err err;

    if (!out || !out_len)
        return td_json_fail(TIDINGS_EINVAL, "out is NULL");
    tidings_set_detail("");
    err = td_json_load(&value, json, len);
    if (!err)
        err = td_json_to_msgpack(out, out_len, value);
    json_decref(value);
    return err;
}

tidings_err tidings_data_to_json(char **out, const void *data, size_t len)
{
    struct td_text t = {0};
    char *text = NULL;
    tidings_err err;

    if (!out)
        return td_json_fail(TIDINGS_EINVAL, "out is NULL");
    tidings_set_detail("");
    err = td_msgpack_to_text(&t, data, len);
    if (err)
        goto out;
    text = td_text_take(&t);
    if (text)
        *out = text;
    else
        err = TIDINGS_ENOMEM;
out:
    td_text_fini(&t);
    return err;
}
