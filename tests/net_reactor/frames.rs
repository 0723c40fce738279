//! Frames in: however the bytes are cut, the frames are the same, in order, within a turn's budget.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use chronik::net::{Gate, Options, Protocol};

use super::harness::{Random, Rig, framed, options, pattern, read_all, read_frame, write_and_end};

#[test]
fn a_frame_sent_byte_by_byte_arrives_whole() {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    for byte in framed(b"hello, reactor") {
        assert!(rig.served.is_empty());
        let before = rig.net.stats().bytes_in;
        client.write_all(&[byte]).unwrap();
        rig.until(|rig| rig.net.stats().bytes_in > before);
    }
    rig.settle();
    assert_eq!(read_frame(&mut client), b"hello, reactor");
}

#[test]
fn many_frames_in_one_segment_come_in_order() {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    let bodies: Vec<Vec<u8>> =
        (0..1_000).zip((1..60).cycle()).map(|(seed, size)| pattern(size, seed)).collect();
    let bytes: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
    client.write_all(&bytes).unwrap();
    rig.until(|rig| rig.served.len() == 1_000);
    rig.settle();
    for body in bodies {
        assert_eq!(read_frame(&mut client), body);
    }
}

#[test]
fn frames_around_the_limit_of_small_ones_arrive_whole() {
    let mut rig = Rig::new(options());
    let client = rig.client();
    let sizes = [65_535, 65_536, 65_537, 1, 131_068, 131_072, 200_000, 1_048_576, 2, 3_000_000];
    let sender = thread::spawn(move || {
        let mut client = client;
        let mut reader = client.try_clone().unwrap();
        let receiver = thread::spawn(move || {
            for (seed, size) in (0..).zip(sizes) {
                assert!(read_frame(&mut reader) == pattern(size, seed), "{size}");
            }
        });
        for (seed, size) in (0..).zip(sizes) {
            client.write_all(&framed(&pattern(size, seed))).unwrap();
        }
        receiver.join().unwrap();
    });
    rig.until(|rig| rig.served.len() == sizes.len() && rig.net.unsent(rig.opened[0]) == 0);
    sender.join().unwrap();
    assert_eq!(rig.net.stats().open, 1);
}

/// Random frames in random pieces over several connections, gates closing and opening at random: what comes
/// back is what was sent.
fn chunking_changes_nothing(seed: u64) {
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut options = options();
    options.outbox_bytes_max = 100_000;
    let mut rig = Rig::new(options);
    let mut clients = Vec::new();
    let mut frames = 0;
    for number in 0..4 {
        let client = rig.client();
        let bytes: Vec<u8> = (0..random.below(60))
            .map(|_| match random.below(10) {
                0 => 65_530 + random.below(12),
                1 => random.below(300_000) + 1,
                2..5 => random.below(5_000) + 1,
                _ => random.below(40) + 1,
            })
            .inspect(|_| frames += 1)
            .flat_map(|size| framed(&pattern(size, number)))
            .collect();
        clients.push(thread::spawn(move || exchange(client, &bytes, seed ^ number)));
    }
    let mut paused = None;
    while rig.closed.len() < 4 {
        rig.turn();
        if let Some(conn) = paused.take() {
            rig.net.resume(conn, Gate::Order);
            rig.check();
        } else if random.below(3) == 0 {
            let conn = rig.opened[random.below(4)];
            rig.net.pause(conn, Gate::Order);
            rig.check();
            paused = Some(conn);
        }
    }
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!((rig.served.len(), rig.net.stats().open), (frames, 0));
}

/// Sends `bytes` in random pieces and wants the same back.
fn exchange(mut client: std::net::TcpStream, bytes: &[u8], seed: u64) {
    let mut reader = client.try_clone().unwrap();
    let receiver = thread::spawn(move || read_all(&mut reader));
    let mut random = Random(seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [3, 500, 70_000, 500_000][random.below(4)];
        let (piece, after) = rest.split_at((1 + random.below(most)).min(rest.len()));
        client.write_all(piece).unwrap();
        rest = after;
    }
    write_and_end(&mut client, b"");
    assert!(receiver.join().unwrap() == bytes);
}

