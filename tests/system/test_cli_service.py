#!/usr/bin/env python3
"""`tidings service` and `tidings request`, against services in another language.

    TIDINGS_BIN=build/bin tests/system/test_cli_service.py [-v] [TestCase.test_name]
"""
import base64
import json
import os
import pty
import signal
import subprocess
import sys
import unittest

import cli
from cli import (DONE, FAILED, TIMED_OUT, USAGE, NO_BROKER, OBEYED, Process,
                 WithBroker)

try:
    import msgpack  # foreign_service.py needs both
    import zmq
    THERE = bool(msgpack and zmq)
except ImportError:
    THERE = False

NOBODY, ANSWERED = 5, 6
FOREIGN = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "foreign_service.py")


@unittest.skipUnless(THERE, "python3-zmq and python3-msgpack are not there")
class WithServices(WithBroker):
    def serve(self, name, version, type, *options):
        """A process that serves; it ends with the test."""
        service = Process(sys.executable, FOREIGN, self.broker.url, "serve",
                          name, version, type, *options,
                          stdin=subprocess.PIPE)
        self.addCleanup(service.end)
        service.id = service.until("ready").split(" ")[1]
        return service

    def say(self, service, line):
        service.process.stdin.write((line + "\n").encode())
        service.process.stdin.flush()

    def rows(self, *args):
        return [json.loads(line) for line in
                self.check(DONE, *args, "--json").out.splitlines()]

    def soon(self, check):
        found = cli.until(check)
        self.assertTrue(found, "it never came true")
        return found

    def name(self):
        """A service's name that no other test has."""
        return self.id().rsplit(".", 1)[1].replace("test_", "")[-40:]


