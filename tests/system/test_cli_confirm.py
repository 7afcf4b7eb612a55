#!/usr/bin/env python3
"""What `tidings pub` says of events that are confirmed: `--confirm`,
`--producer`, and the conditions `--expect` and `--expect-key`.

    TIDINGS_BIN=build/bin tests/system/test_cli_confirm.py [-v] [TestCase.test_name]
"""
import json
import sys

import cli
from cli import DONE, FAILED, USAGE, WithStreams


class Confirms(WithStreams):
    def pub(self, code, *args, **options):
        return self.check(code, "pub", *args, **options)

    def said(self, *args, **options):
        """The one line of a publish that was confirmed."""
        done = self.pub(DONE, *args, **options)
        self.assertEqual(done.err, "")
        self.assertEqual(done.out.count("\n"), 1)
        return done.out[:-1]

    def test_what_is_expected_is_stored(self):
        name = self.stream()
        for last in range(3):
            self.assertEqual(
                self.said(name + ".a", "1", "--expect", str(last)),
                "confirmed 1 of 1 event: disk, stream %s, sequence %d" %
                (name, last + 1))
        self.assertEqual(
            self.said(name + ".a", "1", "--expect", "3", "--confirm", "os"),
            "confirmed 1 of 1 event: os, stream %s, sequence 4" % name)

    def test_a_conflict_names_the_actual_sequence(self):
        name = self.stream()
        self.pub(DONE, name + ".a", "1", "--count", "7", "--confirm", "disk")
        for expected in ("0", "6", "8", "9223372036854775806"):
            done = self.pub(FAILED, name + ".a", "1", "--expect", expected)
            self.assertEqual(done.out, "confirmed 0 of 1 event: disk\n")
            self.assertEqual(done.err, "tidings: 1 event is not stored: the "
                                       "last sequence of the stream is 7\n")
        self.assertEqual(self.rows("stream", "show", name)[0]["last"], 7)
        done = self.pub(FAILED, name + ".a", "1", "--expect", "3", "--json")
        row = json.loads(done.out)
        self.assertEqual((row["confirmed"], row["unstored"]), (0, 1))

    def test_each_key_has_a_sequence_to_expect(self):
        name = self.stream("--keyed")
        last = {"a": 0, "b": 0}
        for sequence, key in enumerate("aabab", 1):
            self.assertEqual(
                self.said(name + ".x", "1", "--key", key, "--expect-key",
                          str(last[key])),
                "confirmed 1 of 1 event: disk, stream %s, sequence %d" %
                (name, sequence))
            last[key] = sequence
        for key, expected in (("a", "3"), ("a", "5"), ("a", "0")):
            done = self.pub(FAILED, name + ".x", "1", "--key", key,
                            "--expect-key", expected)
            self.assertEqual(done.err, "tidings: 1 event is not stored: the "
                                       "last sequence of the key is 4\n")
        done = self.pub(FAILED, name + ".x", "1", "--key", "c",
                        "--expect-key", "4")
        self.assertIn("the last sequence of the key is 0\n", done.err)
        self.assertEqual(self.rows("stream", "show", name)[0]["last"], 5)

    def test_what_cannot_be_expected_is_refused(self):
        name = self.stream()
        for args in (["--key", "k", "--expect-key", "0"],
                     ["--expect-key", "0"]):
            done = self.pub(USAGE, name + ".a", "1", *args)
            self.assertIn("--keyed", done.err)
        for args in (["--expect", "-1"], ["--expect", "x"],
                     ["--expect", "1", "--count", "2"],
                     ["--expect", "1", "--after", "1h"],
                     ["--expect-key", "1", "--at", "+1h"]):
            self.assertEqual(self.pub(USAGE, name + ".a", "1", *args).out, "")
        self.pub(USAGE, name + ".a", "-", "--expect", "1", stdin=b"1\n")
        self.assertEqual(self.rows("stream", "show", name)[0]["events"], 0)

    def test_duplicates_are_told(self):
        name = self.stream()
        lines = b"1\n2\n3\n"
        as_outbox = [name + ".a", "-", "--producer", name, "--sequence", "1"]
        self.assertEqual(
            self.said(*as_outbox, stdin=lines),
            "confirmed 3 of 3 events: disk, stream %s, sequences 1 to 3" %
            name)
        self.assertRegex(self.said(*as_outbox, stdin=lines),
                         "^confirmed 3 of 3 events: disk.*, 3 duplicates$")
        self.assertRegex(self.said(*as_outbox, stdin=lines + b"4\n"),
                         "^confirmed 4 of 4 events: disk, .*, 3 duplicates$")
        by_id = [name + ".a", "1", "--attr", "id=i", "--confirm", "disk"]
        self.assertEqual(
            self.said(*by_id),
            "confirmed 1 of 1 event: disk, stream %s, sequence 5" % name)
        self.assertEqual(
            self.said(*by_id), "confirmed 1 of 1 event: disk, stream %s, "
                               "sequence 5, 1 duplicate" % name)
        row = self.rows("pub", *by_id)[0]
        self.assertEqual((row["duplicates"], row["first"], row["stream"]),
                         (1, 5, name))
        later = [name + ".b", "1", "--producer", name, "--sequence", "9",
                 "--after", "1h"]
        self.assertRegex(self.said(*later), r"^scheduled \d+$")
        self.assertEqual(self.said(*later), "1 event was scheduled before")

    def test_several_streams_are_told(self):
        name = self.stream()
        self.check(DONE, "stream", "add", name + "2", "--pattern",
                   name + "2.>", "--storage", "memory")
        events = "".join(json.dumps({"specversion": "1.0", "type": type_}) +
                         "\n" for type_ in (name + ".a", name + "2.a"))
        self.assertEqual(
            self.said("--event", "--confirm", "disk", stdin=events.encode()),
            "confirmed 2 of 2 events: memory, in several streams")

    def test_some_are_stored_and_some_are_not(self):
        name = self.stream("--max-events", "2", "--on-full", "reject")
        done = self.pub(FAILED, name + ".a", "-", "--confirm", "disk",
                        stdin=b"1\n2\n3\n4\n5\n")
        self.assertRegex(done.out, r"^confirmed \d of 5 events: disk, stream ")
        stored = int(done.out.split()[1])
        told = done.err.splitlines()
        self.assertEqual(told[0], "tidings: 1 event is not stored: stream %s "
                         "is full" % name)
        self.assertIn("`tidings stream show %s`" % name, told[1])
        self.assertRegex(self.check(DONE, "stream", "show", name).out,
                         r"(?m)^state +full$")
        self.assertEqual(told[2:], ["tidings: %d events are not stored" %
                                    (5 - stored)][:stored < 4])


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_confirm"))
