/* An event that outlives the handler it was given to: one block of memory. */
#include "client/event.h"

#include "client/detail.h"

#include <stdlib.h>
#include <string.h>

/* Where the next bytes of the block go; NULL at: they are only counted. */
struct block {
    char *at;
    size_t len;
};

static void *put(struct block *b, const void *data, size_t len)
{
    void *to = b->at ? b->at + b->len : NULL;

    if (to && len > 0)
        memcpy(to, data, len);
    b->len += len;
    return to;
}

static const char *put_text(struct block *b, const char *text)
{
    return text ? put(b, text, strlen(text) + 1) : NULL;
}

static void put_attr(struct block *b, struct tidings_attr *to,
                     const struct tidings_attr *attr)
{
    struct tidings_attr copy = *attr;

    copy.name = put_text(b, attr->name);
    if (attr->kind == TIDINGS_ATTR_STRING)
        copy.string = put_text(b, attr->string);
    else if (attr->kind == TIDINGS_ATTR_BINARY)
        copy.binary = put(b, attr->binary, attr->binary_len);
    if (to)
        *to = copy;
}

/* The event, its attributes, its data, and then texts: so that all are
 * aligned. */
static struct tidings_event *put_event(struct block *b,
                                       const struct tidings_event *event)
{
    struct tidings_event copy = *event;
    struct tidings_event *to = put(b, event, sizeof(*event));
    struct tidings_attr *attrs =
        put(b, event->attrs, event->attrs_len * sizeof(*event->attrs));

    copy.attrs = event->attrs_len > 0 ? attrs : NULL;
    copy.data = put(b, event->data, event->data_len);
    copy.type = put_text(b, event->type);
    copy.id = put_text(b, event->id);
    copy.source = put_text(b, event->source);
    copy.subject = put_text(b, event->subject);
    copy.datacontenttype = put_text(b, event->datacontenttype);
    copy.dataschema = put_text(b, event->dataschema);
    for (size_t i = 0; i < event->attrs_len; i++)
        put_attr(b, attrs ? &attrs[i] : NULL, &event->attrs[i]);
    if (to)
        *to = copy;
    return to;
}

tidings_err tidings_event_copy(struct tidings_event **out,
                               const struct tidings_event *event)
{
    struct block block = {NULL, 0};
    struct tidings_event *copy;

    if (!out || !event)
        return td_fail(TIDINGS_EINVAL, "out or event is NULL");
    put_event(&block, event);
    block.at = malloc(block.len);
    if (!block.at)
        return TIDINGS_ENOMEM;
    block.len = 0;
    copy = put_event(&block, event);
    *out = copy;
    return TIDINGS_OK;
}
