#!/usr/bin/env python3
"""The debugging guide's checklist, point by point, against a running broker.

usage: python3 tests/python/integration/test_all_fixes.py      or pytest on this file

As a program it asks the broker on localhost:9092 (HTTP on 9644) where one listens, otherwise it starts one of its own,
as it does under pytest. The points that restart or watch the process need its own broker always. Only kafka-python is needed beside Python, and where
even that is missing, its points are left out with a word.
"""

import http.client
import logging
import os
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import idle  # noqa: E402
from broker import Broker, chronik_binary, wait_until  # noqa: E402
from wire import Connection, batch, batches, fetch_body, frame, request  # noqa: E402

try:
    import pytest
except ImportError:
    pytest = None
try:
    import kafka
except ImportError:
    kafka = None

CORE_APIS = [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 22, 23, 32, 60]


class Target:
    """The broker under test: one at the usual address if it is wanted and there, or our own."""

    def __init__(self, usual):
        self.own = None
        self.usual = usual
        self.port, self.http_port = 9092, 9644

    def __enter__(self):
        if not (self.usual and _listens(self.port)):
            self.own = Broker(log="debug").start()
            self.port, self.http_port = self.own.port, self.own.http_port
        return self

    def __exit__(self, *error):
        if self.own:
            self.own.__exit__(*error)


def _listens(port):
    try:
        socket.create_connection(("localhost", port), 1).close()
        return True
    except OSError:
        return False


def unique(name):
    return f"{name}-{os.getpid()}-{time.time_ns()}"


