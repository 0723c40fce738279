//! Values: from text to what they mean, and whether a row allows them.

use super::{Check, Kind, Row};

/// Reads a whole number as Kafka does: spaces around it do not count.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_int(text: &str) -> Result<i64, String> {
    let text = text.trim();
    text.parse().map_err(|_| format!("{} is not a whole number", quoted(text)))
}

/// Reads a fraction.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_double(text: &str) -> Result<f64, String> {
    let text = text.trim();
    text.parse().map_err(|_| format!("{} is not a number", quoted(text)))
}

/// Reads `true` or `false`, in letters of any size.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{} is neither true nor false", quoted(text))),
    }
}

/// The elements of a list; none for an empty text.
#[must_use]
pub fn parse_list(text: &str) -> Vec<&str> {
    match text.trim() {
        "" => Vec::new(),
        text => text.split(',').map(str::trim).collect(),
    }
}

/// Whether the row allows the value.
///
/// # Errors
/// The key's name and the reason. A secret's value is not repeated.
pub fn validate(row: &Row, value: &str) -> Result<(), String> {
    check(row, value).map_err(|reason| format!("{}: {reason}", row.name))
}

fn check(row: &Row, value: &str) -> Result<(), String> {
    match row.kind {
        Kind::Boolean => parse_bool(value).map(drop),
        Kind::Int => check_int(row.check, value, i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Short => check_int(row.check, value, i64::from(i16::MIN), i64::from(i16::MAX)),
        Kind::Long => check_int(row.check, value, i64::MIN, i64::MAX),
        Kind::Double => check_double(row.check, value),
        Kind::List => {
            parse_list(value).into_iter().try_for_each(|word| check_word(row.check, word))
        }
        Kind::Text | Kind::Class => check_word(row.check, value.trim()),
        Kind::Password => Ok(()),
    }
}

fn check_int(check: Check, value: &str, min: i64, max: i64) -> Result<(), String> {
    let number = parse_int(value)?;
    let (least, most) = match check {
        Check::AtLeast(least) => (least, max),
        Check::Between(least, most) => (least, most),
        Check::Either(own, ..) if number == own => return Ok(()),
        Check::Either(_, least, most) => (least, most),
        _ => (min, max),
    };
    if number < least {
        return Err(format!("{number} is below {least}"));
    }
    if number > most { Err(format!("{number} is above {most}")) } else { Ok(()) }
}

fn check_double(check: Check, value: &str) -> Result<(), String> {
    let number = parse_double(value)?;
    match check {
        Check::Fraction(least, most) if !(least..=most).contains(&number) => {
            Err(format!("{number} is not between {least} and {most}"))
        }
        _ => Ok(()),
    }
}

fn check_word(check: Check, word: &str) -> Result<(), String> {
    match check {
        Check::OneOf(words) if !words.contains(&word) => {
            Err(format!("{} is none of {}", quoted(word), words.join(", ")))
        }
        Check::Compression => check_compression(word, cfg!(feature = "compression")),
        Check::NotEmpty if word.is_empty() => Err("it is empty".to_owned()),
        _ => Ok(()),
    }
}

/// What Kafka takes for `compression.type`.
const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

fn check_compression(word: &str, has_codecs: bool) -> Result<(), String> {
    check_word(Check::OneOf(COMPRESSION_TYPES), word)?;
    if has_codecs || matches!(word, "uncompressed" | "producer") {
        return Ok(());
    }
    Err(format!("{}: this is a build without compression", quoted(word)))
}

/// A value for an error message: quoted, and cut if it is long, as it may come from a client.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_is_taken_where_the_build_has_it() {
        for word in ["zstd", "lz4", "snappy", "gzip"] {
            assert_eq!(check_compression(word, true), Ok(()));
            let refused = check_compression(word, false).unwrap_err();
            assert!(refused.contains(word) && refused.contains("build without compression"));
            let taken = check_word(Check::Compression, word).is_ok();
            assert_eq!(taken, cfg!(feature = "compression"));
        }
        for word in ["uncompressed", "producer"] {
            assert_eq!(check_compression(word, false), Ok(()));
        }
        for has_codecs in [false, true] {
            let refused = check_compression("none", has_codecs).unwrap_err();
            assert!(refused.contains("is none of uncompressed, zstd"), "{refused}");
        }
    }
}
