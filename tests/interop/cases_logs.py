"""Records: produce, fetch, offsets, epochs and producer ids."""

import struct
import time
import uuid
import zlib

from sides import ZERO, case
from wire import batch, crc32c, varint

STRANGER = uuid.UUID("11111111-2222-3333-4444-555555555555")
LATEST, EARLIEST, LARGEST_TIME, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = -1, -2, -3, -4, -5, -6


def edited(data, at, form, *values, crc=True):
    """A batch with some header fields replaced."""
    data = bytearray(data)
    struct.pack_into(form, data, at, *values)
    if crc:
        struct.pack_into("!I", data, 17, crc32c(bytes(data[21:])))
    return bytes(data)


def attributes(data, bits):
    return edited(data, 21, "!h", bits)


def keyed(pairs, timestamp=1_500_000_000_000, times=None):
    """A batch of records with keys; `times` are differences to the first."""
    out = bytearray()
    times = times or [0] * len(pairs)
    for number, ((key, value), delta) in enumerate(zip(pairs, times)):
        record = b"\0" + varint(delta) + varint(number)
        for part in (key, value):
            record += varint(-1) if part is None else varint(len(part)) + part
        record += varint(0)
        out += varint(len(record)) + record
    last = len(pairs) - 1
    tail = struct.pack("!hiqqqhii", 0, last, timestamp, timestamp + max(times), -1, -1, -1, len(pairs)) + out
    body = struct.pack("!ibI", -1, 2, crc32c(tail)) + tail
    return struct.pack("!qi", 0, len(body)) + body


def gzipped(data):
    """The batch with its records compressed."""
    packer = zlib.compressobj(wbits=31)
    records = packer.compress(data[61:]) + packer.flush()
    out = bytearray(data[:61] + records)
    struct.pack_into("!i", out, 8, len(out) - 12)
    return attributes(bytes(out), 1)


def old_set(magic, value=b"old"):
    """A message set of one message of format 0 or 1."""
    tail = struct.pack("!bb", magic, 0) + (struct.pack("!q", 1_500_000_000_000) if magic else b"")
    tail += struct.pack("!i", -1) + struct.pack("!i", len(value)) + value
    message = struct.pack("!I", zlib.crc32(tail)) + tail
    return struct.pack("!qi", 0, len(message)) + message


class Log:
    """A topic of a case, to write the cases shortly. With `fresh` every produce goes to the next partition."""

    def __init__(self, side, name, partitions=1, fresh=False, **configs):
        self.side, self.name, self.fresh, self.next = side, name, fresh, 0
        self.id = side.topic(name, partitions, **configs)

    def produce(self, step, records, version=None, partition=0, acks=-1, transactional=None):
        side = self.side
        version = side.newest("Produce") if version is None else version
        if self.fresh:
            partition, self.next = self.next, self.next + 1
        topic = dict(TopicId=self.id) if version >= 13 else dict(Name=self.name)
        topic["PartitionData"] = [dict(Index=partition, Records=records)]
        body = dict(Acks=acks, TimeoutMs=5000, TopicData=[topic], TransactionalId=transactional)
        return side.call("Produce", version, step, **body)

    def part(self, offset, partition=0, limit=1 << 20, **more):
        return dict(Partition=partition, FetchOffset=offset, PartitionMaxBytes=limit, **more)

    def fetch(self, step, *parts, version=None, wait=0, least=1, limit=1 << 20, isolation=0, **more):
        side = self.side
        version = side.newest("Fetch") if version is None else version
        topic = dict(TopicId=self.id) if version >= 13 else dict(Topic=self.name)
        topic["Partitions"] = list(parts)
        body = dict(ReplicaId=-1) if version < 15 else {}
        body.update(MaxWaitMs=wait, MinBytes=least, MaxBytes=limit, IsolationLevel=isolation, Topics=[topic], **more)
        return side.call("Fetch", version, step, **body)

    def offsets(self, step, timestamp, version=None, partition=0, isolation=0, epoch=-1):
        side = self.side
        version = side.newest("ListOffsets") if version is None else version
        part = dict(PartitionIndex=partition, Timestamp=timestamp)
        if version >= 4:
            part["CurrentLeaderEpoch"] = epoch
        body = dict(ReplicaId=-1, Topics=[dict(Name=self.name, Partitions=[part])])
        if version >= 2:
            body["IsolationLevel"] = isolation
        if version >= 10:
            body["TimeoutMs"] = 5000
        return side.call("ListOffsets", version, step, **body)

    def epoch(self, step, epoch, version=None, partition=0, current=-1):
        side = self.side
        version = side.newest("OffsetForLeaderEpoch") if version is None else version
        part = dict(Partition=partition, LeaderEpoch=epoch, CurrentLeaderEpoch=current)
        body = dict(Topics=[dict(Topic=self.name, Partitions=[part])])
        if version >= 3:
            body["ReplicaId"] = -1
        return side.call("OffsetForLeaderEpoch", version, step, **body)


