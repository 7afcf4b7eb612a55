/* terminfo.h: whether ncurses knows this terminal. */
#ifndef TD_CLI_TERMINFO_H
#define TD_CLI_TERMINFO_H

#include <stdbool.h>

/** To be asked before newterm(), which when it fails keeps its memory. */
bool td_terminal_known(void);

#endif
