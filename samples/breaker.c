/* What keeps a failure where it is: payments that get no answer for a while,
 * behind retries and a circuit breaker. */
#include <stdio.h>
#include <time.h>

#include <tidings/tidings.h>

static tidings_breaker *payments;

/* Any call that may fail: a request, a database. This one fails three times. */
static tidings_err charge(void *arg)
{
    int *calls = arg;

    if (++*calls > 3)
        return TIDINGS_OK;
    tidings_set_detail("payments do not answer");
    return TIDINGS_ETIMEDOUT;
}

static tidings_err charge_if_it_works(void *arg)
{
    return tidings_breaker_call(payments, charge, arg);
}

static void on_change(void *arg, const struct tidings_breaker_change *change)
{
    (void)arg;
    printf("%s: breaker is %s\n", change->name,
           tidings_breaker_state_name(change->state));
}

int main(void)
{
    const struct tidings_breaker_options careful = {
        .name = "payments",
        .bounds = {.failures = 3, .recovery_ms = 500},
        .successes = 1,
        .on_change = on_change};
    const struct tidings_retry_options quick = {.tries = 3, .backoff_ms = 10};
    const struct timespec pause = {.tv_nsec = 600000000};
    tidings_retry *retry = NULL;
    tidings_err err;
    int calls = 0;

    if ((err = tidings_breaker_new(&payments, &careful)) ||
        (err = tidings_retry_new(&retry, &quick))) {
        fprintf(stderr, "%s: %s\n", tidings_err_text(err), tidings_detail());
        return 1;
    }
    err = tidings_retry_run(retry, charge_if_it_works, &calls, 2000);
    printf("order 1: %s\n", tidings_detail());
    err = tidings_retry_run(retry, charge_if_it_works, &calls, 2000);
    printf("order 2: %s\n", tidings_err_text(err)); /* without a call */
    nanosleep(&pause, NULL);
    err = tidings_retry_run(retry, charge_if_it_works, &calls, 2000);
    printf("order 3: %s after %d calls\n", tidings_err_text(err), calls);
    tidings_retry_free(retry);
    tidings_breaker_free(payments);
    return err != TIDINGS_OK;
}
