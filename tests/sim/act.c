/* What a client's owner does: publishes, subscribes and asks at random, and
 * reads the answers. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

static const char *const patterns[] = {
    ">",       "user.*",  "user.>",          "order.*.*",    "a.>",
    "a.*",     "*.b",     "*.*.c",           "*.*",          "*",
    "b.b.b",   "x.y.z",   "order.>",         "z.>",          "*.*.*.>",
    "a.b.c.d", "a.*.c.>", "c.1.2.3.*.5.6.8", "user.created", "*.created",
};

static const char *random_pattern(struct sim *sim)
{
    uint64_t n = sizeof(patterns) / sizeof(patterns[0]);

    if (sim_chance(&sim->random, sim->config.wide))
        return patterns[0];
    return patterns[sim_below(&sim->random, n)];
}

static const char *const advisories[] = {
    "$tidings.>",
    "$tidings.drop",
    "$tidings.slow",
    "$tidings.session.*",
};

static const char *advisory(struct sim *sim)
{
    uint64_t n = sizeof(advisories) / sizeof(advisories[0]);

    return advisories[sim_below(&sim->random, n)];
}

static void choose_policy(struct sim *sim, struct tidings_sub_options *options)
{
    static const enum tidings_policy drop[] = {TIDINGS_DROP_OLDEST,
                                               TIDINGS_DROP_NEWEST};

    if (sim_chance(&sim->random, sim->config.drops))
        options->policy = drop[sim_below(&sim->random, 2)];
}

static const char *const group_names[SIM_GROUPS] = {"g0", "g1", "g2"};

/* Few patterns, so that they meet. Now and then it asks for what the group is
 * not. */
static const char *choose_group(struct sim *sim,
                                struct tidings_sub_options *options)
{
    struct sim_random *r = &sim->random;
    uint64_t which = sim_below(r, SIM_GROUPS);

    options->group = group_names[which];
    options->policy = sim->config.groups[which].policy;
    options->group_policy = sim->config.groups[which].share;
    options->queue_events = sim->config.groups[which].queue_events;
    options->queue_bytes = 0;
    if (sim_chance(r, 50))
        options->group_policy =
            (enum tidings_group_policy)sim_below(r, TD_SHARES);
    return patterns[sim_chance(r, 700) ? 0 : sim_below(r, 3)];
}

static void subscribe(struct sim_client *client)
{
    struct sim *sim = client->sim;
    const struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;
    struct tidings_sub_options options = {0};
    struct sim_sub *sub = sim_sub_of(client, NULL);
    const char *pattern;

    if (!sub)
        return;
    pattern = sim_chance(r, cf->advised) ? advisory(sim) : random_pattern(sim);
    if (sim_chance(r, cf->tiny_window)) {
        options.window_events = 1 + sim_below(r, 30);
        options.window_bytes = TD_EVENT_BYTES_MAX;
    }
    if (sim_chance(r, cf->tiny_queue)) {
        options.queue_events = 1 + sim_below(r, 200);
        options.queue_bytes = sim_chance(r, 300) ? 1 + sim_below(r, 20000) : 0;
    }
    if (sim_chance(r, cf->refused))
        options.queue_events = TD_QUEUE_EVENTS_MAX + 1;
    choose_policy(sim, &options);
    if (sim_chance(r, cf->grouped))
        pattern = choose_group(sim, &options);
    memset(sub, 0, sizeof(*sub));
    SIM_CHECK(sim,
              !td_client_subscribe(&client->c, &sub->csub, pattern, &options),
              "no subscription could be made");
}

static void unsubscribe(struct sim_client *client)
{
    struct sim_sub *sub =
        &client->subs[sim_below(&client->sim->random, SIM_SUBS_MAX)];

    if (sub->csub && sub->csub->state != TD_CSUB_ENDING &&
        sub->csub->state != TD_CSUB_ENDED)
        td_client_unsubscribe(&client->c, sub->csub);
}

static uint32_t subs_len(const struct sim_client *client)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++)
        n += client->subs[i].csub != NULL;
    return n;
}

static void publish(struct sim_client *client)
{
    struct sim *sim = client->sim;
    uint64_t n = 1 + sim_below(&sim->random, sim->config.burst_max);

    while (n-- > 0 && !sim->failed) {
        tidings_err err =
            sim_publish(sim, &client->c, &sim->producers[client->producer]);

        if (err == TIDINGS_EFULL)
            sim_seen(sim, SIM_SEEN_FULL);
        SIM_CHECK(sim,
                  !err || err == TIDINGS_EFULL ||
                      (err == TIDINGS_ENOMEM && sim->config.starved),
                  "publish: %s", tidings_err_text(err));
        if (err)
            break;
    }
}

static const char *const asked_for[] = {"subscriptions", "groups", "types",
                                        "none"};

static void ask(struct sim_client *client, enum td_op op)
{
    if (client->asking)
        return;
    client->asking = true;
    client->asked_in = client->c.connects;
    client->question.rows = asked_for[sim_below(&client->sim->random, 4)];
    client->question.from = 0;
    td_client_question(&client->c, &client->question, op);
}

