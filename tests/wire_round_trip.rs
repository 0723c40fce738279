//! Hostile bytes: messages that are cut, whose lengths lie, whose bits flipped. Nothing may panic.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod wire_support;

use chronik::base::payload::Bytes;
use chronik::wire::api::{
    ApiKey, Request, RequestFrame, Response, decode_response, encode_response,
};
use wire_support::{Vector, decode, side, vectors, without_length};

/// Lengths and counts that lie, in every form that the protocol has.
const FORGERIES: &[&[u8]] = &[
    &[0xff, 0xff, 0xff, 0xff],                               // -1 in four bytes
    &[0xff, 0xff, 0xff, 0xfe],                               // -2
    &[0x7f, 0xff, 0xff, 0xff],                               // the largest
    &[0x80, 0x00, 0x00, 0x00],                               // the smallest
    &[0xff, 0xff],                                           // -1 in two bytes
    &[0xff, 0xfe],                                           // -2
    &[0x7f, 0xff],                                           // the largest
    &[0x00],                                                 // null as a varint
    &[0xff, 0xff, 0xff, 0xff, 0x0f],                         // the largest varint
    &[0xff, 0xff, 0xff, 0xff, 0x7f],                         // one of 35 bits
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],                   // one of six bytes
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // one that does not end
];

#[test]
fn a_default_request_of_every_version_round_trips() {
    for api in ApiKey::ALL {
        for version in api.versions() {
            let request = Request::default_of(*api);
            let client_id = Some("client".into());
            let frame =
                RequestFrame { version, correlation_id: 7, client_id, request, trailing: 0 };
            let bytes = Bytes::from_vec(without_length(frame.encode_plain().unwrap()));
            assert_eq!(RequestFrame::decode_plain(&bytes).unwrap(), frame, "{api} v{version}");
        }
    }
}

/// A client must be able to read whatever the broker may answer, and read it as the broker meant it.
#[test]
fn a_default_response_of_every_version_round_trips() {
    for api in ApiKey::ALL {
        for version in api.versions() {
            let frame = encode_response(Response::default_of(*api), version, 7).unwrap();
            let bytes = Bytes::from_vec(without_length(frame));
            let (id, response) = decode_response(&bytes, *api, version).unwrap();
            assert_eq!(id, 7, "{api} v{version}");
            let again = without_length(encode_response(response, version, 7).unwrap());
            assert_eq!(again, bytes.to_vec(), "{api} v{version}");
        }
    }
}

#[test]
fn a_message_that_is_cut_anywhere_is_an_error() {
    for vector in vectors() {
        for end in 0..vector.bytes.len() {
            let cut = vector.bytes.slice(0..end).unwrap();
            let decoded = decode(&vector.message, vector.version, &cut);
            assert!(decoded.is_err(), "{} cut at {end}", vector.name());
        }
    }
}

#[test]
fn an_error_names_the_type_and_the_field() {
    for vector in vectors().iter().filter(|vector| side(&vector.message).is_some()) {
        let cut = vector.bytes.slice(0..vector.bytes.len() - 1).unwrap();
        let error = decode(&vector.message, vector.version, &cut).unwrap_err();
        let place = error.place;
        assert!(place.contains('.') || place.ends_with("Header"), "{}: {error}", vector.name());
    }
}

#[test]
fn no_forged_length_panics() {
    for vector in vectors().iter().filter(|vector| vector.variant == "filled") {
        for position in body_start(vector)..vector.bytes.len() {
            for forgery in FORGERIES {
                try_it(vector, &overwritten(&vector.bytes, position, forgery));
                try_it(vector, &inserted(&vector.bytes, position, forgery));
            }
        }
    }
}

#[test]
fn no_flipped_bit_panics() {
    for vector in vectors().iter().filter(|vector| vector.variant == "filled") {
        for position in body_start(vector)..vector.bytes.len() {
            for bit in 0..8 {
                let mut bytes = vector.bytes.to_vec();
                bytes[position] ^= 1 << bit;
                try_it(vector, &bytes);
            }
        }
    }
}

/// Behind what says which version it is: another version would only be another vector.
fn body_start(vector: &Vector) -> usize {
    match side(&vector.message) {
        Some((_, true)) => 4,
        Some((_, false)) => 0,
        None => 2,
    }
}

/// What is still a message after the change can be written again, and then read as the same.
fn try_it(vector: &Vector, bytes: &[u8]) {
    let bytes = Bytes::from(bytes);
    if let Ok(decoded) = decode(&vector.message, vector.version, &bytes) {
        let again = Bytes::from_vec(decoded.bytes);
        let again = decode(&vector.message, vector.version, &again)
            .unwrap_or_else(|error| panic!("{}: {error} in {bytes:?}", vector.name()));
        assert_eq!(again.text, decoded.text, "{}", vector.name());
    }
}

fn overwritten(bytes: &[u8], position: usize, forgery: &[u8]) -> Vec<u8> {
    let end = (position + forgery.len()).min(bytes.len());
    let mut changed = bytes.to_vec();
    changed[position..end].copy_from_slice(&forgery[..end - position]);
    changed
}

fn inserted(bytes: &[u8], position: usize, forgery: &[u8]) -> Vec<u8> {
    [&bytes[..position], forgery, &bytes[position + 1..]].concat()
}
