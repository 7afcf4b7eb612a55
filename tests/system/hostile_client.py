#!/usr/bin/python3
"""What hostile and careless clients send, and what PROTOCOL.md section 8 says they get.

hostile_client.py URL [CASE...]

Runs each case, prints "case NAME" when the broker did as written or "broken NAME: why" when it
did not, and goes on when it reads a line on standard input, so that whoever started it can look
after the good clients in between. Types begin with "bad.": no event of these may ever arrive.
Ids in brackets are those of the fault list that the cases come from.
"""
import os, socket, struct, sys, time, traceback
import msgpack, zmq
import foreign_client as fc
from foreign_client import (HELLO, WELCOME, PUBLISH, TAKEN, SUBSCRIBE, UNSUBSCRIBE, REPLY, DELIVER,
                            CREDIT, GAP, PING, PONG, STATS, BYE)

EINVAL, EPROTO, ENOTFOUND, EVERSION, ELIMIT, EEXIST, ENOTSUP = 2, 5, 7, 12, 13, 14, 15
EVENT = msgpack.packb(msgpack.packb([0, b"\x80"]))  # the smallest that a handler can read
WINDOW = {"events": 1000, "bytes": 2 << 20}
ANSWER_S = 5
URL = sys.argv[1]


class Raw:
    """A DEALER that sends whatever it is told."""

    def __init__(self, hello=True, producer=None):
        self.producer = producer or int(time.time() * 1e3).to_bytes(6, "big") + os.urandom(10)
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(URL)
        if hello:
            self.send(self.hello())
            self.welcome = self.expect(WELCOME)

    def hello(self, *changes):
        fields = [HELLO, "tidings", 1, 1, self.producer, "hostile", {}]
        for i in range(0, len(changes), 2):
            fields[changes[i]] = changes[i + 1]
        return fields

    def send(self, control, *body):
        self.socket.send_multipart([control if isinstance(control, bytes) else msgpack.packb(control), *body])

    def expect(self, op, *fields, skip=()):
        """The next message but for those in skip must be op and begin with fields."""
        until = time.monotonic() + ANSWER_S
        while True:
            if not self.socket.poll(max(0, int((until - time.monotonic()) * 1000))):
                raise AssertionError("no answer, expected op %d" % op)
            frames = self.socket.recv_multipart()
            got = msgpack.unpackb(frames[0])
            if got[0] not in skip:
                break
        assert got[0] == op and tuple(got[1:1 + len(fields)]) == fields, (
            "expected %r, got %r" % ([op, *fields], str(got)[:200]))
        return got

    def delivery(self, *fields, skip=()):
        """The same for a DELIVER of one part, which must begin with fields."""
        parts = self.expect(DELIVER, skip=skip)[1]
        assert len(parts) == 1 and tuple(parts[0][:len(fields)]) == fields, str(parts)[:200]
        return parts[0]

    def ping(self, skip=()):
        self.send([PING, 77])
        self.expect(PONG, 77, skip=skip)

    def publish(self, runs, body, flags=1, **batch):
        self.send([PUBLISH, flags, [[batch.get("producer", self.producer), batch.get("source", "/hostile"),
                                     batch.get("base", 0), runs]]], body)

    def subscribe(self, number=1, pattern="bad.own", request=1, **options):
        self.send([SUBSCRIBE, request, number, pattern, {**WINDOW, **options}])

    def close(self):
        self.socket.close()


def turned_away(*message, hello=True, setup=None):
    """A case: this message ends the session with BYE EPROTO, and there is no session after it."""
    def case():
        raw = Raw(hello)
        if setup:
            setup(raw)
        control, *body = message if not callable(message[0]) else message[0](raw)
        raw.send(control, *body)
        raw.expect(BYE, EPROTO, skip=(TAKEN,))
        raw.send([PING, 1])
        raw.expect(BYE, EPROTO)  # nobody without a HELLO
        raw.close()
    return case


