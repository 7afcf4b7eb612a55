#include "proto/expiry.h"

#include "proto/timestamp.h"

#include <string.h>

/* The longest there is has nine digits of a second, and an offset. */
#define TEXT_BYTES_MAX 40u

bool td_expiry_read(int64_t *out_us, struct td_str text)
{
    char copy[TEXT_BYTES_MAX + 1];

    if (text.len > TEXT_BYTES_MAX || memchr(text.data, '\0', text.len))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return td_timestamp_read(out_us, copy);
}

bool td_expiry_of(int64_t *out_us, const struct td_event *event)
{
    struct td_str text = {NULL, 0};

    return event->attrs.len > 0 &&
           td_map_str(event->attrs, "expirytime", &text) && text.data &&
           td_expiry_read(out_us, text);
}
