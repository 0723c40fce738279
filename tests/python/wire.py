"""A Kafka client of plain sockets, written from the message schemas and from nothing of Chronik's.

It knows one non-flexible version of each request that the tests need, and can send any bytes at all.
"""

import socket
import struct
import time

INTEGERS = {"i8": "!b", "i16": "!h", "i32": "!i", "i64": "!q", "u32": "!I"}

# key, version, request fields, response fields. A field is (name, type); a list as type is an array of structs.
APIS = {
    "Produce": (
        0,
        3,
        [
            ("transactional_id", "string"),
            ("acks", "i16"),
            ("timeout_ms", "i32"),
            ("topics", [("name", "string"), ("partitions", [("index", "i32"), ("records", "bytes")])]),
        ],
        [
            (
                "topics",
                [
                    ("name", "string"),
                    (
                        "partitions",
                        [("index", "i32"), ("error", "i16"), ("base_offset", "i64"), ("append_time", "i64")],
                    ),
                ],
            ),
            ("throttle_ms", "i32"),
        ],
    ),
    "Fetch": (
        1,
        4,
        [
            ("replica_id", "i32"),
            ("max_wait_ms", "i32"),
            ("min_bytes", "i32"),
            ("max_bytes", "i32"),
            ("isolation", "i8"),
            (
                "topics",
                [("name", "string"), ("partitions", [("index", "i32"), ("offset", "i64"), ("max_bytes", "i32")])],
            ),
        ],
        [
            ("throttle_ms", "i32"),
            (
                "topics",
                [
                    ("name", "string"),
                    (
                        "partitions",
                        [
                            ("index", "i32"),
                            ("error", "i16"),
                            ("high_watermark", "i64"),
                            ("last_stable_offset", "i64"),
                            ("aborted", [("producer_id", "i64"), ("first_offset", "i64")]),
                            ("records", "bytes"),
                        ],
                    ),
                ],
            ),
        ],
    ),
    "ListOffsets": (
        2,
        1,
        [
            ("replica_id", "i32"),
            ("topics", [("name", "string"), ("partitions", [("index", "i32"), ("timestamp", "i64")])]),
        ],
        [
            (
                "topics",
                [
                    ("name", "string"),
                    ("partitions", [("index", "i32"), ("error", "i16"), ("timestamp", "i64"), ("offset", "i64")]),
                ],
            )
        ],
    ),
    "Metadata": (
        3,
        7,
        [("topics", [(None, "string")]), ("allow_auto_create", "i8")],
        [
            ("throttle_ms", "i32"),
            ("brokers", [("node_id", "i32"), ("host", "string"), ("port", "i32"), ("rack", "string")]),
            ("cluster_id", "string"),
            ("controller_id", "i32"),
            (
                "topics",
                [
                    ("error", "i16"),
                    ("name", "string"),
                    ("is_internal", "i8"),
                    (
                        "partitions",
                        [
                            ("error", "i16"),
                            ("index", "i32"),
                            ("leader", "i32"),
                            ("leader_epoch", "i32"),
                            ("replicas", [(None, "i32")]),
                            ("isr", [(None, "i32")]),
                            ("offline", [(None, "i32")]),
                        ],
                    ),
                ],
            ),
        ],
    ),
    "FindCoordinator": (
        10,
        1,
        [("key", "string"), ("key_type", "i8")],
        [
            ("throttle_ms", "i32"),
            ("error", "i16"),
            ("message", "string"),
            ("node_id", "i32"),
            ("host", "string"),
            ("port", "i32"),
        ],
    ),
    "JoinGroup": (
        11,
        1,
        [
            ("group", "string"),
            ("session_timeout_ms", "i32"),
            ("rebalance_timeout_ms", "i32"),
            ("member", "string"),
            ("protocol_type", "string"),
            ("protocols", [("name", "string"), ("metadata", "bytes")]),
        ],
        [
            ("error", "i16"),
            ("generation", "i32"),
            ("protocol", "string"),
            ("leader", "string"),
            ("member", "string"),
            ("members", [("member", "string"), ("metadata", "bytes")]),
        ],
    ),
    "SyncGroup": (
        14,
        1,
        [
            ("group", "string"),
            ("generation", "i32"),
            ("member", "string"),
            ("assignments", [("member", "string"), ("assignment", "bytes")]),
        ],
        [("throttle_ms", "i32"), ("error", "i16"), ("assignment", "bytes")],
    ),
    "Heartbeat": (
        12,
        1,
        [("group", "string"), ("generation", "i32"), ("member", "string")],
        [("throttle_ms", "i32"), ("error", "i16")],
    ),
    "LeaveGroup": (
        13,
        1,
        [("group", "string"), ("member", "string")],
        [("throttle_ms", "i32"), ("error", "i16")],
    ),
    "OffsetCommit": (
        8,
        2,
        [
            ("group", "string"),
            ("generation", "i32"),
            ("member", "string"),
            ("retention_ms", "i64"),
            (
                "topics",
                [("name", "string"), ("partitions", [("index", "i32"), ("offset", "i64"), ("metadata", "string")])],
            ),
        ],
        [("topics", [("name", "string"), ("partitions", [("index", "i32"), ("error", "i16")])])],
    ),
    "ApiVersions": (
        18,
        0,
        [],
        [("error", "i16"), ("apis", [("key", "i16"), ("min", "i16"), ("max", "i16")])],
    ),
    "CreateTopics": (
        19,
        2,
        [
            (
                "topics",
                [
                    ("name", "string"),
                    ("partitions", "i32"),
                    ("replication", "i16"),
                    ("assignments", [("index", "i32"), ("brokers", [(None, "i32")])]),
                    ("configs", [("name", "string"), ("value", "string")]),
                ],
            ),
            ("timeout_ms", "i32"),
            ("validate_only", "i8"),
        ],
        [("throttle_ms", "i32"), ("topics", [("name", "string"), ("error", "i16"), ("message", "string")])],
    ),
    "DeleteTopics": (
        20,
        1,
        [("names", [(None, "string")]), ("timeout_ms", "i32")],
        [("throttle_ms", "i32"), ("topics", [("name", "string"), ("error", "i16")])],
    ),
}


