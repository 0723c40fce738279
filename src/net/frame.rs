//! The head of a frame: four bytes that say how many follow, judged before anything is allocated.

use super::options::Options;
use super::reason::CloseReason;

/// Bytes of a frame's length.
pub(super) const HEAD_BYTES: usize = 4;

/// What the bytes at hand begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// Too few bytes for a length.
    Unknown,
    /// A small frame of `len` bytes after the length, not all of them here.
    Partial { len: usize },
    /// A small frame, whole.
    Whole { len: usize },
    /// The length of a large frame, and perhaps some of it.
    Large { len: usize },
    /// Not a frame.
    Bad(CloseReason),
}

/// Looks at the front of `bytes`; a frame has at most `bytes_max` bytes.
pub(super) fn front(bytes: &[u8], bytes_max: usize) -> Front {
    let Some((head, body)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Front::Unknown;
    };
    match usize::try_from(i32::from_be_bytes(*head)) {
        Ok(len) if len == 0 || len > bytes_max => Front::Bad(reason(*head, bytes_max)),
        Err(_) => Front::Bad(reason(*head, bytes_max)),
        Ok(len) if len > Options::SMALL_FRAME_BYTES => Front::Large { len },
        Ok(len) if body.len() < len => Front::Partial { len },
        Ok(len) => Front::Whole { len },
    }
}

/// Says what a peer that sent this length is likely to be.
fn reason(head: [u8; HEAD_BYTES], bytes_max: usize) -> CloseReason {
    const HTTP: [&[u8; 4]; 10] =
        [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"CONN", b"PATC", b"TRAC", b"PRI "];
    let announced = i32::from_be_bytes(head);
    if HTTP.contains(&&head) {
        return CloseReason::HttpRequest;
    }
    // A TLS record: handshake (22), legacy version 3.0 to 3.4.
    if let [22, 3, 0..=4, _] = head {
        return CloseReason::TlsHello;
    }
    match usize::try_from(announced) {
        Ok(0) => CloseReason::ZeroLength,
        Ok(bytes) => CloseReason::TooLarge { bytes, bytes_max },
        Err(_) => CloseReason::NegativeLength(announced),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_judged_before_the_body_arrives() {
        let max = 1_000_000;
        let cases: [(&[u8], Front); 8] = [
            (b"\0\0\0", Front::Unknown),
            (b"\0\0\0\x02a", Front::Partial { len: 2 }),
            (b"\0\0\0\x02abc", Front::Whole { len: 2 }),
            (b"\0\x01\0\0", Front::Partial { len: 65_536 }),
            (b"\0\x01\0\x01", Front::Large { len: 65_537 }),
            (b"\0\0\0\0", Front::Bad(CloseReason::ZeroLength)),
            (b"\xff\xff\xff\xfe", Front::Bad(CloseReason::NegativeLength(-2))),
            (
                b"\0\x10\0\0",
                Front::Bad(CloseReason::TooLarge { bytes: 1_048_576, bytes_max: 1_000_000 }),
            ),
        ];
        for (bytes, expected) in cases {
            assert_eq!(front(bytes, max), expected, "{bytes:?}");
        }
    }

    #[test]
    fn other_protocols_are_called_by_their_names() {
        let max = 100 * 1024 * 1024;
        for line in ["GET / HTTP/1.1\r\n", "POST /x", "PRI * HTTP/2.0", "OPTIONS *"] {
            assert_eq!(front(line.as_bytes(), max), Front::Bad(CloseReason::HttpRequest));
        }
        assert_eq!(front(&[22, 3, 1, 2, 0, 1], max), Front::Bad(CloseReason::TlsHello));
    }
}
