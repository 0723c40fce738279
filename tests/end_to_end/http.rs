//! Health, readiness and metrics over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::client::{Client, commit};
use super::process::{Broker, Dir, PATIENCE};

/// A connection that is kept.
struct Http(BufReader<TcpStream>);

/// An answer: its status, its head in lower case, its body put together.
struct Answer {
    status: u16,
    head: Vec<String>,
    body: String,
    chunks: usize,
}

impl Http {
    fn connect(address: SocketAddr) -> Http {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Http(BufReader::new(stream))
    }

    fn send(&mut self, method: &str, path: &str) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: broker\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "{line:?}");
        line.trim_end().to_owned()
    }

    fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[track_caller]
    fn receive(&mut self, has_body: bool) -> Answer {
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut head = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => break,
                line => head.push(line.to_lowercase()),
            }
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map(|length| length.parse::<usize>().unwrap());
        let (mut body, mut chunks) = (String::new(), 0);
        match length {
            _ if !has_body => {}
            Some(length) => body = self.exactly(length),
            None => {
                assert!(head.contains(&"transfer-encoding: chunked".to_owned()), "{head:?}");
                loop {
                    let length = usize::from_str_radix(&self.line(), 16).unwrap();
                    body.push_str(&self.exactly(length));
                    assert_eq!(self.line(), "");
                    if length == 0 {
                        break;
                    }
                    chunks += 1;
                }
            }
        }
        Answer { status, head, body, chunks }
    }

    #[track_caller]
    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path);
        self.receive(true)
    }
}

/// The value of a metric without labels, or with these.
pub(crate) fn metric(address: SocketAddr, name: &str) -> f64 {
    let body = Http::connect(address).get("/metrics").body;
    let line = body.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn one_connection_gets_every_page() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut http = Http::connect(broker.http);
    for path in ["/livez", "/healthz", "/readyz"] {
        let answer = http.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "OK\n"), "{path}");
    }
    let answer = http.get("/healthz?format=json");
    let components = "{\"storage\":\"OK\",\"disk\":\"OK\",\"listeners\":\"OK\"}";
    assert_eq!(answer.body, format!("{{\"status\":\"OK\",\"components\":{components}}}\n"));
    assert!(answer.head.contains(&"content-type: application/json".to_owned()));
    assert_eq!(http.get("/nowhere").status, 404);
    http.send("HEAD", "/livez");
    let answer = http.receive(false);
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains(&"content-length: 3".to_owned()));
    assert!(http.get("/version").body.starts_with("chronik "));
    http.send("HEAD", "/metrics");
    assert_eq!(http.receive(false).status, 200);
    assert_eq!(http.get("/livez").status, 200, "the connection is still in step");
}

#[test]
fn who_asks_for_metrics_is_no_client() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let figures = || {
        let names = [
            "kafka_server_brokertopicmetrics_bytesin_total",
            "kafka_server_brokertopicmetrics_bytesout_total",
            "kafka_server_socketservermetrics_connection_count",
            "kafka_server_socketservermetrics_connection_creation_total",
        ];
        names.map(|name| metric(broker.http, name))
    };
    assert_eq!(figures(), [0.0; 4]);
    let mut client = Client::connect(broker.kafka);
    client.topics();
    let [bytes_in, bytes_out, open, accepted] = figures();
    assert!(bytes_in > 0.0 && bytes_out > 0.0);
    assert_eq!((open, accepted), (1.0, 1.0));
    assert_eq!(figures(), [bytes_in, bytes_out, open, accepted]);
}

#[test]
fn metrics_come_in_pieces_on_a_connection_that_is_kept() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut client = Client::connect(broker.kafka);
    for n in 0..5 {
        client.create_topic(&format!("topic-{n}"), 100);
    }
    client.ask(commit("readers", "topic-0", 0), 8);
    let mut http = Http::connect(broker.http);
    // Three at once: each answer is whole before the next begins.
    for _ in 0..3 {
        http.send("GET", "/metrics");
    }
    http.send("GET", "/livez");
    for _ in 0..3 {
        let answer = http.receive(true);
        assert_eq!(answer.status, 200);
        assert!(answer.chunks > 1, "all at once");
        assert!(
            answer
                .body
                .contains("kafka_log_log_logendoffset{topic=\"topic-4\",partition=\"99\"} 0")
        );
        assert!(answer.body.contains("kafka_consumergroup_current_offset"));
        assert!(answer.body.ends_with('\n'));
    }
    assert_eq!(http.receive(true).body, "OK\n");
}

#[test]
fn the_end_of_input_is_served_too() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    let mut http = Http::connect(broker.http);
    http.send("GET", "/metrics");
    http.send("GET", "/livez");
    http.0.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(http.receive(true).status, 200);
    assert_eq!(http.receive(true).status, 200);
    let mut rest = Vec::new();
    http.0.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}

#[test]
fn what_is_not_http_gets_an_answer_and_an_end() {
    let dir = Dir::new();
    let broker = Broker::start(&dir);
    for (request, status) in [
        ("POST /livez HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
        ("\0\0\0\x10\0\x12\0\0\0\0\0\x01", 400),
    ] {
        let mut http = Http::connect(broker.http);
        http.0.get_mut().write_all(request.as_bytes()).unwrap();
        assert_eq!(http.receive(true).status, status, "{request:?}");
        assert_eq!(http.0.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}

#[test]
fn http_can_be_left_out() {
    let dir = Dir::new();
    let data = dir.data();
    let data = data.to_str().unwrap();
    let args = ["-d", data, "-l", "127.0.0.1:0", "--http", "none"];
    let process = super::process::Process::run(&args);
    assert!(process.line("ready on ").contains("http none"));
}
