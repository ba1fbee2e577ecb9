//! Text in quoted-printable (RFC 2045 §6.7): short lines in ASCII, whatever the text.

/// The longest line, in characters.
const LINE_CHARS_MAX: usize = 76;

/// Encodes a text; its lines end in a line feed. No line is a dot alone, and none begins with `From `: programs on the
/// way give a meaning to those.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for line in text.lines() {
        let mut length = 0;
        let bytes = line.as_bytes();
        for (at, &byte) in bytes.iter().enumerate() {
            // Room is left for a byte in three characters, and for the `=` of a line that goes on.
            if length + 3 > LINE_CHARS_MAX - 1 {
                encoded.push_str("=\n");
                length = 0;
            }
            let is_last = at + 1 == bytes.len();
            let is_plain = match byte {
                b'=' => false,
                b' ' | b'\t' => !is_last,
                b'.' | b'F' => length > 0,
                _ => byte.is_ascii_graphic(),
            };
            if is_plain {
                encoded.push(char::from(byte));
            } else {
                encoded.push('=');
                encoded.push_str(&super::words::hex(&[byte]).to_ascii_uppercase());
            }
            length += if is_plain { 1 } else { 3 };
        }
        encoded.push('\n');
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inverse, as simple as it can be.
    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.replace("=\n", "").into_bytes().into_iter();
        while let Some(byte) = rest.next() {
            if byte == b'=' {
                let pair = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_text_comes_back_and_no_line_is_long_or_has_a_meaning() {
        for text in [
            "plain\n",
            ".\n..\nFrom here\n\n",
            "a=b \nc\t\n",
            &format!("{}\n", "ü".repeat(400)),
            &format!("{}\n", "x".repeat(2000)),
            &format!("{} \n", "From . ".repeat(60)),
            "nul \u{0} and \u{1b}[31m\n",
        ] {
            let encoded = encode(text);
            assert_eq!(decoded(&encoded), text);
            for line in encoded.lines() {
                assert!(line.len() <= LINE_CHARS_MAX && line.is_ascii(), "{line}");
                assert!(line != "." && !line.starts_with("From ") && !line.ends_with([' ', '\t']), "{line:?}");
            }
        }
    }
}
