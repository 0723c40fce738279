//! Fetch of what has just been written: which bytes of which file, without a reader.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests are their own masters"
)]

mod support;

use std::sync::Arc;

use chronik::base::payload::{FileRange, Payload, RangeFile};
use chronik::broker::event::{Event, RequestId};
use chronik::storage::job::{Ahead, Appended, Outcome, Upkept};
use chronik::wire::messages::*;
use support::*;

/// A file that nobody reads: only which one it is counts.
#[derive(Debug)]
struct Segment;

impl RangeFile for Segment {
    fn read_at(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
        Ok(0)
    }

    fn read_at_nowait(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
        Ok(0)
    }
}

fn segment() -> Arc<dyn RangeFile> {
    Arc::new(Segment)
}

/// Has a topic of one partition, which somebody waits for.
fn awaited() -> (Harness, RequestId) {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    let id = h.send_from(1, fetch("t", 0, 0));
    assert!(!h.is_answered(id));
    (h, id)
}

/// Produces one record, which storage puts into `file` at ten times its offset.
fn produce_into(h: &mut Harness, file: &Arc<dyn RangeFile>, acks: i16) {
    h.send(produce("t", 0, acks, batch(1)));
    let Some(Outcome::Appended { result: Ok(appended), .. }) = h.outcomes.front_mut() else {
        panic!("another outcome");
    };
    let position = u64::try_from(appended.base_offset).unwrap() * 10;
    appended.batch = Some(FileRange { file: Arc::clone(file), position, len: 10 });
    h.settle();
}

fn reads(h: &Harness) -> usize {
    h.jobs.iter().filter(|job| *job == "Read").count()
}

/// The range that an answer is, if it is one.
fn range(h: &mut Harness, id: RequestId) -> Option<(u64, usize)> {
    let response = h.reply(id).expect("an answer");
    match fetched(&response).records.as_ref().unwrap().parts() {
        [Payload::File(range)] => Some((range.position, range.len)),
        _ => None,
    }
}

#[test]
fn who_waits_at_the_tail_needs_no_reader() {
    let (mut h, id) = awaited();
    let file = segment();
    produce_into(&mut h, &file, 1);
    assert_eq!(range(&mut h, id), Some((0, 10)));
    (0..3).for_each(|_| produce_into(&mut h, &file, 1));
    for (offset, expected) in [(1, (10, 30)), (2, (20, 20)), (0, (0, 40))] {
        let id = h.send_from(1, fetch("t", 0, offset));
        assert_eq!(range(&mut h, id), Some(expected));
    }
    assert_eq!(reads(&h), 0);
}

#[test]
fn what_is_not_on_the_disk_yet_is_not_given_from_the_tail() {
    let (mut h, id) = awaited();
    let file = segment();
    h.hold_syncs = true;
    produce_into(&mut h, &file, -1);
    assert!(!h.is_answered(id), "acks=all");
    h.release_syncs();
    assert_eq!(range(&mut h, id), Some((0, 10)));
    h.hold_syncs = true;
    produce_into(&mut h, &file, -1);
    let id = h.send_from(1, FetchRequest { min_bytes: 10, ..fetch("t", 0, 0) });
    assert_eq!(range(&mut h, id), Some((0, 10)));
    assert_eq!(reads(&h), 0);
}

#[test]
fn upkeep_a_new_segment_and_what_is_no_single_batch_end_a_tail() {
    let (mut h, _) = awaited();
    let file = segment();
    produce_into(&mut h, &file, 1);
    let id = h.id_of("t", 0);
    let upkept = Upkept { partition: id, log_start: 0, bytes: 10, oldest: None, due: None };
    h.handle(Event::Outcome(Outcome::Upkept(upkept)));
    let again = h.send_from(1, fetch("t", 0, 0));
    h.settle();
    assert_eq!((range(&mut h, again), reads(&h)), (None, 1));
    // It was begun anew.
    produce_into(&mut h, &segment(), 1);
    produce_into(&mut h, &file, 1);
    let newest = h.send_from(1, fetch("t", 0, 2));
    assert_eq!(range(&mut h, newest), Some((20, 10)));
    let before = h.send_from(1, fetch("t", 0, 1));
    h.settle();
    assert_eq!((range(&mut h, before), reads(&h)), (None, 2));
    h.ask(produce("t", 0, 1, batch(1)));
    let behind = h.send_from(1, fetch("t", 0, 2));
    h.settle();
    assert_eq!((range(&mut h, behind), reads(&h)), (None, 3));
}

