/* lines.h: standard input, or a file, a line at a time, of bounded length, and
 * heeding the signals that end the command. */
#ifndef TD_CLI_LINES_H
#define TD_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No JSON of an event is longer: 1 MiB of data, each byte as \u00xx. */
#define TD_LINE_BYTES_MAX (8u << 20)

enum td_line { TD_LINE, TD_LINE_END, TD_LINE_STOPPED, TD_LINE_FAILED };

struct td_lines { /* all zero: at the start of standard input */
    int fd;       /* to be read; the caller's */
    char *bytes;
    size_t start; /* of what is not handed out yet */
    size_t end;
    size_t cap;
    bool ended;
    uint64_t number; /* of the line handed out last, from 1 */
};

void td_lines_fini(struct td_lines *lines);

/** The next line without its line break, valid until the next call; blank
 *  lines are skipped. TD_LINE_FAILED: stderr was told. */
enum td_line td_lines_next(struct td_lines *lines, const char **line,
                           size_t *len);

#endif
