#include "client/cli/commands.h"

#include <string.h>

const struct td_command td_commands[] = {
    {"pub", TD_CLI_PUB, "TYPE [DATA|-]", "publish events",
     "DATA is JSON; without it events have no data. With - each line of\n"
     "standard input is the DATA of one event. With --event it is\n"
     "    tidings pub --event [EVENT|-]\n"
     "and a line is a whole event, as `tidings sub --json` prints them.\n"
     "Data travels as msgpack; with --attr datacontenttype=... as it is.\n"
     "What is confirmed (--confirm, --producer, --expect, --expect-key) is "
     "said\n"
     "in one line: how many, the level, the stream and its sequences.\n"
     "\n"
     "    tidings pub user.created '{\"user_id\": \"u1\"}'\n"
     "    tidings pub load.test '{}' --count 10000 --rate 1000\n"
     "    tidings pub --confirm disk order.placed '{\"id\": 7}'\n"
     "    tidings pub --after 30m order.reminder '{\"id\": 7}'\n"
     "    tidings sub --json '>' | tidings pub --url ipc:///tmp/b --event\n",
     td_cli_pub},
    {"sub", TD_CLI_SUB, "PATTERN...", "print events as they happen",
     "In a PATTERN * is one whole token, > at the end is one or more. Says\n"
     "\"subscribed\" on standard error once the broker has all patterns; an\n"
     "event that several match is printed once, in groups once for each. On a\n"
     "terminal: time, type, source, data; elsewhere time, type, id, source,\n"
     "data between tabs. What the broker dropped is told on standard error.\n"
     "Exit code 1 when its --group, or the --stream that it reads, is "
     "deleted.\n"
     "\n"
     "    tidings sub 'user.*' order.created\n"
     "    tidings sub --group mailers 'user.*'\n"
     "    tidings sub --stream events --group mails 'order.*'\n"
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
     "broker, its epoch.\n"
     "\n"
     "  each type: published = duplicates + routed + unmatched\n"
     "  each subscription, each live group:\n"
     "    matched = delivered + pending + dropped\n"
     "  each durable group, of its deliveries:\n"
     "    delivered = acked + failed + released + termed + returned + "
     "in_flight\n"
     "  and of the events that it has begun with and not settled:\n"
     "    out = queued + in_flight + waiting + aside + dying\n"
     "  requests: accepted = answered + errors + timeouts + lost + in_flight\n"
     "  in total: the same, and the sums of all rows\n"
     "\n"
     "failed: by its handler, too late, or lost with its member. returned: "
     "its\n"
     "member left, or it did not arrive, or the group was sent elsewhere.\n"
     "waiting: to be delivered again; aside: behind one of its key that is.\n"
     "dying: becoming a dead letter.\n",
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
     "    tidings bench --rate 10000 --duration 10\n"
     "    tidings bench --durable --group workers --subscribers 4\n",
     td_cli_bench},
    {"up", TD_CLI_UP, "[FILE]", "run services as processes, in order",
     "FILE, by default tidings.yaml, names them: README.md, \"Running "
     "services\".\n"
     "Each is started when what it needs is ready, and again when it fails, "
     "with\n"
     "backoff, until it is given up; the others stay. Ctrl-C, `tidings down` "
     "or\n"
     "SIGTERM stop all in reversed order, a second Ctrl-C kills them. Nothing "
     "is\n"
     "left behind, even if tidings itself is killed. Exit code 1 if one was "
     "given\n"
     "up.\n"
     "\n"
     "    bus: tcp://127.0.0.1:7450\n"
     "    services:\n"
     "      - name: broker\n"
     "        command: tidingsd --listen tcp://127.0.0.1:7450\n"
     "        ready: bus\n"
     "      - name: inventory\n"
     "        command: [./inventory, --db, stock.db]\n"
     "        needs: [broker]\n"
     "        ready: service\n"
     "\n"
     "    tidings up shop.yaml\n"
     "    tidings up --detach shop.yaml && tidings status shop.yaml\n",
     td_cli_up},
    {"status", TD_CLI_STATUS, "[FILE]", "show what `up` runs",
     "Exit code 1 if FILE, by default tidings.yaml, is not up.\n",
     td_cli_status},
    {"down", TD_CLI_DOWN, "[FILE]", "stop what `up` runs, in order",
     "Waits until all is gone. Nothing to do if FILE, by default "
     "tidings.yaml,\n"
     "is not up.\n",
     td_cli_down},
    {"stream add", TD_CLI_STREAM_ADD, "NAME", "keep events of some types",
     "No two streams take one type. A stream that is there with the same\n"
     "options is no error.\n"
     "\n"
     "    tidings stream add orders --pattern 'order.>' --max-age 30d\n",
     td_cli_stream_add},
    {"stream set", TD_CLI_STREAM_SET, "NAME", "give a stream other bounds",
     "What is not given stays as it is; none takes --max-age, --max-bytes or\n"
     "--max-events away. What is beyond a smaller bound is deleted at once,\n"
     "and groups are told how many they missed. Patterns, --storage, --keyed\n"
     "and --compact are chosen once.\n"
     "\n"
     "    tidings stream set orders --max-age none --max-bytes 10G\n",
     td_cli_stream_set},
    {"stream list", TD_CLI_STREAM_LIST, "", "list streams", "",
     td_cli_stream_list},
    {"stream show", TD_CLI_STREAM_SHOW, "NAME", "show a stream and its groups",
     "", td_cli_stream_show},
    {"stream purge", TD_CLI_STREAM_PURGE, "NAME", "delete a stream's events",
     "Groups go on behind what was deleted, and are told how many they "
     "missed.\n",
     td_cli_stream_purge},
    {"stream delete", TD_CLI_STREAM_DELETE, "NAME",
     "delete a stream and all that hangs on it",
     "Its events, its groups, and their dead letters.\n", td_cli_stream_delete},

    {"group add", TD_CLI_GROUP_ADD, "STREAM GROUP",
     "make a group before it has members",
     "Otherwise the first subscription makes it.\n"
     "\n"
     "    tidings group add events mails --pattern 'user.*' --start all\n",
     td_cli_group_add},
    {"group list", TD_CLI_GROUP_LIST, "[STREAM]", "list groups", "",
     td_cli_group_list},
    {"group show", TD_CLI_GROUP_SHOW, "STREAM GROUP",
     "show a group, and whether it is slow or waits", "", td_cli_group_show},
    {"group pause", TD_CLI_GROUP_PAUSE, "STREAM GROUP",
     "deliver nothing for a while",
     "What is in flight may be settled; events wait in the stream.\n"
     "\n"
     "    tidings group pause events mails --until +10m\n",
     td_cli_group_pause},
    {"group resume", TD_CLI_GROUP_RESUME, "STREAM GROUP", "deliver again",
     "It ends a pause, and the waiting of a group that its members have "
     "parked.\n",
     td_cli_group_resume},
    {"group seek", TD_CLI_GROUP_SEEK, "STREAM GROUP",
     "go on from another place in the stream",
     "What is in flight is forgotten; dead letters stay.\n", td_cli_group_seek},
    {"group delete", TD_CLI_GROUP_DELETE, "STREAM GROUP",
     "delete a group with its dead letters", "", td_cli_group_delete},

    {"dlq list", TD_CLI_DLQ_LIST, "STREAM GROUP", "list dead letters",
     "By their numbers, which show, redrive and purge take.\n"
     "\n"
     "    tidings dlq list events mails --type 'order.*'\n",
     td_cli_dlq_list},
    {"dlq show", TD_CLI_DLQ_SHOW, "STREAM GROUP NUMBER",
     "show a dead letter with its event", "Looking changes nothing.\n",
     td_cli_dlq_show},
    {"dlq redrive", TD_CLI_DLQ_REDRIVE, "STREAM GROUP",
     "deliver dead letters once more",
     "They reach this group alone, as if for the first time.\n"
     "\n"
     "    tidings dlq redrive events mails --type 'order.*' --rate 100\n",
     td_cli_dlq_redrive},
    {"dlq purge", TD_CLI_DLQ_PURGE, "STREAM GROUP", "delete dead letters",
     "Those on their way to the group once more, too.\n"
     "\n"
     "    tidings dlq purge events mails --limit 100 --yes\n",
     td_cli_dlq_purge},

    {"schedule list", TD_CLI_SCHEDULE_LIST, "",
     "list what waits, what comes next first", "", td_cli_schedule_list},
    {"schedule cancel", TD_CLI_SCHEDULE_CANCEL, "NUMBER",
     "have an event not be published",
     "Exit code 2 if it does not wait: it was published or cancelled, or "
     "never\n"
     "was.\n",
     td_cli_schedule_cancel},

    {"producer list", TD_CLI_PRODUCER_LIST, "", "list names of producers",
     "With the last number stored under each, who has it, or how long nobody\n"
     "has had it, since the broker's start at most.\n",
     td_cli_producer_list},
    {"producer delete", TD_CLI_PRODUCER_DELETE, "NAME",
     "forget the name of a producer",
     "Whoever takes it next begins at number 1; ids of its events may be "
     "those\n"
     "of old ones. Refused while somebody has it: says who.\n"
     "\n"
     "    tidings producer delete outbox --yes\n",
     td_cli_producer_delete},

    {"store verify", TD_CLI_STORE_VERIFY, "DIR", "check a data folder",
     "One that no broker has open; nothing in it is changed. Exit code 1 if\n"
     "anything is damaged. With a bar on a terminal. Where the folder may not "
     "be\n"
     "written, it is read without its lock, and says so.\n"
     "\n"
     "    tidings store verify /var/lib/tidings\n",
     td_cli_store_verify},
    {"store export", TD_CLI_STORE_EXPORT, "STREAM FILE",
     "write a stream's events into a file",
     "A broker is asked. Each line is a CloudEvents JSON object with its id,\n"
     "source and time, and its sequence as \"streamsequence\". What FILE has\n"
     "already is gone on from: interrupted, the same command ends it, and\n"
     "later it adds what is new. The export of another stream is refused: its\n"
     "last event is compared with the stream's. Exit code 1 if any event is\n"
     "missing that the store cannot read.\n"
     "\n"
     "    tidings store export orders orders.jsonl\n",
     td_cli_store_export},
    {"store import", TD_CLI_STORE_IMPORT, "FILE [STREAM]",
     "publish what store export has written",
     "With the ids, sources and times that it has; the stream that takes its\n"
     "types numbers it anew. Live subscriptions get it too. Interrupted, or\n"
     "with more lines than before, the same command goes on: the first line\n"
     "gives FILE its name as a producer, under which nothing is stored twice.\n"
     "With STREAM it ends before a line that this stream does not take.\n"
     "\n"
     "    tidings store import orders.jsonl orders\n",
     td_cli_store_import},

    {"request", TD_CLI_REQUEST, "TYPE [DATA|-]",
     "ask a service, and print its answer",
     "DATA as `tidings pub` takes it; with - each line of standard input is "
     "that\n"
     "of one request, made when the one before it is answered. Data of an "
     "answer\n"
     "is printed as JSON, or as the text that it is; of an error also its "
     "status\n"
     "and text, on standard error. With --json what is not msgpack is\n"
     "data_base64.\n"
     "\n"
     "    tidings request user.get '{\"user_id\": \"u1\"}' --timeout 1s\n"
     "    tidings request --many stock.count --quiet 200ms\n"
     "    tidings request --idempotent --attempts 5 user.get '7' --json\n",
     td_cli_request},
    {"service list", TD_CLI_SERVICE_LIST, "[NAME]", "show who is there",
     "An instance is there as long as its link to the broker is. Its state is\n"
     "what it says of itself; down is also one that has said nothing for too\n"
     "long; draining one that an operator wants to get nothing new.\n"
     "\n"
     "    tidings service list --json | jq 'select(.state != \"running\")'\n",
     td_cli_service_list},
    {"service info", TD_CLI_SERVICE_INFO, "[NAME]", "show all about each", "",
     td_cli_service_info},
    {"service stats", TD_CLI_SERVICE_STATS, "[NAME]",
     "count its requests, and their times",
     "For each endpoint of each instance: requests that it was given, those "
     "of\n"
     "them that it answered with an error, did not answer in time, or were\n"
     "lost with it; full are those that it had no room for. p50 and p99 are\n"
     "times that half, and 99 of 100, of its handlers' runs stayed below, to\n"
     "a fifth. Below, for each service: its breaker, and the requests that\n"
     "nobody was there or had room for; with --json an object with its name\n"
     "after those of all instances.\n",
     td_cli_service_stats},
    {"service ping", TD_CLI_SERVICE_PING, "[NAME]",
     "ask each whether it is there",
     "Answered by its library, before all that waits for its handlers. Exit\n"
     "code 4 if one did not answer.\n",
     td_cli_service_ping},
    {"service watch", TD_CLI_SERVICE_WATCH, "[NAME]",
     "print what changes, as it does",
     "Instances that come, say how they are, and go; breakers that open and\n"
     "close. Says \"watching\" on standard error once it does.\n",
     td_cli_service_watch},
    {"service drain", TD_CLI_SERVICE_DRAIN, "NAME",
     "let it end what it has, and get nothing new",
     "What is in flight goes on. The instances are told, and may say so.\n"
     "\n"
     "    tidings service drain users --id 00179a9e7c5451a2 --wait\n"
     "    tidings service drain users --undo\n",
     td_cli_service_drain},
    {"service weight", TD_CLI_SERVICE_WEIGHT, "NAME VERSION PERCENT",
     "give a version its share of the requests",
     "So many of 100 requests go to instances of VERSION as long as one is\n"
     "fit, and the others share the rest. 0: none, unless it is asked for by\n"
     "its version; none as PERCENT: no share of its own any more. Kept while\n"
     "the broker lives.\n"
     "\n"
     "    tidings service weight users 2.0.0 5\n",
     td_cli_service_weight},

    {"tail", TD_CLI_TAIL, "STREAM", "print what a stream keeps",
     "As `tidings sub` prints, each event behind its sequence. Ends with the\n"
     "newest at the start, unless --follow. Nobody else notices. Exit code 1\n"
     "if it ends and an event is missing that the store cannot read.\n"
     "\n"
     "    tidings tail events --start -10m --follow\n",
     td_cli_tail},
    {"replay", TD_CLI_REPLAY, "STREAM", "print a stream's events as JSON lines",
     "In order, at full speed or paced; with a bar on a terminal. Exit code 1\n"
     "if an event is missing that the store cannot read.\n"
     "\n"
     "    tidings replay events --start 2024-02-29 --until 2024-03-01 \\\n"
     "        | tidings pub --url tcp://127.0.0.1:7451 --event\n",
     td_cli_replay},
};

