#include "client/json/form.h"

#include <string.h>
#include <strings.h>

enum td_form td_form_of(const char *contenttype)
{
    size_t len, slash;

    if (!contenttype)
        return TD_FORM_MSGPACK;
    len = strcspn(contenttype, "; \t");
    slash = strcspn(contenttype, "/");
    if (len == strlen(TD_MSGPACK_TYPE) &&
        strncasecmp(contenttype, TD_MSGPACK_TYPE, len) == 0)
        return TD_FORM_MSGPACK;
    if (slash + 5 <= len && /* "/json" or "/x+json" */
        (strncasecmp(contenttype + len - 5, "/json", 5) == 0 ||
         strncasecmp(contenttype + len - 5, "+json", 5) == 0))
        return TD_FORM_JSON;
    if (strncasecmp(contenttype, "text/", 5) == 0)
        return TD_FORM_TEXT;
    return TD_FORM_BYTES;
}

const struct td_field td_fields[TD_FIELDS] = {
    {"id", offsetof(struct tidings_event, id), TIDINGS_ID_MAX, true},
    {"source", offsetof(struct tidings_event, source), TIDINGS_SOURCE_MAX,
     true},
    {"type", offsetof(struct tidings_event, type), TIDINGS_TYPE_MAX, true},
    {"subject", offsetof(struct tidings_event, subject),
     TIDINGS_ATTRS_BYTES_MAX, false},
    {"datacontenttype", offsetof(struct tidings_event, datacontenttype),
     TIDINGS_ATTRS_BYTES_MAX, false},
    {"dataschema", offsetof(struct tidings_event, dataschema),
     TIDINGS_ATTRS_BYTES_MAX, false},
};

const struct td_field *td_field_named(const char *name)
{
    for (size_t i = 0; i < TD_FIELDS; i++) {
        if (strcmp(td_fields[i].name, name) == 0)
            return &td_fields[i];
    }
    return NULL;
}

const char *td_field_value(const struct tidings_event *event,
                           const struct td_field *field)
{
    const char *value;

    memcpy(&value, (const char *)event + field->at, sizeof(value));
    return value;
}

void td_field_set(struct tidings_event *event, const struct td_field *field,
                  const char *value)
{
    memcpy((char *)event + field->at, &value, sizeof(value));
}

/* Members of a JSON event that are no extension attributes. */
static bool taken(const char *name)
{
    static const char *const others[] = {"specversion", "time", "data",
                                         "data_base64"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i], name) == 0)
            return true;
    }
    return td_field_named(name) != NULL;
}

bool td_attr_name_ok(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");

    return len >= 1 && len <= TIDINGS_ATTR_NAME_MAX && !name[len] &&
           !taken(name);
}
