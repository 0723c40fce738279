//! What brokers do while the power goes: each script is one kind of life, and its seed one instance of it.

use chronik::base::ids::{PartitionId, TopicId};
use chronik::storage::job::LogConfig;
use chronik::testing::fs::{At, Fault, Image, Kind, Operation};

use super::model::Sequence;
use super::world::{EVEN, End, NOW, Run, World};

/// One kind of life.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut World) -> Run,
    /// Whether it begins with a life that is not looked at, and says itself when it has come to its matter.
    pub(crate) has_earlier_life: bool,
}

pub(crate) const SCRIPTS: &[Script] = &[
    Script { name: "append_and_roll", run: append_and_roll, has_earlier_life: false },
    Script { name: "many_partitions", run: many_partitions, has_earlier_life: false },
    Script { name: "group_commit", run: group_commit, has_earlier_life: false },
    Script { name: "idempotent", run: idempotent, has_earlier_life: false },
    Script { name: "create_delete_create", run: create_delete_create, has_earlier_life: false },
    Script { name: "failed_write", run: failed_write, has_earlier_life: false },
    Script { name: "failed_sync", run: failed_sync, has_earlier_life: false },
    Script { name: "any_fault", run: any_fault, has_earlier_life: false },
    Script { name: "recovery", run: recovery, has_earlier_life: true },
    Script { name: "kill_then_power_cut", run: kill_then_power_cut, has_earlier_life: true },
    Script { name: "retry_after_crash", run: retry_after_crash, has_earlier_life: true },
    Script { name: "clean_stop", run: clean_stop, has_earlier_life: false },
    Script { name: "writer_count", run: writer_count, has_earlier_life: false },
    Script { name: "retention", run: retention, has_earlier_life: false },
    Script { name: "delete_records", run: delete_records, has_earlier_life: false },
    Script { name: "compaction", run: compaction, has_earlier_life: false },
];

pub(crate) fn id(topic: u8, index: i32) -> PartitionId {
    PartitionId { topic: TopicId::from_random([topic; 16]), index }
}

pub(crate) fn config(segment_bytes: u64) -> LogConfig {
    LogConfig {
        segment_bytes,
        segment_ms: i64::MAX,
        index_bytes_max: 10 << 20,
        index_interval_bytes: 300,
        batch_bytes_max: 1 << 20,
        log_append_time: false,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: i64::MAX,
        compact: false,
        delete: true,
        retention_ms: -1,
        retention_bytes: -1,
        retention_check_ms: 0,
        delete_retention_ms: 86_400_000,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
        min_dirty_permille: 500,
    }
}

/// Batches to one partition, some of which somebody waits for; marks are written now and then.
fn sends(world: &mut World, ids: &[PartitionId], count: u64) -> Run {
    for _ in 0..count {
        let chosen = usize::try_from(world.below(100)).unwrap() % ids.len();
        let sync = world.below(4) > 0;
        world.send(ids[chosen], 600, sync);
        world.steps(3)?;
        if world.below(6) == 0 {
            world.tick()?;
        }
    }
    Ok(())
}

fn append_and_roll(world: &mut World) -> Run {
    if !world.is_armed() {
        world.boot()?;
    }
    let segment_bytes = 2200 + world.below(3000);
    world.create(id(1, 0), "orders", config(segment_bytes))?;
    let count = 8 + world.below(10);
    sends(world, &[id(1, 0)], count)?;
    world.settle()?;
    world.tick()?;
    sends(world, &[id(1, 0)], 2)?;
    world.settle()
}

/// So many that they are synced together at the end and at the next start.
fn many_partitions(world: &mut World) -> Run {
    let ids: Vec<PartitionId> = (0..10).map(|index| id(1, index)).collect();
    for partition in &ids {
        world.create(*partition, "many", config(3000))?;
    }
    for partition in &ids {
        world.send(*partition, 300, partition.index % 2 == 0);
    }
    world.settle()?;
    world.tick()?;
    for partition in &ids {
        world.send(*partition, 900, false);
        world.steps(1)?;
    }
    match world.below(3) {
        0 => world.stop()?,
        1 => {
            world.settle()?;
            world.kill();
        }
        _ => {
            world.settle()?;
            let seed = world.below(1000);
            world.power_cut(Image::Random(seed));
        }
    }
    world.boot()?;
    sends(world, &ids, 3)?;
    world.settle()
}

