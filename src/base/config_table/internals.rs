//! Keys of Kafka that tune the Java broker's inside: known by name and type, reported, without effect.

use super::*;

rows! { THREADS, Ignored,
    "Threads and queues of another design than Chronik's.";
    "background.threads": Int = "10", Check::AtLeast(1);
    "delete.records.purgatory.purge.interval.requests": Int = "1";
    "fetch.purgatory.purge.interval.requests": Int = "1000";
    "log.cleaner.io.buffer.size": Int = "524288", Check::AtLeast(0);
    "log.cleaner.threads": Int = "1", Check::AtLeast(0);
    "max.incremental.fetch.session.cache.slots": Int = "1000", Check::AtLeast(0);
    "max.request.partition.size.limit": Int = "2000", Check::AtLeast(1);
    "num.io.threads": Int = "8", Check::AtLeast(1);
    "num.network.threads": Int = "3", Check::AtLeast(1);
    "num.recovery.threads.per.data.dir": Int = "2", Check::AtLeast(1);
    "producer.purgatory.purge.interval.requests": Int = "1000";
    "queued.max.request.bytes": Long = "-1";
    "queued.max.requests": Int = "500", Check::AtLeast(1);
}

rows! { QUOTAS, Ignored,
    "Quotas and rates, which are not enforced yet.";
    "client.quota.callback.class": Class = null;
    "max.connection.creation.rate": Int = "2147483647", Check::AtLeast(0);
    "quota.window.num": Int = "11", Check::AtLeast(1);
    "quota.window.size.seconds": Int = "1", Check::AtLeast(1);
}

rows! { PLUGINS, Ignored,
    "Metrics and plugins of the Java broker.";
    "alter.config.policy.class.name": Class = null;
    "config.providers": List = "";
    "create.topic.policy.class.name": Class = null;
    "kafka.metrics.polling.interval.secs": Int = "10", Check::AtLeast(1);
    "kafka.metrics.reporters": List = "";
    "metric.reporters": List = "org.apache.kafka.common.metrics.JmxReporter";
    "metrics.num.samples": Int = "2", Check::AtLeast(1);
    "metrics.recording.level": Text = "INFO";
    "metrics.sample.window.ms": Long = "30000", Check::AtLeast(1);
    "telemetry.max.bytes": Int = "1048576", Check::AtLeast(1);
}

rows! { COMPACTION, Acts;
    /// How long a round of compaction that failed waits before it is tried again, in milliseconds; after each further
    /// failure twice as long.
    "log.cleaner.backoff.ms": Long = "15000", Check::AtLeast(0);
    /// Bytes of memory for the keys of the log that is being compacted, 24 for each; taken while that runs. A log with
    /// more new keys takes several rounds.
    "log.cleaner.dedupe.buffer.size": Long = "4194304", Check::AtLeast(1024);
    /// Default of `delete.retention.ms`.
    "log.cleaner.delete.retention.ms": Long = "86400000", Check::AtLeast(0);
    /// Whether logs are compacted, those of groups and commits among them.
    "log.cleaner.enable": Boolean = "true";
    /// The part of the memory for keys that is filled.
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Check::Fraction(0.0, 1.0);
    /// Most bytes that compaction reads and writes in a second.
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308";
    /// Default of `max.compaction.lag.ms`.
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", Check::AtLeast(1);
    /// Default of `min.cleanable.dirty.ratio`.
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Check::Fraction(0.0, 1.0);
    /// Default of `min.compaction.lag.ms`.
    "log.cleaner.min.compaction.lag.ms": Long = "0", Check::AtLeast(0);
}

rows! { LOG_LAYER, Ignored,
    "Details of Kafka's log layer that Chronik settles by itself.";
    "compression.gzip.level": Int = "-1", ONE_TO_NINE_OR_DEFAULT;
    "compression.lz4.level": Int = "9", Check::Between(1, 17);
    "compression.zstd.level": Int = "3", Check::Between(-131072, 22);
    "log.flush.interval.messages": Long = "9223372036854775807", Check::AtLeast(1);
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", Check::AtLeast(0);
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", Check::AtLeast(0);
    "log.preallocate": Boolean = "false";
    "log.roll.jitter.hours": Int = "0", Check::AtLeast(0);
    "log.roll.jitter.ms": Long = null;
    "log.segment.delete.delay.ms": Long = "60000", Check::AtLeast(0);
    "max.decompressed.message.bytes": Int = "2147483639", Check::Between(1, 2_147_483_639);
    "producer.id.expiration.ms": Int = "86400000", Check::AtLeast(1);
}

/// Every group of this file.
pub(super) const GROUPS: &[&[Row]] = &[THREADS, QUOTAS, PLUGINS, COMPACTION, LOG_LAYER];
