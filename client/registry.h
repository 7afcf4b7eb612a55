/* A copy of the registry of services: the rows of service.list and of its
 * events, and lists made of them for whoever looks. Pure.
 *
 * A list is made when somebody looks, and handed to all who look until
 * something of it changes; it is never changed itself. */
#ifndef TD_REGISTRY_H
#define TD_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/limits.h"
#include "proto/scan.h"
#include "tidings/service.h"

struct td_known_name;
struct td_listing;

/* While it is listed those are in it, too, of which it is not known yet that
 * they are gone. */
#define TD_REGISTRY_MAX (2u * TD_INSTANCES_MAX)

/* Zeroed memory is an empty one. */
struct td_registry {
    struct td_known_name *names;
    struct td_listing *all;  /* of all names; NULL: not made */
    struct td_listing *none; /* the empty one; the same */
    uint64_t revision;
    uint32_t len; /* instances */
    bool stale;
};

void td_registry_fini(struct td_registry *r);

/* An instance, new or changed; the map is scanned. TIDINGS_EPROTO: it does not
 * say what it must; TIDINGS_ELIMIT: no broker has so many; TIDINGS_ENOMEM. */
tidings_err td_registry_put(struct td_registry *r, struct td_str map);
/* It is gone; TIDINGS_EPROTO. */
tidings_err td_registry_remove(struct td_registry *r, struct td_str map);
void td_registry_set_stale(struct td_registry *r, bool stale);

/* Those of a name, NULL: all; with a reference for the caller, which goes with
 * tidings_instances_free(). NULL: there is no memory. */
struct tidings_instances *td_registry_list(struct td_registry *r,
                                           const char *name);

#endif
