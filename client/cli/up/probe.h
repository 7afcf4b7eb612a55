/* probe.h: whether a bus answers, and which services are registered on it. */
#ifndef TD_UP_PROBE_H
#define TD_UP_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/cli/up/spec.h"
#include "tidings/tidings.h"

#define TD_PROBE_EVERY_MS 25 /* while something is not ready */

struct td_probe {    /* of one URL */
    const char *url; /* borrowed; NULL: not in use */
    tidings_bus *bus;
    int64_t opened_ms;
    int64_t silent_ms; /* when it did not answer last */
};

#define TD_PROBE_WHY_BYTES 256

struct td_probes { /* all zero: none */
    struct td_probe list[TD_UP_SERVICES_MAX];
    char why[TD_PROBE_WHY_BYTES]; /* what was asked last is not so */
};

void td_probes_fini(struct td_probes *p);

/** Whether the bus at a URL answers, at this moment. */
bool td_probe_bus(struct td_probes *p, const char *url, int64_t now_ms);

/** Whether the process pid, or one below it, is registered there as an instance
 *  of that service, and healthy. */
bool td_probe_service(struct td_probes *p, const char *url, const char *service,
                      pid_t pid, int64_t now_ms);

#endif
