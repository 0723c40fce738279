//! The scenarios behind the table. Each starts whom it needs, lets them take turns, and answers rows.

mod idle;
mod latency;
mod scale;
mod start;
mod synced;
mod throughput;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::figures::{Figures, Reading, json_line};
use crate::plot::Plot;
use crate::row::Row;
use crate::spec::Spec;
use crate::subject::Site;

/// A part of the table.
pub(crate) struct Scenario {
    /// As `--only` calls it.
    pub name: &'static str,
    /// Measures it.
    pub run: fn(&mut Bench) -> Result<Vec<Row>, String>,
}

/// All of them, in the order of the table.
pub(crate) const ALL: &[Scenario] = &[
    Scenario { name: "produce", run: throughput::produce },
    Scenario { name: "fetch", run: throughput::fetch },
    Scenario { name: "synced", run: synced::groups },
    Scenario { name: "latency", run: latency::acks },
    Scenario { name: "arrival", run: latency::arrival },
    Scenario { name: "beside", run: synced::beside },
    Scenario { name: "idle", run: idle::run },
    Scenario { name: "full", run: start::full_load },
    Scenario { name: "start", run: start::times },
    Scenario { name: "binary", run: start::binaries },
    Scenario { name: "connections", run: scale::connections },
    Scenario { name: "partitions", run: scale::partitions },
    Scenario { name: "records", run: scale::records },
];

/// One who takes turns with others: its name, and what it does in a turn.
pub(crate) type Turn<'a> = (String, Box<dyn FnMut() -> Result<Figures, String> + 'a>);

/// What scenarios share.
pub(crate) struct Bench {
    /// Programs and directories.
    pub site: Site,
    /// Less of everything, for a first look.
    pub quick: bool,
    /// How often all take turns, after a first time that does not count; `None`: as often as the rest suggests.
    pub rounds: Option<usize>,
    /// Of everybody the least disturbed round instead of the median: for a machine on which others work.
    pub least: bool,
    results: File,
    out: PathBuf,
}

impl Bench {
    /// Results go to `out`, files of servers below it.
    ///
    /// # Errors
    /// If the directories cannot be made.
    pub(crate) fn new(out: &Path, quick: bool) -> Result<Bench, String> {
        let site = Site::new(&out.join("data"))?;
        let path = out.join("results.jsonl");
        let results =
            File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Bench { site, quick, rounds: None, least: false, results, out: out.to_owned() })
    }

    /// This many, or fewer when it has to be quick.
    pub(crate) fn amount<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Lets all take turns, several times, and answers for each the medians of all rounds but the first, in which
    /// memory and files are cold.
    ///
    /// # Errors
    /// The first failure of anybody.
    pub(crate) fn alternate(
        &mut self,
        scenario: &str,
        spec: &Spec,
        mut turns: Vec<Turn<'_>>,
    ) -> Result<Vec<Figures>, String> {
        let rounds = self.rounds.unwrap_or(self.amount(5, 3));
        let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); turns.len()];
        for round in 0..=rounds {
            for ((name, turn), runs) in turns.iter_mut().zip(&mut runs) {
                let figures = turn().map_err(|reason| format!("{name}: {reason}"))?;
                if round > 0 {
                    self.record(scenario, name, &spec.params(), round, &figures);
                    runs.push(figures);
                }
            }
        }
        let one = if self.least { Figures::least } else { Figures::medians };
        Ok(runs.iter().map(|runs| one(runs)).collect())
    }

    /// Writes a line of results.
    pub(crate) fn record(
        &mut self,
        scenario: &str,
        subject: &str,
        params: &[(&str, String)],
        round: usize,
        figures: &Figures,
    ) {
        let line = json_line(scenario, subject, params, round, figures);
        // The table is what counts; a full disk shows elsewhere.
        let _ = writeln!(self.results, "{line}");
    }

    /// Writes a drawing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn draw(&self, name: &str, plot: &Plot) -> Result<(), String> {
        let path = self.out.join(name);
        std::fs::write(&path, plot.svg()).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The named figure of the first two who took turns.
pub(crate) fn pair(medians: &[Figures], name: &str) -> (Reading, Reading) {
    (reading(medians, 0, name), reading(medians, 1, name))
}

/// The named figure of the n-th who took turns, and how much it varied.
pub(crate) fn reading(medians: &[Figures], index: usize, name: &str) -> Reading {
    medians.get(index).and_then(|figures| figures.reading(name)).unwrap_or(Reading::once(f64::NAN))
}

/// The named figure of the n-th who took turns.
pub(crate) fn figure(medians: &[Figures], index: usize, name: &str) -> f64 {
    reading(medians, index, name).value
}

/// Runs the scenarios of these names, or all. One that fails is a row that says so, and the others go on.
pub(crate) fn run(bench: &mut Bench, only: &[String]) -> Vec<Row> {
    let mut rows = Vec::new();
    for scenario in ALL {
        if !only.is_empty() && !only.iter().any(|name| name == scenario.name) {
            continue;
        }
        // What the last scenario has left to be written is no part of this one.
        rustix::fs::sync();
        let start = Instant::now();
        let measured = (scenario.run)(bench).unwrap_or_else(|reason| {
            vec![Row::missing(scenario.name, &format!("failed: {reason}"))]
        });
        let seconds = start.elapsed().as_secs_f64();
        let _ = writeln!(io::stderr(), "{}: {seconds:.1} s", scenario.name);
        rows.extend(measured);
    }
    rows
}
