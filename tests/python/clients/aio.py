"""Driver for aiokafka: the same calls, each run on an event loop of the thread that makes it."""

import asyncio
import types

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


def _record(message):
    return types.SimpleNamespace(
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        timestamp=message.timestamp,
        headers=tuple(message.headers),
    )


class Client:
    groups = True
    timestamps = True
    headers = True
    codecs = [None, "gzip", "snappy", "lz4", "zstd"]

    def __init__(self, bootstrap, version=None):
        self.bootstrap = bootstrap

    def create_topic(self, name, partitions):
        async def create():
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            await admin.start()
            await admin.create_topics([NewTopic(name, partitions, 1)])
            await admin.close()

        asyncio.run(create())
        return True

    def producer(self, acks, codec):
        return Producer(self.bootstrap, acks, codec)

    def reader(self, topic, partition, offset):
        return Reader(self.bootstrap, topic, partition, offset)

    def member(self, group, topic):
        return Member(self.bootstrap, group, topic)


class OnLoop:
    """Owns an event loop; `run` runs one coroutine on it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)


class Producer(OnLoop):
    def __init__(self, bootstrap, acks, codec):
        super().__init__()

        async def start():
            self.producer = AIOKafkaProducer(
                bootstrap_servers=bootstrap,
                acks="all" if acks == -1 else acks,
                enable_idempotence=acks == -1,
                compression_type=codec,
                linger_ms=5,
                retry_backoff_ms=50,
            )
            await self.producer.start()

        self.run(start())

    def send(self, topic, partition, records):
        async def send():
            futures = []
            for key, value, timestamp, headers in records:
                futures.append(
                    await self.producer.send(
                        topic, value, key, partition, timestamp_ms=timestamp, headers=list(headers)
                    )
                )
            await self.producer.flush()
            answers = await asyncio.wait_for(asyncio.gather(*futures), 30)
            return [answer.offset if answer else None for answer in answers]

        return self.run(send())

    def close(self):
        self.run(self.producer.stop())
        self.loop.close()


class Consumer(OnLoop):
    def start(self, bootstrap, group, topics):
        async def start():
            self.consumer = AIOKafkaConsumer(
                *topics,
                bootstrap_servers=bootstrap,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                check_crcs=True,
                fetch_max_wait_ms=200,
                session_timeout_ms=10000,
                heartbeat_interval_ms=200,
                metadata_max_age_ms=2000,
                retry_backoff_ms=50,
            )
            await self.consumer.start()

        self.run(start())

    def poll(self):
        batches = self.run(self.consumer.getmany(timeout_ms=100))
        return [_record(message) for batch in batches.values() for message in batch]

    def close(self):
        self.run(self.consumer.stop())
        self.loop.close()


class Reader(Consumer):
    def __init__(self, bootstrap, topic, partition, offset):
        super().__init__()
        self.start(bootstrap, None, [])

        async def seek():
            part = TopicPartition(topic, partition)
            self.consumer.assign([part])
            self.consumer.seek(part, offset)

        self.run(seek())


class Member(Consumer):
    def __init__(self, bootstrap, group, topic):
        super().__init__()
        self.topic = topic
        self.start(bootstrap, group, [topic])

    def assignment(self):
        return {part.partition for part in self.consumer.assignment()}

    def commit(self, offsets):
        self.run(
            self.consumer.commit({TopicPartition(self.topic, part): offset for part, offset in offsets.items()})
        )

    def committed(self, partition):
        return self.run(self.consumer.committed(TopicPartition(self.topic, partition)))
