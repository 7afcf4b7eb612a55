/* reading.h: events of a stream from one place on, in order, one by one: what
 * tail and replay share. */
#ifndef TD_CLI_READING_H
#define TD_CLI_READING_H

#include "client/cli/cli.h"
#include "client/cli/status.h"

struct td_reading {
    const struct td_settings *settings;
    const char *stream;
    struct tidings_start start;
    struct tidings_start until; /* DEFAULT: the newest at the beginning */
    bool follow;                /* no end */
    /* Called for each event; false: enough. It may take its time. */
    bool (*each)(void *arg, uint64_t sequence,
                 const struct tidings_event *event);
    void *arg;

    uint64_t end;          /* the last sequence; 0: no end */
    uint64_t first;        /* the first that came; 0: none has */
    uint64_t last;         /* the last that came; 0: none has */
    uint64_t count;        /* how many each() has taken */
    uint64_t lost_to;      /* the last that was told to be lost; 0: none */
    uint64_t damaged;      /* events that the store has and cannot read … */
    uint64_t damaged_from; /* … the first of them */
    bool over;
    struct td_status status;
    tidings_bus *bus;
};

/** Read until the end, a signal, or enough. @return the exit code */
int td_read(struct td_reading *r);

/** After all else: was anything left out that the store cannot read, it says so.
 * @return the exit code; code, if that is not TD_EXIT_DONE */
int td_read_conclude(const struct td_reading *r, int code);

#endif