/// The journal: every record is waited for, and several wait for one sync.
fn group_commit(world: &mut World) -> Run {
    let (commits, topics) = (id(7, 0), id(8, 0));
    world.create(topics, "__cluster_metadata", config(2300))?;
    world.create(commits, "__consumer_offsets", config(2300))?;
    for _ in 0..12 {
        for _ in 0..=world.below(3) {
            let target = if world.below(5) == 0 { topics } else { commits };
            world.send(target, 120, true);
        }
        world.steps(3)?;
        if world.below(8) == 0 {
            world.tick()?;
        }
    }
    world.settle()?;
    world.tick()
}

/// A client that sends batches in sequence, several at once, and starts over with a new epoch at times.
struct Producer {
    partition: PartitionId,
    next: Sequence,
}

impl Producer {
    fn new(partition: PartitionId, producer: i64) -> Producer {
        Producer { partition, next: Sequence { producer, epoch: 0, first: 0 } }
    }

    fn send(&mut self, world: &mut World) {
        let number = world.batch(self.partition, Some(self.next), 300);
        self.next.first += i32::try_from(world.log(self.partition).sent[number].records).unwrap();
        world.submit(self.partition, number, true);
    }

    fn bump(&mut self) {
        self.next = Sequence { epoch: self.next.epoch + 1, first: 0, ..self.next };
    }
}

fn idempotent(world: &mut World) -> Run {
    if !world.is_armed() {
        world.boot()?;
    }
    let partition = id(2, 0);
    let segment_bytes = 2200 + world.below(1500);
    world.create(partition, "idem-potent", config(segment_bytes))?;
    let mut producers = [Producer::new(partition, 1000), Producer::new(partition, 1001)];
    for _ in 0..6 {
        let chosen = usize::try_from(world.below(2)).unwrap();
        for _ in 0..=world.below(4) {
            producers[chosen].send(world);
            world.steps(2)?;
        }
        if world.below(3) == 0 {
            world.send(partition, 200, false);
        }
        world.settle()?;
        if world.below(4) == 0 {
            producers[chosen].bump();
        }
        if world.below(3) == 0 {
            world.tick()?;
        }
    }
    world.settle()
}

fn create_delete_create(world: &mut World) -> Run {
    let (old, new, other) = ([id(1, 0), id(1, 1)], [id(2, 0), id(2, 1)], id(3, 0));
    world.create(other, "other", config(2300))?;
    for partition in old {
        world.create(partition, "same", config(2200))?;
    }
    sends(world, &[old[0], old[1], other], 6)?;
    if world.below(2) == 0 {
        world.tick()?;
    }
    for partition in old {
        world.remove(partition);
        world.steps(2)?;
    }
    // The name is free when both are out of the way; what is left of them is unlinked meanwhile.
    world.settle()?;
    for partition in new {
        world.create(partition, "same", config(2200))?;
    }
    sends(world, &[new[0], new[1], other], 6)?;
    world.settle()?;
    world.tick()
}

/// The disk takes a part of a write and then no more; what was taken is undone before the next, shorter one.
fn failed_write(world: &mut World) -> Run {
    let partition = id(1, 0);
    world.create(partition, "orders", config(20_000))?;
    let mut producer = Producer::new(partition, 1000);
    producer.send(world);
    sends(world, &[partition], 3)?;
    world.settle()?;
    for _ in 0..3 {
        disk_takes_a_part(world, "/orders-0/0");
        match world.below(3) {
            0 => {
                (0..3).for_each(|_| world.send(partition, 2000, true));
                disk_is_well(world)?;
                world.send(partition, 50, true);
            }
            // Whole batches are among what was taken, and what follows is as long as the first of them.
            1 => {
                (0..3).for_each(|_| world.send(partition, EVEN, true));
                disk_is_well(world)?;
                world.send(partition, EVEN, true);
            }
            // What failed comes again, and is no duplicate.
            _ => {
                let first = world.log(partition).sent.len();
                (0..3).for_each(|_| producer.send(world));
                disk_is_well(world)?;
                (first..first + 3).for_each(|number| world.submit(partition, number, true));
            }
        }
        world.settle()?;
        if world.below(2) == 0 {
            world.tick()?;
        }
    }
    Ok(())
}

