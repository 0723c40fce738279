"""Groups: their life, their members and their commits, request by request."""

import struct
import time
import uuid

from sides import case

STRANGER = uuid.UUID("11111111-2222-3333-4444-555555555555")
RANGE = dict(Name="range", Metadata=b"\0\1")
ROUND = dict(Name="roundrobin", Metadata=b"\0\2")
OTHER = dict(Name="other", Metadata=b"")


class Group:
    """A group of a case: fills in what the requests have in common."""

    def __init__(self, side, name, version=None):
        self.side, self.name = side, name
        self.fixed = version

    def version(self, api):
        versions = self.side.versions(api)
        return versions[-1] if self.fixed is None else min(max(self.fixed, versions[0]), versions[-1])

    def join_body(self, version, member="", protocols=(RANGE,), kind="consumer", session=30000, rebalance=30000, instance=None):
        body = dict(GroupId=self.name, SessionTimeoutMs=session, MemberId=member, ProtocolType=kind, Protocols=list(protocols))
        if version >= 1:
            body["RebalanceTimeoutMs"] = rebalance
        if version >= 5:
            body["GroupInstanceId"] = instance
        return body

    def send_join(self, link, **what):
        version = self.version("JoinGroup")
        self.side.send("JoinGroup", version, link=link, **self.join_body(version, **what))

    def join(self, step, link="main", **what):
        self.send_join(link, **what)
        return self.side.receive(f"JoinGroup v{self.version('JoinGroup')} {step}", link=link)

    def enter(self, step, link="main", **what):
        """Joins, if need be a second time with the id that it was given."""
        answer = self.join(step, link, **what)
        if answer["ErrorCode"] == 79:
            answer = self.join(f"{step}, with its id", link, **dict(what, member=answer["MemberId"]))
        return answer

    def send_sync(self, link, member, generation, assignments=(), instance=None, kind="consumer", protocol="range"):
        version = self.version("SyncGroup")
        parts = [dict(MemberId=one, Assignment=data) for one, data in assignments]
        body = dict(GroupId=self.name, GenerationId=generation, MemberId=member, Assignments=parts)
        if version >= 3:
            body["GroupInstanceId"] = instance
        if version >= 5:
            body.update(ProtocolType=kind, ProtocolName=protocol)
        self.side.send("SyncGroup", version, link=link, **body)

    def sync(self, step, member, generation, link="main", **what):
        self.send_sync(link, member, generation, **what)
        return self.side.receive(f"SyncGroup v{self.version('SyncGroup')} {step}", link=link)

    def heartbeat(self, step, member, generation, instance=None):
        version = self.version("Heartbeat")
        body = dict(GroupId=self.name, GenerationId=generation, MemberId=member)
        if version >= 3:
            body["GroupInstanceId"] = instance
        return self.side.call("Heartbeat", version, step, **body)

    def leave(self, step, *members):
        version = self.version("LeaveGroup")
        if version < 3:
            return self.side.call("LeaveGroup", version, step, GroupId=self.name, MemberId=members[0][0])
        parts = [dict(MemberId=member, GroupInstanceId=instance) for member, instance in members]
        return self.side.call("LeaveGroup", version, step, GroupId=self.name, Members=parts)

    def describe(self, step):
        return self.side.call("DescribeGroups", self.version("DescribeGroups"), step, Groups=[self.name])

    def commit(self, step, topic, offset, member="", generation=-1, version=9, partition=0, metadata="", instance=None, topic_id=None, **more):
        part = dict(PartitionIndex=partition, CommittedOffset=offset, CommittedMetadata=metadata)
        if version >= 6:
            part["CommittedLeaderEpoch"] = -1
        part.update(more)
        named = dict(TopicId=topic_id) if version >= 10 else dict(Name=topic)
        body = dict(GroupId=self.name, GenerationIdOrMemberEpoch=generation, MemberId=member)
        if version >= 7:
            body["GroupInstanceId"] = instance
        return self.side.call("OffsetCommit", version, step, Topics=[dict(named, Partitions=[part])], **body)

    def fetch(self, step, topics, version=9, **more):
        """`topics`: None, or [(name or id, [partitions])]."""
        key = "TopicId" if version >= 10 else "Name"
        named = None if topics is None else [{key: name, "PartitionIndexes": parts} for name, parts in topics]
        if version >= 8:
            body = dict(Groups=[dict(GroupId=self.name, Topics=named, **more)])
        else:
            body = dict(GroupId=self.name, Topics=named)
        return self.side.call("OffsetFetch", version, step, **body)