@case
def produce(side):
    log = Log(side, "produce", 3)
    for version in side.versions("Produce"):
        log.produce("plain", batch([b"a", b"b"]), version)
        log.produce("acks 1", batch([b"a"]), version, acks=1)
        log.produce("acks 2", batch([b"a"]), version, acks=2)
        log.produce("acks -2", batch([b"a"]), version, acks=-2)
        log.produce("unknown partition", batch([b"a"]), version, partition=7)
        log.produce("negative partition", batch([b"a"]), version, partition=-1)
        unknown = dict(TopicId=STRANGER) if version >= 13 else dict(Name="produce.unknown")
        part = [dict(Index=0, Records=batch([b"a"]))]
        body = dict(Acks=-1, TimeoutMs=5000)
        side.call("Produce", version, "unknown topic", TopicData=[dict(unknown, PartitionData=part)], **body)
        known = dict(TopicId=log.id) if version >= 13 else dict(Name=log.name)
        bad = [dict(known, PartitionData=part), dict(unknown, PartitionData=part)]
        side.call("Produce", version, "one unknown topic", TopicData=bad, **body)
        two = [dict(Index=0, Records=batch([b"a"])), dict(Index=1, Records=edited(batch([b"a"]), 17, "!I", 1, crc=False))]
        side.call("Produce", version, "one bad partition", TopicData=[dict(known, PartitionData=two)], **body)
        side.call("Produce", version, "no topics", TopicData=[], **body)
        side.call("Produce", version, "no partitions", TopicData=[dict(known, PartitionData=[])], **body)
        # Null records are left out: Kafka never answers them.
        log.produce("no records", b"", version)
        log.produce("two batches", batch([b"a"]) + batch([b"b"]), version)
        twice = [dict(Index=2, Records=batch([b"a"]))] * 2
        side.call("Produce", version, "twice a partition", TopicData=[dict(known, PartitionData=twice)], **body)
    for name in ("a b", "", "x" * 250):
        part = [dict(Index=0, Records=batch([b"a"]))]
        side.call("Produce", 9, f"to {name[:9]!r}", TopicData=[dict(Name=name, PartitionData=part)], Acks=-1, TimeoutMs=5000)
    side.call("Produce", 13, "to the id zero", TopicData=[dict(TopicId=ZERO, PartitionData=part)], Acks=-1, TimeoutMs=5000)
    part = [dict(Index=0, Records=batch([b"a"]))]
    side.call(
        "Produce", 9, "to an internal topic", TopicData=[dict(Name="__consumer_offsets", PartitionData=part)], Acks=-1, TimeoutMs=5000
    )
    log.fetch("all of it", log.part(0), version=12)


