/* Instances of services as msgpack: for the registry's calls, and its events
 * (PROTOCOL.md 11.2). */
#ifndef TD_SERVICE_PACK_H
#define TD_SERVICE_PACK_H

#include "broker/engine/internal.h"

enum td_service_detail { TD_SERVICE_LIST, TD_SERVICE_INFO, TD_SERVICE_STATS };

/* A map with what there is to be known of it, and room for so many more pairs,
 * to which pk writes; b is what it writes to. */
void td_instance_pack(struct td_engine *e, struct td_buf *b, msgpack_packer *pk,
                      const struct td_instance *instance,
                      enum td_service_detail detail, uint32_t more);

/* How many values that is, at most: a client looks at no more than
 * TD_SCAN_NODES_MAX in a message. */
size_t td_instance_nodes(const struct td_instance *instance,
                         enum td_service_detail detail);

/* What is to be known of a name, beside its instances. */
void td_service_pack_totals(const struct td_engine *e, msgpack_packer *pk,
                            const struct td_service *service);
size_t td_service_nodes(const struct td_service *service);

/* Of its breaker; "": it has none. */
const char *td_breaker_word(bool breaks, const struct td_breaker *b,
                            int64_t now_ms);

#endif
