"""What clients rely on at the level of frames: order, silence, and how a broker says no."""

import os
import struct
import time

import pytest
from broker import wait_until
from wire import Connection, batch, batches, fetch_body, frame, produce_body, request

# Where Apache Kafka itself gives up on the client; the tests run against it too.
beyond_kafka = pytest.mark.skipif(os.environ.get("CHRONIK_TEST_BROKER") == "kafka", reason="stricter than Kafka")


@pytest.fixture
def connection(shared_broker):
    with Connection(shared_broker.port) as opened:
        yield opened


def test_every_api_versions_entry_is_a_sane_range(connection):
    answer = connection.call("ApiVersions")
    assert answer["error"] == 0
    keys = [api["key"] for api in answer["apis"]]
    assert keys == sorted(set(keys))
    assert {0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 22, 23, 32, 60} <= set(keys)
    assert all(0 <= api["min"] <= api["max"] for api in answer["apis"])


def test_api_versions_3_has_the_short_header_and_a_flexible_body(connection):
    name = b"\x05name\x041.0"
    connection.send(frame(18, 3, 7, b"\0" + name + b"\0"))
    correlation, body = connection.receive_frame()
    assert correlation == 7
    # Error code, then the compact array's count: no tag buffer stands between header and body.
    assert body[:2] == b"\0\0"
    count = body[2] - 1
    entries = [struct.unpack("!hhh", body[3 + 7 * number : 9 + 7 * number]) for number in range(count)]
    assert (18, 0) in [(key, low) for key, low, _ in entries]
    assert all(body[9 + 7 * number] == 0 for number in range(count)), "each entry ends with an empty tag buffer"


@pytest.mark.parametrize("version", [6, 99, 32767, -1])
@pytest.mark.parametrize("body", [b"\0\x04any\x02v\0", pytest.param(b"\xff\xff\xff", marks=beyond_kafka), b"\0"])
def test_an_unknown_api_versions_version_is_answered_in_form_0_with_error_35(connection, version, body):
    connection.send(frame(18, version, 1234, body))
    correlation, body = connection.receive_frame()
    assert correlation == 1234
    error, count = struct.unpack("!hi", body[:6])
    assert error == 35
    entries = [struct.unpack("!hhh", body[6 + 6 * number : 12 + 6 * number]) for number in range(count)]
    assert [entry for entry in entries if entry[0] == 18 and entry[1] == 0 and entry[2] >= 4], entries
    # The connection is still good, as clients go on with a version from the answer.
    assert connection.call("ApiVersions")["error"] == 0


@beyond_kafka
def test_an_api_versions_request_that_does_not_parse_is_answered(connection):
    connection.send(frame(18, 3, 5, b"\0\xff\xff\xff\xff\xff"))
    assert connection.receive_frame()[0] == 5


@pytest.mark.parametrize("key,version", [(3, 99), (0, -1), (1, 1000), (999, 0), (-1, 0), (4, 0)])
def test_an_unknown_version_or_api_closes_the_connection(connection, key, version):
    connection.send(frame(key, version, 1))
    assert connection.closed_by_peer()


def test_metadata_names_broker_cluster_and_controller(shared_broker, connection):
    connection.create_topic("complete", 3)
    answer = connection.metadata(["complete", "missing"])
    assert [(node["host"], node["port"]) for node in answer["brokers"]] == [("127.0.0.1", shared_broker.port)]
    node = answer["brokers"][0]["node_id"]
    assert answer["cluster_id"] and answer["controller_id"] == node
    complete, missing = answer["topics"]
    assert complete["error"] == 0 and not complete["is_internal"]
    assert sorted(part["index"] for part in complete["partitions"]) == [0, 1, 2]
    assert all(part["leader"] == node and part["isr"] == [node] for part in complete["partitions"])
    assert missing["error"] == 3 and missing["name"] == "missing" and missing["partitions"] == []


