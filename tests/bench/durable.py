"""The scenarios of what is stored: one run of one system, with fresh processes
and an empty folder. Each returns its figures by metric, and takes everything
in the end, so that nothing that was confirmed can be missing unseen.
"""

import os
import time

import durable_peers
from processes import RUN_S

SYNC_BYTES = 4096  # written before each sync


class Run:
    """A peer's broker, and its program in one role after another."""

    def __init__(self, processes, peer, events, *more):
        self.processes = processes
        self.peer = peer
        self.events = events
        self.more = more
        self.url = durable_peers.start(processes, peer)

    def start(self, role):
        return self.processes.start(
            self.peer.program, role, "--url", self.url, "--events",
            self.events, "--deadline", RUN_S, *self.more)

    def result(self, role):
        return self.start(role).result()

    def rate(self, first, last):
        """From the first publish or delivery to the last confirm or
        settlement."""
        return self.events * 1e9 / (last["last_ns"] - first["first_ns"])


def confirmed(processes, peer, events, *more):
    run = Run(processes, peer, events, *more)
    result = run.result("pub")
    run.result("take")
    return run.rate(result, result)


def settled(processes, peer, events):
    run = Run(processes, peer, events)
    run.result("pub")
    result = run.result("take")
    return run.rate(result, result)


def both(processes, peer, events):
    run = Run(processes, peer, events)
    taker = run.start("take")
    taker.ready()
    published = run.result("pub")
    taken = taker.result()
    return run.rate(published, max(published, taken,
                                   key=lambda result: result["last_ns"]))


def replay(processes, peer, events):
    run = Run(processes, peer, events)
    run.result("pub")
    result = run.result("replay")
    return run.rate(result, result)


def latency(processes, peer, events):
    run = Run(processes, peer, events)
    result = run.result("one")
    run.result("take")
    return percentiles(result["p50_ns"], result["p99_ns"])


def percentiles(p50_ns, p99_ns):
    return {"p50": p50_ns / 1e3, "p99": p99_ns / 1e3}


def sync(processes, count):
    """What the disk itself takes: a write and its sync, one at a time. The
    file is as long as it gets before: what makes a file longer waits for the
    file system's journal, too."""
    path = os.path.join(processes.new_data(), "file")
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    block = bytes(SYNC_BYTES)
    took_ns = []
    try:
        os.write(file, bytes(SYNC_BYTES * count))
        os.fsync(file)
        for at in range(count):
            before_ns = time.monotonic_ns()
            os.pwrite(file, block, at * SYNC_BYTES)
            os.fdatasync(file)
            took_ns.append(time.monotonic_ns() - before_ns)
    finally:
        os.close(file)
    took_ns.sort()
    return percentiles(took_ns[count // 2], took_ns[count * 99 // 100])
