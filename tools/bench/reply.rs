//! What is read of a reply: its number, its error, and how many records it brought.

use byteorder::{BigEndian, ByteOrder};
use chronik::base::payload::Bytes;
use chronik::wire::api::{ApiKey, Response, decode_response};
use chronik::wire::error::DecodeError;
use chronik::wire::error_code::ErrorCode;
use chronik::wire::reader::Reader;

/// As much of a reply's beginning is kept; of what follows, the bytes are counted.
pub(crate) const HEAD_MAX: usize = 512;

/// How replies are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// A broker's: errors are looked for. The versions of Produce and Fetch.
    Kafka { produce: i16, fetch: i16 },
    /// A floor's: the correlation id, then whatever it likes.
    Echo,
}

/// What a reply said.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Bytes of records in it.
    pub records_bytes: u64,
}

/// The correlation id of a reply.
pub(crate) fn correlation(head: &[u8]) -> Option<i32> {
    head.get(..4).map(BigEndian::read_i32)
}

/// Reads the reply to a produce request.
///
/// # Errors
/// If the broker refused, or if it is no such reply.
pub(crate) fn produced(head: &[u8], version: i16) -> Result<(), String> {
    let (_, response) = decode_response(&Bytes::from(head), ApiKey::Produce, version)
        .map_err(|error| format!("no reply to produce: {error}"))?;
    let mut refused = 0;
    response.each_error(&mut |code| {
        if code != 0 {
            refused = code;
        }
    });
    match response {
        Response::Produce(body) if !body.responses.is_empty() => fine("produce", refused),
        _ => Err("a reply to produce without a partition".to_owned()),
    }
}

/// Reads the beginning of the reply to a fetch of one partition.
///
/// # Errors
/// If the broker refused, or if it is no such reply.
pub(crate) fn fetched(head: &[u8], version: i16) -> Result<Said, String> {
    let head = Bytes::from(head);
    let (errors, length) =
        read_fetched(&head, version).map_err(|error| format!("no reply to fetch: {error}"))?;
    errors.iter().try_for_each(|code| fine("fetch", *code))?;
    Ok(Said { records_bytes: u64::try_from(length).unwrap_or_default() })
}

/// The two error codes, and how many bytes of records follow.
fn read_fetched(head: &Bytes, version: i16) -> Result<([i16; 2], usize), DecodeError> {
    let flexible = ApiKey::Fetch.is_flexible(version);
    let mut r = Reader::new(head, version, flexible);
    r.i32()?;
    r.tagged(&mut |_, _| Ok(false))?;
    r.i32()?;
    let mut errors = [0, 0];
    if version >= 7 {
        errors[0] = r.i16()?;
        r.i32()?;
    }
    if r.count(0)?.unwrap_or(0) == 0 {
        return Ok((errors, 0));
    }
    r.nullable_string()?;
    r.count(0)?;
    r.i32()?;
    errors[1] = r.i16()?;
    r.i64()?;
    r.i64()?;
    if version >= 5 {
        r.i64()?;
    }
    for _ in 0..r.count(0)?.unwrap_or(0) {
        r.i64()?;
        r.i64()?;
        r.tagged(&mut |_, _| Ok(false))?;
    }
    if version >= 11 {
        r.i32()?;
    }
    let length = if flexible {
        r.unsigned_varint()?.saturating_sub(1)
    } else {
        u32::try_from(r.i32()?).unwrap_or(0)
    };
    Ok((errors, usize::try_from(length).unwrap_or_default()))
}

fn fine(what: &str, code: i16) -> Result<(), String> {
    match (code, ErrorCode::from_code(code)) {
        (0, _) => Ok(()),
        (_, Some(error)) => Err(format!("{what} is refused: {}", error.name())),
        (code, None) => Err(format!("{what} is refused: error {code}")),
    }
}
