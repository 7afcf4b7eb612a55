"""The brokers that store: start one with an empty folder, say where it is.

What is not said here is its default. Whoever is not installed, or cannot do
what a run needs, is skipped with the reason. Everything listens on loopback
alone.
"""

import collections
import os
import shutil
import subprocess

from peers import free_port
from processes import Skipped

# program: has the roles of durable.h; start(processes) returns the url.
Peer = collections.namedtuple("Peer", "name program start")

RABBITMQ_WAIT_S = 60
RABBITMQ_HOME = "/usr/lib/rabbitmq"  # Debian's; elsewhere it is in the PATH


def need(processes, program, why):
    if not processes.has(program):
        raise Skipped(f"{program}: {why}")


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


# ---- tidings ----


def start_tidings(processes):
    process = processes.start("tidingsd", "--listen", "tcp://127.0.0.1:*",
                              "--data", processes.new_data())
    url = process.wait_for(r"^listening (\S+)").group(1)
    process.ready()
    return url


# ---- NATS JetStream ----


def start_jetstream(processes, more=""):
    need(processes, "nats-server", "not installed")
    folder = processes.new_data()
    config = write(folder, "nats.conf", "jetstream {\n"
                   f'  store_dir: "{folder}"\n  {more}\n}}\n')
    checked = subprocess.run(["nats-server", "-t", "-c", config],
                             capture_output=True, text=True, check=False)
    if checked.returncode:
        reason = checked.stderr.strip().rsplit(": ", 1)[-1]
        raise Skipped(f"nats-server: {reason}")
    process = processes.start("nats-server", "-a", "127.0.0.1", "-p", "-1",
                              "-c", config, merge_stderr=True)
    port = process.wait_for(r"client connections on \S+:(\d+)").group(1)
    process.wait_for("Server is ready")
    return f"nats://127.0.0.1:{port}"


def start_jetstream_always(processes):
    """Servers before 2.10 do not know the option."""
    return start_jetstream(processes, "sync_interval: always")


# ---- Redis ----


def start_redis(processes, appendfsync):
    """The append-only file alone, which is not rewritten during a run: that
    would take a core."""
    need(processes, "redis-server", "not installed")
    port = free_port()
    process = processes.start(
        "redis-server", "--bind", "127.0.0.1", "--port", port,
        "--dir", processes.new_data(), "--save", "", "--appendonly", "yes",
        "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", 0)
    process.wait_for("Ready to accept connections")
    return f"redis://127.0.0.1:{port}"


def start_redis_everysec(processes):
    return start_redis(processes, "everysec")


def start_redis_always(processes):
    return start_redis(processes, "always")


# ---- RabbitMQ ----


def rabbitmq_program():
    """Debian's program in the PATH is a wrapper that changes the user."""
    inside = f"{RABBITMQ_HOME}/bin/rabbitmq-server"
    return inside if os.path.exists(inside) else "rabbitmq-server"


def rabbitmq_version():
    try:
        names = os.listdir(f"{RABBITMQ_HOME}/lib")
    except OSError:
        return None
    return next((name for name in names
                 if name.startswith("rabbitmq_server-")), None)


def rabbitmq_env(folder, ports):
    """A node of its own: nothing of the installed one's is used."""
    return {
        "HOME": folder,  # the cookie of the Erlang node
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_DIST_PORT": str(ports["node"]),
        "RABBITMQ_MNESIA_BASE": os.path.join(folder, "data"),
        "RABBITMQ_LOG_BASE": folder,
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": write(
            folder, "rabbitmq.conf",
            f"listeners.tcp.1 = 127.0.0.1:{ports['amqp']}\n"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": write(folder, "plugins", "[].\n"),
        # Otherwise a shell stands between us and the server.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
            "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
    }


def start_rabbitmq(processes):
    """With its port mapper, which would stay if the server started it."""
    server = rabbitmq_program()
    if not shutil.which(server) or not shutil.which("epmd"):
        raise Skipped("rabbitmq-server: not installed")
    ports = {name: free_port() for name in ("epmd", "node", "amqp")}
    processes.start("epmd", "-address", "127.0.0.1", "-port", ports["epmd"])
    process = processes.start(server, merge_stderr=True, more_env=rabbitmq_env(
        processes.new_data(), ports))
    process.wait_for("Server startup complete", RABBITMQ_WAIT_S)
    return f"amqp://127.0.0.1:{ports['amqp']}"


# ---- all ----


TIDINGS = Peer("tidings", "bench_durable", start_tidings)
JETSTREAM = Peer("JetStream", "bench_jetstream", start_jetstream)
JETSTREAM_ALWAYS = Peer("JetStream, sync always", "bench_jetstream",
                        start_jetstream_always)
REDIS = Peer("Redis, sync each second", "bench_redis_streams",
             start_redis_everysec)
REDIS_ALWAYS = Peer("Redis, sync always", "bench_redis_streams",
                    start_redis_always)
RABBITMQ = Peer("RabbitMQ", "bench_rabbitmq", start_rabbitmq)


def start(processes, peer):
    """The url of its broker, with a stream and a group."""
    need(processes, peer.program, "not built")
    url = peer.start(processes)
    processes.start(peer.program, "make", "--url", url).end_well()
    return url
