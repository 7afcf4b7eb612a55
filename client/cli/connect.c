#include "client/cli/connect.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/out.h"
#include "client/cli/stop.h"

#define SLICE_MS 100 /* how soon a signal is heard while we wait */

const char *td_url(const struct td_settings *settings)
{
    const char *url = getenv("TIDINGS_URL");

    if (settings->url)
        return settings->url;
    return url && *url ? url : TIDINGS_DEFAULT_URL;
}

int td_timeout_ms(const struct td_settings *settings)
{
    double seconds =
        settings->timeout_s > 0 ? settings->timeout_s : TD_CLI_TIMEOUT_S;
    int ms = (int)(seconds * 1000);

    return ms > 0 ? ms : 1;
}

/* The detail names the URL as well; the reason is what follows it. */
static const char *reason(const char *url)
{
    const char *detail = tidings_detail();
    const char *at = strstr(detail, url);

    if (!at)
        return detail;
    at += strlen(url);
    return at + strspn(at, ": ");
}

int td_no_words(const struct td_settings *settings, const char *command)
{
    if (settings->words_len == 0)
        return TD_EXIT_DONE;
    td_complain("%s takes no \"%s\"; the broker is named by --url", command,
                settings->words[0]);
    return TD_EXIT_USAGE;
}

int td_no_broker(const struct td_settings *settings)
{
    const char *url = td_url(settings);
    const char *why = reason(url);

    td_complain("no broker answers at %s%s%s", url, *why ? ": " : "", why);
    td_advise("start one with: tidingsd --listen %s", url);
    td_advise("or name another with --url or TIDINGS_URL");
    return TD_EXIT_NO_BROKER;
}

/* In slices, so that a signal need not wait for the whole timeout. */
static tidings_err wait_for(tidings_bus *bus, int timeout_ms)
{
    tidings_err err;

    do {
        int slice_ms = timeout_ms < SLICE_MS ? timeout_ms : SLICE_MS;

        err = tidings_wait(bus, slice_ms);
        timeout_ms -= slice_ms;
    } while ((err == TIDINGS_EUNREACH || err == TIDINGS_EVERSION) &&
             timeout_ms > 0 && !td_stopped());
    return err;
}

static int cannot_open(tidings_err err, const char *url)
{
    const char *why = reason(url);

    td_complain("%s: %s", url, *why ? why : tidings_err_text(err));
    if (err != TIDINGS_EINVAL && err != TIDINGS_ENOTSUP)
        return TD_EXIT_FAILED;
    td_advise("a URL is tcp://HOST:PORT or ipc:///PATH");
    return TD_EXIT_USAGE;
}

int td_connect(tidings_bus **out, const struct td_settings *settings,
               const struct tidings_options *options)
{
    const char *url = td_url(settings);
    tidings_bus *bus = NULL;
    tidings_err err;
    int code = TD_EXIT_DONE;

    err = tidings_open(&bus, url, options);
    if (err)
        return cannot_open(err, url);

    err = wait_for(bus, td_timeout_ms(settings));
    if (err == TIDINGS_EUNREACH && td_stopped())
        code = TD_EXIT_FAILED; /* whoever sent the signal knows */
    else if (err == TIDINGS_EUNREACH)
        code = td_no_broker(settings);
    else if (err) {
        td_complain("broker at %s: %s", url, td_why(err));
        code = err == TIDINGS_EVERSION ? TD_EXIT_NO_BROKER : TD_EXIT_FAILED;
    }
    if (code == TD_EXIT_DONE)
        *out = bus;
    else
        tidings_close(bus);
    return code;
}
