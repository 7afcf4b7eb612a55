/* The engine over a store in a folder, and the power is cut (FAULTS C03): from
 * what was written, what a disk can then have is made again and again, and a
 * fresh engine opens it. What was confirmed at level disk is there, in order and
 * under its numbers, whole turns only; what was settled before that does not
 * come again, and what was not, does. */
#include "tests/unit/stream_fixture.h"

#include <stdlib.h>

#include "tests/support/store_image.h"
#include "tests/support/store_rig.h"

#define STEPS  60
#define EVENTS 512 /* of a stream, more than there are */
#define KEPT   24  /* of the second one */
#define DEADS  100
#define BATCH  20u /* of the stream that is compacted, … */
#define NAMES  3u  /* … which has so many names */

/* Images; with TIDINGS_LONG=1 10,000. Each opening forks, which sanitizers make
 * slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CUTS 60
#else
#define CUTS 1000
#endif

enum { ALL, NEWEST, STREAMS };

static const char *const streams[STREAMS] = {"events", "newest"};

enum fate { OPEN, FAILED, ACKED, DEAD };

/* What is true after a step: of events what was settled before it published. */
struct fact {
    bool disk; /* and it is on the disk */
    struct piece pieces[2];
    uint32_t pieces_len;
    uint64_t last[STREAMS];
    uint8_t fate[EVENTS];
};

struct history {
    struct streams *s;
    struct fact fact[STEPS + 2]; /* of step 0, before the first; the last one is
                                    as that before it */
    uint64_t event[STREAMS][EVENTS]; /* the publisher's number */
    uint64_t next;
    uint64_t tag[8 * EVENTS]; /* what was delivered under it; 0: settled */
    uint64_t tags;
};

static struct td_rig rig;
static uint64_t seed = 4711;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static int which(struct td_str stream)
{
    return is_text(stream, streams[NEWEST]) ? NEWEST : ALL;
}

/* ---- what is done ---- */

static void see_deliveries(struct history *h)
{
    struct td_span span;

    for (uint32_t i = 0; span_to(h->s, "sub", i, &span); i++) {
        for (uint64_t k = 0; k < span.count; k++)
            h->tag[++h->tags] = span.sequence + k;
    }
}

static void see_confirms(struct history *h, struct fact *fact)
{
    struct td_confirm row;

    for (uint32_t i = 0; confirm_to(h->s, "pub", i, &row); i++) {
        int stream = which(row.stream);

        assert_int_equal(row.code, TIDINGS_OK);
        for (uint64_t k = 0; k < row.count; k++)
            h->event[stream][row.sequence + k] = row.first + k;
        fact->last[stream] = row.sequence + row.count - 1;
    }
}

static void see(struct history *h, struct fact *fact)
{
    see_deliveries(h);
    see_confirms(h, fact);
    forget(h->s->f);
}

static void settle_one(struct history *h, struct fact *fact, uint64_t tag)
{
    static const enum td_verb verbs[] = {TD_ACK, TD_ACK, TD_ACK, TD_TERM,
                                         TD_NAK};
    enum td_verb verb = verbs[below(TD_ARRAY_LEN(verbs))];
    uint8_t *fate = &fact->fate[h->tag[tag]];

    if (verb == TD_ACK)
        *fate = ACKED;
    else
        *fate = verb == TD_NAK && *fate == OPEN ? FAILED : DEAD;
    h->tag[tag] = 0;
    settle(h->s, "sub", verb, tag, tag);
}

static void settle_some(struct history *h, struct fact *fact)
{
    for (uint64_t tag = 1; tag <= h->tags; tag++) {
        if (h->tag[tag] && below(6) == 0)
            settle_one(h, fact, tag);
    }
    pass(h->s->f, 30); /* it is written, and what has failed comes again */
    settle_down(h->s);
    see(h, fact);
}

static void publish_some(struct history *h, struct fact *fact)
{
    static const uint32_t sizes[] = {10, 10, 300, 5000};
    static const char *const types[] = {"a", "newest.b"};

    fact->disk = below(3) == 0;
    fact->pieces_len = 1 + below(2);
    for (uint32_t i = 0; i < fact->pieces_len; i++) {
        fact->pieces[i] =
            (struct piece){types[i], 1 + below(4),
                           sizes[below(TD_ARRAY_LEN(sizes))], h->next, NULL};
        h->next += fact->pieces[i].count;
    }
    publish(h->s->f, "pub", fact->disk ? DISK : OS, fact->pieces,
            fact->pieces_len);
    settle_down(h->s);
    see(h, fact);
}

