/* An event as CloudEvents JSON; form.h says how data goes. */
#include <string.h>

#include <jansson.h>

#include "client/json/base64.h"
#include "client/json/convert.h"
#include "client/json/form.h"
#include "client/json/text.h"
#include "proto/timestamp.h"
#include "tidings/json.h"

static void put_name(struct td_text *t, const char *name)
{
    td_text_puts(t, ",");
    td_text_string(t, name, strlen(name));
    td_text_puts(t, ":");
}

static tidings_err put_string(struct td_text *t, const char *name,
                              const char *value)
{
    size_t len = strlen(value);

    if (!td_text_sayable(value, len))
        return td_json_fail(TIDINGS_EINVAL, "%s is not UTF-8", name);
    put_name(t, name);
    td_text_string(t, value, len);
    return TIDINGS_OK;
}

static void put_base64(struct td_text *t, const char *name, const void *data,
                       size_t len)
{
    size_t chars = td_base64_chars(len);
    char *at;

    put_name(t, name);
    td_text_puts(t, "\"");
    at = td_text_room(t, chars);
    if (at)
        td_base64_write(at, data, len);
    td_text_puts(t, "\"");
}

static tidings_err put_fields(struct td_text *t,
                              const struct tidings_event *event)
{
    for (size_t i = 0; i < TD_FIELDS; i++) {
        const char *value = td_field_value(event, &td_fields[i]);
        tidings_err err;

        if (!value && td_fields[i].required)
            return td_json_fail(TIDINGS_EINVAL, "%s is missing",
                                td_fields[i].name);
        /* data says whether it is msgpack */
        if (!value || (td_fields[i].at ==
                           offsetof(struct tidings_event, datacontenttype) &&
                       td_form_of(value) == TD_FORM_MSGPACK))
            continue;
        err = put_string(t, td_fields[i].name, value);
        if (err)
            return err;
    }
    return TIDINGS_OK;
}

static tidings_err put_time(struct td_text *t, int64_t time_us)
{
    char text[TD_TIMESTAMP_BYTES];

    if (time_us == 0) /* not set: tidings.h, struct tidings_event */
        return TIDINGS_OK;
    if (!td_timestamp_write(text, time_us))
        return td_json_fail(TIDINGS_EINVAL, "time is past the year 9999");
    return put_string(t, "time", text);
}

static tidings_err put_attr(struct td_text *t, const struct tidings_attr *attr)
{
    if (!attr->name || !td_attr_name_ok(attr->name))
        return td_json_fail(TIDINGS_EINVAL,
                            "an attribute's name is not 1 to %d of [a-z0-9], "
                            "or CloudEvents' own",
                            TIDINGS_ATTR_NAME_MAX);

    switch (attr->kind) {
    case TIDINGS_ATTR_STRING:
        if (!attr->string)
            return td_json_fail(TIDINGS_EINVAL, "%s is NULL", attr->name);
        return put_string(t, attr->name, attr->string);
    case TIDINGS_ATTR_INTEGER:
        put_name(t, attr->name);
        td_text_int(t, attr->integer);
        return TIDINGS_OK;
    case TIDINGS_ATTR_BOOLEAN:
        put_name(t, attr->name);
        td_text_puts(t, attr->boolean ? "true" : "false");
        return TIDINGS_OK;
    case TIDINGS_ATTR_BINARY:
        put_base64(t, attr->name, attr->binary, attr->binary_len);
        return TIDINGS_OK;
    }
    return td_json_fail(TIDINGS_EINVAL, "%s has an unknown kind", attr->name);
}

static tidings_err put_json_data(struct td_text *t,
                                 const struct tidings_event *event)
{
    json_t *value = NULL;
    tidings_err err;

    err = td_json_load(&value, event->data, event->data_len);
    if (!err)
        err = td_json_to_text(t, value);
    json_decref(value);
    return err;
}

/* As the "data" member; TIDINGS_EINVAL if that cannot say it. */
static tidings_err put_data_said(struct td_text *t,
                                 const struct tidings_event *event,
                                 enum td_form form)
{
    switch (form) {
    case TD_FORM_MSGPACK:
        return td_msgpack_to_text(t, event->data, event->data_len);
    case TD_FORM_JSON:
        return put_json_data(t, event);
    case TD_FORM_TEXT:
        if (!td_text_sayable(event->data, event->data_len))
            return TIDINGS_EINVAL;
        td_text_string(t, event->data, event->data_len);
        return TIDINGS_OK;
    case TD_FORM_BYTES:
        break;
    }
    return TIDINGS_EINVAL;
}

static tidings_err put_data(struct td_text *t,
                            const struct tidings_event *event)
{
    enum td_form form = td_form_of(event->datacontenttype);
    size_t before = t->len;
    tidings_err err;

    if (event->data_len == 0)
        return TIDINGS_OK;
    if (!event->data)
        return td_json_fail(TIDINGS_EINVAL, "data is NULL");

    put_name(t, "data");
    err = put_data_said(t, event, form);
    if (err != TIDINGS_EINVAL)
        return err;

    td_text_cut(t, before);
    tidings_set_detail("");
    if (form == TD_FORM_MSGPACK) { /* absent would now mean JSON */
        put_name(t, "datacontenttype");
        td_text_string(t, TD_MSGPACK_TYPE, strlen(TD_MSGPACK_TYPE));
    }
    put_base64(t, "data_base64", event->data, event->data_len);
    return TIDINGS_OK;
}

static tidings_err put_event(struct td_text *t,
                             const struct tidings_event *event)
{
    tidings_err err;

    td_text_puts(t, "{\"specversion\":\"1.0\"");
    err = put_fields(t, event);
    if (!err)
        err = put_time(t, event->time_us);
    for (size_t i = 0; !err && i < event->attrs_len; i++)
        err = put_attr(t, &event->attrs[i]);
    if (!err)
        err = put_data(t, event);
    td_text_puts(t, "}");
    return err;
}

tidings_err tidings_event_to_json(char **out, const struct tidings_event *event)
{
    struct td_text t = {0};
    char *text = NULL;
    tidings_err err;

    if (!out || !event || (event->attrs_len && !event->attrs))
        return td_json_fail(TIDINGS_EINVAL, "out, event or attrs is NULL");
    tidings_set_detail("");
    err = put_event(&t, event);
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
