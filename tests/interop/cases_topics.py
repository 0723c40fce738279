"""Metadata, topics, configurations and coordinators."""

from sides import ZERO, case

import uuid

import wire

STRANGER = uuid.UUID("11111111-2222-3333-4444-555555555555")
# Where only the choice of a default differs, the case names the keys whose values it compares.
LONG = "x" * 249


def wanted(name, partitions=1, replication=1, assignments=(), configs=()):
    return dict(
        Name=name,
        NumPartitions=partitions,
        ReplicationFactor=replication,
        Assignments=[dict(PartitionIndex=index, BrokerIds=brokers) for index, brokers in assignments],
        Configs=[dict(Name=key, Value=value) for key, value in configs],
    )


def create(side, step, *topics, version=None, validate=False):
    """Creates and notes the answer without the configurations, whose values are another case's."""
    version = side.newest("CreateTopics") if version is None else version
    answer = side.ask("CreateTopics", version, Topics=list(topics), timeoutMs=10000, validateOnly=validate)
    for topic in answer["Topics"]:
        topic.pop("Configs", None)
    side.note(f"CreateTopics v{version} {step}", answer)
    return answer


@case
def api_versions(side):
    for version in side.versions("ApiVersions"):
        side.call("ApiVersions", version, ClientSoftwareName="differential", ClientSoftwareVersion="1.0")
    side.call("ApiVersions", 3, "with a name that is none", ClientSoftwareName="a b!", ClientSoftwareVersion="1")
    side.call("ApiVersions", 3, "without a name", ClientSoftwareName="", ClientSoftwareVersion="")
    side.call(
        "ApiVersions", 5, "of another cluster", ClientSoftwareName="d", ClientSoftwareVersion="1", ClusterId="x", NodeId=1
    )
    for cluster, node in ((None, 7), (None, 1), ("x", -1), ("x", 7), (None, -1)):
        body = dict(ClientSoftwareName="d", ClientSoftwareVersion="1", ClusterId=cluster, NodeId=node)
        side.call("ApiVersions", 5, f"of cluster {cluster}, node {node}", **body)
    cluster = side.ask("Metadata", Topics=[])["ClusterId"]
    for node in (1, 7, -1):
        body = dict(ClientSoftwareName="d", ClientSoftwareVersion="1", ClusterId=cluster, NodeId=node)
        side.call("ApiVersions", 5, f"of this cluster, node {node}", **body)


@case
def metadata(side):
    topic_id = side.topic("metadata.two", 2)
    side.topic("metadata-one")
    for version in side.versions("Metadata"):
        names = [dict(Name="metadata.two"), dict(Name="metadata-one")]
        body = dict(AllowAutoTopicCreation=False) if version >= 4 else {}
        side.call("Metadata", version, "named", Topics=names, **body)
        side.call("Metadata", version, "twice the same", Topics=names[:1] * 2, **body)
        for bad in ("", ".", "..", "a/b", "a b", LONG + "y", "ü"):
            side.call("Metadata", version, f"invalid {bad[:20]!r}", Topics=[dict(Name=bad)], **body)
        if version >= 1:
            side.call("Metadata", version, "none", Topics=[], **body)
        if version >= 4:
            side.call("Metadata", version, "unknown", Topics=[dict(Name="metadata.unknown")], **body)
            mixed = [dict(Name="metadata.unknown"), dict(Name="a b"), names[0]]
            side.call("Metadata", version, "mixed", Topics=mixed, **body)
        if version >= 8:
            flags = dict(IncludeTopicAuthorizedOperations=True)
            side.call("Metadata", version, "operations on topics", Topics=names[:1], **flags, **body)
        if 8 <= version <= 10:
            flags = dict(IncludeClusterAuthorizedOperations=True)
            side.call("Metadata", version, "operations on the cluster", Topics=[], **flags, **body)
        if version >= 10:
            side.call("Metadata", version, "by id", Topics=[dict(Name=None, TopicId=topic_id)], **body)
            side.call("Metadata", version, "by an unknown id", Topics=[dict(Name=None, TopicId=STRANGER)], **body)
            side.call("Metadata", version, "by the id zero", Topics=[dict(Name=None, TopicId=ZERO)], **body)
            both = [dict(Name="metadata-one", TopicId=topic_id)]
            side.call("Metadata", version, "by name and id", Topics=both, **body)
            mixed = [dict(Name=None, TopicId=topic_id), dict(Name="metadata-one")]
            side.call("Metadata", version, "by name, by id", Topics=mixed, **body)


