/* What the files of the log share; not its users'. */
#ifndef TD_STORE_LOG_INSIDE_H
#define TD_STORE_LOG_INSIDE_H

#include <stddef.h>

#include "broker/store/log.h"

#define TD_STORE_LOG_MAGIC    0x314c6474u /* "tdL1" */
#define TD_STORE_LOG_OP_BYTES 8u          /* before an operation's key */
#define TD_STORE_LOG_STEP     8u          /* entries begin at such an offset */

/* What an entry takes in the file. */
static inline size_t td_store_log_whole(size_t bytes)
{
    size_t end = TD_STORE_LOG_HEAD_BYTES + bytes + TD_STORE_LOG_STEP - 1;

    return end - end % TD_STORE_LOG_STEP;
}

#endif
