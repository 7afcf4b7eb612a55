/* The notification service: a mail to every new user, and one for every order.
 * It prints them instead of sending them. */
#include "service.h"

#include <inttypes.h>
#include <stdio.h>

#include "events.h"

struct notification {
    const struct kiosk_place *place;
    uint64_t welcome_emails;
    uint64_t order_confirmations;
};

static tidings_err on_user_created(void *arg, const struct tidings_event *event)
{
    struct notification *n = arg;
    struct kiosk_user_created user;
    tidings_err err = kiosk_read_user_created(&user, event);

    if (err)
        return kiosk_refuse(n->place, event, err);
    n->welcome_emails++;
    kiosk_say(n->place, "welcome mail to %s: hello %s, you are %s", user.email,
              user.name, user.user_id);
    return TIDINGS_OK;
}

/* "2 x prod1, 1 x prod7"; cut when there are more than fit. */
static void list_items(char *out, size_t size,
                       const struct kiosk_order_created *order)
{
    size_t used = 0;

    for (size_t i = 0; i < order->items_len && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%" PRId64 " x %s",
                                 i ? ", " : "", order->items[i].quantity,
                                 order->items[i].product_id);
}

static tidings_err on_order_created(void *arg,
                                    const struct tidings_event *event)
{
    struct notification *n = arg;
    struct kiosk_order_created order;
    char items[256];
    tidings_err err = kiosk_read_order_created(&order, event);

    if (!err && order.total_cents == 0 && !n->place->flag) {
        tidings_set_detail("no mail is written for an order of 0.00");
        err = TIDINGS_ENOTSUP;
    }
    if (err)
        return kiosk_refuse(n->place, event, err);
    n->order_confirmations++;
    list_items(items, sizeof(items), &order);
    kiosk_say(n->place,
              "order confirmation to %s: %s, %s, %" PRId64 ".%02" PRId64,
              order.user_id, order.order_id, items, order.total_cents / 100,
              order.total_cents % 100);
    return TIDINGS_OK;
}

static tidings_err start(void *state, const struct kiosk_place *place)
{
    struct notification *n = state;
    tidings_err err;

    n->place = place;
    err = kiosk_subscribe(place, "user.created", on_user_created, n);
    if (!err)
        err = kiosk_subscribe(place, "order.created", on_order_created, n);
    return err;
}

static void finish(void *state)
{
    struct notification *n = state;

    kiosk_say(n->place,
              "final welcome_emails=%" PRIu64 " order_confirmations=%" PRIu64,
              n->welcome_emails, n->order_confirmations);
}

const struct kiosk_service kiosk_notification = {
    .name = "notification",
    .flag = "--free-orders",
    .flag_help = "knows what to write when there is nothing to pay.",
    .state_size = sizeof(struct notification),
    .start = start,
    .finish = finish,
};