@case
def produce_damaged(side):
    good = batch([b"a", b"b", b"c"])
    for version in (3, 9, 12):
        log = Log(side, f"damaged.v{version}", 40, fresh=True)
        log.produce("wrong crc", edited(good, 17, "!I", 1, crc=False), version)
        log.produce("base offset 5", edited(good, 0, "!q", 5), version)
        log.produce("leader epoch 9", edited(good, 12, "!i", 9), version)
        log.produce("length too large", edited(good, 8, "!i", len(good)), version)
        log.produce("length too small", edited(good, 8, "!i", len(good) - 13), version)
        log.produce("length 0", edited(good, 8, "!i", 0), version)
        log.produce("length negative", edited(good, 8, "!i", -1), version)
        log.produce("bytes after it", good + b"\0\0\0", version)
        log.produce("a part", good[:40], version)
        log.produce("few bytes", good[:10], version)
        log.produce("magic 3", edited(good, 16, "!b", 3), version)
        log.produce("magic -1", edited(good, 16, "!b", -1), version)
        log.produce("magic 1", old_set(1), version)
        log.produce("magic 0", old_set(0), version)
        log.produce("count 2", edited(good, 57, "!i", 2), version)
        log.produce("count 4", edited(good, 57, "!i", 4), version)
        log.produce("count 0", edited(good, 57, "!i", 0), version)
        log.produce("count -1", edited(good, 57, "!i", -1), version)
        log.produce("last delta 1", edited(good, 23, "!i", 1), version)
        log.produce("last delta 5", edited(good, 23, "!i", 5), version)
        log.produce("last delta -1", edited(good, 23, "!i", -1), version)
        log.produce("control", attributes(good, 1 << 5), version)
        log.produce("transactional", attributes(good, 1 << 4), version)
        log.produce("log append time", attributes(good, 1 << 3), version)
        log.produce("unknown codec 5", attributes(good, 5), version)
        log.produce("unknown codec 7", attributes(good, 7), version)
        log.produce("unused bit 6", attributes(good, 1 << 6), version)
        log.produce("unused bit 7", attributes(good, 1 << 7), version)
        log.produce("gzip that is none", attributes(good, 1), version)
        log.produce("zstd that is none", attributes(good, 4), version)
        log.produce("gzip", gzipped(good), version)
        log.produce("max time -1", edited(good, 35, "!q", -1), version)
        log.produce("max time of tomorrow", edited(good, 35, "!q", int(time.time() * 1000) + 86400000), version)
    # What is inside of a batch that need not be opened
    log = Log(side, "damaged.inside", 3, fresh=True)
    first = bytearray(good)
    first[61 + 3] = 2  # the first record's offset delta is 1
    log.produce("deltas not rising", edited(bytes(first), 12, "!i", 0))
    first = bytearray(good)
    first[61] = 2  # the first record's length is 1
    log.produce("a record too short", edited(bytes(first), 12, "!i", 0))
    broken = gzipped(good)[:-6]
    log.produce("gzip cut off", edited(broken, 8, "!i", len(broken) - 12))


@case
def produce_damaged_inside(side):
    """Records that are opened, because the topic wants another compression; the checksum is right."""
    good = batch([b"a", b"b", b"c"])
    packed = Log(side, "opened.packed", 7, fresh=True, compression_type="gzip")
    unpacked = Log(side, "opened.unpacked", 9, fresh=True, compression_type="uncompressed")
    for name, at, values in (
        ("a record too short", 61, b"\x02"),
        ("a record too long", 61, b"\x28"),
        ("a record beyond the end", 61, b"\xfe\xff\x7f"),
        ("a negative length", 61, b"\x05"),
        ("a key of length -2", 65, b"\x03"),
        ("a varint without an end", 61, b"\xff" * 6),
        ("deltas not rising", 64, b"\x04"),
    ):
        records = edited(good[:at] + values + good[at + len(values) :], 12, "!i", 0)
        packed.produce(name, records)
        unpacked.produce(f"{name}, gzip", gzipped(records))
    broken = gzipped(good)[:-6]
    unpacked.produce("gzip cut off", edited(broken, 8, "!i", len(broken) - 12))
    unpacked.produce("lz4 that is none", attributes(good, 3))


