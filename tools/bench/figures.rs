//! Figures with names: one line of JSON each run, and medians of several.

use std::fmt::Write;

/// One figure as it came out of several runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The median, or that of a single run.
    pub value: f64,
    /// How far the runs lie apart without a quarter of them, rounded down, at either end; as a part of the median.
    pub spread: f64,
}

impl Reading {
    /// Of a single run.
    pub(crate) fn once(value: f64) -> Reading {
        Reading { value, spread: 0.0 }
    }

    /// Of several runs.
    fn of(mut values: Vec<f64>) -> Reading {
        values.sort_by(f64::total_cmp);
        let cut = values.len() / 4;
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let apart = at(values.len().wrapping_sub(1).wrapping_sub(cut)) - at(cut);
        let value = median(values);
        Reading { value, spread: apart / value }
    }
}

/// Names and numbers, in the order in which they were put.
#[derive(Clone, Default, Debug)]
pub(crate) struct Figures(Vec<(&'static str, Reading)>);

impl Figures {
    /// With one more.
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Figures {
        self.0.push((name, Reading::once(value)));
        self
    }

    /// The figure of this name.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.reading(name).map(|reading| reading.value)
    }

    /// The same, with how much it varied.
    pub(crate) fn reading(&self, name: &str) -> Option<Reading> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, reading)| *reading)
    }

    /// The run in which a request cost the server least: the one that was disturbed least.
    pub(crate) fn least(runs: &[Figures]) -> Figures {
        let cost = |run: &&Figures| run.get("cpu_us_per_request").unwrap_or(f64::INFINITY);
        let least = runs.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
        let names = least.map(|run| run.0.as_slice()).unwrap_or_default();
        let spread = |name: &str| over(runs, name).spread;
        Figures(
            names
                .iter()
                .map(|(name, own)| (*name, Reading { spread: spread(name), ..*own }))
                .collect(),
        )
    }

    /// Of every name in the first the median over all.
    pub(crate) fn medians(runs: &[Figures]) -> Figures {
        let names = runs.first().map(|run| run.0.as_slice()).unwrap_or_default();
        Figures(names.iter().map(|(name, _)| (*name, over(runs, name))).collect())
    }
}

fn over(runs: &[Figures], name: &str) -> Reading {
    Reading::of(runs.iter().filter_map(|run| run.get(name)).collect())
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    }
}

/// One run of one subject, as a line of JSON.
pub(crate) fn json_line(
    scenario: &str,
    subject: &str,
    params: &[(&str, String)],
    round: usize,
    figures: &Figures,
) -> String {
    let mut line = format!("{{\"scenario\":{},\"subject\":{}", text(scenario), text(subject));
    let params: Vec<String> =
        params.iter().map(|(name, value)| format!("{}:{}", text(name), plain(value))).collect();
    let _ = write!(line, ",\"params\":{{{}}},\"round\":{round}", params.join(","));
    for (name, Reading { value, .. }) in &figures.0 {
        let value = if value.is_finite() { significant(*value) } else { "null".to_owned() };
        let _ = write!(line, ",{}:{value}", text(name));
    }
    line.push('}');
    line
}

/// A number as it is, anything else as text.
fn plain(value: &str) -> String {
    if value.parse::<f64>().is_ok_and(f64::is_finite) { value.to_owned() } else { text(value) }
}

fn text(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Four digits, or all before the point.
pub(crate) fn significant(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size >= 1000.0 || value.fract() == 0.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 1.0 => 3,
        _ if size >= 0.01 => 4,
        _ => 6,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn the_spread_leaves_out_the_outermost_of_five() {
        let run = |value| Figures::default().with("cost", value);
        let runs = [9.0, 2.0, 2.2, 1.8, 0.1].map(run);
        let reading = Figures::medians(&runs).reading("cost").unwrap();
        assert_eq!(significant(reading.value), "2");
        assert_eq!(significant(reading.spread), "0.2000", "2.2 - 1.8, of 2");
    }

    #[test]
    fn a_line_of_results_is_json() {
        let figures = Figures::default().with("seconds", 0.12345).with("nothing", f64::NAN);
        let params = [("codec", "none".to_owned()), ("record", "1024".to_owned())];
        assert_eq!(
            json_line("produce", "a \"floor\"", &params, 2, &figures),
            r#"{"scenario":"produce","subject":"a \"floor\"","params":{"codec":"none","record":1024},"round":2,"seconds":0.1235,"nothing":null}"#
        );
    }
}
