#include "client/cli/option_rows.h"

#include "client/cli/option_set.h"

#define STRING_OF(x)  #x
#define STRING(macro) STRING_OF(macro)

#define ALL                                                                    \
    (TD_CLI_MAIN | TD_CLI_PUB | TD_CLI_SUB | TD_CLI_PING | TD_CLI_STATS |      \
     TD_CLI_AUDIT | TD_CLI_TOP | TD_CLI_BENCH | TD_CLI_DURABLE |               \
     TD_CLI_SERVICE)

#define ASK (TD_CLI_STATUS | TD_CLI_DOWN)
#define ANY (ALL | TD_CLI_STORE_VERIFY | TD_CLI_UP | ASK)

#define PUB    TD_CLI_PUB
#define SUB    TD_CLI_SUB
#define PING   TD_CLI_PING
#define STATS  TD_CLI_STATS
#define TOP    TD_CLI_TOP
#define BENCH  TD_CLI_BENCH
#define TAIL   TD_CLI_TAIL
#define REPLAY TD_CLI_REPLAY
#define EXPORT TD_CLI_STORE_EXPORT
#define NEW    TD_CLI_STREAM_ADD
#define BOUND  (TD_CLI_STREAM_ADD | TD_CLI_STREAM_SET)
#define ADD    TD_CLI_GROUP_ADD
#define DLQ    (TD_CLI_DLQ_REDRIVE | TD_CLI_DLQ_PURGE)
#define SERVICES                                                               \
    (TD_CLI_SERVICE_LIST | TD_CLI_SERVICE_INFO | TD_CLI_SERVICE_STATS)
#define REQUEST TD_CLI_REQUEST
#define WATCH_S STRING(TD_CLI_WATCH_S)

