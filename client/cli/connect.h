/* connect.h: a bus for a command, connected, or the words that say why not. */
#ifndef TD_CLI_CONNECT_H
#define TD_CLI_CONNECT_H

#include "client/cli/cli.h"

/** The broker that the settings, the environment or the default name. */
const char *td_url(const struct td_settings *settings);

/** --timeout in milliseconds, or its default. */
int td_timeout_ms(const struct td_settings *settings);

/**
 * Open a bus and wait until a broker answered.
 *
 * @param options  borrowed; name, timeouts and so on.
 * @return TD_EXIT_DONE and *out, for tidings_close(); or another code, and
 *         stderr was told.
 */
int td_connect(tidings_bus **out, const struct td_settings *settings,
               const struct tidings_options *options);

/** For commands that take no words. @return TD_EXIT_DONE, or TD_EXIT_USAGE and
 *  stderr was told */
int td_no_words(const struct td_settings *settings, const char *command);

/** Say that there is no broker, and what to do. @return TD_EXIT_NO_BROKER */
int td_no_broker(const struct td_settings *settings);

#endif
