"""A well-behaved client beside the fuzzer: writes, reads back, commits, and knows what it was promised."""

import threading
import time

from wire import Connection, batch, batches

TOPIC = "honest-topic"
GROUP = "honest-group"


class Honest:
    """Produces with acks=-1 and checks every answer. What was acknowledged is kept here, across restarts."""

    def __init__(self):
        self.acknowledged = []
        self.maybe = None
        self.committed = 0
        self.latencies = []
        self.failure = None
        self.port = None
        self._stop = threading.Event()
        self._thread = None

    def begin(self, port):
        """Goes on beside the fuzzer with a broker on this port."""
        self.port = port
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self):
        """Stops after the request on its way."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the honest client waits for an answer"
        if self.failure:
            raise self.failure

    def _run(self):
        try:
            with Connection(self.port, seconds=30) as client:
                while not self._stop.is_set():
                    began = time.monotonic()
                    self.step(client)
                    self.latencies.append(time.monotonic() - began)
                    self._stop.wait(0.05)
        except BaseException as failure:  # reported by end()
            self.failure = failure

    def step(self, client):
        """One record written, read back, and committed."""
        offset = len(self.acknowledged)
        value = b"honest %d" % offset
        answer = client.produce(TOPIC, batch([value]))
        assert answer["error"] == 0, f"produce: {answer}"
        assert answer["base_offset"] == offset, f"produce: {answer}, expected offset {offset}"
        self.acknowledged.append(value)
        found = batches(client.fetch(TOPIC, offset, max_wait_ms=1000)["records"])
        assert found and found[0] == (offset, offset, [value]), f"fetch at {offset}: {found}"
        if offset % 8 == 0:
            part = dict(index=0, offset=offset, metadata="")
            answer = client.call(
                "OffsetCommit",
                group=GROUP,
                generation=-1,
                member="",
                retention_ms=-1,
                topics=[dict(name=TOPIC, partitions=[part])],
            )
            assert answer["topics"][0]["partitions"][0]["error"] == 0, f"commit: {answer}"
            self.committed = offset

    def prepare(self, port):
        """The topic, made or found."""
        with Connection(port, seconds=60) as client:
            if client.metadata([TOPIC])["topics"][0]["error"]:
                client.create_topic(TOPIC)

    def verify(self, port):
        """Everything acknowledged is there once, in order, and nothing else is."""
        offset = 0
        with Connection(port, seconds=60) as client:
            while offset < len(self.acknowledged):
                found = batches(client.fetch(TOPIC, offset, max_wait_ms=1000)["records"])
                assert found, f"nothing at offset {offset} of {len(self.acknowledged)}"
                for base, last, values in found:
                    assert base == offset and values == self.acknowledged[base : last + 1], f"at {base}: {values}"
                    offset = last + 1
        assert offset == len(self.acknowledged), f"{offset} records, {len(self.acknowledged)} acknowledged"