fn disk_takes_a_part(world: &mut World, path: &str) {
    let taken = usize::try_from(world.below(800)).unwrap();
    let at = At::Path(path.to_owned(), Operation::Write);
    world.faulty = true;
    world.fs.fail(Fault { at: at.clone(), kind: Kind::Short(taken), times: 1 });
    let kind = if world.below(2) == 0 { Kind::Enospc } else { Kind::Eio };
    world.fs.fail(Fault { at, kind, times: 1 });
}

fn disk_is_well(world: &mut World) -> Run {
    world.settle()?;
    world.fs.heal();
    world.look_for_space()?;
    world.faulty = false;
    Ok(())
}

/// The disk fails a sync: nothing more is acknowledged there, and the next start finds what the disk really has.
fn failed_sync(world: &mut World) -> Run {
    let (partition, other) = (id(1, 0), id(2, 0));
    world.create(partition, "orders", config(3000))?;
    world.create(other, "other", config(3000))?;
    sends(world, &[partition, other], 5)?;
    world.settle()?;
    world.faulty = true;
    let kind = if world.below(2) == 0 { Kind::SyncFails } else { Kind::Eio };
    let at = At::Path("/orders-0/0".to_owned(), Operation::SyncData);
    world.fs.fail(Fault { at, kind, times: 1 });
    sends(world, &[partition, other, partition], 6)?;
    world.settle()?;
    if world.below(2) == 0 {
        world.tick()?;
    }
    world.kill();
    world.faulty = false;
    world.boot()?;
    sends(world, &[partition, other], 3)?;
    world.settle()
}

/// Some operation fails, whichever it is, and perhaps the next ones; then the broker is stopped or killed.
fn any_fault(world: &mut World) -> Run {
    let (orders, other) = (id(1, 0), id(2, 0));
    world.create(orders, "orders", config(2300))?;
    world.create(other, "other", config(2300))?;
    let mut producer = Producer::new(other, 1000);
    producer.send(world);
    sends(world, &[orders, other], 4)?;
    world.settle()?;
    let first = world.fs.operations() + world.below(60);
    let kind = match world.below(5) {
        0 => Kind::Eio,
        1 => Kind::Enospc,
        2 => Kind::Short(usize::try_from(world.below(600)).unwrap()),
        3 => Kind::SyncFails,
        _ => Kind::Emfile,
    };
    let times = 1 + u32::try_from(world.below(3)).unwrap();
    world.faulty = true;
    world.fs.fail(Fault { at: At::Operation(first), kind, times });
    for _ in 0..3 {
        sends(world, &[orders, other], 4)?;
        producer.send(world);
        world.steps(3)?;
        let end = world.log(orders).kept_end;
        let offset = i64::try_from(world.below(u64::try_from(end + 1).unwrap())).unwrap();
        world.trim(orders, offset);
        world.upkeep(orders, NOW, false);
        world.steps(3)?;
        world.tick()?;
    }
    world.settle()?;
    world.fs.heal();
    world.look_for_space()?;
    sends(world, &[orders, other], 2)?;
    if world.below(2) == 0 {
        world.stop()?;
    }
    world.kill();
    world.faulty = false;
    world.boot()?;
    sends(world, &[orders, other], 2)?;
    world.settle()
}

/// Lives until some operation that the seed decides.
fn until_a_crash(world: &mut World, live: fn(&mut World) -> Run) -> Run {
    let operation = 15 + world.below(150);
    world.fs.crash_at(operation);
    match live(world) {
        Err(End::Crashed) => Ok(()),
        ended => ended,
    }
}

fn some_image(world: &mut World) -> Image {
    let seed = world.below(1 << 20);
    match world.below(4) {
        0 => Image::Everything,
        1 => Image::Prefix(seed),
        _ => Image::Random(seed),
    }
}

