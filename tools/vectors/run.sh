#!/bin/sh
# Writes tests/data/vectors/*.hex anew with two Kafka releases: the newest, and the last one with the oldest versions.
# Needs Java 17 and Maven. Usage: tools/vectors/run.sh [directory for the jars]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
jars=${1:-"$here/jars"}
out="$here/../../tests/data/vectors"
mkdir -p "$jars" "$out"

fetch() {
    [ -e "$jars/$2-$3.jar" ] || mvn -q dependency:copy -Dartifact="$1:$2:$3" -DoutputDirectory="$jars"
}
fetch org.slf4j slf4j-api 1.7.36
for release in 4.4.0 3.9.1; do
    for module in kafka-clients kafka-group-coordinator kafka-server-common kafka-metadata; do
        fetch org.apache.kafka $module $release
    done
done

requests="Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup
SyncGroup DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId:5 OffsetForLeaderEpoch
DescribeConfigs DescribeLogDirs AlterConfigs CreatePartitions IncrementalAlterConfigs DeleteGroups OffsetDelete DescribeCluster ConsumerProtocolSubscription
ConsumerProtocolAssignment"
coordinator=org.apache.kafka.coordinator.group.generated
metadata=org.apache.kafka.common.metadata
values="$coordinator.OffsetCommitValue $coordinator.GroupMetadataValue"
keys="$coordinator.OffsetCommitKey $coordinator.GroupMetadataKey"
records="$metadata.RegisterBrokerRecord $metadata.TopicRecord $metadata.PartitionRecord $metadata.ConfigRecord
$metadata.RemoveTopicRecord $metadata.FeatureLevelRecord $metadata.ProducerIdsRecord"

rm -f "$out"/*.hex
path() {
    printf '%s' "$jars/slf4j-api-1.7.36.jar"
    for module in kafka-clients kafka-group-coordinator kafka-server-common kafka-metadata; do
        printf ':%s' "$jars/$module-$1.jar"
    done
}
# The keys' versions are types since 4.0, so they come from the older release.
java -cp "$(path 4.4.0)" "$here/Vectors.java" 4.4.0 "$out" $requests $values $records
java -cp "$(path 3.9.1)" "$here/Vectors.java" 3.9.1 "$out" $requests $values $keys
