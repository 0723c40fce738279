"""The interop run itself: clients, then Kafka's dump-log over what they wrote, then Wireshark over what they said."""

import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tests", "python"))
from broker import Broker, wait_until  # noqa: E402
from wire import Connection  # noqa: E402

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
KAFKA_JARS = os.environ.get("KAFKA_JARS")
PYTHON_CLIENTS = [
    ("suite", "confluent", None),
    ("suite", "kafka_python", None),
    ("kafka-python-1.4.7", "kafka_python", "0.10"),
    ("kafka-python-2.0.2", "kafka_python", "2.5"),
    ("aiokafka", "aio", None),
]
DONE, LEFT_OUT = [], []


class Missing(Exception):
    """A tool that is not there."""


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed")


def run(command, stdin=None, seconds=90, env=None):
    """The standard output of a command that has to succeed."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=seconds, env=dict(os.environ, **(env or {}))
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)[:300]}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def java(main, *args, stdin=None, seconds=90):
    """A main class from Kafka's jars, or a source file that uses them."""
    need("java")
    if not KAFKA_JARS:
        raise Missing("Kafka's jars (Java, Maven and Maven Central)")
    flags = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return run(["java", *flags, "-cp", f"{KAFKA_JARS}/*", main, *args], stdin, seconds)


def lines(run_name, count=200):
    return [f"{run_name} {number} " + "x" * (number % 90) for number in range(count)]


# The clients.


def kcat_lists(broker):
    need("kcat")
    with Connection(broker.port) as connection:
        connection.create_topic("listed", 3)
    listing = run(["kcat", "-b", broker.bootstrap, "-L"])
    assert f"at {broker.bootstrap} (controller)" in listing, listing
    assert 'topic "listed" with 3 partitions' in listing, listing


def kcat_produces_and_consumes_every_codec(broker):
    need("kcat")
    offset = 0
    for codec in CODECS:
        text = lines(f"kcat {codec}")
        options = ["-X", "topic.partitioner=consistent", "-X", "acks=all"]
        run(["kcat", "-b", broker.bootstrap, "-P", "-t", "kcat", "-p", "0", "-z", codec, *options], "\n".join(text))
        got = run(
            ["kcat", "-b", broker.bootstrap, "-C", "-t", "kcat", "-p", "0", "-o", str(offset), "-e", "-q"]
            + ["-X", "check.crcs=true", "-f", "%o %s\n"]
        ).splitlines()
        assert got == [f"{offset + number} {line}" for number, line in enumerate(text)], f"{codec}: {got[:2]}"
        offset += len(text)


def kcat_reads_as_a_group(broker):
    need("kcat")
    text = lines("group", 50)
    run(["kcat", "-b", broker.bootstrap, "-P", "-t", "kcat-group"], "\n".join(text))
    command = ["kcat", "-b", broker.bootstrap, "-q", "-e", "-X", "auto.offset.reset=earliest", "-X", "check.crcs=true"]
    group = [*command, "-G", "kcat-readers", "kcat-group"]
    assert sorted(run(group).splitlines()) == sorted(text)
    run(["kcat", "-b", broker.bootstrap, "-P", "-t", "kcat-group"], "after the commit")
    assert run(group).splitlines() == ["after the commit"], "resumed from the commit"


def kcat_finds_offsets_by_time(broker):
    need("kcat")
    run(["kcat", "-b", broker.bootstrap, "-P", "-t", "timed"], "one")
    time.sleep(0.05)
    between = int(time.time() * 1000)
    time.sleep(0.05)
    run(["kcat", "-b", broker.bootstrap, "-P", "-t", "timed"], "two")
    got = run(["kcat", "-b", broker.bootstrap, "-C", "-t", "timed", "-p", "0", "-o", f"s@{between}", "-e", "-q"])
    assert got.splitlines() == ["two"]
    assert run(["kcat", "-b", broker.bootstrap, "-Q", "-t", f"timed:0:{between}"]).split() == ["timed", "[0]", "offset", "1"]


def newest_java_client_lives_through_its_story(broker):
    java(os.path.join(HERE, "Story.java"), broker.bootstrap, "java-story")


