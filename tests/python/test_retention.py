"""Retention and the deletion of records, as clients of today see them and as a crash leaves them."""

import pytest
from broker import wait_until
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaAdminClient
from kafka import TopicPartition as PurePartition
from test_metrics import families, total


def create(broker, name, **configs):
    configs = {key.replace("_", "."): str(value) for key, value in configs.items()}
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1, config=configs)])[name].result(30)
    return admin


def produce(broker, topic, count, size=20, acks="all"):
    """Produces one batch for each record; the offsets that they got."""
    offsets = []

    def told(error, message):
        assert error is None, error
        offsets.append(message.offset())

    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": acks, "linger.ms": 0})
    for number in range(count):
        producer.produce(topic, value=f"{number:0{size}}", on_delivery=told)
        producer.flush(30)
    return offsets


def watermarks(broker, topic):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "watermarks"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30, cached=False)
    finally:
        consumer.close()


def delete_with_confluent(broker, topic, offset):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    wanted = TopicPartition(topic, 0, offset)
    return admin.delete_records([wanted])[wanted].result(30).low_watermark


def delete_with_kafka_python(broker, topic, offset):
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        partition = PurePartition(topic, 0)
        answer = admin.delete_records({partition: offset}, timeout_ms=30000)[partition]
        return answer["low_watermark"]
    finally:
        admin.close()


@pytest.mark.parametrize("delete", [delete_with_confluent, delete_with_kafka_python])
def test_deleted_records_stay_deleted_through_a_crash(broker, delete):
    create(broker, "cleared")
    produce(broker, "cleared", 10)
    assert delete(broker, "cleared", 4) == 4
    broker.kill()
    broker.start()
    assert watermarks(broker, "cleared") == (4, 10)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition("cleared", 0, 0)])
    found = []
    wait_until(lambda: found.extend(consumer.consume(10, 0.2)) or len(found) >= 6, "six records", 30)
    consumer.close()
    assert [message.offset() for message in found] == [4, 5, 6, 7, 8, 9]
    assert produce(broker, "cleared", 1) == [10]
    assert watermarks(broker, "cleared") == (4, 11)
    # All of it, down to the offset that comes next; -1 is the end.
    assert delete(broker, "cleared", -1) == 11
    wait_until(lambda: broker.log_files("cleared") == ["00000000000000000011.log"], "the files go")
    broker.restart()
    assert watermarks(broker, "cleared") == (11, 11)
    assert produce(broker, "cleared", 1) == [11]
    with pytest.raises(Exception):
        delete(broker, "cleared", 99)


def test_a_topic_that_only_compacts_keeps_its_records(broker):
    create(broker, "compacted", cleanup_policy="compact")
    with pytest.raises(KafkaException) as refused:
        delete_with_confluent(broker, "compacted", 0)
    assert refused.value.args[0].name() == "POLICY_VIOLATION"


def test_old_records_go_without_anybody_asking_and_offsets_go_on(make_broker):
    broker = make_broker(options=["log.retention.check.interval.ms=100"])
    create(broker, "fleeting", retention_ms=1500, segment_ms=500)
    assert produce(broker, "fleeting", 20) == list(range(20))
    wait_until(lambda: watermarks(broker, "fleeting") == (20, 20), lambda: watermarks(broker, "fleeting"), 30)
    wait_until(lambda: broker.log_files("fleeting") == ["00000000000000000020.log"], "the files go")
    metrics = families(broker)
    assert total(metrics, "chronik_retention_segments_removed") >= 1
    broker.kill()
    broker.start()
    assert watermarks(broker, "fleeting") == (20, 20)
    assert produce(broker, "fleeting", 2) == [20, 21]


def test_a_partition_and_all_of_them_together_keep_to_their_bytes(make_broker):
    broker = make_broker(options=["chronik.log.total.bytes=300000", "log.segment.bytes=20000"])
    create(broker, "bounded", retention_bytes=100000)
    create(broker, "free")
    produce(broker, "bounded", 200, size=1000)

    def both():
        return broker.log_bytes("bounded") + broker.log_bytes("free")

    wait_until(lambda: broker.log_bytes("bounded") <= 120000, lambda: broker.log_bytes("bounded"), 30)
    assert broker.log_bytes("bounded") >= 100000
    produce(broker, "free", 400, size=1000)
    wait_until(lambda: both() <= 300000, both, 30)
    # What was written last is what is left.
    earliest, latest = watermarks(broker, "free")
    assert latest == 400 and 0 < earliest < 400
    sizes = total(families(broker), "kafka_log_log_size")
    assert both() <= sizes <= 301000
