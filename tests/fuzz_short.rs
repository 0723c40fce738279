//! Every decoder against bytes that nobody meant: no panic, no overflow, no more memory than the input allows.
//!
//! `CHRONIK_FUZZ_EXECS` says how often each target runs, `CHRONIK_FUZZ_SEED` begins elsewhere, and `CHRONIK_FUZZ_ONLY`
//! names one target. A failure prints its seed and the number of the run.
//!
//! Alone in its binary: the allocator counts for the whole process.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads fixtures, writes files and measures time"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use chronik::base::payload::Bytes;
use chronik::config::listeners::HostPort;
use chronik::config::properties;
use chronik::record::batch::{self, Batches};
use chronik::record::compression::Codec;
use chronik::record::message_set::{self, Format, Tail};
use chronik::record::records::{RecordReader, check_batch};
use chronik::record::{RecordError, convert};
use chronik::storage::checkpoint::{EpochCheckpoint, OffsetCheckpoint};
use chronik::storage::earlier_batches::EarlierBatches;
use chronik::storage::manifest::Manifest;
use chronik::storage::marks::{Mark, MarksFile};
use chronik::storage::meta::{CleanMarker, MetaProperties, PartitionMetadata};
use chronik::storage::snapshot::ProducerSnapshot;
use chronik::wire::api::{ApiKey, RequestFrame, decode_response};
use chronik::wire::messages::internal::metadata::MetadataRecord;
use chronik::wire::messages::internal::offsets::{
    GroupMetadataValue, OffsetCommitValue, OffsetsKey,
};
use chronik::wire::messages::internal::transactions::{TransactionLogKey, TransactionLogValue};
use chronik::wire::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How often each target runs unless the environment says otherwise.
const EXECS: u64 = 10_000;
/// Where the numbers begin unless the environment says otherwise.
const SEED: u64 = 0x4368_726f_6e69_6b21;
/// The most that a batch may hold once it is decompressed.
const ROOM: usize = 1 << 20;
/// What a window, tables and the buffers of a codec take whatever comes in. The largest is zstd's window.
const CODEC_MEMORY: usize = 12 << 20;

/// A decoder, bytes to begin with, and the most memory in bytes that it may take for an input of some length.
struct Target {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    run: fn(&[u8]),
    bound: fn(usize) -> usize,
    /// Whether the file system is in the way: it runs less often.
    is_slow: bool,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

#[test]
fn no_decoder_panics_or_takes_more_memory_than_its_input_allows() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let execs = number("CHRONIK_FUZZ_EXECS").unwrap_or(EXECS);
    let seed = number("CHRONIK_FUZZ_SEED").unwrap_or(SEED);
    let only = std::env::var("CHRONIK_FUZZ_ONLY").ok();
    println!("seed {seed}");
    for target in targets().iter().filter(|t| only.as_deref().is_none_or(|name| name == t.name)) {
        let execs = if target.is_slow { execs.div_ceil(10) } else { execs };
        attack(target, execs, seed);
    }
}

fn attack(target: &Target, execs: u64, seed: u64) {
    let began = Instant::now();
    let mut worst = 0;
    for number in 0..execs {
        let mut random = Random(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let input = input(&mut random, &target.seeds);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(&input))) {
            println!("{} seed {seed} run {number}: {input:02x?}", target.name);
            resume_unwind(panic);
        }
        let peak = MEMORY.peak_usage().saturating_sub(before);
        let bound = (target.bound)(input.len());
        assert!(
            peak <= bound,
            "{} seed {seed} run {number}: {peak} bytes for {}, {bound} allowed",
            target.name,
            input.len()
        );
        worst = worst.max(peak);
    }
    let took = began.elapsed().as_secs_f64();
    println!("{}: {execs} runs in {took:.1} s, peak {worst} bytes", target.name);
}

/// Mostly a seed with a few changes, sometimes bytes without meaning.
fn input(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if seeds.is_empty() || random.below(32) == 0 {
        let length = random.below(512);
        return (0..length).map(|_| random.byte()).collect();
    }
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        mutate(random, &mut bytes, seeds);
    }
    if random.below(2) == 0 {
        seal(&mut bytes);
    }
    bytes
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    const EDGES: [&[u8]; 12] = [
        &[0],
        &[0xff],
        &[0x7f],
        &[0x80],
        &[0xff, 0xff],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0, 0, 0, 0, 0],
        &[0, 1, 0, 0],
    ];
    let at = random.below(bytes.len().max(1));
    match random.below(8) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 | 3 => {
            let edge = EDGES[random.below(EDGES.len())];
            let end = (at + edge.len()).min(bytes.len());
            bytes.splice(at.min(end)..end, edge.iter().copied());
        }
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at.min(bytes.len())..(at + 1 + random.below(8)).min(bytes.len()))),
        6 => {
            let piece: Vec<u8> =
                bytes.iter().skip(at).take(1 + random.below(40)).copied().collect();
            let piece = piece.repeat(1 + random.below(60));
            bytes.splice(at.min(bytes.len())..at.min(bytes.len()), piece);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len().max(1)).min(other.len())..]);
        }
    }
}