/* Beside that, with each step: an event of a producer with a name, one for
 * later, and some of a stream that is compacted, of three names in turn. */
static void publish_aside(struct history *h, unsigned step)
{
    static const char *const kept[NAMES] = {"kept.a", "kept.b", "kept.c"};
    struct streams *s = h->s;
    const struct piece named = {"named", 1, 10, step, NULL};
    const struct piece later = {"later", 1, 10, step, NULL};
    const struct piece some = {kept[step % NAMES], BATCH, 10,
                               1 + (step - 1) * BATCH, NULL};

    publish(s->f, "=a/1", OS, &named, 1);
    publish_if(s->f, "slow", OS, &later, 1, "{\"after_ms\" 20}");
    publish(s->f, "keys", OS, &some, 1);
    settle_down(s);
    forget(s->f);
}

static void begin_aside(struct history *h)
{
    struct streams *s = h->s;

    hello(s->f, "slow");
    hello(s->f, "keys");
    hello_with(s->f, "=a/1", "{\"producer\" \"a\"}");
    settle_down(s);
    call(s, "pub", "stream.add",
         "{\"name\" \"named\" \"patterns\" [\"named\"]}");
    call(s, "pub", "stream.add",
         "{\"name\" \"later\" \"patterns\" [\"later\"]}");
    call(s, "pub", "stream.add",
         "{\"name\" \"kept\" \"patterns\" [\"kept.>\"] \"keyed\" true "
         "\"compact\" true}");
}

static uint64_t events_of_kept(struct streams *s)
{
    hello(s->f, "kept");
    consume(s, "kept", 1, ">", "kept", NULL, "\"start\" \"all\"");
    assert_int_equal(missed_by(s->f, "kept", NULL), 0);
    return events_to(s->f, "kept");
}

static void make_history(struct history *h)
{
    struct streams *s = h->s;

    h->next = 1;
    hello(s->f, "pub");
    hello(s->f, "sub");
    call(s, "pub", "stream.add",
         "{\"name\" \"newest\" \"patterns\" [\"newest.>\"] \"max_events\" 24}");
    begin_aside(h);
    consume(s, "sub", 1, ">", "events", "g",
            "\"start\" \"all\" \"max_deliver\" 2 \"backoff_ms\" 10 "
            "\"backoff_max_ms\" 10");
    forget(s->f);
    h->fact[0].disk = true;
    td_disk_mark(0);
    for (unsigned i = 1; i <= STEPS; i++) {
        h->fact[i] = h->fact[i - 1];
        settle_some(h, &h->fact[i]);
        publish_aside(h, i);
        publish_some(h, &h->fact[i]);
        td_disk_mark(i);
    }
    h->fact[STEPS + 1] = h->fact[STEPS];
    assert_true(h->fact[STEPS].last[NEWEST] > 2 * KEPT);
    assert_true(events_of_kept(s) < STEPS * BATCH); /* it was compacted */
}

/* ---- what is found ---- */

/* The events of one part; the sequence after them. */
static uint64_t check_part(const struct history *h, int stream, uint64_t next)
{
    const struct td_batches *b = &h->s->f->batches;

    for (uint32_t r = 0; r < b->len; r++) {
        for (uint32_t k = 0; k < b->batch[r].runs_len; k++) {
            const struct td_run *run = &b->batch[r].runs[k];

            for (uint32_t q = 0; q < run->count; q++, next++)
                assert_int_equal(h->event[stream][next], run->first + q);
        }
    }
    return next;
}

/* All of the stream, read from its beginning; its last sequence. */
static uint64_t check_stream(const struct history *h, int stream)
{
    struct streams *s = h->s;
    const char *peer = stream == ALL ? "all" : "newest";
    struct td_span span;
    struct sent *sent;
    uint64_t next;

    hello(s->f, peer);
    consume(s, peer, 1, ">", streams[stream], NULL, "\"start\" \"all\"");
    if (!span_to(s, peer, 0, &span))
        return 0;
    next = span.sequence;
    for (uint32_t i = 0; (sent = find(s->f, peer, TD_DELIVER, i)); i++) {
        for (uint32_t n = 0; part_of(s->f, sent, n); n++)
            next = check_part(h, stream, next);
    }
    assert_int_equal(missed_by(s->f, peer, NULL), 0);
    assert_int_equal(span.sequence,
                     stream == NEWEST && next > KEPT ? next - KEPT : 1);
    return next - 1;
}

