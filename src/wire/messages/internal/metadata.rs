//! Values of `__cluster_metadata`: KRaft's records of topics, settings and producer ids.
//!
//! All are flexible. PartitionRecord: v1 adds log directories (KIP-858), v2 eligible leaders (KIP-966).
//! RegisterBrokerRecord: v1 adds the controlled shutdown, v2 the ZooKeeper migration, v3 log directories, v4 cordoned
//! ones.

use std::ops::RangeInclusive;

use crate::base::ids::TopicId;
use crate::base::payload::Bytes;
use crate::message;
use crate::wire::error::{DecodeError, EncodeError, Problem};
use crate::wire::message::Wire;
use crate::wire::reader::Reader;
use crate::wire::writer::Writer;

message! {
    /// A broker came up.
    pub struct RegisterBrokerRecord {
        /// The broker's number.
        [0..] broker_id: i32;
        /// Whether it is a ZooKeeper broker on its way.
        [2..] is_migrating_zk_broker: bool;
        /// Drawn anew at each start of the broker.
        [0..] incarnation_id: TopicId;
        /// The epoch of the broker's registration.
        [0..] broker_epoch: i64;
        /// Where it listens.
        [0..] end_points: Vec<RegisterBrokerRecordEndpoint>;
        /// What it supports.
        [0..] features: Vec<RegisterBrokerRecordFeature>;
        /// The broker's rack, if it has one.
        [0..] [null 0..] rack: Option<String> = Some(String::new());
        /// Whether it may not serve yet.
        [0..] fenced: bool = true;
        /// Whether it is going down.
        [1..] in_controlled_shutdown: bool;
        /// Its log directories.
        [3..] [tag 0] log_dirs: Vec<TopicId>;
        /// Its log directories that get no new partitions.
        [4..] [null 4..] [tag 1] cordoned_log_dirs: Option<Vec<TopicId>>;
    }

    /// An address at which the broker listens.
    pub struct RegisterBrokerRecordEndpoint {
        /// The listener's name.
        [0..] name: String;
        /// The broker's host name.
        [0..] host: String;
        /// The broker's port.
        [0..] port: u16;
        /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
        [0..] security_protocol: i16;
    }

    /// A feature that the broker supports.
    pub struct RegisterBrokerRecordFeature {
        /// The feature's name.
        [0..] name: String;
        /// The lowest level supported.
        [0..] min_supported_version: i16;
        /// The highest level supported.
        [0..] max_supported_version: i16;
    }

    /// A topic was created.
    pub struct TopicRecord {
        /// The topic's name.
        [0..] name: String;
        /// The topic's id.
        [0..] topic_id: TopicId;
    }

    /// A partition was created.
    pub struct PartitionRecord {
        /// The partition's number.
        [0..] partition_id: i32 = -1;
        /// The topic's id.
        [0..] topic_id: TopicId;
        /// The brokers that hold it.
        [0..] replicas: Vec<i32>;
        /// The brokers that are in sync.
        [0..] isr: Vec<i32>;
        /// The brokers that are to lose it.
        [0..] removing_replicas: Vec<i32>;
        /// The brokers that are to get it.
        [0..] adding_replicas: Vec<i32>;
        /// The leader's number, or -1.
        [0..] leader: i32 = -1;
        /// 1 while it recovers from an unclean election, else 0.
        [0..] [tag 0] leader_recovery_state: i8;
        /// The leader's epoch, or -1.
        [0..] leader_epoch: i32 = -1;
        /// Number of changes made to the partition.
        [0..] partition_epoch: i32 = -1;
        /// Its log directory on each of `replicas` (KIP-858).
        [1..] directories: Vec<TopicId>;
        /// Brokers that may lead although they are not in sync (KIP-966).
        [2..] [null 2..] [tag 1] eligible_leader_replicas: Option<Vec<i32>>;
        /// The last brokers that were eligible (KIP-966).
        [2..] [null 2..] [tag 2] last_known_elr: Option<Vec<i32>>;
    }

    /// A setting was changed or removed.
    pub struct ConfigRecord {
        /// What it is: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        [0..] resource_type: i8;
        /// Its name; a broker's number, or empty for all brokers.
        [0..] resource_name: String;
        /// The setting's name.
        [0..] name: String;
        /// The setting's value; `None` removes it.
        [0..] [null 0..] value: Option<String> = Some(String::new());
    }

    /// A topic was deleted, with its partitions.
    pub struct RemoveTopicRecord {
        /// The topic's id.
        [0..] topic_id: TopicId;
    }

    /// A feature was set to a level; the log's first record sets `metadata.version`.
    pub struct FeatureLevelRecord {
        /// The feature's name.
        [0..] name: String;
        /// The level; 0 switches it off.
        [0..] feature_level: i16;
    }

    /// A block of producer ids was handed out.
    pub struct ProducerIdsRecord {
        /// The broker that got the block.
        [0..] broker_id: i32;
        /// The epoch of the broker's registration.
        [0..] broker_epoch: i64 = -1;
        /// The first number that was not handed out.
        [0..] next_producer_id: i64;
    }
}

