//! Keys of Kafka that concern group kinds and transactions: known by name and type, reported, without effect.

use super::*;

rows! { CONSUMER_GROUPS, Ignored,
    "Groups of the newer protocol (KIP-848), which are not served yet.";
    "group.consumer.assignment.interval.ms": Int = "1000", Check::AtLeast(0);
    "group.consumer.assignors": List = "uniform,range";
    "group.consumer.heartbeat.interval.ms": Int = "5000", Check::AtLeast(1);
    "group.consumer.max.assignment.interval.ms": Int = "15000", Check::AtLeast(0);
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", Check::AtLeast(1);
    "group.consumer.max.session.timeout.ms": Int = "60000", Check::AtLeast(1);
    "group.consumer.max.size": Int = "2147483647", Check::AtLeast(1);
    "group.consumer.migration.policy": Text = "bidirectional";
    "group.consumer.min.assignment.interval.ms": Int = "0", Check::AtLeast(0);
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", Check::AtLeast(1);
    "group.consumer.min.session.timeout.ms": Int = "45000", Check::AtLeast(1);
    "group.consumer.session.timeout.ms": Int = "45000", Check::AtLeast(1);
    "group.coordinator.rebalance.protocols": List
        = "classic,consumer,streams", Check::OneOf(&["consumer", "classic", "share", "streams"]);
}

rows! { SHARE_GROUPS, Ignored,
    "Share groups (KIP-932), which are not served yet.";
    "errors.deadletterqueue.auto.create.topics.enable": Boolean = "false";
    "errors.deadletterqueue.topic.name.prefix": Text = "dlq.";
    "group.share.assignment.interval.ms": Int = "1000", Check::AtLeast(0);
    "group.share.assignors": List = "simple";
    "group.share.delivery.count.limit": Int = "5", Check::Between(2, 10);
    "group.share.heartbeat.interval.ms": Int = "5000", Check::AtLeast(1);
    "group.share.max.assignment.interval.ms": Int = "15000", Check::AtLeast(0);
    "group.share.max.delivery.count.limit": Int = "10", Check::Between(5, 25);
    "group.share.max.heartbeat.interval.ms": Int = "15000", Check::AtLeast(1);
    "group.share.max.partition.max.record.locks": Int = "4000", Check::Between(2000, 10_000);
    "group.share.max.record.lock.duration.ms": Int = "60000", Check::Between(30000, 3_600_000);
    "group.share.max.session.timeout.ms": Int = "60000", Check::AtLeast(1);
    "group.share.max.share.sessions": Int = "2000", Check::AtLeast(1);
    "group.share.max.size": Int = "200", Check::Between(1, 1_000);
    "group.share.min.assignment.interval.ms": Int = "0", Check::AtLeast(0);
    "group.share.min.delivery.count.limit": Int = "2", Check::Between(2, 5);
    "group.share.min.heartbeat.interval.ms": Int = "5000", Check::AtLeast(1);
    "group.share.min.partition.max.record.locks": Int = "100", Check::Between(100, 2_000);
    "group.share.min.record.lock.duration.ms": Int = "15000", Check::Between(1000, 30_000);
    "group.share.min.session.timeout.ms": Int = "45000", Check::AtLeast(1);
    "group.share.partition.max.record.locks": Int = "2000", Check::Between(100, 10_000);
    "group.share.record.lock.duration.ms": Int = "30000", Check::Between(1000, 3_600_000);
    "group.share.session.timeout.ms": Int = "45000", Check::AtLeast(1);
    "share.coordinator.append.linger.ms": Int = "-1", Check::AtLeast(-1);
    "share.coordinator.cached.buffer.max.bytes": Int = "1048588", Check::AtLeast(524288);
    "share.coordinator.load.buffer.size": Int = "5242880", Check::AtLeast(1);
    "share.coordinator.snapshot.update.records.per.snapshot": Int = "500", Check::Between(0, 500);
    "share.coordinator.state.topic.compression.codec": Int = "0";
    "share.coordinator.state.topic.min.isr": Short = "2", Check::AtLeast(1);
    "share.coordinator.state.topic.num.partitions": Int = "50", Check::AtLeast(1);
    "share.coordinator.state.topic.replication.factor": Short = "3", Check::AtLeast(1);
    "share.coordinator.state.topic.segment.bytes": Int = "104857600", Check::AtLeast(1);
    "share.coordinator.threads": Int = "1", Check::AtLeast(1);
    "share.coordinator.write.timeout.ms": Int = "5000", Check::AtLeast(1);
    "share.fetch.purgatory.purge.interval.requests": Int = "1000";
}

