#!/usr/bin/env python3
"""`tidings pub --producer`: what is published under a name is stored once,
whoever is killed, and by one process at a time.

    TIDINGS_BIN=build/bin tests/system/test_cli_producer.py [-v] [TestCase.test_name]
"""
import json
import os
import signal
import sys

import cli
from cli import DONE, FAILED, USAGE, Broker, WithBroker, WithStreams

EVENTS = 600
ROUNDS = 8


def lines(count):
    return "".join('{"n": %d}\n' % n for n in range(1, count + 1)).encode()


class Producers(WithStreams):
    def last(self):
        return self.rows("stream", "show", "events")[0]["last"]

    def stored(self, *more):
        out = self.check(DONE, "replay", "events", *more).out
        return [json.loads(line) for line in out.splitlines()]

    def restart(self):
        """The broker is killed, and started anew where it was."""
        self.broker.signal(signal.SIGKILL)
        self.broker.ended()
        type(self).broker = Broker(self.broker.url, "--data",
                                   os.path.join(self.folder, "data"))

    def publisher(self, name, event, text, *args):
        """A process that publishes these lines, in a row."""
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(text)
        with open(path, "rb") as file:
            return self.start("pub", event, "-", "--producer", name, *args,
                              stdin=file)

    def test_it_is_killed_and_stored_once(self):
        begin = self.last()
        for round_ in range(ROUNDS):
            pub = self.publisher("outbox", "row.new", lines(EVENTS),
                                 "--sequence", "1", "--rate", "2000")
            goal = begin + (round_ + 1) * EVENTS // (ROUNDS + 2)
            self.soon(lambda: self.last() >= goal)
            if round_ % 2:  # what it has sent is stored after its death
                self.broker.signal(signal.SIGSTOP)
            pub.signal(signal.SIGKILL)
            pub.ended()
            if round_ % 2:
                self.broker.signal(signal.SIGCONT)
            if round_ % 4 == 2:
                self.restart()
        done = self.check(DONE, "pub", "row.new", "-", "--producer", "outbox",
                          "--sequence", "1", "--json", stdin=lines(EVENTS))
        said = json.loads(done.out)
        self.assertEqual((said["published"], said["confirmed"],
                          said["unstored"]), (EVENTS, EVENTS, 0))
        self.assertEqual([event["data"]["n"] for event in
                          self.stored("--pattern", "row.new")],
                         list(range(1, EVENTS + 1)))

    def test_one_that_was_stopped_is_fenced(self):
        for killed in (False, True):
            name = "stopped-%s" % killed
            begin = self.last()
            zombie = self.publisher(name, "zombie", lines(5000), "--rate",
                                    "500")
            self.soon(lambda: self.last() >= begin + 5)
            zombie.signal(signal.SIGSTOP)
            self.check(DONE, "pub", "heir", "1", "--producer", name)
            if killed:
                self.restart()
            self.check(DONE, "pub", "heir", "2", "--producer", name)
            zombie.signal(signal.SIGCONT)
            self.assertEqual(zombie.ended(), FAILED)
            self.assertIn("another process has taken",
                          "\n".join(zombie.all["err"]))
            types = [event["type"] for event in
                     self.stored("--start", str(begin + 1))]
            self.assertEqual(types[-2:], ["heir", "heir"])
            self.assertEqual(set(types[:-2]), {"zombie"})

    def test_another_event_under_the_same_number_is_a_conflict(self):
        for data, code in (("1", DONE), ("1", DONE), ("2", FAILED)):
            done = self.check(code, "pub", "same", data, "--producer", "same",
                              "--sequence", "7")
            if code == FAILED:
                self.assertIn("in conflict with what is stored", done.err)
        self.check(DONE, "pub", "same", "3", "--producer", "same")
        self.assertEqual([event["data"] for event in
                          self.stored("--pattern", "same")], [1, 3])

    def names(self):
        return {row["name"]: row for row in self.rows("producer", "list")}

    def test_names_are_listed_and_deleted(self):
        self.check(DONE, "pub", "named", "1", "--producer", "short")
        pub = self.publisher("a-longer-one", "named", lines(5000), "--rate",
                             "500")
        self.soon(lambda: self.names().get("a-longer-one",
                                           {}).get("stored", 0) > 0)
        names = self.names()
        self.assertEqual((names["short"]["stored"], names["short"]["session"],
                          names["short"]["client"]), (1, 0, ""))
        self.assertEqual(names["a-longer-one"]["client"], "tidings-pub")
        table = self.check(DONE, "producer", "list").out.splitlines()
        self.assertRegex(table[0],
                         "^name +stored +session +client +idle for$")
        self.assertEqual(len(set(len(line) for line in table)), 1)
        self.assertEqual(len(table), len(names) + 1)
        self.assertTrue(any(line.startswith("short ") for line in table))
        done = self.check(USAGE, "producer", "delete", "a-longer-one", "--yes")
        self.assertRegex(done.err, r"session \d+, tidings-pub has it")
        pub.signal(signal.SIGTERM)
        pub.ended()
        for name in ("short", "a-longer-one"):
            self.soon(lambda: cli.run("producer", "delete", name, "--yes",
                                      env=self.env()).returncode == DONE)
            done = self.check(USAGE, "producer", "delete", name, "--yes")
            self.assertIn("no producer has that name", done.err)
            self.assertNotIn(name, self.names())
        begin = self.last()
        self.check(DONE, "pub", "named", "2", "--producer", "short",
                   "--sequence", "1")
        self.assertEqual(self.last(), begin + 1)
        for args in (["list", "x"], ["delete"], ["delete", "short"]):
            self.check(USAGE, "producer", *args)

    def test_what_cannot_be_is_refused(self):
        for args in (["--sequence", "1"], ["--producer", "a b"],
                     ["--producer", ""], ["--producer", "a" * 65],
                     ["--producer", "a", "--sequence", "0"]):
            self.check(USAGE, "pub", "a", "1", *args)


class Keepers(WithBroker):
    def test_a_broker_without_data_says_what_to_do(self):
        done = self.check(FAILED, "pub", "a", "1", "--producer", "p")
        self.assertIn("--data DIR", done.err)
        for args in (["list"], ["delete", "p", "--yes"]):
            self.assertIn("--data DIR",
                          self.check(USAGE, "producer", *args).err)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_producer"))
