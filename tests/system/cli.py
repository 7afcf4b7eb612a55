"""What the tests of the `tidings` command share: processes whose lines come
with a deadline, a broker for each class of tests, and the end of a run.

TIDINGS_BIN is the folder of tidings and tidingsd. Needs nothing but Python.
"""
import json
import os
import queue
import re
import shutil
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
COMMANDS = ["pub", "sub", "ping", "stats", "audit", "top", "bench", "tail",
            "replay", "request"]

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
    def __init__(self, listen="tcp://127.0.0.1:*", *options):
        super().__init__(TIDINGSD, "--listen", listen, *options)
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


class WithStreams(WithBroker):
    """A broker that keeps events; each test has streams of its own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.broker = Broker("tcp://127.0.0.1:*", "--data",
                            os.path.join(cls.folder, "data"))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.folder)

    def stream(self, *options):
        """A new stream: its name, and the first token of what it takes."""
        name = self.id().rsplit(".", 1)[1].replace("test_", "")[-60:]
        self.check(DONE, "stream", "add", name, "--pattern", name + ".>",
                   *options)
        return name

    def rows(self, *args):
        return [json.loads(line) for line in
                self.check(DONE, *args, "--json").out.splitlines()]

    def group_row(self, stream, group):
        return self.rows("group", "show", stream, group)[0]

    def soon(self, check):
        found = until(check)
        self.assertTrue(found, "it never came true")
        return found

    def dead_letters(self, stream, group, count, end=".dead",
                     ack_wait="100ms"):
        """A group whose only member, which stands still, lets count events
        die; each is published for itself."""
        rows = self.rows("group", "list", stream)
        before = sum(row["dead"] for row in rows if row["group"] == group)
        self.check(DONE, "group", "add", stream, group, "--max-deliver", "1",
                   "--ack-wait", ack_wait)
        member = self.sub("--stream", stream, "--group", group, ">",
                          "--window-events", str(count))
        member.signal(signal.SIGSTOP)
        self.check(DONE, "pub", stream + end, '{"n": 1}', "--count",
                   str(count), "--confirm", "disk", "-a", "subject=s", "--key",
                   "k")
        self.soon(lambda: self.group_row(stream, group)["dead"] ==
                  before + count)
        member.signal(signal.SIGTERM) # it leaves in order when it goes on
        member.signal(signal.SIGCONT)
        member.ended()
        self.soon(lambda: self.group_row(stream, group)["members"] == 0)


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
