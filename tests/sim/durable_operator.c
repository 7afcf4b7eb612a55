/* An operator: declares streams and groups, redrives what is dead, changes the
 * bounds of streams, and lets groups pause. */
#include "tests/sim/durable_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dur_call *call_new(struct dur *d, const char *name, uint32_t rows,
                                 msgpack_packer *pk)
{
    struct dur_call *call = &d->calls[d->calls_len++];

    snprintf(call->name, sizeof(call->name), "%s", name);
    msgpack_packer_init(pk, &call->options, td_buf_pack_write);
    msgpack_pack_map(pk, rows);
    return call;
}

static void pack_bool(msgpack_packer *pk, bool value)
{
    if (value)
        msgpack_pack_true(pk);
    else
        msgpack_pack_false(pk);
}

static void declare_stream(struct dur *d, const struct dur_stream *s,
                           const char *pattern)
{
    msgpack_packer pk;

    call_new(d, "stream.add", 7, &pk);
    td_pack_str(&pk, "name", td_str_of(s->name));
    td_pack_key(&pk, "patterns");
    msgpack_pack_array(&pk, 1);
    td_pack_text(&pk, td_str_of(pattern));
    td_pack_uint(&pk, "max_events", s->max_events);
    td_pack_str(&pk, "storage", td_str_of(s->memory ? "memory" : "disk"));
    td_pack_key(&pk, "keyed");
    pack_bool(&pk, s->keyed);
    td_pack_key(&pk, "compact");
    pack_bool(&pk, s->compact);
    td_pack_uint(&pk, "tombstone_ms", (uint64_t)s->tombstone_ms);
}

static void declare_group(struct dur *d, const struct dur_group *g)
{
    msgpack_packer pk;

    if (d->streams[g->stream].memory)
        return; /* it goes with its broker: its members begin it */
    call_new(d, "group.add", 10, &pk);
    td_pack_str(&pk, "stream", td_str_of(d->streams[g->stream].name));
    td_pack_str(&pk, "group", td_str_of(g->name));
    td_pack_str(&pk, "pattern", td_str_of(g->pattern));
    td_pack_str(&pk, "start", td_str_of("all"));
    td_pack_str(&pk, "group_policy", td_str_of(td_share_names[g->share]));
    td_pack_uint(&pk, "max_in_flight", g->max_in_flight);
    td_pack_uint(&pk, "ack_wait_ms", g->ack_wait_ms);
    td_pack_uint(&pk, "max_deliver", g->max_deliver);
    td_pack_uint(&pk, "backoff_ms", g->backoff_ms);
    td_pack_uint(&pk, "backoff_max_ms", g->backoff_ms * 4);
}

void dur_operator_prepare(struct dur *d)
{
    static const char *const patterns[DUR_STREAMS] = {NULL, "a.>", "b.>"};

    for (uint32_t i = 1; i < d->streams_len; i++)
        declare_stream(d, &d->streams[i], patterns[i]);
    for (uint32_t i = 0; i < d->groups_len; i++)
        declare_group(d, &d->groups[i]);
}

void dur_operator_free(struct dur *d)
{
    for (uint32_t i = 0; i < DUR_CALLS; i++)
        td_buf_fini(&d->calls[i].options);
}

static void ask(struct dur_client *client, const struct dur_call *call)
{
    struct dur *d = client->d;

    d->question = (struct td_question){
        .name = call->name,
        .options = {(const char *)call->options.data, call->options.len},
    };
    d->asking = true;
    td_client_question(&client->c, &d->question, TD_CALL);
}

/* ---- now and then ---- */

/* A group, and room for more options. */
static const struct dur_group *pack_group(struct dur *d, msgpack_packer *pk,
                                          uint32_t more)
{
    const struct dur_group *g =
        &d->groups[sim_below(&d->random, d->groups_len)];

    msgpack_pack_map(pk, 2 + more);
    td_pack_str(pk, "stream", td_str_of(d->streams[g->stream].name));
    td_pack_str(pk, "group", td_str_of(g->name));
    return g;
}

static void pack_dead(struct dur *d, msgpack_packer *pk)
{
    pack_group(d, pk, 0);
}

static void pack_seek(struct dur *d, msgpack_packer *pk)
{
    static const char *const starts[] = {"new", "all", "last", "last"};
    const struct dur_group *g = pack_group(d, pk, 1);
    struct sim_random *r = &d->random;

    if (sim_chance(r, 400))
        td_pack_uint(pk, "start",
                     1 + sim_below(r, d->streams[g->stream].len + 1));
    else
        td_pack_str(pk, "start", td_str_of(starts[sim_below(r, 4)]));
}