def alone(group, step="alone", **what):
    """A member that is the whole of a stable group. Returns (member id, generation)."""
    answer = group.enter(step, **what)
    member, generation = answer["MemberId"], answer["GenerationId"]
    instance = what.get("instance")
    group.sync(f"{step}, assigned", member, generation, assignments=[(member, b"\0\0\7")], instance=instance)
    return member, generation


@case
def life_of_a_group(side):
    for version in range(0, 10):
        group = Group(side, f"life.v{version}", version)
        group.describe("before")
        member, generation = alone(group)
        group.describe("stable")
        group.heartbeat("fine", member, generation)
        group.heartbeat("old generation", member, generation - 1)
        group.heartbeat("new generation", member, generation + 1)
        group.heartbeat("stranger", "stranger", generation)
        group.heartbeat("nobody", "", generation)
        group.sync("again", member, generation)
        group.sync("old generation", member, generation - 1)
        group.sync("stranger", "stranger", generation)
        group.join("as a stranger", member="stranger")
        answer = group.join("again", member=member)
        group.describe("leader came again")
        group.heartbeat("before the sync", member, answer["GenerationId"])
        group.sync("after that", member, answer["GenerationId"], assignments=[(member, b"new")])
        group.leave("stranger", ("stranger", None))
        group.leave("leaves", (member, None))
        group.leave("leaves again", (member, None))
        group.heartbeat("after it left", member, answer["GenerationId"])
        group.sync("after it left", member, answer["GenerationId"])
        group.describe("empty")


@case
def errors_without_a_group(side):
    for version in range(0, 10):
        nobody = Group(side, f"nobody.v{version}", version)
        nobody.heartbeat("unknown group", "member", 1)
        nobody.sync("unknown group", "member", 1)
        nobody.leave("unknown group", ("member", None))
        nobody.join("with an id", member="member")
        nobody.describe("unknown group")
        empty = Group(side, "", version)
        empty.join("empty name")
        empty.heartbeat("empty name", "member", 1)
        empty.sync("empty name", "member", 1)
        empty.leave("empty name", ("member", None))
        empty.describe("empty name")
        bad = Group(side, f"bad.v{version}", version)
        bad.join("session too short", session=5999)
        bad.join("session too long", session=1800001)
        bad.join("no protocols", protocols=())
        bad.join("no protocol type", kind="")
        bad.join("negative session", session=-1)
        bad.describe("after all that")
        Group(side, f"hasty.v{version}", version).join("rebalance timeout 0", rebalance=0)


