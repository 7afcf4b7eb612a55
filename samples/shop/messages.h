/* What the services of the shop ask and tell each other, as records:
 * record.h says how a table becomes a struct, an encoder and a decoder.
 *
 * Money is an integer number of cents: no amount of it is rounded.
 */
#ifndef SHOP_MESSAGES_H
#define SHOP_MESSAGES_H

#define RECORD(name) shop_##name
#include "record/record.h"

#define SHOP_CENTS_MAX 1000000000

#define SHOP_ITEM(TEXT, NUMBER, LIST)                                          \
    TEXT(product_id, 36)                                                       \
    NUMBER(quantity, 1, 1000)

/* ---- users: user.create asks new_user, user.get user_ref; both answer user,
 * and user.created tells it */

#define SHOP_NEW_USER(TEXT, NUMBER, LIST)                                      \
    TEXT(username, 50)                                                         \
    TEXT(email, 100)                                                           \
    TEXT(name, 100)

#define SHOP_USER_REF(TEXT, NUMBER, LIST) TEXT(user_id, 36)

#define SHOP_USER(TEXT, NUMBER, LIST)                                          \
    TEXT(user_id, 36)                                                          \
    TEXT(username, 50)                                                         \
    TEXT(email, 100)                                                           \
    TEXT(name, 100)

#define SHOP_USER_COUNT(TEXT, NUMBER, LIST) NUMBER(users, 0, INT64_MAX)

/* ---- inventory: stock.add asks product, stock.get product_ref; both answer
 * stock. stock.reserve asks reserve and answers reserved; stock.release asks
 * order_ref and answers it. stock.reserved tells reserve, stock.released
 * order_ref */

#define SHOP_PRODUCT(TEXT, NUMBER, LIST)                                       \
    TEXT(product_id, 36)                                                       \
    TEXT(name, 100)                                                            \
    NUMBER(price_cents, 0, SHOP_CENTS_MAX)                                     \
    NUMBER(quantity, 0, 1000000)

#define SHOP_PRODUCT_REF(TEXT, NUMBER, LIST) TEXT(product_id, 36)

#define SHOP_STOCK(TEXT, NUMBER, LIST)                                         \
    TEXT(product_id, 36)                                                       \
    NUMBER(price_cents, 0, SHOP_CENTS_MAX)                                     \
    NUMBER(available, 0, INT64_MAX)                                            \
    NUMBER(reserved, 0, INT64_MAX)

#define SHOP_ORDER_REF(TEXT, NUMBER, LIST) TEXT(order_id, 36)

#define SHOP_RESERVE(TEXT, NUMBER, LIST)                                       \
    TEXT(order_id, 36)                                                         \
    LIST(items, item, 16)

#define SHOP_RESERVED(TEXT, NUMBER, LIST)                                      \
    TEXT(order_id, 36)                                                         \
    NUMBER(total_cents, 0, SHOP_CENTS_MAX)

#define SHOP_STOCK_COUNT(TEXT, NUMBER, LIST)                                   \
    NUMBER(available, 0, INT64_MAX)                                            \
    NUMBER(reserved, 0, INT64_MAX)

/* ---- payments: payment.take asks charge and answers payment, which
 * payment.completed tells; payment.refund asks order_ref and answers it, which
 * payment.refunded tells. payment.outage asks outage, and answers it: for how
 * long the bank does not answer from now on */

#define SHOP_CHARGE(TEXT, NUMBER, LIST)                                        \
    TEXT(order_id, 36)                                                         \
    TEXT(user_id, 36)                                                          \
    TEXT(card, 32)                                                             \
    NUMBER(amount_cents, 0, SHOP_CENTS_MAX)

#define SHOP_PAYMENT(TEXT, NUMBER, LIST)                                       \
    TEXT(payment_id, 36)                                                       \
    TEXT(order_id, 36)                                                         \
    NUMBER(amount_cents, 0, SHOP_CENTS_MAX)

#define SHOP_PAYMENT_FAILED(TEXT, NUMBER, LIST)                                \
    TEXT(order_id, 36)                                                         \
    TEXT(reason, 100)

#define SHOP_OUTAGE(TEXT, NUMBER, LIST) NUMBER(ms, 0, 3600000)

#define SHOP_PAYMENT_COUNT(TEXT, NUMBER, LIST)                                 \
    NUMBER(completed, 0, INT64_MAX)                                            \
    NUMBER(failed, 0, INT64_MAX)                                               \
    NUMBER(refunded, 0, INT64_MAX)                                             \
    NUMBER(cents, 0, INT64_MAX)

