/* form.h: what writing and reading CloudEvents JSON have in common: the
 * event's own attributes, the names of others, and the forms of data.
 *
 * On the bus an absent datacontenttype means msgpack, in the JSON format it
 * means JSON (CloudEvents JSON Event Format 3.1). So data of either is
 * translated, and its datacontenttype stays absent; where msgpack cannot be
 * translated, "application/msgpack" is said beside data_base64. */
#ifndef TD_JSON_FORM_H
#define TD_JSON_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "tidings/tidings.h"

#define TD_MSGPACK_TYPE "application/msgpack"
#define TD_JSON_TYPE    "application/json"

/* What data of a datacontenttype is to the JSON format. */
enum td_form { TD_FORM_MSGPACK, TD_FORM_JSON, TD_FORM_TEXT, TD_FORM_BYTES };

/** "Application/Problem+JSON; charset=utf-8" is JSON: only the media type
 *  counts, without case (RFC 2045). NULL is msgpack. */
enum td_form td_form_of(const char *contenttype);

/* An attribute that is a string of the event itself. */
struct td_field {
    const char *name;
    size_t at; /* in struct tidings_event */
    size_t bytes_max;
    bool required; /* in an event that is written */
};

#define TD_FIELDS 6
extern const struct td_field td_fields[TD_FIELDS]; /* as they are written */

const struct td_field *td_field_named(const char *name);
const char *td_field_value(const struct tidings_event *event,
                           const struct td_field *field);
void td_field_set(struct tidings_event *event, const struct td_field *field,
                  const char *value);

/** Whether an extension attribute may have that name. */
bool td_attr_name_ok(const char *name);

#endif
