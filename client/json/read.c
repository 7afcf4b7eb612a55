/* CloudEvents JSON as an event; form.h says how data goes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "client/json/base64.h"
#include "client/json/convert.h"
#include "client/json/form.h"
#include "client/json/text.h"
#include "proto/timestamp.h"
#include "tidings/json.h"

/* An event under construction: pointers are into the JSON tree, except for
 * data, which is on its own until all is copied into one block. */
struct draft {
    struct tidings_event event;
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX];
    const json_t *said;   /* member "data" */
    const json_t *base64; /* member "data_base64" */
    void *data;
};

static tidings_err take_field(struct draft *d, const struct td_field *field,
                              const json_t *value)
{
    size_t len = json_string_length(value); /* 0 if it is no string */

    if (len < 1 || len > field->bytes_max)
        return td_json_fail(TIDINGS_EINVAL,
                            "%s is not a string of 1 to %zu bytes", field->name,
                            field->bytes_max);
    td_field_set(&d->event, field, json_string_value(value));
    return TIDINGS_OK;
}

/* The time 0 means "not set" in struct tidings_event: an event of the first
 * microsecond of 1970 gets the time of its publishing. */
static tidings_err take_time(struct draft *d, const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text || !td_timestamp_read(&d->event.time_us, text))
        return td_json_fail(TIDINGS_EINVAL,
                            "time is not an RFC 3339 timestamp such as "
                            "2024-02-29T12:00:00.000000Z");
    return TIDINGS_OK;
}

static tidings_err take_version(const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text || strcmp(text, "1.0") != 0)
        return td_json_fail(TIDINGS_EINVAL, "specversion is not \"1.0\"");
    return TIDINGS_OK;
}

static tidings_err take_attr(struct draft *d, const char *name,
                             const json_t *value)
{
    struct tidings_attr *attr = &d->attrs[d->event.attrs_len];

    if (!td_attr_name_ok(name))
        return td_json_fail(TIDINGS_EINVAL,
                            "attribute \"%.40s\": a name is 1 to %d of "
                            "[a-z0-9]",
                            name, TIDINGS_ATTR_NAME_MAX);
    if (d->event.attrs_len == TIDINGS_ATTRS_MAX)
        return td_json_fail(TIDINGS_EINVAL, "more than %d attributes",
                            TIDINGS_ATTRS_MAX);

    attr->name = name;
    if (json_is_string(value)) {
        attr->kind = TIDINGS_ATTR_STRING;
        attr->string = json_string_value(value);
    } else if (json_is_boolean(value)) {
        attr->kind = TIDINGS_ATTR_BOOLEAN;
        attr->boolean = json_is_true(value);
    } else if (json_is_integer(value) &&
               json_integer_value(value) >= INT32_MIN &&
               json_integer_value(value) <= INT32_MAX) {
        attr->kind = TIDINGS_ATTR_INTEGER;
        attr->integer = (int32_t)json_integer_value(value);
    } else {
        return td_json_fail(TIDINGS_EINVAL,
                            "%s is not a string, a boolean or an integer of "
                            "32 bits",
                            name);
    }
    d->event.attrs_len++;
    return TIDINGS_OK;
}

static tidings_err take_member(struct draft *d, const char *name,
                               const json_t *value)
{
    const struct td_field *field = td_field_named(name);

    if (strcmp(name, "data") == 0) {
        d->said = value;
        return TIDINGS_OK;
    }
    if (json_is_null(value)) /* an attribute that is null is not set */
        return TIDINGS_OK;
    if (field)
        return take_field(d, field, value);
    if (strcmp(name, "time") == 0)
        return take_time(d, value);
    if (strcmp(name, "specversion") == 0)
        return take_version(value);
    if (strcmp(name, "data_base64") == 0) {
        d->base64 = value;
        return TIDINGS_OK;
    }
    return take_attr(d, name, value);
}

static tidings_err decode_base64(struct draft *d)
{
    const char *text = json_string_value(d->base64);
    size_t chars = json_string_length(d->base64);

    if (!text)
        return td_json_fail(TIDINGS_EINVAL, "data_base64 is not a string");
    d->data = malloc(td_base64_bytes_max(chars) + 1);
    if (!d->data)
        return TIDINGS_ENOMEM;
    if (!td_base64_read(d->data, &d->event.data_len, text, chars))
        return td_json_fail(TIDINGS_EINVAL, "data_base64 is not base64");
    if (!d->event.datacontenttype)
        d->event.datacontenttype = TD_JSON_TYPE; /* as the JSON format says */
    return TIDINGS_OK;
}

static tidings_err decode_json(struct draft *d)
{
    struct td_text t = {0};
    tidings_err err = td_json_to_text(&t, d->said);

    if (!err) {
        d->event.data_len = t.len;
        d->data = td_text_take(&t);
        if (!d->data)
            err = TIDINGS_ENOMEM;
    }
    td_text_fini(&t);
    return err;
}

