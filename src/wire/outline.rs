//! Messages as text for people: one line per field that the version carries.
//!
//! ```text
//! max_wait_ms: 500
//! topics:
//!   - topic: "weather"
//!     partitions:
//!       - partition: 0
//!         fetch_offset: 42
//! ```

use std::fmt::Write;

use super::error_code::ErrorCode;
use super::records::Records;
use crate::base::ids::TopicId;
use crate::base::payload::{Bytes, Payload};

/// How many bytes of a field are shown.
const BYTES_SHOWN: usize = 64;

/// A value that can be shown.
pub trait Show {
    /// The value on one line; `None` for what has parts with lines of their own.
    fn text(&self) -> Option<String>;

    /// The lines of the parts.
    fn parts(&self, _: &mut Outline<'_>) {}
}

/// Collects lines.
pub struct Outline<'a> {
    lines: String,
    indent: usize,
    /// The next line begins an element of a list.
    begins: bool,
    version: i16,
    records: &'a dyn Fn(&Bytes) -> Vec<String>,
}

impl<'a> Outline<'a> {
    /// An empty outline of a message in this version. `records` describes what a field of records holds.
    #[must_use]
    pub fn new(version: i16, records: &'a dyn Fn(&Bytes) -> Vec<String>) -> Outline<'a> {
        Outline { lines: String::new(), indent: 1, begins: false, version, records }
    }

    /// The version of the message.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The lines, each with its end.
    #[must_use]
    pub fn into_text(self) -> String {
        self.lines
    }

    /// A field.
    pub fn field(&mut self, name: &str, value: &dyn Show) {
        match value.text() {
            Some(text) => match error_name(name, &text) {
                Some(error) => self.line(&format!("{name}: {text} ({error})")),
                None => self.line(&format!("{name}: {text}")),
            },
            None => {
                self.line(&format!("{name}:"));
                self.inside(value);
            }
        }
    }

    fn element(&mut self, value: &dyn Show) {
        self.begins = true;
        match value.text() {
            Some(text) => self.line(&text),
            None => self.inside(value),
        }
        self.begins = false;
    }

    fn inside(&mut self, value: &dyn Show) {
        self.indent += 1;
        value.parts(self);
        self.indent -= 1;
    }

    fn line(&mut self, text: &str) {
        let begins = std::mem::take(&mut self.begins);
        for level in 0..self.indent {
            self.lines.push_str(if begins && level + 1 == self.indent { "- " } else { "  " });
        }
        self.lines.push_str(text);
        self.lines.push('\n');
    }
}

/// The name of an error, for a field that holds one.
fn error_name(field: &str, text: &str) -> Option<&'static str> {
    let code = text.parse().ok().filter(|_| field.ends_with("error_code"))?;
    ErrorCode::from_code(code).map(ErrorCode::name)
}

macro_rules! plain {
    ($($type:ty),*) => { $(
        impl Show for $type {
            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )* };
}

plain!(bool, i8, i16, u16, i32, u32, i64, f64, TopicId);

impl Show for String {
    fn text(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Show for Bytes {
    fn text(&self) -> Option<String> {
        let mut text = format!("{} bytes", self.len());
        for (index, byte) in self.iter().take(BYTES_SHOWN).enumerate() {
            let space = if index == 0 { ": " } else { "" };
            let _ = write!(text, "{space}{byte:02x}");
        }
        if self.len() > BYTES_SHOWN {
            text.push('…');
        }
        Some(text)
    }
}

impl Show for Records {
    fn text(&self) -> Option<String> {
        self.is_empty().then(|| "0 bytes".to_owned())
    }
    fn parts(&self, out: &mut Outline<'_>) {
        for part in self.parts() {
            match part {
                Payload::Bytes(bytes) => {
                    for line in (out.records)(bytes) {
                        out.line(&line);
                    }
                }
                Payload::File(range) => out.line(&format!("{} bytes of a file", range.len)),
            }
        }
    }
}

impl<T: Show> Show for Option<T> {
    fn text(&self) -> Option<String> {
        match self {
            Some(value) => value.text(),
            None => Some("null".to_owned()),
        }
    }
    fn parts(&self, out: &mut Outline<'_>) {
        if let Some(value) = self {
            value.parts(out);
        }
    }
}

/// Elements that fit a line stand on one line together.
impl<T: Show> Show for Vec<T> {
    fn text(&self) -> Option<String> {
        let texts: Option<Vec<String>> = self.iter().map(Show::text).collect();
        texts.map(|texts| format!("[{}]", texts.join(", ")))
    }
    fn parts(&self, out: &mut Outline<'_>) {
        for element in self {
            out.element(element);
        }
    }
}
