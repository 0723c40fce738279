//! The key table against Kafka's own: names, types, bounds, defaults, and which broker key a topic key follows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;

use chronik::base::config_table::{
    Kind, Row, Settings, Source, Usage, broker_row, broker_rows, topic_row, topic_rows, validate,
};

/// One line of `tools/config-keys`.
struct KafkaKey {
    scope: &'static str,
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    bounds: &'static str,
    broker_keys: &'static str,
}

fn kafka_keys() -> Vec<KafkaKey> {
    let text: &'static str = include_str!("data/kafka-4.4-config.tsv");
    let key = |line: &'static str| {
        let [scope, name, kind, default, bounds, broker_keys] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        KafkaKey { scope, name, kind, default, bounds, broker_keys }
    };
    text.lines().map(key).collect()
}

fn row(key: &KafkaKey) -> &'static Row {
    let found = if key.scope == "topic" { topic_row(key.name) } else { broker_row(key.name) };
    found.unwrap_or_else(|| panic!("{} is not in the table", key.name))
}

/// Where Chronik differs from Kafka, and with which default.
const OWN_DEFAULTS: &[(&str, &str)] = &[
    ("flush.ms", "1000"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("listeners", "PLAINTEXT://127.0.0.1:9092"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
    ("log.dir", "./data"),
    ("log.flush.interval.ms", "1000"),
    ("log.segment.bytes", "67108864"),
    ("max.connections", "10000"),
    ("max.connections.per.ip", "1000"),
    ("node.id", "0"),
    ("segment.bytes", "67108864"),
    ("socket.receive.buffer.bytes", "-1"),
    ("socket.send.buffer.bytes", "-1"),
];

#[test]
fn every_key_of_kafka_has_a_row_of_its_type_and_default() {
    for key in kafka_keys() {
        let row = row(&key);
        let kind = match key.kind {
            "BOOLEAN" => Kind::Boolean,
            "STRING" => Kind::Text,
            "INT" => Kind::Int,
            "SHORT" => Kind::Short,
            "LONG" => Kind::Long,
            "DOUBLE" => Kind::Double,
            "LIST" => Kind::List,
            "CLASS" => Kind::Class,
            "PASSWORD" => Kind::Password,
            other => panic!("{other}"),
        };
        assert_eq!(row.kind, kind, "{}", key.name);
        let own = OWN_DEFAULTS.iter().find(|(name, _)| *name == key.name);
        let expected = own.map_or(key.default, |(_, default)| default);
        assert_eq!(row.default.unwrap_or("null"), expected, "{}", key.name);
    }
}

#[test]
fn every_key_beyond_kafkas_is_chroniks_own() {
    let known: Vec<_> = kafka_keys().iter().map(|key| (key.scope, key.name)).collect();
    for row in topic_rows() {
        assert!(known.contains(&("topic", row.name)), "{}", row.name);
    }
    for row in broker_rows() {
        assert!(known.contains(&("broker", row.name)) || row.name.starts_with("chronik."));
    }
}

#[test]
fn kafkas_bounds_are_the_tables_bounds() {
    // What older releases took, or what a sample file asks for, is not refused here.
    let wider = ["log.segment.bytes", "segment.bytes"];
    let figure = |text: &str| text.parse::<f64>().ok();
    for key in kafka_keys().iter().filter(|key| !wider.contains(&key.name)) {
        let row = row(key);
        let Some(range) = key.bounds.strip_prefix('[').and_then(|b| b.split_once(']')) else {
            continue;
        };
        let (least, most) = range.0.split_once("...").unwrap_or(("", ""));
        let (least, most) = (figure(least.trim_matches(',')), figure(most.trim_matches(',')));
        let step = if key.kind == "DOUBLE" { 0.5 } else { 1.0 };
        for (bound, outside) in [(least, -step), (most, step)] {
            let Some(bound) = bound else { continue };
            assert_eq!(validate(row, &bound.to_string()), Ok(()), "{}", key.name);
            let beyond = bound + outside;
            let default = key.bounds.contains("or -1") && beyond == -1.0;
            assert!(
                default || validate(row, &beyond.to_string()).is_err(),
                "{} {beyond}",
                key.name
            );
        }
    }
}

#[test]
fn topic_keys_follow_the_broker_keys_that_kafka_names() {
    for key in kafka_keys().iter().filter(|key| key.scope == "topic") {
        let ours: Vec<String> =
            row(key).broker_keys.iter().map(|key| format!("{}*{}", key.name, key.factor)).collect();
        assert_eq!(ours.join(" "), key.broker_keys, "{}", key.name);
    }
}

#[test]
fn every_default_is_allowed_and_every_row_is_documented() {
    for row in topic_rows().chain(broker_rows()) {
        if let Some(default) = row.default {
            assert_eq!(validate(row, default), Ok(()), "{}", row.name);
        }
        assert!(row.documentation().ends_with('.'), "{}", row.name);
        assert!(row.documentation().len() > 10, "{}", row.name);
    }
}

#[test]
fn a_topic_keys_default_is_what_the_broker_keys_say() {
    let settings = Settings::default();
    for row in topic_rows() {
        let says = row.broker_keys.iter().find_map(|key| {
            let value = broker_row(key.name).unwrap().default?;
            let number = value.parse::<i64>().ok().map(|number| (number * key.factor).to_string());
            Some(number.unwrap_or_else(|| value.to_owned()))
        });
        if let Some(says) = says {
            assert_eq!(settings.topic_default(row), Some(says), "{}", row.name);
        }
    }
}

#[test]
fn what_acts_for_a_topic_acts_for_the_broker() {
    for row in topic_rows().filter(|row| row.usage == Usage::Acts) {
        for key in row.broker_keys {
            assert_eq!(broker_row(key.name).unwrap().usage, Usage::Acts, "{}", key.name);
        }
    }
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Settings::new(pairs.iter().map(owned).collect::<BTreeMap<_, _>>())
}

#[test]
fn the_finest_unit_that_was_set_wins() {
    let row = topic_row("retention.ms").unwrap();
    let default = |pairs: &[(&str, &str)]| settings(pairs).topic_default(row).unwrap();
    assert_eq!(default(&[]), "604800000");
    assert_eq!(default(&[("log.retention.hours", "1")]), "3600000");
    assert_eq!(default(&[("log.retention.hours", "1"), ("log.retention.minutes", "2")]), "120000");
    assert_eq!(default(&[("log.retention.minutes", "2"), ("log.retention.ms", "3")]), "3");
    assert_eq!(default(&[("log.retention.hours", "-1")]), "-1");
}

#[test]
fn a_description_lists_who_had_a_say() {
    let settings = settings(&[("log.retention.minutes", "2")]);
    let row = topic_row("retention.ms").unwrap();
    let described = settings.describe_topic(row, Some("5"));
    let says: Vec<_> = described
        .synonyms
        .iter()
        .map(|s| (s.name.as_str(), s.value.as_deref().unwrap(), s.source.number()))
        .collect();
    assert_eq!(says, [("retention.ms", "5", 1), ("log.retention.minutes", "2", 4)]);
    assert_eq!((described.value.as_deref(), described.source), (Some("5"), Source::Topic));
    let described = settings.describe_topic(row, None);
    assert_eq!((described.value.as_deref(), described.source), (Some("120000"), Source::Broker));
}

#[test]
fn a_secret_is_never_described() {
    let settings = settings(&[("ssl.key.password", "hunter2")]);
    let described = settings.describe_broker(broker_row("ssl.key.password").unwrap());
    assert_eq!((described.value, described.source), (None, Source::Broker));
    assert_eq!(described.synonyms[0].value, None);
}

#[test]
fn a_refused_value_is_told_with_its_key() {
    let refused = |name: &str, value: &str| validate(topic_row(name).unwrap(), value).unwrap_err();
    assert_eq!(refused("segment.ms", "0"), "segment.ms: 0 is below 1");
    assert_eq!(refused("retention.ms", "soon"), "retention.ms: \"soon\" is not a whole number");
    assert_eq!(refused("preallocate", "yes"), "preallocate: \"yes\" is neither true nor false");
    let policy = refused("cleanup.policy", "compact,shred");
    assert_eq!(policy, "cleanup.policy: \"shred\" is none of compact, delete");
    assert_eq!(validate(topic_row("cleanup.policy").unwrap(), "compact, delete"), Ok(()));
    assert_eq!(validate(topic_row("cleanup.policy").unwrap(), ""), Ok(()));
    assert!(refused("max.message.bytes", "2147483648").ends_with("is above 2147483647"));
    let long = refused("compression.type", &"é".repeat(5000));
    assert!(long.len() < 400, "{}", long.len());
}

#[test]
fn a_key_for_one_listener_is_the_key_itself() {
    let row = broker_row("listener.name.internal.scram-sha-256.sasl.jaas.config").unwrap();
    assert_eq!(row.name, "sasl.jaas.config");
    assert!(broker_row("listener.name.internal.nothing").is_none());
}
