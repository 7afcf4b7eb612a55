#include "client/cli/nearest.h"

#include <stddef.h>
#include <string.h>

#define NAME_MAX_BYTES 16 /* longer words are near to none of ours */

/* How many characters to insert, remove or replace (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1];
    size_t len = strlen(b);

    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t best = corner + (*a != b[j - 1]);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[len];
}

const char *td_nearest(const char *word, const char *(*next)(size_t i))
{
    const char *nearest = NULL, *name;
    size_t least = 3; /* three changes away is another word */

    if (strlen(word) > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; (name = next(i)) != NULL; i++) {
        size_t away = distance(word, name);

        if (away < least && away < strlen(name)) {
            least = away;
            nearest = name;
        }
    }
    return nearest;
}
