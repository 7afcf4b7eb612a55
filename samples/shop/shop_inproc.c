/* The whole shop in one process, without a broker beside it: the same
 * services as the separate programs, on one bus. */
#include "service.h"

int main(int argc, char **argv)
{
    static const struct shop_service *const services[] = {
        &shop_notification,
        &shop_analytics,
        &shop_user_service,
        &shop_order_service,
    };

    return shop_run(services, sizeof(services) / sizeof(services[0]),
                    "inproc://shop", argc, argv);
}