def published(runs, body=EVENT, flags=1, **batch):
    """A case: this PUBLISH is turned away."""
    def case():
        raw = Raw()
        raw.publish(runs, body, flags, **batch)
        raw.expect(BYE, EPROTO)
        raw.close()
    return case


def bad_type(name):
    return published([["bad.before", 1, len(EVENT), 1, 0], [name, 1, len(EVENT), 2, 0]], EVENT * 2)


def refused(code, *messages):
    """A case: the last message gets REPLY with code, and the session goes on."""
    def case():
        raw = Raw()
        for i, message in enumerate(messages):
            raw.send([message[0], i + 1, *message[1:]])
            raw.expect(REPLY, i + 1, code if i == len(messages) - 1 else 0)
        raw.ping()
        raw.close()
    return case


CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


# ---- [W08] frames ----
CASES.update({
    "frames_empty": turned_away(b""),
    "frames_one_where_two_belong": turned_away([PUBLISH, 1, []]),
    "frames_two_where_one_belongs": turned_away([PING, 1], b"x"),
    "frames_two_empty": turned_away(b"", b""),
    "frames_three": turned_away(lambda raw: ([PUBLISH, 1, [[raw.producer, "/h", 0, [["bad.three", 1, len(EVENT), 1, 0]]]]],
                                             EVENT, b"")),
    "frames_fifty": turned_away(*[msgpack.packb([PING, i]) for i in range(50)]),
})


@case
def frames_fifty_are_drained_whole():
    raw = Raw(hello=False)
    raw.send(*[msgpack.packb(raw.hello())] * 50)
    raw.expect(BYE, EPROTO)
    raw.send(raw.hello())  # were one left over, this would be another's answer
    raw.expect(WELCOME, 1)
    raw.ping()
    raw.close()


# ---- [W20] greeting ----
@case
def nobody_says_anything_before_hello():
    raw = Raw(hello=False)
    for message in ([PING, 1], [SUBSCRIBE, 1, 1, "bad.early", WINDOW], [STATS, 1, {}], [CREDIT, 0, []], b"\xc1", b""):
        raw.send(message)
        raw.expect(BYE, EPROTO)
    raw.publish([["bad.early", 1, len(EVENT), 1, 0]], EVENT)
    raw.expect(BYE, EPROTO)
    raw.send(raw.hello())
    assert raw.expect(WELCOME, 1)[4] == 0, "something was taken before HELLO"
    raw.close()


@case
def hello_twice_changes_nothing():
    raw = Raw()
    raw.send(raw.hello(4, os.urandom(16)))
    raw.expect(REPLY, 0, EPROTO)
    raw.ping()
    raw.publish([["also.fine", 1, len(EVENT), 1, 0]], EVENT)  # still the first producer
    raw.expect(TAKEN, 1)
    raw.close()


@case
def hello_with_no_common_version():
    raw = Raw(hello=False)
    raw.send(raw.hello(2, 2, 3, 9))
    assert "1" in raw.expect(BYE, EVERSION)[2], "the text does not say the broker's range"
    raw.close()


@case
def hello_of_a_later_version_with_more_fields():
    raw = Raw(hello=False)
    raw.send(raw.hello(3, 9, 6, {"later": [1, {"x": None}]}) + ["and", ["more"]])
    raw.expect(WELCOME, 1)
    raw.ping()
    raw.close()


@case
def second_session_of_a_producer_ends_the_first():
    first = Raw()
    second = Raw(producer=first.producer)
    first.expect(BYE)
    second.ping()
    first.close()
    second.close()


def hello_bad(*changes):
    return turned_away(lambda raw: (raw.hello(*changes),), hello=False)


