/* The whole kiosk in one process, without a broker beside it: the same
 * services as the separate programs, on one bus. */
#include "service.h"

int main(int argc, char **argv)
{
    static const struct kiosk_service *const services[] = {
        &kiosk_notification,
        &kiosk_analytics,
        &kiosk_user_service,
        &kiosk_order_service,
    };

    return kiosk_run(services, sizeof(services) / sizeof(services[0]),
                     "inproc://kiosk", argc, argv);
}
