//! `dump-log` shows what Kafka's own tool shows, finds damage wherever it is, and goes on behind it.
#![expect(clippy::disallowed_methods, reason = "the files to be shown are made here")]

use std::fs;
use std::path::{Path, PathBuf};

use chronik::base::ids::{PartitionId, TopicId};
use chronik::dump_log::{DumpError, Verdict, run};
use chronik::storage::manifest::Manifest;
use chronik::storage::marks::{Mark, MarksFile};

#[path = "support/hex.rs"]
mod hex;

const MIXED: &str = "mixed-0";
const FIRST: &str = "00000000000000000000";
const SECOND: &str = "00000000000000000061";

/// A data directory of its own for each test, removed in the end.
struct Data(PathBuf);

impl Data {
    /// The fixtures of one partition, as files.
    fn partition(test: &str, partition: &str) -> Data {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dump_log_{test}"));
        let _ = fs::remove_dir_all(&root);
        let directory = root.join(partition);
        fs::create_dir_all(&directory).unwrap_or_default();
        let fixtures = Path::new("tests/data/storage").join(partition);
        for entry in fs::read_dir(fixtures).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let (name, bytes) = match name.strip_suffix(".hex") {
                Some(name) => (name.to_owned(), hex::bytes(&String::from_utf8_lossy(&bytes))),
                None => (name, bytes),
            };
            fs::write(directory.join(name), bytes).unwrap_or_default();
        }
        Data(directory)
    }

    fn mixed(test: &str) -> Data {
        Data::partition(test, MIXED)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// Changes a file.
    fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.0.join(name)).unwrap_or_default();
        change(&mut bytes);
        fs::write(self.0.join(name), bytes).unwrap_or_default();
    }

    fn dump(&self, name: &str, options: &[&str]) -> (Verdict, String) {
        let mut args: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        args.push(self.path(name));
        let mut out = Vec::new();
        let verdict = run(&args, &mut out).unwrap_or(Verdict::Damaged);
        (verdict, String::from_utf8_lossy(&out).into_owned())
    }

    /// The lines that report damage.
    fn damage(&self, name: &str) -> Vec<String> {
        let (verdict, text) = self.dump(name, &["--verify"]);
        let damage: Vec<String> =
            text.lines().filter(|line| line.starts_with("DAMAGE")).map(str::to_owned).collect();
        let expected = if damage.is_empty() { Verdict::Sound } else { Verdict::Damaged };
        assert_eq!(verdict, expected, "{text}");
        damage
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap_or(&self.0));
    }
}

fn log(base: &str) -> String {
    format!("{base}.log")
}

/// A line of Kafka's tool as it is here: Kafka repeats the checksum of an old message for its record.
fn plain(line: &str) -> String {
    let line = line.replace("OptionalLong.empty", "none").replace("OptionalLong[", "");
    let line = line.replace("] last", " last");
    match line.split_once(" isValid: true crc: ") {
        None => line,
        Some((head, tail)) => {
            format!("{head}{}", tail.trim_start_matches(|c: char| c.is_numeric()))
        }
    }
}

fn assert_like_kafka(partition: &str, kafka: &str) {
    let data = Data::partition(&format!("kafka_{partition}"), partition);
    let kafka: Vec<String> =
        kafka.lines().filter(|line| !line.starts_with('#')).map(plain).collect();
    let head = format!("Dumping {partition}/");
    let mut ours = Vec::new();
    for name in kafka.iter().filter_map(|line| line.strip_prefix(&head)) {
        let (verdict, text) = data.dump(name, &["--deep-iteration", "--print-data-log"]);
        assert_eq!(verdict, Verdict::Sound, "{text}");
        ours.push(format!("{head}{name}"));
        ours.extend(text.lines().skip(1).map(str::to_owned));
    }
    assert_eq!(ours.len(), kafka.len());
    for (ours, kafkas) in ours.iter().zip(&kafka) {
        assert_eq!(ours, kafkas);
    }
}

#[test]
fn every_line_is_that_of_kafkas_tool() {
    assert_like_kafka(MIXED, include_str!("data/storage/mixed-0.dump"));
}

