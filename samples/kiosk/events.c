/* The kiosk's events, on the bus and from it. */
#include "events.h"

#include "record/define.h"

KIOSK_PARTS(RECORD_DEFINE)
#define DEFINE_EVENT(part, type, fields) RECORD_DEFINE(part, fields)
KIOSK_EVENTS(DEFINE_EVENT)

#define DEFINE_PUBLISH(part, type, fields)                                     \
    tidings_err kiosk_publish_##part(tidings_bus *bus,                         \
                                     const struct kiosk_##part *event)         \
    {                                                                          \
        tidings_writer *w = tidings_writer_new();                              \
        const void *data;                                                      \
        size_t len;                                                            \
        tidings_err err = kiosk_pack_##part(w, event);                         \
                                                                               \
        if (!err)                                                              \
            err = tidings_writer_bytes(w, &data, &len);                        \
        if (!err)                                                              \
            err = tidings_publish(bus, type, data, len);                       \
        tidings_writer_free(w);                                                \
        return err;                                                            \
    }

#define DEFINE_READ(part, type, fields)                                        \
    tidings_err kiosk_read_##part(struct kiosk_##part *out,                    \
                                  const struct tidings_event *event)           \
    {                                                                          \
        return kiosk_unpack_##part(out, event->data, event->data_len);         \
    }

KIOSK_EVENTS(DEFINE_PUBLISH)
KIOSK_EVENTS(DEFINE_READ)
