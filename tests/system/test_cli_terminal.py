#!/usr/bin/env python3
"""`tidings` on a terminal: columns, colours, progress.

    TIDINGS_BIN=build/bin tests/system/test_cli_terminal.py [-v] [TestCase.test_name]
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import cli
from cli import DONE, TIDINGS, WAIT_S, WithBroker, WithStreams


class Terminal:
    """For a class of tests: processes that write to a terminal."""

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

    def read_errors(self, *args):
        """What `tidings ARGS` prints on a terminal as standard error, and the
        bytes of its output, which goes elsewhere."""
        leader, follower = self.open_terminal()
        self.addCleanup(os.close, leader)
        with subprocess.Popen(
                [TIDINGS, *args], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=follower,
                env=self.env()) as process:
            os.close(follower)
            text = self.read_all(leader)
            out = process.stdout.read()
            self.assertEqual(process.wait(timeout=WAIT_S), DONE)
        return text, out


def child_of(pid):
    """The process that another has forked; None when there is none."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid),
                  encoding="utf-8") as file:
            children = file.read().split()
    except OSError: # it is gone
        return None
    return int(children[0]) if children else None


class OnTerminal(Terminal, WithBroker):
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
        text, out = self.read_errors("pub", "bar", "{}", "--count", "100",
                                     "--rate", "100")
        self.assertEqual(out, b"")
        self.assertRegex(text, r"\r\[#+ *\] +\d+ %  \d+ of 100 ")
        self.assertRegex(text, r"100 events in \d+\.\d\d s, \d+/s\r\n$")


class Verifying(Terminal, unittest.TestCase):
    """A folder is checked in a child process. It is stopped again and again, so
    that this takes long enough for a bar."""

    def setUp(self):
        if not os.path.exists("/proc/self/task/%d/children" % os.getpid()):
            self.skipTest("the kernel does not tell who is whose child")
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        broker = cli.Broker("tcp://127.0.0.1:*", "--data", self.dir)
        try:
            done = cli.run("pub", "a", json.dumps("x" * 4000), "--count",
                           "10000", "--confirm", "os",
                           env=cli.environment(TIDINGS_URL=broker.url))
            self.assertEqual(done.returncode, DONE, done.err)
            broker.signal(signal.SIGTERM)
            self.assertEqual(broker.ended(), 0)
        finally:
            broker.end()

    def read_some(self, leader):
        if not select.select([leader], [], [], 0.1)[0]:
            return ""
        try:
            return os.read(leader, 65536).decode()
        except OSError: # EIO: the other end is closed
            return ""

    def slowly(self, process, leader):
        """What is shown until there is a bar, or the child is gone."""
        text = ""
        child = cli.until(lambda: child_of(process.pid) or
                          process.poll() is not None)
        while child is not True and "[" not in text:
            try:
                os.kill(child, signal.SIGSTOP)
                text += self.read_some(leader)
                os.kill(child, signal.SIGCONT)
            except ProcessLookupError:
                break
        return text

    def verify(self):
        leader, follower = self.open_terminal()
        try:
            with subprocess.Popen(
                    [TIDINGS, "store", "verify", self.dir],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=follower, env=cli.environment()) as process:
                os.close(follower)
                text = self.slowly(process, leader) + self.read_all(leader)
                self.assertIn(b"sound: ", process.stdout.read())
                self.assertEqual(process.wait(timeout=WAIT_S), DONE)
            return text
        finally:
            os.close(leader)

    def test_a_long_check_shows_progress(self):
        # the child may be through before it is seen
        text = cli.until(self.verify)
        self.assertRegex(text or "", r"\r\[#* *\] +\d+ %  \d+ of \d+ pages ")
        self.assertTrue(text.endswith("\r\x1b[K"), text)


class StreamsOnTerminal(Terminal, WithStreams):
    def test_events_of_a_stream_stand_behind_their_sequence(self):
        name = self.stream()
        self.check(DONE, "pub", name + ".a", "1", "--count", "10",
                   "--confirm", "disk", "-a", "time=2024-02-29T12:34:56Z")
        leader, follower = self.open_terminal()
        self.addCleanup(os.close, leader)
        tail = self.start("tail", name, "--start", "9", stdout=follower)
        os.close(follower)
        lines = re.sub("\x1b\\[[0-9;]*m", "", self.read_all(leader))
        self.assertEqual(tail.ended(), DONE)
        self.assertEqual(lines.splitlines(), [
            "%s  12:34:56.000  %s.a  /tidings  1" % (n, name)
            for n in ("9", "10")])

    def test_a_long_replay_shows_progress_and_a_summary(self):
        name = self.stream()
        self.check(DONE, "pub", name + ".a", "1", "--count", "100",
                   "--confirm", "disk")
        text, out = self.read_errors("replay", name, "--rate", "100")
        self.assertEqual(len(out.splitlines()), 100)
        self.assertRegex(text, r"\r\[#+ *\] +\d+ %  \d+ of 100  \d+/s")
        self.assertRegex(text, r"100 events in \d+\.\d\d s, up to 100\r\n$")

    def test_a_long_redrive_shows_progress(self):
        name = self.stream()
        self.dead_letters(name, "g", 100)
        text, out = self.read_errors("dlq", "redrive", name, "g", "--rate",
                                     "100")
        self.assertEqual(out, b"100 redriven\n")
        self.assertRegex(text, r"\r\[#+ *\] +\d+ %  \d+ of 100 ")
        self.assertTrue(text.endswith("\r\x1b[K"), text)

    def test_a_long_purge_shows_progress(self):
        name = self.stream()
        self.dead_letters(name, "g", 100)
        text, out = self.read_errors("dlq", "purge", name, "g", "--yes",
                                     "--limit", "99", "--rate", "100")
        self.assertEqual(out, b"99 purged\n")
        self.assertRegex(text, r"\r\[#+ *\] +\d+ %  \d+ of 99 ")
        self.assertTrue(text.endswith("\r\x1b[K"), text)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_terminal"))