/* ---- orders: order.create asks new_order, order.get order_ref; both answer
 * order. order.created tells sale, order.cancelled tells cancelled */

#define SHOP_NO_EMAIL "-" /* in cancelled: there is no such user */

#define SHOP_NEW_ORDER(TEXT, NUMBER, LIST)                                     \
    TEXT(user_id, 36)                                                          \
    TEXT(card, 32)                                                             \
    LIST(items, item, 16)

#define SHOP_ORDER(TEXT, NUMBER, LIST)                                         \
    TEXT(order_id, 36)                                                         \
    TEXT(user_id, 36)                                                          \
    TEXT(status, 16)                                                           \
    NUMBER(total_cents, 0, SHOP_CENTS_MAX)

#define SHOP_SALE(TEXT, NUMBER, LIST)                                          \
    TEXT(order_id, 36)                                                         \
    TEXT(user_id, 36)                                                          \
    TEXT(email, 100)                                                           \
    LIST(items, item, 16)                                                      \
    NUMBER(total_cents, 0, SHOP_CENTS_MAX)

#define SHOP_CANCELLED(TEXT, NUMBER, LIST)                                     \
    TEXT(order_id, 36)                                                         \
    TEXT(user_id, 36)                                                          \
    TEXT(email, 100)                                                           \
    TEXT(reason, 200)

#define SHOP_ORDER_COUNT(TEXT, NUMBER, LIST)                                   \
    NUMBER(confirmed, 0, INT64_MAX)                                            \
    NUMBER(cancelled, 0, INT64_MAX)                                            \
    NUMBER(open, 0, INT64_MAX)

/* ---- who listens: mail.count and analytics.count */

#define SHOP_MAIL_COUNT(TEXT, NUMBER, LIST)                                    \
    NUMBER(welcome, 0, INT64_MAX)                                              \
    NUMBER(confirmation, 0, INT64_MAX)                                         \
    NUMBER(cancellation, 0, INT64_MAX)

#define SHOP_ANALYTICS_COUNT(TEXT, NUMBER, LIST)                               \
    NUMBER(users, 0, INT64_MAX)                                                \
    NUMBER(orders, 0, INT64_MAX)                                               \
    NUMBER(cancelled, 0, INT64_MAX)                                            \
    NUMBER(payments, 0, INT64_MAX)                                             \
    NUMBER(revenue_cents, 0, INT64_MAX)

/* All of them; records that others are made of come first. */
#define SHOP_RECORDS(RECORD)                                                   \
    RECORD(item, SHOP_ITEM)                                                    \
    RECORD(new_user, SHOP_NEW_USER)                                            \
    RECORD(user_ref, SHOP_USER_REF)                                            \
    RECORD(user, SHOP_USER)                                                    \
    RECORD(user_count, SHOP_USER_COUNT)                                        \
    RECORD(product, SHOP_PRODUCT)                                              \
    RECORD(product_ref, SHOP_PRODUCT_REF)                                      \
    RECORD(stock, SHOP_STOCK)                                                  \
    RECORD(order_ref, SHOP_ORDER_REF)                                          \
    RECORD(reserve, SHOP_RESERVE)                                              \
    RECORD(reserved, SHOP_RESERVED)                                            \
    RECORD(stock_count, SHOP_STOCK_COUNT)                                      \
    RECORD(charge, SHOP_CHARGE)                                                \
    RECORD(payment, SHOP_PAYMENT)                                              \
    RECORD(payment_failed, SHOP_PAYMENT_FAILED)                                \
    RECORD(outage, SHOP_OUTAGE)                                                \
    RECORD(payment_count, SHOP_PAYMENT_COUNT)                                  \
    RECORD(new_order, SHOP_NEW_ORDER)                                          \
    RECORD(order, SHOP_ORDER)                                                  \
    RECORD(sale, SHOP_SALE)                                                    \
    RECORD(cancelled, SHOP_CANCELLED)                                          \
    RECORD(order_count, SHOP_ORDER_COUNT)                                      \
    RECORD(mail_count, SHOP_MAIL_COUNT)                                        \
    RECORD(analytics_count, SHOP_ANALYTICS_COUNT)

#define SHOP_DECLARE(record, fields)                                           \
    RECORD_STRUCT(record, fields)                                              \
    RECORD_FUNCTIONS(record)

SHOP_RECORDS(SHOP_DECLARE)

#endif
