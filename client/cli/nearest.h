/* nearest.h: what a mistyped word may have meant. */
#ifndef TD_CLI_NEAREST_H
#define TD_CLI_NEAREST_H

#include <stddef.h>

/** The name nearest to word, NULL if none is near. next(i) gives the names,
 *  NULL after the last. */
const char *td_nearest(const char *word, const char *(*next)(size_t i));

#endif
