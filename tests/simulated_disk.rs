//! The simulated disk itself: what is durable when, what a power cut leaves, and how it fails. Its rules are what POSIX
//! and Linux promise, and no more than that.

#![expect(clippy::unwrap_used, reason = "tests are their own masters")]

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use chronik::storage::fs::{File, Fs, OpenMode, is_absent, read_full, write_full};
use chronik::testing::fs::{At, Fault, Image, Kind, Operation, SimFs};

const NOTHING: Image = Image::Nothing;

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A disk with a durable directory `/d`.
fn disk() -> Arc<SimFs> {
    let fs = SimFs::new();
    fs.create_dir(path("/d")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    fs
}

fn put(fs: &SimFs, name: &str, content: &[u8]) -> Arc<dyn File> {
    let file = fs.open(path(name), OpenMode::Create).unwrap();
    write_full(&*file, content, 0).unwrap();
    file
}

/// A file whose content and name are durable.
fn put_durably(fs: &SimFs, name: &str, content: &[u8]) -> Arc<dyn File> {
    let file = put(fs, name, content);
    file.sync_data().unwrap();
    fs.sync_dir(path(name).parent().unwrap()).unwrap();
    file
}

fn left(fs: &SimFs, how: Image, name: &str) -> Option<Vec<u8>> {
    fs.image(how).read(path(name))
}

#[test]
fn a_file_needs_the_sync_of_its_directory_to_be_found() {
    let fs = disk();
    put(&fs, "/d/a", b"abc").sync_data().unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a"), None);
    assert_eq!(left(&fs, Image::Everything, "/d/a"), Some(b"abc".to_vec()));
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"abc".to_vec()));
}

#[test]
fn a_name_says_nothing_about_bytes_and_length() {
    let fs = disk();
    let file = put(&fs, "/d/a", b"abc");
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(vec![]));
    file.sync_data().unwrap();
    file.set_len(1).unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"abc".to_vec()));
    assert_eq!(fs.read(path("/d/a")).unwrap(), b"a");
    file.sync_data().unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"a".to_vec()));
}

#[test]
fn a_directory_needs_the_sync_of_its_parent() {
    let fs = disk();
    fs.create_dir(path("/d/e")).unwrap();
    put_durably(&fs, "/d/e/a", b"abc");
    assert_eq!(left(&fs, NOTHING, "/d/e/a"), None);
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/e/a"), Some(b"abc".to_vec()));
}

#[test]
fn a_rename_moves_the_entry_and_is_whole_or_not_there() {
    let fs = disk();
    put_durably(&fs, "/d/old", b"old");
    let new = put_durably(&fs, "/d/new.tmp", b"new");
    fs.rename(path("/d/new.tmp"), path("/d/old")).unwrap();
    write_full(&*new, b"NEW", 0).unwrap();
    assert_eq!(fs.read(path("/d/old")).unwrap(), b"NEW", "the handle goes with the file");
    let mut seen = BTreeSet::new();
    for seed in 0..64 {
        let image = fs.image(Image::Random(seed));
        seen.insert((
            image.read(path("/d/old")).unwrap(),
            image.read(path("/d/new.tmp")).is_some(),
        ));
    }
    let before = [&b"new"[..], b"NEW", b"old"].map(<[u8]>::to_vec);
    let [plain, capital, old] = before;
    assert_eq!(seen, BTreeSet::from([(plain, false), (capital, false), (old, true)]));
}

#[test]
fn a_directory_takes_its_files_along() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", b"abc");
    fs.rename(path("/d"), path("/e")).unwrap();
    assert_eq!(fs.read(path("/e/a")).unwrap(), b"abc");
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"abc".to_vec()));
    write_full(&*file, b"x", 0).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(left(&fs, NOTHING, "/e/a"), Some(b"abc".to_vec()));
}

#[test]
fn an_unlinked_file_is_there_for_those_who_have_it_open() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", b"abc");
    fs.remove_file(path("/d/a")).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(read_full(&*file, &mut bytes, 1).unwrap(), 2);
    assert!(is_absent(&fs.open(path("/d/a"), OpenMode::Write).unwrap_err()));
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"abc".to_vec()), "the unlink is not durable");
    put_durably(&fs, "/d/a", b"another");
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"another".to_vec()));
}

#[test]
fn an_emptied_file_keeps_its_bytes_until_it_is_synced() {
    let fs = disk();
    put_durably(&fs, "/d/a", b"abc");
    let file = fs.open(path("/d/a"), OpenMode::Truncate).unwrap();
    assert_eq!((file.size().unwrap(), left(&fs, NOTHING, "/d/a").unwrap().len()), (0, 3));
    file.sync_data().unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(vec![]));
}

