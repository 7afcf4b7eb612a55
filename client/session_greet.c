/* Greeting: what HELLO asks for, and what a WELCOME means for the session,
 * its subscriptions and what was published. */
#include "client/session_internal.h"

#include "proto/plural.h"

#include <msgpack.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

/* ---- HELLO ---- */

/* Which subscriptions there still are, and what of them has arrived. They fit
 * a control frame, however many: the test of limits.h counts. */
static void pack_subscriptions(struct td_client *c, msgpack_packer *pk)
{
    struct td_csub *sub;
    uint32_t rows = 0;

    DL_FOREACH(c->subs, sub)
    {
        rows += sub->state == TD_CSUB_AWAY;
    }
    msgpack_pack_array(pk, rows);
    DL_FOREACH(c->subs, sub)
    {
        if (sub->state != TD_CSUB_AWAY)
            continue;
        msgpack_pack_array(pk, 3);
        msgpack_pack_uint32(pk, sub->number);
        msgpack_pack_uint64(pk, sub->received);
        msgpack_pack_uint64(pk, sub->missed);
    }
}

/* The token also when there is nothing to resume: the broker remembers the
 * producer for longer than its session. */
static void pack_options(struct td_client *c)
{
    msgpack_packer pk;

    td_client_options_begin(c, (uint32_t)(c->resuming + c->has_token +
                                          (td_client_is_named(c) ? 2 : 0)));
    msgpack_packer_init(&pk, &c->scratch, td_buf_pack_write);
    if (td_client_is_named(c)) {
        td_client_option_str(c, "producer", c->options.producer_name);
        td_client_option_uint(c, "term", c->term);
    }
    if (c->has_token) {
        td_client_option_key(c, "token");
        msgpack_pack_bin(&pk, sizeof(c->token));
        msgpack_pack_bin_body(&pk, c->token, sizeof(c->token));
    }
    if (c->resuming) {
        td_client_option_key(c, "subscriptions");
        pack_subscriptions(c, &pk);
    }
}

void td_client_hello(struct td_client *c)
{
    struct td_frame f = {.op = TD_HELLO};

    c->resuming = c->resumable;
    pack_options(c);
    f.u.hello.magic = td_str_of(TD_PROTOCOL_MAGIC);
    f.u.hello.version_min = TD_PROTOCOL_VERSION;
    f.u.hello.version_max = TD_PROTOCOL_VERSION;
    f.u.hello.producer.data = (const char *)c->options.producer;
    f.u.hello.producer.len = TD_PRODUCER_BYTES;
    f.u.hello.name = td_str_of(c->options.name);
    f.u.hello.options = td_client_scratch(c);
    td_client_send_scratch(c, &f);
}

/* ---- WELCOME ---- */

struct greeting {
    struct td_str token; /* data NULL: none, so it cannot be resumed */
    uint64_t grace_ms;   /* 0: nor then */
    uint64_t term;       /* of a name; 0: the broker does not know that */
    uint64_t stored;
    bool resumed;
    bool new_epoch;
};

static bool read_limits(struct td_str limits, struct greeting *g)
{
    return td_map_bin(limits, "token", &g->token) &&
           (!g->token.data || g->token.len == TD_TOKEN_BYTES) &&
           td_map_uint(limits, "grace_ms", &g->grace_ms) &&
           td_map_uint(limits, "term", &g->term) &&
           td_map_uint(limits, "stored", &g->stored) &&
           td_map_bool(limits, "resumed", &g->resumed);
}

/* Of a name: others may have published under it before. */
static void begin_numbers(struct td_client *c, const struct greeting *g,
                          uint64_t taken)
{
    const struct td_client_port *port = &c->options.port;

    c->term = g->term;
    c->stored = g->stored;
    if (!c->numbered) {
        td_publisher_begin(&c->publisher, taken);
        if (port->guard)
            port->guard(port->ctx, true);
        c->packer.sequence = g->stored;
        c->numbered = true;
        if (port->guard)
            port->guard(port->ctx, false);
    } else if (taken > c->publisher.sent) {
        c->publisher.sent = taken;
    }
}

/* NULL: nothing. */
static const char *wrong_with(struct td_client *c, const struct td_frame *f,
                              struct greeting *g)
{
    if (f->u.welcome.version != TD_PROTOCOL_VERSION || f->u.welcome.epoch == 0)
        return "WELCOME of no version that was offered, or no epoch";
    if (!read_limits(f->u.welcome.limits, g))
        return "WELCOME with malformed limits";
    g->new_epoch = c->epoch && c->epoch != f->u.welcome.epoch;
    if (g->resumed && (!c->resuming || g->new_epoch))
        return "resumed a session that was not to be";
    if (td_client_is_named(c) &&
        (g->term == 0 || (c->term && g->term != c->term)))
        return "does not say who holds the producer's name";
    if (td_client_is_named(c))
        begin_numbers(c, g, f->u.welcome.taken);
    if (!td_client_set_taken(c, f->u.welcome.taken))
        return "has taken what was never sent";
    return NULL;
}

static void begin(struct td_client *c, const struct td_frame *f,
                  const struct greeting *g)
{
    c->connects++;
    td_client_enter(c, TD_CLIENT_READY);
    c->epoch = f->u.welcome.epoch;
    c->incarnation += !g->resumed;
    c->welcomed_ms = c->now_ms;
    c->events_out = c->bytes_out = 0;
    c->events_limit = f->u.welcome.events_limit;
    c->bytes_limit = f->u.welcome.bytes_limit;
    c->messages = c->messages_told = 0;
    c->messages_bytes = 0;
    c->resumable = g->token.data && g->grace_ms > 0;
    if (g->token.data) {
        c->has_token = true;
        memcpy(c->token, g->token.data, sizeof(c->token));
    }
}

/* What the user is to know of a session that is not the one before. */
static void tell_anew(struct td_client *c, const struct greeting *g,
                      uint64_t again)
{
    char text[160] = "another broker than before: live events may be missing";
    size_t len = strlen(text);

    if (c->incarnation == 1)
        return;
    if (!g->new_epoch) {
        td_client_status(c, TIDINGS_NEW_SESSION, TIDINGS_OK,
                         "the broker has begun a new session: live events "
                         "may be missing",
                         0);
        return;
    }
    if (again > 0)
        snprintf(text + len, sizeof(text) - len,
                 "; %llu %s sent again that the old one may have delivered",
                 (unsigned long long)again, td_plural(again, "is", "are"));
    td_client_status(c, TIDINGS_NEW_EPOCH, TIDINGS_OK, text, again);
}

tidings_err td_client_on_welcome(struct td_client *c, const struct td_frame *f)
{
    struct greeting g = {.grace_ms = TD_GRACE_MS};
    const char *wrong = wrong_with(c, f, &g);
    uint64_t again;

    if (wrong)
        return td_client_breach(c, wrong);
    begin(c, f, &g);
    again = td_client_publish_again(c);
    td_client_status(c, TIDINGS_UP, TIDINGS_OK,
                     g.resumed ? "connected again" : "connected", 0);
    if (g.resumed) {
        td_client_subs_resumed(c);
    } else {
        tell_anew(c, &g, again);
        td_client_subs_anew(c);
    }
    td_client_subs_ask(c);
    td_client_services_ask(c);
    td_client_questions_ask(c);
    td_client_send_requests(c, c->now_ms);
    td_client_pump(c);
    return TIDINGS_OK;
}
