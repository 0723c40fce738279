//! The source text itself: layers, reachable files, opening lines, words that may not stand there, lengths of
//! functions, and the tables of the README.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
#![expect(clippy::indexing_slicing, reason = "positions come from the text itself")]
#![expect(clippy::disallowed_methods, reason = "the source is read as it lies there")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// One file of `src`, without what it says in comments and strings, and without its tests.
struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

impl Source {
    /// The layer that it belongs to: the first folder below `src`, or the file there.
    fn layer(&self) -> String {
        let first = self.path.components().nth(1).unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let source = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let own = text.split("\n#[cfg(test)]\n").next().unwrap();
        Source { path, code: blanked(own), text }
    };
    files("src").into_iter().map(source).collect()
}

/// The text with comments, strings and characters replaced by blanks; lines stay where they are.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = skipped(rest, code.chars().last());
        if length > 0 {
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            // What stands in place of a string keeps the code a code.
            code.push(' ');
        } else {
            code.push(c);
        }
        rest = &rest[length.max(c.len_utf8())..];
    }
    code
}

/// How many bytes of a comment, string or character begin here; 0: none does.
fn skipped(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").unwrap() + 2;
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if rest.starts_with("r#\"") && !in_word {
        return rest.find("\"#").unwrap() + 2;
    }
    if rest.starts_with("r\"") && !in_word {
        return 2 + rest[2..].find('"').unwrap() + 1;
    }
    // A quote that is not closed after one character is a lifetime.
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => quoted(rest, '\''),
        (Some('\''), Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

fn quoted(rest: &str, end: char) -> usize {
    let mut escaped = false;
    let closes = |(_, c): &(usize, char)| {
        let closes = !escaped && *c == end;
        escaped = *c == '\\' && !escaped;
        closes
    };
    rest.char_indices().skip(1).find(closes).unwrap().0 + 1
}

#[test]
fn every_file_opens_with_a_line_that_says_why_it_exists() {
    for path in files("src").into_iter().chain(files("tests")) {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("//! ") && first.len() > 15, "{}: {first}", path.display());
    }
}

/// Who may import whom. A name with a path stands for that part of a layer alone.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    // The macro `message` is exported at the root of the crate.
    ("wire", &["base", "message"]),
    ("record", &["base"]),
    ("net", &["base"]),
    ("http", &["base"]),
    ("storage", &["base", "record"]),
    ("broker", &["base", "wire", "record", "storage::job"]),
    ("testing", &["base", "wire", "record", "storage", "broker"]),
    ("start", &["base", "record", "storage", "broker"]),
    ("server", &["base", "wire", "record", "net", "http", "storage", "broker", "start", "config"]),
    ("config", &["base"]),
    ("log_setup", &["base"]),
    ("decode", &["base", "wire", "record"]),
    ("dump_log", &["base", "wire", "record", "storage"]),
    ("check", &["base", "wire", "record", "storage", "dump_log"]),
    ("transfer", &["base", "wire", "record", "storage", "broker"]),
    ("cli", &["base", "wire", "config"]),
    ("tools", &["storage", "decode", "dump_log", "check", "transfer", "cli"]),
];

#[test]
fn imports_point_down() {
    for source in sources() {
        let layer = source.layer();
        if layer == "lib" || layer == "main" {
            continue;
        }
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == layer)
            .unwrap_or_else(|| panic!("{} is of no known layer", source.path.display()));
        for (number, line) in source.lines() {
            for (at, _) in line.match_indices("crate::") {
                let path = &line[at + "crate::".len()..];
                let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
                if end.is_some_and(|end| path[end..].starts_with('!')) {
                    continue; // A macro belongs to the whole crate.
                }
                let whole = |name: &&str| {
                    let rest = path.strip_prefix(*name);
                    rest.is_some_and(|rest| {
                        !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                    })
                };
                let fine = whole(&layer.as_str()) || allowed.iter().any(whole);
                assert!(fine, "{}:{number}: {layer} imports {path}", source.path.display());
            }
        }
    }
}

#[test]
fn every_file_is_reachable() {
    let mut reached = BTreeSet::new();
    let mut open = vec![PathBuf::from("src/lib.rs"), PathBuf::from("src/main.rs")];
    let sources = sources();
    while let Some(path) = open.pop() {
        let source = sources.iter().find(|source| source.path == path);
        let source = source.unwrap_or_else(|| panic!("{} is missing", path.display()));
        open.extend(modules(&path, &source.text));
        reached.insert(path);
    }
    let all: BTreeSet<PathBuf> = sources.into_iter().map(|source| source.path).collect();
    assert!(all.is_subset(&reached), "{:?}", all.difference(&reached).collect::<Vec<_>>());
}

