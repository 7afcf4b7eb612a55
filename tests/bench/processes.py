"""Children of a run: started, listened to with a deadline, and ended."""

import collections
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time

WAIT_S = 20  # for a process to say that it is ready, or to end when told to
RUN_S = 60   # for one run; the programs have the same deadline


class Failure(Exception):
    """A run that cannot be counted; the text says why."""


class Skipped(Exception):
    """What this machine lacks for a run."""


class Process:
    """A child whose stdout is read line by line with a deadline."""

    def __init__(self, command, merge_stderr=False, more_env=None):
        self.name = os.path.basename(command[0])
        self.errors = tempfile.TemporaryFile()
        self.lines = collections.deque()
        self.partial = b""
        try:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge_stderr else self.errors,
                env={**os.environ, **(more_env or {})})
        except OSError as error:
            raise Failure(f"{command[0]}: {error.strerror}") from None
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.child.stdout, selectors.EVENT_READ)

    def wait_for(self, pattern, seconds=WAIT_S):
        """The match of the first line in which pattern occurs."""
        until = time.monotonic() + seconds
        while True:
            while self.lines:
                match = re.search(pattern, self.lines.popleft())
                if match:
                    return match
            if not self.selector.select(max(0, until - time.monotonic())):
                raise self.failure(f"no {pattern!r} within {seconds} s")
            data = os.read(self.child.stdout.fileno(), 65536)
            if not data:
                self.child.wait(WAIT_S)
                raise self.failure(f"ended before {pattern!r}, "
                                   f"status {self.child.returncode}")
            *lines, self.partial = (self.partial + data).split(b"\n")
            self.lines.extend(line.decode(errors="replace") for line in lines)

    def ready(self, seconds=WAIT_S):
        self.wait_for("^ready$", seconds)

    def result(self):
        """The numbers of its result line; the process must end well."""
        text = self.wait_for(r"^result (.*)", RUN_S).group(1)
        numbers = {key: int(value) for key, value in
                   (pair.split("=") for pair in text.split())}
        if numbers.get("missing") or numbers.get("wrong"):
            raise self.failure(f"events were lost: {text}")
        self.end_well()
        return numbers

    def end_well(self):
        try:
            status = self.child.wait(RUN_S)
        except subprocess.TimeoutExpired:
            raise self.failure("does not end") from None
        if status:
            raise self.failure(f"ended with status {status}")

    def hurry(self):
        """A slow subscriber is slow no longer."""
        self.child.send_signal(signal.SIGUSR1)

    def kill(self):
        """As a crash does: it has no time for anything."""
        self.child.kill()
        self.child.wait(WAIT_S)

    def end(self):
        """In order."""
        self.child.terminate()
        self.end_well()

    def resident_bytes(self, what="VmRSS"):
        """what: RssAnon is its own, without what it has mapped of files."""
        with open(f"/proc/{self.child.pid}/status", encoding="ascii") as lines:
            for line in lines:
                if line.startswith(what + ":"):
                    return int(line.split()[1]) * 1024
        raise self.failure("has no memory")

    def failure(self, why):
        self.errors.seek(0)
        errors = self.errors.read().decode(errors="replace").strip()
        return Failure(f"{self.name}: {why}\n{errors[-2000:]}".strip())

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.selector.close()
        self.child.stdout.close()
        self.errors.close()


class Processes:
    """All the children of one run; none outlives it."""

    def __init__(self, folder, data_folder=None):
        self.folder = folder
        self.data_folder = data_folder
        self.started = []
        self.data = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """All of them, and what they stored."""
        while self.started:
            self.started.pop().stop()
        while self.data:
            shutil.rmtree(self.data.pop(), ignore_errors=True)

    def casualties(self):
        """Those that ended badly, in words: one may explain a failure."""
        return [str(process.failure(f"status {process.child.returncode}"))
                for process in self.started if process.child.poll()]

    def path(self, program):
        """Ours are in the folder, brokers of others where the system has
        them."""
        ours = os.path.join(self.folder, program)
        return ours if os.path.exists(ours) else program

    def has(self, program):
        return shutil.which(self.path(program)) is not None

    def new_data(self):
        """An empty folder for a broker, gone with it."""
        self.data.append(tempfile.mkdtemp(prefix="bench-data-",
                                          dir=self.data_folder))
        return self.data[-1]

    def start(self, program, *arguments, merge_stderr=False, more_env=None):
        process = Process([self.path(program), *map(str, arguments)],
                          merge_stderr, more_env)
        self.started.append(process)
        return process
