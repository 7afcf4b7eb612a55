/* Streams and groups of the configuration file: from the words of the file to
 * the options of proto/stream.h, which reads and checks them. */
#ifndef TD_CONFIG_ENTRY_H
#define TD_CONFIG_ENTRY_H

#include <stdbool.h>

#include "broker/config_schema.h"
#include "broker/engine/declare.h"
#include "proto/buf.h"

/* What is wrong with an entry. */
struct td_refused {
    const char *key;   /* in the file; NULL: the entry as a whole */
    const char *value; /* as it is written; NULL: text says all */
    const char *text;  /* what was expected instead of the value */
};

/* out borrows from map, which the caller frees. */
bool td_config_stream(struct td_stream_options *out, struct td_buf *map,
                      const struct td_raw_stream *raw, struct td_refused *why);
bool td_config_group(struct td_declared_group *out, struct td_buf *map,
                     const struct td_raw_group *raw, struct td_refused *why);

#endif