def java_console_produces_and_consumes_every_codec(broker):
    for codec in CODECS:
        topic, text = f"java-{codec}", lines(f"java {codec}")
        produce = ["--bootstrap-server", broker.bootstrap, "--topic", topic, "--compression-codec", codec]
        java("org.apache.kafka.tools.ConsoleProducer", *produce, stdin="\n".join(text) + "\n")
    for codec in CODECS:
        assert java_consume(broker, f"java-{codec}", 200) == lines(f"java {codec}"), codec


def java_consume(broker, topic, count, *more):
    consume = ["--bootstrap-server", broker.bootstrap, "--topic", topic, "--max-messages", str(count)]
    consume += ["--timeout-ms", "20000", "--command-property", "check.crcs=true"]
    if "--group" not in more or "--from-beginning" in more:
        consume.append("--from-beginning")
    return java("org.apache.kafka.tools.consumer.ConsoleConsumer", *consume, *more).splitlines()


def java_console_reads_as_a_group(broker):
    text = lines("java group", 60)
    produce = ["--bootstrap-server", broker.bootstrap, "--topic", "java-group"]
    java("org.apache.kafka.tools.ConsoleProducer", *produce, stdin="\n".join(text) + "\n")
    group = ["--group", "java-readers", "--command-property", "auto.offset.reset=earliest"]
    assert java_consume(broker, "java-group", 60, *group) == text
    java("org.apache.kafka.tools.ConsoleProducer", *produce, stdin="later\n")
    assert java_consume(broker, "java-group", 1, *group) == ["later"], "resumed from the commit"


def java_reads_what_kcat_wrote_and_back(broker):
    assert java_consume(broker, "kcat", 1000, "--partition", "0") == [line for codec in CODECS for line in lines(f"kcat {codec}")]
    need("kcat")
    got = run(["kcat", "-b", broker.bootstrap, "-C", "-t", "java-zstd", "-e", "-q", "-X", "check.crcs=true"]).splitlines()
    assert got == lines("java zstd")


