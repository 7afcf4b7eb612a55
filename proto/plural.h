/* "1 event was", "2 events were". */
#ifndef TD_PLURAL_H
#define TD_PLURAL_H

#include <stdint.h>

/* What stands behind the number n. */
static inline const char *td_plural(uint64_t n, const char *one,
                                    const char *many)
{
    return n == 1 ? one : many;
}

#endif
