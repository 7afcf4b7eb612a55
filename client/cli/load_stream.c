/* The stream of a bench: made for it, and gone with it. */
#include <stdio.h>
#include <string.h>

#include "client/cli/ask.h"
#include "client/cli/connect.h"
#include "client/cli/load.h"

enum tidings_level td_load_level(const struct td_load *load)
{
    enum tidings_level given = load->settings->durable.confirm;

    if (!load->settings->bench.durable)
        return TIDINGS_NO_CONFIRM;
    return given ? given : TIDINGS_DISK;
}

int td_load_keep(struct td_load *load)
{
    const struct tidings_options options = {.name = "tidings-bench",
                                            .close_timeout_ms = -1};
    const char *pattern = load->pattern;
    struct tidings_stream_options stream = {.patterns = &pattern,
                                            .patterns_len = 1};
    const char *name = strrchr(load->types[0], '-'); /* of this process */
    tidings_err err;
    int code;

    if (!load->settings->bench.durable)
        return TD_EXIT_DONE;
    code = td_connect(&load->keeper, load->settings, &options);
    if (code != TD_EXIT_DONE)
        return code;
    snprintf(load->stream, sizeof(load->stream), "tidings-bench%.*s",
             (int)strcspn(name, "."), name);
    stream.name = load->stream;
    err = tidings_stream_add(load->keeper, &stream,
                             td_timeout_ms(load->settings));
    if (!err)
        return TD_EXIT_DONE;
    code = td_refused(load->settings, err, load->stream);
    load->stream[0] = '\0';
    return code;
}

void td_load_forget(struct td_load *load)
{
    struct td_ask a = {.settings = load->settings, .bus = load->keeper};
    tidings_err err;

    if (load->stream[0]) {
        a.options = tidings_writer_new();
        td_ask_map(&a, 1);
        td_ask_string(&a, "name", load->stream);
        err = td_ask_call(&a, "stream.delete");
        if (err)
            td_refused(load->settings, err, load->stream);
        tidings_free(a.data);
        tidings_writer_free(a.options);
    }
    tidings_close(load->keeper);
}
