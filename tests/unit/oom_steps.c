#include "tests/unit/oom_steps.h"

#include <stddef.h>

#define WIDE  OOM_WIDE
#define SMALL "{\"events\" 2 \"bytes\" 2097152 \"queue_events\" 6}"

/* Sessions that begin, publish every shape, subscribe, and end. */
const struct oom_step oom_life[] = {
    {.op = HELLO, .peer = 0},
    {.op = PUB, .peer = 0, .text = "nobody.hears 1 10"},
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, "user.*", WIDE},
    {SUB, 1, 2, ">", WIDE},
    {SUB, 1, 3, "shop.*.cart.*.item.>", WIDE},
    {.op = PUB, .peer = 0, .text = "user.created 1 10"},
    {.op = PUB, .peer = 0, .text = "user.created 300 20"},
    {.op = PUB,
     .peer = 0,
     .text = "user.created 2 10, order.paid 3 50, user.gone 1 0, "
             "shop.a.cart.b.item.c.d 4 100, nobody.else 1 1"},
    {.op = CREDIT, .peer = 1},
    {.op = PUB, .peer = 0, .text = "user.large 2 20000"},
    {.op = PUB, .peer = 0, .text = "user.large 1 20000, a.b 1 15000"},
    {.op = HELLO, .peer = 2},
    {SUB, 2, 1, "user.created", WIDE},
    {SUB, 2, 2, "*.*", WIDE},
    {.op = PUB, .peer = 2, .text = "user.created 1 10, order.paid 1 10"},
    {.op = PUB, .peer = 0, .n = 2, .text = "user.created 4 10"},
    {.op = PUB, .peer = 0, .n = 3, .text = "a.b 1 15000, user.created 2 10"},
    {.op = UNSUB, .peer = 1, .n = 1},
    {SUB, 1, 1, "user.>", WIDE},
    {.op = PUB, .peer = 0, .text = "user.created 5 10"},
    {.op = CREDIT, .peer = 1},
    {.op = CREDIT, .peer = 2},
    {.op = STATS, .peer = 1, .text = "subscriptions"},
    {.op = STATS, .peer = 1, .text = "types"},
    {.op = STATS, .peer = 1, .text = "sessions"},
    {.op = PASS, .n = 300},
    {.op = GONE, .peer = 2},
    {.op = PUB, .peer = 0, .text = "user.created 5 10"},
    {.op = HELLO, .peer = 2},
    {SUB, 2, 1, "user.created", WIDE},
    {.op = PUB, .peer = 2, .text = "user.created 1 10"},
    {.op = BYE, .peer = 1},
    {.op = PUB, .peer = 0, .text = "user.created 5 10"},
    {.op = END},
};

/* Subscribers that do not keep up: blocked, dropped, ended with a full queue. */
const struct oom_step oom_slow[] = {
    {.op = HELLO, .peer = 0},
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, "a.b", SMALL},
    {.op = HELLO, .peer = 2},
    {SUB, 2, 1, "a.*", SMALL},
    {.op = PUB, .peer = 0, .text = "a.b 5 10"},
    {.op = PUB, .peer = 0, .text = "a.b 1 10, a.c 1 10, a.b 1 10"},
    {.op = PUB, .peer = 0, .text = "a.c 1 10, a.b 3 10"},
    {.op = PASS, .n = 500},
    {.op = PUB, .peer = 2, .text = "a.b 9 10"},
    {.op = CREDIT, .peer = 1},
    {.op = PASS, .n = 2500}, /* the budget of block is spent */
    {.op = PUB, .peer = 0, .text = "a.b 9 10"},
    {.op = CREDIT, .peer = 2},
    {.op = PUB, .peer = 0, .text = "a.c 2 10, a.b 2 10"},
    {.op = UNSUB, .peer = 1, .n = 1},
    {SUB, 1, 1, "a.b", SMALL},
    {.op = PUB, .peer = 0, .text = "a.b 9 10"},
    {.op = GONE, .peer = 1},
    {.op = CREDIT, .peer = 2},
    {.op = PUB, .peer = 0, .text = "a.b 9 10"},
    {.op = END},
};