@case
def two_members(side):
    group = Group(side, "two")
    first, generation = alone(group, protocols=(RANGE, ROUND))
    answer = group.join("second", link="second", protocols=(ROUND, RANGE))
    second = answer["MemberId"]
    group.describe("one pending")
    group.heartbeat("while one is pending", first, generation)
    group.send_join("second", member=second, protocols=(ROUND, RANGE))
    side.until("rebalance", lambda: side.ask("DescribeGroups", Groups=["two"])["Groups"][0]["GroupState"] == "PreparingRebalance")
    group.describe("preparing")
    group.heartbeat("while preparing", first, generation)
    group.heartbeat("old generation while preparing", first, generation - 1)
    group.sync("while preparing", first, generation)
    group.commit("while preparing", "two.topic", 1, first, generation)
    answer = group.join("first again", member=first, protocols=(RANGE, ROUND))
    generation = answer["GenerationId"]
    side.receive("second joined", link="second")
    group.describe("completing")
    group.heartbeat("while completing", first, generation)
    group.heartbeat("second while completing", second, generation)
    group.commit("while completing", "two.topic", 1, first, generation)
    group.sync("with another protocol", first, generation, protocol="roundrobin")
    group.sync("with another type", first, generation, kind="connect")
    group.sync("without a protocol", first, generation, kind=None, protocol=None)
    group.send_sync("second", second, generation)
    group.sync("leader", first, generation, assignments=[(first, b"one"), (second, b"two"), ("stranger", b"three")])
    side.receive("second synced", link="second")
    group.describe("stable")
    answer = group.join("second again, nothing new", link="second", member=second, protocols=(ROUND, RANGE))
    group.sync("second again", second, generation, link="second")
    group.join("other protocols", link="third", protocols=(OTHER,))
    group.join("other type", link="third", kind="connect")
    group.send_join("second", member=second, protocols=(ROUND,))
    side.until("rebalance", lambda: side.ask("DescribeGroups", Groups=["two"])["Groups"][0]["GroupState"] == "PreparingRebalance")
    answer = group.join("first, second wants another", member=first, protocols=(RANGE, ROUND))
    side.receive("second with another", link="second")
    generation = answer["GenerationId"]
    group.send_sync("second", second, generation, protocol="roundrobin")
    group.sync("leader, second time", first, generation, protocol="roundrobin")
    side.receive("second synced without an assignment", link="second")
    group.leave("both", (first, None), (second, None), ("stranger", None))
    group.describe("empty")
    group.join("comes back", member=first)


@case
def leader_leaves(side):
    group = Group(side, "leaderless", 3)
    first, generation = alone(group)
    group.send_join("second")
    side.until("rebalance", lambda: side.ask("DescribeGroups", Groups=["leaderless"])["Groups"][0]["GroupState"] == "PreparingRebalance")
    group.leave("leader", (first, None))
    answer = side.receive("second is the leader", link="second")
    group.sync("second", answer["MemberId"], answer["GenerationId"], link="second", assignments=[(answer["MemberId"], b"x")])
    group.leave("second", (answer["MemberId"], None))


@case
def votes(side):
    group = Group(side, "votes", 2)
    group.send_join("a", protocols=(RANGE, ROUND, OTHER))
    first = side.receive("a", link="a")
    group.send_join("b", protocols=(ROUND, OTHER))
    side.until("rebalance", lambda: side.ask("DescribeGroups", Groups=["votes"])["Groups"][0]["GroupState"] == "PreparingRebalance")
    group.send_join("a", member=first["MemberId"], protocols=(OTHER, RANGE, ROUND))
    side.receive("a, tie", link="a")
    side.receive("b, tie", link="b")


@case
def expiries(side):
    group = Group(side, "expiries", 0)
    member, generation = alone(group, session=6000)
    pending = Group(side, "expiries.pending")
    pending.join("is given an id", session=6000)
    pending.describe("one pending")
    slow = Group(side, "expiries.slow", 3)
    first, slow_generation = alone(slow, rebalance=1000)
    slow.send_join("second", rebalance=1000)
    answer = side.receive("second, first does not come", link="second")
    slow.describe("without the first")
    slow.heartbeat("first", first, slow_generation)
    slow.heartbeat("second", answer["MemberId"], answer["GenerationId"])
    side.until("expiry", lambda: side.ask("DescribeGroups", Groups=["expiries"])["Groups"][0]["GroupState"] != "Stable")
    group.describe("expired")
    group.heartbeat("expired", member, generation)
    time.sleep(0.3)
    pending.describe("pending expired")


