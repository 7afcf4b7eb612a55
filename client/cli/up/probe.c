#include "client/cli/up/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/up/tree.h"
#include "tidings/service.h"

/* The library tries again after 50 ms, 100 ms, …: a new bus begins with the
 * first again, so that a broker which takes long is found as soon. */
#define ANEW_MS 500

#define LIST_MS   250 /* for the broker's answer: all else waits meanwhile … */
#define SILENT_MS 1000 /* … so one that hangs is not asked again so soon */

static void close_probe(struct td_probe *p)
{
    tidings_close(p->bus);
    *p = (struct td_probe){0};
}

void td_probes_fini(struct td_probes *p)
{
    for (size_t i = 0; i < TD_UP_SERVICES_MAX && p->list[i].url; i++)
        close_probe(&p->list[i]);
    p->why[0] = '\0';
}

/* There are no more URLs than services. */
static struct td_probe *probe_of(struct td_probes *p, const char *url)
{
    struct td_probe *at = p->list;

    while (at->url && strcmp(at->url, url) != 0)
        at++;
    at->url = url;
    return at;
}

bool td_probe_bus(struct td_probes *p, const char *url, int64_t now_ms)
{
    const struct tidings_options options = {.name = "tidings-up",
                                            .close_timeout_ms = -1};
    struct td_probe *probe = probe_of(p, url);

    if (probe->bus && tidings_wait(probe->bus, 0) == TIDINGS_OK)
        return true;
    if (probe->bus)
        snprintf(p->why, sizeof(p->why), "%s", tidings_detail());
    if (probe->bus && now_ms - probe->opened_ms < ANEW_MS)
        return false;
    tidings_close(probe->bus);
    probe->opened_ms = now_ms;
    if (tidings_open(&probe->bus, url, &options) != TIDINGS_OK) {
        probe->bus = NULL;
        snprintf(p->why, sizeof(p->why), "%s: %s", url, tidings_detail());
    } else if (!*p->why) {
        snprintf(p->why, sizeof(p->why), "no broker has answered at %s", url);
    }
    return false;
}

/* The library says in its metadata which process an instance is. */
static pid_t process_of(struct tidings_value row)
{
    struct tidings_value metadata;
    char text[32];

    if (tidings_get(&metadata, row, "metadata") ||
        tidings_get_string(text, sizeof(text), metadata, "pid"))
        return 0;
    return (pid_t)strtol(text, NULL, 10);
}

static bool is_healthy(struct tidings_value row)
{
    int64_t state;

    return !tidings_get_int(&state, row, "state") &&
           (state == TIDINGS_RUNNING || state == TIDINGS_DEGRADED);
}

/* The registry's rows of a service: PROTOCOL.md 11.2. They come in pages, of
 * more instances than a file can have. */
static tidings_err list(void **data, struct tidings_value *rows,
                        tidings_bus *bus, const char *service)
{
    tidings_writer *options = tidings_writer_new();
    struct tidings_value answer;
    const void *bytes;
    size_t len;
    tidings_err err;

    tidings_put_map(options, 1);
    tidings_put_string(options, "name");
    tidings_put_string(options, service);
    err = tidings_writer_bytes(options, &bytes, &len);
    if (!err)
        err =
            tidings_call(data, &len, bus, "service.list", bytes, len, LIST_MS);
    if (!err)
        err = tidings_value_read(&answer, *data, len);
    if (!err)
        err = tidings_get(rows, answer, "services");
    tidings_writer_free(options);
    return err;
}

/* @return whether there is an answer, in *data to be freed */
static bool ask(struct td_probes *p, struct td_probe *probe, void **data,
                struct tidings_value *rows, const char *service, int64_t now_ms)
{
    tidings_err err;

    if (probe->silent_ms && now_ms - probe->silent_ms < SILENT_MS)
        return false;
    err = list(data, rows, probe->bus, service);
    probe->silent_ms = err ? now_ms : 0;
    if (err)
        snprintf(p->why, sizeof(p->why), "%s does not say who is there: %s",
                 probe->url, tidings_detail());
    return !err;
}

bool td_probe_service(struct td_probes *p, const char *url, const char *service,
                      pid_t pid, int64_t now_ms)
{
    struct tidings_value rows, row;
    void *data = NULL;
    bool found = false;

    if (!td_probe_bus(p, url, now_ms))
        return false;
    if (ask(p, probe_of(p, url), &data, &rows, service, now_ms)) {
        for (size_t i = 0; !found && tidings_at(&row, rows, i) == TIDINGS_OK;
             i++)
            found = is_healthy(row) && td_tree_is_below(process_of(row), pid);
        snprintf(p->why, sizeof(p->why), "not registered at %s as a healthy %s",
                 url, service);
    }
    tidings_free(data);
    return found;
}
