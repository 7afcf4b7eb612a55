/* Frames on their way to the link, and the msgpack that some of them carry. */
#include "client/session_internal.h"

#include <msgpack.h>
#include <string.h>

bool td_client_send(struct td_client *c, const struct td_frame *frame,
                    struct td_body *body)
{
    const struct td_client_port *port = &c->options.port;

    td_buf_reset(&c->control);
    td_frame_encode(&c->control, frame);
    if (c->broken || c->control.failed ||
        !port->send(port->ctx, c->control.data, c->control.len, body)) {
        c->broken = true;
        return false;
    }
    c->sent = true;
    return true;
}

bool td_client_send_scratch(struct td_client *c, const struct td_frame *frame)
{
    if (c->scratch.failed)
        c->broken = true; /* it says too little */
    return !c->broken && td_client_send(c, frame, NULL);
}

struct td_str td_client_scratch(const struct td_client *c)
{
    struct td_str str = {(const char *)c->scratch.data, c->scratch.len};

    return str;
}

void td_client_options_begin(struct td_client *c, uint32_t pairs)
{
    msgpack_packer pk;

    td_buf_reset(&c->scratch);
    msgpack_packer_init(&pk, &c->scratch, td_buf_pack_write);
    msgpack_pack_map(&pk, pairs);
}

void td_client_option_key(struct td_client *c, const char *key)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, &c->scratch, td_buf_pack_write);
    msgpack_pack_str(&pk, strlen(key));
    msgpack_pack_str_body(&pk, key, strlen(key));
}

void td_client_option_str(struct td_client *c, const char *key,
                          const char *value)
{
    td_client_option_key(c, key);
    td_client_option_key(c, value);
}

void td_client_option_int(struct td_client *c, const char *key, int64_t value)
{
    msgpack_packer pk;

    td_client_option_key(c, key);
    msgpack_packer_init(&pk, &c->scratch, td_buf_pack_write);
    msgpack_pack_int64(&pk, value);
}

void td_client_option_uint(struct td_client *c, const char *key, uint64_t value)
{
    msgpack_packer pk;

    td_client_option_key(c, key);
    msgpack_packer_init(&pk, &c->scratch, td_buf_pack_write);
    msgpack_pack_uint64(&pk, value);
}