macro_rules! records {
    ($($name:ident = $key:literal, $versions:expr, $body:ident;)*) => {
        /// A value of `__cluster_metadata`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord { $(
            #[doc = concat!("Key ", stringify!($key), ", versions ", stringify!($versions), ".")]
            $name($body),
        )* }

        impl MetadataRecord {
            /// Its key and its versions.
            #[must_use]
            pub fn key_and_versions(&self) -> (u32, RangeInclusive<i16>) {
                match self { $(MetadataRecord::$name(_) => ($key, $versions),)* }
            }

            fn read(key: u32, version: i16, r: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
                let place = "MetadataRecord.version";
                match key {
                    $($key if ($versions).contains(&version) => Wire::read(r).map(MetadataRecord::$name),)*
                    $($key => Err(DecodeError::new(Problem::UnknownVersion).at(place)),)*
                    _ => Err(DecodeError::new(Problem::UnknownApi).at("MetadataRecord.key")),
                }
            }

            fn write(&self, w: &mut Writer) -> Result<(), EncodeError> {
                match self { $(MetadataRecord::$name(body) => body.write(w),)* }
            }
        }
    };
}

records! {
    RegisterBroker = 0, 0..=4, RegisterBrokerRecord;
    Topic = 2, 0..=0, TopicRecord;
    Partition = 3, 0..=2, PartitionRecord;
    Config = 4, 0..=0, ConfigRecord;
    RemoveTopic = 9, 0..=0, RemoveTopicRecord;
    FeatureLevel = 12, 0..=0, FeatureLevelRecord;
    ProducerIds = 15, 0..=0, ProducerIdsRecord;
}

/// The version of the frame: it, the record's key and the record's version stand before the record as varints.
const FRAME_VERSION: u32 = 1;

impl MetadataRecord {
    /// Reads a value of the log.
    ///
    /// # Errors
    /// If the bytes are not such a value; [`Problem::UnknownApi`] if it is one that is not kept here.
    pub fn decode(value: &Bytes) -> Result<MetadataRecord, DecodeError> {
        let mut r = Reader::new(value, 0, true);
        MetadataRecord::read_framed(&mut r).map_err(|error| error.at_byte(r.position()))
    }

    fn read_framed(r: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
        let varint =
            |r: &mut Reader<'_>, place| r.unsigned_varint().map_err(|error| error.at(place));
        if varint(r, "MetadataRecord.frame")? != FRAME_VERSION {
            return Err(DecodeError::new(Problem::UnknownVersion).at("MetadataRecord.frame"));
        }
        let key = varint(r, "MetadataRecord.key")?;
        let version = varint(r, "MetadataRecord.version")?;
        let version = i16::try_from(version).unwrap_or(i16::MAX);
        r.switch(version, true);
        let record = MetadataRecord::read(key, version, r)?;
        r.finish()?;
        Ok(record)
    }

    /// Writes a value of the log in its newest version.
    ///
    /// # Errors
    /// If a part is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.encode_as(*self.key_and_versions().1.end())
    }

    /// Writes a value of the log.
    ///
    /// # Errors
    /// If it has no form in this version.
    pub fn encode_as(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        let number = u32::try_from(version).map_err(|_| EncodeError::new("negative version"))?;
        let mut w = Writer::new(version, true);
        w.unsigned_varint(FRAME_VERSION);
        w.unsigned_varint(self.key_and_versions().0);
        w.unsigned_varint(number);
        self.write(&mut w)?;
        w.into_bytes().ok_or(EncodeError::new("a part of the record lies in a file"))
    }
}
