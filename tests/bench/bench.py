"""Runs the benchmark: cases, rounds, medians, the table and the JSON.

A case is a shape (who talks to whom) and its systems. Each round runs every
system once, in an order that turns with the round; each run starts fresh
processes and a fresh broker. A run in which an event is missing, doubled or
out of order fails the whole benchmark.
"""

import argparse
import collections
import datetime
import json
import os
import platform
import re
import resource
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import plot

WAIT_S = 20  # for a process to say that it is ready, or to end when told to
RUN_S = 60   # for one run; the programs have the same deadline
OTHERS_MAX = 0.05  # of the machine; more of it disturbs the figures
NATS_CONFIG = 'max_pending: 1GB\nwrite_deadline: "60s"\n'


class Failure(Exception):
    """A run that cannot be counted; the text says why."""


# ---- processes ----


class Process:
    """A child whose stdout is read line by line with a deadline."""

    def __init__(self, command, merge_stderr=False):
        self.name = os.path.basename(command[0])
        self.errors = tempfile.TemporaryFile()
        self.lines = collections.deque()
        self.partial = b""
        try:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge_stderr else self.errors)
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
            status = self.child.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            raise self.failure("does not end") from None
        if status:
            raise self.failure(f"ended with status {status}")

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

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.stop()

    def casualties(self):
        """Those that ended badly, in words: one may explain a failure."""
        return [str(process.failure(f"status {process.child.returncode}"))
                for process in self.started if process.child.poll()]

    def start(self, program, *arguments, merge_stderr=False):
        path = program if program == "nats-server" else \
            os.path.join(self.folder, program)
        process = Process([path, *map(str, arguments)], merge_stderr)
        self.started.append(process)
        return process


# ---- brokers: start one, say where to publish and where to subscribe ----


class Broker:
    def __init__(self, process, publish_url, subscribe_url):
        self.process = process
        self.publish_url = publish_url
        self.subscribe_url = subscribe_url

    def subscribed(self):
        """Wait until it has all subscriptions."""


class ZmqProxy(Broker):
    def subscribed(self):
        self.process.wait_for("^subscribed$")


def start_tidingsd(processes, _subscribers):
    process = processes.start("tidingsd", "--listen", "tcp://127.0.0.1:*")
    url = process.wait_for(r"^listening (\S+)").group(1)
    process.wait_for("^ready$")
    return Broker(process, url, url)