/// A crash, a power cut, and then the start: it is the start that is cut off. Some starts begin with a kill and a start
/// that was cut off before.
fn recovery(world: &mut World) -> Run {
    until_a_crash(
        world,
        if world.random.clone().next_u64() % 2 == 0 { append_and_roll } else { idempotent },
    )?;
    let how = some_image(world);
    world.power_cut(how);
    if world.below(3) == 0 {
        let operation = world.below(30);
        world.fs.crash_at(operation);
        match world.boot() {
            Ok(_) | Err(End::Crashed) => {}
            Err(wrong) => return Err(wrong),
        }
        let how = some_image(world);
        world.power_cut(how);
    }
    world.arm();
    world.boot()?;
    let ids: Vec<PartitionId> = world.model.logs.keys().copied().collect();
    if !ids.is_empty() {
        sends(world, &ids, 3)?;
    }
    world.settle()
}

/// The process is killed, the next start finds the page cache as it was, and then the power goes.
fn kill_then_power_cut(world: &mut World) -> Run {
    until_a_crash(world, append_and_roll)?;
    world.kill();
    world.arm();
    world.boot()?;
    let ids: Vec<PartitionId> = world.model.logs.keys().copied().collect();
    if !ids.is_empty() {
        sends(world, &ids, 3)?;
    }
    world.settle()?;
    world.kill();
    world.boot().map(|_| ())
}

/// After a crash clients send again what was not acknowledged, and go on.
fn retry_after_crash(world: &mut World) -> Run {
    until_a_crash(world, idempotent)?;
    let how = some_image(world);
    if world.below(2) == 0 {
        world.power_cut(how)
    } else {
        world.kill()
    }
    let partition = id(2, 0);
    let unacknowledged = |world: &mut World| -> Vec<usize> {
        let Some(log) = world.model.logs.get(&partition) else { return Vec::new() };
        let kept: Vec<usize> = log.kept.values().map(|found| found.number).collect();
        let idempotent = (0..log.sent.len()).filter(|n| log.sent[*n].sequence.is_some());
        idempotent.filter(|number| !kept.contains(number)).collect()
    };
    let unanswered = unacknowledged(world);
    world.arm();
    world.boot()?;
    let before = unacknowledged(world);
    for number in unanswered {
        let end = world.log(partition).end();
        world.submit(partition, number, true);
        if world.below(2) == 0 {
            world.settle()?;
            let written = world.log(partition).end() != end;
            if written != before.contains(&number) {
                return Err(End::Wrong(format!("batch {number}: appended again: {written}")));
            }
        } else {
            world.steps(2)?;
        }
    }
    world.settle()?;
    if !unacknowledged(world).is_empty() {
        return Err(End::Wrong("a retry was not taken".to_owned()));
    }
    Ok(())
}

fn clean_stop(world: &mut World) -> Run {
    let ids = [id(1, 0), id(2, 0), id(7, 0)];
    world.create(ids[2], "__consumer_offsets", config(2300))?;
    world.create(ids[0], "orders", config(2300))?;
    world.create(ids[1], "other", config(2300))?;
    let mut producer = Producer::new(ids[1], 1000);
    for _ in 0..2 {
        sends(world, &ids, 5)?;
        producer.send(world);
        producer.send(world);
        if world.below(2) == 0 {
            world.settle()?;
        }
        world.stop()?;
        world.leave_to(world.fs.killed());
        world.boot()?;
    }
    sends(world, &ids, 2)?;
    world.settle()
}

/// Marks move from writer to writer when their number changes, and none is lost on the way.
fn writer_count(world: &mut World) -> Run {
    let ids: Vec<PartitionId> = (0..5).map(|index| id(1, index)).collect();
    for partition in &ids {
        world.create(*partition, "spread", config(2300))?;
    }
    for writers in [3, 2] {
        sends(world, &ids, 7)?;
        world.settle()?;
        world.tick()?;
        match world.below(3) {
            0 => world.stop().map(|()| world.leave_to(world.fs.killed()))?,
            1 => world.kill(),
            _ => {
                let how = some_image(world);
                world.power_cut(how);
            }
        }
        world.writers = writers;
        world.boot()?;
    }
    sends(world, &ids, 2)?;
    world.settle()
}

