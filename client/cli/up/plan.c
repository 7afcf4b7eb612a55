#include "client/cli/up/plan.h"

#include <string.h>

const char *td_plan_state_name(enum td_plan_state state)
{
    static const char *const names[] = {
        [TD_PLAN_WAITING] = "waiting",   [TD_PLAN_STARTING] = "starting",
        [TD_PLAN_READY] = "ready",       [TD_PLAN_BACKOFF] = "backoff",
        [TD_PLAN_STOPPING] = "stopping", [TD_PLAN_ENDED] = "ended",
        [TD_PLAN_FAILED] = "failed",
    };

    return names[state];
}

void td_plan_init(struct td_plan *p, const struct td_up_spec *spec,
                  bool abort_on_failure, int64_t now_ms)
{
    *p = (struct td_plan){.spec = spec, .abort_on_failure = abort_on_failure};
    for (uint32_t s = 0; s < spec->len; s++) {
        for (unsigned n = 1; n <= spec->services[s].instances; n++)
            p->instances[p->len++] = (struct td_plan_instance){
                .service = s,
                .number = n,
                .since_ms = now_ms,
                .due_ms = TD_PLAN_NEVER,
                .ready_ms = -1,
            };
    }
}

static const struct td_up_service *service_of(const struct td_plan *p,
                                              const struct td_plan_instance *i)
{
    return &p->spec->services[i->service];
}

static void enter(struct td_plan_instance *i, enum td_plan_state state,
                  int64_t now_ms, int64_t due_ms)
{
    i->state = state;
    i->since_ms = now_ms;
    i->due_ms = due_ms;
}

bool td_plan_alive(const struct td_plan_instance *i)
{
    return i->state == TD_PLAN_STARTING || i->state == TD_PLAN_READY ||
           i->state == TD_PLAN_STOPPING;
}

/* ---- what a service is to others ---- */

static bool is_ready(const struct td_plan *p, uint32_t service)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (p->instances[i].service == service && !p->instances[i].was_ready)
            return false;
    }
    return true;
}

static bool needs_ready(const struct td_plan *p, const struct td_up_service *s)
{
    for (uint32_t n = 0; n < s->needs_len; n++) {
        if (!is_ready(p, s->needs[n]))
            return false;
    }
    return true;
}

static bool is_alive(const struct td_plan *p, uint32_t service)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (p->instances[i].service == service &&
            td_plan_alive(&p->instances[i]))
            return true;
    }
    return false;
}

/* used[s]: a process is left of what needs s, directly or by way of others.
 * From the end of the order, so that those who need each are known before. */
static void find_used(const struct td_plan *p, bool used[TD_UP_SERVICES_MAX])
{
    memset(used, 0, TD_UP_SERVICES_MAX * sizeof(*used));
    if (!p->stopping)
        return; /* nobody asks */
    for (uint32_t at = p->spec->len; at-- > 0;) {
        uint32_t s = p->spec->order[at];
        const struct td_up_service *service = &p->spec->services[s];

        for (uint32_t n = 0; n < service->needs_len; n++) {
            if (used[s] || is_alive(p, s))
                used[service->needs[n]] = true;
        }
    }
}

/* hopeless[s]: s will never be ready. In order, so that what each needs is
 * known before it. */
static void find_hopeless(const struct td_plan *p,
                          bool hopeless[TD_UP_SERVICES_MAX])
{
    memset(hopeless, 0, TD_UP_SERVICES_MAX * sizeof(*hopeless));
    for (uint32_t at = 0; at < p->spec->len; at++) {
        uint32_t s = p->spec->order[at];
        const struct td_up_service *service = &p->spec->services[s];
        bool blocked = false;

        for (uint32_t n = 0; n < service->needs_len; n++)
            blocked = blocked || hopeless[service->needs[n]];
        for (uint32_t i = 0; i < p->len; i++) {
            const struct td_plan_instance *one = &p->instances[i];

            if (one->service == s && !one->was_ready &&
                (one->state == TD_PLAN_FAILED || one->state == TD_PLAN_ENDED ||
                 (one->state == TD_PLAN_WAITING && blocked)))
                hopeless[s] = true;
        }
    }
}

const struct td_up_service *td_plan_blocked_by(const struct td_plan *p,
                                               uint32_t instance)
{
    const struct td_plan_instance *i = &p->instances[instance];
    const struct td_up_service *service = service_of(p, i);
    bool hopeless[TD_UP_SERVICES_MAX];

    if (i->state != TD_PLAN_WAITING)
        return NULL;
    find_hopeless(p, hopeless);
    for (uint32_t n = 0; n < service->needs_len; n++) {
        if (hopeless[service->needs[n]])
            return &p->spec->services[service->needs[n]];
    }
    return NULL;
}

