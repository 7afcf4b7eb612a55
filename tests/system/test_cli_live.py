#!/usr/bin/env python3
"""The `tidings` command on a busy bus: groups and policies, what was missed,
rows and rates, a publisher whose link is cut.

    TIDINGS_BIN=build/bin tests/system/test_cli_live.py [-v] [TestCase.test_name]
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import cli
from cli import (DONE, FAILED, NO_BROKER, TIMED_OUT, TIDINGS, USAGE, WAIT_S,
                      until)

QUEUE_EVENTS = 100  # small: to overflow it takes more than a window


class Groups(cli.WithBroker):
    def rows(self, kind):
        return json.loads(self.check(DONE, "stats", "--json", "--rows",
                                     kind).out)[kind]

    def test_each_event_goes_to_one_member(self):
        members = [self.sub("--group", "mailers", "--json", "--count", "4",
                            "shared.*") for _ in range(3)]
        alone = self.sub("--json", "--count", "12", "shared.*")
        self.check(DONE, "pub", "shared.a", "-", stdin=b"".join(
            b"%d\n" % n for n in range(12)))
        seen = []
        for member in members:
            seen += [event["data"] for event in self.events(member, 4)]
            self.assertEqual(member.ended(), DONE, member.all)
            self.assertIn("in group mailers", member.all["err"][0])
        self.assertEqual(sorted(seen), list(range(12)))
        self.assertEqual([event["data"] for event in self.events(alone, 12)],
                         list(range(12)))

    def test_events_of_one_key_go_to_one_member_in_order(self):
        members = [self.sub("--group", "keys", "--group-policy", "key",
                            "--json", "keyed") for _ in range(2)]
        for n in range(10):
            self.check(DONE, "pub", "keyed", str(n), "--key", "k1")
            got = until(lambda: sum(len(m.all["out"]) for m in members) > n)
            self.assertTrue(got, n)
        events = [[json.loads(line) for line in member.all["out"]]
                  for member in members]
        for of_one in events:
            data = [event["data"] for event in of_one]
            self.assertEqual(data, sorted(data))
            self.assertEqual({event["partitionkey"] for event in of_one}
                             or {"k1"}, {"k1"})

    def test_the_broker_knows_what_was_asked_for(self):
        self.sub("--group", "g1", "--group-policy", "least_pending",
                 "--policy", "drop_oldest", "--queue-events", "1000",
                 "--queue-bytes", "1M", "asked")
        group, = [row for row in self.rows("groups") if row["group"] == "g1"]
        self.assertEqual((group["pattern"], group["group_policy"],
                          group["policy"], group["members"]),
                         ("asked", "least_pending", "drop_oldest", 1))

    def test_a_member_with_other_policies_is_refused(self):
        self.sub("--group", "g2", "--policy", "drop_oldest", "same")
        for args in (["--policy", "drop_newest"],
                     ["--group-policy", "random"]):
            done = self.check(USAGE, "sub", "--group", "g2", *args, "same")
            self.assertIn("tidings: same: ", done.err)

    def test_what_the_broker_refuses_is_the_command_lines_fault(self):
        done = self.check(USAGE, "sub", "--queue-bytes", "1G", "much")
        self.assertIn("tidings: much: queue_bytes is more than", done.err)

    def test_an_event_of_two_patterns_is_printed_for_each_group(self):
        sub = self.sub("--group", "g3", "--json", "--count", "2", "two.*",
                       "two.a")
        self.check(DONE, "pub", "two.a", "{}")
        self.assertEqual(len(self.events(sub, 2)), 2)


class Missed(cli.WithBroker):
    """A subscriber that is stopped: its window fills, then its queue at the
    broker."""

    def overflow(self, policy, reason):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        sub = self.start("sub", "--policy", policy, "--queue-events",
                         str(QUEUE_EVENTS), "gap.*", stdout=write_end)
        os.close(write_end)
        sub.until("subscribed", "err")
        sub.signal(signal.SIGSTOP)
        try:
            self.check(DONE, "pub", "gap." + policy, '"%s"' % ("x" * 100),
                       "--count", "60000", "--timeout", "30",
                       timeout=4 * WAIT_S)
        finally:
            sub.signal(signal.SIGCONT)
        # the pipe is read, so that it comes to print, and to the gap
        self.assertRegex(self.next_gap(sub, read_end),
                         r"^tidings: missed \d+ events?: %s$" % reason)

    def next_gap(self, sub, read_end):
        os.set_blocking(read_end, False)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                os.read(read_end, 1 << 20)
            except BlockingIOError:
                pass
            for line in sub.all["err"]:
                if "missed" in line:
                    return line
        raise AssertionError("no gap was told: %r" % sub.all)

    def test_what_was_dropped_is_told_with_its_reason(self):
        for policy, reason in (("drop_oldest", "oldest"),
                               ("drop_newest", "newest")):
            self.overflow(policy, reason)


class Rows(cli.WithBroker):
    def test_each_kind_of_rows_is_a_table_and_json(self):
        self.sub("--group", "crew", "rows.*")
        sub = self.sub("rows.*")
        self.check(DONE, "pub", "rows.a", "{}", "--count", "7")
        for _ in range(7):
            sub.line()
        self.check(DONE, "stream", "add", "kept", "--pattern", "kept.>",
                   "--storage", "memory")
        self.check(DONE, "group", "add", "kept", "workers")
        rows = [
            ("subscriptions", "pattern", "rows.*", ["session", "pending"]),
            ("groups", "group", "crew", ["members", "group_policy"]),
            ("types", "type", "rows.a", ["published", "routed", "bytes"]),
            ("sessions", "name", "tidings-sub", ["queued_bytes",
                                                 "blocked_ms"]),
            ("streams", "stream", "kept", ["events", "last"]),
            ("consumers", "group", "workers", ["state", "lag"]),
        ]
        for kind, key, value, columns in rows:
            answer = json.loads(self.check(DONE, "stats", "--rows", kind,
                                           "--json").out)
            found = [row for row in answer[kind] if row[key] == value]
            self.assertTrue(found, answer)
            self.assertEqual(answer[kind + "_total"], len(answer[kind]))
            head, *lines = self.check(DONE, "stats", "--rows", kind).out.split(
                "\n\n")[1].splitlines()
            for column in [key, *columns]:
                self.assertIn(column, head.split())
            self.assertEqual(len(lines), len(answer[kind]))
            for line in lines:
                self.assertEqual(len(line.split()), len(head.split()), line)

    def test_all_pages_of_rows_are_shown(self):
        self.check(DONE, "pub", "--event", "-", stdin=b"".join(
            b'{"type":"page.t%d"}\n' % n for n in range(600)))
        answer = json.loads(self.check(DONE, "stats", "--rows", "types",
                                       "--json").out)
        names = [row["type"] for row in answer["types"]]
        self.assertEqual(len(set(names)), len(names))
        self.assertLessEqual({"page.t%d" % n for n in range(600)}, set(names))
        out = self.check(DONE, "stats", "--rows", "types").out
        self.assertEqual(len(re.findall(r"(?m)^page\.t\d+ ", out)), 600)

    def test_watching_shows_rates(self):
        self.start("pub", "rate.a", "{}", "--rate", "1000", "--count",
                   "1000000")
        watch = self.start("stats", "--rows", "types", "--watch", "0.2",
                           "--json")
        first = json.loads(watch.line())
        self.assertEqual(first["rates"], {})
        rates = until(lambda: [rate for rate in [json.loads(watch.line())[
            "rates"]["published"]] if 500 < rate < 1500])
        self.assertTrue(rates)
        watch.signal(signal.SIGINT)
        self.assertEqual(watch.ended(), DONE)

    def test_watching_prints_a_table_for_each_look(self):
        watch = self.start("stats", "--watch=0.1")
        for _ in range(3):
            watch.until("counter ")
            line = watch.until("published ")
            self.assertRegex(line, r"^published +\d+ +\S+$")
            watch.until("session ")
        for _ in range(2):  # the first look has nothing to compare with
            line = watch.until("dropped.slow ")
        self.assertRegex(line, r"^dropped\.slow +\d+ +\d\S*$")
        watch.signal(signal.SIGTERM)
        self.assertEqual(watch.ended(), DONE)

    def test_watching_outlives_the_broker(self):
        with tempfile.TemporaryDirectory() as folder:
            url = "ipc://%s/bus" % folder
            broker = cli.Broker(url)
            watch = self.start("stats", "--watch", "0.1", "--json", "--url",
                               url)
            try:
                epoch = json.loads(watch.line())["epoch"]
                broker.end()
                watch.until("no answer, trying again", "err")
                broker = cli.Broker(url)
                watch.until("answers again", "err")
                answer = until(lambda: [a for a in [json.loads(watch.line())]
                                        if a["epoch"] != epoch])
                self.assertEqual(answer[0]["rates"], {})
            finally:
                watch.end()
                broker.end()


class LinkLost(unittest.TestCase):
    @staticmethod
    def ticks(process):
        """Of the processor, that it has used."""
        with open("/proc/%d/stat" % process.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def test_pub_says_that_it_was_cut_off_and_what_it_sent_again(self):
        with tempfile.TemporaryDirectory() as folder:
            url = "ipc://%s/bus" % folder
            broker = cli.Broker(url)
            pub = cli.Process(TIDINGS, "pub", "again", "{}", "--url", url,
                              "--timeout", "10", "--count", "1000000000")
            try:
                self.assertTrue(until(lambda: self.published(url) > 10000))
                # what is sent while the broker stands still is on its way
                broker.signal(signal.SIGSTOP)
                before = self.ticks(pub)
                self.assertTrue(until(lambda: self.ticks(pub) > before + 1))
                broker.signal(signal.SIGKILL)
                pub.until("link lost, trying again", "err")
                broker.end()
                broker = cli.Broker(url)
                pub.until("connected again", "err")
                pub.until("another broker than before", "err")
                pub.signal(signal.SIGINT)
                self.assertEqual(pub.ended(), FAILED, pub.all)
                self.assertRegex("\n".join(pub.all["err"]),
                                 r"tidings: \d+ events? (was|were) sent again")
            finally:
                pub.end()
                broker.end()

    def test_pub_whose_broker_does_not_come_back_says_how_far_it_came(self):
        broker = cli.Broker()
        pub = cli.Process(TIDINGS, "pub", "lost", "{}", "--url", broker.url,
                          "--timeout", "0.5", "--count", "1000000000")
        try:
            self.assertTrue(until(lambda: self.published(broker.url) > 10000))
            broker.signal(signal.SIGKILL)
            self.assertEqual(pub.ended(), NO_BROKER, pub.all)
            said = "\n".join(pub.all["err"])
            self.assertRegex(said, r"the broker was lost: \d+ of \d+ events "
                                   r"were taken")
            self.assertIn("no broker answers at " + broker.url, said)
            self.assertRegex(said, r"\d+ of \d+ events not taken by the "
                                   r"broker in time")
        finally:
            pub.end()
            broker.end()

    def test_pub_into_a_broker_that_takes_nothing_gives_up(self):
        broker = cli.Broker()
        pub = cli.Process(TIDINGS, "pub", "stuck", "{}", "--url", broker.url,
                          "--timeout", "0.5", "--count", "1000000000")
        try:
            self.assertTrue(until(lambda: self.published(broker.url) > 10000))
            broker.signal(signal.SIGSTOP)
            self.assertEqual(pub.ended(), TIMED_OUT, pub.all)
            said = "\n".join(pub.all["err"])
            self.assertRegex(said, r"the broker takes no more: \d+ events "
                                   r"published")
            self.assertIn("tidings stats shows who is slow", said)
        finally:
            broker.signal(signal.SIGCONT)
            pub.end()
            broker.end()

    @staticmethod
    def published(url):
        return json.loads(cli.run("stats", "--json", "--url", url).out)[
            "published"]


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_live"))