/// The files of the modules that a file names.
fn modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap();
    let is_root = stem == "lib" || stem == "main" || stem == "mod";
    let folder = path.parent().unwrap().join(if is_root { Path::new("") } else { Path::new(stem) });
    let name = |line: &str| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let line = line.trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    };
    let file = |name: String| {
        let flat = folder.join(format!("{name}.rs"));
        if flat.exists() { flat } else { folder.join(name).join("mod.rs") }
    };
    text.lines().filter_map(name).map(file).collect()
}

#[test]
fn nothing_that_may_panic_or_print_stands_outside_tests() {
    let banned = [
        ".unwrap()",
        ".expect(",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "unreachable!(",
        "println!(",
        "print!(",
        "dbg!(",
        "#[allow(",
        "thread::sleep",
        "unsafe ",
    ];
    for source in sources() {
        for (number, line) in source.lines() {
            for word in banned {
                // A method of our own may be called expect_something, and a module catch_unwind's.
                assert!(!line.contains(word), "{}:{number}: {word}", source.path.display());
            }
        }
    }
}

#[test]
fn no_file_tells_where_or_how_it_was_made() {
    let others = ["README.md", "CHANGELOG.md", "Makefile", "Cargo.toml"].map(PathBuf::from);
    let paths = files("src").into_iter().chain(files("tests")).chain(others);
    // Put together here, so that this file does not hold them.
    let banned = [["/wo", "rk/"], ["/ro", "ot/."], ["TO", "DO"], ["FIX", "ME"], ["XX", "X:"]];
    for path in paths.filter(|path| path.exists()) {
        let text = fs::read_to_string(&path).unwrap();
        for word in banned.map(|parts| parts.concat()) {
            assert!(!text.contains(&word), "{}: {word}", path.display());
        }
    }
}

/// Lines between the braces of every function.
fn function_lengths() -> Vec<(usize, String)> {
    let mut lengths = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.code.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            if let Some(name) = function_name(line) {
                let place = format!("{}:{} {name}", source.path.display(), index + 1);
                lengths.extend(body_lines(&lines[index..]).map(|length| (length, place)));
            }
        }
    }
    lengths.sort();
    lengths
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let opens = before.is_empty() || before.ends_with(' ');
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (opens && end > 0).then(|| &after[..end])
}

/// Lines of the body that begins in these lines; none if a declaration ends before one does.
fn body_lines(lines: &[&str]) -> Option<usize> {
    let (mut depth, mut brackets, mut began) = (0, 0, None);
    for (index, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if began.is_none() && brackets == 0 => return None,
                '{' => {
                    depth += 1;
                    began.get_or_insert(index);
                }
                '}' => depth -= 1,
                _ => {}
            }
            if began.is_some() && depth == 0 {
                let inner = index - began?;
                return Some(inner.saturating_sub(1).max(1));
            }
        }
    }
    None
}

#[test]
fn functions_stay_short() {
    let lengths = function_lengths();
    let at = |part: usize| lengths[(lengths.len() - 1) * part / 100].0;
    let (median, p90) = (at(50), at(90));
    let longest: Vec<_> = lengths.iter().rev().take(5).collect();
    println!("{} functions: median {median}, p90 {p90}, longest {longest:#?}", lengths.len());
    assert!(median <= 8, "median {median}");
    assert!(p90 <= 30, "p90 {p90}");
    assert!(longest[0].0 <= 70, "{:?}", longest[0]);
}

/// A part of the README that is printed from the code. `UPDATE_README=1` writes it.
fn assert_printed(name: &str, print: fn(&mut dyn std::io::Write) -> std::io::Result<()>) {
    let mut bytes = Vec::new();
    print(&mut bytes).unwrap();
    let printed = format!("\n{}", String::from_utf8(bytes).unwrap());
    let readme = fs::read_to_string("README.md").unwrap();
    let (open, close) = (format!("<!-- {name} -->\n"), format!("\n<!-- /{name} -->"));
    let start = readme.find(&open).unwrap() + open.len();
    let end = start + readme[start..].find(&close).unwrap();
    if env::var_os("UPDATE_README").is_some() {
        let updated = [&readme[..start], &printed, &readme[end..]].concat();
        fs::write("README.md", updated).unwrap();
    } else {
        let message = "run UPDATE_README=1 cargo test --test tidy -- --test-threads=1 readme";
        assert!(readme[start..end] == *printed, "README.md: {name} is old; {message}");
    }
}

#[test]
fn readme_shows_the_requests_that_are_served() {
    assert_printed("apis", chronik::cli::print_apis);
}

#[test]
fn readme_shows_the_keys_that_act() {
    assert_printed("keys", chronik::cli::print_keys);
}
