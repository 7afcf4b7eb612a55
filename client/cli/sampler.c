/* The thread of `tidings top` that asks the broker, so that keys are heard
 * while an answer is long in coming. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/connect.h"
#include "client/cli/out.h"
#include "client/cli/stop.h"
#include "client/cli/top.h"

#define SOON_US  250000 /* a second look, for rates, after the first of a kind */
#define RETRY_US 200000 /* while there is no broker */

static void wake(const struct td_top *top)
{
    if (write(top->wake[1], "", 1) < 0)
        return; /* full: there is news enough */
}

/* Takes sample. */
static void tell(struct td_top *top, struct td_sample *sample)
{
    struct tidings_value totals = td_pages_totals(&sample->pages);

    td_sample_rates(sample, &top->sample);
    pthread_mutex_lock(&top->lock);
    td_view_totals(top->totals, sample, &top->sample);
    td_sample_fini(&top->sample);
    top->sample = *sample;
    top->epoch = sample->pages.epoch;
    tidings_get_uint(&top->uptime_ms, totals, "uptime_ms");
    top->trouble[0] = '\0';
    pthread_mutex_unlock(&top->lock);
    wake(top);
}

static void tell_trouble(struct td_top *top, const char *why)
{
    pthread_mutex_lock(&top->lock);
    snprintf(top->trouble, sizeof(top->trouble), "%.199s", why);
    pthread_mutex_unlock(&top->lock);
    wake(top);
}

/* @return when to look again */
static int64_t look(struct td_top *top, const struct td_kind *kind)
{
    const struct td_kind *last = top->sample.kind; /* only we change it */
    int64_t now_us = td_clock_us();
    struct tidings_info info = {0};
    struct td_sample sample;
    tidings_err err = tidings_info(&info, top->bus);

    if (!err && !info.up) {
        tell_trouble(top, "reconnecting");
        return now_us + RETRY_US;
    }
    if (!err)
        err = td_sample_take(&sample, top->bus, kind,
                             td_timeout_ms(top->settings));
    if (err) {
        tell_trouble(top,
                     err == TIDINGS_EUNREACH ? "reconnecting" : td_why(err));
        return now_us + RETRY_US;
    }
    tell(top, &sample);
    return now_us + (last == kind || SOON_US > top->interval_us
                         ? top->interval_us
                         : SOON_US);
}

/* Until due_us, or something else is wanted. @return whether to go on */
static bool wait_for(struct td_top *top, int64_t due_us,
                     const struct td_kind **kind)
{
    struct timespec due = {.tv_sec = (time_t)(due_us / 1000000),
                           .tv_nsec = (long)(due_us % 1000000) * 1000};
    bool on;

    pthread_mutex_lock(&top->lock);
    while (!top->end && top->kind == *kind &&
           pthread_cond_timedwait(&top->changed, &top->lock, &due) == 0)
        ;
    *kind = top->kind;
    on = !top->end;
    pthread_mutex_unlock(&top->lock);
    return on;
}

static void *ask(void *arg)
{
    struct td_top *top = arg;
    const struct td_kind *kind = NULL;
    int64_t due_us = td_clock_us();

    while (wait_for(top, due_us, &kind))
        due_us = look(top, kind);
    return NULL;
}

static bool make_lock(struct td_top *top)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr))
        return false;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (pthread_mutex_init(&top->lock, NULL) ||
        pthread_cond_init(&top->changed, &attr))
        return false;
    pthread_condattr_destroy(&attr);
    return true;
}

bool td_top_start(struct td_top *top)
{
    if (!make_lock(top) || pipe(top->wake)) {
        td_complain("no pipe for the screen");
        return false;
    }
    for (int i = 0; i < 2; i++)
        fcntl(top->wake[i], F_SETFL, O_NONBLOCK);
    if (pthread_create(&top->thread, NULL, ask, top)) {
        td_complain("no thread for the screen");
        return false;
    }
    return true;
}

/* Closing the bus ends what the thread waits for. */
void td_top_stop(struct td_top *top)
{
    pthread_mutex_lock(&top->lock);
    top->end = true;
    pthread_cond_signal(&top->changed);
    pthread_mutex_unlock(&top->lock);
    tidings_close(top->bus);
    top->bus = NULL;
    pthread_join(top->thread, NULL);
    td_sample_fini(&top->sample);
    for (int i = 0; i < 2; i++)
        close(top->wake[i]);
    pthread_cond_destroy(&top->changed);
    pthread_mutex_destroy(&top->lock);
}

void td_top_show(struct td_top *top, const struct td_kind *kind)
{
    pthread_mutex_lock(&top->lock);
    top->kind = kind;
    pthread_cond_signal(&top->changed);
    pthread_mutex_unlock(&top->lock);
}
