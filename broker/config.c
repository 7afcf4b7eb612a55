#include "broker/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_entry.h"
#include "broker/config_schema.h"
#include "broker/yaml.h"
#include "proto/frame.h"
#include "proto/option.h"
#include "proto/type.h"

_Static_assert(TD_CONFIG_WHY_BYTES >= TD_YAML_WHY_BYTES, "same texts");

struct td_config {
    char *path;
    struct td_yaml yaml;
    struct td_raw_config *raw; /* NULL: the file says nothing */
    struct td_buf *maps;       /* what the next two borrow from */
    uint32_t maps_len;
    struct td_stream_options *streams;
    struct td_declared_group *groups;
    struct td_declared declared;
};

static bool no_memory(struct td_config *c, char *why)
{
    return td_yaml_complain(&c->yaml, 0, why, "out of memory");
}

/* ---- one entry ---- */

static bool refuse_entry(struct td_config *c, const char *list, uint32_t nth,
                         const struct td_refused *refused, char *why)
{
    size_t line = td_yaml_line(&c->yaml, list, nth, refused->key);

    if (!refused->value)
        return td_yaml_complain(&c->yaml, line, why, "%s", refused->text);
    return td_yaml_complain(&c->yaml, line, why, "%s %s: expected %s",
                            refused->key, refused->value, refused->text);
}

static bool read_entries(struct td_config *c, char *why)
{
    struct td_refused refused;

    for (uint32_t i = 0; i < c->raw->streams_len; i++) {
        if (!td_config_stream(&c->streams[i], &c->maps[i], &c->raw->streams[i],
                              &refused))
            return refuse_entry(c, "streams", i, &refused, why);
    }
    for (uint32_t i = 0; i < c->raw->groups_len; i++) {
        if (!td_config_group(&c->groups[i], &c->maps[c->raw->streams_len + i],
                             &c->raw->groups[i], &refused))
            return refuse_entry(c, "groups", i, &refused, why);
    }
    return true;
}

/* ---- between entries ---- */

static bool check_overlap(struct td_config *c, uint32_t a, uint32_t b,
                          char *why)
{
    const struct td_stream_options *mine = &c->streams[a];
    const struct td_stream_options *other = &c->streams[b];

    if (td_stream_is_default(mine) || td_stream_is_default(other))
        return true;
    for (uint32_t i = 0; i < mine->patterns_len; i++) {
        for (uint32_t k = 0; k < other->patterns_len; k++) {
            struct td_str p = mine->patterns[i];
            struct td_str q = other->patterns[k];

            if (td_pattern_overlaps(p.data, p.len, q.data, q.len))
                return td_yaml_complain(
                    &c->yaml, td_yaml_line(&c->yaml, "streams", a, "patterns"),
                    why, "pattern %.*s overlaps with %.*s of stream %.*s",
                    (int)p.len, p.data, (int)q.len, q.data,
                    (int)other->name.len, other->name.data);
        }
    }
    return true;
}

static bool check_streams(struct td_config *c, char *why)
{
    for (uint32_t i = 0; i < c->declared.streams_len; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (td_bytes_equal(c->streams[i].name, c->streams[k].name))
                return td_yaml_complain(
                    &c->yaml, td_yaml_line(&c->yaml, "streams", i, "name"), why,
                    "a second stream %.*s", (int)c->streams[i].name.len,
                    c->streams[i].name.data);
            if (!check_overlap(c, i, k, why))
                return false;
        }
    }
    return true;
}

static bool check_groups(struct td_config *c, char *why)
{
    for (uint32_t i = 0; i < c->declared.groups_len; i++) {
        const struct td_durable_options *o = &c->groups[i].options;

        for (uint32_t k = 0; k < i; k++) {
            const struct td_durable_options *other = &c->groups[k].options;

            if (td_bytes_equal(o->group, other->group) &&
                td_bytes_equal(o->stream, other->stream))
                return td_yaml_complain(
                    &c->yaml, td_yaml_line(&c->yaml, "groups", i, "group"), why,
                    "a second group %.*s of stream %.*s", (int)o->group.len,
                    o->group.data, (int)o->stream.len, o->stream.data);
        }
    }
    return true;
}

