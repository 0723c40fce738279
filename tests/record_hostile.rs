//! Records from someone who means harm: whatever the bytes, an error or the truth, and never a panic.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests may"
)]

#[path = "support/record_vectors.rs"]
mod vectors;

use chronik::record::RecordError;
use chronik::record::batch::{BatchHeader, Prefix};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::compression::{Codec, Compressor};
use chronik::record::convert;
use chronik::record::message_set::{self, Format, Tail};
use chronik::record::records::{RecordReader, check_batch};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use vectors::{ROOM, describe, load, without_sizes};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics, also those that are caught: a codec's must be none either, as far as these tests reach.
fn count_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        print(panic);
    }));
}

/// Gives bytes from someone who knows how to compute checksums the right ones.
fn reseal(bytes: &mut [u8]) {
    if bytes[16] == 2 {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    } else {
        let crc = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Small enough to try each of its bits.
fn is_small(vector: &vectors::Vector) -> bool {
    vector.bytes.len() < 700
}

/// Everything that may be done with bytes from outside.
fn use_everywhere(bytes: &[u8]) {
    let _ = describe(bytes, ROOM);
    let _ = convert::for_append(bytes, None, ROOM);
    let _ = convert::for_append(bytes, Some(Codec::None), ROOM);
    let _ = convert::down_convert(bytes, Format::Zero, 0, ROOM);
    let _ = convert::down_convert(bytes, Format::One, 0, ROOM);
    let _ = check_batch(bytes, ROOM);
}

#[test]
fn every_truncation_is_an_error_or_ends_between_messages() {
    for vector in vectors::all().iter().filter(|vector| is_small(vector)) {
        for len in 1..vector.bytes.len() {
            let cut = &vector.bytes[..len];
            if let Ok(description) = describe(cut, ROOM) {
                let name = &vector.name;
                assert!(vector.description.starts_with(&description), "{name} cut to {len}");
                assert!(Prefix::read(&vector.bytes).unwrap().size <= len, "{name} cut to {len}");
            }
            use_everywhere(cut);
            let mut count = 0;
            let visit = |_: &message_set::Message<'_>| {
                count += 1;
                Ok::<(), RecordError>(())
            };
            if Prefix::read(&vector.bytes).unwrap().magic < 2 {
                message_set::for_each(cut, Tail::MayBeCut, ROOM, visit).unwrap();
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_outside_the_checksum() {
    for vector in vectors::all().iter().filter(|vector| is_small(vector)) {
        let magic = Prefix::read(&vector.bytes).unwrap().magic;
        let several = vector.bytes.len() > Prefix::read(&vector.bytes).unwrap().size;
        for bit in 0..vector.bytes.len() * 8 {
            let mut bytes = vector.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let free = match (magic, bit / 8) {
                (_, 0..8) => true,
                (2, 12..16) => true,
                // A set's later messages have offsets of their own, which nothing covers.
                (0 | 1, _) => several,
                _ => false,
            };
            if !free {
                assert!(describe(&bytes, ROOM).is_err(), "{} bit {bit}", vector.name);
            }
            use_everywhere(&bytes);
        }
    }
}

#[test]
fn bits_flipped_under_a_right_checksum_do_no_harm() {
    for vector in vectors::all().iter().filter(|vector| is_small(vector)) {
        // Every byte, and each of the eight bits in turn.
        for bit in (17 * 8..vector.bytes.len() * 8).step_by(5) {
            let mut bytes = vector.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            reseal(&mut bytes);
            use_everywhere(&bytes);
            if bytes[16] == 2 {
                assert_skimming_agrees(&bytes);
            }
        }
    }
}

/// As many rounds as `CHRONIK_FUZZ_ROUNDS` says, from `CHRONIK_FUZZ_SEED`.
#[test]
fn random_damage_under_a_right_checksum_does_no_harm() {
    count_panics();
    let setting = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |value| value.parse().unwrap())
    };
    let rounds = setting("CHRONIK_FUZZ_ROUNDS", 2000);
    let mut state = setting("CHRONIK_FUZZ_SEED", 1) | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let vectors = vectors::all();
    for round in 0..rounds {
        let mut bytes = vectors[random(vectors.len())].bytes.clone();
        for _ in 0..=random(6) {
            let at = 17 + random(bytes.len() - 17);
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
                2 => bytes[at] = random(256) as u8,
                _ if bytes.len() > 100 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random(256) as u8),
            }
        }
        let length = bytes.len() as u32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        reseal(&mut bytes);
        use_everywhere(&bytes);
        if bytes[16] == 2 {
            assert_skimming_agrees(&bytes);
        }
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "round {round}: {bytes:x?}");
    }
}