/// Makes the length and the checksum of what looks like one batch or message agree with the rest.
fn seal(bytes: &mut [u8]) {
    if bytes.len() < 61 {
        return;
    }
    let length = u32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    if bytes[16] == 2 {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    } else if bytes[16] < 2 {
        let crc = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_be_bytes());
    }
}

fn targets() -> Vec<Target> {
    let (requests, others): (Vec<_>, Vec<_>) =
        vectors().into_iter().partition(|(name, _)| name.ends_with("Request.hex"));
    let (responses, values): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(name, _)| name.ends_with("Response.hex"));
    let bytes = |list: Vec<(String, Vec<u8>)>| list.into_iter().map(|(_, b)| b).collect();
    let (requests, responses, values): (Vec<_>, Vec<_>, Vec<_>) =
        (bytes(requests), bytes(responses), bytes(values));
    let records = hex_files("tests/data/records");
    let files = storage_files();
    let message = |len: usize| (8 * len + 256 * 1024) * 3 / 2 + 4 * len + 4096;
    let target = |name, seeds: &Vec<Vec<u8>>, run, bound| {
        let (seeds, is_slow) = (seeds.clone(), false);
        Target { name, seeds, run, bound, is_slow }
    };
    vec![
        target("request", &requests, request, message),
        target("response", &responses, response, message),
        target("value", &values, value, |len| 8 * ((8 * len + 256 * 1024) * 3 / 2 + 4096)),
        // Lines of text for every field take more than the fields.
        target("describe", &[requests, responses].concat(), describe, |len| (1 << 20) + 512 * len),
        target("batches", &records, batches, |len| 4 * len + CODEC_MEMORY + 3 * ROOM),
        target("message_set", &records, message_sets, |len| 4 * len + CODEC_MEMORY + 3 * ROOM),
        target("convert", &records, conversions, |len| 8 * len + 2 * CODEC_MEMORY + 8 * ROOM),
        target("storage_files", &files, storage_file, |len| 128 * len + 64 * 1024),
        target("http", &http_heads(), http, |len| 4 * len + 16 * 1024),
        target("config", &config_texts(), config, |len| 128 * len + 16 * 1024),
        Target {
            is_slow: true,
            ..target("dump_log", &files, dump_log, |len| 64 * len + (16 << 20))
        },
    ]
}

fn request(input: &[u8]) {
    let _ = RequestFrame::decode(&Bytes::from(input));
}

fn response(input: &[u8]) {
    let bytes = Bytes::from(input);
    let at = |index: usize| input.get(index).copied().unwrap_or_default();
    let apis: Vec<ApiKey> = (0..100).filter_map(ApiKey::from_key).collect();
    let api = apis[usize::from(at(4) ^ at(9)) % apis.len()];
    let versions: Vec<i16> = api.versions().collect();
    for version in [versions[0], versions[versions.len() / 2], versions[versions.len() - 1]] {
        let _ = decode_response(&bytes, api, version);
    }
}

fn value(input: &[u8]) {
    let bytes = Bytes::from(input);
    let _ = OffsetsKey::decode(&bytes);
    let _ = OffsetCommitValue::decode(&bytes);
    let _ = GroupMetadataValue::decode(&bytes);
    let _ = MetadataRecord::decode(&bytes);
    let _ = TransactionLogKey::decode(&bytes);
    let _ = TransactionLogValue::decode(&bytes);
    let _ = ConsumerProtocolSubscription::decode(&bytes);
    let _ = ConsumerProtocolAssignment::decode(&bytes);
}

fn describe(input: &[u8]) {
    let framed = [&u32::try_from(input.len()).unwrap().to_be_bytes(), input].concat();
    let _ = chronik::decode::describe(&framed, None);
    let api = ApiKey::from_key(i16::from(input.first().copied().unwrap_or_default() % 24));
    let _ = chronik::decode::describe(&framed, api.map(|api| (api, *api.versions().end())));
}

