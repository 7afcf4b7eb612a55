#include "client/cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/out.h"

#define STRING_OF(x)  #x
#define STRING(macro) STRING_OF(macro)

#define PINGS     STRING(TD_CLI_PINGS)
#define INTERVAL  STRING(TD_CLI_INTERVAL_S)
#define TIMEOUT   STRING(TD_CLI_TIMEOUT_S)
#define ATTRS_MAX STRING(TIDINGS_ATTRS_MAX)

#define ALL (TD_CLI_TOP | TD_CLI_PUB | TD_CLI_SUB | TD_CLI_PING | TD_CLI_STATS)

/* Takes an option's value; says what it wants instead, or NULL. */
typedef const char *(*set_fn)(struct td_settings *settings, const char *value);

static const char *positive(double *out, const char *value, double max)
{
    char *end;

    errno = 0;
    *out = strtod(value, &end);
    if (end == value || *end || errno || !isfinite(*out) || *out <= 0 ||
        *out > max)
        return "a number above 0";
    return NULL;
}

static const char *set_url(struct td_settings *settings, const char *value)
{
    settings->url = value;
    return NULL;
}

static const char *set_timeout(struct td_settings *settings, const char *value)
{
    return positive(&settings->timeout_s, value, TD_CLI_TIMEOUT_S_MAX)
               ? "seconds, above 0 and at most a day"
               : NULL;
}

static const char *set_interval(struct td_settings *settings, const char *value)
{
    return positive(&settings->interval_s, value, TD_CLI_TIMEOUT_S_MAX)
               ? "seconds, above 0 and at most a day"
               : NULL;
}

static const char *set_rate(struct td_settings *settings, const char *value)
{
    return positive(&settings->rate, value, 1e9)
               ? "events per second, above 0 and at most 1e9"
               : NULL;
}

static const char *set_count(struct td_settings *settings, const char *value)
{
    char *end;

    errno = 0;
    settings->count = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || settings->count == 0)
        return "a whole number above 0";
    return NULL;
}

static const char *set_attr(struct td_settings *settings, const char *value)
{
    char *equals = strchr(value, '=');
    struct td_cli_attr *attr = &settings->attrs[settings->attrs_len];

    if (!equals || equals == value)
        return "NAME=VALUE";
    if (settings->attrs_len == TIDINGS_ATTRS_MAX)
        return "at most " ATTRS_MAX " times";
    *equals = '\0';
    attr->name = value;
    attr->value = equals + 1;
    settings->attrs_len++;
    return NULL;
}

static const char *set_event(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->event = true;
    return NULL;
}

static const char *set_json(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->json = true;
    return NULL;
}

static const char *set_help(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->help = true;
    return NULL;
}

static const char *set_version(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->version = true;
    return NULL;
}

/* One row per option; where commands mean different things by one name, it
 * has a row for each meaning. Second lines of help begin after '\n'. */
static const struct option_row {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* NULL: takes none */
    unsigned commands;
    set_fn set;
    const char *help;
} rows[] = {
    {"count", 'n', "N", TD_CLI_PUB, set_count, "publish DATA N times"},
    {"rate", 'r', "EVENTS_PER_S", TD_CLI_PUB, set_rate,
     "this many a second; default: as fast as it goes"},
    {"attr", 'a', "NAME=VALUE", TD_CLI_PUB, set_attr,
     "set an attribute, once for each: id, source, time,\n"
     "subject, datacontenttype, dataschema or an extension"},
    {"event", 'e', NULL, TD_CLI_PUB, set_event,
     "read whole CloudEvents JSON objects"},
    {"count", 'n', "N", TD_CLI_SUB, set_count, "end after N events"},
    {"json", 'j', NULL, TD_CLI_SUB, set_json,
     "print each event as one line of CloudEvents JSON"},
    {"count", 'n', "N", TD_CLI_PING, set_count, "ping N times; default " PINGS},
    {"interval", 'i', "SECONDS", TD_CLI_PING, set_interval,
     "between pings; default " INTERVAL},
    {"json", 'j', NULL, TD_CLI_STATS, set_json,
     "print the counters as one JSON object"},
    {"url", 'u', "URL", ALL, set_url,
     "the broker; default TIDINGS_URL of the environment,\n"
     "else " TIDINGS_DEFAULT_URL},
    {"timeout", 't', "SECONDS", ALL & ~TD_CLI_SUB, set_timeout,
     "wait at most this long for each answer; default " TIMEOUT},
    {"timeout", 't', "SECONDS", TD_CLI_SUB, set_timeout,
     "give up after this long, with exit code 4; default:\n" TIMEOUT
     " for a broker to answer, no end for events"},
    {"help", 'h', NULL, ALL, set_help, "print this"},
    {"version", 'V', NULL, ALL, set_version, "print the version"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* ---- reading ---- */

/* The table in the form of getopt_long(). */
struct forms {
    struct option longs[ROWS + 1];
    char shorts[2 * ROWS + 3];
};

static void make_forms(struct forms *forms, unsigned command_bit)
{
    struct option *to = forms->longs;
    char *letter = forms->shorts;

    memset(forms, 0, sizeof(*forms));
    if (command_bit == TD_CLI_TOP)
        *letter++ = '+'; /* stop at the command */
    *letter++ = ':';     /* tell a missing value from an unknown option */
    for (size_t i = 0; i < ROWS; i++) {
        if (!(rows[i].commands & command_bit))
            continue;
        to->name = rows[i].name;
        to->has_arg = rows[i].value ? required_argument : no_argument;
        to->val = rows[i].letter;
        to++;
        *letter++ = rows[i].letter;
        if (rows[i].value)
            *letter++ = ':';
    }
}

static const struct option_row *row_of(int letter, unsigned command_bit)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].letter == letter && (rows[i].commands & command_bit))
            return &rows[i];
    }
    return NULL;
}