def start_nats(processes, _subscribers):
    """Any backlog is kept: with its defaults the server cuts subscribers off
    that are 64 MiB or ten seconds behind, which loses events."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(NATS_CONFIG)
        config.flush()
        process = processes.start("nats-server", "-a", "127.0.0.1", "-p", "-1",
                                  "-c", config.name, merge_stderr=True)
        port = process.wait_for(r"client connections on \S+:(\d+)").group(1)
        process.wait_for("Server is ready")
    url = f"nats://127.0.0.1:{port}"
    return Broker(process, url, url)


def start_zmq(processes, subscribers):
    process = processes.start("bench_zmq", "proxy", "--subscribers",
                              subscribers, "--deadline", 2 * RUN_S)
    front = process.wait_for(r"^listening (\S+)").group(1)
    back = process.wait_for(r"^listening (\S+)").group(1)
    process.wait_for("^ready$")
    return ZmqProxy(process, front, back)


def start_relay(processes, _subscribers):
    process = processes.start("bench_relay", "relay", "--deadline", 2 * RUN_S)
    url = process.wait_for(r"^listening (\S+)").group(1)
    process.wait_for("^ready$")
    return Broker(process, url, url)


BROKERS = {"bench_tidings": start_tidingsd, "bench_nats": start_nats,
           "bench_zmq": start_zmq, "bench_relay": start_relay}


# ---- shapes: one run of one system ----


def through_broker(processes, program, events, subscribers=1, more=()):
    """Publisher and subscribers as processes of their own."""
    broker = BROKERS[program](processes, subscribers)
    options = ["--events", events, "--deadline", RUN_S, *more]
    takers = []
    for _ in range(subscribers):
        takers.append(processes.start(program, "sub", "--url",
                                      broker.subscribe_url, *options))
    for taker in takers:
        taker.wait_for("^ready$")
    broker.subscribed()
    publisher = processes.start(program, "pub", "--url", broker.publish_url,
                                *options)
    results = [taker.result() for taker in takers]
    publisher.end_well()
    return results


def live(processes, program, events, subscribers):
    results = through_broker(processes, program, events, subscribers)
    first_ns = min(result["first_ns"] for result in results)
    last_ns = max(result["last_ns"] for result in results)
    return {"rate": events * subscribers * 1e9 / (last_ns - first_ns)}


def latency(processes, program, events, rate, *more):
    result, = through_broker(processes, program, events, 1,
                             ["--rate", rate, *more])
    return {name: result[name + "_ns"] / 1e3 for name in ("p50", "p99")}


def in_process(processes, program, events):
    options = ["--events", events, "--deadline", RUN_S]
    if program == "bench_tidings":
        options += ["--url", "inproc://bench"]
    process = processes.start(program, "pair", *options)
    if program == "bench_tidings":
        process.wait_for("^ready$")
    result = process.result()
    return {"rate": events * 1e9 / (result["last_ns"] - result["first_ns"])}


def start_up(processes, ready, program, *arguments):
    path = program if program == "nats-server" else \
        os.path.join(processes.folder, program)
    result = processes.start("bench_start", ready, path, *arguments).result()
    return {"ready": result["ready_us"] / 1e3,
            "resident": result["resident_kib"] * 1024 / 1e6}


# ---- cases ----

Metric = collections.namedtuple("Metric", "name title unit better digits")
System = collections.namedtuple("System", "name kind run")
Case = collections.namedtuple("Case", "name title metrics systems goals")

RATE = [Metric("rate", "", "events/s", "higher", 0)]


def cases(quick):
    """The systems' event numbers differ so that each run takes about as
    long; the figures are rates. A goal of a peer is how many times better
    tidings must be; a goal of ours is what its figure must stay under."""
    def scaled(events):
        return events // 4 if quick else events

    def live_system(kind, name, program, events, subscribers):
        return System(name, kind, lambda processes: live(
            processes, program, scaled(events), subscribers))

    def latency_system(kind, name, program, *more):
        return System(name, kind, lambda processes: latency(
            processes, program, 1000 if quick else 3000, 1000, *more))

    def inproc_system(kind, name, program, events):
        return System(name, kind, lambda processes: in_process(
            processes, program, scaled(events)))

    def start_system(kind, name, ready, *arguments):
        return System(name, kind, lambda processes: start_up(
            processes, ready, name, *arguments))

    return [
        Case("live-1to1", "One publisher to one subscriber", RATE, [
            live_system("ours", "tidings", "bench_tidings", 4_000_000, 1),
            live_system("peer", "nats-server", "bench_nats", 2_000_000, 1),
            live_system("peer", "libzmq proxy", "bench_zmq", 2_000_000, 1),
            live_system("reference", "byte relay (limit)", "bench_relay",
                        20_000_000, 1),
        ], {"nats-server": {"rate": 4}, "libzmq proxy": {"rate": 2.5}}),
        Case("live-1to8", "One publisher to eight subscribers, all together",
             RATE, [
                 live_system("ours", "tidings", "bench_tidings", 1_000_000, 8),
                 live_system("peer", "nats-server", "bench_nats", 400_000, 8),
                 live_system("peer", "libzmq proxy", "bench_zmq", 400_000, 8),
             ], {"nats-server": {"rate": 3}}),
        Case("latency", "One-way latency at 1,000 events/s", [
            Metric("p50", "median", "µs", "lower", 0),
            Metric("p99", "99th percentile", "µs", "lower", 0),
        ], [
            latency_system("ours", "tidings", "bench_tidings"),
            latency_system("peer", "nats-server", "bench_nats"),
            latency_system("peer", "nats-server, sent at once", "bench_nats",
                           "--send-asap"),
            latency_system("peer", "libzmq proxy", "bench_zmq"),
        ], {"libzmq proxy": {"p50": 1, "p99": 1}}),
        Case("inproc", "In one process, from thread to thread", RATE, [
            inproc_system("ours", "tidings inproc://", "bench_tidings",
                          8_000_000),
            inproc_system("peer", "GLib GAsyncQueue", "bench_glib", 4_000_000),
            inproc_system("peer", "libzmq inproc", "bench_zmq", 4_000_000),
            inproc_system("reference", "mutex and swap (reference)",
                          "bench_swap", 16_000_000),
        ], {"GLib GAsyncQueue": {"rate": 4}}),
        Case("start", "Broker alone", [
            Metric("ready", "from start to ready", "ms", "lower", 1),
            Metric("resident", "resident memory when idle", "MB", "lower", 1),
        ], [
            start_system("ours", "tidingsd", "ready\n", "--listen",
                         "tcp://127.0.0.1:*"),
            start_system("peer", "nats-server", "Server is ready", "-a",
                         "127.0.0.1", "-p", "-1"),
        ], {"tidingsd": {"ready": 50, "resident": 10}}),
    ]


# ---- measuring ----


class Others:
    """How much of the machine went to others while we measured: what all
    processes used less what ours did, and what the hypervisor withheld."""

    def __init__(self):
        self.before = self.read()

    @staticmethod
    def read():
        with open("/proc/stat", encoding="ascii") as lines:
            ticks = [int(text) for text in lines.readline().split()[1:9]]
        user, nice, system, _idle, _iowait, _irq, _softirq, steal = ticks
        busy = (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")
        ours = sum(usage.ru_utime + usage.ru_stime for usage in map(
            resource.getrusage, (resource.RUSAGE_SELF,
                                 resource.RUSAGE_CHILDREN)))
        return time.monotonic() * os.cpu_count(), busy, ours

    def share(self):
        room, busy, ours = (after - before for after, before in
                            zip(self.read(), self.before))
        return max(0.0, (busy - ours) / room)


class Progress:
    """One line on a terminal that the next one overwrites."""

    def __init__(self):
        self.shown = sys.stderr.isatty()

    def show(self, text):
        if self.shown:
            sys.stderr.write("\r\033[K" + text[:78])
            sys.stderr.flush()


def measure(case, rounds, folder, progress):
    """Figures of each system and metric, one a round."""
    figures = {system.name: collections.defaultdict(list)
               for system in case.systems}
    for number in range(rounds):
        turn = number % len(case.systems)
        for system in case.systems[turn:] + case.systems[:turn]:
            progress.show(f"{case.name}: round {number + 1} of {rounds}: "
                          f"{system.name}")
            with Processes(folder) as processes:
                try:
                    measured = system.run(processes)
                except Failure as failure:
                    raise Failure("\n".join([
                        f"{case.name}: {system.name}: {failure}",
                        *processes.casualties()])) from None
            for metric, value in measured.items():
                figures[system.name][metric].append(value)
    return figures


def times_better(metric, ours, theirs):
    return ours / theirs if metric.better == "higher" else theirs / ours


def report(case, figures, others_share):
    """A case as it stands in the JSON."""
    ours = next((system for system in case.systems if system.kind == "ours"),
                None)

    def median(system, metric):
        return statistics.median(figures[system.name][metric.name])

    def figure(system, metric):
        return {
            "median": median(system, metric),
            "rounds": figures[system.name][metric.name],
            "times_better": ours and times_better(
                metric, median(ours, metric), median(system, metric)),
            "goal": case.goals.get(system.name, {}).get(metric.name),
        }

    return {
        "case": case.name,
        "title": case.title,
        "others_share": round(others_share, 3),
        "metrics": [metric._asdict() for metric in case.metrics],
        "systems": [{
            "system": system.name,
            "kind": system.kind,
            "figures": {metric.name: figure(system, metric)
                        for metric in case.metrics},
        } for system in case.systems],
    }


# ---- showing ----


def number(value, digits):
    return f"{value:,.{digits}f}"


def print_table(document):
    machine = document["machine"]
    print(f"tidings bench, {document['date']}, {machine['cores']} cores "
          f"({machine['model']}), {document['rounds']} rounds"
          + (", quick" if document["quick"] else ""))
    print("128-byte data; medians, in brackets the lowest and highest round")
    for case in document["cases"]:
        for metric in case["metrics"]:
            print_metric(case, metric)
        if case["others_share"] > OTHERS_MAX:
            print(f"  disturbed: other processes had "
                  f"{case['others_share']:.0%} of the machine meanwhile")
    print("\nno event was lost, doubled or out of order")


def print_metric(case, metric):
    title = case["title"] + (": " + metric["title"] if metric["title"] else "")
    print(f"\n{title + ', ' + metric['unit']:<65}  tidings is")
    for system in case["systems"]:
        figure = system["figures"][metric["name"]]
        digits = metric["digits"]
        spread = (f"[{number(min(figure['rounds']), digits)} … "
                  f"{number(max(figure['rounds']), digits)}]")
        print(f"  {system['system']:<27}"
              f"{number(figure['median'], digits):>11}"
              f"  {spread:<25}{comparison(system, figure)}".rstrip())


def comparison(system, figure):
    """The right end of a row: how many times better we are, and the goal."""
    ratio, goal = figure["times_better"], figure["goal"]
    if not ratio:
        return ""
    if system["kind"] == "ours":
        if not goal:
            return ""
        verdict = "met" if figure["median"] < goal else "MISSED"
        return f"{'':>8}  goal: under {goal:g}, {verdict}"
    if not goal:
        return f"{ratio:>6.2f} ×"
    verdict = "met" if ratio >= goal else "MISSED"
    return f"{ratio:>6.2f} ×  goal: {goal:g} ×, {verdict}"


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cores": len(os.sched_getaffinity(0)), "model": model,
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE")
                                * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "kernel": platform.release()}


def versions():
    """Of the peers, where pkg-config or the program knows them."""
    def first_line(*command):
        return subprocess.run(command, capture_output=True, text=True,
                              check=True).stdout.splitlines()[0]

    found = {name: first_line("pkg-config", "--modversion", name)
             for name in ("libzmq", "libnats", "glib-2.0")}
    found["nats-server"] = first_line("nats-server", "--version")
    return found


# ---- the program ----


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run.sh",
        description="Measure tidings side by side with its peers.")
    parser.add_argument("--quick", action="store_true",
                        help="a quarter of the events")
    parser.add_argument("--rounds", type=int, default=3,
                        help="of each case (default 3)")
    parser.add_argument("--only", action="append", metavar="CASE",
                        choices=[case.name for case in cases(False)],
                        help="one case; repeatable: %(choices)s")
    parser.add_argument("--system", action="append", metavar="TEXT",
                        help="only systems with this in their name; repeatable")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the medians")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    return arguments


def chosen(arguments):
    """The cases and systems that were asked for."""
    for case in cases(arguments.quick):
        if arguments.only and case.name not in arguments.only:
            continue
        systems = [system for system in case.systems if not arguments.system
                   or any(text in system.name for text in arguments.system)]
        if systems:
            yield case._replace(systems=systems)


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    document = {
        "date": datetime.datetime.now(datetime.timezone.utc)
                .strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(),
        "quick": arguments.quick,
        "rounds": arguments.rounds,
        "cases": [],
    }
    progress = Progress()
    try:
        for case in chosen(arguments):
            others = Others()
            figures = measure(case, arguments.rounds, arguments.programs,
                              progress)
            document["cases"].append(report(case, figures, others.share()))
    except Failure as failure:
        progress.show("")
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.show("")
        return 130
    progress.show("")
    print_table(document)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as out:
            json.dump(document, out, indent=2, ensure_ascii=False)
            out.write("\n")
    if arguments.plot:
        with open(arguments.plot, "w", encoding="utf-8") as out:
            out.write(plot.draw(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
