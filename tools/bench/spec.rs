//! What a measurement does, in numbers, and how they are said on the command line.

use chronik::record::compression::Codec;
use getopts::{Matches, Options};

/// The numbers of one measurement. Sizes are in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// A record's value.
    pub record: usize,
    /// A batch before compression; each produce request has one.
    pub request: usize,
    /// 0, 1 or -1.
    pub acks: i16,
    /// How batches are compressed.
    pub codec: Codec,
    /// Connections.
    pub connections: usize,
    /// Requests under way on a connection, at most.
    pub in_flight: usize,
    /// Requests under way on all connections together; 0: as many as `in_flight` allows.
    pub outstanding: usize,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Settings of the topic, each a key and a value.
    pub settings: Vec<(String, String)>,
    /// Produced: bytes of values. Fetched: bytes of records. 0: as many as the time allows.
    pub bytes: u64,
    /// The longest time, in seconds.
    pub seconds: f64,
    /// Requests a second; 0: as many as are answered.
    pub rate: u32,
    /// Most bytes of records in the answer to a fetch.
    pub fetch: i32,
    /// Bytes of records that there are to fetch.
    pub fill: u64,
    /// How long a fetch may wait for a record, in milliseconds.
    pub wait_ms: i32,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec {
            record: 1024,
            request: 256 << 10,
            acks: 1,
            codec: Codec::None,
            connections: 1,
            in_flight: 5,
            outstanding: 0,
            partitions: 1,
            settings: Vec::new(),
            bytes: 0,
            seconds: 60.0,
            rate: 0,
            fetch: 1 << 20,
            fill: 256 << 20,
            wait_ms: 500,
        }
    }
}

impl Spec {
    /// Requests under way at most.
    pub(crate) fn outstanding(&self) -> usize {
        if self.outstanding == 0 { self.connections * self.in_flight } else { self.outstanding }
    }

    /// As the results show it.
    pub(crate) fn params(&self) -> Vec<(&'static str, String)> {
        vec![
            ("record", self.record.to_string()),
            ("request", self.request.to_string()),
            ("acks", self.acks.to_string()),
            ("codec", self.codec.name().to_owned()),
            ("connections", self.connections.to_string()),
            ("in_flight", self.in_flight.to_string()),
            ("outstanding", self.outstanding().to_string()),
            ("partitions", self.partitions.to_string()),
            ("rate", self.rate.to_string()),
            ("fetch", self.fetch.to_string()),
        ]
    }

    /// Adds the options that [`Spec::from`] reads.
    pub(crate) fn options(options: &mut Options) {
        let numbers = [
            ("record", "bytes of a record's value (1024)"),
            ("request", "bytes of a batch; a request has one (262144)"),
            ("connections", "connections (1)"),
            ("in-flight", "requests under way on a connection (5)"),
            ("outstanding", "requests under way on all connections together (0: no bound)"),
            ("partitions", "partitions of the topic (1)"),
            ("bytes", "bytes to produce or to fetch (0: as the time allows)"),
            ("seconds", "the longest time (60)"),
            ("rate", "requests a second (0: as many as are answered)"),
            ("fetch", "most bytes of records in an answer (1048576)"),
            ("fill", "bytes that are there to be fetched (268435456)"),
            ("wait-ms", "how long a fetch may wait (500)"),
        ];
        for (name, text) in numbers {
            options.optopt("", name, text, "N");
        }
        options.optmulti("", "setting", "a setting of the topic", "KEY=VALUE");
        options.optopt("", "acks", "0, 1 or all (1)", "ACKS");
        options.optopt("", "codec", "none, gzip, snappy, lz4 or zstd (none)", "CODEC");
    }

    /// The numbers that were given, the defaults elsewhere.
    ///
    /// # Errors
    /// For what is no number.
    pub(crate) fn from(matches: &Matches, default: Spec) -> Result<Spec, String> {
        Ok(Spec {
            record: given(matches, "record", default.record)?,
            request: given(matches, "request", default.request)?,
            acks: match matches.opt_str("acks").as_deref() {
                Some("all") => -1,
                _ => given(matches, "acks", default.acks)?,
            },
            codec: match matches.opt_str("codec") {
                None => default.codec,
                Some(name) => Codec::from_name(&name).ok_or(format!("no codec {name}"))?,
            },
            connections: given(matches, "connections", default.connections)?,
            in_flight: given(matches, "in-flight", default.in_flight)?,
            outstanding: given(matches, "outstanding", default.outstanding)?,
            partitions: given(matches, "partitions", default.partitions)?,
            settings: settings(matches)?,
            bytes: given(matches, "bytes", default.bytes)?,
            seconds: given(matches, "seconds", default.seconds)?,
            rate: given(matches, "rate", default.rate)?,
            fetch: given(matches, "fetch", default.fetch)?,
            fill: given(matches, "fill", default.fill)?,
            wait_ms: given(matches, "wait-ms", default.wait_ms)?,
        })
    }
}

/// The settings of topics.
fn settings(matches: &Matches) -> Result<Vec<(String, String)>, String> {
    let pair = |text: String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("--setting {text}: KEY=VALUE")),
    };
    matches.opt_strs("setting").into_iter().map(pair).collect()
}

/// The value of an option, or the default.
pub(crate) fn given<T: std::str::FromStr>(
    matches: &Matches,
    name: &str,
    default: T,
) -> Result<T, String> {
    match matches.opt_str(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("--{name} {text}")),
    }
}