#[test]
fn a_sync_of_the_volume_makes_everything_durable() {
    let fs = disk();
    put(&fs, "/d/a", b"abc");
    fs.create_dir(path("/d/e")).unwrap();
    assert!(fs.unsynced() > 0);
    fs.volume(path("/d")).unwrap().sync().unwrap();
    assert_eq!(fs.unsynced(), 0);
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"abc".to_vec()));
    assert!(fs.image(NOTHING).read_dir(path("/d/e")).unwrap().is_empty());
}

#[test]
fn of_a_write_any_sectors_are_left_and_the_length_may_come_alone() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", &[1; 700]);
    write_full(&*file, &[2; 2000], 300).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..1000 {
        let content = left(&fs, Image::Random(seed), "/d/a").unwrap();
        assert!(content.len() == 700 || content.len() == 2300, "{}", content.len());
        let sectors: Vec<Vec<u8>> = content.chunks(512).map(<[u8]>::to_vec).collect();
        for (number, sector) in sectors.iter().enumerate() {
            let mut kinds = sector.clone();
            kinds.dedup();
            // Only before the write, in the middle of a sector, the old bytes may stand beside new ones.
            let fine: &[&[u8]] = match number {
                0 => &[&[1], &[1, 2]],
                1 => &[&[1], &[2], &[1, 0]],
                _ => &[&[0], &[2]],
            };
            assert!(fine.contains(&&*kinds), "sector {number}: {kinds:?}");
        }
        let kinds = |sector: &Vec<u8>| sector.first().copied().zip(sector.last().copied());
        seen.insert(sectors.iter().map(kinds).collect::<Vec<_>>());
    }
    assert!(seen.len() >= 16 + 4, "all ways to lose sectors: {}", seen.len());
}

#[test]
fn a_sector_that_was_written_twice_is_never_as_it_never_was() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", &[1; 512]);
    write_full(&*file, &[2; 100], 0).unwrap();
    write_full(&*file, &[3; 100], 100).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let content = left(&fs, Image::Random(seed), "/d/a").unwrap();
        seen.insert((content[0], content[150]));
    }
    assert_eq!(seen, BTreeSet::from([(1, 1), (2, 1), (2, 3)]));
}

#[test]
fn a_cut_that_is_written_over_leaves_no_old_bytes_behind_the_new_end() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", &[1; 600]);
    file.set_len(100).unwrap();
    write_full(&*file, &[2; 100], 100).unwrap();
    let mut lengths = BTreeSet::new();
    for seed in 0..200 {
        lengths.insert(left(&fs, Image::Random(seed), "/d/a").unwrap().len());
    }
    assert_eq!(lengths, BTreeSet::from([100, 200, 600]));
    file.set_len(300).unwrap();
    let whole = left(&fs, Image::Everything, "/d/a").unwrap();
    assert_eq!(whole[200..], [0; 100]);
}

#[test]
fn a_prefix_holds_the_first_changes_over_all_files_and_tears_the_next() {
    let fs = disk();
    let (a, b) = (put_durably(&fs, "/d/a", b""), put_durably(&fs, "/d/b", b""));
    write_full(&*a, &[1; 2048], 0).unwrap();
    write_full(&*b, &[2; 2048], 0).unwrap();
    fs.rename(path("/d/b"), path("/d/c")).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let image = fs.image(Image::Prefix(seed));
        let len = |name: &str| image.read(path(name)).map(|content| content.len());
        seen.insert((len("/d/a").unwrap(), len("/d/b"), len("/d/c")));
    }
    let mut expected: BTreeSet<(usize, Option<usize>, Option<usize>)> =
        (0..4).map(|sectors| (sectors * 512, Some(0), None)).collect();
    expected.extend((0..5).map(|sectors| (2048, Some(sectors * 512), None)));
    expected.insert((2048, None, Some(2048)));
    assert_eq!(seen, expected);
}

#[test]
fn names_come_and_go_in_order_and_apart_from_each_other() {
    let fs = disk();
    put_durably(&fs, "/d/a", b"1");
    fs.remove_file(path("/d/a")).unwrap();
    put(&fs, "/d/a", b"2").sync_data().unwrap();
    put(&fs, "/d/b", b"3").sync_data().unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let image = fs.image(Image::Random(seed));
        seen.insert((image.read(path("/d/a")), image.read(path("/d/b")).is_some()));
    }
    assert_eq!(seen.len(), 6, "the first, none or the second; and the other or not: {seen:?}");
}

