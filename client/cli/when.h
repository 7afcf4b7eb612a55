/* when.h: durations and moments, as people write and read them. Each reader
 * says what it wants instead, or NULL when it has read its value. */
#ifndef TD_CLI_WHEN_H
#define TD_CLI_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "tidings/tidings.h"

#define TD_MOMENT_BYTES 40

/** Unix milliseconds, at this moment. */
int64_t td_wall_ms(void);

/** A whole number with its unit, "200ms", "5s", "10m", "2h", "7d": above 0 and
 *  at most max_ms. */
const char *td_read_duration(uint64_t *out_ms, const char *value,
                             uint64_t max_ms);

/** A moment, Unix milliseconds: "2024-02-29T12:00:00Z", with another zone, or
 *  without one for here; "2024-02-29"; "-5m", "+2h" from now_ms. */
const char *td_read_moment(int64_t *out_ms, const char *value, int64_t now_ms);

/** A place in a stream: "new", "all", a sequence above 0, or a moment. */
const char *td_read_start(struct tidings_start *out, const char *value,
                          int64_t now_ms);

/** A moment to read: "2024-02-29 13:00:00" here, or "2024-02-29T12:00:00Z".
 *  @return out */
const char *td_moment(char out[TD_MOMENT_BYTES], int64_t ms, bool here);

#endif
