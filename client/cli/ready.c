#include "client/cli/ready.h"

#include "tidings/json.h"

void td_ready_fini(struct td_ready *r)
{
    tidings_free(r->parsed);
    tidings_free(r->packed);
}

/* DATA is JSON, and travels as msgpack unless a datacontenttype says
 * otherwise: then it travels as it is, checked if it says JSON. */
static tidings_err ready_data(struct td_ready *r,
                              const struct td_settings *settings,
                              const char *text, size_t len)
{
    const char *contenttype = td_attr_given(settings, "datacontenttype");
    size_t packed_len = 0;
    tidings_err err;

    r->event.data = text;
    r->event.data_len = len;
    if (!td_is_msgpack_type(contenttype) && !td_is_json_type(contenttype))
        return TIDINGS_OK;
    err = tidings_data_from_json(&r->packed, &packed_len, text, len);
    if (!err && td_is_msgpack_type(contenttype)) {
        r->event.data = r->packed;
        r->event.data_len = packed_len;
    }
    return err;
}

tidings_err td_ready_event(struct td_ready *r,
                           const struct td_settings *settings, const char *type,
                           int64_t time_us, const char *text, size_t len)
{
    tidings_err err = TIDINGS_OK;

    if (settings->event) {
        err = tidings_event_from_json(&r->parsed, text, len);
        if (!err)
            r->event = *r->parsed;
    } else {
        r->event.type = type;
        if (text)
            err = ready_data(r, settings, text, len);
    }
    if (!err && !td_attrs_apply(&r->event, &r->attrs, settings, time_us))
        err = TIDINGS_ELIMIT;
    return err;
}