@case
def all_topics(side):
    side.topic("all.topics")
    for version in side.versions("Metadata"):
        answer = side.ask("Metadata", version, Topics=None if version else [])
        side.note(f"v{version} has it", any(topic["Name"] == "all.topics" for topic in answer["Topics"]))
        side.note(f"v{version} internal", [t["Name"] for t in answer["Topics"] if t.get("IsInternal")])


@case
def creation_by_metadata(side):
    for version in side.versions("Metadata"):
        name = f"auto.v{version}"
        side.call("Metadata", version, "creates", Topics=[dict(Name=name)])
        side.until(f"topic {name}", lambda: side.leads(name))
        side.call("Metadata", version, "created", Topics=[dict(Name=name)])
    for bad in ("", ".", "a b", LONG + "y"):
        side.call("Metadata", 4, f"does not create {bad[:20]!r}", Topics=[dict(Name=bad)])
    side.call("Metadata", 12, "creates auto_v1", Topics=[dict(Name="auto_v1")], AllowAutoTopicCreation=True)
    for name in ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"):
        side.call("Metadata", 12, f"of {name}", Topics=[dict(Name=name)], AllowAutoTopicCreation=False)


@case
def describe_cluster(side):
    for version in side.versions("DescribeCluster"):
        side.call("DescribeCluster", version)
        side.call("DescribeCluster", version, "operations", IncludeClusterAuthorizedOperations=True)
        if version >= 1:
            side.call("DescribeCluster", version, "controllers", EndpointType=2)
            side.call("DescribeCluster", version, "endpoint type 3", EndpointType=3)
            side.call("DescribeCluster", version, "endpoint type 0", EndpointType=0)
        if version >= 2:
            side.call("DescribeCluster", version, "fenced", IncludeFencedBrokers=True)


@case
def create_topics(side):
    for version in side.versions("CreateTopics"):
        create(side, "plain", wanted(f"create.v{version}", 3), version=version)
        create(side, "exists", wanted(f"create.v{version}"), version=version)
        create(side, "validate", wanted(f"create.no.v{version}", 3), version=version, validate=True)
        create(side, "defaults", wanted(f"create.default.v{version}", -1, -1), version=version)
        placed = wanted(f"create.assigned.v{version}", -1, -1, [(0, [1]), (1, [1])])
        create(side, "assigned", placed, version=version)
    side.until("create.v7", lambda: side.leads("create.v7", 3))
    for bad in ("", ".", "..", "a/b", "a b", LONG + "y", "ü"):
        create(side, f"name {bad[:20]!r}", wanted(bad))
    create(side, "name of 249", wanted(LONG))
    create(side, "collides", wanted("create_v7"))
    create(side, "collides, validate", wanted("create_v7"), validate=True)
    create(side, "partitions 0", wanted("create.bad", 0))
    create(side, "partitions -2", wanted("create.bad", -2))
    create(side, "replication 0", wanted("create.bad", 1, 0))
    create(side, "replication -2", wanted("create.bad", 1, -2))
    create(side, "replication 3", wanted("create.bad", 1, 3))
    create(side, "both wrong", wanted("create.bad", 0, 3))
    create(side, "exists and partitions 0", wanted("create.v7", 0))
    create(side, "two of a name", wanted("create.twice"), wanted("create.twice"), wanted("create.once"))
    create(side, "one good, one bad", wanted("create.good"), wanted("create.bad", 0))
    create(side, "no topics")
    for step, placed in (
        ("also partitions", wanted("create.bad", 1, -1, [(0, [1])])),
        ("also replication", wanted("create.bad", -1, 1, [(0, [1])])),
        ("not from 0", wanted("create.bad", -1, -1, [(1, [1])])),
        ("with a gap", wanted("create.bad", -1, -1, [(0, [1]), (2, [1])])),
        ("twice the same", wanted("create.bad", -1, -1, [(0, [1]), (0, [1])])),
        ("negative", wanted("create.bad", -1, -1, [(-1, [1])])),
        ("no broker", wanted("create.bad", -1, -1, [(0, [])])),
        ("twice a broker", wanted("create.bad", -1, -1, [(0, [1, 1])])),
        ("unknown broker", wanted("create.bad", -1, -1, [(0, [9])])),
        ("one unknown broker", wanted("create.bad", -1, -1, [(0, [1, 9])])),
        ("different counts", wanted("create.bad", -1, -1, [(0, [1]), (1, [1, 9])])),
    ):
        create(side, f"assignment {step}", placed)
    create(side, "assignment out of order", wanted("create.order", -1, -1, [(1, [1]), (0, [1])]))
    for name in ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"):
        create(side, f"internal {name}", wanted(name), validate=True)


