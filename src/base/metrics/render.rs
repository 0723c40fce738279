//! Prometheus text, version 0.0.4, in pieces of bounded size.

use std::fmt::{Display, Write};
use std::sync::Arc;

use super::families::{FAMILIES, Family};
use super::{BUCKETS, Counter, Histogram, Metrics, Process, Snapshot};

/// The largest piece, in bytes.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// The most that one step of a family writes: a histogram, or labels that are all escapes.
const STEP_BYTES_MAX: usize = 8 * 1024;

/// Text in the making: an iterator of pieces of at most [`CHUNK_BYTES_MAX`] bytes.
#[derive(Debug)]
pub struct Rendering {
    pub(super) metrics: Arc<Metrics>,
    pub(super) snapshot: Snapshot,
    pub(super) process: Process,
    /// Which family is next, and which of its series.
    family: usize,
    series: usize,
    /// Whether the family's head is written.
    headed: bool,
}

impl Rendering {
    pub(super) fn new(metrics: Arc<Metrics>, snapshot: Snapshot, process: Process) -> Rendering {
        Rendering { metrics, snapshot, process, family: 0, series: 0, headed: false }
    }
}

impl Iterator for Rendering {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::new();
        while text.len() + STEP_BYTES_MAX <= CHUNK_BYTES_MAX {
            let Some(family) = FAMILIES.get(self.family) else { break };
            let mut out = Out { text: &mut text, family, headed: self.headed };
            let more = (family.series)(self, self.series, &mut out);
            self.headed = out.headed;
            if more {
                self.series += 1;
            } else {
                (self.family, self.series, self.headed) = (self.family + 1, 0, false);
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Where a family writes its samples.
pub(super) struct Out<'a> {
    text: &'a mut String,
    family: &'static Family,
    headed: bool,
}

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Out<'_> {
    /// Writes one sample of the family.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// Writes a histogram of the family: buckets that include those before them, sum and count.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut count = 0;
        for (bucket, (_, end)) in histogram.buckets.iter().zip(BUCKETS) {
            count += bucket.get();
            self.line("_bucket", labels, Some(end), count);
        }
        count += histogram.longer.get();
        self.line("_bucket", labels, Some("+Inf"), count);
        self.line("_sum", labels, None, seconds(&histogram.micros));
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, end: Option<&str>, value: impl Display) {
        self.head();
        let _ = write!(self.text, "{}{suffix}", self.family.name);
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(end.map(|end| ("le", end))) {
            let _ = write!(self.text, "{separator}{name}=\"");
            escape(value, self.text);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn head(&mut self) {
        if !self.headed {
            let Family { name, help, kind, .. } = self.family;
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            self.headed = true;
        }
    }
}

/// Microseconds as seconds, without the rounding of a fraction.
fn seconds(micros: &Counter) -> String {
    let micros = micros.get();
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}
