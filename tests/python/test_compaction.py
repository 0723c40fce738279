"""Compaction as the clients of today see it, and of the broker's own log of commits."""

import os

import pytest
from broker import wait_until
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as PurePartition
from test_metrics import families, total
from test_retention import create
from wire import Connection, batch, request

KEYS = 20
DEADLINE_S = 60


def rounds(broker):
    return total(families(broker), "chronik_storage_compaction_rounds")


def write_with_confluent(broker, topic, pairs):
    options = {"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "linger.ms": 0}
    producer, failed = Producer(options), []
    for number, (key, value) in enumerate(pairs):
        producer.produce(topic, key=key, value=value, on_delivery=lambda error, _: error and failed.append(error))
        if number % 25 == 0:
            producer.flush(30)
    assert producer.flush(30) == 0 and not failed, failed


def write_with_kafka_python(broker, topic, pairs):
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True, linger_ms=0)
    try:
        for number, (key, value) in enumerate(pairs):
            sent = producer.send(topic, key=key.encode(), value=value and value.encode())
            if number % 25 == 0:
                sent.get(30)
        producer.flush(30)
    finally:
        producer.close()


def read_with_confluent(broker, topic, end):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []

    def is_at_end():
        found.extend(consumer.consume(500, 0.2))
        return consumer.position([TopicPartition(topic, 0)])[0].offset >= end

    try:
        wait_until(is_at_end, lambda: f"the end, {end}; {len(found)} records came", DEADLINE_S)
    finally:
        consumer.close()
    assert all(message.error() is None for message in found)
    text = [(message.key().decode(), message.value() and message.value().decode()) for message in found]
    return [message.offset() for message in found], text


def read_with_kafka_python(broker, topic, end):
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
    partition, found = PurePartition(topic, 0), []
    consumer.assign([partition])
    consumer.seek(partition, 0)

    def is_at_end():
        for records in consumer.poll(timeout_ms=200).values():
            found.extend(records)
        return consumer.position(partition) >= end

    try:
        wait_until(is_at_end, lambda: f"the end, {end}; {len(found)} records came", DEADLINE_S)
    finally:
        consumer.close()
    return [record.offset for record in found], [
        (record.key.decode(), record.value and record.value.decode()) for record in found
    ]


def assert_compacted(broker, topic, wanted, written):
    """Both clients read to the end: offsets rise, the newest value of every key is there, most of the rest is not."""
    for read in (read_with_confluent, read_with_kafka_python):
        offsets, pairs = read(broker, topic, written)
        assert offsets == sorted(set(offsets)) and offsets[-1] == written - 1
        table = dict(pairs)
        assert {key: value for key, value in table.items() if value is not None} == wanted, read.__name__
        assert len(pairs) < written / 2, f"{len(pairs)} of {written} records are left"


@pytest.mark.parametrize("write", [write_with_confluent, write_with_kafka_python])
def test_the_newest_value_of_every_key_stays(broker, write):
    create(
        broker,
        "table",
        cleanup_policy="compact",
        segment_bytes=8192,
        min_cleanable_dirty_ratio=0.01,
        max_compaction_lag_ms=1000,
    )
    written, wanted = 0, {}
    for turn in range(3):
        pairs = [(f"key-{n % KEYS}", f"{turn}-{n}-" + "x" * 80) for n in range(400)]
        # The first two keys are deleted, the second one comes back.
        pairs += [("key-0", None), ("key-1", None), ("key-1", f"back-{turn}")]
        write(broker, "table", pairs)
        written += len(pairs)
        wanted = {key: value for key, value in dict(pairs).items() if value is not None}
        before = rounds(broker)
        for _ in range(2):
            # Closes the segment with what was written.
            write(broker, "table", [("filler", "y" * 1500)] * 5)
        written, wanted["filler"] = written + 10, "y" * 1500
        wait_until(lambda before=before: rounds(broker) > before, "a round", DEADLINE_S)
    wait_until(lambda: "table-0 is compacted up to offset" in broker.log_text(), "the log says so", DEADLINE_S)
    assert_compacted(broker, "table", wanted, written)
    broker.restart()
    assert_compacted(broker, "table", wanted, written)
    broker.kill()
    broker.start()
    assert_compacted(broker, "table", wanted, written)


def commit(number, offset, partitions):
    topics = [
        {"name": "read", "partitions": [{"index": index, "offset": offset, "metadata": "m" * 40} for index in range(partitions)]}
    ]
    body = dict(group="edge", generation=-1, member="", retention_ms=-1, topics=topics)
    return request("OffsetCommit", number, body)


def test_many_commits_stay_few_bytes_and_the_newest_is_kept(broker):
    """What an edge box commits in months: 200,000 positions of 100 partitions."""
    partitions, turns = 100, 2000
    with Connection(broker.port, 60.0) as connection:
        connection.create_topic("read", partitions)
        # A restart lowers what was committed beyond the end of a log.
        records = batch([b"x"] * turns)
        for index in range(partitions):
            assert connection.produce("read", records, partition=index)["error"] == 0
        for turn in range(1, turns + 1):
            connection.send(commit(turn, turn, partitions))
            if turn > 4:
                connection.receive_frame()
        for _ in range(3):
            connection.receive_frame()
        answer = connection.reply("OffsetCommit", turns)
    assert all(partition["error"] == 0 for topic in answer["topics"] for partition in topic["partitions"])

    def size():
        return broker.log_bytes("__consumer_offsets")

    # One segment that is written to, and one that may not be worth it yet.
    wait_until(lambda: size() < 10 << 20, lambda: f"{size()} bytes of commits", DEADLINE_S)

    def assert_newest():
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "edge"})
        try:
            found = consumer.committed([TopicPartition("read", index) for index in range(partitions)], 30)
        finally:
            consumer.close()
        assert [partition.offset for partition in found] == [turns] * partitions

    assert_newest()
    broker.restart()
    assert_newest()
    broker.kill()
    broker.start()
    assert_newest()
    assert size() < 10 << 20
