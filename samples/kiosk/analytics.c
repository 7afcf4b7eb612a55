/* The analytics service: running counts of users, orders and what they sum
 * up to. */
#include "service.h"

#include <inttypes.h>

#include "events.h"

struct analytics {
    const struct kiosk_place *place;
    uint64_t users;
    uint64_t orders;
    int64_t total_cents;
};

static tidings_err on_user_created(void *arg, const struct tidings_event *event)
{
    struct analytics *a = arg;
    struct kiosk_user_created user;
    tidings_err err = kiosk_read_user_created(&user, event);

    if (err)
        return kiosk_refuse(a->place, event, err);
    a->users++;
    kiosk_say(a->place, "users: %" PRIu64, a->users);
    return TIDINGS_OK;
}

static tidings_err on_order_created(void *arg,
                                    const struct tidings_event *event)
{
    struct analytics *a = arg;
    struct kiosk_order_created order;
    tidings_err err = kiosk_read_order_created(&order, event);

    if (err)
        return kiosk_refuse(a->place, event, err);
    a->orders++;
    a->total_cents += order.total_cents;
    kiosk_say(a->place, "orders: %" PRIu64 ", %" PRId64 ".%02" PRId64 " in all",
              a->orders, a->total_cents / 100, a->total_cents % 100);
    return TIDINGS_OK;
}

static tidings_err start(void *state, const struct kiosk_place *place)
{
    struct analytics *a = state;
    tidings_err err;

    a->place = place;
    err = kiosk_subscribe(place, "user.created", on_user_created, a);
    if (!err)
        err = kiosk_subscribe(place, "order.created", on_order_created, a);
    return err;
}

static void finish(void *state)
{
    struct analytics *a = state;

    kiosk_say(a->place,
              "final users=%" PRIu64 " orders=%" PRIu64 " total_cents=%" PRId64,
              a->users, a->orders, a->total_cents);
}

const struct kiosk_service kiosk_analytics = {
    .name = "analytics",
    .state_size = sizeof(struct analytics),
    .start = start,
    .finish = finish,
};
