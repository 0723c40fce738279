"""Peers that are broken, mistaken or mean: the broker stays up, stays small, and serves the others."""

import os
import random
import socket
import struct
import time

import crc32c
import pytest
from broker import wait_until
from wire import APIS, Connection, batch, fetch_body, frame, produce_body, request, varint

TLS_HELLO = bytes.fromhex("16030100c5010000c10303" + "5a" * 32 + "00002613021303")
REFUSED = {
    "zero length": bytes(4),
    "length of one": b"\0\0\0\x01\0",
    "length shorter than a header": b"\0\0\0\x07" + bytes(7),
    "negative length": struct.pack("!i", -1),
    "most negative length": struct.pack("!i", -(2**31)) + bytes(100),
    "huge length": struct.pack("!i", 2**31 - 1) + bytes(100),
    "a little over the largest request": struct.pack("!i", 104857601) + bytes(100),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "http post": b"POST /topics HTTP/1.1\r\n\r\n",
    "tls hello": TLS_HELLO,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "all ones": b"\xff" * 300,
    "text": b"hello, is anybody there?\n" * 10,
    "client id longer than the frame": struct.pack("!ihhih", 10, 3, 1, 1, 32000),
    "negative client id length": struct.pack("!ihhih", 10, 3, 1, 1, -2),
    "body cut short": frame(3, 1, 1, struct.pack("!i", 1)),
    "array of two thousand million": frame(3, 1, 1, struct.pack("!i", 2**31 - 1)),
    "array of minus two": frame(3, 1, 1, struct.pack("!i", -2)),
    "string beyond the body": frame(3, 1, 1, struct.pack("!ih", 1, 30000) + b"abc"),
    "string that is no utf-8": frame(3, 1, 1, struct.pack("!ih", 1, 3) + b"\xff\xfe\xfd"),
    "endless varint": frame(3, 9, 1, b"\0" + b"\xff" * 20),
    "huge varint count": frame(3, 9, 1, b"\0" + b"\xff\xff\xff\xff\x0f"),
    "tagged fields without end": frame(3, 9, 1, b"\xff\xff\xff\xff\x0f"),
}


def serves(broker, seconds=2.0):
    """Somebody else gets an answer, and soon."""
    broker.assert_alive()
    start = time.monotonic()
    with Connection(broker.port) as other:
        assert other.call("ApiVersions")["error"] == 0
    assert time.monotonic() - start < seconds


def calm(broker, descriptors):
    """No descriptor is left over."""
    wait_until(
        lambda: broker.descriptors() <= descriptors,
        lambda: f"{broker.descriptors()} descriptors instead of {descriptors}",
        15,
    )


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_closes_only_its_own_connection(shared_broker, data):
    with Connection(shared_broker.port) as good, Connection(shared_broker.port) as bad:
        good.call("ApiVersions")
        try:
            bad.send(data)
        except ConnectionError:
            pass
        if data != REFUSED["string that is no utf-8"]:
            assert bad.closed_by_peer(), "the connection should be closed"
        assert good.call("ApiVersions")["error"] == 0
    serves(shared_broker)
    shared_broker.assert_no_panic()


def test_the_guide_s_zero_length_frame_is_closed_promptly_and_logged(broker):
    before = len(broker.log_text())
    start = time.monotonic()
    with Connection(broker.port) as bad:
        bad.send(b"\0\0\0\0")
        assert bad.closed_by_peer()
    assert time.monotonic() - start < 1.0
    lines = wait_until(lambda: broker.log_text()[before:].strip().splitlines(), "a log line", 5)
    assert len(lines) == 1, lines


