"""`kill -9` under load, again and again: what was acknowledged is there, once and in order.

CHRONIK_CRASH_ROUNDS (50) makes it longer; the seed is printed and CHRONIK_CRASH_SEED repeats it.
"""

import os
import random
import threading
import time

from broker import Broker, wait_until
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from wire import Connection, batch, batches

ROUNDS = int(os.environ.get("CHRONIK_CRASH_ROUNDS", "50"))
PARTITIONS = 2


class Load(threading.Thread):
    """A producer that never stops; remembers at which offset each number was acknowledged."""

    def __init__(self, broker, topic, idempotent):
        super().__init__(daemon=True)
        self.topic = topic
        self.producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "acks": "all",
                "enable.idempotence": idempotent,
                "max.in.flight": 5 if idempotent else 1,
                "linger.ms": 2,
                "compression.type": "lz4" if idempotent else "none",
                "message.timeout.ms": 120000,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 50,
                "retry.backoff.ms": 20,
                "queue.buffering.max.messages": 500,
                "topic.metadata.refresh.fast.interval.ms": 50,
                "log_level": 0,
            }
        )
        self.sent = [0] * PARTITIONS
        self.acknowledged = [{} for _ in range(PARTITIONS)]
        self.errors = []
        self.stopping = False
        self.start()

    def run(self):
        number = 0
        while not self.stopping:
            part = number % PARTITIONS
            try:
                value = b"%d" % self.sent[part]
                self.producer.produce(self.topic, value, partition=part, on_delivery=self.delivered)
                self.sent[part] += 1
                number += 1
            except BufferError:
                self.producer.poll(0.01)
            self.producer.poll(0)
            if number % 50 == 0:
                time.sleep(0.002)

    def delivered(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.acknowledged[message.partition()][int(message.value())] = message.offset()

    def count(self):
        return sum(len(done) for done in self.acknowledged)

    def finish(self):
        self.stopping = True
        self.join()
        assert self.producer.flush(60) == 0, "records were left unsent"
        assert not self.errors, self.errors[:3]
        assert [len(done) for done in self.acknowledged] == self.sent


class OneByOne(threading.Thread):
    """Produces on a plain socket without ever trying again, so that each value is there once or not at all."""

    def __init__(self, broker, topic):
        super().__init__(daemon=True)
        self.broker, self.topic = broker, topic
        self.acknowledged = {}
        self.tried = 0
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            try:
                with Connection(self.broker.port, 5.0) as connection:
                    while not self.stopping:
                        self.tried += 1
                        answer = connection.produce(self.topic, batch([b"%d" % self.tried]))
                        if answer["error"] == 0:
                            self.acknowledged[self.tried] = answer["base_offset"]
                        time.sleep(0.001)
            except (OSError, AssertionError):
                time.sleep(0.01)


class Committer(threading.Thread):
    """A group member that reads and commits; remembers the newest commit that was acknowledged."""

    def __init__(self, broker, topic):
        super().__init__(daemon=True)
        self.consumer = group_consumer(broker)
        self.consumer.subscribe([topic])
        self.topic = topic
        self.acknowledged = {}
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            position = {}
            for message in self.consumer.consume(200, 0.05):
                if message.error() is None:
                    position[message.partition()] = message.offset() + 1
            if not position:
                continue
            parts = [TopicPartition(self.topic, part, offset) for part, offset in position.items()]
            try:
                for part in self.consumer.commit(offsets=parts, asynchronous=False):
                    if part.error is None:
                        self.acknowledged[part.partition] = part.offset
            except KafkaException:
                pass

    def finish(self):
        self.stopping = True
        self.join()
        self.consumer.close()


def group_consumer(broker):
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "committers",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "check.crcs": True,
            "session.timeout.ms": 10000,
            "heartbeat.interval.ms": 300,
            "fetch.wait.max.ms": 100,
            "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50,
            "log_level": 0,
        }
    )


def read_all(broker, topic, partition):
    """(offset, value) of every record, through a client that checks CRCs."""
    consumer = group_consumer(broker)
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
    consumer.assign([TopicPartition(topic, partition, 0)])
    found, errors = [], []

    def complete():
        for message in consumer.consume(5000, 0.1):
            if message.error():
                errors.append(str(message.error()))
            else:
                found.append((message.offset(), int(message.value())))
        return len(found) >= end

    wait_until(complete, lambda: f"{topic}-{partition}: {len(found)} of {end}, {errors[:3]}", 60)
    consumer.close()
    return found


