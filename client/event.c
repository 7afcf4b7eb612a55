#include "client/event.h"

#include "client/detail.h"
#include "proto/expiry.h"
#include "proto/timestamp.h"
#include "proto/type.h"
#include "proto/utf8.h"

#include <msgpack.h>
#include <string.h>

/* Attributes that are fields of their own, with what bounds them. */
static const struct field_row {
    const char *name;
    size_t at;
    size_t bytes_max;
    uint32_t flag;
} fields[] = {
    {"id", offsetof(struct tidings_event, id), TD_ID_BYTES_MAX, TD_RUN_ID},
    {"source", offsetof(struct tidings_event, source), TD_SOURCE_BYTES_MAX, 0},
    {"subject", offsetof(struct tidings_event, subject), TD_ATTRS_BYTES_MAX, 0},
    {"datacontenttype", offsetof(struct tidings_event, datacontenttype),
     TD_ATTRS_BYTES_MAX, 0},
    {"dataschema", offsetof(struct tidings_event, dataschema),
     TD_ATTRS_BYTES_MAX, 0},
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* Extension attributes that the broker must see. */
static const struct {
    const char *name;
    uint32_t flag;
} flagged[] = {
    {"partitionkey", TD_RUN_KEY},
    {"expirytime", TD_RUN_EXPIRY},
};

/* CloudEvents' own names: never extensions. */
static const char *const reserved[] = {"type", "time", "data", "specversion",
                                       "data_base64"};

static const char *field_of(const struct tidings_event *event,
                            const struct field_row *row)
{
    return *(const char *const *)((const char *)event + row->at);
}

static const struct field_row *row_of(struct td_str name)
{
    for (size_t i = 0; i < FIELDS; i++) {
        if (strlen(fields[i].name) == name.len &&
            memcmp(fields[i].name, name.data, name.len) == 0)
            return &fields[i];
    }
    return NULL;
}

static bool is_reserved(struct td_str name)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (strlen(reserved[i]) == name.len &&
            memcmp(reserved[i], name.data, name.len) == 0)
            return true;
    }
    return false;
}

static bool is_attr_name(struct td_str name)
{
    if (name.len == 0 || name.len > TD_ATTR_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return false;
    }
    return true;
}

/* ---- encoding ---- */

tidings_err td_event_check_type(const char *type, size_t len)
{
    if (type && td_type_valid(type, len) && !td_type_is_system(type, len))
        return TIDINGS_OK;
    return tidings_type_check(type); /* it has the words */
}

tidings_err td_event_check_data(const void *data, size_t len)
{
    if (len > TD_DATA_BYTES_MAX)
        return td_fail(TIDINGS_EINVAL, "data of %zu bytes; at most %u", len,
                       TD_DATA_BYTES_MAX);
    if (!data && len > 0)
        return td_fail(TIDINGS_EINVAL, "data is NULL and its length is not 0");
    return TIDINGS_OK;
}

static void pack_text(msgpack_packer *pk, const char *text)
{
    size_t len = strlen(text);

    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, text, len);
}

/* Not its like: an event that says when it expires must be believed. */
static bool is_expirytime(const struct tidings_attr *attr)
{
    int64_t us;

    return attr->kind == TIDINGS_ATTR_STRING &&
           td_expiry_read(
               &us, (struct td_str){attr->string, strlen(attr->string)});
}

static tidings_err check_attr(const struct tidings_event *event, size_t i)
{
    const struct tidings_attr *attr = &event->attrs[i];
    struct td_str name;

    if (!attr->name)
        return td_fail(TIDINGS_EINVAL, "attribute %zu has no name", i);
    name.data = attr->name;
    name.len = strlen(attr->name);
    if (!is_attr_name(name))
        return td_fail(TIDINGS_EINVAL,
                       "attribute \"%.40s\": a name is 1 to %u of [a-z0-9]",
                       attr->name, TD_ATTR_NAME_BYTES_MAX);
    if (row_of(name) || is_reserved(name))
        return td_fail(TIDINGS_EINVAL,
                       "attribute \"%s\" is CloudEvents' own: set the field",
                       attr->name);
    for (size_t j = 0; j < i; j++) {
        if (strcmp(event->attrs[j].name, attr->name) == 0)
            return td_fail(TIDINGS_EINVAL, "attribute \"%s\" is there twice",
                           attr->name);
    }
    if ((attr->kind == TIDINGS_ATTR_STRING && !attr->string) ||
        (attr->kind == TIDINGS_ATTR_BINARY && !attr->binary &&
         attr->binary_len > 0))
        return td_fail(TIDINGS_EINVAL, "attribute \"%s\" has no value",
                       attr->name);
    if (attr->kind == TIDINGS_ATTR_STRING && !td_utf8_valid(attr->string))
        return td_fail(TIDINGS_EINVAL, "attribute \"%s\" is not UTF-8",
                       attr->name);
    if (strcmp(attr->name, "expirytime") == 0 && !is_expirytime(attr))
        return td_fail(TIDINGS_EINVAL,
                       "attribute \"expirytime\" is not an RFC 3339 timestamp "
                       "such as 2030-02-28T12:00:00Z");
    return TIDINGS_OK;
}

