//! Leader epochs of a log: each with the offset of its first record, both rising (KIP-101).

use super::ids::Offset;

/// Leaves out the epochs that ended below a log's first offset, as Kafka does; the one that holds it begins there.
pub fn cut_below(epochs: &mut Vec<(i32, Offset)>, log_start: Offset) {
    let begun = epochs.partition_point(|(_, from)| *from <= log_start);
    epochs.drain(..begun.saturating_sub(1));
    if let Some((_, from)) = epochs.first_mut().filter(|_| begun > 0) {
        *from = log_start;
    }
}

/// Adds an epoch that begins at an offset. One that has left no record behind gives its place to it.
pub fn begin(epochs: &mut Vec<(i32, Offset)>, epoch: i32, from: Offset) {
    epochs.retain(|(_, known)| *known < from);
    epochs.push((epoch, from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_that_holds_the_first_offset_begins_there_and_those_before_it_go() {
        let all = vec![(0, 0), (2, 100), (5, 200)];
        let cut = |log_start| {
            let mut epochs = all.clone();
            cut_below(&mut epochs, log_start);
            epochs
        };
        assert_eq!(cut(0), all);
        assert_eq!(cut(50), [(0, 50), (2, 100), (5, 200)]);
        assert_eq!(cut(100), [(2, 100), (5, 200)]);
        assert_eq!(cut(199), [(2, 199), (5, 200)]);
        assert_eq!(cut(1000), [(5, 1000)]);
        let mut later = vec![(3, 70)];
        cut_below(&mut later, 20);
        assert_eq!(later, [(3, 70)], "nothing is known of what was before");
    }

    #[test]
    fn an_epoch_without_a_record_leaves_no_trace() {
        let mut epochs = vec![(1, 0), (2, 10)];
        begin(&mut epochs, 3, 10);
        assert_eq!(epochs, [(1, 0), (3, 10)]);
        begin(&mut epochs, 4, 11);
        assert_eq!(epochs, [(1, 0), (3, 10), (4, 11)]);
    }
}