rows! { STREAMS_GROUPS, Ignored,
    "Streams groups (KIP-1071), which are not served yet.";
    "group.streams.assignment.interval.ms": Int = "1000", Check::AtLeast(0);
    "group.streams.assignors": List = "sticky";
    "group.streams.heartbeat.interval.ms": Int = "5000", Check::AtLeast(1);
    "group.streams.initial.rebalance.delay.ms": Int = "3000", Check::AtLeast(0);
    "group.streams.max.assignment.interval.ms": Int = "15000", Check::AtLeast(0);
    "group.streams.max.heartbeat.interval.ms": Int = "15000", Check::AtLeast(1);
    "group.streams.max.session.timeout.ms": Int = "60000", Check::AtLeast(1);
    "group.streams.max.size": Int = "2147483647", Check::AtLeast(1);
    "group.streams.max.standby.replicas": Int = "2", Check::AtLeast(0);
    "group.streams.min.assignment.interval.ms": Int = "0", Check::AtLeast(0);
    "group.streams.min.heartbeat.interval.ms": Int = "5000", Check::AtLeast(1);
    "group.streams.min.session.timeout.ms": Int = "45000", Check::AtLeast(1);
    "group.streams.num.standby.replicas": Int = "0", Check::AtLeast(0);
    "group.streams.rack.aware.assignment.tags": List = "";
    "group.streams.session.timeout.ms": Int = "45000", Check::AtLeast(1);
    "group.streams.topology.description.plugin.class": Class = null;
}

rows! { TRANSACTIONS, Ignored,
    "Transactions, which are not served yet.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000", Check::AtLeast(1);
    "transaction.max.timeout.ms": Int = "900000", Check::AtLeast(1);
    "transaction.partition.verification.enable": Boolean = "true";
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int
        = "3600000", Check::AtLeast(1);
    "transaction.state.log.load.buffer.size": Int = "5242880", Check::AtLeast(1);
    "transaction.state.log.min.isr": Int = "2", Check::AtLeast(1);
    "transaction.state.log.num.partitions": Int = "50", Check::AtLeast(1);
    "transaction.state.log.replication.factor": Short = "3", Check::AtLeast(1);
    "transaction.state.log.segment.bytes": Int = "104857600", Check::AtLeast(1);
    "transaction.two.phase.commit.enable": Boolean = "false";
    "transactional.id.expiration.ms": Int = "604800000", Check::AtLeast(1);
}

rows! { GROUP_STATE, Ignored,
    "How Kafka keeps its group state; Chronik keeps it in one partition that is always loaded.";
    "group.coordinator.append.linger.ms": Int = "-1", Check::AtLeast(-1);
    "group.coordinator.background.threads": Int = "2", Check::AtLeast(1);
    "group.coordinator.cached.buffer.max.bytes": Int = "1048588", Check::AtLeast(524288);
    "group.coordinator.threads": Int = "4", Check::AtLeast(1);
    "offsets.commit.timeout.ms": Int = "5000", Check::AtLeast(1);
    "offsets.load.buffer.size": Int = "5242880", Check::AtLeast(1);
    "offsets.retention.check.interval.ms": Long = "600000", Check::AtLeast(1);
    "offsets.topic.compression.codec": Int = "0";
    "offsets.topic.num.partitions": Int = "50", Check::AtLeast(1);
    "offsets.topic.replication.factor": Short = "3", Check::AtLeast(1);
    "offsets.topic.segment.bytes": Int = "104857600", Check::AtLeast(1);
}

/// Every group of this file.
pub(super) const GROUPS: &[&[Row]] =
    &[CONSUMER_GROUPS, SHARE_GROUPS, STREAMS_GROUPS, TRANSACTIONS, GROUP_STATE];
