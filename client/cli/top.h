/* top.h: what the parts of `tidings top` share: a thread asks the broker, the
 * screen shows its latest answer. */
#ifndef TD_CLI_TOP_H
#define TD_CLI_TOP_H

#include <pthread.h>
#include <stdbool.h>

#include "client/cli/cli.h"
#include "client/cli/sample.h"
#include "client/cli/view.h"

struct td_top {
    const struct td_settings *settings;
    tidings_bus *bus;
    int64_t interval_us;
    enum td_sort sort; /* the screen's own */

    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    const struct td_kind *kind; /* to be asked for */
    bool end;
    struct td_sample sample; /* the latest; its kind may be another yet */
    char totals[TD_TOTALS_BYTES];
    uint64_t epoch;
    uint64_t uptime_ms;
    char trouble[200]; /* why there is nothing newer; "": there is */
    int wake[2];       /* the read end is readable when there is news */
};

/** Show it all on the terminal until the user quits or a signal comes.
 *  @return an exit code; stderr was told */
int td_screen_run(struct td_top *top);

/** Begin and end asking. @return false: the system refused, stderr was told */
bool td_top_start(struct td_top *top);
void td_top_stop(struct td_top *top);

/** Ask for rows of another kind, at once. */
void td_top_show(struct td_top *top, const struct td_kind *kind);

#endif
