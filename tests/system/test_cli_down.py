#!/usr/bin/env python3
"""How a `tidings up` ends, by whatever it ends: signals, `tidings down`, kill
-9; and in the background.

    TIDINGS_BIN=build/bin tests/system/test_cli_down.py [-v] [Signals.test_name]
"""
import fcntl
import json
import os
import pty
import re
import signal
import socket
import sys
import termios

import cli
from cli import DONE, FAILED, USAGE
from up import Up, shell

WAITS = "exec sleep 1000"
# Ignores the signal, and says so when it does.
HANGS = "trap '' TERM; echo hangs; while :; do sleep 0.05; done"
# Is in a session of its own, out of reach of groups.
ESCAPES = "setsid sleep 1000 & sleep 1000 & echo up; wait"


class Signals(Up):
    def test_ctrl_c_while_they_start_leaves_nothing(self):
        self.write("name: a, command: %s" % shell(ESCAPES),
                   "name: b, needs: [a], ready: bus, command: %s" %
                   shell(ESCAPES),
                   "name: c, needs: [b], command: %s" % shell(WAITS))
        up = self.up()
        up.until("b | up")
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)
        self.assertEqual(self.marked(), []) # at once: it has waited
        self.assertFalse([l for l in up.all["out"] if l.startswith("c")])

    def test_one_that_hangs_is_killed_after_its_timeout(self):
        self.write("name: a, command: %s, stop: {timeout: 100ms}" %
                   shell(HANGS))
        up = self.up()
        up.until("a | hangs")
        up.signal(signal.SIGTERM)
        up.until("a * still there after 100 ms: killing it")
        self.assertEqual(up.until("a * stopped"),
                         "a * stopped: killed by signal 9 (Killed)")
        self.assertEqual(up.ended(), DONE)
        self.assertEqual(self.marked(), [])

    def test_a_second_ctrl_c_kills_all_at_once(self):
        self.write("name: a, command: %s, stop: {timeout: 1h}" % shell(HANGS),
                   "name: b, needs: [a], command: %s, stop: {timeout: 1h}" %
                   shell(HANGS))
        up = self.up()
        up.until("b | hangs")
        up.signal(signal.SIGINT)
        up.until("b * stopping")
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)
        self.assertIn("a * killing it", up.all["out"])
        self.assertEqual(self.marked(), [])

    def test_ctrl_c_on_a_terminal_comes_once(self):
        """To the whole foreground there: services and those who run them are
        not of it."""
        self.write("name: a, command: %s" % shell(
            "trap '' INT; trap 'sleep 0.1; echo done; exit 0' TERM; echo up; "
            "while :; do sleep 0.02; done"))
        try:
            leader, follower = pty.openpty()
        except OSError as error:
            self.skipTest("needs a pseudo terminal: %s" % error)
        up = self.up(stdin=follower, stdout=follower, stderr=follower,
                     start_new_session=True, preexec_fn=lambda: fcntl.ioctl(
                         0, termios.TIOCSCTTY, 0))
        os.close(follower)
        with os.fdopen(leader, "r+b", buffering=0) as terminal:
            said = b""
            while b"| up" not in said.replace(b"|\x1b[0m", b"|"):
                said += terminal.read(4096)
            terminal.write(b"\x03")
            try:
                while True:
                    said += terminal.read(4096)
            except OSError: # the end of a terminal
                pass
        self.assertEqual(up.ended(), DONE)
        self.assertIn(b"stopped: exited with 0", said)
        self.assertEqual(self.marked(), [])

    def test_other_signals_may_come_twice(self):
        self.write("name: a, command: %s" % shell(
            "trap 'echo term; sleep 0.2; echo done; exit 0' TERM; echo up; "
            "while :; do sleep 0.02; done"))
        up = self.up()
        up.until("a | up")
        for number in (signal.SIGTERM, signal.SIGHUP):
            up.signal(number)
            up.until("a | term" if number == signal.SIGTERM else "a | done")
        self.assertEqual(up.ended(), DONE)
        self.assertIn("a * stopped: exited with 0", up.all["out"])

    def test_the_signal_may_be_another(self):
        self.write("name: a, stop: {signal: INT}, command: %s" % shell(
            "trap 'echo int; exit 0' INT; trap '' TERM; echo up; "
            "while :; do sleep 0.02; done"))
        up = self.up()
        up.until("a | up")
        up.signal(signal.SIGTERM)
        up.until("a | int")
        self.assertEqual(up.ended(), DONE)

    def test_kill_9_of_either_process_leaves_nothing(self):
        """The one that was started guards the one that runs them, and the other
        way round."""
        for which in ("guard", "runner"):
            self.write("name: a, command: %s" % shell(ESCAPES),
                       "name: b, command: %s" % shell(WAITS))
            up = self.up()
            up.until("a | up")
            victim = up.process.pid
            self.assertEqual(self.status()["pid"], victim)
            if which == "runner":
                with open("/proc/%d/task/%d/children" % (victim, victim),
                          encoding="ascii") as children:
                    victim = int(children.read())
            os.kill(victim, signal.SIGKILL)
            self.assert_nothing_left()
            self.assertEqual(up.ended(),
                             -signal.SIGKILL if which == "guard" else FAILED)
            self.assertIn("is not up", self.check(FAILED, "status",
                                                  self.file).err)


