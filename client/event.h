/* Events between the public structure and the wire's. */
#ifndef TD_EVENT_H
#define TD_EVENT_H

#include "proto/batch.h"
#include "proto/buf.h"
#include "tidings/tidings.h"

/**
 * Check an event to be published and encode what stands in its attributes.
 *
 * @param out    reset, then the encoded map; empty when there are none.
 * @param flags  enum td_run_flag.
 * @return TIDINGS_OK, TIDINGS_EINVAL with the detail set, TIDINGS_ENOMEM.
 */
tidings_err td_event_encode(struct td_buf *out, uint32_t *flags,
                            const struct tidings_event *event);

/* What every publish checks: TIDINGS_EINVAL with the detail set. */
tidings_err td_event_check_type(const char *type, size_t len);
tidings_err td_event_check_data(const void *data, size_t len);

/* Whether RFC 3339 can say it: years 1 to 9999. */
bool td_event_is_time(int64_t us);

/* Memory for the strings of one opened event, used again for the next. */
struct td_event_scratch {
    struct tidings_attr attrs[TD_ATTRS_MAX];
    struct td_buf strings;
};

/* Reads attributes into an event whose other fields are set. The strings
 * live in scratch. TIDINGS_EPROTO: they are not attributes. */
tidings_err td_event_decode(struct tidings_event *event,
                            struct td_event_scratch *scratch,
                            struct td_str attrs);

#endif