@case
def static_members(side):
    for version in (5, 9):
        group = Group(side, f"static.v{version}", version)
        first, generation = alone(group, instance="one")
        group.describe("one")
        group.heartbeat("fine", first, generation, instance="one")
        group.heartbeat("without the instance", first, generation)
        group.heartbeat("unknown instance", first, generation, instance="none")
        group.heartbeat("stranger's id", "stranger", generation, instance="one")
        answer = group.join("one starts anew", link="again", instance="one")
        second = answer["MemberId"]
        group.describe("one is new")
        group.sync("one is new", second, answer["GenerationId"], link="again", instance="one")
        group.heartbeat("the former one", first, generation, instance="one")
        group.join("the former one", member=first, instance="one")
        group.sync("the former one", first, generation, instance="one")
        group.commit("the former one", "t", 1, first, generation, version=8, instance="one")
        group.leave("the former one", (first, "one"))
        group.leave("unknown instance", ("", "none"))
        group.join("unknown instance and id", member="stranger", instance="none")
        Group(side, f"static.empty.v{version}", version).join("an empty instance", link="x", instance="")
        answer = group.join("one, with other metadata", link="again", instance="one", member=second, protocols=(dict(RANGE, Metadata=b"zz"),))
        group.sync("one, with other metadata", second, answer["GenerationId"], link="again", instance="one", assignments=[(second, b"q")])
        answer = group.join("one anew, with other metadata", link="more", instance="one", protocols=(dict(RANGE, Metadata=b"yy"),))
        group.describe("in the end")
        group.leave("by instance", ("", "one"))
        group.describe("empty")


@case
def lists(side):
    member, _ = alone(Group(side, "list.stable"))
    Group(side, "list.connect").enter("connect", kind="connect", link="c")
    side.topic("list.topic")
    Group(side, "list.simple").commit("simple", "list.topic", 1)

    def mine(label, version, **body):
        answer = side.ask("ListGroups", version, **body)
        answer["Groups"] = [group for group in answer["Groups"] if group["GroupId"].startswith("list.")]
        side.note(f"ListGroups v{version} {label}", answer)

    for version in side.versions("ListGroups"):
        mine("all", version)
        if version >= 4:
            for states in (["Stable"], ["stable"], ["Empty"], ["Empty", "Stable"], ["nonsense"], [""], ["Dead"], ["CompletingRebalance"], ["Assigning"]):
                mine(f"states {states}", version, StatesFilter=states)
        if version >= 5:
            for types in (["classic"], ["Classic"], ["consumer"], ["nonsense"], ["classic", "consumer"], ["share"], [""]):
                mine(f"types {types}", version, TypesFilter=types)
            mine("both", version, TypesFilter=["classic"], StatesFilter=["Empty"])
            mine("consumer and empty", version, TypesFilter=["consumer"], StatesFilter=["Empty"])
    for version in side.versions("DescribeGroups"):
        side.call("DescribeGroups", version, "several", Groups=["list.stable", "list.none", "list.simple", "list.connect"])
        side.call("DescribeGroups", version, "twice", Groups=["list.stable", "list.stable"])
        side.call("DescribeGroups", version, "none", Groups=[])
        if version >= 3:
            side.call("DescribeGroups", version, "operations", Groups=["list.stable", "list.none"], IncludeAuthorizedOperations=True)