@case
def topic_configs(side):
    number = 0
    for key, values in {
        "cleanup.policy": ("compact", "delete", "compact,delete", "", "shred", None, "compact, delete", "delete,delete", "Delete"),
        "compression.type": ("gzip", "zstd", "none", "uncompressed", "producer", "brotli", "", None, "GZIP"),
        "compression.gzip.level": ("-1", "1", "9", "0", "10"),
        "compression.lz4.level": ("1", "17", "0", "18"),
        "compression.zstd.level": ("1", "22", "23", "-131072", "-131073"),
        "delete.retention.ms": ("0", "-1", "x"),
        "file.delete.delay.ms": ("0", "-1"),
        "flush.messages": ("1", "0"),
        "flush.ms": ("0", "-1"),
        "follower.replication.throttled.replicas": ("*", "0:1", "x"),
        "index.interval.bytes": ("0", "-1"),
        "leader.replication.throttled.replicas": ("*", "0:1", "x"),
        "max.compaction.lag.ms": ("1", "0"),
        "max.message.bytes": ("0", "-1", "1048576", "2147483648", " 5 ", "", None),
        "message.downconversion.enable": ("true", "maybe"),
        "message.format.version": ("3.0", "x"),
        "message.timestamp.after.max.ms": ("0", "-1"),
        "message.timestamp.before.max.ms": ("0", "-1"),
        "message.timestamp.difference.max.ms": ("0",),
        "message.timestamp.type": ("CreateTime", "LogAppendTime", "createtime", "x"),
        "min.cleanable.dirty.ratio": ("0", "1", "0.5", "1.1", "-0.1", "x"),
        "min.compaction.lag.ms": ("0", "-1"),
        "min.insync.replicas": ("1", "0", "2"),
        "preallocate": ("true", "TRUE", "x", "1"),
        "retention.bytes": ("-1", "0", "-2", "1.5"),
        "retention.ms": ("-1", "0", "-2", "9223372036854775807", "9223372036854775808", None),
        "segment.bytes": ("1048576", "1048575", "14", "13"),
        "segment.index.bytes": ("4", "3", "0"),
        "segment.jitter.ms": ("0", "-1"),
        "segment.ms": ("1", "0"),
        "unclean.leader.election.enable": ("true", "x"),
        "remote.storage.enable": ("false", "true", "x"),
        "local.retention.ms": ("-2", "-1", "-3", "1"),
        "local.retention.bytes": ("-2", "-3"),
        "no.such.key": ("1",),
        "": ("1",),
    }.items():
        for value in values:
            number += 1
            topic = wanted(f"config.{number}", configs=[(key, value)])
            create(side, f"{key}={value!r}", topic, validate=True)
    for step, configs in (
        ("lags", [("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")]),
        ("local over all", [("retention.ms", "1"), ("local.retention.ms", "2")]),
        ("twice a key", [("retention.ms", "1"), ("retention.ms", "2")]),
        ("two wrong", [("retention.ms", "x"), ("segment.bytes", "x")]),
        ("compaction with tiers", [("remote.storage.enable", "true"), ("cleanup.policy", "compact")]),
    ):
        create(side, step, wanted("config.pair", configs=configs), validate=True)


