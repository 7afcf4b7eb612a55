/* Discovery: who there is, from the copy of the registry. */
#include "client/api.h"
#include "client/detail.h"
#include "proto/service.h"

#include <string.h>

static bool is_known(struct td_bus *b, void *arg)
{
    struct td_discovery *d = &b->discovery;

    (void)arg;
    td_discovery_step(b);
    return td_discovery_is_true(b) || d->err || !d->sub ||
           d->sub->state == TD_CSUB_REFUSED;
}

/* There is no copy that is true, and the broker will not give us one. */
static tidings_err refused(struct td_discovery *d)
{
    tidings_err err = d->err;

    d->err = TIDINGS_OK; /* the next call asks again */
    if (err)
        return td_fail(err, "service.list: %s",
                       *d->question.text ? d->question.text
                                         : tidings_err_text(err));
    if (!d->sub) /* another thread had no memory to begin anew */
        return TIDINGS_ENOMEM;
    return td_fail(d->sub->code, "discover: %s", d->sub->text);
}

/* With the lock: waits for a copy, the first or one that is true again. */
static tidings_err wait_for(struct td_bus *b, int timeout_ms)
{
    struct td_discovery *d = &b->discovery;
    tidings_err err = td_discovery_begin(b);

    if (err == TIDINGS_ELIMIT)
        return td_fail(err, "%u subscriptions on this bus",
                       TD_SUBSCRIPTIONS_MAX);
    if (err)
        return err;
    td_bus_touched(b);
    if (td_bus_wait_broker(b, is_known, NULL, td_now_ms() + timeout_ms)) {
        if (td_discovery_is_true(b))
            return TIDINGS_OK;
        if (!d->whole)
            return refused(d);
        d->err = TIDINGS_OK; /* what there is will do; the next call asks */
        return TIDINGS_OK;
    }
    return d->whole && !b->closing ? TIDINGS_OK : td_why_not(b, "discover");
}

tidings_err tidings_discover(struct tidings_instances **out, tidings_bus *bus,
                             const char *name, int timeout_ms)
{
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus *b;

    if (!err && !out)
        err = td_fail(TIDINGS_EINVAL, "out is NULL");
    if (!err && name && !td_service_name_valid(name, strlen(name)))
        err = td_fail(TIDINGS_EINVAL, "\"%.70s\" is no service's name", name);
    b = err ? NULL : td_enter(bus, &err);
    if (!b)
        return err;
    if (b->discovery.sub)
        td_bus_look(b);
    if (!td_discovery_is_true(b))
        err = wait_for(b, timeout_ms);
    if (!err) {
        struct tidings_instances *list;

        td_discovery_step(b); /* it may have become stale since */
        list = td_registry_list(&b->discovery.copy, name);
        if (list)
            *out = list;
        else
            err = TIDINGS_ENOMEM;
    }
    td_exit(b);
    return err;
}
