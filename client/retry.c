/* Retries: backoff and budget are pure; here are the lock, the sleep, and the
 * words about why no more was tried. */
#include "client/bus.h"
#include "client/deadline.h"
#include "client/detail.h"
#include "client/resilience.h"
#include "proto/backoff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct tidings_retry {
    pthread_mutex_t lock; /* guards what changes */
    uint32_t tries;
    uint32_t backoff_ms;
    uint32_t backoff_max_ms;
    enum td_jitter jitter;
    bool has_budget;
    bool (*is_worth)(void *arg, tidings_err err);
    void *arg;
    struct td_budget budget;
    uint64_t random;
    struct tidings_retry_info counts; /* but budget */
};

bool tidings_is_worth_retry(tidings_err err)
{
    static const bool worth[] = {
        [TIDINGS_EFULL] = true,     [TIDINGS_ETIMEDOUT] = true,
        [TIDINGS_EUNREACH] = true,  [TIDINGS_ELOST] = true,
        [TIDINGS_EHANDLER] = true,  [TIDINGS_ENORESPONDER] = true,
        [TIDINGS_ESHUTDOWN] = true,
    };

    return (unsigned)err < sizeof(worth) && worth[err];
}

static bool default_worth(void *arg, tidings_err err)
{
    (void)arg;
    return tidings_is_worth_retry(err);
}

/* ---- life ---- */

static tidings_err take_options(struct tidings_retry *r,
                                const struct tidings_retry_options *o)
{
    static const enum td_jitter jitters[] = {
        [TIDINGS_JITTER_FULL] = TD_JITTER_FULL,
        [TIDINGS_JITTER_HALF] = TD_JITTER_HALF,
        [TIDINGS_JITTER_NONE] = TD_JITTER_NONE,
    };
    uint32_t percent, burst;
    tidings_err err;

    err = td_take_number(&r->tries, "tries", o->tries, TD_TRIES, TD_TRIES_MAX);
    if (!err)
        err = td_take_number(&r->backoff_ms, "backoff_ms", o->backoff_ms,
                             TD_TRY_BACKOFF_MS, TIDINGS_TIMEOUT_MAX_MS);
    if (!err)
        err = td_take_number(&r->backoff_max_ms, "backoff_max_ms",
                             o->backoff_max_ms, TD_TRY_BACKOFF_MAX_MS,
                             TIDINGS_TIMEOUT_MAX_MS);
    if (!err)
        err = td_take_number_or_none(&percent, "budget_percent",
                                     o->budget_percent, TD_BUDGET_PERCENT, 100);
    if (!err)
        err = td_take_number(&burst, "budget_burst", o->budget_burst,
                             TD_BUDGET_BURST, TD_BUDGET_BURST_MAX);
    if (!err && (unsigned)o->jitter > TIDINGS_JITTER_NONE)
        err = td_fail(TIDINGS_EINVAL, "jitter is %d: none", (int)o->jitter);
    if (err)
        return err;
    r->jitter = jitters[o->jitter];
    r->has_budget = percent > 0;
    td_budget_init(&r->budget, percent, burst);
    r->is_worth = o->is_worth ? o->is_worth : default_worth;
    r->arg = o->arg;
    return TIDINGS_OK;
}

tidings_err tidings_retry_new(tidings_retry **out,
                              const struct tidings_retry_options *options)
{
    const struct tidings_retry_options defaults = {0};
    struct tidings_retry *r;
    tidings_err err;

    if (!out)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    r = calloc(1, sizeof(*r));
    if (!r)
        return td_fail(TIDINGS_ENOMEM, "a retry");
    err = take_options(r, options ? options : &defaults);
    if (!err && getrandom(&r->random, sizeof(r->random), 0) !=
                    (ssize_t)sizeof(r->random))
        err = td_fail(TIDINGS_EIO, "no random numbers: %s", strerror(errno));
    if (err) {
        free(r);
        return err;
    }
    r->random |= 1;
    pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return TIDINGS_OK;
}

void tidings_retry_free(tidings_retry *retry)
{
    if (!retry)
        return;
    pthread_mutex_destroy(&retry->lock);
    free(retry);
}

/* ---- another try? ---- */

enum why { AGAIN, EXHAUSTED, UNWORTHY, CUT, NO_TIME };

static uint64_t next_random(struct tidings_retry *r)
{
    r->random ^= r->random << 13; /* xorshift64 */
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random;
}

