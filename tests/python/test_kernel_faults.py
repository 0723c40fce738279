"""The broker is killed within a system call that changes a file, by strace: what was acknowledged is there after a start.

CHRONIK_KERNEL_KILLS (12) says how many kills there are in all.
"""

import os
import shutil
import signal

import pytest
from broker import Broker, wait_until
from confluent_kafka import KafkaException, TopicPartition
from test_crash import group_consumer
from wire import Connection, batch, batches

KILLS = int(os.environ.get("CHRONIK_KERNEL_KILLS", "12"))
CALLS = ["pwrite64,pwritev,pwritev2", "fdatasync,fsync", "rename,renameat,renameat2", "ftruncate", "openat"]
GROUP = "committers"


class Traced(Broker):
    """A broker below strace, which kills it at the n-th of some system calls."""

    calls, number = None, 0

    def command(self):
        command = super().command()
        if self.calls is None:
            return command
        inject = f"inject={self.calls}:signal=KILL:when={self.number}"
        strace = ["strace", "-f", "-qq", "-o", os.path.join(self.home, "strace")]
        return [*strace, "-e", f"trace={self.calls}", "-e", inject, *command]


def commit(connection, offset):
    parts = [{"index": 0, "offset": offset, "metadata": ""}]
    topics = [{"name": "topic", "partitions": parts}]
    answer = connection.call("OffsetCommit", group=GROUP, generation=-1, member="", retention_ms=-1, topics=topics)
    return answer["topics"][0]["partitions"][0]["error"]


def committed(broker):
    consumer = group_consumer(broker)
    part = wait_until(lambda: ask(consumer), "the commit", 20)[0]
    consumer.close()
    return part.offset


def ask(consumer):
    try:
        return consumer.committed([TopicPartition("topic", 0)], 5)
    except KafkaException:
        return None


def script(broker, told):
    """Produces and commits until it is through or the broker is gone."""
    with Connection(broker.port, 30.0) as connection:
        for number in range(15):
            told["tried"] += 1
            answer = connection.produce("topic", batch([b"%d" % told["tried"] + b"x" * 200]))
            if answer["error"] != 0:
                continue
            told["kept"][answer["base_offset"]] = told["tried"]
            # Not beyond the log: a commit ahead of the data is taken back by a start.
            if commit(connection, answer["base_offset"] + 1) == 0:
                told["commit"] = answer["base_offset"] + 1


def content(broker):
    found, offset = {}, 0
    with Connection(broker.port) as connection:
        while True:
            some = batches(connection.fetch("topic", offset)["records"])
            if not some:
                return found
            for first, last, values in some:
                assert first == offset, f"{offset} is followed by {first}"
                found[first] = int(values[0].rstrip(b"x"))
                offset = last + 1


def check(broker, told, when):
    found = content(broker)
    for offset, number in told["kept"].items():
        assert found.get(offset) == number, f"{when}: {number} was acknowledged at {offset}, there is {found.get(offset)}"
    numbers = list(found.values())
    assert numbers == sorted(set(numbers)), f"{when}: once and in order"
    if told["commit"]:
        assert committed(broker) >= told["commit"], f"{when}: a commit went back"


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_killed_within_any_system_call_the_broker_keeps_what_it_acknowledged():
    told = {"tried": 0, "kept": {}, "commit": 0}
    died, farthest = 0, 0
    # Which call of its kind is next: on as long as a life has so many, then from the beginning again, between those before.
    numbers = dict.fromkeys(CALLS, 1)
    with Traced() as broker:
        with Connection(broker.port) as admin:
            admin.create_topic("topic", 1, [("segment.bytes", "2000")])
        broker.terminate()
        for turn in range(KILLS):
            broker.calls = CALLS[turn % len(CALLS)]
            broker.number = numbers[broker.calls]
            when = f"{broker.calls} number {broker.number}"
            broker.launch()
            try:
                wait_until(lambda: broker.process.poll() is not None or broker._is_ready(), when, 30)
                script(broker, told)
            except (OSError, AssertionError):
                wait_until(lambda: broker.process.poll() is not None, f"{when}: it ends", 20)
            if broker.process.poll() is None:
                stop(broker)
                numbers[broker.calls] = 1 + broker.number % 3
            else:
                died, farthest = died + 1, max(farthest, broker.number)
                numbers[broker.calls] += 3
            broker.calls = None
            broker.start()
            check(broker, told, when)
            broker.terminate()
        broker.start()
        print(f"{died} of {KILLS} died, at the {farthest}th call at most, {len(told['kept'])} records acknowledged, {told['tried']} tried")
    assert died > KILLS // 3, f"only {died} of {KILLS} died"


def stop(broker):
    """Ends the traced process, of which strace is the parent, and then strace ends."""
    with open(f"/proc/{broker.pid}/task/{broker.pid}/children") as children:
        for pid in children.read().split():
            os.kill(int(pid), signal.SIGKILL)
    broker.process.wait(20)
