"""Cases about what messages do together: credit, requests, events sent again."""
import time
import msgpack
import foreign_client as fc
from foreign_client import (WELCOME, TAKEN, SUBSCRIBE, UNSUBSCRIBE, REPLY, DELIVER, CREDIT, GAP,
                            PONG, STATS, BYE)
from hostile import (EINVAL, EPROTO, ENOTFOUND, ELIMIT, EEXIST, ENOTSUP, EVENT, N, WINDOW, URL,
                     CASES, Raw, turned_away, refused, case)


# ---- credit ----
@case
def publishing_beyond_credit():
    raw = Raw()
    limit = raw.welcome[5]
    assert limit <= 65536, "one message cannot break the limit: %d" % limit
    raw.publish([["also.fine", 10, 10 * N, 1, 0]], EVENT * 10, flags=0)
    raw.publish([["bad.beyond", limit, 2 * limit, 11, 0]], b"\xc4\0" * limit, flags=0)
    raw.expect(BYE, EPROTO, skip=(TAKEN,))
    raw.close()


def with_events(raw, count=3):
    """A subscription with count events delivered to it."""
    raw.subscribe(pattern="also.fine")
    raw.expect(REPLY, 1, 0)
    raw.publish([["also.fine", count, count * N, 1, 0]], EVENT * count)
    raw.delivery(1, skip=(TAKEN,))


CASES.update({
    "credit_taken_beyond_delivered": turned_away([CREDIT, 1, [[1, 4, 2000, 3 << 20]]], setup=with_events),
    "credit_events_fall": turned_away([CREDIT, 1, [[1, 3, 999, 3 << 20]]], setup=with_events),
    "credit_bytes_fall": turned_away([CREDIT, 1, [[1, 3, 2000, 1 << 20]]], setup=with_events),
    "credit_row_too_short": turned_away([CREDIT, 1, [[1, 3]]], setup=with_events),
    "credit_limit_over_2_63": turned_away([CREDIT, 1, [[1, 3, 2**64 - 1, 3 << 20]]], setup=with_events),
})


@case
def credit_for_no_subscription_is_ignored():
    raw = Raw()
    raw.send([CREDIT, 0, [[5, 9, 10, 1 << 22], [1, 0, 1, 1]]])
    raw.ping()
    raw.close()


@case
def credit_repeated_does_no_harm():
    raw = Raw()
    with_events(raw)
    for _ in range(3):
        raw.send([CREDIT, 1, [[1, 3, 2000, 3 << 20]]])
    raw.ping(skip=(TAKEN,))
    raw.close()


@case
def window_of_one_event_is_kept():
    raw = Raw()
    raw.subscribe(pattern="also.fine", events=1, bytes=2 << 20)
    raw.expect(REPLY, 1, 0)
    raw.publish([["also.fine", 3, 3 * N, 1, 0]], EVENT * 3)
    for n in (1, 2, 3):
        runs = raw.delivery(1, n, skip=(TAKEN,))[2][0][3]
        assert [r[:2] + r[3:4] for r in runs] == [["also.fine", 1, n]], runs
        raw.ping(skip=(TAKEN,))  # a second DELIVER would come before PONG
        raw.send([CREDIT, n, [[1, n, n + 1, 4 << 20]]])
    raw.close()


@case
def slow_subscriber_costs_two_seconds_then_is_told_its_gap():
    slow, raw = Raw(), Raw()
    slow.subscribe(pattern="also.slow", events=1, queue_events=10)
    slow.expect(REPLY, 1, 0)
    start = time.monotonic()
    raw.publish([["also.slow", 100, 100 * N, 1, 0]], EVENT * 100)
    taken = raw.expect(TAKEN, 100)
    assert taken[2] == raw.welcome[5], "credit is not withheld: %r" % taken
    slow.delivery(1, 1)
    while taken[2] == raw.welcome[5]:
        taken = raw.expect(TAKEN, 100)
    assert 1.5 < time.monotonic() - start < 4, "withheld for %.1f s" % (time.monotonic() - start)
    slow.send([CREDIT, 1, [[1, 1, 1000, 4 << 20]]])
    gap = slow.expect(GAP, 1)
    assert gap[3] == "slow" and 89 <= gap[2] < 99, gap
    rest = sum(run[1] for batch in slow.delivery(1, 2)[2] for run in batch[3])
    assert 1 + gap[2] + rest == 100, "%d dropped, %d delivered" % (gap[2], 1 + rest)
    slow.close()
    raw.close()


@case
def publishing_on_while_credit_is_withheld():
    slow, raw = Raw(), Raw()
    slow.subscribe(pattern="also.slow", events=1, queue_events=10)
    slow.expect(REPLY, 1, 0)
    raw.publish([["also.slow", 100, 100 * N, 1, 0]], EVENT * 100)
    limit = raw.expect(TAKEN, 100)[2]
    raw.publish([["bad.beyond", limit - 99, 2 * (limit - 99), 101, 0]], b"\xc4\0" * (limit - 99))
    raw.expect(BYE, EPROTO)
    slow.close()
    raw.close()


