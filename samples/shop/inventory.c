/* The inventory service: what there is to sell, and what is set aside for
 * orders. Reserving and releasing may be asked for again, in any order: what
 * was released is not reserved any more. */
#include "service.h"

#include <stdio.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS products ("
    "  id TEXT PRIMARY KEY,"
    "  name TEXT NOT NULL,"
    "  price_cents INTEGER NOT NULL CHECK (price_cents >= 0),"
    "  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);"
    "CREATE TABLE IF NOT EXISTS stock ("
    "  product_id TEXT PRIMARY KEY REFERENCES products (id),"
    "  available_quantity INTEGER NOT NULL CHECK (available_quantity >= 0),"
    "  reserved_quantity INTEGER NOT NULL DEFAULT 0"
    "    CHECK (reserved_quantity >= 0));"
    "CREATE TABLE IF NOT EXISTS reservations ("
    "  order_id TEXT PRIMARY KEY,"
    "  state TEXT NOT NULL CHECK (state IN ('reserved', 'released')),"
    "  total_cents INTEGER NOT NULL CHECK (total_cents >= 0));"
    "CREATE TABLE IF NOT EXISTS reservation_items ("
    "  order_id TEXT NOT NULL REFERENCES reservations (order_id),"
    "  product_id TEXT NOT NULL REFERENCES products (id),"
    "  quantity INTEGER NOT NULL CHECK (quantity > 0),"
    "  PRIMARY KEY (order_id, product_id))";

/* ---- products ---- */

static tidings_err look(sqlite3 *db, struct shop_stock *out, const char *id)
{
    return shop_row(db,
                    "SELECT id, price_cents, available_quantity, "
                    "reserved_quantity FROM products "
                    "JOIN stock ON product_id = id WHERE id = ?",
                    "t", "tiii", id, out->product_id, sizeof(out->product_id),
                    &out->price_cents, &out->available, &out->reserved);
}

static tidings_err add(void *arg, tidings_task *task,
                       const struct tidings_event *request)
{
    struct shop *shop = arg;
    sqlite3 *db = shop->db.db;
    struct shop_product p;
    struct shop_stock stock = {0};
    tidings_err err;

    if (!shop_take_product(&p, task, request))
        return TIDINGS_OK;
    err = shop_db_begin(&shop->db);
    if (err)
        return shop_failed(task, err);
    err = shop_run(NULL, db,
                   "INSERT INTO products (id, name, price_cents) "
                   "VALUES (?, ?, ?)",
                   "tti", p.product_id, p.name, p.price_cents);
    if (!err)
        err = shop_run(NULL, db,
                       "INSERT INTO stock (product_id, available_quantity) "
                       "VALUES (?, ?)",
                       "ti", p.product_id, p.quantity);
    if (!err)
        err = look(db, &stock, p.product_id);
    if (err)
        shop_db_rollback(&shop->db);
    else
        err = shop_db_commit(&shop->db);
    if (err == TIDINGS_EEXIST)
        return shop_refuse(task, 409, "product %s is there", p.product_id);
    return err ? shop_failed(task, err) : shop_answer_stock(task, &stock);
}

static tidings_err get(void *arg, tidings_task *task,
                       const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_product_ref wanted;
    struct shop_stock stock = {0};
    tidings_err err;

    if (!shop_take_product_ref(&wanted, task, request))
        return TIDINGS_OK;
    err = shop_db_begin(&shop->db);
    if (err)
        return shop_failed(task, err);
    err = look(shop->db.db, &stock, wanted.product_id);
    shop_db_rollback(&shop->db);
    if (err == TIDINGS_ENOTFOUND)
        return shop_refuse(task, 404, "no product %s", wanted.product_id);
    return err ? shop_failed(task, err) : shop_answer_stock(task, &stock);
}

/* ---- reservations ---- */

/* What cannot be done, as the caller is told; status 0: nothing. */
struct refusal {
    int status;
    char text[128];
};

static tidings_err take(sqlite3 *db, const struct shop_reserve *wanted,
                        const struct shop_item *item, struct refusal *no)
{
    int changes = 0;
    tidings_err err = shop_run(
        &changes, db,
        "UPDATE stock SET available_quantity = available_quantity - ?1,"
        " reserved_quantity = reserved_quantity + ?1 "
        "WHERE product_id = ?2 AND available_quantity >= ?1",
        "it", item->quantity, item->product_id);

    if (!err && changes == 0) {
        struct shop_stock stock;

        no->status = look(db, &stock, item->product_id) ? 404 : 409;
        snprintf(no->text, sizeof(no->text), "%s: %s",
                 no->status == 404 ? "no such product" : "out of stock",
                 item->product_id);
        return TIDINGS_OK;
    }
    if (!err) /* the same product twice is one reservation of both */
        err =
            shop_run(NULL, db,
                     "INSERT INTO reservation_items VALUES (?, ?, ?) "
                     "ON CONFLICT DO UPDATE SET "
                     "quantity = quantity + excluded.quantity",
                     "tti", wanted->order_id, item->product_id, item->quantity);
    if (!err)
        err =
            shop_run(NULL, db,
                     "UPDATE reservations SET total_cents = total_cents + ? * "
                     "(SELECT price_cents FROM products WHERE id = ?) "
                     "WHERE order_id = ?",
                     "itt", item->quantity, item->product_id, wanted->order_id);
    return err;
}