@case
def created_configs(side):
    """What CreateTopics and DescribeConfigs say about the configuration."""
    configs = [("retention.ms", "5000"), ("cleanup.policy", "compact"), ("max.message.bytes", " 7000 ")]
    side.call("CreateTopics", 7, Topics=[wanted("described", configs=configs)], timeoutMs=10000)
    side.call("CreateTopics", 5, "validate", Topics=[wanted("described.no", configs=configs)], validateOnly=True)
    side.until("described", lambda: side.leads("described"))
    for version in side.versions("DescribeConfigs"):
        topic = dict(ResourceType=2, ResourceName="described", ConfigurationKeys=None)
        side.call("DescribeConfigs", version, Resources=[topic])
        side.call("DescribeConfigs", version, "synonyms", Resources=[topic], IncludeSynonyms=True)
        keys = ["retention.ms", "no.such.key", "segment.bytes", "retention.ms"]
        side.call("DescribeConfigs", version, "some", Resources=[dict(topic, ConfigurationKeys=keys)])
        side.call("DescribeConfigs", version, "no keys", Resources=[dict(topic, ConfigurationKeys=[])])
        side.call("DescribeConfigs", version, "twice", Resources=[topic, topic])
        for kind, name in ((2, "no.such.topic"), (2, ""), (2, "a b"), (4, "9"), (4, "x"), (0, "x"), (1, "x"), (3, "x"), (99, "x"), (-1, "x")):
            one = dict(ResourceType=kind, ResourceName=name, ConfigurationKeys=None)
            side.call("DescribeConfigs", version, f"resource {kind} {name!r}", Resources=[one])
    topic = dict(ResourceType=2, ResourceName="described", ConfigurationKeys=["retention.ms"])
    side.call("DescribeConfigs", 4, "documentation", Resources=[topic], IncludeDocumentation=True)
    topic = dict(ResourceType=2, ResourceName="__consumer_offsets", ConfigurationKeys=["cleanup.policy"])
    side.call("DescribeConfigs", 4, "internal", Resources=[topic])
    side.call("DescribeConfigs", 4, "none", Resources=[])


@case
def broker_configs(side):
    """Keys, types and flags; values are a broker's own."""
    for name, label in (("1", "broker"), ("", "every broker")):
        broker = dict(ResourceType=4, ResourceName=name, ConfigurationKeys=None)
        for version in side.versions("DescribeConfigs"):
            answer = side.ask("DescribeConfigs", version, Resources=[broker], IncludeSynonyms=True)
            for one in answer["Results"][0]["Configs"]:
                one.pop("Value")
                one.pop("ConfigSource")  # the two were not started with the same settings
                one.pop("Synonyms", None)
            side.note(f"DescribeConfigs v{version} {label}", answer)
    keys = ["num.partitions", "log.retention.ms", "log.retention.hours", "delete.topic.enable"]
    keys += ["default.replication.factor", "inter.broker.protocol.version", "ssl.key.password", "message.max.bytes"]
    one = dict(ResourceType=4, ResourceName="1", ConfigurationKeys=keys)
    side.call("DescribeConfigs", 4, "some", Resources=[one], IncludeSynonyms=True)


