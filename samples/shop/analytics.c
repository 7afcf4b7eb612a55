/* The analytics service: running counts of what happens in the shop. */
#include "service.h"

#include <string.h>

static const char schema[] = "CREATE TABLE IF NOT EXISTS counts ("
                             "  name TEXT PRIMARY KEY,"
                             "  value INTEGER NOT NULL)";

static tidings_err add(sqlite3 *db, const char *name, int64_t value)
{
    return shop_run(NULL, db,
                    "INSERT INTO counts VALUES (?, ?) "
                    "ON CONFLICT DO UPDATE SET value = value + excluded.value",
                    "ti", name, value);
}

static tidings_err on_payment(sqlite3 *db, const struct tidings_event *event,
                              int sign)
{
    struct shop_payment payment;
    tidings_err err =
        shop_unpack_payment(&payment, event->data, event->data_len);

    if (!err)
        err = add(db, "payments", sign);
    if (!err)
        err = add(db, "revenue_cents", sign * payment.amount_cents);
    return err;
}

static tidings_err on_event(void *shop, sqlite3 *db,
                            const struct tidings_event *event)
{
    (void)shop;
    if (strcmp(event->type, "user.created") == 0)
        return add(db, "users", 1);
    if (strcmp(event->type, "order.created") == 0)
        return add(db, "orders", 1);
    if (strcmp(event->type, "order.cancelled") == 0)
        return add(db, "cancelled", 1);
    return on_payment(db, event,
                      strcmp(event->type, "payment.completed") == 0 ? 1 : -1);
}

static int64_t value(sqlite3 *db, const char *name)
{
    int64_t out = 0;

    shop_row(db, "SELECT value FROM counts WHERE name = ?", "t", "i", name,
             &out); /* none yet: 0 */
    return out;
}

static tidings_err count(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_analytics_count n;
    tidings_err err = shop_db_begin(&shop->db);

    (void)request;
    if (err)
        return shop_failed(task, err);
    n.users = value(shop->db.db, "users");
    n.orders = value(shop->db.db, "orders");
    n.cancelled = value(shop->db.db, "cancelled");
    n.payments = value(shop->db.db, "payments");
    n.revenue_cents = value(shop->db.db, "revenue_cents");
    shop_db_rollback(&shop->db);
    return shop_answer_analytics_count(task, &n);
}

static const struct tidings_endpoint endpoints[] = {
    {.type = "analytics.count", .handler = count},
};

static const char *const listens[] = {"user.created",     "order.created",
                                      "order.cancelled",  "payment.completed",
                                      "payment.refunded", NULL};

const struct shop_service shop_analytics = {
    .name = "analytics",
    .version = "1.0.0",
    .description = "counts",
    .schema = schema,
    .endpoints = endpoints,
    .endpoints_len = sizeof(endpoints) / sizeof(endpoints[0]),
    .listens = listens,
    .on_event = on_event,
};
