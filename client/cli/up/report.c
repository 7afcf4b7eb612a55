#include "client/cli/up/report.h"

#include "client/cli/when.h"

static void put_text(tidings_writer *out, const char *key, const char *value)
{
    tidings_put_string(out, key);
    tidings_put_string(out, value);
}

/* -1: none */
static void put_number(tidings_writer *out, const char *key, int64_t value)
{
    tidings_put_string(out, key);
    if (value < 0)
        tidings_put_nil(out);
    else
        tidings_put_int(out, value);
}

static void put_instance(tidings_writer *out, const struct td_up_run *r,
                         uint32_t instance, int64_t now_ms)
{
    const struct td_plan_instance *i = &r->plan.instances[instance];
    const struct td_up_process *p = &r->processes[instance];
    const struct td_up_service *blocker =
        td_plan_blocked_by(&r->plan, instance);

    tidings_put_map(out, 10);
    put_text(out, "service", r->spec->services[i->service].name);
    put_number(out, "instance", i->number);
    put_text(out, "state", td_plan_state_name(i->state));
    put_number(out, "pid", p->pid ? p->pid : -1);
    put_number(out, "restarts", (int64_t)i->restarts);
    put_number(out, "since_ms", td_wall_ms() - (now_ms - i->since_ms));
    put_number(out, "started_ms", p->started_ms ? p->started_ms : -1);
    put_number(out, "ready_ms", i->ready_ms);
    put_text(out, "last", *p->last ? p->last : NULL);
    put_text(out, "blocked_by", blocker ? blocker->name : NULL);
}

void td_up_report(tidings_writer *out, const struct td_up_run *r,
                  const char *file, int64_t now_ms)
{
    const char *state = r->plan.stopping              ? "stopping"
                        : td_plan_all_ready(&r->plan) ? "ready"
                        : td_plan_failed(&r->plan)    ? "failed"
                                                      : "starting";

    tidings_put_map(out, 5);
    put_text(out, "file", file);
    put_number(out, "pid", r->guard); /* the process that a person started */
    put_text(out, "url", r->url);
    put_text(out, "state", state);
    tidings_put_string(out, "instances");
    tidings_put_array(out, r->plan.len);
    for (uint32_t i = 0; i < r->plan.len; i++)
        put_instance(out, r, i, now_ms);
}
