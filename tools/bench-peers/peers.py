"""Who is measured: how each is installed, started, spoken to for what is not measured, and stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "python"))

from broker import free_port  # noqa: E402
from wire import Connection, frame  # noqa: E402

RELEASE = os.path.join(ROOT, "target", "release")
KAFKA_VERSION = "4.4.0"
NISSHI_VERSION = "0.8.1"
BUILD_S = 7200
START_S = 60
STOP_S = 60
API_VERSIONS = frame(18, 0, 1)


class Missing(Exception):
    """Why somebody or something cannot be had on this machine."""


class Peer:
    """A broker: its process, its port and its directory."""

    name = ""
    # What is measured of it, in a few words.
    about = ""
    # Whether the first rounds are slower than all others because code is compiled meanwhile.
    warms_up = False
    # Whether it takes part only when it is named.
    optional = False
    # Why a figure would not be what its name says, by the figure's name.
    declines = {}
    # More options of the generator, by the measurement's name.
    options = {}

    def __init__(self, home, builds=False):
        """`builds` allows an installation that takes long."""
        self.builds = builds
        self.home = os.path.join(home, self.name)
        self.port = free_port()
        self.process = None

    def install(self):
        """Fetches and builds what is missing. Raises Missing."""

    def version(self):
        return ""

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Seconds from exec to the first answer to ApiVersions. Raises Missing, and then nothing runs."""
        try:
            return self._start()
        except Missing:
            self.stop()
            raise

    def _start(self):
        os.makedirs(self.home, exist_ok=True)
        env = dict(os.environ, **self.environment())
        with open(self.log_path, "ab") as log:
            began = time.perf_counter()
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.home
            )
        while not self.answers():
            if not self.is_running():
                raise Missing(f"ended with {self.process.poll()} at its start: {self.last_words()}")
            if time.perf_counter() - began > START_S:
                raise Missing(f"no answer within {START_S} s: {self.last_words()}")
            time.sleep(0.0002)
        return time.perf_counter() - began

    def answers(self):
        try:
            with Connection(self.port, 2.0) as connection:
                connection.send(API_VERSIONS)
                return connection.receive_frame() is not None
        except OSError:
            return False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ends it, whatever state it is in."""
        if not self.is_running():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def log_path(self):
        return self.home + ".log"

    def last_words(self):
        with open(self.log_path, errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return lines[-1][:200] if lines else "it said nothing"

    # What goes before and after the clients of others

    def make_topic(self, name):
        with Connection(self.port) as connection:
            connection.create_topic(name)

    def remove_topic(self, name):
        with Connection(self.port) as connection:
            connection.call("DeleteTopics", names=[name], timeout_ms=10000)

    def end_of(self, name):
        """The offset after the last record of partition 0."""
        wanted = [dict(name=name, partitions=[dict(index=0, timestamp=-1)])]
        with Connection(self.port) as connection:
            (topic,) = connection.call("ListOffsets", replica_id=-1, topics=wanted)["topics"]
        (partition,) = topic["partitions"]
        return partition["offset"]


class Chronik(Peer):
    name = "chronik"
    about = "as built here, default settings"

    def install(self):
        if not os.path.exists(self.binary):
            raise Missing(f"{self.binary} is missing: make build")

    @property
    def binary(self):
        return os.path.abspath(os.environ.get("CHRONIK_BIN", os.path.join(RELEASE, "chronik")))

    def version(self):
        return subprocess.check_output([self.binary, "--version"], text=True).split()[-1]

    def command(self):
        return [self.binary, "-l", self.address, "--http", "none", "-d", os.path.join(self.home, "data")]


class Kafka(Peer):
    name = "kafka"
    about = "one KRaft node, the JVM options of its own start script: heap of 1 GiB"
    warms_up = True
    heap = "-Xms1g -Xmx1g"
    options = {name: dict(setting="flush.messages=1") for name in ("synced", "synced-8")}

    def install(self):
        need("java", "default-jre-headless")
        need("mvn", "maven")
        self.jars()

    @staticmethod
    def jars():
        """The directory of Kafka's jars, fetched once."""
        env = dict(os.environ, KAFKA_VERSION=KAFKA_VERSION)
        script = os.path.join(ROOT, "tests", "support", "jars.sh")
        return attempt([script], env).strip()

    def version(self):
        return KAFKA_VERSION

    def command(self):
        script = os.path.join(ROOT, "tests", "support", "kafka.sh")
        # Files of removed topics would fill the disk for a minute.
        return [script, self.home, str(self.port), "log.segment.delete.delay.ms=1000"]

    def environment(self):
        collector = "-XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
        others = "-XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true"
        jvm = f"-server {self.heap} {collector} {others}"
        return dict(KAFKA_VERSION=KAFKA_VERSION, KAFKA_JVM=jvm)


