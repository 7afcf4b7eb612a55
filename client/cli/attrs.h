/* attrs.h: --attr NAME=VALUE onto an event. */
#ifndef TD_CLI_ATTRS_H
#define TD_CLI_ATTRS_H

#include <stdbool.h>

#include "client/cli/cli.h"

/* An event with the attributes of the command line over its own. */
struct td_attrs {
    struct tidings_attr list[TIDINGS_ATTRS_MAX];
};

/** Check the attributes and read their time, if there is one.
 *  @return false: one is wrong, and stderr was told. */
bool td_attrs_check(const struct td_settings *settings, int64_t *time_us);

/**
 * Set the attributes on event; those that it has and that are not named stay.
 *
 * @param room  where event->attrs will point; lives as long as event is used.
 * @return false: too many, and stderr was told.
 */
bool td_attrs_apply(struct tidings_event *event, struct td_attrs *room,
                    const struct td_settings *settings, int64_t time_us);

/** Whether data of a datacontenttype is JSON text: "a/json", "a/b+json". */
bool td_is_json_type(const char *contenttype);

/** Whether it is msgpack, as it is when there is none. */
bool td_is_msgpack_type(const char *contenttype);

/** The value of an attribute on the command line, NULL if not given. */
const char *td_attr_given(const struct td_settings *settings, const char *name);

#endif
