//! Keys of Kafka that concern a cluster: known by name and type, reported, and without effect here.

use super::*;

rows! { QUORUM, Ignored,
    "A quorum of controllers, which one machine does not have.";
    "auto.leader.rebalance.enable": Boolean = "true";
    "broker.heartbeat.interval.ms": Int = "2000";
    "broker.session.timeout.ms": Int = "9000";
    "controlled.shutdown.enable": Boolean = "true";
    "controller.quorum.append.linger.ms": Int = "25", Check::AtLeast(0);
    "controller.quorum.auto.join.enable": Boolean = "false";
    "controller.quorum.bootstrap.servers": List = "";
    "controller.quorum.election.backoff.max.ms": Int = "1000", Check::AtLeast(0);
    "controller.quorum.election.timeout.ms": Int = "1000", Check::AtLeast(0);
    "controller.quorum.fetch.max.bytes": Int = "1048576", Check::AtLeast(1);
    "controller.quorum.fetch.snapshot.max.bytes": Int = "1048576", Check::AtLeast(1);
    "controller.quorum.fetch.timeout.ms": Int = "2000", Check::AtLeast(0);
    "controller.quorum.request.timeout.ms": Int = "2000", Check::AtLeast(0);
    "controller.quorum.retry.backoff.ms": Int = "20", Check::AtLeast(0);
    "controller.quorum.voters": List = "";
    "controller.quota.window.num": Int = "11", Check::AtLeast(1);
    "controller.quota.window.size.seconds": Int = "1", Check::AtLeast(1);
    "controller.socket.timeout.ms": Int = "30000";
    "early.start.listeners": List = null;
    "initial.broker.registration.timeout.ms": Int = "60000";
    "leader.imbalance.check.interval.seconds": Long = "300", Check::AtLeast(1);
    "metadata.log.dir": Text = null;
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520", Check::AtLeast(1);
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", Check::AtLeast(0);
    "metadata.log.segment.bytes": Int = "1073741824", Check::AtLeast(8388608);
    "metadata.log.segment.ms": Long = "604800000";
    "metadata.max.idle.interval.ms": Int = "500", Check::AtLeast(0);
    "metadata.max.retention.bytes": Long = "104857600";
    "metadata.max.retention.ms": Long = "604800000";
    "process.roles": List = null, Check::OneOf(&["broker", "controller"]);
    "unclean.leader.election.enable": Boolean = "false";
}

rows! { REPLICATION, Ignored,
    "Talk between brokers and copies on other brokers, of which there are none.";
    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100", Check::AtLeast(0);
    "add.partitions.to.txn.retry.backoff.ms": Int = "20", Check::AtLeast(1);
    "alter.log.dirs.replication.quota.window.num": Int = "11", Check::AtLeast(1);
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", Check::AtLeast(1);
    "cordoned.log.dirs": List = "";
    "follower.fetch.last.tiered.offset.enable": Boolean = "false";
    "inter.broker.listener.name": Text = null;
    "log.dir.failure.timeout.ms": Long = "30000", Check::AtLeast(1);
    "min.insync.replicas": Int = "1", Check::AtLeast(1);
    "num.replica.alter.log.dirs.threads": Int = null;
    "num.replica.fetchers": Int = "1", Check::AtLeast(1);
    "replica.fetch.backoff.ms": Int = "1000", Check::AtLeast(0);
    "replica.fetch.max.bytes": Int = "1048576", Check::AtLeast(0);
    "replica.fetch.min.bytes": Int = "1";
    "replica.fetch.response.max.bytes": Int = "10485760", Check::AtLeast(0);
    "replica.fetch.wait.max.ms": Int = "500";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000";
    "replica.lag.time.max.ms": Long = "30000";
    "replica.selector.class": Text = null;
    "replica.socket.receive.buffer.bytes": Int = "65536";
    "replica.socket.timeout.ms": Int = "30000";
    "replication.quota.window.num": Int = "11", Check::AtLeast(1);
    "replication.quota.window.size.seconds": Int = "1", Check::AtLeast(1);
    "request.timeout.ms": Int = "30000";
    "security.inter.broker.protocol": Text
        = "PLAINTEXT", Check::OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]);
    "socket.connection.setup.timeout.max.ms": Long = "30000";
    "socket.connection.setup.timeout.ms": Long = "10000";
}

rows! { TIERED, Ignored,
    "Tiered storage, which Chronik does not have.";
    "log.local.retention.bytes": Long = "-2", Check::AtLeast(-2);
    "log.local.retention.ms": Long = "-2", Check::AtLeast(-2);
    "log.remote.copy.lag.bytes": Long = "-1", Check::AtLeast(-1);
    "log.remote.copy.lag.ms": Long = "0", Check::AtLeast(-1);
    "remote.fetch.max.wait.ms": Int = "500", Check::AtLeast(1);
    "remote.list.offsets.request.timeout.ms": Long = "30000", Check::AtLeast(1);
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", Check::AtLeast(1);
    "remote.log.manager.copier.thread.pool.size": Int = "10", Check::AtLeast(1);
    "remote.log.manager.copy.max.bytes.per.second": Long = "9223372036854775807", Check::AtLeast(1);
    "remote.log.manager.copy.quota.window.num": Int = "11", Check::AtLeast(1);
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1", Check::AtLeast(1);
    "remote.log.manager.expiration.thread.pool.size": Int = "10", Check::AtLeast(1);
    "remote.log.manager.fetch.max.bytes.per.second": Long
        = "9223372036854775807", Check::AtLeast(1);
    "remote.log.manager.fetch.quota.window.num": Int = "11", Check::AtLeast(1);
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1", Check::AtLeast(1);
    "remote.log.manager.follower.thread.pool.size": Int = "2", Check::AtLeast(1);
    "remote.log.manager.task.interval.ms": Long = "30000", Check::AtLeast(1);
    "remote.log.manager.thread.pool.size": Int = "2", Check::AtLeast(1);
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128", Check::AtLeast(0);
    "remote.log.metadata.manager.class.name": Text
        = "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager";
    "remote.log.metadata.manager.class.path": Text = null;
    "remote.log.metadata.manager.impl.prefix": Text = "rlmm.config.";
    "remote.log.metadata.manager.listener.name": Text = null;
    "remote.log.reader.max.pending.tasks": Int = "100", Check::AtLeast(1);
    "remote.log.reader.threads": Int = "10", Check::AtLeast(1);
    "remote.log.storage.manager.class.name": Text = null;
    "remote.log.storage.manager.class.path": Text = null;
    "remote.log.storage.manager.impl.prefix": Text = "rsm.config.";
    "remote.log.storage.system.enable": Boolean = "false";
}

/// Every group of this file.
pub(super) const GROUPS: &[&[Row]] = &[QUORUM, REPLICATION, TIERED];
