"""Measures what an idle broker does: nothing. Used by `make idle` and, shorter, by test_idle.py."""

import threading
import time

from broker import Broker
from wire import Connection, fetch_body, request


def switches_during(broker, seconds):
    """Voluntary context switches by thread over so many seconds, and the processor time in milliseconds."""
    settle(broker)
    before, cpu = broker.voluntary_switches(), processor_ms(broker)
    time.sleep(seconds)
    after = broker.voluntary_switches()
    return {name: count - before.get(name, 0) for name, count in after.items()}, processor_ms(broker) - cpu


def settle(broker, seconds=15.0):
    """Waits until what was begun (a flush, a checkpoint) has ended: two seconds without a switch."""
    deadline = time.monotonic() + seconds
    last, since = broker.voluntary_switches(), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 2.0:
        time.sleep(0.1)
        now = broker.voluntary_switches()
        if now != last:
            last, since = now, time.monotonic()


def processor_ms(broker):
    """User and system time of the whole process in milliseconds."""
    with open(f"/proc/{broker.pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 10


def no_connection(broker):
    """Nobody is connected"""
    return []


def thousand_connections(broker):
    """1,000 idle connections"""
    opened = [Connection(broker.port) for _ in range(1000)]
    for connection in opened:
        connection.call("ApiVersions")
    return opened


def partitions_and_groups(broker):
    """100 partitions and 10 empty groups"""
    with Connection(broker.port) as connection:
        connection.create_topic("hundred", 100)
        for number in range(10):
            group = f"empty-{number}"
            connection.call("FindCoordinator", key=group, key_type=0)
            parts = [dict(index=number, offset=number, metadata="")]
            answer = connection.call(
                "OffsetCommit",
                group=group,
                generation=-1,
                member="",
                retention_ms=-1,
                topics=[dict(name="hundred", partitions=parts)],
            )
            assert answer["topics"][0]["partitions"][0]["error"] == 0, answer
    return []


CASES = [no_connection, thousand_connections, partitions_and_groups]


class LongPoll(threading.Thread):
    """A consumer that waits for records that never come; counts its own requests."""

    def __init__(self, broker, max_wait_ms=500):
        super().__init__(daemon=True)
        self.connection = Connection(broker.port)
        self.connection.create_topic("awaited")
        self.body = fetch_body("awaited", 0, max_wait_ms=max_wait_ms)
        self.requests = 0
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            self.requests += 1
            self.connection.send(request("Fetch", self.requests, self.body))
            self.connection.reply("Fetch", self.requests)

    def stop(self):
        self.stopping = True
        self.join()
        self.connection.socket.close()


def main(seconds):
    """Prints the figures of every case; returns the number of switches that should not be."""
    bad = 0
    for case in CASES:
        with Broker(log="info") as broker:
            held = case(broker)
            switches, cpu = switches_during(broker, seconds)
            report(case.__doc__, seconds, switches, cpu)
            bad += sum(switches.values())
            for connection in held:
                connection.socket.close()
    with Broker(log="info") as broker:
        poll = LongPoll(broker)
        settle(broker, 3)
        before = poll.requests
        start, cpu = broker.voluntary_switches(), processor_ms(broker)
        time.sleep(seconds)
        switches = {name: count - start.get(name, 0) for name, count in broker.voluntary_switches().items()}
        title = f"One long-polling consumer, {poll.requests - before} requests of 500 ms"
        report(title, seconds, switches, processor_ms(broker) - cpu)
        poll.stop()
    return bad


def report(title, seconds, switches, cpu):
    print(f"{title}: {sum(switches.values())} voluntary switches, {cpu} ms of processor time in {seconds} s")
    for name, count in sorted(switches.items()):
        print(f"    {count:6}  {name}")
