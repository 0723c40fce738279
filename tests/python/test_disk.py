"""A real file system that fills up and is emptied again, under load: nothing is lost, and nobody has to help.

CHRONIK_DISK_ROUNDS (3) makes it longer. Mounting needs root; where it is not allowed the tests are skipped, or fail if
CHRONIK_EXPECT_MOUNT is set.
"""

import errno
import os
import subprocess
import threading
import time

import pytest
from broker import Broker, wait_until
from confluent_kafka import Producer
from test_crash import Committer, read_all
from test_metrics import families, get, total
from wire import Connection, batch, batches

ROUNDS = int(os.environ.get("CHRONIK_DISK_ROUNDS", "3"))
MIB = 1 << 20
# KAFKA_STORAGE_ERROR, which this old version of Produce knows as NOT_LEADER_OR_FOLLOWER.
STORAGE_ERROR = 6
RESUME_S = 5.0


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class SmallDisk:
    """A file system of 64 MiB, on which a test may use up everything."""

    def __init__(self, kind, home):
        self.path = os.path.join(home, "disk")
        os.mkdir(self.path)
        if kind == "tmpfs":
            made = run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.path)
        else:
            image = os.path.join(home, "image")
            with open(image, "wb") as file:
                file.truncate(64 * MIB)
            made = run("mkfs.ext4", "-q", "-F", image)
            if made.returncode == 0:
                made = run("mount", "-o", "loop", image, self.path)
        if made.returncode != 0:
            problem = f"cannot mount {kind}: {made.stdout.strip()}"
            assert not os.environ.get("CHRONIK_EXPECT_MOUNT"), problem
            pytest.skip(problem)

    @property
    def filler(self):
        return os.path.join(self.path, "filler")

    def fill(self):
        """Takes every byte that is left."""
        with open(self.filler, "ab", buffering=0) as file:
            for piece in (MIB, 4096):
                block = b"x" * piece
                try:
                    while file.write(block) == piece:
                        pass
                except OSError as problem:
                    assert problem.errno == errno.ENOSPC, problem

    def empty(self):
        os.unlink(self.filler)

    def close(self):
        def unmounted():
            return run("umount", self.path).returncode == 0

        wait_until(unmounted, f"{self.path} is unmounted", 20, 0.1)


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, tmp_path):
    small = SmallDisk(request.param, str(tmp_path))
    yield small
    small.close()


