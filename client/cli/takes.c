#include "client/cli/takes.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/rows.h"

#define REST "events" /* the stream that takes what no other takes */

static tidings_err add_pattern(struct td_takes *t, struct tidings_value value)
{
    const char *text;
    size_t len;
    tidings_err err = tidings_as_string(&text, &len, value);
    char **patterns;
    char *own;

    if (err)
        return err;
    patterns = realloc(t->patterns, (t->len + 1) * sizeof(*patterns));
    if (!patterns)
        return TIDINGS_ENOMEM;
    t->patterns = patterns;
    own = strndup(text, len);
    if (!own)
        return TIDINGS_ENOMEM;
    t->patterns[t->len++] = own;
    return TIDINGS_OK;
}

static tidings_err add_stream(struct td_takes *t, struct tidings_value row)
{
    struct tidings_value patterns, value;
    tidings_err err = tidings_get(&patterns, row, "patterns");
    size_t len = err ? 0 : tidings_value_count(patterns);

    for (size_t i = 0; !err && i < len; i++) {
        err = tidings_at(&value, patterns, i);
        if (!err)
            err = add_pattern(t, value);
    }
    return err;
}

static bool add_other(void *arg, struct tidings_value row)
{
    struct td_takes *t = arg;

    if (!td_row_is(row, "name", REST))
        t->err = add_stream(t, row);
    return !t->err;
}

tidings_err td_takes_ask(struct td_takes *out,
                         const struct td_settings *settings, tidings_bus *bus,
                         const char *stream)
{
    struct td_ask a = {
        .settings = settings, .bus = bus, .options = tidings_writer_new()};
    struct td_takes t = {.rest = strcmp(stream, REST) == 0};
    struct td_found found = {0};
    tidings_err err = td_rows_stream(&found, &a, stream);

    if (!err && t.rest && !td_list_each(&found.list, add_other, &t))
        err = t.err;
    else if (!err && !t.rest)
        err = add_stream(&t, found.row);
    td_list_fini(&found.list);
    tidings_writer_free(a.options);
    tidings_free(a.data);
    if (err)
        td_takes_fini(&t);
    else
        *out = t;
    return err;
}

void td_takes_fini(struct td_takes *takes)
{
    for (size_t i = 0; i < takes->len; i++)
        free(takes->patterns[i]);
    free(takes->patterns);
    *takes = (struct td_takes){0};
}

bool td_takes_type(const struct td_takes *takes, const char *type)
{
    for (size_t i = 0; i < takes->len; i++) {
        if (tidings_pattern_matches(takes->patterns[i], type))
            return !takes->rest;
    }
    return takes->rest;
}
