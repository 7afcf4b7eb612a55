#!/usr/bin/python3
"""A tidings client of about a hundred lines, written from proto/PROTOCOL.md alone.

foreign_client.py URL pub TYPE JSON...      publish the JSON values, print their ids
foreign_client.py URL sub PATTERN COUNT     print "ready", then events, one JSON a line
foreign_client.py URL stats                 print the broker's counters

One session: when it ends, calls raise; whoever wants to go on makes another Client.
"""
import json, os, sys, time
import msgpack, zmq

(HELLO, WELCOME, PUBLISH, TAKEN, SUBSCRIBE, UNSUBSCRIBE, REPLY, DELIVER, CREDIT,
 GAP, PING, PONG, STATS, BYE) = range(1, 15)
HEARTBEAT_S, DEAD_S, GREETING_S = 5, 15, 3
WINDOW_EVENTS, WINDOW_BYTES = 8192, 4 << 20


class Refused(Exception):
    """The broker said no in a REPLY or BYE: (code, text)."""


def base32(number, digits):
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> 5 * i & 31] for i in reversed(range(digits)))


def event_id(producer, sequence):
    return base32(int.from_bytes(producer, "big"), 26) + "-" + base32(sequence, 13)


class Client:
    def __init__(self, url, name="foreign", source="/foreign"):
        self.producer = int(time.time() * 1e3).to_bytes(6, "big") + os.urandom(10)
        self.source, self.subs, self.replies, self.session = source, {}, {}, None
        self.sequence = self.taken = self.events_sent = self.bytes_sent = 0
        self.request = self.messages = self.messages_told = self.missed = 0
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self.socket.connect(url)
        self.heard = time.monotonic()
        self._send([HELLO, "tidings", 1, 1, self.producer, name, {}])
        self.until(lambda: self.session is not None, GREETING_S)

    def _send(self, control, *body):
        self.socket.send_multipart([msgpack.packb(control), *body])
        self.spoke = time.monotonic()

    def turn(self, timeout_s):
        """Wait at most timeout_s for the broker, handle what came, say what is due."""
        self.socket.poll(int(min(timeout_s, 1) * 1000))
        while self.socket.poll(0):
            control, *body = self.socket.recv_multipart()
            self.heard = time.monotonic()
            self._on_message(*msgpack.unpackb(control, strict_map_key=False), *body)
        if self.messages != self.messages_told:
            self.messages_told = self.messages
            self._send([CREDIT, self.messages, [
                [n, s["events"], s["events"] + WINDOW_EVENTS, s["bytes"] + WINDOW_BYTES]
                for n, s in self.subs.items()]])
        if time.monotonic() - self.spoke >= HEARTBEAT_S:
            self._send([PING, 0])
        if time.monotonic() - self.heard > DEAD_S:
            raise ConnectionError("the broker is silent")

    def until(self, done, timeout_s=10):
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError("no answer from the broker in %g s" % timeout_s)
            self.turn(0.1)

    def _on_message(self, op, *fields):
        if op == WELCOME:
            _, self.epoch, self.session, self.taken, self.events_limit, self.bytes_limit = fields[:6]
        elif op == TAKEN:
            self.taken, self.events_limit, self.bytes_limit = fields[:3]
        elif op == REPLY:
            self.replies[fields[0]] = fields[1:4]
        elif op == DELIVER:
            self.messages += 1
            if fields[0] in self.subs:  # not unsubscribed meanwhile
                self._on_deliver(self.subs[fields[0]], fields[2], fields[-1])
        elif op == GAP:
            self.missed += fields[1]
        elif op == PING:
            self._send([PONG, fields[0]])
        elif op == BYE:
            raise Refused(*fields[:2])

    def _on_deliver(self, sub, batches, body):
        events = msgpack.Unpacker(max_buffer_size=len(body))
        events.feed(body)
        for producer, source, base, runs in batches:
            for type, count, _bytes, first, _flags in runs:
                for sequence in range(first, first + count):
                    dt, data, *attributes = msgpack.unpackb(events.unpack())
                    event = {"id": event_id(producer, sequence), "source": source, "type": type,
                             "time": base + dt, "data": data}
                    event.update(*attributes)
                    if "datacontenttype" not in event:
                        event["data"] = msgpack.unpackb(data, strict_map_key=False)
                    sub["handler"](event)
                    sub["events"] += 1
        assert events.tell() == len(body), "run table and body do not meet"
        sub["bytes"] += len(body)

    def call(self, op, *fields):
        self.request = request = self.request + 1
        self._send([op, request, *fields])
        self.until(lambda: request in self.replies)
        code, text, result = self.replies.pop(request)
        if code:
            raise Refused(code, text)
        return result

    def subscribe(self, pattern, handler):
        """handler(event) is called in turn(): a dict of CloudEvents attributes and "data"."""
        number = len(self.subs) + 1
        self.subs[number] = {"handler": handler, "events": 0, "bytes": 0}
        self.call(SUBSCRIBE, number, pattern, {"events": WINDOW_EVENTS, "bytes": WINDOW_BYTES})

    def publish(self, type, *values, **attributes):
        """Publish values as one batch of one run, when there is credit; returns their ids."""
        packed = [v if "datacontenttype" in attributes else msgpack.packb(v) for v in values]
        body = b"".join(msgpack.packb(msgpack.packb([0, p] + [attributes] * bool(attributes))) for p in packed)
        flags = sum(bit for bit, key in ((1, "id"), (2, "partitionkey"), (4, "expirytime")) if key in attributes)
        run = [type, len(values), len(body), self.sequence + 1, flags]
        self.events_sent += len(values)
        self.bytes_sent += len(body)
        self.until(lambda: self.events_sent <= self.events_limit and self.bytes_sent <= self.bytes_limit)
        self._send([PUBLISH, 1, [[self.producer, self.source, int(time.time() * 1e6), [run]]]], body)
        self.sequence += len(values)
        return [event_id(self.producer, run[3] + i) for i in range(len(values))]

    def flush(self, timeout_s=10):
        self.until(lambda: self.taken == self.sequence, timeout_s)

    def close(self):
        self._send([BYE, 0, ""])
        self.socket.close(linger=1000)


def main(url, command, *args):
    client = Client(url)
    if command == "pub":
        print(*client.publish(args[0], *map(json.loads, args[1:])), sep="\n")
        client.flush()
    elif command == "sub":
        seen = []
        show = lambda event: print(json.dumps(event, default=bytes.hex), flush=True) or seen.append(1)
        client.subscribe(args[0], show)
        print("ready", flush=True)
        client.until(lambda: len(seen) >= int(args[1]), float("inf"))
    else:
        print(json.dumps(client.call(STATS, {})))
    client.close()


if __name__ == "__main__":
    if len(sys.argv) < 3 or (sys.argv[2], len(sys.argv) > 4) not in (("pub", 1), ("sub", 1), ("stats", 0)):
        sys.exit(__doc__)
    main(*sys.argv[1:])
