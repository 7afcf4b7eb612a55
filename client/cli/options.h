/* options.h: the option table; parsing and --help both read it. */
#ifndef TD_CLI_OPTIONS_H
#define TD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "client/cli/cli.h"

/**
 * Read the options of a command, wherever they stand, into settings; what is
 * left over becomes settings->words. For TD_CLI_TOP it stops at the first
 * word, the command.
 *
 * @return false: wrong, and stderr was told. help_hint says how to get help.
 */
bool td_options_read(struct td_settings *settings, uint64_t command_bit,
                     int argc, char **argv, const char *help_hint);

/** The rows of the command, aligned, with their defaults. */
void td_options_help(FILE *to, uint64_t command_bit);

#endif
