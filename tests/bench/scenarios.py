"""The scenarios: one run of one system, with fresh processes. Each returns its
figures by metric, and fails if an event is neither taken nor told as dropped.
"""

import os
import tempfile
import time

import peers
from processes import RUN_S, WAIT_S, Failure

CLIENTS = 100      # of the many subscriptions, each with EACH: as many as
EACH = 1000        # a session may have
SETTLE_S = 0.2     # memory without a change for so long is at rest
SLOW_US = 1000     # what the slow subscriber sleeps at every event
MANY_WAIT_S = 60   # for 100,000 subscriptions to be in place


def span_s(results):
    """From the first event anywhere to the last."""
    return (max(result["last_ns"] for result in results)
            - min(result["first_ns"] for result in results)) / 1e9


def start_subscribers(processes, program, broker, count, options):
    takers = [processes.start(program, "sub", "--url", broker.subscribe_url,
                              "--subscribers", count, "--member", member,
                              *options)
              for member in range(count)]
    for taker in takers:
        taker.ready()
    return takers


def publish(processes, program, broker, takers, options):
    """Results of the takers when all is published and taken."""
    broker.subscribed()
    publisher = processes.start(program, "pub", "--url", broker.publish_url,
                                *options)
    results = [taker.result() for taker in takers]
    publisher.end_well()
    return results


def through_broker(processes, program, events, subscribers=1, more=()):
    """Publisher and subscribers as processes of their own."""
    broker = peers.start(processes, program, subscribers)
    options = ["--events", events, "--deadline", RUN_S, *more]
    takers = start_subscribers(processes, program, broker, subscribers,
                               options)
    return publish(processes, program, broker, takers, options)


def live(processes, program, events, subscribers, *more):
    results = through_broker(processes, program, events, subscribers, more)
    return events * subscribers / span_s(results)


def latency(processes, program, events, rate, *more):
    result, = through_broker(processes, program, events, 1,
                             ["--rate", rate, *more])
    return {name: result[name + "_ns"] / 1e3 for name in ("p50", "p99")}


def group(processes, program, events, members):
    """Members that share the events: together they take each of them once."""
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.NamedTemporaryFile(dir=folder) as share:
        results = through_broker(processes, program, events, members, [
            "--group", "bench", "--share", share.name])
    if sum(result["events"] for result in results) != events:
        raise Failure("the members' counts are not what was published")
    return events / span_s(results)


def in_process(processes, program, events):
    options = ["--events", events, "--deadline", RUN_S]
    if program == "bench_tidings":
        options += ["--url", "inproc://bench"]
    process = processes.start(program, "pair", *options)
    if program == "bench_tidings":
        process.ready()
    return events / span_s([process.result()])


# ---- many subscriptions ----


def start_many(processes, program, role, broker, *options):
    many = processes.start(program, role, "--url", broker.subscribe_url,
                           "--deadline", 2 * RUN_S, *options)
    many.ready(MANY_WAIT_S)
    return many


def beside_idle(processes, program, events, clients=CLIENTS, each=EACH):
    """One publisher and one subscriber, beside many subscriptions to types
    that nobody publishes."""
    broker = peers.start(processes, program)
    start_many(processes, program, "hold", broker, "--clients", clients,
               "--each", each)
    options = ["--events", events, "--deadline", RUN_S]
    takers = start_subscribers(processes, program, broker, 1, options)
    results = publish(processes, program, broker, takers, options)
    return events / span_s(results)


def random_types(processes, program, events, clients=CLIENTS, each=EACH):
    """Each event is of one of many types, with one subscription to each."""
    broker = peers.start(processes, program)
    options = ["--events", events, "--deadline", RUN_S]
    many = start_many(processes, program, "many", broker, "--clients", clients,
                      "--each", each, *options)
    results = publish(processes, program, broker, [many],
                      options + ["--types", clients * each])
    return events / span_s(results)


# ---- a slow subscriber ----


def slow(processes, program, events, fast, policy=None):
    """Events/s to the fast ones, while one more sleeps at every event; when
    they are done it takes what waits, so that its count can be checked."""
    broker = peers.start(processes, program)
    options = ["--events", events, "--deadline", RUN_S]
    snail = processes.start(program, "sub", "--url", broker.subscribe_url,
                            "--slow-us", SLOW_US, *options,
                            *(["--policy", policy] if policy else []))
    snail.ready()
    takers = start_subscribers(processes, program, broker, fast, options)
    results = publish(processes, program, broker, takers, options)
    snail.hurry()
    result = snail.result()
    if result["events"] + result["dropped"] != events:
        raise Failure(f"the slow subscriber's counts do not balance: {result}")
    if not result["dropped"]:
        raise Failure("the slow subscriber was not slow enough to matter")
    return events * fast / span_s(results)


# ---- the broker alone ----


def at_rest_bytes(process, what="VmRSS"):
    """A broker goes on working for a moment after the last subscription."""
    until = time.monotonic() + WAIT_S
    before, now = None, process.resident_bytes(what)
    while now != before and time.monotonic() < until:
        time.sleep(SETTLE_S)
        before, now = now, process.resident_bytes(what)
    return now


def memory(processes, program, clients, each):
    """What a connection, and then a subscription, adds to the broker."""
    broker = peers.start(processes, program)
    empty = at_rest_bytes(broker.process)
    start_many(processes, program, "hold", broker, "--clients", clients)
    connected = at_rest_bytes(broker.process) - empty
    start_many(processes, program, "hold", broker, "--clients", clients,
               "--each", each)
    both = at_rest_bytes(broker.process) - empty - connected
    return {"connection": connected / clients / 1e3,
            "subscription": (both - connected) / (clients * each)}


def requests(processes, program, role, events, *more):
    """Somebody who answers, and somebody who asks: the asker's figures."""
    broker = peers.start(processes, program)
    processes.start(program, "answer", "--url", broker.publish_url,
                    "--deadline", RUN_S, *more).ready()
    result = processes.start(program, role, "--url", broker.publish_url,
                             "--events", events, "--deadline", RUN_S,
                             *more).result()
    processes.end()
    return result


def asked_and_answered(processes, program, ones, eights, many, *at_once):
    """One caller, eight, and one that has a thousand out; at_once: how the
    program is told to send at once where somebody waits."""
    figures = {}
    for callers, events in ((1, ones), (8, eights)):
        result = requests(processes, program, "ask", events, "--clients",
                          callers, *at_once)
        figures[f"rate_{callers}"] = events / span_s([result])
        for name in ("p50", "p99"):
            figures[f"{name}_{callers}"] = result[name + "_ns"] / 1e3
    figures["rate"] = many / span_s([requests(processes, program, "pipeline",
                                              many, "--each", 1024)])
    return figures


def discovered(processes, program, times):
    """Microseconds to find who answers."""
    return span_s([requests(processes, program, "discover", times)]) * 1e6 / times


def start_up(processes, ready, program, *arguments):
    result = processes.start("bench_start", ready, processes.path(program),
                             *arguments).result()
    return {"ready": result["ready_us"] / 1e3,
            "resident": result["resident_kib"] * 1024 / 1e6}


def decisions(processes):
    """Nanoseconds that each takes, by its name."""
    result = processes.start("bench_decisions").result()
    return {name: ps / 1e3 for name, ps in result.items()}
