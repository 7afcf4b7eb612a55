#include "client/cli/up/run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/span.h"
#include "client/cli/up/child.h"
#include "client/cli/up/tree.h"
#include "client/cli/when.h"

#define OUR_LABEL  "tidings"
#define TEXT_BYTES 768
#define OUR_COLOUR 0u /* services have the next ones */

/* ---- words ---- */

void td_up_run_tell(struct td_up_run *r, const struct td_up_process *of,
                    const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    td_up_log_line(&r->log, of ? of->label : OUR_LABEL,
                   of ? of->colour : OUR_COLOUR, '*', text, strlen(text));
}

/* "120 ms", "3.2 s": short ones to the millisecond. */
static const char *span(char out[TD_SPAN_BYTES], int64_t ms)
{
    if (ms >= 1000)
        return td_span(out, (uint64_t)ms);
    snprintf(out, TD_SPAN_BYTES, "%" PRId64 " ms", ms);
    return out;
}

static void say_end(char *out, size_t size, int status)
{
    if (WIFEXITED(status))
        snprintf(out, size, "exited with %d", WEXITSTATUS(status));
    else
        snprintf(out, size, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
}

/* ---- beginning and end ---- */

static void put_label(char out[TD_UP_LABEL_BYTES],
                      const struct td_up_service *service, unsigned number)
{
    if (service->instances == 1)
        snprintf(out, TD_UP_LABEL_BYTES, "%s", service->name);
    else
        snprintf(out, TD_UP_LABEL_BYTES, "%s.%u", service->name, number);
}

int td_up_run_width(const struct td_up_spec *spec)
{
    size_t widest = strlen(OUR_LABEL);
    char label[TD_UP_LABEL_BYTES];

    for (uint32_t s = 0; s < spec->len; s++) {
        put_label(label, &spec->services[s], spec->services[s].instances);
        if (strlen(label) > widest)
            widest = strlen(label);
    }
    return (int)widest;
}

static const struct td_up_service *service_of(const struct td_up_run *r,
                                              uint32_t instance)
{
    return &r->spec->services[r->plan.instances[instance].service];
}

void td_up_run_init(struct td_up_run *r, const struct td_up_spec *spec,
                    const char *url, bool abort_on_failure, int64_t now_ms)
{
    r->spec = spec;
    r->url = url;
    r->guard = getppid();
    r->began_ms = now_ms;
    td_plan_init(&r->plan, spec, abort_on_failure, now_ms);
    for (uint32_t i = 0; i < r->plan.len; i++) {
        struct td_up_process *p = &r->processes[i];

        put_label(p->label, service_of(r, i), r->plan.instances[i].number);
        p->colour = r->plan.instances[i].service + OUR_COLOUR + 1;
        p->pipes[0].fd = p->pipes[1].fd = -1;
        p->run = r;
    }
}

void td_up_run_fini(struct td_up_run *r)
{
    td_probes_fini(&r->probes);
    td_tree_kill(NULL);
    for (uint32_t i = 0; i < r->plan.len; i++) {
        for (int k = 0; k < 2; k++) {
            if (r->processes[i].pipes[k].fd >= 0)
                close(r->processes[i].pipes[k].fd);
        }
    }
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* ---- starting ---- */

static void say_ready(struct td_up_run *r, uint32_t instance)
{
    char took[TD_SPAN_BYTES];

    td_up_run_tell(r, &r->processes[instance], "ready in %s",
                   span(took, r->plan.instances[instance].ready_ms));
}

static void spawn(struct td_up_run *r, uint32_t instance, int64_t now_ms)
{
    struct td_up_process *p = &r->processes[instance];
    const struct td_up_service *service = service_of(r, instance);
    struct td_child child;
    int why = td_child_spawn(&child, service, r->url, p->label);

    if (why) {
        snprintf(p->last, sizeof(p->last), "cannot be run");
        td_up_run_tell(r, p, "cannot be run: %s: %s; given up",
                       service->command[0], strerror(why));
        td_plan_unable(&r->plan, instance, now_ms);
        return;
    }
    p->pid = child.pid;
    p->pipes[0] = (struct td_up_pipe){.fd = child.out};
    p->pipes[1] = (struct td_up_pipe){.fd = child.err};
    p->started_ms = td_wall_ms();
    td_up_run_tell(r, p, "started, process %d", (int)p->pid);
    td_plan_spawned(&r->plan, instance, now_ms);
}

/* ---- stopping ---- */

static void signal_one(struct td_up_run *r, uint32_t instance)
{
    struct td_up_process *p = &r->processes[instance];
    const struct td_up_service *service = service_of(r, instance);
    char time[TD_SPAN_BYTES];

    if (r->plan.instances[instance].late)
        td_up_run_tell(r, p, "not ready within %s, stopping it: %s",
                       span(time, (int64_t)service->ready_timeout_ms),
                       p->unready);
    else
        td_up_run_tell(r, p, "stopping");
    td_child_signal(p->pid, service->stop_signal);
}

static void kill_one(struct td_up_run *r, uint32_t instance)
{
    struct td_up_process *p = &r->processes[instance];
    char time[TD_SPAN_BYTES];

    if (r->plan.killing)
        td_up_run_tell(r, p, "killing it");
    else
        td_up_run_tell(
            r, p, "still there after %s: killing it",
            span(time, (int64_t)service_of(r, instance)->stop_timeout_ms));
    td_child_signal(p->pid, SIGKILL);
}

/* ---- the end of a process ---- */

static void say_verdict(struct td_up_run *r, uint32_t instance,
                        enum td_plan_verdict verdict)
{
    const struct td_plan_instance *i = &r->plan.instances[instance];
    const struct td_up_service *service = service_of(r, instance);
    struct td_up_process *p = &r->processes[instance];
    char time[TD_SPAN_BYTES];

    switch (verdict) {
    case TD_PLAN_AGAIN:
        td_up_run_tell(r, p, "%s; again in %s", p->last,
                       span(time, i->due_ms - i->since_ms));
        break;
    case TD_PLAN_GIVEN_UP:
        if (service->policy == TD_UP_NEVER)
            td_up_run_tell(r, p, "%s; given up", p->last);
        else
            td_up_run_tell(r, p,
                           "%s; given up: started again %u times within "
                           "%s",
                           p->last, service->restarts_max,
                           span(time, (int64_t)service->restart_window_ms));
        break;
    case TD_PLAN_DONE:
        td_up_run_tell(r, p, "%s", p->last);
        break;
    case TD_PLAN_STOPPED:
        td_up_run_tell(r, p, "stopped: %s", p->last);
        break;
    }
}

/* It is dead, and not reaped yet: so its number, and that of its group, are no
 * others'. What it has started ends with it, wherever that stands by now. */
static void on_exit_of(struct td_up_run *r, uint32_t instance, int64_t now_ms)
{
    struct td_up_process *p = &r->processes[instance];
    int status = 0;
    bool well;

    td_child_signal(p->pid, SIGKILL);
    td_tree_kill(p->label);
    td_up_process_rest(p);
    waitpid(p->pid, &status, 0);
    well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    p->pid = 0;
    say_end(p->last, sizeof(p->last), status);
    say_verdict(r, instance, td_plan_exited(&r->plan, instance, well, now_ms));
}

static uint32_t find(const struct td_up_run *r, pid_t pid)
{
    uint32_t i = 0;

    while (i < r->plan.len && r->processes[i].pid != pid)
        i++;
    return i;
}

void td_up_run_reap(struct td_up_run *r, int64_t now_ms)
{
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        uint32_t instance;

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid == 0)
            return;
        instance = find(r, info.si_pid);
        if (instance < r->plan.len)
            on_exit_of(r, instance, now_ms);
        else
            waitpid(info.si_pid, NULL, 0); /* an orphan */
    }
}

