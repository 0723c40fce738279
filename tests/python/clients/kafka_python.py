"""Driver for kafka-python, every release from 1.4.7, with `api_version` pinned or negotiated."""

import sys
import types

try:
    # Releases up to 2.0 carry a copy of six that Python 3.12 and later cannot import; use the installed one.
    import six

    sys.modules["kafka.vendor.six"] = six
    sys.modules["kafka.vendor.six.moves"] = six.moves
except ImportError:
    pass

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata


def _record(message):
    headers = tuple((key, bytes(value)) for key, value in getattr(message, "headers", None) or ())
    return types.SimpleNamespace(
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        timestamp=message.timestamp,
        headers=headers,
    )


class Client:
    def __init__(self, bootstrap, version=None):
        self.bootstrap = bootstrap
        self.version = tuple(int(part) for part in version.split(".")) if version else None
        newest = self.version or (99,)
        self.release = tuple(int(part) for part in kafka.__version__.split(".")[:2])
        self.codecs = [None, "gzip", "snappy", "lz4"]
        if newest >= (2, 1) and self.release >= (2, 0):
            self.codecs.append("zstd")
        self.groups = newest >= (0, 9)
        self.timestamps = newest >= (0, 10)
        self.headers = newest >= (0, 11)
        self.admin = newest >= (0, 10, 1) and self.release >= (1, 4)

    def _options(self):
        options = {"bootstrap_servers": self.bootstrap, "reconnect_backoff_ms": 20, "retry_backoff_ms": 50}
        if self.version:
            options["api_version"] = self.version
        return options

    def create_topic(self, name, partitions):
        if not self.admin:
            return False
        from kafka.admin import KafkaAdminClient, NewTopic

        options = self._options()
        if self.release < (2, 0):
            # There the admin client knows no API at all unless it negotiates.
            options.pop("api_version", None)
        admin = KafkaAdminClient(**options)
        if self.release >= (3, 0):
            admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})
        else:
            admin.create_topics([NewTopic(name, partitions, 1)])
        admin.close()
        return True

    def producer(self, acks, codec):
        return Producer(self, acks, codec)

    def reader(self, topic, partition, offset):
        return Reader(self, topic, partition, offset)

    def member(self, group, topic):
        return Member(self, group, topic)

    def consumer(self, group=None, topics=()):
        options = self._options()
        if group and self.groups:
            options.update(session_timeout_ms=10000, heartbeat_interval_ms=200)
        return KafkaConsumer(
            *topics,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            check_crcs=True,
            fetch_max_wait_ms=200,
            metadata_max_age_ms=2000,
            consumer_timeout_ms=200,
            **options,
        )


class Producer:
    def __init__(self, client, acks, codec):
        self.client = client
        options = client._options()
        if acks != -1 and client.release >= (3, 0):
            options["enable_idempotence"] = False
        self.producer = KafkaProducer(
            acks="all" if acks == -1 else acks,
            compression_type=codec,
            linger_ms=5,
            retries=20,
            max_in_flight_requests_per_connection=1,
            **options,
        )

    def send(self, topic, partition, records):
        """Sends (key, value, timestamp, headers) and waits for every acknowledgement; the offsets, None with acks=0."""
        futures = []
        for key, value, timestamp, headers in records:
            more = {"headers": list(headers)} if self.client.headers and headers else {}
            if self.client.timestamps:
                more["timestamp_ms"] = timestamp
            futures.append(self.producer.send(topic, value=value, key=key, partition=partition, **more))
        self.producer.flush(timeout=30)
        return [future.get(timeout=30).offset for future in futures]

    def close(self):
        self.producer.close(timeout=10)


class Reader:
    def __init__(self, client, topic, partition, offset):
        self.consumer = client.consumer()
        self.partition = TopicPartition(topic, partition)
        self.consumer.assign([self.partition])
        self.consumer.seek(self.partition, offset)

    def poll(self):
        batches = self.consumer.poll(timeout_ms=200)
        return [_record(message) for batch in batches.values() for message in batch]

    def close(self):
        self.consumer.close()


class Member:
    """A group member; before 0.9 there is no membership, so it takes every partition by hand and only commits."""

    def __init__(self, client, group, topic):
        self.topic = topic
        # Release 3.0 forgets that it joined when its poll ends between SyncGroup and the answer, and reads nothing for
        # ever; on a busy machine a tenth of a second is too short.
        self.poll_ms = 100 if client.release < (3, 0) else 800
        if client.groups:
            self.consumer = client.consumer(group, [topic])
        else:
            self.consumer = client.consumer(group)
            self.consumer.assign([TopicPartition(topic, number) for number in (0, 1)])

    def poll(self):
        batches = self.consumer.poll(timeout_ms=self.poll_ms)
        return [_record(message) for batch in batches.values() for message in batch]

    def assignment(self):
        return {part.partition for part in self.consumer.assignment()}

    def commit(self, offsets):
        def entry(offset):
            try:
                return OffsetAndMetadata(offset, "by the test", -1)
            except TypeError:
                return OffsetAndMetadata(offset, "by the test")

        self.consumer.commit({TopicPartition(self.topic, part): entry(offset) for part, offset in offsets.items()})

    def committed(self, partition):
        return self.consumer.committed(TopicPartition(self.topic, partition))

    def close(self):
        self.consumer.close()
