//! Decompression bombs: what arrives decides how much memory is used, never what is declared or unfolds.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

use std::io::{Read, Write};

use chronik::record::RecordError;
use chronik::record::batch::{BatchHeader, HEADER_SIZE};
use chronik::record::builder::{BatchBuilder, BatchOptions};
use chronik::record::compression::{Codec, Compressor, Decompressor};
use chronik::record::convert;
use chronik::record::records::RecordReader;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
/// The limit on decompressed bytes.
const ROOM: usize = 64 * MIB;

/// How many bytes `work` had allocated at its worst, beyond what was allocated before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

/// The start of a record that goes on for a gigabyte: its length, its fields, and the length of its value.
fn endless_record() -> Vec<u8> {
    let gigabyte = [0x80, 0x80, 0x80, 0x80, 0x08];
    [&gigabyte[..], &[0, 0, 0, 1], &gigabyte].concat()
}

/// A mebibyte or less that unfolds to more than [`ROOM`].
fn bomb(codec: Codec) -> Vec<u8> {
    let compress = |bytes: &[u8]| {
        let mut stream = Compressor::new(codec, Vec::new()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.finish().unwrap()
    };
    match codec {
        Codec::None => vec![0; ROOM + 1],
        // One member of a mebibyte, a thousand times.
        Codec::Gzip => [compress(&endless_record()), compress(&vec![0; MIB]).repeat(900)].concat(),
        Codec::Zstd => [compress(&endless_record()), zstd_zeros(17, MIB / 4)].concat(),
        Codec::Snappy | Codec::Lz4 => compress(&[endless_record(), vec![0; ROOM + MIB]].concat()),
    }
}

/// A zstd frame with this window, and as many blocks of four bytes that each stand for 128 KiB.
fn zstd_zeros(window_log: u8, blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    for _ in 0..blocks {
        frame.extend([0x02, 0x00, 0x10, 0x00]);
    }
    frame.extend([0x01, 0, 0]);
    frame
}

fn batch_of(codec: Codec, compressed: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default()).unwrap();
    builder.append(0, None, None, &[]).unwrap();
    let mut header = BatchHeader::read(&builder.finish().unwrap()).unwrap();
    header.attributes = i16::from(codec.number());
    header.batch_length = i32::try_from(compressed.len() + HEADER_SIZE - 12).unwrap();
    let mut batch = header.to_bytes().to_vec();
    batch.extend(compressed);
    let crc = crc32c::crc32c(batch.get(21..).unwrap());
    batch.get_mut(17..21).unwrap().copy_from_slice(&crc.to_be_bytes());
    batch
}

/// One test, because the allocator counts for the whole process.
#[test]
fn bombs_end_at_the_limit_in_little_memory() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = bomb(codec);
        assert!(bomb.len() < 4 * MIB, "{} {}", codec.name(), bomb.len());

        let drain = || {
            let mut stream = Decompressor::new(codec, &bomb, ROOM).unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).map_err(RecordError::from)
        };
        let (result, bytes) = peak(drain);
        println!("{}: {} bytes, decompressing took {bytes}", codec.name(), bomb.len());
        assert_eq!(result, Err(RecordError::TooLarge), "{}", codec.name());
        assert!(bytes < MIB, "{}: {bytes}", codec.name());

        let batch = batch_of(codec, &bomb);
        let (result, bytes) = peak(|| RecordReader::open(&batch, ROOM).unwrap().check());
        println!("{}: checking took {bytes}", codec.name());
        assert_eq!(result, Err(RecordError::TooLarge), "{}", codec.name());
        assert!(bytes < MIB, "{}: {bytes}", codec.name());

        let (result, bytes) = peak(|| convert::recompress(&batch, Codec::None, ROOM));
        assert_eq!(result, Err(RecordError::TooLarge));
        assert!(bytes < MIB, "{}: {bytes}", codec.name());

        // Whoever wants the record gets it into memory, but not beyond the limit.
        let read = || RecordReader::open(&batch, 4 * MIB).unwrap().next().map(|_| ());
        let (result, bytes) = peak(read);
        assert_eq!(result, Err(RecordError::TooLarge));
        assert!(bytes < 13 * MIB, "{}: {bytes}", codec.name());
    }
    declared_windows_and_lengths_allocate_nothing();
}

fn declared_windows_and_lengths_allocate_nothing() {
    let attempt = |codec: Codec, bytes: &[u8]| {
        peak(|| {
            let mut out = [0; 4096];
            let mut stream = Decompressor::new(codec, bytes, ROOM).unwrap();
            stream.read(&mut out).map_err(RecordError::from)
        })
    };
    // A window of 16 MiB is more than any decoder must support.
    let (result, bytes) = attempt(Codec::Zstd, &zstd_zeros(24, 1));
    assert_eq!(result, Err(RecordError::BadCompression(Codec::Zstd)));
    assert!(bytes < 64 * 1024, "{bytes}");
    // One segment of 2^60 bytes.
    let segment = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x10\x01\0\0";
    let (result, bytes) = attempt(Codec::Zstd, segment);
    assert_eq!(result, Err(RecordError::BadCompression(Codec::Zstd)));
    assert!(bytes < 64 * 1024, "{bytes}");
    // The largest window that is allowed, for three bytes of content.
    let (result, bytes) = attempt(Codec::Zstd, b"\x28\xb5\x2f\xfd\0\x68\x19\0\0abc");
    assert_eq!(result, Ok(3));
    println!("zstd, window of 8 MiB: {bytes}");
    assert!(bytes < 9 * MIB, "{bytes}");
    // Snappy, 60 MiB declared.
    let (result, bytes) = attempt(Codec::Snappy, b"\x80\x80\x80\x1e\0\0\0\0");
    assert_eq!(result, Err(RecordError::BadCompression(Codec::Snappy)));
    assert!(bytes < 64 * 1024, "{bytes}");
    // LZ4, 4 MiB blocks, one of them with a few bytes.
    let (result, bytes) =
        attempt(Codec::Lz4, b"\x04\x22\x4d\x18\x60\x70\x73\x03\0\0\x80abc\0\0\0\0");
    assert_eq!(result, Ok(3));
    assert!(bytes < 64 * 1024, "{bytes}");
}
