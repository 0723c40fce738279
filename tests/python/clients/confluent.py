"""Driver for confluent-kafka, which is librdkafka."""

import types

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer as RawProducer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def _record(message):
    return types.SimpleNamespace(
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        timestamp=message.timestamp()[1],
        headers=tuple(message.headers() or ()),
    )


def _poll(consumer, seconds):
    records = []
    for message in consumer.consume(500, seconds):
        error = message.error()
        if error is None:
            records.append(_record(message))
        elif error.fatal() or error.code() == KafkaError._FATAL:
            raise KafkaException(error)
        elif not error.retriable() and error.code() not in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            raise KafkaException(error)
    return records


class Client:
    groups = True
    timestamps = True
    headers = True
    codecs = [None, "gzip", "snappy", "lz4", "zstd"]

    def __init__(self, bootstrap, version=None):
        self.options = {
            "bootstrap.servers": bootstrap,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "topic.metadata.refresh.interval.ms": 2000,
            "log_level": 0,
        }

    def create_topic(self, name, partitions):
        admin = AdminClient(self.options)
        for future in admin.create_topics([NewTopic(name, partitions, 1)]).values():
            future.result(30)
        return True

    def producer(self, acks, codec):
        return Producer(self.options, acks, codec)

    def reader(self, topic, partition, offset):
        return Reader(self.options, topic, partition, offset)

    def member(self, group, topic):
        return Member(self.options, group, topic)


class Producer:
    def __init__(self, options, acks, codec):
        self.producer = RawProducer(
            {
                **options,
                "acks": acks,
                "compression.type": codec or "none",
                "enable.idempotence": acks == -1,
                "linger.ms": 5,
            }
        )

    def send(self, topic, partition, records):
        offsets, errors = {}, []

        def delivered(number):
            def report(error, message):
                if error:
                    errors.append(error)
                offsets[number] = message.offset()

            return report

        for number, (key, value, timestamp, headers) in enumerate(records):
            self.producer.produce(
                topic, value, key, partition, timestamp=timestamp, headers=list(headers), on_delivery=delivered(number)
            )
        left = self.producer.flush(30)
        assert not left and not errors, f"{left} unsent, {errors[:1]}"
        return [offsets[number] for number in range(len(records))]

    def close(self):
        self.producer.flush(10)


def consumer(options, group):
    return Consumer(
        {
            **options,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "check.crcs": True,
            "fetch.wait.max.ms": 200,
            "session.timeout.ms": 10000,
            "heartbeat.interval.ms": 200,
        }
    )


class Reader:
    def __init__(self, options, topic, partition, offset):
        self.consumer = consumer(options, "reader")
        self.consumer.assign([TopicPartition(topic, partition, offset)])

    def poll(self):
        return _poll(self.consumer, 0.2)

    def close(self):
        self.consumer.close()


class Member:
    def __init__(self, options, group, topic):
        self.topic = topic
        self.consumer = consumer(options, group)
        self.consumer.subscribe([topic])

    def poll(self):
        return _poll(self.consumer, 0.1)

    def assignment(self):
        return {part.partition for part in self.consumer.assignment()}

    def commit(self, offsets):
        parts = [TopicPartition(self.topic, part, offset) for part, offset in offsets.items()]
        for part in self.consumer.commit(offsets=parts, asynchronous=False):
            assert part.error is None, part.error

    def committed(self, partition):
        (part,) = self.consumer.committed([TopicPartition(self.topic, partition)], 10)
        return part.offset if part.offset >= 0 else None

    def close(self):
        self.consumer.close()