@case
def commits(side):
    ids = {"commit.topic": side.topic("commit.topic", 2), "commit.empty": side.topic("commit.empty")}
    topic = "commit.topic"
    for version in side.versions("OffsetCommit"):
        group = Group(side, f"commit.v{version}", version)

        def commit(step, offset=1, **what):
            group.commit(step, topic, offset, version=version, topic_id=what.pop("topic_id", ids[topic]), **what)

        commit("simple")
        commit("metadata", 2, metadata="some words")
        commit("null metadata", 3, metadata=None)
        commit("metadata of 4096", 3, metadata="m" * 4096)
        commit("metadata of 4097", 4, metadata="m" * 4097)
        commit("offset -1", -1)
        commit("offset -2", -2)
        commit("far offset", 1 << 50)
        commit("unknown partition", partition=9)
        commit("negative partition", partition=-1)
        commit("generation 0, no member", generation=0)
        commit("generation -1, a member", member="stranger")
        commit("generation 1, a member", member="stranger", generation=1)
        commit("generation -2", generation=-2)
        if version >= 6:
            commit("leader epoch 0", 5, CommittedLeaderEpoch=0)
            commit("leader epoch 7", 6, CommittedLeaderEpoch=7)
        if version >= 10:
            commit("unknown id", topic_id=STRANGER)
        else:
            group.commit("unknown topic", "commit.unknown", 1, version=version)
            group.commit("invalid topic", "a b", 1, version=version)
        body = dict(GroupId=group.name, GenerationIdOrMemberEpoch=-1, MemberId="")
        side.call("OffsetCommit", version, "no topics", Topics=[], **body)
        named = dict(TopicId=ids[topic]) if version >= 10 else dict(Name=topic)
        part = dict(PartitionIndex=0, CommittedOffset=9)
        side.call("OffsetCommit", version, "no partitions", Topics=[dict(named, Partitions=[])], **body)
        side.call("OffsetCommit", version, "twice a partition", Topics=[dict(named, Partitions=[part, dict(part, CommittedOffset=8)])], **body)
        side.call("OffsetCommit", version, "no group", Topics=[dict(named, Partitions=[part])], **dict(body, GroupId=""))
        if version < 10:
            mixed = [dict(named, Partitions=[part, dict(part, PartitionIndex=7)]), dict(Name="commit.unknown", Partitions=[part])]
            side.call("OffsetCommit", version, "some unknown", Topics=mixed, **body)
        group.describe("with commits alone")
        member, generation = alone(group)
        commit("by a member", 20, member=member, generation=generation)
        commit("by a member, old generation", 21, member=member, generation=generation - 1)
        commit("by a stranger", 22, member="stranger", generation=generation)
        commit("by nobody", 23)
        commit("by a member without generation", 24, member=member)
        commit("by nobody of this generation", 25, generation=generation)
        for fetch_version in side.versions("OffsetFetch"):
            name = ids[topic] if fetch_version >= 10 else topic
            group.fetch("both partitions", [(name, [0, 1])], fetch_version)
        group.leave("leaves", (member, None))
        commit("when it is empty", 26)
        commit("when it is empty, by the former member", 27, member=member, generation=generation)


@case
def fetched_commits(side):
    ids = {"position.topic": side.topic("position.topic", 2), "position.other": side.topic("position.other")}
    topic = "position.topic"
    group = Group(side, "positions")
    group.commit("one", topic, 5, metadata="m", CommittedLeaderEpoch=0)
    group.commit("two", "position.other", 6)
    for version in side.versions("OffsetFetch"):
        def name(one):
            return ids.get(one, STRANGER) if version >= 10 else one

        group.fetch("one", [(name(topic), [0])], version)
        group.fetch("without a commit", [(name(topic), [1])], version)
        group.fetch("unknown partition", [(name(topic), [0, 9, -1])], version)
        group.fetch("unknown topic", [(name("position.unknown"), [0])], version)
        group.fetch("twice a partition", [(name(topic), [0, 0])], version)
        group.fetch("no partitions", [(name(topic), [])], version)
        group.fetch("no topics", [], version)
        nobody = Group(side, "positions.nobody")
        nobody.fetch("no such group", [(name(topic), [0])], version)
        nameless = Group(side, "")
        nameless.fetch("no name", [(name(topic), [0])], version)
        if version >= 2:
            group.fetch("all", None, version)
            nobody.fetch("all of no such group", None, version)
            nameless.fetch("all of no name", None, version)
        if version >= 7:
            body = dict(GroupId="positions", Topics=None) if version < 8 else dict(Groups=[dict(GroupId="positions", Topics=None)])
            side.call("OffsetFetch", version, "stable", RequireStable=True, **body)
        if version >= 8:
            groups = [dict(GroupId=one, Topics=None) for one in ("positions", "positions.nobody", "")]
            side.call("OffsetFetch", version, "three groups", Groups=groups)
            side.call("OffsetFetch", version, "no groups", Groups=[])
            side.call("OffsetFetch", version, "twice a group", Groups=groups[:1] * 2)
        if version >= 9:
            for member, epoch in (("stranger", 1), ("stranger", -1), ("", 0), (None, 5)):
                group.fetch(f"as {member!r} {epoch}", [(name(topic), [0])], version, MemberId=member, MemberEpoch=epoch)
    side.ask("DeleteTopics", 5, TopicNames=["position.other"], TimeoutMs=10000)
    side.gone("position.other")

    def forgotten():
        answer = side.ask("OffsetFetch", 9, Groups=[dict(GroupId="positions", Topics=[dict(Name="position.other", PartitionIndexes=[0])])])
        return answer["Groups"][0]["Topics"][0]["Partitions"][0]["CommittedOffset"] == -1

    side.until("commits of the deleted topic are gone", forgotten)
    group.fetch("all, one topic is gone", None, 9)
    group.fetch("all, one topic is gone", None, 10)
    group.fetch("the topic that is gone", [("position.other", [0])], 9)


