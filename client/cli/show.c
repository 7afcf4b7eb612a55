#include "client/cli/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "client/cli/attrs.h"
#include "client/cli/escape.h"
#include "client/cli/out.h"
#include "tidings/json.h"

#define COLUMNS_MAX 40 /* one long name must not push all others away */

#define DIM   "\033[2m"
#define BOLD  "\033[1m"
#define CYAN  "\033[36m"
#define PLAIN "\033[0m"

void td_show_init(struct td_show *show)
{
    *show = (struct td_show){
        .terminal = td_is_terminal(stdout),
        .colour = td_wants_colour(stdout),
    };
}

static void colour(const struct td_show *show, const char *code)
{
    if (show->colour)
        fputs(code, stdout);
}

/* 12:34:56.789 here, 2024-02-29T11:34:56.789012Z for machines. */
static void put_time(const struct td_show *show, int64_t time_us)
{
    int64_t us = (time_us % 1000000 + 1000000) % 1000000;
    time_t seconds = (time_t)((time_us - us) / 1000000);
    struct tm tm;
    char text[40];

    if (!(show->terminal ? localtime_r(&seconds, &tm)
                         : gmtime_r(&seconds, &tm)) ||
        tm.tm_year > 9999 - 1900 || tm.tm_year < -1900) {
        fputs("?", stdout);
    } else if (show->terminal) {
        strftime(text, sizeof(text), "%H:%M:%S", &tm);
        printf("%s.%03d", text, (int)(us / 1000));
    } else {
        strftime(text, sizeof(text), "%m-%dT%H:%M:%S", &tm);
        printf("%04d-%s.%06dZ", tm.tm_year + 1900, text, (int)us);
    }
}

static void put_text(const char *text)
{
    if (!text || !*text)
        text = "-";
    td_put_escaped(stdout, text, strlen(text));
}

/* Padded to the widest so far, which grows as it meets longer ones. */
static void put_column(size_t *widest, const char *text)
{
    size_t columns;

    if (!text || !*text)
        text = "-";
    columns = td_put_escaped(stdout, text, strlen(text));
    if (columns > *widest)
        *widest = columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
    printf("%*s", columns < *widest ? (int)(*widest - columns) : 0, "");
}

static bool is_text(const char *contenttype)
{
    return td_is_json_type(contenttype) ||
           strncasecmp(contenttype, "text/", 5) == 0;
}

void td_show_data(const struct tidings_event *event)
{
    const char *contenttype = event->datacontenttype;
    char *json = NULL;

    if (event->data_len == 0) {
        put_text(NULL);
    } else if (!td_is_msgpack_type(contenttype) && is_text(contenttype)) {
        td_put_escaped(stdout, event->data, event->data_len);
    } else if (td_is_msgpack_type(contenttype) &&
               !tidings_data_to_json(&json, event->data, event->data_len)) {
        td_put_escaped(stdout, json, strlen(json));
        tidings_free(json);
    } else {
        printf("(%zu bytes of ", event->data_len);
        put_text(contenttype ? contenttype : "application/msgpack");
        fputs(")", stdout);
    }
}

static void show_aligned(struct td_show *show,
                         const struct tidings_event *event)
{
    colour(show, DIM);
    put_time(show, event->time_us);
    colour(show, PLAIN BOLD);
    fputs("  ", stdout);
    put_column(&show->type_columns, event->type);
    colour(show, PLAIN CYAN);
    fputs("  ", stdout);
    put_column(&show->source_columns, event->source);
    colour(show, PLAIN);
    fputs("  ", stdout);
    td_show_data(event);
    fputs("\n", stdout);
}

static void show_plain(const struct td_show *show,
                       const struct tidings_event *event)
{
    const char *const columns[] = {event->type, event->id, event->source};

    put_time(show, event->time_us);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        fputs("\t", stdout);
        put_text(columns[i]);
    }
    fputs("\t", stdout);
    td_show_data(event);
    fputs("\n", stdout);
}

void td_show_event(struct td_show *show, const struct tidings_event *event)
{
    if (show->terminal)
        show_aligned(show, event);
    else
        show_plain(show, event);
}

void td_show_stored(struct td_show *show, uint64_t sequence,
                    const struct tidings_event *event)
{
    int columns;

    colour(show, CYAN);
    columns = printf("%*" PRIu64, show->sequence_columns, sequence);
    if (show->terminal && columns > show->sequence_columns)
        show->sequence_columns = columns;
    colour(show, PLAIN);
    fputs(show->terminal ? "  " : "\t", stdout);
    td_show_event(show, event);
}
