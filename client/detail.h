/* The words behind a code: tidings_detail(), one text per thread. */
#ifndef TD_DETAIL_H
#define TD_DETAIL_H

#include "tidings/err.h"

/* Sets the thread's detail and returns err. */
tidings_err td_fail(tidings_err err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define TD_DETAIL_BYTES 512

/* The thread's text, TD_DETAIL_BYTES: for whoever empties it often, or keeps it
 * for its caller. */
char *td_detail_bytes(void);

#endif