def encode(fields, value):
    """The bytes of `value` (a dict) with the layout `fields`."""
    return b"".join(_encode(kind, value if name is None else value[name]) for name, kind in fields)


def _encode(kind, value):
    if isinstance(kind, list):
        if value is None:
            return struct.pack("!i", -1)
        return struct.pack("!i", len(value)) + b"".join(encode(kind, element) for element in value)
    if kind == "string":
        if value is None:
            return struct.pack("!h", -1)
        raw = value.encode()
        return struct.pack("!h", len(raw)) + raw
    if kind == "bytes":
        return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return struct.pack(INTEGERS[kind], value)


class Cursor:
    """Reads a layout from bytes and insists that nothing is left over."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        assert 0 <= count <= len(self.data) - self.at, f"{count} bytes wanted at {self.at} of {len(self.data)}"
        self.at += count
        return self.data[self.at - count : self.at]

    def one(self, kind):
        (value,) = struct.unpack(INTEGERS[kind], self.take(struct.calcsize(INTEGERS[kind])))
        return value

    def read(self, fields):
        if fields and fields[0][0] is None:
            return self.field(fields[0][1])
        return {name: self.field(kind) for name, kind in fields}

    def field(self, kind):
        if isinstance(kind, list):
            count = self.one("i32")
            return None if count < 0 else [self.read(kind) for _ in range(count)]
        if kind == "string":
            count = self.one("i16")
            return None if count < 0 else self.take(count).decode()
        if kind == "bytes":
            count = self.one("i32")
            return None if count < 0 else bytes(self.take(count))
        return self.one(kind)

    def finish(self):
        assert self.at == len(self.data), f"{len(self.data) - self.at} bytes too many"


def request(name, correlation, value, client_id="raw"):
    """A whole frame."""
    key, version, fields, _ = APIS[name]
    return frame(key, version, correlation, encode(fields, value), client_id)


def frame(key, version, correlation, body=b"", client_id="raw"):
    """A frame with request header v1 and any body."""
    header = struct.pack("!hhi", key, version, correlation) + _encode("string", client_id)
    return struct.pack("!i", len(header) + len(body)) + header + body


class Connection:
    """A socket with deadlines that speaks frames."""

    def __init__(self, port, seconds=10.0):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(seconds)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, count):
        """Exactly `count` bytes, or fewer at the end of the stream."""
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                break
            data += piece
        return bytes(data)

    def receive_frame(self):
        """(correlation id, body) of the next reply, or None where the broker closed."""
        size = self.receive(4)
        if not size:
            return None
        assert len(size) == 4, "a reply broke off in its length"
        (count,) = struct.unpack("!i", size)
        data = self.receive(count)
        assert len(data) == count, "a reply broke off"
        return struct.unpack("!i", data[:4])[0], data[4:]

    def reply(self, name, correlation):
        """The next reply, which has to be the one to that request."""
        got = self.receive_frame()
        assert got is not None, f"closed instead of a reply to {name}"
        assert got[0] == correlation, f"correlation id {got[0]} where {correlation} belongs"
        cursor = Cursor(got[1])
        value = cursor.read(APIS[name][3])
        cursor.finish()
        return value

    def call(self, name, **value):
        self.correlation += 1
        self.send(request(name, self.correlation, value))
        return self.reply(name, self.correlation)

    def closed_by_peer(self, seconds=5.0):
        """Whether the broker closes within the time without sending a byte; a reset counts as closing."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    # The calls that many tests need.

    def create_topic(self, name, partitions=1, configs=()):
        topic = dict(name=name, partitions=partitions, replication=1, assignments=[])
        topic["configs"] = [dict(name=key, value=value) for key, value in configs]
        answer = self.call("CreateTopics", topics=[topic], timeout_ms=10000, validate_only=0)
        assert answer["topics"][0]["error"] == 0, answer
        # Apache Kafka publishes a new topic a moment later.
        deadline = time.monotonic() + 10
        while self.metadata([name])["topics"][0]["error"] and time.monotonic() < deadline:
            time.sleep(0.02)

    def metadata(self, topics=None, create=0):
        return self.call("Metadata", topics=topics, allow_auto_create=create)

    def produce(self, topic, records, partition=0, acks=-1):
        answer = self.call("Produce", **produce_body(topic, records, partition, acks))
        return answer["topics"][0]["partitions"][0]

    def fetch(self, topic, offset, partition=0, max_wait_ms=0, min_bytes=1, max_bytes=1 << 20):
        answer = self.call("Fetch", **fetch_body(topic, offset, partition, max_wait_ms, min_bytes, max_bytes))
        return answer["topics"][0]["partitions"][0]


