#!/usr/bin/env python3
"""`tidings pub --at`, `--after`, and `tidings schedule`: events that wait, are
listed and cancelled, and outlive their broker.

    TIDINGS_BIN=build/bin tests/system/test_cli_schedule.py [-v] [TestCase.test_name]
"""
import datetime
import json
import signal
import sys
import time

import cli
from cli import DONE, FAILED, USAGE, WithStreams


class Schedule(WithStreams):
    def later(self, type_, *options):
        """The number of one event that waits."""
        out = self.check(DONE, "pub", type_, '{"n": 1}', *options).out
        self.assertRegex(out, r"^scheduled \d+\n$")
        return int(out.split()[1])

    def waiting(self, pattern):
        return self.rows("schedule", "list", "--type", pattern)

    def stored(self, name):
        out = self.check(DONE, "tail", name, "--json").out
        return [json.loads(line) for line in out.splitlines()]

    def test_events_wait_are_listed_and_published(self):
        name = self.stream()
        now_ms = time.time() * 1000
        last = self.later(name + ".c", "--at", "2099-01-01T00:00:00Z")
        self.later(name + ".b", "--after", "1h")
        first = self.later(name + ".a", "--at", "+30m")
        rows = self.waiting(name + ".*")
        self.assertEqual([r["type"][-1] for r in rows], ["a", "b", "c"])
        self.assertEqual((rows[0]["number"], rows[2]["number"]), (first, last))
        self.assertEqual(rows[2]["due_ms"], 4070908800000)
        self.assertAlmostEqual(rows[0]["due_ms"], now_ms + 1800000,
                               delta=60000)
        self.assertEqual(rows[0]["source"], "/tidings")
        self.assertEqual(self.waiting(name + ".b"), rows[1:2])
        self.assertEqual(self.rows("schedule", "list", "--type", name + ".*",
                                   "--limit", "2"), rows[:2])
        table = self.check(DONE, "schedule", "list", "--type",
                           name + ".c").out.splitlines()
        self.assertRegex(table[0], "^number +due +type +bytes +source +id$")
        self.assertRegex(table[1], r"^ *%d +2099-01-01T00:00:00Z +%s\.c +\d+ "
                                   "+/tidings +%s$" % (last, name,
                                                       rows[2]["id"]))
        self.assertEqual(len(table), 2)
        self.assertEqual(self.stored(name), [])
        self.later(name + ".now", "--after", "1ms")
        self.soon(lambda: len(self.stored(name)) == 1)
        self.assertEqual(self.stored(name)[0]["data"], {"n": 1})

    def test_cancelled_events_are_not_published(self):
        name = self.stream()
        number = self.later(name + ".a", "--after", "1h")
        self.assertEqual(self.check(DONE, "schedule", "cancel",
                                    str(number)).out, "")
        number = self.later(name + ".a", "--after", "1h")
        done = self.check(DONE, "schedule", "cancel", str(number), "--json")
        self.assertEqual(json.loads(done.out), {"cancelled": number})
        done = self.check(USAGE, "schedule", "cancel", str(number))
        self.assertIn("published or cancelled, or never was", done.err)
        self.assertEqual(self.waiting(name + ".*"), [])
        self.check(USAGE, "schedule", "cancel", "x")
        self.check(USAGE, "schedule", "cancel", "0")
        self.check(USAGE, "schedule", "cancel")

    def test_events_expire(self):
        name = self.stream()
        sub = self.sub(name + ".*", "--json")
        now_s = time.time()
        self.check(DONE, "pub", name + ".a", "1", "--expires", "1h", "--attr",
                   "expirytime=2001-01-01T00:00:00Z", "--attr", "k=v")
        self.check(DONE, "pub", name + ".b", "--attr",
                   "expirytime=2001-01-01T00:00:00Z")
        self.check(DONE, "pub", name + ".c")
        a, c = self.events(sub, 2)
        self.assertEqual((a["type"], c["type"]), (name + ".a", name + ".c"))
        at_s = datetime.datetime.strptime(a["expirytime"] + "+0000",
                                          "%Y-%m-%dT%H:%M:%S.%fZ%z")
        self.assertAlmostEqual(at_s.timestamp(), now_s + 3600, delta=60)
        self.assertEqual(a["k"], "v")
        self.soon(lambda: len(self.stored(name)) == 2)
        self.check(FAILED, "pub", "a", "--attr", "expirytime=soon")
        self.check(USAGE, "pub", "a", "--expires", "0s")

    def test_many_are_told_together(self):
        name = self.stream()
        done = self.check(DONE, "pub", name + ".a", "1", "--count", "250",
                          "--after", "1h")
        first, last = [int(word) for word in done.out.split()[1::2]]
        self.assertEqual(last, first + 249)
        rows = self.waiting(name + ".*")
        self.assertEqual([r["number"] for r in rows],
                         list(range(first, last + 1)))
        done = self.check(DONE, "pub", name + ".a", "--json", "--after", "1h")
        self.assertEqual(json.loads(done.out)["scheduled"],
                         {"first": last + 1, "last": last + 1})

    def test_what_cannot_wait_is_refused(self):
        name = self.stream("--storage", "memory")
        done = self.check(USAGE, "pub", name + ".a", "--after", "1h")
        self.assertIn("1 event is not scheduled", done.err)
        self.assertEqual(done.out, "")
        for options in (["--at", "-5m"], ["--at", "soon"], ["--after", "5"],
                        ["--at", "+1h", "--after", "1h"],
                        ["--after", "1h", "--at", "+1h"]):
            self.check(USAGE, "pub", "a", *options)

    def test_killed_brokers_publish_once(self):
        name = self.stream()
        far = self.later(name + ".far", "--after", "1h")
        self.later(name + ".soon", "--at", "+1s")
        self.broker.signal(signal.SIGKILL)
        self.broker.ended()
        due_s = time.time() + 1
        while time.time() < due_s: # it is due while nobody is there
            time.sleep(due_s - time.time())
        cls = type(self)
        self.broker.end()
        for _ in range(2):
            cls.broker = cli.Broker("tcp://127.0.0.1:*", "--data",
                                    self.folder + "/data")
            self.soon(lambda: len(self.stored(name)) == 1)
            self.assertEqual([r["number"] for r in
                              self.waiting(name + ".*")], [far])
            self.broker.signal(signal.SIGKILL)
            self.broker.end()
        cls.broker = cli.Broker("tcp://127.0.0.1:*", "--data",
                                self.folder + "/data")


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_schedule"))
