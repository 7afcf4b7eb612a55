/* Links that break (FAULTS N01, N02, N04, N05, G12): cut at every byte, mute
 * in one direction or both, up and down again and again. What a publisher had
 * accepted arrives once, in order and whole, and so does what a subscriber
 * behind the link is to see, since it is back within the grace time. N09,
 * another service in the broker's place, is in test_port.c; the same links
 * in namespaces of the kernel are in test_namespaces.c. */
#include "tests/system/system.h"

#include <poll.h>
#include <stdlib.h>

#include "tests/system/lane.h"
#include "tests/system/usage.h"

#define LANES      8
#define HOLES      3
#define EVENTS     24   /* of each life: more than 4,096 bytes each way */
#define EVERY      256  /* cut at every byte up to this, … */
#define LAST       4096 /* … and at some, or all, of those up to this */
#define STEP       61
#define DEAD_MS    15000 /* PROTOCOL.md 9 */
#define SLACK_MS   3000
#define FLAP_MS    200
#define FLAPS      15
#define FLAPS_LONG 300 /* N04: a minute */
#define GROWTH_KB  (8 * 1024)

struct fixture {
    struct td_daemon broker;
    struct sys_peer witness;
    struct lane lanes[LANES];
    struct lane holes[HOLES];
    struct lane flapping;
    int64_t muted_ms; /* since when the holes are there */
};

static void check(const struct lane *lane, bool holds)
{
    if (!holds)
        fail_msg("%s", lane->why);
}

static void init(struct fixture *f, struct lane *lane, unsigned number)
{
    check(lane, lane_init(lane, number, f->broker.endpoint[0], f->witness.bus));
}

/* Links that fall mute are found after some time: meanwhile the other tests
 * run, on the same broker. */
static void mute(struct fixture *f)
{
    static const struct td_chaos_rules rules[HOLES] = {
        {.hole_up = true},
        {.hole_down = true},
        {.hole_up = true, .hole_down = true},
    };

    for (unsigned i = 0; i < HOLES; i++) {
        init(f, &f->holes[i], LANES + i);
        check(&f->holes[i], lane_open(&f->holes[i]));
        check(&f->holes[i], lane_hears(&f->holes[i]));
    }
    f->muted_ms = td_proc_now_ms();
    for (unsigned i = 0; i < HOLES; i++) {
        td_chaos_rules(f->holes[i].chaos, &rules[i]);
        check(&f->holes[i], lane_publish(&f->holes[i], EVENTS));
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    *state = f;
    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->witness, f->broker.endpoint[0], "witness");
    mute(f);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sys_peer_close(&f->witness);
    for (int i = 0; i < LANES; i++)
        lane_fini(&f->lanes[i]);
    for (int i = 0; i < HOLES; i++)
        lane_fini(&f->holes[i]);
    lane_fini(&f->flapping);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

/* ---- N05: cut at every byte ---- */

struct sweep {
    struct lane *lane;
    unsigned first; /* each lane has its share of the offsets */
    unsigned lives;
    unsigned cuts;
};

/* One life of a client, cut once after so many bytes. */
static bool live(struct lane *lane, unsigned offset, bool up)
{
    struct td_chaos_rules rules = {0};

    *(up ? &rules.cut_up : &rules.cut_down) = offset;
    td_chaos_rules(lane->chaos, &rules);
    return lane_open(lane) && lane_publish(lane, EVENTS) && lane_settle(lane) &&
           lane_hears(lane) && lane_close(lane);
}

static unsigned next_offset(unsigned offset)
{
    return offset < EVERY || usage_is_long() ? offset + 1 : offset + STEP;
}

static void *sweep_lane(void *arg)
{
    struct sweep *s = arg;
    unsigned turn = 0;

    for (unsigned at = 1; at <= LAST; at = next_offset(at)) {
        if (turn++ % LANES != s->first)
            continue;
        for (int up = 0; up < 2; up++) {
            if (!live(s->lane, at, up)) {
                size_t len = strlen(s->lane->why);

                snprintf(s->lane->why + len, sizeof(s->lane->why) - len,
                         "; cut %s at byte %u", up ? "up" : "down", at);
                return NULL;
            }
            s->lives++;
        }
    }
    s->cuts = (unsigned)td_chaos_counts(s->lane->chaos).cuts;
    return NULL;
}

static void test_links_cut_at_every_byte_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct sweep sweeps[LANES] = {0};
    pthread_t threads[LANES];
    unsigned lives = 0;
    unsigned cuts = 0;
    uint64_t total = 0;
    uint64_t resent = 0;
    uint64_t missed = 0;

    for (unsigned i = 0; i < LANES; i++)
        init(f, &f->lanes[i], i);
    for (unsigned i = 0; i < LANES; i++) {
        sweeps[i].lane = &f->lanes[i];
        sweeps[i].first = i;
        assert_int_equal(
            pthread_create(&threads[i], NULL, sweep_lane, &sweeps[i]), 0);
    }
    for (unsigned i = 0; i < LANES; i++)
        pthread_join(threads[i], NULL);

    for (unsigned i = 0; i < LANES; i++) {
        check(&f->lanes[i], f->lanes[i].why[0] == '\0');
        lives += sweeps[i].lives;
        cuts += sweeps[i].cuts;
        total += f->lanes[i].total;
        resent += f->lanes[i].resent;
        missed += f->lanes[i].missed;
    }
    print_message("%u lives, each cut once: %llu events, %llu of them sent "
                  "again\n",
                  lives, (unsigned long long)total, (unsigned long long)resent);
    assert_int_equal(missed, 0);
    assert_int_equal(cuts, lives); /* each was long enough */
    assert_true(resent > 0);
    assert_int_equal(sys_counters(f->witness.bus).unmatched, 0);
}