#[test]
fn old_formats_are_shown_as_kafkas_tool_does() {
    assert_like_kafka("old-0", include_str!("data/storage/old-0.dump"));
    let data = Data::partition("old", "old-0");
    let name = "00000000000000000100.log";
    assert_eq!(data.damage(name), [""; 0]);
    data.change(name, |bytes| bytes[300] ^= 1);
    assert_eq!(data.damage(name), ["DAMAGE position: 270 the checksum of the batch is wrong"]);
    data.change(name, |bytes| bytes[270..422].fill(0xee));
    assert_eq!(data.damage(name).len(), 1);
    assert!(data.dump(name, &[]).1.contains("offset: 112 position: 422"));
}

#[test]
fn whole_directories_of_kafka_verify_without_a_finding() {
    for partition in
        [MIXED, "__consumer_offsets-0", "__transaction_state-0", "__cluster_metadata-0"]
    {
        let data = Data::partition(&format!("sound_{partition}"), partition);
        assert_eq!(data.damage(""), [""; 0]);
        assert_eq!(data.dump("", &["--print-data-log"]).0, Verdict::Sound);
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_is_found_and_the_other_batches_are_still_read() {
    let data = Data::mixed("bits");
    let whole = data.dump(&log(SECOND), &["--verify"]).1;
    assert!(whole.contains("3 batches, 3 records, 232 bytes"), "{whole}");
    for byte in 0..232 {
        // Offset and leader epoch are outside the checksum; what they must be is known only from what is around.
        let within = if byte < 78 {
            byte
        } else if byte < 154 {
            byte - 78
        } else {
            byte - 154
        };
        if within < 8 || (12..16).contains(&within) {
            continue;
        }
        data.change(&log(SECOND), |bytes| bytes[byte] ^= 0x10);
        let (verdict, text) = data.dump(&log(SECOND), &["--verify"]);
        assert_eq!(verdict, Verdict::Damaged, "byte {byte}");
        assert!(text.contains("2 batches, 2 records"), "byte {byte}: {text}");
        data.change(&log(SECOND), |bytes| bytes[byte] ^= 0x10);
    }
}

#[test]
fn a_torn_tail_garbage_and_zeros_are_told_apart() {
    let data = Data::mixed("tail");
    let name = log(SECOND);
    data.change(&name, |bytes| bytes.truncate(200));
    let torn =
        "DAMAGE position: 154 the file ends within a batch of 78 bytes; 46 bytes passed over";
    assert_eq!(data.damage(&name), [torn]);
    data.change(&name, |bytes| bytes.truncate(154));
    assert_eq!(data.damage(&name), [""; 0]);
    data.change(&name, |bytes| bytes.resize(1000, 0));
    assert_eq!(data.damage(&name), ["DAMAGE position: 154 846 bytes of zeros"]);
    data.change(&name, |bytes| bytes[500..].fill(0x77));
    let damage = data.damage(&name);
    assert_eq!(damage.len(), 1);
    assert!(damage[0].contains("position: 154 no batch"), "{damage:?}");
}

#[test]
fn batches_behind_a_hole_are_found_and_those_out_of_order_reported() {
    let data = Data::mixed("hole");
    let name = log(SECOND);
    data.change(&name, |bytes| bytes[78..154].fill(0));
    assert_eq!(data.damage(&name), ["DAMAGE position: 78 76 bytes of zeros"]);
    let (_, text) = data.dump(&name, &[]);
    assert!(text.contains("baseOffset: 63"), "{text}");

    let data = Data::mixed("order");
    data.change(&name, |bytes| bytes.extend_from_within(..78));
    let repeated = "DAMAGE position: 232 the batch begins at offset 61, expected 64 or later";
    assert_eq!(data.damage(&name), [repeated]);
}

#[test]
fn one_wrong_offset_is_one_damage() {
    let data = Data::mixed("offset");
    let name = log(FIRST);
    // The second batch says that it begins at 259 instead of 3; then at a far larger offset.
    data.change(&name, |bytes| bytes[151] = 1);
    assert_eq!(data.dump(&name, &[]).1.matches("baseOffset: 259").count(), 1);
    assert_eq!(data.damage(&name).len(), 1);
    data.change(&name, |bytes| bytes[147] = 1);
    assert_eq!(data.damage(&name).len(), 2);
}

/// A generator of bytes that look like nothing, the same at each run.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Some(state.to_be_bytes()[0])
    })
}

