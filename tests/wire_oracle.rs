//! What Kafka's own classes write is read, means the same, and is written again byte for byte.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod wire_support;

use std::collections::{BTreeMap, BTreeSet};

use chronik::wire::api::{ApiKey, RequestFrame};
use wire_support::{decode, inner_codecs, side, vectors, without_length};

#[test]
fn every_version_of_every_request_and_response_has_vectors() {
    let found: BTreeSet<(String, i16, String)> =
        vectors().into_iter().map(|v| (v.message, v.version, v.variant)).collect();
    for api in ApiKey::ALL {
        for side in ["Request", "Response"] {
            for version in api.versions() {
                for variant in ["default", "filled", "sparse"] {
                    let key = (format!("{api}{side}"), version, variant.to_owned());
                    assert!(found.contains(&key), "no vector for {key:?}");
                }
            }
            let newest = (format!("{api}{side}"), *api.versions().end(), "long".to_owned());
            assert!(found.contains(&newest), "no vector for {newest:?}");
        }
    }
    for message in inner_codecs().keys() {
        assert!(found.iter().any(|(name, ..)| name == message), "no vector for {message}");
    }
}

#[test]
fn every_vector_belongs_to_a_message() {
    for vector in vectors() {
        let known =
            side(&vector.message).is_some() || inner_codecs().contains_key(&*vector.message);
        assert!(known, "{}", vector.name());
    }
}

#[test]
fn kafkas_bytes_are_read_and_written_again() {
    for vector in vectors() {
        let decoded = decode(&vector.message, vector.version, &vector.bytes);
        let decoded = decoded.unwrap_or_else(|error| panic!("{}: {error}", vector.name()));
        assert_eq!(decoded.bytes, vector.bytes.to_vec(), "{}", vector.name());
    }
}

#[test]
fn defaults_are_kafkas() {
    for vector in vectors().iter().filter(|vector| vector.variant == "default") {
        let decoded = decode(&vector.message, vector.version, &vector.bytes).unwrap();
        assert!(decoded.is_default, "{}: {}", vector.name(), decoded.text);
    }
}

#[test]
fn every_field_has_the_value_that_kafka_gave_it() {
    for vector in vectors().iter().filter(|vector| vector.variant != "default") {
        let decoded = decode(&vector.message, vector.version, &vector.bytes).unwrap();
        let mut ours: BTreeMap<(String, String), usize> = BTreeMap::new();
        for field in leaves(&decoded.text) {
            *ours.entry(field).or_default() += 1;
        }
        for field in &vector.fields {
            let left = ours.get_mut(field).filter(|left| **left > 0);
            let left = left.unwrap_or_else(|| {
                panic!("{}: {field:?} is not in {}", vector.name(), decoded.text)
            });
            *left -= 1;
        }
    }
}

#[test]
fn a_request_in_its_newest_shape_is_written_as_it_came() {
    for vector in vectors().iter().filter(|vector| vector.message.ends_with("Request")) {
        let frame = RequestFrame::decode(&vector.bytes).unwrap();
        assert_eq!(frame.trailing, 0, "{}", vector.name());
        assert_eq!(
            (frame.correlation_id, frame.client_id.as_deref()),
            (0x01020304, Some("vector"))
        );
        let again = without_length(frame.encode().unwrap());
        assert_eq!(again, vector.bytes.to_vec(), "{}", vector.name());
    }
}

/// Name and value of every field in a debug text that is not itself a structure, in Kafka's notation.
fn leaves(text: &str) -> Vec<(String, String)> {
    let text = text.replace("Records(One(Bytes(", "").replace(")))", "");
    let text = text.replace("Records(None)", "0 bytes").replace("Some(", "");
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some(colon) = rest.find(": ") {
        let start = rest[..colon].rfind([' ', '{', '(', '[']).map_or(0, |before| before + 1);
        let name = rest[start..colon].to_owned();
        rest = &rest[colon + 2..];
        if let Some((value, length)) = leaf(rest) {
            found.push((name, value));
            rest = &rest[length..];
        }
    }
    found
}

/// The value at the start of `text`, unless it is a structure or a list of structures.
fn leaf(text: &str) -> Option<(String, usize)> {
    let length = match text.as_bytes()[0] {
        b'"' => text[1..].find('"')? + 2,
        b'[' => text.find(']')? + 1,
        _ => text.find([',', ' ', ')', ']'])?,
    };
    let value = &text[..length];
    if value.contains('{') || text[length..].starts_with(" {") {
        return None;
    }
    if let Some(bytes) = text[length..].strip_prefix(" bytes") {
        let end = bytes.find([',', ')', ']', '}']).unwrap();
        return Some((bytes[..end].replace(' ', ""), length + 6 + end));
    }
    Some((if value == "None" { "null".to_owned() } else { value.to_owned() }, length))
}
