/* tidings' durable streams through the public header; durable.h has the roles.
 *
 * The stream is `events`, which takes every type, or --stream, which takes
 * --type, keeps --keep bytes and has no group. Confirms are at --level, the
 * default disk: synced. A handler's return value settles its event; nothing is
 * tuned. Two roles more:
 *
 *   tenths  publish --events, and take the time of the first and of the last
 *           tenth
 *   kept    read what a stream that forgets has kept of --events
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tidings/tidings.h"

#include "tests/bench/durable.h"

#define STREAM "events"
#define GROUP  "workers"

static const char *stream_of(const struct bench_args *args)
{
    return args->stream ? args->stream : STREAM;
}

static const char *type_of(const struct bench_args *args)
{
    return args->type ? args->type : BENCH_TYPE;
}

static void check(tidings_err err, const char *what)
{
    if (err)
        bench_die("tidings: %s: %s; %s", what, tidings_err_text(err),
                  tidings_detail());
}

static tidings_bus *open_bus(const struct bench_args *args,
                             enum tidings_level level)
{
    const struct tidings_options options = {.confirm = level};
    tidings_bus *bus;

    check(tidings_open(&bus, args->url, &options), "open");
    check(tidings_wait(bus, BENCH_WAIT_MS), "wait");
    return bus;
}

static enum tidings_level level_of(const struct bench_args *args)
{
    if (!args->level || !strcmp(args->level, "disk"))
        return TIDINGS_DISK;
    if (!strcmp(args->level, "os"))
        return TIDINGS_OS;
    if (!strcmp(args->level, "memory"))
        return TIDINGS_MEMORY;
    bench_die("tidings: no such level: %s", args->level);
}

static int make(const struct bench_args *args)
{
    const char *const patterns[] = {type_of(args)};
    const struct tidings_stream_options stream = {
        .name = args->stream,
        .patterns = patterns,
        .patterns_len = 1,
        .max_bytes = args->keep,
    };
    const struct tidings_group_options group = {
        .stream = STREAM,
        .group = GROUP,
        .pattern = BENCH_TYPE,
        .start = {.kind = TIDINGS_START_ALL},
    };
    tidings_bus *bus = open_bus(args, TIDINGS_NO_CONFIRM);

    if (args->stream)
        check(tidings_stream_add(bus, &stream, BENCH_WAIT_MS), "stream");
    else
        check(tidings_group_add(bus, &group, BENCH_WAIT_MS), "group");
    check(tidings_close(bus), "close");
    return 0;
}

/* ---- publishing ---- */

static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    tidings_err err = tidings_publish(arg, type, data, len);

    if (err)
        check(err, "publish");
}

static void flush(void *arg)
{
    check(tidings_flush(arg, BENCH_WAIT_MS), "flush");
}

static int pub(const struct bench_args *args)
{
    tidings_bus *bus = open_bus(args, level_of(args));
    const struct bench_out out = {send_event, flush, bus};
    int status = durable_publish(args, &out);

    check(tidings_close(bus), "close");
    return status;
}

static int one(const struct bench_args *args)
{
    tidings_bus *bus = open_bus(args, level_of(args));
    const struct bench_out out = {send_event, flush, bus};
    int status = durable_one_by_one(args, &out);

    check(tidings_close(bus), "close");
    return status;
}

struct tenths {
    tidings_bus *bus;
    uint64_t events;
    uint64_t sent;
    int64_t at_ns[11];
};

/* Each tenth ends when it is confirmed. */
static void send_tenths(void *arg, const char *type, const void *data,
                        size_t len)
{
    struct tenths *t = arg;

    send_event(t->bus, type, data, len);
    if (++t->sent % (t->events / 10) != 0)
        return;
    flush(t->bus);
    t->at_ns[t->sent / (t->events / 10)] = bench_now_ns();
}

static int tenths(const struct bench_args *args)
{
    struct tenths t = {.bus = open_bus(args, level_of(args)),
                       .events = args->events};
    const struct bench_out out = {send_tenths, NULL, &t};

    if (args->events % 10)
        bench_die("--events: a multiple of 10");
    t.at_ns[0] = bench_now_ns();
    bench_publish(args, &out);
    printf("result events=%" PRIu64 " first_tenth_ns=%" PRId64
           " last_tenth_ns=%" PRId64 "\n",
           t.sent, t.at_ns[1] - t.at_ns[0], t.at_ns[10] - t.at_ns[9]);
    fflush(stdout);
    check(tidings_close(t.bus), "close");
    return 0;
}

