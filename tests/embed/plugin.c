#include "tests/embed/plugin.h"

static tidings_bus *bus;

/* On threads of its own. */
static tidings_err ignore(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    return TIDINGS_OK;
}

static tidings_err plugin_open(const char *url, tidings_handler handler,
                               void *arg)
{
    const struct tidings_sub_options workers = {.workers = 2};
    tidings_err err = tidings_open(&bus, url, NULL);

    if (!err)
        err = tidings_subscribe(NULL, bus, "plugin.*", handler, arg, NULL);
    if (!err)
        err = tidings_subscribe(NULL, bus, "plugin.*", ignore, NULL, &workers);
    return err;
}

static tidings_err plugin_publish(uint64_t sender, uint64_t n)
{
    const struct host_number number = {.sender = sender, .n = n};

    return tidings_publish(bus, "plugin.a", &number, sizeof(number));
}

static tidings_err plugin_close(void)
{
    return tidings_close(bus);
}

static bool plugin_is_refused(void)
{
    return tidings_open(NULL, NULL, NULL) == TIDINGS_EINVAL &&
           tidings_detail()[0];
}

extern const struct embed_plugin embed_plugin;
__attribute__((visibility("default")))
const struct embed_plugin embed_plugin = {
    .open = plugin_open,
    .publish = plugin_publish,
    .close = plugin_close,
    .is_refused = plugin_is_refused,
};
