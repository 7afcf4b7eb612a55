/* What the services of the kiosk tell each other.
 *
 * The fields of each event type are declared once, in the tables below. The
 * struct, the encoder and the decoder of a type are made from its table:
 * record.h says how.
 *
 * Money is an integer number of cents: no amount of it is rounded.
 */
#ifndef KIOSK_EVENTS_H
#define KIOSK_EVENTS_H

#define RECORD(name) kiosk_##name
#include "record/record.h"

#define KIOSK_ITEM(TEXT, NUMBER, LIST)                                         \
    TEXT(product_id, 32)                                                       \
    NUMBER(quantity, 1, 1000)

#define KIOSK_USER_CREATED(TEXT, NUMBER, LIST)                                 \
    TEXT(user_id, 32)                                                          \
    TEXT(username, 64)                                                         \
    TEXT(email, 254)                                                           \
    TEXT(name, 128)

#define KIOSK_ORDER_CREATED(TEXT, NUMBER, LIST)                                \
    TEXT(order_id, 32)                                                         \
    TEXT(user_id, 32)                                                          \
    LIST(items, item, 16)                                                      \
    NUMBER(total_cents, 0, 1000000000)

/* Records that others are made of, before those that use them. */
#define KIOSK_PARTS(RECORD) RECORD(item, KIOSK_ITEM)

/* Event types: C name, type on the bus, fields. */
#define KIOSK_EVENTS(EVENT)                                                    \
    EVENT(user_created, "user.created", KIOSK_USER_CREATED)                    \
    EVENT(order_created, "order.created", KIOSK_ORDER_CREATED)

/* ---- one struct for each: struct kiosk_item, struct kiosk_user_created, … */

#define KIOSK_PART(record, fields)                                             \
    RECORD_STRUCT(record, fields)                                              \
    RECORD_FUNCTIONS(record)
#define KIOSK_EVENT(record, type, fields) KIOSK_PART(record, fields)

KIOSK_PARTS(KIOSK_PART)
KIOSK_EVENTS(KIOSK_EVENT)

/* ---- two functions for each event type
 *
 * kiosk_publish_user_created(bus, &event)
 *     TIDINGS_EINVAL: a field is out of bounds, nothing was published;
 *     otherwise as tidings_publish().
 *
 * kiosk_read_user_created(&out, event)
 *     TIDINGS_EPROTO: the event's data is no such record; out is untouched.
 *
 * In both cases tidings_detail() names the field. */

#define KIOSK_EVENT_FUNCTIONS(record, type, fields)                            \
    tidings_err kiosk_publish_##record(tidings_bus *bus,                       \
                                       const struct kiosk_##record *event);    \
    tidings_err kiosk_read_##record(struct kiosk_##record *out,                \
                                    const struct tidings_event *event);

KIOSK_EVENTS(KIOSK_EVENT_FUNCTIONS)

#endif
