#!/usr/bin/env python3
"""`tidings sub`: what it prints, when it ends, closed pipes.

    TIDINGS_BIN=build/bin tests/system/test_cli_sub.py [-v] [TestCase.test_name]
"""
import json
import os
import signal
import subprocess
import sys

import cli
from cli import (DONE, FAILED, OBEYED, TIDINGS, TIMED_OUT, WAIT_S, WithBroker,
                 run)


class Subscribing(WithBroker):
    def test_plain_output_is_five_columns_between_tabs(self):
        sub = self.sub("--count", "2", "plain.*")
        self.check(DONE, "pub", "plain.a", '{"b": [1, 2]}', "-a", "id=i1",
                   "-a", "source=/s", "-a", "time=2024-02-29T12:00:00Z")
        self.check(DONE, "pub", "plain.b")
        self.assertEqual(sub.line(), "2024-02-29T12:00:00.000000Z\tplain.a\t"
                                     "i1\t/s\t" '{"b":[1,2]}')
        self.assertRegex(sub.line(),
                         r"^\S+Z\tplain\.b\t\S+\t/tidings\t-$")
        self.assertEqual(sub.ended(), DONE)
        self.assertEqual(sub.line(), None)

    def test_an_event_that_several_patterns_match_is_printed_once(self):
        sub = self.sub("--json", "--count", "4", "one.*", "one.a", ">",
                       "one.*", "two")
        for name in ("one.a", "two", "other", "one.b"):
            self.check(DONE, "pub", name, "{}")
        self.assertEqual(sorted(e["type"] for e in self.events(sub, 4)),
                         ["one.a", "one.b", "other", "two"])
        self.assertEqual(sub.ended(), DONE)
        self.assertEqual(sub.line(), None)

    def test_count_prints_no_more_than_asked_for(self):
        sub = self.sub("--count", "3", "exact")
        self.check(DONE, "pub", "exact", "{}", "--count", "100")
        self.assertEqual(sub.ended(), DONE)
        self.assertEqual(len(sub.all["out"]), 3)

    def test_subscribed_is_said_once_the_broker_has_it(self):
        sub = self.start("sub", "a.*", "b")
        self.assertEqual(sub.line("err"),
                         "subscribed to a.*, b at " + self.broker.url)
        rows = json.loads(self.check(DONE, "stats", "--json").out)
        self.assertLessEqual({"a.*", "b"}, {row["pattern"] for row in
                                            rows["subscriptions"]})

    def test_timeout_gives_up_with_4(self):
        sub = self.start("sub", "--timeout", "0.3", "--count", "2", "never")
        sub.until("subscribed", "err")
        self.check(DONE, "pub", "never", "{}")
        self.assertEqual(sub.ended(), TIMED_OUT)
        self.assertEqual(len(sub.all["out"]), 1)
        self.assertIn("1 event within 0.3 seconds", sub.all["err"][-1])

    def test_timeout_comes_in_the_middle_of_a_stream_of_events(self):
        pub = self.start("pub", "stream", "{}", "--count", "100000000")
        sub = self.start("sub", "--timeout", "0.5", "stream",
                         stdout=subprocess.DEVNULL)
        self.assertEqual(sub.ended(), TIMED_OUT)
        self.assertIsNone(pub.process.poll())

    def test_signals_end_it_with_0(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            sub = self.sub("signal")
            self.check(DONE, "pub", "signal", "1")
            sub.line()
            sub.signal(number)
            self.assertEqual(sub.ended(), DONE)
            self.assertEqual(len(sub.all["err"]), 1)

    def test_a_reader_that_went_away_ends_it_quietly(self):
        for events in (0, 1):
            sub = self.start("sub", "pipe", stdout=self.pipe_without_reader())
            sub.until("subscribed", "err")
            for _ in range(events):
                run("pub", "pipe", "{}", env=self.env())
            self.assertEqual(sub.ended(), DONE)
            self.assertEqual(len(sub.all["err"]), 1, sub.all)

    def pipe_without_reader(self):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, write_end)
        os.close(read_end)
        return write_end

    def test_output_that_cannot_be_written_fails(self):
        with open("/dev/full", "wb") as full:
            sub = self.sub("full", stdout=full)
            self.check(DONE, "pub", "full", "{}")
            self.assertEqual(sub.ended(), FAILED)
            self.assertIn("could not be written", sub.all["err"][-1])
            for args in (["--help"], ["ping", "--count", "1"], ["stats"]):
                done = subprocess.run([TIDINGS, *args], stdout=full,
                                      stderr=subprocess.PIPE, env=self.env(),
                                      timeout=WAIT_S, check=False)
                self.assertEqual(done.returncode, FAILED, args)
                self.assertIn(b"could not be written", done.stderr)

    def test_events_print_at_once_also_into_a_pipe(self):
        sub = self.sub("at.once")
        for n in range(3):
            self.check(DONE, "pub", "at.once", str(n))
            self.assertTrue(sub.line().endswith("\t%d" % n))

    def test_nothing_from_the_wire_reaches_the_terminal_unescaped(self):
        hostile = "\x1b[31mred\x07\r\n\x7f\x9b2J\u202egpj"
        args = [["--json"], []]
        for mode in args:
            sub = self.sub(*mode, "--count", "3", "hostile.>")
            self.check(DONE, "pub", "hostile.text", hostile, "-a",
                       "datacontenttype=text/plain")
            self.check(DONE, "pub", "hostile.json", json.dumps(hostile))
            # unescaped inside JSON; the parser lets DEL, C1 and marks pass
            self.check(DONE, "pub", "hostile.raw",
                       '{"\x7f\x9b": "\u202e\u2066\u2028"}', "-a",
                       "datacontenttype=application/json")
            lines = [sub.line() for _ in range(3)]
            self.assertEqual(sub.ended(), DONE)
            for line in lines:
                self.assertIsNone(OBEYED.search(line), repr(line))
            self.assertIn("\\u001b[31mred", lines[0])
            if mode:
                self.assertEqual(json.loads(lines[0])["data"], hostile)
                self.assertEqual(json.loads(lines[1])["data"], hostile)
                self.assertEqual(json.loads(lines[2])["data"],
                                 {"\x7f\x9b": "\u202e\u2066\u2028"})

    def test_data_that_is_no_text_is_described(self):
        sub = self.sub("--count", "2", "bytes")
        for contenttype, data in (("image/png", "iVBORw=="),
                                  ("application/msgpack", "xAFh")):
            self.check(DONE, "pub", "--event", json.dumps(
                {"type": "bytes", "datacontenttype": contenttype,
                 "data_base64": data}))
        self.assertTrue(sub.line().endswith("\t(4 bytes of image/png)"))
        self.assertTrue(
            sub.line().endswith("\t(3 bytes of application/msgpack)"))


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_sub"))