CASES.update({
    "hello_name_1_mb": hello_bad(5, "x" * (1 << 20)),
    "hello_name_65_bytes": hello_bad(5, "x" * 65),
    "hello_name_is_a_number": hello_bad(5, 7),
    "hello_wrong_magic": hello_bad(1, "tidingz"),
    "hello_magic_is_bin": hello_bad(1, b"tidings"),
    "hello_producer_15_bytes": hello_bad(4, b"x" * 15),
    "hello_producer_is_str": hello_bad(4, "x" * 16),
    "hello_options_are_a_list": hello_bad(6, []),
    "hello_too_short": turned_away([HELLO, "tidings", 1, 1], hello=False),
    "hello_version_is_a_float": hello_bad(2, 1.0),
    "hello_version_is_negative": hello_bad(2, -1),
})

# ---- [W11..W15, W26] control frames ----
CASES.update({
    "array32_of_4_billion": turned_away(b"\xdd\xff\xff\xff\xff"),
    "map32_of_4_billion": turned_away(b"\xdf\xff\xff\xff\xff"),
    "array32_of_4_billion_inside": turned_away(b"\x93\x03\x01\xdd\xff\xff\xff\xff"),
    "map32_of_4_billion_inside": turned_away(b"\x93\x0d\x01\xdf\xff\xff\xff\xff"),
    "str32_of_4_gb": turned_away(b"\x95\x05\x01\x01\xdb\xff\xff\xff\xff"),
    "bin32_of_4_gb": turned_away(b"\x92\x0b\xc6\xff\xff\xff\xff"),
    "ext32_of_4_gb": turned_away(b"\x92\x0b\xc9\xff\xff\xff\xff\x01"),
    "array32_before_hello": turned_away(b"\xdd\xff\xff\xff\xff", hello=False),
    "nesting_9": turned_away(b"\x93\x0d\x01" + b"\x91" * 9 + b"\xc0"),
    "nesting_33": turned_away(b"\x93\x0d\x01" + b"\x91" * 33 + b"\xc0"),
    "nesting_1000": turned_away(b"\x91" * 1000 + b"\xc0"),
    "nesting_100000": turned_away(b"\x91" * 100000 + b"\xc0"),
    "nesting_of_maps": turned_away(b"\x93\x0d\x01" + b"\x81\x01" * 1000 + b"\xc0"),
    "elements_100000": turned_away([STATS, 1, {"x": [0] * 100000}]),
    "control_over_its_limit": turned_away(lambda raw: ([STATS, 1, {"x": "y" * raw.welcome[7]["control_max"]}],)),
    "control_1_mb": turned_away([STATS, 1, {"x": "y" * (1 << 20)}]),
    "cut_short": turned_away(msgpack.packb([SUBSCRIBE, 1, 1, "bad.cut", WINDOW])[:-1]),
    "bytes_left_over": turned_away(msgpack.packb([PING, 1]) + b"\xc0"),
    "two_arrays": turned_away(msgpack.packb([PING, 1]) * 2),
    "never_used_byte": turned_away(b"\x92\x0b\xc1"),
    "not_an_array": turned_away(msgpack.packb({"op": PING})),
    "a_number": turned_away(b"\x0b"),
    "empty_array": turned_away(b"\x90"),
    "op_is_str": turned_away(["11", 1]),
    "op_is_float": turned_away([11.0, 1]),
    "op_is_nan": turned_away([float("nan"), 1]),
    "op_is_negative": turned_away([-11, 1]),
    "op_is_huge": turned_away([2**64 - 1, 1]),
    "op_nil": turned_away([None, 1]),
    "ping_without_token": turned_away([PING]),
    "stats_request_is_a_map": turned_away([STATS, {}, {}]),
    "stats_request_is_negative": turned_away([STATS, -1, {}]),
    "subscribe_without_options": turned_away([SUBSCRIBE, 1, 1, "bad.x"]),
    "subscribe_pattern_is_bin": turned_away([SUBSCRIBE, 1, 1, b"bad.x", WINDOW]),
    "bye_code_is_str": turned_away([BYE, "ok", ""]),
})
for op in (0, WELCOME, TAKEN, REPLY, DELIVER, GAP, 15, 63, 64, 1 << 40):
    CASES["unknown_op_%d" % op] = turned_away([op, 1, 1, 1, 1, 1])