@case
def delete_topics(side):
    for version in side.versions("DeleteTopics", last=5):
        side.topic(f"delete.v{version}", 2)
        names = [f"delete.v{version}", "delete.unknown"]
        side.call("DeleteTopics", version, "one unknown", TopicNames=names, TimeoutMs=10000)
        side.gone(names[0])
        side.call("DeleteTopics", version, "again", TopicNames=names[:1], TimeoutMs=10000)
        for bad in ("", ".", "a b", LONG + "y"):
            side.call("DeleteTopics", version, f"name {bad[:20]!r}", TopicNames=[bad], TimeoutMs=10000)
        side.call("DeleteTopics", version, "none", TopicNames=[], TimeoutMs=10000)
        side.topic(f"delete.twice.v{version}")
        names = [f"delete.twice.v{version}"] * 2
        side.call("DeleteTopics", version, "twice the same", TopicNames=names, TimeoutMs=10000)
    first = side.topic("delete.by.name")
    second = side.topic("delete.by.id")
    third = side.topic("delete.third")

    def delete(step, *topics):
        side.call("DeleteTopics", 6, step, Topics=[dict(zip(("Name", "TopicId"), one)) for one in topics], TimeoutMs=10000)

    delete("by name", ("delete.by.name", ZERO))
    side.gone("delete.by.name")
    delete("by id", (None, second))
    side.gone("delete.by.id")
    delete("by old id", (None, first))
    delete("by unknown id", (None, STRANGER))
    delete("by neither", (None, ZERO))
    delete("by both", ("delete.third", third))
    delete("by both, unknown", ("delete.third", STRANGER))
    delete("by both, again", ("delete.third", ZERO), (None, third))
    side.call("Metadata", 12, "of the third", Topics=[dict(Name="delete.third")], AllowAutoTopicCreation=False)
    fourth = side.topic("delete.fourth")
    delete("twice by id", (None, fourth), (None, fourth))
    delete("twice by unknown name", ("delete.nothing", ZERO), ("delete.nothing", ZERO))
    delete("one empty name", ("", ZERO))
    delete("one long name", (LONG + "y", ZERO))
    again = side.topic("delete.by.name")
    side.note("a new id", again != first)


@case
def find_coordinator(side):
    for version in side.versions("FindCoordinator", last=3):
        kinds = (0, 1, 2, 3, -1) if version >= 1 else (0,)
        for kind in kinds:
            body = dict(KeyType=kind) if version >= 1 else {}
            side.call("FindCoordinator", version, f"kind {kind}", Key="some", **body)
            side.call("FindCoordinator", version, f"kind {kind}, empty", Key="", **body)
    for version in side.versions("FindCoordinator", first=4):
        for kind in (0, 1, 2, 3, -1):
            side.call("FindCoordinator", version, f"kind {kind}", CoordinatorKeys=["a", "b"], KeyType=kind)
            side.call("FindCoordinator", version, f"kind {kind}, none", CoordinatorKeys=[], KeyType=kind)
            side.call("FindCoordinator", version, f"kind {kind}, empty", CoordinatorKeys=["", "a"], KeyType=kind)
            side.call("FindCoordinator", version, f"kind {kind}, twice", CoordinatorKeys=["a", "a"], KeyType=kind)


@case
def create_partitions(side):
    side.topic("grow", 2)
    side.topic("grow.too", 1)

    def grow(step, *topics, version=None, **more):
        topics = [dict(Name=name, Count=count, Assignments=places) for name, count, places in topics]
        version = side.newest("CreatePartitions") if version is None else version
        side.call("CreatePartitions", version, step, Topics=topics, TimeoutMs=10000, **more)

    def places(*brokers):
        return [dict(BrokerIds=list(one)) for one in brokers]

    for step, topic in (
        ("as many", ("grow", 2, None)),
        ("fewer", ("grow", 1, None)),
        ("none", ("grow", 0, None)),
        ("negative", ("grow", -1, None)),
        ("unknown", ("no.such.topic", 2, None)),
        ("bad name", ("a b", 2, None)),
        ("no name", ("", 2, None)),
        ("no places", ("grow", 3, [])),
        ("too few places", ("grow", 4, places([1]))),
        ("too many places", ("grow", 3, places([1], [1]))),
        ("no broker", ("grow", 3, places([]))),
        ("unknown broker", ("grow", 3, places([9]))),
        ("twice a broker", ("grow", 3, places([1, 1]))),
        ("would do", ("grow", 3, places([1]))),
    ):
        grow(step, topic, ValidateOnly=True)
    grow("nothing")
    grow("twice", ("grow", 3, None), ("grow", 3, None))
    grow("one of two", ("grow", 3, None), ("no.such.topic", 3, None))
    for version in side.versions("CreatePartitions"):
        grow("one more", ("grow", 4 + version, None), ("grow.too", 2 + version, places([1])), version=version)
    side.until("more partitions", lambda: side.leads("grow", 7) and side.leads("grow.too", 5))
    side.call("Metadata", 9, "grown", Topics=[dict(Name="grow")])


