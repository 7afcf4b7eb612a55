/* A YAML file: read whole, checked against a schema by libcyaml, with the line
 * of each value for whoever finds more to say about it. */
#ifndef TD_YAML_H
#define TD_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include <cyaml/cyaml.h>

#define TD_YAML_WHY_BYTES 768u

struct td_yaml {
    const char *path; /* borrowed */
    char *text;
    size_t len;
    yaml_document_t document; /* for its lines */
    bool has_document;
};

/* Reads a file. false: *why, at least TD_YAML_WHY_BYTES, says where in it what
 * is wrong; td_yaml_fini() is called in any case. */
bool td_yaml_read(struct td_yaml *y, const char *path, char *why);
void td_yaml_fini(struct td_yaml *y);

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

/* "PATH:LINE: " and the text; no line if that is 0. Always false. */
bool td_yaml_complain(const struct td_yaml *y, size_t line, char *why,
                      const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
