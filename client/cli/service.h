/* service.h: what the commands about services share: rows of instances, as the
 * broker's calls give them (PROTOCOL.md 11.2). */
#ifndef TD_CLI_SERVICE_H
#define TD_CLI_SERVICE_H

#include "client/cli/ask.h"
#include "client/cli/rows.h"

/** The command's NAME; NULL: all are meant. */
const char *td_service_name(const struct td_settings *settings);

/** Rows of the instances that the command's words and --id say: with at most
 *  one NAME. A NAME or --id that nothing goes by is TIDINGS_ENOTFOUND.
 *  @param call  "service.list", "service.info" or "service.stats" */
tidings_err td_service_fetch(struct td_list *out, struct td_ask *a,
                             const char *call);

/** One command with at most one NAME: connects, fetches, puts them, with --json
 *  by put_json, or says why not. @return the exit code */
int td_service_run(const struct td_settings *settings, const char *command,
                   const char *call, int (*put)(const struct td_list *list),
                   int (*put_json)(const struct td_list *list));

/** Each row as a line of JSON, as the broker gives it but for the state, which
 *  is a word there too. @return the exit code */
int td_service_json(const struct td_list *list);

/** How an instance is, in a word: its state, or "draining". */
const char *td_service_state(struct tidings_value row);

/** Its colour: for td_table_painted(). */
const char *td_service_paint(const char *state);

/** A refused call about the service. @return the exit code */
int td_service_refused(const struct td_settings *settings, tidings_err err);

#endif
