/* A file of its own: <term.h> takes names such as "lines" and "columns". */
#include "client/cli/terminfo.h"

#include <curses.h>
#include <stddef.h>
#include <term.h>
#include <unistd.h>

bool td_terminal_known(void)
{
    int why;

    if (setupterm(NULL, STDOUT_FILENO, &why) != OK)
        return false;
    del_curterm(cur_term);
    return true;
}
