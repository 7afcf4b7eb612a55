/* Options of `tidings service` and `tidings request`. */
#include <string.h>

#include "client/cli/option_set.h"
#include "client/cli/option_values.h"
#include "client/cli/when.h"

#define ATTEMPTS_MAX 10

/* ---- of service ---- */

const char *td_set_id(struct td_settings *settings, const char *value)
{
    settings->service.id = value;
    return *value ? NULL : "the id of an instance";
}

const char *td_set_undo(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->service.undo = true;
    return NULL;
}

const char *td_set_wait(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->service.wait = true;
    return NULL;
}

/* ---- of request ---- */

/* Seconds as elsewhere, or with a unit. */
const char *td_set_request_timeout(struct td_settings *settings,
                                   const char *value)
{
    uint64_t ms;

    if (td_read_seconds(&settings->timeout_s, value) == NULL)
        return NULL;
    if (td_read_duration(&ms, value, TIDINGS_TIMEOUT_MAX_MS))
        return "a time such as 500ms, 5s or 1m";
    settings->timeout_s = (double)ms / 1000;
    return NULL;
}

const char *td_set_service(struct td_settings *settings, const char *value)
{
    settings->service.request.service = value;
    return *value ? NULL : "the name of a service";
}

const char *td_set_instance(struct td_settings *settings, const char *value)
{
    settings->service.request.instance = value;
    return *value ? NULL : "the id of an instance";
}

const char *td_set_of_version(struct td_settings *settings, const char *value)
{
    settings->service.request.version = value;
    return *value ? NULL : "the version of a service";
}

const char *td_set_balance(struct td_settings *settings, const char *value)
{
    static const char *const words[] = {
        [TIDINGS_BALANCE_DEFAULT] = "default",
        [TIDINGS_BALANCE_ROUND_ROBIN] = "round_robin",
        [TIDINGS_BALANCE_RANDOM] = "random",
        [TIDINGS_BALANCE_LEAST_IN_FLIGHT] = "least_in_flight",
        [TIDINGS_BALANCE_KEY] = "by_key",
        [TIDINGS_BALANCE_LATENCY] = "latency",
        NULL};
    int word = td_read_word(words, value);

    if (word < 1)
        return "round_robin, random, least_in_flight, by_key or latency";
    settings->service.request.balance = (enum tidings_balance)word;
    return NULL;
}

const char *td_set_many(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->service.many = true;
    return NULL;
}

const char *td_set_quiet(struct td_settings *settings, const char *value)
{
    return td_read_duration(&settings->service.quiet_ms, value,
                            TIDINGS_TIMEOUT_MAX_MS)
               ? "a time such as 200ms or 5s"
               : NULL;
}

const char *td_set_idempotent(struct td_settings *settings, const char *value)
{
    (void)value;
    settings->service.request.idempotent = true;
    return NULL;
}

const char *td_set_attempts(struct td_settings *settings, const char *value)
{
    return td_read_up_to(&settings->service.request.attempts, value,
                         ATTEMPTS_MAX, "1 to 10");
}
