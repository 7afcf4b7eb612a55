/* An operator: declares streams and groups, redrives what is dead, and lets
 * groups pause. */
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

static void declare_stream(struct dur *d, const struct dur_stream *s,
                           const char *pattern)
{
    msgpack_packer pk;

    call_new(d, "stream.add", 4, &pk);
    td_pack_str(&pk, "name", td_str_of(s->name));
    td_pack_key(&pk, "patterns");
    msgpack_pack_array(&pk, 1);
    td_pack_text(&pk, td_str_of(pattern));
    td_pack_uint(&pk, "max_events", s->max_events);
    td_pack_str(&pk, "storage", td_str_of(s->memory ? "memory" : "disk"));
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

static void pack_seek(struct dur *d, msgpack_packer *pk,
                      const struct dur_group *g)
{
    struct sim_random *r = &d->random;

    if (sim_chance(r, 400))
        td_pack_uint(pk, "start",
                     1 + sim_below(r, d->streams[g->stream].len + 1));
    else
        td_pack_str(pk, "start", td_str_of(sim_chance(r, 300) ? "new" : "all"));
}

static void pack_pause(struct dur *d, msgpack_packer *pk,
                       const struct dur_group *g)
{
    (void)g;
    td_pack_uint(pk, "until_ms",
                 (uint64_t)(DUR_EPOCH_MS + d->now_ms +
                            sim_between(&d->random, 100, 2000)));
}

static void now_and_then(struct dur_client *client)
{
    static const struct {
        const char *name;
        void (*pack)(struct dur *d, msgpack_packer *pk,
                     const struct dur_group *g); /* NULL: no more options */
    } calls[] = {
        {"dlq.redrive", NULL},
        {"dlq.redrive", NULL},
        {"group.pause", pack_pause},
        {"group.seek", pack_seek},
    };
    struct dur *d = client->d;
    struct sim_random *r = &d->random;
    const struct dur_group *g = &d->groups[sim_below(r, d->groups_len)];
    struct dur_call *call = &d->calls[d->calls_len];
    uint64_t n = sim_below(r, sizeof(calls) / sizeof(calls[0]));
    msgpack_packer pk;

    if (d->healing || !sim_chance(r, 60))
        return;
    td_buf_reset(&call->options);
    call_new(d, calls[n].name, calls[n].pack ? 3 : 2, &pk);
    d->calls_len--; /* the last one, again and again */
    td_pack_str(&pk, "stream", td_str_of(d->streams[g->stream].name));
    td_pack_str(&pk, "group", td_str_of(g->name));
    if (calls[n].pack)
        calls[n].pack(d, &pk, g);
    dur_say(d, "operator: %s %s", call->name, g->name);
    ask(client, call);
}

static void answered(struct dur_client *client)
{
    struct dur *d = client->d;

    if (d->calls_at < d->calls_len) {
        DUR_CHECK(d, !d->question.code, "%s: %s", d->question.name,
                  d->question.text);
        d->calls_at++;
    }
    if (strcmp(d->question.name, "group.seek") == 0)
        dur_marks_told(d, !d->question.code);
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
