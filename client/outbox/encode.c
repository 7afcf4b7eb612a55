#include "client/outbox/encode.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t td_unix_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* CloudEvents' own, which no extension has the name of: those that are text. */
static const struct {
    const char *name;
    size_t at; /* in struct tidings_event */
} texts[] = {
    {"source", offsetof(struct tidings_event, source)},
    {"subject", offsetof(struct tidings_event, subject)},
    {"datacontenttype", offsetof(struct tidings_event, datacontenttype)},
    {"dataschema", offsetof(struct tidings_event, dataschema)},
};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

static const char **text_of(const struct tidings_event *event, size_t i)
{
    return (const char **)((char *)event + texts[i].at);
}

/* ---- writing ---- */

static void put_attr(tidings_writer *w, const struct tidings_attr *a)
{
    tidings_put_string(w, a->name);
    switch (a->kind) {
    case TIDINGS_ATTR_STRING:
        tidings_put_string(w, a->string);
        break;
    case TIDINGS_ATTR_INTEGER:
        tidings_put_int(w, a->integer);
        break;
    case TIDINGS_ATTR_BOOLEAN:
        tidings_put_bool(w, a->boolean);
        break;
    case TIDINGS_ATTR_BINARY:
        tidings_put_binary(w, a->binary, a->binary_len);
        break;
    }
}

tidings_err td_encode_event(tidings_writer *w,
                            const struct tidings_event *event)
{
    tidings_err err = tidings_event_check(event);
    size_t pairs = 1;

    if (err)
        return err;
    for (size_t i = 0; i < TEXTS; i++)
        pairs += *text_of(event, i) != NULL;
    tidings_put_map(w, (uint32_t)(pairs + event->attrs_len));
    tidings_put_string(w, "time");
    tidings_put_int(w, event->time_us ? event->time_us : td_unix_now_us());
    for (size_t i = 0; i < TEXTS; i++) {
        if (!*text_of(event, i))
            continue;
        tidings_put_string(w, texts[i].name);
        tidings_put_string(w, *text_of(event, i));
    }
    for (size_t i = 0; i < event->attrs_len; i++)
        put_attr(w, &event->attrs[i]);
    return TIDINGS_OK;
}

/* ---- reading ---- */

/* Where the next string goes: there is room for all of them. */
struct text {
    char *at;
};

static const char *take_text(struct text *t, const char *from, size_t len)
{
    char *to = t->at;

    memcpy(to, from, len);
    to[len] = '\0';
    t->at += len + 1;
    return to;
}

static tidings_err read_string(const char **out, struct text *t,
                               struct tidings_value value)
{
    const char *from;
    size_t len;
    tidings_err err = tidings_as_string(&from, &len, value);

    if (!err && memchr(from, '\0', len))
        return TIDINGS_EINVAL; /* it would end there */
    if (!err)
        *out = take_text(t, from, len);
    return err;
}

static tidings_err read_integer(int32_t *out, struct tidings_value value)
{
    int64_t n;
    tidings_err err = tidings_as_int(&n, value);

    if (!err && (n < INT32_MIN || n > INT32_MAX))
        err = TIDINGS_EINVAL;
    if (!err)
        *out = (int32_t)n;
    return err;
}

static tidings_err read_attr(struct tidings_attr *a, struct text *t,
                             struct tidings_value value)
{
    switch (tidings_value_kind(value)) {
    case TIDINGS_KIND_STRING:
        a->kind = TIDINGS_ATTR_STRING;
        return read_string(&a->string, t, value);
    case TIDINGS_KIND_INT:
        a->kind = TIDINGS_ATTR_INTEGER;
        return read_integer(&a->integer, value);
    case TIDINGS_KIND_BOOL:
        a->kind = TIDINGS_ATTR_BOOLEAN;
        return tidings_as_bool(&a->boolean, value);
    case TIDINGS_KIND_BINARY:
        a->kind = TIDINGS_ATTR_BINARY;
        return tidings_as_binary(&a->binary, &a->binary_len, value);
    default:
        return TIDINGS_EINVAL;
    }
}

static tidings_err read_pair(struct td_decoded *d, struct text *t,
                             struct tidings_value key,
                             struct tidings_value value)
{
    struct tidings_event *event = &d->event;
    const char *name;
    tidings_err err = read_string(&name, t, key);

    if (err)
        return err;
    if (strcmp(name, "time") == 0)
        return tidings_as_int(&event->time_us, value);
    for (size_t i = 0; i < TEXTS; i++) {
        if (strcmp(name, texts[i].name) == 0)
            return read_string(text_of(event, i), t, value);
    }
    if (event->attrs_len == TIDINGS_ATTRS_MAX)
        return TIDINGS_EINVAL;
    d->attrs[event->attrs_len] = (struct tidings_attr){.name = name};
    return read_attr(&d->attrs[event->attrs_len++], t, value);
}

static bool make_room(struct td_decoded *d, size_t size)
{
    char *text = d->text_size < size ? realloc(d->text, size) : d->text;

    if (!text)
        return false;
    d->text = text;
    if (d->text_size < size)
        d->text_size = size;
    return true;
}

tidings_err td_decode_event(struct td_decoded *d, const void *map, size_t len)
{
    struct tidings_value key;
    struct tidings_value value;
    struct tidings_value all;
    struct text text;
    tidings_err err = tidings_value_read(&all, map, len);

    memset(&d->event, 0, sizeof(d->event));
    d->event.attrs = d->attrs;
    if (err)
        return err;
    if (tidings_value_kind(all) != TIDINGS_KIND_MAP)
        return TIDINGS_EPROTO;
    /* A string is at least a byte longer in msgpack: that is for its NUL. */
    if (!make_room(d, len + 1))
        return TIDINGS_ENOMEM;
    text.at = d->text;
    for (size_t i = 0; i < tidings_value_count(all); i++) {
        if (tidings_pair_at(&key, &value, all, i) ||
            read_pair(d, &text, key, value))
            return TIDINGS_EPROTO;
    }
    return TIDINGS_OK;
}

void td_decoded_fini(struct td_decoded *d)
{
    free(d->text);
    d->text = NULL;
    d->text_size = 0;
}
