"""Writes and reads every version of every message from the schemas inside Kafka's own jar.

A message is a dict with the schema's field names. Fields that are left out take the schema's default; fields that a
version does not have are not written. Nothing of Chronik's is used here.
"""

import json
import re
import struct
import uuid
import zipfile

INTEGERS = {"int8": "!b", "int16": "!h", "uint16": "!H", "int32": "!i", "uint32": "!I", "int64": "!q"}
INTEGERS["float64"] = "!d"
FOREVER = 32767


def span(text):
    """(first, last) of a range of versions like "3", "0-7", "5+" or "none"."""
    if not text or text == "none":
        return (1, 0)
    first, _, last = text.partition("-")
    if text.endswith("+"):
        return (int(text[:-1]), FOREVER)
    return (int(first), int(last or first))


def within(version, text):
    first, last = span(text)
    return first <= version <= last


class Schemas:
    """The requests and responses of one release."""

    def __init__(self, jar):
        self.requests, self.responses = {}, {}
        with zipfile.ZipFile(jar) as archive:
            for entry in archive.namelist():
                if re.match(r"common/message/\w+(Request|Response)\.json$", entry):
                    self._add(archive.read(entry).decode())

    def _add(self, text):
        schema = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
        if "fields" not in schema:
            return  # a message that was removed
        name = schema["name"]
        if name.endswith("Request"):
            self.requests[name[: -len("Request")]] = Message(schema)
        else:
            self.responses[name[: -len("Response")]] = Message(schema)

    def versions(self, name):
        first, last = span(self.requests[name].schema["validVersions"])
        unstable = self.requests[name].schema.get("latestVersionUnstable", False)
        return range(first, last if unstable else last + 1)

    def request(self, name, version, correlation, body, client_id):
        """A whole frame."""
        message = self.requests[name]
        header = struct.pack("!hhi", message.schema["apiKey"], version, correlation)
        header += struct.pack("!h", len(client_id)) + client_id.encode()
        header += b"\0" if message.is_flexible(version) else b""
        payload = header + message.encode(version, body)
        return struct.pack("!i", len(payload)) + payload

    def response(self, name, version, data):
        """What follows the correlation id."""
        message = self.responses[name]
        reader = Reader(data)
        if message.is_flexible(version) and name != "ApiVersions":
            reader.skip_tags()
        value = message.decode(version, reader)
        assert reader.at == len(data), f"{len(data) - reader.at} bytes too many in {name} v{version}"
        return value


