"""What the tests of `tidings up` share: a folder with a file of services, and a
mark in the environment by which everything that it started is found."""
import json
import os
import shutil
import signal
import tempfile
import unittest

from cli import DONE, TIDINGS, Process, environment, run, until

MARK = "TIDINGS_UP_TEST"


def shell(script):
    """A command for the file, in one line."""
    return json.dumps(["sh", "-c", script])


class Up(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.end_left)
        self.file = self.path("up.yaml")

    def path(self, name):
        return os.path.join(self.folder, name)

    def env(self, **changes):
        path = os.path.dirname(TIDINGS) + ":" + os.environ.get("PATH", "")
        return environment(PATH=path, **{MARK: self.folder}, **changes)

    def write(self, *services, bus="tcp://127.0.0.1:1"):
        with open(self.file, "w", encoding="utf-8") as out:
            out.write("bus: %s\nservices:\n" % bus)
            for service in services:
                out.write("  - {%s}\n" % service)

    def check(self, code, *args, **options):
        options.setdefault("env", self.env())
        done = run(*args, **options)
        self.assertEqual(done.returncode, code, (args, done.out, done.err))
        return done

    def up(self, *args, **options):
        options.setdefault("env", self.env())
        process = Process(TIDINGS, "up", self.file, *args, **options)
        self.addCleanup(process.end)
        return process

    def status(self):
        return json.loads(self.check(DONE, "status", "--json", self.file).out)

    def rows(self):
        """By label, "inventory.2", also where there is but one."""
        return {"%s.%d" % (row["service"], row["instance"]): row
                for row in self.status()["instances"]}

    def pids(self):
        return {label: row["pid"] for label, row in self.rows().items()}

    def soon(self, check):
        found = until(check)
        self.assertTrue(found, "it never came true")
        return found

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as lines:
                return lines.read()
        except FileNotFoundError:
            return ""

    # ---- what is left ----

    def marked(self):
        """Processes with the mark of this test, dead ones aside."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if not name.isdigit():
                    continue
                with open("/proc/%s/environ" % name, "rb") as env:
                    if ("%s=%s" % (MARK, self.folder)).encode() in env.read():
                        found.append(int(name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass
        return found

    def assert_nothing_left(self):
        self.soon(lambda: not self.marked())

    def end_left(self):
        """Of a test that failed: by number, each of them its own."""
        for pid in self.marked():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

