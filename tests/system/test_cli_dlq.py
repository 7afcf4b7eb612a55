#!/usr/bin/env python3
"""`tidings dlq`: dead letters are listed, shown, redriven and purged.

    TIDINGS_BIN=build/bin tests/system/test_cli_dlq.py [-v] [TestCase.test_name]
"""
import json
import sys
import time

import cli
from cli import DONE, TIMED_OUT, USAGE, WithStreams


class DeadLetters(WithStreams):
    def letters(self, stream, *options):
        return self.rows("dlq", "list", stream, "g", *options)

    def test_dead_letters_are_listed_and_looking_changes_nothing(self):
        name = self.stream()
        self.dead_letters(name, "g", 3)
        for _ in range(2):
            rows = self.letters(name)
            self.assertEqual([r["number"] for r in rows], [1, 2, 3])
            self.assertEqual([r["sequence"] for r in rows], [1, 2, 3])
        for row in rows:
            self.assertEqual((row["type"], row["reason"], row["deliveries"],
                              row["redriven"], row["stream"],
                              row["handler"]),
                             (name + ".dead", "max_deliver", 1, False, name,
                              "tidings-sub"))
            self.assertLessEqual(row["first_ms"], row["last_ms"])
        table = self.check(DONE, "dlq", "list", name, "g").out.splitlines()
        self.assertEqual(len(table), 4)
        self.assertRegex(table[0], r"^number +sequence +type +reason ")
        self.assertRegex(table[1], r"^ +1 +1 +%s\.dead +max_deliver +1 "
                                   r"+tidings-sub +\d{4}-\S+Z +no +\S" % name)
        self.assertEqual(len(self.letters(name, "--limit", "2")), 2)
        self.assertEqual(self.letters(name, "--first", "3"), rows[2:])
        self.assertIn("3 dead: tidings dlq list %s g" % name,
                      self.check(DONE, "group", "show", name, "g").out)

    def test_a_dead_letter_is_shown_with_its_event(self):
        name = self.stream()
        self.dead_letters(name, "g", 2)
        out = self.check(DONE, "dlq", "show", name, "g", "2").out
        for line in ("number +2", "sequence +2", r"type +%s\.dead" % name,
                     "reason +max_deliver", "deliveries +1", "subject +s",
                     "partitionkey +k", "source +/tidings", "redriven +no",
                     "stream +" + name, "handler +tidings-sub", r"error +\S.*",
                     r"first +\d{4}-\S+Z", r"last +\d{4}-\S+Z"):
            self.assertRegex(out, "(?m)^%s$" % line)
        self.assertTrue(out.endswith('\n\n{"n":1}\n'), out)
        row = self.rows("dlq", "show", name, "g", "2")[0]
        stored = json.loads(self.check(DONE, "replay", name, "--start",
                                       "2").out)
        self.assertEqual(row["event"], stored)
        self.assertEqual(row["number"], 2)
        done = self.check(USAGE, "dlq", "show", name, "g", "3")
        self.assertIn("there is none of this number", done.err)
        self.assertEqual(done.out, "")

    def test_redriven_letters_reach_the_group_once_more(self):
        name = self.stream()
        self.dead_letters(name, "g", 5)
        other = self.sub("--stream", name, "--group", "other", ">",
                         "--timeout", "1")
        self.assertEqual(self.check(DONE, "dlq", "redrive", name, "g",
                                    "--first", "2", "--last", "4").out,
                         "3 redriven\n")
        self.assertEqual([r["redriven"] for r in self.letters(name)],
                         [False, True, True, True, False])
        member = self.sub("--stream", name, "--group", "g", ">", "--json",
                          "--count", "3")
        self.assertEqual({e["data"]["n"] for e in self.events(member, 3)}, {1})
        self.assertEqual(member.ended(), DONE)
        self.soon(lambda: [r["number"] for r in self.letters(name)] == [1, 5])
        self.assertEqual(self.group_row(name, "g")["dead"], 2)
        self.assertEqual(other.ended(), TIMED_OUT)
        self.assertEqual(other.all["out"], [])

    def test_redriving_some_takes_those_that_are_not_on_their_way(self):
        name = self.stream()
        self.dead_letters(name, "g", 8)
        self.assertEqual(self.rows("dlq", "redrive", name, "g", "--limit",
                                   "3"), [{"events": 3}])
        began = time.monotonic()
        self.assertEqual(self.rows("dlq", "redrive", name, "g", "--limit",
                                   "4", "--rate", "10"), [{"events": 4}])
        self.assertGreaterEqual(time.monotonic() - began, 0.25)
        self.assertEqual([r["redriven"] for r in self.letters(name)],
                         [True] * 7 + [False])
        self.assertEqual(self.rows("dlq", "redrive", name, "g", "--rate",
                                   "1000"), [{"events": 1}])

    def test_all_of_many_are_redriven_and_none_is_lost(self):
        name = self.stream()
        # More than one call takes; and who gets them again has time for all.
        self.dead_letters(name, "g", 1203, ack_wait="2s")
        self.assertEqual(len(self.letters(name)), 1203)
        member = self.sub("--stream", name, "--group", "g", ">", "--json",
                          "--count", "1203")
        self.check(DONE, "dlq", "redrive", name, "g")
        self.assertEqual(len({e["id"] for e in self.events(member, 1203)}),
                         1203)
        self.assertEqual(member.ended(), DONE)
        self.soon(lambda: self.group_row(name, "g")["dead"] == 0)
        self.soon(lambda: not self.letters(name)) # once that is written

    def test_letters_are_chosen_by_type(self):
        name = self.stream()
        self.dead_letters(name, "g", 2)
        self.dead_letters(name, "g", 3, ".other")
        mine = ("--type", name + ".other")
        self.assertEqual([r["number"] for r in self.letters(name, *mine)],
                         [3, 4, 5])
        self.assertEqual(self.letters(name, "-p", "none.*"), [])
        self.assertEqual(self.rows("dlq", "redrive", name, "g", *mine,
                                   "--rate", "1000"), [{"events": 3}])
        self.assertEqual([r["redriven"] for r in self.letters(name)],
                         [False] * 2 + [True] * 3)
        self.assertEqual(self.rows("dlq", "purge", name, "g", "-y", "--type",
                                   name + ".dead"), [{"events": 2}])
        self.assertEqual([r["number"] for r in self.letters(name)], [3, 4, 5])

    def test_purge_wants_to_be_sure(self):
        name = self.stream()
        self.dead_letters(name, "g", 4)
        done = self.check(USAGE, "dlq", "purge", name, "g")
        self.assertIn("--yes", done.err)
        self.assertEqual(self.rows("dlq", "purge", name, "g", "-y", "--last",
                                   "3"), [{"events": 3}])
        self.assertEqual([r["number"] for r in self.letters(name)], [4])
        self.assertEqual(self.check(DONE, "dlq", "purge", name, "g",
                                    "--yes").out, "1 purged\n")
        self.assertEqual(self.group_row(name, "g")["dead"], 0)

    def test_purging_some_takes_those_on_their_way_too(self):
        name = self.stream()
        self.dead_letters(name, "g", 8)
        self.check(DONE, "dlq", "redrive", name, "g", "--limit", "2")
        purge = ("dlq", "purge", name, "g", "--yes")
        self.assertEqual(self.rows(*purge, "--limit", "3"), [{"events": 3}])
        self.assertEqual([r["number"] for r in self.letters(name)],
                         [4, 5, 6, 7, 8])
        began = time.monotonic()
        self.assertEqual(self.rows(*purge, "--limit", "4", "--rate", "10"),
                         [{"events": 4}])
        self.assertGreaterEqual(time.monotonic() - began, 0.25)
        self.assertEqual([r["number"] for r in self.letters(name)], [8])
        self.assertEqual(self.rows(*purge, "--type", "none", "--rate", "100"),
                         [{"events": 0}])
        self.assertEqual(self.rows(*purge, "--rate", "100"), [{"events": 1}])

    def test_nothing_to_do_is_no_error(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g")
        self.assertEqual(self.letters(name), [])
        for words, said in ((["redrive"], "0 redriven\n"),
                            (["redrive", "--limit", "5"], "0 redriven\n"),
                            (["purge", "-y"], "0 purged\n")):
            self.assertEqual(self.check(DONE, "dlq", words[0], name, "g",
                                        *words[1:]).out, said)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_dlq"))
