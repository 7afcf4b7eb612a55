/* A service that greets, and its caller.
 *
 *     greeter serve [URL]       answers until SIGTERM, or Ctrl-C
 *     greeter ask NAME [URL]    asks whoever answers
 *     greeter                   both, in one process
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <tidings/tidings.h>

static tidings_err greet(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    char text[80];
    int len;

    (void)arg;
    if (request->data_len == 0)
        return tidings_answer_error(task, 400, "whom?", NULL, 0);
    len = snprintf(text, sizeof(text), "hello %.*s", (int)request->data_len,
                   (const char *)request->data);
    if ((size_t)len >= sizeof(text)) /* 500 and above: the service failed */
        return tidings_answer_error(task, 500, "out of breath", NULL, 0);
    return tidings_answer(task, text, (size_t)len);
}

static tidings_err serve(tidings_bus *bus)
{
    const struct tidings_endpoint endpoint = {.type = "greet",
                                              .handler = greet};
    const struct tidings_service_options greeter = {.name = "greeter",
                                                    .version = "1.0.0",
                                                    .endpoints = &endpoint,
                                                    .endpoints_len = 1};

    return tidings_serve(NULL, bus, &greeter);
}

static tidings_err ask(tidings_bus *bus, const char *name)
{
    struct tidings_instances *found;
    struct tidings_reply reply;
    tidings_err err = tidings_discover(&found, bus, "greeter", 1000);

    if (err)
        return err;
    printf("greeters: %zu\n", found->len);
    tidings_instances_free(found);
    err = tidings_request(&reply, bus, "greet", name, strlen(name), 1000);
    if (!err)
        printf("%.*s\n", (int)reply.len, (const char *)reply.data);
    else if (err == TIDINGS_EREMOTE) /* of others main() tells */
        printf("%d %s\n", reply.status, reply.text);
    tidings_reply_fini(&reply);
    return err;
}

/* They are blocked in all threads, and taken here. */
static void wait_for(const sigset_t *signals)
{
    int number;

    puts("greeter: ready");
    fflush(stdout);
    sigwait(signals, &number);
}

static tidings_err run(tidings_bus *bus, const sigset_t *signals, int argc,
                       char **argv)
{
    tidings_err err;

    if (argc > 2 && strcmp(argv[1], "ask") == 0)
        return ask(bus, argv[2]);
    err = serve(bus);
    if (err)
        return err;
    if (argc == 1)
        return ask(bus, "John");
    wait_for(signals);
    return tidings_drain(bus, 1000); /* answers what has arrived */
}

int main(int argc, char **argv)
{
    int url_at = argc > 1 && strcmp(argv[1], "ask") == 0 ? 3 : 2;
    const char *url = argc > url_at ? argv[url_at]
                      : argc > 1    ? "tcp://127.0.0.1:7450"
                                    : "inproc://greeter";
    tidings_bus *bus = NULL;
    sigset_t signals;
    tidings_err err;

    if (argc > 1 && strcmp(argv[1], "serve") != 0 &&
        (strcmp(argv[1], "ask") != 0 || argc < 3)) {
        fputs("usage: greeter [serve [URL] | ask NAME [URL]]\n", stderr);
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before there are threads */
    err = tidings_open(&bus, url, NULL);
    if (!err)
        err = run(bus, &signals, argc, argv);
    if (err && err != TIDINGS_EREMOTE)
        fprintf(stderr, "%s: %s\n", tidings_err_text(err), tidings_detail());
    tidings_close(bus);
    return err != TIDINGS_OK;
}
