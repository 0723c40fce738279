//! DescribeLogDirs: which partitions are told of, how large they are, and what is said of the volume.
#![expect(clippy::panic, reason = "a test may fail")]

mod support;

use chronik::broker::event::{Event, RequestId};
use chronik::broker::options::Options;
use chronik::storage::job::{Disk, DiskState, Outcome};
use chronik::wire::api::Response;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::messages::*;
use support::*;

const DISK: Disk = Disk { state: DiskState::Ready, free: 600, total: 1000, reserve: 5, ballast: 0 };

/// Topic, partition and size.
type Size = (String, i32, i64);

fn request(topics: &[(&str, &[i32])]) -> DescribeLogDirsRequest {
    let topic = |(topic, partitions): &(&str, &[i32])| DescribeLogDirsRequestTopic {
        topic: (*topic).to_owned(),
        partitions: partitions.to_vec(),
    };
    DescribeLogDirsRequest { topics: Some(topics.iter().map(topic).collect()) }
}

fn all() -> DescribeLogDirsRequest {
    DescribeLogDirsRequest { topics: None }
}

fn size(topic: &str, index: i32, bytes: usize) -> Size {
    (topic.to_owned(), index, i64::try_from(bytes).unwrap_or(-1))
}

/// What a test asks of the broker, in the words of directories.
trait Directories {
    fn looked(&mut self, disk: Disk);
    fn described(&mut self, id: RequestId) -> DescribeLogDirsResponseResult;
    fn sizes(&mut self, request: DescribeLogDirsRequest) -> Vec<Size>;
    fn looks(&self) -> usize;
}

impl Directories for Harness {
    /// Storage has looked at the disk.
    fn looked(&mut self, disk: Disk) {
        self.outcomes.push_back(Outcome::Disk(disk));
        self.settle();
    }

    fn described(&mut self, id: RequestId) -> DescribeLogDirsResponseResult {
        let Some(Response::DescribeLogDirs(mut response)) = self.reply(id) else {
            panic!("no answer");
        };
        assert_eq!((response.error_code, response.results.len()), (0, 1));
        response.results.remove(0)
    }

    fn sizes(&mut self, request: DescribeLogDirsRequest) -> Vec<Size> {
        let id = self.send(request);
        self.looked(DISK);
        let mut found = Vec::new();
        for topic in self.described(id).topics {
            for part in topic.partitions {
                assert_eq!((part.offset_lag, part.is_future_key), (0, false));
                found.push((topic.name.clone(), part.partition_index, part.partition_size));
            }
        }
        found
    }

    fn looks(&self) -> usize {
        self.jobs.iter().filter(|job| *job == "LookForSpace").count()
    }
}

fn with_topics() -> Harness {
    let options = Options { log_dir: "/data/here".into(), ..Options::default() };
    let mut h = Harness::with(options);
    h.create_topic("t", 2);
    h.create_topic("u", 1);
    h
}

#[test]
fn the_directory_is_told_of_as_the_disk_is_at_that_moment() {
    let mut h = with_topics();
    let id = h.send(all());
    h.settle();
    assert!(!h.is_answered(id), "nobody has looked");
    h.looked(DISK);
    let described = h.described(id);
    assert_eq!((described.error_code, &*described.log_dir), (0, "/data/here"));
    assert_eq!((described.total_bytes, described.usable_bytes), (1000, 600));
    assert!(!described.is_cordoned);
}

