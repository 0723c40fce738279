//! Shows frames of the protocol as text: what `chronik decode` prints.
//!
//! The input is hex or bytes, of one frame or of several in a row, with their lengths or (one only) without. Every
//! field stands where its version has it, as it was on the wire, not where the broker sees it.

mod records;

use std::fmt::Write;
use std::io;

pub use records::describe_records;

use crate::base::payload::Bytes;
use crate::wire::api::{ApiKey, Prefix, RequestFrame, decode_response_plain};
use crate::wire::error::DecodeError;
use crate::wire::outline::{Outline, Show};
use crate::wire::reader::Reader;

/// The command: `chronik decode [--response NAME:VERSION]`. Answers whether all of `input` was understood; what is
/// wrong with the arguments is one line in `Err`.
///
/// # Errors
/// If the arguments are not such, or reading or writing fails.
pub fn run(
    arguments: &[String],
    input: &mut dyn io::Read,
    out: &mut dyn io::Write,
) -> Result<bool, String> {
    let response_to = match arguments {
        [] => None,
        [option, of] if option == "--response" => Some(parse_response_to(of)?),
        _ => return Err("decode takes --response NAME:VERSION, and a frame on its input".into()),
    };
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let description = describe(&bytes, response_to);
    out.write_all(description.text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(description.complete)
}

/// What a description says, and whether the input was what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Lines for people, with their ends.
    pub text: String,
    /// Every frame was read to its end.
    pub complete: bool,
}

/// Describes the frames in `input`: requests, or answers to requests of the kind and version given.
#[must_use]
pub fn describe(input: &[u8], response_to: Option<(ApiKey, i16)>) -> Description {
    let bytes = unhex(input).map_or_else(|| Bytes::from(input), Bytes::from_vec);
    let mut description = Description { text: String::new(), complete: !bytes.is_empty() };
    if bytes.is_empty() {
        description.text.push_str("nothing to decode\n");
    }
    for (frame, problem) in frames(&bytes, response_to) {
        let result = match response_to {
            None => request(&frame, &mut description.text),
            Some((api, version)) => response(&frame, api, version, &mut description.text),
        };
        if let Err(error) = &result {
            let _ = writeln!(description.text, "  error: {error}");
            hex_around(&frame, error.position, &mut description.text);
        }
        if let Some(problem) = &problem {
            let _ = writeln!(description.text, "  error: {problem}");
        }
        description.complete &= result.is_ok() && problem.is_none();
    }
    description
}

/// Reads `Name:version`, such as `Fetch:12`, as the command line has it.
///
/// # Errors
/// A line that says what is wrong.
pub fn parse_response_to(text: &str) -> Result<(ApiKey, i16), String> {
    let (name, version) = text.split_once(':').ok_or(format!("{text:?} is not NAME:VERSION"))?;
    let known =
        |api: &&ApiKey| api.name().eq_ignore_ascii_case(name) || api.key().to_string() == name;
    let api = *ApiKey::ALL.iter().find(known).ok_or(format!("no request is named {name:?}"))?;
    let version: i16 = version.parse().map_err(|_| format!("{version:?} is not a version"))?;
    let versions = api.versions();
    if versions.contains(&version) {
        Ok((api, version))
    } else {
        Err(format!("{api} has versions {} to {}", versions.start(), versions.end()))
    }
}

fn request(frame: &Bytes, out: &mut String) -> Result<(), DecodeError> {
    let _ = writeln!(out, "request of {} bytes", frame.len());
    let decoded = RequestFrame::decode_plain(frame).inspect_err(|_| prefix(frame, out))?;
    let api = decoded.request.api();
    let _ = writeln!(
        out,
        "  {api} v{} (key {}), correlation id {}, client id {}",
        decoded.version,
        api.key(),
        decoded.correlation_id,
        decoded.client_id.map(|name| name.to_string()).text().unwrap_or_default(),
    );
    out.push_str(&outline(decoded.request.body(), decoded.version));
    if decoded.trailing > 0 {
        let _ = writeln!(out, "  {} bytes follow, which is tolerated", decoded.trailing);
    }
    Ok(())
}

