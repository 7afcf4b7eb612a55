#!/usr/bin/env python3
"""`tidings up` in the foreground: order, readiness, restarts, lines.

    TIDINGS_BIN=build/bin tests/system/test_cli_up.py [-v] [Starts.test_name]
"""
import os
import pty
import re
import signal
import socket
import sys

import cli
from cli import DONE, FAILED, USAGE
from up import Up, shell

# What a service does that only waits to be stopped, and then ends at once.
WAITS = "exec sleep 1000"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Starts(Up):
    def test_a_wrong_file_is_refused_with_its_line(self):
        self.write("name: a, comand: b")
        done = self.check(USAGE, "up", self.file)
        self.assertIn("up.yaml:3: unknown key comand; did you mean command?",
                      done.err)
        self.assertIn("README.md", done.err)
        self.assertEqual(self.check(USAGE, "up", "--check", self.file).err,
                         done.err)
        self.assertIn("No such file", self.check(
            USAGE, "up", self.path("none.yaml")).err)
        self.assertIn("tidings.yaml", self.check(USAGE, "up").err)
        self.assertIn('takes no "b"', self.check(USAGE, "up", "a", "b").err)

    def test_check_says_the_order_and_starts_nothing(self):
        self.write("name: a, command: x, needs: [b]",
                   "name: b, command: x, instances: 3")
        self.assertEqual(self.check(DONE, "up", "--check", self.file).out,
                         "%s: 2 services, 4 processes, in this order:\n"
                         "  b\n  a needs b\n" % self.file)
        self.assertEqual(os.listdir(self.folder), ["up.yaml"])

    def test_services_start_and_stop_in_order(self):
        """Each writes when it began and when it ended; the bus is a broker's,
        which says that it listens before it does."""
        url = "tcp://127.0.0.1:%d" % free_port()
        record = ("echo $TIDINGS_UP began $(date +%%s%%N) >> times; "
                  "trap 'echo $TIDINGS_UP ended $(date +%%s%%N) >> times; "
                  "exit 0' TERM; %s while :; do sleep 0.02; done")
        self.write(
            "name: last, needs: [middle], command: %s" %
            shell("tidings ping --count 1 > ping && " + record % ""),
            "name: middle, needs: [broker], instances: 2, command: %s" %
            shell(record % ""),
            "name: broker, ready: bus, command: 'tidingsd --listen %s'" % url,
            bus=url)
        up = self.up()
        self.assertRegex(up.until("broker * ready"), r"in \d+ ms$")
        up.until("tidings * all ready in ")
        self.soon(lambda: "last began" in self.read("times"))
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)
        self.assert_nothing_left()
        times = {tuple(line.split()[:2]): int(line.split()[2])
                 for line in self.read("times").splitlines()}
        self.assertEqual(len(times), 6)
        for middle in ("middle.1", "middle.2"):
            self.assertLess(times[middle, "began"], times["last", "began"])
            self.assertLess(times["last", "ended"], times[middle, "ended"])
        lines = up.all["out"]
        self.assertLess(lines.index("broker * " + [
            l for l in lines if l.startswith("broker * ready")][0][9:]),
            min(i for i, l in enumerate(lines)
                if l.startswith("middle.1 * started")))
        stopped = [i for i, l in enumerate(lines) if "* stopped" in l]
        self.assertIn("broker * stopping", lines[stopped[-2]:])
        self.assertEqual(lines[-1], "tidings * all ended")

    def test_a_process_is_given_its_surroundings_and_nothing_of_ours(self):
        os.mkdir(self.path("sub"))
        self.write(
            "name: a, directory: sub, environment: {X: y z, PATH: '%s'}, "
            "command: %s" % (os.environ["PATH"], shell(
                "pwd; echo $TIDINGS_URL $X $TIDINGS_UP; ls /proc/$$/fd; "
                "grep -E 'Sig(Blk|Ign)' /proc/self/status; "
                "readlink /proc/$$/fd/0; ps -o pgid= -p $$ | tr -d ' '; "
                "echo $$")))
        read, write = os.pipe() # what others leave open
        up = self.up(pass_fds=(write,))
        os.close(write)
        self.assertEqual(up.ended(), DONE)
        os.close(read)
        said = [l[4:] for l in up.all["out"] if l.startswith("a | ")]
        self.assertEqual(said[0], os.path.realpath(self.path("sub")))
        self.assertEqual(said[1], "tcp://127.0.0.1:1 y z a")
        self.assertEqual(said[2:5], ["0", "1", "2"])
        self.assertRegex(said[5], r"SigBlk:\s0+$")
        self.assertRegex(said[6], r"SigIgn:\s0+$")
        self.assertEqual(said[7], "/dev/null")
        self.assertEqual(said[8], said[9]) # a group of its own

    def test_a_command_is_found_by_the_path_of_its_own_environment(self):
        with open(self.path("mine"), "w", encoding="ascii") as out:
            out.write("#!/bin/sh\necho found\n")
        os.chmod(self.path("mine"), 0o755)
        self.write("name: a, command: mine, environment: {PATH: '%s:%s'}" %
                   (self.folder, os.environ["PATH"]),
                   "name: b, command: mine")
        out = self.check(FAILED, "up", self.file).out
        self.assertIn("a | found\n", out)
        self.assertIn("b * cannot be run: mine: No such file", out)

    def test_the_bus_is_one_for_several_processes(self):
        self.write("name: a, command: x")
        self.assertIn("inproc://x: the bus wants", self.check(
            USAGE, "up", "--url", "inproc://x", self.file).err)

    def test_url_of_the_command_line_goes_before_that_of_the_file(self):
        self.write("name: a, command: %s" % shell("echo $TIDINGS_URL"))
        self.assertIn("a | ipc:///x\n",
                      self.check(DONE, "up", "--url", "ipc:///x",
                                 self.file).out)

    def test_what_cannot_be_run_is_given_up_at_once(self):
        self.write("name: a, command: ./none",
                   "name: b, command: x, needs: [a], ready: bus",
                   "name: c, command: 'true'")
        done = self.check(FAILED, "up", self.file)
        self.assertIn("a * cannot be run: ./none: No such file or directory; "
                      "given up\n", done.out)
        self.assertNotIn("b *", done.out)
        self.assertIn("c * exited with 0\n", done.out)
        self.assertIn("tidings * all ended; not all well\n", done.out)


