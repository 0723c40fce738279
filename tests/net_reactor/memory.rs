//! Memory: nobody gets more than the pools hold, nobody starves, and waiting keeps its order.

use std::cell::RefCell;
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chronik::base::memory::Pool;
use chronik::base::payload::Bytes;
use chronik::net::{CloseReason, Options};

use super::harness::{Rig, framed};

const KIB: usize = 1024;

type Hoard = Rc<RefCell<Vec<Bytes>>>;

/// A rig whose server keeps every frame until the test lets go of it.
fn hoarding(small: usize, large: usize) -> (Rig, Hoard, Arc<Pool>, Arc<Pool>) {
    let (small, large) = (Pool::new("small", small), Pool::new("large", large));
    let mut rig = Rig::new(Options::new(Arc::clone(&small), Arc::clone(&large)));
    let hoard = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&hoard);
    rig.serve = Box::new(move |_, _, frame| kept.borrow_mut().push(frame));
    (rig, hoard, small, large)
}

fn write_in_background(client: &TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut client = client.try_clone().unwrap();
    thread::spawn(move || client.write_all(&bytes).unwrap_or_default())
}

#[test]
fn large_frames_beyond_the_pool_wait_in_order_and_all_arrive() {
    let (mut rig, hoard, _, large) = hoarding(4096 * KIB, 1000 * KIB);
    let clients: Vec<TcpStream> = (0..6).map(|_| rig.client()).collect();
    let mut senders = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        senders.push(write_in_background(client, framed(&vec![1; 400 * KIB + number])));
        // The next one begins when this one has its reservation, or stands in the queue.
        let waiting = u64::try_from(number.saturating_sub(1)).unwrap();
        rig.until(|rig| rig.net.stats().memory_waits == waiting && rig.net.stats().bytes_in > 0);
        rig.settle();
    }
    rig.settle();
    assert_eq!((rig.served.len(), rig.net.stats().memory_waits), (2, 4));
    for served in 2..6 {
        assert_eq!(rig.served.len(), served);
        assert!(large.used() <= large.limit());
        hoard.borrow_mut().remove(0);
        rig.until(|rig| rig.served.len() > served);
        rig.settle();
    }
    let expected: Vec<_> =
        rig.opened.iter().zip(0..).map(|(conn, number)| (*conn, 400 * KIB + number)).collect();
    assert_eq!(rig.served, expected);
    hoard.borrow_mut().clear();
    assert_eq!(large.used(), 0);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn small_frames_pass_while_large_ones_wait() {
    let (mut rig, hoard, small, large) = hoarding(512 * KIB, 200 * KIB);
    let clients: Vec<TcpStream> = (0..30).map(|_| rig.client()).collect();
    let senders: Vec<_> = clients
        .iter()
        .map(|client| write_in_background(client, framed(&vec![1; 150 * KIB])))
        .collect();
    rig.until(|rig| rig.net.stats().memory_waits == 29);
    rig.settle();
    let mut quick = rig.client();
    for _ in 0..5 {
        quick.write_all(&framed(&[2; 60 * KIB])).unwrap();
    }
    rig.until(|rig| rig.served.iter().filter(|(_, len)| *len == 60 * KIB).count() == 5);
    assert!(small.used() <= small.limit() + 192 * KIB, "{small:?}");
    let dropping = Rc::clone(&hoard);
    hoard.borrow_mut().clear();
    rig.serve = Box::new(move |_, _, _| dropping.borrow_mut().clear());
    rig.until(|rig| rig.served.len() == 35);
    rig.settle();
    assert_eq!((small.used(), large.used()), (0, 0));
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn an_exhausted_small_pool_stops_reading_until_a_frame_is_let_go() {
    let (mut rig, hoard, small, _) = hoarding(256 * KIB, 0);
    let clients: Vec<TcpStream> = (0..20).map(|_| rig.client()).collect();
    let frames = framed(&[1; 50 * KIB]).repeat(4);
    let senders: Vec<_> =
        clients.iter().map(|client| write_in_background(client, frames.clone())).collect();
    rig.settle();
    assert!(small.used() <= small.limit() + 192 * KIB, "{small:?}");
    assert!(rig.served.len() < 80 && rig.net.stats().memory_waits > 0);
    while rig.served.len() < 80 {
        let before = rig.served.len();
        // A lease may end on any thread; that alone wakes the loop.
        let kept = std::mem::take(&mut *hoard.borrow_mut());
        thread::spawn(move || drop(kept)).join().unwrap();
        rig.until(|rig| rig.served.len() > before);
        rig.settle();
        assert!(small.used() <= small.limit() + 192 * KIB, "{small:?}");
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    hoard.borrow_mut().clear();
    drop(clients);
    rig.until(|rig| rig.net.stats().open == 0);
    assert_eq!(small.used(), 0);
}

#[test]
fn begun_frames_finish_although_the_pool_is_exhausted() {
    let (mut rig, hoard, small, _) = hoarding(100 * KIB, 0);
    let mut clients: Vec<TcpStream> = (0..4).map(|_| rig.client()).collect();
    let frame = framed(&[1; 40 * KIB]);
    for client in &mut clients {
        client.write_all(&frame[..1_000]).unwrap();
        rig.settle();
    }
    assert_eq!(small.used(), 3 * frame.len());
    let dropping = Rc::clone(&hoard);
    rig.serve = Box::new(move |_, _, _| dropping.borrow_mut().clear());
    for client in &mut clients {
        client.write_all(&frame[1_000..]).unwrap();
    }
    rig.until(|rig| rig.served.len() == 4);
    rig.settle();
    assert_eq!(small.used(), 0);
}

#[test]
fn a_large_frame_that_stops_gives_its_reservation_to_the_next() {
    let (mut rig, _hoard, _, large) = hoarding(4096 * KIB, 1000 * KIB);
    let (mut stopping, waiting) = (rig.client(), rig.client());
    stopping.write_all(&framed(&vec![1; 900 * KIB])[..100 * KIB]).unwrap();
    rig.until(|_| large.used() == 900 * KIB);
    let sender = write_in_background(&waiting, framed(&vec![1; 800 * KIB]));
    rig.until(|rig| rig.net.stats().memory_waits == 1);
    rig.settle();
    rig.pass(Duration::from_secs(30));
    assert_eq!(rig.closed, [(rig.opened[0], CloseReason::HalfFrame)]);
    rig.until(|rig| rig.served == [(rig.opened[1], 800 * KIB)]);
    sender.join().unwrap();
}

#[test]
fn whoever_leaves_the_queue_lets_the_next_one_in() {
    let (mut rig, _hoard, _, large) = hoarding(4096 * KIB, 1000 * KIB);
    let mut clients: Vec<TcpStream> = (0..3).map(|_| rig.client()).collect();
    for (number, (client, size)) in clients.iter_mut().zip([500, 900, 300]).enumerate() {
        client.write_all(&framed(&vec![1; size * KIB])[..10 * KIB]).unwrap();
        let waiting = u64::try_from(number).unwrap();
        rig.until(|rig| rig.net.stats().memory_waits == waiting && large.used() > 0);
    }
    assert_eq!(large.used(), 500 * KIB);
    rig.net.close(rig.opened[1], CloseReason::Shutdown);
    rig.check();
    assert_eq!(large.used(), 800 * KIB);
}

#[test]
fn an_idle_connection_holds_nothing() {
    let (mut rig, hoard, small, large) = hoarding(4096 * KIB, 4096 * KIB);
    let mut clients: Vec<TcpStream> = (0..10).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.write_all(&framed(&[1; 30 * KIB])).unwrap();
        client.write_all(&framed(&[1; 70 * KIB])).unwrap();
    }
    rig.until(|rig| rig.served.len() == 20);
    rig.settle();
    hoard.borrow_mut().clear();
    // The invariants say that an empty inbox has no buffer.
    rig.check();
    assert_eq!((small.used(), large.used(), rig.net.stats().open), (0, 0, 10));
}