def test_ten_thousand_connects_and_resets_leave_nothing(broker):
    serves(broker)
    descriptors, memory = broker.descriptors(), broker.status("VmRSS")
    reset = struct.pack("ii", 1, 0)
    for number in range(10_000):
        peer = socket.create_connection(("127.0.0.1", broker.port), 10)
        if number % 3 == 0:
            peer.sendall(request("ApiVersions", 1, {})[: number % 20])
        elif number % 3 == 1:
            peer.sendall(request("ApiVersions", 1, {}))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        peer.close()
    serves(broker)
    calm(broker, descriptors)
    assert broker.status("VmRSS") < memory + 16 * 1024


def test_half_frames_hold_no_memory(broker):
    serves(broker)
    descriptors, memory = broker.descriptors(), broker.status("VmRSS")
    halves = []
    for _ in range(500):
        half = Connection(broker.port)
        half.send(struct.pack("!ihhi", 900_000, 0, 3, 1) + b"part")
        halves.append(half)
    serves(broker)
    assert broker.status("VmRSS") < memory + 40 * 1024
    for half in halves:
        half.socket.close()
    calm(broker, descriptors)


def test_a_client_that_never_reads_costs_a_bounded_amount(broker):
    with Connection(broker.port) as writer:
        writer.create_topic("large")
        value = os.urandom(900_000)
        for _ in range(20):
            assert writer.produce("large", quick_batch(value))["error"] == 0
        descriptors = broker.descriptors()
        memory = broker.status("VmRSS")
        deaf = []
        for _ in range(30):
            peer = Connection(broker.port)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            body = fetch_body("large", 0, max_bytes=50_000_000)
            body["topics"][0]["partitions"][0]["max_bytes"] = 50_000_000
            peer.send(b"".join(request("Fetch", number, body) for number in range(40)))
            deaf.append(peer)
        start = time.monotonic()
        while time.monotonic() - start < 2.0:
            serves(broker)
            assert broker.status("VmRSS") < memory + 128 * 1024
        assert writer.produce("large", batch([b"still"]))["error"] == 0
        for peer in deaf:
            peer.socket.close()
        calm(broker, descriptors + 1)


def test_a_client_that_never_reads_metadata_is_bounded_too(broker):
    with Connection(broker.port) as admin:
        for number in range(50):
            admin.create_topic(f"some-rather-long-topic-name-{number}", 20)
        memory = broker.status("VmRSS")
        deaf = [Connection(broker.port, 1.0) for _ in range(20)]
        ask = b"".join(request("Metadata", number, dict(topics=None, allow_auto_create=0)) for number in range(200))
        for peer in deaf:
            try:
                for _ in range(20):
                    peer.send(ask)
            except (socket.timeout, ConnectionError):
                pass
        serves(broker)
        assert broker.status("VmRSS") < memory + 128 * 1024
        for peer in deaf:
            peer.socket.close()


def quick_batch(value):
    """One record of incompressible bytes; the CRC from the C library, as Python is slow at it."""
    empty = bytearray(batch([b""]))
    record = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(value)) + value + varint(0)
    tail = bytes(empty[21:61]) + varint(len(record)) + record
    return struct.pack("!qiibI", 0, 9 + len(tail), -1, 2, crc32c.crc32c(tail)) + tail