const size_t td_commands_len = sizeof(td_commands) / sizeof(td_commands[0]);

const struct td_family td_families[] = {
    {"stream", "streams: what the broker keeps",
     "A broker with a data folder, tidingsd --data DIR, keeps events in\n"
     "streams. \"events\" is there from the start and takes every type that "
     "no\n"
     "other takes.\n"},
    {"group", "durable groups: who has handled what",
     "A durable group has its place in a stream, also while nobody is in it;\n"
     "each event goes to one member, and again until it is settled.\n"},
    {"dlq", "dead letters: what no handler could handle",
     "After max-deliver deliveries, or when a handler says never again, an\n"
     "event is kept with its reason until it is redriven or purged.\n"},
    {"schedule", "events that wait for their time",
     "What `tidings pub --at TIME` or --after DURATION gave the broker: it is\n"
     "published then, once, whatever happens to the broker meanwhile.\n"},
    {"producer", "names under which programs publish",
     "What `tidings pub --producer NAME` and the option producer of a bus "
     "give\n"
     "the broker: under which number it stored an event last. It remembers a\n"
     "name until it is deleted, at most 4,096 of them.\n"},
    {"service", "services: who answers requests",
     "A service is a name under which processes answer requests; each of them\n"
     "is an instance. The broker chooses one for each request.\n"},
    {"store", "the data folder of a broker, and its streams as files",
     "verify looks at a folder on which no broker runs; the others ask the\n"
     "broker.\n"},
};

const size_t td_families_len = sizeof(td_families) / sizeof(td_families[0]);

const struct td_family *td_family_named(const char *name)
{
    for (size_t i = 0; i < td_families_len; i++) {
        if (strcmp(td_families[i].name, name) == 0)
            return &td_families[i];
    }
    return NULL;
}

const char *td_command_in(const struct td_command *command,
                          const struct td_family *family)
{
    size_t len = strlen(family->name);

    if (strncmp(command->name, family->name, len) != 0 ||
        command->name[len] != ' ')
        return NULL;
    return command->name + len + 1;
}

const struct td_command *td_command_named(const struct td_family *family,
                                          const char *name)
{
    for (size_t i = 0; i < td_commands_len; i++) {
        const struct td_command *command = &td_commands[i];
        const char *own =
            family ? td_command_in(command, family) : command->name;

        if (own && strcmp(own, name) == 0 && !strchr(name, ' '))
            return command;
    }
    return NULL;
}