@case
def produce_limits(side):
    log = Log(side, "limits", max_message_bytes="200")
    log.produce("at the limit", batch([b"x" * (200 - 70)]))
    log.produce("201 bytes", batch([b"x" * (200 - 69 + 1)]))
    log.produce("large", batch([b"x" * 1000]))
    log.produce("two, one large", batch([b"x"]) + batch([b"x" * 1000]), 9)
    compact = Log(side, "compacted", cleanup_policy="compact")
    compact.produce("no key", batch([b"a", b"b"]))
    compact.produce("one key", keyed([(b"k", b"1"), (None, b"2"), (None, b"3")]))
    compact.produce("keys", keyed([(b"k", b"1"), (b"k", None)]))
    compact.produce("no key, gzip", gzipped(batch([b"a"])))
    compact.produce("no key v7", batch([b"a"]), 7)
    stamped = Log(side, "stamped", message_timestamp_type="LogAppendTime")
    for version in side.versions("Produce"):
        stamped.produce("stamped", batch([b"a"]), version)
    stamped.fetch("stamped", stamped.part(0))
    timely = Log(side, "timely", message_timestamp_before_max_ms="1000", message_timestamp_after_max_ms="1000")
    now = int(time.time() * 1000)
    timely.produce("now", batch([b"a"], timestamp=now))
    for step, when in (("old", now - 60000), ("new", now + 60000), ("none", -1), ("negative", -5)):
        timely.produce(step, batch([b"a"], timestamp=when))
    timely.produce("one of three is old", keyed([(None, b"a"), (None, b"b"), (None, b"c")], now, [0, -60000, 0]))
    log.produce("time -1", batch([b"a"], timestamp=-1))
    log.produce("time -2", batch([b"a"], timestamp=-2))
    packed = Log(side, "packed", compression_type="gzip")
    packed.produce("to be packed", batch([b"a", b"b"]))
    unpacked = Log(side, "unpacked", compression_type="uncompressed")
    unpacked.produce("to be unpacked", gzipped(batch([b"a", b"b"])))
    unpacked.fetch("unpacked", unpacked.part(0))
    packed = Log(side, "packed.small", compression_type="gzip", max_message_bytes="200")
    packed.produce("at the limit, to be packed", batch([b"x" * (200 - 70)]))
    packed.produce("small when packed", batch([b"x" * 1000]))
    unpacked = Log(side, "unpacked.small", compression_type="uncompressed", max_message_bytes="200")
    unpacked.produce("large when unpacked", gzipped(batch([b"x" * 1000])))
    zstd = attributes(batch([b"a"]), 4)
    for version in (3, 6, 7):
        log.produce("zstd", zstd, version)


@case
def acks_0(side):
    log = Log(side, "silent")
    body = dict(Acks=0, TimeoutMs=5000, TopicData=[dict(Name="silent", PartitionData=[dict(Index=0, Records=batch([b"a"]))])])
    link = side.link("silent")
    link.send("Produce", 9, body)
    link.expected.pop()
    link.send("Metadata", 12, dict(Topics=[], AllowAutoTopicCreation=False))
    side.receive("Metadata after acks 0", link="silent")
    side.until("silent record", lambda: side.end_offset("silent") == 1)
    body["TopicData"][0]["Name"] = "silent.unknown"
    link = side.link("silent")
    link.send("Produce", 9, body)
    link.expected.pop()
    link.send("Metadata", 12, dict(Topics=[], AllowAutoTopicCreation=False))
    side.receive("Metadata after acks 0 that failed", link="silent")
    del log


def of_producer(producer, epoch, sequence, count=1, mark=b"v"):
    return batch([mark + bytes([65 + sequence % 26])] * count, producer=(producer, epoch, sequence))


