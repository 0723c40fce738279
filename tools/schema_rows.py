#!/usr/bin/env python3
"""Prints `message!` rows from Kafka's JSON schemas.

Usage: schema_rows.py [--max N] DIRECTORY... -- MESSAGE...

A directory holds *.json schemas; a later one wins, and what only an earlier one has (fields of versions that
have been removed since) is kept in its place: the result is the union. `--max` leaves out what newer versions
bring. The rows are where a message file starts; it is then documented and kept by hand.
"""

import json
import pathlib
import re
import sys

TYPES = {
    "bool": "bool", "int8": "i8", "int16": "i16", "uint16": "u16", "int32": "i32", "uint32": "u32",
    "int64": "i64", "float64": "f64", "string": "String", "bytes": "Bytes", "records": "Records",
    "uuid": "TopicId",
}
KEYWORDS = {"type", "match", "ref", "move", "use"}
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
# Structures whose name in the schema says little or too much.
SHORT = {
    "PartitionProduceData": "Partition", "PartitionProduceResponse": "Partition",
    "BatchIndexAndErrorMessage": "RecordError", "LeaderIdAndEpoch": "Leader",
    "TopicProduceData": "Topic", "TopicProduceResponse": "Topic",
    "FetchableTopicResponse": "Topic", "PartitionData": "Partition",
    "OffsetFetchRequestTopics": "GroupTopic", "OffsetFetchResponseTopics": "GroupTopic",
    "OffsetFetchResponsePartitions": "GroupPartition", "MemberIdentity": "Member",
    "DescribedGroup": "Group", "DescribedGroupMember": "Member", "ListedGroup": "Group",
    "CreatableTopic": "Topic", "CreatableReplicaAssignment": "Assignment",
    "CreatableTopicConfig": "Config", "CreatableTopicResult": "Topic", "CreatableTopicConfigs": "Config",
    "DeleteTopicState": "Topic", "DeletableTopicResult": "Topic",
    "OffsetForLeaderTopic": "Topic", "OffsetForLeaderPartition": "Partition",
    "OffsetForLeaderTopicResult": "Topic", "DescribeConfigsResourceResult": "Config",
    "BrokerEndpoint": "Endpoint", "BrokerFeature": "Feature", "MemberMetadata": "Member",
}


def load(path):
    """A schema: JSON with // comments."""
    lines = path.read_text().splitlines()
    return json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))


def bounds(text):
    """`4+` -> (4, None), `1-3` -> (1, 3), `2` -> (2, 2), `none` -> None."""
    if text is None or text == "none":
        return None
    if text.endswith("+"):
        return int(text[:-1]), None
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def join(old, new):
    """The versions of both; only the newer schema knows where a field ends."""
    if old is None or new is None:
        return old or new
    return min(old[0], new[0]), new[1]


def rust_range(span):
    low, high = span
    return f"{low}.." if high is None else f"{low}..={high}"


def merge_fields(old, new):
    """The newer list, with the fields that only the older one has behind their old neighbours."""
    result = [dict(field) for field in new]
    names = [field["name"] for field in result]
    for index, field in enumerate(old):
        if field["name"] in names:
            place = names.index(field["name"])
            newer = result[place]
            for key in ("versions", "nullableVersions"):
                span = join(bounds(field.get(key)), bounds(newer.get(key)))
                newer["_" + key] = span
            if "fields" in field and "fields" in newer:
                newer["fields"] = merge_fields(field["fields"], newer["fields"])
            elif "fields" in field:
                newer["fields"] = field["fields"]
        else:
            place = names.index(old[index - 1]["name"]) + 1 if index else 0
            result.insert(place, dict(field))
            names.insert(place, field["name"])
    return result


def merge(schemas):
    result = None
    for schema in schemas:
        if result is None:
            result = schema
            continue
        older, result = result, dict(schema)
        result["fields"] = merge_fields(older["fields"], schema["fields"])
        result["_valid"] = join(older.get("_valid") or bounds(older["validVersions"]), bounds(schema["validVersions"]))
        known = {struct["name"] for struct in schema.get("commonStructs", [])}
        extra = [s for s in older.get("commonStructs", []) if s["name"] not in known]
        result["commonStructs"] = schema.get("commonStructs", []) + extra
    return result


def snake(name):
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return "r#" + name if name in KEYWORDS else name


