#!/usr/bin/env bash
# Runs a real Apache Kafka (one KRaft node, one JVM) in the foreground, to compare Chronik with.
# usage: kafka.sh DIR PORT [KEY=VALUE…]      KAFKA_VERSION as in jars.sh
# KAFKA_JVM are options of the JVM; without it they are for a quick start, not for speed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[[ $# -ge 2 ]] || { echo "usage: kafka.sh DIR PORT [KEY=VALUE…]" >&2; exit 2; }
dir=$1 port=$2
shift 2
jars=$("$here/jars.sh")
mkdir -p "$dir"
properties=$dir/server.properties
controller=$((port < 50000 ? port + 10000 : port - 10000))

cat >"$properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
END
printf '%s\n' "$@" >>"$properties"

java=(java -cp "$jars/*" "-Dorg.slf4j.simpleLogger.defaultLogLevel=${KAFKA_LOG:-warn}")
if [[ ! -e $dir/data/meta.properties ]]; then
    "${java[@]}" -Xmx256m kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$properties" >&2
fi
read -ra options <<<"${KAFKA_JVM:--Xmx512m -XX:TieredStopAtLevel=1}"
exec "${java[@]}" "${options[@]}" kafka.Kafka "$properties"