static void pack_pause(struct dur *d, msgpack_packer *pk)
{
    pack_group(d, pk, 1);
    td_pack_uint(pk, "until_ms",
                 (uint64_t)(DUR_EPOCH_MS + d->now_ms +
                            sim_between(&d->random, 100, 2000)));
}

static void pack_resume(struct dur *d, msgpack_packer *pk)
{
    pack_group(d, pk, 0);
}

/* Of a stream that loses events anyhow a bound that it may feel at once. */
static void pack_set(struct dur *d, msgpack_packer *pk)
{
    struct sim_random *r = &d->random;
    const struct dur_stream *s = &d->streams[sim_below(r, d->streams_len)];
    bool loses = s->max_events > 0;

    msgpack_pack_map(pk, 2);
    td_pack_str(pk, "name", td_str_of(s->name));
    td_pack_uint(pk, loses ? "max_events" : "max_bytes",
                 loses && sim_chance(r, 800) ? sim_between(r, 5, 300) : 0);
}

static const struct {
    const char *name;
    void (*pack)(struct dur *d, msgpack_packer *pk);
    /* NULL: nobody minds */
    void (*heard)(struct dur *d, struct td_str options);
    void (*told)(struct dur *d, tidings_err code);
} calls[] = {
    {"dlq.redrive", pack_dead, NULL, NULL},
    {"dlq.redrive", pack_dead, NULL, NULL},
    {"dlq.purge", pack_dead, dur_purge_dead_heard, dur_purge_dead_told},
    {"stream.purge", dur_purge_stream, dur_purge_stream_heard,
     dur_purge_stream_told},
    {"stream.set", pack_set, NULL, NULL},
    {"group.pause", pack_pause, NULL, NULL},
    {"group.resume", pack_resume, NULL, NULL},
    {"group.seek", pack_seek, dur_marks_sought, dur_marks_told},
    {"schedule.cancel", dur_schedule_cancel, dur_schedule_asked,
     dur_schedule_cancelled},
};

#define CALLS_LEN (sizeof(calls) / sizeof(calls[0]))

static void now_and_then(struct dur_client *client)
{
    struct dur *d = client->d;
    struct sim_random *r = &d->random;
    struct dur_call *call = &d->calls[d->calls_len];
    msgpack_packer pk;
    uint64_t n;

    if (d->healing || !sim_chance(r, 60))
        return;
    n = sim_below(r, CALLS_LEN);
    td_buf_reset(&call->options);
    snprintf(call->name, sizeof(call->name), "%s", calls[n].name);
    msgpack_packer_init(&pk, &call->options, td_buf_pack_write);
    calls[n].pack(d, &pk);
    dur_say(d, "operator: %s", call->name);
    ask(client, call); /* the same one, again and again */
}

void dur_operator_heard(struct dur *d, const struct sim_message *m)
{
    struct td_frame f;
    const char *why;

    if (td_frame_decode(&f, m->control, m->len, true, &why) || f.op != TD_CALL)
        return;
    for (uint32_t i = 0; i < CALLS_LEN; i++) {
        if (calls[i].heard && td_str_is(f.u.call.name, calls[i].name))
            calls[i].heard(d, f.u.call.options);
    }
}

static void told(struct dur *d)
{
    for (uint32_t i = 0; i < CALLS_LEN; i++) {
        if (calls[i].told && strcmp(d->question.name, calls[i].name) == 0)
            calls[i].told(d, d->question.code);
    }
}

static void answered(struct dur_client *client)
{
    struct dur *d = client->d;

    if (d->calls_at < d->calls_len) {
        DUR_CHECK(d, !d->question.code, "%s: %s", d->question.name,
                  d->question.text);
        d->calls_at++;
    }
    told(d);
    td_client_withdraw(&client->c, &d->question);
    free(d->question.result);
    d->asking = false;
}

void dur_operator_act(struct dur_client *client)
{
    struct dur *d = client->d;

    if (d->asking && d->question.done)
        answered(client);
    if (d->asking)
        return;
    if (d->calls_at < d->calls_len) {
        ask(client, &d->calls[d->calls_at]);
    } else if (!d->ready) {
        d->ready = true;
        d->fault_ms = d->now_ms + 100;
        dur_say(d, "streams and groups are declared");
    } else {
        now_and_then(client);
    }
}
