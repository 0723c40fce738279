"""Starts, watches, restarts and kills one broker for a test; needs nothing but Python."""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
READY = re.compile(r"chronik \S+ ready on (\S+):(\d+)(?: http (?:(\S+):(\d+)|none))?")


def chronik_binary():
    """`CHRONIK_BIN`, else the newest of the builds under target/."""
    if os.environ.get("CHRONIK_BIN"):
        return os.path.abspath(os.environ["CHRONIK_BIN"])
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    builds = [os.path.join(target, profile, "chronik") for profile in ("release", "debug")]
    builds = [build for build in builds if os.path.exists(build)]
    if not builds:
        raise RuntimeError("no chronik binary: run `make build` or set CHRONIK_BIN")
    return max(builds, key=os.path.getmtime)


def wait_until(condition, what, seconds=10.0, pause=0.005):
    """Asks `condition` until it holds and returns what it returned; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(pause)


def free_port():
    """A port that nobody listens on, chosen below the range that outgoing connections use."""
    for _ in range(1000):
        port = 10000 + struct.unpack("!H", os.urandom(2))[0] % 10000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


class Broker:
    """One broker process on a data directory of its own.

    `CHRONIK_TEST_BROKER=kafka` runs Apache Kafka in its place, to prove the tests themselves.
    """

    def __init__(self, options=(), log="info", env=None, directory=None):
        self.options = list(options)
        self.log_level = os.environ.get("CHRONIK_TEST_LOG", log)
        self.env = dict(env or {})
        self.home = directory or tempfile.mkdtemp(prefix="chronik-test-")
        self.data = os.path.join(self.home, "data")
        self.log_path = os.path.join(self.home, "broker.log")
        self.kafka = os.environ.get("CHRONIK_TEST_BROKER") == "kafka"
        # A port outside the ephemeral range, so that nothing else takes it while the broker restarts.
        self.port = free_port()
        self.http_port = None
        self.process = None
        self.log_start = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, traceback):
        try:
            if self.process and self.process.poll() is None:
                if kind:
                    self.process.kill()
                    self.process.wait()
                else:
                    self.terminate()
            if kind is None:
                self.assert_no_panic()
        finally:
            self.close()
            if kind:
                tail = self.log_text()[-3000:]
                print(f"--- end of the broker's log\n{tail}\n---", flush=True)
            if not os.environ.get("CHRONIK_TEST_KEEP"):
                shutil.rmtree(self.home, ignore_errors=True)

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        if self.kafka:
            script = os.path.join(ROOT, "tests", "support", "kafka.sh")
            return [script, self.home, str(self.port), *self.options]
        command = [chronik_binary(), "serve", "-l", f"127.0.0.1:{self.port}"]
        command += ["-d", self.data, "--http", "127.0.0.1:0"]
        for option in self.options:
            command += ["-o", option]
        return command

    def start(self, seconds=30.0):
        """Runs the broker and returns when it has said that it is ready."""
        self.launch()
        wait_until(self._is_ready, "the broker is ready", seconds)
        return self

    def launch(self):
        """Runs the broker and returns at once."""
        assert self.process is None or self.process.poll() is not None, "it already runs"
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        env = dict(os.environ, RUST_LOG=self.log_level, RUST_BACKTRACE="1")
        env.update(self.env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )

    def _is_ready(self):
        code = self.process.poll()
        if code is not None:
            raise AssertionError(f"the broker ended with {code} at start:\n{self.log_text()[-2000:]}")
        if self.kafka:
            return _answers_api_versions(self.port)
        found = READY.search(self.log_text(self.log_start))
        if not found:
            return False
        self.port = int(found.group(2))
        self.http_port = int(found.group(4)) if found.group(4) else None
        return True

    def log_text(self, start=0):
        """What it has logged, from this byte on."""
        with open(self.log_path, "rb") as log:
            log.seek(start)
            return log.read().decode("utf-8", "replace")

    def terminate(self, seconds=2.0):
        """Asks it to end, as an operator would: exit code 0 within `seconds`."""
        seconds = 60.0 if self.kafka else float(os.environ.get("CHRONIK_TEST_STOP_S", seconds))
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {seconds} s after SIGTERM") from None
        assert code == 0 or (self.kafka and code == 143), f"exit code {code} after SIGTERM"

    def kill(self):
        """Ends it as a crash would, without any warning."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        """A clean stop and a start on the same directory and port."""
        self.terminate()
        return self.start()

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def assert_alive(self):
        assert self.process.poll() is None, f"the broker ended:\n{self.log_text()[-3000:]}"

    def assert_no_panic(self):
        text = self.log_text()
        assert "panicked" not in text, text[text.index("panicked") - 200 :][:3000]

    def status(self, key):
        """A number from /proc/PID/status, for example VmRSS in kB."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise KeyError(key)

    def log_files(self, topic):
        """The names of the log files of its first partition, in order."""
        names = os.listdir(os.path.join(self.data, f"{topic}-0"))
        return sorted(name for name in names if name.endswith(".log"))

    def log_bytes(self, topic):
        """The bytes of those files; one that the broker removes between the two looks has none."""
        sizes = 0
        for name in self.log_files(topic):
            with contextlib.suppress(FileNotFoundError):
                sizes += os.path.getsize(os.path.join(self.data, f"{topic}-0", name))
        return sizes

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def voluntary_switches(self):
        """Voluntary context switches of every thread: how often each woke from waiting."""
        switches = {}
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            base = f"/proc/{self.pid}/task/{thread}"
            with open(f"{base}/comm") as comm:
                name = comm.read().strip()
            with open(f"{base}/status") as status:
                for line in status:
                    if line.startswith("voluntary_ctxt_switches:"):
                        switches[f"{name}/{thread}"] = int(line.split()[1])
        return switches


def _answers_api_versions(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.settimeout(2)
            probe.sendall(bytes.fromhex("0000000c 0012 0000 00000001 0002 6f6b".replace(" ", "")))
            return len(probe.recv(8)) == 8
    except OSError:
        return False