#[test]
fn old_formats_are_a_readers_work() {
    let (mut h, _) = awaited();
    produce_into(&mut h, &segment(), 1);
    h.send_from(1, FetchRequest { magic_max: 1, strict_byte_limit: true, ..fetch("t", 0, 0) });
    assert_eq!(reads(&h), 1);
}

#[test]
fn a_duplicate_changes_no_tail() {
    let (mut h, id) = awaited();
    let file = segment();
    produce_into(&mut h, &file, 1);
    assert_eq!(range(&mut h, id), Some((0, 10)));
    h.send(produce("t", 0, 1, batch(1)));
    let Some(Outcome::Appended { result: Ok(appended), .. }) = h.outcomes.front_mut() else {
        panic!("another outcome");
    };
    let original = Appended { end_offset: 1, duplicate: true, ..Appended::default() };
    *appended = original;
    h.settle();
    let id = h.send_from(1, fetch("t", 0, 0));
    assert_eq!(range(&mut h, id), Some((0, 10)));
}

/// A topic with four records, of which a reader has said that 1 and 2 lie in `file`, one piece each.
fn looked_ahead() -> Harness {
    let mut h = Harness::new();
    h.create_topic("t", 1);
    for _ in 0..4 {
        h.send(produce("t", 0, 1, batch(1)));
        h.settle();
    }
    let (partition, file) = (h.id_of("t", 0), segment());
    let ahead = Ahead { partition, file, begins: vec![(1, 10), (2, 20)], end: (3, 30) };
    h.handle(Event::Outcome(Outcome::Ahead(ahead)));
    h
}

#[test]
fn what_a_reader_has_seen_ahead_needs_no_reader() {
    let mut h = looked_ahead();
    for (offset, expected) in [(1, Some((10, 20))), (2, Some((20, 10))), (0, None), (3, None)] {
        let before = reads(&h);
        let id = h.send_from(1, fetch("t", 0, offset));
        h.settle();
        assert_eq!(range(&mut h, id), expected, "offset {offset}");
        assert_eq!(reads(&h) - before, usize::from(expected.is_none()), "offset {offset}");
    }
}

#[test]
fn what_was_seen_ahead_ends_with_upkeep_and_with_the_log() {
    let mut h = looked_ahead();
    let id = h.id_of("t", 0);
    let upkept = Upkept { partition: id, log_start: 0, bytes: 10, oldest: None, due: None };
    h.handle(Event::Outcome(Outcome::Upkept(upkept)));
    let again = h.send_from(1, fetch("t", 0, 1));
    h.settle();
    assert_eq!(range(&mut h, again), None);
    assert_eq!(reads(&h), 1);

    // A reader that was slower than the deletion of what it has seen.
    let mut h = looked_ahead();
    let partition = h.id_of("t", 0);
    let upkept = Upkept { partition, log_start: 2, bytes: 10, oldest: None, due: None };
    h.handle(Event::Outcome(Outcome::Upkept(upkept)));
    let ahead = Ahead { partition, file: segment(), begins: vec![(1, 10), (2, 20)], end: (3, 30) };
    h.handle(Event::Outcome(Outcome::Ahead(ahead)));
    let id = h.send_from(1, fetch("t", 0, 2));
    h.settle();
    assert_eq!(range(&mut h, id), None, "its file may be gone");
}
