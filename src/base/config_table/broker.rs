//! The keys of the broker that do something here, and Chronik's own.

use super::*;

rows! { ADDRESSES, Acts;
    /// What clients are told to connect to: `NAME://HOST:PORT`, one for each listener, or `HOST:PORT`. Not set, or
    /// with a wildcard address: the address by which the client came. Port 0: the listener's port.
    "advertised.listeners": List = null;
    /// The broker's number under its old name; `node.id` is stronger. -1: 0.
    "broker.id": Int = "-1", Check::AtLeast(-1);
    /// Listeners of these names are for a quorum; they are not opened.
    "controller.listener.names": List = null;
    /// Which protocol a listener's name stands for: `NAME:PROTOCOL`. Only PLAINTEXT is served.
    "listener.security.protocol.map": Text
        = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT";
    /// Where the broker listens: `NAME://HOST:PORT` or `HOST:PORT`. No host: every address. Port 0: any free port.
    "listeners": List = "PLAINTEXT://127.0.0.1:9092";
    /// The broker's number, as clients see it. Not set: `broker.id`, else 0.
    "node.id": Int = "0", Check::AtLeast(0);
}

rows! { CONNECTIONS, Acts;
    /// A connection that says nothing for this many milliseconds is closed; negative or 0: never.
    "connections.max.idle.ms": Long = "600000";
    /// Most bytes of records in one answer to a fetch. Records that are converted for an old client lie in memory: for
    /// them a sixteenth of `chronik.memory.bytes` is the other bound.
    "fetch.max.bytes": Int = "57671680", Check::AtLeast(1024);
    /// Most connections at a time; one more is closed at once.
    "max.connections": Int = "10000", Check::AtLeast(0);
    /// Most connections at a time from one address.
    "max.connections.per.ip": Int = "1000", Check::AtLeast(0);
    /// The largest request, in bytes. A quarter of `chronik.memory.bytes` is the other bound.
    "socket.request.max.bytes": Int = "104857600", Check::AtLeast(1);
}

rows! { TOPICS, Acts;
    /// Whether a client that asks for an unknown topic makes it.
    "auto.create.topics.enable": Boolean = "true";
    /// Default of `compression.type`.
    "compression.type": Text = "producer", Check::Compression;
    /// Whether topics may be deleted.
    "delete.topic.enable": Boolean = "true";
    /// Default of `cleanup.policy`.
    "log.cleanup.policy": List = "delete", CLEANUP_POLICIES;
    /// Default of `index.interval.bytes`.
    "log.index.interval.bytes": Int = "4096", Check::AtLeast(0);
    /// Default of `segment.index.bytes`.
    "log.index.size.max.bytes": Int = "10485760", Check::AtLeast(4);
    /// Default of `message.timestamp.after.max.ms`.
    "log.message.timestamp.after.max.ms": Long = "3600000", Check::AtLeast(0);
    /// Default of `message.timestamp.before.max.ms`.
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", Check::AtLeast(0);
    /// Default of `message.timestamp.type`.
    "log.message.timestamp.type": Text = "CreateTime", TIMESTAMP_TYPES;
    /// Default of `retention.bytes`.
    "log.retention.bytes": Long = "-1", Check::AtLeast(-1);
    /// Default of `retention.ms`, in hours; -1: never.
    "log.retention.hours": Int = "168", Check::Either(-1, 1, 0x7fff_ffff);
    /// Default of `retention.ms`, in minutes; -1: never.
    "log.retention.minutes": Int = null, Check::Either(-1, 1, 0x7fff_ffff);
    /// Default of `retention.ms`; -1: never.
    "log.retention.ms": Long = null, Check::Either(-1, 1, i64::MAX);
    /// Default of `segment.ms`, in hours; `log.roll.ms` is stronger.
    "log.roll.hours": Int = "168", Check::AtLeast(1);
    /// Default of `segment.ms`.
    "log.roll.ms": Long = null, Check::AtLeast(1);
    /// Default of `segment.bytes`: 64 MiB, where Kafka has 1 GiB.
    "log.segment.bytes": Int = "67108864", topic::SEGMENT_BYTES;
    /// Default of `max.message.bytes`.
    "message.max.bytes": Int = "1048588", Check::AtLeast(0);
    /// Partitions that a topic gets where its creator leaves the number open.
    "num.partitions": Int = "1", Check::AtLeast(1);
}

rows! { STORAGE, Acts;
    /// The data directory under its old name; `log.dirs` is stronger.
    "log.dir": List = "./data", Check::NotEmpty;
    /// The data directory. There is one.
    "log.dirs": List = null, Check::NotEmpty;
    /// What no client waits for is synced at most this many milliseconds after it was written.
    "log.flush.interval.ms": Long = "1000", Check::AtLeast(1);
    /// How long a segment stays at least after it was last written, in milliseconds, however old its records say they are.
    "log.retention.check.interval.ms": Long = "300000", Check::AtLeast(1);
}