/* All of it or nothing: whoever calls rolls back what is refused. */
static tidings_err reserve_all(sqlite3 *db, const struct shop_reserve *wanted,
                               struct refusal *no)
{
    tidings_err err =
        shop_run(NULL, db, "INSERT INTO reservations VALUES (?, 'reserved', 0)",
                 "t", wanted->order_id);

    for (size_t i = 0; !err && !no->status && i < wanted->items_len; i++)
        err = take(db, wanted, &wanted->items[i], no);
    if (!err && !no->status)
        err = shop_publish_reserve(db, "stock.reserved", wanted->order_id,
                                   wanted);
    return err;
}

static tidings_err reserve_once(sqlite3 *db, const struct shop_reserve *wanted,
                                struct refusal *no)
{
    char state[16];
    tidings_err err =
        shop_row(db, "SELECT state FROM reservations WHERE order_id = ?", "t",
                 "t", wanted->order_id, state, sizeof(state));

    if (err == TIDINGS_ENOTFOUND)
        return reserve_all(db, wanted, no);
    if (!err && strcmp(state, "released") == 0) {
        no->status = 409;
        snprintf(no->text, sizeof(no->text), "order was cancelled");
    }
    return err;
}

static tidings_err reserve(void *arg, tidings_task *task,
                           const struct tidings_event *request)
{
    struct shop *shop = arg;
    sqlite3 *db = shop->db.db;
    struct shop_reserve wanted;
    struct shop_reserved done = {0};
    struct refusal no = {0};
    tidings_err err;

    if (!shop_take_reserve(&wanted, task, request))
        return TIDINGS_OK;
    err = shop_db_begin(&shop->db);
    if (err)
        return shop_failed(task, err);
    err = reserve_once(db, &wanted, &no);
    if (!err && !no.status)
        err = shop_row(db,
                       "SELECT order_id, total_cents FROM reservations "
                       "WHERE order_id = ?",
                       "t", "ti", wanted.order_id, done.order_id,
                       sizeof(done.order_id), &done.total_cents);
    if (!err && !no.status && done.total_cents > SHOP_CENTS_MAX) {
        no.status = 409;
        snprintf(no.text, sizeof(no.text), "more than can be paid");
    }
    if (err || no.status)
        shop_db_rollback(&shop->db);
    else
        err = shop_db_commit(&shop->db);
    if (no.status)
        return shop_refuse(task, no.status, "%s", no.text);
    if (err)
        return shop_failed(task, err);
    tidings_relay_wake(shop->relay);
    shop_say("reserved for order %s", wanted.order_id);
    return shop_answer_reserved(task, &done);
}

/* What was never reserved is written down, too: it may be on its way. */
static tidings_err give_back(sqlite3 *db, const struct shop_order_ref *order)
{
    int changes = 0;
    tidings_err err = shop_run(&changes, db,
                               "UPDATE reservations SET state = 'released' "
                               "WHERE order_id = ? AND state = 'reserved'",
                               "t", order->order_id);

    if (!err && changes == 0)
        return shop_run(NULL, db,
                        "INSERT INTO reservations VALUES (?, 'released', 0) "
                        "ON CONFLICT DO NOTHING",
                        "t", order->order_id);
    if (!err)
        err = shop_run(NULL, db,
                       "UPDATE stock SET "
                       "available_quantity = available_quantity + quantity, "
                       "reserved_quantity = reserved_quantity - quantity "
                       "FROM reservation_items AS i "
                       "WHERE i.product_id = stock.product_id "
                       "AND i.order_id = ?",
                       "t", order->order_id);
    if (!err)
        err = shop_publish_order_ref(db, "stock.released", order->order_id,
                                     order);
    return err;
}

static tidings_err release(void *arg, tidings_task *task,
                           const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_order_ref order;
    tidings_err err;

    if (!shop_take_order_ref(&order, task, request))
        return TIDINGS_OK;
    err = shop_db_begin(&shop->db);
    if (err)
        return shop_failed(task, err);
    err = give_back(shop->db.db, &order);
    if (err)
        shop_db_rollback(&shop->db);
    else
        err = shop_db_commit(&shop->db);
    if (err)
        return shop_failed(task, err);
    tidings_relay_wake(shop->relay);
    shop_say("released for order %s", order.order_id);
    return shop_answer_order_ref(task, &order);
}

static tidings_err count(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_stock_count counted = {0};
    tidings_err err =
        shop_look(&shop->db,
                  "SELECT total(available_quantity), "
                  "total(reserved_quantity) FROM stock",
                  "", "ii", &counted.available, &counted.reserved);

    (void)request;
    return err ? shop_failed(task, err)
               : shop_answer_stock_count(task, &counted);
}

static const struct tidings_endpoint endpoints[] = {
    {.type = "stock.add", .handler = add},
    {.type = "stock.get", .handler = get},
    {.type = "stock.reserve", .handler = reserve},
    {.type = "stock.release", .handler = release},
    {.type = "stock.count", .handler = count},
};

const struct shop_service shop_inventory = {
    .name = "inventory",
    .version = "1.0.0",
    .description = "what there is to sell",
    .schema = schema,
    .endpoints = endpoints,
    .endpoints_len = sizeof(endpoints) / sizeof(endpoints[0]),
};