@case
def alter_configs(side):
    """All settings of a topic at once: what is not named is taken back."""
    side.topic("alter", 1)

    def alter(step, *configs, kind=2, name="alter", version=None, **more):
        configs = [dict(Name=key, Value=value) for key, value in configs]
        version = side.newest("AlterConfigs") if version is None else version
        one = dict(ResourceType=kind, ResourceName=name, Configs=configs)
        side.call("AlterConfigs", version, step, Resources=[one], **more)
        described(side, "alter", step)

    for version in side.versions("AlterConfigs"):
        alter("set", ("retention.ms", "5000"), ("cleanup.policy", "compact"), version=version)
        alter("others", ("retention.ms", str(6000 + version)), ("segment.bytes", "2097152"), version=version)
        alter("none", version=version)
    alter("validate", ("retention.ms", "7000"), ValidateOnly=True)
    alter("wrong", ("retention.ms", "soon"))
    alter("one wrong", ("retention.ms", "8000"), ("segment.bytes", "x"))
    alter("null", ("retention.ms", None))
    alter("unknown key", ("no.such.key", "1"))
    alter("former key", ("message.downconversion.enable", "true"))
    alter("lags", ("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1"))
    alter("unknown topic", ("retention.ms", "1"), name="no.such.topic")
    alter("bad name", ("retention.ms", "1"), name="a b")
    alter("no name", ("retention.ms", "1"), name="")
    for kind, name in ((0, "x"), (1, "x"), (3, "x"), (99, "x"), (-1, "x"), (4, "9"), (4, "x"), (8, "9"), (8, "x")):
        alter(f"resource {kind} {name!r}", ("retention.ms", "1"), kind=kind, name=name)
    alter("a key of the start", ("log.dirs", "/elsewhere"), kind=4, name="1")
    one = dict(ResourceType=2, ResourceName="alter", Configs=[dict(Name="retention.ms", Value="1")])
    side.call("AlterConfigs", 2, "twice", Resources=[one, one])
    side.call("AlterConfigs", 2, "no resource", Resources=[])
    described(side, "alter", "twice")