def produce_body(topic, records, partition=0, acks=-1):
    parts = [dict(index=partition, records=records)]
    return dict(transactional_id=None, acks=acks, timeout_ms=10000, topics=[dict(name=topic, partitions=parts)])


def fetch_body(topic, offset, partition=0, max_wait_ms=0, min_bytes=1, max_bytes=1 << 20):
    parts = [dict(index=partition, offset=offset, max_bytes=max_bytes)]
    return dict(
        replica_id=-1,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation=0,
        topics=[dict(name=topic, partitions=parts)],
    )


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    """CRC-32C (Castagnoli), a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag, seven bits at a time."""
    number = (number << 1) ^ (number >> 63)
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def batch(values, base_offset=0, timestamp=1_500_000_000_000, producer=(-1, -1, -1)):
    """A record batch of format 2 without compression: null keys, the given values, one millisecond apart."""
    records = bytearray()
    for number, value in enumerate(values):
        record = b"\0" + varint(number) + varint(number) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    last = len(values) - 1
    tail = struct.pack("!hiqqqhii", 0, last, timestamp, timestamp + last, *producer, len(values)) + records
    body = struct.pack("!ibI", -1, 2, crc32c(tail)) + tail
    return struct.pack("!qi", base_offset, len(body)) + body


def batches(data):
    """(base offset, last offset, values) of every whole batch without compression; checks each CRC."""
    found = []
    cursor = Cursor(data)
    while len(data) - cursor.at >= 61:
        base, size = struct.unpack("!qi", data[cursor.at : cursor.at + 12])
        if len(data) - cursor.at < 12 + size:
            break
        cursor.take(12)
        body = cursor.take(size)
        assert struct.unpack("!I", body[5:9])[0] == crc32c(body[9:]), f"CRC of the batch at offset {base}"
        last, count = struct.unpack("!i", body[11:15])[0], struct.unpack("!i", body[45:49])[0]
        found.append((base, base + last, _values(body[49:], count)))
    return found


def _values(data, count):
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return (value >> 1) ^ -(value & 1)

    values = []
    for _ in range(count):
        size = number()
        end = at + size
        at += 1
        number(), number()
        key = number()
        at += max(key, 0)
        length = number()
        values.append(None if length < 0 else bytes(data[at : at + length]))
        at = end
    return values
