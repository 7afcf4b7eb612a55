/* A loop of the caller's own: handlers run when it says so. */
#include "client/api.h"
#include "client/detail.h"

tidings_err tidings_fd(int *out, tidings_bus *bus)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = td_enter(bus, &err);

    if (!b)
        return err;
    if (!out)
        err = td_fail(TIDINGS_EINVAL, "out is NULL");
    else if (!b->own_loop)
        err = td_fail(TIDINGS_ENOTSUP, "the bus was opened without own_loop");
    else
        *out = b->dispatch_fd;
    td_exit(b);
    return err;
}

tidings_err tidings_dispatch(size_t *dispatched, tidings_bus *bus,
                             size_t max_events)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = td_enter(bus, &err);
    size_t n = 0;

    if (!b)
        return err;
    if (max_events == 0)
        err = td_fail(TIDINGS_EINVAL, "max_events is 0");
    else if (!b->own_loop)
        err = td_fail(TIDINGS_ENOTSUP, "the bus was opened without own_loop");
    else if (b->dispatching)
        err = td_fail(TIDINGS_EDEADLK, "handlers of this bus are running");
    else {
        b->users++; /* the bus stays while handlers run */
        n = td_dispatch(b, max_events);
        b->users--;
        td_bus_changed(b);
    }
    if (!err && dispatched)
        *dispatched = n;
    td_exit(b);
    return err;
}
