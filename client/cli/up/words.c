#include "client/cli/up/words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS    " \t\r\n"
#define SHELL     "|&;<>()$`" /* outside of quotes a shell acts on these … */
#define IN_DOUBLE "$`"        /* … and within "..." on these */
#define KEPT      "\\\"$`"    /* what \ keeps within "..." */

#define NO_SHELL                                                               \
    "there is no shell for | & ; < > ( ) $ `: put it between '...', or write " \
    "[sh, -c, '...']"

/* Where the text is read, and where its words are written: never behind, for
 * each character takes as much room, or less. */
struct split {
    const char *from;
    char *to;
};

static const char *single_quoted(struct split *s)
{
    const char *end = strchr(s->from, '\'');

    if (!end)
        return "a ' without another";
    memcpy(s->to, s->from, (size_t)(end - s->from));
    s->to += end - s->from;
    s->from = end + 1;
    return NULL;
}

static const char *double_quoted(struct split *s)
{
    for (; *s->from != '"'; s->from++) {
        if (*s->from == '\0')
            return "a \" without another";
        if (strchr(IN_DOUBLE, *s->from))
            return NO_SHELL;
        if (*s->from == '\\' && s->from[1] && strchr(KEPT, s->from[1]))
            s->from++;
        *s->to++ = *s->from;
    }
    s->from++;
    return NULL;
}

static const char *one_word(struct split *s)
{
    const char *wrong = NULL;

    while (!wrong && *s->from && !strchr(BLANKS, *s->from)) {
        char c = *s->from++;

        if (c == '\'')
            wrong = single_quoted(s);
        else if (c == '"')
            wrong = double_quoted(s);
        else if (strchr(SHELL, c))
            wrong = NO_SHELL;
        else if (c == '\\' && !*s->from)
            wrong = "a \\ at the end";
        else
            *s->to++ = c == '\\' ? *s->from++ : c;
    }
    *s->to++ = '\0';
    return wrong;
}

const char *td_up_words(char **out, size_t max, const char *text)
{
    char *block = malloc(strlen(text) + 2);
    struct split s = {.from = text, .to = block};
    const char *wrong = block ? NULL : "out of memory";
    size_t len = 0;

    while (!wrong) {
        s.from += strspn(s.from, BLANKS);
        if (!*s.from)
            break;
        if (len == max)
            wrong = "too many words";
        else {
            out[len++] = s.to;
            wrong = one_word(&s);
        }
    }
    if (!wrong && len == 0)
        wrong = "no command";
    if (wrong) {
        free(block);
        len = 0;
    }
    out[len] = NULL;
    return wrong;
}
