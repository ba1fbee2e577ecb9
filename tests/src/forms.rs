//! The forms in which a secret can leak: plain, base64 at every alignment and in both alphabets, percent-encoded.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Every form of a secret that a text is searched for, each with its name.
pub fn of(secret: &str) -> Vec<(&'static str, String)> {
    let mut forms = vec![("plain", secret.to_owned()), ("percent-encoded", percent(secret))];
    for skip in 0..3 {
        let shifted = [&[0; 2][..skip], secret.as_bytes()].concat();
        forms.push(("base64", inner(&STANDARD_NO_PAD.encode(&shifted), skip)));
        forms.push(("base64 for URLs", inner(&URL_SAFE_NO_PAD.encode(&shifted), skip)));
    }
    forms
}

/// The secret with everything but unreserved characters percent-encoded.
pub fn percent(secret: &str) -> String {
    secret.bytes().map(percent_byte).collect()
}

fn percent_byte(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// The characters that the secret alone decides: those it shares with its neighbors are left out.
fn inner(encoded: &str, skip: usize) -> String {
    let start = if skip == 0 { 0 } else { skip + 1 };
    encoded[start..encoded.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_base64_at_every_alignment() {
        for before in ["", "a", "ab", "abc"] {
            let text = STANDARD_NO_PAD.encode(format!("{before}TO-PRD-9Zq/7+K3y and more"));
            assert!(of("TO-PRD-9Zq/7+K3y").iter().any(|(_, form)| text.contains(form)), "{before}: {text}");
        }
    }

    #[test]
    fn reserved_characters_are_percent_encoded() {
        assert_eq!(percent("a/b+c=~"), "a%2Fb%2Bc%3D~");
    }
}
