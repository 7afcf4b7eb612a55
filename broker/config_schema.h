/* The shape of the configuration file, for libcyaml. Scalars are text: what
 * they may be is checked afterwards, with better words. */
#ifndef TD_CONFIG_SCHEMA_H
#define TD_CONFIG_SCHEMA_H

#include <stdint.h>

#include <cyaml/cyaml.h>

/* NULL: left out, here and below. */
struct td_raw_stream {
    char *name;
    char **patterns;
    uint32_t patterns_len;
    char *max_age;
    char *max_bytes;
    char *max_events;
    char *dedup;
    char *dedup_events;
    char *on_full;
    char *storage;
    char *keyed;
    char *compact;
    char *tombstone;
};

struct td_raw_group {
    char *stream;
    char *group;
    char *pattern;
    char *start;
    char *group_policy;
    char *max_in_flight;
    char *ack_wait;
    char *max_deliver;
    char *backoff;
    char *backoff_max;
};

struct td_raw_config {
    char **listen;
    uint32_t listen_len;
    char *data;
    char *log_level;
    char *memory_max;
    char *session_memory_max;
    char *grace;
    struct td_raw_stream *streams;
    uint32_t streams_len;
    struct td_raw_group *groups;
    uint32_t groups_len;
};

extern const cyaml_schema_value_t td_config_schema; /* of a td_raw_config */

#endif
