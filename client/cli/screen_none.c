/* The screen of `tidings top` in a build without ncurses. */
#include "client/cli/out.h"
#include "client/cli/top.h"

int td_screen_run(struct td_top *top)
{
    (void)top;
    td_complain("this build has no screen: ncurses was not there");
    td_advise("tidings top --once prints one table; so does tidings stats");
    return TD_EXIT_FAILED;
}
