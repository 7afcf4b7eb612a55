/* order.h: services in an order in which each stands behind what it needs. */
#ifndef TD_UP_ORDER_H
#define TD_UP_ORDER_H

#include <stdbool.h>

#include "client/cli/up/spec.h"

/**
 * Fill spec->order.
 *
 * @param circle  TD_UP_SERVICES_MAX + 1: if they need one another, the services
 *                of one such circle, its first also at its end.
 * @return the length of circle; 0: there is none, and the order is made.
 */
uint32_t td_up_order(struct td_up_spec *spec, uint32_t *circle);

#endif