@case
def idempotence(side):
    log = Log(side, "idempotent", 4)
    producer = side.call("InitProducerId", 5, TransactionalId=None, TransactionTimeoutMs=60000)["ProducerId"]
    log.produce("0", of_producer(producer, 0, 0, 3))
    log.produce("3", of_producer(producer, 0, 3, 2))
    log.produce("3 again", of_producer(producer, 0, 3, 2))
    log.produce("0 again", of_producer(producer, 0, 0, 3))
    log.produce("gap", of_producer(producer, 0, 7))
    log.produce("overlap", of_producer(producer, 0, 4, 3))
    log.produce("the same begin, other count", of_producer(producer, 0, 3, 1))
    for sequence in range(5, 11):
        log.produce(f"{sequence}", of_producer(producer, 0, sequence))
    log.produce("0 after six more", of_producer(producer, 0, 0, 3))
    log.produce("6 again", of_producer(producer, 0, 6))
    log.produce("5 again", of_producer(producer, 0, 5))
    log.produce("epoch 1, not from 0", of_producer(producer, 1, 5))
    log.produce("epoch 1 from 0", of_producer(producer, 1, 0))
    log.produce("epoch 0", of_producer(producer, 0, 11))
    log.produce("epoch 0, a duplicate once", of_producer(producer, 0, 10))
    log.produce("epoch 1, 1", of_producer(producer, 1, 1))
    log.produce("epoch 3 from 0", of_producer(producer, 3, 0))
    log.produce("epoch -1", of_producer(producer, -1, 1), 9)
    log.produce("epoch -1 of an unknown producer", of_producer(987653, -1, 1), 9, partition=3)
    log.produce("sequence -1", of_producer(producer, 3, -1), 9)
    log.produce("unknown producer, from 9", of_producer(987654, 0, 9), partition=1)
    log.produce("unknown producer, 10", of_producer(987654, 0, 10), partition=1)
    log.produce("unknown producer, epoch 4", of_producer(987655, 4, 2), partition=1)
    log.produce("the last sequence", of_producer(987656, 0, 2147483646, 2), partition=2)
    log.produce("around to 0", of_producer(987656, 0, 0), partition=2)
    log.produce("beyond", of_producer(987657, 0, 2147483646, 4), partition=2)
    log.produce("1 after beyond", of_producer(987657, 0, 2), partition=2)
    log.produce("two batches", of_producer(987658, 0, 0) + of_producer(987658, 0, 1), 9, partition=2)
    for version in (3, 7, 8, 11, 12):
        log.produce("gap", of_producer(producer, 3, 90), version)
        log.produce("old epoch", of_producer(producer, 1, 90), version)
    log.produce("a transactional name", attributes(of_producer(producer, 3, 1), 16), transactional="some")
    log.produce("a transactional name, plain records", of_producer(producer, 3, 1), transactional="some")
    for partition in range(3):
        log.fetch(f"partition {partition}", log.part(0, partition))


@case
def init_producer_id(side):
    for version in side.versions("InitProducerId"):
        body = dict(TransactionalId=None, TransactionTimeoutMs=60000)
        first = side.call("InitProducerId", version, **body)
        second = side.call("InitProducerId", version, "again", **body)
        side.note("another one", first["ProducerId"] != second["ProducerId"])
        side.call("InitProducerId", version, "timeout 0", TransactionalId=None, TransactionTimeoutMs=0)
        side.call("InitProducerId", version, "timeout -1", TransactionalId=None, TransactionTimeoutMs=-1)
        side.call("InitProducerId", version, "an empty name", TransactionalId="", TransactionTimeoutMs=60000)
        if version >= 3:
            for producer, epoch in ((first["ProducerId"], 0), (-1, 0), (first["ProducerId"], -1), (55, 3), (-2, -1)):
                label = f"with id {producer if producer < 99 else ''}, epoch {epoch}"
                if producer == first["ProducerId"]:
                    label = f"with its own id, epoch {epoch}"
                side.call("InitProducerId", version, label, ProducerId=producer, ProducerEpoch=epoch, **body)
        side.symbols.clear()


