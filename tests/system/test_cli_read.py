#!/usr/bin/env python3
"""`tidings tail` and `replay`, and `pub` and `sub` with streams.

    TIDINGS_BIN=build/bin tests/system/test_cli_read.py [-v] [TestCase.test_name]
"""
import json
import os
import signal
import sys
import tempfile
import time
from datetime import datetime, timezone

import cli
from cli import (DONE, FAILED, OBEYED, USAGE, WAIT_S, Broker, WithStreams,
                 environment, run)


class Reading(WithStreams):
    def publish(self, name, count=1, *options, data="1"):
        self.check(DONE, "pub", name + ".a", data, "--count", str(count),
                   "--confirm", "disk", *options)

    def lines(self, *args):
        return self.check(DONE, *args).out.splitlines()

    def sequences(self, *args):
        return [int(line.split("\t")[0]) for line in self.lines(*args)]

    def test_tail_prints_what_is_kept_behind_its_sequence(self):
        name = self.stream()
        self.assertEqual(self.lines("tail", name), [])
        self.check(DONE, "pub", name + ".a", '{"b": [1, 2]}', "-a", "id=i1",
                   "-a", "source=/s", "-a", "time=2024-02-29T12:00:00Z",
                   "--confirm", "disk")
        self.assertEqual(self.lines("tail", name),
                         ["1\t2024-02-29T12:00:00.000000Z\t%s.a\ti1\t/s\t"
                          '{"b":[1,2]}' % name])
        self.publish(name, 9)
        self.assertEqual(self.sequences("tail", name), list(range(1, 11)))
        self.assertEqual(self.sequences("tail", name, "--start", "8"),
                         [8, 9, 10])
        self.assertEqual(self.sequences("tail", name, "--count", "2"), [1, 2])
        for start in ("new", "11", "+1h"):
            self.assertEqual(self.lines("tail", name, "--start", start), [])
        self.assertEqual(self.sequences("tail", name, "--start", "-1h"),
                         list(range(1, 11)))

    def test_tail_json_says_the_sequence_as_an_attribute(self):
        name = self.stream()
        self.publish(name, 2, "-a", "streamsequence=own", "-a", "x=y")
        events = self.rows("tail", name)
        self.assertEqual([e["streamsequence"] for e in events], ["1", "2"])
        self.assertEqual({e["x"] for e in events}, {"y"})

    def test_tail_follows_and_ends_by_a_signal(self):
        name = self.stream()
        self.publish(name, 3)
        tail = self.start("tail", name, "--follow", "--start", "2")
        for sequence in (2, 3):
            self.assertTrue(tail.line().startswith("%d\t" % sequence))
        self.publish(name)
        self.assertTrue(tail.line().startswith("4\t"))
        tail.signal(signal.SIGINT)
        self.assertEqual(tail.ended(), DONE)
        self.assertEqual(tail.all["err"], [])

    def test_what_has_an_end_does_not_wait_for_a_broker_that_is_gone(self):
        """One that is back in time is waited for."""
        with tempfile.TemporaryDirectory() as folder:
            data = os.path.join(folder, "data")
            broker = Broker("tcp://127.0.0.1:*", "--data", data)
            url = broker.url
            env = environment(TIDINGS_URL=url)
            # more than is sent ahead
            self.check(DONE, "pub", "a.b", json.dumps("x" * 10000), "--count",
                       "900", "--confirm", "os", env=env)
            reading = [self.start(*args, "--timeout", timeout, env=env)
                       for timeout in ("1", str(WAIT_S))
                       for args in (("replay", "events", "--rate", "600"),)]
            for process in reading:
                process.line()
            broker.signal(signal.SIGKILL)
            broker.ended()
            self.assertNotEqual(reading[0].ended(), DONE)
            self.assertTrue(reading[0].all["err"])
            broker = Broker(url, "--data", data)
            try:
                self.assertEqual(reading[1].ended(), DONE)
                self.assertEqual(len(reading[1].all["out"]), 900)
            finally:
                broker.end()

    def test_a_pattern_chooses_and_the_end_is_still_found(self):
        name = self.stream()
        for kind in "abab":
            self.check(DONE, "pub", "%s.%s" % (name, kind), "1", "--confirm",
                       "disk")
        self.assertEqual(self.sequences("tail", name, "-p", name + ".a"),
                         [1, 3])
        self.assertEqual(self.lines("tail", name, "-p", "none.>"), [])
        tail = self.start("tail", name, "-f", "-p", name + ".b", "--start",
                          "all")
        for sequence in (2, 4):
            self.assertTrue(tail.line().startswith("%d\t" % sequence))

    def test_tail_begins_behind_what_was_deleted(self):
        name = self.stream()
        self.publish(name, 10)
        self.check(DONE, "stream", "purge", name, "--before", "6", "--yes")
        self.assertEqual(self.sequences("tail", name, "--start", "all"),
                         list(range(6, 11)))
        self.check(DONE, "stream", "purge", name, "--yes")
        self.assertEqual(self.lines("tail", name, "--start", "1"), [])

    def test_replay_prints_cloudevents_from_one_place_to_another(self):
        name = self.stream()
        self.publish(name, 5)
        events = [json.loads(l) for l in self.lines("replay", name)]
        self.assertEqual(len(events), 5)
        self.assertEqual(len({e["id"] for e in events}), 5)
        self.assertNotIn("streamsequence", events[0])
        for args, part in ((["--start", "2", "--until", "4"], events[1:4]),
                           (["--start", "3"], events[2:]),
                           (["--until", "99"], events),
                           (["--start", "4", "--until", "3"], []),
                           (["--count", "2"], events[:2])):
            self.assertEqual([json.loads(l) for l in
                              self.lines("replay", name, *args)], part, args)

    @staticmethod
    def another_millisecond():
        """The first one, in ISO 8601, that begins after this call: stored
        times are whole milliseconds."""
        def text():
            return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        before = text()
        return cli.until(lambda: next((t for t in [text()] if t > before),
                                      None))

    def test_replay_ends_before_a_time(self):
        name = self.stream()
        self.publish(name, 3)
        now = self.another_millisecond()
        self.another_millisecond()
        self.publish(name, 4)
        self.assertEqual(len(self.lines("replay", name, "--until", now)), 3)
        self.assertEqual(len(self.lines("replay", name, "--start", now)), 4)
        self.assertEqual(len(self.lines("replay", name, "--until", "+1h")), 7)
        self.assertEqual(self.lines("replay", name, "--until", "-1h"), [])

    def test_replay_keeps_a_rate_or_the_pace_of_the_events(self):
        name = self.stream()
        for second in ("00", "00.200", "00.400"):
            self.publish(name, 1, "-a",
                         "time=2024-02-29T12:00:%sZ" % second)
        for options in (["--rate", "5"], ["--original-pace"]):
            began = time.monotonic()
            self.assertEqual(len(self.lines("replay", name, *options)), 3)
            self.assertGreaterEqual(time.monotonic() - began, 0.4, options)
            self.assertLess(time.monotonic() - began, WAIT_S, options)

    def test_a_paced_replay_prints_at_once_and_heeds_signals(self):
        name = self.stream()
        self.publish(name, 3)
        replay = self.start("replay", name, "--rate", "0.001")
        self.assertIn(name, replay.line())
        replay.signal(signal.SIGTERM)
        self.assertEqual(replay.ended(), FAILED)
        self.assertIn("interrupted after 1 event", replay.all["err"][-1])

    def test_a_replay_can_be_published_elsewhere(self):
        name = self.stream()
        self.publish(name, 100)
        lines = self.check(DONE, "replay", name).out
        other = Broker("tcp://127.0.0.1:*", "--data",
                       os.path.join(self.folder, "other"))
        self.addCleanup(other.end)
        env = environment(TIDINGS_URL=other.url)
        done = run("pub", "--event", "--confirm", "disk",
                   stdin=lines.encode(), env=env)
        self.assertEqual(done.out, "confirmed 100 of 100 events: disk, stream "
                                   "events, sequences 1 to 100\n")
        self.assertEqual(run("replay", "events", env=env).out, lines)

    def test_a_reader_that_went_away_ends_it_quietly(self):
        name = self.stream()
        self.publish(name, 100)
        for command in ("tail", "replay"):
            read_end, write_end = os.pipe()
            os.close(read_end)
            process = self.start(command, name, stdout=write_end)
            os.close(write_end)
            self.assertEqual(process.ended(), DONE)
            self.assertEqual(process.all["err"], [])

    def test_a_stream_deleted_meanwhile_ends_its_reader(self):
        name = self.stream()
        tail = self.start("tail", name, "--follow", "--start", "all")
        self.publish(name)
        tail.line()
        self.check(DONE, "stream", "delete", name, "--yes")
        self.assertEqual(tail.ended(), FAILED)
        self.assertIn("stream", tail.all["err"][-1])
        self.assertIn("was deleted", tail.all["err"][-1])

    def test_what_it_prints_is_fit_for_a_terminal(self):
        name = self.stream()
        self.publish(name, 1, "-a", "datacontenttype=text/plain",
                     data="\x1b[31mred\x07\x9b2J")
        for args in (["tail", name], ["replay", name]):
            out = self.check(DONE, *args).out
            self.assertIsNone(OBEYED.search(out), repr(out))

    # ---- sub ----

    def test_a_subscriber_reads_a_stream_from_its_start(self):
        name = self.stream()
        self.publish(name, 3)
        sub = self.sub("--stream", name, "--start", "2", "--json", ">")
        self.assertIn(" of stream " + name, sub.all["err"][0])
        self.publish(name)
        self.assertEqual(len(self.events(sub, 3)), 3)

    def test_a_member_settles_what_it_has_printed_and_no_more(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g")
        self.publish(name, 10)
        seen = []
        for count in (3, 7):
            sub = self.sub("--stream", name, "--group", "g", "--json",
                           "--count", str(count), ">")
            seen += [e["id"] for e in self.events(sub, count)]
            self.assertEqual(sub.ended(), DONE)
            self.assertIsNone(sub.line())
        self.assertEqual(len(set(seen)), 10)
        self.assertEqual(self.soon(
            lambda: self.group_row(name, "g"))["acked"], 10)
        self.assertEqual(self.group_row(name, "g")["dead"], 0)

    def test_a_subscriber_ends_with_its_group_or_stream(self):
        name = self.stream()
        self.publish(name)
        subs = [self.sub("--stream", name, "--group", "g", ">"),
                self.sub("--stream", name, "--group", "g", "--count", "9",
                         ">"),
                self.sub("--stream", name, "--group", "stays", ">"),
                self.sub("--stream", name, "--start", "all", ">")]
        subs[3].line()
        self.check(DONE, "group", "delete", name, "g", "--yes")
        for sub in subs[:2]:
            self.assertEqual(sub.ended(), FAILED)
            self.assertIn("its group was deleted", sub.all["err"][-1])
        self.check(DONE, "stream", "delete", name, "--yes")
        for sub, what in ((subs[2], "group"), (subs[3], "stream")):
            self.assertEqual(sub.ended(), FAILED)
            self.assertEqual(sub.all["err"][1:], [
                "tidings: the broker ended a subscription: its %s was deleted"
                % what])

    # ---- pub ----

    def test_publishing_says_what_was_confirmed(self):
        name = self.stream()
        for level in ("os", "disk"):
            first = self.rows("stream", "show", name)[0]["last"] + 1
            out = self.check(DONE, "pub", name + ".a", "1", "--count", "7",
                             "--confirm", level).out
            self.assertEqual(out, "confirmed 7 of 7 events: %s, stream %s, "
                                  "sequences %d to %d\n" %
                             (level, name, first, first + 6))
        out = self.check(DONE, "pub", name + ".a", "1", "--count", "7",
                         "--confirm", "memory").out
        self.assertRegex(out, "^confirmed 7 of 7 events: memory")
        row = self.rows("pub", name + ".a", "1", "--confirm", "disk")[0]
        self.assertEqual(row, {"published": 1, "taken": 1, "confirm": "disk",
                               "confirmed": 1, "unstored": 0,
                               "duplicates": 0, "level": "disk",
                               "stream": name, "first": 22, "last": 22})
        self.assertEqual(self.check(DONE, "pub", name + ".a", "1").out, "")

    def test_what_was_not_stored_is_said_with_its_reason(self):
        name = self.stream("--max-events", "2", "--on-full", "reject")
        for _ in range(2):
            self.check(DONE, "pub", name + ".a", "1", "--confirm", "disk")
        done = self.check(FAILED, "pub", name + ".a", "1", "--confirm", "disk")
        self.assertEqual(done.out, "confirmed 0 of 1 event: disk\n")
        self.assertRegex(done.err, r"^tidings: 1 event is not stored: .*full")
        # a broker that keeps nothing refuses it as it stands
        other = Broker()
        self.addCleanup(other.end)
        done = run("pub", "a", "1", "--confirm", "os",
                   env=environment(TIDINGS_URL=other.url))
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("1 event is not stored: ", done.err)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_read"))
