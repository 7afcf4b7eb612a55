#include "client/cli/lines.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/out.h"
#include "client/cli/stop.h"

#define FIRST_BYTES (64u << 10)

void td_lines_fini(struct td_lines *lines)
{
    free(lines->bytes);
    *lines = (struct td_lines){0};
}

/* Room behind end: by moving what is left to the front, else by growing. */
static bool make_room(struct td_lines *lines)
{
    size_t cap = lines->cap ? 2 * lines->cap : FIRST_BYTES;
    char *bytes;

    if (lines->start > 0) {
        memmove(lines->bytes, lines->bytes + lines->start,
                lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
    }
    if (lines->end < lines->cap)
        return true;
    if (cap > TD_LINE_BYTES_MAX) {
        td_complain("line %" PRIu64 " of the input is longer than %u bytes",
                    lines->number + 1, TD_LINE_BYTES_MAX);
        return false;
    }
    bytes = realloc(lines->bytes, cap);
    if (!bytes) {
        td_complain("out of memory");
        return false;
    }
    lines->bytes = bytes;
    lines->cap = cap;
    return true;
}

/* One read(); sets ended at the end of the input. */
static enum td_line fill(struct td_lines *lines)
{
    struct pollfd fds[] = {{.fd = lines->fd, .events = POLLIN},
                           {.fd = td_stop_fd(), .events = POLLIN}};
    ssize_t got;

    if (lines->end == lines->cap && !make_room(lines))
        return TD_LINE_FAILED;
    do {
        if (td_stopped())
            return TD_LINE_STOPPED;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
    } while (!fds[0].revents);

    got = read(lines->fd, lines->bytes + lines->end, lines->cap - lines->end);
    if (got < 0 && errno != EINTR && errno != EAGAIN) {
        td_complain("reading the input: %s", strerror(errno));
        return TD_LINE_FAILED;
    }
    if (got == 0)
        lines->ended = true;
    if (got > 0)
        lines->end += (size_t)got;
    return TD_LINE;
}

/* Hands out [start, start + len) and goes on after skip more bytes. */
static bool take(struct td_lines *lines, const char **line, size_t *len,
                 size_t skip)
{
    const char *at = lines->bytes + lines->start;
    size_t bytes = *len;

    lines->start += bytes + skip;
    lines->number++;
    if (bytes > 0 && at[bytes - 1] == '\r')
        bytes--;
    *line = at;
    *len = bytes;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != ' ' && at[i] != '\t')
            return true;
    }
    return false; /* blank */
}

enum td_line td_lines_next(struct td_lines *lines, const char **line,
                           size_t *len)
{
    size_t seen = 0; /* bytes from start that hold no line break */

    for (;;) {
        size_t left = lines->end - lines->start;
        char *from = left ? lines->bytes + lines->start : NULL;
        char *end = left > seen ? memchr(from + seen, '\n', left - seen) : NULL;
        enum td_line filled;

        if (end || (lines->ended && left > 0)) {
            *len = end ? (size_t)(end - from) : left;
            seen = 0;
            if (take(lines, line, len, end != NULL))
                return TD_LINE;
            continue;
        }
        if (lines->ended)
            return TD_LINE_END;
        seen = left;
        filled = fill(lines);
        if (filled != TD_LINE)
            return filled;
    }
}
