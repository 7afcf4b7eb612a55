#!/usr/bin/env python3
"""`tidings stream` and `tidings group`: what the broker keeps, and for whom.

    TIDINGS_BIN=build/bin tests/system/test_cli_stream.py [-v] [TestCase.test_name]
"""
import json
import os
import re
import signal
import sys
import unittest

import cli
from cli import (DONE, FAILED, NO_BROKER, TIMED_OUT, USAGE, WAIT_S, Broker,
                 WithBroker, WithStreams, environment, run)

try:
    import msgpack
    import zmq
except ImportError:
    zmq = None


def park(url, stream, delay_ms):
    """A member of its group "g" parks that, with three events."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(url)
    for message in ([1, "tidings", 1, 1, os.urandom(16), "raw", {}],
                    [5, 1, 1, ">", {"events": 3, "bytes": 4 << 20,
                                    "stream": stream, "group": "g"}],
                    [17, [[1, 6, 1, 3, delay_ms, "no database"]]]):
        while message[0] == 17 and socket.poll(WAIT_S * 1000):
            if msgpack.unpackb(socket.recv_multipart()[0])[0] == 8:
                break
        socket.send(msgpack.packb(message))
        if message[0] == 1:
            socket.poll(WAIT_S * 1000)
            socket.recv()  # WELCOME
    return socket


class Streams(WithStreams):
    def test_a_stream_is_added_listed_and_shown(self):
        out = self.check(DONE, "stream", "add", "orders", "-p", "order.>",
                         "-p", "cart.*", "--max-age", "7d", "--max-bytes",
                         "10M", "--max-events", "1000", "--on-full",
                         "reject", "--dedup-events", "5000").out
        for line in (r"stream +orders", r"takes +order\.>, cart\.\*",
                     r"max age +7 d 0 h", r"max bytes +10\.0 MiB",
                     r"max events +1000", r"when full +reject",
                     r"dedup +2 min 0 s", r"dedup events +5000"):
            self.assertRegex(out, "(?m)^%s$" % line)
        row = self.rows("stream", "show", "orders")[0]
        self.assertEqual(row["patterns"], ["order.>", "cart.*"])
        self.assertEqual(row["max_age_ms"], 7 * 86400 * 1000)
        self.assertEqual((row["first"], row["last"], row["events"]), (1, 0, 0))
        self.assertIn(row, self.rows("stream", "list"))
        table = self.check(DONE, "stream", "list").out.splitlines()
        self.assertRegex(table[0], r"^stream +takes +storage +bytes +events ")
        self.assertTrue([l for l in table if re.match(
            r"orders +order\.>, cart\.\* +disk +0 B +0 +1 +0 +0 +-$", l)],
            table)

    def test_an_event_with_an_id_is_stored_once(self):
        name = self.stream()
        for _ in range(2):
            self.check(DONE, "pub", name + ".a", "1", "--attr", "id=42",
                       "--attr", "source=/test", "--confirm", "disk")
        row = self.rows("stream", "show", name)[0]
        self.assertEqual((row["events"], row["repeats"]), (1, 1))

    def test_without_a_window_it_is_stored_again(self):
        name = self.stream("--dedup", "0")
        for _ in range(2):
            self.check(DONE, "pub", name + ".a", "1", "--attr", "id=42",
                       "--attr", "source=/test", "--confirm", "disk")
        row = self.rows("stream", "show", name)[0]
        self.assertEqual((row["events"], row["dedup_ms"]), (2, 0))
        self.assertRegex(self.check(DONE, "stream", "show", name).out,
                         r"(?m)^dedup +off$")

    def test_the_same_stream_again_is_no_error_another_is(self):
        name = self.stream()
        self.check(DONE, "stream", "add", name, "-p", name + ".>")
        done = self.check(USAGE, "stream", "add", name, "-p", name + ".>",
                          "--max-events", "5")
        self.assertIn("stream %s: " % name, done.err)

    def test_the_bounds_of_a_stream_change(self):
        name = self.stream("--max-age", "7d", "--dedup", "1m")
        self.check(DONE, "pub", name + ".a", "1", "--count", "9", "--confirm",
                   "disk")
        out = self.check(DONE, "stream", "set", name, "--max-events", "4").out
        self.assertRegex(out, r"(?m)^max events +4$")
        self.assertRegex(out, r"(?m)^max age +7 d 0 h$") # as it was
        self.soon(lambda: self.rows("stream", "show", name)[0]["events"] == 4)
        row = self.rows("stream", "set", name, "--max-age", "none", "--dedup",
                        "0", "--on-full", "reject", "--max-bytes", "1M",
                        "--dedup-events", "7", "--tombstone", "2h",
                        "--max-events", "none")[0]
        self.assertEqual([row[key] for key in (
            "max_age_ms", "dedup_ms", "on_full", "max_bytes", "dedup_events",
            "tombstone_ms", "max_events")],
            [0, 0, "reject", 1 << 20, 7, 7200000, 0])
        done = self.check(USAGE, "stream", "add", name, "-p", name + ".>")
        self.assertIn("stream.set changes it", done.err)
        for args, said in (([name], "what is to change"),
                           ([name, "--storage", "disk"], "--storage"),
                           ([name, "--max-events", "-1"], "max-events"),
                           (["none", "--max-age", "1d"], "no such stream"),
                           (["--max-age", "1d"], "NAME")):
            self.assertIn(said, self.check(USAGE, "stream", "set", *args).err)

    def test_patterns_that_overlap_are_refused_with_both_names(self):
        name = self.stream()
        done = self.check(USAGE, "stream", "add", "other", "-p", name + ".a")
        self.assertIn(name + ".a", done.err)
        self.assertIn(name + ".>", done.err)
        self.assertIn("stream " + name, done.err)

    def test_purge_and_delete_want_to_be_sure(self):
        name = self.stream()
        self.check(DONE, "pub", name + ".a", "1", "--count", "100",
                   "--confirm", "disk")
        for words in (["stream", "purge", name], ["stream", "delete", name]):
            done = self.check(USAGE, *words)
            self.assertIn("--yes", done.err)
        self.assertEqual(self.rows("stream", "show", name)[0]["events"], 100)

        out = self.check(DONE, "stream", "purge", name, "--before", "31",
                         "--yes").out
        self.assertEqual(out, "stream %s keeps 70 events, from 31 on\n" % name)
        row = self.rows("stream", "purge", name, "-y")[0]
        self.assertEqual((row["events"], row["last"]), (0, 100))
        self.assertEqual(self.rows("stream", "delete", name, "--yes"),
                         [{"deleted": name}])
        done = self.check(USAGE, "stream", "show", name)
        self.assertEqual(done.err,
                         "tidings: stream %s: no such stream\n" % name)

    def test_names_that_are_not_there_are_refused(self):
        name = self.stream()
        for words in (["stream", "show", "nobody"],
                      ["stream", "purge", "nobody", "-y"],
                      ["stream", "delete", "nobody", "-y"],
                      ["group", "list", "nobody"],
                      ["group", "add", "nobody", "g"],
                      ["group", "show", name, "nobody"],
                      ["group", "pause", name, "nobody"],
                      ["group", "resume", name, "nobody"],
                      ["group", "seek", name, "nobody", "--start", "all"],
                      ["group", "delete", name, "nobody", "-y"],
                      ["dlq", "list", name, "nobody"],
                      ["dlq", "show", "nobody", "g", "1"],
                      ["dlq", "redrive", name, "nobody"],
                      ["dlq", "purge", name, "nobody", "-y"],
                      ["tail", "nobody"], ["replay", "nobody"],
                      ["sub", "--stream", "nobody", ">"]):
            done = self.check(USAGE, *words)
            self.assertRegex(done.err, r"no such (stream|group)", words)
            self.assertEqual(done.out, "", words)

    def test_many_streams_and_groups_come_in_pages(self):
        name = self.stream()
        for n in range(3):
            self.check(DONE, "stream", "add", "many-%d" % n, "-p",
                       "many.%d" % n)
        for n in range(205): # more than one answer of the broker holds
            self.check(DONE, "group", "add", name, "g%03d" % n)
        groups = self.rows("group", "list", name)
        self.assertEqual([g["group"] for g in groups],
                         ["g%03d" % n for n in range(205)])
        self.assertEqual(len(self.check(DONE, "group", "list",
                                        name).out.splitlines()), 206)
        self.assertLessEqual({"many-0", "many-1", "many-2"},
                             {s["name"] for s in self.rows("stream", "list")})


class Groups(WithStreams):
    def show(self, stream, group):
        return self.check(DONE, "group", "show", stream, group).out

    def test_sub_names_the_stream_that_is_not_there(self):
        for args in ([], ["--group", "g"]):
            done = self.check(USAGE, "sub", ">", "--stream", "nosuch", *args)
            self.assertEqual(done.err,
                             "tidings: stream nosuch: no such stream\n")

    def test_a_group_is_added_with_its_options(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g", "-p", name + ".a",
                   "--start", "all", "--group-policy", "key",
                   "--max-in-flight", "7", "--ack-wait", "10s",
                   "--max-deliver", "3", "--backoff", "50ms",
                   "--backoff-max", "1m")
        row = self.group_row(name, "g")
        wanted = {"pattern": name + ".a", "start": "all",
                  "group_policy": "key", "max_in_flight": 7,
                  "ack_wait_ms": 10000, "max_deliver": 3, "backoff_ms": 50,
                  "backoff_max_ms": 60000}
        self.assertEqual({k: row[k] for k in wanted}, wanted)
        done = self.check(USAGE, "group", "add", name, "g",
                          "--max-in-flight", "8")
        self.assertIn("group g of stream " + name, done.err)
        self.assertRegex(self.check(DONE, "stream", "show", name).out,
                         r"(?m)^%s +g +%s\.a +0 " % (name, name))

    def test_where_it_began_and_what_had_expired_is_shown(self):
        name = self.stream()
        for start, shown in (("all", "all"), ("last", "last"), ("7", "7"),
                             ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z")):
            group = "g" + start[:4]
            self.check(DONE, "group", "add", name, group, "--start", start)
            self.assertRegex(self.show(name, group),
                             r"(?m)^(.*  )?start +%s( |$)" % shown)
        self.assertEqual(self.group_row(name, "g7")["start"], 7)
        row = self.group_row(name, "g2024")
        self.assertEqual((row["start"], row["start_ms"]),
                         ("time", 1709208000000))

        self.check(DONE, "pub", name + ".a", "1", "--confirm", "disk",
                   "--expires", "1ms")
        member = self.sub("--stream", name, "--group", "gall", ">")
        self.soon(lambda: self.group_row(name, "gall")["expirytime"] == 1)
        out = self.show(name, "gall")
        self.assertRegex(out, r"(?m)(^|  )expirytime +1( |$)")
        self.assertIn("\n1 skipped: its expirytime had passed\n", out)
        self.assertEqual(member.all["out"], [])
        labels = ("in flight", "waiting", "dead", "delivered", "redelivered")
        self.assertEqual(len({line.rindex("  " + label) for label, line in
                              zip(labels, out.splitlines())}), 1, out)

    def test_what_it_waits_for_is_said_in_words(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g", "--max-in-flight", "2")
        self.assertIn("no members\n", self.show(name, "g"))
        self.check(DONE, "pub", name + ".a", "1", "--count", "5",
                   "--confirm", "disk")
        self.assertIn("no members: its events wait in the stream",
                      self.show(name, "g"))

        member = self.sub("--stream", name, "--group", "g", ">",
                          "--count", "5")
        member.ended()
        member = self.sub("--stream", name, "--group", "g", ">")
        self.soon(lambda: "up to date" in self.show(name, "g"))
        member.signal(signal.SIGSTOP)
        self.check(DONE, "pub", name + ".a", "1", "--count", "5",
                   "--confirm", "disk")
        self.soon(lambda: self.group_row(name, "g")["full"])
        self.assertRegex(self.show(name, "g"),
                         r"window full: 2 events are with members")
        self.assertRegex(self.check(DONE, "group", "list", name).out,
                         r"window full$")
        self.check(DONE, "group", "pause", name, "g")
        self.assertIn("paused: nothing is delivered until it is resumed",
                      self.show(name, "g"))

    @unittest.skipIf(zmq is None, "needs python3-zmq and python3-msgpack")
    def test_a_group_that_is_parked_says_so(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g")
        self.check(DONE, "pub", name + ".a", "1", "--count", "3",
                   "--confirm", "disk")
        member = park(self.broker.url, name, 60000)
        self.soon(lambda: self.group_row(name, "g")["state"] == "parked")
        row = self.group_row(name, "g")
        self.assertEqual((row["parks"], row["released"], row["waiting"]),
                         (1, 3, 3))
        self.assertRegex(self.show(name, "g"),
                         r"\nparked: .*\n +tried in (59\.\d|60\.0) s; .*\n"
                         r"  said by raw: no database\n")
        self.assertRegex(self.check(DONE, "group", "list", name).out,
                         r"parked$")
        self.assertRegex(self.check(DONE, "stats", "--rows", "consumers").out,
                         r"(?m)^%s +g +parked " % name)
        self.check(DONE, "group", "resume", name, "g")
        self.assertEqual(self.group_row(name, "g")["state"], "running")
        self.assertIn("\n1 time parked since the broker began\n",
                      self.show(name, "g"))
        member.close()

    def test_one_event_is_no_plural(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g", "--max-in-flight", "1")
        member = self.sub("--stream", name, "--group", "g", ">")
        member.signal(signal.SIGSTOP)
        self.check(DONE, "pub", name + ".a", "--confirm", "disk")
        self.soon(lambda: self.group_row(name, "g")["full"])
        self.assertIn("window full: 1 event is with members",
                      self.show(name, "g"))
        self.assertEqual(self.check(DONE, "stream", "purge", name, "--before",
                                    "1", "--yes").out,
                         "stream %s keeps 1 event, from 1 on\n" % name)

    def test_what_retention_took_is_named_once(self):
        name = self.stream("--max-events", "10")
        self.check(DONE, "group", "add", name, "g")
        self.check(DONE, "pub", name + ".a", "1", "--count", "30",
                   "--confirm", "disk")
        member = self.sub("--stream", name, "--group", "g", "--count", "10",
                          ">")
        self.assertEqual(member.ended(), DONE)
        self.assertIn("tidings: lost 20 events, sequences 1 to 20 of %s: "
                      "retention was faster than group g" % name,
                      member.all["err"])
        self.check(DONE, "pub", name + ".a", "1", "--confirm", "disk")
        member = self.sub("--stream", name, "--group", "g", "--count", "1",
                          ">")
        self.assertEqual(member.ended(), DONE)
        self.assertFalse([l for l in member.all["err"] if "lost" in l])
        self.assertIn("lost 1 event, sequence 21 of %s: retention was faster "
                      "than this reader\n" % name,
                      self.check(DONE, "tail", name, "--start", "21").err)

    def test_sub_takes_as_many_as_it_is_to_count(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g")
        self.check(DONE, "pub", name + ".a", "1", "--count", "10",
                   "--confirm", "disk")
        for n in (3, 6):
            member = self.sub("--stream", name, "--group", "g", "--count",
                              "3", ">")
            self.assertEqual(member.ended(), DONE)
            self.assertEqual(len(member.all["out"]), 3)
            row = self.group_row(name, "g")
            self.assertEqual((row["delivered"], row["acked"],
                              row["released"]), (n, n, 0))
        member = self.sub("--stream", name, "--group", "g", "--count", "5",
                          "--timeout", "0.5", ">")
        self.assertEqual(member.ended(), TIMED_OUT)
        self.assertEqual(len(member.all["out"]), 4)
        self.assertIn("4 events within 0.5 seconds", member.all["err"][-1])

    def test_a_paused_group_gets_nothing_until_it_is_resumed(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g")
        out = self.check(DONE, "group", "pause", name, "g", "--until",
                         "+1h").out
        self.assertRegex(out, r"^group g of stream \S+ is paused until "
                              r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$")
        row = self.group_row(name, "g")
        self.assertTrue(row["paused"] and row["paused_until_ms"] > 0)
        member = self.sub("--stream", name, "--group", "g", "--count", "1",
                          ">")
        self.check(DONE, "pub", name + ".a", "1", "--confirm", "disk")
        row = self.group_row(name, "g")
        self.assertEqual((row["delivered"], row["lag"]), (0, 1))
        self.assertIn(" is resumed\n",
                      self.check(DONE, "group", "resume", name, "g").out)
        self.assertEqual(member.ended(), DONE)
        self.assertFalse(self.group_row(name, "g")["paused"])

    def test_a_pause_ends_by_itself(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g")
        self.check(DONE, "group", "pause", name, "g", "--until", "+300ms")
        member = self.sub("--stream", name, "--group", "g", "--count", "1",
                          ">")
        self.check(DONE, "pub", name + ".a", "1")
        self.assertEqual(member.ended(), DONE)

    def test_seek_goes_elsewhere_in_the_stream(self):
        name = self.stream()
        self.check(DONE, "pub", name + ".a", "1", "--count", "10",
                   "--confirm", "disk")
        self.check(DONE, "group", "add", name, "g")
        for start, lag in (("all", 10), ("8", 3), ("new", 0),
                           ("2001-01-01", 10)):
            self.check(DONE, "group", "seek", name, "g", "--start", start)
            self.assertEqual(self.soon(
                lambda: self.group_row(name, "g")["next"]), 11 - lag, start)
            self.assertEqual(self.group_row(name, "g")["lag"], lag, start)
        done = self.check(USAGE, "group", "seek", name, "g")
        self.assertIn("--start: new, all, last, a sequence or a time", done.err)

    def test_delete_wants_to_be_sure(self):
        name = self.stream()
        self.check(DONE, "group", "add", name, "g")
        self.assertIn("--yes",
                      self.check(USAGE, "group", "delete", name, "g").err)
        self.check(DONE, "group", "delete", name, "g", "--yes")
        self.assertEqual(self.rows("group", "list", name), [])


class Folders(WithStreams):
    def test_a_data_folder_is_checked_while_no_broker_has_it(self):
        folder = os.path.join(self.folder, "checked")
        broker = Broker("tcp://127.0.0.1:*", "--data", folder)
        try:
            env = environment(TIDINGS_URL=broker.url)
            self.check(DONE, "pub", "a.b", '"needle"', "--count", "10",
                       "--confirm", "disk", env=env)
            done = self.check(USAGE, "store", "verify", folder)
            self.assertIn(str(broker.process.pid), done.err)
            broker.signal(signal.SIGTERM)
            broker.ended()
        finally:
            broker.end()
        out = self.check(DONE, "store", "verify", folder).out
        self.assertRegex(out, r"^sound: [1-9]\d* records\n$")
        report = self.rows("store", "verify", folder)[0]
        self.assertEqual((report["sound"], report["damaged"],
                          report["folder"]), (True, 0, folder))

        damaged = 0
        for parent, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(parent, name)
                with open(path, "rb") as file:
                    data = file.read()
                damaged += data.count(b"needle")
                with open(path, "wb") as file:
                    file.write(data.replace(b"needle", b"needls"))
        self.assertGreater(damaged, 0)
        done = self.check(FAILED, "store", "verify", folder)
        self.assertRegex(done.out, r"^damaged: [1-9]\d* of ")
        self.assertIn(folder + " is damaged: ", done.err)
        done = self.check(FAILED, "store", "verify", folder, "--json")
        self.assertFalse(json.loads(done.out)["sound"])

    def test_a_folder_that_is_none_is_refused(self):
        done = self.check(USAGE, "store", "verify", "/no/such/folder")
        self.assertIn("/no/such/folder", done.err)
        self.assertEqual(done.out, "")


class WithoutData(WithBroker):
    def test_a_broker_that_keeps_nothing_says_how_it_would(self):
        for words in (["stream", "add", "s", "-p", "a"],
                      ["group", "add", "s", "g"], ["tail", "events"],
                      ["sub", "--stream", "events", ">"]):
            done = self.check(USAGE, *words)
            self.assertRegex(done.err, "--data DIR|data folder", words)
        done = self.check(DONE, "stream", "list", "--json")
        self.assertEqual(done.out, "")
        self.assertIn("--data DIR", done.err)


class WithoutBroker(WithBroker):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()
        cls.broker.end() # nobody listens there

    def test_no_broker_is_said_as_everywhere(self):
        for words in (["stream", "list"], ["stream", "add", "s", "-p", "a"],
                      ["group", "show", "s", "g"], ["dlq", "list", "s", "g"],
                      ["tail", "s"], ["replay", "s"]):
            done = self.check(NO_BROKER, *words, "--timeout", "0.3")
            self.assertIn("no broker answers at " + self.broker.url, done.err)


class CommandLines(WithBroker):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    def test_wrong_command_lines_say_what_is_wrong(self):
        rows = [
            (["stream"], "Usage: tidings stream COMMAND"),
            (["stream", "ad"], "did you mean stream add?"),
            (["group", "xyzzy"], 'no command "group xyzzy"'),
            (["dql"], "did you mean dlq?"),
            (["help", "stream", "lst"], "did you mean stream list?"),
            (["stream add"], 'no command "stream add"'),
            (["stream", "add"], "wants NAME"),
            (["stream", "add", "s"], "--pattern"),
            (["stream", "add", "s", "t", "-p", "a"], 'takes no "t"'),
            (["stream", "add", "a b", "-p", "a"], "name of a stream"),
            (["stream", "add", "s", "-p", "$a"], "$"),
            (["stream", "add", "s", "-p", "a.>", "-p", "a.b"], "one type"),
            (["stream", "list", "x"], "--url"),
            (["stream", "show"], "wants NAME"),
            (["group", "add", "s"], "wants STREAM GROUP"),
            (["group", "add", "s", "g g"], "group"),
            (["group", "list", "a", "b"], 'takes no "b"'),
            (["group", "seek", "s", "g"], "--start"),
            (["dlq", "list", "s"], "wants STREAM GROUP"),
            (["dlq", "show", "s", "g"], "NUMBER"),
            (["dlq", "show", "s", "g", "x"], "whole number"),
            (["dlq", "purge", "s", "g"], "--yes"),
            (["dlq", "redrive", "s", "g", "--first", "3", "--last", "2"],
             "above --last"),
            (["tail"], "wants STREAM"),
            (["replay", "s", "--rate", "1", "--original-pace"], "one of them"),
            (["sub", "a", "--start", "all"], "--stream"),
            (["sub", "a", "b", "--stream", "s", "--group", "g"],
             "one PATTERN"),
        ]
        for args, said in rows:
            done = self.check(USAGE, *args)
            self.assertIn(said, done.err, args)
            self.assertEqual(done.out, "", args)

    def test_each_command_of_a_family_has_its_help(self):
        for family, names in (
                ("stream", "add list show purge delete"),
                ("group", "add list show pause resume seek delete"),
                ("dlq", "list show redrive purge"), ("store", "verify")):
            of_all = run(family, "--help")
            self.assertEqual(of_all.returncode, DONE)
            self.assertEqual(of_all.out, run("help", family).out)
            self.assertRegex(run("--help").out, r"(?m)^  %s\b" % family)
            for name in names.split():
                self.assertRegex(of_all.out, r"(?m)^  %s\b" % name)
                of_one = run(family, name, "--help")
                self.assertEqual(of_one.returncode, DONE)
                self.assertIn("Usage: tidings %s %s" % (family, name),
                              of_one.out)
                self.assertEqual(of_one.out, run("help", family, name).out)
                for line in (of_all.out + of_one.out).splitlines():
                    self.assertLessEqual(len(line), 80, line)
                    self.assertEqual(line, line.rstrip(), line)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_stream"))
