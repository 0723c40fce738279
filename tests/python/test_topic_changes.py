"""Topics that change while they are used: their settings, and how many partitions they have."""

import pytest
from broker import wait_until
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource as PureResource
from kafka.admin import ConfigResourceType
from kafka.admin import NewPartitions as PurePartitions
from test_retention import create, produce, watermarks


def own_settings(broker, topic):
    """What a topic has set itself."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource])[resource].result(30).values()
    return {entry.name: entry.value for entry in entries if entry.source == 1}


def change(broker, topic, *changes):
    """IncrementalAlterConfigs."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    entries = [ConfigEntry(name, value, incremental_operation=operation) for operation, name, value in changes]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(30)


def replace(broker, topic, **settings):
    """AlterConfigs."""
    settings = {name.replace("_", "."): str(value) for name, value in settings.items()}
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, topic, set_config=settings)
    admin.alter_configs([resource])[resource].result(30)


def test_settings_change_and_stay_changed_through_a_crash(broker):
    create(broker, "changed", retention_ms=5000, segment_bytes=1048576)
    change(
        broker,
        "changed",
        (AlterConfigOpType.SET, "max.message.bytes", "2000"),
        (AlterConfigOpType.DELETE, "retention.ms", None),
        (AlterConfigOpType.APPEND, "cleanup.policy", "compact"),
    )
    expected = {"cleanup.policy": "delete,compact", "max.message.bytes": "2000", "segment.bytes": "1048576"}
    assert own_settings(broker, "changed") == expected
    broker.kill()
    broker.start()
    assert own_settings(broker, "changed") == expected
    replace(broker, "changed", max_message_bytes=3000)
    broker.restart()
    assert own_settings(broker, "changed") == {"max.message.bytes": "3000"}


def test_the_pure_python_client_changes_settings(broker):
    create(broker, "changed", retention_ms=5000)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.alter_configs([PureResource(ConfigResourceType.TOPIC, "changed", configs={"retention.ms": "6000"})])
    finally:
        admin.close()
    assert own_settings(broker, "changed") == {"retention.ms": "6000"}


def test_a_smaller_retention_lets_old_records_go_at_once(make_broker):
    broker = make_broker(options=["log.retention.check.interval.ms=100", "log.segment.bytes=20000"])
    create(broker, "shrinking")
    produce(broker, "shrinking", 100, size=1000)
    assert watermarks(broker, "shrinking") == (0, 100)
    change(broker, "shrinking", (AlterConfigOpType.SET, "retention.bytes", "30000"))
    wait_until(lambda: broker.log_bytes("shrinking") <= 50000, lambda: broker.log_bytes("shrinking"), 30)
    earliest, latest = watermarks(broker, "shrinking")
    assert latest == 100 and 0 < earliest < 100


def test_the_largest_record_is_bounded_anew(broker):
    create(broker, "bounded")
    produce(broker, "bounded", 1, size=5000)
    change(broker, "bounded", (AlterConfigOpType.SET, "max.message.bytes", "1000"))
    with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE"):
        produce(broker, "bounded", 1, size=5000)
    change(broker, "bounded", (AlterConfigOpType.DELETE, "max.message.bytes", None))
    assert produce(broker, "bounded", 1, size=5000) == [1]


def test_what_cannot_be_set_is_refused_with_the_reason(broker):
    create(broker, "kept", retention_ms=5000)
    with pytest.raises(KafkaException) as refused:
        change(broker, "kept", (AlterConfigOpType.SET, "retention.ms", "soon"))
    assert refused.value.args[0].name() == "INVALID_CONFIG"
    assert "retention.ms" in refused.value.args[0].str()
    assert own_settings(broker, "kept") == {"retention.ms": "5000"}


def grow_with_confluent(broker, topic, count):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, count)])[topic].result(30)


def grow_with_kafka_python(broker, topic, count):
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.create_partitions({topic: PurePartitions(count)})
    finally:
        admin.close()


@pytest.mark.parametrize("grow", [grow_with_confluent, grow_with_kafka_python])
def test_a_topic_grows_under_its_producer_and_its_group(broker, grow):
    create(broker, "grown")
    settings = {"bootstrap.servers": broker.bootstrap, "topic.metadata.refresh.interval.ms": 200}
    reads = {"group.id": "g", "auto.offset.reset": "earliest", "session.timeout.ms": 6000}
    consumer = Consumer(settings | reads)
    consumer.subscribe(["grown"])
    found = []

    def read(count):
        found.extend((m.partition(), m.value()) for m in consumer.consume(100, 0.2) if not m.error())
        return len(found) >= count

    producer = Producer(settings | {"acks": "all"})
    producer.produce("grown", b"before", partition=0)
    assert producer.flush(30) == 0
    wait_until(lambda: read(1), lambda: found, 30)
    grow(broker, "grown", 3)
    wait_until(lambda: len(producer.list_topics("grown", 10).topics["grown"].partitions) == 3, "three partitions", 30)
    for partition in range(3):
        producer.produce("grown", b"after", partition=partition)
    assert producer.flush(30) == 0
    wait_until(lambda: read(4), lambda: found, 60)
    assert sorted(found) == [(0, b"after"), (0, b"before"), (1, b"after"), (2, b"after")]
    consumer.close()
    broker.kill()
    broker.start()
    assert {p: watermarks_of(broker, "grown", p) for p in range(3)} == {0: (0, 2), 1: (0, 1), 2: (0, 1)}
    with pytest.raises(Exception, match="INVALID_PARTITIONS|InvalidPartitions|partitions, and there can only be more"):
        grow(broker, "grown", 3)


def watermarks_of(broker, topic, partition):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "watermarks"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30, cached=False)
    finally:
        consumer.close()