@case
def incremental_alter_configs(side):
    """Single settings of a topic (KIP-339)."""
    side.topic("alter.some", 1)
    SET, TAKE_BACK, ADD, REMOVE = 0, 1, 2, 3

    def alter(step, *changes, kind=2, name="alter.some", version=None, **more):
        changes = [dict(Name=key, ConfigOperation=operation, Value=value) for operation, key, value in changes]
        version = side.newest("IncrementalAlterConfigs") if version is None else version
        one = dict(ResourceType=kind, ResourceName=name, Configs=changes)
        side.call("IncrementalAlterConfigs", version, step, Resources=[one], **more)
        described(side, "alter.some", step)

    for version in side.versions("IncrementalAlterConfigs"):
        alter("set", (SET, "retention.ms", str(5000 + version)), (SET, "segment.bytes", "2097152"), version=version)
        alter("add", (ADD, "cleanup.policy", "compact"), version=version)
        alter("add again", (ADD, "cleanup.policy", "compact,delete"), version=version)
        alter("remove", (REMOVE, "cleanup.policy", "delete"), version=version)
        alter("take back", (TAKE_BACK, "cleanup.policy", None), (TAKE_BACK, "segment.bytes", "1"), version=version)
        alter("take back what is not set", (TAKE_BACK, "segment.bytes", None), version=version)
    alter("validate", (SET, "retention.ms", "7000"), ValidateOnly=True)
    alter("the same", (SET, "retention.ms", "5001"))
    alter("nothing")
    alter("wrong", (SET, "retention.ms", "soon"))
    alter("one wrong", (SET, "retention.ms", "8000"), (SET, "segment.bytes", "x"))
    alter("null", (SET, "retention.ms", None))
    alter("unknown key", (SET, "no.such.key", "1"))
    alter("take back an unknown key", (TAKE_BACK, "no.such.key", None))
    alter("add to no list", (ADD, "retention.ms", "1"))
    alter("remove from no list", (REMOVE, "retention.ms", "1"))
    alter("add to an unknown key", (ADD, "no.such.key", "1"))
    alter("add null", (ADD, "cleanup.policy", None))
    alter("add what cannot be", (ADD, "cleanup.policy", "shred"))
    alter("remove what is not there", (REMOVE, "cleanup.policy", "compact"))
    alter("remove all", (REMOVE, "cleanup.policy", "delete"))
    alter("operation 4", (4, "retention.ms", "1"))
    alter("operation -1", (-1, "retention.ms", "1"))
    alter("twice a key", (SET, "retention.ms", "1"), (SET, "retention.ms", "2"))
    alter("lags", (SET, "min.compaction.lag.ms", "2"), (SET, "max.compaction.lag.ms", "1"))
    alter("unknown topic", (SET, "retention.ms", "1"), name="no.such.topic")
    alter("bad name", (SET, "retention.ms", "1"), name="a b")
    alter("no name", (SET, "retention.ms", "1"), name="")
    for kind, name in ((0, "x"), (1, "x"), (3, "x"), (99, "x"), (-1, "x"), (4, "9"), (4, "x"), (8, "9"), (8, "x")):
        alter(f"resource {kind} {name!r}", (SET, "retention.ms", "1"), kind=kind, name=name)
    alter("a key of the start", (SET, "log.dirs", "/elsewhere"), kind=4, name="1")
    one = dict(ResourceType=2, ResourceName="alter.some", Configs=[dict(Name="retention.ms", ConfigOperation=SET, Value="1")])
    side.call("IncrementalAlterConfigs", 1, "twice", Resources=[one, one])
    side.call("IncrementalAlterConfigs", 1, "no resource", Resources=[])
    described(side, "alter.some", "twice")


def described(side, name, step):
    """What the topic has set itself."""
    topic = dict(ResourceType=2, ResourceName=name, ConfigurationKeys=None)
    answer = side.ask("DescribeConfigs", 4, Resources=[topic])
    own = {one["Name"]: one["Value"] for one in answer["Results"][0]["Configs"] if one["ConfigSource"] == 1}
    side.note(f"settings after {step}", own)


@case
def log_dirs(side):
    side.topic("sized.one", 3)
    side.topic("sized.two")
    side.write("sized.one", wire.batch([b"v" * 100]), partition=1)
    one, two = dict(Topic="sized.one", Partitions=[0, 1, 2]), dict(Topic="sized.two", Partitions=[0])
    for version in side.versions("DescribeLogDirs"):

        def ask(step, topics):
            answer = side.ask("DescribeLogDirs", version, Topics=topics)
            for found in answer["Results"]:
                path, total, usable = (found.get(key) for key in ("LogDir", "TotalBytes", "UsableBytes"))
                found["LogDir"] = "an absolute path" if path.startswith("/") else path
                if version >= 4:
                    sane = 0 < usable <= total
                    found["TotalBytes"], found["UsableBytes"] = ("bytes", "fewer") if sane else (total, usable)
                if topics is None:
                    found["Topics"] = [topic for topic in found["Topics"] if topic["Name"].startswith("sized.")]
            side.note(f"DescribeLogDirs v{version} {step}", answer)

        ask("all", None)
        ask("none", [])
        ask("two topics", [one, two])
        ask("some partitions", [dict(one, Partitions=[1, 2])])
        ask("no partitions", [dict(one, Partitions=[]), two])
        ask("unknown", [dict(one, Partitions=[0, 7, -1]), dict(Topic="sized.unknown", Partitions=[0]), dict(Topic="a b", Partitions=[0])])
        ask("unknown alone", [dict(one, Partitions=[7])])
        ask("twice a partition", [dict(one, Partitions=[0, 0])])
        ask("twice a topic", [dict(one, Partitions=[0]), two, dict(one, Partitions=[1]), two])
        ask("internal", [dict(Topic="__consumer_offsets", Partitions=[7])])
