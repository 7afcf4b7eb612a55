#include "client/cli/group_words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/escape.h"
#include "client/cli/out.h"
#include "client/cli/rows.h"
#include "client/cli/span.h"
#include "client/cli/when.h"

#define WORDS_BYTES 1024u /* of a name or a reason, escaped */

/* A blank line before the first. */
static void say(bool *said, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(bool *said, const char *format, ...)
{
    va_list args;

    if (!*said)
        fputs("\n", stdout);
    *said = true;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fputs("\n", stdout);
}

static void say_paused(bool *said, struct tidings_value row)
{
    int64_t until_ms = (int64_t)td_row_uint(row, "paused_until_ms");
    char text[TD_MOMENT_BYTES];

    if (!td_row_bool(row, "paused"))
        return;
    if (until_ms)
        say(said, "paused until %s: nothing is delivered before",
            td_moment(text, until_ms, td_is_terminal(stdout)));
    else
        say(said, "paused: nothing is delivered until it is resumed");
}

/* Into size bytes, fit for a terminal. */
static const char *words_of(char *out, size_t size, struct tidings_value row,
                            const char *key)
{
    size_t len;
    const char *text = td_row_text(&len, row, key);

    td_escape(out, size, text, len);
    return out;
}

/* Who has said so, and why, as far as it is known. */
static void say_who_parked(struct tidings_value row)
{
    char by[WORDS_BYTES];
    char why[WORDS_BYTES];

    words_of(by, sizeof(by), row, "parked_by");
    words_of(why, sizeof(why), row, "parked_why");
    if (*by || *why)
        printf("  said by %s%s%s\n", *by ? by : "a client without a name",
               *why ? ": " : "", why);
}

static void say_outage(bool *said, struct tidings_value row)
{
    const char *state = td_rows_state(row);
    char text[TD_SPAN_BYTES];

    if (strcmp(state, "parked") == 0)
        say(said,
            "parked: a handler said that what it needs does not answer. One "
            "event is\n  tried in %s; tidings group resume tries all at once",
            td_span(text, td_row_uint(row, "parked_ms")));
    else if (strcmp(state, "probing") == 0)
        say(said, "probing: after an outage one event at a time is delivered, "
                  "until one is acked");
    else if (strcmp(state, "ramping") == 0)
        say(said, "ramping: after an outage more and more events are delivered "
                  "at once");
    if (strcmp(state, "parked") == 0)
        say_who_parked(row);
}

static void say_members(bool *said, struct tidings_value row)
{
    uint64_t waiting = td_row_uint(row, "lag") + td_row_uint(row, "waiting");

    if (td_row_uint(row, "members") > 0)
        return;
    say(said, waiting
                  ? "no members: its events wait in the stream until one comes"
                  : "no members");
}

static void say_full(bool *said, struct tidings_value row)
{
    uint64_t out = td_row_uint(row, "in_flight") + td_row_uint(row, "waiting");
    char text[TD_SPAN_BYTES];

    if (!td_row_bool(row, "full"))
        return;
    say(said,
        "window full: %" PRIu64 " %s with members, or to be delivered again, "
        "and no\n  more go out until some are settled; what is not, within %s, "
        "has failed\n  (max_in_flight, ack_wait)",
        out, td_plural(out, "event is", "events are"),
        td_span(text, td_row_uint(row, "ack_wait_ms")));
}

void td_group_words(struct tidings_value row, const char *stream,
                    const char *name)
{
    uint64_t dead = td_row_uint(row, "dead");
    uint64_t expired = td_row_uint(row, "expired");
    uint64_t skipped = td_row_uint(row, "expirytime");
    uint64_t waiting = td_row_uint(row, "waiting");
    uint64_t lag = td_row_uint(row, "lag");
    uint64_t parks = td_row_uint(row, "parks");
    bool said = false;

    say_paused(&said, row);
    say_outage(&said, row);
    say_members(&said, row);
    say_full(&said, row);
    if (!said && lag > 0)
        say(&said, "behind: %" PRIu64 " %s still to be delivered", lag,
            td_plural(lag, "event is", "events are"));
    if (waiting > 0)
        say(&said, "%" PRIu64 " to be delivered again: failed, or given back",
            waiting);
    if (expired > 0)
        say(&said,
            "%" PRIu64 " %s deleted by the stream's bounds before it came to "
            "%s, or damaged",
            expired, td_plural(expired, "was", "were"),
            td_plural(expired, "it", "them"));
    if (skipped > 0)
        say(&said, "%" PRIu64 " skipped: %s expirytime had passed", skipped,
            td_plural(skipped, "its", "their"));
    if (dead > 0)
        say(&said, "%" PRIu64 " dead: tidings dlq list %s %s", dead, stream,
            name);
    if (!said && td_row_uint(row, "in_flight") == 0)
        say(&said, "up to date");
    if (parks > 0)
        say(&said, "%" PRIu64 " %s parked since the broker began", parks,
            td_plural(parks, "time", "times"));
}