/// What can be said of a request that cannot be read.
fn prefix(frame: &Bytes, out: &mut String) {
    let Ok(prefix) = Prefix::read(&mut Reader::new(frame, 0, false)) else { return };
    let name = match ApiKey::from_key(prefix.api_key) {
        Some(api) => api.name().to_owned(),
        None => format!("key {}", prefix.api_key),
    };
    let (version, id) = (prefix.version, prefix.correlation_id);
    let _ = writeln!(out, "  {name} v{version}, correlation id {id}");
}

fn response(frame: &Bytes, api: ApiKey, version: i16, out: &mut String) -> Result<(), DecodeError> {
    let _ = writeln!(out, "answer of {} bytes", frame.len());
    let (correlation_id, decoded) = decode_response_plain(frame, api, version)?;
    let _ = writeln!(out, "  {api} v{version}, correlation id {correlation_id}");
    out.push_str(&outline(decoded.body(), version));
    Ok(())
}

fn outline(body: &dyn Show, version: i16) -> String {
    let mut outline = Outline::new(version, &describe_records);
    body.parts(&mut outline);
    outline.into_text()
}

/// A frame, and why it is not a whole one.
type Frame = (Bytes, Option<&'static str>);

/// The frames in a row, or the one without a length. A key and a version may look like a length, and a correlation
/// id too; what makes sense decides.
fn frames(bytes: &Bytes, response_to: Option<(ApiKey, i16)>) -> Vec<Frame> {
    let found = chain(bytes);
    let Some((first, _)) = found.first() else { return found };
    let whole = found.iter().all(|(_, problem)| problem.is_none());
    let (first_fits, single_fits) = match response_to {
        None => (served(first).is_some(), served(bytes) == Some(true)),
        Some((api, version)) => {
            let readable = |frame| decode_response_plain(frame, api, version).is_ok();
            (readable(first), readable(bytes))
        }
    };
    let one = found.len() == 1;
    let cut = one && response_to.is_some();
    if (whole && (first_fits || one)) || (!single_fits && (first_fits || cut)) {
        found
    } else {
        vec![(bytes.clone(), None)]
    }
}

/// Whether a request of this version is served; `None` if there is no such request.
fn served(frame: &Bytes) -> Option<bool> {
    let prefix = Prefix::read(&mut Reader::new(frame, 0, false)).ok()?;
    let api = ApiKey::from_key(prefix.api_key)?;
    Some(api.versions().contains(&prefix.version))
}

fn chain(bytes: &Bytes) -> Vec<Frame> {
    let mut found = Vec::new();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let Some((length, body)) = split_length(&rest) else {
            found.push((rest, Some("no frame: the length is cut or negative")));
            break;
        };
        let end = length.min(body.len());
        let problem = (end < length).then_some("the frame is cut: its length says more");
        found.push((body.slice(0..end).unwrap_or_default(), problem));
        rest = body.slice(end..body.len()).unwrap_or_default();
    }
    found
}

/// A length that a frame can have, and what follows.
fn split_length(bytes: &Bytes) -> Option<(usize, Bytes)> {
    let length = i32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    Some((usize::try_from(length).ok()?, bytes.slice(4..bytes.len())?))
}

/// The bytes around the place where reading stopped.
fn hex_around(frame: &Bytes, position: usize, out: &mut String) {
    const BEFORE: usize = 16;
    const AFTER: usize = 16;
    let start = position.saturating_sub(BEFORE);
    let end = (position + AFTER).min(frame.len());
    let hex = |range: std::ops::Range<usize>| {
        let bytes = frame.get(range).unwrap_or_default();
        bytes.iter().map(|byte| format!(" {byte:02x}")).collect::<String>()
    };
    let (before, after) = (hex(start..position.min(end)), hex(position.min(end)..end));
    let _ = writeln!(out, "  bytes {start}..{end}:{before} |{after}");
}

/// The bytes that a hex text means; `None` if it is not one. Lines after `#` are comments; spaces, colons, commas
/// and `0x` may stand between the digits.
fn unhex(input: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(input).ok()?;
    let mut digits = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().replace("0x", "");
        for c in line.chars().filter(|c| !c.is_whitespace() && *c != ':' && *c != ',') {
            digits.push(u8::try_from(c.to_digit(16)?).ok()?);
        }
    }
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