def test_metadata_of_no_topic_and_of_every_topic(connection):
    connection.create_topic("listed")
    assert connection.metadata([])["topics"] == []
    assert "listed" in [topic["name"] for topic in connection.metadata(None)["topics"]]


def test_replies_keep_the_order_of_pipelined_requests(connection):
    connection.create_topic("ordered")
    start = time.monotonic()
    connection.send(
        request("Fetch", 1, fetch_body("ordered", 0, max_wait_ms=600))
        + request("Metadata", 2, dict(topics=[], allow_auto_create=0))
        + request("ApiVersions", 3, {})
    )
    assert connection.reply("Fetch", 1)["topics"][0]["partitions"][0]["error"] == 0
    fetched = time.monotonic() - start
    connection.reply("Metadata", 2)
    connection.reply("ApiVersions", 3)
    assert 0.5 < fetched < 2.0, f"the long poll ended after {fetched:.2f} s"
    assert time.monotonic() - start - fetched < 0.3, "what waits behind the fetch follows at once"


def test_a_long_poll_ends_as_soon_as_a_record_arrives(shared_broker, connection):
    connection.create_topic("awaited")
    connection.send(request("Fetch", 50, fetch_body("awaited", 0, max_wait_ms=30000)))
    with Connection(shared_broker.port) as other:
        assert other.produce("awaited", batch([b"now"]))["error"] == 0
    start = time.monotonic()
    part = connection.reply("Fetch", 50)["topics"][0]["partitions"][0]
    assert time.monotonic() - start < 1.0
    assert batches(part["records"]) == [(0, 0, [b"now"])]


def test_a_hundred_pipelined_produces_are_applied_and_answered_in_order(connection):
    connection.create_topic("pipelined")
    frames = [request("Produce", number, produce_body("pipelined", batch([b"%d" % number]))) for number in range(100)]
    connection.send(b"".join(frames))
    for number in range(100):
        part = connection.reply("Produce", number)["topics"][0]["partitions"][0]
        assert (part["error"], part["base_offset"]) == (0, number)
    found = batches(connection.fetch("pipelined", 0)["records"])
    assert [values for _, _, values in found] == [[b"%d" % number] for number in range(100)]


def test_acks_0_is_never_answered(connection):
    connection.create_topic("silent")
    silent = [request("Produce", number, produce_body("silent", batch([b"x"]), acks=0)) for number in range(1000)]
    connection.send(b"".join(silent))
    connection.correlation = 5000
    connection.metadata([])
    part = connection.produce("silent", batch([b"last"]))
    assert part["base_offset"] == 1000


def test_a_failed_acks_0_closes_the_connection(connection):
    connection.send(request("Produce", 1, produce_body("no-such-topic.!", batch([b"x"]), acks=0)))
    assert connection.closed_by_peer()


def test_offsets_are_the_brokers_whatever_the_producer_says(connection):
    connection.create_topic("assigned")
    answers = [connection.produce("assigned", batch([b"a", b"b"], base_offset=base)) for base in (0, 1, 12345, 0)]
    # Apache Kafka refuses a base offset other than 0 as an invalid record; to assign one of our own is as safe.
    assert {answer["error"] for answer in answers} <= {0, 87} and answers[0]["error"] == answers[3]["error"] == 0
    found = batches(connection.fetch("assigned", 0)["records"])
    stored = [answer for answer in answers if answer["error"] == 0]
    assert [answer["base_offset"] for answer in stored] == list(range(0, 2 * len(stored), 2))
    assert [(first, last) for first, last, _ in found] == [(first, first + 1) for first in range(0, 2 * len(stored), 2)]


def test_a_fetch_inside_a_batch_returns_the_whole_batch(connection):
    connection.create_topic("inside")
    connection.produce("inside", batch([b"%d" % number for number in range(5)]))
    for offset in range(5):
        found = batches(connection.fetch("inside", offset)["records"])
        assert [(first, last) for first, last, _ in found] == [(0, 4)]
    assert connection.fetch("inside", 5)["records"] == b""
    assert connection.fetch("inside", 6)["error"] == 1


