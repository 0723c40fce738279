"""What the fuzzer says: request frames of every version with names that exist, and what is done to them."""

import pathlib
import re
import struct
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

from wire import crc32c, fetch_body, produce_body, request  # noqa: E402

# Names as long as those in the vectors, so that they can be put in their place.
NAMES = {
    9: [b"fuzztop-%d" % n for n in range(4)] + [b"fuzzgrp-%d" % n for n in range(2)],
    10: [b"fuzztop-%02d" % n for n in range(4)] + [b"fuzzgrp-%02d" % n for n in range(2)],
}
TEXT = re.compile(rb"text-\d{1,2}-\xc3\xa9")
MEMBER = re.compile(rb"(?:vector|raw)-[0-9a-zA-Z_-]{22,36}")
NUMBER = re.compile(rb"\x21\x22[\x00-\x01].", re.DOTALL)
RECORDS = re.compile(rb"(\x00\x00\x00\x03|\x04)\xfe\x00.", re.DOTALL)
NUMBERS = [0, 0, 0, 0, 1, 2, 5, 100, 6000, 30000, 65536, 1 << 20, -1, -2, (1 << 31) - 1, -(1 << 31)]
COUNTS = [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x01\x00\x00", b"\xff\xff\xff\xff\x0f", b"\xff\xff\x03"]
EDGES = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\xff\xff", b"\x7f\xff", b"\x00" * 8, b"\x7f" + b"\xff" * 7]


def hex_blocks(path):
    """The byte strings of a file of hexadecimal lines; a line that begins with `[` begins the next one."""
    blocks, block = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            blocks.append(block)
            block = []
        elif line and line[0] not in "#.":
            block.append(line)
    blocks.append(block)
    return [bytes.fromhex("".join(block)) for block in blocks if block]


class Corpus:
    """Every request vector, every record vector, and a source of randomness."""

    def __init__(self, random):
        self.random = random
        data = ROOT / "tests" / "data"
        paths = sorted((data / "vectors").glob("*Request.hex"))
        self.by_api = [hex_blocks(path) for path in paths]
        # Those with a name in them reach further than those that are empty.
        self.by_api = [[f for f in frames if TEXT.search(f)] * 4 + frames for frames in self.by_api]
        names = [path.name for path in paths]
        self.sequence = [names.index(f"{name}Request.hex") for name in ("Produce", "Fetch", "JoinGroup", "OffsetCommit")]
        self.records = [b for path in sorted((data / "records").glob("*.hex")) for b in hex_blocks(path)]
        # Ids of members that answers have shown.
        self.members = [""]
        self.small = [records for records in self.records if len(records) < 2048]

    def frame(self):
        """A request frame without its length, sane or not."""
        random = self.random
        dice = random.random()
        if dice < 0.3:
            frame = self.sensible()
        elif dice < 0.5:
            frame = self.inhabit(random.choice(self.by_api[random.choice(self.sequence)]))
        else:
            frame = self.inhabit(random.choice(random.choice(self.by_api)))
        doubt = random.random()
        if doubt < 0.45:
            return frame
        for _ in range(1 + int(random.expovariate(0.7))):
            frame = self.mutate(frame)
        return frame

    def sensible(self):
        """A request that a client could send next: records in and out, and the life of a group's member."""
        random = self.random
        name = random.choice(NAMES[9] + NAMES[10]).decode()
        topic, group = name.replace("grp", "top"), name.replace("top", "grp")
        member, generation = random.choice(self.members), random.choice([-1, 0, 1, 2, 3, random.randrange(100)])
        partition, offset = random.choice([0, 0, 1, 2]), random.choice([-1, 0, 1, random.randrange(1000)])
        part = dict(index=partition, offset=offset, metadata=random.choice([None, "", "m" * 4096]))
        whose = dict(group=group, generation=generation, member=member)
        protocol = [dict(name="range", metadata=random.randbytes(random.choice([0, 9, 5000])))]
        share = [dict(member=member, assignment=random.randbytes(random.choice([0, 9, 5000])))]
        timeouts = dict(session_timeout_ms=random.choice([10, 500, 30000]), rebalance_timeout_ms=random.choice([0, 200]))
        api, body = random.choice(
            [
                ("Produce", produce_body(topic, self.forge(), partition, random.choice([-1, 1, 0]))),
                ("Fetch", fetch_body(topic, offset, partition, max_wait_ms=random.choice([0, 50]))),
                ("JoinGroup", dict(group=group, member=member, protocol_type="consumer", protocols=protocol, **timeouts)),
                ("SyncGroup", dict(assignments=share, **whose)),
                ("Heartbeat", whose),
                ("LeaveGroup", dict(group=group, member=member)),
                ("OffsetCommit", dict(retention_ms=-1, topics=[dict(name=topic, partitions=[part])], **whose)),
            ]
        )
        return request(api, random.getrandbits(31), body)[4:]

    def learn(self, answer):
        """Keeps the ids of members in an answer."""
        self.members += [found.decode() for found in MEMBER.findall(answer)]
        self.members = self.members[:1] + self.members[1:][-12:]

    def inhabit(self, frame):
        """Names that exist, numbers that mean something, and records in the place of the vector's own."""
        random = self.random
        frame = TEXT.sub(lambda found: random.choice(NAMES[len(found[0])]), frame)
        frame = NUMBER.sub(lambda _: struct.pack("!i", random.choice(NUMBERS)), frame)
        if frame[:2] == b"\0\0":
            frame = RECORDS.sub(self._with_records, frame)
            # In a vector acks is a number like any other.
            if frame[8:10] == b"\0\x06" and random.random() < 0.8:
                frame = self._with_acks(frame)
        return frame[:4] + struct.pack("!i", random.getrandbits(31)) + frame[8:]

    def _with_acks(self, frame):
        version = struct.unpack("!h", frame[2:4])[0]
        at = 16 if version < 3 else None
        if 3 <= version < 9:
            length = struct.unpack("!h", frame[16:18])[0]
            at = 18 + max(length, 0)
        elif version >= 9:
            at = 17 + max(frame[17], 1)
        acks = struct.pack("!h", self.random.choice([-1, -1, 1, 0]))
        # A transactional id would be refused.
        if version >= 3 and self.random.random() < 0.8:
            head = frame[:16] + b"\xff\xff" if version < 9 else frame[:17] + b"\0"
            return head + acks + frame[at + 2 :]
        return frame[:at] + acks + frame[at + 2 :]

    def _with_records(self, found):
        records = self.forge()
        if len(found[1]) == 4:
            return struct.pack("!i", len(records)) + records
        length, out = len(records) + 1, bytearray()
        while length > 0x7F:
            out.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes(out) + bytes([length]) + records

    def forge(self):
        """A batch or message set of any codec, often damaged, and then often with a checksum that agrees."""
        random = self.random
        if random.random() < 0.3:
            return random.choice(self.records)
        records = bytearray(random.choice(self.small))
        if random.random() < 0.3:
            return bytes(records)
        for _ in range(random.choice([1, 1, 2, 4])):
            at = random.randrange(len(records))
            edge = random.choice(EDGES)
            if random.random() < 0.5:
                records[at] ^= 1 << random.randrange(8)
            else:
                records[at : at + len(edge)] = edge
        if random.random() < 0.15:
            del records[random.randrange(len(records)) :]
        return seal(records) if random.random() < 0.8 else bytes(records)

    def mutate(self, frame):
        """One change that a hostile or broken client could make."""
        random = self.random
        if not frame:
            return frame
        data = bytearray(frame)
        # The first bytes say what it is; they are left alone more often than the others.
        at = random.randrange(len(data)) if random.random() < 0.1 else random.randrange(min(8, len(data) - 1), len(data))
        kind = random.randrange(8)
        if kind == 0:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            edge = random.choice(EDGES)
            data[at : at + len(edge)] = edge
        elif kind == 2:
            count = random.choice(COUNTS)
            data[at : at + len(count)] = count
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[at : at + random.randrange(1, 9)]
        elif kind == 5:
            data[at:at] = random.randbytes(random.randrange(1, 17))
        elif kind == 6:
            other = self.inhabit(random.choice(random.choice(self.by_api)))
            data[at:] = other[random.randrange(len(other)) :]
        else:
            data = self._repeated(data)
        return bytes(data)

    def _repeated(self, data):
        """The same piece again and again, as elements of an array whose count says so where that can be found."""
        random = self.random
        start = random.randrange(len(data))
        piece = bytes(data[start : start + random.randrange(1, 60)])
        times = random.choice([2, 3, 50, 1000])
        for at in range(start - 1, max(start - 5, 7), -1):
            if data[at] in (1, 2):
                data[at : at + 1] = bytes([data[at] - 1 + times]) if times < 100 else b"\xe9\x07"
                break
        data[start:start] = piece * (times - 1)
        return data


def seal(records):
    """Makes lengths and checksums agree with what a single batch or message holds."""
    if len(records) < 26:
        return bytes(records)
    struct.pack_into("!i", records, 8, len(records) - 12)
    if records[16] == 2 and len(records) >= 61:
        struct.pack_into("!I", records, 17, crc32c(records[21:]))
    elif records[16] < 2:
        struct.pack_into("!I", records, 12, zlib.crc32(records[16:]))
    return bytes(records)
