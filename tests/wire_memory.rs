//! A request takes no more memory than a small multiple of its frame, however its counts lie.
//!
//! Alone in its binary: the allocator counts for the whole process.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
#![expect(dead_code, reason = "the support is shared with tests that use more of it")]

mod wire_support;

use chronik::base::payload::Bytes;
use chronik::wire::api::RequestFrame;
use peak_alloc::PeakAlloc;
use wire_support::{Vector, side, vectors};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of filler after the forged count.
const FILLER: usize = 1 << 20;

/// 65536, a count that the filler could just hold, in both its forms.
const COUNT: [u8; 4] = [0x00, 0x01, 0x00, 0x00];
const COUNT_VARINT: [u8; 3] = [0x81, 0x80, 0x04];

/// What the reader allows arrays is 8 times the frame and 256 KiB. Half as much again is held while the largest of
/// them grows, and strings and the like take what they took in the frame.
fn bound(frame: usize) -> usize {
    (8 * frame + 256 * 1024) * 3 / 2 + 2 * frame
}

#[test]
fn no_request_takes_much_more_memory_than_its_bytes() {
    let mut worst = (0.0, String::new());
    for vector in newest_and_oldest() {
        for position in 8..vector.bytes.len() {
            for filler in [0x00, 0x01, 0x02] {
                let frame = forged(&vector.bytes, position, filler);
                let len = frame.len();
                let peak = peak_of(&Bytes::from_vec(frame));
                assert!(peak <= bound(len), "{} at {position}: {peak} for {len}", vector.name());
                let ratio = peak as f64 / len as f64;
                if ratio > worst.0 {
                    worst = (ratio, format!("{} at {position}, filler {filler}", vector.name()));
                }
            }
        }
    }
    let crowd = crowd();
    assert!(RequestFrame::decode(&crowd).is_err());
    let peak = peak_of(&crowd);
    assert!(peak < 12 << 20, "{peak} bytes for {} that name partitions", crowd.len());
    println!("worst: {:.1} times the frame, {}", worst.0, worst.1);
}

/// A produce of 16 MiB that names partitions and brings no records.
fn crowd() -> Bytes {
    let mut frame =
        b"\0\0\0\x03\0\0\0\x01\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x01\0\x01t".to_vec();
    let count: u32 = 2 << 20;
    frame.extend(count.to_be_bytes());
    (0..count).for_each(|index| {
        frame.extend(index.to_be_bytes());
        frame.extend((-1_i32).to_be_bytes());
    });
    Bytes::from_vec(frame)
}

fn newest_and_oldest() -> Vec<Vector> {
    let mut chosen = vectors();
    chosen.retain(|vector| match side(&vector.message) {
        Some((api, true)) => {
            let versions = api.versions();
            vector.variant == "filled"
                && [*versions.start(), *versions.end()].contains(&vector.version)
        }
        _ => false,
    });
    assert!(!chosen.is_empty());
    chosen
}

/// The frame up to `position`, a forged count (a varint where there may be one), and the filler.
fn forged(frame: &[u8], position: usize, filler: u8) -> Vec<u8> {
    let mut bytes = frame[..position].to_vec();
    if (0x01..0x20).contains(&frame[position]) {
        bytes.extend(COUNT_VARINT);
    } else {
        bytes.extend(COUNT);
    }
    bytes.resize(bytes.len() + FILLER, filler);
    bytes
}

fn peak_of(frame: &Bytes) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let decoded = RequestFrame::decode(frame);
    let peak = MEMORY.peak_usage();
    drop(decoded);
    peak - before
}
