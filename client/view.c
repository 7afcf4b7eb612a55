#include "client/view.h"

#include "client/bus.h"
#include "proto/expiry.h"

#include <string.h>

void td_view_fini(struct td_view *v)
{
    td_buf_fini(&v->scratch.strings);
}

static void copy_text(char *to, struct td_str from)
{
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

void td_view_batch(struct td_view *v, struct td_str source, int64_t base_us)
{
    copy_text(v->source, source);
    v->base_us = base_us;
}

void td_view_run(struct td_view *v, struct td_str type, uint32_t flags)
{
    copy_text(v->type, type);
    v->may_expire = flags & TD_RUN_EXPIRY;
}

void td_view_at(struct td_view *v, const char *producer, uint64_t sequence)
{
    td_id_format(v->id, (const uint8_t *)producer, sequence);
}

void td_view_next(struct td_view *v)
{
    td_id_increment(v->id);
}

static char *put_hex(char *to, uint64_t value)
{
    unsigned digits = 1;

    while (digits < 16 && value >> 4 * digits)
        digits++;
    for (unsigned i = digits; i-- > 0; value >>= 4)
        to[i] = "0123456789abcdef"[value & 15];
    return to + digits;
}

void td_view_request(struct td_view *v, uint64_t session, uint64_t number)
{
    char *end = put_hex(v->id, session);

    *end++ = '-';
    *put_hex(end, number) = '\0';
}

tidings_err td_view_open(struct td_view *v, const uint8_t **p,
                         const uint8_t *end)
{
    struct tidings_event *event = &v->event;
    struct td_event wire;

    if (!td_event_open(&wire, p, end))
        return TIDINGS_EPROTO;
    if (v->has_attrs || wire.attrs.len) /* also fields like subject */
        memset(event, 0, sizeof(*event));
    v->has_attrs = wire.attrs.len > 0;
    v->expires = v->may_expire && td_expiry_of(&v->expires_us, &wire);
    event->type = v->type;
    event->id = v->id;
    event->source = v->source;
    event->time_us = (int64_t)((uint64_t)v->base_us +
                               (uint64_t)wire.dt_us); /* defined, if hostile */
    event->data = wire.data.data;
    event->data_len = wire.data.len;
    if (!td_event_is_time(event->time_us))
        return TIDINGS_EPROTO;
    return wire.attrs.len == 0
               ? TIDINGS_OK
               : td_event_decode(event, &v->scratch, wire.attrs);
}

bool td_view_is_expired(const struct td_view *v)
{
    return v->expires && v->expires_us < td_unix_us();
}