/* Which step it is at, from the one to the other. */
static unsigned find_step(const struct history *h, unsigned least,
                          unsigned most)
{
    uint64_t last[STREAMS];

    for (int i = 0; i < STREAMS; i++)
        last[i] = check_stream(h, i);
    for (unsigned i = least; i <= most; i++) {
        if (h->fact[i].last[ALL] == last[ALL] &&
            h->fact[i].last[NEWEST] == last[NEWEST])
            return i;
    }
    fail_msg("last sequences %u and %u are of no step from %u to %u",
             (unsigned)last[ALL], (unsigned)last[NEWEST], least, most);
    return 0;
}

static void find_dead(const struct history *h, bool dead[EVENTS])
{
    struct td_str result =
        call(h->s, "pub", "dlq.list",
             "{\"stream\" \"events\" \"group\" \"g\" \"limit\" 100}");
    uint64_t n = count(result, "dead_total");

    assert_true(n < DEADS);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t sequence = count(row_of(result, "dead", i), "sequence");

        assert_false(dead[sequence]);
        dead[sequence] = true;
    }
}

/* One event, as least says and perhaps as most does. */
static void check_fate(enum fate least, enum fate most, uint64_t deliveries,
                       bool dead)
{
    assert_false(deliveries > 0 && dead);
    if (least == most || least > FAILED) {
        assert_int_equal(dead, least == DEAD);
        assert_int_equal(deliveries > 0, least <= FAILED);
    } else { /* a settlement is lost, or there; but not the event */
        assert_true(most == DEAD || !dead);
        assert_true(most == ACKED || dead || deliveries > 0);
    }
    if (deliveries > 0) {
        assert_true(deliveries >= (least == FAILED ? 2 : 1));
        /* once more for a cut between the last failure and the dead letter */
        assert_true(deliveries <= (most == OPEN ? 1 : most == DEAD ? 3 : 2));
    }
}

static void find_deliveries(const struct history *h, uint64_t out[EVENTS])
{
    struct td_span span;

    for (uint32_t i = 0; span_to(h->s, "sub", i, &span); i++) {
        for (uint64_t k = 0; k < span.count; k++) {
            assert_int_equal(out[span.sequence + k], 0);
            out[span.sequence + k] = span.deliveries;
        }
    }
}

static void check_group(const struct history *h, unsigned least, unsigned most,
                        uint64_t last)
{
    uint64_t deliveries[EVENTS] = {0};
    bool dead[EVENTS] = {false};

    hello(h->s->f, "sub");
    consume(h->s, "sub", 1, ">", "events", "g", "");
    find_deliveries(h, deliveries);
    find_dead(h, dead);
    for (uint64_t i = 1; i <= last; i++)
        check_fate(h->fact[least].fate[i], h->fact[most].fate[i], deliveries[i],
                   dead[i]);
}

static uint64_t last_of(struct streams *s, const char *stream)
{
    struct td_str result = call(s, "pub", "stream.list", "{}");
    uint64_t n = count(result, "streams_total");

    for (uint32_t i = 0; i < n; i++) {
        struct td_str row = row_of(result, "streams", i);
        struct td_str name;

        if (td_map_str(row, "name", &name) && is_text(name, stream))
            return count(row, "last");
    }
    fail_msg("stream %s is gone", stream);
    return 0;
}

static void check_step(const char *what, uint64_t is, unsigned step)
{
    if (is != step && is != step + 1)
        fail_msg("%s is at step %u, not %u", what, (unsigned)is, step);
}

/* A name goes on behind what is stored. */
static void check_name(struct streams *s, unsigned step)
{
    const struct td_frame *f;

    hello_with(s->f, "=a/2", "{\"producer\" \"a\"}");
    settle_down(s);
    f = frame(s->f, "=a/2", TD_WELCOME, 0);
    assert_int_equal(count(f->u.welcome.limits, "term"), 2);
    check_step("name", count(f->u.welcome.limits, "stored"), step);
    assert_int_equal(
        last_of(s, "named"),
        count(frame(s->f, "=a/2", TD_WELCOME, 0)->u.welcome.limits, "stored"));
}

/* What was accepted for later waits, or is stored; then all of it is stored. */
static void check_later(struct streams *s, unsigned step)
{
    uint64_t stored = last_of(s, "later");
    uint64_t waits =
        count(call(s, "pub", "schedule.list", "{}"), "scheduled_total");

    check_step("schedule", stored + waits, step);
    pass(s->f, 100);
    settle_down(s);
    assert_int_equal(last_of(s, "later"), stored + waits);
    assert_int_equal(
        count(call(s, "pub", "schedule.list", "{}"), "scheduled_total"), 0);
}

