#!/usr/bin/python3
"""A tidings client of about a hundred lines, written from proto/PROTOCOL.md alone.

foreign_client.py URL pub TYPE JSON...      publish the JSON values, print their ids
foreign_client.py URL sub PATTERN COUNT     print "ready", then events, one JSON a line
foreign_client.py URL share PATTERN COUNT GROUP    the same, as a member of a group
foreign_client.py URL flap PATTERN COUNT           the same; cuts its link at every 100th and resumes
foreign_client.py URL forge PRODUCER COUNT         try to resume a session of COUNT subscriptions that
                                                   is not ours: print what came of it
foreign_client.py URL stats                 print the broker's counters

One session: when it ends, calls raise; resume() goes on where a lost link was.
"""
import json, os, sys, time
import msgpack, zmq

(HELLO, WELCOME, PUBLISH, TAKEN, SUBSCRIBE, UNSUBSCRIBE, REPLY, DELIVER, CREDIT,
 GAP, PING, PONG, STATS, BYE) = range(1, 15)
HEARTBEAT_S, DEAD_S, GREETING_S = 5, 15, 3
WINDOW_EVENTS, WINDOW_BYTES = 8192, 4 << 20
TURN_MESSAGES = 4


class Refused(Exception):
    """The broker said no in a REPLY or BYE: (code, text)."""


def base32(number, digits):
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> 5 * i & 31] for i in reversed(range(digits)))


def event_id(producer, sequence):
    return base32(int.from_bytes(producer, "big"), 26) + "-" + base32(sequence, 13)


class Client:
    def __init__(self, url, name="foreign", source="/foreign", producer=None, options={}):
        self.producer = producer or int(time.time() * 1e3).to_bytes(6, "big") + os.urandom(10)
        self.url, self.name, self.resumes = url, name, 0
        self.source, self.subs, self.replies, self.session = source, {}, {}, None
        self.sequence = self.taken = self.events_sent = self.bytes_sent = 0
        self.request = self.messages = self.messages_told = self.missed = 0
        self.context = zmq.Context()
        self._greet(options)

    def _greet(self, options):
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self.socket.connect(self.url)
        self.heard = time.monotonic()
        self._send([HELLO, "tidings", 1, 1, self.producer, self.name, options])
        self.until(lambda: self.session is not None, GREETING_S)

    def resume(self):
        """A new link to the same session, as if the old one had been lost; nothing may wait for TAKEN."""
        self.socket.close(linger=0)
        self.session, self.messages, self.messages_told, self.events_sent, self.bytes_sent = None, 0, 0, 0, 0
        kept = [[n, s["events"], s["missed"]] for n, s in self.subs.items()]
        self._greet({"token": self.token, "subscriptions": kept})
        if not self.resumed:
            raise ConnectionError("the session is over")
        self.resumes += 1

    def _send(self, control, *body):
        self.socket.send_multipart([msgpack.packb(control), *body])
        self.spoke = time.monotonic()

    def turn(self, timeout_s):
        """Wait at most timeout_s for the broker, handle what came, say what is due."""
        self.socket.poll(int(min(timeout_s, 1) * 1000))
        for _ in range(TURN_MESSAGES):  # a busy publisher does not keep the caller
            if not self.socket.poll(0):
                break
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
            self.token, self.resumed = fields[6].get("token"), fields[6].get("resumed")
        elif op == TAKEN:
            self.taken, self.events_limit, self.bytes_limit = fields[:3]
        elif op == REPLY:
            self.replies[fields[0]] = fields[1:4]
        elif op == DELIVER:
            self.messages += 1
            parts, body = fields[0], fields[-1]
            for number, _tag, batches in parts:
                size = sum(run[2] for batch in batches for run in batch[3])
                if number in self.subs:  # not unsubscribed meanwhile
                    self._on_deliver(self.subs[number], batches, body[:size])
                body = body[size:]
            assert not body, "run tables and body do not meet"
        elif op == GAP:
            self.missed += fields[1]
            if fields[0] in self.subs:
                self.subs[fields[0]]["missed"] += fields[1]
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

    def subscribe(self, pattern, handler, **options):
        """handler(event) is called in turn(): a dict of CloudEvents attributes and "data".
        options are those of SUBSCRIBE: group="mail", group_policy="key"."""
        number = len(self.subs) + 1
        self.subs[number] = {"handler": handler, "events": 0, "bytes": 0, "missed": 0}
        self.call(SUBSCRIBE, number, pattern, {"events": WINDOW_EVENTS, "bytes": WINDOW_BYTES, **options})

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
        self.context.destroy(linger=1000)  # a process that ends at once may not have sent it


def forge(url, producer, count):
    """Say what another's session would say, but for its token, which is secret."""
    number = 0
    for digit in producer if producer != "-" else "":
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(digit)
    forged = {"token": os.urandom(16), "subscriptions": [[n, 0, 0] for n in range(1, count + 1)]}
    try:
        client = Client(url, producer=number.to_bytes(16, "big") if number else None, options=forged)
    except Refused as no:
        print("refused", no.args[0])
        return
    print("resumed", client.resumed)
    client.close()


def main(url, command, *args):
    if command == "forge":
        return forge(url, args[0], int(args[1]))
    client = Client(url)
    if command == "pub":
        print(*client.publish(args[0], *map(json.loads, args[1:])), sep="\n")
        client.flush()
    elif command in ("sub", "share", "flap"):
        seen = []
        show = lambda event: print(json.dumps(event, default=bytes.hex), flush=True) or seen.append(1)
        client.subscribe(args[0], show, **({"group": args[2]} if command == "share" else {}))
        print("ready", flush=True)
        step = 100 if command == "flap" else int(args[1])
        while len(seen) < int(args[1]):
            client.until(lambda goal=min(len(seen) + step, int(args[1])): len(seen) >= goal, float("inf"))
            if len(seen) < int(args[1]):
                client.resume()
        if command == "flap":
            print("resumed times=%d" % client.resumes, flush=True)
    else:
        print(json.dumps(client.call(STATS, {})))
    client.close()


if __name__ == "__main__":
    arguments = {"pub": 1, "sub": 2, "share": 3, "flap": 2, "forge": 2, "stats": 0}
    if len(sys.argv) < 3 or len(sys.argv) - 3 < arguments.get(sys.argv[2], 99):
        sys.exit(__doc__)
    main(*sys.argv[1:])