@case
def fetch_rules(side):
    log = Log(side, "fetched", 3)
    side.write("fetched", *[batch([bytes([65 + n]) * 50]) for n in range(4)], batch([b"x"] * 5))
    side.write("fetched", batch([b"p1"]), partition=1)
    size = len(batch([b"A" * 50]))
    for version in side.versions("Fetch"):
        for offset in range(0, 10):
            log.fetch(f"from {offset}", log.part(offset), version=version)
        for offset in (10, -1, -2, 1 << 40):
            log.fetch(f"from {offset}", log.part(offset), version=version)
        log.fetch("unknown partition", log.part(0, 9), version=version)
        log.fetch("negative partition", log.part(0, -1), version=version)
        log.fetch("limit 0", log.part(0), version=version, limit=0)
        log.fetch("limit 1", log.part(0), version=version, limit=1)
        log.fetch("one and a half", log.part(0), version=version, limit=size + size // 2)
        log.fetch("partition limit 0", log.part(0, limit=0), version=version)
        log.fetch("partition limit 1", log.part(0, limit=1), version=version)
        log.fetch("partition limit one and a half", log.part(0, limit=size + size // 2), version=version)
        log.fetch("partition limit two", log.part(0, limit=2 * size), version=version)
        log.fetch("both, partition limits 1", log.part(0, 0, 1), log.part(0, 1, 1), version=version)
        log.fetch("empty first, limits 1", log.part(0, 2, 1), log.part(0, 1, 1), log.part(0, 0, 1), version=version)
        log.fetch("limit of the first", log.part(0, 0), log.part(0, 1), version=version, limit=size)
        log.fetch("one bad, one good", log.part(0, 9), log.part(0, 1), version=version)
        log.fetch("out of range, a good one, a long wait", log.part(99, 0), log.part(1, 1), version=version, wait=10000, least=1)
        log.fetch("committed", log.part(0), version=version, isolation=1)
        log.fetch("committed, at the end", log.part(9), version=version, isolation=1)
        log.fetch("wait in vain", log.part(9), version=version, wait=30, least=1)
        log.fetch("least 0 at once", log.part(9), version=version, wait=10000, least=0)
        log.fetch("unknown partition at once", log.part(0, 9), version=version, wait=10000, least=1)
        log.fetch("no partitions", version=version)
        unknown = dict(TopicId=STRANGER) if version >= 13 else dict(Topic="fetch.unknown")
        body = dict(MaxWaitMs=10000, MinBytes=1, MaxBytes=1 << 20)
        side.call("Fetch", version, "unknown topic", Topics=[dict(unknown, Partitions=[log.part(0)])], **body)
        known = dict(TopicId=log.id) if version >= 13 else dict(Topic=log.name)
        both = [dict(unknown, Partitions=[log.part(0)]), dict(known, Partitions=[log.part(8, 0)])]
        side.call("Fetch", version, "known and unknown", Topics=both, **body)
        side.call("Fetch", version, "no topics", Topics=[], **dict(body, MaxWaitMs=0))
        twice = [dict(known, Partitions=[log.part(0, 1), log.part(0, 1)])]
        side.call("Fetch", version, "twice a partition", Topics=twice, **body)
        if version >= 9:
            for epoch in (0, 1, 5, -2):
                log.fetch(f"leader epoch {epoch}", log.part(8, CurrentLeaderEpoch=epoch), version=version, wait=10000)
        if version >= 12:
            for epoch in (0, 1, 5, -2):
                log.fetch(f"last epoch {epoch}", log.part(8, LastFetchedEpoch=epoch), version=version, wait=10000)
                log.fetch(f"last epoch {epoch} at the end", log.part(9, LastFetchedEpoch=epoch), version=version)
    side.call("Fetch", 12, "of no name", Topics=[dict(Topic="", Partitions=[log.part(0)])], MaxWaitMs=0, MinBytes=1, MaxBytes=99)
    side.call("Fetch", 13, "of the id zero", Topics=[dict(TopicId=ZERO, Partitions=[log.part(0)])], MaxWaitMs=0, MinBytes=1, MaxBytes=99)


@case
def fetch_sessions(side):
    log = Log(side, "sessions")
    side.write("sessions", batch([b"a"]))
    for version in side.versions("Fetch", first=7):
        for session, epoch in ((0, -1), (0, 0), (7, 0), (7, -1), (7, 1), (0, 1)):
            log.fetch(f"session {session} epoch {epoch}", log.part(0), version=version, SessionId=session, SessionEpoch=epoch)


@case
def fetch_wakes(side):
    log = Log(side, "woken")
    topic = dict(TopicId=log.id, Partitions=[log.part(0)])
    body = dict(MaxWaitMs=10000, MinBytes=100, MaxBytes=1 << 20, Topics=[topic])
    side.send("Fetch", 18, link="waits", **body)
    side.write("woken", batch([b"a"]))
    side.write("woken", batch([b"b"]))
    side.receive("woken by the second", link="waits")


@case
def list_offsets(side):
    log = Log(side, "listed", 2)
    base = 1_500_000_000_000
    for step in ("empty", "filled"):
        for version in side.versions("ListOffsets"):
            for when in (LATEST, EARLIEST, LARGEST_TIME, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING, -7, -100):
                log.offsets(f"{step} {when}", when, version)
            for when in (0, base, base + 1, base + 5, base + 10, base + 11, base + 15, base + 100, base + 101, 1 << 60):
                log.offsets(f"{step} {when - base if when >= base else when}", when, version)
            log.offsets(f"{step} unknown partition", LATEST, version, partition=9)
            log.offsets(f"{step} negative partition", LATEST, version, partition=-1)
            if version >= 2:
                log.offsets(f"{step} committed", LATEST, version, isolation=1)
                log.offsets(f"{step} committed, by time", base, version, isolation=1)
                log.offsets(f"{step} committed, largest", LARGEST_TIME, version, isolation=1)
                log.offsets(f"{step} isolation 2", LATEST, version, isolation=2)
            if version >= 4:
                for epoch in (0, 1, 5, -2):
                    log.offsets(f"{step} epoch {epoch}", LATEST, version, epoch=epoch)
                    log.offsets(f"{step} by time, epoch {epoch}", base, version, epoch=epoch)
            names = [dict(Name="list.unknown", Partitions=[dict(PartitionIndex=0, Timestamp=-1)])]
            names.append(dict(Name="a b", Partitions=[dict(PartitionIndex=0, Timestamp=-1)]))
            side.call("ListOffsets", version, f"{step} unknown topics", ReplicaId=-1, Topics=names)
            twice = [dict(Name="listed", Partitions=[dict(PartitionIndex=0, Timestamp=-1), dict(PartitionIndex=0, Timestamp=-2)])]
            side.call("ListOffsets", version, f"{step} twice a partition", ReplicaId=-1, Topics=twice)
            twice = [dict(Name="listed", Partitions=[dict(PartitionIndex=0, Timestamp=-1), dict(PartitionIndex=1, Timestamp=-1)])]
            side.call("ListOffsets", version, f"{step} two partitions", ReplicaId=-1, Topics=twice)
            side.call("ListOffsets", version, f"{step} no topics", ReplicaId=-1, Topics=[])
        # Times out of order, inside of a batch and between batches, one of them compressed.
        pairs = [(None, bytes([65 + n])) for n in range(3)]
        side.write("listed", keyed(pairs, base, [0, 10, 5]), keyed(pairs, base + 100, [0, 0, 0]))
        side.write("listed", gzipped(keyed(pairs, base + 11, [0, 4, 89])), keyed(pairs, base + 50, [0, 50, 50]))


@case
def largest_times(side):
    log = Log(side, "timeless")
    log.offsets("empty", LARGEST_TIME)
    for step in ("one batch", "two batches"):
        side.write("timeless", keyed([(None, b"a"), (None, b"b")], -1))
        log.offsets(f"{step} without a time", LARGEST_TIME)
    side.write("timeless", keyed([(None, b"a"), (None, b"b")], 1_500_000_000_000))
    log.offsets("and one with a time", LARGEST_TIME)
    log = Log(side, "largest")
    pairs = [(None, bytes([65 + n])) for n in range(3)]
    side.write("largest", keyed(pairs, 1_500_000_000_000, [0, 100, 50]), keyed(pairs, 1_500_000_000_000, [10, 20, 30]))
    for offset in (1, 2, 3, 5, 6):
        parts = [dict(PartitionIndex=0, Offset=offset)]
        side.ask("DeleteRecords", TimeoutMs=5000, Topics=[dict(Name="largest", Partitions=parts)])
        log.offsets(f"deleted below {offset}", LARGEST_TIME)


@case
def leader_epochs(side):
    log = Log(side, "epochs")
    for step in ("empty", "filled"):
        for version in side.versions("OffsetForLeaderEpoch"):
            for epoch in (0, 1, 5, -1, -2):
                log.epoch(f"{step} of {epoch}", epoch, version)
            for current in (0, 1, -2):
                log.epoch(f"{step} of 0, current {current}", 0, version, current=current)
            log.epoch(f"{step} unknown partition", 0, version, partition=9)
            log.epoch(f"{step} negative partition", 0, version, partition=-1)
            names = [dict(Topic="epoch.unknown", Partitions=[dict(Partition=0, LeaderEpoch=0)])]
            side.call("OffsetForLeaderEpoch", version, f"{step} unknown topic", Topics=names)
            side.call("OffsetForLeaderEpoch", version, f"{step} none", Topics=[])
        side.write("epochs", batch([b"a", b"b"]))


@case
def deleted_topics(side):
    log = Log(side, "gone")
    side.write("gone", batch([b"a"]))
    body = dict(MaxWaitMs=2000, MinBytes=1, MaxBytes=1000)
    by_id = [dict(TopicId=log.id, Partitions=[log.part(1)])]
    by_name = [dict(Topic="gone", Partitions=[log.part(1)])]
    side.send("Fetch", 18, link="by id", Topics=by_id, **body)
    side.send("Fetch", 12, link="by name", Topics=by_name, **body)
    side.ask("DeleteTopics", 5, TopicNames=["gone"], TimeoutMs=10000)
    for link in ("by id", "by name"):
        # Which error it is, depends in Kafka on how far the deletion has come.
        part = side.link(link).receive()["Responses"][0]["Partitions"][0]
        side.note(f"waiting {link} is told", part["ErrorCode"] != 0)
    side.gone("gone")
    for step in ("gone", "made anew"):
        log.fetch(f"by id, {step}", log.part(0), version=18, wait=0)
        log.produce(f"by id, {step}", batch([b"b"]), 13)
        if step == "gone":
            log.fetch("by name, gone", log.part(0), version=12, wait=0)
            log.produce("by name, gone", batch([b"b"]), 12)
            log.offsets("gone", LATEST)
            log.epoch("gone", 0)
            side.topic("gone")
    log.offsets("made anew", LATEST)
    log.fetch("by name, made anew", log.part(0), version=12)


@case
def deleted_records(side):
    log = Log(side, "cleared", 2)
    Log(side, "cleared.compacted", **{"cleanup.policy": "compact"})
    Log(side, "cleared.both", **{"cleanup.policy": "compact,delete"})
    side.write("cleared.both", keyed([(b"k", b"v")]))

    def delete(step, version, *parts, topic="cleared"):
        parts = [dict(PartitionIndex=partition, Offset=offset) for partition, offset in parts]
        body = dict(TimeoutMs=5000, Topics=[dict(Name=topic, Partitions=parts)])
        side.call("DeleteRecords", version, step, **body)

    for version in side.versions("DeleteRecords"):
        step = f"v{version}"
        if version == 0:
            delete(f"{step} of an empty log", version, (0, 0), (1, -1))
        side.write("cleared", batch([b"a", b"b", b"c"]), batch([b"d", b"e"]))
        start = 5 * version
        delete(f"{step} within a batch", version, (0, start + 1))
        log.offsets(f"{step} within a batch: earliest", EARLIEST)
        log.offsets(f"{step} within a batch: by time", 0)
        log.fetch(f"{step} below", log.part(start))
        log.fetch(f"{step} there", log.part(start + 1))
        delete(f"{step} below the first offset", version, (0, start))
        delete(f"{step} to the end of a batch", version, (0, start + 3))
        log.epoch(f"{step} epoch", 0)
        for offset in (start + 6, 1 << 62, -2, -(1 << 63)):
            delete(f"{step} to {offset}", version, (0, offset))
        delete(f"{step} unknown partition", version, (2, 0))
        delete(f"{step} negative partition", version, (-1, 0))
        delete(f"{step} unknown topic", version, (0, 0), topic="cleared.unknown")
        delete(f"{step} no name", version, (0, 0), topic="")
        delete(f"{step} compacted", version, (0, 0), topic="cleared.compacted")
        delete(f"{step} both", version, (0, 0), topic="cleared.both")
        delete(f"{step} internal", version, (0, 0), topic="__consumer_offsets")
        delete(f"{step} twice a partition", version, (1, 0), (1, -1))
        delete(f"{step} no partitions", version)
        side.call("DeleteRecords", version, f"{step} no topics", TimeoutMs=5000, Topics=[])
        delete(f"{step} everything", version, (0, -1))
        log.offsets(f"{step} everything: earliest", EARLIEST)
        log.offsets(f"{step} everything: latest", LATEST)
        log.offsets(f"{step} everything: by time", 0)
        log.fetch(f"{step} everything: at the end", log.part(start + 5))
        log.epoch(f"{step} everything: epoch", 0)
