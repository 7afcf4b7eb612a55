/* What the services of the shop tell each other.
 *
 * The fields of each event type are declared once, in the tables below. The
 * struct, the encoder and the decoder of a type are made from its table, here
 * and in events.c, so they cannot disagree; a new field is a new line.
 *
 * What is out of a field's bounds is neither published nor believed: both
 * ways go through the same check. Keys that a reader does not know are
 * ignored, so that a newer publisher may add fields.
 *
 * Money is an integer number of cents: no amount of it is rounded.
 */
#ifndef SHOP_EVENTS_H
#define SHOP_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include <tidings/tidings.h>

/* TEXT(field, max)         1..max bytes of text, no control characters
 * NUMBER(field, min, max)  an integer
 * LIST(field, record, max) 1..max records of the table above it */

#define SHOP_ITEM(TEXT, NUMBER, LIST)                                          \
    TEXT(product_id, 32)                                                       \
    NUMBER(quantity, 1, 1000)

#define SHOP_USER_CREATED(TEXT, NUMBER, LIST)                                  \
    TEXT(user_id, 32)                                                          \
    TEXT(username, 64)                                                         \
    TEXT(email, 254)                                                           \
    TEXT(name, 128)

#define SHOP_ORDER_CREATED(TEXT, NUMBER, LIST)                                 \
    TEXT(order_id, 32)                                                         \
    TEXT(user_id, 32)                                                          \
    LIST(items, item, 16)                                                      \
    NUMBER(total_cents, 0, 1000000000)

/* Records that others are made of, before those that use them. */
#define SHOP_PARTS(RECORD) RECORD(item, SHOP_ITEM)

/* Event types: C name, type on the bus, fields. */
#define SHOP_EVENTS(EVENT)                                                     \
    EVENT(user_created, "user.created", SHOP_USER_CREATED)                     \
    EVENT(order_created, "order.created", SHOP_ORDER_CREATED)

/* ---- one struct for each: struct shop_item, struct shop_user_created, … */

#define SHOP_TEXT_MEMBER(field, max)        char field[(max) + 1];
#define SHOP_NUMBER_MEMBER(field, min, max) int64_t field;
#define SHOP_LIST_MEMBER(field, record, max)                                   \
    struct shop_##record field[max];                                           \
    size_t field##_len;

#define SHOP_STRUCT(record, fields)                                            \
    struct shop_##record {                                                     \
        fields(SHOP_TEXT_MEMBER, SHOP_NUMBER_MEMBER, SHOP_LIST_MEMBER)         \
    };
#define SHOP_EVENT_STRUCT(record, type, fields) SHOP_STRUCT(record, fields)

SHOP_PARTS(SHOP_STRUCT)
SHOP_EVENTS(SHOP_EVENT_STRUCT)

/* ---- two functions for each event type
 *
 * shop_publish_user_created(bus, &event)
 *     TIDINGS_EINVAL: a field is out of bounds, nothing was published;
 *     otherwise as tidings_publish().
 *
 * shop_read_user_created(&out, event)
 *     TIDINGS_EPROTO: the event's data is no such record; out is untouched.
 *
 * In both cases tidings_detail() names the field. */

#define SHOP_EVENT_FUNCTIONS(record, type, fields)                             \
    tidings_err shop_publish_##record(tidings_bus *bus,                        \
                                      const struct shop_##record *event);      \
    tidings_err shop_read_##record(struct shop_##record *out,                  \
                                   const struct tidings_event *event);

SHOP_EVENTS(SHOP_EVENT_FUNCTIONS)

/**
 * Fill a text field of size bytes (sizeof(record.field)) from a string.
 *
 * @return TIDINGS_OK, TIDINGS_ELIMIT if it does not fit.
 */
tidings_err shop_set_text(char *field, size_t size, const char *text);

#endif
