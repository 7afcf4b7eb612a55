/* Publishing: batches leave as they are closed or as the link falls idle,
 * within credit, and are kept until they are taken, and confirmed if that was
 * asked. */
#include "client/session_internal.h"

/* How much may wait unsent on a living link before publishing waits too. */
#define UNSENT_BYTES_MAX (2u << 20)
/* Single events that are this far apart are not batched. */
#define SPARSE_US 500u
/* How much packing threads may close before they wait for the session. */
#define CLOSED_BYTES_MAX (512u << 10)

/* ---- sending ---- */

/* Whether somebody waits for this sequence, or for a later one, and the broker
 * has not been asked for it. */
static bool is_wanted(const struct td_client *c, uint64_t sequence)
{
    return c->wanted >= sequence && sequence > c->asked &&
           sequence > c->publisher.taken;
}

/* Whether an answer is wanted at once: somebody waits for it; or so that what
 * is published until then makes one batch. Not for a batch that comes long
 * after the one before: its answer would only get in the way of its delivery.
 */
static bool asks(struct td_client *c, const struct td_outgoing *out)
{
    uint64_t since_us = (uint64_t)out->base_us - (uint64_t)c->sent_base_us;

    c->sent_base_us = out->base_us;
    if (c->asked || (since_us >= SPARSE_US && out->events == 1))
        return out->last >= c->wanted && is_wanted(c, c->wanted);
    return true;
}

static bool send_part(struct td_client *c, const struct td_outgoing *out,
                      const struct td_portion *part)
{
    struct td_frame f = {.op = TD_PUBLISH};
    bool ask = asks(c, out);

    f.u.publish.flags = (ask ? TD_PUBLISH_ASK : 0) |
                        ((uint64_t)out->level << TD_PUBLISH_LEVEL_SHIFT);
    f.u.publish.batches = part->wire;
    if (out->atomic)
        f.u.publish.flags |= TD_PUBLISH_ATOMIC;
    if (out->expects || out->due.name) {
        td_client_options_begin(c, out->expects + (out->due.name != NULL));
        if (out->expects)
            td_client_option_uint(c, out->of_key ? "expect_key" : "expect",
                                  out->expected);
        if (out->due.name)
            td_client_option_uint(c, out->due.name, out->due.ms);
        f.u.publish.options = td_client_scratch(c);
        if (f.u.publish.options.len == 0)
            return false; /* no memory: the next tick tries again */
    }
    if (!td_client_send(c, &f, part->body))
        return false;
    if (ask)
        c->asked = part->last;
    return true;
}

static bool has_credit(const struct td_client *c, const struct td_portion *part)
{
    return c->events_out + part->events <= c->events_limit &&
           c->bytes_out + part->body->len <= c->bytes_limit;
}

/* False: not now, for want of credit, memory or a link. */
static bool send_next(struct td_client *c)
{
    struct td_publisher *p = &c->publisher;
    struct td_portion part;
    bool sent = td_outgoing_part(p->unsent, &part) && has_credit(c, &part) &&
                send_part(c, p->unsent, &part);

    if (sent) {
        c->events_out += part.events;
        c->bytes_out += part.body->len;
        p->unsent->at = part.next;
        if (!part.next)
            td_publisher_sent(p);
    }
    td_portion_fini(&part);
    return sent;
}

static void send_closed(struct td_client *c)
{
    while (c->publisher.unsent && send_next(c))
        ;
}

static void guard(struct td_client *c, bool on)
{
    const struct td_client_port *port = &c->options.port;

    if (port->guard)
        port->guard(port->ctx, on);
}

/* With the guard: whether the open batch has events that somebody waits for. */
static bool open_is_wanted(const struct td_client *c)
{
    const struct td_packer *p = &c->packer;

    return c->state == TD_CLIENT_READY && p->events > 0 &&
           is_wanted(c, p->sequence - p->events + 1);
}

/* While an answer is out the open batch goes on filling, so that load makes
 * batches; unless somebody waits for what is in it. */
void td_client_pump(struct td_client *c)
{
    struct td_outgoing *list;

    do {
        bool quiet;

        if (c->state == TD_CLIENT_READY)
            send_closed(c);
        quiet =
            c->state == TD_CLIENT_READY && !c->asked && !c->publisher.unsent;
        guard(c, true);
        if (quiet || open_is_wanted(c))
            td_packer_close(&c->packer);
        list = td_packer_take(&c->packer);
        /* With the guard, so that the next event to be packed sees it. */
        c->idle = quiet && !list;
        c->lean = c->idle && c->packer.events > 0;
        guard(c, false);
        td_publisher_add(&c->publisher, list);
    } while (list);
}

/* ---- packing ---- */

static uint64_t held_bytes(const struct td_client *c)
{
    return c->packer.packed_bytes - c->publisher.done_bytes;
}

uint64_t td_client_unconfirmed(const struct td_client *c)
{
    return c->packer.packed_events - c->publisher.done_events;
}

