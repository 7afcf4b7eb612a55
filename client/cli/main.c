/* tidings: the command line. Which command is meant, and what is printed when
 * none is run. */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/commands.h"
#include "client/cli/nearest.h"
#include "client/cli/options.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"

/* ---- help ---- */

static void put_exit_codes(FILE *to)
{
    fputs("\nExit codes:\n", to);
#define PUT_EXIT(name, value, text) fprintf(to, "  %d  %s\n", value, text);
    TD_EXIT_MAP(PUT_EXIT)
#undef PUT_EXIT
}

static void put_general_help(FILE *to)
{
    fputs("tidings publishes, keeps and shows typed domain events.\n\n"
          "Usage: tidings COMMAND [OPTIONS] ...\n\n"
          "Commands:\n",
          to);
    for (size_t i = 0; i < td_commands_len; i++) {
        if (!strchr(td_commands[i].name, ' '))
            fprintf(to, "  %-8s %-13s %s\n", td_commands[i].name,
                    td_commands[i].words, td_commands[i].about);
    }
    for (size_t i = 0; i < td_families_len; i++)
        fprintf(to, "  %-8s %-13s %s\n", td_families[i].name, "COMMAND ...",
                td_families[i].about);
    fputs("\ntidings COMMAND --help says more of each.\n\nOptions:\n", to);
    td_options_help(to, TD_CLI_MAIN);
    put_exit_codes(to);
}

static int put_help(const struct td_command *command)
{
    printf("tidings %s: %s\n\nUsage: tidings %s [OPTIONS]%s%s\n", command->name,
           command->about, command->name, *command->words ? " " : "",
           command->words);
    if (*command->more)
        printf("%s%s", *command->more == '\n' ? "" : "\n", command->more);
    printf("\nOptions:\n");
    td_options_help(stdout, command->bit);
    put_exit_codes(stdout);
    return td_flush_out();
}

static int widest_words(const struct td_family *family)
{
    size_t widest = 0;

    for (size_t i = 0; i < td_commands_len; i++) {
        size_t len = strlen(td_commands[i].words);

        if (td_command_in(&td_commands[i], family) && len > widest)
            widest = len;
    }
    return (int)widest;
}

static void put_family_help(FILE *to, const struct td_family *family)
{
    fprintf(to,
            "tidings %s: %s\n\nUsage: tidings %s COMMAND [OPTIONS] ...\n\n%s\n"
            "Commands:\n",
            family->name, family->about, family->name, family->more);
    for (size_t i = 0; i < td_commands_len; i++) {
        const char *own = td_command_in(&td_commands[i], family);

        if (own)
            fprintf(to, "  %-7s %-*s  %s\n", own, widest_words(family),
                    td_commands[i].words, td_commands[i].about);
    }
    fprintf(to, "\ntidings %s COMMAND --help says more of each.\n",
            family->name);
    put_exit_codes(to);
}

static int put_version(void)
{
    printf("tidings %s\n", tidings_version());
    return td_flush_out();
}

/* ---- choosing ---- */

static const struct td_family *nearest_in; /* whom next_name() speaks of */

/* Of a family its commands; else commands of one word, then families. */
static const char *next_name(size_t i)
{
    for (size_t c = 0; c < td_commands_len; c++) {
        const struct td_command *command = &td_commands[c];
        const char *name = nearest_in ? td_command_in(command, nearest_in)
                           : strchr(command->name, ' ') ? NULL
                                                        : command->name;

        if (name && i-- == 0)
            return name;
    }
    return !nearest_in && i < td_families_len ? td_families[i].name : NULL;
}

static int no_such_command(const struct td_family *family, const char *name)
{
    const char *before = family ? family->name : "";
    const char *gap = family ? " " : "";
    const char *near;

    nearest_in = family;
    near = td_nearest(name, next_name);
    if (near)
        td_complain("no command \"%s%s%s\"; did you mean %s%s%s?", before, gap,
                    name, before, gap, near);
    else
        td_complain("no command \"%s%s%s\"", before, gap, name);
    td_advise("tidings %s%s--help lists the commands", before, gap);
    return TD_EXIT_USAGE;
}

/* words: the command's last, then what belongs to it. */
static int run(const struct td_command *command, struct td_settings *settings,
               char **words, size_t len)
{
    char hint[64];

    snprintf(hint, sizeof(hint), "tidings %s --help", command->name);
    if (!td_options_read(settings, command->bit, (int)len, words, hint))
        return TD_EXIT_USAGE;
    if (settings->help)
        return put_help(command);
    if (settings->version)
        return put_version();
    return command->run(settings);
}

/* A family without a command of it: options of its own are --help, -h. */
static int family_alone(const struct td_family *family, const char *word)
{
    bool asked =
        word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);

    if (word && !asked)
        return no_such_command(family, word);
    put_family_help(asked ? stdout : stderr, family);
    return asked ? td_flush_out() : TD_EXIT_USAGE;
}

static int choose(struct td_settings *settings)
{
    char **words = settings->words;
    size_t len = settings->words_len;
    const struct td_family *family = td_family_named(words[0]);
    const char *name = family ? (len > 1 ? words[1] : NULL) : words[0];
    const struct td_command *command =
        name ? td_command_named(family, name) : NULL;
    size_t skip = family ? 1 : 0;

    if (command)
        return run(command, settings, words + skip, len - skip);
    return family ? family_alone(family, name) : no_such_command(NULL, name);
}

/* tidings help COMMAND */
static int help_of(char **words, size_t len)
{
    const struct td_family *family = td_family_named(words[0]);
    const char *name = family ? (len > 1 ? words[1] : "--help") : words[0];
    const struct td_command *command = td_command_named(family, name);

    if (command)
        return put_help(command);
    return family ? family_alone(family, name) : no_such_command(NULL, name);
}

/* tidings [--help] and tidings help [COMMAND] */
static int help(const struct td_settings *settings, bool asked)
{
    if (settings->words_len >= 2)
        return help_of(settings->words + 1, settings->words_len - 1);
    put_general_help(asked ? stdout : stderr);
    return asked ? td_flush_out() : TD_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct td_settings settings = {0};

    if (!td_stop_init()) {
        td_complain("no pipe for signals");
        return TD_EXIT_FAILED;
    }
    if (!td_options_read(&settings, TD_CLI_MAIN, argc, argv, "tidings --help"))
        return TD_EXIT_USAGE;
    if (settings.version)
        return put_version();
    if (settings.words_len == 0)
        return help(&settings, settings.help);
    if (strcmp(settings.words[0], "help") == 0)
        return help(&settings, true);
    return choose(&settings);
}
