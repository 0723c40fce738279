"""librdkafka in a process of its own, as a producer, a consumer, or its mock cluster in memory.

usage: rdkafka.py produce ADDRESS TOPIC COUNT BYTES
       rdkafka.py consume ADDRESS TOPIC COUNT
       rdkafka.py mock

Whoever starts it counts what the broker spends meanwhile. Anything but exit code 0 means that records are missing.
"""

import sys
import threading
import time

import confluent_kafka

PATIENCE_S = 60


def produce(address, topic, count, size):
    """Produces as fast as the queue takes records; all of them have to be acknowledged."""
    acknowledged = 0

    def delivered(error, _message):
        nonlocal acknowledged
        acknowledged += error is None

    producer = confluent_kafka.Producer({"bootstrap.servers": address, "acks": 1, "on_delivery": delivered})
    value = bytes(index * 7 % 251 for index in range(size))
    for _ in range(count):
        while True:
            try:
                producer.produce(topic, value, partition=0)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush(PATIENCE_S)
    return acknowledged == count


def consume(address, topic, count):
    """Reads one partition from its beginning until there were so many records."""
    settings = {"bootstrap.servers": address, "group.id": "bench-peers", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings)
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    seen, deadline = 0, time.monotonic() + PATIENCE_S
    while seen < count and time.monotonic() < deadline:
        messages = consumer.consume(10_000, 0.5)
        seen += sum(message.error() is None for message in messages)
    consumer.close()
    return seen == count


def mock():
    """A cluster of one broker, which lives as long as the producer that has it."""
    producer = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none"})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    print(f"listening on {broker.host}:{broker.port}", flush=True)
    threading.Event().wait()


def main(command, *words):
    if command == "mock":
        return mock()
    address, topic, *numbers = words
    work = {"produce": produce, "consume": consume}[command]
    return 0 if work(address, topic, *map(int, numbers)) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
