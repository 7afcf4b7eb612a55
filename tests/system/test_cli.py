#!/usr/bin/env python3
"""The `tidings` command, as a shell sees it: what it prints, its exit codes,
signals, closed pipes, terminals.

    TIDINGS_BIN=build/bin tests/system/test_cli.py [-v] [TestCase.test_name]

TIDINGS_BIN is the folder of tidings and tidingsd. Needs nothing but Python.
Ends with the line "cli: N passed, N failed, N skipped".
"""
import json
import os
import pty
import queue
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = os.environ.get("TIDINGS_BIN", "")
TIDINGS = os.path.join(BIN, "tidings")
TIDINGSD = os.path.join(BIN, "tidingsd")
WAIT_S = 15  # deadline of every wait; each takes milliseconds

DONE, FAILED, USAGE, NO_BROKER, TIMED_OUT = range(5)
COMMANDS = ["pub", "sub", "ping", "stats", "audit", "top", "bench"]

# What a terminal would obey: controls but line breaks and tabs, DEL, and C1.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def environment(**changes):
    env = {"PATH": os.environ.get("PATH", ""), "TERM": "xterm", "TZ": "UTC"}
    # a sanitizer's options, a coverage folder
    env.update({k: v for k, v in os.environ.items()
                if k.endswith("_OPTIONS") or k.startswith("GCOV")})
    env.update(changes)
    return env


class Process:
    """A program whose lines come with a deadline; always ended."""

    def __init__(self, *argv, **options):
        options.setdefault("env", environment())
        self.lines = {"out": queue.Queue(), "err": queue.Queue()}
        self.all = {"out": [], "err": []}
        self.readers = []
        self.process = subprocess.Popen(
            argv, stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE), **options)
        for name, stream in (("out", self.process.stdout),
                             ("err", self.process.stderr)):
            if stream:
                reader = threading.Thread(target=self._read,
                                          args=(name, stream), daemon=True)
                reader.start()
                self.readers.append(reader)

    def _read(self, name, stream):
        try:
            for line in stream:
                line = line.decode("utf-8", "surrogateescape").rstrip("\n")
                self.all[name].append(line)
                self.lines[name].put(line)
        except ValueError:  # closed by the test
            pass
        self.lines[name].put(None)

    def line(self, name="out"):
        """The next line; None at the end of the stream."""
        try:
            return self.lines[name].get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError("no line on std%s within %d s; so far %r" %
                                 (name, WAIT_S, self.all)) from None

    def until(self, text, name="out"):
        """Skip lines until one that contains text; return it."""
        while True:
            line = self.line(name)
            if line is None:
                raise AssertionError("ended without %r: %r" % (text, self.all))
            if text in line:
                return line

    def signal(self, number):
        self.process.send_signal(number)

    def ended(self):
        """Wait for the end; the exit code."""
        code = self.process.wait(timeout=WAIT_S)
        for reader in self.readers:
            reader.join(timeout=WAIT_S)
        return code

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.ended()
        for stream in (self.process.stdin, self.process.stdout,
                       self.process.stderr):
            if stream:
                stream.close()


class Broker(Process):
    def __init__(self, listen="tcp://127.0.0.1:*"):
        super().__init__(TIDINGSD, "--listen", listen)
        try:
            self.url = self.until("listening ").split(" ", 1)[1]
            self.until("ready")
        except BaseException:
            self.end()
            raise


def run(*args, stdin=b"", env=None, timeout=WAIT_S):
    """tidings ARGS, to its end."""
    done = subprocess.run([TIDINGS, *args], input=stdin, capture_output=True,
                          timeout=timeout, env=env or environment())
    done.out = done.stdout.decode("utf-8", "surrogateescape")
    done.err = done.stderr.decode("utf-8", "surrogateescape")
    return done


