/* confirms.h: what has become of events that were published with confirms. */
#ifndef TD_CLI_CONFIRMS_H
#define TD_CLI_CONFIRMS_H

#include "client/cli/cli.h"

#define TD_CONFIRMS_STREAM_BYTES 65
#define TD_CONFIRMS_WHY_BYTES    100

/* Zeroed but for settings; written on a thread of the library, read when the
 * bus is closed. */
struct td_confirms {
    const struct td_settings *settings;
    uint64_t stored;
    uint64_t duplicates; /* of those, had been stored before */
    uint64_t refused;
    tidings_err err;                       /* why: of the first */
    enum tidings_level level;              /* that all have reached */
    char stream[TD_CONFIRMS_STREAM_BYTES]; /* of all, as far as it is known */
    bool streams;                          /* there are several */
    uint64_t first;                        /* sequence; 0: not known */
    uint64_t last;
    bool apart; /* there is more between them */
};

/** Why an event is not stored, in words. */
void td_confirms_why(char out[TD_CONFIRMS_WHY_BYTES],
                     const struct tidings_confirm *confirm);

/** What helps against that, on a line of its own, where something does. */
void td_confirms_advise(tidings_err err, const char *stream);

/** Whether they are confirmed at all. */
bool td_confirms_asked(const struct td_settings *settings);

/** What --expect and --expect-key say, with `confirms` to be told. */
struct tidings_publish_options td_confirms_options(
    struct td_confirms *confirms);

/** "confirmed 3 of 3 events: disk, stream orders, sequences 41 to 43". */
void td_confirms_put(const struct td_confirms *confirms, uint64_t published);

/** Members of an object, for --json. */
void td_confirms_put_json(const struct td_confirms *confirms);

/** How many were refused, if it was more than the one that was told when it
 *  was. @return the exit code; code, if none was */
int td_confirms_tell(const struct td_confirms *confirms, int code);

#endif