static tidings_err pack_attr(msgpack_packer *pk,
                             const struct tidings_attr *attr)
{
    pack_text(pk, attr->name);
    switch (attr->kind) {
    case TIDINGS_ATTR_STRING:
        pack_text(pk, attr->string);
        return TIDINGS_OK;
    case TIDINGS_ATTR_INTEGER:
        msgpack_pack_int32(pk, attr->integer);
        return TIDINGS_OK;
    case TIDINGS_ATTR_BOOLEAN:
        if (attr->boolean)
            msgpack_pack_true(pk);
        else
            msgpack_pack_false(pk);
        return TIDINGS_OK;
    case TIDINGS_ATTR_BINARY:
        msgpack_pack_bin(pk, attr->binary_len);
        msgpack_pack_bin_body(pk, attr->binary, attr->binary_len);
        return TIDINGS_OK;
    }
    return td_fail(TIDINGS_EINVAL, "attribute \"%s\" is of no known kind",
                   attr->name);
}

static uint32_t flag_of(const char *name)
{
    for (size_t i = 0; i < sizeof(flagged) / sizeof(flagged[0]); i++) {
        if (strcmp(flagged[i].name, name) == 0)
            return flagged[i].flag;
    }
    return 0;
}

static tidings_err pack_fields(msgpack_packer *pk, uint32_t *flags,
                               const struct tidings_event *event)
{
    for (size_t i = 0; i < FIELDS; i++) {
        const char *value = field_of(event, &fields[i]);
        size_t len = value ? strlen(value) : 0;

        if (!value)
            continue;
        if (len == 0 || len > fields[i].bytes_max)
            return td_fail(TIDINGS_EINVAL, "%s of %zu bytes; 1 to %zu",
                           fields[i].name, len, fields[i].bytes_max);
        if (!td_utf8_valid(value))
            return td_fail(TIDINGS_EINVAL, "%s is not UTF-8", fields[i].name);
        pack_text(pk, fields[i].name);
        pack_text(pk, value);
        *flags |= fields[i].flag;
    }
    return TIDINGS_OK;
}

static size_t count_attrs(const struct tidings_event *event)
{
    size_t n = event->attrs_len;

    for (size_t i = 0; i < FIELDS; i++)
        n += field_of(event, &fields[i]) != NULL;
    return n;
}

bool td_event_is_time(int64_t us)
{
    return us >= -62135596800000000 && us <= 253402300799999999;
}

tidings_err td_event_encode(struct td_buf *out, uint32_t *flags,
                            const struct tidings_event *event)
{
    size_t n = count_attrs(event);
    msgpack_packer pk;
    tidings_err err;

    td_buf_reset(out);
    *flags = 0;
    if (!td_event_is_time(event->time_us))
        return td_fail(TIDINGS_EINVAL, "time is outside the years 1 to 9999");
    if (n == 0)
        return TIDINGS_OK;
    if (n > TD_ATTRS_MAX || (event->attrs_len > 0 && !event->attrs))
        return td_fail(TIDINGS_EINVAL, "%zu attributes; at most %u", n,
                       TD_ATTRS_MAX);
    msgpack_packer_init(&pk, out, td_buf_pack_write);
    msgpack_pack_map(&pk, n);
    err = pack_fields(&pk, flags, event);
    for (size_t i = 0; i < event->attrs_len && !err; i++) {
        err = check_attr(event, i);
        if (!err)
            err = pack_attr(&pk, &event->attrs[i]);
        if (!err)
            *flags |= flag_of(event->attrs[i].name);
    }
    if (!err && out->failed)
        return TIDINGS_ENOMEM;
    if (!err && out->len > TD_ATTRS_BYTES_MAX)
        return td_fail(TIDINGS_EINVAL, "attributes of %zu bytes; at most %u",
                       out->len, TD_ATTRS_BYTES_MAX);
    return err;
}

/* ---- decoding ---- */

