"""The HTTP port: health, readiness, and metrics that the official Prometheus parser accepts."""

import http.client
import json
import socket

import pytest
from broker import wait_until
from prometheus_client.parser import text_string_to_metric_families
from wire import Connection, batch, request


def get(broker, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers.get("Content-Type", ""), body


def families(broker):
    """Every metric family by name; the parser raises where the text is wrong."""
    status, kind, text = get(broker, "/metrics")
    assert status == 200 and kind.startswith("text/plain; version=0.0.4"), (status, kind)
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found, f"{family.name} appears twice"
        assert family.documentation, f"{family.name} has no HELP"
        assert family.type != "unknown", f"{family.name} has no TYPE"
        found[family.name] = family
    return found


def total(found, word):
    """The sum of every sample of the families with this word in their name."""
    return sum(sample.value for name, family in found.items() if word in name for sample in family.samples)


def counted(found, word):
    """The same of counters alone, which only grow."""
    return total({name: family for name, family in found.items() if family.type == "counter"}, word)


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
def test_health_says_ok(shared_broker, path):
    assert get(shared_broker, path)[::2] == (200, "OK") or get(shared_broker, path)[2].strip() == "OK"
    status, kind, body = get(shared_broker, path + "?format=json")
    assert status == 200 and kind.startswith("application/json")
    assert isinstance(json.loads(body), dict)


def test_an_unknown_path_is_404_and_a_post_is_refused(shared_broker):
    assert get(shared_broker, "/nothing")[0] == 404
    assert get(shared_broker, "/metrics", "POST")[0] == 405


def test_head_has_no_body(shared_broker):
    status, _, body = get(shared_broker, "/healthz", "HEAD")
    assert (status, body) == (200, "")


def test_metrics_parse_and_count_what_happens(broker):
    with Connection(broker.port) as connection:
        connection.create_topic("counted")
        before = families(broker)
        for _ in range(10):
            connection.produce("counted", batch([b"x", b"y"]))
        connection.fetch("counted", 0)
        after = families(broker)
        names = sorted(after)
        samples = [sample for family in after.values() for sample in family.samples]
        produced = [
            sample.value
            for sample in samples
            if "request" in sample.name and "Produce" in sample.labels.values() and sample.name.endswith("_total")
        ]
        assert produced and max(produced) >= 10, names
        ends = [
            sample.value
            for sample in samples
            if sample.labels.get("topic") == "counted" and "offset" in sample.name and "start" not in sample.name
        ]
        assert 20 in ends, names
        assert any(family.type == "histogram" for family in after.values()), "latency has a histogram"
        connections = [sample.value for sample in samples if "connection" in sample.name]
        assert any(value >= 1 for value in connections), names
        assert counted(after, "bytes") > counted(before, "bytes")


def test_histograms_are_cumulative_and_agree_with_their_counts(shared_broker):
    with Connection(shared_broker.port) as connection:
        connection.metadata([])
    for family in families(shared_broker).values():
        if family.type != "histogram":
            continue
        series = {}
        for sample in family.samples:
            labels = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))
            entry = series.setdefault(labels, {"buckets": []})
            if sample.name.endswith("_bucket"):
                entry["buckets"].append((float(sample.labels["le"]), sample.value))
            else:
                entry[sample.name.rsplit("_", 1)[1]] = sample.value
        for labels, entry in series.items():
            edges = [edge for edge, _ in entry["buckets"]]
            counts = [count for _, count in entry["buckets"]]
            assert edges == sorted(edges) and edges[-1] == float("inf"), (family.name, labels)
            assert counts == sorted(counts) and counts[-1] == entry["count"], (family.name, labels)


def test_hostile_labels_are_escaped(broker):
    with Connection(broker.port) as connection:
        connection.send(request("Metadata", 1, dict(topics=[], allow_auto_create=0), client_id='a"b\\c\nd'))
        connection.reply("Metadata", 1)
    assert families(broker)


def test_a_scrape_under_load_is_whole(broker):
    with Connection(broker.port) as connection:
        for number in range(30):
            connection.create_topic(f"many-{number}", 20)
        connection.send(b"".join(request("Metadata", n, dict(topics=None, allow_auto_create=0)) for n in range(50)))
        assert len(families(broker)) > 10
        for number in range(50):
            connection.reply("Metadata", number)


def test_garbage_on_the_http_port_is_closed(shared_broker):
    for data in (b"\0\0\0\0", b"\x16\x03\x01" + bytes(200), b"GET " + b"a" * 100_000, b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", shared_broker.http_port), 5) as peer:
            peer.settimeout(5)
            try:
                peer.sendall(data)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(4096):
                    pass
            except ConnectionError:
                pass
    assert get(shared_broker, "/livez")[0] == 200


def test_two_requests_on_one_http_connection(shared_broker):
    connection = http.client.HTTPConnection("127.0.0.1", shared_broker.http_port, timeout=5)
    for _ in range(2):
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


def test_the_gauge_of_connections_falls_back(broker):
    def gauge():
        found = families(broker)
        values = [
            sample.value
            for family in found.values()
            if family.type == "gauge" and "connection" in family.name
            for sample in family.samples
        ]
        return max(values, default=0)

    before = gauge()
    opened = [Connection(broker.port) for _ in range(25)]
    for peer in opened:
        peer.call("ApiVersions")
    assert gauge() >= before + 25
    for peer in opened:
        peer.socket.close()
    wait_until(lambda: gauge() <= before, "the gauge falls", 5)
