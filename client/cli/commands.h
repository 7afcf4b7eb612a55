/* commands.h: the table of commands; those of two words are a family. */
#ifndef TD_CLI_COMMANDS_H
#define TD_CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "client/cli/cli.h"

/* "stream" of "stream add" and its sisters. */
struct td_family {
    const char *name;
    const char *about; /* one line */
    const char *more;  /* further lines of --help, each ending in '\n' */
};

extern const struct td_command td_commands[];
extern const size_t td_commands_len;
extern const struct td_family td_families[];
extern const size_t td_families_len;

/** NULL: there is none of that name. */
const struct td_family *td_family_named(const char *name);

/** The second word of a command of the family; NULL: it is not of it. */
const char *td_command_in(const struct td_command *command,
                          const struct td_family *family);

/** A command by its words; family NULL: one of one word. NULL: none. */
const struct td_command *td_command_named(const struct td_family *family,
                                          const char *name);

#endif
