#!/usr/bin/env python3
"""The `tidings` command line itself: help, mistakes, no broker.

    TIDINGS_BIN=build/bin tests/system/test_cli_usage.py [-v] [TestCase.test_name]
"""
import os
import re
import signal
import subprocess
import sys
import time
import unittest

import cli
from cli import (COMMANDS, DONE, FAILED, NO_BROKER, OBEYED, TIDINGS, USAGE,
                 WAIT_S, Broker, Process, environment, run)


# What belongs to a command and not to what it makes.
NOT_IN_MANUAL = {"count", "event", "help", "json", "rate", "timeout", "url",
                 "version"}
# What a structure is about, and the length of a list.
NAMES = {"name", "stream", "group", "patterns_len", "policy"}


def read(path):
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    with open(os.path.join(root, path), encoding="utf-8") as lines:
        return lines.read()


def section(text, head):
    return text.split("\n" + head + "\n", 1)[1].split("\n## ", 1)[0]


def options_of(text):
    return re.findall(r"(?m)^ +(?:-\w, )?--([a-z-]+)", text)


def fields_of(header, name):
    body = re.search(r"struct tidings_%s_options \{(.*?)\n\};" % name, header,
                     re.S).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    return re.findall(r"(\w+)(?:\)\([^;]*\))?;", body)


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

    def test_help_has_its_commands_in_columns(self):
        rows = self.check(DONE, "--help").out.split("Commands:\n")[1]
        rows = rows.split("\n\n")[0].splitlines()
        self.assertGreater(len(rows), 10)
        for row in rows:
            self.assertRegex(row, r"^  [a-z]+ +.* [a-z]")
            self.assertRegex(row[10:11] + row[24:26], r"^  [a-z]$", row)

    def test_help_documents_exit_codes_and_fits_80_columns(self):
        for args in [[]] + [[name] for name in
                            COMMANDS + ["up", "status", "down"]]:
            text = self.check(DONE, *args, "--help").out
            self.assertRegex(text, r"(?m)^  3  no broker$")
            for line in text.splitlines():
                self.assertLessEqual(len(line), 80, line)
                self.assertEqual(line, line.rstrip(), args)

    def test_the_manual_has_each_option(self):
        """README.md's section Options: those of the command line, and of the
        structures in C, whose times are in milliseconds."""
        manual = section(read("README.md"), "## Options")
        said = set(re.findall(r"--([a-z-]+)", manual))
        for command in ("stream add", "group add", "pub", "sub"):
            for option in options_of(self.check(DONE, *command.split(),
                                                "--help").out):
                self.assertIn(option, said | NOT_IN_MANUAL, command)
        done = subprocess.run([os.path.join(os.path.dirname(TIDINGS),
                                            "tidingsd"), "--help"],
                              capture_output=True, text=True, timeout=WAIT_S,
                              check=True)
        for option in options_of(done.stdout):
            self.assertIn(option, said | NOT_IN_MANUAL, "tidingsd")
        said |= set(re.findall(r"`([a-z_]+)`", manual))
        for header, name in (("durable.h", "stream"), ("durable.h", "group"),
                             ("durable.h", "publish"), ("tidings.h", "sub")):
            for field in fields_of(
                    read("client/include/tidings/" + header), name):
                option = re.sub("_ms$", "", field).replace("_", "-")
                self.assertIn(option if option in said else field,
                              said | NAMES, name)

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
            (["sub", "a", "--window-events", "0"], "whole number"),
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


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_usage"))
