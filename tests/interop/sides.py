"""Two brokers, the same conversation with each, and what differs between the two transcripts.

A case is a function that gets a `Side` and calls it; every answer is noted with what legitimately differs (times,
ports, identities, wording) masked. The functions run against both brokers at once.
"""

import json
import os
import socket
import struct
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

import wire  # noqa: E402

CASES = []
PATIENCE_S = 20.0
ZERO = uuid.UUID(int=0)


def case(function):
    """Registers a case under its function's name."""
    CASES.append(function)
    return function


class Link:
    """One connection. Requests may be sent without waiting for the answer."""

    def __init__(self, side):
        self.side = side
        self.socket = socket.create_connection(("127.0.0.1", side.port), PATIENCE_S)
        self.socket.settimeout(PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0
        self.expected = []

    def send_bytes(self, payload, name, version):
        """Any payload, whose answer, if there is one, has this form."""
        self.correlation += 1
        payload = payload.replace(b"CORR", struct.pack("!i", self.correlation))
        self.expected.append((name, version, self.correlation))
        self.socket.sendall(struct.pack("!i", len(payload)) + payload)

    def send(self, name, version, body):
        self.correlation += 1
        frame = self.side.schemas.request(name, version, self.correlation, body, self.side.client_id)
        self.expected.append((name, version, self.correlation))
        self.socket.sendall(frame)

    def receive(self):
        """The next answer, "closed", or "no answer"."""
        name, version, correlation = self.expected.pop(0)
        try:
            data = self._frame()
        except socket.timeout:
            return "no answer"
        except ConnectionError:
            data = None
        if data is None:
            return "closed"
        assert struct.unpack("!i", data[:4])[0] == correlation
        return self.side.schemas.response(name, version, data[4:])

    def _frame(self):
        head = self._exactly(4)
        return self._exactly(struct.unpack("!i", head)[0]) if head else None

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                return None
            data += piece
        return data

    def close(self):
        self.socket.close()


class Side:
    """One broker and the transcript of the running case."""

    def __init__(self, name, port, schemas):
        self.name, self.port, self.schemas = name, port, schemas
        self.client_id = "differential"
        self.quiet = None
        self.begin()

    def begin(self):
        self.transcript, self.symbols, self.links = [], {}, {}

    def end(self):
        for link in self.links.values():
            link.close()

    def versions(self, api, first=0, last=99):
        return [version for version in self.schemas.versions(api) if first <= version <= last]

    def newest(self, api):
        return self.versions(api)[-1]

    def link(self, name="main"):
        if name not in self.links:
            self.links[name] = Link(self)
        return self.links[name]

    # Noted calls

    def call(self, api, version, label="", link="main", **body):
        """Sends a request, notes the answer and returns it as it came."""
        self.send(api, version, link=link, **body)
        return self.receive(f"{api} v{version} {label}".strip(), link=link)

    def each(self, api, label="", first=0, last=99, **body):
        """The same request in every version."""
        for version in self.versions(api, first, last):
            self.call(api, version, label, **body)

    def send(self, api, version, link="main", **body):
        self.link(link).send(api, version, body)

    def call_bytes(self, step, payload, name, version):
        """Sends bytes on a connection of their own and notes what comes back."""
        link = self.link(step)
        try:
            link.send_bytes(payload, name, version)
        except ConnectionError:
            pass
        self.receive(step, link=step)

    def receive(self, step, link="main"):
        answer = self.link(link).receive()
        if answer in ("closed", "no answer"):
            self.links.pop(link).close()
        self.note(step, answer)
        return answer

    def note(self, step, value):
        self.transcript.append((step, mask(self, value)))

    # Calls that are not noted

    def ask(self, api, version=None, **body):
        """An answer that is not part of the transcript; a connection of its own."""
        if self.quiet is None:
            self.quiet = Link(self)
        self.quiet.send(api, self.newest(api) if version is None else version, body)
        return self.quiet.receive()

    def until(self, what, condition):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"{self.name}: not in time: {what}"
            time.sleep(0.02)

    def topic(self, name, partitions=1, **configs):
        """Makes a topic and waits until it can be used. Returns its id."""
        wanted = dict(Name=name, NumPartitions=partitions, ReplicationFactor=1)
        wanted["Configs"] = [dict(Name=key.replace("_", "."), Value=value) for key, value in configs.items()]
        made = self.ask("CreateTopics", Topics=[wanted], timeoutMs=10000)["Topics"][0]
        assert made["ErrorCode"] == 0, made
        self.until(f"topic {name}", lambda: self.leads(name, partitions))
        self.until(f"log of {name}", lambda: self.opened(name, partitions))
        self.symbols.setdefault("topic id", {})[made["TopicId"]] = f"the id of {name}"
        return made["TopicId"]

    def leads(self, name, partitions=1):
        found = self.describe(name)
        online = [one for one in found["Partitions"] if one["ErrorCode"] == 0]
        return found["ErrorCode"] == 0 and len(online) == partitions

    def opened(self, name, partitions):
        parts = [dict(PartitionIndex=index, Timestamp=-1) for index in range(partitions)]
        answer = self.ask("ListOffsets", ReplicaId=-1, Topics=[dict(Name=name, Partitions=parts)])
        return all(part["ErrorCode"] == 0 for part in answer["Topics"][0]["Partitions"])

    def gone(self, name):
        self.until(f"no topic {name}", lambda: self.describe(name)["ErrorCode"] == 3)

    def describe(self, name):
        return self.ask("Metadata", Topics=[dict(Name=name)], AllowAutoTopicCreation=False)["Topics"][0]

    def end_offset(self, topic, partition=0):
        wanted = [dict(Name=topic, Partitions=[dict(PartitionIndex=partition, Timestamp=-1)])]
        return self.ask("ListOffsets", ReplicaId=-1, Topics=wanted)["Topics"][0]["Partitions"][0]["Offset"]

    def write(self, topic, *batches, partition=0):
        """Produces batches one by one, with acks=all; not noted."""
        for records in batches:
            data = [dict(Name=topic, PartitionData=[dict(Index=partition, Records=records)])]
            answer = self.ask("Produce", 9, Acks=-1, TimeoutMs=10000, TopicData=data)
            assert answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0, answer


# What may differ between any two brokers

TEXTS = ("ErrorMessage", "BatchIndexErrorMessage", "Documentation")
IDENTITIES = ("Host", "ClientHost")
DROPPED = ("ThrottleTimeMs",)


def mask(side, value, key="", owner=None):
    """The value with everything replaced that no two brokers have in common."""
    if isinstance(value, dict):
        return {name: mask(side, one, name, value) for name, one in value.items() if name not in DROPPED}
    if isinstance(value, list):
        items = [mask(side, one, key, owner) for one in value]
        return sorted(items, key=lambda one: json.dumps(one, sort_keys=True)) if items and isinstance(items[0], dict) else items
    if key == "Records":
        return records(side, value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, uuid.UUID):
        if value == ZERO:
            return "zero"
        name = (owner or {}).get("Name") or (owner or {}).get("Topic")
        return symbol(side, "topic id", value, f"the id of {name}" if name else None)
    if key in TEXTS:
        if owner and owner.get("ErrorCode"):
            return "(a reason or none)"
        return value if not value else "some text"
    if key in IDENTITIES:
        return "a host"
    if key == "Port":
        return "a port" if value > 0 else value
    if key == "ClusterId":
        return value if not value else "a cluster"
    if key in ("MemberId", "Leader") and isinstance(value, str):
        return member(side, value)
    if key == "SessionId":
        return value if not value else "a session"
    if key == "ProducerId":
        return value if value < 0 else symbol(side, "producer", value)
    if key in ("LogAppendTimeMs", "Timestamp") and value > 1_700_000_000_000:
        return "now"
    return value


def symbol(side, kind, value, name=None):
    """A name for an identity, by the order of appearance if it has no better one."""
    known = side.symbols.setdefault(kind, {})
    return known.setdefault(value, name or f"{kind} {len(known) + 1}")


def member(side, value):
    """Kafka makes member ids from the client's id and a random uuid."""
    head, tail = value[:-36], value[-36:]
    try:
        uuid.UUID(tail)
    except ValueError:
        return value
    return f"{head}{symbol(side, 'member', value)}"


def records(side, data):
    """Record batches as a list of their headers and the bytes of their records."""
    if not data:
        return data if data is None else "empty"
    found, at = [], 0
    while len(data) - at >= 61:
        base, size, epoch, magic = struct.unpack("!qiib", data[at : at + 17])
        whole = data[at : at + 12 + size]
        if len(whole) < 12 + size:
            break
        crc, attributes, last, first_time, last_time, producer, producer_epoch, sequence, count = struct.unpack(
            "!Ihiqqqhii", whole[17:61]
        )
        found.append(
            dict(
                base=base,
                last=last,
                leader_epoch=epoch,
                magic=magic,
                crc=crc == wire.crc32c(whole[21:]),
                attributes=attributes,
                Timestamp=mask(side, first_time, "Timestamp"),
                LogAppendTimeMs=mask(side, last_time, "LogAppendTimeMs"),
                ProducerId=mask(side, producer, "ProducerId"),
                producer_epoch=producer_epoch,
                sequence=sequence,
                count=count,
                records=whole[61:].hex() if len(whole) < 400 else f"{len(whole) - 61} bytes",
            )
        )
        at += 12 + size
    return found + ([f"{len(data) - at} bytes of a part"] if at < len(data) else [])


# Comparing

def run(function, sides):
    """Runs a case against both. Returns [(step, path, [one value per side])]."""
    problems = {}

    def work(side):
        side.begin()
        try:
            function(side)
        except Exception as error:  # noqa: BLE001 - a case that breaks off is a difference like any other
            where = error.__traceback__
            while where.tb_next and "differential" not in where.tb_next.tb_frame.f_code.co_filename:
                where = where.tb_next
            problems[side.name] = f"{type(error).__name__}: {error} (line {where.tb_lineno})"
            if side.quiet:
                side.quiet.close()
            side.quiet = None
        finally:
            side.end()

    threads = [threading.Thread(target=work, args=(side,)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = []
    if problems:
        found.append(("-", "broke off", [problems.get(side.name, "went on") for side in sides]))
    first, second = (side.transcript for side in sides)  # Kafka, Chronik
    for (step, one), (other_step, other) in zip(first, second):
        if step != other_step:
            found.append((step, "step", [step, other_step]))
            break
        found += [(step, path, values) for path, values in differences(one, other, "")]
    if len(first) != len(second) and not problems:
        found.append(("-", "steps", [len(first), len(second)]))
    return found, len(first)


def differences(one, other, path):
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(set(one) | set(other)):
            at = f"{path}.{name}" if path else name
            yield from differences(one.get(name, "(absent)"), other.get(name, "(absent)"), at)
    elif isinstance(one, list) and isinstance(other, list) and keyed(one) and keyed(other):
        left, right = keyed(one), keyed(other)
        for name in sorted(set(left) | set(right)):
            yield from differences(left.get(name, "(absent)"), right.get(name, "(absent)"), f"{path}[{name}]")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other)):
            yield from differences(*pair, f"{path}[{number}]")
    elif one != other:
        yield path, [one, other]


def keyed(items):
    """Elements by their name or key, where each has another."""
    for key in ("Name", "Topic", "TopicId", "ApiKey", "GroupId", "ResourceName", "PartitionIndex", "Partition", "Index"):
        if items and all(isinstance(one, dict) and one.get(key) is not None for one in items):
            found = {one[key]: one for one in items}
            return found if len(found) == len(items) else None
    return None