const DAY: i64 = 86_400_000;

/// By size, by time and for want of space, down to an empty log, to which records come again.
fn retention(world: &mut World) -> Run {
    let partition = id(2, 0);
    let kind = world.below(4);
    let mut config = config(2300);
    match kind {
        0 => config.retention_bytes = 3000,
        1 => config.retention_ms = DAY,
        2 => (config.retention_bytes, config.retention_ms) = (3000, DAY),
        _ => {}
    }
    world.create(partition, "short-lived", config)?;
    let mut producers = [1000, 1001, 1002].map(|number| Producer::new(partition, number));
    for (round, producer) in producers.iter_mut().enumerate() {
        sends(world, &[partition], 5)?;
        producer.send(world);
        world.settle()?;
        for _ in 0..3 {
            let now = world.below(3) * u64::from(kind == 1 || kind == 2);
            world.upkeep(partition, NOW + DAY * i64::try_from(now).unwrap(), kind == 3);
            world.steps(4)?;
            if world.below(3) == 0 {
                world.send(partition, 300, true);
            }
            if world.below(4) == 0 {
                world.tick()?;
            }
        }
        world.settle()?;
        if round == 1 && world.below(2) == 0 {
            if world.below(2) == 0 {
                world.stop()?;
            }
            world.kill();
            world.boot()?;
        }
    }
    // Until nothing is left.
    for _ in 0..8 {
        world.upkeep(partition, NOW + 2 * DAY, kind == 3);
        world.settle()?;
    }
    producers[1].send(world);
    world.settle()
}

/// Records are deleted up to here and there, to the end sometimes, and their segments go later.
fn delete_records(world: &mut World) -> Run {
    let ids = [id(1, 0), id(2, 0)];
    world.create(ids[0], "orders", config(2300))?;
    world.create(ids[1], "other", config(2300))?;
    let mut producer = Producer::new(ids[0], 1000);
    for round in 0..3 {
        sends(world, &ids, 5)?;
        producer.send(world);
        if world.below(2) == 0 {
            world.settle()?;
        }
        for partition in ids {
            let end = world.log(partition).kept_end;
            let offset = match world.below(3) {
                0 => end,
                _ => i64::try_from(world.below(u64::try_from(end + 1).unwrap())).unwrap(),
            };
            world.trim(partition, offset);
            world.steps(3)?;
            if world.below(2) == 0 {
                world.upkeep(partition, NOW, false);
            }
            world.steps(3)?;
        }
        if round == 1 && world.below(2) == 0 {
            world.settle()?;
            world.kill();
            world.boot()?;
        }
    }
    world.settle()?;
    world.upkeep(ids[0], NOW, false);
    world.settle()?;
    sends(world, &ids, 2)?;
    world.settle()
}

/// Of each key the newest record stays; segments are swapped while more comes.
fn compaction(world: &mut World) -> Run {
    let partition = id(2, 0);
    let mut config = config(2300);
    (config.compact, config.delete) = (true, false);
    config.min_dirty_permille = if world.below(2) == 0 { 0 } else { 300 };
    config.delete_retention_ms = if world.below(2) == 0 { 0 } else { 30 * DAY };
    world.create(partition, "compacted", config)?;
    let mut producer = Producer::new(partition, 1000);
    for round in 0..3 {
        sends(world, &[partition], 5)?;
        producer.send(world);
        world.settle()?;
        for _ in 0..3 {
            world.upkeep(partition, NOW + DAY * round, false);
            world.steps(6)?;
            if world.below(3) == 0 {
                world.send(partition, 300, true);
            }
            if world.below(2) == 0 {
                world.tick()?;
            }
        }
        world.settle()?;
        if round == 1 && world.below(2) == 0 {
            if world.below(2) == 0 {
                world.stop()?;
            }
            world.kill();
            world.boot()?;
        }
    }
    world.settle()
}