# ---- [W17, W18, W22, W26] batches ----
N = len(EVENT)
CASES.update({
    "batch_no_batches": turned_away([PUBLISH, 1, []], b""),
    "batch_no_runs": published([], b""),
    "batch_count_0": published([["bad.x", 0, 0, 1, 0]], b""),
    "batch_count_too_high": published([["bad.x", 2, N, 1, 0]]),
    "batch_count_too_low": published([["bad.x", 1, 2 * N, 1, 0]], EVENT * 2),
    "batch_bytes_too_high": published([["bad.x", 1, N + 1, 1, 0]]),
    "batch_bytes_too_low": published([["bad.x", 1, N - 1, 1, 0]]),
    "batch_bytes_shifted": published([["bad.x", 1, N + 1, 1, 0], ["bad.x", 1, N - 1, 2, 0]], EVENT * 2),
    "batch_body_left_over": published([["bad.x", 1, N, 1, 0]], EVENT + b"\0"),
    "batch_body_empty": published([["bad.x", 1, N, 1, 0]], b""),
    "batch_body_cut": published([["bad.x", 1, N, 1, 0]], EVENT[:-1]),
    "batch_event_is_not_bin": published([["bad.x", 1, 2, 1, 0]], b"\xa1x"),
    "batch_event_is_a_number": published([["bad.x", 1, 1, 1, 0]], b"\x01"),
    "batch_event_longer_than_body": published([["bad.x", 1, 5, 1, 0]], b"\xc6\xff\xff\xff\xff"),
    "batch_prefix_cut": published([["bad.x", 1, 2, 1, 0]], b"\xc6\xff"),
    "batch_sequences_fall": published([["bad.x", 1, N, 5, 0], ["bad.y", 1, N, 4, 0]], EVENT * 2),
    "batch_sequences_overlap": published([["bad.x", 2, 2 * N, 1, 0], ["bad.y", 1, N, 2, 0]], EVENT * 3),
    "batch_sequence_0": published([["bad.x", 1, N, 0, 0]]),
    "batch_sequence_2_64": published([["bad.x", 1, N, 2**64 - 1, 0]]),
    "batch_sequence_past_2_63": published([["bad.x", 2, 2 * N, 2**63 - 1, 0]], EVENT * 2),
    "batch_count_2_63": published([["bad.x", 2**63 - 1, N, 1, 0]]),
    "batch_bytes_2_63": published([["bad.x", 1, 2**63 - 1, 1, 0]]),
    "batch_sizes_wrap": published([["bad.x", 1, 2**64 - 1, 1, 0], ["bad.x", 1, N + 1, 2, 0]]),
    "batch_run_flag_unknown": published([["bad.x", 1, N, 1, 16]]),
    "batch_flag_unknown": published([["bad.x", 1, N, 1, 0]], flags=2),
    "batch_run_too_short": published([["bad.x", 1, N, 1]]),
    "batch_run_is_a_map": published([{}]),
    "batch_of_another_producer": published([["bad.x", 1, N, 1, 0]], producer=b"\1" * 16),
    "batch_producer_short": published([["bad.x", 1, N, 1, 0]], producer=b"\1" * 15),
    "batch_source_empty": published([["bad.x", 1, N, 1, 0]], source=""),
    "batch_source_1024": published([["bad.x", 1, N, 1, 0]], source="x" * 1024),
    "batch_base_is_a_float": published([["bad.x", 1, N, 1, 0]], base=0.5),
    "batch_runs_1025": published([["bad.x", 1, N, i + 1, 0] for i in range(1025)], EVENT * 1025),
    "batch_events_65537": published([["bad.x", 65537, 2 * 65537, 1, 0]], b"\xc4\0" * 65537),
    "batch_good_run_before_a_bad_one": published([["bad.x", 1, N, 1, 0], ["bad.y", 1, N, 2, 0]], EVENT + b"\xc1" * N),
    "batches_65": turned_away(lambda raw: ([PUBLISH, 1, [[raw.producer, "/h", 0, [["bad.x", 1, N, i + 1, 0]]]
                                                        for i in range(65)]], EVENT * 65)),
    "batches_second_of_another": turned_away(lambda raw: (
        [PUBLISH, 1, [[p, "/h", 0, [["bad.x", 1, N, i + 1, 0]]] for i, p in enumerate((raw.producer, b"\2" * 16))]],
        EVENT * 2)),
    "type_empty": bad_type(""), "type_dot": bad_type("."), "type_empty_token": bad_type("bad..x"),
    "type_ends_with_dot": bad_type("bad."), "type_begins_with_dot": bad_type(".bad"), "type_star": bad_type("bad.*"),
    "type_star_inside": bad_type("bad.x*y"), "type_rest": bad_type("bad.>"), "type_space": bad_type("bad.x y"),
    "type_nul": bad_type("bad.x\0y"), "type_control": bad_type("bad.\x1f"), "type_del": bad_type("bad.\x7f"),
    "type_not_ascii": bad_type("bad.\u00fc"), "type_256_bytes": bad_type("bad." + "x" * 252),
    "type_17_tokens": bad_type(".".join("a" * 17)), "type_only_dots": bad_type("." * 255),
    "type_65535_slashes": bad_type("/" * 65535), "type_system": bad_type("$sys.broker"), "type_dollar": bad_type("$"),
    "type_is_bin": published([[b"bad.x", 1, N, 1, 0]]), "type_is_a_number": published([[7, 1, N, 1, 0]]),
})


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
    second = Raw(producer=first.producer)
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


