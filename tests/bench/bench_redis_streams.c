/* Redis Streams through hiredis, its own C client; durable.h has the roles.
 *
 * Commands are pipelined: XADD by the thousand; XACK, which names every event,
 * together with the XREADGROUP for the next ones. When Redis answers it has
 * written its append-only file, and synced it if the server is set to.
 *
 * The url is redis://127.0.0.1:PORT.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/durable.h"

#define STREAM     "bench"
#define GROUP      "workers"
#define PIPELINE   1000 /* commands written, and answers read, at a time */
#define COUNT      1000 /* events asked for at a time */
#define TEXT(n)    TEXT_OF(n)
#define TEXT_OF(n) #n

static redisContext *connect_to(const struct bench_args *args)
{
    const struct timeval wait = {.tv_sec = BENCH_WAIT_MS / 1000};
    redisContext *context;
    int port;

    if (!args->url || sscanf(args->url, "redis://127.0.0.1:%5d", &port) != 1)
        bench_die("redis: no such url");
    context = redisConnectWithTimeout("127.0.0.1", port, wait);
    if (!context || context->err)
        bench_die("redis: connect: %s", context ? context->errstr : "memory");
    redisSetTimeout(context, wait);
    return context;
}

static redisReply *next_reply(redisContext *context)
{
    void *reply = NULL;

    if (redisGetReply(context, &reply) != REDIS_OK)
        bench_die("redis: %s", context->errstr);
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
        bench_die("redis: %s", ((redisReply *)reply)->str);
    return reply;
}

static void append(redisContext *context, int count, const char **words,
                   const size_t *lens)
{
    if (redisAppendCommandArgv(context, count, words, lens))
        bench_die("redis: %s: %s", words[0], context->errstr);
}

static int make(redisContext *context, const struct bench_args *args)
{
    const char *words[] = {"XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"};

    (void)args;
    append(context, 6, words, NULL);
    freeReplyObject(next_reply(context));
    return 0;
}

/* ---- publishing ---- */

struct pipeline {
    redisContext *context;
    size_t unanswered;
};

static void read_answers(struct pipeline *pipeline, size_t count)
{
    for (; count > 0; count--, pipeline->unanswered--)
        freeReplyObject(next_reply(pipeline->context));
}

static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    struct pipeline *pipeline = arg;
    const char *words[] = {"XADD", STREAM, "*", type, data};
    const size_t lens[] = {strlen(words[0]), strlen(words[1]), strlen(words[2]),
                           strlen(words[3]), len};

    append(pipeline->context, 5, words, lens);
    /* One batch is on its way while the next is made. */
    if (++pipeline->unanswered == 2 * PIPELINE)
        read_answers(pipeline, PIPELINE);
}

static void flush(void *arg)
{
    struct pipeline *pipeline = arg;

    read_answers(pipeline, pipeline->unanswered);
}

static int pub(redisContext *context, const struct bench_args *args)
{
    struct pipeline pipeline = {.context = context};
    const struct bench_out out = {send_event, flush, &pipeline};

    return durable_publish(args, &out);
}

static int one(redisContext *context, const struct bench_args *args)
{
    struct pipeline pipeline = {.context = context};
    const struct bench_out out = {send_event, flush, &pipeline};

    return durable_one_by_one(args, &out);
}

/* ---- taking ---- */

static const redisReply *element(const redisReply *reply, size_t count,
                                 size_t n)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)
        bench_die("redis: not an answer to a read");
    return reply->element[n];
}

/* [[stream, [[id, [type, data]], ...]]] */
static const redisReply *entries_of(const redisReply *reply)
{
    const redisReply *entries;

    if (reply->type == REDIS_REPLY_NIL)
        bench_die("redis: no events came");
    entries = element(element(reply, 1, 0), 2, 1);
    if (entries->type != REDIS_REPLY_ARRAY || !entries->elements)
        bench_die("redis: not entries");
    return entries;
}

static const redisReply *id_of(const redisReply *entry)
{
    const redisReply *id = element(entry, 2, 0);

    if (id->type != REDIS_REPLY_STRING)
        bench_die("redis: not an id");
    return id;
}

static bool take(struct bench_sink *sink, const redisReply *entry)
{
    const redisReply *data = element(element(entry, 2, 1), 2, 1);

    if (data->type != REDIS_REPLY_STRING)
        bench_die("redis: not data");
    return bench_sink_take(sink, data->str, data->len);
}

static bool take_entries(struct bench_sink *sink, const redisReply *entries)
{
    bool more = true;

    for (size_t i = 0; i < entries->elements; i++)
        more = take(sink, entries->element[i]);
    return more;
}

static void ask_group(redisContext *context)
{
    const char *words[] = {
        "XREADGROUP", "GROUP",     GROUP,   "member",
        "COUNT",      TEXT(COUNT), "BLOCK", TEXT(BENCH_WAIT_MS),
        "STREAMS",    STREAM,      ">"};

    append(context, 11, words, NULL);
}

static void settle(redisContext *context, const redisReply *entries)
{
    const char *words[3 + COUNT] = {"XACK", STREAM, GROUP};
    size_t lens[3 + COUNT] = {4, strlen(STREAM), strlen(GROUP)};
    int count = 3;

    for (size_t i = 0; i < entries->elements && i < COUNT; i++, count++) {
        const redisReply *id = id_of(entries->element[i]);

        words[count] = id->str;
        lens[count] = id->len;
    }
    append(context, count, words, lens);
}

/* Every event was unsettled until now, and was settled once. */
static void check_settled(redisContext *context, size_t count)
{
    redisReply *reply = next_reply(context);

    if (reply->type != REDIS_REPLY_INTEGER || reply->integer != (int)count)
        bench_die("redis: events were not settled");
    freeReplyObject(reply);
}

static int take_all(redisContext *context, const struct bench_args *args)
{
    struct bench_sink sink;
    bool more = true;

    bench_sink_init(&sink, args);
    bench_say_ready();
    ask_group(context);
    while (more) {
        redisReply *reply = next_reply(context);
        const redisReply *entries = entries_of(reply);

        more = take_entries(&sink, entries);
        settle(context, entries);
        if (more)
            ask_group(context);
        check_settled(context, entries->elements);
        freeReplyObject(reply);
    }
    return durable_taken(&sink);
}

static void ask_after(redisContext *context, const char *id)
{
    const char *words[] = {"XREAD",   "COUNT", TEXT(COUNT),
                           "STREAMS", STREAM,  id};

    append(context, 6, words, NULL);
}

static int replay(redisContext *context, const struct bench_args *args)
{
    struct bench_sink sink;
    bool more = true;

    bench_sink_init(&sink, args);
    bench_say_ready();
    ask_after(context, "0");
    while (more) {
        redisReply *reply = next_reply(context);
        const redisReply *entries = entries_of(reply);

        more = take_entries(&sink, entries);
        if (more)
            ask_after(context,
                      id_of(entries->element[entries->elements - 1])->str);
        freeReplyObject(reply);
    }
    return durable_taken(&sink);
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(redisContext *context, const struct bench_args *args);
    } roles[] = {{"make", make},
                 {"pub", pub},
                 {"one", one},
                 {"take", take_all},
                 {"replay", replay}};
    struct bench_args args;
    redisContext *context;
    int status = -1;

    bench_args_parse(&args, argc, argv);
    context = connect_to(&args);
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (!strcmp(args.role, roles[i].name))
            status = roles[i].run(context, &args);
    if (status < 0)
        bench_die("no such role: %s", args.role);
    redisFree(context);
    return status;
}