static uint64_t unsent_bytes(const struct td_client *c)
{
    return c->publisher.unsent_bytes + c->packer.closed_bytes;
}

/* For one more, however many it is. */
static bool has_place(const struct td_client *c)
{
    if (td_client_is_named(c) && !c->numbered)
        return false;
    return td_client_unconfirmed(c) < c->options.unconfirmed_events &&
           held_bytes(c) < c->options.unconfirmed_bytes &&
           (!c->ready || unsent_bytes(c) < UNSENT_BYTES_MAX);
}

tidings_err td_client_pack_apart(struct td_client *c,
                                 const struct td_packing *events, size_t len,
                                 const struct td_apart *apart)
{
    if (c->fenced)
        return TIDINGS_EFENCED;
    return has_place(c) ? td_packer_pack_apart(&c->packer, events, len, apart)
                        : TIDINGS_EFULL;
}

tidings_err td_client_pack(struct td_client *c, const struct td_packing *event)
{
    tidings_err err;

    if (c->fenced)
        return TIDINGS_EFENCED;
    if (!has_place(c))
        return TIDINGS_EFULL;
    err = td_packer_pack(&c->packer, event);
    if (!err && td_packer_is_full(&c->packer))
        td_packer_close(&c->packer); /* without memory it goes on growing */
    return err;
}

bool td_client_may_number(const struct td_client *c, uint64_t sequence)
{
    return sequence > c->packer.sequence || td_client_unconfirmed(c) == 0;
}

enum td_pump td_client_wants_pump(const struct td_client *c)
{
    if (c->idle || c->packer.closed_bytes >= CLOSED_BYTES_MAX)
        return TD_PUMP_NOW;
    return c->packer.closed ? TD_PUMP_SOON : TD_PUMP_NOT;
}

/* Half free: so that a publisher that had to wait does not wait again at the
 * very next event. */
bool td_client_has_room(const struct td_client *c)
{
    if (c->fenced)
        return true; /* to hear of it */
    if (td_client_is_named(c) && !c->numbered)
        return false;
    return td_client_unconfirmed(c) <= c->options.unconfirmed_events / 2 &&
           held_bytes(c) <= c->options.unconfirmed_bytes / 2 &&
           (!c->ready || unsent_bytes(c) <= UNSENT_BYTES_MAX / 2);
}

tidings_err td_client_publish(struct td_client *c,
                              const struct td_packing *event)
{
    tidings_err err = td_client_pack(c, event);

    if (err == TIDINGS_EFULL) { /* perhaps the batch had to be closed */
        td_client_pump(c);
        err = td_client_pack(c, event);
    }
    if (!err && td_client_wants_pump(c))
        td_client_pump(c);
    return err;
}

/* Whether its confirm will come by itself, which says that it was taken. */
static bool will_be_confirmed(struct td_client *c, uint64_t sequence)
{
    const struct td_outgoing *out = td_publisher_find(&c->publisher, sequence);

    return out && out->level;
}

void td_client_ask(struct td_client *c, uint64_t sequence)
{
    struct td_frame f = {.op = TD_PING};
    uint64_t sent;

    /* One at a time: what others wait for meanwhile makes one batch. */
    if (c->wanted <= c->publisher.taken)
        c->wanted = sequence;
    td_client_pump(c);
    sent = td_publisher_sent_here(&c->publisher);
    if (sequence > sent)
        sequence = sent;
    /* A PING is answered with TAKEN first, if there is any to tell; what was
     * sent before it has then been taken. */
    if (c->state == TD_CLIENT_READY && is_wanted(c, sequence) &&
        !will_be_confirmed(c, sequence) && td_client_send(c, &f, NULL))
        c->asked = sent;
}

/* Single events that are far apart were not asked for: without this, room would
 * come when the broker tells of them by itself. */
void td_client_ask_room(struct td_client *c)
{
    if (!c->asked)
        td_client_ask(c, td_publisher_sent_here(&c->publisher));
}

/* ---- taken ---- */

uint64_t td_client_publish_again(struct td_client *c)
{
    uint64_t again = td_publisher_rewind(&c->publisher);

    c->resent += again;
    return again;
}

bool td_client_set_taken(struct td_client *c, uint64_t taken)
{
    if (taken > c->publisher.sent)
        return false;
    td_publisher_taken(&c->publisher, taken);
    if (c->asked && taken >= c->asked)
        c->asked = 0;
    return true;
}

tidings_err td_client_on_taken(struct td_client *c, const struct td_frame *f)
{
    if (f->u.taken.events_limit < c->events_limit ||
        f->u.taken.bytes_limit < c->bytes_limit)
        return td_client_breach(c, "took credit back");
    c->events_limit = f->u.taken.events_limit;
    c->bytes_limit = f->u.taken.bytes_limit;
    if (!td_client_set_taken(c, f->u.taken.taken))
        return td_client_breach(c, "has taken what was never sent");
    td_client_pump(c);
    return TIDINGS_OK;
}
