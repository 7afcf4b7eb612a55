/* A YAML file: read whole, its shape checked, with the line of each value for
 * whoever has more to say about it. Not of the pure library: it reads a file,
 * and needs libyaml. Shared by the daemon's configuration and the command
 * line. */
#ifndef TD_YAML_H
#define TD_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#define TD_YAML_WHY_BYTES 768u /* of an error's text */

struct td_yaml {
    const char *path; /* borrowed */
    char *text;
    size_t len;
    yaml_document_t document;
    bool has_document;
};

/* Reads a file. false: *why, at least TD_YAML_WHY_BYTES, says where in it what
 * is wrong; td_yaml_fini() is called in any case. In what was read keys are
 * words, no value is empty or has a NUL, and there are no aliases. */
bool td_yaml_read(struct td_yaml *y, const char *path, char *why);
void td_yaml_fini(struct td_yaml *y);

/* "PATH:LINE: " and the text; no line if that is 0. Always false. */
bool td_yaml_complain(const struct td_yaml *y, size_t line, char *why,
                      const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