class Registry(WithServices):
    def test_instances_are_listed(self):
        name = self.name()
        one = self.serve(name, "1.2.0", name + ".get", "description=all of it",
                         "balance=least_in_flight")
        two = self.serve(name, "2.0.0", name + ".>", "id=two", "state=3",
                         "text=\x1b[31mslow")
        rows = self.rows("service", "list", name)
        self.assertEqual({row["id"]: row["state"] for row in rows},
                         {one.id: "running", "two": "degraded"})
        self.assertEqual({row["id"] for row in self.rows("service", "list")} &
                         {one.id, "two"}, {one.id, "two"})
        table = self.check(DONE, "service", "list", name).out
        self.assertNotRegex(table, OBEYED)
        lines = table.splitlines()
        self.assertRegex(lines[0], "^service +id +version +state +in flight "
                         "+for +client +answers +why$")
        self.assertEqual(len(lines), 3)
        at = lines[0].index("state")
        self.assertEqual({line[at:].split()[0] for line in lines[1:]},
                         {"running", "degraded"})
        self.assertEqual(self.rows("service", "list", name, "--id",
                                   "two")[0]["version"], "2.0.0")
        info = self.check(DONE, "service", "info", name, "--id", one.id).out
        for text in ("%s %s: running" % (name, one.id), "1.2.0", "all of it",
                     "foreign-serve", "pid=", "least_in_flight", "4096"):
            self.assertIn(text, info)
        self.assertNotIn("two", info)
        self.say(two, "stop")
        self.assertEqual(two.ended(), DONE)
        self.assertEqual(len(self.rows("service", "list", name)), 1)
        done = self.check(USAGE, "service", "info", name, "--id", "two")
        self.assertIn("no instance has that id", done.err)

    def on_terminal(self, *args, **changes):
        """What a command prints on a terminal."""
        try:
            reader, writer = pty.openpty()
        except OSError as error:
            self.skipTest("needs a pseudo terminal: %s" % error)
        try:
            subprocess.run([cli.TIDINGS, *args], stdin=subprocess.DEVNULL,
                           stdout=writer, stderr=subprocess.DEVNULL,
                           env=self.env(**changes), timeout=cli.WAIT_S,
                           check=True)
            return os.read(reader, 65536).decode()
        finally:
            os.close(reader)
            os.close(writer)

    def test_states_have_colours_on_a_terminal(self):
        name = self.name()
        self.serve(name, "1.0.0", name)
        self.serve(name, "1.0.0", name, "state=5")
        for command in (("list", name), ("info", name)):
            out = self.on_terminal("service", *command)
            self.assertIn("\x1b[32mrunning\x1b[0m", out)
            self.assertIn("\x1b[31mdown\x1b[0m", out)
        plain = self.on_terminal("service", "list", name, NO_COLOR="1")
        self.assertIn("running", plain)
        self.assertNotIn("\x1b", plain)

    def test_who_is_not_there_is_said(self):
        for command in ("list", "info", "stats", "drain"):
            done = self.check(USAGE, "service", command, "nobody")
            self.assertIn("service nobody: no instance has that name", done.err)
        done = self.check(NOBODY, "service", "ping", "nobody")
        self.assertIn("no instance is there", done.err)

    def test_wrong_command_lines_say_what_is_wrong(self):
        rows = [
            (["service", "drain"], "wants NAME"),
            (["service", "drain", "a", "b"], 'takes no "b"'),
            (["service", "drain", "a", "--wait", "--undo"], "--wait"),
            (["service", "weight", "a", "1.0.0"], "NAME VERSION PERCENT"),
            (["service", "weight", "a", "1.0.0", "101"], "0 to 100"),
            (["service", "weight", "a", "1.0.0", "five"], "0 to 100"),
            (["service", "weight", "a", "1.0.0", ""], "0 to 100"),
            (["service", "weight", "a", "one", "5"], "semantic version"),
            (["service", "weight", "a b", "1.0.0", "5"], "1 to 64"),
            (["service", "lsit"], "did you mean service list?"),
            (["service"], "service COMMAND"),
            (["request"], "wants a TYPE"),
            (["request", "a", "1", "2"], "quote them"),
            (["request", "a..b"], "a..b"),
            (["request", "a", "{"], "DATA"),
            (["request", "a", "--count", "1"], "go with --many"),
            (["request", "a", "--quiet", "1s"], "go with --many"),
            (["request", "a", "--attempts", "2"], "goes with --idempotent"),
            (["request", "a", "--many", "--idempotent"], "every instance"),
            (["request", "a", "--balance", "fair"], "round_robin"),
            (["request", "a", "--timeout", "0"], "a time such as"),
            (["request", "a", "--timeout", "1h30"], "a time such as"),
            (["request", "$tidings.x"], "$tidings.x"),
        ]
        for args, said in rows:
            self.assertIn(said, self.check(USAGE, *args).err, args)
        gone = cli.environment(TIDINGS_URL="tcp://127.0.0.1:1")
        for args in (["service", "list"], ["service", "ping"],
                     ["request", "a"]):
            self.check(NO_BROKER, *args, "--timeout", "0.3", env=gone)

    def test_silence_is_down_until_it_is_heard_of(self):
        name = self.name()
        service = self.serve(name, "1.0.0", name, "health_ms=100")
        self.say(service, "mute")
        row = self.soon(lambda: [row for row in
                                 self.rows("service", "list", name)
                                 if row["state"] == "down"])[0]
        self.assertIn("nothing was heard of it", row["text"])
        self.check(NOBODY, "request", name)
        self.say(service, "health 2")
        self.soon(lambda: self.rows("service", "list", name)[0]["state"] ==
                  "running")
        self.check(DONE, "request", name)

    def test_changes_are_watched(self):
        name = self.name()
        watch = self.start("service", "watch", name, "--count", "4")
        watch.until("watching", "err")
        service = self.serve(name, "1.0.0", name, "id=w1")
        self.say(service, "health 3 slow disk")
        watch.until("slow disk")
        self.check(DONE, "service", "drain", name)
        self.assertEqual(service.line(), "drain")
        self.say(service, "stop")
        self.assertEqual(watch.ended(), DONE)
        lines = watch.all["out"]
        self.assertEqual([line.split()[1] for line in lines],
                         ["up", "health", "health", "down"])
        for line in lines:
            self.assertRegex(line, r"^\S+Z +\w+ +%s +w1 +1\.0\.0 " % name)

    def test_drained_instances_get_nothing_new(self):
        name = self.name()
        one = self.serve(name, "1.0.0", name, "id=d1")
        two = self.serve(name, "1.0.0", name, "id=d2")
        slow = self.start("request", name, '{"sleep_ms": 600}', "--instance",
                          "d1")
        one.until("task")
        done = self.check(TIMED_OUT, "service", "drain", name, "--id", "d1",
                          "--wait", "--timeout", "0.05")
        self.assertIn("1 request is still in flight", done.err)
        self.assertEqual(one.line(), "drain")
        for _ in range(4):
            row = self.rows("request", name, "1")[0]
            self.assertEqual(row["instance"], "d2")
        # what is in flight goes on
        out = self.check(DONE, "service", "drain", name, "--id", "d1",
                         "--wait").out
        self.assertEqual(out, "1 instance of service %s is drained\n" % name)
        self.assertEqual(slow.ended(), DONE)
        self.assertEqual(slow.all["out"], ['{"sleep_ms":600}'])
        self.assertEqual(self.rows("service", "drain", name),
                         [{"service": name, "draining": 2}])
        self.assertEqual([row["state"] for row in
                          self.rows("service", "list", name)],
                         ["draining"] * 2)
        self.check(NOBODY, "request", name)
        table = self.check(DONE, "service", "list", name).out
        self.assertEqual(table.count(" draining "), 2)
        self.check(DONE, "service", "drain", name, "--undo")
        self.assertEqual(two.until("undrain"), "undrain")
        self.check(DONE, "request", name)

    def test_weights_are_kept(self):
        name = self.name()
        self.serve(name, "1.0.0", name, "id=v1")
        self.serve(name, "2.0.0", name, "id=v2")
        self.check(DONE, "service", "weight", name, "2.0.0", "25%")
        stdin = b"1\n" * 40
        rows = [json.loads(line) for line in
                self.check(DONE, "request", name, "-", "--json",
                           stdin=stdin).out.splitlines()]
        self.assertEqual([row["instance"] for row in rows].count("v2"), 10)
        self.assertIn("2.0.0 25 %",
                      self.check(DONE, "service", "stats", name).out)
        done = self.check(USAGE, "service", "weight", name, "1.0.0", "76")
        self.assertIn("more than 100 percent", done.err)
        self.check(DONE, "service", "weight", name, "2.0.0", "none")
        self.assertNotIn("25 %", self.check(DONE, "service", "stats",
                                            name).out)


