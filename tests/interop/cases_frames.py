"""Frames that are odd or wrong: headers, versions, lengths."""

import struct

from sides import case


def header(key, version, client=b"\0\1c", tags=b""):
    """A request header; the correlation id is filled in when it is sent."""
    return struct.pack("!hh", key, version) + b"CORR" + client + tags


NULL_CLIENT = b"\xff\xff"
NO_TAGS = b"\0"


@case
def versions_not_served(side):
    for key, name in ((0, "Produce"), (1, "Fetch"), (3, "Metadata"), (10, "FindCoordinator"), (11, "JoinGroup"), (60, "DescribeCluster")):
        for version in (99, 32767, -1):
            side.call_bytes(f"{name} v{version}", header(key, version), name, 0)
    for key in (4, 5, 6, 7, 52, 56, 58, 999, 32767, -1):
        side.call_bytes(f"key {key}", header(key, 0), "ApiVersions", 0)
    for version in (6, 7, 99, 32767, -1, -32768):
        side.call_bytes(f"ApiVersions v{version}", header(18, version), "ApiVersions", 0)
        body = header(18, version, tags=NO_TAGS) + b"\2a\2b\0"
        side.call_bytes(f"ApiVersions v{version} with a body", body, "ApiVersions", 0)


@case
def headers(side):
    none = struct.pack("!i", 0)
    side.call_bytes("no client id", header(3, 1, NULL_CLIENT) + none, "Metadata", 1)
    side.call_bytes("empty client id", header(3, 1, b"\0\0") + none, "Metadata", 1)
    side.call_bytes("client id that is no text", header(3, 1, b"\0\2\xff\xfe") + none, "Metadata", 1)
    side.call_bytes("client id of length -2", header(3, 1, b"\xff\xfe") + none, "Metadata", 1)
    side.call_bytes("client id beyond the end", header(3, 1, b"\0\x09c") + none, "Metadata", 1)
    flexible = b"\1\0\0\0\0"
    side.call_bytes("a tag in the header", header(3, 9, tags=b"\1\5\2ab") + flexible, "Metadata", 9)
    side.call_bytes("a tag in the body", header(3, 9, tags=NO_TAGS) + flexible[:4] + b"\1\7\1x", "Metadata", 9)
    side.call_bytes("a tag beyond the end", header(3, 9, tags=NO_TAGS) + flexible[:4] + b"\1\7\x7fx", "Metadata", 9)
    side.call_bytes("tags out of order", header(3, 9, tags=b"\2\5\0\4\0") + flexible, "Metadata", 9)
    side.call_bytes("no header", b"\0\3", "Metadata", 0)
    side.call_bytes("half a header", b"\0\3\0\1\0\0", "Metadata", 0)
    side.call_bytes("nothing", b"", "Metadata", 0)


@case
def bodies(side):
    none = struct.pack("!i", 0)
    side.call_bytes("bytes left over", header(3, 1) + none + b"left over", "Metadata", 1)
    side.call_bytes("bytes left over, flexible", header(3, 9, tags=NO_TAGS) + b"\1\0\0\0\0" + b"left", "Metadata", 9)
    side.call_bytes("body cut off", header(3, 1) + b"\0\0", "Metadata", 1)
    side.call_bytes("no body", header(3, 1), "Metadata", 1)
    for count in (-2, 1, 1000, 0x7FFFFFFF):
        side.call_bytes(f"{count} topics, none there", header(3, 1) + struct.pack("!i", count), "Metadata", 1)
    side.call_bytes("null in the place of a name", header(3, 1) + struct.pack("!ih", 1, -1), "Metadata", 1)
    side.call_bytes("null topics in v0", header(3, 0) + struct.pack("!i", -1), "Metadata", 0)
    side.call_bytes("a name that is no text", header(3, 1) + struct.pack("!ih", 1, 2) + b"\xff\xfe", "Metadata", 1)
    side.call_bytes("a flag of 2", header(3, 4) + none + b"\2", "Metadata", 4)
    long = b"\x80\x80\x80\x80\x80\1"
    side.call_bytes("a varint of six bytes", header(3, 9, tags=NO_TAGS) + long + b"\0\0\0\0", "Metadata", 9)
    side.call_bytes("null coordinator keys", header(10, 4, tags=NO_TAGS) + b"\0\0\0", "FindCoordinator", 4)
    for what, body in (("nothing", b""), ("half a name", b"\x09ab"), ("null names", b"\0\0\0"), ("left over", b"\2a\2b\0left")):
        side.call_bytes(f"ApiVersions v3 with {what}", header(18, 3, tags=NO_TAGS) + body, "ApiVersions", 3)
    side.call_bytes("ApiVersions v0 with bytes left over", header(18, 0) + b"left", "ApiVersions", 0)


@case
def one_after_another(side):
    """Answers come in the order of the requests, also behind one that waits."""
    side.topic("pipelined")
    part = dict(Partition=0, FetchOffset=0, PartitionMaxBytes=1000)
    body = dict(ReplicaId=-1, MaxWaitMs=50, MinBytes=1, MaxBytes=1000, Topics=[dict(Topic="pipelined", Partitions=[part])])
    side.send("Fetch", 4, **body)
    side.send("Metadata", 9, Topics=[dict(Name="pipelined")], AllowAutoTopicCreation=False)
    side.send("FindCoordinator", 2, Key="x", KeyType=0)
    side.receive("Fetch")
    side.receive("Metadata")
    side.receive("FindCoordinator")
