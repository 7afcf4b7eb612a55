/* main() of a service that has a process of its own: the build says which. */
#include "service.h"

#ifndef SHOP_SERVICE
#error "compile with -DSHOP_SERVICE=shop_user_service, or another of service.h"
#endif

int main(int argc, char **argv)
{
    static const struct shop_service *const service[] = {&SHOP_SERVICE};

    return shop_run(service, 1, TIDINGS_DEFAULT_URL, argc, argv);
}
