/* tidings' durable streams through the public header; durable.h has the roles.
 *
 * The stream is `events`, which takes every type. Confirms are at --level, the
 * default disk: synced. A handler's return value settles its event; nothing is
 * tuned.
 */
#include <string.h>

#include "tidings/tidings.h"

#include "tests/bench/durable.h"

#define STREAM "events"
#define GROUP  "workers"

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
    const struct tidings_group_options group = {
        .stream = STREAM,
        .group = GROUP,
        .pattern = BENCH_TYPE,
        .start = {.kind = TIDINGS_START_ALL},
    };
    tidings_bus *bus = open_bus(args, TIDINGS_NO_CONFIRM);

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

/* ---- taking ---- */

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    bench_sink_take(arg, event->data, event->data_len);
    return TIDINGS_OK;
}

static void subscribe(tidings_bus *bus, struct bench_sink *sink,
                      const char *group)
{
    const struct tidings_sub_options options = {
        .stream = STREAM,
        .group = group,
        .start = {.kind = group ? TIDINGS_START_DEFAULT : TIDINGS_START_ALL},
    };

    check(tidings_subscribe(NULL, bus, BENCH_TYPE, on_event, sink, &options),
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
    subscribe(bus, &sink, GROUP);
    bench_say_ready();
    bench_sink_wait(&sink);
    check(tidings_drain(bus, BENCH_WAIT_MS), "drain");
    check_settled(bus, args->events);
    check(tidings_close(bus), "close");
    return durable_taken(&sink);
}

static int replay(const struct bench_args *args)
{
    tidings_bus *bus = open_bus(args, TIDINGS_NO_CONFIRM);
    struct bench_sink sink;

    bench_sink_init(&sink, args);
    bench_say_ready();
    subscribe(bus, &sink, NULL);
    bench_sink_wait(&sink);
    check(tidings_close(bus), "close");
    return durable_taken(&sink);
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(const struct bench_args *args);
    } roles[] = {{"make", make},
                 {"pub", pub},
                 {"one", one},
                 {"take", take},
                 {"replay", replay}};
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
