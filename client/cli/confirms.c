#include "client/cli/confirms.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/option_values.h"
#include "client/cli/out.h"

bool td_confirms_asked(const struct td_settings *settings)
{
    const struct td_durable_settings *d = &settings->durable;

    return d->confirm || d->producer || d->expects || d->expects_key;
}

/* ---- what is told ---- */

void td_confirms_why(char out[TD_CONFIRMS_WHY_BYTES],
                     const struct tidings_confirm *confirm)
{
    if (confirm->err == TIDINGS_EFULL && !*confirm->stream)
        snprintf(out, TD_CONFIRMS_WHY_BYTES,
                 "the broker's disk is full, or its memory");
    else if (confirm->err == TIDINGS_EFULL)
        snprintf(out, TD_CONFIRMS_WHY_BYTES, "stream %s is full",
                 confirm->stream);
    else
        snprintf(out, TD_CONFIRMS_WHY_BYTES, "%s",
                 tidings_err_text(confirm->err));
}

void td_confirms_advise(tidings_err err, const char *stream)
{
    if (err == TIDINGS_ENOSTREAM)
        td_advise("a broker that is started with --data DIR keeps every type; "
                  "`tidings stream list` says what this one keeps");
    if (err != TIDINGS_EFULL)
        return;
    if (!*stream)
        td_advise("room on that disk, or `tidings stream purge`, helps; "
                  "`tidings stats` says how much there is");
    else if (strcmp(stream, TIDINGS_SCHEDULE) == 0)
        td_advise("again when some of it was published or cancelled");
    else
        td_advise("it rejects what is beyond its bounds: `tidings stream "
                  "show %s` has them, `stream set` changes them, `stream "
                  "purge` makes room",
                  stream);
}

/* When the first is refused: a pipe may stay open for days. */
static void complain(const struct td_confirms *c,
                     const struct tidings_confirm *confirm)
{
    const struct td_durable_settings *d = &c->settings->durable;
    bool expects = d->expects || d->expects_key;
    char why[TD_CONFIRMS_WHY_BYTES];

    td_confirms_why(why, confirm);
    if (expects && confirm->err == TIDINGS_ECONFLICT)
        td_complain("1 event is not stored: the last sequence of the %s is "
                    "%" PRIu64,
                    d->expects_key ? "key" : "stream", confirm->sequence);
    else
        td_complain("1 event is not stored: %s", why);
    td_confirms_advise(confirm->err, confirm->stream);
    if (d->expects_key && confirm->err == TIDINGS_EINVAL)
        td_advise("--expect-key wants a --key, and a stream added with "
                  "--keyed");
    if (!expects && d->producer && confirm->err == TIDINGS_ECONFLICT)
        td_advise("another one is stored under its number");
}

static void note_stream(struct td_confirms *c,
                        const struct tidings_confirm *confirm)
{
    if (!*c->stream)
        snprintf(c->stream, sizeof(c->stream), "%s", confirm->stream);
    else if (*confirm->stream && strcmp(c->stream, confirm->stream) != 0)
        c->streams = true;
    if (!confirm->sequence)
        return;
    if (!c->first)
        c->first = confirm->sequence;
    else if (confirm->sequence != c->last + 1)
        c->apart = true;
    c->last = confirm->sequence;
}

/* On a thread of the library. */
static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct td_confirms *c = arg;

    if (confirm->err == TIDINGS_ECLOSED)
        return; /* nobody knows; the flush has said so */
    if (confirm->err) {
        if (c->refused++ == 0) {
            c->err = confirm->err;
            complain(c, confirm);
        }
        return;
    }
    if (c->stored++ == 0 || confirm->level < c->level)
        c->level = confirm->level;
    c->duplicates += confirm->duplicate;
    note_stream(c, confirm);
}

struct tidings_publish_options td_confirms_options(struct td_confirms *confirms)
{
    const struct td_durable_settings *d = &confirms->settings->durable;

    return (struct tidings_publish_options){
        .on_confirm = on_confirm,
        .arg = confirms,
        .expects = d->expects,
        .expects_key = d->expects_key,
        .expected = d->expected,
    };
}

/* ---- telling ---- */

/* What was asked for, if nothing was reached. */
static const char *level_name(const struct td_confirms *c)
{
    enum tidings_level asked = c->settings->durable.confirm;

    return td_level_names[c->stored ? c->level : asked ? asked : TIDINGS_DISK];
}

void td_confirms_put(const struct td_confirms *c, uint64_t published)
{
    printf("confirmed %" PRIu64 " of %" PRIu64 " event%s: %s", c->stored,
           published, td_plural(published, "", "s"), level_name(c));
    if (c->streams)
        printf(", in several streams");
    else if (*c->stream)
        printf(", stream %s", c->stream);
    if (!c->streams && c->first && c->apart)
        printf(", from sequence %" PRIu64 " on", c->first);
    else if (!c->streams && c->first && c->first == c->last)
        printf(", sequence %" PRIu64, c->first);
    else if (!c->streams && c->first)
        printf(", sequences %" PRIu64 " to %" PRIu64, c->first, c->last);
    if (c->duplicates)
        printf(", %" PRIu64 " duplicate%s", c->duplicates,
               td_plural(c->duplicates, "", "s"));
    puts("");
}

void td_confirms_put_json(const struct td_confirms *c)
{
    bool one = !c->streams;

    printf(",\"duplicates\":%" PRIu64 ",\"level\":\"%s\",\"stream\":\"%s\","
           "\"first\":%" PRIu64 ",\"last\":%" PRIu64,
           c->duplicates, level_name(c), one ? c->stream : "",
           one ? c->first : 0, one ? c->last : 0);
}

int td_confirms_tell(const struct td_confirms *c, int code)
{
    if (!c->refused)
        return code;
    if (c->refused > 1)
        td_complain("%" PRIu64 " events are not stored", c->refused);
    return c->err == TIDINGS_EINVAL || c->err == TIDINGS_ENOSTREAM
               ? TD_EXIT_USAGE
               : TD_EXIT_FAILED;
}