/* More than the queues may hold together. */
const struct oom_step oom_full[] = {
    {.op = HELLO, .peer = 0},
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, "a.b", "{\"events\" 1 \"bytes\" 2097152}"},
    {SUB, 1, 2, "a.*", "{\"events\" 1 \"bytes\" 2097152}"},
    {.op = PUB, .peer = 0, .text = "a.b 4 10000, a.c 1 10"},
    {.op = PUB, .peer = 0, .text = "a.b 1 10, a.c 1 10, a.b 1 20000"},
    {.op = PUB, .peer = 0, .text = "a.b 2 15000, a.c 1 10"},
    {.op = CREDIT, .peer = 1},
    {.op = PUB, .peer = 0, .text = "a.c 2 15000, a.b 1 10"},
    {.op = END},
};

#define LONG ".of.a.long.name.that.fills.the.table.soon 1 10"

/* Batches of many types for many, and small ones gathered into a message. */
const struct oom_step oom_many[] = {
    {.op = HELLO, .peer = 0},
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, ">", WIDE},
    {SUB, 1, 2, "*.x", WIDE},
    {SUB, 1, 3, "*.*.x", WIDE},
    {.op = PUB,
     .peer = 0,
     .text = "a.x 1 1, b.x 1 1, c.x 1 1, d.x 1 1, e.x 1 1, f.x 1 1, g.x 1 1, "
             "a.y.x 1 1, b.y.x 1 1, c.y.x 1 1, d.y.x 1 1, e.y.x 1 1, z 1 1, "
             "h.x 1 1, i.x 1 1, j.x 1 1, k.x 1 1, l.x 1 1, m.x 1 1, n.x 1 1"},
    {.op = HELLO, .peer = 2},
    {SUB, 2, 1, "t.>", "{\"events\" 8 \"bytes\" 2097152}"},
    {.op = PUB, .peer = 0, .text = "t.0 8 10"},
    {.op = PUB, .peer = 0, .text = "t.1" LONG},
    {.op = PUB, .peer = 0, .text = "t.2" LONG},
    {.op = PUB, .peer = 0, .text = "t.3" LONG},
    {.op = PUB, .peer = 0, .text = "t.4" LONG},
    {.op = PUB, .peer = 0, .text = "t.5" LONG},
    {.op = PUB, .peer = 0, .text = "t.6" LONG},
    {.op = PUB, .peer = 0, .text = "t.7" LONG},
    {.op = CREDIT, .peer = 2},
    {.op = END},
};

#define MEMBER(policy)                                                         \
    "{\"events\" 3 \"bytes\" 2097152 \"queue_events\" 9 \"group\" \"g\" "      \
    "\"group_policy\" \"" policy "\"}"

/* Members that come, share, do not keep up, and go. */
#define SHARED(policy)                                                         \
    {.op = HELLO, .peer = 0}, {.op = HELLO, .peer = 1},                        \
        {SUB, 1, 1, "a.*", MEMBER(policy)}, {SUB, 1, 2, "a.b", WIDE},          \
        {.op = PUB, .peer = 0, .text = "a.b 2 10k"}, {.op = HELLO, .peer = 2}, \
        {SUB, 2, 1, "a.*", MEMBER(policy)},                                    \
        {SUB, 2, 2, "a.*", MEMBER(policy)},                                    \
        {.op = PUB, .peer = 0, .text = "a.b 5 10k, a.c 2 10, a.b 3 10k"},      \
        {.op = CREDIT, .peer = 1}, {.op = STATS, .peer = 1, .text = "groups"}, \
        {.op = PUB, .peer = 2, .text = "a.c 8 10k"},                           \
        {.op = PUB, .peer = 0, .text = "a.b 9 10k"},                           \
        {.op = UNSUB, .peer = 2, .n = 2}, {.op = CREDIT, .peer = 2},           \
        {.op = PASS, .n = 2500}, {.op = GONE, .peer = 2},                      \
        {.op = PUB, .peer = 0, .text = "a.c 4 10k"},                           \
        {.op = CREDIT, .peer = 1}, {.op = HELLO, .peer = 2},                   \
        {SUB, 2, 1, "a.*", MEMBER(policy)},                                    \
        {.op = PUB, .peer = 0, .text = "a.b 6 10k, a.c 1 10"},                 \
        {.op = BYE, .peer = 1}, {.op = CREDIT, .peer = 2},                     \
        {.op = PUB, .peer = 0, .text = "a.b 6 10k"}, {.op = END},

const struct oom_step oom_round_robin[] = {SHARED("round_robin")};
const struct oom_step oom_random_member[] = {SHARED("random")};
const struct oom_step oom_least_pending[] = {SHARED("least_pending")};
const struct oom_step oom_by_key[] = {SHARED("key")};

