#!/usr/bin/env python3
"""`tidings pub`: what it makes of its arguments and its input.

    TIDINGS_BIN=build/bin tests/system/test_cli_pub.py [-v] [TestCase.test_name]
"""
import json
import resource
import signal
import subprocess
import sys
import time

import cli
from cli import DONE, FAILED, OBEYED, USAGE, WithBroker, run


class Publishing(WithBroker):
    def test_one_event_arrives_as_cloudevents_json(self):
        sub = self.sub("--json", "--count", "1", "user.*")
        before = time.time()
        done = self.check(DONE, "pub", "user.created",
                          '{"user_id": "u1", "age": 42, "price": 99.99}')
        self.assertEqual((done.out, done.err), ("", ""))
        event, = self.events(sub, 1)
        self.assertEqual(sub.ended(), DONE)
        self.assertEqual(event["specversion"], "1.0")
        self.assertEqual(event["type"], "user.created")
        self.assertEqual(event["source"], "/tidings")
        self.assertEqual(event["data"],
                         {"user_id": "u1", "age": 42, "price": 99.99})
        self.assertRegex(event["id"], r"^[0-9A-Z]{26}-[0-9A-Z]{13}$")
        self.assertRegex(event["time"],
                         r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        stamp = time.mktime(time.strptime(event["time"][:19],
                                          "%Y-%m-%dT%H:%M:%S")) - time.timezone
        self.assertLess(abs(stamp - before), 60)
        self.assertNotIn("datacontenttype", event)

    def test_data_of_each_kind_comes_through(self):
        rows = ["null", "true", "0", "-1", "9223372036854775807", "1.0",
                "1e-7", '""', '"\u00fc\u20ac"', "[]", "{}",
                '{"a":[1,[2,{"b":null}]]}']
        sub = self.sub("--json", "--count", str(len(rows)), "kind")
        for row in rows:
            self.check(DONE, "pub", "kind", "--", row)
        got = [event["data"] for event in self.events(sub, len(rows))]
        self.assertEqual(repr(got), repr([json.loads(row) for row in rows]))

    def test_an_event_may_have_no_data(self):
        sub = self.sub("--json", "--count", "1", "empty")
        self.check(DONE, "pub", "empty")
        event, = self.events(sub, 1)
        self.assertNotIn("data", event)
        self.assertNotIn("data_base64", event)

    def test_attributes_are_fields_or_extensions(self):
        sub = self.sub("--json", "--count", "1", "attrs")
        given = {"id": "my-id", "source": "/me", "subject": "u1",
                 "dataschema": "http://x/y", "traceparent": "00-ab",
                 "n": "5"}
        args = []
        for name, value in given.items():
            args += ["--attr", "%s=%s" % (name, value)]
        self.check(DONE, "pub", "attrs", "{}", *args, "-a",
                   "time=2024-02-29T12:00:00.5+01:00", "-a", "eq=a=b")
        event, = self.events(sub, 1)
        self.assertEqual(event, {**given, "specversion": "1.0",
                                 "type": "attrs", "data": {}, "eq": "a=b",
                                 "time": "2024-02-29T11:00:00.500000Z"})

    def test_data_of_another_datacontenttype_is_sent_as_it_is(self):
        sub = self.sub("--json", "--count", "4", "content")
        rows = [
            ("application/json", '{"a": 1}', {"data": {"a": 1}}),
            ("text/plain", "not JSON", {"data": "not JSON"}),
            ("application/xml", "<a/>", {"data_base64": "PGEvPg=="}),
        ]
        for contenttype, data, _ in rows:
            self.check(DONE, "pub", "content", data, "-a",
                       "datacontenttype=" + contenttype)
        for contenttype, _, said in rows:
            event, = self.events(sub, 1)
            self.assertEqual(event["datacontenttype"], contenttype)
            for name, value in said.items():
                self.assertEqual(event[name], value)
        self.check(USAGE, "pub", "content", "{", "-a",
                   "datacontenttype=application/json")
        self.check(DONE, "pub", "content", "{}", "-a",
                   "datacontenttype=application/msgpack")
        self.assertEqual(self.events(sub, 1)[0]["data"], {})

    def test_count_publishes_as_many_in_order_with_ids_of_their_own(self):
        sub = self.sub("--json", "--count", "5000", "many")
        self.check(DONE, "pub", "many", "{}", "--count", "5000")
        ids = [event["id"] for event in self.events(sub, 5000)]
        self.assertEqual(sub.ended(), DONE)
        self.assertEqual(len(set(ids)), 5000)
        self.assertEqual(ids, sorted(ids))

    def test_rate_is_kept_without_drift_and_without_burning_time(self):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        self.check(DONE, "pub", "rate", "{}", "--count", "201", "--rate",
                   "200")
        took = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        burnt = (after.ru_utime + after.ru_stime - before.ru_utime -
                 before.ru_stime)
        self.assertGreaterEqual(took, 1.0)  # 200 gaps of 5 ms
        self.assertLess(took, 3.0)
        self.assertLess(burnt, 0.5)

    def test_lines_of_input_are_events_in_order(self):
        sub = self.sub("--json", "--count", "1000", "lines")
        lines = "".join('{"n": %d}\n' % n + "\n" * (n % 3)
                        for n in range(1000))
        self.check(DONE, "pub", "lines", "-", stdin=lines.encode())
        self.assertEqual([event["data"]["n"]
                          for event in self.events(sub, 1000)],
                         list(range(1000)))

    def test_input_may_end_without_a_line_break_or_have_carriage_returns(self):
        sub = self.sub("--json", "--count", "2", "last")
        self.check(DONE, "pub", "last", "-", stdin=b"1\r\n \t\r\n2")
        self.assertEqual([e["data"] for e in self.events(sub, 2)], [1, 2])
        self.check(DONE, "pub", "last", "-", stdin=b"")

    def test_a_line_is_published_while_the_input_stays_open(self):
        sub = self.sub("--json", "open")
        pub = self.start("pub", "open", "-", stdin=subprocess.PIPE)
        for n in range(3):
            pub.process.stdin.write(b"%d\n" % n)
            pub.process.stdin.flush()
            self.assertEqual(self.events(sub, 1)[0]["data"], n)
        pub.process.stdin.close()
        self.assertEqual(pub.ended(), DONE)

    def test_a_bad_line_is_named_and_those_before_it_arrive(self):
        sub = self.sub("--json", "--count", "2", "bad")
        done = self.check(FAILED, "pub", "bad", "-", stdin=b"1\n\n2\n{\n3\n")
        self.assertIn("line 4: not JSON", done.err)
        self.assertIn("2 events were published before it", done.err)
        self.assertEqual([e["data"] for e in self.events(sub, 2)], [1, 2])

    def test_input_of_any_bytes_is_refused_and_bounded(self):
        rows = [
            (b"\xff\xfe\n", "line 1"),
            (b"\0\n", "line 1"),
            (b'"\x1b"\n', "line 1"),
            (b'"' + b"a" * (2 << 20) + b'"\n', "longer than"),
            (b" " * (9 << 20), "longer than"),
            (b"[" * 100000 + b"\n", "line 1"),
        ]
        for stdin, said in rows:
            done = self.check(FAILED, "pub", "any", "-", stdin=stdin)
            self.assertIn(said, done.err, stdin[:20])
            self.assertIsNone(OBEYED.search(done.err), repr(done.err))

    def test_an_event_of_the_largest_size_arrives(self):
        data = "a" * ((1 << 20) - 5)  # and a msgpack prefix
        sub = self.sub("--json", "--count", "1", "large")
        self.check(DONE, "pub", "large", "-",
                   stdin=json.dumps(data).encode())
        self.assertEqual(self.events(sub, 1)[0]["data"], data)

    def test_events_that_were_printed_can_be_published_again(self):
        sub = self.sub("--json", "--count", "3", "again.>")
        self.check(DONE, "pub", "again.a", '{"x": 1.5}', "-a", "ext=y")
        self.check(DONE, "pub", "again.b", "text", "-a",
                   "datacontenttype=text/plain")
        self.check(DONE, "pub", "again.c")
        lines = [sub.line() for _ in range(3)]
        self.assertEqual(sub.ended(), DONE)

        sub = self.sub("--json", "--count", "4", "again.>")
        self.check(DONE, "pub", "--event",
                   stdin=("\n".join(lines)).encode())
        self.check(DONE, "pub", "--event", lines[0], "-a", "ext=z", "-a",
                   "more=m")
        self.assertEqual([sub.line() for _ in range(3)], lines)
        changed, = self.events(sub, 1)
        self.assertEqual(changed, {**json.loads(lines[0]), "ext": "z",
                                   "more": "m"})

    def test_an_event_that_the_bus_refuses_fails(self):
        done = self.check(FAILED, "pub", "--event", stdin=b'{"type":"$sys"}\n')
        self.assertIn("$", done.err)
        done = run("pub", "$sys.x", "{}", env=self.env())
        self.assertIn(done.returncode, (FAILED, USAGE))
        self.assertTrue(done.err.startswith("tidings: "), done.err)

    def test_a_signal_ends_publishing_and_says_how_far_it_came(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            sub = self.sub("halfway")
            pub = self.start("pub", "halfway", "{}", "--count", "1000000",
                             "--rate", "20")
            sub.line()
            pub.signal(number)
            self.assertEqual(pub.ended(), FAILED)
            self.assertRegex(pub.all["err"][-1],
                             r"interrupted after \d+ event")

    def test_a_signal_ends_the_wait_for_input(self):
        sub = self.sub("input")
        pub = self.start("pub", "input", "-", stdin=subprocess.PIPE)
        pub.process.stdin.write(b"1\n")
        pub.process.stdin.flush()
        sub.line()
        pub.signal(signal.SIGTERM)
        self.assertEqual(pub.ended(), FAILED)
        self.assertIn("interrupted after 1 event", pub.all["err"][-1])


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_pub"))