def struct_name(message, struct):
    """<Message><Struct>, without saying anything twice."""
    if struct in SHORT:
        return message + SHORT[struct]
    base = re.sub(r"(Request|Response|Record|Value|Key)$", "", message)
    side = message[len(base):]
    if struct.startswith(message):
        return struct
    if re.match(f"{base}[A-Z]", struct):
        struct = struct[len(base):]
    if side in ("Request", "Response"):
        struct = re.sub(f"{side}$", "", struct) or struct
        struct = re.sub(f"^{side}(?=[A-Z])", "", struct)
    return message + struct


class Printer:
    def __init__(self, message, versions_max, docs):
        self.message, self.max, self.docs = message, versions_max, docs
        self.common = {s["name"]: s for s in message.get("commonStructs", [])}
        self.done, self.blocks = set(), []

    def rust_type(self, text):
        if text.startswith("[]"):
            return f"Vec<{self.rust_type(text[2:])}>"
        return TYPES.get(text) or struct_name(self.message["name"], text)

    def default(self, field, kind, nullable):
        value = field.get("default")
        if kind == "Records" or value == "null":
            return None
        if value is None or value == "":
            if not nullable:
                return None
            if kind.startswith("Vec<"):
                return "Some(vec![])"
            return f"Some({kind}::{'new' if kind in ('String', 'Bytes') else 'default'}())"
        if isinstance(value, bool) or value in ("true", "false"):
            return "true" if value in (True, "true") else None
        number = int(str(value), 0)
        largest = 2 ** (BITS[kind] - 1) - 1
        if number in (largest, -largest - 1):
            return f"{kind}::{'MAX' if number > 0 else 'MIN'}"
        return str(number) if number else None

    def row(self, owner, field):
        span = field.get("_versions") or bounds(field["versions"])
        if self.max is not None and span[0] > self.max:
            return None
        if span[1] is not None and span[1] >= self.max:
            span = (span[0], None)
        head = rust_range(span)
        if field.get("ignorable") in (True, "true"):
            head += ", ignorable"
        line = f"[{head}]"
        null = field.get("_nullableVersions") or bounds(field.get("nullableVersions"))
        if null is not None:
            if null[1] is not None and null[1] >= self.max:
                null = (null[0], None)
            line += f" [null {rust_range(null)}]"
        if "tag" in field:
            line += f" [tag {field['tag']}]"
        kind = self.rust_type(field["type"])
        line += f" {snake(field['name'])}: {'Option<' + kind + '>' if null is not None else kind}"
        default = self.default(field, kind, null is not None)
        return self.docs(owner, field) + [line + (f" = {default};" if default else ";")]

    def struct(self, name, fields):
        if name in self.done:
            return
        self.done.add(name)
        lines = self.docs(name, None) + [f"pub struct {name} {{"]
        inner = []
        for field in fields:
            rows = self.row(name, field)
            if rows is None:
                continue
            lines += ["    " + row for row in rows]
            element = field["type"].removeprefix("[]")
            if element not in TYPES:
                parts = field.get("fields") or self.common[element]["fields"]
                inner.append((struct_name(self.message["name"], element), parts))
        self.blocks.append("\n".join(lines + ["}"]))
        for part in inner:
            self.struct(*part)

    def text(self):
        self.struct(self.message["name"], self.message["fields"])
        body = "\n\n".join(self.blocks)
        return "\n".join("    " + line if line else "" for line in body.splitlines())


def plain(_owner, field):
    return [] if field is None else ["/// TODO"]


def find(directories, name):
    found = [load(pathlib.Path(d) / f"{name}.json") for d in directories if (pathlib.Path(d) / f"{name}.json").exists()]
    if not found:
        sys.exit(f"no schema for {name}")
    return merge(found)


def rows(directories, name, versions_max=None, docs=plain):
    """The rows of one message, indented for the inside of `message! { … }`."""
    schema = find(directories, name)
    if versions_max is None:
        versions_max = (schema.get("_valid") or bounds(schema["validVersions"]))[1]
    return Printer(schema, versions_max, docs).text()


def main(arguments):
    versions_max = None
    if arguments[:1] == ["--max"]:
        versions_max, arguments = int(arguments[1]), arguments[2:]
    if "--" not in arguments:
        sys.exit(__doc__)
    split = arguments.index("--")
    for name in arguments[split + 1:]:
        print("message! {\n" + rows(arguments[:split], name, versions_max) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
