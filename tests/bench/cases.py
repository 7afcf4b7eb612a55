"""What is measured: each case is a scenario, its systems and its goals.

Event numbers differ between systems so that each run takes about as long; the
figures are rates.
"""

import collections

import scenarios

# x: where a metric stands in a case that sweeps; better: higher or lower.
Metric = collections.namedtuple("Metric", "name title unit better digits x",
                                defaults=(None,))
# kind: ours, peer, or reference; column: where the table shows it. run takes
# the processes and returns figures by metric.
System = collections.namedtuple("System", "name kind column run")
# sweep: what x says, if the metrics are points of a curve; joined: one panel
# of the plot has all metrics.
Case = collections.namedtuple("Case", "name title metrics systems goals "
                              "sweep joined", defaults=(None, False))
# times: ours is limit times better than against (a system); under, over: ours
# is less than limit, or at least limit; share: ours is at least limit of our
# figure of against (a metric), most: at most so much of it.
Goal = collections.namedtuple("Goal", "metric kind limit against",
                              defaults=(None,))

TIDINGS, NATS, ZMQ = "tidings", "nats-server", "libzmq proxy"
# The table's columns; the second is what we compare ourselves to.
COLUMNS = [TIDINGS, NATS, ZMQ]
CHECKED = ("no event was lost, doubled or out of order; what a slow "
           "subscriber missed was told and counted")
PROGRAMS = {TIDINGS: "bench_tidings", NATS: "bench_nats", ZMQ: "bench_zmq"}

RATE = [Metric("rate", "", "events/s", "higher", 0)]
PAYLOADS = [16, 128, 1024, 8192, 65536]
FLUSHES = [1, 10, 100, 1000]
CHOOSERS = ["round_robin", "random", "least_in_flight", "by_key", "latency"]
CANDIDATES = [3, 16, 64, 1024]


def main_system(name, run):
    """One of the three that most cases have; run(processes, program)."""
    return System(name, "ours" if name == TIDINGS else "peer", name,
                  lambda processes: run(processes, PROGRAMS[name]))


def rate_of(scenario, *arguments):
    """A scenario with one figure, which is a rate."""
    return lambda processes, program: {
        "rate": scenario(processes, program, *arguments)}


def other_system(name, kind, run):
    """One that the table shows in the column of others."""
    return System(name, kind, None, run)


# ---- live ----


def live_1to1(scaled):
    def other(name, program, events, kind="peer"):
        return other_system(name, kind, lambda processes: {
            "rate": scenarios.live(processes, program, scaled(events), 1)})

    return Case("live-1to1", "One publisher to one subscriber", RATE, [
        main_system(TIDINGS, rate_of(scenarios.live, scaled(4_000_000), 1)),
        main_system(NATS, rate_of(scenarios.live, scaled(2_000_000), 1)),
        main_system(ZMQ, rate_of(scenarios.live, scaled(2_000_000), 1)),
        other("redis", "bench_redis", 600_000),
        other("mosquitto", "bench_mosquitto", 120_000),
        other("byte relay (limit)", "bench_relay", 20_000_000, "reference"),
    ], [Goal("rate", "times", 4, NATS), Goal("rate", "times", 2.5, ZMQ)])


def live_1to8(scaled):
    return Case("live-1to8", "One publisher to eight subscribers, together",
                RATE, [
                    main_system(TIDINGS, rate_of(scenarios.live,
                                                 scaled(1_000_000), 8)),
                    main_system(NATS, rate_of(scenarios.live,
                                              scaled(400_000), 8)),
                    main_system(ZMQ, rate_of(scenarios.live,
                                             scaled(400_000), 8)),
                ], [Goal("rate", "times", 3, NATS)])


def group_1to4(scaled):
    return Case("group-1to4", "One publisher to a group of four", RATE, [
        main_system(TIDINGS, rate_of(scenarios.group, scaled(4_000_000), 4)),
        main_system(NATS, rate_of(scenarios.group, scaled(1_500_000), 4)),
    ], [Goal("rate", "times", 4, NATS)])


# ---- many subscriptions, slow ones ----


def routing(scaled):
    def run(events):
        def both(processes, program):
            return {
                "one": scenarios.live(processes, program, events, 1),
                "many": scenarios.beside_idle(processes, program, events)}
        return both

    return Case("routing", "One to one, beside idle subscriptions", [
        Metric("one", "none", "events/s", "higher", 0),
        Metric("many", "100,000", "events/s", "higher", 0),
    ], [
        main_system(TIDINGS, run(scaled(4_000_000))),
        main_system(NATS, run(scaled(2_000_000))),
    ], [Goal("many", "share", 0.8, "one")], joined=True)