def get(target, path):
    connection = http.client.HTTPConnection("127.0.0.1", target.http_port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


# 1. Clients connect.


def test_api_versions_returns_every_supported_api(target):
    with Connection(target.port) as connection:
        answer = connection.call("ApiVersions")
    assert answer["error"] == 0
    ranges = {api["key"]: (api["min"], api["max"]) for api in answer["apis"]}
    assert not [key for key in CORE_APIS if key not in ranges], ranges
    assert all(low == 0 for low, _ in ranges.values())


def test_the_guide_s_minimal_api_versions_program_gets_an_answer(target):
    with socket.create_connection(("localhost", target.port), 5) as plain:
        plain.sendall(bytes.fromhex("0000000e00120000000000010004") + b"test")
        size, correlation, error = struct.unpack("!iih", plain.recv(10))
    assert correlation == 1 and error == 0 and size > 6


def test_metadata_is_complete(target):
    topic = unique("metadata")
    with Connection(target.port) as connection:
        connection.create_topic(topic, 2)
        answer = connection.metadata([topic])
    node = answer["brokers"][0]
    assert node["host"] and node["port"] == target.port
    assert answer["cluster_id"], "cluster_id"
    assert answer["controller_id"] == node["node_id"], "controller_id"
    found = answer["topics"][0]
    assert found["error"] == 0 and found["name"] == topic
    assert [part["leader"] for part in found["partitions"]] == [node["node_id"]] * 2


def test_correlation_ids_match(target):
    with Connection(target.port) as connection:
        ids = [0, 1, -1, 2**31 - 1, -(2**31), 12345]
        connection.send(b"".join(request("ApiVersions", number, {}) for number in ids))
        assert [connection.receive_frame()[0] for _ in ids] == ids


def test_response_headers_are_right(target):
    """Header 0 for old versions and for every ApiVersions, header 1 (with tagged fields) for flexible ones."""
    with Connection(target.port) as connection:
        connection.send(frame(18, 3, 1, b"\0\x02n\x02v\0"))
        correlation, body = connection.receive_frame()
        assert correlation == 1 and body[:2] == b"\0\0" and body[2] > 1
        connection.send(frame(3, 1, 2, struct.pack("!i", 0)))
        correlation, body = connection.receive_frame()
        assert correlation == 2 and struct.unpack("!i", body[:4])[0] == 1, "one broker, right after the id"
        connection.send(frame(3, 9, 3, b"\0" + b"\x01" + b"\0\0\0" + b"\0"))
        correlation, body = connection.receive_frame()
        assert correlation == 3 and body[0] == 0, "an empty tag buffer ends the header"
        assert body[1:5] == bytes(4) and body[5] == 2, "throttle time, then a compact array of one broker"


def test_kafka_python_produces_and_consumes_pinned_and_negotiated(target):
    if kafka is None:
        return "kafka-python is not installed"
    for version in ((0, 10), None):
        topic = unique("python")
        options = {"bootstrap_servers": f"localhost:{target.port}"}
        if version:
            options["api_version"] = version
        producer = kafka.KafkaProducer(acks="all", **options)
        for number in range(10):
            assert producer.send(topic, b"%d" % number).get(timeout=20).offset == number
        producer.close()
        reader = kafka.KafkaConsumer(auto_offset_reset="earliest", consumer_timeout_ms=3000, **options)
        reader.assign([kafka.TopicPartition(topic, 0)])
        values = []
        wait_until(
            lambda: values.extend(m.value for batch_ in reader.poll(500).values() for m in batch_) or len(values) >= 10,
            "ten records",
            20,
        )
        reader.close()
        assert values == [b"%d" % number for number in range(10)]


def test_a_consumer_group_reads_and_commits(target):
    if kafka is None:
        return "kafka-python is not installed"
    topic, group = unique("grouped"), unique("group")
    options = {"bootstrap_servers": f"localhost:{target.port}"}
    producer = kafka.KafkaProducer(**options)
    producer.send(topic, b"one").get(timeout=20)
    producer.close()
    for expected in (b"one", b"two"):
        reader = kafka.KafkaConsumer(
            topic, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **options
        )
        values = []
        wait_until(
            lambda: values.extend(m.value for batch_ in reader.poll(300).values() for m in batch_) or values, "a record", 30
        )
        assert values == [expected]
        reader.commit()
        reader.close()
        producer = kafka.KafkaProducer(**options)
        producer.send(topic, b"two").get(timeout=20)
        producer.close()


# 2. The processor rests.


def test_idle_costs_no_processor_time():
    """Voluntary context switches stand still with and without connections, and after clients left."""
    with Broker() as broker:
        held = [Connection(broker.port) for _ in range(50)]
        for connection in held:
            connection.call("ApiVersions")
        for connection in held[25:]:
            connection.socket.close()
        switches, cpu = idle.switches_during(broker, 3)
        assert sum(switches.values()) == 0 and cpu == 0, (switches, cpu)


# 3. Connections end as they should.


def test_a_zero_length_frame_is_closed_cleanly(target):
    start = time.monotonic()
    with Connection(target.port) as connection:
        connection.send(b"\0\0\0\0")
        assert connection.receive(1) == b""
    assert time.monotonic() - start < 1


def test_garbage_causes_no_panic():
    with Broker() as broker:
        for data in (b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\xc5\x01", os.urandom(1000), b"\0\0\0\x08" + bytes(8)):
            with Connection(broker.port) as connection:
                try:
                    connection.send(data)
                    connection.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    continue
                connection.closed_by_peer()
        with Connection(broker.port) as connection:
            assert connection.call("ApiVersions")["error"] == 0
        broker.assert_alive()
        broker.assert_no_panic()


def test_connections_have_a_timeout():
    with Broker(options=["connections.max.idle.ms=700"]) as broker:
        with Connection(broker.port) as connection:
            connection.call("ApiVersions")
            assert connection.closed_by_peer(10)


def test_keepalive_is_on():
    with Broker() as broker:
        with Connection(broker.port) as connection:
            connection.call("ApiVersions")
            local = connection.socket.getsockname()[1]
            assert _has_keepalive_timer(broker.port, local), "no keepalive timer on the broker's socket"


def _has_keepalive_timer(port, peer_port):
    """/proc/net/tcp shows timer 2 (keepalive) on an idle socket that has the option."""
    wanted = (f":{port:04X}", f":{peer_port:04X}")
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in lines:
                fields = line.split()
                if fields[1].endswith(wanted[0]) and fields[2].endswith(wanted[1]):
                    return fields[5].startswith("02:")
    return False


# 4. Messages stay.


def test_messages_persist_across_a_restart():
    with Broker() as broker:
        with Connection(broker.port) as connection:
            connection.create_topic("kept")
            for number in range(20):
                assert connection.produce("kept", batch([b"%d" % number]))["base_offset"] == number
        broker.restart()
        with Connection(broker.port) as connection:
            found = batches(connection.fetch("kept", 0)["records"])
        assert [values[0] for _, _, values in found] == [b"%d" % number for number in range(20)]


def test_messages_persist_across_a_crash():
    with Broker() as broker:
        with Connection(broker.port) as connection:
            connection.create_topic("kept")
            assert connection.produce("kept", batch([b"acknowledged"]))["error"] == 0
        broker.kill()
        broker.start()
        with Connection(broker.port) as connection:
            found = batches(connection.fetch("kept", 0)["records"])
        assert [values for _, _, values in found] == [[b"acknowledged"]]


def test_shutdown_is_graceful():
    """A parked fetch is answered or closed, the exit code is 0, and it takes less than two seconds."""
    with Broker() as broker:
        with Connection(broker.port) as connection:
            connection.create_topic("awaited")
            connection.send(request("Fetch", 9, fetch_body("awaited", 0, max_wait_ms=60000)))
            connection.socket.settimeout(3)
            start = time.monotonic()
            broker.terminate(2.0)
            assert time.monotonic() - start < 2.0
            try:
                answer = connection.receive_frame()
            except ConnectionError:
                answer = None
            assert answer is None or answer[0] == 9
        broker.start()


# 5. It can be observed.


def test_the_metrics_endpoint_answers(target):
    status, text = get(target, "/metrics")
    assert status == 200
    assert "# TYPE" in text and "# HELP" in text and text.endswith("\n")


def test_the_health_endpoints_answer(target):
    for path in ("/livez", "/healthz", "/readyz"):
        status, body = get(target, path)
        assert (status, body.strip()) == (200, "OK"), path


def test_every_request_is_logged_with_its_correlation_id():
    with Broker(log="debug") as broker:
        with Connection(broker.port) as connection:
            connection.send(request("Metadata", 424242, dict(topics=[], allow_auto_create=0), client_id="who-asks"))
            connection.reply("Metadata", 424242)

        def line():
            return [text for text in broker.log_text().splitlines() if "424242" in text]

        lines = wait_until(line, "a line with the correlation id", 5)
        assert any("Metadata" in text and "who-asks" in text for text in lines), lines


def test_nothing_is_logged_as_an_error_while_clients_work(target):
    if target.own is None:
        return "not our broker's log"
    lines = [line for line in target.own.log_text().splitlines() if "ERROR" in line]
    assert not lines, lines


def test_address_in_use_and_bad_configuration_are_refused_clearly():
    with Broker() as broker:
        command = [chronik_binary(), "serve", "--http", "none", "-d", os.path.join(broker.home, "other")]

        def run(*more):
            return subprocess.run([*command, *more], capture_output=True, text=True, timeout=10)

        second = run("-l", f"127.0.0.1:{broker.port}")
        assert second.returncode not in (0, 101) and str(broker.port) in second.stderr, second.stderr
        bad = run("-l", "127.0.0.1:0", "-o", "num.partitions=many")
        assert bad.returncode == 2 and "num.partitions" in bad.stderr, bad.stderr


if pytest:

    @pytest.fixture(scope="module")
    def target():
        with Target(usual=False) as started:
            yield started


def main():
    logging.basicConfig(level=logging.CRITICAL)
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    failed = 0
    with Target(usual=True) as target:
        print(f"asking {'our own broker' if target.own else 'the broker'} on port {target.port}")
        for name, test in tests:
            title = name[len("test_") :].replace("_", " ")
            try:
                note = test(target) if test.__code__.co_argcount else test()
                print(f"ok      {title}" + (f" (left out: {note})" if note else ""), flush=True)
            except Exception as problem:
                failed += 1
                print(f"FAILED  {title}: {type(problem).__name__}: {problem}", flush=True)
    print(f"{len(tests) - failed} of {len(tests)} points hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