#[test]
fn after_a_failed_sync_the_pages_look_clean_and_are_not_on_the_disk() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", b"abc");
    let at = At::Path("/d/a".into(), Operation::SyncData);
    fs.fail(Fault { at, kind: Kind::SyncFails, times: 1 });
    write_full(&*file, b"ABCDEF", 0).unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    file.sync_data().unwrap();
    assert_eq!(fs.read(path("/d/a")).unwrap(), b"ABCDEF", "the cache is newer than the disk");
    for how in [NOTHING, Image::Everything, Image::Prefix(1), Image::Random(1)] {
        assert_eq!(left(&fs, how, "/d/a").unwrap(), b"abc");
    }
    write_full(&*file, b"xy", 1).unwrap();
    file.drop_cache();
    assert_eq!(fs.read(path("/d/a")).unwrap(), b"axy\0\0\0", "the disk, and what is still dirty");
    file.sync_data().unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a").unwrap(), b"axy");
}

#[test]
fn after_a_failed_sync_of_a_directory_names_wait_for_the_next() {
    let fs = disk();
    put(&fs, "/d/a", b"abc").sync_data().unwrap();
    let at = At::Path("/d".into(), Operation::SyncDir);
    fs.fail(Fault { at, kind: Kind::SyncFails, times: 1 });
    assert_eq!(fs.sync_dir(path("/d")).unwrap_err().errno, Some(5));
    assert_eq!(left(&fs, NOTHING, "/d/a"), None);
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(left(&fs, NOTHING, "/d/a"), Some(b"abc".to_vec()));
}

#[test]
fn dropping_the_cache_of_a_healthy_disk_changes_nothing() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", b"abc");
    write_full(&*file, b"x", 3).unwrap();
    file.drop_cache();
    assert_eq!(fs.read(path("/d/a")).unwrap(), b"abcx");
    assert_eq!(left(&fs, NOTHING, "/d/a").unwrap(), b"abc");
}

#[test]
fn a_killed_process_leaves_what_a_power_cut_can_still_take() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", b"abc");
    write_full(&*file, b"x", 0).unwrap();
    let after = fs.killed();
    assert_eq!(after.read(path("/d/a")).unwrap(), b"xbc");
    assert_eq!(left(&after, NOTHING, "/d/a").unwrap(), b"abc");
    after.open(path("/d/a"), OpenMode::Write).unwrap().sync_data().unwrap();
    assert_eq!(left(&after, NOTHING, "/d/a").unwrap(), b"xbc");
    assert_eq!(left(&fs, NOTHING, "/d/a").unwrap(), b"abc", "they are two disks");
}

#[test]
fn from_the_crash_on_nothing_happens_any_more() {
    let count = || {
        let fs = disk();
        let file = put(&fs, "/d/a", b"abc");
        (fs.operations(), fs, file)
    };
    let (before, fs, file) = count();
    fs.crash_at(before);
    assert!(!fs.is_crashed());
    assert!(file.sync_data().is_err());
    assert!(fs.is_crashed());
    assert!(write_full(&*file, b"x", 0).is_err());
    assert!(fs.create_dir(path("/e")).is_err());
    assert!(fs.read_dir(path("/d")).is_err());
    assert_eq!(fs.read(path("/d/a")).unwrap(), b"abc");
    assert_eq!(left(&fs, NOTHING, "/d/a"), None);
}

#[test]
fn a_write_within_which_the_process_dies_is_torn_between_sectors() {
    let mut lengths = BTreeSet::new();
    for padding in 0..64 {
        let fs = disk();
        let file = put_durably(&fs, "/d/a", &[0; 100]);
        (0..padding).for_each(|_| file.sync_data().unwrap());
        fs.crash_at(fs.operations());
        assert!(write_full(&*file, &[1; 1000], 100).is_err());
        lengths.insert(fs.read(path("/d/a")).unwrap().len());
    }
    assert_eq!(lengths, BTreeSet::from([100, 512, 1024, 1100]));
}

#[test]
fn faults_come_where_and_as_often_as_they_should() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", b"");
    let write = |kind, times| {
        let at = At::Path("/d/".into(), Operation::Write);
        fs.fail(Fault { at, kind, times });
    };
    write(Kind::Short(2), 1);
    assert_eq!(file.write_at(&[IoSlice::new(b"abcd")], 0).unwrap(), 2);
    write(Kind::Enospc, 2);
    for _ in 0..2 {
        assert_eq!(write_full(&*file, b"x", 2).unwrap_err().raw_os_error(), Some(28));
    }
    write_full(&*file, b"cd", 2).unwrap();
    assert_eq!(fs.read(path("/d/a")).unwrap(), b"abcd");
    fs.fail(Fault { at: At::Operation(fs.operations() + 1), kind: Kind::Erofs, times: 1 });
    file.set_len(3).unwrap();
    assert_eq!(fs.create_dir(path("/e")).unwrap_err().errno, Some(30));
    fs.create_dir(path("/e")).unwrap();
    let at = At::Path("/d/b".into(), Operation::Open);
    fs.fail(Fault { at, kind: Kind::Emfile, times: u32::MAX });
    assert_eq!(fs.open(path("/d/b"), OpenMode::Create).unwrap_err().errno, Some(24));
    fs.open(path("/d/c"), OpenMode::Create).unwrap();
    fs.heal();
    fs.open(path("/d/b"), OpenMode::Create).unwrap();
}