class Restarts(Up):
    def test_a_crash_of_one_restarts_one(self):
        self.write("name: a, command: %s" % shell(WAITS),
                   "name: b, needs: [a], instances: 2, command: %s" %
                   shell(WAITS) + ", restart: {backoff: 10ms}",
                   "name: c, needs: [b], command: %s" % shell(WAITS))
        up = self.up()
        up.until("all ready")
        before = self.pids()
        os.kill(before["b.2"], signal.SIGKILL)
        self.assertEqual(up.until("b.2 * killed"),
                         "b.2 * killed by signal 9 (Killed); again in 10 ms")
        up.until("b.2 * started")
        after = self.rows()
        self.assertNotEqual(after["b.2"]["pid"], before["b.2"])
        self.assertEqual(after["b.2"]["restarts"], 1)
        for label in ("a.1", "b.1", "c.1"):
            self.assertEqual(after[label]["pid"], before[label])
            self.assertEqual(after[label]["restarts"], 0)
        up.signal(signal.SIGTERM)
        self.assertEqual(up.ended(), DONE)
        self.assert_nothing_left()

    def test_one_that_crashes_too_often_is_given_up_and_others_stay(self):
        self.write("name: a, restart: {max: 3, backoff: 1ms, backoff_max: 2ms}"
                   ", command: %s" % shell("echo x >> runs; exit 7"),
                   "name: b, command: %s" % shell(WAITS))
        up = self.up()
        self.assertIn("exited with 7; given up: started again 3 times",
                      up.until("given up"))
        self.assertEqual(self.read("runs"), "x\n" * 4)
        rows = self.rows()
        self.assertEqual(rows["a.1"]["state"], "failed")
        self.assertEqual(rows["a.1"]["last"], "exited with 7")
        self.assertIsNone(rows["a.1"]["pid"])
        self.assertEqual(rows["b.1"]["state"], "ready")
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), FAILED)

    def test_all_end_with_one_that_is_given_up_if_asked_to(self):
        self.write("name: a, command: %s" % shell(WAITS),
                   "name: b, needs: [a], restart: never, command: 'false'")
        done = self.check(FAILED, "up", "--abort-on-failure", self.file)
        self.assertIn("b * exited with 1; given up\n", done.out)
        self.assertIn("a * stopping\n", done.out)
        self.assert_nothing_left()

    def test_one_that_is_never_ready_is_started_again_and_given_up(self):
        self.write("name: a, ready: bus, ready_timeout: 60ms, command: %s, "
                   "restart: {max: 1, backoff: 1ms}" % shell(WAITS),
                   "name: b, needs: [a], command: x")
        done = self.check(FAILED, "up", self.file)
        self.assertEqual(len(re.findall(
            r"a \* not ready within 60 ms, stopping it: no broker .* at "
            r"tcp://127\.0\.0\.1:1", done.out)), 2, done.out)
        self.assertNotIn("b *", done.out)
        self.assert_nothing_left()

    def test_what_a_process_has_started_ends_with_it(self):
        """Also what has left its group, its session and its parent."""
        self.write("name: a, restart: {backoff: 1ms}, command: %s" % shell(
            "setsid sh -c 'sleep 1000 & sleep 1000' & "
            "(setsid sleep 1000 &) ; sleep 1000 & echo up; wait"),
                   "name: b, command: %s" % shell(WAITS))
        up = self.up()
        up.until("a | up")
        first = self.soon(lambda: len(self.marked()) >= 9 and self.marked())
        os.kill(self.pids()["a.1"], signal.SIGKILL)
        up.until("a | up")
        self.soon(lambda: len(self.marked()) == len(first))
        left = set(first) & set(self.marked())
        self.assertEqual(len(left), 3, left) # guard, runner, b
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)
        self.assert_nothing_left()


