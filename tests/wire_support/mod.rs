//! Reads the byte vectors that Kafka's own classes made, and finds the codec for each.

use std::collections::BTreeMap;
use std::path::Path;

use chronik::base::payload::{Bytes, Payload};
use chronik::wire::api::{self, ApiKey, Request, RequestFrame, Response};
use chronik::wire::error::DecodeError;
use chronik::wire::message::{decode_versioned, encode_versioned};
use chronik::wire::messages::internal::metadata::MetadataRecord;
use chronik::wire::messages::internal::offsets::*;
use chronik::wire::messages::*;

/// One message of one version, as Kafka writes it.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    /// The schema's name, such as `FetchRequest`.
    pub(crate) message: String,
    /// The version.
    pub(crate) version: i16,
    /// `default`, `filled`, `sparse` or `long`.
    pub(crate) variant: String,
    /// A frame without its length, or a value behind its version.
    pub(crate) bytes: Bytes,
    /// What Kafka says is in it: name and value of each field that the version carries.
    pub(crate) fields: Vec<(String, String)>,
}

impl Vector {
    /// For messages of failed asserts.
    pub(crate) fn name(&self) -> String {
        format!("{} v{} {}", self.message, self.version, self.variant)
    }
}

/// All vectors.
pub(crate) fn vectors() -> Vec<Vector> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vectors");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Vec<Vector> {
    let message = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let mut found: Vec<Vector> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("[v") {
            let mut words = head.split(' ');
            let version = words.next().unwrap().parse().unwrap();
            let variant = words.next().unwrap().to_owned();
            let message = message.clone();
            found.push(Vector {
                message,
                version,
                variant,
                bytes: Bytes::new(),
                fields: Vec::new(),
            });
        } else if let Some(fields) = line.strip_prefix(". ") {
            let pair = |field: &str| {
                let (name, value) = field.split_once('=').unwrap();
                (name.to_owned(), value.to_owned())
            };
            let fields = fields.split(';').filter(|field| !field.is_empty());
            found.last_mut().unwrap().fields = fields.map(pair).collect();
        } else {
            let vector = found.last_mut().unwrap();
            let mut bytes = vector.bytes.to_vec();
            bytes.extend(unhex(line));
            vector.bytes = Bytes::from_vec(bytes);
        }
    }
    found
}

fn unhex(line: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    (0..line.len()).step_by(2).map(digit).collect()
}

/// A message that was read, in a form that does not depend on its type.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    /// Its debug text.
    pub(crate) text: String,
    /// The same, written again.
    pub(crate) bytes: Vec<u8>,
    /// Whether every field has its default.
    pub(crate) is_default: bool,
}

/// Reads and writes one message in one version.
pub(crate) type Codec = fn(&Bytes, i16) -> Result<Decoded, DecodeError>;

/// The codec of a message that is not a request or response, by the schema's name.
pub(crate) fn inner_codecs() -> BTreeMap<&'static str, Codec> {
    macro_rules! versioned {
        ($type:ty, $versions:expr, $flexible:literal) => {
            |bytes, version| {
                let value: $type = decode_versioned(bytes, $versions, $flexible)?;
                Ok(Decoded {
                    text: format!("{value:?}"),
                    bytes: encode_versioned(&value, version, version >= $flexible).unwrap(),
                    is_default: value == <$type>::default(),
                })
            }
        };
    }
    let metadata: Codec = |bytes, version| {
        let record = MetadataRecord::decode(bytes)?;
        let text = format!("{record:?}");
        let defaults = default_records();
        let bytes = record.encode_as(version).unwrap();
        Ok(Decoded { text, bytes, is_default: defaults.contains(&record) })
    };
    let keys: Codec = |bytes, _| {
        let key = OffsetsKey::decode(bytes)?;
        // Written in its newest version, which has the same form.
        let mut written = key.encode().unwrap();
        written[..2].copy_from_slice(&bytes[..2]);
        let is_default = match &key {
            OffsetsKey::OffsetCommit(key) => *key == OffsetCommitKey::default(),
            OffsetsKey::GroupMetadata(key) => *key == GroupMetadataKey::default(),
        };
        Ok(Decoded { text: format!("{key:?}"), bytes: written, is_default })
    };
    BTreeMap::from([
        (
            "ConsumerProtocolSubscription",
            versioned!(ConsumerProtocolSubscription, 0..=3, 99) as Codec,
        ),
        ("ConsumerProtocolAssignment", versioned!(ConsumerProtocolAssignment, 0..=3, 99)),
        ("OffsetCommitKey", keys),
        ("GroupMetadataKey", keys),
        ("OffsetCommitValue", versioned!(OffsetCommitValue, 0..=4, 4)),
        ("GroupMetadataValue", versioned!(GroupMetadataValue, 0..=4, 4)),
        ("RegisterBrokerRecord", metadata),
        ("TopicRecord", metadata),
        ("PartitionRecord", metadata),
        ("ConfigRecord", metadata),
        ("RemoveTopicRecord", metadata),
        ("FeatureLevelRecord", metadata),
        ("ProducerIdsRecord", metadata),
    ])
}

fn default_records() -> [MetadataRecord; 7] {
    [
        MetadataRecord::RegisterBroker(Default::default()),
        MetadataRecord::Topic(Default::default()),
        MetadataRecord::Partition(Default::default()),
        MetadataRecord::Config(Default::default()),
        MetadataRecord::RemoveTopic(Default::default()),
        MetadataRecord::FeatureLevel(Default::default()),
        MetadataRecord::ProducerIds(Default::default()),
    ]
}

/// The request that a message belongs to, and whether it is the request itself.
pub(crate) fn side(message: &str) -> Option<(ApiKey, bool)> {
    let is_request = message.ends_with("Request");
    let name = message.strip_suffix("Request").or_else(|| message.strip_suffix("Response"))?;
    let api = ApiKey::ALL.iter().find(|api| api.name() == name)?;
    Some((*api, is_request))
}

/// Reads a vector and writes it again, every field where the version has it.
pub(crate) fn decode(message: &str, version: i16, bytes: &Bytes) -> Result<Decoded, DecodeError> {
    match side(message) {
        None => inner_codecs()[message](bytes, version),
        Some((api, true)) => {
            let frame = RequestFrame::decode_plain(bytes)?;
            Ok(Decoded {
                text: format!("{:?}", frame.request),
                bytes: without_length(frame.encode_plain().unwrap()),
                is_default: frame.request == Request::default_of(api),
            })
        }
        Some((api, false)) => {
            let (id, response) = api::decode_response_plain(bytes, api, version)?;
            let written = api::encode_response_plain(&response, version, id).unwrap();
            Ok(Decoded {
                text: format!("{response:?}"),
                bytes: without_length(written),
                is_default: response == Response::default_of(api),
            })
        }
    }
}

/// The frame's bytes, after checking its length.
pub(crate) fn without_length(frame: Vec<Payload>) -> Vec<u8> {
    let mut whole = Vec::new();
    for part in frame {
        match part {
            Payload::Bytes(bytes) => whole.extend_from_slice(&bytes),
            Payload::File(_) => panic!("nothing lies in a file"),
        }
    }
    let length = i32::from_be_bytes(whole[..4].try_into().unwrap());
    assert_eq!(usize::try_from(length).unwrap(), whole.len() - 4);
    whole.split_off(4)
}
