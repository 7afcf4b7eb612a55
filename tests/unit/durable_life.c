#include "tests/unit/durable_life.h"

/* Numbers of the publisher. */
#define SCHEDULED 17u
#define CANCELLED 18u
#define KEYED     19u /* and three more: of two keys, in turn */

#define ROUNDS 40 /* in which a group comes to its end */

#define GROUP "\"stream\" \"events\" \"group\" \"g\""

/* ---- the life ---- */

void act(struct streams *s, const char *peer, const char *text)
{
    give(s->f, peer, text);
    settle_down(s);
}

void wait_ms(struct streams *s, int64_t ms)
{
    pass(s->f, ms);
    settle_down(s);
}

/* What is away is lost then; those who are there say so. */
static void wait_grace(struct streams *s)
{
    for (int i = 0; i < 5; i++) {
        give(s->f, "pub", "[11 1]");
        give(s->f, "su2", "[11 1]");
        wait_ms(s, TD_GRACE_MS / 4);
    }
}

static void publish_two(struct streams *s, const char *type, const char *other,
                        uint64_t first, uint64_t flags)
{
    const struct piece pieces[] = {{type, 2, 10, first, NULL},
                                   {other, 1, 9000, first + 2, NULL}};

    publish(s->f, "pub", flags, pieces, 2);
    settle_down(s);
}

/* The stream's sequence of what subscription 1 has under a tag; 0: nothing. */
static uint64_t sequence_of_tag(struct streams *s, const char *peer,
                                uint64_t tag)
{
    const struct td_part *part = &s->f->part;
    struct sent *sent;
    struct td_span span;
    uint32_t rows;

    for (uint32_t i = 0; (sent = find(s->f, peer, TD_DELIVER, i)); i++) {
        for (uint32_t n = 0; part_of(s->f, sent, n); n++) {
            struct td_reader r =
                td_reader_of(part->spans.data, part->spans.len);
            uint64_t left = tag - part->tag;

            if (part->subscription != 1 || tag < part->tag)
                continue;
            assert_true(td_read_array(&r, &rows));
            for (; rows > 0 && td_span_read(&r, &span); rows--) {
                if (left < span.count)
                    return span.sequence + left;
                left -= span.count;
            }
        }
    }
    return 0;
}

/* A handler is done with what is there of these tags. */
static void ack(struct streams *s, struct life *life, uint64_t first,
                uint64_t last)
{
    for (uint64_t tag = first; tag <= last; tag++)
        life->acked[sequence_of_tag(s, "sub", tag)] = true;
    givef(s->f, "sub", "[17 [[1 1 %llu %llu 0 \"\"]]]",
          (unsigned long long)first, (unsigned long long)last);
    settle_down(s);
}

static bool is_answered_ok(struct streams *s, const char *peer)
{
    return find(s->f, peer, TD_REPLY, 0) && !code_of_reply(s->f, peer);
}

/* What waits for its time, and what waits longer. */
static void schedule_two(struct streams *s, struct life *life)
{
    publish_if(s->f, "pub", DISK, &(struct piece){"a", 1, 10, SCHEDULED, NULL},
               1, "{\"after_ms\" 200}");
    settle_down(s);
    publish_if(s->f, "pub", DISK, &(struct piece){"a", 1, 10, CANCELLED, NULL},
               1, "{\"after_ms\" 10000000}");
    settle_down(s);
    hello(s->f, "op");
    act(s, "op", "[15 1 \"schedule.cancel\" {\"number\" 2}]");
    life->cancelled = is_answered_ok(s, "op");
    wait_ms(s, 2500); /* what could not be published is tried again */
}

/* A producer with a name publishes, and does so again. */
static void publish_named(struct streams *s)
{
    hello(s->f, "=np");
    settle_down(s);
    put(s, "=np", "a", 1, 5, DISK);
    put(s, "=np", "a", 1, 5, DISK);
}

