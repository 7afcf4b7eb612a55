/* uthash, told to report a lack of memory instead of ending the process: an
 * element that could not be added has its hh_failed set and is not in. */
#ifndef TD_HASH_H
#define TD_HASH_H

#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->hh_failed = true)

#include <uthash.h>
#include <utlist.h>

#endif