def random_types(scaled):
    run = rate_of(scenarios.random_types, scaled(500_000))
    return Case("random-types", "100,000 types at random, one match each",
                RATE, [main_system(TIDINGS, run), main_system(NATS, run)],
                [Goal("rate", "times", 2, NATS)])


def slow(scaled, quick):
    """A block subscription may hold its publishers for 2 s in any 10: that run
    lasts about so long, unless it is a quick one, which shows little. The
    others are shorter, and long enough to fill a queue."""
    def metric(name, title):
        return Metric(name, title, "events/s", "higher", 0)

    def ours(processes, program):
        short, long = scaled(2_400_000), scaled(12_000_000)
        return {
            "none": scenarios.live(processes, program, short, 7),
            "block": scenarios.slow(processes, program, long, 7, "block"),
            "drop_oldest": scenarios.slow(processes, program, short, 7,
                                          "drop_oldest"),
            "drop_newest": scenarios.slow(processes, program, short, 7,
                                          "drop_newest")}

    def nats(processes, program):
        events = scaled(800_000)
        return {"none": scenarios.live(processes, program, events, 7),
                "drop_newest": scenarios.slow(processes, program, events, 7)}

    return Case("slow-1of8", "To seven subscribers, beside a slow one", [
        metric("none", "no slow one"),
        metric("block", "block"),
        metric("drop_oldest", "drop_oldest"),
        metric("drop_newest", "drop_newest"),
    ], [main_system(TIDINGS, ours), main_system(NATS, nats)], [
        *([] if quick else [Goal("block", "share", 0.75, "none")]),
        Goal("drop_oldest", "share", 0.9, "none"),
        Goal("drop_newest", "share", 0.9, "none"),
    ], joined=True)


# ---- time and memory ----


def latency(quick):
    events = 1000 if quick else 3000

    def run(processes, program, *more):
        return scenarios.latency(processes, program, events, 1000, *more)

    return Case("latency", "Latency at 1,000 events/s", [
        Metric("p50", "median", "µs", "lower", 0),
        Metric("p99", "99th percentile", "µs", "lower", 0),
    ], [
        main_system(TIDINGS, run),
        main_system(NATS, run),
        main_system(ZMQ, run),
        other_system("nats-server, sent at once", "peer", lambda processes:
                     run(processes, "bench_nats", "--send-asap")),
    ], [Goal("p50", "times", 1, ZMQ), Goal("p99", "times", 1, ZMQ)])


def inproc(scaled):
    def run(program, events):
        return lambda processes: {"rate": scenarios.in_process(
            processes, program, scaled(events))}

    return Case("inproc", "In one process, from thread to thread", RATE, [
        System("tidings inproc://", "ours", TIDINGS,
               run("bench_tidings", 8_000_000)),
        System("libzmq inproc", "peer", ZMQ, run("bench_zmq", 4_000_000)),
        other_system("GLib GAsyncQueue", "peer", run("bench_glib", 4_000_000)),
        other_system("mutex and swap (limit)", "reference",
                     run("bench_swap", 16_000_000)),
    ], [Goal("rate", "times", 4, "GLib GAsyncQueue")])


def start_up():
    def run(ready, program, *arguments):
        return lambda processes: scenarios.start_up(processes, ready, program,
                                                    *arguments)

    return Case("start", "Broker alone", [
        Metric("ready", "from start to ready", "ms", "lower", 1),
        Metric("resident", "resident memory when idle", "MB", "lower", 1),
    ], [
        System("tidingsd", "ours", TIDINGS, run(
            "ready\n", "tidingsd", "--listen", "tcp://127.0.0.1:*")),
        System("nats-server", "peer", NATS, run(
            "Server is ready", "nats-server", "-a", "127.0.0.1", "-p", "-1")),
    ], [Goal("ready", "under", 50), Goal("resident", "under", 10)])


def memory(quick):
    clients, each = (100, 20) if quick else (500, 100)

    def run(processes, program):
        return scenarios.memory(processes, program, clients, each)

    return Case("memory", "Broker's memory", [
        Metric("connection", "for an idle connection", "kB", "lower", 1),
        Metric("subscription", "for a subscription", "bytes", "lower", 0),
    ], [main_system(TIDINGS, run), main_system(NATS, run)], [])


