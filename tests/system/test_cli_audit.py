#!/usr/bin/env python3
"""`tidings audit`: exit code 0 where the books balance, 1 where one equation
does not hold; a broker that lies is played here (proto/PROTOCOL.md).

    TIDINGS_BIN=build/bin tests/system/test_cli_audit.py [-v] [TestCase.test_name]
"""
import copy
import json
import signal
import sys
import threading
import unittest

import cli
from cli import DONE, FAILED

try:
    import msgpack
    import zmq
except ImportError:
    zmq = None

HELLO, WELCOME, REPLY, PING, PONG, STATS = 1, 2, 7, 11, 12, 13
PAGE = 250  # rows of an answer
NO_DROPS = {"slow": 0, "oldest": 0}

# What an honest broker would say.
HONEST = {
    "totals": {
        "epoch": 77, "version": "0.1.0", "uptime_ms": 90500,
        "published": 30, "duplicates": 2, "routed": 25, "unmatched": 3,
        "matched": 50, "delivered": 40, "pending": 4,
        "dropped": {"slow": 5, "oldest": 1},
        "requests": {"accepted": 21, "answered": 10, "errors": 5,
                     "timeouts": 3, "lost": 2, "in_flight": 1, "late": 9},
        "types_other": {"published": 10, "duplicates": 0, "routed": 10,
                        "unmatched": 0, "bytes": 100},
    },
    "sums": {"published": 30, "duplicates": 2, "routed": 25, "unmatched": 3,
             "matched": 50, "delivered": 40, "pending": 4,
             "dropped": {"slow": 5, "oldest": 1}},
    "types": [{"type": "user.created", "published": 20, "duplicates": 2,
               "routed": 15, "unmatched": 3, "bytes": 200}],
    "groups": [{"pattern": "user.*", "group": "mail", "group_policy": "random",
                "policy": "block", "members": 1, "matched": 25, "delivered": 21,
                "pending": 4, "dropped": NO_DROPS, "blocked_ms": 0}],
    "subscriptions": [{"session": 3, "name": "a", "subscription": 1,
                       "pattern": "user.>", "group": "", "policy": "block",
                       "matched": 20, "delivered": 14, "pending": 0,
                       "dropped": {"slow": 5, "oldest": 1},
                       "blocked_ms": 7}],
    "consumers": [{"stream": "orders", "group": "mails", "state": "running",
                   "members": 1, "delivered": 60, "redelivered": 9,
                   "acked": 30, "failed": 8, "released": 7, "termed": 6,
                   "returned": 4, "lag": 3, "out": 15, "queued": 1,
                   "in_flight": 5, "waiting": 4, "aside": 3, "dying": 2,
                   "dead": 1}],
}