#[test]
fn sizes_are_those_of_what_is_written() {
    let mut h = with_topics();
    let (one, three) = (batch(1).len(), batch(3).len());
    h.ask(produce("t", 1, -1, batch(1)));
    h.ask(produce("t", 1, -1, batch(3)));
    h.ask(produce("u", 0, 1, batch(3)));
    let expected = [size("t", 0, 0), size("t", 1, one + three), size("u", 0, three)];
    let told = h.sizes(all());
    let told: Vec<Size> = told.into_iter().filter(|(name, ..)| !name.starts_with("__")).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_log_of_groups_has_its_size_too() {
    let mut h = with_topics();
    let request = || request(&[("__consumer_offsets", &[0])]);
    h.send(join_alone("g"));
    h.advance_ms(0);
    let [(_, 0, before)] = h.sizes(request())[..] else { panic!("no such log") };
    let partitions = vec![OffsetCommitRequestPartition::default()];
    let topic = OffsetCommitRequestTopic { name: "t".into(), partitions, ..Default::default() };
    h.ask(OffsetCommitRequest { group_id: "h".into(), topics: vec![topic], ..Default::default() });
    let [(_, 0, after)] = h.sizes(request())[..] else { panic!("no such log") };
    assert!(after > before, "{before}, {after}");
}

#[test]
fn what_is_named_is_told_of_once_and_what_is_not_there_is_passed_over() {
    let mut h = with_topics();
    let asked: [(&str, &[i32]); 5] =
        [("u", &[0, 0, 7]), ("none", &[0]), ("t", &[]), ("u", &[0, -1]), ("t", &[1])];
    assert_eq!(h.sizes(request(&asked)), [size("t", 1, 0), size("u", 0, 0)]);
    assert_eq!(h.sizes(request(&[("t", &[])])), []);
    assert_eq!(h.sizes(request(&[])), [], "to name nothing is not to ask for everything");
}

#[test]
fn a_partition_is_told_of_when_it_has_its_directory() {
    let mut h = with_topics();
    h.hold_syncs = true;
    let partitions = CreateTopicsRequestTopic {
        name: "new".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreateTopicsRequestTopic::default()
    };
    h.send_from(1, CreateTopicsRequest { topics: vec![partitions], ..Default::default() });
    assert_eq!(h.sizes(request(&[("new", &[0])])), []);
    h.release_syncs();
    assert_eq!(h.sizes(request(&[("new", &[0])])), [size("new", 0, 0)]);
}

#[test]
fn that_a_topic_is_gone_is_told_when_the_disk_knows() {
    let mut h = with_topics();
    h.hold_syncs = true;
    let name = Some("u".to_owned());
    let topics = vec![DeleteTopicsRequestTopic { name, ..Default::default() }];
    h.send_from(1, DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() });
    let id = h.send(request(&[("u", &[0])]));
    h.looked(DISK);
    assert!(!h.is_answered(id), "a power cut may bring the topic back");
    h.release_syncs();
    assert_eq!(h.described(id).topics, []);
}

#[test]
fn a_volume_that_takes_nothing_is_an_error_of_the_directory_and_sizes_stay() {
    let mut h = with_topics();
    for (state, error) in [
        (DiskState::Short, ErrorCode::None),
        (DiskState::Spent, ErrorCode::None),
        (DiskState::ReadOnly, ErrorCode::KafkaStorageError),
        (DiskState::Ready, ErrorCode::None),
    ] {
        let id = h.send(request(&[("t", &[0])]));
        h.looked(Disk { state, ..DISK });
        let described = h.described(id);
        assert_eq!((described.error_code, described.topics.len()), (error.code(), 1), "{state:?}");
    }
}

#[test]
fn more_than_fits_into_a_number_is_the_largest_number() {
    let mut h = with_topics();
    let id = h.send(request(&[]));
    h.looked(Disk { free: u64::MAX, total: u64::MAX, ..DISK });
    let described = h.described(id);
    assert_eq!((described.total_bytes, described.usable_bytes), (i64::MAX, i64::MAX));
}

#[test]
fn one_look_serves_all_who_wait_for_it() {
    let mut h = with_topics();
    let before = h.looks();
    let ids = [h.send(all()), h.send_from(1, all()), h.send_from(2, request(&[]))];
    h.handle(Event::Disconnected(conn(1)));
    h.looked(DISK);
    assert_eq!(ids.map(|id| h.is_answered(id)), [true, false, true]);
    assert_eq!(h.looks(), before + 1);
    h.sizes(all());
    assert_eq!(h.looks(), before + 2);
}

#[test]
fn who_went_before_the_look_holds_nobody_up() {
    let mut h = with_topics();
    h.send_from(1, all());
    h.handle(Event::Disconnected(conn(1)));
    assert_eq!(h.sizes(request(&[("u", &[0])])), [size("u", 0, 0)]);
}
