//! Idle is zero: nothing wakes up, whoever is connected.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::{Client, batch, commit};
use super::http::metric;
use super::process::{Broker, Dir, until};

const CONNECTIONS: usize = 200;

/// How often each thread of a process went to sleep of its own accord.
pub(crate) fn sleeps(broker: &Broker) -> BTreeMap<String, u64> {
    let tasks = format!("/proc/{}/task", broker.process.pid());
    let threads = std::fs::read_dir(tasks).unwrap().map(|entry| entry.unwrap());
    let count = |status: String| {
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"));
        line.unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    threads
        .map(|thread| {
            let name = thread.file_name().into_string().unwrap();
            (name, count(std::fs::read_to_string(thread.path().join("status")).unwrap()))
        })
        .collect()
}

#[test]
fn nothing_wakes_up_while_two_hundred_connections_topics_and_groups_are_idle() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut clients: Vec<Client> =
        (0..CONNECTIONS).map(|_| Client::connect(broker.kafka)).collect();
    clients[0].create_topic("t", 20);
    for client in &mut clients {
        assert_eq!(client.topics(), ["t"]);
    }
    clients[1].produce("t", 1, batch(b"unsynced"));
    clients[2].ask(commit("g", "t", 0), 8);
    // Until what is dirty is on the disk, its marks are written, and all is quiet.
    let mut before = sleeps(&broker);
    until("it comes to rest", || {
        broker.process.stays_silent_for(Duration::from_millis(1_200));
        let was = std::mem::replace(&mut before, sleeps(&broker));
        was == before
    });
    broker.process.stays_silent_for(Duration::from_secs(3));
    assert_eq!(sleeps(&broker), before, "a thread woke up");
    // The turns of the loop, as the broker counts them: two scrapes take a few of their own.
    let turns = metric(broker.http, "chronik_loop_turns_total");
    broker.process.stays_silent_for(Duration::from_millis(500));
    let more = metric(broker.http, "chronik_loop_turns_total") - turns;
    assert!(more < 20.0, "{more} turns for two scrapes");
}
