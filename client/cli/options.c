#include "client/cli/options.h"

#include <ctype.h>
#include <getopt.h>
#include <string.h>

#include "client/cli/nearest.h"
#include "client/cli/option_rows.h"
#include "client/cli/out.h"

/* ---- reading ---- */

#define ROW_CODE 256 /* what getopt_long() says of a long name: this + row */

/* The table in the form of getopt_long(). */
struct forms {
    struct option longs[TD_OPTION_ROWS_MAX + 1];
    char shorts[3 * TD_OPTION_ROWS_MAX + 3];
};

/* ":" a value, "::" one that may be left out */
static int value_form(const struct td_option_row *row)
{
    if (!row->value)
        return no_argument;
    return row->value[0] == '[' ? optional_argument : required_argument;
}

static void make_forms(struct forms *forms, uint64_t command_bit)
{
    struct option *to = forms->longs;
    char *letter = forms->shorts;

    memset(forms, 0, sizeof(*forms));
    if (command_bit == TD_CLI_MAIN)
        *letter++ = '+'; /* stop at the command */
    *letter++ = ':';     /* tell a missing value from an unknown option */
    for (size_t i = 0; i < td_option_rows_len; i++) {
        const struct td_option_row *row = &td_option_rows[i];

        if (!(row->commands & command_bit))
            continue;
        to->name = row->name;
        to->has_arg = value_form(row);
        to->val = ROW_CODE + (int)i;
        to++;
        if (!row->letter)
            continue;
        *letter++ = row->letter;
        for (int colons = value_form(row); colons > 0; colons--)
            *letter++ = ':';
    }
}

/* By a letter or by what stands for a long name. */
static const struct td_option_row *row_of(int code, uint64_t command_bit)
{
    for (size_t i = 0; i < td_option_rows_len; i++) {
        const struct td_option_row *row = &td_option_rows[i];

        if ((row->commands & command_bit) &&
            (code == ROW_CODE + (int)i || (code && code == row->letter)))
            return row;
    }
    return NULL;
}

static uint64_t nearest_among; /* the command that next_name() speaks of */

static const char *next_name(size_t i)
{
    for (size_t row = 0; row < td_option_rows_len; row++) {
        if ((td_option_rows[row].commands & nearest_among) && i-- == 0)
            return td_option_rows[row].name;
    }
    return NULL;
}

static void suggest(const char *word, uint64_t command_bit)
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
 * else; optopt is 0 for unknown long names, the code of known ones, else a
 * letter, perhaps one of several in word. */
static void complain_of_option(int letter, const char *word,
                               uint64_t command_bit, const char *help_hint)
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

/* A value that may be left out, and stands alone: the next word, if that is a
 * number. */
static const char *value_apart(int argc, char **argv)
{
    const char *next = optind < argc ? argv[optind] : NULL;

    if (!next || !(isdigit((unsigned char)*next) || *next == '.'))
        return NULL;
    optind++;
    return next;
}

bool td_options_read(struct td_settings *settings, uint64_t command_bit,
                     int argc, char **argv, const char *help_hint)
{
    struct forms forms;
    int code;

    make_forms(&forms, command_bit);
    opterr = 0;
    optind = 0; /* GNU: begin anew; main reads twice */
    while ((code = getopt_long(argc, argv, forms.shorts, forms.longs, NULL)) !=
           -1) {
        const struct td_option_row *row = row_of(code, command_bit);
        const char *value = optarg, *wanted;

        if (!row || code == ':') {
            complain_of_option(code, argv[optind - 1], command_bit, help_hint);
            return false;
        }
        if (value_form(row) == optional_argument && !value)
            value = value_apart(argc, argv);
        wanted = row->set(settings, value);
        if (wanted) {
            td_complain("--%s %s: wants %s", row->name, value, wanted);
            return false;
        }
    }
    settings->words = argv + optind;
    settings->words_len = (size_t)(argc - optind);
    return true;
}

/* ---- help ---- */

/* "  -n, --count N"; to NULL: only its columns */
static int put_left(FILE *to, const struct td_option_row *row)
{
    char text[64];
    int columns;

    columns = snprintf(text, sizeof(text), "  %c%c%c --%s%s%s",
                       row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
                       row->letter ? ',' : ' ', row->name,
                       row->value ? " " : "", row->value ? row->value : "");
    if (to)
        fputs(text, to);
    return columns;
}

void td_options_help(FILE *to, uint64_t command_bit)
{
    const struct td_option_row *end = td_option_rows + td_option_rows_len;
    int widest = 0;

    for (const struct td_option_row *row = td_option_rows; row < end; row++) {
        if ((row->commands & command_bit) && put_left(NULL, row) > widest)
            widest = put_left(NULL, row);
    }
    for (const struct td_option_row *row = td_option_rows; row < end; row++) {
        const char *line = row->help;
        int column;

        if (!(row->commands & command_bit))
            continue;
        column = put_left(to, row);
        while (line) {
            const char *stop = strchr(line, '\n');
            int len = (int)(stop ? stop - line : (long)strlen(line));

            fprintf(to, "%*s%.*s\n", widest + 2 - column, "", len, line);
            column = 0;
            line = stop ? stop + 1 : NULL;
        }
    }
}