class Background(Up):
    def detach(self, code=DONE):
        return self.check(code, "up", "--detach", self.file)

    def test_up_status_down(self):
        self.write("name: a, command: %s" % shell("echo hello; " + WAITS),
                   "name: b, needs: [a], instances: 2, command: %s" %
                   shell(WAITS))
        said = self.detach().out
        self.assertIn("b.2 * started", said)
        self.assertIn("tidings * all ready in", said)
        log = re.search("in the background as process \\d+, its log is (.*)\n",
                        said).group(1)

        table = self.check(DONE, "status", self.file).out.splitlines()
        self.assertRegex(table[0], r"^service +instance +state +pid +restarts "
                         r"+since +ready in +last$")
        self.assertRegex(table[2], r"^b +1 +ready +\d+ +0 +\d\.\d s +[\d.]+ [mu]s "
                         r"+-$")
        self.assertEqual(len(table), 4)
        report = self.status()
        self.assertEqual(report["state"], "ready")
        self.assertEqual(report["url"], "tcp://127.0.0.1:1")
        self.assertEqual(sorted(self.pids()), ["a.1", "b.1", "b.2"])

        with open(log, encoding="utf-8") as lines:
            text = lines.read()
        self.assertRegex(text, r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z a \| hello$")

        said = self.check(DONE, "down", self.file).out
        self.assertEqual(self.marked(), []) # all is gone when it returns
        self.assertLess(said.index("b.1 * stopped"),
                        said.index("a * stopping"))
        self.assertIn("tidings * all ended\n", said)
        self.assertIn("nothing to stop",
                      self.check(DONE, "down", self.file).err)
        self.assertIn("tidings up", self.check(FAILED, "status",
                                               self.file).err)

    def test_there_is_one_of_a_file(self):
        self.write("name: a, command: %s" % shell(WAITS))
        self.detach()
        pid = self.status()["pid"]
        os.symlink(self.file, self.path("other.yaml"))
        for name in (self.file, self.path("other.yaml")):
            done = self.check(FAILED, "up", name)
            self.assertIn("is up already, as process %d\n" % pid, done.err)
            self.assertIn("tidings down", done.err)
        with self.subTest("with a folder of its own there may be another"):
            other = self.path("state")
            self.check(DONE, "up", "--detach", "--state", other, self.file)
            self.assertEqual(len(self.marked()), 6)
            self.check(DONE, "status", "--state", other, self.file)
            self.check(DONE, "down", "--state", other, "gone.yaml")
        self.check(DONE, "down", self.file)
        self.assertEqual(self.marked(), [])

    def test_what_one_that_was_killed_left_is_no_hindrance(self):
        self.write("name: a, command: %s" % shell(WAITS))
        self.detach()
        os.kill(self.status()["pid"], signal.SIGKILL)
        self.assert_nothing_left()
        self.check(FAILED, "status", self.file)
        self.check(DONE, "down", self.file)
        self.detach()
        os.remove(self.file)
        with self.subTest("nor is a file that is gone"):
            self.check(DONE, "down", self.file)
            self.assertEqual(self.marked(), [])
            self.check(USAGE, "down", self.file)

    def test_one_that_does_not_become_ready_stops_all_again(self):
        self.write("name: a, command: %s" % shell(WAITS),
                   "name: b, needs: [a], restart: never, command: 'false'",
                   "name: c, needs: [b], ready: bus, command: 'true'")
        done = self.detach(FAILED)
        self.assertRegex(done.out, r"c \* (stopped: )?(exited with 0|"
                                   r"killed by signal 15)") # what came first
        self.assertIn("not all became ready", done.err)
        self.assertEqual(self.marked(), [])

    def test_one_in_the_foreground_is_asked_and_stopped_too(self):
        self.write("name: a, command: %s" % shell(WAITS))
        up = self.up()
        up.until("a * started")
        self.assertEqual(self.status()["pid"], up.process.pid)
        self.assertIn("a * stopped", self.check(DONE, "down", self.file).out)
        self.assertEqual(up.ended(), DONE)

    def test_ctrl_c_before_all_are_ready_stops_them(self):
        self.write("name: a, ready: bus, command: %s" % shell(ESCAPES))
        up = self.up("--detach")
        up.until("a * started")
        self.soon(lambda: len(self.marked()) >= 6)
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)
        self.assertEqual(self.marked(), [])

    def test_without_whoever_waits_in_front_it_stops(self):
        self.write("name: a, ready: bus, command: %s" % shell(ESCAPES))
        up = self.up("--detach")
        up.until("a * started")
        up.signal(signal.SIGKILL)
        up.ended()
        self.assert_nothing_left()

    def test_a_folder_of_any_depth_will_do(self):
        deep = self.folder + "/" + "/".join(["x" * 60] * 4)
        os.makedirs(deep)
        self.file = deep + "/up.yaml"
        self.write("name: a, command: %s" % shell(WAITS))
        self.detach()
        self.assertEqual(list(self.pids()), ["a.1"])
        self.check(DONE, "down", self.file)

    def test_wrong_command_lines_say_what_is_wrong(self):
        self.write("name: a, command: x")
        for command in ("status", "down"):
            self.assertIn("No such file", self.check(
                USAGE, command, self.path("none.yaml")).err)
            self.assertIn('takes no "y"', self.check(
                USAGE, command, "x", "y").err)
        self.assertIn("--state DIR names another", self.check(
            FAILED, "up", "--state", "/dev/null/x", self.file).err)

    def test_a_question_that_is_none_is_not_answered(self):
        self.write("name: a, command: %s" % shell(WAITS))
        self.detach()
        for word in (b"x\n", b"s" * 100, b"", b"status"):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(cli.WAIT_S)
                s.connect(self.path(".tidings/up.yaml/control"))
                s.sendall(word)
                s.shutdown(socket.SHUT_WR)
                try:
                    self.assertEqual(s.recv(100), b"")
                except ConnectionResetError: # with words unread
                    pass
        self.assertEqual(json.loads(self.check(
            DONE, "status", "-j", self.file).out)["state"], "ready")
        self.check(DONE, "down", self.file)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_down"))