/* ---- what is to be done ---- */

static enum td_plan_action spawn(struct td_plan *p, struct td_plan_instance *i,
                                 int64_t now_ms)
{
    if (i->state == TD_PLAN_BACKOFF) {
        i->again_ms[i->restarts % TD_UP_RESTARTS_MAX] = now_ms;
        i->restarts++;
    }
    i->late = false;
    i->killed = false;
    i->ready_ms = -1;
    enter(i, TD_PLAN_STARTING, now_ms,
          now_ms + (int64_t)service_of(p, i)->ready_timeout_ms);
    return TD_PLAN_SPAWN;
}

static enum td_plan_action tell_to_end(struct td_plan *p,
                                       struct td_plan_instance *i,
                                       int64_t now_ms)
{
    enter(i, TD_PLAN_STOPPING, now_ms,
          now_ms + (int64_t)service_of(p, i)->stop_timeout_ms);
    return TD_PLAN_SIGNAL;
}

static enum td_plan_action kill_now(struct td_plan_instance *i, int64_t now_ms)
{
    if (i->state != TD_PLAN_STOPPING)
        enter(i, TD_PLAN_STOPPING, now_ms, TD_PLAN_NEVER);
    i->due_ms = TD_PLAN_NEVER;
    i->killed = true;
    return TD_PLAN_KILL;
}

/* What stands still goes away when all are stopped. */
static enum td_plan_action end_idle(struct td_plan_instance *i, int64_t now_ms)
{
    enter(i, TD_PLAN_ENDED, now_ms, TD_PLAN_NEVER);
    return TD_PLAN_NOTHING;
}

static enum td_plan_action next_waiting(struct td_plan *p,
                                        struct td_plan_instance *i,
                                        int64_t now_ms)
{
    if (p->stopping)
        return end_idle(i, now_ms);
    if (i->state == TD_PLAN_BACKOFF ? now_ms >= i->due_ms
                                    : needs_ready(p, service_of(p, i)))
        return spawn(p, i, now_ms);
    return TD_PLAN_NOTHING;
}

static enum td_plan_action next_running(struct td_plan *p,
                                        struct td_plan_instance *i, bool used,
                                        int64_t now_ms)
{
    if (p->stopping) {
        i->due_ms = TD_PLAN_NEVER; /* ready or not: it is to go */
        return used ? TD_PLAN_NOTHING : tell_to_end(p, i, now_ms);
    }
    if (now_ms < i->due_ms)
        return TD_PLAN_NOTHING;
    i->late = true;
    return tell_to_end(p, i, now_ms);
}

static enum td_plan_action next_of(struct td_plan *p,
                                   struct td_plan_instance *i, bool used,
                                   int64_t now_ms)
{
    if (p->killing && td_plan_alive(i) && !i->killed)
        return kill_now(i, now_ms);
    switch (i->state) {
    case TD_PLAN_WAITING:
    case TD_PLAN_BACKOFF:
        return next_waiting(p, i, now_ms);
    case TD_PLAN_STARTING:
    case TD_PLAN_READY:
        return next_running(p, i, used, now_ms);
    case TD_PLAN_STOPPING:
        return now_ms >= i->due_ms ? kill_now(i, now_ms) : TD_PLAN_NOTHING;
    case TD_PLAN_ENDED:
    case TD_PLAN_FAILED:
        break;
    }
    return TD_PLAN_NOTHING;
}

enum td_plan_action td_plan_next(struct td_plan *p, uint32_t *instance,
                                 int64_t now_ms)
{
    bool used[TD_UP_SERVICES_MAX];

    find_used(p, used);
    for (uint32_t i = 0; i < p->len; i++) {
        struct td_plan_instance *one = &p->instances[i];
        enum td_plan_action action =
            next_of(p, one, used[one->service], now_ms);

        if (action != TD_PLAN_NOTHING) {
            *instance = i;
            return action;
        }
    }
    return TD_PLAN_NOTHING;
}

int64_t td_plan_due(const struct td_plan *p)
{
    int64_t due = TD_PLAN_NEVER;

    for (uint32_t i = 0; i < p->len; i++) {
        if (p->instances[i].due_ms < due)
            due = p->instances[i].due_ms;
    }
    return due;
}