rows! { CLASSIC_GROUPS, Acts;
    /// How long a new group waits for further members before its first generation, in milliseconds.
    "group.initial.rebalance.delay.ms": Int = "0", Check::AtLeast(0);
    /// The longest session timeout that a member may ask for, in milliseconds.
    "group.max.session.timeout.ms": Int = "1800000", Check::AtLeast(1);
    /// Most members of one group.
    "group.max.size": Int = "2147483647", Check::AtLeast(1);
    /// The shortest session timeout that a member may ask for, in milliseconds.
    "group.min.session.timeout.ms": Int = "6000", Check::AtLeast(1);
    /// How long the commits of a group without members are kept, in minutes.
    "offsets.retention.minutes": Int = "10080", Check::AtLeast(1);
    /// Most bytes of the note that a commit may carry.
    "offset.metadata.max.bytes": Int = "4096", Check::AtLeast(0);
}

rows! { CHRONIK, Acts;
    /// The name of the cluster of one, as clients see it. Not set: made at the first start and kept. A data directory of
    /// another name is refused.
    "chronik.cluster.id": Text = null, Check::NotEmpty;
    /// What becomes of a fetch that meets damaged records. `fence`: it is refused with CORRUPT_MESSAGE, records before and
    /// behind the damage are served. `skip`: it is served from the next good batch on; a damaged journal is read over, too.
    "chronik.damage": Text = "fence", Check::OneOf(&["fence", "skip"]);
    /// Bytes of a file that is kept so that commits, groups and topics can still be recorded when the disk is full; 0: none.
    /// A sixteenth of the file system is the other bound.
    "chronik.disk.ballast.bytes": Long = "16777216", Check::AtLeast(0);
    /// Free bytes on the disk below which records are refused, until there are more. Not set: 2 % of the file system, at
    /// least 64 MiB and at most 1 GiB, but never more than a quarter of it.
    "chronik.disk.reserve.bytes": Long = null, Check::AtLeast(0);
    /// When produced records are synced. `group`: before `acks=all` is answered, one sync for all who wait.
    /// `always`: before `acks=1` is answered too. `os`: no answer waits, as in Kafka.
    "chronik.durability": Text = "group", Check::OneOf(&["group", "always", "os"]);
    /// What a start does that finds partitions, but not the `__cluster_metadata` in which their topics are recorded.
    /// `refuse`: it changes nothing and ends. `adopt`: it records them anew, by their directories' names and
    /// `partition.metadata`; configurations are lost, and nothing is deleted by itself: `retention.ms` and `retention.bytes` are -1.
    "chronik.metadata.lost": Text = "refuse", Check::OneOf(&["refuse", "adopt"]);
    /// Where health, readiness and metrics are served over HTTP: HOST:PORT, or `none`.
    "chronik.http": Text = "127.0.0.1:9644", Check::NotEmpty;
    /// Most bytes of the logs of all topics together, indexes not counted; beyond it the oldest segment of all goes, and
    /// where no segment is closed what the largest partition has. Topics without `delete` in `cleanup.policy` count and are
    /// spared. -1: no bound.
    "chronik.log.total.bytes": Long = "-1", Check::AtLeast(-1);
    /// Most groups.
    "chronik.max.groups": Int = "10000", Check::AtLeast(0);
    /// Most members of all groups together.
    "chronik.max.members": Int = "10000", Check::AtLeast(0);
    /// Most partitions of all topics together.
    "chronik.max.partitions": Int = "10000", Check::AtLeast(0);
    /// Most topics.
    "chronik.max.topics": Int = "5000", Check::AtLeast(0);
    /// Bytes of memory for requests, answers and conversions together.
    "chronik.memory.bytes": Long = "67108864", Check::AtLeast(1_048_576);
    /// Threads for cold reads, searches and conversions.
    "chronik.readers": Int = "2", Check::Between(1, 64);
    /// Threads that append, each with another that syncs.
    "chronik.writers": Int = "2", Check::Between(1, 64);
}

rows! { WITHOUT_EFFECT, Ignored;
    /// Where the broker stands. Ignored: there is no other to choose.
    "broker.rack": Text = null;
    /// How many connections the kernel keeps that are not accepted yet. Ignored.
    "socket.listen.backlog.size": Int = "50", Check::AtLeast(1);
    /// The kernel's receive buffer of a connection, in bytes; -1: the system's own, which is what holds.
    "socket.receive.buffer.bytes": Int = "-1", Check::AtLeast(-1);
    /// The kernel's send buffer of a connection, in bytes; -1: the system's own, which is what holds.
    "socket.send.buffer.bytes": Int = "-1", Check::AtLeast(-1);
    /// Copies that a partition gets where its topic's creator leaves the number open. Ignored: there is one.
    "default.replication.factor": Int = "1", Check::AtLeast(1);
}

/// Every group of this file.
pub(super) const GROUPS: &[&[Row]] =
    &[ADDRESSES, CONNECTIONS, TOPICS, STORAGE, CLASSIC_GROUPS, CHRONIK, WITHOUT_EFFECT];
