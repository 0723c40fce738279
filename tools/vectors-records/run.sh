#!/bin/sh
# Makes tests/data/records/*.hex with Kafka's own classes, and lets them read what Chronik writes.
#
#   run.sh make          writes the vectors anew
#   run.sh check         builds batches and message sets with Chronik, and compares what Kafka reads in them
#
# Needs a JDK 17 or newer and the network, or jars fetched before in $JARS.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
jars=${JARS:-$root/target/vectors-records}
mkdir -p "$jars"

fetch() {
    name=$(basename "$1")
    test -s "$jars/$name" || curl -fsS -o "$jars/$name" "https://repo.maven.apache.org/maven2/$1"
}

fetch org/apache/kafka/kafka-clients/4.4.0/kafka-clients-4.4.0.jar
fetch org/apache/kafka/kafka-clients/3.9.1/kafka-clients-3.9.1.jar
fetch com/github/luben/zstd-jni/1.5.6-4/zstd-jni-1.5.6-4.jar
fetch org/lz4/lz4-java/1.8.0/lz4-java-1.8.0.jar
fetch org/xerial/snappy/snappy-java/1.1.10.5/snappy-java-1.1.10.5.jar
fetch org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar
fetch org/slf4j/slf4j-nop/1.7.36/slf4j-nop-1.7.36.jar
codecs=$jars/zstd-jni-1.5.6-4.jar:$jars/lz4-java-1.8.0.jar:$jars/snappy-java-1.1.10.5.jar:$jars/slf4j-api-1.7.36.jar:$jars/slf4j-nop-1.7.36.jar

# Compiles for one version of Kafka. Conversion to old formats left the Java classes with 4.0.
build() {
    out=$jars/classes-$1
    mkdir -p "$out"
    down='static void saveDown(String name, MemoryRecords records, byte magic) throws IOException {
        write(name, "MemoryRecords.downConvert", (MemoryRecords) records.downConvert(magic, 0,
            org.apache.kafka.common.utils.Time.SYSTEM).records());
    }'
    import='import org.apache.kafka.common.record.*; import org.apache.kafka.common.record.Record;'
    case $1 in
    4.*)
        down='static void saveDown(String name, MemoryRecords records, byte magic) { }'
        import='import org.apache.kafka.common.record.internal.*; import org.apache.kafka.common.record.internal.Record; import org.apache.kafka.common.record.TimestampType;'
        ;;
    esac
    awk -v import="$import" -v down="$down" \
        '/^\/\/IMPORT/ { print import; next } /\/\/DOWN/ { print down; next } { print }' \
        "$here/Vectors.java" >"$out/Vectors.java"
    javac -cp "$jars/kafka-clients-$1.jar" -d "$out" "$out/Vectors.java"
}

vectors() {
    version=$1
    shift
    java -cp "$jars/classes-$version:$jars/kafka-clients-$version.jar:$codecs" Vectors "$@"
}

case ${1:-} in
make)
    for version in 3.9.1 4.4.0; do
        build $version
        vectors $version make "$root/tests/data/records" $version
    done
    ;;
check)
    build 3.9.1
    build 4.4.0
    written=$jars/written
    rm -rf "$written"
    mkdir -p "$written"
    (cd "$root" && CHRONIK_RECORDS_OUT=$written cargo test --test record_vectors write_for_kafka)
    for file in "$written"/*.bin; do
        case $file in
        */old_*) version=3.9.1 ;;
        *) version=4.4.0 ;;
        esac
        vectors $version read "$file" >"${file%.bin}.read"
        diff "${file%.bin}.txt" "${file%.bin}.read" >&2 || { echo "differs: $file" >&2; exit 1; }
    done
    echo "Kafka read $(ls "$written"/*.bin | wc -l) files as they were meant"
    ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
