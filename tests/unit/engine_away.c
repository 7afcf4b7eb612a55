/* Sessions that are away. */
#include "tests/unit/engine_harness.h"

void come_back(struct fixture *f, const char *peer, const char *list)
{
    char options[300];

    snprintf(options, sizeof(options),
             "{\"token\" <c4 10 02*16> \"subscriptions\" %s}", list);
    hello_with(f, peer, options);
}

bool resumed(struct fixture *f, const char *peer)
{
    bool yes = false;

    assert_true(td_map_bool(frame(f, peer, TD_WELCOME, 0)->u.welcome.limits,
                            "resumed", &yes));
    return yes;
}

void begin_away(struct fixture *f)
{
    begin(f, "a", "{\"events\" 100 \"bytes\" 9000000}");
    publish_one(f, "pub", "a", 5, 3, 1);
    flush(f);
    publish_one(f, "pub", "a", 5, 3, 6);
    flush(f);
    give(f, "sub", "[9 1 [[1 3 100 9000000]]]");
    gone(f, "sub");
    flush(f);
    publish_one(f, "pub", "a", 5, 3, 11);
    flush(f);
    assert_int_equal(f->engine->away_len, 1);
    forget(f);
}

void check_delivered(struct fixture *f, const char *peer, uint32_t from,
                     uint32_t to)
{
    uint64_t seen[256];
    uint64_t tag = from;
    uint32_t n = sequences_to(f, peer, seen, 256);

    assert_int_equal(n, to - from + 1);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(seen[i], from + i);
    for (uint32_t i = 0; find(f, peer, TD_DELIVER, i); i++) {
        assert_int_equal(part(f, peer, i)->tag, tag);
        tag += delivered(f, peer, i)->events;
    }
}
