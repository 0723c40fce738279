//! Bugs that tests plant, to see whether they would be caught.
//!
//! A bug is planted on one thread, so tests beside each other do not disturb each other; without the feature
//! `testing` there is none, and the question costs nothing.

/// A bug that can be planted. Each says what it does and which rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A log is not synced at all, but said to be: what is acknowledged is on the disk.
    NoSync,
    /// A sync that failed is tried again on the same descriptor: after a failure nothing is known about the pages.
    SyncAgain,
    /// The names of new segments are not synced: a file is as durable as its name.
    NamesNotSynced,
    /// The name of a new partition's directory is not synced: a topic is announced when it is durable.
    DirectoryNotSynced,
    /// A durable mark is written before the data is synced: a mark is never ahead of the data.
    MarkBeforeData,
    /// `acks=all` is answered after the write: it is answered after the sync.
    AcknowledgedAtWrite,
    /// A retry is answered before its original is synced: a duplicate's answer is a promise as well.
    DuplicateBeforeSync,
    /// Records of `acks=all` are visible before they are synced: nobody reads what a crash may take back.
    VisibleBeforeSync,
    /// A fetch reads up to the log's end: it ends at the high watermark.
    ReadBeyondWatermark,
    /// A tail goes on in the next segment as if it were the same file: a range is of the file that it was written to.
    TailOfOldFile,
    /// A fetch goes on with the next segment where a batch was too large for it: what is read has no gaps.
    BatchSkipped,
    /// An effect leaves before its record is durable: facts come before what rests on them.
    EffectBeforeRecord,
    /// A topic's directory goes before its removal is recorded: a crash must not leave a topic without files.
    RemovedBeforeRecorded,
    /// A client is told that a topic is gone before that is recorded: a crash may bring it back.
    GoneBeforeRecorded,
    /// An offset is committed before the records below it are synced: the group would skip what comes next.
    CommitAheadOfData,
    /// A commit of an earlier generation is taken: members that were replaced are fenced.
    OldGenerationCommits,
    /// Groups are not read back from the journal: an acknowledged generation outlives the process.
    GroupsForgotten,
    /// The last block of producer ids is given again after a start: an id is given once.
    ProducerIdsAgain,
    /// A producer's state stays as if a failed write had succeeded: its retry would be taken for a duplicate.
    ProducersNotTakenBack,
    /// A producer whose first write failed is forgotten: what it sent behind that may not come before it.
    FirstWriteForgotten,
    /// A failed write is not cut off again: the file ends where the log ends.
    FailedWriteKept,
    /// A producer snapshot from above the synced end is believed: it may tell of batches that were lost.
    SnapshotAhead,
    /// A start believes the pages in memory: after a failed sync they look clean and are not on the disk.
    CachedPagesTrusted,
    /// A torn tail is not cut off: a log ends with a whole batch.
    TailNotCut,
    /// A tail is cut below the durable mark: what lies below the mark was acknowledged.
    CutBelowMark,
    /// The leader epoch stays after an unclean start: clients learn from it that a tail may be gone.
    EpochNotRaised,
    /// The marker of a clean stop stays while the broker runs: it is removed before the first append.
    CleanMarkerKept,
    /// The marker of a clean stop is written although the logs were not synced: it is the last thing written.
    CleanMarkerFirst,
    /// A deadline that has passed is left standing: when nothing happens, nothing is due.
    DeadlineLeft,
    /// A trim is answered before the mark is written: what was deleted does not come back.
    TrimNotDurable,
    /// A compacted segment takes the place of others before it is on the disk: a swap loses nothing.
    SwapNotSynced,
    /// An old index stays beside a compacted log, and is believed: what an index says is held against the log.
    StaleIndexKept,
    /// A log that retention has emptied begins again at 0: an offset is given once.
    EndForgotten,
    /// What waits for fewer unsynced files is not tried again: everything that a client sends is answered.
    HeldForgotten,
    /// A sync that somebody waits for leaves out what the volume is still syncing: it covers all that was written before.
    EarlierLeftOut,
    /// A volume's sync counts though it has failed: each file is asked then.
    LossIgnored,
}

#[cfg(feature = "testing")]
impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::NoSync,
        Bug::SyncAgain,
        Bug::NamesNotSynced,
        Bug::DirectoryNotSynced,
        Bug::MarkBeforeData,
        Bug::AcknowledgedAtWrite,
        Bug::DuplicateBeforeSync,
        Bug::VisibleBeforeSync,
        Bug::ReadBeyondWatermark,
        Bug::TailOfOldFile,
        Bug::BatchSkipped,
        Bug::EffectBeforeRecord,
        Bug::RemovedBeforeRecorded,
        Bug::GoneBeforeRecorded,
        Bug::CommitAheadOfData,
        Bug::OldGenerationCommits,
        Bug::GroupsForgotten,
        Bug::ProducerIdsAgain,
        Bug::ProducersNotTakenBack,
        Bug::FirstWriteForgotten,
        Bug::FailedWriteKept,
        Bug::SnapshotAhead,
        Bug::CachedPagesTrusted,
        Bug::TailNotCut,
        Bug::CutBelowMark,
        Bug::EpochNotRaised,
        Bug::CleanMarkerKept,
        Bug::CleanMarkerFirst,
        Bug::DeadlineLeft,
        Bug::TrimNotDurable,
        Bug::SwapNotSynced,
        Bug::StaleIndexKept,
        Bug::EndForgotten,
        Bug::HeldForgotten,
        Bug::EarlierLeftOut,
        Bug::LossIgnored,
    ];
}

/// Whether a bug is planted on this thread.
#[cfg(not(feature = "testing"))]
#[must_use]
#[inline]
pub const fn is_planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "testing")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether a bug is planted on this thread.
#[cfg(feature = "testing")]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.with(|planted| planted.get() == Some(bug))
}

/// Plants a bug on this thread, or removes it.
#[cfg(feature = "testing")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.with(|planted| planted.set(bug));
}
