/* Sizes, durations and moments as people write them. All of the text has to be
 * it; false leaves *out alone. */
#ifndef TD_UNITS_H
#define TD_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* Digits alone. */
bool td_number_read(uint64_t *out, const char *text);

/* Digits, then nothing or one of K M G (powers of 1024); below 2^63. */
bool td_size_read(uint64_t *bytes, const char *text);

/* Digits, then ms, s, m, h or d; 0 may stand alone. Below 2^63. */
bool td_duration_read(uint64_t *ms, const char *text);

/* 2024-02-29 or 2024-02-29T12:00:00Z, UTC, as Unix milliseconds; since 1970. */
bool td_moment_read(int64_t *ms, const char *text);

#endif
