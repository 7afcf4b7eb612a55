/* How a durable group fares, in words. */
#ifndef TD_CLI_GROUP_WORDS_H
#define TD_CLI_GROUP_WORDS_H

#include "tidings/data.h"

/** Prints it, below the table of a row of group.list: slow is not stuck, so it
 *  says what the group waits for. */
void td_group_words(struct tidings_value row, const char *stream,
                    const char *name);

#endif
