//! Reads fixtures of hexadecimal text, so that bytes captured elsewhere can be read and compared in review.

/// The bytes of a fixture: pairs of digits, anything after a `#` is a comment.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(str::chars)
        .filter_map(|c| c.to_digit(16)?.try_into().ok())
        .collect();
    assert!(digits.len() % 2 == 0, "half a byte at the end");
    digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}