static unsigned nearest_among; /* the command that next_name() speaks of */

static const char *next_name(size_t i)
{
    for (size_t row = 0; row < ROWS; row++) {
        if ((rows[row].commands & nearest_among) && i-- == 0)
            return rows[row].name;
    }
    return NULL;
}

static void suggest(const char *word, unsigned command_bit)
{
    const char *near = NULL;

    if (strncmp(word, "--", 2) == 0) {
        nearest_among = command_bit;
        near = td_nearest(word + 2, next_name);
    }
    if (near)
        td_complain("unknown option %s; did you mean --%s?", word, near);
    else
        td_complain("unknown option %s", word);
}

/* What getopt_long() could not take: ':' a value is missing, '?' anything
 * else; optopt is 0 for long names, else a letter, perhaps one of several
 * in word. */
static void complain_of_option(int letter, const char *word,
                               unsigned command_bit, const char *help_hint)
{
    char one[] = {'-', (char)optopt, '\0'};

    if (letter == ':')
        td_complain("%s wants a value", word);
    else if (optopt && row_of(optopt, command_bit))
        td_complain("%s: the option takes no value", word);
    else
        suggest(optopt ? one : word, command_bit);
    if (optopt >= '0' && optopt <= '9')
        td_advise("a number below 0 stands after --");
    td_advise("%s lists the options", help_hint);
}

bool td_options_read(struct td_settings *settings, unsigned command_bit,
                     int argc, char **argv, const char *help_hint)
{
    struct forms forms;
    int letter;

    make_forms(&forms, command_bit);
    opterr = 0;
    optind = 0; /* GNU: begin anew; main reads twice */
    while ((letter = getopt_long(argc, argv, forms.shorts, forms.longs,
                                 NULL)) != -1) {
        const struct option_row *row = row_of(letter, command_bit);
        const char *wanted;

        if (!row || letter == ':') {
            complain_of_option(letter, argv[optind - 1], command_bit,
                               help_hint);
            return false;
        }
        wanted = row->set(settings, optarg);
        if (wanted) {
            td_complain("--%s %s: wants %s", row->name, optarg, wanted);
            return false;
        }
    }
    settings->words = argv + optind;
    settings->words_len = (size_t)(argc - optind);
    return true;
}

/* ---- help ---- */

/* "  -n, --count N" */
static int put_left(FILE *to, const struct option_row *row)
{
    return fprintf(to, "  -%c, --%s%s%s", row->letter, row->name,
                   row->value ? " " : "", row->value ? row->value : "");
}

static int left_columns(const struct option_row *row)
{
    return (int)(strlen("  -n, --") + strlen(row->name) +
                 (row->value ? 1 + strlen(row->value) : 0));
}

void td_options_help(FILE *to, unsigned command_bit)
{
    int widest = 0;

    for (size_t i = 0; i < ROWS; i++) {
        if ((rows[i].commands & command_bit) && left_columns(&rows[i]) > widest)
            widest = left_columns(&rows[i]);
    }
    for (size_t i = 0; i < ROWS; i++) {
        const char *line = rows[i].help;
        int column;

        if (!(rows[i].commands & command_bit))
            continue;
        column = put_left(to, &rows[i]);
        while (line) {
            const char *end = strchr(line, '\n');
            int len = (int)(end ? end - line : (long)strlen(line));

            fprintf(to, "%*s%.*s\n", widest + 2 - column, "", len, line);
            column = 0;
            line = end ? end + 1 : NULL;
        }
    }
}

/* ---- the nearest name ---- */

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
