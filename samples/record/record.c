/* What the encoders and decoders of records share. */
#define RECORD(name) name
#include "record.h"

#include <stdio.h>
#include <string.h>

tidings_err record_wrong(tidings_err err, const char *record, const char *field,
                         const char *what)
{
    char text[160];

    snprintf(text, sizeof(text), "%s.%s: %s", record, field, what);
    tidings_set_detail(text);
    return err;
}

bool record_is_text(const char *bytes, size_t len)
{
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

tidings_err record_set_text(char *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    if (len >= size)
        return TIDINGS_ELIMIT;
    memcpy(field, text, len + 1);
    return TIDINGS_OK;
}

tidings_err record_read_text(char *out, size_t size, struct tidings_value map,
                             const char *record, const char *field)
{
    struct tidings_value value;
    const char *bytes;
    size_t len;

    if (tidings_get(&value, map, field))
        return record_wrong(TIDINGS_EPROTO, record, field, "is missing");
    if (tidings_as_string(&bytes, &len, value))
        return record_wrong(TIDINGS_EPROTO, record, field, "is no string");
    if (len >= size)
        return record_wrong(TIDINGS_EPROTO, record, field, "is too long");
    if (!record_is_text(bytes, len)) /* also a NUL, which would cut it short */
        return record_wrong(TIDINGS_EPROTO, record, field,
                            "is empty or not plain text");

    memcpy(out, bytes, len);
    out[len] = '\0';
    return TIDINGS_OK;
}

tidings_err record_read_number(int64_t *out, struct tidings_value map,
                               const char *record, const char *field)
{
    struct tidings_value value;

    if (tidings_get(&value, map, field))
        return record_wrong(TIDINGS_EPROTO, record, field, "is missing");
    if (tidings_as_int(out, value))
        return record_wrong(TIDINGS_EPROTO, record, field,
                            "is no 64-bit integer");
    return TIDINGS_OK;
}

tidings_err record_read_list(struct tidings_value *out, size_t *len, size_t max,
                             struct tidings_value map, const char *record,
                             const char *field)
{
    if (tidings_get(out, map, field))
        return record_wrong(TIDINGS_EPROTO, record, field, "is missing");
    if (tidings_value_kind(*out) != TIDINGS_KIND_ARRAY)
        return record_wrong(TIDINGS_EPROTO, record, field, "is no list");
    *len = tidings_value_count(*out);
    if (*len > max)
        return record_wrong(TIDINGS_EPROTO, record, field,
                            "has too many entries");
    return TIDINGS_OK;
}