class Message:
    """The layout of one message."""

    def __init__(self, schema):
        self.schema = schema
        self.structs = {common["name"]: common["fields"] for common in schema.get("commonStructs", [])}
        self._collect(schema["fields"])

    def _collect(self, fields):
        for field in fields:
            if "fields" in field:
                self.structs[field["type"].removeprefix("[]")] = field["fields"]
                self._collect(field["fields"])

    def is_flexible(self, version):
        return within(version, self.schema["flexibleVersions"])

    def encode(self, version, body):
        return self._write_struct(version, self.schema["fields"], body)

    def decode(self, version, reader):
        return self._read_struct(version, self.schema["fields"], reader)

    # Writing

    def _write_struct(self, version, fields, body):
        unknown = set(body) - {field["name"] for field in fields}
        assert not unknown, f"{self.schema['name']} has no {unknown}"
        out, tagged = b"", []
        for field in fields:
            if not within(version, field["versions"]):
                continue
            value = body[field["name"]] if field["name"] in body else self._default(version, field)
            if within(version, field.get("taggedVersions")):
                if field["name"] in body:
                    tagged.append((field["tag"], self._write(version, field, field["type"], value)))
            else:
                out += self._write(version, field, field["type"], value)
        if self.is_flexible(version):
            out += unsigned(len(tagged))
            for tag, data in sorted(tagged):
                out += unsigned(tag) + unsigned(len(data)) + data
        return out

    def _default(self, version, field):
        kind, default = field["type"], field.get("default")
        if default == "null":
            return None
        if kind.startswith("[]"):
            return []
        if kind in ("string", "bytes", "records"):
            return default or ("" if kind == "string" else b"")
        if kind == "uuid":
            return uuid.UUID(int=0)
        if kind == "bool":
            return default in (True, "true")
        if kind in INTEGERS:
            return int(str(default or "0"), 0)
        return {}

    def _write(self, version, field, kind, value):
        flexible = self.is_flexible(version)
        nullable = within(version, field.get("nullableVersions"))
        if kind.startswith("[]"):
            assert value is not None or nullable, f"{field['name']} may not be null in version {version}"
            count = -1 if value is None else len(value)
            out = unsigned(count + 1) if flexible else struct.pack("!i", count)
            return out + b"".join(self._write(version, {"name": field["name"]}, kind[2:], one) for one in value or [])
        if kind == "string":
            raw = None if value is None else value.encode()
            count = -1 if raw is None else len(raw)
            return (unsigned(count + 1) if flexible else struct.pack("!h", count)) + (raw or b"")
        if kind in ("bytes", "records"):
            count = -1 if value is None else len(value)
            return (unsigned(count + 1) if flexible else struct.pack("!i", count)) + (value or b"")
        if kind == "uuid":
            return value.bytes
        if kind == "bool":
            return b"\1" if value else b"\0"
        if kind in INTEGERS:
            return struct.pack(INTEGERS[kind], value)
        if nullable:
            return b"\xff" if value is None else b"\1" + self._write_struct(version, self.structs[kind], value)
        return self._write_struct(version, self.structs[kind], value)

    # Reading

    def _read_struct(self, version, fields, reader):
        fields = [field for field in fields if within(version, field["versions"])]
        value, tags = {}, {}
        for field in fields:
            if within(version, field.get("taggedVersions")):
                tags[field["tag"]] = field
            else:
                value[field["name"]] = self._read(version, field, field["type"], reader)
        if self.is_flexible(version):
            for _ in range(reader.unsigned()):
                tag = reader.unsigned()
                inner = Reader(reader.take(reader.unsigned()))
                assert tag in tags, f"unknown tag {tag} in {self.schema['name']} v{version}"
                value[tags[tag]["name"]] = self._read(version, tags[tag], tags[tag]["type"], inner)
                assert inner.at == len(inner.data), f"bytes left in tag {tag}"
        return value

    def _read(self, version, field, kind, reader):
        flexible = self.is_flexible(version)
        nullable = within(version, field.get("nullableVersions"))

        def length(width):
            count = reader.unsigned() - 1 if flexible else reader.integer(width)
            assert count >= 0 or nullable, f"{field['name']} is null in {self.schema['name']} v{version}"
            return count

        if kind.startswith("[]"):
            count = length("int32")
            element = {"name": field["name"]}
            return None if count < 0 else [self._read(version, element, kind[2:], reader) for _ in range(count)]
        if kind == "string":
            count = length("int16")
            return None if count < 0 else reader.take(count).decode()
        if kind in ("bytes", "records"):
            count = length("int32")
            return None if count < 0 else bytes(reader.take(count))
        if kind == "uuid":
            return uuid.UUID(bytes=bytes(reader.take(16)))
        if kind == "bool":
            return reader.take(1) != b"\0"
        if kind in INTEGERS:
            return reader.integer(kind)
        if nullable and reader.integer("int8") < 0:
            return None
        return self._read_struct(version, self.structs[kind], reader)


class Reader:
    """Takes values from bytes, and never more than there are."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert 0 <= count <= len(self.data) - self.at, f"{count} bytes wanted at {self.at} of {len(self.data)}"
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, kind):
        return struct.unpack(INTEGERS[kind], self.take(struct.calcsize(INTEGERS[kind])))[0]

    def unsigned(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def skip_tags(self):
        for _ in range(self.unsigned()):
            self.unsigned()
            self.take(self.unsigned())


def unsigned(number):
    """An unsigned varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])