class SmallKafka(Kafka):
    name = "kafka-256m"
    about = "the same with a heap of 256 MiB at most"
    heap = "-Xmx256m"


class Nisshi(Peer):
    name = "nisshi"
    about = "formerly Tansu; built from crates.io, its storage in memory"
    engine = "memory://nisshi/"
    declines = {name: "keeps nothing on disk" for name in ("synced", "synced-8")}

    def install(self):
        if os.path.exists(self.binary):
            return
        if not self.builds:
            raise Missing("--build builds it from crates.io, once; that takes some twenty minutes of two processors")
        features = ["--no-default-features", "--features", "dynostore,libsql"]
        # It asks for a newer compiler than it needs.
        words = ["--version", NISSHI_VERSION, "--locked", "--ignore-rust-version", "--root", self.tree]
        build = ["--target-dir", os.path.join(ROOT, "target", "peers-build")]
        attempt(["cargo", "install", "-q", "nisshi", *words, *features, *build])

    @property
    def tree(self):
        return os.path.join(ROOT, ".interop", f"nisshi-{NISSHI_VERSION}")

    @property
    def binary(self):
        return os.path.join(self.tree, "bin", "nisshi")

    def version(self):
        return NISSHI_VERSION

    def command(self):
        url = f"tcp://{self.address}"
        listener = ["--listener-url", url, "--advertised-listener-url", url]
        return [self.binary, "broker", *listener, "--storage-engine", self.engine]

    def environment(self):
        return dict(RUST_LOG="warn")


class NisshiOnDisk(Nisshi):
    name = "nisshi-sqlite"
    about = "the same on a SQLite file"
    # It takes a hundred times as long as all others, which would wait for it.
    optional = True
    declines = {name: "its commits are not synced one by one" for name in ("synced", "synced-8")}

    # The path is one from where it was started.
    engine = "sqlite://nisshi.db"


class Mock(Peer):
    name = "mock"
    about = "librdkafka's mock cluster, in memory, in a Python process of its own"
    declines = {
        "synced": "keeps nothing on disk",
        "synced-8": "keeps nothing on disk",
        "kafka-tools": "not for Kafka's clients",
    }
    # It keeps the last 5 MiB of a partition.
    options = dict(fetch=dict(fill=4_000_000))

    def command(self):
        return [sys.executable, os.path.join(ROOT, "tools", "bench-peers", "rdkafka.py"), "mock"]

    def version(self):
        import confluent_kafka

        return confluent_kafka.libversion()[0]

    def start(self):
        open(self.log_path, "wb").close()
        return super().start()

    def answers(self):
        """It chooses its port itself, and says which."""
        with open(self.log_path) as log:
            said = log.read()
        if "listening on " not in said or not said.endswith("\n"):
            return False
        self.port = int(said.strip().rsplit(":", 1)[1])
        return super().answers()

    def make_topic(self, name):
        """Whoever asks for a topic gets it."""
        with Connection(self.port) as connection:
            connection.metadata([name], create=1)

    def remove_topic(self, name):
        """There is no way to."""


ALL = [Chronik, Kafka, SmallKafka, Nisshi, NisshiOnDisk, Mock]


def need(tool, package):
    """Sees that a program is there; as root, Debian's package brings it."""
    if shutil.which(tool):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-qq"], env=env, stdout=sys.stderr)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        subprocess.run(install, env=env, stdout=subprocess.DEVNULL)
    if not shutil.which(tool):
        raise Missing(f"{tool} is not installed (Debian: {package})")


def attempt(command, env=None):
    """What a step of an installation prints. Raises Missing with its last words if it fails."""
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BUILD_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        blamed = [line for line in lines if line.startswith("error") or "ERROR" in line]
        raise Missing((blamed or lines or ["it said nothing"])[0][:200])
    return done.stdout
