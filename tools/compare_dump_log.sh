#!/usr/bin/env bash
# Compares `chronik dump-log` with Kafka's own tool on the same files: the same lines must come out of both.
# usage: compare_dump_log.sh DIRECTORY…     partition directories, of Chronik's or Kafka's making, closed by a clean stop
#
# CHRONIK     the program                      (target/debug/chronik)
# KAFKA_JARS  directory of Kafka's jars            (what tests/support/jars.sh fetches)
#
# Every file is shown twice: batches alone, and records without keys and values, which Chronik escapes and decodes in ways
# of its own. What differs by intent is evened out below: Kafka's "OptionalLong", the checksum that it repeats for
# the one record of an old message, the values of KRaft's markers, and what it says of an empty index.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
[[ $# -ge 1 ]] || { sed -n '3p' "$0" >&2; exit 2; }
chronik=${CHRONIK:-$here/target/debug/chronik}
[[ -x $chronik ]] || { echo "$0: there is no $chronik" >&2; exit 2; }
jars=${KAFKA_JARS:-$("$here/tests/support/jars.sh")}

even_out() {
    sed -E -e 's/OptionalLong\.empty/none/; s/OptionalLong\[(-?[0-9]+)\]/\1/' \
        -e 's/^(\|.*) isValid: true crc: [0-9]+/\1/' \
        -e 's/ (SnapshotHeader|SnapshotFooter|LeaderChange|KRaftVersion|KRaftVoters):? \{.*$//' \
        -e 's/ controlType: [0-9]+ [A-Za-z]+$//' \
        -e '/^offset: [0-9]+ position: 0$/d; /^timestamp: 0 offset: [0-9]+$/d; / is empty\.$/d'
}

theirs=$(mktemp)
ours=$(mktemp)
trap 'rm -f "$theirs" "$ours"' EXIT
status=0 count=0
for directory in "$@"; do
    files=$(find "$directory" -maxdepth 1 -type f \
        \( -name '*.log' -o -name '*.index' -o -name '*.timeindex' -o -name '*.txnindex' -o -name '*.snapshot' \) | sort)
    [[ -n $files ]] || { echo "$directory: nothing to compare" >&2; status=1; continue; }
    list=$(paste -sd, <<<"$files")
    for option in "" --deep-iteration; do
        java -cp "$jars/*" org.apache.kafka.tools.DumpLogSegments $option --files "$list" 2>/dev/null |
            even_out >"$theirs"
        "$chronik" dump-log $option --files "$list" | even_out >"$ours" || status=1
        count=$((count + $(wc -l <"$ours")))
        diff -u --label kafka "$theirs" --label chronik "$ours" || status=1
    done
    "$chronik" dump-log --verify "$directory" | grep -B1 '^DAMAGE' && status=1
done
echo "$count lines compared"
exit $status
