#!/usr/bin/env python3
"""The story that every client has to live through, told once.

usage: scenario.py DRIVER [API_VERSION]     DRIVER is a module of clients/
It starts its own broker, and runs in the environment of the client that it tests (see requirements/). With
BOOTSTRAP=HOST:PORT in the environment it takes that broker, and leaves the restart out.
"""

import importlib
import itertools
import os
import queue
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from broker import Broker, wait_until  # noqa: E402
from wire import Connection  # noqa: E402

WAIT_S = 30.0
START_MS = 1_500_000_000_000


def records(run, count, client):
    """Records of every awkward kind, all different; timestamps rise by one millisecond."""
    made = []
    for number in range(count):
        key = None if number % 5 == 0 else f"key-{run}-{number}".encode()
        value = f"{run}/{number}".encode()
        if number % 7 == 3:
            value += bytes(range(256)) * 40
        if number % 11 == 5 and key is not None:
            value = b""
        headers = (("run", run.encode()), ("empty", b"")) if client.headers and number % 3 == 0 else ()
        made.append((key, value, START_MS + number, headers))
    return made


def read(source, count, what):
    """Polls until `count` records came, then once more to see that nothing else does."""
    got = []

    def enough():
        got.extend(source.poll())
        return len(got) >= count

    wait_until(enough, lambda: f"{what}: {len(got)} of {count}", WAIT_S)
    got.extend(source.poll())
    return got


def check(client, got, sent, first_offset, what):
    """Every record once, in order, unchanged, offsets without a gap."""
    assert len(got) == len(sent), f"{what}: {len(got)} records, {len(sent)} were sent"
    for number, (message, (key, value, timestamp, headers)) in enumerate(zip(got, sent)):
        where = f"{what}, record {number}"
        assert message.offset == first_offset + number, f"{where}: offset {message.offset}"
        assert message.key == key, f"{where}: key {message.key!r} is not {key!r}"
        assert message.value == value, f"{where}: value {message.value!r:.80} is not {value!r:.80}"
        if client.timestamps:
            assert message.timestamp == timestamp, f"{where}: timestamp {message.timestamp}"
        if client.headers:
            assert message.headers == headers, f"{where}: headers {message.headers}"


class MemberThread(threading.Thread):
    """A group member polls all the time, on a thread of its own; clients may not be shared between threads."""

    def __init__(self, client, group, topic):
        super().__init__(daemon=True)
        self.make = lambda: client.member(group, topic)
        self.seen = {}
        self.calls = queue.Queue()
        self.owned = set()
        self.failure = None
        self.start()

    def run(self):
        try:
            member = self.make()
            while True:
                for message in member.poll():
                    self.seen.setdefault(message.partition, []).append(message)
                self.owned = member.assignment()
                try:
                    call, answer = self.calls.get_nowait()
                except queue.Empty:
                    continue
                answer.put(call(member))
                if call is CLOSE:
                    return
        except Exception:
            self.failure = traceback.format_exc()

    def call(self, call):
        answer = queue.Queue()
        self.calls.put((call, answer))
        return wait_until(lambda: self.check() and not answer.empty() and [answer.get()], "a member's answer", WAIT_S)[0]

    def check(self):
        assert self.failure is None, self.failure
        return True

    def count(self):
        self.check()
        return sum(len(messages) for messages in list(self.seen.values()))

    def commit(self):
        """Commits the position after everything seen; the offsets by partition."""
        offsets = {part: seen[-1].offset + 1 for part, seen in self.seen.items() if part in self.owned}
        self.call(lambda member: member.commit(offsets))
        return offsets

    def close(self):
        self.call(CLOSE)
        self.join()


def CLOSE(member):
    member.close()


def produce_and_read_back(client, topic):
    """Every acknowledgement level with every codec into one partition, and all of it back in order."""
    sent = []
    reader = client.reader(topic, 0, 0)
    for codec, acks in itertools.product(client.codecs, (0, 1, -1)):
        what = f"{codec or 'none'} acks={acks}"
        batch = records(what, 25, client)
        producer = client.producer(acks, codec)
        offsets = producer.send(topic, 0, batch)
        producer.close()
        if acks != 0:
            expected = list(range(len(sent), len(sent) + len(batch)))
            assert offsets == expected, f"{what}: acknowledged at {offsets}"
        check(client, read(reader, len(batch), what), batch, len(sent), what)
        sent += batch
    reader.close()
    return sent


