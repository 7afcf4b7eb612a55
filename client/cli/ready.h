/* ready.h: an event that `tidings pub` is to publish, made of its words and
 * options, or of a line. */
#ifndef TD_CLI_READY_H
#define TD_CLI_READY_H

#include "client/cli/attrs.h"
#include "client/cli/cli.h"

/* An event ready to publish, and what it points to. */
struct td_ready { /* zeroed */
    struct tidings_event event;
    struct td_attrs attrs;
    struct tidings_event *parsed; /* --event; freed */
    void *packed;                 /* data as msgpack; freed */
};

void td_ready_fini(struct td_ready *r);

/** An event of that type, or with --event what text says.
 *  @param text     DATA; NULL: an event without.
 *  @param time_us  of --attr time; 0: none.
 *  @return TIDINGS_OK or, with a detail, what is wrong */
tidings_err td_ready_event(struct td_ready *r,
                           const struct td_settings *settings, const char *type,
                           int64_t time_us, const char *text, size_t len);

#endif