const struct td_option_row td_option_rows[] = {
    {"count", 'n', "N", PUB, td_set_count, "publish DATA N times"},
    {"rate", 'r', "EVENTS_PER_S", PUB, td_set_rate,
     "this many a second; default: as fast as it goes"},
    {"key", 'k', "KEY", PUB, td_set_key,
     "the partitionkey: a group with policy key gives\n"
     "events of one key to one member, in order"},
    {"attr", 'a', "NAME=VALUE", PUB, td_set_attr,
     "set an attribute, once for each: id, source, time,\n"
     "subject, datacontenttype, dataschema or an extension"},
    {"event", 'e', NULL, PUB, td_set_event,
     "read whole CloudEvents JSON objects"},

    {"confirm", 'c', "LEVEL", PUB, td_set_confirm,
     "wait until all are stored: none, the default, memory,\n"
     "os (written) or disk (written and synced)"},
    {"producer", 0, "NAME", PUB, td_set_producer,
     "number the events under this name, and go on where\n"
     "it was; what comes again is stored once. It takes\n"
     "the name from whoever has it"},
    {"sequence", 0, "N", PUB, td_set_sequence,
     "the number of the first; default: the next"},
    {"at", 0, "TIME", PUB, td_set_at,
     "have the broker keep it until then, and publish it:\n"
     "+10m, 2030-02-28T12:00:00Z; prints its number, for\n"
     "`tidings schedule`"},
    {"after", 0, "DURATION", PUB, td_set_after,
     "the same, so long after the broker has it: 5s, 10m"},
    {"expires", 0, "DURATION", PUB, td_set_expires,
     "nobody is to have it later than so long after it is\n"
     "published: its expirytime"},
    {"expect", 0, "N", PUB, td_set_expect,
     "store it only if this is the last sequence of its\n"
     "stream; 0: it has none"},
    {"expect-key", 0, "N", PUB, td_set_expect_key,
     "the same of its --key, in a keyed stream"},
    {"json", 'j', NULL, PUB, td_set_json,
     "print what became of them as one JSON object"},

    {"stream", 'S', "NAME", SUB, td_set_stream,
     "what this stream keeps, not live events; with\n"
     "--group as a member of that durable group"},
    {"start", 's', "WHERE", SUB, td_set_start,
     "of a stream: new, the default, all, last (first the\n"
     "newest of each type or key), a sequence, or a time\n"
     "such as 2024-02-29T12:00:00Z or -5m"},
    {"count", 'n', "N", SUB, td_set_count,
     "end after N events; of a durable group no more are\ntaken than these"},
    {"json", 'j', NULL, SUB, td_set_json,
     "print each event as one line of CloudEvents JSON"},

    {"count", 'n', "N", PING, td_set_count,
     "ping N times; default " STRING(TD_CLI_PINGS)},
    {"interval", 'i', "SECONDS", PING, td_set_interval,
     "between pings; default " STRING(TD_CLI_INTERVAL_S)},

    {"rows", 'r', "KIND", STATS, td_set_rows,
     "subscriptions, the default, groups, types, sessions,\nstreams or "
     "consumers (durable groups)"},
    {"watch", 'w', "[SECONDS]", STATS, td_set_watch,
     "again and again, with rates; default " WATCH_S},
    {"json", 'j', NULL, STATS, td_set_json,
     "print counters and rows as one JSON object"},

    {"json", 'j', NULL, TD_CLI_AUDIT, td_set_json,
     "print the equations as one JSON object"},

    {"rows", 'r', "KIND", TOP, td_set_rows,
     "begin with types, the default, subscriptions,\ngroups, sessions, streams "
     "or consumers"},
    {"sort", 's', "KEY", TOP, td_set_sort,
     "begin by rate, the default, pending or drops"},
    {"interval", 'i', "SECONDS", TOP, td_set_interval,
     "between looks at the broker; default " WATCH_S},
    {"once", '1', NULL, TOP, td_set_once, "print one table and end"},

    {"publishers", 'p', "N", BENCH, td_set_publishers, "default 1"},
    {"subscribers", 's', "N", BENCH, td_set_subscribers,
     "default 1; each gets every event, unless in a group"},
    {"size", 0, "SIZE", BENCH, td_set_size,
     "of an event's data; default " STRING(TD_CLI_BENCH_SIZE) " bytes"},
    {"types", 0, "N", BENCH, td_set_types, "of events, in turn; default 1"},
    {"duration", 'd', "SECONDS", BENCH, td_set_duration,
     "of a round; default " STRING(TD_CLI_BENCH_S)},
    {"count", 'n', "N", BENCH, td_set_count,
     "events of a round, instead of a duration"},
    {"rate", 'r', "EVENTS_PER_S", BENCH, td_set_rate,
     "of all publishers together, and latency from the\n"
     "moment it says; default: as fast as it goes"},
    {"rounds", 0, "N", BENCH, td_set_rounds,
     "default " STRING(TD_CLI_BENCH_ROUNDS)},
    {"durable", 0, NULL, BENCH, td_set_durable,
     "through a stream made for it: published with\n"
     "confirms, read from it, with --group settled"},
    {"confirm", 'c', "LEVEL", BENCH, td_set_confirm,
     "of --durable: memory, os or disk, the default"},
    {"json", 'j', NULL, BENCH, td_set_json,
     "print the results as one JSON object"},

    {"pattern", 'p', "PATTERN", NEW, td_set_patterns,
     "take events of these types, once for each; required"},
    {"max-age", 0, "TIME", BOUND, td_set_max_age,
     "delete older events: 10m, 2h, 7d; default: never"},
    {"max-bytes", 0, "SIZE", BOUND, td_set_max_bytes,
     "keep at most so many, with K, M, G; default: no bound"},
    {"max-events", 0, "N", BOUND, td_set_max_events,
     "keep at most so many; default: no bound"},
    {"dedup", 0, "TIME", BOUND, td_set_dedup,
     "an event with the source and the chosen id of one\n"
     "stored within it is not stored; 0: off, default 2m"},
    {"dedup-events", 0, "N", BOUND, td_set_dedup_events,
     "of the last so many with a chosen id; default 100000"},
    {"on-full", 0, "WHAT", BOUND, td_set_on_full,
     "at a bound: discard_old, the default, or reject"},
    {"storage", 0, "WHERE", NEW, td_set_storage,
     "disk, the default, or memory: gone with the broker"},
    {"compact", 0, NULL, NEW, td_set_compact,
     "with --keyed: keep only the newest of each key; one\n"
     "without data is a tombstone, and goes too"},
    {"tombstone", 0, "TIME", BOUND, td_set_tombstone,
     "after so long; default 24h"},
    {"keyed", 0, NULL, NEW, td_set_keyed,
     "know the last event of each --key, for --start last\n"
     "and --expect-key, not only of each type"},

    {"before", 'b', "SEQUENCE", TD_CLI_STREAM_PURGE, td_set_before,
     "only events below it; default: all"},

    {"pattern", 'p', "PATTERN", ADD, td_set_pattern,
     "take these of the stream's events; default: all"},
    {"start", 's', "WHERE", ADD, td_set_start,
     "new, the default, all, last, a sequence, or a time\n"
     "such as 2024-02-29T12:00:00Z or -5m"},
    {"start", 's', "WHERE", TD_CLI_GROUP_SEEK, td_set_start,
     "new, all, last, a sequence, or a time such as\n"
     "2024-02-29T12:00:00Z or -5m; required"},
    {"max-in-flight", 0, "N", ADD, td_set_max_in_flight,
     "most events delivered and not settled; default\n65536"},
    {"ack-wait", 0, "TIME", ADD, td_set_ack_wait,
     "what is not settled by then has failed; default 30s"},
    {"max-deliver", 0, "N", ADD, td_set_max_deliver,
     "deliveries until an event is dead; default 10"},
    {"backoff", 0, "TIME", ADD, td_set_backoff,
     "a failed event waits so long, doubled with each\n"
     "failure; default 200ms"},
    {"backoff-max", 0, "TIME", ADD, td_set_backoff_max,
     "and at most so long; default 60s"},
    {"until", 0, "TIME", TD_CLI_GROUP_PAUSE, td_set_until_time,
     "then go on: +10m, 2030-02-28T12:00:00Z; default:\n"
     "until `tidings group resume`"},

    {"pattern", 'p', "PATTERN", TAIL | REPLAY | EXPORT, td_set_pattern,
     "only these of the stream's events; default: all"},
    {"start", 's', "WHERE", TAIL, td_set_start,
     "all, new, last (the newest of each type or key), a\n"
     "sequence, or a time such as 2024-02-29T12:00:00Z or\n"
     "-5m; default all, with --follow new"},
    {"from", 0, "WHERE", TAIL, td_set_start, "the same as --start"},
    {"follow", 'f', NULL, TAIL, td_set_follow,
     "go on with what is stored from now on"},
    {"count", 'n', "N", TAIL | REPLAY, td_set_count, "end after N events"},
    {"json", 'j', NULL, TAIL, td_set_json,
     "print each event as one line of CloudEvents JSON,\n"
     "with its sequence as \"streamsequence\""},
    {"start", 's', "WHERE", REPLAY | EXPORT, td_set_start,
     "all, the default, a sequence, or a time such as\n"
     "2024-02-29T12:00:00Z or -5m"},
    {"until", 0, "WHERE", REPLAY | EXPORT, td_set_until,
     "the last sequence, or events stored before a time;\n"
     "default: the newest at the start"},
    {"rate", 'r', "EVENTS_PER_S", REPLAY, td_set_rate,
     "this many a second; default: as fast as it goes"},
    {"original-pace", 0, NULL, REPLAY, td_set_original_pace,
     "as far apart as their own times are, not those at\n"
     "which they were stored; one with an earlier time than\n"
     "one before it comes at once"},

    {"type", 'p', "PATTERN", DLQ | TD_CLI_DLQ_LIST | TD_CLI_SCHEDULE_LIST,
     td_set_pattern, "only those of such types; default: all"},
    {"limit", 'n', "N", TD_CLI_DLQ_LIST | TD_CLI_SCHEDULE_LIST, td_set_limit,
     "list at most so many; default: all"},
    {"first", 0, "NUMBER", DLQ | TD_CLI_DLQ_LIST, td_set_first,
     "from this one on"},
    {"last", 0, "NUMBER", DLQ, td_set_last, "up to this one"},
    {"limit", 'n', "N", DLQ, td_set_limit, "at most so many; default: all"},
    {"rate", 'r', "EVENTS_PER_S", DLQ, td_set_rate,
     "this many a second; default: as fast as it goes"},

    {"yes", 'y', NULL,
     TD_CLI_STREAM_PURGE | TD_CLI_STREAM_DELETE | TD_CLI_GROUP_DELETE |
         TD_CLI_DLQ_PURGE | TD_CLI_PRODUCER_DELETE,
     td_set_yes, "really: what is deleted is gone"},
    {"json", 'j', NULL, TD_CLI_DURABLE & ~(TAIL | REPLAY), td_set_json,
     "print JSON, one object a line"},
    {"json", 'j', NULL, TD_CLI_STORE_VERIFY, td_set_json,
     "print what was found as one JSON object"},

    {"detach", 'd', NULL, TD_CLI_UP, td_set_detach,
     "go into the background as soon as all are ready; if\n"
     "one is given up before, stop all, with exit code 1"},
    {"abort-on-failure", 0, NULL, TD_CLI_UP, td_set_abort,
     "stop all when one is given up; default: the others\ngo on"},
    {"check", 0, NULL, TD_CLI_UP, td_set_check,
     "only say whether the file is right, and the order"},
    {"state", 0, "DIR", TD_CLI_UP | ASK, td_set_state,
     "of lock, socket and log; default .tidings/FILE\nbeside FILE"},
    {"json", 'j', NULL, TD_CLI_STATUS, td_set_json,
     "print it as one JSON object"},
    {"url", 'u', "URL", TD_CLI_UP, td_set_url,
     "the bus, TIDINGS_URL for all; default: what the file\n"
     "says, else TIDINGS_URL of the environment, else\n" TIDINGS_DEFAULT_URL},

    {"timeout", 't', "TIME", REQUEST, td_set_request_timeout,
     "wait at most this long for the answer, of all tries:\nseconds, or 500ms, "
     "1m; default 5"},
    {"key", 'k', "KEY", REQUEST, td_set_key,
     "the partitionkey: what balance by_key goes by"},
    {"attr", 'a', "NAME=VALUE", REQUEST, td_set_attr,
     "set an attribute, once for each"},
    {"service", 's', "NAME", REQUEST, td_set_service,
     "only instances of this service"},
    {"instance", 'i', "ID", REQUEST, td_set_instance, "only this instance"},
    {"version", 'v', "VERSION", REQUEST, td_set_of_version,
     "only instances of this version"},
    {"balance", 'b', "HOW", REQUEST, td_set_balance,
     "which of several gets it: round_robin, random,\nleast_in_flight, by_key "
     "or "
     "latency; default: what\nits endpoint says"},
    {"many", 'm', NULL, REQUEST, td_set_many,
     "ask every instance, and print each answer behind its\ninstance"},
    {"count", 'n', "N", REQUEST, td_set_count,
     "with --many: so many answers are enough"},
    {"quiet", 'q', "TIME", REQUEST, td_set_quiet,
     "with --many: the end when none came for so long"},
    {"idempotent", 'I', NULL, REQUEST, td_set_idempotent,
     "doing it twice does no harm: try again, elsewhere,\nwhen it was lost or "
     "refused"},
    {"attempts", 0, "N", REQUEST, td_set_attempts,
     "with --idempotent: tries, at most 10; default 3"},
    {"json", 'j', NULL, REQUEST, td_set_json,
     "print each answer as one JSON object"},

    {"id", 'i', "ID",
     SERVICES | TD_CLI_SERVICE_DRAIN | TD_CLI_SERVICE_PING |
         TD_CLI_SERVICE_WATCH,
     td_set_id, "only this instance"},
    {"undo", 0, NULL, TD_CLI_SERVICE_DRAIN, td_set_undo,
     "they get requests again"},
    {"wait", 'w', NULL, TD_CLI_SERVICE_DRAIN, td_set_wait,
     "until nothing is in flight at them; with --timeout at\nmost so long"},
    {"json", 'j', NULL, SERVICES | TD_CLI_SERVICE_PING, td_set_json,
     "print JSON, one object a line"},
    {"count", 'n', "N", TD_CLI_SERVICE_WATCH, td_set_count,
     "end after N of them"},
    {"json", 'j', NULL, TD_CLI_SERVICE_WATCH, td_set_json,
     "print each as one line of CloudEvents JSON"},
    {"json", 'j', NULL, TD_CLI_SERVICE_DRAIN, td_set_json,
     "print how many as one JSON object"},

    {"group", 'g', "NAME", SUB | BENCH, td_set_group,
     "share the events: each goes to one subscriber of\nthe group"},
    {"group-policy", 0, "POLICY", SUB | BENCH | ADD, td_set_group_policy,
     "to which: round_robin, the default, random,\nleast_pending, key or "
     "single"},
    {"policy", 'P', "POLICY", SUB | BENCH, td_set_policy,
     "when the queue at the broker is full: block, the\n"
     "default, drop_oldest or drop_newest"},
    {"window-events", 0, "N", SUB | BENCH, td_set_window_events,
     "most events on their way to it; default 32768, of a\n"
     "durable group as its handler goes"},
    {"queue-events", 0, "N", SUB | BENCH, td_set_queue_events,
     "bound of the queue at the broker; default 65536"},
    {"queue-bytes", 0, "SIZE", SUB | BENCH, td_set_queue_bytes,
     "the same in bytes, or with K, M, G; default 32M"},

    {"url", 'u', "URL", ALL, td_set_url,
     "the broker; default TIDINGS_URL of the environment,\n"
     "else " TIDINGS_DEFAULT_URL},
    {"timeout", 't', "SECONDS", ALL & ~(SUB | REQUEST), td_set_timeout,
     "wait at most this long for each answer; default " STRING(
         TD_CLI_TIMEOUT_S)},
    {"timeout", 't', "SECONDS", SUB, td_set_timeout,
     "give up after this long, with exit code 4; default:\n" STRING(
         TD_CLI_TIMEOUT_S) " for a broker to answer, no end for events"},
    {"help", 'h', NULL, ANY, td_set_help, "print this"},
    {"version", 'V', NULL, ANY & ~REQUEST, td_set_version, "print the version"},
};

const size_t td_option_rows_len =
    sizeof(td_option_rows) / sizeof(td_option_rows[0]);

_Static_assert(sizeof(td_option_rows) / sizeof(td_option_rows[0]) <=
                   TD_OPTION_ROWS_MAX,
               "the table in other forms has room for it");
