/* tidings: the command line. The command table, and what is printed when no
 * command is run. */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/nearest.h"
#include "client/cli/options.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"

static const struct td_command commands[] = {
    {"pub", TD_CLI_PUB, "TYPE [DATA|-]", "publish events",
     "DATA is JSON; without it events have no data. With - each line of\n"
     "standard input is the DATA of one event. With --event it is\n"
     "    tidings pub --event [EVENT|-]\n"
     "and a line is a whole event, as `tidings sub --json` prints them.\n"
     "Data travels as msgpack; with --attr datacontenttype=... as it is.\n"
     "\n"
     "    tidings pub user.created '{\"user_id\": \"u1\"}'\n"
     "    tidings pub load.test '{}' --count 10000 --rate 1000\n"
     "    tidings sub --json '>' | tidings pub --url ipc:///tmp/b --event\n",
     td_cli_pub},
    {"sub", TD_CLI_SUB, "PATTERN...", "print events as they happen",
     "In a PATTERN * is one whole token, > at the end is one or more. Says\n"
     "\"subscribed\" on standard error once the broker has all patterns; an\n"
     "event that several match is printed once, in groups once for each. On a\n"
     "terminal: time, type, source, data; elsewhere time, type, id, source,\n"
     "data between tabs. What the broker dropped is told on standard error.\n"
     "\n"
     "    tidings sub 'user.*' order.created\n"
     "    tidings sub --group mailers 'user.*'\n"
     "    tidings sub --json --count 1 '>' | jq .data\n",
     td_cli_sub},
    {"ping", TD_CLI_PING, "", "measure round trips to the broker", "",
     td_cli_ping},
    {"stats", TD_CLI_STATS, "", "show the broker's counters and rows",
     "\n"
     "    tidings stats --rows types\n"
     "    tidings stats --watch 5 --json | jq .rates.published\n",
     td_cli_stats},
    {"audit", TD_CLI_AUDIT, "", "prove that no event is unaccounted for",
     "Prints each equation of the broker's counters with its two sides; exit\n"
     "code 1 if one does not hold. Counters begin anew with each start of the\n"
     "broker, its epoch.\n",
     td_cli_audit},
    {"top", TD_CLI_TOP, "", "watch types and subscriptions on the whole screen",
     "Keys: Tab the next kind of rows; r p d by rate, pending or drops;\n"
     "q to quit.\n",
     td_cli_top},
    {"bench", TD_CLI_BENCH, "", "measure your broker",
     "Publishers and subscribers are threads of this process, each with a bus\n"
     "of its own; types of their own keep others undisturbed. At full speed\n"
     "latency is mostly the time in full queues; --rate shows the broker's.\n"
     "Exit code 1 if an event was lost and nobody was told.\n"
     "\n"
     "    tidings bench --publishers 4 --subscribers 4 --size 1K\n"
     "    tidings bench --rate 10000 --duration 10\n",
     td_cli_bench},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct td_command *command_named(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

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
    fputs("tidings publishes and shows typed domain events.\n\n"
          "Usage: tidings COMMAND [OPTIONS] ...\n\n"
          "Commands:\n",
          to);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-6s %-13s %s\n", commands[i].name, commands[i].words,
                commands[i].about);
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

static int put_version(void)
{
    printf("tidings %s\n", tidings_version());
    return td_flush_out();
}

/* ---- choosing ---- */

static const char *next_command(size_t i)
{
    return i < COMMANDS ? commands[i].name : NULL;
}

static int no_such_command(const char *name)
{
    const char *near = td_nearest(name, next_command);

    if (near)
        td_complain("no command \"%s\"; did you mean %s?", name, near);
    else
        td_complain("no command \"%s\"", name);
    td_advise("tidings --help lists the commands");
    return TD_EXIT_USAGE;
}

static int run(const struct td_command *command, struct td_settings *settings)
{
    char hint[64];
    int words = (int)settings->words_len;

    snprintf(hint, sizeof(hint), "tidings %s --help", command->name);
    if (!td_options_read(settings, command->bit, words, settings->words, hint))
        return TD_EXIT_USAGE;
    if (settings->help)
        return put_help(command);
    if (settings->version)
        return put_version();
    return command->run(settings);
}

/* tidings [--help] and tidings help [COMMAND] */
static int help(const struct td_settings *settings, bool asked)
{
    if (settings->words_len >= 2) {
        const struct td_command *command = command_named(settings->words[1]);

        return command ? put_help(command)
                       : no_such_command(settings->words[1]);
    }
    put_general_help(asked ? stdout : stderr);
    return asked ? td_flush_out() : TD_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct td_settings settings = {0};
    const struct td_command *command;

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
    command = command_named(settings.words[0]);
    if (!command)
        return no_such_command(settings.words[0]);
    return run(command, &settings);
}
