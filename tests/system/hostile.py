"""What the cases of hostile_client.py are made of: a client that sends whatever it is told, and the
table that each case is entered in. The broker's address is the first argument.
"""
import os, sys, time
import msgpack, zmq
from foreign_client import (HELLO, WELCOME, PUBLISH, TAKEN, SUBSCRIBE, REPLY, DELIVER, PING, PONG,
                            BYE)

EINVAL, EPROTO, ENOTFOUND, EVERSION, ELIMIT, EEXIST, ENOTSUP = 2, 5, 7, 12, 13, 14, 15
EVENT = msgpack.packb(msgpack.packb([0, b"\x80"]))  # the smallest that a handler can read
N = len(EVENT)
WINDOW = {"events": 1000, "bytes": 2 << 20}
ANSWER_S = 5
URL = sys.argv[1]


class Raw:
    """A DEALER that sends whatever it is told."""

    def __init__(self, hello=True, producer=None, token=None):
        self.producer = producer or int(time.time() * 1e3).to_bytes(6, "big") + os.urandom(10)
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(URL)
        if hello:
            self.send(self.hello(6, {"token": token} if token else {}))
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
DURABLE = {}  # those for a broker with a data folder


def case(function):
    CASES[function.__name__] = function
    return function


def durable(function, name=None):
    DURABLE[name or function.__name__] = function
    return function