def samples():
    """A valid frame of every request that the plain-socket client knows."""
    group = dict(group="g", generation=1, member="m")
    protocols = [dict(name="range", metadata=b"\0\0")]
    join = dict(session_timeout_ms=6000, rebalance_timeout_ms=10, member="", protocol_type="consumer")
    topic = dict(name="made", partitions=1, replication=1, assignments=[], configs=[dict(name="a", value="b")])
    commits = [dict(name="t", partitions=[dict(index=0, offset=1, metadata="")])]
    return [
        request("Produce", 1, produce_body("fuzzed", batch([b"value"]))),
        request("Fetch", 1, fetch_body("fuzzed", 0)),
        request("ListOffsets", 1, dict(replica_id=-1, topics=[dict(name="t", partitions=[])])),
        request("Metadata", 1, dict(topics=["t", "u"], allow_auto_create=0)),
        request("FindCoordinator", 1, dict(key="g", key_type=0)),
        request("JoinGroup", 1, dict(group="g", protocols=protocols, **join)),
        request("SyncGroup", 1, dict(assignments=[dict(member="m", assignment=b"x")], **group)),
        request("Heartbeat", 1, group),
        request("OffsetCommit", 1, dict(retention_ms=-1, topics=commits, **group)),
        request("CreateTopics", 1, dict(topics=[topic], timeout_ms=10, validate_only=1)),
        request("DeleteTopics", 1, dict(names=["nothing"], timeout_ms=10)),
        request("LeaveGroup", 1, dict(group="g", member="m")),
        request("ApiVersions", 1, {}),
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutated_frames_never_bring_it_down(shared_broker, seed):
    chance = random.Random(seed)
    with Connection(shared_broker.port) as admin:
        admin.metadata(["fuzzed"], create=1)
    valid = samples()
    for _ in range(700):
        data = bytearray(chance.choice(valid))
        for _ in range(chance.choice([1, 1, 2, 5])):
            at = chance.randrange(4, len(data))
            data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        if chance.random() < 0.3:
            # Another version or API before the same body.
            data[4:8] = struct.pack("!hh", chance.choice([key for key in range(-1, 70)]), chance.randrange(-1, 14))
        if chance.random() < 0.2:
            data = data[:4] + data[4 : chance.randrange(5, len(data) + 1)]
            data[:4] = struct.pack("!i", len(data) - 4)
        with Connection(shared_broker.port) as peer:
            try:
                peer.send(bytes(data))
                peer.socket.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            try:
                while peer.socket.recv(65536):
                    pass
            except ConnectionError:
                pass
    serves(shared_broker)
    shared_broker.assert_no_panic()


@pytest.mark.parametrize("name", sorted(APIS))
def test_every_truncation_of_a_body_is_survived(shared_broker, name):
    key, version, _, _ = APIS[name]
    (whole,) = [data for data in samples() if data[4:6] == struct.pack("!h", key)]
    header = len(frame(key, version, 1))
    for end in range(header, len(whole)):
        data = struct.pack("!i", end - 4) + whole[4:end]
        with Connection(shared_broker.port) as peer:
            peer.send(data)
            assert peer.closed_by_peer(), f"{name} cut at {end - header} bytes of its body"
    serves(shared_broker)
    shared_broker.assert_no_panic()


def test_random_bytes_never_bring_it_down(shared_broker):
    chance = random.Random(4)
    for _ in range(300):
        with Connection(shared_broker.port) as peer:
            try:
                peer.send(chance.randbytes(chance.randrange(1, 400)))
                peer.socket.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            assert peer.closed_by_peer()
    serves(shared_broker)
    shared_broker.assert_no_panic()


def test_connections_over_the_limit_are_refused_and_those_within_live(make_broker):
    broker = make_broker(options=["max.connections=20"])
    within = [Connection(broker.port) for _ in range(20)]
    for peer in within:
        peer.call("ApiVersions")
    with Connection(broker.port) as extra:
        extra.socket.settimeout(0.3)
        try:
            extra.send(request("ApiVersions", 1, {}))
            answered = extra.receive_frame() is not None
        except OSError:
            answered = False
    assert not answered
    assert all(peer.call("ApiVersions")["error"] == 0 for peer in within)
    for peer in within:
        peer.socket.close()
    wait_until(lambda: _answers(broker), "room again", 10)


def _answers(broker):
    try:
        with Connection(broker.port, 1.0) as peer:
            return peer.call("ApiVersions")["error"] == 0
    except (OSError, AssertionError):
        return False


def test_an_idle_connection_is_closed_after_its_time(make_broker):
    broker = make_broker(options=["connections.max.idle.ms=1000"])
    with Connection(broker.port) as idle:
        idle.call("ApiVersions")
        start = time.monotonic()
        assert idle.closed_by_peer(10)
        assert 0.5 < time.monotonic() - start < 5