def share_in_a_group(client, topic, group):
    """One member takes all, a second joins and takes half, both commit, one leaves; the committed offsets."""
    producer = client.producer(-1, None)
    ends = {0: 0, 1: 0}

    def send(run, count):
        for part in ends:
            producer.send(topic, part, records(f"{run}-{part}", count, client))
            ends[part] += count

    send("first", 20)
    one = MemberThread(client, group, topic)
    wait_until(lambda: one.count() >= 40, lambda: f"the first member reads {one.count()} of 40", WAIT_S)
    assert one.commit() == {0: 20, 1: 20}

    if client.groups:
        two = MemberThread(client, group, topic)
        halves = lambda: one.check() and two.check() and sorted([*one.owned, *two.owned]) == [0, 1] and one.owned and two.owned
        wait_until(halves, lambda: f"two members share: {one.owned} and {two.owned}", WAIT_S)
        send("second", 20)
        wait_until(lambda: one.count() + two.count() >= 80, lambda: f"both read {one.count()}+{two.count()}", WAIT_S)
        assert two.count() == 20 and one.count() == 60, f"{one.count()} and {two.count()}"
        assert one.commit() | two.commit() == {0: 40, 1: 40}
        two.close()
        wait_until(lambda: one.check() and one.owned == {0, 1}, "the first member takes over", WAIT_S)
        send("third", 5)
        wait_until(lambda: one.count() >= 70, lambda: f"one reads {one.count()} of 70", WAIT_S)
        assert one.count() == 70, "resumed behind the other member's commit"
        assert one.commit() == {0: 45, 1: 45}
    one.close()
    committed = dict(ends)
    send("unread", 10)
    return producer, committed, ends


def resume_after_restart(client, topic, group, committed, ends):
    """A new member begins exactly where the group's commits ended."""
    member = MemberThread(client, group, topic)
    missing = sum(ends.values()) - sum(committed.values())
    wait_until(lambda: member.count() >= missing, lambda: f"resume reads {member.count()} of {missing}", WAIT_S)
    for part, first in committed.items():
        offsets = [message.offset for message in member.seen[part]]
        assert offsets == list(range(first, ends[part])), f"partition {part} resumed at {offsets}"
        assert member.call(lambda inner: inner.committed(part)) == first
    member.close()


def steps():
    """Prints what was done, with the time that it took so far."""
    start = time.monotonic()
    return lambda name: print(f"{time.monotonic() - start:6.2f} s  {name}", flush=True)


def run_on(bootstrap, driver, version):
    """The story up to the restart, on a broker that others use too."""
    client = importlib.import_module(f"clients.{driver}").Client(bootstrap, version)
    step, mark = steps(), f"{driver}-{version}-{os.getpid()}"

    def create(topic):
        if not client.create_topic(topic, 2):
            with Connection(int(bootstrap.rsplit(":", 1)[1])) as connection:
                connection.create_topic(topic, 2)

    create(f"story-{mark}")
    sent = produce_and_read_back(client, f"story-{mark}")
    step(f"{len(sent)} records produced and read back")
    create(f"shared-{mark}")
    producer, _, _ = share_in_a_group(client, f"shared-{mark}", f"readers-{mark}")
    producer.close()
    step("group shared, rebalanced and committed")


def run(driver, version):
    module = importlib.import_module(f"clients.{driver}")
    with Broker(options=["num.partitions=2", "group.initial.rebalance.delay.ms=0"]) as broker:
        client = module.Client(broker.bootstrap, version)
        step = steps()
        for topic in ("story", "shared"):
            created = client.create_topic(topic, 2)
        step("topics created" if created else "topics will be created by use")
        sent = produce_and_read_back(client, "story")
        step(f"{len(sent)} records produced and read back: codecs {client.codecs}, acks 0, 1, all")
        producer, committed, ends = share_in_a_group(client, "shared", "readers")
        step("group shared, rebalanced and committed" if client.groups else "offsets committed without membership")

        broker.restart()
        step("broker restarted")
        resume_after_restart(client, "shared", "readers", committed, ends)
        step("group resumed from its commit")
        reader = client.reader("story", 0, 0)
        check(client, read(reader, len(sent), "after the restart"), sent, 0, "after the restart")
        reader.close()
        more = records("after", 5, client)
        assert producer.send("shared", 0, more) == list(range(ends[0], ends[0] + 5)), "the old producer goes on"
        producer.close()
        step("all records read again; the old producer went on")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    story = (sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None)
    if os.environ.get("BOOTSTRAP"):
        run_on(os.environ["BOOTSTRAP"], *story)
    else:
        run(*story)
