/* keys.h: maps of a YAML file, key by key, by a table of what each may be. */
#ifndef TD_UP_KEYS_H
#define TD_UP_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/yaml.h"

struct td_reader {
    struct td_yaml *yaml;
    char *why; /* TD_YAML_WHY_BYTES */
};

struct td_key {
    const char *name;
    bool required;
    /* Reads the value into the structure that the map is read into.
     * false: td_key_refuse() has said why. */
    bool (*read)(struct td_reader *r, void *into, const yaml_node_t *value);
};

#define TD_KEYS_MAX 16 /* of a table */

/** Read a map: each of its keys is of the table and stands in it once.
 *  @param what  "a service": for what is said. */
bool td_keys_read(struct td_reader *r, void *into, const yaml_node_t *map,
                  const char *what, const struct td_key *keys, size_t len);

/** Say what is wrong with a value. @return false */
bool td_key_refuse(const struct td_reader *r, const yaml_node_t *value,
                   const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The text of a word; NULL: it is a list or a map. */
const char *td_key_word(const yaml_node_t *value);

/** A time, a whole number from least to most. key: for what is said. */
bool td_key_time(struct td_reader *r, uint64_t *out_ms,
                 const yaml_node_t *value, const char *key);
bool td_key_number(struct td_reader *r, unsigned *out, const yaml_node_t *value,
                   const char *key, unsigned most);

/** The place of a word in a list that ends with NULL, which is said if it is
 *  another one. */
bool td_key_choice(struct td_reader *r, unsigned *out, const yaml_node_t *value,
                   const char *key, const char *const *words);

/** The items of a list, how many they are; pairs of a map likewise. */
size_t td_node_items(const yaml_node_t *list);
const yaml_node_t *td_node_item(struct td_reader *r, const yaml_node_t *list,
                                size_t i);
size_t td_node_pairs(const yaml_node_t *map);
void td_node_pair(struct td_reader *r, const yaml_node_t **key,
                  const yaml_node_t **value, const yaml_node_t *map, size_t i);

#endif
