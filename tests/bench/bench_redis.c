/* Redis publish/subscribe through hiredis, its own C client.
 *
 *   pub   publish to the server at --url, pipelined
 *   sub   take events from the server at --url
 *
 * The url is redis://127.0.0.1:PORT.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

#define PIPELINE 1000 /* commands written, and answers read, at a time */

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
    const char *command[] = {"PUBLISH", type, data};
    const size_t lens[] = {strlen(command[0]), strlen(type), len};

    if (redisAppendCommandArgv(pipeline->context, 3, command, lens))
        bench_die("redis: publish: %s", pipeline->context->errstr);
    /* One batch is on its way while the next is made. */
    if (++pipeline->unanswered == 2 * PIPELINE)
        read_answers(pipeline, PIPELINE);
}

static void flush(void *arg)
{
    struct pipeline *pipeline = arg;

    read_answers(pipeline, pipeline->unanswered);
}

static int pub(const struct bench_args *args)
{
    struct pipeline pipeline = {.context = connect_to(args)};
    const struct bench_out out = {send_event, flush, &pipeline};

    bench_publish(args, &out);
    redisFree(pipeline.context);
    return 0;
}

/* ---- taking ---- */

/* A message is an array: "message", the channel, the data. */
static bool take(struct bench_sink *sink, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        reply->element[2]->type != REDIS_REPLY_STRING)
        bench_die("redis: not a message");
    return bench_sink_take(sink, reply->element[2]->str,
                           reply->element[2]->len);
}

static int sub(const struct bench_args *args)
{
    redisContext *context = connect_to(args);
    struct bench_sink sink;
    bool more = true;
    int status;

    bench_sink_init(&sink, args);
    if (redisAppendCommand(context, "SUBSCRIBE %s", BENCH_TYPE))
        bench_die("redis: subscribe: %s", context->errstr);
    freeReplyObject(next_reply(context));
    bench_say_ready();
    redisSetTimeout(context, (struct timeval){.tv_sec = 0});
    while (more) {
        redisReply *reply = next_reply(context);

        more = take(&sink, reply);
        freeReplyObject(reply);
    }
    redisFree(context);
    status = bench_sink_report(&sink);
    bench_sink_fini(&sink);
    return status;
}

int main(int argc, char **argv)
{
    struct bench_args args;

    bench_args_parse(&args, argc, argv);
    if (!strcmp(args.role, "pub"))
        return pub(&args);
    if (!strcmp(args.role, "sub"))
        return sub(&args);
    bench_die("no such role: %s", args.role);
}
