/* dlq.h: what the commands about dead letters share. */
#ifndef TD_CLI_DLQ_H
#define TD_CLI_DLQ_H

#include "client/cli/ask.h"

#define TD_DLQ_PAGE 100u /* most rows of one answer: PROTOCOL.md 10.3 */

struct td_dlq {
    struct td_ask ask;
    const char *stream;
    const char *group;
    struct tidings_value rows; /* of the last page, in ask's answer */
    uint64_t total;            /* dead letters in all, as it said */
    uint64_t next;             /* number to go on with; 0: these are all */
};

/** Connect; the first two words are stream and group.
 *  @return TD_EXIT_DONE, for td_ask_close(); another code, and stderr was
 *          told */
int td_dlq_open(struct td_dlq *d, const struct td_settings *settings,
                const char *command, const char *words);

/** @return the exit code, and stderr was told */
int td_dlq_refused(const struct td_dlq *d, tidings_err err);

/** Options of a call: the two names and --type; more pairs follow. */
void td_dlq_begin(struct td_dlq *d, uint32_t more);

/** Rows and total, from a number on; limit 0: as many as fit. */
tidings_err td_dlq_page(struct td_dlq *d, uint64_t from, uint64_t limit,
                        bool data);

#endif
