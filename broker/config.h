/* tidingsd's configuration file: settings that are options of the command line
 * too, and the streams and groups that are to be there.
 *
 *     listen: [tcp://0.0.0.0:7450]
 *     data: /var/lib/tidings
 *     streams:
 *       - {name: orders, patterns: [order.>], max_age: 30d, max_bytes: 10G}
 *     groups:
 *       - {stream: orders, group: billing, start: all, ack_wait: 1m}
 *
 * All of it is checked when it is read. What a setting may be, options.h knows;
 * of streams and groups that is proto/stream.h. */
#ifndef TD_CONFIG_H
#define TD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/engine/declare.h"

#define TD_CONFIG_WHY_BYTES 768u /* of an error's text */

struct td_config;

/* NULL: *why, at least TD_CONFIG_WHY_BYTES, is one line: where in which file,
 * and what is wrong. */
struct td_config *td_config_read(const char *path, char *why);
void td_config_free(struct td_config *c); /* NULL does nothing */

/* The nth value of a setting, NULL: there are fewer. Only listen has several. */
const char *td_config_setting(const struct td_config *c, const char *key,
                              uint32_t nth);
/* What to say about that value. */
void td_config_refuse_setting(struct td_config *c, const char *key,
                              uint32_t nth, const char *text, char *why);

/* Borrows from c. */
const struct td_declared *td_config_declared(const struct td_config *c);
/* What to say about one of those, counted as td_engine_declare() does. */
void td_config_refuse_declared(struct td_config *c, uint32_t at,
                               const char *text, char *why);

#endif
