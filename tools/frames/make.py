#!/usr/bin/env python3
"""Writes the frames that tools/probe sends: bytes by Kafka's own classes (Frames.java), comments by its schemas.

usage: tools/frames/make.py      needs Java and Maven; run it again when a frame is added to FRAMES
"""

import json
import os
import re
import struct
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
KAFKA = "Apache Kafka 4.4.0"

# name, API, version, body in the JSON form of Kafka's schemas
FRAMES = [
    ("api-versions-v0", "ApiVersions", 0, {}),
    ("api-versions-v3", "ApiVersions", 3, {"clientSoftwareName": "probe", "clientSoftwareVersion": "1.0"}),
    ("metadata-v1", "Metadata", 1, {"topics": None}),
    (
        "metadata-v12",
        "Metadata",
        12,
        {
            "topics": [{"topicId": "AAAAAAAAAAAAAAAAAAAAAA", "name": "probe"}],
            "allowAutoTopicCreation": True,
            "includeTopicAuthorizedOperations": False,
        },
    ),
    (
        "create-topics-v2",
        "CreateTopics",
        2,
        {
            "topics": [
                {"name": "probe", "numPartitions": 1, "replicationFactor": 1, "assignments": [], "configs": []}
            ],
            "timeoutMs": 5000,
            "validateOnly": False,
        },
    ),
    (
        "delete-topics-v4",
        "DeleteTopics",
        4,
        {"topicNames": ["probe"], "timeoutMs": 5000},
    ),
    (
        "produce-v3",
        "Produce",
        3,
        {
            "transactionalId": None,
            "acks": -1,
            "timeoutMs": 5000,
            "topicData": [{"name": "probe", "partitionData": [{"index": 0, "records": None}]}],
        },
    ),
    (
        "fetch-v4",
        "Fetch",
        4,
        {
            "replicaId": -1,
            "maxWaitMs": 500,
            "minBytes": 1,
            "maxBytes": 1048576,
            "isolationLevel": 0,
            "topics": [
                {"topic": "probe", "partitions": [{"partition": 0, "fetchOffset": 0, "partitionMaxBytes": 1048576}]}
            ],
        },
    ),
    (
        "fetch-v11",
        "Fetch",
        11,
        {
            "replicaId": -1,
            "maxWaitMs": 500,
            "minBytes": 1,
            "maxBytes": 1048576,
            "isolationLevel": 0,
            "sessionId": 0,
            "sessionEpoch": -1,
            "topics": [
                {
                    "topic": "probe",
                    "partitions": [
                        {
                            "partition": 0,
                            "currentLeaderEpoch": -1,
                            "fetchOffset": 0,
                            "logStartOffset": -1,
                            "partitionMaxBytes": 1048576,
                        }
                    ],
                }
            ],
            "forgottenTopicsData": [],
            "rackId": "",
        },
    ),
    (
        "list-offsets-v1",
        "ListOffsets",
        1,
        {"replicaId": -1, "topics": [{"name": "probe", "partitions": [{"partitionIndex": 0, "timestamp": -1}]}]},
    ),
    (
        "offset-for-leader-epoch-v2",
        "OffsetForLeaderEpoch",
        2,
        {"topics": [{"topic": "probe", "partitions": [{"partition": 0, "currentLeaderEpoch": -1, "leaderEpoch": 0}]}]},
    ),
    ("find-coordinator-v1", "FindCoordinator", 1, {"key": "probe", "keyType": 0}),
    (
        "join-group-v2",
        "JoinGroup",
        2,
        {
            "groupId": "probe",
            "sessionTimeoutMs": 10000,
            "rebalanceTimeoutMs": 10000,
            "memberId": "",
            "protocolType": "consumer",
            # A subscription of version 0 to the topic "probe", without user data.
            "protocols": [{"name": "range", "metadata": "AAAAAAABAAVwcm9iZf////8="}],
        },
    ),
    (
        "sync-group-v1",
        "SyncGroup",
        1,
        {"groupId": "probe", "generationId": 1, "memberId": "nobody", "assignments": []},
    ),
    ("heartbeat-v1", "Heartbeat", 1, {"groupId": "probe", "generationId": 1, "memberId": "nobody"}),
    ("leave-group-v1", "LeaveGroup", 1, {"groupId": "probe", "memberId": "nobody"}),
    (
        "offset-commit-v2",
        "OffsetCommit",
        2,
        {
            "groupId": "probe",
            "generationIdOrMemberEpoch": -1,
            "memberId": "",
            "retentionTimeMs": -1,
            "topics": [
                {
                    "name": "probe",
                    "partitions": [{"partitionIndex": 0, "committedOffset": 1, "committedMetadata": "by hand"}],
                }
            ],
        },
    ),
    (
        "offset-fetch-v2",
        "OffsetFetch",
        2,
        {"groupId": "probe", "topics": [{"name": "probe", "partitionIndexes": [0]}]},
    ),
    ("list-groups-v2", "ListGroups", 2, {}),
    ("describe-groups-v0", "DescribeGroups", 0, {"groups": ["probe"]}),
    (
        "describe-configs-v1",
        "DescribeConfigs",
        1,
        {
            "resources": [{"resourceType": 2, "resourceName": "probe", "configurationKeys": None}],
            "includeSynonyms": True,
        },
    ),
    ("init-producer-id-v0", "InitProducerId", 0, {"transactionalId": None, "transactionTimeoutMs": 60000}),
    ("describe-cluster-v0", "DescribeCluster", 0, {"includeClusterAuthorizedOperations": False}),
]