def test_what_was_acknowledged_survives_kill_9_once_and_in_order():
    seed = int(os.environ.get("CHRONIK_CRASH_SEED", random.randrange(2**32)))
    print(f"seed {seed}, {ROUNDS} rounds")
    chance = random.Random(seed)
    with Broker() as broker:
        with Connection(broker.port) as admin:
            for topic in ("once", "plain"):
                admin.create_topic(topic, PARTITIONS, [("segment.bytes", "1048576")])
            admin.create_topic("single")
        once, plain = Load(broker, "once", True), Load(broker, "plain", False)
        single, committer = OneByOne(broker, "single"), Committer(broker, "once")
        wait_until(lambda: once.count() and plain.count() and committer.acknowledged, "the load flows", 20)

        for turn in range(ROUNDS):
            before = once.count()
            wait_until(lambda: once.count() > before, "records are acknowledged again", 20)
            time.sleep(chance.uniform(0.05, 0.6))
            # Now and then a clean stop, in the middle of the load too.
            broker.terminate() if turn % 5 == 4 else broker.kill()
            committed = dict(committer.acknowledged)
            broker.start()
            check_commits(broker, committed, f"round {turn}")

        before = once.count()
        wait_until(lambda: once.count() > before, "records are acknowledged again", 20)
        once.finish()
        plain.finish()
        single.stopping = True
        single.join()
        committer.finish()
        broker.restart()

        for part in range(PARTITIONS):
            found = read_all(broker, "once", part)
            numbers = [number for _, number in found]
            assert numbers == list(range(once.sent[part])), first_difference(numbers, once.sent[part])
            assert {number: offset for offset, number in found} == once.acknowledged[part]
            check_plain(read_all(broker, "plain", part), plain.acknowledged[part])
        check_single(broker, single)
        check_commits(broker, committer.acknowledged, "the end")
        print(f"{once.sent} once, {plain.sent} plain, {single.tried} single records; commits {committer.acknowledged}")


class Topics(threading.Thread):
    """Creates and deletes topics; knows which must be there, must be gone, and may be either."""

    def __init__(self, broker, before=None):
        super().__init__(daemon=True)
        self.broker = broker
        self.there, self.gone, self.open = (before.there, before.gone, before.open) if before else (set(), set(), set())
        self.count = before.count if before else 0
        self.stopping = False
        self.start()

    def run(self):
        while not self.stopping:
            try:
                with Connection(self.broker.port, 5.0) as connection:
                    while not self.stopping:
                        self.step(connection)
            except (OSError, AssertionError):
                time.sleep(0.01)

    def step(self, connection):
        name = f"topic-{self.count}"
        self.count += 1
        self.open.add(name)
        connection.create_topic(name, 2)
        self.settle(name, self.there)
        if len(self.there) < 10:
            return
        old = min(self.there, key=lambda known: int(known.rsplit("-", 1)[1]))
        self.there.discard(old)
        self.open.add(old)
        answer = connection.call("DeleteTopics", names=[old], timeout_ms=5000)
        assert answer["topics"][0]["error"] == 0, answer
        self.settle(old, self.gone)

    def settle(self, name, known):
        self.open.discard(name)
        known.add(name)


def test_topics_are_created_and_deleted_for_good_through_kill_9():
    seed = int(os.environ.get("CHRONIK_CRASH_SEED", random.randrange(2**32)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    with Broker() as broker:
        topics = Topics(broker)
        for turn in range(max(ROUNDS // 3, 3)):
            before = topics.count
            wait_until(lambda: topics.count >= before + 3, "topics come and go", 20)
            time.sleep(chance.uniform(0.0, 0.2))
            broker.kill()
            topics.stopping = True
            topics.join()
            broker.start()
            check_topics(broker, topics, f"round {turn}")
            topics = Topics(broker, topics)
        topics.stopping = True
        topics.join()
        broker.restart()
        check_topics(broker, topics, "the end")
        folders = {name.rsplit("-", 1)[0] for name in os.listdir(broker.data) if name.startswith("topic-")}
        assert not folders & topics.gone, "files of deleted topics"
        print(f"{topics.count} topics, {len(topics.gone)} deleted, {len(topics.open)} unknown")


def check_topics(broker, topics, when):
    with Connection(broker.port) as connection:
        found = {topic["name"] for topic in connection.metadata(None)["topics"]}
    assert topics.there <= found, f"{when}: lost {topics.there - found}"
    assert not topics.gone & found, f"{when}: back again {topics.gone & found}"


def check_commits(broker, acknowledged, when):
    """The group's commits are those that were acknowledged, or newer."""
    consumer = group_consumer(broker)
    parts = [TopicPartition("once", part) for part in acknowledged]


    def committed():
        try:
            return consumer.committed(parts, 5)
        except KafkaException as problem:
            assert problem.args[0].retriable() or problem.args[0].code() < 0, problem
            return None

    for part in wait_until(committed, "the commits", 20) if parts else []:
        assert part.offset >= acknowledged[part.partition], f"{when}: {part} after {acknowledged}"
    consumer.close()


def check_plain(found, acknowledged):
    """Nothing acknowledged is missing or moved; a retry may repeat records but never reorders them."""
    by_offset = dict(found)
    assert len(by_offset) == len(found)
    for number, offset in acknowledged.items():
        assert by_offset.get(offset) == number, f"{number} was acknowledged at {offset}, there is {by_offset.get(offset)}"
    seen = []
    for _, number in found:
        if not seen or number > seen[-1]:
            seen.append(number)
    assert seen == sorted(acknowledged), "first appearances in order"


def check_single(broker, single):
    with Connection(broker.port) as connection:
        found, offset = {}, 0
        while True:
            some = batches(connection.fetch("single", offset)["records"])
            if not some:
                break
            for first, last, values in some:
                assert first == offset and last == first
                found[first] = int(values[0])
                offset = last + 1
    for number, offset in single.acknowledged.items():
        assert found.get(offset) == number
    numbers = list(found.values())
    assert numbers == sorted(set(numbers)), "once and in order"


def first_difference(numbers, count):
    for at, number in enumerate(numbers):
        if at != number:
            return f"at {at} stands {numbers[at:at + 5]}, {len(numbers)} of {count} records"
    return f"{len(numbers)} of {count} records"