def request(scaled):
    """NATS sends at once where somebody waits, and gathers, its default, where
    a thousand are out."""
    def micros(name, title):
        return Metric(name, title, "µs", "lower", 0)

    def ours(processes):
        figures = scenarios.asked_and_answered(
            processes, "bench_request", scaled(20_000), scaled(80_000),
            scaled(1_600_000))
        return {**figures, "discover": scenarios.discovered(
            processes, "bench_request", scaled(1_000_000))}

    def nats(processes):
        return scenarios.asked_and_answered(
            processes, "bench_nats_request", scaled(20_000), scaled(80_000),
            scaled(800_000), "--send-asap")

    return Case("request", "Requests and their answers", [
        Metric("rate", "1,024 out", "requests/s", "higher", 0),
        Metric("rate_1", "one caller", "requests/s", "higher", 0),
        micros("p50_1", "… median"), micros("p99_1", "… 99th percentile"),
        Metric("rate_8", "eight callers", "requests/s", "higher", 0),
        micros("p50_8", "… median"), micros("p99_8", "… 99th percentile"),
        Metric("discover", "who answers, found in the cache", "µs", "lower", 2),
    ], [
        System(TIDINGS, "ours", TIDINGS, ours),
        System(NATS, "peer", NATS, nats),
    ], [Goal("rate", "times", 2, NATS),
        *[Goal(name, "times", 1 / 1.5, NATS)
          for name in ("p50_1", "p99_1", "p50_8", "p99_8")]])


def decisions():
    """What a breaker and the choosers add to each request."""
    def metric(name, title):
        return Metric(name, title, "ns", "lower", 1)

    choosers = [(name, count) for name in CHOOSERS for count in CANDIDATES]
    metrics = [metric("breaker", "breaker asked and told"),
               metric("open", "open breaker asked"),
               metric("program", "breaker of a program"),
               metric("program_open", "open breaker of a program"),
               *[metric(f"{name}_{count}", f"{name}, of {count:,}")
                 for name, count in choosers],
               metric("version", "version by weight")]
    return Case("decisions", "A decision", metrics, [
        System(TIDINGS, "ours", TIDINGS, scenarios.decisions),
    ], [Goal("breaker", "under", 200), Goal("program", "under", 200),
        Goal("program_open", "under", 200),
        *[Goal(f"{name}_{count}", "under", 200) for name, count in choosers
          if count <= 64]], joined=True)


# ---- sweeps ----


def words_of_bytes(count):
    return f"{count} B" if count < 1024 else f"{count // 1024} KiB"


def payload(scaled):
    """As many events as take about as long at every size."""
    def run(events):
        return lambda processes, program: {
            str(size): scenarios.live(
                processes, program,
                scaled(min(events, events * 512 // size + 2000)), 1,
                "--bytes", size)
            for size in PAYLOADS}

    return Case("payload", "One to one, by size of data",
                [Metric(str(size), words_of_bytes(size), "events/s", "higher",
                        0, size) for size in PAYLOADS], [
                    main_system(TIDINGS, run(3_000_000)),
                    main_system(NATS, run(1_500_000)),
                    main_system(ZMQ, run(1_500_000)),
                ], [], sweep="bytes of data")


def flush(scaled):
    """After so many events the publisher waits until the broker has them, so
    a batch holds no more."""
    def run(processes, program):
        return {str(fill): scenarios.live(
            processes, program, scaled(min(1_000_000, 4_000 * fill)), 1,
            "--flush-every", fill) for fill in FLUSHES}

    return Case("flush", "One to one, flushed after every n events",
                [Metric(str(fill), f"n = {fill:,}", "events/s", "higher", 0,
                        fill) for fill in FLUSHES],
                [main_system(TIDINGS, run), main_system(NATS, run)],
                [], sweep="events that the publisher flushes at once")


def all_cases(quick):
    def scaled(events):
        return max(events // 8, 1000) if quick else events

    return [live_1to1(scaled), live_1to8(scaled), group_1to4(scaled),
            routing(scaled), random_types(scaled), slow(scaled, quick),
            latency(quick), inproc(scaled), start_up(), memory(quick),
            request(scaled), decisions(), payload(scaled), flush(scaled)]
