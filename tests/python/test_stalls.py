"""The broker is held up for seconds, or has next to no descriptors: everybody goes on where they were."""

import os
import signal
import threading
import time

from broker import Broker, wait_until
from test_metrics import families, get, total
from wire import Connection, batch, batches

SESSION_MS = 6000
PAUSE_S = 8.5
DESCRIPTORS = 64


class Stopped:
    """While it is entered, the broker gets no processor."""

    def __init__(self, broker):
        self.pid = broker.pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def test_a_broker_that_slept_goes_on_where_it_was():
    with Broker() as broker, Connection(broker.port, 20.0) as connection:
        connection.create_topic("topic")
        assert connection.produce("topic", batch([b"before"]))["error"] == 0
        with Stopped(broker):
            time.sleep(1.0)
        assert connection.produce("topic", batch([b"behind"]))["base_offset"] == 1
        assert get(broker, "/readyz")[0] == 200


class Member:
    """One member of a group, which does what it is told and no more."""

    def __init__(self, broker, group):
        self.connection = Connection(broker.port, 30.0)
        self.group = group
        self.member, self.generation = "", 0

    def join(self):
        protocols = [dict(name="range", metadata=b"topic")]
        joined = self.connection.call(
            "JoinGroup",
            group=self.group,
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=20000,
            member=self.member,
            protocol_type="consumer",
            protocols=protocols,
        )
        assert joined["error"] == 0, joined
        self.member, self.generation = joined["member"], joined["generation"]
        assignments = [dict(member=one["member"], assignment=b"part") for one in joined["members"] or []]
        synced = self.connection.call(
            "SyncGroup", group=self.group, generation=self.generation, member=self.member, assignments=assignments
        )
        assert synced["error"] == 0, synced

    def heartbeat(self):
        return self.connection.call(
            "Heartbeat", group=self.group, generation=self.generation, member=self.member
        )["error"]


class Beating(threading.Thread):
    """Has a member heartbeat every second, as a client does: not before the last one was answered."""

    def __init__(self, member):
        super().__init__(daemon=True)
        self.member = member
        self.answers = []
        self.stopping = threading.Event()
        self.start()

    def run(self):
        while not self.stopping.wait(1.0):
            self.answers.append(self.member.heartbeat())

    def finish(self):
        self.stopping.set()
        self.join(30)


def test_no_member_is_lost_when_the_broker_is_stopped_for_longer_than_a_session():
    with Broker(options=["group.initial.rebalance.delay.ms=500"]) as broker:
        members = [Member(broker, "held-up") for _ in range(3)]
        joining = [threading.Thread(target=member.join, daemon=True) for member in members]
        for thread in joining:
            thread.start()
        for thread in joining:
            thread.join(20)
        assert {member.generation for member in members} == {1}, "all are in one generation"
        # The third one sleeps, too: it was not heard of before the stop for a while, nor during it.
        beating = [Beating(member) for member in members[:2]]
        wait_until(lambda: all(len(one.answers) >= 2 for one in beating), "heartbeats", 20)
        with Stopped(broker):
            time.sleep(PAUSE_S)
        assert members[2].heartbeat() == 0, "the member that slept, too"
        counts = [len(one.answers) for one in beating]
        wait_until(
            lambda: all(len(one.answers) >= count + 3 for one, count in zip(beating, counts)), "heartbeats go on", 20
        )
        for one in beating:
            one.finish()
            assert set(one.answers) == {0}, one.answers
        assert [member.heartbeat() for member in members] == [0, 0, 0]
        assert "the loop was held up" in broker.log_text()
        # And who is silent while the broker runs is out as ever.
        gone = members.pop()
        wait_until(lambda: 27 in [member.heartbeat() for member in members], "a rebalance", 4 * SESSION_MS / 1000, 0.5)
        gone.connection.socket.close()
        for member in members:
            member.connection.socket.close()


class Limited(Broker):
    """A broker with very few descriptors."""

    def command(self):
        return ["/bin/sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$0" "$@"', *super().command()]


def test_with_very_few_descriptors_connections_are_refused_and_records_are_not():
    configs = [("segment.bytes", "20000")]
    with Limited() as broker:
        with Connection(broker.port) as first:
            first.create_topic("many", 40, configs)
            kept = {part: [] for part in range(40)}

            def produce(rounds):
                for _ in range(rounds):
                    for part, sent in kept.items():
                        answer = first.produce("many", batch([b"%d" % len(sent) + b"x" * 4000]), part)
                        assert answer["error"] == 0, (part, answer)
                        sent.append(answer["base_offset"])

            produce(3)
            crowd = [Connection(broker.port) for _ in range(60)]
            for one in crowd:
                one.send(bytes(2))
            produce(5)
            assert broker.descriptors() <= DESCRIPTORS
            assert first.fetch("many", 0, 7)["error"] == 0
            served = [one for one in crowd if is_served(one)]
            assert len(served) < len(crowd), "not everybody is let in"
            for one in crowd:
                one.socket.close()
            wait_until(lambda: serves(broker), "others are let in again", 10)
            produce(2)
        assert get(broker, "/readyz")[0] == 200
        assert total(families(broker), "chronik_storage_writes_failed_total") == 0
        broker.kill()
        broker.start()
        check_all(broker, kept)
        broker.terminate()
        broker.start()
        check_all(broker, kept)


def serves(broker):
    try:
        with Connection(broker.port) as late:
            return late.call("ApiVersions")["error"] == 0
    except (OSError, AssertionError):
        return False


def is_served(connection):
    """Whether somebody reads what it sends. It has sent two bytes of a length."""
    connection.socket.settimeout(0.05)
    try:
        # The rest of a frame: ApiVersions, version 0.
        connection.send(b"\0\x0c\0\x12\0\0\0\0\0\x01\0\x02ok")
        return bool(connection.receive_frame())
    except (OSError, AssertionError):
        return False


def check_all(broker, kept):
    with Connection(broker.port) as connection:
        for part, sent in kept.items():
            offset, found = 0, []
            while some := batches(connection.fetch("many", offset, part)["records"]):
                for first, last, values in some:
                    assert first == offset
                    found += values
                    offset = last + 1
            assert sent == list(range(len(sent)))
            assert [int(value.rstrip(b"x")) for value in found] == sent, part
