/* tidings/json.h: events as CloudEvents JSON, and data as JSON.
 *
 * A library of its own, libtidings_json, because it needs jansson and
 * libtidings does not.
 *
 * Data without a datacontenttype is msgpack on the bus and JSON in a JSON
 * event, so it is translated both ways. Data of a JSON type ("…/json",
 * "…+json") stands in "data" as it is; "text/…" as a string; everything
 * else, and msgpack that JSON cannot say (binary, ext, keys that are not
 * strings, numbers that are not finite), in "data_base64".
 *
 * Term: CloudEvents 1.0, JSON Event Format.
 */
#ifndef TIDINGS_JSON_H
#define TIDINGS_JSON_H

#include <stddef.h>

#include "tidings/tidings.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An event as one line of CloudEvents JSON, without a line break.
 *
 * @param out    NUL-terminated; the caller's, freed with tidings_free().
 * @param event  as handed to a handler; id, source and type are required.
 * @return TIDINGS_OK
 *         TIDINGS_EINVAL  a required attribute is missing, or a string is not
 *                         UTF-8; tidings_detail() names it.
 *         TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err
tidings_event_to_json(char **out, const struct tidings_event *event);

/**
 * A CloudEvents JSON object as an event to publish.
 *
 * @param out   the event and everything it points to, one block; freed with
 *              tidings_free().
 * @param json  len bytes, one object. type is required; id, source and time
 *              may be absent and then get the bus's defaults when published.
 * @return TIDINGS_OK
 *         TIDINGS_EINVAL  not JSON, not an event, a bound is broken;
 *                         tidings_detail() says what and where.
 *         TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err tidings_event_from_json(struct tidings_event **out,
                                                const char *json, size_t len);

/** JSON text to msgpack data. *out is freed with tidings_free(). */
TIDINGS_API tidings_err tidings_data_from_json(void **out, size_t *out_len,
                                               const char *json, size_t len);

/**
 * msgpack data to JSON text, NUL-terminated; freed with tidings_free().
 * TIDINGS_EINVAL: not msgpack, or nothing that JSON can say.
 */
TIDINGS_API tidings_err tidings_data_to_json(char **out, const void *data,
                                             size_t len);

#ifdef __cplusplus
}
#endif
#endif
