//! The keys of a topic.

use super::*;

rows! { ACTING, Acts;
    /// What happens to old records: `delete` removes old segments, `compact` keeps the newest record of each key.
    /// A topic with `compact` takes only records with keys.
    "cleanup.policy": List = "delete", CLEANUP_POLICIES; from "log.cleanup.policy" * 1;
    /// The compression in which records are kept. `producer`: as they came.
    "compression.type": Text = "producer", Check::Compression; from "compression.type" * 1;
    /// Bytes of records between two entries of the offset index.
    "index.interval.bytes": Int = "4096", Check::AtLeast(0); from "log.index.interval.bytes" * 1;
    /// The largest batch of records that is taken, in bytes, as it came from the producer.
    "max.message.bytes": Int = "1048588", Check::AtLeast(0); from "message.max.bytes" * 1;
    /// How far a record's time may lie after the broker's, in milliseconds. Not checked for LogAppendTime.
    "message.timestamp.after.max.ms": Long = "3600000", Check::AtLeast(0);
        from "log.message.timestamp.after.max.ms" * 1;
    /// How far a record's time may lie before the broker's, in milliseconds. Not checked for LogAppendTime.
    "message.timestamp.before.max.ms": Long = "9223372036854775807", Check::AtLeast(0);
        from "log.message.timestamp.before.max.ms" * 1;
    /// Whose time a record carries: the producer's (CreateTime) or the broker's (LogAppendTime).
    "message.timestamp.type": Text = "CreateTime", TIMESTAMP_TYPES; from "log.message.timestamp.type" * 1;
    /// Bytes of a partition without which its oldest segment goes; -1: no bound. A segment goes as a whole, so a partition
    /// takes up to `segment.bytes` more.
    "retention.bytes": Long = "-1"; from "log.retention.bytes" * 1;
    /// Milliseconds after which records go; -1: never. A segment goes as a whole when its newest record is so old, counted
    /// at most from when it was last written; none while the clock is not known to be right.
    "retention.ms": Long = "604800000", Check::AtLeast(-1);
        from "log.retention.ms" * 1, "log.retention.minutes" * 60_000, "log.retention.hours" * 3_600_000;
    /// A segment that would grow beyond this many bytes is closed and a new one begun.
    "segment.bytes": Int = "67108864", SEGMENT_BYTES; from "log.segment.bytes" * 1;
    /// Most bytes of an index file; a segment whose index is full is closed.
    "segment.index.bytes": Int = "10485760", Check::AtLeast(4); from "log.index.size.max.bytes" * 1;
    /// A segment older than this many milliseconds is closed, however small, also if nothing more comes.
    "segment.ms": Long = "604800000", Check::AtLeast(1);
        from "log.roll.ms" * 1, "log.roll.hours" * 3_600_000;
    /// How long a removed key's marker is kept in a compacted topic, in milliseconds from the first round of compaction
    /// that met it. It stays while the clock is wrong.
    "delete.retention.ms": Long = "86400000", Check::AtLeast(0);
        from "log.cleaner.delete.retention.ms" * 1;
    /// The longest that a record may escape compaction, in milliseconds. Segments are closed as early as that needs.
    "max.compaction.lag.ms": Long = "9223372036854775807", Check::AtLeast(1);
        from "log.cleaner.max.compaction.lag.ms" * 1;
    /// A log is compacted when more than this part of its closed segments is uncompacted.
    "min.cleanable.dirty.ratio": Double = "0.5", Check::Fraction(0.0, 1.0);
        from "log.cleaner.min.cleanable.ratio" * 1;
    /// The shortest time for which a record escapes compaction, in milliseconds.
    "min.compaction.lag.ms": Long = "0", Check::AtLeast(0);
        from "log.cleaner.min.compaction.lag.ms" * 1;
}

/// Kafka asks for a mebibyte since 4.0; the releases before took any size, and a flash card may want less.
pub(super) const SEGMENT_BYTES: Check = Check::AtLeast(14);