class Steady(threading.Thread):
    """An idempotent producer that sends a few hundred records a second, for ever."""

    def __init__(self, broker, topic):
        super().__init__(daemon=True)
        self.topic = topic
        self.producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "enable.idempotence": True,
                "max.in.flight": 5,
                "linger.ms": 1,
                "message.timeout.ms": 300000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "retry.backoff.ms": 50,
                "retry.backoff.max.ms": 200,
                "topic.metadata.refresh.fast.interval.ms": 50,
                "log_level": 0,
            }
        )
        self.sent = 0
        self.acknowledged = {}
        self.errors = []
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            try:
                self.producer.produce(self.topic, b"%d" % self.sent, partition=0, on_delivery=self.delivered)
                self.sent += 1
            except BufferError:
                pass
            self.producer.poll(0.004)

    def delivered(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.acknowledged[int(message.value())] = message.offset()

    def finish(self):
        self.stopping = True
        self.join()
        assert self.producer.flush(60) == 0, "records were left unsent"
        assert not self.errors, self.errors[:3]
        assert len(self.acknowledged) == self.sent


def commit(connection, group, offset, topic="steady"):
    """The error of a commit from outside."""
    parts = [{"index": 0, "offset": offset, "metadata": "x" * 200}]
    topics = [{"name": topic, "partitions": parts}]
    answer = connection.call("OffsetCommit", group=group, generation=-1, member="", retention_ms=-1, topics=topics)
    return answer["topics"][0]["partitions"][0]["error"]


def readiness(broker):
    return get(broker, "/readyz")[0]


def assert_all_goes_on_but_records(broker, turn):
    """What must work on a full disk, and what is refused, with which error."""
    with Connection(broker.port) as connection:
        refused = [connection.produce("probe", batch([b"x" * 5000]))["error"] for _ in range(3)]
        assert refused[-1] == STORAGE_ERROR, refused
        for number in range(50):
            assert commit(connection, f"outside-{turn}", number) == 0
        assert batches(connection.fetch("steady", 0)["records"]), "records are still read"
        connection.create_topic(f"made-{turn}")
        answer = connection.call("DeleteTopics", names=[f"made-{turn}"], timeout_ms=5000)
        assert answer["topics"][0]["error"] == 0, answer
    status, _, body = get(broker, "/readyz?format=json")
    assert status == 503 and "full" in body, (status, body)
    assert get(broker, "/livez")[0] == 200


def wait_for_refusal(broker):
    """The broker finds out by writing."""
    def refused():
        with Connection(broker.port) as connection:
            connection.produce("probe", batch([b"x" * 5000]))
        return readiness(broker) == 503

    wait_until(refused, "a full disk is noticed", 10)


def test_a_disk_filled_and_freed_again_and_again_loses_nothing(disk):
    with Broker() as broker:
        broker.terminate()
        broker.data = os.path.join(disk.path, "data")
        broker.start()
        try:
            fill_and_free(broker, disk)
        finally:
            broker.close()


def fill_and_free(broker, disk):
    with Connection(broker.port) as admin:
        for topic in ("steady", "probe"):
            admin.create_topic(topic)
    assert readiness(broker) == 200
    ballast = total(families(broker), "chronik_disk_ballast_bytes")
    assert 3 * MIB < ballast <= 4 * MIB, "a sixteenth of the disk"
    steady, committer = Steady(broker, "steady"), Committer(broker, "steady")
    wait_until(lambda: steady.acknowledged and committer.acknowledged, "the load flows", 20)
    slowest = 0.0
    for turn in range(ROUNDS):
        disk.fill()
        wait_for_refusal(broker)
        assert_all_goes_on_but_records(broker, turn)
        if turn % 3 == 1:
            # A crash, and a start on the full disk.
            broker.kill()
            broker.start()
            wait_for_refusal(broker)
            assert_all_goes_on_but_records(broker, f"{turn}-again")
        elif turn % 3 == 2:
            broker.terminate()
            broker.start()
        before = len(steady.acknowledged)
        disk.empty()
        begun = time.monotonic()
        wait_until(lambda: len(steady.acknowledged) > before, "records are taken again", RESUME_S)
        slowest = max(slowest, time.monotonic() - begun)
        wait_until(lambda: readiness(broker) == 200, "the broker is ready again", RESUME_S)
        wait_until(lambda: total(families(broker), "chronik_disk_ballast_bytes") == ballast, "the ballast is whole", 5)
    broker.assert_alive()
    steady.finish()
    committer.finish()
    log = broker.log_text()
    assert "the disk is nearly full" in log and "room again" in log, log[-2000:]
    found = read_all(broker, "steady", 0)
    assert [number for _, number in found] == list(range(steady.sent))
    assert {number: offset for offset, number in found} == steady.acknowledged
    with Connection(broker.port) as connection:
        assert connection.metadata(["steady"])["topics"][0]["error"] == 0
    print(f"{ROUNDS} rounds, {steady.sent} records, resumed within {slowest:.2f} s, commits {committer.acknowledged}")


@pytest.mark.parametrize("orderly", [True, False])
def test_a_start_without_ballast_and_without_a_free_byte_serves_what_is_there(disk, orderly):
    with Broker(options=["chronik.disk.ballast.bytes=0"]) as broker:
        broker.terminate()
        broker.data = os.path.join(disk.path, "data")
        broker.start()
        with Connection(broker.port) as connection:
            connection.create_topic("probe")
            for number in range(20):
                assert connection.produce("probe", batch([b"%d" % number]))["error"] == 0
            assert commit(connection, "outside", 20, "probe") == 0
        broker.terminate() if orderly else broker.kill()
        disk.fill()
        for turn in range(2):
            broker.start()
            assert readiness(broker) == 503
            with Connection(broker.port) as connection:
                found = [value for *_, values in batches(connection.fetch("probe", 0)["records"]) for value in values]
                assert found == [b"%d" % number for number in range(20)]
                assert connection.produce("probe", batch([b"20"]))["error"] == STORAGE_ERROR
            broker.kill()
        broker.start()
        disk.empty()
        with Connection(broker.port) as connection:
            wait_until(
                lambda: connection.produce("probe", batch([b"20"]))["error"] == 0, "records are taken", RESUME_S
            )
            assert commit(connection, "outside", 21, "probe") == 0
        assert readiness(broker) == 200
        broker.kill()
        broker.start()
        assert len(read_all(broker, "probe", 0)) == 21
        broker.terminate()
