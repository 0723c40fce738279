//! Java's `.properties` format: comments, continued lines, escapes.

/// Keys and values in the order of the file. A key may stand there twice; the later one counts.
///
/// The bytes are UTF-8, else Latin-1, which is what Java reads.
///
/// # Errors
/// The line's number and what is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    logical_lines(&text).into_iter().map(|(number, line)| pair(number, &line)).collect()
}

fn pair(number: usize, line: &str) -> Result<(String, String), String> {
    let (key, value) = split(line);
    let unescaped = |text| unescape(text).map_err(|reason| format!("line {number}: {reason}"));
    Ok((unescaped(key)?, unescaped(value)?))
}

/// Lines without comments and blanks, continued ones joined, each with the number at which it starts.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (index, natural) in text.split('\n').enumerate() {
        let natural = natural.trim_start_matches(BLANKS);
        if !continues {
            if natural.is_empty() || natural.starts_with(['#', '!']) {
                continue;
            }
            lines.push((index + 1, String::new()));
        }
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        continues = backslashes % 2 == 1;
        let end = natural.len() - usize::from(continues);
        if let Some((_, line)) = lines.last_mut() {
            line.push_str(natural.get(..end).unwrap_or_default());
        }
    }
    lines
}

const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

/// Splits at the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let ends_key = |c: char| {
        let ends = !escaped && (BLANKS.contains(&c) || c == '=' || c == ':');
        escaped = c == '\\' && !escaped;
        ends
    };
    let (key, rest) = line.split_at(line.find(ends_key).unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Result<String, String> {
    // Java's escapes are UTF-16 units: a character beyond 16 bits is two of them.
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let unit = if c == '\\' { escape(&mut chars)? } else { Unit::Plain(c) };
        match unit {
            Unit::Plain(c) => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            Unit::Code(code) => units.push(code),
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

enum Unit {
    Plain(char),
    Code(u16),
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<Unit, String> {
    Ok(match chars.next() {
        Some('t') => Unit::Plain('\t'),
        Some('n') => Unit::Plain('\n'),
        Some('r') => Unit::Plain('\r'),
        Some('f') => Unit::Plain('\x0c'),
        Some('u') => {
            let digits: String = chars.by_ref().take(4).collect();
            let whole = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
            let code = u16::from_str_radix(&digits, 16).ok().filter(|_| whole);
            Unit::Code(code.ok_or(format!("\\u{digits} is not \\u and four hexadecimal digits"))?)
        }
        Some(other) => Unit::Plain(other),
        None => return Err("a lone backslash at the end".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn pairs_are_split_as_java_splits_them() {
        // Each line and its pair as java.util.Properties reads it.
        let table = [
            ("a=b", "a", "b"),
            ("  a = b ", "a", "b "),
            ("a:b=c", "a", "b=c"),
            ("a b c", "a", "b c"),
            ("a", "a", ""),
            ("a\\=b=c", "a=b", "c"),
            ("a\\ b c", "a b", "c"),
            ("a=\\u00e9\\ud83d\\ude00", "a", "\u{e9}\u{1f600}"),
            ("a=c:\\\\data\\tx\\q", "a", "c:\\data\txq"),
            ("a=b # no comment", "a", "b # no comment"),
            ("a=b\\\\", "a", "b\\"),
            ("=b", "", "b"),
        ];
        for (line, key, value) in table {
            assert_eq!(parsed(line), [(key.to_owned(), value.to_owned())], "{line}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_lines_continue() {
        let text = "# one\n! two\n\n   \t\nlist=a,\\\n    b,\\\r\n  #c\rlast=1\\";
        let pairs = parsed(text);
        assert_eq!(pairs[0], ("list".to_owned(), "a,b,#c".to_owned()));
        assert_eq!(pairs[1], ("last".to_owned(), "1".to_owned()));
        assert_eq!(pairs.len(), 2);
    }

    #[test]
    fn a_bad_escape_names_its_line() {
        let error = parse(b"a=1\n\nb=\\u00g0").unwrap_err();
        assert!(error.starts_with("line 3: "), "{error}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(parse(b"a=\xe9").unwrap()[0].1, "\u{e9}");
    }
}