void sim_act(struct sim_client *client)
{
    struct sim *sim = client->sim;
    const struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;
    uint32_t want =
        cf->hoarder && client->index == 0 ? SIM_SUBS_MAX : cf->subs_max;

    client->act_ms = sim->now_ms + 1 + sim_between(r, 0, 2 * cf->act_ms);
    if (client->publishes)
        publish(client);
    if (subs_len(client) < want && sim_chance(r, 500))
        subscribe(client);
    else if (sim_chance(r, cf->churn))
        unsubscribe(client);
    if (sim_chance(r, 100))
        td_client_ask(&client->c, client->c.packer.sequence);
    if (sim_chance(r, 30))
        ask(client, sim_chance(r, 500) ? TD_STATS : TD_PING);
}

/* ---- answers ---- */

static uint64_t number(struct sim *sim, struct td_str map, const char *key)
{
    struct td_str raw;
    uint64_t value = 0;

    SIM_CHECK(sim, td_map_find(map, key, &raw) && td_map_uint(map, key, &value),
              "STATS has no %s", key);
    return value;
}

static uint64_t dropped_in(struct sim *sim, struct td_str map)
{
    struct td_str dropped;
    uint64_t sum = 0;

    if (!td_map_find(map, "dropped", &dropped)) {
        SIM_CHECK(sim, false, "STATS has no dropped");
        return 0;
    }
    for (int i = 0; i < TD_DROPS; i++)
        sum += number(sim, dropped, td_drop_names[i]);
    return sum;
}

static void check_ledger(struct sim *sim, struct td_str map)
{
    SIM_CHECK(sim,
              number(sim, map, "matched") == number(sim, map, "delivered") +
                                                 number(sim, map, "pending") +
                                                 dropped_in(sim, map),
              "STATS does not balance");
}

static void check_published(struct sim *sim, struct td_str map)
{
    SIM_CHECK(sim,
              number(sim, map, "published") ==
                  number(sim, map, "duplicates") + number(sim, map, "routed") +
                      number(sim, map, "unmatched"),
              "published of STATS does not balance");
}

static void check_sums(struct sim *sim, struct td_str map)
{
    static const char *const keys[] = {"published", "duplicates", "routed",
                                       "unmatched", "matched",    "delivered",
                                       "pending"};
    struct td_str sums = {NULL, 0};

    SIM_CHECK(sim, td_map_find(map, "sums", &sums), "STATS has no sums");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        SIM_CHECK(sim, number(sim, map, keys[i]) == number(sim, sums, keys[i]),
                  "%s of STATS is not the sum of its rows", keys[i]);
    SIM_CHECK(sim, dropped_in(sim, map) == dropped_in(sim, sums),
              "dropped of STATS is not the sum of its rows");
}

/* What STATS is asked for, and what holds for each row. */
static const struct {
    const char *rows;
    const char *total;
    void (*check)(struct sim *sim, struct td_str row);
} questions[] = {
    {"subscriptions", "subscriptions_total", check_ledger},
    {"groups", "groups_total", check_ledger},
    {"types", "types_total", check_published},
    {"none", NULL, NULL},
};

static void check_rows(struct sim *sim, struct td_str map, size_t which)
{
    struct td_str rows = {NULL, 0};
    struct td_reader r;
    uint32_t n = 0;

    SIM_CHECK(sim, td_map_find(map, questions[which].rows, &rows),
              "STATS has no %s", questions[which].rows);
    r = td_reader_of(rows.data, rows.len);
    td_read_array(&r, &n);
    SIM_CHECK(sim, n == number(sim, map, questions[which].total),
              "%u rows of STATS", n);
    while (n-- > 0) {
        struct td_str row;

        if (td_read_raw(&r, &row))
            questions[which].check(sim, row);
    }
}

static void check_stats(struct sim *sim, const struct td_question *q)
{
    struct td_str map = {q->result, q->result_len};
    size_t which = 0;

    while (strcmp(questions[which].rows, q->rows) != 0)
        which++;
    SIM_CHECK(sim, !q->code, "STATS: %s", tidings_err_text(q->code));
    check_published(sim, map);
    check_ledger(sim, map);
    if (sim->failed)
        return;
    if (questions[which].check)
        check_rows(sim, map, which);
    else
        check_sums(sim, map);
    sim_seen(sim, SIM_SEEN_STATS);
}

void sim_read_answer(struct sim_client *client)
{
    struct td_question *q = &client->question;

    if (!client->asking || !q->done)
        return;
    if (q->op == TD_STATS && !client->evil &&
        !(q->code == TIDINGS_ENOMEM && client->sim->config.starved))
        check_stats(client->sim, q);
    if (client->c.connects > client->asked_in + 1)
        sim_seen(client->sim, SIM_SEEN_ASKED_AGAIN);
    td_client_withdraw(&client->c, q);
    free(q->result);
    client->asking = false;
}
