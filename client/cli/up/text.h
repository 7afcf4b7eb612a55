/* text.h: what a process prints, as lines: whole ones, what is too long in
 * pieces, the last even if it does not end. */
#ifndef TD_UP_TEXT_H
#define TD_UP_TEXT_H

#include <stddef.h>

#define TD_UP_LINE_BYTES 4096u /* a longer one goes on in the next */

struct td_up_text { /* all zero: nothing yet */
    size_t len;
    char bytes[TD_UP_LINE_BYTES];
};

typedef void (*td_up_on_line)(void *arg, const char *line, size_t len);

/** Calls on_line for each line that is complete, without its end. */
void td_up_text_feed(struct td_up_text *t, const char *bytes, size_t len,
                     td_up_on_line on_line, void *arg);

/** What is left is a line. */
void td_up_text_end(struct td_up_text *t, td_up_on_line on_line, void *arg);

#endif
