//! Every floor answers what it is asked, in order, however the bytes of the requests arrive.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chronik::base::payload::Bytes;
use chronik::wire::api::{ApiKey, decode_response};

use super::queue::Waker;
use super::server::Server;
use super::service::Service;
use super::{Medium, Settings};

const PRODUCE: (ApiKey, i16) = (ApiKey::Produce, 9);
const FETCH: (ApiKey, i16) = (ApiKey::Fetch, 11);

/// A directory of one test, removed with what the test left there.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("floor-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts a floor that begins its file anew after 100,000 bytes.
fn start(name: &'static str, dir: &Dir, medium: Medium) -> SocketAddr {
    let (dir, file_bytes) = (dir.0.clone(), 100_000);
    let settings = Settings { dir, workers: 2, medium, files: 3, file_bytes, reply_bytes: 70_000 };
    let (sender, address) = mpsc::channel();
    thread::spawn(move || {
        let waker = Waker::new().unwrap();
        let service = Service::named(name, &settings, &waker).unwrap().unwrap();
        let mut server = Server::bind(service, &waker).unwrap();
        sender.send(server.address().unwrap()).unwrap();
        while server.turn().is_ok() {}
    });
    address.recv().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// A request with `payload` bytes after its head.
fn request(correlation: u32, payload: usize) -> Vec<u8> {
    let len = u32::try_from(8 + payload).unwrap();
    let body = vec![7; payload];
    [&len.to_be_bytes(), [0, 0, 0, 9].as_slice(), &correlation.to_be_bytes(), &body].concat()
}

/// The correlation id of the next reply, which is one to `api` as clients know it.
fn reply(stream: &mut TcpStream, (api, version): (ApiKey, i16)) -> u32 {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(head)).unwrap()];
    stream.read_exact(&mut body).unwrap();
    let (correlation, _) = decode_response(&Bytes::from_vec(body), api, version).unwrap();
    u32::try_from(correlation).unwrap()
}

/// Many sizes at once on several connections, then one request in pieces.
fn answers_all(name: &'static str, medium: Medium, kind: (ApiKey, i16)) {
    let dir = Dir::new(&format!("{name}-{}", u8::from(medium == Medium::New)));
    let address = start(name, &dir, medium);
    let mut streams = [connect(address), connect(address), connect(address)];
    for stream in &mut streams {
        let mut writer = stream.try_clone().unwrap();
        let sizes = [0, 100, 65_521, 65_524, 65_525, 300_000, 1, 2_000_000, 70_000, 5];
        let requests = sizes.iter().zip(0..).map(|(size, id)| request(id, *size));
        let requests = requests.collect::<Vec<_>>().concat();
        let sender = thread::spawn(move || writer.write_all(&requests).unwrap());
        for id in 0..10 {
            assert_eq!(reply(stream, kind), id, "{name}");
        }
        sender.join().unwrap();
        for piece in request(77, 20).chunks(5) {
            stream.write_all(piece).unwrap();
        }
        assert_eq!(reply(stream, kind), 77, "{name}");
    }
}

#[test]
fn floors_answer_every_request_in_order() {
    for name in ["discard", "write", "write-worker", "sync", "sync-worker", "echo-worker"] {
        answers_all(name, Medium::New, PRODUCE);
        answers_all(name, Medium::Reuse, PRODUCE);
    }
}

#[test]
fn floors_of_fetch_append_the_file_to_every_reply() {
    answers_all("send-sendfile", Medium::New, FETCH);
    answers_all("send-read-write", Medium::New, FETCH);
}

#[test]
fn a_length_that_no_frame_has_ends_the_connection_and_no_other() {
    let dir = Dir::new("bad");
    let address = start("discard", &dir, Medium::New);
    let mut good = connect(address);
    for bad in [0_u32, 7, 0x7fff_ffff, 0x8000_0000] {
        let mut stream = connect(address);
        stream.write_all(&[&bad.to_be_bytes(), [0; 8].as_slice()].concat()).unwrap();
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    }
    good.write_all(&request(3, 9)).unwrap();
    assert_eq!(reply(&mut good, PRODUCE), 3);
}
