/* log.h: the lines of all services, and what `tidings up` itself has to say,
 * on standard output or in a file.
 *
 *     inventory.2 | what it printed
 *     inventory.2 * exited with 1; again in 400 ms
 *
 * Nothing here waits: lines stand in a bounded buffer until the other end
 * takes them, and while it is half full nothing more is read from the
 * services. What a terminal would obey is escaped. In a file each line begins
 * with its time, and the file is renamed to NAME.1 when it is large. What a
 * file does not take, because the disk is full, is lost, and how much is said
 * in the file as soon as it takes that. */
#ifndef TD_UP_LOG_H
#define TD_UP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TD_UP_LOG_BYTES  (512u << 10) /* of the buffer */
#define TD_UP_OWN_BYTES  (64u << 10)  /* of it, that services leave us */
#define TD_UP_FILE_BYTES (16u << 20)  /* of the file; with NAME.1 twice that */
#define TD_UP_LOG_NAME   "log"

#define TD_UP_FOLLOWERS_MAX 8

struct td_up_log {
    int fd;
    int folder; /* in which the file is; -1: it is standard output */
    off_t written;
    uint64_t lost; /* lines that the file did not take … */
    int why;       /* … and errno then */
    bool cut;      /* the file ends within a line */
    bool colour;
    int width; /* of labels, that what is behind them is in one column */
    bool gone; /* nobody reads standard output any more */
    char *bytes;
    size_t start; /* of what is not written */
    size_t end;
    int followers[TD_UP_FOLLOWERS_MAX]; /* are told what `tidings up` says */
    size_t followers_len;
};

/** Standard output; width: of the widest label. false: no memory. */
bool td_up_log_open(struct td_up_log *log, int width);
/** From now on the file in that folder. false: errno says why. */
bool td_up_log_to_file(struct td_up_log *log, int folder);
void td_up_log_close(struct td_up_log *log);

/** A line of a service, or with mark '*' of our own, for which some room is kept
 *  back. which: its colour. false: there was no room. */
bool td_up_log_line(struct td_up_log *log, const char *label, unsigned which,
                    char mark, const char *line, size_t len);

/** From now on what `tidings up` says goes there, too, if that takes it without
 *  waiting; it is closed. */
void td_up_log_follow(struct td_up_log *log, int fd);
/** Nobody is told any more. */
void td_up_log_forget(struct td_up_log *log);

/** Whether services may be read. */
bool td_up_log_has_room(const struct td_up_log *log);
/** Whether there is something to write, when fd takes it. */
bool td_up_log_waits(const struct td_up_log *log);
/** Write what can be written without waiting: fd takes it. */
void td_up_log_flush(struct td_up_log *log);
/** Write all that is left, for at most that long. */
void td_up_log_finish(struct td_up_log *log, int timeout_ms);

#endif
