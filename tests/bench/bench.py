"""Runs the benchmark: rounds, medians, the table, the plot and the JSON.

Each round of a case runs every system once, in an order that turns with the
round; each run starts fresh processes and a fresh broker. A run in which an
event is missing, doubled or out of order fails the whole benchmark.
"""

import argparse
import collections
import datetime
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time

import cases
import durable_cases
import durable_peers
import plot
import table
from processes import Failure, Processes, Skipped

FILES = 20000  # descriptors: a connection may take ten at its client


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


def measure(case, arguments, progress):
    """Figures of each system and metric, one a round; and why a system has
    none."""
    figures = {system.name: collections.defaultdict(list)
               for system in case.systems}
    skipped = {}
    rounds = arguments.rounds
    for number in range(rounds):
        turn = number % len(case.systems)
        for system in case.systems[turn:] + case.systems[:turn]:
            if system.name in skipped:
                continue
            progress.show(f"{case.name}: round {number + 1} of {rounds}: "
                          f"{system.name}")
            with Processes(arguments.programs, arguments.data) as processes:
                try:
                    measured = system.run(processes)
                except Skipped as reason:
                    skipped[system.name] = str(reason)
                    continue
                except Failure as failure:
                    raise Failure("\n".join([
                        f"{case.name}: {system.name}: {failure}",
                        *processes.casualties()])) from None
            for metric, value in measured.items():
                figures[system.name][metric].append(value)
    return figures, skipped


# ---- judging ----


def times_better(metric, ours, theirs):
    return ours / theirs if metric.better == "higher" else theirs / ours


class Judge:
    """The medians of a case, and what they are worth."""

    def __init__(self, case, figures, skipped):
        self.case = case
        self.figures = figures
        self.skipped = skipped
        self.ours = next((system.name for system in case.systems
                          if system.kind == "ours"), None)

    def median(self, system, metric):
        """None: that was not measured."""
        rounds = self.figures.get(system, {}).get(metric)
        return statistics.median(rounds) if rounds else None

    def figure(self, system, metric):
        ours = self.median(self.ours, metric.name)
        median = self.median(system.name, metric.name)
        return {"median": median,
                "rounds": self.figures[system.name][metric.name],
                "times_better": ours and times_better(metric, ours, median)}

    def goal(self, goal):
        """As it stands in the JSON; None: its figures were not measured."""
        metric = next(metric for metric in self.case.metrics
                      if metric.name == goal.metric)
        ours = self.median(self.ours, goal.metric)
        against = {"times": (goal.against, goal.metric),
                   "share": (self.ours, goal.against),
                   "most": (self.ours, goal.against)}.get(goal.kind)
        against = self.median(*against) if against else ours
        if not ours or not against:
            return None
        value = {"times": lambda: times_better(metric, ours, against),
                 "share": lambda: ours / against,
                 "most": lambda: ours / against,
                 "under": lambda: ours,
                 "over": lambda: ours}[goal.kind]()
        met = {"under": value < goal.limit,
               "most": value <= goal.limit}.get(goal.kind,
                                                value >= goal.limit)
        return {**goal._asdict(), "value": value, "met": met}

    def report(self, others_share):
        """The case as it stands in the JSON."""
        goals = [self.goal(goal) for goal in self.case.goals]
        return {
            "case": self.case.name,
            "title": self.case.title,
            "sweep": self.case.sweep,
            "joined": self.case.joined,
            "others_share": round(others_share, 3),
            "skipped": self.skipped,
            "metrics": [metric._asdict() for metric in self.case.metrics],
            "systems": [{
                "system": system.name,
                "kind": system.kind,
                "column": system.column,
                "figures": {metric.name: self.figure(system, metric)
                            for metric in self.case.metrics
                            if metric.name in self.figures[system.name]},
            } for system in self.case.systems],
            "goals": [goal for goal in goals if goal],
        }


# ---- the document ----


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
        try:
            done = subprocess.run(command, capture_output=True, text=True,
                                  check=False)
        except OSError:
            return None
        return next(iter((done.stdout or done.stderr).splitlines()), None)

    found = {name: first_line("pkg-config", "--modversion", name)
             for name in ("libzmq", "libnats", "glib-2.0", "hiredis",
                          "libmosquitto", "librabbitmq")}
    found["nats-server"] = first_line("nats-server", "--version")
    found["redis-server"] = first_line("redis-server", "--version")
    found["mosquitto"] = first_line("mosquitto", "-h")
    found["rabbitmq-server"] = durable_peers.rabbitmq_version()
    return found


def write(path, text):
    if path:
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)


# ---- the program ----


def set_of(arguments):
    return durable_cases if arguments.durable else cases


def names_of(module):
    return [case.name for case in module.all_cases(True)]


def words_of(module):
    return ", ".join(names_of(module))


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run.sh",
        description="Measure tidings side by side with its peers.")
    parser.add_argument("--quick", action="store_true",
                        help="an eighth of the events, and one round")
    parser.add_argument("--rounds", type=int,
                        help="of each case (default 3)")
    parser.add_argument("--durable", action="store_true",
                        help="what is stored and settled, not what is live")
    parser.add_argument("--only", action="append", metavar="CASE",
                        help="one case; repeatable: "
                        f"{words_of(cases)}; durable: "
                        f"{words_of(durable_cases)}")
    parser.add_argument("--system", action="append", metavar="TEXT",
                        help="only systems with this in the name; repeatable")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--markdown", metavar="FILE.md",
                        help="write the table of medians")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw the medians")
    parser.add_argument("--data", metavar="FOLDER",
                        help="on the disk to use, for data that is removed at "
                        "the end (default: where the build is)")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds is None:
        arguments.rounds = 1 if arguments.quick else 3
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    names = names_of(set_of(arguments))
    for name in arguments.only or []:
        if name not in names:
            parser.error(f"--only {name}: not one of {', '.join(names)}")
    arguments.data = arguments.data or os.path.dirname(
        os.path.abspath(arguments.programs))
    return arguments


def chosen(arguments):
    """The cases and systems that were asked for."""
    for case in set_of(arguments).all_cases(arguments.quick):
        if arguments.only and case.name not in arguments.only:
            continue
        systems = [system for system in case.systems if not arguments.system
                   or any(text in system.name for text in arguments.system)]
        if systems:
            yield case._replace(systems=systems)


def run_all(arguments, progress):
    for case in chosen(arguments):
        others = Others()
        start = time.monotonic()
        report = Judge(case, *measure(case, arguments, progress)).report(
            others.share())
        report["seconds"] = round(time.monotonic() - start, 1)
        yield report


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (
        FILES if most == resource.RLIM_INFINITY else min(FILES, most), most))
    document = {
        "date": datetime.datetime.now(datetime.timezone.utc)
                .strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(),
        "quick": arguments.quick,
        "rounds": arguments.rounds,
        "columns": set_of(arguments).COLUMNS,
        "checked": set_of(arguments).CHECKED,
    }
    progress = Progress()
    try:
        document["cases"] = list(run_all(arguments, progress))
    except Failure as failure:
        progress.show("")
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.show("")
        return 130
    progress.show("")
    table.print_text(document)
    print("\n" + table.markdown(document), end="")
    write(arguments.json,
          json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    write(arguments.markdown, table.markdown(document))
    write(arguments.plot, plot.draw(document) if arguments.plot else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
