/* show.h: an event as a line for people, or for cut(1) and awk(1).
 *
 * On a terminal: local time, type, source and data in columns that grow with
 * what they hold, in colour unless NO_COLOR. Elsewhere: time in UTC, type, id,
 * source and data, separated by tabs. All of it escaped. */
#ifndef TD_CLI_SHOW_H
#define TD_CLI_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidings/tidings.h"

struct td_show {
    bool terminal;
    bool colour;
    size_t type_columns; /* the widest so far */
    size_t source_columns;
    int sequence_columns;
};

void td_show_init(struct td_show *show);
void td_show_event(struct td_show *show, const struct tidings_event *event);

/** The same behind its sequence in a stream. */
void td_show_stored(struct td_show *show, uint64_t sequence,
                    const struct tidings_event *event);

/** Only its data: JSON where that can say it. */
void td_show_data(const struct tidings_event *event);

#endif
