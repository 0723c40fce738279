"""DescribeLogDirs: the sizes that clients are told are those of the files."""

import os
import shutil

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaAdminClient


def sizes(told):
    """What each partition takes, as the broker says."""
    return {f"{topic}-{part}": size for directory in told for topic, part, size in parts(directory)}


def parts(directory):
    for topic in directory["topics"]:
        for part in topic["partitions"]:
            assert (part["offset_lag"], part["is_future_key"]) == (0, False)
            yield topic["name"], part["partition_index"], part["partition_size"]


def on_disk(broker):
    """What each partition's segments take, as the files say."""
    found = {}
    for name in os.listdir(broker.data):
        directory = os.path.join(broker.data, name)
        if os.path.isdir(directory) and not name.startswith("__cluster_metadata"):
            logs = [log for log in os.listdir(directory) if log.endswith(".log")]
            found[name] = sum(os.path.getsize(os.path.join(directory, log)) for log in logs)
    return found


def describe(broker, topics=None):
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        told = client.describe_log_dirs(topics)
    finally:
        client.close()
    (node,) = told
    return node["log_dirs"]


def test_sizes_are_those_of_the_files_through_restart_and_crash(broker):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    wanted = [NewTopic("t", 3, 1, config={"segment.bytes": "8192"}), NewTopic("u", 1, 1)]
    for made in admin.create_topics(wanted).values():
        made.result(30)
    delivered = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for number in range(60):
        producer.produce("t", value=bytes(1000), partition=number % 3, on_delivery=lambda error, _: delivered.append(error))
        if number % 10 == 0:
            producer.flush(30)
    producer.flush(30)
    assert delivered == [None] * 60
    for again in (None, broker.restart, broker.kill):
        if again:
            again()
        if again == broker.kill:
            broker.start()
        (directory,) = told = describe(broker)
        assert (directory["error_code"], directory["log_dir"]) == (0, broker.data)
        assert sizes(told) == on_disk(broker)
        assert sizes(told)["t-0"] > 20_000 and sizes(told)["u-0"] == 0
        volume = shutil.disk_usage(broker.data)
        assert directory["total_bytes"] == volume.total
        assert abs(directory["usable_bytes"] - volume.free) < 1 << 30, "others write, too"
    some = describe(broker, {"t": [2, 7], "none": [0]})
    assert list(sizes(some)) == ["t-2"]


def test_the_path_is_absolute_where_it_was_given_as_a_relative_one(broker, monkeypatch):
    broker.terminate()
    monkeypatch.chdir(broker.home)
    monkeypatch.setattr(broker, "data", "data")
    broker.start()
    (directory,) = describe(broker)
    assert directory["log_dir"] == os.path.join(broker.home, "data")
