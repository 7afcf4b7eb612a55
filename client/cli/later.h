/* later.h: pub --at, --after and --expires: when events are to be published,
 * what the broker says of those that wait, and until when they are of use. */
#ifndef TD_CLI_LATER_H
#define TD_CLI_LATER_H

#include "client/cli/cli.h"
#include "client/cli/confirms.h"

/* Zeroed; written on a thread of the library, read when the bus is closed. */
struct td_later {
    uint64_t duplicates; /* events that had been accepted before */
    uint64_t first;      /* numbers in the schedule, of those accepted; 0:
                             none was */
    uint64_t last;
    uint64_t refused;
    tidings_err err;                       /* why: of the first … */
    char why[TD_CONFIRMS_WHY_BYTES];       /* … in words … */
    char stream[TD_CONFIRMS_STREAM_BYTES]; /* … and what is full */
};

/** Whether events are to wait. */
bool td_later_asked(const struct td_settings *settings);

/** What --at and --after say, with `later` to be told. */
struct tidings_publish_options td_later_options(
    struct td_later *later, const struct td_settings *settings);

/* An event with an expirytime among its attributes. */
struct td_expiring {
    struct tidings_event event;
    struct tidings_attr attrs[TIDINGS_ATTRS_MAX];
    char text[TIDINGS_EXPIRYTIME_MAX];
};

/** A copy of the event as --expires says, which was given: counted from when it
 *  is to be published. @return TIDINGS_OK or, with its detail, TIDINGS_EINVAL */
tidings_err td_later_expire(struct td_expiring *out,
                            const struct tidings_event *event,
                            const struct td_settings *settings);

/** "scheduled 7", unless quiet; what was refused, to stderr.
 *  @return the exit code */
int td_later_put(const struct td_later *later, bool quiet);

/** A member of an object, for --json: its numbers. */
void td_later_put_json(const struct td_later *later);

#endif