/* ---- a step ---- */

/* The one that the process itself is given. */
static const char *url_of(const struct td_up_run *r,
                          const struct td_up_service *service)
{
    for (size_t i = 0; i < service->environment_len; i++) {
        if (strcmp(service->environment[i].name, "TIDINGS_URL") == 0)
            return service->environment[i].value;
    }
    return r->url;
}

static bool is_ready(struct td_up_run *r, uint32_t instance, int64_t now_ms)
{
    const struct td_up_service *service = service_of(r, instance);
    const char *url = url_of(r, service);

    switch (service->ready) {
    case TD_UP_READY_STARTED:
        return true;
    case TD_UP_READY_BUS:
        return td_probe_bus(&r->probes, url, now_ms);
    case TD_UP_READY_SERVICE:
        return td_probe_service(&r->probes, url, service->bus_name,
                                r->processes[instance].pid, now_ms);
    }
    return false;
}

/* While one is starting they are looked at again and again; then no bus is
 * kept. */
static void look(struct td_up_run *r, int64_t now_ms)
{
    bool some = false;

    if (now_ms < r->probe_ms)
        return;
    for (uint32_t i = 0; i < r->plan.len; i++) {
        if (r->plan.instances[i].state != TD_PLAN_STARTING)
            continue;
        if (is_ready(r, i, now_ms) && td_plan_ready(&r->plan, i, now_ms)) {
            say_ready(r, i);
            continue;
        }
        some = true;
        memcpy(r->processes[i].unready, r->probes.why, sizeof(r->probes.why));
    }
    r->probe_ms = some ? now_ms + TD_PROBE_EVERY_MS : TD_PLAN_NEVER;
    if (!some)
        td_probes_fini(&r->probes);
}

static void say_all(struct td_up_run *r, int64_t now_ms)
{
    char took[TD_SPAN_BYTES];

    if (!r->told_ready && !r->plan.stopping && td_plan_all_ready(&r->plan)) {
        r->told_ready = true;
        td_up_run_tell(r, NULL, "all ready in %s",
                       span(took, now_ms - r->began_ms));
    }
    if (!r->told_stop && r->plan.stopping) {
        r->told_stop = true;
        td_up_run_tell(r, NULL, "stopping all");
    }
}

void td_up_run_step(struct td_up_run *r, int64_t now_ms)
{
    enum td_plan_action action;
    uint32_t i;

    look(r, now_ms);
    say_all(r, now_ms);
    while ((action = td_plan_next(&r->plan, &i, now_ms)) != TD_PLAN_NOTHING) {
        if (action == TD_PLAN_SPAWN) {
            spawn(r, i, now_ms);
            r->probe_ms = now_ms;
        } else if (action == TD_PLAN_SIGNAL) {
            signal_one(r, i);
        } else {
            kill_one(r, i);
        }
    }
    say_all(r, now_ms);
    td_up_run_tell_dropped(r);
}

int64_t td_up_run_due(const struct td_up_run *r)
{
    int64_t due = td_plan_due(&r->plan);

    return r->probe_ms < due ? r->probe_ms : due;
}