static tidings_err decode_text(struct draft *d)
{
    const char *text = json_string_value(d->said);

    if (!text)
        return td_json_fail(TIDINGS_EINVAL,
                            "data of \"%.60s\" is not a string; other than "
                            "text goes into data_base64",
                            d->event.datacontenttype);
    d->event.data_len = json_string_length(d->said);
    d->data = malloc(d->event.data_len + 1);
    if (!d->data)
        return TIDINGS_ENOMEM;
    memcpy(d->data, text, d->event.data_len);
    return TIDINGS_OK;
}

static tidings_err decode_said(struct draft *d)
{
    switch (td_form_of(d->event.datacontenttype)) {
    case TD_FORM_MSGPACK:
        if (d->event.datacontenttype)
            return td_json_fail(TIDINGS_EINVAL,
                                "data of \"" TD_MSGPACK_TYPE "\" goes into "
                                "data_base64; for JSON leave "
                                "datacontenttype out");
        return td_json_to_msgpack(&d->data, &d->event.data_len, d->said);
    case TD_FORM_JSON:
        return decode_json(d);
    case TD_FORM_TEXT:
    case TD_FORM_BYTES:
        break;
    }
    return decode_text(d);
}

static tidings_err decode_data(struct draft *d)
{
    tidings_err err = TIDINGS_OK;

    if (d->said && d->base64)
        return td_json_fail(TIDINGS_EINVAL, "both data and data_base64");
    if (d->said)
        err = decode_said(d);
    else if (d->base64)
        err = decode_base64(d);
    if (!err && d->event.data_len > TIDINGS_DATA_MAX)
        return td_json_fail(TIDINGS_EINVAL, "data is longer than %u bytes",
                            TIDINGS_DATA_MAX);
    return err;
}

static tidings_err read_draft(struct draft *d, json_t *root)
{
    const char *name;
    json_t *value;

    if (!json_is_object(root))
        return td_json_fail(TIDINGS_EINVAL, "not a JSON object");
    json_object_foreach(root, name, value)
    {
        tidings_err err = take_member(d, name, value);

        if (err)
            return err;
    }
    if (!d->event.type)
        return td_json_fail(TIDINGS_EINVAL, "type is missing");
    if (tidings_type_check(d->event.type))
        return TIDINGS_EINVAL; /* it set the detail */
    return decode_data(d);
}

/* ---- one block ---- */

static size_t string_bytes(const char *string)
{
    return string ? strlen(string) + 1 : 0;
}

static size_t block_bytes(const struct draft *d)
{
    size_t bytes = sizeof(d->event) + d->event.data_len +
                   d->event.attrs_len * sizeof(d->attrs[0]);

    for (size_t i = 0; i < TD_FIELDS; i++)
        bytes += string_bytes(td_field_value(&d->event, &td_fields[i]));
    for (size_t i = 0; i < d->event.attrs_len; i++)
        bytes +=
            string_bytes(d->attrs[i].name) + string_bytes(d->attrs[i].string);
    return bytes;
}

/* A copy of string at *end, which moves behind it; NULL stays NULL. */
static const char *moved(const char *string, char **end)
{
    size_t bytes = string_bytes(string);
    char *copy = *end;

    if (bytes == 0)
        return NULL;
    memcpy(copy, string, bytes);
    *end += bytes;
    return copy;
}

/* Event, attributes, strings and data in that order, so all are aligned. */
static tidings_err pack(struct tidings_event **out, const struct draft *d)
{
    size_t bytes = block_bytes(d);
    struct tidings_event *event = malloc(bytes);
    struct tidings_attr *attrs;
    char *end;

    if (!event)
        return TIDINGS_ENOMEM;
    *event = d->event;
    attrs = (struct tidings_attr *)(event + 1);
    end = (char *)(attrs + event->attrs_len);
    if (event->attrs_len) {
        memcpy(attrs, d->attrs, event->attrs_len * sizeof(*attrs));
        event->attrs = attrs;
    }
    for (size_t i = 0; i < TD_FIELDS; i++)
        td_field_set(event, &td_fields[i],
                     moved(td_field_value(event, &td_fields[i]), &end));
    for (size_t i = 0; i < event->attrs_len; i++) {
        attrs[i].name = moved(attrs[i].name, &end);
        attrs[i].string = moved(attrs[i].string, &end);
    }
    if (event->data_len) {
        memcpy(end, d->data, event->data_len);
        event->data = end;
        end += event->data_len;
    }
    assert((size_t)(end - (char *)event) == bytes);
    *out = event;
    return TIDINGS_OK;
}

tidings_err tidings_event_from_json(struct tidings_event **out,
                                    const char *json, size_t len)
{
    struct draft d = {0};
    json_t *root = NULL;
    tidings_err err;

    if (!out)
        return td_json_fail(TIDINGS_EINVAL, "out is NULL");
    tidings_set_detail("");
    err = td_json_load(&root, json, len);
    if (!err)
        err = read_draft(&d, root);
    if (!err)
        err = pack(out, &d);
    free(d.data);
    json_decref(root);
    return err;
}
