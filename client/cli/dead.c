#include "client/cli/dead.h"

#include <stdlib.h>
#include <string.h>

/* A run's flags, and the places of what is read. */
enum { PRODUCER, SOURCE, BASE_TIME, RUNS };
enum { TYPE, COUNT, BYTES, FIRST, FLAGS };
enum { DT, DATA, ATTRIBUTES };

#define PRODUCER_BYTES 16

/* ---- strings: copied, as they need a NUL ---- */

/* Room for every string of the row: each is shorter there by its NUL, which a
 * msgpack head of at least one byte makes up for. */
struct texts {
    char *at;
    char *end;
};

static const char *copy(struct texts *t, const char *text, size_t len)
{
    char *to = t->at;

    if (len >= (size_t)(t->end - to) || memchr(text, 0, len))
        return NULL;
    memcpy(to, text, len);
    to[len] = '\0';
    t->at += len + 1;
    return to;
}

static const char *copy_value(struct texts *t, struct tidings_value value)
{
    const char *text;
    size_t len;

    return tidings_as_string(&text, &len, value) ? NULL : copy(t, text, len);
}

static const char *copy_at(struct texts *t, struct tidings_value array,
                           size_t i)
{
    struct tidings_value value;

    return tidings_at(&value, array, i) ? NULL : copy_value(t, value);
}

/* ---- the id, if it has none of its own ---- */

/* The value's digits in Crockford's base 32, most significant first. */
static void put_digits(char *out, int digits, const unsigned char *bytes,
                       int len)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    int bits = len * 8;

    for (int d = digits - 1, bit = 0; d >= 0; d--, bit += 5) {
        unsigned value = 0;

        for (int i = 4; i >= 0; i--) { /* bit is counted from the lowest */
            int at = bit + i;
            unsigned one =
                at < bits ? bytes[len - 1 - at / 8] >> (at % 8) & 1u : 0;

            value = value << 1 | one;
        }
        out[d] = alphabet[value];
    }
}

static void make_id(char out[TD_DEAD_ID_BYTES], const unsigned char *producer,
                    uint64_t sequence)
{
    unsigned char bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(sequence >> (56 - 8 * i));
    put_digits(out, 26, producer, PRODUCER_BYTES);
    out[26] = '-';
    put_digits(out + 27, 13, bytes, 8);
    out[40] = '\0';
}

/* ---- attributes ---- */

/* The attributes that are fields of the event. */
static const char **field_of(struct tidings_event *event, const char *name)
{
    if (strcmp(name, "id") == 0)
        return &event->id;
    if (strcmp(name, "source") == 0)
        return &event->source;
    if (strcmp(name, "subject") == 0)
        return &event->subject;
    if (strcmp(name, "datacontenttype") == 0)
        return &event->datacontenttype;
    if (strcmp(name, "dataschema") == 0)
        return &event->dataschema;
    return NULL;
}

static bool read_extension(struct tidings_attr *attr, struct texts *texts,
                           struct tidings_value value)
{
    int64_t integer;

    switch (tidings_value_kind(value)) {
    case TIDINGS_KIND_STRING:
        attr->kind = TIDINGS_ATTR_STRING;
        attr->string = copy_value(texts, value);
        return attr->string != NULL;
    case TIDINGS_KIND_INT:
        attr->kind = TIDINGS_ATTR_INTEGER;
        if (tidings_as_int(&integer, value) || integer < INT32_MIN ||
            integer > INT32_MAX)
            return false;
        attr->integer = (int32_t)integer;
        return true;
    case TIDINGS_KIND_BOOL:
        attr->kind = TIDINGS_ATTR_BOOLEAN;
        return !tidings_as_bool(&attr->boolean, value);
    case TIDINGS_KIND_BINARY:
        attr->kind = TIDINGS_ATTR_BINARY;
        return !tidings_as_binary(&attr->binary, &attr->binary_len, value);
    default:
        return false;
    }
}

static bool read_attributes(struct td_dead *dead, struct texts *texts,
                            struct tidings_value map)
{
    struct tidings_value key, value;

