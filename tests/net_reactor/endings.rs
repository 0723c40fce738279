//! How connections end: in order, by force, by nonsense, and with the last reply delivered.

use std::io::{Read, Write};
use std::time::Duration;

use chronik::base::ids::ConnId;
use chronik::net::{CloseReason, Gate};
use rustix::net::sockopt;

use super::harness::{
    Rig, connect, framed, options, pattern, read_all, read_frame, reply, write_and_end,
};

#[test]
fn frames_before_the_end_of_input_are_answered() {
    // What `nc -N` does: send, shut down, read to the end.
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    let conn = rig.opened[0];
    let bytes = [framed(b"one"), framed(b"two"), framed(&[3; 100])].concat();
    write_and_end(&mut client, &bytes);
    rig.until(|rig| !rig.closed.is_empty());
    assert_eq!(read_all(&mut client), bytes);
    assert_eq!((&rig.ended[..], &rig.drained[..]), (&[conn][..], &[conn][..]));
    assert_eq!(rig.reason(conn), Some(&CloseReason::EndOfInput));
}

#[test]
fn a_connection_that_ended_before_it_was_accepted_is_served() {
    let mut rig = Rig::new(options());
    let mut client = connect(rig.addr);
    write_and_end(&mut client, &framed(b"early"));
    rig.until(|rig| !rig.closed.is_empty());
    assert_eq!(read_all(&mut client), framed(b"early"));
}

#[test]
fn the_end_of_input_is_told_while_a_gate_is_closed() {
    let mut rig = Rig::new(options());
    rig.serve = Box::new(|net, conn, _| net.pause(conn, Gate::Order));
    let mut client = rig.client();
    let conn = rig.opened[0];
    client.write_all(&[framed(b"parked"), framed(b"behind")].concat()).unwrap();
    rig.until(|rig| rig.served.len() == 1);
    client.write_all(&framed(b"unread")).unwrap();
    rig.settle();
    write_and_end(&mut client, b"");
    rig.until(|rig| rig.ended == [conn]);
    rig.settle();
    assert_eq!((rig.served.len(), rig.drained.len()), (1, 0));
    for served in [2, 3] {
        rig.net.send(conn, reply(b"answer"));
        rig.net.resume(conn, Gate::Order);
        rig.until(|rig| rig.served.len() == served);
    }
    rig.net.send(conn, reply(b"answer"));
    rig.net.resume(conn, Gate::Order);
    rig.until(|rig| rig.reason(conn) == Some(&CloseReason::EndOfInput));
    assert_eq!(read_all(&mut client), framed(b"answer").repeat(3));
    assert_eq!(rig.ended, [conn]);
}

#[test]
fn half_a_frame_before_the_end_is_dropped() {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    let whole = framed(b"whole");
    write_and_end(&mut client, &[&whole[..], &framed(&[1; 90_000])[..50_000]].concat());
    rig.until(|rig| !rig.closed.is_empty());
    assert_eq!(read_all(&mut client), whole);
}

#[test]
fn a_reset_closes_at_once_whatever_is_owed() {
    let mut rig = Rig::new(options());
    rig.serve = Box::new(|net, conn, _| net.pause(conn, Gate::Order));
    let mut client = rig.client();
    let conn = rig.opened[0];
    client.write_all(&framed(b"x")).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    rig.until(|rig| rig.reason(conn) == Some(&CloseReason::Reset));
    assert_eq!(rig.net.stats().open, 0);
}