fn batches(input: &[u8]) {
    let _ = check_batch(input, ROOM);
    for (header, bytes) in Batches::new(&Bytes::from(input)).map_while(Result::ok) {
        let _ = (header.last_offset(), header.next_offset(), header.last_sequence());
        let _ = (header.check_counts(), header.delete_horizon(), batch::verify_crc(&bytes));
        if let Ok(reader) = RecordReader::open(&bytes, ROOM) {
            let _ = reader.dense().for_each(|record| {
                record.headers.iter().for_each(drop);
                Ok::<(), RecordError>(())
            });
        }
        let _ =
            RecordReader::open(&bytes, ROOM).and_then(|r| r.first_at_or_after(1_500_000_000_000));
        let _ = RecordReader::open(&bytes, ROOM).and_then(RecordReader::first_largest);
        let mut patched = bytes.to_vec();
        let _ = batch::set_base_offset(&mut patched, i64::MAX);
        let _ = batch::set_log_append_time(&mut patched, i64::MIN);
    }
}

fn message_sets(input: &[u8]) {
    for tail in [Tail::Whole, Tail::MayBeCut] {
        let _ = message_set::for_each(input, tail, ROOM, |_| Ok::<(), RecordError>(()));
    }
    let _ = message_set::codec(input);
}

fn conversions(input: &[u8]) {
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let codec = codecs[usize::from(input.last().copied().unwrap_or_default()) % codecs.len()];
    let _ = convert::for_append(input, None, ROOM);
    let _ = convert::for_append(input, Some(codec), ROOM);
    for format in [Format::Zero, Format::One] {
        let _ = convert::down_convert(input, format, 1, ROOM);
    }
}

fn storage_file(input: &[u8]) {
    let _ = ProducerSnapshot::decode(input);
    let _ = EarlierBatches::decode(input);
    let _ = Manifest::decode(input);
    let _ = MarksFile::decode(input);
    let _ = Mark::decode(input);
    let _ = OffsetCheckpoint::decode(input);
    let _ = EpochCheckpoint::decode(input);
    let _ = MetaProperties::decode(input);
    let _ = PartitionMetadata::decode(input);
    let _ = CleanMarker::decode(input);
}

fn http(input: &[u8]) {
    let _ = chronik::http::parse(input);
}

fn config(input: &[u8]) {
    let _ = properties::parse(input);
    let text = String::from_utf8_lossy(input);
    let _ = HostPort::parse(&text, 9092).map(|address| address.is_wildcard());
    let _ = chronik::decode::parse_response_to(&text);
}

/// The same bytes as every kind of file there is.
fn dump_log(input: &[u8]) {
    let directory = std::env::temp_dir().join(format!("chronik-fuzz-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let names = [
        "00000000000000000000.log",
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
        "00000000000000000000.txnindex",
        "00000000000000000000.snapshot",
        "leader-epoch-checkpoint",
    ];
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    for name in names {
        fs::write(path(name), input).unwrap();
    }
    let files = names.map(path).join(",");
    let decoders =
        ["--offsets-decoder", "--transaction-log-decoder", "--cluster-metadata-decoder", "--deep"];
    let decoder = decoders[input.len() % decoders.len()];
    let options = ["--deep-iteration", "--print-data-log", decoder, "--files", &files];
    let _ = chronik::dump_log::run(&options.map(str::to_owned), &mut std::io::sink());
    fs::remove_dir_all(&directory).unwrap();
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files below a directory, in order.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)?.try_into().ok()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex_files(directory: &str) -> Vec<Vec<u8>> {
    let text = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).collect::<String>()
    };
    files_below(&data(directory)).iter().map(|path| unhex(&text(path))).collect()
}

/// Name of the file and bytes of every message that Kafka's classes wrote.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for path in files_below(&data("tests/data/vectors")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            if line.starts_with("[v") {
                found.push((name.clone(), Vec::new()));
            } else if !line.starts_with(['#', '.']) && !line.is_empty() {
                found.last_mut().unwrap().1.extend(unhex(line));
            }
        }
    }
    found
}

/// Kafka's own files, and ours from a few values.
fn storage_files() -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for path in files_below(&data("tests/data/storage")) {
        let bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "hex") {
            let text = String::from_utf8(bytes).unwrap();
            let lines: String = text.lines().filter(|line| !line.starts_with('#')).collect();
            found.push(unhex(&lines));
        } else if bytes.len() < 64 * 1024 {
            found.push(bytes);
        }
    }
    found.push(Manifest::default().encode());
    found.push(MarksFile::default().encode());
    found
}

fn http_heads() -> Vec<Vec<u8>> {
    let heads = [
        "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nConnection: close\r\n\r\n",
        "HEAD /readyz?format=json HTTP/1.0\r\nAuthorization: Basic abc\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    ];
    heads.map(|head| head.as_bytes().to_vec()).to_vec()
}

fn config_texts() -> Vec<Vec<u8>> {
    let texts = [
        "a=b\n# c\n! d\nkey : value\\\n  goes on\nu=\\u00e9\\ud83d\n\\=x",
        "PLAINTEXT://[::1]:9092",
        "127.0.0.1:9092",
        "log.dirs=/a,/b\r\nnum.partitions=3\r\n",
        "Fetch:12",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
