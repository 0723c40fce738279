//! `chronik decode` shows what Kafka put on the wire, and says where bytes are wrong.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
#![expect(dead_code, reason = "the support is shared with tests that use more of it")]

mod wire_support;

use chronik::decode::{describe, parse_response_to, run};
use chronik::wire::api::ApiKey;
use wire_support::{Vector, side, vectors};

fn vector(message: &str, version: i16, variant: &str) -> Vector {
    let wanted = |v: &Vector| v.message == message && v.version == version && v.variant == variant;
    vectors().into_iter().find(wanted).unwrap()
}

fn with_length(frame: &[u8]) -> Vec<u8> {
    [&u32::try_from(frame.len()).unwrap().to_be_bytes(), frame].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

#[test]
fn every_frame_of_kafka_is_shown_with_all_its_fields() {
    for vector in vectors() {
        let Some((api, is_request)) = side(&vector.message) else { continue };
        let response_to = (!is_request).then_some((api, vector.version));
        let description = describe(&with_length(&vector.bytes), response_to);
        assert!(description.complete, "{}: {}", vector.name(), description.text);
        for (name, value) in &vector.fields {
            // Records and bytes are shown in other words.
            let shown = if value.contains("fe00") || value.is_empty() {
                format!("{name}:")
            } else {
                format!("{name}: {value}")
            };
            assert!(
                description.text.contains(&shown),
                "{}: {shown}\n{}",
                vector.name(),
                description.text
            );
        }
    }
}

#[test]
fn a_field_that_the_version_does_not_carry_is_not_shown() {
    let text = describe(&vector("FetchRequest", 0, "filled").bytes, None).text;
    assert!(text.contains("max_wait_ms:") && !text.contains("session_id:"), "{text}");
    assert!(!text.contains("understands_zstd"), "{text}");
}

#[test]
fn hex_and_bytes_and_with_and_without_length_are_the_same() {
    for version in ApiKey::Produce.versions() {
        let frame = vector("ProduceRequest", version, "filled").bytes;
        let text = describe(&frame, None).text;
        assert!(text.contains(&format!("Produce v{version}")), "{text}");
        assert_eq!(describe(hex(&frame).as_bytes(), None).text, text);
        assert_eq!(describe(&with_length(&frame), None).text, text);
        let commented = format!("# a comment\n0x{}", hex(&with_length(&frame)));
        assert_eq!(describe(commented.as_bytes(), None).text, text);
    }
}

#[test]
fn several_frames_in_a_row_are_shown_one_by_one() {
    let one = with_length(&vector("HeartbeatRequest", 4, "filled").bytes);
    let two = with_length(&vector("MetadataRequest", 12, "sparse").bytes);
    let description = describe(&[one, two].concat(), None);
    assert!(description.complete);
    assert!(description.text.contains("Heartbeat v4") && description.text.contains("Metadata v12"));
}

#[test]
fn a_cut_frame_names_the_field_and_the_byte() {
    let frame = with_length(&vector("HeartbeatRequest", 0, "filled").bytes);
    let description = describe(&frame[..frame.len() - 3], None);
    assert!(!description.complete);
    let text = description.text;
    assert!(text.contains("HeartbeatRequest.member_id: ends too early (byte"), "{text}");
    assert!(text.contains("the frame is cut"), "{text}");
}

#[test]
fn an_unknown_request_is_named_by_its_key() {
    let frame = [0, 99, 0, 1, 0, 0, 0, 7, 0xff, 0xff];
    let description = describe(&with_length(&frame), None);
    assert!(!description.complete);
    assert!(description.text.contains("key 99 v1, correlation id 7"), "{}", description.text);
}

#[test]
fn errors_are_shown_by_name() {
    // Heartbeat v0's answer: a correlation id and REBALANCE_IN_PROGRESS.
    let text = describe(b"00000001 001b", Some((ApiKey::Heartbeat, 0))).text;
    assert!(text.contains("error_code: 27 (REBALANCE_IN_PROGRESS)"), "{text}");
}

#[test]
fn no_input_makes_it_panic() {
    for input in [&b""[..], b"0", b"zz", b"00", b"ffffffff", b"7fffffff", b"\xff\xff\xff\xff"] {
        assert!(!describe(input, None).complete);
        assert!(!describe(input, Some((ApiKey::Fetch, 12))).complete);
    }
}

#[test]
fn the_request_of_an_answer_is_named_with_its_version() {
    assert_eq!(parse_response_to("Fetch:12"), Ok((ApiKey::Fetch, 12)));
    assert_eq!(parse_response_to("fetch:0"), Ok((ApiKey::Fetch, 0)));
    assert_eq!(parse_response_to("18:3"), Ok((ApiKey::ApiVersions, 3)));
    for wrong in ["Fetch", "Fetch:99", "Nothing:1", "Fetch:x", ""] {
        assert!(parse_response_to(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_command_reads_its_input_and_says_what_is_wrong_with_its_arguments() {
    let command = |arguments: &[&str], input: &str| {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut out = Vec::new();
        run(&arguments, &mut input.as_bytes(), &mut out)
            .map(|complete| (complete, String::from_utf8(out).unwrap()))
    };
    let (complete, text) = command(&["--response", "Heartbeat:0"], "00000001001b").unwrap();
    assert!(complete && text.contains("REBALANCE_IN_PROGRESS"), "{text}");
    assert!(!command(&[], "0000").unwrap().0);
    assert!(command(&["--response"], "").is_err());
    assert!(command(&["--response", "Fetch:99"], "").unwrap_err().contains("0 to 18"));
}
