/* joined.h: a list in one column of a table. What a broker answers is of any
 * length: what does not fit is cut. */
#ifndef TD_JOINED_H
#define TD_JOINED_H

#include <stddef.h>

/* All zero is empty. */
struct td_joined {
    char text[1024]; /* NUL-terminated */
    size_t len;
};

/** Append, after the separator if there is something before it. */
void td_join(struct td_joined *j, const char *separator, const char *format,
             ...) __attribute__((format(printf, 3, 4)));

#endif