    for (size_t i = 0; !tidings_pair_at(&key, &value, map, i); i++) {
        const char *name = copy_value(texts, key);
        const char **field = name ? field_of(&dead->event, name) : NULL;
        struct tidings_attr *attr = &dead->attrs[dead->event.attrs_len];

        if (field) {
            *field = copy_value(texts, value);
            if (!*field)
                return false;
            continue;
        }
        if (!name || dead->event.attrs_len == TIDINGS_ATTRS_MAX)
            return false;
        attr->name = name;
        if (!read_extension(attr, texts, value))
            return false;
        dead->event.attrs_len++;
    }
    return true;
}

/* ---- the event ---- */

/* The array in the bin that the body is. */
static bool read_body(struct td_dead *dead, struct texts *texts,
                      struct tidings_value event, int64_t base_us)
{
    struct tidings_value bin, array, dt, data, attributes;
    const void *bytes;
    size_t len;
    int64_t dt_us;

    if (tidings_as_binary(&bytes, &len, event) ||
        tidings_value_read(&bin, bytes, len) ||
        tidings_as_binary(&bytes, &len, bin) ||
        tidings_value_read(&array, bytes, len) || tidings_at(&dt, array, DT) ||
        tidings_as_int(&dt_us, dt) || tidings_at(&data, array, DATA) ||
        tidings_as_binary(&dead->event.data, &dead->event.data_len, data))
        return false;
    dead->event.time_us = (int64_t)((uint64_t)base_us + (uint64_t)dt_us);
    return tidings_at(&attributes, array, ATTRIBUTES) ||
           read_attributes(dead, texts, attributes);
}

/* The batch, with its one run of one event. */
static bool read_batch(struct td_dead *dead, struct texts *texts,
                       struct tidings_value bytes, int64_t *base_us)
{
    struct tidings_value batch, producer, base, runs, run, first;
    const void *at, *id;
    size_t len, id_len;
    uint64_t sequence;

    if (tidings_as_binary(&at, &len, bytes) ||
        tidings_value_read(&batch, at, len))
        return false;
    /* a list of one batch, or the batch itself */
    if (tidings_value_count(batch) == 1 && tidings_at(&batch, batch, 0))
        return false;
    if (tidings_at(&producer, batch, PRODUCER) ||
        tidings_as_binary(&id, &id_len, producer) || id_len != PRODUCER_BYTES ||
        tidings_at(&base, batch, BASE_TIME) || tidings_as_int(base_us, base) ||
        tidings_at(&runs, batch, RUNS) || tidings_at(&run, runs, 0) ||
        tidings_at(&first, run, FIRST) || tidings_as_uint(&sequence, first))
        return false;
    make_id(dead->made_id, id, sequence);
    dead->event.id = dead->made_id;
    dead->event.source = copy_at(texts, batch, SOURCE);
    dead->event.type = copy_at(texts, run, TYPE);
    return dead->event.source && dead->event.type;
}

tidings_err td_dead_open(struct td_dead *out, struct tidings_value row)
{
    struct tidings_value batch, event;
    struct texts texts;
    int64_t base_us;

    memset(out, 0, sizeof(*out));
    if (tidings_get(&batch, row, "batch") || tidings_get(&event, row, "event"))
        return TIDINGS_ENOTFOUND;
    out->texts = malloc(batch.len + event.len + 1);
    if (!out->texts)
        return TIDINGS_ENOMEM;
    texts.at = out->texts;
    texts.end = out->texts + batch.len + event.len + 1;
    out->event.attrs = out->attrs;
    if (read_batch(out, &texts, batch, &base_us) &&
        read_body(out, &texts, event, base_us))
        return TIDINGS_OK;
    td_dead_fini(out);
    tidings_set_detail("the event of the dead letter could not be read");
    return TIDINGS_EPROTO;
}

void td_dead_fini(struct td_dead *dead)
{
    free(dead->texts);
    dead->texts = NULL;
}
