/* takes.h: which types a stream takes, by the patterns of the broker's streams
 * (PROTOCOL.md 10). */
#ifndef TD_CLI_TAKES_H
#define TD_CLI_TAKES_H

#include "client/cli/cli.h"

struct td_takes {    /* all zero: takes nothing */
    char **patterns; /* its own, or with rest those of the others */
    size_t len;
    bool rest;       /* it takes what no other takes */
    tidings_err err; /* of asking */
};

/** Ask the broker. @return as tidings_call(); TIDINGS_ENOTFOUND: there is no
 *  such stream */
tidings_err td_takes_ask(struct td_takes *out,
                         const struct td_settings *settings, tidings_bus *bus,
                         const char *stream);
void td_takes_fini(struct td_takes *takes);

bool td_takes_type(const struct td_takes *takes, const char *type);

#endif
