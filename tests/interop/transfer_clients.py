"""What clients do to a broker before it is moved, and what they find afterwards: printed as JSON, to be compared.

usage: transfer_clients.py fill BOOTSTRAP | facts BOOTSTRAP | resume BOOTSTRAP
"""

import base64
import json
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, OFFSET_BEGINNING, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
GROUPS = ["readers", "ünïcode readers", "in-a-transaction"]
START_MS = 1_700_000_000_000
TOPICS = {
    **{codec: (2, {"segment.bytes": "1048576"}) for codec in CODECS},
    "compacted": (1, {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
                      "delete.retention.ms": "100"}),
    "transactions": (3, {"retention.ms": "-1"}),
    "trimmed": (1, {}),
    "empty": (4, {"max.message.bytes": "123456"}),
}


def producer(bootstrap, **options):
    options = {key.replace("_", "."): value for key, value in options.items()}
    return Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **options})


def create(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(name, count, 1, config=config) for name, (count, config) in TOPICS.items()]
    for future in admin.create_topics([*wanted, NewTopic("gone", 2, 1)]).values():
        future.result()
    for future in admin.delete_topics(["gone"]).values():
        future.result()
    return admin


def fill(bootstrap):
    admin = create(bootstrap)
    for codec in CODECS:
        writer = producer(bootstrap, compression_type=codec, enable_idempotence=True)
        for number in range(400):
            value = None if number % 50 == 7 else f"{codec} {number} ".encode() + bytes([number % 7]) * (number * 11 % 3000)
            writer.produce(codec, value, f"key {number % 20}", number % 2, timestamp=START_MS + number,
                           headers=[("h", bytes([number % 256])), ("none", None)])
        assert writer.flush(60) == 0
    writer = producer(bootstrap, linger_ms=0)
    for number in range(300):
        writer.produce("compacted", f"value {number}" if number % 30 else None, f"key {number % 17}")
        if number % 40 == 0:
            assert writer.flush(60) == 0
            time.sleep(0.15)
    writer.produce("trimmed", "a")
    for number in range(50):
        writer.produce("trimmed", f"{number}")
    assert writer.flush(60) == 0
    for future in admin.delete_records([TopicPartition("trimmed", 0, 20)]).values():
        future.result()
    transactions(bootstrap)
    commit(bootstrap, "readers", [TopicPartition("zstd", 0, 57), TopicPartition("zstd", 1, 3), TopicPartition("trimmed", 0, 33)])
    commit(bootstrap, "ünïcode readers", [TopicPartition("none", 0, 111)])
    commit(bootstrap, "readers", [TopicPartition("zstd", 0, 58)])


def transactions(bootstrap):
    for round_number, codec in enumerate(["none", "zstd", "lz4"]):
        writer = producer(bootstrap, transactional_id=f"tx-{round_number}", compression_type=codec)
        writer.init_transactions(30)
        for number in range(8):
            writer.begin_transaction()
            for record in range(5):
                writer.produce("transactions", f"{round_number} {number} {record}", f"{record}", record % 3)
            reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "in-a-transaction"})
            position = [TopicPartition("transactions", 0, 2 * number + 1)]
            writer.send_offsets_to_transaction(position, reader.consumer_group_metadata(), 30)
            reader.close()
            writer.flush(30)
            if number % 3 == 1:
                writer.abort_transaction(30)
            else:
                writer.commit_transaction(30)


def commit(bootstrap, group, positions):
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    reader.commit(offsets=positions, asynchronous=False)
    reader.close()


def text(value):
    return value if value is None else base64.b64encode(value).decode()


def watermarks(reader, partition, patience_s=30):
    """Kafka takes connections before it leads its partitions."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return reader.get_watermark_offsets(partition, 20)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def read_all(bootstrap, topic, partition, isolation):
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                       "isolation.level": isolation, "check.crcs": True, "enable.partition.eof": True, "fetch.wait.max.ms": 20})
    low, high = watermarks(reader, TopicPartition(topic, partition))
    records = []
    reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    while low < high:
        message = reader.poll(30)
        assert message is not None, f"{topic}-{partition}: nothing after {len(records)} records"
        if message.error():
            assert message.error().code() == -191, message.error()
            break
        headers = [[name, text(value)] for name, value in message.headers() or []]
        records.append([message.offset(), message.timestamp(), text(message.key()), text(message.value()), headers])
    reader.close()
    return {"start": low, "end": high, "records": records}


def facts(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = {"topics": {}, "groups": {}}
    names = [name for name in admin.list_topics(timeout=20).topics if not name.startswith("__")]
    resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in sorted(names)}
    configs = admin.describe_configs(list(resources.values()))
    for name, resource in resources.items():
        own = {key: entry.value for key, entry in configs[resource].result().items() if entry.source == 1}
        partitions = admin.list_topics(name, timeout=20).topics[name].partitions
        logs = [
            {isolation: read_all(bootstrap, name, number, isolation) for isolation in ("read_uncommitted", "read_committed")}
            for number in sorted(partitions)
        ]
        found["topics"][name] = {"configs": own, "partitions": logs}
    for group in GROUPS:
        listed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
        found["groups"][group] = sorted([p.topic, p.partition, p.offset] for p in listed.topic_partitions)
    return found


def resume(bootstrap):
    """What the group reads next, and that a new producer writes behind everything that was there."""
    writer = producer(bootstrap, enable_idempotence=True)
    for name in ("zstd", "transactions", "compacted"):
        writer.produce(name, "written after the move", "new", 0)
    assert writer.flush(60) == 0
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "readers", "auto.offset.reset": "error",
                       "enable.auto.commit": False})
    reader.subscribe(["trimmed"])
    message = reader.poll(30)
    first = [message.topic(), message.partition(), message.offset()] if message and not message.error() else str(message and message.error())
    reader.close()
    return {"first": first}


if __name__ == "__main__":
    verb, where = sys.argv[1:]
    print(json.dumps({"fill": fill, "facts": facts, "resume": resume}[verb](where), indent=1, ensure_ascii=False))
