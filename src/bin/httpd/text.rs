//! Bytes as text: percent-encoding, HTML, and what is shown on a terminal.

use core::fmt::{self, Write};

/// Turns `%41` into `A`, in place, and returns how many bytes are left. `None` for a `%` without two
/// hexadecimal digits, and for a zero byte, encoded or not: no path has one.
pub fn percent_decode(text: &mut [u8]) -> Option<usize> {
    // Most paths stay as they are.
    let Some(first) = text.iter().position(|byte| matches!(byte, b'%' | 0)) else { return Some(text.len()) };
    let (mut from, mut to) = (first, first);
    while from < text.len() {
        let mut byte = text[from];
        from += 1;
        if byte == b'%' {
            let digits = text.get(from..from + 2)?;
            byte = hex_value(digits[0])? << 4 | hex_value(digits[1])?;
            from += 2;
        }
        if byte == 0 {
            return None;
        }
        text[to] = byte;
        to += 1;
    }
    Some(to)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Hands `put` the pieces of `path`, percent-encoded: all but RFC 3986's unreserved characters and the
/// slash. A colon is encoded as well, so that no name is taken for a scheme (`javascript:`).
pub fn percent_encode(path: &[u8], put: impl FnMut(&[u8])) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    replace(path, put, |byte, code| {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        if plain(byte) {
            return None;
        }
        *code = [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        Some(&code[..])
    });
}

/// Hands `put` the pieces of `text` as HTML, for use between tags and inside of quoted attributes.
pub fn html_escape(text: &[u8], put: impl FnMut(&[u8])) {
    replace(text, put, |byte, _| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'"' => Some(b"&quot;"),
        b'\'' => Some(b"&#39;"),
        _ => None,
    });
}

/// Hands `put` what `code` has for a byte, and runs of bytes for which it has nothing as they are.
fn replace(
    text: &[u8],
    mut put: impl FnMut(&[u8]),
    code: impl for<'a> Fn(u8, &'a mut [u8; 3]) -> Option<&'a [u8]>,
) {
    let mut start = 0;
    for (at, &byte) in text.iter().enumerate() {
        if let Some(code) = code(byte, &mut [0; 3]) {
            if start < at {
                put(&text[start..at]);
            }
            put(code);
            start = at + 1;
        }
    }
    if start < text.len() {
        put(&text[start..]);
    }
}

/// A path of a request, as the access log shows it: percent-encoded, so that nothing in it can end the
/// line or pose as another field.
pub struct Encoded<'a>(pub &'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        percent_encode(self.0, |piece| {
            let text = str::from_utf8(piece).unwrap_or_default(); // ASCII, all of it
            result = result.and_then(|()| f.write_str(text));
        });
        result
    }
}

/// An argument, as messages show it: control characters are escaped, so that it stays on its line.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}
