/* What the order service writes down, each step in a transaction of its own: so
 * that whoever starts after a crash knows what is to be undone. */
#ifndef SHOP_ORDER_BOOK_H
#define SHOP_ORDER_BOOK_H

#include "service.h"

extern const char order_book_schema[];

/** A new order, pending; its id goes into the sale. */
tidings_err order_book_insert(struct shop_db *db, struct shop_sale *sale);

/** That it is confirmed, and that everybody is told, or neither.
 *  TIDINGS_ETIMEDOUT: it took so long that it was given up. */
tidings_err order_book_confirm(struct shop_db *db,
                               const struct shop_sale *sale);

/** It is to be undone. */
tidings_err order_book_give_up(struct shop_db *db,
                               const struct shop_cancelled *order, bool refund);

/** The next order after out's that is to be undone, with those that a crash has
 *  left behind; false: there is none. */
bool order_book_next_open(struct shop_db *db, struct shop_cancelled *out,
                          bool *refund);

/** That it is cancelled, and that everybody is told. false: not now, or
 *  somebody else was first. */
bool order_book_cancelled(struct shop_db *db,
                          const struct shop_cancelled *order);

tidings_err order_book_get(struct shop_order *out, struct shop_db *db,
                           const char *order_id);
tidings_err order_book_count(struct shop_order_count *out, struct shop_db *db);

#endif
