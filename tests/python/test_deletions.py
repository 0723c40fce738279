"""The deletion of groups and of their commits, as clients of today ask for it and as a crash leaves them."""

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaAdminClient
from kafka import TopicPartition as PurePartition
from kafka.errors import GroupIdNotFoundError, NonEmptyGroupError


def create(broker, *topics):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for made in admin.create_topics([NewTopic(name, 1, 1) for name in topics]).values():
        made.result(30)
    return admin


def consumer(broker, group):
    return Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group, "enable.auto.commit": False})


def commit(broker, group, *topics):
    """Stores a position from outside: the group has no member."""
    source = consumer(broker, group)
    source.commit(offsets=[TopicPartition(topic, 0, 1) for topic in topics], asynchronous=False)
    source.close()


def enter(broker, group, topic):
    """A consumer that is the only member of a stable group."""
    source = consumer(broker, group)
    source.subscribe([topic])
    while not source.assignment():
        source.poll(0.1)
    return source


def groups(admin):
    return sorted(group.group_id for group in admin.list_consumer_groups().result(30).valid)


def committed(admin, group):
    told = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)
    return sorted(part.topic for part in told.topic_partitions)


def delete_with_confluent(broker, group):
    """The number of the error, or 0."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    try:
        admin.delete_consumer_groups([group])[group].result(30)
    except KafkaException as error:
        return error.args[0].code()
    return 0


def delete_with_kafka_python(broker, group):
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        told = admin.delete_groups([group])[group]
    except (GroupIdNotFoundError, NonEmptyGroupError) as error:
        return error.errno
    finally:
        admin.close()
    return 0 if told == "OK" else {"NonEmptyGroupError": 68, "GroupIdNotFoundError": 69}[told]


@pytest.mark.parametrize("delete", [delete_with_confluent, delete_with_kafka_python])
def test_a_group_goes_when_its_members_have_and_a_crash_does_not_bring_it_back(broker, delete):
    admin = create(broker, "t")
    source = enter(broker, "g", "t")
    source.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
    commit(broker, "other", "t")
    assert delete(broker, "g") == 68, "it has a member"
    source.close()
    assert delete(broker, "g") == 0
    broker.kill()
    broker.start()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert groups(admin) == ["other"]
    assert (committed(admin, "g"), committed(admin, "other")) == ([], ["t"])
    assert delete(broker, "g") == 69, "there is none"
    enter(broker, "g", "t").close()
    assert groups(admin) == ["g", "other"]
    broker.restart()
    assert delete(broker, "g") == 0, "one that was made anew can go, too"


def test_commits_of_topics_that_nobody_wants_go_one_by_one(broker):
    admin = create(broker, "t", "u")
    source = enter(broker, "g", "t")
    source.commit(offsets=[TopicPartition("t", 0, 1), TopicPartition("u", 0, 1)], asynchronous=False)
    pure = KafkaAdminClient(bootstrap_servers=broker.bootstrap)

    def forget(*topics):
        told = pure.delete_group_offsets("g", [PurePartition(topic, 0) for topic in topics])
        return {part.topic: getattr(error, "errno", error) for part, error in told.items()}

    assert forget("t", "u", "none") == {"t": 86, "u": 0, "none": 3}
    assert committed(admin, "g") == ["t"]
    source.close()
    assert forget("t") == {"t": 0}
    pure.close()
    broker.kill()
    broker.start()
    assert committed(AdminClient({"bootstrap.servers": broker.bootstrap}), "g") == []
