/* The order service: a saga.
 *
 *   pending --- user, stock and payment say yes ---> confirmed
 *      |
 *      +--- one of them says no, or nothing ---> cancelling ---> cancelled
 *                                 the stock is released, and the payment
 *                                 refunded if it may have been taken
 *
 * An order is written down before anything is asked for, so whoever starts
 * after a crash knows what is to be undone. A request whose answer is lost may
 * have been done, or may yet be: undoing is asked for again until it is
 * answered, and the others remember what was undone before it was done.
 */
#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ABANDONED_MS 30000 /* all requests of an order take less */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS orders ("
    "  id TEXT PRIMARY KEY,"
    "  user_id TEXT NOT NULL," /* of another service: no foreign key */
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

/* An order on its way. */
struct saga {
    struct shop *shop;
    struct shop_sale sale;
    char card[33];
    bool reserved; /* or it may be … */
    bool charged;  /* … and so may this */
    int status;    /* why it fails, as HTTP's … */
    char reason[201];
};

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

/* ---- writing down ---- */

static tidings_err insert(struct saga *saga)
{
    struct shop_db *db = &saga->shop->db;
    struct shop_sale *sale = &saga->sale;
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

/* That it is confirmed, and that everybody is told, or neither. */
static tidings_err confirm(struct saga *saga)
{
    struct shop_db *db = &saga->shop->db;
    int changes = 0;
    tidings_err err = shop_db_begin(db);

    if (err)
        return err;
    err = shop_run(&changes, db->db,
                   "UPDATE orders SET status = 'confirmed', total_cents = ? "
                   "WHERE id = ? AND status = 'pending'",
                   "it", saga->sale.total_cents, saga->sale.order_id);
    if (!err && changes == 0) /* it took so long that it was given up */
        err = TIDINGS_ETIMEDOUT;
    if (!err)
        err = shop_publish_sale(db->db, "order.created", saga->sale.order_id,
                                &saga->sale);
    return end(db, err);
}

static tidings_err give_up(struct saga *saga)
{
    struct shop_db *db = &saga->shop->db;
    tidings_err err = shop_db_begin(db);

    if (err)
        return err;
    err = shop_run(NULL, db->db,
                   "UPDATE orders SET status = 'cancelling', refund = ?, "
                   "reason = ? WHERE id = ? AND status = 'pending'",
                   "itt", (int64_t)saga->charged, saga->reason,
                   saga->sale.order_id);
    return end(db, err);
}

/* ---- undoing ---- */

static bool undo(struct shop *shop, const char *type, const char *order_id)
{
    struct shop_order_ref order;
    struct tidings_reply reply;
    tidings_err err;

    record_set_text(order.order_id, sizeof(order.order_id), order_id);
    err = shop_ask_order_ref(&reply, shop, type, &order);
    tidings_reply_fini(&reply);
    return !err;
}

/* Once all is undone. Somebody else may be at it, too: the first tells. */
static void cancelled(struct shop *shop, const struct shop_cancelled *order)
{
    struct shop_db *db = &shop->db;
    int changes = 0;
    tidings_err err = shop_db_begin(db);

    if (err)
        return; /* the next tick tries again */
    err = shop_run(&changes, db->db,
                   "UPDATE orders SET status = 'cancelled' "
                   "WHERE id = ? AND status = 'cancelling'",
                   "t", order->order_id);
    if (!err && changes > 0)
        err = shop_publish_cancelled(db->db, "order.cancelled", order->order_id,
                                     order);
    if (end(db, err) || changes == 0)
        return;
    tidings_relay_wake(shop->relay);
    shop_say("cancelled %s: %s", order->order_id, order->reason);
}

static void compensate(struct shop *shop, const struct shop_cancelled *order,
                       bool refund)
{
    if (undo(shop, "stock.release", order->order_id) &&
        (!refund || undo(shop, "payment.refund", order->order_id)))
        cancelled(shop, order);
}

/* The oldest order that is to be undone; false: there is none after it. */
static bool next_open(struct shop *shop, struct shop_cancelled *out,
                      bool *refund)
{
    int64_t wanted = 0;
    tidings_err err = shop_db_begin(&shop->db);

    if (err)
        return false;
    err = shop_run(NULL, shop->db.db,
                   "UPDATE orders SET status = 'cancelling' "
                   "WHERE status = 'pending' AND created_ms < ?",
                   "i", unix_ms() - ABANDONED_MS);
    if (!err)
        err =
            shop_row(shop->db.db,
                     "SELECT id, user_id, reason, refund FROM orders "
                     "WHERE status = 'cancelling' AND id > ? "
                     "ORDER BY id LIMIT 1",
                     "t", "ttti", out->order_id, out->order_id,
                     sizeof(out->order_id), out->user_id, sizeof(out->user_id),
                     out->reason, sizeof(out->reason), &wanted);
    *refund = wanted != 0;
    return !end(&shop->db, err);
}

/* What could not be undone at once, or was left behind by a crash. */
static void tick(struct shop *shop)
{
    struct shop_cancelled order = {.order_id = ""};
    bool refund;

    while (next_open(shop, &order, &refund))
        compensate(shop, &order, refund);
}

/* ---- the steps ---- */

/* Whether another service said yes; else why not. */
static bool said_yes(struct saga *saga, const struct tidings_reply *reply,
                     tidings_err err, const char *who)
{
    if (!err)
        return true;
    saga->status =
        err == TIDINGS_EREMOTE && reply->status < 500 ? reply->status : 503;
    snprintf(saga->reason, sizeof(saga->reason), "%s: %s", who,
             *reply->text ? reply->text : tidings_err_text(err));
    return false;
}

/* A definite no, or nothing was sent: there is nothing to undo. After several
 * tries the last word says nothing of those before it. */
static bool surely_not(const struct tidings_reply *reply, tidings_err err)
{
    if (err == TIDINGS_EREMOTE && reply->status < 500)
        return true; /* they remember what they have done */
    return err && reply->attempts <= 1 && err != TIDINGS_ELOST &&
           err != TIDINGS_ETIMEDOUT && err != TIDINGS_ECLOSED;
}

static bool ask_user(struct saga *saga)
{
    struct shop_user_ref ref;
    struct shop_user user;
    struct tidings_reply reply;
    tidings_err err;

    record_set_text(ref.user_id, sizeof(ref.user_id), saga->sale.user_id);
    err = shop_ask_user_ref(&reply, saga->shop, "user.get", &ref);
    if (!err)
        err = shop_unpack_user(&user, reply.data, reply.len);
    if (!err)
        record_set_text(saga->sale.email, sizeof(saga->sale.email), user.email);
    err = said_yes(saga, &reply, err, "user") ? TIDINGS_OK : TIDINGS_EREMOTE;
    tidings_reply_fini(&reply);
    return !err;
}

static bool reserve_stock(struct saga *saga)
{
    struct shop_reserve wanted = {.items_len = saga->sale.items_len};
    struct shop_reserved done;
    struct tidings_reply reply;
    tidings_err err;
    bool yes;

    record_set_text(wanted.order_id, sizeof(wanted.order_id),
                    saga->sale.order_id);
    memcpy(wanted.items, saga->sale.items, sizeof(wanted.items));
    err = shop_ask_reserve(&reply, saga->shop, "stock.reserve", &wanted);
    saga->reserved = !surely_not(&reply, err);
    if (!err)
        err = shop_unpack_reserved(&done, reply.data, reply.len);
    if (!err)
        saga->sale.total_cents = done.total_cents;
    yes = said_yes(saga, &reply, err, "inventory");
    tidings_reply_fini(&reply);
    return yes;
}

static bool take_payment(struct saga *saga)
{
    struct shop_charge charge = {.amount_cents = saga->sale.total_cents};
    struct tidings_reply reply;
    tidings_err err;
    bool yes;

    record_set_text(charge.order_id, sizeof(charge.order_id),
                    saga->sale.order_id);
    record_set_text(charge.user_id, sizeof(charge.user_id), saga->sale.user_id);
    record_set_text(charge.card, sizeof(charge.card), saga->card);
    err = shop_ask_charge(&reply, saga->shop, "payment.take", &charge);
    saga->charged = !surely_not(&reply, err);
    yes = said_yes(saga, &reply, err, "payment");
    tidings_reply_fini(&reply);
    return yes;
}

static tidings_err refuse(struct saga *saga, tidings_task *task)
{
    struct shop_cancelled order = {.order_id = ""};
    tidings_err err;

    record_set_text(order.order_id, sizeof(order.order_id),
                    saga->sale.order_id);
    record_set_text(order.user_id, sizeof(order.user_id), saga->sale.user_id);
    record_set_text(order.reason, sizeof(order.reason), saga->reason);
    err = give_up(saga);
    if (err)
        return shop_failed(task, err);
    shop_refuse(task, saga->status, "%s", saga->reason);
    if (saga->reserved)
        compensate(saga->shop, &order, saga->charged);
    else
        cancelled(saga->shop, &order);
    return TIDINGS_OK;
}

static tidings_err run(struct saga *saga, tidings_task *task)
{
    struct shop_order order = {.status = "confirmed"};
    tidings_err err;

    if (!ask_user(saga) || !reserve_stock(saga) || !take_payment(saga))
        return refuse(saga, task);
    err = confirm(saga);
    if (err) {
        saga->status = 503;
        snprintf(saga->reason, sizeof(saga->reason), "it took too long");
        return refuse(saga, task);
    }
    tidings_relay_wake(saga->shop->relay);
    shop_say("confirmed %s of %s, %" PRId64 ".%02" PRId64, saga->sale.order_id,
             saga->sale.user_id, saga->sale.total_cents / 100,
             saga->sale.total_cents % 100);
    record_set_text(order.order_id, sizeof(order.order_id),
                    saga->sale.order_id);
    record_set_text(order.user_id, sizeof(order.user_id), saga->sale.user_id);
    order.total_cents = saga->sale.total_cents;
    return shop_answer_order(task, &order);
}

/* ---- requests ---- */

static tidings_err create(void *arg, tidings_task *task,
                          const struct tidings_event *request)
{
    struct saga saga = {.shop = arg};
    struct shop_new_order wanted;
    tidings_err err;

    if (!shop_take_new_order(&wanted, task, request))
        return TIDINGS_OK;
    record_set_text(saga.sale.user_id, sizeof(saga.sale.user_id),
                    wanted.user_id);
    record_set_text(saga.card, sizeof(saga.card), wanted.card);
    memcpy(saga.sale.items, wanted.items, sizeof(saga.sale.items));
    saga.sale.items_len = wanted.items_len;
    err = insert(&saga);
    return err ? shop_failed(task, err) : run(&saga, task);
}

static tidings_err get(void *arg, tidings_task *task,
                       const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_order_ref wanted;
    struct shop_order order = {0};
    tidings_err err;

    if (!shop_take_order_ref(&wanted, task, request))
        return TIDINGS_OK;
    err =
        shop_look(&shop->db,
                  "SELECT id, user_id, status, total_cents FROM orders "
                  "WHERE id = ?",
                  "t", "ttti", wanted.order_id, order.order_id,
                  sizeof(order.order_id), order.user_id, sizeof(order.user_id),
                  order.status, sizeof(order.status), &order.total_cents);
    if (err == TIDINGS_ENOTFOUND)
        return shop_refuse(task, 404, "no order %s", wanted.order_id);
    return err ? shop_failed(task, err) : shop_answer_order(task, &order);
}

static tidings_err count(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_order_count n = {0};
    tidings_err err =
        shop_look(&shop->db,
                  "SELECT count(*) FILTER (WHERE status = 'confirmed'),"
                  " count(*) FILTER (WHERE status = 'cancelled'),"
                  " count(*) FILTER (WHERE status IN "
                  "   ('pending', 'cancelling')) FROM orders",
                  "", "iii", &n.confirmed, &n.cancelled, &n.open);

    (void)request;
    return err ? shop_failed(task, err) : shop_answer_order_count(task, &n);
}

static const struct tidings_endpoint endpoints[] = {
    {.type = "order.create", .handler = create},
    {.type = "order.get", .handler = get},
    {.type = "order.count", .handler = count},
};

const struct shop_service shop_orders = {
    .name = "orders",
    .version = "1.0.0",
    .description = "sells",
    .schema = schema,
    .endpoints = endpoints,
    .endpoints_len = sizeof(endpoints) / sizeof(endpoints[0]),
    .workers = 4, /* an order waits for three others */
    .tick = tick,
};