/* A NUL-terminated copy; there is room, and a value with a NUL is refused. */
static const char *keep(struct td_buf *strings, struct td_str str)
{
    const char *kept = (const char *)strings->data + strings->len;

    if (memchr(str.data, '\0', str.len))
        return NULL;
    td_buf_append(strings, str.data, str.len);
    td_buf_append(strings, "", 1);
    return kept;
}

static bool read_value(struct td_reader *r, struct tidings_attr *attr,
                       struct td_buf *strings)
{
    struct td_str str;
    int64_t n;

    if (td_read_str(r, &str)) {
        attr->kind = TIDINGS_ATTR_STRING;
        attr->string = keep(strings, str);
        return attr->string != NULL;
    }
    if (td_read_bin(r, &str)) {
        attr->kind = TIDINGS_ATTR_BINARY;
        attr->binary = str.data;
        attr->binary_len = str.len;
        return true;
    }
    if (td_read_bool(r, &attr->boolean)) {
        attr->kind = TIDINGS_ATTR_BOOLEAN;
        return true;
    }
    attr->kind = TIDINGS_ATTR_INTEGER;
    if (!td_read_int(r, &n) || n < INT32_MIN || n > INT32_MAX)
        return false;
    attr->integer = (int32_t)n;
    return true;
}

static bool is_there(const struct tidings_event *event, const char *name)
{
    for (size_t i = 0; i < event->attrs_len; i++) {
        if (strcmp(event->attrs[i].name, name) == 0)
            return true;
    }
    return false;
}

/* seen has a bit for each field that was read: none may come twice. */
static bool read_attr(struct td_reader *r, struct tidings_event *event,
                      struct td_event_scratch *scratch, unsigned *seen)
{
    struct tidings_attr *attr = &scratch->attrs[event->attrs_len];
    const struct field_row *row;
    struct td_str name;
    struct td_str value;

    memset(attr, 0, sizeof(*attr));
    if (!td_read_str(r, &name) || !is_attr_name(name) || is_reserved(name))
        return false;
    row = row_of(name);
    if (row) {
        const char *text;

        if (!td_read_str(r, &value) || value.len == 0 ||
            value.len > row->bytes_max || *seen & (1u << (row - fields)))
            return false;
        *seen |= 1u << (row - fields);
        text = keep(&scratch->strings, value);
        *(const char **)((char *)event + row->at) = text;
        return text != NULL;
    }
    attr->name = keep(&scratch->strings, name);
    if (!attr->name || is_there(event, attr->name) ||
        !read_value(r, attr, &scratch->strings))
        return false;
    event->attrs_len++;
    return true;
}

tidings_err td_event_decode(struct tidings_event *event,
                            struct td_event_scratch *scratch,
                            struct td_str attrs)
{
    struct td_reader r = td_reader_of(attrs.data, attrs.len);
    unsigned seen = 0;
    uint32_t pairs;

    td_buf_reset(&scratch->strings);
    event->attrs = scratch->attrs;
    event->attrs_len = 0;
    /* Every string and a NUL for each: so what was kept never moves. */
    if (!td_buf_reserve(&scratch->strings, attrs.len + 2 * TD_ATTRS_MAX))
        return TIDINGS_ENOMEM;
    if (!td_read_map(&r, &pairs) || pairs > TD_ATTRS_MAX)
        return TIDINGS_EPROTO;
    while (pairs-- > 0) {
        if (!read_attr(&r, event, scratch, &seen))
            return TIDINGS_EPROTO;
    }
    return TIDINGS_OK;
}

const char *tidings_event_attr(const struct tidings_event *event,
                               const char *name)
{
    if (!event || !name)
        return NULL;
    for (size_t i = 0; i < event->attrs_len; i++) {
        const struct tidings_attr *attr = &event->attrs[i];

        if (attr->kind == TIDINGS_ATTR_STRING && strcmp(attr->name, name) == 0)
            return attr->string;
    }
    return NULL;
}

_Static_assert(TIDINGS_EXPIRYTIME_MAX == TD_TIMESTAMP_BYTES,
               "there is room for what is written");

tidings_err tidings_expirytime(struct tidings_attr *out,
                               char text[TIDINGS_EXPIRYTIME_MAX],
                               int64_t time_us)
{
    if (!out || !text)
        return td_fail(TIDINGS_EINVAL, "out or text is NULL");
    if (!td_event_is_time(time_us) || !td_timestamp_write(text, time_us))
        return td_fail(TIDINGS_EINVAL, "time is outside the years 1 to 9999");
    *out = (struct tidings_attr){
        .name = "expirytime", .kind = TIDINGS_ATTR_STRING, .string = text};
    return TIDINGS_OK;
}
