/* What a service begins with: checked, and packed for SERVE. */
#ifndef TD_SERVICE_OPTIONS_H
#define TD_SERVICE_OPTIONS_H

#include <stdint.h>

#include "proto/buf.h"
#include "tidings/service.h"

/* TIDINGS_EINVAL, with the detail. */
tidings_err td_service_check(const struct tidings_service_options *o);

/* How often the broker is told how it is; 0: only at changes. */
uint64_t td_service_health_ms(const struct tidings_service_options *o);

/* The pairs of SERVE's options that stay the same; returns how many. Out of
 * memory shows in out->failed. host: of this machine. */
uint32_t td_service_pack(struct td_buf *out,
                         const struct tidings_service_options *o,
                         const char *host, long pid);

#endif
