#include "broker/config_schema.h"

#include <stddef.h>

#include "proto/limits.h"

#define NEEDED   CYAML_FLAG_POINTER
#define OPTIONAL (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define ANY      CYAML_UNLIMITED

#define TEXT(of, flags, member)                                                \
    CYAML_FIELD_STRING_PTR(#member, flags, struct of, member, 0, ANY)
#define LIST(of, flags, member, entry, max)                                    \
    CYAML_FIELD_SEQUENCE_COUNT(#member, flags, struct of, member,              \
                               member##_len, entry, 0, max)

static const cyaml_schema_value_t text = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, ANY),
};

static const cyaml_schema_field_t stream_fields[] = {
    TEXT(td_raw_stream, NEEDED, name),
    LIST(td_raw_stream, OPTIONAL, patterns, &text, ANY),
    TEXT(td_raw_stream, OPTIONAL, max_age),
    TEXT(td_raw_stream, OPTIONAL, max_bytes),
    TEXT(td_raw_stream, OPTIONAL, max_events),
    TEXT(td_raw_stream, OPTIONAL, dedup),
    TEXT(td_raw_stream, OPTIONAL, dedup_events),
    TEXT(td_raw_stream, OPTIONAL, on_full),
    TEXT(td_raw_stream, OPTIONAL, storage),
    TEXT(td_raw_stream, OPTIONAL, keyed),
    TEXT(td_raw_stream, OPTIONAL, compact),
    TEXT(td_raw_stream, OPTIONAL, tombstone),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t stream = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct td_raw_stream,
                        stream_fields),
};

static const cyaml_schema_field_t group_fields[] = {
    TEXT(td_raw_group, NEEDED, stream),
    TEXT(td_raw_group, NEEDED, group),
    TEXT(td_raw_group, OPTIONAL, pattern),
    TEXT(td_raw_group, OPTIONAL, start),
    TEXT(td_raw_group, OPTIONAL, group_policy),
    TEXT(td_raw_group, OPTIONAL, max_in_flight),
    TEXT(td_raw_group, OPTIONAL, ack_wait),
    TEXT(td_raw_group, OPTIONAL, max_deliver),
    TEXT(td_raw_group, OPTIONAL, backoff),
    TEXT(td_raw_group, OPTIONAL, backoff_max),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t group = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct td_raw_group, group_fields),
};

static const cyaml_schema_field_t fields[] = {
    LIST(td_raw_config, OPTIONAL, listen, &text, ANY),
    TEXT(td_raw_config, OPTIONAL, data),
    TEXT(td_raw_config, OPTIONAL, log_level),
    TEXT(td_raw_config, OPTIONAL, memory_max),
    TEXT(td_raw_config, OPTIONAL, session_memory_max),
    TEXT(td_raw_config, OPTIONAL, grace),
    LIST(td_raw_config, OPTIONAL, streams, &stream, TD_STREAMS_MAX),
    LIST(td_raw_config, OPTIONAL, groups, &group, TD_CONSUMERS_MAX),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t td_config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct td_raw_config, fields),
};
