/* Events as rows: type, id, key and data have columns of their own, and all the
 * rest is one msgpack map. */
#ifndef OUTBOX_ENCODE_H
#define OUTBOX_ENCODE_H

#include "tidings/tidings.h"

/* Checks an event as a publish would, and writes that map; its time is now if it
 * has none. */
tidings_err td_encode_event(tidings_writer *out,
                            const struct tidings_event *event);

/* What a row is read into. All zero is empty. */
struct td_decoded {
    struct tidings_event event;
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX];
    char *text; /* what strings point into */
    size_t text_size;
};

/* Reads the map; type, id and data are the caller's to set. TIDINGS_EPROTO: it
 * is none, or holds what no event has. */
tidings_err td_decode_event(struct td_decoded *out, const void *map,
                            size_t len);
void td_decoded_fini(struct td_decoded *d);

int64_t td_unix_now_us(void);

#endif
