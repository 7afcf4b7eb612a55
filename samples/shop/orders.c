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
#include "order_book.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* Where a user has mail. */
static tidings_err find_user(char *email, size_t size,
                             struct tidings_reply *reply, struct shop *shop,
                             const char *user_id)
{
    struct shop_user_ref ref;
    struct shop_user user;
    tidings_err err;

    record_set_text(ref.user_id, sizeof(ref.user_id), user_id);
    err = shop_ask_user_ref(reply, shop, "user.get", &ref);
    if (!err)
        err = shop_unpack_user(&user, reply->data, reply->len);
    if (!err)
        record_set_text(email, size, user.email);
    return err;
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

/* false: nobody says, now. */
static bool find_email(struct shop *shop, struct shop_cancelled *order)
{
    struct tidings_reply reply;
    tidings_err err;

    if (*order->email)
        return true; /* it was known before the crash, or the refusal */
    err = find_user(order->email, sizeof(order->email), &reply, shop,
                    order->user_id);
    if (err == TIDINGS_EREMOTE && reply.status == 404)
        record_set_text(order->email, sizeof(order->email), SHOP_NO_EMAIL);
    tidings_reply_fini(&reply);
    return *order->email;
}

/* Once all is undone. Somebody else may be at it, too: the first tells. */
static void cancelled(struct shop *shop, struct shop_cancelled *order)
{
    if (!find_email(shop, order) || !order_book_cancelled(&shop->db, order))
        return; /* the next tick tries again */
    tidings_relay_wake(shop->relay);
    shop_say("cancelled %s: %s", order->order_id, order->reason);
}

static void compensate(struct shop *shop, struct shop_cancelled *order,
                       bool refund)
{
    if (undo(shop, "stock.release", order->order_id) &&
        (!refund || undo(shop, "payment.refund", order->order_id)))
        cancelled(shop, order);
}

/* What could not be undone at once, or was left behind by a crash. */
static void tick(struct shop *shop)
{
    struct shop_cancelled order = {.order_id = ""};
    bool refund;

    while (order_book_next_open(&shop->db, &order, &refund))
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
    struct tidings_reply reply;
    tidings_err err = find_user(saga->sale.email, sizeof(saga->sale.email),
                                &reply, saga->shop, saga->sale.user_id);
    bool yes = said_yes(saga, &reply, err, "user");

    tidings_reply_fini(&reply);
    return yes;
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
    record_set_text(order.email, sizeof(order.email), saga->sale.email);
    record_set_text(order.reason, sizeof(order.reason), saga->reason);
    err = order_book_give_up(&saga->shop->db, &order, saga->charged);
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
    err = order_book_confirm(&saga->shop->db, &saga->sale);
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
    err = order_book_insert(&saga.shop->db, &saga.sale);
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
    err = order_book_get(&order, &shop->db, wanted.order_id);
    if (err == TIDINGS_ENOTFOUND)
        return shop_refuse(task, 404, "no order %s", wanted.order_id);
    return err ? shop_failed(task, err) : shop_answer_order(task, &order);
}

static tidings_err count(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_order_count n = {0};
    tidings_err err = order_book_count(&n, &shop->db);

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
    .schema = order_book_schema,
    .endpoints = endpoints,
    .endpoints_len = sizeof(endpoints) / sizeof(endpoints[0]),
    .workers = 4, /* an order waits for three others */
    .tick = tick,
};