# ---- requests ----
SUB = [SUBSCRIBE, 1, "bad.own", WINDOW]
CASES.update({
    "subscribe_number_0": refused(EINVAL, [SUBSCRIBE, 0, "bad.x", WINDOW]),
    "subscribe_number_2_31": refused(EINVAL, [SUBSCRIBE, 1 << 31, "bad.x", WINDOW]),
    "subscribe_window_is_a_float": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "events": 1.5}]),
    "subscribe_window_is_negative": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "events": -1}]),
    "subscribe_window_over_2_63": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "bytes": 2**64 - 1}]),
    "subscribe_window_missing": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {}]),
    "subscribe_window_of_0": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "events": 0}]),
    "subscribe_window_under_an_event": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "bytes": 1000}]),
    "subscribe_queue_of_0": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "queue_events": 0}]),
    "subscribe_queue_too_long": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "queue_events": (1 << 20) + 1}]),
    "subscribe_queue_too_big": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "queue_bytes": (1 << 30) + 1}]),
    "subscribe_policy_is_a_number": refused(EINVAL, [SUBSCRIBE, 1, "bad.x", {**WINDOW, "policy": 7}]),
    "subscribe_number_in_use": refused(EEXIST, SUB, SUB),
    "subscribe_policy_unknown": refused(ENOTSUP, [SUBSCRIBE, 1, "bad.own", {**WINDOW, "policy": "drop_sideways"}]),
    "subscribe_option_unknown": refused(0, [SUBSCRIBE, 1, "bad.own", {**WINDOW, "later": [1, 2]}]),
    "unsubscribe_nothing": refused(ENOTFOUND, [UNSUBSCRIBE, 9]),
    "unsubscribe_twice": refused(ENOTFOUND, SUB, [UNSUBSCRIBE, 1], [UNSUBSCRIBE, 1]),
    "subscribe_number_again": refused(0, SUB, [UNSUBSCRIBE, 1], SUB),
    "subscribe_1025": refused(ELIMIT, *[[SUBSCRIBE, i + 1, "bad.%d" % i, WINDOW] for i in range(1025)]),
    "stats_with_more_fields": refused(0, [STATS, {"later": 1}, "more"]),
})
for name, pattern in {"empty": "", "inner": "bad.>.x", "part": "bad.x*", "empty_token": "bad..x", "space": "bad. x",
                      "nul": "bad.\0", "not_ascii": "bad.\u00fc", "17_tokens": ".".join("a" * 17),
                      "256_bytes": "bad." + "x" * 252, "bomb": ".".join("*" * 120)}.items():  # [W19]
    CASES["pattern_" + name] = refused(EINVAL, [SUBSCRIBE, 1, pattern, WINDOW])


# ---- resend ----
@case
def resent_events_are_taken_once():
    watcher, seen = fc.Client(URL, "watcher"), []
    watcher.subscribe("resend.>", seen.append)
    first = Raw()
    first.publish([["resend.x", 5, 5 * N, 1, 0]], EVENT * 5)
    first.expect(TAKEN, 5)
    first.close()
    before = watcher.call(STATS, {})["duplicates"]
    thief = Raw(hello=False, producer=first.producer)  # its id is in every event
    thief.send(thief.hello())
    thief.expect(BYE, EEXIST)
    thief.close()
    second = Raw(producer=first.producer, token=first.welcome[7]["token"])
    assert second.welcome[4] == 5, "WELCOME says %d were taken, not 5" % second.welcome[4]
    second.publish([["resend.x", 7, 7 * N, 1, 0]], EVENT * 7)
    second.expect(TAKEN, 7)
    watcher.until(lambda: len(seen) >= 7)
    assert [e["id"] for e in seen] == [fc.event_id(first.producer, i + 1) for i in range(7)], seen
    assert watcher.call(STATS, {})["duplicates"] == before + 5, "not counted as duplicates"
    second.close()
    watcher.close()


# ---- events that only a subscriber opens ----
@case
def junk_inside_events_is_the_subscribers_to_skip():
    raw = Raw()
    inside = [b"", b"\xc1", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x91" * 5000, msgpack.packb([0]), msgpack.packb([0, "s"]),
              msgpack.packb(["t", b""]), msgpack.packb([0, b"", {"A": "x"}]), msgpack.packb([0, b"", {"x": 1.5}]),
              msgpack.packb([0, b"", {"id": ""}]), msgpack.packb([0, b"", {"type": "x"}]), msgpack.packb([0, b"", []]),
              msgpack.packb([0, b"", {"x" * 21: "y"}]), msgpack.packb([0, b"", {}]) + b"\0",
              msgpack.packb([0, b"", {"x": 1 << 31}]), msgpack.packb([0, b"", {"a%d" % i: 1 for i in range(65)}])]
    body = b"".join(msgpack.packb(i) for i in inside)
    raw.publish([["junk.inside", len(inside), len(body), 1, 0]], body)
    raw.expect(TAKEN, len(inside))
    print("junk %d" % len(inside), flush=True)
    raw.close()