# ---- [W01..W06] not even ZeroMQ ----
@case
def tcp_junk():
    host, port = URL[len("tcp://"):].rsplit(":", 1)
    greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + b"\0" * 32
    ready = b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER"
    junk = {
        "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "tls": bytes.fromhex("16030100c8010000c40303") + os.urandom(189),
        "random": os.urandom(65536),
        "zeros": b"\0" * 4096,
        "silence": b"",
        "greeting only": greeting,
        "greeting cut": greeting[:11],
        "plain": greeting.replace(b"NULL\0", b"PLAIN"),
        "curve": greeting.replace(b"NULL\0", b"CURVE"),
        "frame of 2^63": greeting + ready + b"\x02" + b"\x80" + b"\0" * 7,
        "frame of 2^62": greeting + ready + b"\x02" + b"\x40" + b"\0" * 7,
        "frame of 2^31": greeting + ready + b"\x02" + struct.pack(">Q", 1 << 31),
        "frame of 2 MiB": greeting + ready + b"\x02" + struct.pack(">Q", 2 << 20) + b"x" * 1000,
        "short ping command": greeting + ready + b"\x04\x05\x04PING",
    }
    stays = ("short ping command",)  # [W09] only must not hurt
    peers = {}
    for name, data in junk.items():
        peers[name] = socket.create_connection((host, int(port)))
        try:
            peers[name].sendall(data)
        except OSError:
            pass  # turned away while it was still talking
    until = time.monotonic() + ANSWER_S + 3
    for name, peer in peers.items():
        try:
            while name not in stays:
                peer.settimeout(max(0.01, until - time.monotonic()))
                if not peer.recv(65536):
                    break
        except ConnectionError:
            pass
        except socket.timeout:
            raise AssertionError("still connected: " + name)
        finally:
            peer.close()


def main():
    for name in sys.argv[2:] or CASES:
        try:
            CASES[name]()
            print("case " + name, flush=True)
        except Exception as why:
            where = traceback.extract_tb(why.__traceback__)[-1].lineno
            print("broken %s: %s %s (line %d)" % (name, type(why).__name__, " ".join(str(why).split())[:300], where), flush=True)
        if not sys.stdin.readline():
            sys.exit("nobody reads on")
    print("done %d" % len(sys.argv[2:] or CASES), flush=True)


if __name__ == "__main__":
    main()