/// Both ways of reading accept the same batches and see the same.
fn assert_skimming_agrees(batch: &[u8]) {
    let Ok(mut reader) = RecordReader::open(batch, ROOM) else { return };
    let mut skimmer = RecordReader::open(batch, ROOM).unwrap();
    loop {
        match (reader.next(), skimmer.skim()) {
            (Ok(Some(record)), Ok(Some(outline))) => {
                assert_eq!((record.offset, record.timestamp), (outline.offset, outline.timestamp));
                assert_eq!(record.key.is_some(), outline.has_key);
            }
            (Ok(None), Ok(None)) => return,
            (Err(_), Err(_)) => return,
            (read, skimmed) => assert_eq!(read.is_ok(), skimmed.is_ok(), "{read:?} {skimmed:?}"),
        }
    }
}

#[test]
fn counts_that_contradict_the_records_are_errors() {
    for name in ["v2_none", "v2_gzip"] {
        for (count, delta, expected) in [
            (3, 3, RecordError::BadCount),
            (5, 4, RecordError::Truncated),
            (0, -1, RecordError::BadCount),
            (-1, -2, RecordError::BadCount),
            (i32::MAX, i32::MAX - 1, RecordError::Truncated),
            (3, 2, RecordError::BadLength),
        ] {
            let mut batch = load(name).bytes;
            batch[23..27].copy_from_slice(&i32::to_be_bytes(delta));
            batch[57..61].copy_from_slice(&i32::to_be_bytes(count));
            reseal(&mut batch);
            assert_eq!(check_batch(&batch, ROOM), Err(expected), "{name} {count} {delta}");
        }
    }
    let gaps = load("v2_none_gaps").bytes;
    assert_eq!(BatchHeader::read(&gaps).unwrap().check_counts(), Err(RecordError::BadCount));
    assert_eq!(
        RecordReader::open(&gaps, ROOM).unwrap().dense().check(),
        Err(RecordError::BadOffset)
    );
    assert_eq!(RecordReader::open(&gaps, ROOM).unwrap().check(), Ok(()));
}

/// A batch whose records are these bytes, compressed elsewhere.
fn batch_of(codec: Codec, count: i32, compressed: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    builder.append(0, None, None, &[]).unwrap();
    let mut header = BatchHeader::read(&builder.finish().unwrap()).unwrap();
    header.attributes = i16::from(codec.number());
    header.record_count = count;
    header.last_offset_delta = count - 1;
    header.batch_length = i32::try_from(compressed.len()).unwrap() + 49;
    let mut batch = header.to_bytes().to_vec();
    batch.extend(compressed);
    reseal(&mut batch);
    batch
}

#[test]
fn forged_snappy_lengths_are_errors() {
    let bad = Err(RecordError::BadCompression(Codec::Snappy));
    let header: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    for chunk in [
        &b"\xff\xff\xff\xff"[..],
        b"\x7f\xff\xff\xff\x00",
        b"\x00\x00\x00\x05\x01\x00",
        b"\x80\x00\x00\x00",
        b"\x00\x00",
        // A block of 1000 bytes, so it says, in four.
        b"\x00\x00\x00\x04\xe8\x07\x00\x61",
    ] {
        let batch = batch_of(Codec::Snappy, 1, &[header, chunk].concat());
        assert_eq!(check_batch(&batch, ROOM), bad, "{chunk:x?}");
    }
    let bare = batch_of(Codec::Snappy, 1, b"\xff\xff\xff\xff\x0f\x00");
    assert_eq!(check_batch(&bare, ROOM), Err(RecordError::TooLarge));
    let long_varint = batch_of(Codec::Snappy, 1, b"\xff\xff\xff\xff\xff\xff\x00");
    assert_eq!(check_batch(&long_varint, ROOM), bad);
}

