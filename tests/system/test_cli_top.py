#!/usr/bin/env python3
"""`tidings top`: the table of --once, and the screen, as a terminal shows it.

The terminal is a VT52 of our own behind a pseudo terminal: a dozen codes.

    TIDINGS_BIN=build/bin tests/system/test_cli_top.py [-v] [TestCase.test_name]
"""
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import tempfile
import termios
import threading
import time

import cli
from cli import DONE, FAILED, NO_BROKER, TIDINGS, USAGE, WAIT_S, until

LINES, COLUMNS = 24, 80


class Terminal:
    """A VT52 (terminfo) and the leader's end of a pseudo terminal."""

    def __init__(self):
        self.leader, self.follower = pty.openpty()
        self.before = termios.tcgetattr(self.follower)
        self.resize(LINES, COLUMNS)
        self.y = self.x = 0
        self.raw = b""
        self.lock = threading.Lock()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def resize(self, lines, columns):
        self.lines, self.columns = lines, columns
        self.cells = [[" "] * columns for _ in range(lines)]
        fcntl.ioctl(self.follower, termios.TIOCSWINSZ,
                    struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        rest = b""
        while True:
            try:
                got = os.read(self.leader, 65536)
            except OSError:
                return
            if not got:
                return
            with self.lock:
                self.raw += got
                rest = self.feed(rest + got)

    def feed(self, data):
        """Obey data; return what is cut short."""
        at = 0
        while at < len(data):
            byte = data[at:at + 1]
            need = 4 if data[at:at + 2] == b"\x1bY" else 2
            if byte == b"\x1b":
                if len(data) - at < need:
                    return data[at:]
                self.obey(data[at + 1:at + need])
                at += need
                continue
            if byte == b"\r":
                self.x = 0
            elif byte == b"\n" and self.y == self.lines - 1:
                self.cells = self.cells[1:] + [[" "] * self.columns]
            elif byte == b"\n":
                self.y += 1
            elif byte == b"\t":
                self.x = min(self.x // 8 * 8 + 8, self.columns - 1)
            elif byte == b"\b":
                self.x = max(self.x - 1, 0)
            elif byte >= b" " and self.y < self.lines:
                if self.x < self.columns:
                    self.cells[self.y][self.x] = byte.decode("ascii", "replace")
                self.x += 1
            at += 1
        return b""

    def obey(self, code):
        kind = code[:1]
        if kind == b"Y":
            self.y, self.x = code[1] - 32, code[2] - 32
        elif kind == b"H":
            self.y = self.x = 0
        elif kind == b"B":
            self.y = min(self.y + 1, self.lines - 1)
        elif kind == b"I" and self.y == 0:
            self.cells = [[" "] * self.columns] + self.cells[:-1]
        elif kind in b"AI":
            self.y = max(self.y - 1, 0)
        elif kind == b"C":
            self.x += 1
        elif kind == b"D":
            self.x = max(self.x - 1, 0)
        elif kind in b"JK":
            self.blank(self.y, self.x)
            for y in range(self.y + 1, self.lines if kind == b"J" else 0):
                self.blank(y, 0)

    def blank(self, y, x):
        if y < self.lines:
            self.cells[y][x:] = [" "] * (self.columns - x)

    def text(self):
        with self.lock:
            return "\n".join("".join(row).rstrip() for row in self.cells)

    def shows(self, pattern):
        """Wait until the screen matches."""
        found = until(lambda: time.sleep(0.01) or
                      re.search(pattern, self.text(), re.M))
        assert found, "no %r in\n%s" % (pattern, self.text())
        return found

    def press(self, keys):
        os.write(self.leader, keys)

    def close(self):
        os.close(self.follower)
        self.reader.join(timeout=WAIT_S)  # it may not read what comes to be
        os.close(self.leader)             # opened under the same number


class OnTerminal(cli.WithBroker):
    def setUp(self):
        try:
            self.terminal = Terminal()
        except OSError as error:
            self.skipTest("needs a pseudo terminal: %s" % error)
        self.addCleanup(self.terminal.close)


class Screen(OnTerminal):
    def top(self, *args, term="vt52", url=None):
        follower = self.terminal.follower
        with self.terminal.lock:  # what an earlier one has left
            self.terminal.raw = b""
            self.terminal.resize(LINES, COLUMNS)
        process = cli.Process(
            TIDINGS, "top", "--interval", "0.2", *args, stdin=follower,
            stdout=follower, start_new_session=True,
            env=cli.environment(TERM=term,
                                TIDINGS_URL=url or self.broker.url))
        self.addCleanup(process.end)
        if not until(lambda: self.terminal.raw or process.process.poll()):
            raise AssertionError("nothing was drawn: %r" % process.all)
        if process.process.poll() is not None:
            process.ended()
            if "no screen" in "".join(process.all["err"]):
                self.skipTest("needs a build with ncurses")
        return process

    def restored(self, process, code):
        self.assertEqual(process.ended(), code, process.all)
        self.assertEqual(termios.tcgetattr(self.terminal.follower),
                         self.terminal.before)

    def resize(self, process, lines, columns):
        with self.terminal.lock:
            self.terminal.resize(lines, columns)
        process.signal(signal.SIGWINCH)

    def test_it_shows_types_by_rate_and_quits(self):
        self.start("pub", "top.fast", "{}", "--rate", "2000", "--count",
                   "1000000")
        self.start("pub", "top.slow", "{}", "--rate", "100", "--count",
                   "1000000")
        top = self.top()
        self.terminal.shows(r"^types by rate ")
        self.terminal.shows(r"^published/s +unmatched/s ")
        self.terminal.shows(r"^ +[12]\d\d\d .* top\.fast\n"
                            r"(.*\n)*? +\d+ .* top\.slow$")
        self.terminal.shows(r"^published [12]\S+/s  delivered ")
        self.terminal.press(b"q")
        self.restored(top, DONE)

    def test_nothing_is_said_of_the_broker_before_it_answers(self):
        for _ in range(5):
            top = self.top()
            self.terminal.shows(r"epoch [1-9]")
            self.terminal.press(b"q")
            self.restored(top, DONE)
            self.assertNotIn(b"epoch 0", self.terminal.raw)

    def test_tab_goes_through_the_kinds_and_keys_sort(self):
        self.sub("--group", "crew", "top.keys")
        top = self.top()
        for kind, column in (("types", "type"), ("subscriptions", "pattern"),
                             ("groups", "members"), ("sessions", "away_ms"),
                             ("streams", "bytes"), ("consumers", "lag"),
                             ("types", "bytes/s")):
            self.terminal.shows(r"^%s by rate " % kind)
            self.terminal.shows(r"^(published|matched|stored|delivered)/s "
                                r".*\b%s\b" % column)
            self.terminal.press(b"\t")
        self.terminal.shows(r"^subscriptions by rate ")
        for key, name in ((b"p", "pending"), (b"d", "drops"), (b"r", "rate")):
            self.terminal.press(key)
            self.terminal.shows(r"^subscriptions by %s " % name)
        self.terminal.press(b"\t\t\t\t\t")
        self.terminal.shows(r"^types by rate ")
        self.terminal.press(b"d")
        self.terminal.shows(r"^types by drops \(unmatched\) ")
        self.terminal.press(b"q")
        self.restored(top, DONE)

    def test_it_begins_as_the_options_say(self):
        top = self.top("--rows", "groups", "--sort", "pending")
        self.terminal.shows(r"^groups by pending ")
        self.terminal.press(b"q")
        self.restored(top, DONE)

    def test_a_resized_screen_is_filled(self):
        self.check(DONE, "pub", "--event", "-", stdin=b"".join(
            b'{"type":"resize.t%02d"}\n' % n for n in range(40)))
        top = self.top()
        self.terminal.shows(r"resize\.t")
        for lines, columns in ((10, 80), (40, 120), (3, 30), (24, 80)):
            self.resize(top, lines, columns)
            self.terminal.shows(r"^tidings top ")
            if lines > 4:
                self.assertTrue(until(lambda: len(
                    self.terminal.text().splitlines()) == lines and
                    "resize.t" in self.terminal.text().splitlines()[-1]),
                    self.terminal.text())
        self.terminal.press(b"q")
        self.restored(top, DONE)

    def test_signals_restore_the_terminal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                       signal.SIGQUIT):
            top = self.top()
            self.terminal.shows(r"^tidings top ")
            top.signal(number)
            top.signal(number)  # a second one does no more harm
            self.restored(top, DONE)

    def test_it_leaves_the_screen_that_was_there(self):
        top = self.top(term="xterm")
        self.assertTrue(until(lambda: b"by rate" in self.terminal.raw))
        self.terminal.press(b"q")
        self.restored(top, DONE)
        self.assertTrue(until(lambda: b"\x1b[?1049l" in self.terminal.raw))
        self.assertLess(self.terminal.raw.index(b"\x1b[?1049h"),
                        self.terminal.raw.index(b"\x1b[?1049l"))

    def test_it_outlives_the_broker(self):
        with tempfile.TemporaryDirectory() as folder:
            url = "ipc://%s/bus" % folder
            broker = cli.Broker(url)
            try:
                top = self.top(url=url)
                epoch = self.terminal.shows(r"epoch ([1-9]\d*)").group(1)
                broker.end()
                self.terminal.shows(r"^ reconnecting")
                broker = cli.Broker(url)
                self.terminal.shows(r"epoch (?!%s\b)[1-9]" % epoch)
                self.terminal.shows(r"^published ")
                self.terminal.press(b"q")
                self.restored(top, DONE)
            finally:
                broker.end()

    def test_a_terminal_that_cannot_be_painted_on_is_refused(self):
        top = cli.Process(TIDINGS, "top", stdin=self.terminal.follower,
                          stdout=self.terminal.follower,
                          env=self.env(TERM="no-such-terminal"))
        self.addCleanup(top.end)
        self.assertEqual(top.ended(), FAILED)
        self.assertIn("--once", top.all["err"][-1])


class Watch(OnTerminal):
    """`tidings stats --watch` paints over what it printed before."""

    def test_watching_paints_over(self):
        self.check(DONE, "pub", "--event", "-", stdin=b"".join(
            b'{"type":"watch.t%02d"}\n' % n for n in range(60)))
        watch = cli.Process(
            TIDINGS, "stats", "--watch", "0.1", "--rows", "types",
            stdout=self.terminal.follower, start_new_session=True,
            env=cli.environment(TERM="xterm", TIDINGS_URL=self.broker.url))
        self.addCleanup(watch.end)
        self.assertTrue(until(lambda: self.terminal.raw.count(
            b"\x1b[H") >= 3), self.terminal.raw)
        watch.signal(signal.SIGINT)
        self.assertEqual(watch.ended(), DONE)
        painted = self.terminal.raw.split(b"\x1b[H")[1].decode()
        self.assertLess(painted.count("\n"), LINES)
        self.assertRegex(painted, r"\.\.\. and \d+ more")
        self.assertRegex(painted, r"counter +total +per s")


class Once(cli.WithBroker):
    def test_once_prints_a_table_with_rates(self):
        self.start("pub", "once.a", "{}", "--rate", "1000", "--count",
                   "1000000")
        self.assertTrue(until(lambda: "once.a" in self.check(
            DONE, "stats", "--rows", "types").out))
        out = self.check(DONE, "top", "--once", "--interval", "0.5").out
        totals, table = out.split("\n\n")
        self.assertRegex(totals, r"^published \d+/s  delivered ")
        head, *lines = table.splitlines()
        self.assertEqual(head.split()[0], "published/s")
        line, = [line for line in lines if line.endswith(" once.a")]
        self.assertGreater(float(line.split()[0]), 0, line)

    def test_once_sorts_by_the_key(self):
        self.check(DONE, "pub", "sort.few", "{}", "--count", "3")
        self.check(DONE, "pub", "sort.many", "{}", "--count", "30")
        out = self.check(DONE, "top", "--once", "--interval", "0.1", "--sort",
                         "drops").out
        self.assertLess(out.index("sort.many"), out.index("sort.few"))

    def test_once_has_each_kind(self):
        self.sub("--group", "g", "once.kinds")
        for kind, text in (("subscriptions", "once.kinds"), ("groups", "g"),
                           ("sessions", "tidings-sub"),
                           ("sessions", "blocked_ms")):
            out = self.check(DONE, "top", "--once", "--interval", "0.1",
                             "--rows", kind).out
            self.assertIn(text, out.split("\n\n")[1])

    def test_without_a_terminal_it_says_what_to_do(self):
        done = self.check(USAGE, "top")
        self.assertIn("--once", done.err)

    def test_no_broker_is_told_before_the_screen(self):
        done = self.check(NO_BROKER, "top", "--once", "--timeout", "0.2",
                          "--url", "ipc:///nowhere/at/all")
        self.assertIn("no broker", done.err)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_top"))
