#include "client/cli/expect.h"

#include <inttypes.h>

#include "client/cli/out.h"

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct td_expect *x = arg;

    x->err = confirm->err;
    x->actual = confirm->sequence;
}

bool td_expect_asked(const struct td_settings *settings)
{
    return settings->durable.expects || settings->durable.expects_key;
}

struct tidings_publish_options td_expect_options(
    struct td_expect *x, const struct td_settings *settings)
{
    return (struct tidings_publish_options){
        .on_confirm = on_confirm,
        .arg = x,
        .expects = settings->durable.expects,
        .expects_key = settings->durable.expects_key,
        .expected = settings->durable.expected,
    };
}

int td_expect_tell(const struct td_expect *x,
                   const struct td_settings *settings, int code)
{
    const char *what = settings->durable.expects_key ? "key" : "stream";

    if (!x->err)
        return code;
    if (x->err == TIDINGS_ECONFLICT)
        td_complain("not stored: the last sequence of the %s is %" PRIu64, what,
                    x->actual);
    else
        td_complain("not stored: %s", tidings_err_text(x->err));
    if (x->err == TIDINGS_EINVAL)
        td_advise("--expect-key wants a --key, and a stream added with "
                  "--keyed");
    return x->err == TIDINGS_EINVAL || x->err == TIDINGS_ENOSTREAM
               ? TD_EXIT_USAGE
               : TD_EXIT_FAILED;
}
