#!/usr/bin/env python3
"""`tidings ping` and `stats`, and a broker that comes and goes.

    TIDINGS_BIN=build/bin tests/system/test_cli_ask.py [-v] [TestCase.test_name]
"""
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import cli
from cli import (DONE, TIDINGS, TIMED_OUT, WAIT_S, Broker, Process,
                 WithBroker, environment, run, until)


class Asking(WithBroker):
    def test_ping_prints_each_round_trip_and_a_summary(self):
        out = self.check(DONE, "ping", "--count", "3", "--interval",
                         "0.01").out.splitlines()
        self.assertEqual(len(out), 4)
        for n, line in enumerate(out[:3], 1):
            self.assertRegex(line, r"^%d: \d+\.\d{3} ms$" % n)
        least, mean, most = map(float, re.search(
            r"least (\S+), mean (\S+), most (\S+) ms$", out[3]).groups())
        self.assertTrue(0 < least <= mean <= most, out[3])
        self.assertIn("3 sent, 3 answered", out[3])
        self.assertIn(self.broker.url, out[3])

    def test_ping_ended_by_a_signal_still_sums_up(self):
        ping = self.start("ping", "--count", "1000000")
        ping.line()
        ping.signal(signal.SIGINT)
        self.assertEqual(ping.ended(), DONE)
        self.assertIn(" sent, ", ping.all["out"][-1])

    def test_ping_of_a_stopped_broker_times_out(self):
        broker = Broker()
        self.addCleanup(broker.end)
        ping = self.start("ping", "--count", "2", "--timeout", "0.3",
                          "--interval", "1", "--url", broker.url)
        ping.line()
        broker.signal(signal.SIGSTOP)
        try:
            self.assertEqual(ping.ended(), TIMED_OUT)
        finally:
            broker.signal(signal.SIGCONT)
        self.assertIn("2 sent, 1 answered", ping.all["out"][-1])

    def test_stats_is_a_table_of_the_counters(self):
        sub = self.sub("stats.*")
        self.check(DONE, "pub", "stats.a", "{}", "--count", "7")
        for _ in range(7):
            sub.line()
        counters = json.loads(self.check(DONE, "stats", "--json").out)
        out = self.check(DONE, "stats").out
        self.assertGreaterEqual(counters["published"], 7)
        self.assertEqual(counters["published"], counters["duplicates"] +
                         counters["routed"] + counters["unmatched"])
        for name in ("published", "routed", "unmatched", "sessions",
                     "dropped.slow"):
            self.assertRegex(out, r"(?m)^%s +\d+$" % re.escape(name))
        self.assertRegex(out, r"(?m)^published +%d$" % counters["published"])
        ends = {len(line) for line in out.split("\n\n")[0].splitlines()}
        self.assertEqual(len(ends), 1, out)  # numbers end in one column

        head, row = [line.split() for line in
                     out.split("\n\n")[1].splitlines()]
        row = dict(zip(head, row))
        self.assertEqual(row["name"], "tidings-sub")
        self.assertEqual(row["pattern"], "stats.*")
        self.assertEqual(row["matched"], "7")


class BrokerComesAndGoes(unittest.TestCase):
    def test_sub_says_so_and_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            url = "ipc://%s/bus" % folder
            broker = Broker(url)
            env = environment(TIDINGS_URL=url)
            sub = Process(TIDINGS, "sub", "--count", "1", "back", env=env)
            try:
                sub.until("subscribed", "err")
                broker.signal(signal.SIGKILL)
                sub.until("link lost", "err")
                broker.end()
                broker = Broker(url)
                sub.until("connected again", "err")
                # the subscription is renewed: published until it arrives
                deadline = time.monotonic() + WAIT_S
                while (sub.process.poll() is None and
                       time.monotonic() < deadline):
                    self.assertEqual(run("pub", "back", "{}",
                                         env=env).returncode, DONE)
                self.assertEqual(sub.ended(), DONE)
            finally:
                sub.end()
                broker.end()

    def test_pub_waits_for_a_broker_that_is_just_starting(self):
        with tempfile.TemporaryDirectory() as folder:
            url = "ipc://%s/bus" % folder
            pub = Process(TIDINGS, "pub", "early", "{}", "--timeout", "10",
                          "--url", url)
            broker = Broker(url)
            try:
                self.assertEqual(pub.ended(), DONE, pub.all)
            finally:
                pub.end()
                broker.end()

    def test_pub_that_is_not_taken_times_out(self):
        broker = Broker()
        sub = Process(TIDINGS, "sub", "stuck", "--url", broker.url)
        pub = None
        try:
            sub.until("subscribed", "err")
            pub = Process(TIDINGS, "pub", "stuck", "-", "--timeout", "0.5",
                          "--url", broker.url, stdin=subprocess.PIPE)
            pub.process.stdin.write(b"1\n")
            pub.process.stdin.flush()
            sub.line()
            broker.signal(signal.SIGSTOP)
            pub.process.stdin.write(b"2\n")
            pub.process.stdin.close()
            self.assertEqual(pub.ended(), TIMED_OUT)
            # The broker may not have told that it took the first.
            self.assertRegex(pub.all["err"][-2],
                             "[12] of 2 events not taken")
        finally:
            broker.signal(signal.SIGCONT)
            for process in (pub, sub, broker):
                if process:
                    process.end()


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_ask"))
