//! Codecs against other libraries: frames with options that Kafka's Java classes never use, and streams of any size.

#![expect(clippy::cast_possible_truncation, reason = "tests may")]

use std::io::{Read, Write};

use chronik::record::RecordError;
use chronik::record::compression::{Codec, Compressor, Decompressor};

fn decompress(codec: Codec, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    Decompressor::new(codec, bytes, bytes_max)?.read_to_end(&mut out)?;
    Ok(out)
}

#[test]
fn what_other_libraries_write_is_read() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/compression");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().find_map(|line| line.strip_prefix("#> ")).unwrap();
        let digits: Vec<u8> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.chars().map(|digit| digit.to_digit(16).unwrap() as u8))
            .collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let codec = Codec::from_name(expected.split(' ').next().unwrap()).unwrap();
        let content = decompress(codec, &bytes, 1 << 20).unwrap();
        let crc = crc32fast::hash(&content);
        let read = format!("{} {}:{crc:08x}", codec.name(), content.len());
        assert_eq!(read, expected, "{}", path.display());
        for len in 1..bytes.len() {
            let cut = decompress(codec, &bytes[..len], 1 << 20);
            assert!(cut.is_err(), "{} cut to {len}", path.display());
        }
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn streams_of_any_size_come_back_whole() {
    for codec in Codec::ALL {
        for len in [0, 1, 32_767, 32_768, 65_535, 65_536, 65_537, 131_072, 500_000] {
            let content: Vec<u8> = (0..len as u32).map(|i| (i ^ (i >> 7)) as u8).collect();
            let mut stream = Compressor::new(codec, b"before".to_vec()).unwrap();
            for part in content.chunks(1000) {
                stream.write_all(part).unwrap();
            }
            let out = stream.finish().unwrap();
            let compressed = out.strip_prefix(b"before").unwrap();
            assert_eq!(decompress(codec, compressed, len).as_ref(), Ok(&content));
            if len > 0 {
                let short = decompress(codec, compressed, len - 1);
                assert_eq!(short, Err(RecordError::TooLarge), "{} {len}", codec.name());
            }
        }
    }
}

#[test]
fn codecs_have_kafkas_names_and_numbers() {
    for (number, name) in (0..).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        let codec = Codec::from_number(number).unwrap();
        assert_eq!((codec.name(), codec.number()), (name, number));
        assert_eq!(Codec::from_name(name), Some(codec));
        assert_eq!(Codec::from_attributes(i16::from(number) | 0x18), Ok(codec));
    }
    for number in 5..8 {
        assert_eq!(Codec::from_number(number), Err(RecordError::UnknownCodec(number)));
    }
    assert_eq!(Codec::from_name("producer"), None);
}
