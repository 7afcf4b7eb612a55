#include "client/cli/up/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/up/tree.h"
#include "tidings/service.h"

/* The library tries again after 50 ms, 100 ms, …: a new bus begins with the
 * first again, so that a broker which takes long is found as soon. */
#define ANEW_MS 500

#define HOST_BYTES 256 /* of this machine's name */

#define LIST_MS   250  /* for the registry: all else waits meanwhile … */
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

static const char *metadata_of(const struct tidings_instance *instance,
                               const char *key)
{
    for (size_t i = 0; i < instance->metadata_len; i++) {
        if (strcmp(instance->metadata[i].key, key) == 0)
            return instance->metadata[i].value;
    }
    return NULL;
}

/* The library says in its metadata which process an instance is, and on which
 * machine: another one has the same numbers. 0: it is not known, or not here. */
static pid_t process_of(const struct tidings_instance *instance)
{
    const char *pid = metadata_of(instance, "pid");
    const char *host = metadata_of(instance, "host");
    char here[HOST_BYTES] = "";

    if (gethostname(here, sizeof(here) - 1) == 0 && host &&
        strcmp(host, here) != 0)
        return 0;
    return pid ? (pid_t)strtol(pid, NULL, 10) : 0;
}

static bool is_healthy(const struct tidings_instance *instance)
{
    return instance->health == TIDINGS_RUNNING ||
           instance->health == TIDINGS_DEGRADED;
}

/* From the bus's copy of the registry; only while there is none, or none that is
 * known to be true, is it waited for.
 * @return NULL: it was in vain, now or a moment ago */
static struct tidings_instances *list(struct td_probes *p,
                                      struct td_probe *probe,
                                      const char *service, int64_t now_ms)
{
    struct tidings_instances *all = NULL;
    tidings_err err;

    if (probe->silent_ms && now_ms - probe->silent_ms < SILENT_MS)
        return NULL;
    err = tidings_discover(&all, probe->bus, service, LIST_MS);
    probe->silent_ms = err || all->stale ? now_ms : 0;
    if (err)
        snprintf(p->why, sizeof(p->why), "%s does not say who is there: %s",
                 probe->url, tidings_detail());
    return all;
}

bool td_probe_service(struct td_probes *p, const char *url, const char *service,
                      pid_t pid, int64_t now_ms)
{
    struct tidings_instances *all = NULL;
    bool found = false;

    if (td_probe_bus(p, url, now_ms))
        all = list(p, probe_of(p, url), service, now_ms);
    if (!all)
        return false;
    for (size_t i = 0; i < all->len && !found; i++)
        found = is_healthy(&all->list[i]) &&
                td_tree_is_below(process_of(&all->list[i]), pid);
    tidings_instances_free(all);
    snprintf(p->why, sizeof(p->why), "not registered at %s as a healthy %s",
             url, service);
    return found;
}
