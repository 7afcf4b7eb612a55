#include "broker/lines.h"

#include <stddef.h>
#include <string.h>

static struct td_lines_kind *kind_of(struct td_lines *l, const char *id)
{
    unsigned i = 0;

    while (i < TD_LINES_KINDS_MAX - 1 && l->kinds[i].id &&
           strcmp(l->kinds[i].id, id) != 0)
        i++;
    if (!l->kinds[i].id)
        l->kinds[i].id = id;
    return &l->kinds[i];
}

bool td_lines_allow(struct td_lines *l, const char *id, int64_t second)
{
    struct td_lines_kind *kind = kind_of(l, id);

    if (kind->second != second) {
        kind->second = second;
        kind->written = 0;
    }
    if (kind->written < TD_LINES_PER_S) {
        kind->written++;
        return true;
    }
    kind->left_out++;
    return false;
}

const char *td_lines_next(struct td_lines *l, int64_t second,
                          uint64_t *left_out)
{
    for (unsigned i = 0; i < TD_LINES_KINDS_MAX; i++) {
        struct td_lines_kind *kind = &l->kinds[i];

        if (kind->left_out == 0 || kind->second == second)
            continue;
        *left_out = kind->left_out;
        kind->left_out = 0;
        return kind->id;
    }
    return NULL;
}
