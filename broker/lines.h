/* Keeps the log from filling the disk: of each kind, by its id, only so many
 * lines a second are written; how many were left out is told later. */
#ifndef TD_LINES_H
#define TD_LINES_H

#include <stdbool.h>
#include <stdint.h>

#define TD_LINES_PER_S     10u /* of a kind: what a person can still read */
#define TD_LINES_KINDS_MAX 32u /* past it they share one */

struct td_lines_kind {
    const char *id; /* borrowed; NULL: not in use */
    int64_t second;
    unsigned written; /* in that second */
    uint64_t left_out;
};

/* Zeroed memory is ready for use. */
struct td_lines {
    struct td_lines_kind kinds[TD_LINES_KINDS_MAX];
};

/* Whether a line of this kind may be written; it counts either way. The id is
 * a literal: kinds are told apart by its text. */
bool td_lines_allow(struct td_lines *l, const char *id, int64_t second);

/* The next kind of which lines were left out in a second that is over: its id,
 * and *left_out; they are then told. NULL: there is none. */
const char *td_lines_next(struct td_lines *l, int64_t second,
                          uint64_t *left_out);

#endif
