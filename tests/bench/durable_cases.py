"""What is measured of streams that are stored; see cases.py for the words.

A confirm means what the system says: JetStream's and Redis' default has written
the event and syncs later, RabbitMQ, Redis with `always` and tidings have synced
it.
"""

import durable
import long_run
from cases import RATE, Case, Goal, Metric, System
from durable_peers import (JETSTREAM, JETSTREAM_ALWAYS, RABBITMQ, REDIS,
                           REDIS_ALWAYS, TIDINGS)

COLUMNS = [peer.name for peer in (TIDINGS, JETSTREAM, REDIS, RABBITMQ)]
CHECKED = ("no event that was confirmed was lost, and none was doubled, out of "
           "order or left unsettled")

# So many that a run lasts a few seconds; the figures are rates.
EVENTS = {TIDINGS: 4_000_000, JETSTREAM: 500_000, JETSTREAM_ALWAYS: 5_000,
          REDIS: 600_000, REDIS_ALWAYS: 200_000, RABBITMQ: 150_000}
# A queue forgets what was settled: it has nothing to replay.
REPLAYING = [TIDINGS, JETSTREAM, REDIS]
EVENTS_ONE = 3000       # for times of one at a time
EVENTS_ONE_QUICK = 2000
REPLAY_RATE = 2_000_000
KEEP_BYTES = 256 << 20
GIB = 1 << 30


def system(peer, run):
    return System(peer.name, "ours" if peer is TIDINGS else "peer",
                  peer.name if peer.name in COLUMNS else None, run)


def rates(scenario, scaled, peers=tuple(EVENTS)):
    def run(peer):
        return lambda processes: {
            "rate": scenario(processes, peer, scaled(EVENTS[peer]))}
    return [system(peer, run(peer)) for peer in peers]


def confirmed(scaled):
    """Ours also at the level at which the peers' defaults are."""
    events = scaled(EVENTS[TIDINGS])

    def ours(processes):
        """Each twice, there and back: a run is half as fast or twice as fast
        by where on the disk the blocks are that the run before it freed."""
        took = {"rate": 0, "os": 0}
        for name in ("rate", "os", "os", "rate"):
            level = ["--level", "os"] if name == "os" else []
            took[name] += events / durable.confirmed(
                processes, TIDINGS, events, *level)
            processes.end()
        return {name: 2 * events / seconds for name, seconds in took.items()}

    others = rates(durable.confirmed, scaled,
                   [peer for peer in EVENTS if peer is not TIDINGS])
    return Case("confirmed", "Confirmed publishes", [
        *RATE, Metric("os", "at level os", "events/s", "higher", 0),
    ], [system(TIDINGS, ours), *others], [
        Goal("rate", "times", 5, JETSTREAM.name),
        Goal("rate", "share", 0.8, "os"),
    ])


def settled(scaled):
    return Case("settled", "Consumed, each event settled", RATE,
                rates(durable.settled, scaled),
                [Goal("rate", "times", 5, JETSTREAM.name)])


def both(scaled):
    return Case("both", "Confirmed publishes, consumed and settled meanwhile",
                RATE, rates(durable.both, scaled),
                [Goal("rate", "times", 6, JETSTREAM.name)])


def replay(scaled):
    return Case("replay", "Replay from the beginning", RATE,
                rates(durable.replay, scaled, REPLAYING),
                [Goal("rate", "over", REPLAY_RATE)])


def latency(quick):
    events = EVENTS_ONE_QUICK if quick else EVENTS_ONE

    def run(peer):
        return lambda processes: durable.latency(processes, peer, events)

    return Case("confirm-latency", "One confirmed publish at a time", [
        Metric("p50", "median", "µs", "lower", 0),
        Metric("p99", "99th percentile", "µs", "lower", 0),
    ], [
        *(system(peer, run(peer)) for peer in EVENTS),
        System("write and sync (limit)", "reference", None,
               lambda processes: durable.sync(processes, events)),
    ], [Goal("p50", "times", 1, RABBITMQ.name),
        Goal("p99", "times", 1, RABBITMQ.name)])


# ---- ours alone: what comes with time and size ----


def alone(name, title, metrics, run, goals, joined=False):
    return Case(name, title, metrics, [system(TIDINGS, run)], goals,
                joined=joined)


def retention(quick):
    keep = KEEP_BYTES // 4 if quick else KEEP_BYTES
    return alone(
        "retention", "Retention at a tenth", [
            Metric("first", "first tenth", "events/s", "higher", 0),
            Metric("last", "last tenth", "events/s", "higher", 0),
            Metric("folder", "folder, of its bound", "×", "lower",
                   2),
        ], lambda processes: long_run.retention(processes, keep),
        [Goal("last", "share", 0.9, "first"), Goal("folder", "under", 2)])


def restart(quick):
    size = GIB // 8 if quick else GIB
    return alone(
        "restart", f"From start to ready with {size >> 20:,} MiB kept", [
            Metric("killed", "after kill -9", "ms", "lower", 0),
            Metric("ended", "after an end in order", "ms", "lower", 0),
        ], lambda processes: long_run.restart(processes, size),
        [Goal("killed", "under", 200), Goal("ended", "under", 200)], True)


def waiting(quick):
    events = 500_000 if quick else 1_000_000
    return alone(
        "waiting", "Broker's own memory while a slow group has events to come",
        [Metric("few", f"{events:,}", "MB", "lower", 1),
         Metric("many", f"{2 * events:,}", "MB", "lower", 1)],
        lambda processes: long_run.waiting(processes, events),
        [Goal("many", "most", 1.2, "few")], True)


def beside_replay(quick):
    size = GIB // 8 if quick else GIB
    events = 2000 if quick else 10_000
    return alone(
        "beside-replay", "Live at 1,000 events/s, 99th percentile", [
            Metric("alone", "alone", "µs", "lower", 0),
            Metric("beside", "beside cold replays", "µs", "lower",
                   0),
        ], lambda processes: long_run.beside_replay(processes, size, events),
        [Goal("beside", "most", 2, "alone")], True)


def all_cases(quick):
    def scaled(events):
        return max(events // 8, 1000) if quick else events

    return [confirmed(scaled), settled(scaled), both(scaled), latency(quick),
            replay(scaled), retention(quick), restart(quick), waiting(quick),
            beside_replay(quick)]