rows! { IGNORED, Ignored;
    /// Level of gzip when the topic's own compression is used. Ignored: the codec's own level is used.
    "compression.gzip.level": Int = "-1", ONE_TO_NINE_OR_DEFAULT; from "compression.gzip.level" * 1;
    /// Level of lz4 when the topic's own compression is used. Ignored: the codec's own level is used.
    "compression.lz4.level": Int = "9", Check::Between(1, 17); from "compression.lz4.level" * 1;
    /// Level of zstd when the topic's own compression is used. Ignored: the codec's own level is used.
    "compression.zstd.level": Int = "3", Check::Between(-131_072, 22);
        from "compression.zstd.level" * 1;
    /// Whether the topic may take records that share groups gave up. Ignored: there are no share groups.
    "errors.deadletterqueue.group.enable": Boolean = "false";
    /// How long a removed segment's file stays, in milliseconds. Ignored: it goes when its last reader has.
    "file.delete.delay.ms": Long = "60000", Check::AtLeast(0); from "log.segment.delete.delay.ms" * 1;
    /// Sync after this many records. Ignored: see `chronik.durability`.
    "flush.messages": Long = "9223372036854775807", Check::AtLeast(1);
        from "log.flush.interval.messages" * 1;
    /// Sync records at most this many milliseconds late. Ignored for a topic: the broker's interval holds.
    "flush.ms": Long = "1000", Check::AtLeast(0);
        from "log.flush.interval.ms" * 1, "log.flush.scheduler.interval.ms" * 1;
    /// Copies whose copying is slowed. Ignored: there are no copies.
    "follower.replication.throttled.replicas": List = "";
    /// Copies whose copying is slowed. Ignored: there are no copies.
    "leader.replication.throttled.replicas": List = "";
    /// Bytes kept here of a tiered topic. Ignored: there is no tiered storage.
    "local.retention.bytes": Long = "-2", Check::AtLeast(-2); from "log.local.retention.bytes" * 1;
    /// Milliseconds for which a tiered topic's records stay here. Ignored: there is no tiered storage.
    "local.retention.ms": Long = "-2", Check::AtLeast(-2); from "log.local.retention.ms" * 1;
    /// The largest batch after decompression. Ignored: records are decompressed through a bounded window.
    "max.decompressed.message.bytes": Int = "2147483639", Check::Between(1, 2_147_483_639);
        from "max.decompressed.message.bytes" * 1;
    /// Copies that must have a record before it is acknowledged. Ignored: there is one, and it counts as enough.
    "min.insync.replicas": Int = "1", Check::AtLeast(1); from "min.insync.replicas" * 1;
    /// Whether a segment's space is taken in advance. Ignored.
    "preallocate": Boolean = "false"; from "log.preallocate" * 1;
    /// Bytes that wait before they are copied to a tier. Ignored: there is no tiered storage.
    "remote.copy.lag.bytes": Long = "-1", Check::AtLeast(-1); from "log.remote.copy.lag.bytes" * 1;
    /// Milliseconds that records wait before they are copied to a tier. Ignored: there is no tiered storage.
    "remote.copy.lag.ms": Long = "0", Check::AtLeast(-1); from "log.remote.copy.lag.ms" * 1;
    /// Whether copying to a tier stops. Ignored: there is no tiered storage.
    "remote.log.copy.disable": Boolean = "false";
    /// Whether tiered records go when the tier is switched off. Ignored: there is no tiered storage.
    "remote.log.delete.on.disable": Boolean = "false";
    /// Whether the topic is tiered. Ignored: there is no tiered storage.
    "remote.storage.enable": Boolean = "false";
    /// The most by which closing a segment is moved at random, in milliseconds. Ignored.
    "segment.jitter.ms": Long = "0", Check::AtLeast(0);
        from "log.roll.jitter.ms" * 1, "log.roll.jitter.hours" * 3_600_000;
    /// Whether a copy that lags may lead. Ignored: there is one copy.
    "unclean.leader.election.enable": Boolean = "false"; from "unclean.leader.election.enable" * 1;
}

/// Every group of this file.
pub(super) const GROUPS: &[&[Row]] = &[ACTING, IGNORED];
