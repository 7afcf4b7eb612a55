#include "client/deadline.h"

#include "client/bus.h"
#include "client/detail.h"

static _Thread_local int64_t deadline_us = TD_NO_DEADLINE;

int64_t td_deadline_us(void)
{
    return deadline_us;
}

int64_t td_deadline_left_us(void)
{
    int64_t now_us;

    if (deadline_us == TD_NO_DEADLINE)
        return TD_NO_DEADLINE;
    now_us = td_now_us();
    return deadline_us > now_us ? deadline_us - now_us : 0;
}

int64_t td_deadline_set(int64_t at_us)
{
    int64_t before_us = deadline_us;

    if (at_us < deadline_us)
        deadline_us = at_us;
    return before_us;
}

void td_deadline_restore(int64_t before_us)
{
    deadline_us = before_us;
}

tidings_err tidings_with_deadline(int timeout_ms, tidings_work work, void *arg)
{
    int64_t before_us;
    tidings_err err;

    if (!work)
        return td_fail(TIDINGS_EINVAL, "work is NULL");
    if (timeout_ms < 1 || timeout_ms > TIDINGS_TIMEOUT_MAX_MS)
        return td_fail(TIDINGS_EINVAL, "timeout_ms is %d; 1 to %d", timeout_ms,
                       TIDINGS_TIMEOUT_MAX_MS);
    if (td_deadline_left_us() == 0)
        return td_fail(TIDINGS_ETIMEDOUT, "the thread's deadline has passed");
    before_us = td_deadline_set(td_now_us() + (int64_t)timeout_ms * 1000);
    err = work(arg);
    td_deadline_restore(before_us);
    return err;
}

int tidings_deadline_left_ms(void)
{
    int64_t left_ms = td_deadline_left_us() / 1000;

    return left_ms < TIDINGS_TIMEOUT_MAX_MS ? (int)left_ms
                                            : TIDINGS_TIMEOUT_MAX_MS;
}