/* With the lock. The budget is asked last: what is not made costs nothing. */
static enum why judge(struct tidings_retry *r, unsigned tries, bool worth,
                      int64_t left_us, int *wait_ms)
{
    uint32_t ms;

    if (!worth)
        return UNWORTHY;
    if (tries >= r->tries)
        return EXHAUSTED;
    ms = td_backoff_ms(r->backoff_ms, r->backoff_max_ms, tries, r->jitter,
                       next_random(r));
    if ((int64_t)ms * 1000 >= left_us)
        return NO_TIME;
    if (r->has_budget && !td_budget_take(&r->budget))
        return CUT;
    *wait_ms = (int)ms;
    return AGAIN;
}

static enum why ask(struct tidings_retry *r, unsigned tries, tidings_err err,
                    int64_t left_us, int *wait_ms)
{
    bool worth = r->is_worth(r->arg, err);
    enum why why;

    pthread_mutex_lock(&r->lock);
    why = judge(r, tries, worth, left_us, wait_ms);
    r->counts.retries += why == AGAIN;
    r->counts.exhausted += why == EXHAUSTED;
    r->counts.unworthy += why == UNWORTHY;
    r->counts.cut += why == CUT;
    r->counts.timeouts += why == NO_TIME;
    pthread_mutex_unlock(&r->lock);
    return why;
}

void tidings_retry_begin(tidings_retry *retry)
{
    if (!retry)
        return;
    pthread_mutex_lock(&retry->lock);
    retry->counts.begun++;
    td_budget_add(&retry->budget);
    pthread_mutex_unlock(&retry->lock);
}

tidings_err tidings_retry_again(tidings_retry *retry, unsigned tries,
                                tidings_err err, int *wait_ms)
{
    if (!retry || !wait_ms)
        return td_fail(TIDINGS_EINVAL, "retry or wait_ms is NULL");
    if (tries == 0 || err == TIDINGS_OK)
        return td_fail(TIDINGS_EINVAL, "%s",
                       tries == 0 ? "tries is 0; 1 is the first"
                                  : "err is TIDINGS_OK");
    return ask(retry, tries, err, td_deadline_left_us(), wait_ms) == AGAIN
               ? TIDINGS_OK
               : err;
}

/* ---- a run ---- */

/* Adds to the detail, which is that of the last try. */
static tidings_err gave_up(tidings_err err, enum why why, unsigned tries)
{
    static const char *const words[] = {[EXHAUSTED] = "",
                                        [UNWORTHY] = "",
                                        [CUT] = "; the budget is spent",
                                        [NO_TIME] = "; no time is left"};
    char detail[TD_DETAIL_BYTES];
    size_t len;

    memcpy(detail, td_detail_bytes(), sizeof(detail));
    len = strlen(detail);
    if (len > TD_DETAIL_BYTES - 64) /* what is added fits */
        detail[TD_DETAIL_BYTES - 64] = '\0';
    return td_fail(err, "%s%s%u %s%s%s", detail, len > 0 ? " (" : "", tries,
                   tries == 1 ? "try" : "tries", words[why],
                   len > 0 ? ")" : "");
}

static tidings_err run(struct tidings_retry *r, tidings_work work, void *arg)
{
    tidings_retry_begin(r);
    for (unsigned tries = 1;; tries++) {
        int wait_ms = 0;
        enum why why;
        tidings_err err;

        tidings_set_detail("");
        err = work(arg);
        if (!err)
            return TIDINGS_OK;
        why = ask(r, tries, err, td_deadline_left_us(), &wait_ms);
        if (why != AGAIN)
            return gave_up(err, why, tries);
        td_sleep_until_us(td_now_us() + (int64_t)wait_ms * 1000);
    }
}

struct task {
    struct tidings_retry *retry;
    tidings_work work;
    void *arg;
};

static tidings_err run_task(void *arg)
{
    const struct task *t = arg;

    return run(t->retry, t->work, t->arg);
}

tidings_err tidings_retry_run(tidings_retry *retry, tidings_work work,
                              void *arg, int timeout_ms)
{
    struct task task = {retry, work, arg};

    if (!retry || !work)
        return td_fail(TIDINGS_EINVAL, "retry or work is NULL");
    return tidings_with_deadline(timeout_ms, run_task, &task);
}

tidings_err tidings_retry_info(struct tidings_retry_info *out,
                               tidings_retry *retry)
{
    if (!out || !retry)
        return td_fail(TIDINGS_EINVAL, "out or retry is NULL");
    pthread_mutex_lock(&retry->lock);
    *out = retry->counts;
    out->budget =
        retry->has_budget ? retry->budget.hundredths / 100 : UINT64_MAX;
    pthread_mutex_unlock(&retry->lock);
    return TIDINGS_OK;
}
