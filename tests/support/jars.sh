#!/usr/bin/env bash
# Fetches Apache Kafka's jars from Maven Central once and prints the directory that holds them.
# KAFKA_VERSION (4.4.0) chooses others, for example 3.9.1.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
kafka=${KAFKA_VERSION:-4.4.0}
jars=$here/.interop/jars-$kafka

for tool in java mvn; do
    command -v "$tool" >/dev/null || { echo "jars.sh: $tool is not installed" >&2; exit 3; }
done
if [[ ! -e $jars/.complete ]]; then
    mvn -q -B -f "$here/tests/interop/pom.xml" dependency:copy-dependencies \
        -DoutputDirectory="$jars" -Dkafka.version="$kafka" >&2
    touch "$jars/.complete"
fi
echo "$jars"
