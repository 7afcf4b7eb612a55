/* option_values.h: values of options. Each reader says what it wants instead,
 * or NULL when it has read its value. */
#ifndef TD_CLI_OPTION_VALUES_H
#define TD_CLI_OPTION_VALUES_H

#include <stddef.h>
#include <stdint.h>

/** A number above 0 and at most max. */
const char *td_read_positive(double *out, const char *value, double max);

/** Seconds, above 0 and at most a day. */
const char *td_read_seconds(double *out, const char *value);

/** A whole number above 0. */
const char *td_read_whole(uint64_t *out, const char *value);

/** The same up to max; wanted says so. */
const char *td_read_up_to(unsigned *out, const char *value, unsigned max,
                          const char *wanted);

/** Bytes, as tidingsd --memory-max: nothing or one of K M G behind the number,
 *  powers of 1024. */
const char *td_read_size(size_t *out, const char *value);

/** By enum tidings_level: "none", "memory", "os", "disk"; ends with NULL. */
extern const char *const td_level_names[];

/** The place of a word in a list that ends with NULL; -1: it is not there. */
int td_read_word(const char *const *words, const char *value);

#endif