/* A key that changes, in a stream that keeps the newest of each. */
static void publish_keys(struct streams *s)
{
    static const char *const keys[] = {"k", "l", "k", "l"};

    act(s, "pub",
        "[15 1 \"stream.add\" {\"name\" \"k\" \"patterns\" [\"k.>\"] "
        "\"keyed\" true \"compact\" true}]");
    for (uint64_t i = 0; i < TD_ARRAY_LEN(keys); i++) {
        publish(s->f, "pub", DISK,
                &(struct piece){"k.x", 1, 10, KEYED + i, &keys[i]}, 1);
        settle_down(s);
    }
}

void live(struct streams *s, struct life *life)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    act(s, "pub",
        "[15 1 \"stream.add\" {\"name\" \"o\" \"patterns\" [\"o.>\"] "
        "\"max_events\" 4}]");
    put(s, "pub", "a", 3, 1, DISK);
    publish_two(s, "a", "o.x", 4, DISK);
    consume(s, "sub", 1, ">", "events", "g",
            "\"start\" \"all\" \"max_deliver\" 2 \"backoff_ms\" 10 "
            "\"backoff_max_ms\" 10");
    life->begun = find(s->f, "sub", TD_REPLY, 0) && !code_of_reply(s->f, "sub");
    ack(s, life, 1, 2);
    act(s, "sub", "[17 [[1 2 3 3 0 \"why\"]]]");
    act(s, "sub", "[17 [[1 4 4 4 0 \"never\"]]]");
    wait_ms(s, 50);
    act(s, "sub", "[17 [[1 2 6 6 0 \"again\"]]]"); /* to the dead letters */
    wait_ms(s, 50);
    publish_two(s, "o.x", "a", 7, OS);
    publish_two(s, "o.y", "o.z", 10, MEMORY); /* more than it keeps */
    publish_if(s->f, "pub", DISK, &(struct piece){"a", 2, 10, 13, NULL}, 1,
               "{\"expect\" 6}");
    settle_down(s);
    act(s, "pub", "[15 2 \"group.pause\" {" GROUP "}]");
    act(s, "pub", "[15 3 \"group.resume\" {" GROUP "}]");
    act(s, "pub", "[15 4 \"dlq.list\" {" GROUP " \"data\" true}]");
    act(s, "pub", "[15 5 \"dlq.redrive\" {" GROUP "}]");
    ack(s, life, 7, 8);
    consume(s, "sub", 2, "a", "events", NULL, "\"start\" \"all\"");
    gone(s->f, "sub");
    hello(s->f, "su2");
    consume(s, "su2", 1, ">", "events", "g", "");
    wait_grace(s);
    put(s, "pub", "a", 2, 15, DISK);
    schedule_two(s, life);
    publish_named(s);
    publish_keys(s);
    life->published = KEYED + 3;
    act(s, "su2", "[17 [[1 3 1 1 0 \"\"]]]");
    act(s, "su2", "[5 9 2 \"b\" {" ROOM " " GROUP "}]");
    act(s, "pub", "[15 6 \"group.list\" {}]");
    act(s, "pub", "[15 7 \"stream.purge\" {\"name\" \"events\" \"before\" 3}]");
    act(s, "pub", "[15 8 \"stream.delete\" {\"name\" \"o\"}]");
    wait_ms(s, 600); /* what failed is tried again */
}

/* ---- what is there ---- */

/* The publisher's events of a batch, which come one after the other; the
 * sequence behind them. */
static uint64_t see_batch(const struct td_batch *b, uint64_t sequence,
                          uint64_t stored[LIFE_EVENTS])
{
    uint8_t pub[TD_PRODUCER_BYTES];

    producer_of(pub, "pub");
    if (memcmp(b->producer.data, pub, sizeof(pub)) != 0)
        return sequence + b->events;
    for (uint32_t k = 0; k < b->runs_len; k++) {
        for (uint32_t q = 0; q < b->runs[k].count; q++) {
            uint64_t at = b->runs[k].first + q;

            assert_true(at < LIFE_EVENTS && stored[at] == 0);
            stored[at] = sequence++;
        }
    }
    return sequence;
}

