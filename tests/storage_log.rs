//! Appending, reading, rolling and restarting, through the jobs that the broker uses.

#[path = "support/storage.rs"]
mod support;

use support::*;

use chronik::storage::job::{LogConfig, ReadError};

#[test]
fn what_was_appended_is_read_at_every_offset() {
    let dir = TempDir::new();
    let bench = Bench::start(&dir.0);
    assert!(bench.started.clean && bench.started.new);
    let p = partition(1);
    assert_eq!(bench.open(p, config()).log_end, 0);
    for first in (0..50).step_by(5) {
        let appended = bench.append(p, batch(first, 5)).unwrap();
        assert_eq!((appended.base_offset, appended.end_offset), (first, first + 5));
    }
    for offset in 0..50 {
        let got = batches(&bench.read(p, offset, 1).unwrap());
        assert_eq!(got, [(offset / 5 * 5, 5)], "offset {offset}");
    }
    assert_eq!(batches(&bench.read(p, 0, 1 << 20).unwrap()).len(), 10);
    assert_eq!(bench.read(p, 50, 100), Ok(vec![]));
    assert_eq!(bench.read(p, 51, 100), Err(ReadError::OutOfRange));
    bench.stop();
}

#[test]
fn a_clean_restart_has_everything() {
    let dir = TempDir::new();
    let p = partition(1);
    let small = || LogConfig { segment_bytes: 1000, ..config() };
    {
        let bench = Bench::start(&dir.0);
        bench.open(p, small());
        for first in 0..100 {
            bench.append(p, batch(first, 1)).unwrap();
        }
        bench.stop();
    }
    for round in 0..3 {
        let bench = Bench::start(&dir.0);
        assert!(bench.started.clean && !bench.started.new);
        let opened = bench.open(p, small());
        assert_eq!((opened.log_start, opened.log_end), (0, 100 + round));
        assert_eq!(opened.epochs, [(3, 0)]);
        let all = batches(&bench.read(p, 0, 1 << 20).unwrap());
        assert_eq!(all.len() as i64, 100 + round);
        for offset in 0..100 {
            assert_eq!(batches(&bench.read(p, offset, 1).unwrap()), [(offset, 1)]);
        }
        bench.append(p, batch(0, 1)).unwrap();
        bench.stop();
    }
}
