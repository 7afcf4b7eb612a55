/* state.h: the folder of a file's `tidings up`: its lock, the socket over which
 * it is asked, and the log of one in the background.
 *
 * It is .tidings/NAME beside the file NAME, or what --state says. One `up` of a
 * file at a time: the lock is the open file's, so that it goes with the last
 * process that has it, however that ended. */
#ifndef TD_UP_STATE_H
#define TD_UP_STATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "client/cli/cli.h"

#define TD_UP_DEFAULT_FILE "tidings.yaml"
#define TD_UP_SOCKET_NAME  "control"

struct td_up_state {
    char *path;  /* of the folder, as it can be shown */
    int folder;  /* open; -1: there is none */
    int lock;    /* open, and locked if it is ours; -1 */
    pid_t owner; /* of another's; 0: nobody has it */
};

/** The FILE of the command line, or the default one. NULL: too many words, and
 *  stderr was told. */
const char *td_up_file_name(const struct td_settings *settings,
                            const char *command);

/** Make the folder if it is not there, and take the lock. stderr is told why
 *  not. @return TD_EXIT_DONE; TD_EXIT_FAILED: another has it, or the system
 *  refuses; TD_EXIT_USAGE: no such file */
int td_up_state_take(struct td_up_state *s, const struct td_settings *settings,
                     const char *file);

/** For those who only ask: owner says whether it runs.
 *  @return TD_EXIT_DONE; others, and stderr was told */
int td_up_state_look(struct td_up_state *s, const struct td_settings *settings,
                     const char *file);

/** Whoever has the lock is this process from now on. */
void td_up_state_own(struct td_up_state *s);

/** Wait until nobody has the lock any more. */
void td_up_state_wait(struct td_up_state *s);

void td_up_state_fini(struct td_up_state *s);

/* ---- the socket ---- */

/** Listen. @return the socket, not to be waited for; -1: errno says why */
int td_up_state_listen(const struct td_up_state *s);
void td_up_state_unlisten(const struct td_up_state *s);
/** To whoever has the lock, for a moment also to one that is about to listen.
 *  @return connected; -1: owner is 0, it has ended meanwhile; or errno says why
 *  it does not answer */
int td_up_state_connect(struct td_up_state *s);

#endif