#[test]
fn a_full_disk_takes_what_fits_and_room_comes_back() {
    let fs = disk();
    let file = put_durably(&fs, "/d/a", b"abc");
    fs.set_capacity(Some(5));
    assert_eq!(file.write_at(&[IoSlice::new(b"ABCDEF")], 0).unwrap(), 5);
    assert_eq!(write_full(&*file, b"x", 5).unwrap_err().raw_os_error(), Some(28));
    write_full(&*file, b"y", 4).unwrap();
    let other = put(&fs, "/d/b", b"");
    assert!(write_full(&*other, b"x", 0).is_err());
    fs.remove_file(path("/d/a")).unwrap();
    assert_eq!(fs.free(), Some(0), "it is open");
    drop(file);
    assert_eq!(fs.free(), Some(5));
    write_full(&*other, b"x", 0).unwrap();
    assert_eq!(other.allocate(6).unwrap_err().raw_os_error(), Some(28));
    other.allocate(4).unwrap();
    assert_eq!(fs.read(path("/d/b")).unwrap(), b"x\0\0\0");
    let room = fs.room(path("/d")).unwrap();
    assert_eq!((room.free, room.total, room.read_only), (1, 5, false));
    fs.fail(Fault { at: At::Operation(0), kind: Kind::Erofs, times: u32::MAX });
    assert!(fs.room(path("/d")).unwrap().read_only);
}

#[test]
fn a_lock_belongs_to_one_at_a_time_and_dies_with_its_process() {
    let fs = disk();
    let held = fs.try_lock(path("/d/.lock")).unwrap().unwrap();
    assert!(fs.try_lock(path("/d/.lock")).unwrap().is_none());
    assert!(fs.killed().try_lock(path("/d/.lock")).unwrap().is_some());
    drop(held);
    assert!(fs.try_lock(path("/d/.lock")).unwrap().is_some());
}

#[test]
fn a_file_says_when_it_was_written() {
    let fs = disk();
    fs.set_now(1000);
    let file = put_durably(&fs, "/d/a", b"abc");
    fs.set_now(2000);
    assert_eq!(file.modified().unwrap(), 1000);
    file.set_len(1).unwrap();
    assert_eq!(file.modified().unwrap(), 2000);
    let image = fs.image(Image::Everything);
    assert_eq!(image.open(path("/d/a"), OpenMode::Read).unwrap().modified().unwrap(), 2000);
}

#[test]
fn a_flipped_bit_is_flipped_on_the_disk() {
    let fs = disk();
    put_durably(&fs, "/d/a", b"ab");
    assert!(fs.flip_bit(path("/d/a"), 15));
    assert_eq!(fs.read(path("/d/a")).unwrap(), b"ac");
    assert_eq!(left(&fs, NOTHING, "/d/a").unwrap(), b"ac");
    assert!(!fs.flip_bit(path("/d/a"), 16));
    assert!(!fs.flip_bit(path("/d/b"), 0));
}

#[test]
fn what_is_asked_of_the_wrong_thing_is_refused_as_linux_does() {
    let fs = disk();
    put(&fs, "/d/a", b"");
    let errno = |result: Result<(), chronik::storage::job::StorageError>| {
        result.unwrap_err().errno.unwrap()
    };
    assert_eq!(errno(fs.create_dir(path("/d"))), 17);
    assert_eq!(errno(fs.create_dir(path("/x/y"))), 2);
    assert_eq!(errno(fs.remove_dir(path("/d"))), 39);
    assert_eq!(errno(fs.remove_file(path("/d"))), 21);
    assert_eq!(errno(fs.remove_dir(path("/d/a"))), 20);
    assert_eq!(errno(fs.rename(path("/d/x"), path("/d/y"))), 2);
    assert_eq!(errno(fs.sync_dir(path("/d/a"))), 20);
    let read_only = fs.open(path("/d/a"), OpenMode::Read).unwrap();
    assert!(write_full(&*read_only, b"x", 0).is_err());
    let names: Vec<String> =
        fs.read_dir(path("/")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["d"]);
}

#[test]
fn the_files_can_be_put_into_a_real_directory() {
    let fs = disk();
    put(&fs, "/d/a", b"abc");
    let name = format!("chronik-simulated-{}", std::process::id());
    let real = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&real).unwrap();
    fs.copy_to(&real).unwrap();
    let copied = std::fs::read_dir(real.join("d")).unwrap().count();
    std::fs::remove_dir_all(&real).unwrap();
    assert_eq!(copied, 1);
    assert_eq!(fs.files(), [(path("/d/a").to_owned(), 3)]);
}