class Registered(Up):
    """With a broker of its own, so that a name is registered by one test."""

    def setUp(self):
        super().setUp()
        self.url = "tcp://127.0.0.1:%d" % free_port()
        self.broker = ("name: broker, ready: bus, command: 'tidingsd --listen "
                       "%s'" % self.url)

    def test_an_instance_is_ready_when_it_is_registered_and_runs(self):
        self.write(self.broker,
                   "name: a, needs: [broker], ready: service, instances: 2, "
                   "command: system_instance a go",
                   "name: b, needs: [a], ready: service, service: other, "
                   "command: %s" % shell("system_instance other & wait"),
                   bus=self.url)
        up = self.up()
        for label in ("a.1", "a.2"):
            up.until("| registered")
        self.assertEqual(self.rows()["a.1"]["state"], "starting")
        self.assertIsNone(self.rows()["b.1"]["pid"])
        with open(self.path("go"), "w", encoding="ascii"):
            up.until("b * ready in") # registered by what it has started
        up.until("all ready")
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)
        stopped = [l for l in up.all["out"] if "* stopped" in l]
        self.assertEqual(sorted(stopped[1:3]),
                         ["a.1 * stopped: exited with 0",
                          "a.2 * stopped: exited with 0"])
        self.assert_nothing_left()

    def test_what_others_register_makes_nobody_ready(self):
        """Each has to be registered itself, under its own name, and here."""
        self.write(self.broker,
                   "name: a, needs: [broker], ready: service, "
                   "command: system_instance a",
                   "name: b, needs: [a], ready: service, service: a, "
                   "ready_timeout: 1s, restart: never, command: %s" %
                   shell(WAITS),
                   "name: far, needs: [a], ready: service, "
                   "ready_timeout: 1s, restart: never, command: %s" %
                   shell("INSTANCE_HOST=far.example exec system_instance far"),
                   bus=self.url)
        up = self.up()
        up.until("a * ready in")
        said = sorted(up.until("* not ready within 1.0 s") for _ in range(2))
        for line, name, service in zip(said, ("b", "far"), ("a", "far")):
            self.assertTrue(line.startswith(name + " "), line)
            self.assertTrue(line.endswith("not registered at %s as a healthy "
                                          "%s" % (self.url, service)), line)
        self.assertTrue(cli.until(lambda: [self.rows()[name + ".1"]["state"]
                                           for name in ("b", "far")] ==
                                  ["failed"] * 2))
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), FAILED)

    def test_a_broker_that_hangs_holds_nothing_up(self):
        """It is asked for all instances, and waited for once."""
        self.write(self.broker + ", stop: {signal: KILL}",
                   "name: a, needs: [broker], ready: service, instances: 32, "
                   "command: %s" % shell(WAITS), bus=self.url)
        up = self.up()
        up.until("a.32 * started")
        os.kill(self.pids()["broker.1"], signal.SIGSTOP)
        self.assertEqual(self.rows()["a.32"]["state"], "starting")
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)
        self.assert_nothing_left()

    def test_one_that_is_started_again_is_ready_when_it_is_registered_again(
            self):
        self.write(self.broker,
                   "name: a, needs: [broker], ready: service, "
                   "restart: {backoff: 1ms}, command: system_instance a",
                   bus=self.url)
        up = self.up()
        up.until("a * ready in")
        os.kill(self.pids()["a.1"], signal.SIGKILL)
        up.until("a * killed")
        up.until("a * ready in")
        up.signal(signal.SIGINT)
        self.assertEqual(up.ended(), DONE)