class FakeBroker(threading.Thread):
    """Answers STATS with what it was given, and nothing else."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self.answers = answers
        self.epochs = {}  # rows: an epoch of their own
        self.asked = []
        self.stop = threading.Event()
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.url = "tcp://127.0.0.1:%d" % port
        self.start()

    def run(self):
        while not self.stop.is_set():
            if not self.socket.poll(50):
                continue
            peer, control, *_ = self.socket.recv_multipart()
            op, *fields = msgpack.unpackb(control)
            answer = self.answer(op, fields)
            if answer:
                self.socket.send_multipart([peer, msgpack.packb(answer)])
        self.socket.close()

    def answer(self, op, fields):
        if op == HELLO:
            limits = {"body_max": 1 << 20, "control_max": 1 << 18,
                      "heartbeat_ms": 5000, "grace_ms": 15000,
                      "token": b"t" * 16, "resumed": False}
            return [WELCOME, 1, self.answers["totals"]["epoch"], 1, 0, 1000,
                    8 << 20, limits]
        if op == PING:
            return [PONG, fields[0]]
        if op == STATS:
            return [REPLY, fields[0], 0, "", self.stats(**fields[1])]
        return None

    def stats(self, rows="subscriptions", **options):
        first = options.get("from", 0)
        self.asked.append((rows, first))
        answer = dict(self.answers["totals"])
        answer["epoch"] = self.epochs.get(rows, answer["epoch"])
        if rows == "none":
            if "sums" in self.answers:
                answer["sums"] = self.answers["sums"]
        else:
            answer[rows] = self.answers[rows][first:first + PAGE]
            answer[rows + "_total"] = len(self.answers[rows])
        return answer

    def end(self):
        self.stop.set()
        self.join()


@unittest.skipIf(zmq is None, "needs python3-zmq and python3-msgpack")
class FakeBooks(unittest.TestCase):
    def audit(self, code, change=None, *args):
        """Of honest books after change(books)."""
        books = copy.deepcopy(HONEST)
        if change:
            change(books)
        broker = FakeBroker(books)
        try:
            done = cli.run("audit", "--url", broker.url, *args)
        finally:
            broker.end()
        self.assertEqual(done.returncode, code, (done.out, done.err))
        self.asked = broker.asked
        return done

    def test_honest_books_balance(self):
        done = self.audit(DONE)
        self.assertEqual(done.err, "")
        self.assertIn("epoch 77, up 1 min 30 s", done.out)
        for line in (r"total +- +30 +=? +30 +2 +25 +3 +ok",
                     r"other types +- +10 += +10 +0 +10 +0 +ok",
                     r"type +user\.created +20 += +20 +2 +15 +3 +ok",
                     r"total +- +50 += +50 +40 +4 +6 +ok",
                     r"group +mail user\.\* +25 += +25 +21 +4 +0 +ok",
                     r"subscription +3\.1 user\.> +20 += +20 +14 +0 +6 +ok",
                     r"durable group +orders mails +60 += +60 +30 +8 +7 +6 "
                     r"+4 +5 +ok",
                     r"durable group +orders mails +15 += +15 +1 +5 +4 +3 +2 "
                     r"+ok",
                     r"requests +- +21 += +21 +10 +5 +3 +2 +1 +ok",
                     r"sum +dropped\.slow +5 += +5 +ok"):
            self.assertRegex(done.out, "(?m)^%s$" % line)
        self.assertRegex(done.out, r"(?m)^balanced: 18 equations hold$")

    def test_each_equation_is_judged(self):
        def more(*path):
            def change(books):
                for key in path[:-1]:
                    books = books[key]
                books[path[-1]] += 1
            return change

        rows = [  # what is changed, the line that says so
            (("totals", "unmatched"), r"total .* OFF BY -1"),
            (("totals", "delivered"), r"total .* OFF BY -1"),
            (("totals", "types_other", "published"),
             r"other types .* OFF BY \+1"),
            (("totals", "requests", "accepted"), r"requests .* OFF BY \+1"),
            (("totals", "requests", "lost"), r"requests .* OFF BY -1"),
            (("types", 0, "routed"), r"type +user\.created .* OFF BY -1"),
            (("groups", 0, "matched"), r"group +mail user.* OFF BY \+1"),
            (("subscriptions", 0, "pending"), r"subscription .* OFF BY -1"),
            (("subscriptions", 0, "dropped", "slow"),
             r"subscription .* OFF BY -1"),
        ]
        rows += [(("consumers", 0, name), r"durable group .* OFF BY -1")
                 for name in ("acked", "failed", "released", "termed",
                              "returned", "queued", "waiting", "aside",
                              "dying")]
        rows += [(("consumers", 0, name), r"durable group .* OFF BY \+1")
                 for name in ("delivered", "out")]
        rows += [(("sums", name), r"sum +%s .* OFF BY -1" % name)
                 for name in HONEST["sums"] if name != "dropped"]
        rows += [(("sums", "dropped", "oldest"),
                  r"sum +dropped\.oldest .* OFF BY -1")]
        for path, line in rows:
            done = self.audit(FAILED, more(*path))
            self.assertRegex(done.out, "(?m)^%s$" % line, path)
            self.assertRegex(done.err, r"^tidings: NOT BALANCED: \d+ of 18 ")

    def test_a_counter_that_is_not_told_is_no_balance(self):
        def forget(*path):
            def change(books):
                for key in path[:-1]:
                    books = books[key]
                del books[path[-1]]
            return change

        for path in (("totals", "routed"), ("types", 0, "published"),
                     ("groups", 0, "dropped"), ("consumers", 0, "out"),
                     ("sums", "matched"), ("sums",)):
            done = self.audit(FAILED, forget(*path))
            self.assertIn("NOT TOLD: ", done.out, path)

    def test_json_has_both_sides_of_each_equation(self):
        def change(books):
            books["types"][0]["published"] = 21

        done = self.audit(FAILED, change, "--json")
        answer = json.loads(done.out)
        self.assertEqual((answer["epoch"], answer["uptime_ms"],
                          answer["checked"], answer["unbalanced"],
                          answer["balanced"]), (77, 90500, 18, 1, False))
        self.assertEqual(len(answer["equations"]), 18)
        off = [e for e in answer["equations"] if not e["balanced"]]
        self.assertEqual(off, [{
            "of": "type", "name": "user.created",
            "equation": "published = duplicates + routed + unmatched",
            "left": 21, "right": 20, "balanced": False,
            "terms": {"duplicates": 2, "routed": 15, "unmatched": 3}}])

    def test_every_page_is_judged(self):
        def many(books):
            books["types"] = [dict(books["types"][0], type="t%d" % n)
                              for n in range(601)]
            books["types"][600]["published"] += 1

        done = self.audit(FAILED, many)
        self.assertRegex(done.out, r"(?m)^type +t600 .*OFF BY \+1$")
        self.assertIn("1 of 618", done.err)
        self.assertEqual([row for row in self.asked if row[0] == "types"],
                         [("types", 0), ("types", 250), ("types", 500)])

    def test_a_restart_between_the_answers_is_no_audit(self):
        broker = FakeBroker(copy.deepcopy(HONEST))
        broker.epochs["groups"] = 78
        try:
            done = cli.run("audit", "--url", broker.url)
        finally:
            broker.end()
        self.assertNotEqual(done.returncode, DONE)
        self.assertIn("restarted", done.err)

    def test_names_cannot_write_to_the_terminal(self):
        def change(books):
            books["types"][0]["type"] = "a\x1b[31m\r"

        done = self.audit(DONE, change)
        self.assertIsNone(cli.OBEYED.search(done.out), repr(done.out))


class RealBooks(cli.WithBroker):
    def test_a_busy_broker_balances(self):
        sub = self.sub("audit.*")
        self.sub("--group", "g", "audit.>")
        self.start("pub", "audit.busy", "{}", "--rate", "20000", "--count",
                   "100000000")
        self.start("pub", "nobody.wants", "{}", "--rate", "1000", "--count",
                   "100000000")
        sub.line()
        for _ in range(5):
            done = self.check(DONE, "audit")
            self.assertRegex(done.out, r"(?m)^type +audit\.busy .* ok$")
            self.assertRegex(done.out, r"(?m)^subscription .* ok$")
            self.assertRegex(done.out, r"(?m)^group +g audit\.> .* ok$")
        answer = json.loads(self.check(DONE, "audit", "--json").out)
        self.assertTrue(answer["balanced"])
        self.assertGreater(answer["equations"][0]["left"], 0)


class RealStreams(cli.WithStreams):
    def test_durable_groups_balance_whatever_their_members_do(self):
        name = self.stream()
        for group in ("killed", "stopped", "left"):
            self.check(DONE, "group", "add", name, group, "--ack-wait",
                       "300ms", "--max-deliver", "1", "--group-policy",
                       "key")
        members = {group: self.sub("--stream", name, "--group", group, ">")
                   for group in ("killed", "stopped", "left")}
        members["stopped"].signal(signal.SIGSTOP)
        self.check(DONE, "pub", name + ".a", "{}", "--key", "k", "--count",
                   "200", "--confirm", "disk")
        members["killed"].line()
        members["killed"].signal(signal.SIGKILL)
        members["left"].line()
        members["left"].signal(signal.SIGTERM)

        def dead():
            done = self.check(DONE, "audit")
            self.assertRegex(done.out, r"(?m)^durable group +%s left .* ok$" %
                             name)
            return self.group_row(name, "stopped")["dead"]
        self.soon(dead)
        self.check(DONE, "group", "seek", name, "stopped", "--start", "all")
        self.check(DONE, "audit")
        answer = json.loads(self.check(DONE, "audit", "--json").out)
        of = [e for e in answer["equations"] if e["of"] == "durable group"]
        self.assertEqual(len(of), 6)
        self.assertGreater(sum(e["left"] for e in of), 0)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_audit"))
