#include "client/cli/up/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/escape.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"
#include "client/cli/up/text.h"
#include "proto/plural.h"

#define HEAD_BYTES 192 /* time, colour, label */
/* Each byte of a line may become \u00xx. */
#define LINE_BYTES (HEAD_BYTES + 6 * TD_UP_LINE_BYTES + 2)

/* Neither red nor black nor white: those mean something, or cannot be seen. */
static const int colours[] = {36, 33, 32, 35, 34, 96, 93, 92, 95, 94};

bool td_up_log_open(struct td_up_log *log, int width)
{
    *log = (struct td_up_log){
        .fd = STDOUT_FILENO,
        .folder = -1,
        .colour = td_wants_colour(stdout),
        .width = td_is_terminal(stdout) ? width : 0,
        .bytes = malloc(TD_UP_LOG_BYTES),
    };
    return log->bytes;
}

static int open_file(int folder)
{
    return openat(folder, TD_UP_LOG_NAME,
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

bool td_up_log_to_file(struct td_up_log *log, int folder)
{
    int fd = open_file(folder);

    if (fd < 0)
        return false;
    log->fd = fd;
    log->folder = folder;
    log->colour = false;
    log->width = 0;
    log->written = lseek(fd, 0, SEEK_END);
    return true;
}

void td_up_log_close(struct td_up_log *log)
{
    if (log->folder >= 0)
        close(log->fd);
    td_up_log_forget(log);
    free(log->bytes);
    *log = (struct td_up_log){.fd = -1, .folder = -1};
}

/* ---- followers ---- */

void td_up_log_follow(struct td_up_log *log, int fd)
{
    if (log->followers_len == TD_UP_FOLLOWERS_MAX)
        close(fd);
    else
        log->followers[log->followers_len++] = fd;
}

void td_up_log_forget(struct td_up_log *log)
{
    while (log->followers_len)
        close(log->followers[--log->followers_len]);
}

/* One that is full misses the line, one that has gone is forgotten. */
static void tell_followers(struct td_up_log *log, const char *label,
                           const char *line, size_t line_len)
{
    char text[LINE_BYTES];
    size_t len = (size_t)snprintf(text, HEAD_BYTES, "%s * ", label);

    len += td_escape(text + len, sizeof(text) - len - 1, line, line_len);
    text[len++] = '\n';
    for (size_t i = log->followers_len; i-- > 0;) {
        if (write(log->followers[i], text, len) >= 0 || errno == EAGAIN)
            continue;
        close(log->followers[i]);
        log->followers[i] = log->followers[--log->followers_len];
    }
}

/* ---- lines ---- */

static size_t put_time(char *out, size_t size)
{
    struct timespec now;
    struct tm utc;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
    return len + (size_t)snprintf(out + len, size - len, ".%03ldZ ",
                                  now.tv_nsec / 1000000);
}

static size_t put_head(char out[HEAD_BYTES], const struct td_up_log *log,
                       const char *label, unsigned which, char mark)
{
    int colour = colours[which % (sizeof(colours) / sizeof(colours[0]))];
    size_t len = log->folder >= 0 ? put_time(out, HEAD_BYTES) : 0;

    if (log->colour)
        len += (size_t)snprintf(out + len, HEAD_BYTES - len,
                                "\033[%dm%-*s %c\033[0m ", colour, log->width,
                                label, mark);
    else
        len += (size_t)snprintf(out + len, HEAD_BYTES - len, "%-*s %c ",
                                log->width, label, mark);
    return len;
}

/* Tabs stay: a terminal only moves on for them. */
static size_t put_text(char *out, size_t size, const char *line, size_t len)
{
    size_t put = 0;

    for (;;) {
        const char *tab = memchr(line, '\t', len);
        size_t n = tab ? (size_t)(tab - line) : len;

        put += td_escape(out + put, size - put, line, n);
        if (!tab)
            return put;
        out[put++] = '\t';
        line += n + 1;
        len -= n + 1;
    }
}

static void make_room(struct td_up_log *log)
{
    if (log->start == 0)
        return;
    memmove(log->bytes, log->bytes + log->start, log->end - log->start);
    log->end -= log->start;
    log->start = 0;
}

bool td_up_log_line(struct td_up_log *log, const char *label, unsigned which,
                    char mark, const char *line, size_t len)
{
    size_t most = TD_UP_LOG_BYTES - (mark == '*' ? 0 : TD_UP_OWN_BYTES);
    char text[LINE_BYTES];
    size_t bytes = put_head(text, log, label, which, mark);

    bytes += put_text(text + bytes, sizeof(text) - bytes - 1, line, len);
    text[bytes++] = '\n';
    if (mark == '*' && log->followers_len)
        tell_followers(log, label, line, len);
    if (log->gone)
        return true; /* nobody misses it */
    if (log->end + bytes > most)
        make_room(log);
    if (log->end + bytes > most)
        return false;
    memcpy(log->bytes + log->end, text, bytes);
    log->end += bytes;
    return true;
}

/* ---- writing ---- */

bool td_up_log_has_room(const struct td_up_log *log)
{
    return log->end - log->start < TD_UP_LOG_BYTES / 2;
}

bool td_up_log_waits(const struct td_up_log *log)
{
    return log->end > log->start && !log->gone;
}

/* Between lines: the next begins a new file. */
static void rotate(struct td_up_log *log)
{
    int fd;

    if (log->folder < 0 || log->written < (off_t)TD_UP_FILE_BYTES ||
        renameat(log->folder, TD_UP_LOG_NAME, log->folder,
                 TD_UP_LOG_NAME ".1") != 0)
        return;
    log->written = 0;
    fd = open_file(log->folder);
    if (fd < 0)
        return; /* goes on in the old one */
    close(log->fd);
    log->fd = fd;
}

static ssize_t put(struct td_up_log *log, const char *bytes, size_t len)
{
    ssize_t n = write(log->fd, bytes, len);

    if (n > 0) {
        log->written += n;
        log->cut = bytes[n - 1] != '\n';
    }
    return n;
}

/* All that waits: nobody reads standard output any more; a full disk may have
 * room later. */
static void lose(struct td_up_log *log, int why)
{
    log->gone = log->folder < 0;
    log->why = why;
    for (; log->start < log->end; log->start++)
        log->lost += log->bytes[log->start] == '\n';
}

/* @return false: there is no room for that yet */
static bool tell_lost(struct td_up_log *log)
{
    char text[2 * HEAD_BYTES];
    size_t len = 0;

    if (log->cut)
        text[len++] = '\n';
    len += put_head(text + len, log, "tidings", 0, '*');
    len += (size_t)snprintf(text + len, sizeof(text) - len,
                            "%" PRIu64 " %s not written: %s\n", log->lost,
                            td_plural(log->lost, "line was", "lines were"),
                            strerror(log->why));
    if (put(log, text, len) != (ssize_t)len)
        return false;
    log->lost = 0;
    return true;
}

/* A pipe that is writable takes so much without waiting. */
void td_up_log_flush(struct td_up_log *log)
{
    size_t most = log->folder >= 0 ? TD_UP_LOG_BYTES : PIPE_BUF;
    size_t len = log->end - log->start;
    ssize_t n;

    if (log->lost > 0 && !tell_lost(log)) {
        lose(log, log->why);
        return;
    }
    n = put(log, log->bytes + log->start, len < most ? len : most);
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        lose(log, errno);
    if (n > 0)
        log->start += (size_t)n;
    if (log->start == log->end) {
        log->start = log->end = 0;
        rotate(log);
    }
}

void td_up_log_finish(struct td_up_log *log, int timeout_ms)
{
    int64_t end_us = td_clock_us() + (int64_t)timeout_ms * 1000;
    struct pollfd fd = {.fd = log->fd, .events = POLLOUT};
    int64_t left_us;

    while (td_up_log_waits(log) && (left_us = end_us - td_clock_us()) > 0 &&
           poll(&fd, 1, (int)(left_us / 1000) + 1) > 0)
        td_up_log_flush(log);
}