#define POLICY(policy)                                                         \
    "{\"events\" 2 \"bytes\" 2097152 \"queue_events\" 6 \"policy\" \"" policy  \
    "\"}"

/* Queues that drop, and the broker's own events that tell of it. */
const struct oom_step oom_dropping[] = {
    {.op = HELLO, .peer = 0},
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, "a.*", POLICY("drop_oldest")},
    {SUB, 1, 2, "a.>", POLICY("drop_newest")},
    {.op = PUB, .peer = 0, .text = "a.b 3 10, a.c 9 10"},
    {.op = PUB, .peer = 0, .text = "a.b 4 10, a.c 3 10, a.b 1 10"},
    {.op = CREDIT, .peer = 1},
    {.op = PUB, .peer = 0, .text = "a.c 4 10"},
    {.op = PASS, .n = 1500},
    {.op = PUB, .peer = 0, .text = "a.b 9 10"},
    {.op = UNSUB, .peer = 1, .n = 2},
    {.op = CREDIT, .peer = 1},
    {.op = PUB, .peer = 0, .text = "a.b 9 10"},
    {.op = GONE, .peer = 1},
    {.op = END},
};

/* A session that is lost with messages on their way, and taken up again. */
const struct oom_step oom_resumed[] = {
    {.op = HELLO, .peer = 0},
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, "a.*", WIDE},
    {SUB, 1, 2, "a.b", POLICY("drop_oldest")},
    {SUB, 1, 3, "a.>", MEMBER("round_robin")},
    {.op = HELLO, .peer = 2},
    {SUB, 2, 1, "a.>", MEMBER("round_robin")},
    {.op = PUB, .peer = 0, .text = "a.b 3 10, a.c 2 10"},
    {.op = CREDIT, .peer = 1},
    {.op = DEAF, .peer = 1},
    {.op = PUB, .peer = 0, .text = "a.b 4 10, a.c 3 10"},
    {.op = GONE, .peer = 1},
    {.op = PUB, .peer = 0, .text = "a.b 9 10, a.c 1 20000"},
    {.op = CREDIT, .peer = 2},
    {.op = PASS, .n = 300},
    {.op = RESUME, .peer = 1},
    {.op = CREDIT, .peer = 1},
    {.op = PUB, .peer = 0, .text = "a.b 2 10"},
    {.op = GONE, .peer = 0}, /* a publisher */
    {.op = RESUME, .peer = 0},
    {.op = PASS, .n = 2500}, /* it was held back, and is until the budget ends */
    {.op = PUB, .peer = 0, .n = 2, .text = "a.b 4 10"},
    {.op = DEAF, .peer = 1},
    {.op = PUB, .peer = 0, .text = "a.b 4 10"},
    {.op = GONE, .peer = 1},
    {.op = PASS, .n = 16000}, /* too late */
    {.op = RESUME, .peer = 1},
    {SUB, 1, 1, "a.*", WIDE},
    {.op = PUB, .peer = 0, .text = "a.b 2 10"},
    {.op = END},
};

/* Nobody else is there, so that every table begins anew. */
const struct oom_step oom_alone[] = {
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, "a.*", WIDE},
    {SUB, 1, 2, "a.b", MEMBER("key")},
    {.op = PUB, .peer = 1, .text = "a.b 3 10k"},
    {.op = DEAF, .peer = 1},
    {.op = PUB, .peer = 1, .text = "a.b 1 10"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10k"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10k"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10"},
    {.op = PUB, .peer = 1, .text = "a.b 1 10"},
    {.op = GONE, .peer = 1},
    {.op = RESUME, .peer = 1},
    {.op = PUB, .peer = 1, .text = "a.b 2 10"},
    {.op = CREDIT, .peer = 1},
    {.op = END},
};

/* The engine's own events, of all that can happen. */
const struct oom_step oom_advised[] = {
    {.op = HELLO, .peer = 2},
    {SUB, 2, 1, "$tidings.>", WIDE},
    {.op = HELLO, .peer = 0},
    {.op = HELLO, .peer = 1},
    {SUB, 1, 1, "a.b", SMALL},
    {SUB, 1, 2, "a.b", POLICY("drop_newest")},
    {.op = PUB, .peer = 0, .text = "a.b 9 10"},
    {.op = PASS, .n = 3000},
    {.op = PUB, .peer = 0, .text = "a.b 9 10"},
    {.op = GONE, .peer = 1},
    {.op = RESUME, .peer = 1},
    {.op = BYE, .peer = 0},
    {.op = PASS, .n = 300},
    {.op = END},
};
