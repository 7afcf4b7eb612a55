/* words.h: a command written as one text, split as a shell would. There is no
 * shell: what only one could do is refused, not taken as it stands. */
#ifndef TD_UP_WORDS_H
#define TD_UP_WORDS_H

#include <stddef.h>

/**
 * Split at blanks; '...' and "..." keep them, \ keeps a character.
 *
 * @param out  max + 1 pointers: the words and a NULL. They are one block,
 *             beginning at out[0]: free(out[0]).
 * @return NULL, or what is wrong; out[0] is then NULL.
 */
const char *td_up_words(char **out, size_t max, const char *text);

#endif