#[test]
fn random_chunking_changes_nothing() {
    match std::env::var("CHRONIK_SEED") {
        Ok(seed) => chunking_changes_nothing(seed.parse().unwrap()),
        Err(_) => (1..=8).for_each(chunking_changes_nothing),
    }
}

#[test]
fn nothing_is_served_behind_a_closed_gate() {
    let mut rig = Rig::new(options());
    rig.serve = Box::new(|net, conn, _| net.pause(conn, Gate::Order));
    let mut client = rig.client();
    let conn = rig.opened[0];
    client.write_all(&[framed(b"a"), framed(b"bb"), framed(b"ccc")].concat()).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    rig.settle();
    assert_eq!(rig.served, [(conn, 1)]);
    client.write_all(&framed(b"dddd")).unwrap();
    for length in [2, 3, 4] {
        rig.settle();
        rig.net.resume(conn, Gate::Order);
        rig.check();
        rig.until(|rig| rig.served.last() == Some(&(conn, length)));
    }
    rig.settle();
    assert_eq!(rig.served.len(), 4);
}

#[test]
fn a_flood_on_one_connection_does_not_starve_another() {
    let mut rig = Rig::new(options());
    rig.serve = Box::new(|_, _, _| {});
    let flood = rig.client();
    let mut quiet = rig.client();
    let (flooding, resting) = (rig.opened[0], rig.opened[1]);
    let breaker = flood.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let mut flood = flood;
        let frames = framed(&[7; 100]).repeat(1_000);
        while flood.write_all(&frames).is_ok() {}
    });
    rig.until(|rig| rig.served.len() > 1_000);
    for round in 1..=20 {
        rig.served.clear();
        quiet.write_all(&framed(b"me too")).unwrap();
        let before = rig.net.stats().turns;
        rig.until(|rig| rig.served.iter().any(|(conn, _)| *conn == resting));
        let turns = rig.net.stats().turns - before;
        let flooded = rig.served.iter().filter(|(conn, _)| *conn == flooding).count();
        assert!(turns <= 4, "round {round}: {turns} turns");
        assert!(flooded <= 4 * Options::FRAMES_PER_TURN, "round {round}: {flooded} frames");
    }
    breaker.shutdown(std::net::Shutdown::Both).unwrap();
    rig.until(|rig| rig.reason(flooding).is_some());
    sender.join().unwrap();
}

#[test]
fn text_is_seen_whole_and_taken_in_parts() {
    let mut rig = Rig::speaking(options(), Protocol::Http);
    let mut client = rig.client();
    let conn = rig.opened[0];
    client.write_all(b"GET /a").unwrap();
    let seen = |rig: &Rig| rig.net.input(conn).to_vec();
    rig.until(|rig| seen(rig) == b"GET /a");
    rig.settle();
    client.write_all(b"GET /b").unwrap();
    rig.until(|rig| seen(rig) == b"GET /aGET /b");
    rig.net.consume(conn, 6);
    rig.net.send(conn, super::harness::reply(b"x"));
    rig.settle();
    assert_eq!(seen(&rig), b"GET /b");
    let mut head = [0; 5];
    client.read_exact(&mut head).unwrap();
    rig.net.consume(conn, 99);
    assert_eq!(seen(&rig), b"");
    client.write_all(&[b'x'; 100_000]).unwrap();
    rig.settle();
    assert_eq!(seen(&rig).len(), 16 * 1024, "unread text is bounded");
    rig.pass(Duration::from_secs(30));
    rig.pass(Duration::from_secs(30));
    assert!(rig.reason(conn).is_some());
}

#[test]
fn the_waker_and_watched_descriptors_end_the_sleep() {
    use std::os::unix::net::UnixStream;
    let mut rig = Rig::new(options());
    let (mut near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let watch = rig.net.watch(&far).unwrap();
    assert!(rig.net.fired(watch), "it may have fired before it was watched");
    assert!(!rig.net.fired(watch) && !rig.net.woken());
    let waker = rig.net.waker();
    let other = thread::spawn(move || waker.wake().unwrap());
    rig.net.poll(None).unwrap();
    other.join().unwrap();
    assert!(rig.net.woken() && !rig.net.woken() && !rig.net.fired(watch));
    near.write_all(b"!").unwrap();
    rig.net.poll(None).unwrap();
    assert!(rig.net.fired(watch) && !rig.net.fired(watch));
}
