#!/usr/bin/python3
"""Requests and services in another language, from proto/PROTOCOL.md section 11 alone.

foreign_service.py URL serve NAME VERSION TYPE [OPTION=VALUE...]
    answer requests of TYPE, a pattern: print "ready ID", then a line for each; options as in SERVE
    ("description", "state", "health_ms" ...) and of the endpoint; "breakers", JSON, is told to pings. Its answer is the request's data, but of
    a map with "status" an error of that status, with "sleep_ms" it comes so much later, and with "raw" it is
    that text's bytes alone. Lines on
    standard input: "health STATE TEXT", "mute" (no HEALTH any more), "stop", "vanish"
foreign_service.py URL request TYPE JSON [TIMEOUT_MS [OPTION=VALUE...]]
    print the answer: [code, status, text, data, instance] as JSON
foreign_service.py URL many TYPE JSON [TIMEOUT_MS [OPTION=VALUE...]]
    print all answers, one a line, with how many are still to come at the end
foreign_service.py URL call NAME JSON
    print the result of a CALL
"""
import json, os, select, sys, time
import msgpack
from foreign_client import Client, Refused

CALL, SERVE, UNSERVE, HEALTH, REQUEST, HANDLE, ANSWER, RESPONSE = 15, 19, 20, 21, 22, 23, 24, 25
ETIMEDOUT, EREMOTE = 6, 25
ENDPOINT = {"balance", "max_in_flight", "group", "endpoint"}


def data_of(event):
    """What an event of section 5 has in it: msgpack."""
    _dt, data, *_attributes = msgpack.unpackb(msgpack.unpackb(event))
    return msgpack.unpackb(data) if data else None


class Peer(Client):
    """A client that serves and asks."""

    def __init__(self, url, **options):
        self.services, self.answers, self.due, self.number = {}, {}, [], 0
        self.told = {}  # to pings, beside the state
        super().__init__(url, **options)

    def _on_message(self, op, *fields):
        if op == HANDLE:
            self.messages += 1
            body = fields[1]
            for row in fields[0]:
                self._on_handle(*row[:6], body[:row[6]])
                body = body[row[6]:]
            assert not body, "rows and body do not meet"
        elif op == RESPONSE:
            self.messages += 1
            body = fields[1]
            for number, code, status, size, text, left, instance in fields[0]:
                if number in self.answers:  # not given up meanwhile
                    self.answers[number].append((code, status, text, body[:size], instance, left))
                body = body[size:]
            assert not body, "rows and body do not meet"
        elif op == HEALTH:
            print("drain" if fields[1] == 4 else "undrain", flush=True)
        else:
            super()._on_message(op, *fields)

    def _on_handle(self, task, service, endpoint, type, flags, left_ms, event):
        came = time.monotonic()
        if endpoint == 0:  # a ping
            return self.answer(task, came, 0, 0, "", msgpack.packb({**self.services[service], **self.told}))
        data = data_of(event)
        wish = data if isinstance(data, dict) else {}
        print("task", type, json.dumps(data), flush=True)
        when = came + wish.get("sleep_ms", 0) / 1000
        self.due.append((when, came, came + left_ms / 1000, task, wish.get("status", 0), data))
        self.answer_due()

    def answer_due(self):
        now = time.monotonic()
        for one in [one for one in self.due if one[0] <= now]:
            self.due.remove(one)
            _when, came, end, task, status, data = one
            raw = data.get("raw") if isinstance(data, dict) else None
            body = msgpack.packb(data) if raw is None else raw.encode()
            if now > end:
                self.answer(task, came, ETIMEDOUT, 0, "too late", b"")
            elif status:
                self.answer(task, came, EREMOTE, status, "as you wished", body)
            else:
                self.answer(task, came, 0, 0, "", body)

    def answer(self, task, came, code, status, text, body):
        us = int((time.monotonic() - came) * 1e6)
        self._send([ANSWER, [[task, code, status, us, us, len(body), text]]], body)

    def serve(self, name, version, **options):
        number = len(self.services) + 1
        options.setdefault("state", 2)
        self.services[number] = {"service": name, "state": options["state"], "text": options.get("text", "")}
        return self.call(SERVE, number, name, version, options)["id"]

    def health(self, number, state, text=""):
        self.services[number].update(state=state, text=text)
        self._send([HEALTH, number, state, text])

    def ask(self, type, data, timeout_ms, flags=0, **options):
        """The answers to one request: one, or with flags 16 all."""
        self.number += 1
        event = msgpack.packb(msgpack.packb([0, msgpack.packb(data)]))
        answers = self.answers[self.number] = []
        self._send([REQUEST, self.source, int(time.time() * 1e6),
                    [[self.number, type, flags, timeout_ms, len(event), options or None]]], event)
        self.until(lambda: answers and answers[-1][5] == 0, timeout_ms / 1000 + 5)
        return self.answers.pop(self.number)


def pairs(args):
    """OPTION=VALUE...: numbers where they look like it."""
    return {k: int(v) if v.isdigit() else v for k, v in (arg.split("=", 1) for arg in args)}


def serve(peer, name, version, type, *args):
    options = pairs(args)
    peer.told = {k: json.loads(options.pop(k)) for k in ("breakers",) if k in options}
    endpoint = {k: options.pop(k) for k in list(options) if k in ENDPOINT}
    endpoint["name"] = endpoint.pop("endpoint", "all")
    id = peer.serve(name, version, endpoints=[{**endpoint, "type": type}], metadata={"pid": str(os.getpid())},
                    **options)
    print("ready", id, flush=True)
    every, next_s = options.get("health_ms", 0) / 1000, 0
    while True:
        peer.turn(0.01)
        peer.answer_due()
        if every and time.monotonic() >= next_s:
            next_s = time.monotonic() + every
            peer.health(1, peer.services[1]["state"], peer.services[1]["text"])
        if not select.select([sys.stdin], [], [], 0)[0]:
            continue
        word, *rest = sys.stdin.readline().split(" ", 2) or [""]
        if word.strip() == "health":
            peer.health(1, int(rest[0]), rest[1].strip() if len(rest) > 1 else "")
        elif word.strip() == "mute":
            every = 0
        elif word.strip() == "vanish":
            os._exit(0)
        else:
            peer.call(UNSERVE, 1)
            return


def main(url, command, *args):
    peer = Peer(url, name="foreign-" + command)
    if command == "serve":
        serve(peer, *args)
    elif command == "call":
        print(json.dumps(peer.call(CALL, args[0], json.loads(args[1])), default=bytes.hex))
    else:
        timeout_ms = int(args[2]) if len(args) > 2 else 5000
        flags = 16 if command == "many" else 0
        for code, status, text, data, instance, left in peer.ask(args[0], json.loads(args[1]), timeout_ms, flags,
                                                                 **pairs(args[3:])):
            data = msgpack.unpackb(data) if data else None
            print(json.dumps([code, status, text, data, instance] + [left] * bool(flags)), flush=True)
    peer.close()


if __name__ == "__main__":
    arguments = {"serve": 3, "request": 2, "many": 2, "call": 2}
    if len(sys.argv) < 3 or len(sys.argv) - 3 < arguments.get(sys.argv[2], 99):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except Refused as no:
        sys.exit("refused: %d %s" % no.args)