@case
def deleted_groups(side):
    topic_id = side.topic("gone.topic", 2)
    for version in side.versions("OffsetCommit"):
        nobody = Group(side, "gone.nobody")
        nobody.commit("of no group", "gone.topic", 1, member="member", generation=3, version=version, topic_id=topic_id)
    for version in side.versions("DeleteGroups"):
        def delete(step, *names):
            side.call("DeleteGroups", version, step, GroupsNames=list(names))

        prefix = f"gone.v{version}"
        delete("none")
        delete("unknown", f"{prefix}.unknown")
        delete("no name", "")
        nameless = Group(side, "")
        nameless.commit("no name", "gone.topic", 1, version=8)
        delete("no name, which has commits", "")
        nameless.fetch("of the group without a name", None)
        simple = Group(side, f"{prefix}.simple")
        simple.commit("simple", "gone.topic", 1)
        delete("simple", simple.name)
        simple.describe("of the simple group")
        simple.fetch("of the simple group", None)
        delete("simple, again", simple.name)
        group = Group(side, f"{prefix}.group")
        member, generation = alone(group)
        group.commit("by a member", "gone.topic", 5, member=member, generation=generation)
        delete("with a member", group.name)
        group.send_join("second", protocols=(RANGE,))
        second = side.receive("second is given an id", link="second")["MemberId"]
        group.send_join("second", member=second)
        side.until("rebalance", lambda: side.ask("DescribeGroups", Groups=[group.name])["Groups"][0]["GroupState"] == "PreparingRebalance")
        delete("preparing", group.name)
        group.leave("second", (second, None))
        side.receive("second is out", link="second")
        answer = group.join("again", member=member)
        delete("completing", group.name)
        group.sync("again", member, answer["GenerationId"], assignments=[(member, b"x")])
        group.leave("leaves", (member, None))
        delete("left by all", group.name)
        group.describe("of the group")
        group.fetch("of the group", None)
        group.heartbeat("of the group", member, answer["GenerationId"])
        group.commit("as the former member", "gone.topic", 6, member=member, generation=answer["GenerationId"])
        pending = Group(side, f"{prefix}.pending")
        pending.commit("simple", "gone.topic", 1)
        given = pending.join("is given an id")["MemberId"]
        delete("one pending", pending.name)
        pending.join("with the id of before", member=given)
        simple.commit("made anew", "gone.topic", 2)
        delete("several", f"{prefix}.unknown", simple.name, simple.name, group.name)
        listed = side.ask("ListGroups")["Groups"]
        side.note(f"ListGroups after DeleteGroups v{version}", [one for one in listed if one["GroupId"].startswith(prefix)])


def subscription(*topics):
    """What a consumer says of itself that wants these topics."""
    names = b"".join(struct.pack("!h", len(one)) + one.encode() for one in topics)
    return struct.pack("!hi", 1, len(topics)) + names + b"\xff\xff\xff\xff" + b"\0\0\0\0"