#[test]
fn nonsense_is_named_and_closed() {
    let max = options().frame_bytes_max;
    let cases: [(&[u8], CloseReason); 8] = [
        (b"\0\0\0\0", CloseReason::ZeroLength),
        (b"\xff\xff\xff\xff", CloseReason::NegativeLength(-1)),
        (b"\x80\0\0\0junk", CloseReason::NegativeLength(i32::MIN)),
        (b"\x7f\xff\xff\xff", CloseReason::TooLarge { bytes: 2_147_483_647, bytes_max: max }),
        (b"\x01\0\0\x01", CloseReason::TooLarge { bytes: 16_777_217, bytes_max: max }),
        (b"GET / HTTP/1.1\r\n\r\n", CloseReason::HttpRequest),
        (b"POST /topics HTTP/1.1\r\n", CloseReason::HttpRequest),
        (&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3], CloseReason::TlsHello),
    ];
    let mut rig = Rig::new(options());
    for (bytes, reason) in cases {
        let mut client = rig.client();
        let conn = *rig.opened.last().unwrap();
        client.write_all(bytes).unwrap();
        rig.until(|rig| rig.reason(conn).is_some());
        assert_eq!(rig.reason(conn), Some(&reason));
        assert!(!reason.to_string().is_empty() && !reason.is_orderly());
    }
    assert!(rig.served.is_empty());
    assert_eq!(rig.net.stats().open, 0);
}

#[test]
fn a_frame_before_nonsense_is_served() {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    client.write_all(&[&framed(b"fine")[..], b"\0\0\0\0"].concat()).unwrap();
    rig.until(|rig| !rig.closed.is_empty());
    assert_eq!(rig.served.len(), 1);
}

#[test]
fn a_late_answer_does_not_reach_the_next_connection_in_the_slot() {
    let mut rig = Rig::new(options());
    drop(rig.client());
    rig.until(|rig| rig.closed.len() == 1);
    let mut second = rig.client();
    let (old, new) = (rig.opened[0], rig.opened[1]);
    assert_eq!((old.slot, old.generation + 1), (new.slot, new.generation));
    rig.net.send(old, reply(b"late"));
    rig.net.pause(old, Gate::Order);
    rig.net.warmed(old, Err(std::io::ErrorKind::Other.into()));
    rig.net.close(old, CloseReason::Shutdown);
    rig.net.close_when_flushed(old, CloseReason::Shutdown);
    rig.net.consume(old, 1);
    assert!(rig.net.next_frame(old, rig.now).is_none() && rig.net.input(old).is_empty());
    rig.check();
    second.write_all(&framed(b"mine")).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    assert_eq!(read_frame(&mut second), b"mine");
    assert_eq!(rig.closed.len(), 1);
}

/// Sends a lot that nobody reads; the server answers the first frame and closes.
fn last_word(rig: &mut Rig) -> (std::net::TcpStream, ConnId) {
    rig.serve = Box::new(|net, conn, _| {
        net.send(conn, reply(&pattern(50_000, 1)));
        net.close_when_flushed(conn, CloseReason::Server(String::from("enough")));
    });
    let mut client = rig.client();
    client.write_all(&framed(&[1; 10])).unwrap();
    client.write_all(&[0; 150_000]).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    (client, rig.opened[0])
}

#[test]
fn the_last_reply_arrives_although_input_is_unread() {
    let mut rig = Rig::new(options());
    let (mut client, conn) = last_word(&mut rig);
    rig.settle();
    client.write_all(&[0; 100_000]).unwrap();
    rig.settle();
    assert_eq!(read_all(&mut client), framed(&pattern(50_000, 1)));
    drop(client);
    rig.until(|rig| rig.reason(conn) == Some(&CloseReason::Server(String::from("enough"))));
    assert_eq!(rig.served.len(), 1);
}

#[test]
fn a_peer_that_never_ends_is_not_waited_for() {
    let mut rig = Rig::new(options());
    let (mut client, conn) = last_word(&mut rig);
    rig.settle();
    assert!(rig.closed.is_empty());
    rig.pass(Duration::from_secs(2));
    assert!(rig.reason(conn).is_some());
    let mut byte = [0];
    let _ = client.read(&mut byte);
    assert_eq!(rig.net.next_deadline(), None);
}

#[test]
fn stopping_to_accept_leaves_connections_alone() {
    let mut rig = Rig::new(options());
    let mut client = rig.client();
    rig.net.stop_accepting();
    rig.check();
    assert!(std::net::TcpStream::connect(rig.addr).is_err());
    client.write_all(&framed(b"still here")).unwrap();
    rig.until(|rig| !rig.served.is_empty());
    assert_eq!(read_frame(&mut client), b"still here");
}
