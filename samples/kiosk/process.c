/* main() of a service that has a process of its own: the build says which. */
#include "service.h"

#ifndef KIOSK_SERVICE
#error "compile with -DSHOP_SERVICE=kiosk_user_service, or another of service.h"
#endif

int main(int argc, char **argv)
{
    static const struct kiosk_service *const service[] = {&KIOSK_SERVICE};

    return kiosk_run(service, 1, TIDINGS_DEFAULT_URL, argc, argv);
}
