//! The configuration from the outside: sources, precedence, refusals, addresses, and the command line.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::io;
use std::time::Duration;

use chronik::cli::{self, Command, Surroundings, Tool, Usage};
use chronik::config::{Config, Durability, Origin, Sources};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn from_file(text: &str) -> Result<Config, Vec<String>> {
    let file = Some(("test.properties".to_owned(), text.as_bytes().to_vec()));
    Config::load(&Sources { file, ..Sources::default() })
}

fn from_flags(flags: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    Config::load(&Sources { flags: pairs(flags), ..Sources::default() })
}

fn parse(args: &[&str], environment: &[(&str, &str)]) -> Result<Command, Usage> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let read = |name: &str| match name {
        "a.properties" => Ok(b"num.partitions=3\nlog.dirs=/from/file".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    cli::parse(&args, &Surroundings { environment: pairs(environment), read: &read })
}

fn served(args: &[&str], environment: &[(&str, &str)]) -> Config {
    match parse(args, environment).unwrap() {
        Command::Serve(config) => *config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_given_gives_the_documented_defaults() {
    let config = from_flags(&[]).unwrap();
    assert_eq!(config.net.listeners.len(), 1);
    assert_eq!(config.net.listeners[0].address.to_string(), "127.0.0.1:9092");
    assert_eq!(config.http.unwrap().to_string(), "127.0.0.1:9644");
    assert_eq!(config.storage.directory.to_str(), Some("./data"));
    assert_eq!(config.storage.durability, Durability::Group);
    assert_eq!(config.storage.flush_interval, Duration::from_secs(1));
    assert_eq!((config.broker.node_id, config.broker.partitions_default), (0, 1));
    assert_eq!(config.broker.rebalance_delay_ms, 0);
    assert!(config.broker.auto_create_topics && config.broker.delete_topics);
    assert_eq!(config.net.memory_bytes, 64 << 20);
    assert_eq!(config.net.frame_bytes_max, 16 << 20);
    assert_eq!(config.net.connections_max, 10_000);
    assert_eq!(config.net.connections_per_address_max, 1000);
    assert_eq!(config.net.idle_max, Duration::from_secs(600));
    assert_eq!(config.broker.commits_kept_ms, 7 * 24 * 3_600_000);
    assert_eq!(config.settings.topic_defaults()["segment.bytes"], "67108864");
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_flag_beats_the_environment_and_that_the_file() {
    let environment = [("KAFKA_LOG_DIRS", "/from/env"), ("KAFKA_NODE_ID", "7"), ("HOME", "/root")];
    let config = served(&["serve", "a.properties", "-d", "/from/flag"], &environment);
    assert_eq!(config.storage.directory.to_str(), Some("/from/flag"));
    assert_eq!((config.broker.node_id, config.broker.partitions_default), (7, 3));
    assert_eq!(config.origins["log.dirs"], Origin::Flag);
    assert_eq!(config.origins["node.id"], Origin::Environment);
    assert_eq!(config.origins["num.partitions"], Origin::File);
    let config = served(&["-c", "a.properties"], &environment);
    assert_eq!(config.storage.directory.to_str(), Some("/from/env"));
}

#[test]
fn variables_follow_the_rule_of_kafkas_images() {
    let environment = [
        ("KAFKA_LISTENER_NAME_A__B___C_SASL_JAAS_CONFIG", "x"),
        ("KAFKA_HEAP_OPTS", "-Xmx1G"),
        ("KAFKA_CHRONIK_DURABILITY", "os"),
        ("CLUSTER_ID", "4L6g3nShT-eMCtK--X86sw"),
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
    ];
    let config = served(&[], &environment);
    assert!(config.origins.contains_key("listener.name.a_b-c.sasl.jaas.config"));
    assert_eq!(config.storage.durability, Durability::Os);
    assert_eq!(config.broker.cluster_id.as_deref(), Some("4L6g3nShT-eMCtK--X86sw"));
    assert_eq!(config.warnings[0], "unknown key \"port\" (environment)");
    assert_eq!(config.warnings.len(), 2);
}

#[test]
fn a_sample_file_of_a_quorum_starts_with_one_warning() {
    let config = from_file(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         zookeeper.connect=localhost:2181\n",
    );
    let config = config.unwrap();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert_eq!(config.net.listeners.len(), 1);
    let listener = &config.net.listeners[0];
    assert!(listener.address.is_wildcard());
    assert_eq!(listener.advertised.host.as_deref(), Some("localhost"));
    assert_eq!(listener.advertised.port, Some(9092));
}

#[test]
fn what_cannot_be_is_refused_with_key_and_reason() {
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("num.partitions", "0")], "num.partitions: 0 is below 1 (flag)"),
        (&[("node.id", "-1")], "node.id: -1 is below 0 (flag)"),
        (&[("node.id", "1"), ("broker.id", "2")], "broker.id: 2 is not node.id, 1"),
        (&[("log.dirs", "/a,/b")], "log.dirs: 2 directories, there is one"),
        (&[("log.dirs", "")], "log.dirs: it is empty"),
        (&[("listeners", "SSL://:9093")], "listeners: SSL asks for SSL, which is not served"),
        (&[("listeners", "OUT://:1")], "listeners: OUT is not in listener.security.protocol.map"),
        (&[("listeners", "")], "listeners: there is none for clients"),
        (&[("listeners", "a:1,")], "listeners: an address is missing"),
        (&[("listeners", "a:70000")], "listeners: \"70000\" is not a port"),
        (
            &[("advertised.listeners", "OUT://a:1")],
            "advertised.listeners: there is no listener OUT left",
        ),
        (&[("chronik.http", "here:now")], "chronik.http: \"now\" is not a port"),
        (
            &[("group.min.session.timeout.ms", "9"), ("group.max.session.timeout.ms", "8")],
            "group.min.session.timeout.ms: 9 is above group.max.session.timeout.ms, 8",
        ),
    ];
    for (flags, expected) in table {
        assert_eq!(from_flags(flags).unwrap_err(), [*expected]);
    }
}

#[test]
fn every_refused_key_is_told_at_once() {
    let errors = from_file("num.partitions=none\nmax.connections=-1\n").unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn advertised_addresses_never_carry_a_wildcard() {
    // listeners, advertised.listeners -> host and port that clients are told; none: as the client came.
    let table = [
        ("127.0.0.1:9092", None, Some("127.0.0.1"), None),
        ("0.0.0.0:9092", None, None, None),
        ("[::]:9092", None, None, None),
        (":9092", None, None, None),
        (":0", Some("edge.local:19092"), Some("edge.local"), Some(19092)),
        (":9092", Some("0.0.0.0:9092"), None, Some(9092)),
        (":9092", Some("edge.local"), Some("edge.local"), None),
        (":9092", Some("PLAINTEXT://[fe80::1]:9"), Some("fe80::1"), Some(9)),
        ("::1", None, Some("::1"), None),
    ];
    for (listeners, advertised, host, port) in table {
        let mut flags = vec![("listeners", listeners)];
        flags.extend(advertised.map(|value| ("advertised.listeners", value)));
        let config = from_flags(&flags).unwrap();
        let told = &config.net.listeners[0].advertised;
        assert_eq!((told.host.as_deref(), told.port), (host, port), "{listeners} {advertised:?}");
    }
}

#[test]
fn an_address_of_ipv6_with_a_port_asks_for_brackets() {
    for (key, text, meant) in [
        ("listeners", "::1:9092", "[::1]:9092"),
        ("listeners", "PLAINTEXT://:::9092", "[::]:9092"),
        ("advertised.listeners", "fe80::1:9", "[fe80::1]:9"),
        ("chronik.http", "1:2:3:4:5:6:7:8:9644", "[1:2:3:4:5:6:7:8]:9644"),
    ] {
        let [error] = <[String; 1]>::try_from(from_flags(&[(key, text)]).unwrap_err()).unwrap();
        assert!(error.starts_with(key) && error.contains(meant), "{error}");
    }
    for text in ["::1", "::", "fe80::1", "1:2:3:4:5:6:7:8"] {
        let config = from_flags(&[("listeners", text)]).unwrap();
        assert_eq!(config.net.listeners[0].address.host, text);
    }
}

#[test]
fn listeners_of_several_names_keep_their_advertised_addresses() {
    let config = from_file(
        "listeners=DOCKER://:29092,HOST://:9092\n\
         advertised.listeners=HOST://localhost:9092,DOCKER://kafka:29092\n\
         listener.security.protocol.map=DOCKER:PLAINTEXT,HOST:PLAINTEXT\n",
    );
    let listeners = config.unwrap().net.listeners;
    let told = |index: usize| listeners[index].advertised.host.as_deref();
    assert_eq!((told(0), told(1)), (Some("kafka"), Some("localhost")));
}

#[test]
fn several_addresses_may_be_listened_on() {
    let config = served(&["-l", "127.0.0.1:0", "-l", "[::1]:0", "-a", "edge:1"], &[]);
    let addresses: Vec<String> =
        config.net.listeners.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:0", "[::1]:0"]);
    assert_eq!(config.net.listeners[0].advertised.host.as_deref(), Some("edge"));
    assert_eq!(config.net.listeners[1].advertised.host.as_deref(), Some("::1"));
}

#[test]
fn a_connection_may_be_idle_for_ever() {
    for never in ["-1", "0"] {
        let config = from_flags(&[("connections.max.idle.ms", never)]).unwrap();
        assert_eq!(config.net.idle_max, Duration::MAX);
    }
}

#[test]
fn http_may_be_switched_off() {
    assert_eq!(served(&["--http", "none"], &[]).http, None);
    assert_eq!(served(&["--http", "0.0.0.0:0"], &[]).http.unwrap().to_string(), "0.0.0.0:0");
}

#[test]
fn a_retention_of_nothing_is_refused_as_by_kafka() {
    for key in ["log.retention.hours", "log.retention.minutes", "log.retention.ms"] {
        for (value, is_fine) in [("-2", false), ("-1", true), ("0", false), ("1", true)] {
            let set = format!("{key}={value}");
            assert_eq!(parse(&["-o", &set], &[]).is_ok(), is_fine, "{set}");
        }
    }
}

#[test]
fn commands_are_told_apart() {
    assert!(matches!(parse(&["apis"], &[]), Ok(Command::Apis)));
    assert!(matches!(parse(&["check-config"], &[]), Ok(Command::CheckConfig(_))));
    assert!(matches!(parse(&["-h"], &[]), Ok(Command::Help)));
    assert!(matches!(parse(&["serve", "-V"], &[]), Ok(Command::Version)));
    let Ok(Command::Tool(Tool::DumpLog, args)) = parse(&["dump-log", "--verify", "x.log"], &[])
    else {
        panic!("not dump-log");
    };
    assert_eq!(args, ["--verify", "x.log"]);
    assert!(matches!(parse(&["decode"], &[]), Ok(Command::Tool(Tool::Decode, _))));
}

#[test]
fn wrong_arguments_are_refused() {
    for args in [
        &["--frob"][..],
        &["-o", "novalue"],
        &["missing.properties"],
        &["a.properties", "b.properties"],
        &["-c", "a.properties", "b.properties"],
        &["apis", "now"],
    ] {
        assert!(parse(args, &[]).is_err(), "{args:?}");
    }
}

#[test]
fn check_config_names_sources_and_hides_secrets() {
    let args = ["check-config", "a.properties", "-o", "ssl.key.password=hunter2", "-o", "x.y=1"];
    let Ok(Command::CheckConfig(config)) = parse(&args, &[]) else { panic!("not check-config") };
    let mut out = Vec::new();
    cli::print_config(&config, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("# warning: unknown key \"x.y\" (flag)\n"), "{text}");
    assert!(text.contains("\nfile         num.partitions=3\n"), "{text}");
    assert!(text.contains("\ndefault      chronik.durability=group\n"), "{text}");
    assert!(text.contains("ssl.key.password=[hidden]"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
