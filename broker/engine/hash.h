/* uthash, told to report a lack of memory instead of ending the process: an
 * element that could not be added has its hh_failed set and is not in. */
#ifndef TD_HASH_H
#define TD_HASH_H

#define HASH_NONFATAL_OOM            1
#define uthash_nonfatal_oom(element) ((element)->hh_failed = true)

#include <uthash.h>

/* The longest chain before the table grows. With uthash's 10 there are about four
 * elements to a chain, each a cache miss; with 6 there is one. */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 6U

#include <utlist.h>

#endif