def test_a_corrupt_batch_is_refused_and_the_connection_lives(connection):
    connection.create_topic("corrupt")
    broken = bytearray(batch([b"good"]))
    broken[-2] ^= 1
    assert connection.produce("corrupt", bytes(broken))["error"] in (2, 87)
    assert connection.produce("corrupt", batch([b"good"]))["base_offset"] == 0


def test_a_batch_over_the_limit_is_refused_and_the_connection_lives(connection):
    connection.create_topic("small", configs=[("max.message.bytes", "2000")])
    assert connection.produce("small", batch([bytes(3000)]))["error"] == 10
    assert connection.produce("small", batch([bytes(1000)]))["error"] == 0


def test_acks_of_other_numbers_are_refused(connection):
    connection.create_topic("acks")
    assert connection.produce("acks", batch([b"x"]), acks=2)["error"] == 21


def test_list_offsets_finds_the_ends_and_the_first_record_at_a_time(connection):
    connection.create_topic("listed-offsets")
    connection.produce("listed-offsets", batch([b"a", b"b", b"c"], timestamp=1000))
    connection.produce("listed-offsets", batch([b"d"], timestamp=5000))

    def offset_at(timestamp):
        parts = [dict(index=0, timestamp=timestamp)]
        answer = connection.call("ListOffsets", replica_id=-1, topics=[dict(name="listed-offsets", partitions=parts)])
        part = answer["topics"][0]["partitions"][0]
        assert part["error"] == 0
        return part["offset"], part["timestamp"]

    assert offset_at(-2)[0] == 0
    assert offset_at(-1)[0] == 4
    assert offset_at(0) == (0, 1000)
    assert offset_at(1001) == (1, 1001)
    assert offset_at(1003) == (3, 5000)
    assert offset_at(5001) == (-1, -1)


def test_half_closing_the_socket_still_brings_every_answer(connection):
    connection.send(request("ApiVersions", 1, {}) + request("Metadata", 2, dict(topics=[], allow_auto_create=0)))
    connection.socket.shutdown(1)
    connection.reply("ApiVersions", 1)
    connection.reply("Metadata", 2)
    assert connection.receive_frame() is None


def test_a_frame_arriving_byte_by_byte_is_served(connection):
    for byte in request("ApiVersions", 9, {}):
        connection.send(bytes([byte]))
    assert connection.reply("ApiVersions", 9)["error"] == 0


def test_a_group_by_hand_joins_syncs_commits_and_leaves(connection):
    group = "by-hand"
    found = lambda: connection.call("FindCoordinator", key=group, key_type=0)["error"] == 0
    wait_until(found, "a coordinator", seconds=10)
    joined = wait_until(lambda: _join(connection, group), "the group", seconds=10)
    assert joined["leader"] == joined["member"] and len(joined["members"]) == 1
    names = dict(group=group, generation=joined["generation"], member=joined["member"])
    assignments = [dict(member=joined["member"], assignment=b"mine")]
    assert connection.call("SyncGroup", assignments=assignments, **names)["assignment"] == b"mine"
    assert connection.call("Heartbeat", **names)["error"] == 0
    stale = dict(names, generation=joined["generation"] + 5)
    assert connection.call("Heartbeat", **stale)["error"] == 22
    assert connection.call("Heartbeat", **dict(names, member="nobody"))["error"] == 25
    assert connection.call("LeaveGroup", group=group, member=joined["member"])["error"] == 0
    assert connection.call("Heartbeat", **names)["error"] == 25


def _join(connection, group):
    answer = connection.call(
        "JoinGroup",
        group=group,
        session_timeout_ms=10000,
        rebalance_timeout_ms=10000,
        member="",
        protocol_type="consumer",
        protocols=[dict(name="range", metadata=b"\0\0")],
    )
    return answer if answer["error"] == 0 else None
