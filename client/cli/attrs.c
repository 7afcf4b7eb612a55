#include "client/cli/attrs.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/cli/out.h"
#include "tidings/json.h"

/* The attributes that are fields of the event; all else are extensions. */
static const struct field {
    const char *name;
    size_t at;
} fields[] = {
    {"id", offsetof(struct tidings_event, id)},
    {"source", offsetof(struct tidings_event, source)},
    {"subject", offsetof(struct tidings_event, subject)},
    {"datacontenttype", offsetof(struct tidings_event, datacontenttype)},
    {"dataschema", offsetof(struct tidings_event, dataschema)},
};

static bool set_field(struct tidings_event *event,
                      const struct td_cli_attr *attr)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(fields[i].name, attr->name) == 0) {
            *(const char **)(void *)((char *)event + fields[i].at) =
                attr->value;
            return true;
        }
    }
    return false;
}

/* By way of the JSON form, which is where timestamps are read. */
static bool read_time(int64_t *time_us, const char *value)
{
    struct tidings_event *event = NULL;
    char json[128];
    int len;

    if (value[strspn(value, "0123456789TtZz:.+-")])
        return false;
    len =
        snprintf(json, sizeof(json), "{\"type\":\"t\",\"time\":\"%s\"}", value);
    if (len >= (int)sizeof(json) ||
        tidings_event_from_json(&event, json, (size_t)len))
        return false;
    *time_us = event->time_us;
    tidings_free(event);
    return true;
}

static bool name_ok(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");

    return len >= 1 && len <= TIDINGS_ATTR_NAME_MAX && !name[len];
}

/* What is wrong with one, NULL if nothing is. */
static const char *fault_of(const struct td_cli_attr *attr, int64_t *time_us)
{
    if (!name_ok(attr->name))
        return "a name is 1 to 20 of a-z and 0-9";
    if (strcmp(attr->name, "type") == 0)
        return "the type stands before DATA";
    if (strcmp(attr->name, "data") == 0 ||
        strcmp(attr->name, "specversion") == 0)
        return "not an attribute to set";
    if (!*attr->value)
        return "its value is empty; leave it out instead";
    if (strcmp(attr->name, "time") == 0 && !read_time(time_us, attr->value))
        return "not an RFC 3339 timestamp such as 2024-02-29T12:00:00Z";
    return NULL;
}

bool td_attrs_check(const struct td_settings *settings, int64_t *time_us)
{
    *time_us = 0;
    for (size_t i = 0; i < settings->attrs_len; i++) {
        const struct td_cli_attr *attr = &settings->attrs[i];
        const char *fault = fault_of(attr, time_us);

        if (!fault && td_attr_given(settings, attr->name) != attr->value)
            fault = "it is given twice";
        if (fault) {
            td_complain("--attr %s=%s: %s", attr->name, attr->value, fault);
            return false;
        }
    }
    return true;
}

/* The place of a name in the list, or a new one; NULL: full. */
static struct tidings_attr *place_of(struct td_attrs *room, size_t *len,
                                     const char *name)
{
    for (size_t i = 0; i < *len; i++) {
        if (strcmp(room->list[i].name, name) == 0)
            return &room->list[i];
    }
    if (*len == TIDINGS_ATTRS_MAX)
        return NULL;
    return &room->list[(*len)++];
}

bool td_attrs_apply(struct tidings_event *event, struct td_attrs *room,
                    const struct td_settings *settings, int64_t time_us)
{
    size_t len = event->attrs_len; /* at most TIDINGS_ATTRS_MAX: from JSON */

    if (len > 0)
        memcpy(room->list, event->attrs, len * sizeof(room->list[0]));
    if (time_us)
        event->time_us = time_us;
    for (size_t i = 0; i < settings->attrs_len; i++) {
        const struct td_cli_attr *given = &settings->attrs[i];
        struct tidings_attr *attr;

        if (strcmp(given->name, "time") == 0 || set_field(event, given))
            continue;
        attr = place_of(room, &len, given->name);
        if (!attr) {
            td_complain("more than %d attributes", TIDINGS_ATTRS_MAX);
            return false;
        }
        *attr = (struct tidings_attr){.name = given->name,
                                      .kind = TIDINGS_ATTR_STRING,
                                      .string = given->value};
    }
    event->attrs = room->list;
    event->attrs_len = len;
    return true;
}

const char *td_attr_given(const struct td_settings *settings, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < settings->attrs_len; i++) {
        if (strcmp(settings->attrs[i].name, name) == 0)
            value = settings->attrs[i].value;
    }
    return value;
}

bool td_is_msgpack_type(const char *contenttype)
{
    static const char msgpack[] = "application/msgpack";
    size_t len;

    if (!contenttype)
        return true;
    len = strcspn(contenttype, "; \t");
    return len == strlen(msgpack) &&
           strncasecmp(contenttype, msgpack, len) == 0;
}

bool td_is_json_type(const char *contenttype)
{
    size_t len = strcspn(contenttype, "; \t");

    return len > 5 && (strncasecmp(contenttype + len - 5, "/json", 5) == 0 ||
                       (memchr(contenttype, '/', len - 5) &&
                        strncasecmp(contenttype + len - 5, "+json", 5) == 0));
}
