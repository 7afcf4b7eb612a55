/* The payment service: takes money, once for each order, and gives it back. It
 * has no bank: a card that begins with 4000 is declined, and payment.outage
 * says how long the bank does not answer. */
#include "service.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS payments ("
    "  id TEXT PRIMARY KEY,"
    "  order_id TEXT NOT NULL UNIQUE,"
    "  amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),"
    "  status TEXT NOT NULL"
    "    CHECK (status IN ('completed', 'failed', 'refunded')),"
    "  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/* The bank does not answer before this time. */
static _Atomic int64_t bank_is_back_ms;

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- taking ---- */

static bool is_declined(const struct shop_charge *charge)
{
    return strncmp(charge->card, "4000", 4) == 0;
}

static tidings_err insert(sqlite3 *db, struct shop_payment *payment,
                          const char *status)
{
    tidings_err err = shop_new_id(payment->payment_id, db);

    if (!err)
        err = shop_run(NULL, db,
                       "INSERT INTO payments (id, order_id, amount_cents, "
                       "status) VALUES (?, ?, ?, ?)",
                       "ttit", payment->payment_id, payment->order_id,
                       payment->amount_cents, status);
    return err;
}

/* The first time this is asked for the order. */
static tidings_err charge_first(sqlite3 *db, const struct shop_charge *charge,
                                struct shop_payment *payment)
{
    struct shop_payment_failed failed = {.reason = "card declined"};
    tidings_err err;

    payment->amount_cents = charge->amount_cents;
    record_set_text(payment->order_id, sizeof(payment->order_id),
                    charge->order_id);
    err = insert(db, payment, is_declined(charge) ? "failed" : "completed");
    if (err)
        return err;
    if (!is_declined(charge))
        return shop_publish_payment(db, "payment.completed", charge->order_id,
                                    payment);
    record_set_text(failed.order_id, sizeof(failed.order_id), charge->order_id);
    return shop_publish_payment_failed(db, "payment.failed", charge->order_id,
                                       &failed);
}

static tidings_err find(sqlite3 *db, const char *order_id,
                        struct shop_payment *out, char *status, size_t size)
{
    return shop_row(db,
                    "SELECT id, order_id, amount_cents, status FROM payments "
                    "WHERE order_id = ?",
                    "t", "ttit", order_id, out->payment_id,
                    sizeof(out->payment_id), out->order_id,
                    sizeof(out->order_id), &out->amount_cents, status, size);
}

static tidings_err take(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_charge charge;
    struct shop_payment payment = {0};
    char status[16];
    tidings_err err;

    if (!shop_take_charge(&charge, task, request))
        return TIDINGS_OK;
    if (now_ms() < atomic_load(&bank_is_back_ms))
        return shop_refuse(task, 502, "the bank does not answer");
    err = shop_db_begin(&shop->db);
    if (err)
        return shop_failed(task, err);
    err = find(shop->db.db, charge.order_id, &payment, status, sizeof(status));
    if (err == TIDINGS_ENOTFOUND) {
        err = charge_first(shop->db.db, &charge, &payment);
        snprintf(status, sizeof(status), "%s",
                 is_declined(&charge) ? "failed" : "completed");
    }
    if (err)
        shop_db_rollback(&shop->db);
    else
        err = shop_db_commit(&shop->db);
    if (err)
        return shop_failed(task, err);
    tidings_relay_wake(shop->relay);
    if (strcmp(status, "completed") != 0)
        return shop_refuse(
            task, strcmp(status, "failed") == 0 ? 402 : 409, "%s",
            strcmp(status, "failed") == 0 ? "card declined"
                                          : "order was cancelled");
    shop_say("took %" PRId64 " cents for order %s", payment.amount_cents,
             payment.order_id);
    return shop_answer_payment(task, &payment);
}

/* ---- giving back ---- */

/* What was never taken is written down, too: it may be on its way. */
static tidings_err give_back(sqlite3 *db, const struct shop_order_ref *order)
{
    struct shop_payment payment = {0};
    char status[16];
    tidings_err err =
        find(db, order->order_id, &payment, status, sizeof(status));

    if (err == TIDINGS_ENOTFOUND) {
        record_set_text(payment.order_id, sizeof(payment.order_id),
                        order->order_id);
        return insert(db, &payment, "refunded");
    }
    if (err || strcmp(status, "completed") != 0)
        return err;
    err = shop_run(NULL, db,
                   "UPDATE payments SET status = 'refunded' WHERE order_id = ?",
                   "t", order->order_id);
    if (!err)
        err = shop_publish_payment(db, "payment.refunded", order->order_id,
                                   &payment);
    return err;
}

static tidings_err refund(void *arg, tidings_task *task,
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
    return shop_answer_order_ref(task, &order);
}

static tidings_err outage(void *arg, tidings_task *task,
                          const struct tidings_event *request)
{
    struct shop_outage wanted;

    (void)arg;
    if (!shop_take_outage(&wanted, task, request))
        return TIDINGS_OK;
    atomic_store(&bank_is_back_ms, now_ms() + wanted.ms);
    shop_say("the bank does not answer for %" PRId64 " ms", wanted.ms);
    return shop_answer_outage(task, &wanted);
}

static tidings_err count(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_payment_count n = {0};
    tidings_err err =
        shop_look(&shop->db,
                  "SELECT count(*) FILTER (WHERE status = 'completed'),"
                  " count(*) FILTER (WHERE status = 'failed'),"
                  " count(*) FILTER (WHERE status = 'refunded'),"
                  " total(amount_cents) FILTER (WHERE status = 'completed') "
                  "FROM payments",
                  "", "iiii", &n.completed, &n.failed, &n.refunded, &n.cents);

    (void)request;
    return err ? shop_failed(task, err) : shop_answer_payment_count(task, &n);
}

static const struct tidings_endpoint endpoints[] = {
    {.type = "payment.take", .handler = take},
    {.type = "payment.refund", .handler = refund},
    {.type = "payment.outage", .handler = outage},
    {.type = "payment.count", .handler = count},
};

const struct shop_service shop_payments = {
    .name = "payments",
    .version = "1.0.0",
    .description = "takes money",
    .schema = schema,
    .endpoints = endpoints,
    .endpoints_len = sizeof(endpoints) / sizeof(endpoints[0]),
    .breaker = {.failures = 3, .recovery_ms = 2500},
};
