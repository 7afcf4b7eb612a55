"""The brokers: start one, say where to publish and where to subscribe.

Each is set up so that it loses nothing; what is not said here is its default.
"""

import socket
import tempfile

from processes import RUN_S

# With its defaults NATS cuts subscribers off that are 64 MiB or ten seconds
# behind.
NATS_CONFIG = 'max_pending: 1GB\nwrite_deadline: "60s"\n'
# Mosquitto drops what a subscriber has not taken beyond 1,000 messages.
MOSQUITTO_CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
"""


class Broker:
    def __init__(self, process, publish_url, subscribe_url=None):
        self.process = process
        self.publish_url = publish_url
        self.subscribe_url = subscribe_url or publish_url

    def subscribed(self):
        """Wait until it has all subscriptions."""


class ZmqProxy(Broker):
    def subscribed(self):
        self.process.wait_for("^subscribed$")


def free_port():
    """For brokers that cannot choose one and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_tidingsd(processes, _subscribers):
    process = processes.start("tidingsd", "--listen", "tcp://127.0.0.1:*")
    url = process.wait_for(r"^listening (\S+)").group(1)
    process.ready()
    return Broker(process, url)


def start_nats(processes, _subscribers):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(NATS_CONFIG)
        config.flush()
        process = processes.start("nats-server", "-a", "127.0.0.1", "-p", "-1",
                                  "-c", config.name, merge_stderr=True)
        port = process.wait_for(r"client connections on \S+:(\d+)").group(1)
        process.wait_for("Server is ready")
    return Broker(process, f"nats://127.0.0.1:{port}")


def start_redis(processes, _subscribers):
    """Without a limit on what waits for a subscriber, and without a disk."""
    port = free_port()
    process = processes.start(
        "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "",
        "--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0")
    process.wait_for("Ready to accept connections")
    return Broker(process, f"redis://127.0.0.1:{port}")


def start_mosquitto(processes, _subscribers):
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(MOSQUITTO_CONFIG.format(port=port))
        config.flush()
        process = processes.start("mosquitto", "-c", config.name,
                                  merge_stderr=True)
        process.wait_for(r"mosquitto version \S+ running")
    return Broker(process, f"mqtt://127.0.0.1:{port}")


def start_zmq(processes, subscribers):
    process = processes.start("bench_zmq", "proxy", "--subscribers",
                              subscribers, "--deadline", 2 * RUN_S)
    front = process.wait_for(r"^listening (\S+)").group(1)
    back = process.wait_for(r"^listening (\S+)").group(1)
    process.ready()
    return ZmqProxy(process, front, back)


def start_relay(processes, _subscribers):
    process = processes.start("bench_relay", "relay", "--deadline", 2 * RUN_S)
    url = process.wait_for(r"^listening (\S+)").group(1)
    process.ready()
    return Broker(process, url)


STARTS = {"bench_tidings": start_tidingsd, "bench_nats": start_nats,
          "bench_zmq": start_zmq, "bench_relay": start_relay,
          "bench_redis": start_redis, "bench_mosquitto": start_mosquitto,
          "bench_request": start_tidingsd, "bench_nats_request": start_nats}


def start(processes, program, subscribers=1):
    """The broker that program talks to."""
    return STARTS[program](processes, subscribers)