/* ---- what happened ---- */

bool td_plan_ready(struct td_plan *p, uint32_t instance, int64_t now_ms)
{
    struct td_plan_instance *i = &p->instances[instance];

    if (i->state != TD_PLAN_STARTING)
        return false;
    i->was_ready = true;
    i->ready_ms = now_ms - i->since_ms;
    enter(i, TD_PLAN_READY, now_ms, TD_PLAN_NEVER);
    return true;
}

bool td_plan_spawned(struct td_plan *p, uint32_t instance, int64_t now_ms)
{
    return service_of(p, &p->instances[instance])->ready ==
               TD_UP_READY_STARTED &&
           td_plan_ready(p, instance, now_ms);
}

static enum td_plan_verdict give_up(struct td_plan *p,
                                    struct td_plan_instance *i, int64_t now_ms)
{
    enter(i, TD_PLAN_FAILED, now_ms, TD_PLAN_NEVER);
    if (p->abort_on_failure)
        p->stopping = true;
    return TD_PLAN_GIVEN_UP;
}

void td_plan_unable(struct td_plan *p, uint32_t instance, int64_t now_ms)
{
    give_up(p, &p->instances[instance], now_ms);
}

/* Whether as many restarts as may be were within the window before now. */
static bool too_often(const struct td_plan_instance *i,
                      const struct td_up_service *s, int64_t now_ms)
{
    if (i->restarts < s->restarts_max)
        return false;
    return now_ms - i->again_ms[(i->restarts - s->restarts_max) %
                                TD_UP_RESTARTS_MAX] <
           (int64_t)s->restart_window_ms;
}

static uint64_t backoff(const struct td_up_service *s, unsigned failures)
{
    uint64_t ms = s->backoff_ms;

    while (failures-- > 0 && ms < s->backoff_max_ms)
        ms *= 2;
    return ms < s->backoff_max_ms ? ms : s->backoff_max_ms;
}

static enum td_plan_verdict again(struct td_plan *p, struct td_plan_instance *i,
                                  int64_t now_ms)
{
    const struct td_up_service *s = service_of(p, i);

    if (too_often(i, s, now_ms))
        return give_up(p, i, now_ms);
    if (i->state == TD_PLAN_READY &&
        now_ms - i->since_ms > (int64_t)s->backoff_max_ms)
        i->failures = 0;
    enter(i, TD_PLAN_BACKOFF, now_ms,
          now_ms + (int64_t)backoff(s, i->failures));
    i->failures++;
    return TD_PLAN_AGAIN;
}

enum td_plan_verdict td_plan_exited(struct td_plan *p, uint32_t instance,
                                    bool well, int64_t now_ms)
{
    struct td_plan_instance *i = &p->instances[instance];
    enum td_up_policy policy = service_of(p, i)->policy;

    if (p->stopping) {
        enter(i, TD_PLAN_ENDED, now_ms, TD_PLAN_NEVER);
        return TD_PLAN_STOPPED;
    }
    well = well && !i->late;
    if (policy == TD_UP_ALWAYS || (policy == TD_UP_ON_FAILURE && !well))
        return again(p, i, now_ms);
    if (!well)
        return give_up(p, i, now_ms);
    enter(i, TD_PLAN_ENDED, now_ms, TD_PLAN_NEVER);
    return TD_PLAN_DONE;
}

void td_plan_stop(struct td_plan *p)
{
    p->stopping = true;
}

void td_plan_kill(struct td_plan *p)
{
    p->stopping = true;
    p->killing = true;
}

/* ---- how it is ---- */

bool td_plan_over(const struct td_plan *p)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (td_plan_alive(&p->instances[i]) ||
            p->instances[i].state == TD_PLAN_BACKOFF)
            return false;
    }
    for (uint32_t i = 0; i < p->len; i++) {
        if (p->instances[i].state == TD_PLAN_WAITING &&
            !td_plan_blocked_by(p, i))
            return false;
    }
    return true;
}

bool td_plan_all_ready(const struct td_plan *p)
{
    for (uint32_t i = 0; i < p->len; i++) {
        const struct td_plan_instance *one = &p->instances[i];

        if (one->state != TD_PLAN_READY && one->state != TD_PLAN_ENDED)
            return false;
    }
    return true;
}

bool td_plan_failed(const struct td_plan *p)
{
    for (uint32_t i = 0; i < p->len; i++) {
        if (p->instances[i].state == TD_PLAN_FAILED || td_plan_blocked_by(p, i))
            return true;
    }
    return false;
}