def java_tools_describe(broker):
    ends = java("org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", broker.bootstrap, "--topic", "kcat")
    assert ends.split() == ["kcat:0:1000"], ends
    topics = java("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.bootstrap, "--describe", "--topic", "listed")
    assert "PartitionCount: 3" in topics, topics
    groups = java(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        *("--bootstrap-server", broker.bootstrap, "--describe", "--group", "java-readers"),
    )
    assert re.search(r"java-readers\s+java-group\s+0\s+61\s+61\s+0", groups), groups


def java_tools_change_topics(broker):
    topics = ("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.bootstrap, "--topic", "altered")
    java(*topics, "--create", "--partitions", "2", "--config", "retention.ms=5000")
    java(*topics, "--alter", "--partitions", "4")
    configs = ("org.apache.kafka.tools.ConfigCommand", "--bootstrap-server", broker.bootstrap, "--topic", "altered")
    java(*configs, "--alter", "--add-config", "segment.bytes=2097152,cleanup.policy=[compact,delete]")
    java(*configs, "--alter", "--delete-config", "retention.ms")
    described = java(*topics, "--describe")
    assert "PartitionCount: 4" in described, described
    settings = re.search(r"Configs: (\S*)", described).group(1)
    settings = settings.replace(",index.interval.bytes=1024", "")  # the broker's
    assert settings == "cleanup.policy=compact,delete,segment.bytes=2097152", described


def python_clients(broker):
    for environment, driver, version in PYTHON_CLIENTS:
        python = os.path.join(ROOT, ".venv", environment, "bin", "python")
        command = [python, os.path.join(ROOT, "tests", "python", "scenario.py"), driver]
        run(command + ([version] if version else []), env={"BOOTSTRAP": broker.bootstrap})


CLIENTS = [
    kcat_lists,
    kcat_produces_and_consumes_every_codec,
    kcat_reads_as_a_group,
    kcat_finds_offsets_by_time,
    newest_java_client_lives_through_its_story,
    java_console_produces_and_consumes_every_codec,
    java_console_reads_as_a_group,
    java_reads_what_kcat_wrote_and_back,
    java_tools_describe,
    java_tools_change_topics,
    python_clients,
]


# What they left behind.


def dump_log_reads_every_file(data):
    """Kafka's dump-log over every segment, index and snapshot; it prints its complaints and exits with 0."""
    files = {"log": [], "index": [], "timeindex": [], "snapshot": [], "txnindex": []}
    for folder, _, names in os.walk(data):
        for name in sorted(names):
            suffix = name.rsplit(".", 1)[-1]
            if suffix in files and re.fullmatch(r"\d{20}\." + suffix, name):
                files[suffix].append(os.path.join(folder, name))
    assert files["log"] and files["index"] and files["timeindex"], files
    offsets = [path for path in files["log"] if "__consumer_offsets" in path]
    plain = [path for path in files["log"] if "/__" not in path]
    records = 0
    text = dump(plain, "--deep-iteration", "--print-data-log")
    records += len(re.findall(r"(?m)^\| offset: ", text))
    batches = re.findall(r"(?m)^baseOffset: .*", text)
    assert batches and all("isvalid: true" in line for line in batches), [x for x in batches if "isvalid: true" not in x][:3]
    if offsets:
        commits = dump(offsets, "--offsets-decoder")
        assert '"commitTimestamp"' in commits and '"protocolType"' in commits, commits[-1000:]
    for kind in ("index", "timeindex"):
        for path in files[kind]:
            assert os.path.exists(path[: -len(kind)] + "log"), f"{path} without its log"
        some = [path for path in files[kind] if os.path.getsize(path)]
        dump(some, "--index-sanity-check")
        dump(some, "--verify-index-only")
    if files["snapshot"]:
        assert "producerId" in dump([path for path in files["snapshot"] if "/__" not in path])
    sizes = {kind: len(paths) for kind, paths in files.items()}
    print(f"        {records} records in {len(batches)} batches; files {sizes}")
    assert records >= 2000


def dump_log_reads_what_crashes_left(home):
    """Kafka's dump-log over a sample of the directories that simulated crashes left and Chronik recovered."""
    kept = os.path.join(home, "survivors")
    # One after the other, so that the sample is the same each time.
    environment = dict(os.environ, CHRONIK_KEEP=kept, CHRONIK_IMAGES="6400", RUST_TEST_THREADS="1")
    command = ["cargo", "test", "--quiet", "--test", "crash_images"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=900)
    files = {"log": [], "index": [], "timeindex": [], "snapshot": []}
    for folder, _, names in os.walk(kept):
        for name in sorted(names):
            suffix = name.rsplit(".", 1)[-1]
            path = os.path.join(folder, name)
            if suffix in files and re.fullmatch(r"\d{20}\." + suffix, name) and os.path.getsize(path):
                files[suffix].append(path)
    text = "".join(dump(some, "--deep-iteration") for some in chunks(files["log"]))
    batches = re.findall(r"(?m)^baseOffset: .*", text)
    assert batches and all("isvalid: true" in line for line in batches), [x for x in batches if "isvalid: true" not in x][:3]
    for kind in ("index", "timeindex"):
        for some in chunks(files[kind]):
            dump(some, "--index-sanity-check")
            dump(some, "--verify-index-only")
    producers = "".join(dump(some) for some in chunks(files["snapshot"]))
    assert "producerId" in producers
    sizes = {kind: len(paths) for kind, paths in files.items()}
    print(f"        {len(os.listdir(kept))} directories, {len(batches)} batches; files {sizes}")
    assert len(os.listdir(kept)) >= 200


def chunks(paths, most=500):
    return [paths[at : at + most] for at in range(0, len(paths), most)]


def dump(paths, *options):
    text = java("org.apache.kafka.tools.DumpLogSegments", "--files", ",".join(paths), *options, seconds=180)
    bad = [
        line
        for line in text.splitlines()
        if re.search(r"(?i)mismatch|isvalid: false|non-consecutive|invalid bytes|could not|corrupt|not found|exception", line)
    ]
    assert not bad, "\n".join(bad[:5])
    return text


class Capture:
    """tshark on the loopback interface, for one port."""

    def __init__(self, broker):
        need("tshark")
        self.port = broker.port
        self.path = os.path.join(broker.home, "capture.pcapng")
        command = ["tshark", "-q", "-i", "lo", "-f", f"tcp port {self.port}", "-w", self.path, "-B", "64"]
        self.log = open(os.path.join(broker.home, "tshark.log"), "w+")
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)

        def started():
            if self.process.poll() is not None:
                self.log.seek(0)
                raise Missing(f"permission to capture: {self.log.read()[-300:].strip()}")
            # The file appears when the capture runs; one connection shows that it does.
            return os.path.exists(self.path) and os.path.getsize(self.path) > 0

        wait_until(started, "the capture runs", 20)

    def stop(self):
        time.sleep(1.5)
        self.process.terminate()
        self.process.wait(20)

    def fields(self, display_filter, *names):
        command = ["tshark", "-r", self.path, "-d", f"tcp.port=={self.port},kafka", "-o", "tcp.desegment_tcp_streams:TRUE"]
        command += ["-Y", display_filter, "-T", "fields"]
        for name in names:
            command += ["-e", name]
        return run(command, seconds=180).splitlines()


# (API key, version) whose dissection fails in TShark 4.0 against Apache Kafka in just the same way: the members of
# JoinGroup and SyncGroup, and message sets of the formats before 2 with compression.
DISSECTOR_FAULTS = {(0, 2), (1, 2), (11, 0), (11, 2), (11, 5), (14, 0), (14, 1), (14, 3), (46, 0)}


def dissector_finds_nothing_malformed(capture):
    """No malformed packet in either direction, except where the dissector says that it does not know the version."""
    names = ["tcp.dstport", "tcp.stream", "kafka.api_key", "kafka.api_version", "kafka.correlation_id"]
    asked, understood, beyond, bad, count = {}, set(), set(), [], 0
    for line in capture.fields("kafka", *names, "_ws.malformed", "_ws.expert.message"):
        port, stream, keys, versions, ids, malformed, message = line.split("\t")
        is_request = port == str(capture.port)
        if is_request:
            for key, version, number in zip(keys.split(","), versions.split(","), ids.split(",")):
                asked[stream, number] = (int(key), int(version))
        # A reply does not say what it is; the request with its number does.
        kinds = {asked.get((stream, number)) for number in ids.split(",")}
        count += 1
        if not malformed:
            understood |= kinds
        elif re.search(r"Unsupported \w+ version|Unknown \d+ API key", message) or kinds <= DISSECTOR_FAULTS:
            beyond |= kinds
        else:
            bad.append(f"{'request' if is_request else 'reply'} {kinds}: {message}")
    assert count > 500, f"only {count} frames were captured"
    print(f"        {count} frames; {len(understood)} versions of requests understood, {len(beyond - understood)} that it does not know")
    assert not bad, f"{len(bad)} malformed: {bad[:5]}"


def attempt(step, *args):
    start = time.monotonic()
    title = step.__name__.replace("_", " ")
    try:
        step(*args)
    except Missing as problem:
        LEFT_OUT.append(f"{title}: {problem}")
        print(f"left out  {title}: {problem}", flush=True)
        return
    DONE.append(title)
    print(f"ok        {title} ({time.monotonic() - start:.1f} s)", flush=True)


def main():
    with Broker(options=["log.index.interval.bytes=1024"]) as broker:
        capture = None
        try:
            capture = Capture(broker)
        except Missing as problem:
            LEFT_OUT.append(f"dissector: {problem}")
        for step in CLIENTS:
            attempt(step, broker)
        if capture:
            capture.stop()
            if os.environ.get("CHRONIK_KEEP_CAPTURE"):
                shutil.copy(capture.path, os.environ["CHRONIK_KEEP_CAPTURE"])
        broker.terminate()
        attempt(dump_log_reads_every_file, broker.data)
        attempt(dump_log_reads_what_crashes_left, broker.home)
        if capture:
            attempt(dissector_finds_nothing_malformed, capture)
    print(f"interop: {len(DONE)} done, {len(LEFT_OUT)} left out")
    for line in LEFT_OUT:
        print(f"  left out: {line}")
    if LEFT_OUT and os.environ.get("CI") == "true":
        sys.exit("interop: with CI=true nothing may be left out")


if __name__ == "__main__":
    main()
