#include "tests/unit/oom_peers.h"

#include "proto/frame.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"
#include "tests/support/td_test.h"

#define REST_MS  1000 /* a round of coming to rest … */
#define REST_MIN 20   /* … of which a lost session is forgotten in so many */
#define REST_MAX 60

static struct td_str ask_stats(struct oom_broker *b, const char *rows)
{
    struct oom_peer *judge = &b->peers[OOM_JUDGE];

    td_alloc_hold(true);
    oom_hello(b, OOM_JUDGE);
    oom_stats(b, OOM_JUDGE, rows);
    td_alloc_hold(false);
    assert_true(judge->up && judge->answered == judge->request);
    assert_ok(judge->code);
    return td_mp_str(&b->stats);
}

static uint64_t value_of(struct td_str map, const char *key)
{
    uint64_t value = UINT64_MAX;

    assert_row(key, td_map_uint(map, key, &value) && value != UINT64_MAX);
    return value;
}

uint64_t oom_count(struct oom_broker *b, const char *counter)
{
    return value_of(ask_stats(b, "none"), counter);
}

static uint64_t dropped(struct td_str map)
{
    struct td_str reasons = {0};
    struct td_reader r;
    struct td_str key;
    uint64_t sum = 0;
    uint64_t n;
    uint32_t pairs;

    assert_true(td_map_find(map, "dropped", &reasons));
    r = td_reader_of(reasons.data, reasons.len);
    assert_true(td_read_map(&r, &pairs));
    while (pairs-- > 0) {
        assert_true(td_read_str(&r, &key) && td_read_uint(&r, &n));
        sum += n;
    }
    return sum;
}

static void check_sum(struct td_str map)
{
    assert_int_equal(value_of(map, "matched"), value_of(map, "delivered") +
                                                   value_of(map, "pending") +
                                                   dropped(map));
}

/* Calls check() for each row of STATS. */
static void each_row(struct oom_broker *b, const char *which,
                     void (*check)(struct oom_broker *b, struct td_str row))
{
    struct td_str stats = ask_stats(b, which);
    struct td_str list = {0};
    struct td_str row;
    struct td_reader r;
    uint32_t rows;

    assert_true(td_map_find(stats, which, &list));
    r = td_reader_of(list.data, list.len);
    assert_true(td_read_array(&r, &rows));
    while (rows-- > 0) {
        assert_true(td_read_raw(&r, &row));
        check(b, row);
    }
}

static void row_adds_up(struct oom_broker *b, struct td_str row)
{
    (void)b;
    check_sum(row);
}

static void type_adds_up(struct oom_broker *b, struct td_str row)
{
    assert_int_equal(value_of(row, "published"),
                     value_of(row, "duplicates") + value_of(row, "routed") +
                         value_of(row, "unmatched"));
    b->counted += value_of(row, "published");
}

void oom_check_ledger(struct oom_broker *b)
{
    struct td_str stats = ask_stats(b, "types");
    struct td_str other = {0};

    if (!b->advised)
        assert_int_equal(value_of(stats, "published"), b->published);
    assert_int_equal(value_of(stats, "published"),
                     value_of(stats, "duplicates") + value_of(stats, "routed") +
                         value_of(stats, "unmatched"));
    check_sum(stats);
    assert_true(td_map_find(stats, "types_other", &other));
    b->counted = 0;
    type_adds_up(b, other);
    each_row(b, "types", type_adds_up);
    assert_int_equal(b->counted, value_of(ask_stats(b, "none"), "published"));
    each_row(b, "groups", row_adds_up);
    each_row(b, "subscriptions", row_adds_up);
}

static const struct oom_sub *sub_of(struct oom_broker *b, struct td_str row)
{
    struct td_str name = {0};
    const struct oom_sub *sub;
    unsigned i = 0;

    assert_true(td_map_str(row, "name", &name));
    while (strlen(oom_names[i]) != name.len ||
           memcmp(oom_names[i], name.data, name.len) != 0)
        i++;
    sub = &b->peers[i].subs[value_of(row, "subscription")];
    if (!b->peers[i].up)
        return NULL; /* the session is away */
    assert_true(sub->live);
    return sub;
}

/* A subscription with much credit left waits for nothing. */
static void nothing_waits_within_credit(struct oom_broker *b, struct td_str row)
{
    const struct oom_sub *sub = sub_of(b, row);
    uint64_t taken = value_of(row, "delivered");

    if (sub && !sub->grouped &&
        sub->received - taken < sub->window_events / 2 &&
        sub->bytes < sub->window_bytes / 2)
        assert_int_equal(value_of(row, "pending"), sub->received - taken);
}

static void nothing_is_lost_silently(struct oom_broker *b, struct td_str row)
{
    const struct oom_sub *sub = sub_of(b, row);

    assert_non_null(sub);
    assert_int_equal(value_of(row, "delivered"), sub->received);
    if (sub->grouped || b->advised)
        return;
    assert_int_equal(value_of(row, "matched"), sub->expected);
    assert_int_equal(sub->expected, sub->received + sub->missed);
}

void oom_come_to_rest(struct oom_broker *b)
{
    unsigned rounds = 0;

    oom_find_lost(b);
    oom_pass(b, REST_MS);
    each_row(b, "subscriptions", nothing_waits_within_credit);
    do {
        for (unsigned i = 0; i < OOM_JUDGE; i++)
            oom_credit(b, i);
        oom_pass(b, REST_MS);
        assert_true(rounds++ < REST_MAX);
    } while (rounds < REST_MIN || oom_count(b, "pending") > 0);
    oom_check_ledger(b);
    each_row(b, "subscriptions", nothing_is_lost_silently);
}
