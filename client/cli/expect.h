/* pub --expect, --expect-key: stored only if nothing came in between. */
#ifndef TD_CLI_EXPECT_H
#define TD_CLI_EXPECT_H

#include "client/cli/cli.h"

/* Zeroed; written on a thread of the library, read when the bus is closed. */
struct td_expect {
    tidings_err err; /* why it was not stored */
    uint64_t actual; /* the sequence that there is instead */
};

bool td_expect_asked(const struct td_settings *settings);
struct tidings_publish_options td_expect_options(
    struct td_expect *x, const struct td_settings *settings);
/* Tells what has become of it; returns the exit code, or code if it is stored. */
int td_expect_tell(const struct td_expect *x,
                   const struct td_settings *settings, int code);

#endif