#[test]
fn garbage_in_any_kind_of_file_is_damage_and_nothing_worse() {
    let names = ["log", "index", "timeindex", "txnindex", "snapshot", "batches", "checkpoint"];
    let names = names.map(|end| format!("{SECOND}.{end}"));
    let small = ["chronik-marks-0", "chronik-manifest", "meta.properties", "partition.metadata"];
    let small = small.iter().chain(&["leader-epoch-checkpoint", "log-start-offset-checkpoint"]);
    let data = Data::mixed("garbage");
    for name in names.into_iter().chain(small.map(|name| (*name).to_owned())) {
        for length in [1, 16, 17, 64, 700, 70_000] {
            data.change(&name, |bytes| *bytes = noise(length as u64).take(length).collect());
            assert_ne!(data.damage(&name), [""; 0], "{name} of {length}");
            data.dump(&name, &["--print-data-log"]);
        }
    }
}

#[test]
fn a_wrong_count_under_a_right_checksum_is_found_only_by_opening_the_batch() {
    let data = Data::mixed("count");
    let name = log(SECOND);
    data.change(&name, |bytes| {
        bytes[154 + 57 + 3] = 2;
        let crc = crc32c::crc32c(&bytes[154 + 21..]);
        bytes[154 + 17..154 + 21].copy_from_slice(&crc.to_be_bytes());
    });
    assert_eq!(data.dump(&name, &[]).0, Verdict::Sound);
    let damage = data.damage(&name);
    assert!(
        damage[0].starts_with("DAMAGE position: 154 behind 1 records of the batch"),
        "{damage:?}"
    );
}

#[test]
fn index_entries_that_do_not_point_at_their_batch_are_found() {
    let name = format!("{FIRST}.index");
    let data = Data::mixed("index");
    // The second entry's position: 566, as 0x0236.
    data.change(&name, |bytes| bytes[15] += 1);
    assert_eq!(data.damage(&name).len(), 1);
    data.change(&name, |bytes| bytes[15] -= 1);
    // The second entry's offset: before the batch at its position.
    data.change(&name, |bytes| bytes[11] = 9);
    let damage = data.damage(&name);
    assert_eq!(
        damage,
        ["DAMAGE position: 8 offset: 9 position: 566: the batch there begins at offset 12"]
    );
    data.change(&name, |bytes| bytes[11] = 8);
    assert!(data.damage(&name)[0].contains("does not rise"));
    data.change(&name, |bytes| bytes.push(1));
    assert!(data.damage(&name)[0].contains("1 bytes left over"));
}

#[test]
fn space_reserved_at_the_end_of_an_index_is_no_damage_but_an_entry_behind_it_is() {
    for name in [format!("{FIRST}.index"), format!("{FIRST}.timeindex")] {
        let data = Data::mixed("reserved");
        data.change(&name, |bytes| bytes.resize(1200 * 12, 0));
        assert_eq!(data.damage(&name), [""; 0]);
        data.change(&name, |bytes| bytes[1100 * 12] = 1);
        assert_eq!(data.damage(&name), ["DAMAGE position: 13200 an entry behind zeros"]);
    }
}

#[test]
fn time_entries_that_contradict_the_log_are_found() {
    let name = format!("{FIRST}.timeindex");
    let data = Data::mixed("time");
    data.change(&name, |bytes| bytes[7] -= 1);
    let reason = "the largest timestamp of the batch there is 1700000002002";
    let line = format!("DAMAGE position: 0 timestamp: 1700000002001 offset: 8: {reason}");
    assert_eq!(data.damage(&name), [line]);
    data.change(&name, |bytes| bytes[7] += 1);
    // The third entry, for an offset that the segment does not have.
    data.change(&name, |bytes| bytes[35] = 200);
    assert!(data.damage(&name)[0].ends_with("no batch has this offset"));
}

