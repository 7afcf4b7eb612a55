#!/usr/bin/env python3
"""`tidings bench` against a broker: small rounds, what it prints, what it
checks.

    TIDINGS_BIN=build/bin tests/system/test_cli_bench.py [-v] [TestCase.test_name]
"""
import json
import os
import pty
import re
import signal
import sys
import unittest

import cli
import test_cli_audit as audit
from cli import DONE, FAILED, NO_BROKER, TIMED_OUT, USAGE, until

PUBLISH, TAKEN, SUBSCRIBE = 3, 4, 5


class Bench(cli.WithBroker):
    def bench(self, *args):
        return json.loads(self.check(DONE, "bench", "--json", *args,
                                     timeout=4 * cli.WAIT_S).out)

    def test_each_round_delivers_all_to_each_subscriber(self):
        answer = self.bench("--publishers", "2", "--subscribers", "3",
                            "--count", "1001", "--types", "5", "--rounds", "2")
        self.assertEqual((answer["publishers"], answer["subscribers"],
                          answer["types"], answer["size"], answer["group"]),
                         (2, 3, 5, 128, ""))
        self.assertEqual(len(answer["rounds"]), 2)
        for r in answer["rounds"]:
            self.assertEqual((r["published"], r["delivered"], r["missed"],
                              r["lost"], r["again"]), (1001, 3003, 0, 0, 0))
            self.assertGreater(r["published_per_s"], 0)
            self.assertAlmostEqual(r["delivered_mb_per_s"] * 1e6,
                                   r["delivered_per_s"] * 128, delta=1)
            times = [r["latency"][name] for name in
                     ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")]
            self.assertGreater(times[0], 0)
            self.assertEqual(times, sorted(times))
        self.assertEqual(answer["all"]["published"], 2002)
        self.assertEqual(answer["all"]["delivered"], 6006)

    def test_a_group_shares_the_events(self):
        answer = self.bench("--subscribers", "3", "--group", "g", "--count",
                            "1000", "--rounds", "1")
        self.assertEqual(answer["all"]["delivered"], 1000)
        self.assertEqual(answer["all"]["lost"], 0)

    def test_what_is_dropped_is_told_not_lost(self):
        answer = self.bench("--policy", "drop_oldest", "--queue-events", "1",
                            "--duration", "0.5", "--rounds", "1")
        r = answer["all"]
        self.assertEqual(r["lost"], 0)
        self.assertEqual(r["published"], r["delivered"] + r["missed"])

    def test_rate_and_duration_are_kept(self):
        answer = self.bench("--rate", "500", "--duration", "1", "--rounds",
                            "1", "--publishers", "2")
        self.assertGreater(answer["all"]["published"], 300)
        self.assertLess(answer["all"]["published"], 520)

    def test_size_is_of_the_data(self):
        for size, said in (("48", 48), ("1K", 1024), ("100K", 102400)):
            answer = self.bench("--size", size, "--count", "10", "--rounds",
                                "1")
            self.assertEqual(answer["size"], said)

    def test_the_table_has_a_line_for_each_round(self):
        out = self.check(DONE, "bench", "--count", "100", "--rounds", "2",
                         "--policy", "block").out
        what, table = out.split("\n\n")
        self.assertRegex(what, r"^1 publisher, 1 subscriber, events of 128 "
                         r"bytes and 1 type, as fast as they go, at \S+$")
        head, first, second, both = table.splitlines()
        self.assertIn("p99.9", head)
        for name, line in (("1", first), ("2", second), ("all", both)):
            self.assertRegex(line, r"^ *%s +\d+ " % name)
            self.assertEqual(len(line), len(head))

    def test_a_terminal_gets_progress_and_a_histogram(self):
        try:
            leader, follower = pty.openpty()
        except OSError as error:
            self.skipTest("needs a pseudo terminal: %s" % error)
        self.addCleanup(os.close, leader)
        process = self.start("bench", "--rate", "1000", "--duration", "1.2",
                             "--rounds", "1", stdout=follower,
                             stderr=follower)
        os.close(follower)
        text = b""
        while True:
            try:
                got = os.read(leader, 65536)
            except OSError:
                break
            if not got:
                break
            text += got
        self.assertEqual(process.ended(), DONE)
        text = text.decode()
        self.assertRegex(text, r"\r\[#+ *\] +\d+ %  round 1  \d+ published, "
                         r"\d+ delivered")
        shares = [float(share) for share in
                  re.findall(r"[mu]s  #* +(\d+\.\d) %", text)]
        self.assertAlmostEqual(sum(shares), 100, delta=1)

    def test_a_signal_ends_it_with_what_there_is(self):
        bench = self.start("bench", "--rate", "1000", "--duration", "600")
        self.assertTrue(until(lambda: [
            row for row in json.loads(self.check(
                DONE, "stats", "--json", "--rows", "sessions").out)["sessions"]
            if row["name"] == "tidings-bench" and row["published"] > 100]))
        bench.signal(signal.SIGINT)
        self.assertEqual(bench.ended(), DONE, bench.all)
        self.assertRegex(bench.all["out"][-1], r"^ *1 +\d+ ")

    def test_a_broker_that_is_lost_ends_it(self):
        broker = cli.Broker()
        bench = self.start("bench", "--duration", "600", "--timeout", "0.5",
                           "--url", broker.url)
        try:
            self.assertTrue(until(lambda: json.loads(cli.run(
                "stats", "--json", "--url", broker.url).out)["published"]))
        finally:
            broker.end()
        self.assertIn(bench.ended(), (NO_BROKER, TIMED_OUT))
        self.assertIn("publisher 1: ", bench.all["err"][0])


class BenchOfAStream(cli.WithStreams):
    def test_durable_rounds_go_through_a_stream_of_their_own(self):
        for options, delivered, level in (
                (["--subscribers", "2"], 4000, "disk"),
                (["--subscribers", "2", "--group", "g", "--confirm", "os"],
                 2000, "os")):
            answer = json.loads(self.check(
                DONE, "bench", "--json", "--durable", "--count", "1000",
                "--rounds", "2", *options, timeout=4 * cli.WAIT_S).out)
            self.assertEqual(answer["confirm"], level)
            self.assertEqual((answer["all"]["published"],
                              answer["all"]["delivered"],
                              answer["all"]["lost"], answer["all"]["again"]),
                             (2000, delivered, 0, 0))
            self.assertEqual([row["name"] for row in
                              self.rows("stream", "list")], ["events"])

    def test_a_level_goes_with_durable(self):
        done = self.check(USAGE, "bench", "--confirm", "disk")
        self.assertIn("--durable", done.err)


class Forgetful(audit.FakeBroker):
    """Takes every event and delivers none."""

    def answer(self, op, fields):
        if op == SUBSCRIBE:
            return [audit.REPLY, fields[0], 0, "", None]
        if op == PUBLISH:
            _type, count, _bytes, first, _flags = fields[1][-1][3][-1]
            return [TAKEN, first + count - 1, 1 << 40, 1 << 40]
        return super().answer(op, fields)


@unittest.skipIf(audit.zmq is None, "needs python3-zmq and python3-msgpack")
class Lost(unittest.TestCase):
    def test_events_that_nobody_told_of_are_a_failure(self):
        broker = Forgetful(audit.HONEST)
        try:
            done = cli.run("bench", "--count", "100", "--subscribers", "2",
                           "--timeout", "0.5", "--json", "--url", broker.url)
        finally:
            broker.end()
        self.assertEqual(done.returncode, FAILED, (done.out, done.err))
        self.assertIn("200 of 200 events were lost, and nobody was told",
                      done.err)
        answer = json.loads(done.out)
        self.assertEqual(len(answer["rounds"]), 1)  # more would tell no more
        self.assertEqual((answer["all"]["published"], answer["all"]["lost"],
                          answer["all"]["latency"]), (100, 200, {}))


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_bench"))