/* ---- taking ---- */

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    bench_sink_take(arg, event->data, event->data_len);
    return TIDINGS_OK;
}

static void subscribe(tidings_bus *bus, struct bench_sink *sink,
                      const struct bench_args *args, const char *group)
{
    const struct tidings_sub_options options = {
        .stream = stream_of(args),
        .group = group,
        .start = {.kind = group ? TIDINGS_START_DEFAULT : TIDINGS_START_ALL},
    };

    check(tidings_subscribe(NULL, bus, type_of(args), on_event, sink, &options),
          "subscribe");
}

/* Everything was settled, says the broker. */
static void check_settled(tidings_bus *bus, uint64_t events)
{
    struct tidings_value map;
    struct tidings_value groups;
    struct tidings_value group;
    uint64_t acked;
    void *result;
    size_t len;

    check(
        tidings_call(&result, &len, bus, "group.list", NULL, 0, BENCH_WAIT_MS),
        "group.list");
    check(tidings_value_read(&map, result, len), "group.list");
    check(tidings_get(&groups, map, "groups"), "groups");
    check(tidings_at(&group, groups, 0), "groups[0]");
    check(tidings_get_uint(&acked, group, "acked"), "acked");
    if (acked != events)
        bench_die("tidings: %llu of %llu events were settled",
                  (unsigned long long)acked, (unsigned long long)events);
    tidings_free(result);
}

static int take(const struct bench_args *args)
{
    tidings_bus *bus = open_bus(args, TIDINGS_NO_CONFIRM);
    struct bench_sink sink;

    bench_sink_init(&sink, args);
    subscribe(bus, &sink, args, GROUP);
    bench_say_ready();
    bench_sink_wait(&sink);
    check(tidings_drain(bus, BENCH_WAIT_MS), "drain");
    check_settled(bus, args->events);
    check(tidings_close(bus), "close");
    return durable_taken(&sink);
}

/* How many the stream has forgotten: it has all of one publisher, from the
 * beginning, and nothing else. */
static uint64_t forgotten(tidings_bus *bus, const struct bench_args *args)
{
    struct tidings_value map;
    struct tidings_value streams;
    struct tidings_value row;
    struct tidings_value name;
    uint64_t first = 0;
    void *result;
    size_t len;

    check(
        tidings_call(&result, &len, bus, "stream.list", NULL, 0, BENCH_WAIT_MS),
        "stream.list");
    check(tidings_value_read(&map, result, len), "stream.list");
    check(tidings_get(&streams, map, "streams"), "streams");
    for (size_t i = 0; !first && !tidings_at(&row, streams, i); i++) {
        const char *text;

        check(tidings_get(&name, row, "name"), "name");
        check(tidings_as_string(&text, &len, name), "name");
        if (len == strlen(stream_of(args)) &&
            memcmp(text, stream_of(args), len) == 0)
            check(tidings_get_uint(&first, row, "first"), "first");
    }
    if (!first)
        bench_die("tidings: no such stream: %s", stream_of(args));
    tidings_free(result);
    return first - 1;
}

static int read_all(const struct bench_args *args, bool forgets)
{
    tidings_bus *bus = open_bus(args, TIDINGS_NO_CONFIRM);
    struct bench_sink sink;

    bench_sink_init(&sink, args);
    if (forgets) {
        sink.next = forgotten(bus, args);
        bench_sink_told(&sink, sink.next);
    }
    bench_say_ready();
    subscribe(bus, &sink, args, NULL);
    bench_sink_wait(&sink);
    check(tidings_close(bus), "close");
    return durable_taken(&sink);
}

static int replay(const struct bench_args *args)
{
    return read_all(args, false);
}

static int kept(const struct bench_args *args)
{
    return read_all(args, true);
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(const struct bench_args *args);
    } roles[] = {{"make", make}, {"pub", pub},       {"one", one},
                 {"take", take}, {"replay", replay}, {"tenths", tenths},
                 {"kept", kept}};
    struct bench_args args;

    bench_args_parse(&args, argc, argv);
    if (!args.url)
        bench_die("--url is required");
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
        if (!strcmp(args.role, roles[i].name))
            return roles[i].run(&args);
    }
    bench_die("no such role: %s", args.role);
}