def until(check):
    """What check() says as soon as that is true; None when it never was."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
    return None


class CommandLine(unittest.TestCase):
    """What needs no broker."""

    def check(self, code, *args, **options):
        done = run(*args, **options)
        self.assertEqual(done.returncode, code, (args, done.out, done.err))
        return done

    def test_help_is_printed_in_general_and_for_each_command(self):
        general = self.check(DONE, "--help").out
        for name in COMMANDS:
            self.assertRegex(general, r"(?m)^  %s\b" % name)
            of_one = self.check(DONE, name, "--help").out
            self.assertIn("Usage: tidings %s" % name, of_one)
            self.assertEqual(of_one, self.check(DONE, "help", name).out)
            self.assertEqual(of_one, self.check(DONE, name, "-h").out)
            for option in ("--url", "--timeout", "--help", "--version"):
                self.assertIn(option, of_one)
        self.assertEqual(general, self.check(DONE, "help").out)

    def test_help_documents_exit_codes_and_fits_80_columns(self):
        for args in [[]] + [[name] for name in COMMANDS]:
            text = self.check(DONE, *args, "--help").out
            self.assertRegex(text, r"(?m)^  3  no broker$")
            for line in text.splitlines():
                self.assertLessEqual(len(line), 80, line)
                self.assertEqual(line, line.rstrip(), args)

    def test_version_is_that_of_the_library(self):
        out = self.check(DONE, "--version").out
        self.assertRegex(out, r"^tidings \d+\.\d+\.\d+\n$")
        self.assertEqual(self.check(DONE, "pub", "--version").out, out)

    def test_nothing_to_do_prints_help_as_an_error(self):
        done = self.check(USAGE)
        self.assertEqual(done.out, "")
        self.assertIn("Usage: tidings COMMAND", done.err)

    def test_unknown_words_suggest_the_nearest(self):
        rows = [
            (["pup"], "did you mean pub?"),
            (["stat"], "did you mean stats?"),
            (["help", "pign"], "did you mean ping?"),
            (["xyzzy"], 'no command "xyzzy"'),
            (["a" * 10000], "no command"),
            (["--hepl"], "did you mean --help?"),
            (["pub", "--cuont", "3"], "did you mean --count?"),
            (["sub", "--jsno", "a"], "did you mean --json?"),
            (["ping", "--json"], "unknown option --json"),
            (["ping", "-x"], "unknown option -x"),
            (["sub", "-jx", "a"], "unknown option -x"),
            (["pub", "a", "-1"], "stands after --"),
        ]
        for args, said in rows:
            self.assertIn(said, self.check(USAGE, *args).err, args)

    def test_wrong_command_lines_say_what_is_wrong(self):
        many = ["--attr", "a=1"] * 65
        rows = [
            (["pub"], "TYPE"),
            (["pub", "a", "{}", "more"], "quote"),
            (["pub", "--event", "{}", "more"], "quote"),
            (["pub", "a..b", "{}"], "a..b"),
            (["pub", "a.*", "{}"], "a.*"),
            (["pub", "", "{}"], "type"),
            (["pub", "a b", "{}"], "a b"),
            (["pub", "a" * 256, "{}"], "type"),
            (["pub", "a", "{"], "line 1"),
            (["pub", "a", ""], "not JSON"),
            (["pub", "a", '{"x":1,"x":2}'], "duplicate"),
            (["pub", "a", "NaN"], "not JSON"),
            (["pub", "a", "[" * 100 + "]" * 100], "deep"),
            (["pub", "a", '"\\u0000"'], "NUL"),
            (["pub", "a", b'"\xff"'], "0xff"),
            (["pub", "--event", '{"id":"1"}'], "type is missing"),
            (["pub", "--event", '{"type":"a..b"}'], "EVENT"),
            (["pub", "a", "-", "--count", "3"], "--count"),
            (["pub", "a", "--count"], "wants a value"),
            (["pub", "a", "--count", "0"], "whole number"),
            (["pub", "a", "--count", "-1"], "whole number"),
            (["pub", "a", "--count", "1.5"], "whole number"),
            (["pub", "a", "--count", "99999999999999999999"], "whole number"),
            (["pub", "a", "--rate", "0"], "events per second"),
            (["pub", "a", "--rate", "nan"], "events per second"),
            (["pub", "a", "--rate", "fast"], "events per second"),
            (["pub", "a", "--timeout", "0"], "seconds"),
            (["pub", "a", "--timeout", "1e9"], "seconds"),
            (["pub", "a", "--attr", "novalue"], "NAME=VALUE"),
            (["pub", "a", "--attr", "=x"], "NAME=VALUE"),
            (["pub", "a", "--attr", "Big=x"], "a-z"),
            (["pub", "a", "--attr", "a" * 21 + "=x"], "a-z"),
            (["pub", "a", "--attr", "subject="], "empty"),
            (["pub", "a", "--attr", "type=x"], "type"),
            (["pub", "a", "--attr", "time=now"], "RFC 3339"),
            (["pub", "a", "--attr", 'time=","x":"'], "RFC 3339"),
            (["pub", "a", "--attr", "time=2023-02-29T00:00:00Z"], "RFC 3339"),
            (["pub", "--event", "--attr", "datacontenttype=a/b"], "DATA"),
            (["pub", "a", *many], "64"),
            (["pub", "a", "-a", "x=1", "-a", "y=1", "-a", "x=2"], "twice"),
            (["pub", "a", "-a", "subject=1", "-a", "subject=1"], "twice"),
            (["pub", "a", "--key", "1", "-a", "partitionkey=2"], "twice"),
            (["pub", "a", "--key", ""], "not empty"),
            (["sub"], "PATTERN"),
            (["sub", "a.>.b"], "a.>.b"),
            (["sub", "ok", ""], "pattern"),
            (["sub", "a", "--json=1"], "takes no value"),
            (["sub", "a", "--policy", "drop"], "drop_oldest"),
            (["sub", "a", "--group", "a b"], "A-Z"),
            (["sub", "a", "--group", ""], "A-Z"),
            (["sub", "a", "--group", "g" * 65], "64"),
            (["sub", "a", "--group", "g", "--group-policy", "any"], "random"),
            (["sub", "a", "--group-policy", "key"], "--group"),
            (["sub", "a", "--queue-events", "0"], "whole number"),
            (["sub", "a", "--queue-bytes", "1T"], "8M"),
            (["sub", "a", "--queue-bytes", "99999999999G"], "fewer"),
            (["ping", "host"], "--url"),
            (["stats", "all"], "--url"),
            (["stats", "--rows", "all"], "sessions"),
            (["stats", "--watch", "0"], "seconds"),
            (["stats", "--watch=soon"], "seconds"),
            (["stats", "--watch", "soon"], "--url"),
            (["audit", "all"], "--url"),
            (["top", "all"], "--url"),
            (["top"], "--once"),
            (["top", "--sort", "name"], "pending"),
            (["top", "--once", "--interval", "0"], "seconds"),
            (["bench", "all"], "--url"),
            (["bench", "--publishers", "0"], "1 to 64"),
            (["bench", "--subscribers", "65"], "1 to 64"),
            (["bench", "--types", "x"], "1 to"),
            (["bench", "--rounds", "-1"], "1 to"),
            (["bench", "--size", "8"], "48 bytes"),
            (["bench", "--size", "2M"], "48 bytes"),
            (["bench", "--count", "1", "--duration", "1"], "not both"),
            (["bench", "--group-policy", "random"], "--group"),
            (["ping", "--url", "nonsense"], "tcp://HOST:PORT"),
            (["ping", "--url", "udp://127.0.0.1:1"], "tcp://HOST:PORT"),
            (["--url", "", "ping"], "tcp://HOST:PORT"),
        ]
        for args, said in rows:
            done = self.check(USAGE, *args)
            self.assertIn(said, done.err, args)
            self.assertEqual(done.out, "", args)
            self.assertTrue(done.err.startswith("tidings: "), done.err)

    def test_a_url_that_is_wrong_is_printed_once(self):
        for url in ("nonsense", "udp://127.0.0.1:1", "tcp://127.0.0.1:x"):
            for args in (["pub", "a", "{}"], ["sub", "a"], ["audit"]):
                done = self.check(USAGE, *args, "--url", url)
                self.assertEqual(done.err.count(url), 1, done.err)

    def test_no_broker_names_the_url_and_what_to_do(self):
        # the port was free a moment ago: nobody listens there
        broker = Broker()
        url = broker.url
        broker.end()
        for args in (["ping"], ["stats"], ["sub", "a"], ["pub", "a", "{}"],
                     ["audit"], ["top", "--once"], ["bench"]):
            for how in ({"env": environment(TIDINGS_URL=url)}, None):
                extra = [] if how else ["--url", url]
                done = self.check(NO_BROKER, *args, "--timeout", "0.3", *extra,
                                  **(how or {}))
                self.assertIn("no broker answers at " + url, done.err)
                self.assertEqual(done.err.count(url), 2, done.err)
                self.assertIn("tidingsd --listen " + url, done.err)
                self.assertIn("TIDINGS_URL", done.err)
                self.assertEqual(done.out, "")

    def test_an_argument_with_terminal_codes_is_printed_escaped(self):
        for args in (["\x1b[31m"], ["pub", "\x1b]0;x\x07", "{}"],
                     ["sub", "\x9b1m"], ["ping", "--url", "\x1b[2J"],
                     ["pub", "a", "--attr", "x\r=\x1b"]):
            done = self.check(USAGE, *args)
            self.assertIsNone(OBEYED.search(done.err), repr(done.err))

    def test_a_signal_ends_the_wait_for_a_broker(self):
        waiting = Process(TIDINGS, "ping", "--timeout", "600", "--url",
                          "ipc:///nowhere/at/all")
        self.addCleanup(waiting.end)
        # it has caught the signal when /proc says that it does
        status = "/proc/%d/status" % waiting.process.pid
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with open(status, encoding="ascii") as lines:
                caught = [l for l in lines if l.startswith("SigCgt")][0]
            if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
                break
        waiting.signal(signal.SIGTERM)
        self.assertEqual(waiting.ended(), FAILED)


class WithBroker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        cls.broker.end()

    def env(self, **changes):
        return environment(TIDINGS_URL=self.broker.url, **changes)

    def check(self, code, *args, **options):
        options.setdefault("env", self.env())
        done = run(*args, **options)
        self.assertEqual(done.returncode, code, (args, done.out, done.err))
        return done

    def start(self, *args, **options):
        options.setdefault("env", self.env())
        process = Process(TIDINGS, *args, **options)
        self.addCleanup(process.end)
        return process

    def sub(self, *args, **options):
        process = self.start("sub", *args, **options)
        process.until("subscribed", "err")
        return process

    def events(self, sub, count):
        return [json.loads(sub.line()) for _ in range(count)]


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


class OnTerminal(WithBroker):
    def open_terminal(self):
        try:
            return pty.openpty()
        except OSError as error:
            self.skipTest("needs a pseudo terminal: %s" % error)

    def read_terminal(self, *args, publish, **changes):
        """What `tidings ARGS` prints on a terminal, to its end."""
        leader, follower = self.open_terminal()
        try:
            process = self.start(*args, stdout=follower,
                                 env=self.env(**changes))
            process.until("subscribed", "err")
            publish()
            os.close(follower)
            follower = None
            return self.read_all(leader)
        finally:
            os.close(leader)
            if follower is not None:
                os.close(follower)

    def read_all(self, leader):
        text = b""
        deadline = time.monotonic() + WAIT_S
        while select.select([leader], [], [], deadline - time.monotonic())[0]:
            try:
                got = os.read(leader, 65536)
            except OSError:  # EIO: the other end is closed
                got = b""
            if not got:
                return text.decode()
            text += got
        raise AssertionError("no end of output: %r" % text)

    def publish(self):
        self.check(DONE, "pub", "short", "1", "-a",
                   "time=2024-02-29T12:34:56.789Z")
        self.check(DONE, "pub", "much.longer.type", '{"a": "\x1b"}'.replace(
            "\x1b", "\\u001b"), "-a", "source=/x")
        self.check(DONE, "pub", "short", "3")

    def test_columns_are_aligned_and_coloured(self):
        text = self.read_terminal("sub", "--count", "3", ">",
                                  publish=self.publish)
        self.assertIn("\x1b[", text)
        lines = re.sub("\x1b\\[[0-9;]*m", "", text).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertEqual(lines[0], "12:34:56.789  short  /tidings  1")
        self.assertIn('{"a":"\\u001b"}', lines[1])
        self.assertEqual(lines[1].index("/x"), lines[2].index("/tidings"))
        self.assertEqual(lines[1].index("{"), lines[2].index("3", 14))

    def test_no_colour_where_none_is_wanted(self):
        for changes in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            text = self.read_terminal("sub", "--count", "3", ">",
                                      publish=self.publish, **changes)
            self.assertNotIn("\x1b", text)
            self.assertEqual(len(text.splitlines()), 3)

    def test_long_publishing_shows_progress_and_a_summary(self):
        leader, follower = self.open_terminal()
        self.addCleanup(os.close, leader)
        with subprocess.Popen(
                [TIDINGS, "pub", "bar", "{}", "--count", "100", "--rate",
                 "100"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=follower, env=self.env()) as process:
            os.close(follower)
            text = self.read_all(leader)
            self.assertEqual(process.stdout.read(), b"")
            self.assertEqual(process.wait(timeout=WAIT_S), DONE)
        self.assertRegex(text, r"\r\[#+ *\] +\d+ %  \d+ of 100 ")
        self.assertRegex(text, r"100 events in \d+\.\d\d s, \d+/s\r\n$")


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


def main(module, name):
    """Run the tests of a module; what the process is to exit with."""
    for path in (TIDINGS, TIDINGSD):
        if not (BIN and os.access(path, os.X_OK)):
            print("TIDINGS_BIN: no %s there" % os.path.basename(path),
                  file=sys.stderr)
            return 2
    names = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    loader = unittest.defaultTestLoader
    suite = (loader.loadTestsFromNames(names, module) if names
             else loader.loadTestsFromModule(module))
    runner = unittest.TextTestRunner(verbosity=2 if "-v" in sys.argv else 1)
    result = runner.run(suite)
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    print("%s: %d passed, %d failed, %d skipped" %
          (name, result.testsRun - failed - skipped, failed, skipped))
    if failed:
        return 1
    return 77 if skipped == result.testsRun else 0 # what CTest calls skipped


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__], "cli"))
