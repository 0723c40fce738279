//! Rows of the table: a figure, its target, what was measured, and whether that will do.

use std::fmt::Write;

use crate::figures::{Reading, significant};

/// What a floor may vary from round to round before its ratios are marked.
const SPREAD_MAX: f64 = 0.2;

/// Which side of its target a ratio must be on.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// It may not be larger.
    AtMost(f64),
    /// It may not be smaller.
    AtLeast(f64),
}

/// One row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// What is measured.
    pub figure: String,
    /// What it should be.
    pub target: String,
    /// What it is.
    pub measured: String,
    /// What it is compared with.
    pub beside: String,
    /// Measured by compared.
    pub ratio: String,
    /// `met`, `not met`, or what is missing to say so.
    pub verdict: String,
}

impl Row {
    /// A figure compared with a floor's. The verdict says by how much the floor varied, if that was much.
    pub(crate) fn ratio(
        figure: &str,
        unit: &str,
        (measured, floor): (Reading, Reading),
        floor_name: &str,
        bound: Bound,
    ) -> Row {
        let ratio = measured.value / floor.value;
        let (sign, limit, met) = match bound {
            Bound::AtMost(limit) => ("≤", limit, ratio <= limit),
            Bound::AtLeast(limit) => ("≥", limit, ratio >= limit),
        };
        Row {
            figure: figure.to_owned(),
            target: format!("{sign} {limit} × {floor_name}"),
            measured: format!("{} {unit}", significant(measured.value)),
            beside: format!("{} {unit}", significant(floor.value)),
            ratio: format!("{ratio:.2}"),
            verdict: verdict(met) + &moved(floor.spread),
        }
    }

    /// A figure that has a bound of its own.
    pub(crate) fn value(figure: &str, unit: &str, measured: f64, bound: Bound) -> Row {
        let (sign, limit, met) = match bound {
            Bound::AtMost(limit) => ("≤", limit, measured <= limit),
            Bound::AtLeast(limit) => ("≥", limit, measured >= limit),
        };
        Row {
            figure: figure.to_owned(),
            target: format!("{sign} {limit} {unit}").trim_end().to_owned(),
            measured: format!("{} {unit}", significant(measured)).trim_end().to_owned(),
            verdict: verdict(met),
            ..Row::default()
        }
    }

    /// A figure without a target, for who wants to know.
    pub(crate) fn report(figure: &str, measured: String) -> Row {
        Row {
            figure: figure.to_owned(),
            measured,
            verdict: "reported".to_owned(),
            ..Row::default()
        }
    }

    /// A figure that could not be measured.
    pub(crate) fn missing(figure: &str, reason: &str) -> Row {
        Row { figure: figure.to_owned(), verdict: reason.to_owned(), ..Row::default() }
    }

    /// A target that needs somebody who is not here.
    pub(crate) fn peers(figure: &str, target: &str) -> Row {
        Row {
            figure: figure.to_owned(),
            target: target.to_owned(),
            verdict: "see make bench-peers".to_owned(),
            ..Row::default()
        }
    }

    fn cells(&self) -> [&str; 6] {
        [&self.figure, &self.target, &self.measured, &self.beside, &self.ratio, &self.verdict]
    }
}

fn verdict(met: bool) -> String {
    if met { "met".to_owned() } else { "not met".to_owned() }
}

/// The ratio to something that is not steady says little.
fn moved(spread: f64) -> String {
    if spread > SPREAD_MAX { format!(", ±{:.0} %", spread * 50.0) } else { String::new() }
}

/// What stands above the columns.
const HEADS: [&str; 6] = ["figure", "target", "measured", "beside", "ratio", "verdict"];

/// The table for a terminal.
pub(crate) fn text(rows: &[Row]) -> String {
    let all: Vec<[&str; 6]> = std::iter::once(HEADS).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|cells| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for cells in &all {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let _ = write!(line, "{cell:<0$}  ", width(column));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The table for a page.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|---|---|---|---|---:|---|\n", HEADS.join(" | "));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.cells().join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_met_on_its_own_side_only() {
        let steady = |value| Reading { value, spread: 0.1 };
        let cost = (steady(1.2), steady(1.0));
        let at_most = Row::ratio("cost", "s", cost, "floor", Bound::AtMost(1.3));
        assert_eq!((at_most.ratio.as_str(), at_most.verdict.as_str()), ("1.20", "met"));
        let speed = (steady(0.7), steady(1.0));
        let at_least = Row::ratio("speed", "MB/s", speed, "best", Bound::AtLeast(0.8));
        assert_eq!(at_least.verdict, "not met");
        // What was not measured has met nothing.
        assert_eq!(Row::value("size", "MB", f64::NAN, Bound::AtMost(4.0)).verdict, "not met");
    }

    #[test]
    fn a_floor_that_moves_is_told() {
        let pair = (Reading::once(1.0), Reading { value: 1.0, spread: 0.5 });
        let row = Row::ratio("cost", "s", pair, "floor", Bound::AtMost(1.3));
        assert_eq!(row.verdict, "met, ±25 %");
    }
}