void find_stored(struct streams *s, uint64_t stored[LIFE_EVENTS])
{
    const struct td_batches *b = &s->f->batches;
    struct td_span span;
    struct sent *sent;

    hello(s->f, "rd");
    consume(s, "rd", 1, ">", "events", NULL, "\"start\" \"all\"");
    if (!span_to(s, "rd", 0, &span))
        return;
    for (uint32_t i = 0; (sent = find(s->f, "rd", TD_DELIVER, i)); i++) {
        for (uint32_t n = 0; part_of(s->f, sent, n); n++) {
            for (uint32_t k = 0; k < b->len; k++)
                span.sequence = see_batch(&b->batch[k], span.sequence, stored);
        }
    }
    assert_int_equal(missed_by(s->f, "rd", NULL), 0);
}

void check_confirms(struct streams *s, const uint64_t stored[LIFE_EVENTS])
{
    struct td_confirm row;

    for (uint32_t i = 0; confirm_to(s, "pub", i, &row); i++) {
        for (uint64_t k = 0; k < row.count; k++) {
            uint64_t at = stored[row.first + k];

            if (row.code)
                assert_int_equal(at, 0);
            else if (is_text(row.stream, "events") && row.sequence + k >= 3)
                assert_int_equal(at, row.sequence + k);
        }
    }
}

void check_out(const struct streams *s)
{
    const struct td_consumer *c;

    DL_FOREACH(s->f->engine->streams.consumers, c)
    {
        uint64_t out = c->group->queue.events + c->retries.events;

        if (!td_consumer_is_durable(c))
            continue;
        for (const struct td_sub *sub = c->group->members; sub;
             sub = sub->group_next)
            out += sub->own.events + sub->leases->events;
        assert_true(c->out >= out + c->burials.len);
    }
}

void check_service(struct streams *s)
{
    struct td_confirm row;

    hello(s->f, "new");
    put(s, "new", "n", 1, 1, DISK);
    assert_true(confirm_to(s, "new", 0, &row));
    assert_int_equal(row.code, TIDINGS_OK);
}

void check_after_kill(struct streams *s)
{
    const struct td_stream *stream =
        td_stream_find(s->f->engine, td_str_of("events"));
    struct td_stream_state head = stream->head;
    bool broken = s->f->engine->streams.broken;

    wait_ms(s, 100);
    kill_broker(s);
    stream = td_stream_find(s->f->engine, td_str_of("events"));
    if (broken) { /* what waited for its time comes now */
        assert_true(stream->head.next >= head.next);
        return;
    }
    assert_int_equal(stream->head.next, head.next);
    assert_int_equal(stream->head.first, head.first);
    assert_int_equal(stream->head.bytes, head.bytes);
}

void note_confirms(struct streams *s, struct life *life)
{
    struct td_confirm row;

    for (uint32_t i = 0; confirm_to(s, "pub", i, &row); i++) {
        for (uint64_t k = 0; k < row.count; k++)
            life->stored[row.first + k] = row.code == TIDINGS_OK;
    }
    for (uint32_t i = 0; confirm_to(s, "=np", i, &row); i++)
        life->named = life->named || row.code == TIDINGS_OK;
}

/* Whether a batch is of this producer, NULL: of none of the test's. */
static bool is_of(const struct td_batch *b, const char *producer)
{
    static const char *const peers[] = {"pub", "new", "=np"};
    uint8_t id[TD_PRODUCER_BYTES];

    for (size_t i = 0; i < TD_ARRAY_LEN(peers); i++) {
        producer_of(id, peers[i]);
        if (memcmp(b->producer.data, id, sizeof(id)) == 0)
            return producer && strcmp(producer, peers[i]) == 0;
    }
    return !producer;
}

