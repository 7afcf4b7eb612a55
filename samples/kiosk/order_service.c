/* The order service: keeps the orders, tells everybody of each new one. */
#include "service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"

struct orders {
    const struct kiosk_place *place;
    struct kiosk_order_created *list;
    size_t len;
    size_t room;
};

static tidings_err start(void *state, const struct kiosk_place *place)
{
    struct orders *orders = state;

    orders->place = place;
    return TIDINGS_OK;
}

static tidings_err make_room(struct orders *orders)
{
    size_t room = orders->room ? orders->room * 2 : 16;
    struct kiosk_order_created *list;

    if (orders->len < orders->room)
        return TIDINGS_OK;
    list = realloc(orders->list, room * sizeof(*list));
    if (!list)
        return TIDINGS_ENOMEM;
    orders->list = list;
    orders->room = room;
    return TIDINGS_OK;
}

static tidings_err parse_number(int64_t *out, const char *text)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || *end) {
        tidings_set_detail("quantity and total are whole numbers");
        return TIDINGS_EINVAL;
    }
    *out = value;
    return TIDINGS_OK;
}

/* argv: pairs of product and quantity. */
static tidings_err parse_items(struct kiosk_order_created *order, int pairs,
                               char **argv)
{
    size_t max = sizeof(order->items) / sizeof(order->items[0]);
    tidings_err err = TIDINGS_OK;

    if ((size_t)pairs > max)
        return TIDINGS_ELIMIT;
    for (int i = 0; !err && i < pairs; i++) {
        struct kiosk_item *item = &order->items[i];

        err = record_set_text(item->product_id, sizeof(item->product_id),
                             argv[2 * i]);
        if (!err)
            err = parse_number(&item->quantity, argv[2 * i + 1]);
    }
    order->items_len = (size_t)pairs;
    return err;
}

/* create-order USER_ID PRODUCT QUANTITY... TOTAL_CENTS */
static tidings_err create_order(struct orders *orders, int argc, char **argv)
{
    struct kiosk_order_created order = {0};
    tidings_err err;

    snprintf(order.order_id, sizeof(order.order_id), "order-%zu",
             orders->len + 1);
    if ((err = record_set_text(order.user_id, sizeof(order.user_id), argv[1])) ||
        (err = parse_items(&order, (argc - 3) / 2, argv + 2)) ||
        (err = parse_number(&order.total_cents, argv[argc - 1])) ||
        (err = make_room(orders)) ||
        (err = kiosk_publish_order_created(orders->place->bus, &order)))
        return err;

    orders->list[orders->len++] = order;
    kiosk_say(orders->place, "created %s of %s, %" PRId64 ".%02" PRId64,
              order.order_id, order.user_id, order.total_cents / 100,
              order.total_cents % 100);
    return TIDINGS_OK;
}

static tidings_err command(void *state, int argc, char **argv)
{
    if (strcmp(argv[0], "create-order") != 0)
        return TIDINGS_ENOTFOUND;
    if (argc < 5 || argc % 2 == 0) {
        tidings_set_detail("wants USER_ID PRODUCT QUANTITY... TOTAL_CENTS");
        return TIDINGS_EINVAL;
    }
    return create_order(state, argc, argv);
}

static void finish(void *state)
{
    struct orders *orders = state;

    kiosk_say(orders->place, "final orders=%zu", orders->len);
    free(orders->list);
}

const struct kiosk_service kiosk_order_service = {
    .name = "order_service",
    .commands = "create-order USER_ID PRODUCT QUANTITY... TOTAL_CENTS",
    .state_size = sizeof(struct orders),
    .start = start,
    .command = command,
    .finish = finish,
};
