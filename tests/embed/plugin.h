/* What a shared library with a bus of its own offers its host: dlsym() of
 * "embed_plugin". */
#ifndef TESTS_EMBED_PLUGIN_H
#define TESTS_EMBED_PLUGIN_H

#include "tests/embed/host.h"

struct embed_plugin {
    /* Opens a bus and subscribes to plugin.*. */
    tidings_err (*open)(const char *url, tidings_handler handler, void *arg);
    tidings_err (*publish)(uint64_t sender, uint64_t n);
    tidings_err (*close)(void);
    /* A call that fails, and so leaves a detail of this thread; whether it
     * has one. */
    bool (*is_refused)(void);
};

#endif
