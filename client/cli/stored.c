#include "client/cli/stored.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tidings/json.h"

static bool is_ours(const struct tidings_attr *attr)
{
    return strcmp(attr->name, TD_STORED_ATTR) == 0;
}

tidings_err td_stored_json(char **out, uint64_t sequence,
                           const struct tidings_event *event)
{
    struct tidings_event with = *event;
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX + 1];
    size_t len = event->attrs_len < TIDINGS_ATTRS_MAX ? event->attrs_len
                                                      : TIDINGS_ATTRS_MAX;
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, sequence);
    attrs[0] = (struct tidings_attr){
        .name = TD_STORED_ATTR, .kind = TIDINGS_ATTR_STRING, .string = text};
    with.attrs_len = 1;
    for (size_t i = 0; i < len; i++) {
        if (!is_ours(&event->attrs[i]))
            attrs[with.attrs_len++] = event->attrs[i];
    }
    with.attrs = attrs;
    return tidings_event_to_json(out, &with);
}

uint64_t td_stored_sequence(const struct tidings_event *event)
{
    for (size_t i = 0; i < event->attrs_len; i++) {
        const struct tidings_attr *attr = &event->attrs[i];

        if (is_ours(attr) && attr->kind == TIDINGS_ATTR_STRING)
            return strtoull(attr->string, NULL, 10);
    }
    return 0;
}