/* ---- the file ---- */

static bool load(struct td_config *c, char *why)
{
    void *raw;

    if (!td_yaml_read(&c->yaml, c->path, why) ||
        !td_yaml_load(&c->yaml, &td_config_schema, &raw, why))
        return false;
    c->raw = raw;
    if (!c->raw)
        return true;
    c->maps_len = c->raw->streams_len + c->raw->groups_len;
    c->maps = calloc(c->maps_len + 1, sizeof(*c->maps));
    c->streams = calloc(c->raw->streams_len + 1, sizeof(*c->streams));
    c->groups = calloc(c->raw->groups_len + 1, sizeof(*c->groups));
    if (!c->maps || !c->streams || !c->groups)
        return no_memory(c, why);
    if (!read_entries(c, why))
        return false;
    c->declared = (struct td_declared){
        .streams = c->streams,
        .streams_len = c->raw->streams_len,
        .groups = c->groups,
        .groups_len = c->raw->groups_len,
    };
    return check_streams(c, why) && check_groups(c, why);
}

struct td_config *td_config_read(const char *path, char *why)
{
    struct td_config *c = calloc(1, sizeof(*c));

    if (c)
        c->path = strdup(path);
    if (!c || !c->path) {
        snprintf(why, TD_CONFIG_WHY_BYTES, "%s: out of memory", path);
        free(c);
        return NULL;
    }
    if (load(c, why))
        return c;
    td_config_free(c);
    return NULL;
}

void td_config_free(struct td_config *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; c->maps && i < c->maps_len; i++)
        td_buf_fini(&c->maps[i]);
    free(c->maps);
    free(c->streams);
    free(c->groups);
    td_yaml_free(&td_config_schema, c->raw);
    td_yaml_fini(&c->yaml);
    free(c->path);
    free(c);
}

/* ---- what is in it ---- */

const char *td_config_setting(const struct td_config *c, const char *key,
                              uint32_t nth)
{
    const struct td_raw_config *raw = c->raw;
    const struct {
        const char *key;
        const char *value;
    } settings[] = {
        {"data", raw ? raw->data : NULL},
        {"log_level", raw ? raw->log_level : NULL},
        {"memory_max", raw ? raw->memory_max : NULL},
        {"session_memory_max", raw ? raw->session_memory_max : NULL},
        {"grace", raw ? raw->grace : NULL},
    };

    if (raw && strcmp(key, "listen") == 0)
        return nth < raw->listen_len ? raw->listen[nth] : NULL;
    for (size_t i = 0; nth == 0 && i < sizeof(settings) / sizeof(settings[0]);
         i++) {
        if (strcmp(settings[i].key, key) == 0)
            return settings[i].value;
    }
    return NULL;
}

void td_config_refuse_setting(struct td_config *c, const char *key,
                              uint32_t nth, const char *text, char *why)
{
    td_yaml_complain(&c->yaml, td_yaml_line(&c->yaml, key, nth, NULL), why,
                     "%s %s: %s", key, td_config_setting(c, key, nth), text);
}

const struct td_declared *td_config_declared(const struct td_config *c)
{
    return &c->declared;
}

void td_config_refuse_declared(struct td_config *c, uint32_t at,
                               const char *text, char *why)
{
    const struct td_declared *d = &c->declared;
    uint32_t nth = at - d->streams_len;

    if (at < d->streams_len) {
        struct td_str name = d->streams[at].name;

        td_yaml_complain(&c->yaml, td_yaml_line(&c->yaml, "streams", at, NULL),
                         why, "stream %.*s: %s", (int)name.len, name.data,
                         text);
    } else if (nth < d->groups_len) {
        const struct td_durable_options *o = &d->groups[nth].options;

        td_yaml_complain(&c->yaml, td_yaml_line(&c->yaml, "groups", nth, NULL),
                         why, "group %.*s of stream %.*s: %s",
                         (int)o->group.len, o->group.data, (int)o->stream.len,
                         o->stream.data, text);
    } else {
        td_yaml_complain(&c->yaml, 0, why, "%s", text);
    }
}