class Lines(Up):
    def said(self, script, **options):
        self.write("name: a, command: %s" % shell(script))
        done = self.check(DONE, "up", self.file, **options)
        return [l for l in done.out.splitlines()
                if not re.match(r"\S+ \* ", l)]

    def test_each_line_is_named_and_the_last_needs_no_end(self):
        self.assertEqual(self.said("echo one; echo; "
                                   "printf 'x\\ty\\r\\nlast'"),
                         ["a | one", "a | ", "a | x\ty", "a | last"])
        self.assertEqual(self.said("echo two >&2; printf last >&2"),
                         ["a | two", "a | last"])

    def test_what_a_terminal_would_obey_is_harmless(self):
        said = self.said("printf '\\033[2J\\000\\007\\377 \\302\\233é\\n'; "
                         "head -c 20000 /dev/urandom")
        self.assertEqual(said[0],
                         "a | \\u001b[2J\\u0000\\u0007\\xff \\u009bé")
        for line in said:
            self.assertRegex(line, r"^a \| ")
            self.assertIsNone(cli.OBEYED.search(line), line)

    def test_a_long_line_goes_on_in_the_next(self):
        said = self.said("printf x; i=0; while [ $i -lt 500 ]; do "
                         "printf 'ääääääääää'; i=$((i+1)); done; echo; echo z")
        self.assertEqual("".join(l[4:] for l in said[:-1]), "x" + "ä" * 5000)
        self.assertEqual(said[-1], "a | z")
        self.assertEqual(len(said), 4)

    def on_terminal(self, **changes):
        try:
            leader, follower = pty.openpty()
        except OSError as error:
            self.skipTest("needs a pseudo terminal: %s" % error)
        self.write("name: a, command: echo x",
                   "name: longer, command: echo y")
        up = self.up(stdout=follower, env=self.env(**changes))
        os.close(follower)
        said = b""
        try:
            while True:
                said += os.read(leader, 4096)
        except OSError: # the end of a terminal
            pass
        os.close(leader)
        self.assertEqual(up.ended(), DONE)
        return said.decode().splitlines()

    def test_names_have_colours_and_a_column_on_a_terminal(self):
        said = self.on_terminal()
        self.assertIn("\x1b[33ma       |\x1b[0m x", said)
        self.assertIn("\x1b[32mlonger  |\x1b[0m y", said)
        self.assertIn("a       | x", self.on_terminal(NO_COLOR="1"))

    def test_lines_come_while_nobody_reads_and_all_of_them(self):
        """More than pipe and buffer hold: the service waits, and `up` does not
        hang."""
        self.write("name: a, command: %s" % shell("seq 300000; echo end"))
        read, write = os.pipe()
        up = self.up(stdout=write)
        os.close(write)
        self.soon(lambda: os.path.exists(self.path(
            ".tidings/up.yaml/control")))
        # status is answered while the output stands still
        self.assertEqual(self.rows()["a.1"]["state"], "ready")
        with os.fdopen(read) as lines:
            said = [l[4:-1] for l in lines if l.startswith("a | ")]
        self.assertEqual(said, [str(i) for i in range(1, 300001)] + ["end"])
        self.assertEqual(up.ended(), DONE)

    def test_lines_that_are_too_many_are_counted(self):
        """All come at once, and each byte becomes six."""
        self.write("name: a, instances: 12, command: %s" % shell(
            "until [ -e go ]; do sleep 0.01; done; "
            "head -c 60000 /dev/zero | sed 's/.\\{99\\}/&\\n/g'; "
            "echo >> done"))
        up = self.up()
        up.until("all ready")
        with open("/proc/%d/stat" % self.pids()["a.1"],
                  encoding="ascii") as stat:
            reader = int(stat.read().rpartition(")")[2].split()[1])
        os.kill(reader, signal.SIGSTOP)
        try:
            with open(self.path("go"), "w", encoding="ascii"):
                self.soon(lambda: len(self.read("done")) == 12)
        finally:
            os.kill(reader, signal.SIGCONT)
        self.assertEqual(up.ended(), DONE)
        said = up.all["out"]
        dropped = sum(int(re.search(r"\* (\d+) lines? w", l)[1])
                      for l in said if " dropped: " in l)
        self.assertGreater(dropped, 0)
        self.assertEqual(sum(" | " in l for l in said) + dropped, 12 * 607)

    def test_all_stop_when_the_reader_has_gone(self):
        self.write("name: a, command: %s" %
                   shell("while :; do echo x; sleep 0.01; done"))
        read, write = os.pipe()
        up = self.up(stdout=write)
        os.close(write)
        os.read(read, 10)
        os.close(read)
        self.assertEqual(up.ended(), DONE)
        self.assert_nothing_left()


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__], "cli_up"))