class Requests(WithServices):
    def test_answers_are_printed(self):
        name = self.name()
        self.serve(name, "1.0.0", name, "id=r1")
        out = self.check(DONE, "request", name, '{"id": 7, "b": [null, 1.5]}')
        self.assertEqual(out.out, '{"id":7,"b":[null,1.5]}\n')
        self.assertEqual(self.check(DONE, "request", name, "-",
                                    stdin=b'1\n\n"x"\n').out, '1\n"x"\n')
        self.assertEqual(self.rows("request", name, '"\\u0007"', "--service",
                                   name, "--version", "1.0.0", "--key", "k",
                                   "--balance", "by_key"),
                         [{"err": "OK", "status": 0, "attempts": 1,
                           "text": "", "instance": "r1", "data": "\x07"}])
        self.check(NOBODY, "request", name, "1", "--version", "9.0.0")

    def test_answers_that_are_not_msgpack_are_bytes(self):
        name = self.name()
        self.serve(name, "1.0.0", name, "id=b1")
        for status, code in ((0, DONE), (404, ANSWERED)):
            wish = json.dumps({"raw": "{no}", "status": status})
            row = json.loads(self.check(code, "request", name, wish,
                                        "--json").out)
            self.assertNotIn("data", row)
            self.assertEqual(base64.b64decode(row["data_base64"]), b"{no}")
        done = self.check(ANSWERED, "request", name, wish)
        self.assertIn("4 bytes that are not msgpack", done.err)

    def test_answers_that_are_texts_are_printed_as_such(self):
        name = self.name()
        self.serve(name, "1.0.0", name)
        for raw, printed in (("hello", "hello"), ("två ord", "två ord"),
                             ("a\tb", "a\\tb"),
                             ("a\x1b[2J", "(5 bytes of application/octet-stream)")):
            self.assertEqual(self.check(DONE, "request", name, json.dumps(
                {"raw": raw, "status": 0})).out, printed + "\n")

    def test_errors_have_their_exit_codes(self):
        name = self.name()
        self.serve(name, "1.0.0", name, "id=e1")
        done = self.check(ANSWERED, "request", name, '{"status": 404}')
        self.assertEqual(done.out, "")
        self.assertIn("%s: answered with status 404 by e1: as you wished" %
                      name, done.err)
        self.assertIn('{"status":404}', done.err)
        row = json.loads(self.check(ANSWERED, "request", name,
                                    '{"status": 503}', "--json",
                                    "--idempotent").out)
        self.assertEqual((row["err"], row["status"], row["attempts"] > 1),
                         ("EREMOTE", 503, True))
        done = self.check(TIMED_OUT, "request", name, '{"sleep_ms": 5000}',
                          "--timeout", "100ms")
        self.assertIn("no answer", done.err)
        done = self.check(NOBODY, "request", "nobody." + name)
        self.assertIn("service list", done.err)

    def test_a_killed_instance_is_lost_at_once(self):
        name = self.name()
        service = self.serve(name, "1.0.0", name)
        request = self.start("request", name, '{"sleep_ms": 9000}',
                             "--timeout", "14")
        service.until("task")
        service.signal(signal.SIGKILL)
        self.assertEqual(request.ended(), FAILED)
        self.check(USAGE, "service", "list", name)

    def test_many_are_asked(self):
        name = self.name()
        for id in ("m1", "m2", "m3"):
            self.serve(name, "1.0.0", name, "id=" + id)
        out = self.check(DONE, "request", "--many", name, "7").out
        self.assertEqual(sorted(out.splitlines()),
                         ["m1\t7", "m2\t7", "m3\t7"])
        rows = self.rows("request", "--many", name, "7", "--count", "2")
        self.assertEqual(len(rows), 2)
        rows = self.rows("request", "--many", name, "7", "--instance", "m2")
        self.assertEqual([row["instance"] for row in rows], ["m2"])
        self.check(NOBODY, "request", "--many", "nobody." + name)

    def test_instances_are_pinged(self):
        name = self.name()
        self.serve(name, "1.0.0", name, "id=p1")
        other = self.serve(name, "1.0.0", name, "id=p2", "state=3", "text=so")
        rows = self.rows("service", "ping", name)
        self.assertEqual({row["id"]: row["state"] for row in rows},
                         {"p1": "running", "p2": "degraded"})
        self.assertTrue(all(0 < row["us"] < 5e6 and row["service"] == name
                            for row in rows))
        table = self.check(DONE, "service", "ping", name).out.splitlines()
        self.assertRegex(table[0], "^service +id +state +after +why$")
        self.assertRegex("\n".join(table), r"(?m)^%s +p2 +degraded +[0-9.]+ .s +so$" % name)
        other.signal(signal.SIGSTOP)
        try:
            done = self.check(TIMED_OUT, "service", "ping", name, "--timeout",
                              "0.3")
        finally:
            other.signal(signal.SIGCONT)
        self.assertRegex(done.out, r"(?m)^%s +p1 +running " % name)

    def test_a_ping_shows_the_breakers_of_programs(self):
        name = self.name()
        told = [{"name": "bank", "breaker": "open", "open_ms": 4200,
                 "failures": 5, "allowed": 9, "refused": 7, "changes": 1},
                {"name": "post", "breaker": "closed", "open_ms": 0,
                 "failures": 0, "allowed": 3, "refused": 0, "changes": 2}]
        self.serve(name, "1.0.0", name, "id=k1",
                   "breakers=" + json.dumps(told))
        self.serve(name, "1.0.0", name, "id=k2", 'breakers="no list"')
        self.serve(name, "1.0.0", name, "id=k3")
        rows = {row["id"]: row["breakers"]
                for row in self.rows("service", "ping", name)}
        self.assertEqual(rows, {"k1": told, "k2": [], "k3": []})
        out = self.check(DONE, "service", "ping", name).out
        self.assertRegex(out, r"(?m)^instance +breaker +is +failures +refused "
                              r"+changes +open for$")
        self.assertRegex(out, r"(?m)^k1 +bank +open +5 +7 +1 +4\.2 s$")
        self.assertRegex(out, r"(?m)^k1 +post +closed +0 +0 +2 +-$")

    def test_counts_add_up(self):
        name = self.name()
        self.serve(name, "1.0.0", name + ".>", "id=c1", "endpoint=all")
        for data in ("1", "2", '{"status": 500}', '{"sleep_ms": 30}'):
            self.check(DONE if "stat" not in data else ANSWERED, "request",
                       name + ".x", data)
        row, total = self.rows("service", "stats", name)
        self.assertEqual((total["name"], total["breaker"], total["weights"],
                          total["noresponder"]), (name, "closed", {}, 0))
        endpoint = row["endpoints"][0]
        self.assertEqual((endpoint["requests"], endpoint["errors"],
                          endpoint["timeouts"], endpoint["in_flight"]),
                         (4, 1, 0, 0))
        self.assertEqual(endpoint["last_error"], "500 as you wished")
        self.assertEqual(sum(n for _below, n in endpoint["histogram"]), 4)
        self.assertGreaterEqual(endpoint["took_max_us"], 30000)
        line = self.check(DONE, "service", "stats", name).out.splitlines()[1]
        self.assertRegex(line, r"^%s +c1 +all +4 +1 .* ms  closed " % name)
        requests = json.loads(self.check(DONE, "stats", "--json").out)[
            "requests"]
        self.assertEqual(requests["accepted"],
                         sum(requests[key] for key in (
                             "answered", "errors", "timeouts", "lost",
                             "in_flight")))
        self.check(DONE, "audit")
        top = self.check(DONE, "top", "--once", "--interval", "0.1").out
        self.assertRegex(top, r"^published .* requests \S+/s  sessions ")


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_service"))
