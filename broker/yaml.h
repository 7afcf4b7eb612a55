/* What a YAML file says, checked against a schema by libcyaml, and the line of
 * each value. */
#ifndef TD_BROKER_YAML_H
#define TD_BROKER_YAML_H

#include <cyaml/cyaml.h>

#include "proto/yaml.h"

/* What the file says, in the caller's structure, for td_yaml_free(); NULL in
 * *out if it says nothing. The schema is a pointer to a mapping. */
bool td_yaml_load(struct td_yaml *y, const cyaml_schema_value_t *schema,
                  void **out, char *why);
void td_yaml_free(const cyaml_schema_value_t *schema, void *data);

/* The line, from 1, of the value of key in the file's map; of entry nth of the
 * list that it is, if there is such a one; of the value of field in that entry,
 * likewise. */
size_t td_yaml_line(struct td_yaml *y, const char *key, size_t nth,
                    const char *field);

#endif
