#include "client/deadline.h"

#include "client/bus.h"

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
