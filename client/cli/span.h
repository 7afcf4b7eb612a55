/* span.h: a stretch of time and an amount, as people say them. */
#ifndef TD_CLI_SPAN_H
#define TD_CLI_SPAN_H

#include <stdint.h>

#define TD_SPAN_BYTES 32

/** "3.2 s", "4 min 5 s", "2 h 3 min", "5 d 6 h". @return out */
const char *td_span(char out[TD_SPAN_BYTES], uint64_t ms);

/** Microseconds: "830 us", "12.3 ms", "1.20 s". @return out */
const char *td_latency(char out[TD_SPAN_BYTES], double us);

/** "0", "0.4", "87", "12.3k", "4.56M": at most six characters.
 *  @return out */
const char *td_amount(char out[TD_SPAN_BYTES], double amount);

/** Bytes: "0 B", "512 B", "12.3 KiB", "4.0 GiB". @return out */
const char *td_size(char out[TD_SPAN_BYTES], uint64_t bytes);

#endif