#[test]
fn damaged_small_files_are_reported() {
    let data = Data::mixed("small");
    data.change("00000000000000000064.snapshot", |bytes| bytes[40] ^= 1);
    data.change("leader-epoch-checkpoint", |bytes| bytes.truncate(4));
    data.change("partition.metadata", |bytes| bytes.truncate(20));
    data.change(&format!("{SECOND}.txnindex"), |bytes| bytes.truncate(30));
    assert_eq!(data.damage("").len(), 4);
}

#[test]
fn marks_and_manifest_are_shown_and_torn_slots_reported() {
    let data = Data::mixed("marks");
    let partition = PartitionId { topic: TopicId([7; 16]), index: 2 };
    let mark =
        Mark { round: 1, partition, log_start: 3, end: 61, segment_base: 0, segment_bytes: 2802 };
    let file = MarksFile { marks: [(partition, mark)].into(), ..MarksFile::default() };
    data.change("chronik-marks-0", |bytes| *bytes = file.encode());
    data.change("chronik-manifest", |bytes| *bytes = Manifest::default().encode());
    let (verdict, text) = data.dump("chronik-marks-0", &[]);
    assert_eq!(verdict, Verdict::Sound);
    assert!(text.contains("partition: 2 logStartOffset: 3 endOffset: 61 segment: 0 bytes: 2802"));
    assert_eq!(data.damage("chronik-manifest"), [""; 0]);
    data.change("chronik-marks-0", |bytes| bytes[4096] ^= 1);
    assert_eq!(data.damage("chronik-marks-0"), ["DAMAGE position: 4096 a torn slot"]);
}

#[test]
fn groups_transactions_and_topics_are_readable_in_internal_logs() {
    let data = Data::partition("offsets", "__consumer_offsets-0");
    let (_, text) = data.dump(&log(FIRST), &["--print-data-log"]);
    assert!(text.contains(r#"group: "classic-group", topic: "mixed", partition: 0"#), "{text}");
    assert!(text.contains("offset: 61, leader_epoch: 0"), "{text}");
    assert!(text.contains("payload: <DELETE>"), "{text}");
    let data = Data::partition("transactions", "__transaction_state-0");
    let (_, text) = data.dump(&log(FIRST), &["--print-data-log"]);
    assert!(text.contains(r#"transactional_id: "tx-open""#), "{text}");
    assert!(text.contains(r#"topic: "orders", partition_ids: [1]"#), "{text}");
    let data = Data::partition("metadata", "__cluster_metadata-0");
    let (_, text) = data.dump(&log(FIRST), &["--print-data-log"]);
    assert!(text.contains(r#"name: "mixed", topic_id: 1NS0HF2bRPSFyoo84iOnJw"#), "{text}");
    assert!(text.contains(r#"name: "retention.ms", value: Some("3600000")"#), "{text}");
}

#[test]
fn what_cannot_be_read_is_damage_and_does_not_keep_the_others_from_being_shown() {
    let data = Data::mixed("missing");
    let files = format!("{},{}", data.path("nothing.log"), data.path("partition.metadata"));
    let mut out = Vec::new();
    let verdict = run(&["--files".into(), files], &mut out).unwrap_or(Verdict::Sound);
    assert_eq!(verdict, Verdict::Damaged);
    assert!(String::from_utf8_lossy(&out).contains("topicId: 1NS0HF2bRPSFyoo84iOnJw"));
}

#[test]
fn senseless_arguments_are_an_error_of_their_own() {
    for args in [&[][..], &["--verify"], &["--nonsense", "x.log"], &["--files"]] {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        assert!(matches!(run(&args, &mut Vec::new()), Err(DumpError::Usage(_))), "{args:?}");
    }
    let mut out = Vec::new();
    assert!(matches!(run(&["--help".into()], &mut out), Ok(Verdict::Sound)));
    assert!(String::from_utf8_lossy(&out).starts_with("Usage: chronik dump-log"));
}