/* Whatever compaction has done, the last of each name are there. */
static void check_kept(struct streams *s, unsigned step)
{
    uint64_t batches = last_of(s, "kept") / BATCH;
    uint64_t names = batches < NAMES ? batches : NAMES;
    struct td_span span;

    check_step("compacted stream", batches, step);
    assert_int_equal(last_of(s, "kept") % BATCH, 0);
    hello(s->f, "last");
    consume(s, "last", 1, ">", "kept", NULL, "\"start\" \"last\"");
    assert_int_equal(events_to(s->f, "last"), names);
    for (uint32_t i = 0; i < names; i++) {
        assert_true(span_to(s, "last", i, &span));
        assert_int_equal(span.sequence, (batches - names + 1 + i) * BATCH);
    }
    assert_true(events_of_kept(s) >= names);
}

/* The last step is published once more, and the one that never came. */
static void check_again(const struct history *h, unsigned step)
{
    struct streams *s = h->s;
    struct td_confirm row;
    uint64_t before = events_to(s->f, "sub");

    for (unsigned i = step ? step : 1; i <= step + 1 && i <= STEPS; i++)
        publish(s->f, "pub", DISK, h->fact[i].pieces, h->fact[i].pieces_len);
    settle_down(s);
    for (uint32_t i = 0; confirm_to(s, "pub", i, &row); i++) {
        bool is_new =
            step < STEPS && row.first >= h->fact[step + 1].pieces[0].first;

        assert_int_equal(row.code, TIDINGS_OK);
        assert_int_equal(row.duplicate, !is_new);
        if (is_new)
            assert_int_equal(h->event[which(row.stream)][row.sequence],
                             row.first);
    }
    assert_int_equal(events_to(s->f, "sub") - before,
                     h->fact[step + 1].last[ALL] - h->fact[step].last[ALL]);
}

static void cut(const struct history *h, const struct td_images *synced,
                const struct td_disk_event *log, size_t at, unsigned least,
                unsigned most)
{
    unsigned step;

    td_images_cut(synced, log, at, &seed, rig.dir);
    td_rig_open(&rig);
    begin_streams(h->s, rig.store);
    hello(h->s->f, "pub");
    step = find_step(h, least, most);
    check_group(h, least, most, h->fact[step].last[ALL]);
    check_name(h->s, step);
    check_later(h->s, step);
    check_kept(h->s, step);
    check_again(h, step);
    end_streams(h->s);
    rig.store = NULL;
}

/* ---- */

static int setup_folder(void **state)
{
    struct history *h = calloc(1, sizeof(*h));

    h->s = calloc(1, sizeof(*h->s));
    h->s->f = calloc(1, sizeof(*h->s->f));
    h->s->f->now = 1000;
    h->s->f->unjudged = true;
    td_rig_init(&rig, false);
    *state = h;
    return 0;
}

static int teardown_folder(void **state)
{
    struct history *h = *state;
    void *f = h->s->f;

    td_disk_watch(NULL);
    td_disk_forget();
    teardown(&f);
    if (h->s->store)
        h->s->store->face->close(h->s->store);
    rig.store = NULL;
    td_rig_fini(&rig);
    free(h->s);
    free(h);
    return 0;
}

static void test_engine_survives_power_cuts(void **state)
{
    const char *is_long = getenv("TIDINGS_LONG");
    uint32_t cuts = is_long && *is_long == '1' ? 10000 : CUTS;
    struct history *h = *state;
    struct td_images synced = {0};
    const struct td_disk_event *log;
    bool begun = false;
    unsigned least = 0;
    unsigned last = 0;
    unsigned done = 0;
    size_t events;

    td_disk_log(true);
    td_disk_watch(rig.dir);
    td_rig_open(&rig);
    begin_streams(h->s, rig.store);
    make_history(h);
    td_disk_log(false);
    td_disk_watch(NULL);
    end_streams(h->s);
    log = td_disk_events(&events);
    rig.options.reserve_bytes = 4096; /* nothing to be written ahead */
    for (size_t at = 0; at < events; at++) {
        uint32_t n = (uint32_t)events;
        uint32_t share = cuts / n + (below(n) < cuts % n);

        if (log[at].kind == TD_DISK_MARK) {
            begun = true;
            last = (unsigned)log[at].number;
            least = h->fact[last].disk ? last : least;
        }
        td_images_step(&synced, log, at);
        for (uint32_t i = 0; begun && i < share; i++, done++)
            cut(h, &synced, log, at + 1, least, last + 1);
    }
    print_message("%u images of %zu writes and syncs\n", done, events);
    td_images_free(&synced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_engine_survives_power_cuts,
                                        setup_folder, teardown_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
