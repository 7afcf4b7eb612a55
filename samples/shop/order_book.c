#include "order_book.h"

#include <time.h>

#define ABANDONED_MS 30000 /* all requests of an order take less */

const char order_book_schema[] =
    "CREATE TABLE IF NOT EXISTS orders ("
    "  id TEXT PRIMARY KEY,"
    "  user_id TEXT NOT NULL,"          /* of another service: no foreign key */
    "  email TEXT NOT NULL DEFAULT ''," /* once it is known */
    "  status TEXT NOT NULL CHECK "
    "    (status IN ('pending', 'confirmed', 'cancelling', 'cancelled')),"
    "  total_cents INTEGER NOT NULL DEFAULT 0 CHECK (total_cents >= 0),"
    "  refund INTEGER NOT NULL DEFAULT 1," /* when it is cancelled */
    "  reason TEXT NOT NULL DEFAULT 'abandoned',"
    "  created_ms INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS orders_open ON orders (status) "
    "  WHERE status IN ('pending', 'cancelling');"
    "CREATE TABLE IF NOT EXISTS order_items ("
    "  order_id TEXT NOT NULL REFERENCES orders (id),"
    "  position INTEGER NOT NULL,"
    "  product_id TEXT NOT NULL,"
    "  quantity INTEGER NOT NULL CHECK (quantity > 0),"
    "  PRIMARY KEY (order_id, position))";

static int64_t unix_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static tidings_err end(struct shop_db *db, tidings_err err)
{
    if (!err)
        return shop_db_commit(db);
    shop_db_rollback(db);
    return err;
}

tidings_err order_book_insert(struct shop_db *db, struct shop_sale *sale)
{
    tidings_err err = shop_db_begin(db);

    if (err)
        return err;
    err = shop_new_id(sale->order_id, db->db);
    if (!err)
        err = shop_run(NULL, db->db,
                       "INSERT INTO orders (id, user_id, status, created_ms) "
                       "VALUES (?, ?, 'pending', ?)",
                       "tti", sale->order_id, sale->user_id, unix_ms());
    for (size_t i = 0; !err && i < sale->items_len; i++)
        err = shop_run(NULL, db->db,
                       "INSERT INTO order_items VALUES (?, ?, ?, ?)", "titi",
                       sale->order_id, (int64_t)i, sale->items[i].product_id,
                       sale->items[i].quantity);
    return end(db, err);
}

tidings_err order_book_confirm(struct shop_db *db, const struct shop_sale *sale)
{
    int changes = 0;
    tidings_err err = shop_db_begin(db);

    if (err)
        return err;
    err = shop_run(&changes, db->db,
                   "UPDATE orders SET status = 'confirmed', total_cents = ? "
                   "WHERE id = ? AND status = 'pending'",
                   "it", sale->total_cents, sale->order_id);
    if (!err && changes == 0)
        err = TIDINGS_ETIMEDOUT;
    if (!err)
        err = shop_publish_sale(db->db, "order.created", sale->order_id, sale);
    return end(db, err);
}

tidings_err order_book_give_up(struct shop_db *db,
                               const struct shop_cancelled *order, bool refund)
{
    tidings_err err = shop_db_begin(db);

    if (err)
        return err;
    err = shop_run(NULL, db->db,
                   "UPDATE orders SET status = 'cancelling', refund = ?, "
                   "email = ?, reason = ? WHERE id = ? AND status = 'pending'",
                   "ittt", (int64_t)refund, order->email, order->reason,
                   order->order_id);
    return end(db, err);
}

bool order_book_next_open(struct shop_db *db, struct shop_cancelled *out,
                          bool *refund)
{
    int64_t wanted = 0;
    tidings_err err = shop_db_begin(db);

    if (err)
        return false;
    err = shop_run(NULL, db->db,
                   "UPDATE orders SET status = 'cancelling' "
                   "WHERE status = 'pending' AND created_ms < ?",
                   "i", unix_ms() - ABANDONED_MS);
    if (!err)
        err = shop_row(db->db,
                       "SELECT id, user_id, email, reason, refund FROM orders "
                       "WHERE status = 'cancelling' AND id > ? "
                       "ORDER BY id LIMIT 1",
                       "t", "tttti", out->order_id, out->order_id,
                       sizeof(out->order_id), out->user_id,
                       sizeof(out->user_id), out->email, sizeof(out->email),
                       out->reason, sizeof(out->reason), &wanted);
    *refund = wanted != 0;
    return !end(db, err);
}

bool order_book_cancelled(struct shop_db *db,
                          const struct shop_cancelled *order)
{
    int changes = 0;
    tidings_err err = shop_db_begin(db);

    if (err)
        return false;
    err = shop_run(&changes, db->db,
                   "UPDATE orders SET status = 'cancelled' "
                   "WHERE id = ? AND status = 'cancelling'",
                   "t", order->order_id);
    if (!err && changes > 0)
        err = shop_publish_cancelled(db->db, "order.cancelled", order->order_id,
                                     order);
    return !end(db, err) && changes > 0;
}

tidings_err order_book_get(struct shop_order *out, struct shop_db *db,
                           const char *order_id)
{
    return shop_look(db,
                     "SELECT id, user_id, status, total_cents FROM orders "
                     "WHERE id = ?",
                     "t", "ttti", order_id, out->order_id,
                     sizeof(out->order_id), out->user_id, sizeof(out->user_id),
                     out->status, sizeof(out->status), &out->total_cents);
}

tidings_err order_book_count(struct shop_order_count *out, struct shop_db *db)
{
    return shop_look(db,
                     "SELECT count(*) FILTER (WHERE status = 'confirmed'),"
                     " count(*) FILTER (WHERE status = 'cancelled'),"
                     " count(*) FILTER (WHERE status IN "
                     "   ('pending', 'cancelling')) FROM orders",
                     "", "iii", &out->confirmed, &out->cancelled, &out->open);
}
