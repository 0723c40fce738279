//! Bytes of files that are not in memory: read for the connections that send them, a few reads at a time. What was read lies
//! in memory until the turn's end, so whoever leaves cold data unread does not fill it.

use std::collections::VecDeque;

use crate::base::ids::ConnId;
use crate::base::payload::FileRange;
use crate::storage::job::Job;

/// Most reads at a time: more than there are readers, so that none of them waits for the loop.
const READS_MAX: usize = 16;

/// Who waits for bytes from the disk.
#[derive(Debug, Default)]
pub(super) struct Warming {
    under_way: usize,
    waiting: VecDeque<(ConnId, FileRange)>,
}

impl Warming {
    /// A connection wants these bytes next.
    pub(super) fn want(&mut self, conn: ConnId, range: FileRange) {
        self.waiting.push_back((conn, range));
    }

    /// A read has come to its end.
    pub(super) fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// What is to be read now, for connections that are still there.
    pub(super) fn next(&mut self, is_there: impl Fn(ConnId) -> bool) -> Option<Job> {
        if self.under_way >= READS_MAX {
            return None;
        }
        while let Some((conn, range)) = self.waiting.pop_front() {
            if is_there(conn) {
                self.under_way += 1;
                return Some(Job::Warm { conn, range });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::base::payload::RangeFile;

    #[derive(Debug)]
    struct NoFile;

    impl RangeFile for NoFile {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn read_at_nowait(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }
    }

    #[test]
    fn so_many_read_at_a_time_in_order_and_the_dead_not_at_all() {
        let conn = |slot| ConnId { slot, generation: 0 };
        let range = || FileRange { file: Arc::new(NoFile), position: 0, len: 1 };
        let mut warming = Warming::default();
        (0..40).for_each(|slot| warming.want(conn(slot), range()));
        let is_there = |conn: ConnId| conn.slot != 1;
        let read = |warming: &mut Warming| {
            let jobs = std::iter::from_fn(|| warming.next(is_there));
            let slot = |job| if let Job::Warm { conn, .. } = job { Some(conn.slot) } else { None };
            jobs.filter_map(slot).collect::<Vec<_>>()
        };
        assert_eq!(read(&mut warming), [vec![0], (2..17).collect()].concat());
        warming.ended();
        assert_eq!(read(&mut warming), [17]);
        (0..READS_MAX).for_each(|_| warming.ended());
        assert_eq!(read(&mut warming).len(), READS_MAX);
    }
}