/* Events that a reader was delivered of a producer; bit n of *numbers: one has
 * this number. */
static unsigned count_of(struct streams *s, const char *reader,
                         const char *producer, uint64_t *numbers)
{
    const struct td_batches *all = &s->f->batches;
    struct sent *sent;
    unsigned events = 0;

    *numbers = 0;
    for (uint32_t i = 0; (sent = find(s->f, reader, TD_DELIVER, i)); i++) {
        for (uint32_t n = 0; part_of(s->f, sent, n); n++) {
            for (uint32_t k = 0; k < all->len; k++) {
                const struct td_batch *b = &all->batch[k];

                if (!is_of(b, producer))
                    continue;
                events += b->events;
                *numbers |= UINT64_C(1) << (b->runs[0].first & 63);
            }
        }
    }
    return events;
}

/* Of each key the newest that was stored, and no older one. */
static void check_newest(struct streams *s, const struct life *life)
{
    uint64_t numbers;

    hello(s->f, "rk");
    consume(s, "rk", 1, ">", "k", NULL, "\"start\" \"last\"");
    count_of(s, "rk", "pub", &numbers);
    for (uint64_t n = KEYED; n < KEYED + 2; n++) {
        bool old = numbers & UINT64_C(1) << n;
        bool newer = numbers & UINT64_C(1) << (n + 2);

        assert_false(old && newer);
        assert_int_equal(newer, life->stored[n + 2]);
        assert_true(newer || old == life->stored[n]);
    }
}

void check_rest(struct streams *s, const struct life *life)
{
    uint64_t numbers;

    hello(s->f, "all");
    consume(s, "all", 1, ">", "events", NULL, "\"start\" \"all\"");
    assert_int_equal(count_of(s, "all", NULL, &numbers),
                     life->stored[SCHEDULED]);
    assert_int_equal(count_of(s, "all", "=np", &numbers), life->named);
    assert_int_equal(
        count(call(s, "all", "schedule.list", "{}"), "scheduled_total"),
        life->stored[CANCELLED] && !life->cancelled);
    if (td_stream_find(s->f->engine, td_str_of("k")))
        check_newest(s, life);
}

/* Each event that is kept was handled, is dead, or came to "fin". */
static void check_handled(struct streams *s, const struct td_consumer *c,
                          struct life *life)
{
    struct td_str dead = call(s, "fin", "dlq.list", "{" GROUP "}");
    uint64_t deads = count(dead, "dead_total");
    struct td_span span;

    for (uint32_t i = 0; i < deads; i++)
        life->acked[count(row_of(dead, "dead", i), "sequence")] = true;
    for (uint32_t i = 0; span_to(s, "fin", i, &span); i++) {
        for (uint64_t k = 0; k < span.count; k++)
            life->acked[span.sequence + k] = true;
    }
    for (uint64_t n = c->stream->head.first; n < c->stream->head.next; n++)
        assert_true(life->acked[n]);
}

void check_group(struct streams *s, struct life *life)
{
    struct td_consumer *c;

    hello(s->f, "fin");
    act(s, "fin", "[15 1 \"group.resume\" {" GROUP "}]");
    consume(s, "fin", 1, ">", "events", "g", "");
    c = td_consumer_find(td_stream_find(s->f->engine, td_str_of("events")),
                         td_str_of("g"));
    assert_non_null(c);
    for (int i = 0; i < ROUNDS && c->settled.floor < c->stream->head.next;
         i++) {
        settle(s, "fin", TD_ACK, 1, events_to(s->f, "fin"));
        wait_ms(s, 100);
    }
    assert_int_equal(c->settled.floor, c->stream->head.next);
    assert_int_equal(c->out, 0);
    if (life->begun)
        check_handled(s, c, life);
}