#[test]
fn a_bare_snappy_block_is_read_as_some_clients_write_it() {
    // One record without key, value and headers; a literal of seven bytes.
    let batch = batch_of(Codec::Snappy, 1, b"\x07\x18\x0c\x00\x00\x00\x01\x01\x00");
    assert_eq!(check_batch(&batch, ROOM), Ok(()));
}

#[test]
fn gzip_members_and_zstd_frames_may_follow_each_other() {
    for codec in [Codec::Gzip, Codec::Zstd, Codec::Snappy, Codec::Lz4] {
        let part = |delta: u8| {
            let mut stream = Compressor::new(codec, Vec::new()).unwrap();
            stream.write_all(&[12, 0, 0, delta * 2, 1, 1, 0]).unwrap();
            stream.finish().unwrap()
        };
        let mut parts = [part(0), part(1)].concat();
        if codec == Codec::Zstd {
            parts.extend(b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc");
        }
        let batch = batch_of(codec, 2, &parts);
        assert_eq!(check_batch(&batch, ROOM), Ok(()), "{}", codec.name());
    }
}

#[test]
fn format_0_has_the_lz4_header_that_old_clients_expect() {
    for (name, format) in [("v0_lz4", Format::Zero), ("v1_lz4", Format::One)] {
        let kafkas = load(name).bytes;
        let ours = convert::down_convert(&load("v2_lz4").bytes, format, 0, ROOM).unwrap();
        let header = |bytes: &[u8]| {
            let at = bytes.windows(4).position(|four| four == b"\x04\x22\x4d\x18").unwrap();
            bytes[at..at + 7].to_vec()
        };
        assert_eq!(header(&ours), header(&kafkas), "{name}");
    }
}

#[test]
fn a_message_set_cut_by_an_old_broker_is_read_up_to_the_cut() {
    let vector = load("v1_none");
    let cut = &vector.bytes[..vector.bytes.len() - 1];
    let mut offsets = Vec::new();
    let visit = |message: &message_set::Message<'_>| {
        offsets.push(message.record.offset);
        Ok::<(), RecordError>(())
    };
    message_set::for_each(cut, Tail::MayBeCut, ROOM, visit).unwrap();
    assert_eq!(offsets, [100, 101, 102]);
    assert_eq!(describe(cut, ROOM), Err(RecordError::Truncated));
}

#[test]
fn wrappers_in_wrappers_and_mixed_formats_are_errors() {
    let wrap = |format: u8, inner: &[u8]| {
        let mut stream = Compressor::new(Codec::Gzip, Vec::new()).unwrap();
        stream.write_all(inner).unwrap();
        let value = stream.finish().unwrap();
        let mut set = vec![0; 16];
        set.extend([format, 1]);
        set.extend(vec![0; usize::from(format) * 8]);
        set.extend([0xff; 4]);
        set.extend((value.len() as u32).to_be_bytes());
        set.extend(value);
        let length = set.len() as u32 - 12;
        set[8..12].copy_from_slice(&length.to_be_bytes());
        reseal(&mut set);
        set
    };
    let fine = wrap(1, &load("v1_none").bytes);
    assert_eq!(describe(&fine, ROOM).unwrap().lines().count(), 5);
    let nested = wrap(1, &load("v1_gzip").bytes);
    assert_eq!(describe(&nested, ROOM), Err(RecordError::BadCompression(Codec::Gzip)));
    let mixed = wrap(1, &load("v0_none").bytes);
    assert_eq!(describe(&mixed, ROOM), Err(RecordError::BadMagic(0)));
    let newer = wrap(1, &load("v2_none").bytes);
    assert!(describe(&newer, ROOM).is_err());
    assert_eq!(describe(&wrap(1, b""), ROOM), Err(RecordError::BadCount));
}

#[test]
fn nothing_is_lost_between_the_formats() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        for format in [Format::Zero, Format::One] {
            let set = load(&format!("v{}_{}", format.magic(), codec.name()));
            let batch = convert::for_append(&set.bytes, None, ROOM).unwrap();
            let mut moved = batch.clone();
            chronik::record::batch::set_base_offset(&mut moved, 100).unwrap();
            let back = convert::down_convert(&moved, format, 0, ROOM).unwrap();
            let described = describe(&back, ROOM).unwrap();
            assert_eq!(without_sizes(&described), without_sizes(&set.description));
        }
    }
}