/* ---- N01, N02: mute links; N04: flapping ones ---- */

/* Up and down, with events all the time. */
static void test_links_that_flap_leak_nothing(void **state)
{
    struct fixture *f = *state;
    struct lane *lane = &f->flapping;
    int flaps = usage_is_long() ? FLAPS_LONG : FLAPS;
    int descriptors;
    int own;
    long before_kb;

    init(f, lane, LANES + HOLES);
    check(lane, lane_open(lane));
    check(lane, lane_hears(lane));
    descriptors = usage_descriptors(&f->broker.proc);
    own = usage_own_descriptors();
    before_kb = td_proc_resident_kb(&f->broker.proc);
    for (int i = 0; i < flaps; i++) {
        struct td_chaos_rules rules = {.refuse = i % 2 == 0};

        td_chaos_rules(lane->chaos, &rules);
        td_chaos_cut(lane->chaos);
        check(lane, lane_publish(lane, EVENTS));
        poll(NULL, 0, FLAP_MS); /* the fault itself, not a wait for one */
    }
    td_chaos_rules(lane->chaos, &(struct td_chaos_rules){0});
    check(lane, lane_settle(lane));
    check(lane, lane_hears(lane));

    /* The mute ones may be found, and open their next socket, meanwhile. */
    assert_true(usage_own_descriptors() <= own + 4 * HOLES);
    assert_true(usage_descriptors(&f->broker.proc) <= descriptors + 2 * HOLES);
    if (!SYS_SANITIZED)
        assert_true(td_proc_resident_kb(&f->broker.proc) - before_kb <
                    GROWTH_KB);
    print_message("down every other of %d times %d ms: %llu connections\n",
                  flaps, FLAP_MS,
                  (unsigned long long)td_chaos_counts(lane->chaos).connections);
    check(lane, lane_close(lane));
}

static void test_links_that_are_mute_are_found_and_mended(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < HOLES; i++) {
        struct lane *lane = &f->holes[i];

        check(lane, lane_until_downs(lane, 1, DEAD_MS + SYS_WAIT_MS));
        print_message("mute link %u found after %d ms\n", i,
                      (int)(lane->down_ms - f->muted_ms));
        assert_true(lane->down_ms - f->muted_ms <= DEAD_MS + SLACK_MS);
    }
    for (unsigned i = 0; i < HOLES; i++)
        td_chaos_rules(f->holes[i].chaos, &(struct td_chaos_rules){0});
    for (unsigned i = 0; i < HOLES; i++) {
        struct lane *lane = &f->holes[i];

        check(lane, lane_until_ups(lane, 2, SYS_WAIT_MS));
        check(lane, lane_settle(lane));
        check(lane, lane_hears(lane));
        check(lane, lane_close(lane));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_cut_at_every_byte_lose_nothing),
        cmocka_unit_test(test_links_that_flap_leak_nothing),
        cmocka_unit_test(test_links_that_are_mute_are_found_and_mended),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
