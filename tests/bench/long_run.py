"""The scenarios of tidings alone that are about time and size: a stream that
forgets, a large folder, a group that falls behind, cold data read beside what
is live. One run each, with fresh processes; what was confirmed is read in the
end, so that nothing can be missing unseen.
"""

import os

import durable_peers
import scenarios
from durable_peers import TIDINGS
from processes import RUN_S, Failure

TIMES = 10          # of what a stream may keep
EVENT_BYTES = 128
LARGE_BYTES = 1024  # of events that fill a folder
LIVE_RATE = 1000
STREAM = ("--stream", "bench", "--type", "bench.kept")


def start_broker(processes, folder):
    broker = processes.start("tidingsd", "--listen", "tcp://127.0.0.1:*",
                             "--data", folder)
    url = broker.wait_for(r"^listening (\S+)").group(1)
    broker.ready()
    return broker, url


def start_role(processes, role, url, *more):
    return processes.start(TIDINGS.program, role, "--url", url, "--deadline",
                           RUN_S, *more)


def result(processes, role, url, *more):
    return start_role(processes, role, url, *more).result()


def make(processes, url, *more):
    start_role(processes, "make", url, *more).end_well()


def begin(processes, *more):
    durable_peers.need(processes, TIDINGS.program, "not built")
    folder = processes.new_data()
    broker, url = start_broker(processes, folder)
    make(processes, url, *more)
    return folder, broker, url


def folder_bytes(folder):
    """What it takes of the disk."""
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512
               for name in os.listdir(folder))


def retention(processes, keep):
    """The last tenth of ten times what is kept goes as fast as the first, in
    which nothing was forgotten."""
    folder, _, url = begin(processes, *STREAM, "--keep", keep)
    events = keep * TIMES // EVENT_BYTES // 10 * 10
    done = result(processes, "tenths", url, *STREAM, "--events", events)
    kept = result(processes, "kept", url, *STREAM, "--events", events)
    share = kept["events"] * EVENT_BYTES / keep
    if not 0.5 < share <= 1:
        raise Failure(f"the stream has {share:.0%} of what it may keep")
    return {"first": events / 10 * 1e9 / done["first_tenth_ns"],
            "last": events / 10 * 1e9 / done["last_tenth_ns"],
            "folder": folder_bytes(folder) / keep}


def ready_ms(processes, folder):
    """Of a broker that is ended in order then."""
    return scenarios.start_up(processes, "ready\n", "tidingsd", "--listen",
                              "tcp://127.0.0.1:*", "--data", folder)["ready"]


def restart(processes, size):
    events = size // LARGE_BYTES
    large = ("--events", events, "--bytes", LARGE_BYTES)
    folder, broker, url = begin(processes)
    result(processes, "pub", url, *large)
    broker.kill()
    killed = ready_ms(processes, folder)
    ended = ready_ms(processes, folder)
    _, url = start_broker(processes, folder)
    result(processes, "take", url, *large)
    return {"killed": killed, "ended": ended}


def waiting(processes, events):
    """A member that sleeps at every event hurries in the end, and has then
    had all of them."""
    _, broker, url = begin(processes)
    snail = start_role(processes, "take", url, "--events", 2 * events,
                       "--slow-us", scenarios.SLOW_US)
    snail.ready()
    result(processes, "pub", url, "--events", events)
    at_few = scenarios.at_rest_bytes(broker, "RssAnon")
    result(processes, "pub", url, "--events", events, "--first", events)
    at_many = scenarios.at_rest_bytes(broker, "RssAnon")
    snail.hurry()
    snail.result()
    return {"few": at_few / 1e6, "many": at_many / 1e6}


def make_cold(folder):
    """The system forgets what it has of the folder's files; nobody has them
    open."""
    for name in os.listdir(folder):
        file = os.open(os.path.join(folder, name), os.O_RDONLY)
        try:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def live(processes, url, events, replayed=None):
    """The 99th percentile in µs, of one publisher and one subscriber."""
    options = ["--url", url, "--events", events, "--rate", LIVE_RATE,
               "--deadline", RUN_S]
    taker = processes.start("bench_tidings", "sub", *options)
    taker.ready()
    publisher = processes.start("bench_tidings", "pub", *options)
    while replayed and publisher.child.poll() is None:
        result(processes, "replay", url, *replayed)
    p99 = taker.result()["p99_ns"] / 1e3
    publisher.end_well()
    return p99


def beside_replay(processes, size, events):
    """Live events while what is stored is read again and again; the first
    time it comes from the disk."""
    large = (*STREAM, "--events", size // LARGE_BYTES, "--bytes", LARGE_BYTES)
    folder, broker, url = begin(processes, *STREAM)
    result(processes, "pub", url, *large)
    broker.end()
    make_cold(folder)
    _, url = start_broker(processes, folder)
    return {"alone": live(processes, url, events),
            "beside": live(processes, url, events, large)}
