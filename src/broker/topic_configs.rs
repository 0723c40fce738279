//! A topic's configuration: what may be set, and what it means for its log.

use std::collections::BTreeMap;

use crate::base::config_table::{
    Settings, is_former_topic_key, parse_bool, parse_double, parse_int, parse_list, quoted,
    topic_row, validate,
};
use crate::record::compression::Codec;
use crate::storage::job::LogConfig;

/// Most bytes of a value: it stays in memory and in the journal, and every version's answers can hold it.
const VALUE_BYTES_MAX: usize = 4_096;

/// What a topic sets itself; the rest comes from the broker's settings.
pub type TopicConfigs = BTreeMap<String, String>;

/// The configuration of the broker's own topics. Their segments are small: what is replaced goes with the next round of
/// compaction, which looks at closed segments, so a start reads few megabytes after years of commits. A batch that is
/// larger gets a segment of its own.
#[must_use]
pub fn of_journal() -> TopicConfigs {
    let pairs = [
        ("cleanup.policy", "compact"),
        ("compression.type", "producer"),
        ("segment.bytes", "4194304"),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// The configuration of a topic of which nobody knows for how long it was to keep what it holds.
#[must_use]
pub fn that_keep_all() -> TopicConfigs {
    let pairs = [("retention.bytes", "-1"), ("retention.ms", "-1")];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Whether a topic may set this key to this value.
///
/// # Errors
/// Why not, naming the key.
pub fn check(key: &str, value: Option<&str>) -> Result<(), String> {
    if is_former_topic_key(key) {
        return Ok(());
    }
    let unknown = || format!("unknown topic configuration {}", quoted(key));
    let row = topic_row(key).ok_or_else(unknown)?;
    match value {
        Some(value) if value.len() > VALUE_BYTES_MAX => {
            Err(format!("{key}: a value has at most {VALUE_BYTES_MAX} bytes"))
        }
        Some(value) => validate(row, value),
        None => Err(format!("{key}: null is not a value")),
    }
}

/// Whether values that depend on each other fit.
///
/// # Errors
/// Why not.
pub fn check_together(configs: &TopicConfigs, settings: &Settings) -> Result<(), String> {
    let lag = |key| parse_int(&value_of(configs, settings, key).unwrap_or_default());
    if lag("min.compaction.lag.ms")? > lag("max.compaction.lag.ms")? {
        return Err("min.compaction.lag.ms is above max.compaction.lag.ms".to_owned());
    }
    if is_true(configs, settings, "remote.storage.enable") {
        return Err("remote.storage.enable: there is no tiered storage".to_owned());
    }
    Ok(())
}

/// The effective value of a topic's key.
#[must_use]
pub fn value_of(configs: &TopicConfigs, settings: &Settings, key: &str) -> Option<String> {
    let own = configs.get(key).cloned();
    own.or_else(|| settings.topic_default(topic_row(key)?))
}

/// What the configuration means for storage.
#[must_use]
pub fn log_config(configs: &TopicConfigs, settings: &Settings) -> LogConfig {
    let text = |key: &str| value_of(configs, settings, key).unwrap_or_default();
    let number = |key: &str| parse_int(&text(key)).unwrap_or(i64::MAX);
    let size = |key: &str| u64::try_from(number(key)).unwrap_or(u64::MAX);
    let policy = text("cleanup.policy");
    let has_policy = |wanted| parse_list(&policy).contains(&wanted);
    LogConfig {
        segment_bytes: size("segment.bytes"),
        segment_ms: if has_policy("compact") {
            // As in Kafka: what is not closed cannot be compacted.
            number("segment.ms").min(number("max.compaction.lag.ms"))
        } else {
            number("segment.ms")
        },
        index_bytes_max: size("segment.index.bytes"),
        index_interval_bytes: size("index.interval.bytes"),
        batch_bytes_max: usize::try_from(number("max.message.bytes")).unwrap_or(usize::MAX),
        log_append_time: text("message.timestamp.type") == "LogAppendTime",
        timestamp_before_ms_max: number("message.timestamp.before.max.ms"),
        timestamp_after_ms_max: number("message.timestamp.after.max.ms"),
        compact: has_policy("compact"),
        delete: has_policy("delete"),
        retention_ms: number("retention.ms"),
        retention_bytes: number("retention.bytes"),
        retention_check_ms: check_interval(settings),
        delete_retention_ms: number("delete.retention.ms"),
        min_compaction_lag_ms: number("min.compaction.lag.ms"),
        max_compaction_lag_ms: number("max.compaction.lag.ms"),
        min_dirty_permille: permille(&text("min.cleanable.dirty.ratio")),
    }
}

fn check_interval(settings: &Settings) -> i64 {
    let value = settings.get("log.retention.check.interval.ms");
    value.and_then(|value| parse_int(value).ok()).unwrap_or(i64::MAX)
}

/// A fraction in thousandths, rounded down.
fn permille(text: &str) -> u32 {
    let thousandths = parse_double(text).unwrap_or(1.0) * 1000.0;
    (0..=1000).rev().find(|whole| f64::from(*whole) <= thousandths).unwrap_or(0)
}

/// The codec that a topic's batches must have, by Kafka's number; `None`: the producer's.
#[must_use]
pub fn codec(configs: &TopicConfigs, settings: &Settings) -> Option<u8> {
    match value_of(configs, settings, "compression.type")?.as_str() {
        "uncompressed" => Some(Codec::None.number()),
        name => Codec::from_name(name).map(Codec::number),
    }
}

/// Whether a topic's key is set to true.
#[must_use]
pub fn is_true(configs: &TopicConfigs, settings: &Settings, key: &str) -> bool {
    value_of(configs, settings, key).is_some_and(|value| parse_bool(&value) == Ok(true))
}