# What no client sends. name, what it shows, [(hex, comment)]
MALFORMED = [
    ("zero-length", "an empty frame; the connection is closed", [("00000000", "size = 0")]),
    ("negative-length", "a size below zero; closed", [("ffffffff", "size = -1")]),
    ("huge-length", "a size of 2 GiB, which is never allocated; closed", [("7fffffff", "size = 2147483647")]),
    (
        "unknown-api",
        "an API that does not exist; closed, as no answer could be understood",
        [("0000000f", "size = 15"), ("03e7", "request_api_key = 999"), ("0000", "request_api_version = 0")]
        + [("00000064", "correlation_id = 100"), ("0005 70726f6265", "client_id = probe")],
    ),
    (
        "unknown-version",
        "Metadata in a version that does not exist; closed",
        [("0000000f", "size = 15"), ("0003", "request_api_key = 3"), ("03e7", "request_api_version = 999")]
        + [("00000065", "correlation_id = 101"), ("0005 70726f6265", "client_id = probe")],
    ),
    (
        "unknown-api-versions-version",
        "ApiVersions in a version that does not exist; answered in form 0 with error 35 and the supported range",
        [("00000010", "size = 16"), ("0012", "request_api_key = 18"), ("0063", "request_api_version = 99")]
        + [("00000066", "correlation_id = 102"), ("0005 70726f6265", "client_id = probe"), ("00", "tagged fields")],
    ),
    (
        "truncated-body",
        "Metadata v1 that announces one topic and ends; closed",
        [("00000013", "size = 19"), ("0003", "request_api_key = 3"), ("0001", "request_api_version = 1")]
        + [("00000067", "correlation_id = 103"), ("0005 70726f6265", "client_id = probe")]
        + [("00000001", "topics: 1 element, which does not follow")],
    ),
    (
        "array-count-bomb",
        "Metadata v1 that announces 2147483647 topics, for which nothing is allocated; closed",
        [("00000013", "size = 19"), ("0003", "request_api_key = 3"), ("0001", "request_api_version = 1")]
        + [("00000068", "correlation_id = 104"), ("0005 70726f6265", "client_id = probe")]
        + [("7fffffff", "topics: 2147483647 elements")],
    ),
    (
        "half-frame",
        "a frame that ends after its size and API key; closed with the connection",
        [("00000013", "size = 19"), ("0003", "request_api_key = 3")],
    ),
    ("http", "a browser on the wrong port; closed", [(b"GET / HTTP/1.1\r\n\r\n".hex(" "), "GET / HTTP/1.1")]),
    (
        "tls-hello",
        "the begin of a TLS handshake on a port without TLS; closed",
        [("16 0301 00c5", "handshake, TLS 1.0, 197 bytes"), ("01 0000c1 0303", "client hello, TLS 1.2")]
        + [("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "random")],
    ),
    ("garbage", "bytes without any meaning; closed", [("deadbeef cafebabe 00ff00ff 5555aaaa", "noise")]),
]


class Annotator:
    """Walks a frame along Kafka's schema and gives each field its line."""

    def __init__(self, data, schema, version):
        self.data, self.at, self.lines, self.version = data, 0, [], version
        self.flexible = _within(version, schema["flexibleVersions"])
        self.structs = {common["name"]: common for common in schema.get("commonStructs", [])}
        self.line(4, "size = {}", "!i")
        self.line(2, "request_api_key = {} (" + schema["name"].removesuffix("Request") + ")", "!h")
        self.line(2, "request_api_version = {}", "!h")
        self.line(4, "correlation_id = {}", "!i")
        size = struct.unpack("!h", data[self.at : self.at + 2])[0]
        self.line(2 + size, "client_id = " + data[self.at + 2 : self.at + 2 + size].decode())
        self.tags("header")
        self.fields(schema["fields"], "")
        self.tags("body")
        assert self.at == len(data), f"{schema['name']}: {len(data) - self.at} bytes not explained"

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def line(self, count, text, form=None):
        raw = self.take(count)
        value = struct.unpack(form, raw)[0] if form else None
        self.lines.append((raw.hex(), text.format(value) if form else text))

    def tags(self, where):
        if self.flexible:
            self.line(1, f"{where}: {{}} tagged fields", "!B")

    def fields(self, fields, path):
        for field in fields:
            if _within(self.version, field["versions"]) and not _within(self.version, field.get("taggedVersions", "none")):
                self.value(field["type"], field, path + _snake(field["name"]))

    def length(self, form):
        """A count or length as the version writes it; the bytes go into the caller's line."""
        if not self.flexible:
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - 1

    def value(self, kind, field, path):
        begin = self.at
        if kind.startswith("[]"):
            count = self.length("!i")
            self.lines.append((self.data[begin : self.at].hex(), f"{path}: " + (f"{count} elements" if count >= 0 else "null")))
            for number in range(count):
                self.value(kind[2:], field, f"{path}[{number}]")
            return
        forms = {"bool": "!?", "int8": "!b", "int16": "!h", "int32": "!i", "int64": "!q", "uint16": "!H"}
        if kind in forms:
            self.line(struct.calcsize(forms[kind]), path + " = {}", forms[kind])
        elif kind == "uuid":
            self.line(16, path)
        elif kind in ("string", "bytes", "records"):
            size = self.length("!h" if kind == "string" else "!i")
            raw = self.take(max(size, 0))
            shown = "null" if size < 0 else raw.decode() if kind == "string" else f"{size} bytes"
            if kind == "records":
                self.lines.append((self.data[begin : self.at - size].hex(), f"{path} = {shown}"))
                self.at -= size
                self.batch(path)
                return
            self.lines.append((self.data[begin : self.at].hex(), f"{path} = {shown}"))
        else:
            self.fields(field.get("fields") or self.structs[kind]["fields"], path + ".")
            self.tags(path)

    def batch(self, path):
        for count, name in ((8, "base_offset"), (4, "batch_length"), (4, "partition_leader_epoch"), (1, "magic"),
                            (4, "crc32c of what follows"), (2, "attributes"), (4, "last_offset_delta"),
                            (8, "base_timestamp"), (8, "max_timestamp"), (8, "producer_id"), (2, "producer_epoch"),
                            (4, "base_sequence"), (4, "record_count")):  # fmt: skip
            self.line(count, f"{path}: {name}")
        records = struct.unpack("!i", self.data[self.at - 4 : self.at])[0]
        for number in range(records):
            size = self.data[self.at] >> 1
            self.line(1 + size, f"{path}: record {number}: length, attributes, deltas, key, value, headers")


def _within(version, span):
    if span == "none":
        return False
    low, _, high = span.partition("-")
    if span.endswith("+"):
        return version >= int(span[:-1])
    return int(low) <= version <= int(high or low)


def _snake(name):
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


def write(name, about, lines):
    width = min(max(len(text) for text, _ in lines), 40)
    with open(os.path.join(HERE, f"{name}.hex"), "w") as out:
        out.write("".join(f"# {line}\n" for line in about))
        for raw, comment in lines:
            pieces = [raw[at : at + 64] for at in range(0, len(raw), 64)] or [""]
            out.write("".join(piece + "\n" for piece in pieces[:-1]))
            out.write(f"{pieces[-1]:{width}}  # {comment}\n")


def main():
    jars = subprocess.run([os.path.join(ROOT, "tests/support/jars.sh")], capture_output=True, text=True, check=True)
    jars = jars.stdout.strip()
    (clients,) = [name for name in os.listdir(jars) if name.startswith("kafka-clients-")]
    with zipfile.ZipFile(os.path.join(jars, clients)) as jar:
        schemas = {
            name.rsplit("/", 1)[1]: json.loads(re.sub(r"(?m)^\s*//.*$", "", jar.read(name).decode()))
            for name in jar.namelist()
            if name.startswith("common/message/") and name.endswith("Request.json")
        }
    spec = "".join(f"{name} {api} {version} {json.dumps(body)}\n" for name, api, version, body in FRAMES)
    made = subprocess.run(
        ["java", "-cp", f"{jars}/*", os.path.join(HERE, "Frames.java")], input=spec, capture_output=True, text=True
    )
    if made.returncode:
        sys.exit(made.stderr)
    for line, (name, api, version, _) in zip(made.stdout.splitlines(), FRAMES):
        given, _, raw = line.partition(" ")
        assert given == name
        schema = schemas[f"{api}Request.json"]
        lines = Annotator(bytes.fromhex(raw), schema, version).lines
        write(name, [f"{api} version {version}, written by {KAFKA}'s message classes"], lines)
    for name, about, lines in MALFORMED:
        write(name, [about], lines)


if __name__ == "__main__":
    main()
