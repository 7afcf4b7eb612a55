/* main() of a service: the build says which. */
#include "service.h"

#ifndef SHOP_SERVICE
#error "compile with -DSHOP_SERVICE=shop_users, or another of service.h"
#endif

int main(int argc, char **argv)
{
    return shop_main(&SHOP_SERVICE, argc, argv);
}