@case
def deleted_offsets(side):
    side.topic("forget.one", 2)
    side.topic("forget.two")
    version = side.newest("OffsetDelete")

    def delete(step, group, *topics):
        wanted = [dict(Name=name, Partitions=[dict(PartitionIndex=one) for one in parts]) for name, parts in topics]
        side.call("OffsetDelete", version, step, GroupId=group, Topics=wanted)

    def committed(name, kind=None, **what):
        group = Group(side, name)
        for topic, partition in (("forget.one", 0), ("forget.one", 1), ("forget.two", 0)):
            group.commit("commits", topic, 5, partition=partition, **what)
        return group

    one, two, unknown = ("forget.one", [0]), ("forget.two", [0]), ("forget.unknown", [0])
    delete("unknown group", "forget.nobody", one)
    delete("unknown group, unknown topic", "forget.nobody", unknown)
    delete("unknown group, unknown partition", "forget.nobody", ("forget.one", [7]))
    delete("unknown group, nothing", "forget.nobody")
    delete("unknown group, no partitions", "forget.nobody", ("forget.one", []))
    delete("no name", "", one)
    delete("no name, unknown topic", "", unknown)
    delete("no name, nothing", "")
    simple = committed("forget.simple")
    delete("nothing", simple.name)
    delete("no partitions", simple.name, ("forget.one", []))
    delete("no partitions of one", simple.name, ("forget.one", []), unknown)
    delete("one", simple.name, one)
    delete("one, again", simple.name, one)
    simple.fetch("after one", None)
    delete("several", simple.name, ("forget.one", [0, 1, 7, -1]), unknown, two)
    simple.fetch("after several", [("forget.one", [0, 1]), ("forget.two", [0])])
    simple = committed("forget.again")
    delete("twice a partition", simple.name, ("forget.one", [0, 0, 7, 7]))
    delete("twice a topic", simple.name, two, two, unknown, unknown)
    delete("a topic in two parts", simple.name, ("forget.one", [0, 7]), ("forget.one", [1, 8]))
    simple.fetch("after the same twice", [("forget.one", [0, 1]), ("forget.two", [0])])
    # Members of consumers, and others
    for kind, metadata in (
        ("consumer", subscription("forget.one")),
        ("consumer", subscription("forget.one")[:-4]),
        ("consumer", subscription()),
        ("consumer", b"\0\1"),
        ("consumer", b""),
        ("connect", subscription("forget.one")),
    ):
        group = Group(side, f"forget.{kind}.{metadata.hex()}")
        protocols = (dict(Name="range", Metadata=metadata),)
        answer = group.enter("joins", protocols=protocols, kind=kind)
        member, generation = answer["MemberId"], answer["GenerationId"]
        delete("completing", group.name, one, two, unknown)
        group.sync("joins", member, generation, assignments=[(member, b"x")], kind=kind)
        committed(group.name, member=member, generation=generation)
        delete("stable, unknown topic", group.name, unknown)
        delete("stable", group.name, ("forget.one", [0, 7]), two, unknown)
        group.fetch("stable", [("forget.one", [0, 1]), ("forget.two", [0])])
        group.leave("leaves", (member, None))
        delete("empty", group.name, ("forget.one", [0, 1]), two)
        group.fetch("empty", [("forget.one", [0, 1]), ("forget.two", [0])])
    group = Group(side, "forget.joining", 2)
    answer = group.enter("joins", protocols=(dict(Name="range", Metadata=subscription("forget.one")),))
    member, generation = answer["MemberId"], answer["GenerationId"]
    group.sync("joins", member, generation, assignments=[(member, b"x")])
    committed(group.name, member=member, generation=generation)
    group.send_join("second", protocols=(dict(Name="range", Metadata=subscription("forget.two")),))
    side.until("rebalance", lambda: side.ask("DescribeGroups", Groups=[group.name])["Groups"][0]["GroupState"] == "PreparingRebalance")
    delete("preparing, a member wants another", group.name, one, two)
