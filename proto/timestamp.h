/* timestamp.h: RFC 3339 timestamps and Unix microseconds.
 *
 * Years 0000 to 9999, valid dates only. A leap second (":60") is refused:
 * Unix time has no number for it. */
#ifndef TD_TIMESTAMP_H
#define TD_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#define TD_TIMESTAMP_BYTES 28 /* 2024-02-29T23:59:59.999999Z and a NUL */

/** false if time_us is in a year that four digits cannot say. */
bool td_timestamp_write(char out[TD_TIMESTAMP_BYTES], int64_t time_us);

/** false if text is no timestamp. A fraction of up to nine digits is cut to
 *  microseconds. */
bool td_timestamp_read(int64_t *time_us, const char *text);

#endif
