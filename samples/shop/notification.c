/* The notification service: a mail to every new user, and one for every order
 * that is made or cancelled. It keeps them instead of sending them. */
#include "service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS mails ("
    "  id INTEGER PRIMARY KEY,"
    "  kind TEXT NOT NULL CHECK "
    "    (kind IN ('welcome', 'confirmation', 'cancellation')),"
    "  recipient TEXT NOT NULL,"
    "  text TEXT NOT NULL)";

static tidings_err mail(sqlite3 *db, const char *kind, const char *to,
                        const char *text)
{
    tidings_err err = shop_run(NULL, db,
                               "INSERT INTO mails (kind, recipient, text) "
                               "VALUES (?, ?, ?)",
                               "ttt", kind, to, text);

    if (!err)
        shop_say("%s mail to %s: %s", kind, to, text);
    return err;
}

static tidings_err on_user(sqlite3 *db, const struct tidings_event *event)
{
    struct shop_user user;
    char text[160];
    tidings_err err = shop_unpack_user(&user, event->data, event->data_len);

    if (err)
        return err;
    snprintf(text, sizeof(text), "hello %s, you are %s", user.name,
             user.user_id);
    return mail(db, "welcome", user.email, text);
}

static tidings_err on_sale(sqlite3 *db, const struct tidings_event *event)
{
    struct shop_sale sale;
    char text[160];
    tidings_err err = shop_unpack_sale(&sale, event->data, event->data_len);

    if (err)
        return err;
    snprintf(text, sizeof(text), "order %s, %" PRId64 ".%02" PRId64,
             sale.order_id, sale.total_cents / 100, sale.total_cents % 100);
    return mail(db, "confirmation", sale.email, text);
}

static tidings_err on_cancelled(sqlite3 *db, const struct tidings_event *event)
{
    struct shop_cancelled order;
    char text[320];
    tidings_err err =
        shop_unpack_cancelled(&order, event->data, event->data_len);

    if (err)
        return err;
    if (strcmp(order.email, SHOP_NO_EMAIL) == 0)
        return TIDINGS_OK; /* nobody */
    snprintf(text, sizeof(text), "order %s: %s", order.order_id, order.reason);
    return mail(db, "cancellation", order.email, text);
}

static tidings_err on_event(void *shop, sqlite3 *db,
                            const struct tidings_event *event)
{
    (void)shop;
    if (strcmp(event->type, "user.created") == 0)
        return on_user(db, event);
    if (strcmp(event->type, "order.created") == 0)
        return on_sale(db, event);
    return on_cancelled(db, event);
}

static tidings_err count(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct shop *shop = arg;
    struct shop_mail_count n = {0};
    tidings_err err =
        shop_look(&shop->db,
                  "SELECT count(*) FILTER (WHERE kind = 'welcome'),"
                  " count(*) FILTER (WHERE kind = 'confirmation'),"
                  " count(*) FILTER (WHERE kind = 'cancellation') FROM mails",
                  "", "iii", &n.welcome, &n.confirmation, &n.cancellation);

    (void)request;
    return err ? shop_failed(task, err) : shop_answer_mail_count(task, &n);
}

static const struct tidings_endpoint endpoints[] = {
    {.type = "mail.count", .handler = count},
};

static const char *const listens[] = {"user.created", "order.created",
                                      "order.cancelled", NULL};

const struct shop_service shop_notification = {
    .name = "notification",
    .version = "1.0.0",
    .description = "writes mails",
    .schema = schema,
    .endpoints = endpoints,
    .endpoints_len = sizeof(endpoints) / sizeof(endpoints[0]),
    .listens = listens,
    .on_event = on_event,
};
