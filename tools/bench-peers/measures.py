"""What is measured: with this project's generator, and with the clients of others."""

import json
import os
import subprocess
import time

import proc
from peers import RELEASE, ROOT, Kafka, need

GENERATOR = os.path.join(RELEASE, "chronik-bench")
PATIENCE_S = 45


class Failed(Exception):
    """Why a round has no figures."""


class Generated:
    """A measurement with `chronik-bench`, which checks the end of the log against what it has counted."""

    def __init__(self, name, command, full, quick):
        self.name, self.command, self.full, self.quick = name, command, full, quick

    def run(self, peer, quick, **others):
        """`others` are options that stand above the measurement's own."""
        options = dict(self.full, **(self.quick if quick else {}))
        options.update(peer.options.get(self.name, {}))
        options.update(others, address=peer.address, pid=peer.pid, name=peer.name)
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        line = json.loads(attempt([GENERATOR, self.command, *words]))
        if "arrived" in line and line["arrived"] != line["requests"]:
            raise Failed(f"{line['arrived']:.0f} of {line['requests']:.0f} records arrived")
        return line


THROUGHPUT = dict(bytes=256_000_000, seconds=3)
SYNCED = dict(record=1024, request=1, acks="all", connections=64, in_flight=1, seconds=1.5)

GENERATED = [
    Generated("produce-1k", "produce", THROUGHPUT, dict(bytes=64_000_000)),
    Generated("produce-100", "produce", dict(THROUGHPUT, record=100), dict(bytes=64_000_000)),
    Generated(
        "fetch",
        "fetch",
        dict(bytes=1_000_000_000, fill=128_000_000, connections=2, seconds=3),
        dict(bytes=250_000_000, fill=32_000_000),
    ),
    Generated("latency", "latency", dict(seconds=1.5), dict(seconds=0.7)),
    Generated("follow", "follow", dict(seconds=2), dict(seconds=1)),
    Generated("synced", "produce", SYNCED, dict(seconds=0.7)),
    Generated("synced-8", "produce", dict(SYNCED, partitions=8), dict(seconds=0.7)),
]


VALUE_BYTES = 1024


class Foreign:
    """A measurement with somebody else's producer and consumer, one after the other, on a topic of one partition."""

    def __init__(self, name, install, produce, consume):
        self.name, self.install, self.produce, self.consume = name, install, produce, consume

    def run(self, peer, quick, number):
        count = 64_000 if quick else 400_000
        topic = f"{self.name}-{os.getpid()}-{number}"
        peer.make_topic(topic)
        try:
            line = dict(scenario=self.name, subject=peer.name, round=number, bytes=count * VALUE_BYTES)
            line.update(cost("produce", peer, self.produce(peer, topic, count), count))
            end = peer.end_of(topic)
            if end != count:
                raise Failed(f"the log ends at {end}, but {count} records were sent")
            if "fetch" in peer.options:
                return line  # What was produced first is not kept.
            line.update(cost("consume", peer, self.consume(peer, topic, count), count))
            return line
        finally:
            peer.remove_topic(topic)


def cost(what, peer, command, count):
    """Runs a client and counts what the broker spends meanwhile."""
    cpu, began = proc.cpu_seconds(peer.pid), time.perf_counter()
    attempt(command)
    seconds = time.perf_counter() - began
    gigabytes = count * VALUE_BYTES / 1e9
    return {f"{what}_cpu_s_per_gb": (proc.cpu_seconds(peer.pid) - cpu) / gigabytes, f"{what}_seconds": seconds}


def attempt(command):
    """What a client prints. Raises Failed with its last words."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end within {PATIENCE_S} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Failed((lines or [f"exit code {done.returncode}"])[-1].removeprefix("chronik-bench: ")[:160])
    return done.stdout


def rdkafka(command):
    program = os.path.join(ROOT, "tools", "bench-peers", "rdkafka.py")
    size = [str(VALUE_BYTES)] if command == "produce" else []
    python = os.path.join(ROOT, ".venv", "suite", "bin", "python")
    return lambda peer, topic, count: [python, program, command, peer.address, topic, str(count), *size]


def java(main, words):
    def command(peer, topic, count):
        jars = Kafka.jars()
        prefix = ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
        values = dict(address=peer.address, topic=topic, count=count, size=VALUE_BYTES)
        return [*prefix, main, *(word.format(**values) for word in words.split())]

    return command


def kcat_produce(peer, topic, count):
    lines = os.path.join(os.path.dirname(peer.home), f"lines-{count}")
    if not os.path.exists(lines):
        with open(lines, "w") as file:
            file.writelines([f"{'x' * VALUE_BYTES}\n"] * count)
    return ["kcat", "-P", "-b", peer.address, "-t", topic, "-p", "0", "-X", "acks=1", "-l", lines]


def kcat_consume(peer, topic, count):
    return ["kcat", "-C", "-q", "-b", peer.address, "-t", topic, "-p", "0", "-o", "beginning", "-c", str(count), "-f", ""]


def nothing():
    pass


def kafka_tools():
    need("java", "default-jre-headless")
    need("mvn", "maven")
    Kafka.jars()


FOREIGN = [
    Foreign("librdkafka", nothing, rdkafka("produce"), rdkafka("consume")),
    Foreign(
        "kafka-tools",
        kafka_tools,
        java(
            "org.apache.kafka.tools.ProducerPerformance",
            "--topic {topic} --num-records {count} --record-size {size} --throughput -1"
            " --bootstrap-server {address} --command-property acks=1",
        ),
        java(
            "org.apache.kafka.tools.ConsumerPerformance",
            "--bootstrap-server {address} --topic {topic} --num-records {count} --timeout 20000",
        ),
    ),
    Foreign("kcat", lambda: need("kcat", "kcat"), kcat_produce, kcat_consume),
]
