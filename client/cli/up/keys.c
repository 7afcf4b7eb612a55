#include "client/cli/up/keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/nearest.h"
#include "client/cli/option_values.h"
#include "client/cli/up/spec.h"
#include "client/cli/when.h"

bool td_key_refuse(const struct td_reader *r, const yaml_node_t *value,
                   const char *format, ...)
{
    char text[TD_YAML_WHY_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return td_yaml_complain(r->yaml, value->start_mark.line + 1, r->why, "%s",
                            text);
}

/* ---- nodes ---- */

const char *td_key_word(const yaml_node_t *value)
{
    return value->type == YAML_SCALAR_NODE
               ? (const char *)value->data.scalar.value
               : NULL;
}

size_t td_node_items(const yaml_node_t *list)
{
    return (size_t)(list->data.sequence.items.top -
                    list->data.sequence.items.start);
}

const yaml_node_t *td_node_item(struct td_reader *r, const yaml_node_t *list,
                                size_t i)
{
    return yaml_document_get_node(&r->yaml->document,
                                  list->data.sequence.items.start[i]);
}

size_t td_node_pairs(const yaml_node_t *map)
{
    return (size_t)(map->data.mapping.pairs.top -
                    map->data.mapping.pairs.start);
}

void td_node_pair(struct td_reader *r, const yaml_node_t **key,
                  const yaml_node_t **value, const yaml_node_t *map, size_t i)
{
    const yaml_node_pair_t *pair = &map->data.mapping.pairs.start[i];

    *key = yaml_document_get_node(&r->yaml->document, pair->key);
    *value = yaml_document_get_node(&r->yaml->document, pair->value);
}

/* ---- maps ---- */

static const struct td_key *near_keys; /* those that next_name() speaks of */
static size_t near_len;

static const char *next_name(size_t i)
{
    return i < near_len ? near_keys[i].name : NULL;
}

static bool refuse_key(struct td_reader *r, const yaml_node_t *key,
                       const char *what, const struct td_key *keys, size_t len)
{
    const char *name = td_key_word(key);
    const char *near;
    char all[256] = "";

    near_keys = keys;
    near_len = len;
    near = td_nearest(name, next_name);
    if (near)
        return td_key_refuse(r, key, "unknown key %s; did you mean %s?", name,
                             near);
    for (size_t i = 0; i < len; i++)
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
                 i ? ", " : "", keys[i].name);
    return td_key_refuse(r, key, "unknown key %s: %s has %s", name, what, all);
}

static size_t place_of(const char *name, const struct td_key *keys, size_t len)
{
    size_t i = 0;

    while (i < len && strcmp(keys[i].name, name) != 0)
        i++;
    return i;
}

bool td_keys_read(struct td_reader *r, void *into, const yaml_node_t *map,
                  const char *what, const struct td_key *keys, size_t len)
{
    bool seen[TD_KEYS_MAX] = {false};

    if (map->type != YAML_MAPPING_NODE)
        return td_key_refuse(r, map, "%s is a map: KEY: VALUE", what);
    for (size_t i = 0; i < td_node_pairs(map); i++) {
        const yaml_node_t *key, *value;
        size_t at;

        td_node_pair(r, &key, &value, map, i);
        at = place_of(td_key_word(key), keys, len);
        if (at == len)
            return refuse_key(r, key, what, keys, len);
        if (seen[at])
            return td_key_refuse(r, key, "a second %s: leave one out",
                                 keys[at].name);
        seen[at] = true;
        if (!keys[at].read(r, into, value))
            return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (keys[i].required && !seen[i])
            return td_key_refuse(r, map, "%s needs a %s", what, keys[i].name);
    }
    return true;
}

/* ---- values ---- */

bool td_key_time(struct td_reader *r, uint64_t *out_ms,
                 const yaml_node_t *value, const char *key)
{
    const char *word = td_key_word(value);
    const char *wanted =
        td_read_duration(out_ms, word ? word : "", TD_UP_TIME_MAX_MS);

    return !wanted || td_key_refuse(r, value, "%s %s: wants %s, up to 24h", key,
                                    word ? word : "", wanted);
}

bool td_key_number(struct td_reader *r, unsigned *out, const yaml_node_t *value,
                   const char *key, unsigned most)
{
    const char *word = td_key_word(value);

    return !td_read_up_to(out, word ? word : "", most, "") ||
           td_key_refuse(r, value, "%s %s: wants a number from 1 to %u", key,
                         word ? word : "", most);
}

bool td_key_choice(struct td_reader *r, unsigned *out, const yaml_node_t *value,
                   const char *key, const char *const *words)
{
    const char *word = td_key_word(value);
    int place = td_read_word(words, word ? word : "");
    char all[128] = "";

    if (place >= 0) {
        *out = (unsigned)place;
        return true;
    }
    for (size_t i = 0; words[i]; i++)
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
                 i ? ", " : "", words[i]);
    return td_key_refuse(r, value, "%s %s: wants one of %s", key,
                         word ? word : "", all);
}
