//! `RUST_LOG`: which level for which part of the program.

use simplelog::LevelFilter;

/// Levels by target. An event follows the longest target that its own begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// Longest target first; the empty one stands for everything.
    by_target: Vec<(String, LevelFilter)>,
}

impl Directives {
    /// Reads `LEVEL`, `TARGET`, `TARGET=LEVEL` or several with commas, and says what could not be read. Nothing
    /// given: `info`. A target without a level shows everything.
    #[must_use]
    pub fn parse(text: &str) -> (Directives, Vec<String>) {
        let mut directives = Directives { by_target: Vec::new() };
        let mut warnings = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match directive(part) {
                Some((target, level)) => directives.set(target, level),
                None => warnings.push(format!("RUST_LOG: {part:?} is not understood")),
            }
        }
        if directives.by_target.is_empty() {
            directives.set("", LevelFilter::Info);
        }
        directives.by_target.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        (directives, warnings)
    }

    fn set(&mut self, target: &str, level: LevelFilter) {
        self.by_target.retain(|(other, _)| other != target);
        self.by_target.push((target.to_owned(), level));
    }

    /// The level up to which events of this target are shown.
    #[must_use]
    pub fn level_of(&self, target: &str) -> LevelFilter {
        let found = self.by_target.iter().find(|(prefix, _)| target.starts_with(prefix));
        found.map_or(LevelFilter::Off, |(_, level)| *level)
    }

    /// The level beyond which nothing is shown at all.
    #[must_use]
    pub fn level_max(&self) -> LevelFilter {
        self.by_target.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::Off)
    }

    /// Targets and their levels.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, LevelFilter)> {
        self.by_target.iter().map(|(target, level)| (target.as_str(), *level))
    }
}

fn directive(part: &str) -> Option<(&str, LevelFilter)> {
    match part.split_once('=') {
        Some((target, level)) => Some((target.trim(), level.trim().parse().ok()?)),
        None => match part.parse() {
            Ok(level) => Some(("", level)),
            Err(_) if part.contains(|c: char| !c.is_alphanumeric() && !"_:".contains(c)) => None,
            Err(_) => Some((part, LevelFilter::Trace)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(text: &str, targets: [&str; 3]) -> [LevelFilter; 3] {
        let (directives, warnings) = Directives::parse(text);
        assert_eq!(warnings, [""; 0], "{text}");
        targets.map(|target| directives.level_of(target))
    }

    #[test]
    fn the_longest_target_decides() {
        use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
        let targets = ["chronik::wire::api", "chronik::net", "mio"];
        for (text, expected) in [
            ("", [Info, Info, Info]),
            ("debug", [Debug, Debug, Debug]),
            ("OFF", [Off, Off, Off]),
            ("chronik::wire=trace", [Trace, Off, Off]),
            ("warn,chronik=info, chronik::wire = trace", [Trace, Info, Warn]),
            ("chronik::wire", [Trace, Off, Off]),
            ("info,debug", [Debug, Debug, Debug]),
            ("error,chronik::wire=off", [Off, Error, Error]),
        ] {
            assert_eq!(levels(text, targets), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let (directives, warnings) = Directives::parse("debug,chronik=loud,a b");
        assert_eq!(directives.level_max(), LevelFilter::Debug);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
