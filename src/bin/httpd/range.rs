//! The `Range` header (RFC 9110, 14.1.2), one range of bytes.

/// What part of a file is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteRange {
    /// From the first to the last byte, both included; or to the end, if that is nearer.
    Within(u64, u64),
    /// The last so many bytes.
    Last(u64),
}

impl ByteRange {
    /// Offset and length of the range in a file of `size` bytes; `None` if nothing of it is there (416).
    pub fn of(self, size: u64) -> Option<(u64, u64)> {
        match self {
            ByteRange::Within(first, last) if first < size => Some((first, last.min(size - 1) - first + 1)),
            ByteRange::Last(count) if count > 0 && size > 0 => {
                let len = count.min(size);
                Some((size - len, len))
            }
            _ => None,
        }
    }
}

/// Reads the header's value. `None` for what is to be ignored: another unit, several ranges, nonsense.
pub fn parse(value: &[u8]) -> Option<ByteRange> {
    let (unit, range) = value.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let dash = range.iter().position(|&byte| byte == b'-')?;
    match (&range[..dash], &range[dash + 1..]) {
        (b"", count) => Some(ByteRange::Last(number(count)?)),
        (first, b"") => Some(ByteRange::Within(number(first)?, u64::MAX)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(ByteRange::Within(first, last))
        }
    }
}

/// Digits and nothing else. What no file can reach is as good as the greatest number.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |byte: &u8| u64::from(byte - b'0');
    Some(text.iter().fold(0, |number: u64, byte| number.saturating_mul(10).saturating_add(digit(byte))))
}
