#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets beside this file: make.py

Run it after a change of the protocol and commit what it wrote. Needs
python3-msgpack."""
import pathlib
import struct

from msgpack import ExtType, packb

HERE = pathlib.Path(__file__).parent
PRODUCER = bytes(range(16))


def write(target, seeds):
    folder = HERE / target
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


def event(dt, data, attrs=None):
    return packb(packb([dt, data] if attrs is None else [dt, data, attrs]))


def message(batches, body):
    table = packb(batches)
    return struct.pack(">H", len(table)) + table + body


def run(type_, events, first, flags=0):
    return [type_, len(events), sum(map(len, events)), first, flags]


SCAN = {
    "nil": b"\xc0",
    "ints": packb([0, 127, 128, 2**16, 2**32, 2**64 - 1, -1, -33, -2**63]),
    "reals": packb([1.5, float("nan")]),
    "real32": b"\xca\x3f\x80\x00\x00",
    "texts": packb(["", "a" * 32, "b" * 300, b"", b"c" * 300]),
    "map": packb({"a": {"b": [True, None]}, "key": 1}),
    "ext": packb([ExtType(1, b"x"), ExtType(2, b"x" * 20)]),
    "deep32": b"\x91" * 32 + b"\xc0",
    "deep33": b"\x91" * 33 + b"\xc0",
    "huge-array": b"\xdd\xff\xff\xff\xff",
    "huge-map": b"\xdf\xff\xff\xff\xff\x01\x01",
    "long": b"\xdb\xff\xff\xff\xffa",
    "wide": packb(list(range(200))),
}

BATCHES = [[PRODUCER, "/s", 1000, [["a.b", 1, 7, 1, 0]]]]
FRAMES = {
    "hello": [1, "tidings", 1, 1, PRODUCER, "shop", {}],
    "publish": [3, 1, BATCHES],
    "subscribe": [5, 1, 2, "user.*", {"events": 9, "policy": "block"}],
    "unsubscribe": [6, 1, 2],
    "credit": [9, 4, [[1, 2, 3, 4], [5, 6, 7, 8]]],
    "ping": [11, 2**63 - 1],
    "pong": [12, 1],
    "stats": [13, 1, {}],
    "bye": [14, 0, ""],
    "call": [15, 1, "stream.add", {
        "name": "s", "patterns": ["a.>", "b.*"], "max_age_ms": 1000,
        "max_bytes": 0, "max_events": 9, "on_full": "reject",
        "storage": "memory"}],
    "call-group": [15, 2, "group.add", {
        "stream": "s", "group": "g", "pattern": "a.*", "start": "time",
        "start_ms": -1, "group_policy": "key", "max_in_flight": 5,
        "ack_wait_ms": 9, "max_deliver": 2, "backoff_ms": 1,
        "backoff_max_ms": 8}],
    "settle": [17, [[1, 1, 1, 9, 0, ""], [2, 4, 3, 3, 500, "no stock"]]],
    "later": [11, 5, "of a later version", [1]],
}
BROKER_FRAMES = {
    "welcome": [2, 1, 12345, 7, 0, 65536, 8 << 20, {"body_max": 1}],
    "taken": [4, 1, 2, 3],
    "reply": [7, 1, 0, "", {"published": 1}],
    "deliver": [8, [[1, 1, BATCHES]]],
    "deliver-stored": [8, [[1, 1, BATCHES, [[1, 77, 1], [5, 2**33, 3]]]]],
    "gap": [10, 1, 500, "slow"],
    "confirm": [16, [[1, 5, 0, "events", 77, 3, False],
                     [6, 1, 18, "", 0, 0, True]]],
    "settled": [18, [[1, 2, 3, 7]]],
}

ONE = [event(0, b"x")]
TWO = [event(-5, b""), event(2**33, b"y" * 300, {"subject": "s", "n": -1})]
KEYED = [event(1, b"z", {"id": "own", "partitionkey": "k", "b": True})]
BATCH = {
    "one": message([[PRODUCER, "/s", 0, [run("a", ONE, 1)]]], ONE[0]),
    "two-runs": message(
        [[PRODUCER, "/s", -7, [run("a.b", ONE, 1), run("c", TWO, 9)]]],
        b"".join(ONE + TWO)),
    "flags": message([[PRODUCER, "/s", 2**62, [run("k", KEYED, 3, 3)]]],
                     KEYED[0]),
    "two-batches": message(
        [[PRODUCER, "/s", 0, [run("a", TWO, 5)]],
         [PRODUCER[::-1], "/t", 1, [run("b", ONE, 2**62)]]],
        b"".join(TWO + ONE)),
    "many": message([[PRODUCER, "/s", 0, [run("a", ONE * 40, 1)]]],
                    b"".join(ONE * 40)),
    "malformed-event": message(
        [[PRODUCER, "/s", 0, [["a", 1, 4, 1, 0]]]], packb(b"\x92\xc0")),
    "does-not-meet": message([[PRODUCER, "/s", 0, [run("a", ONE, 1)]]],
                             ONE[0][:-1]),
}

PATTERN = {
    "literal": "user.created\nuser.created\nuser.deleted\nuser",
    "star": "user.created\nuser.*\n*.created\n*.*\n*\n*.*.*",
    "rest": "a.b.c\n>\na.>\na.b.>\na.b.c.>\n*.>\n*.*.*.>",
    "mixed": "a.b.c.d\na.*.c.>\n*.b.*.d\na.b.c.d\na.*.*.*\na.b.c.d",
    "system": "$sys.up\n>\n$sys.*\n*.up",
    "deepest": ".".join("abcdefghijklmnop") + "\n" + ".".join("*" * 16) +
               "\n" + ".".join("*" * 15) + ".>\n" + ".".join("*" * 17),
    "longest": "a" * 255 + "\n" + "a" * 255 + "\n" + "a" * 256,
    "bad": "a..b\n.\na.\n>.a\na*\n\n**",
}

write("scan", SCAN)
write("frame", {name: b"\1" + packb(f) for name, f in FRAMES.items()} |
      {name: b"\0" + packb(f) for name, f in BROKER_FRAMES.items()})
write("batch", BATCH)
write("pattern", {name: text.encode() for name, text in PATTERN.items()})

# Steps of services_steps.c: who, what, and what that takes.
ASK, ANSWER, PASS, READ, HEALTH, CALL, ANYTHING, SERVE, LEAVE, UNSERVE = (
    0, 4, 7, 9, 10, 11, 12, 13, 15, 16)


def serve(peer, instance, pattern=0, group=0, balance=0):
    return bytes([peer, SERVE, 1, instance, 1, 0,
                  pattern, group, balance, 3, 0, 0, 0])


def ask(peer, number, many=0, size=1, type_=0):
    return bytes([peer, ASK, 0, size, number, many, 255, 1, type_, 0])


def answer(peer, task, end=0):
    return bytes([peer, ANSWER, 1, 0, 1, end, task, 0, 9, 0, 5])


FLUSH = bytes([0, PASS, 1])
SERVICES = {
    "answered": serve(0, 0) + ask(1, 1) + FLUSH + answer(0, 0) + FLUSH,
    "two": serve(0, 0) + serve(1, 1) + ask(2, 1) + ask(2, 2) + FLUSH +
    answer(0, 0) + answer(1, 0) + FLUSH + bytes([2, READ, 0]),
    "groups": serve(0, 0) + serve(1, 1, 1, 1) + serve(2, 2, 2, 2) +
    ask(3, 1) + FLUSH + answer(2, 0) + answer(1, 0) + answer(0, 0) + FLUSH,
    "many": serve(0, 0) + serve(1, 1) + serve(2, 2, 3) + ask(3, 1, 1) +
    FLUSH + answer(0, 0) + answer(1, 0, 3) + FLUSH,
    "lost": serve(0, 0) + ask(1, 1) + FLUSH + bytes([0, LEAVE]) + FLUSH,
    "gone": serve(0, 0) + ask(1, 1) + FLUSH + bytes([0, UNSERVE, 0]) +
    answer(0, 0, 5) + FLUSH,
    "orphan": serve(0, 0) + ask(1, 1) + FLUSH + bytes([1, LEAVE]) +
    answer(0, 0) + FLUSH,
    "late": serve(0, 0) + ask(1, 1) + bytes([0, PASS, 199] * 2) +
    answer(0, 0) + FLUSH,
    "broken": serve(0, 0) + b"".join(
        ask(1, n) + FLUSH + answer(0, n - 1, 2) for n in range(1, 7)) + FLUSH,
    "weighed": serve(0, 0) + bytes([0, CALL, 0, 0, 0, 0, 0, 4]) +
    bytes([0, HEALTH, 0, 2]) + ask(1, 1) + FLUSH,
    "unread": serve(0, 0) + b"".join(
        ask(1, n, 0, 4) + FLUSH for n in range(1, 6)) +
    bytes([0, READ, 0]) + FLUSH,
    "ping": serve(0, 0) + bytes([1, ASK, 0, 1, 1, 0, 255, 0, 0]) + FLUSH +
    answer(0, 0) + FLUSH,
    "anything": bytes([0, ANYTHING, 9]) + packb([22, "/c", 1, [[1, "a.b"]]]),
}
write("services", SERVICES)
