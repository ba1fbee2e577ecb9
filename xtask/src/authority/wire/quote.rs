//! Text from outside, made fit to be shown: without our secrets, without control characters, and short.

use license_core::finding::clean;

use crate::mask::SECRET_BYTES_MIN;

/// What stands in the place of a secret.
const MASKED: &str = "[masked]";

/// The secrets of one call. A server that echoes one of them, in whatever case, does not get it into a message.
pub(crate) struct Secrets<'a>(Vec<&'a str>);

impl<'a> Secrets<'a> {
    /// Takes the secrets. Shorter ones than [`SECRET_BYTES_MIN`] are left out: masking them would destroy the text.
    pub(crate) fn of(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets: Vec<_> = secrets.into_iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect();
        // The longest first: a secret that is part of another one must not break it up.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text as it may be shown and kept. Masked first, then cut: a cut secret would no longer be found.
    pub(crate) fn quote(&self, text: &str) -> String {
        let masked = self.0.iter().fold(text.to_owned(), |text, secret| without(text, secret));
        clean(masked.trim())
    }
}

/// The text with every occurrence of the secret masked. Secrets are ASCII; their case does not matter.
fn without(text: String, secret: &str) -> String {
    let place = |text: &str| {
        text.as_bytes().windows(secret.len()).position(|part| part.eq_ignore_ascii_case(secret.as_bytes()))
    };
    let (mut masked, mut rest) = (String::new(), text.as_str());
    while let Some((before, from)) = place(rest).and_then(|at| rest.split_at_checked(at)) {
        masked.push_str(before);
        masked.push_str(MASKED);
        rest = from.get(secret.len()..).unwrap_or_default();
    }
    // Most texts have none of a thousand secrets.
    if masked.is_empty() {
        return text;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_and_in_whatever_case_it_stands() {
        let secrets = Secrets::of(["TO-PRD-abcdef", "sk_live_123456"]);
        let quoted = secrets.quote("no to-prd-ABCDEF, TO-PRD-abcdefTO-PRD-abcdef; Bearer sk_live_123456");
        assert_eq!(quoted, "no [masked], [masked][masked]; Bearer [masked]");
        assert_eq!(secrets.quote("é TO-PRD-abcdef é\u{212a}"), "é [masked] é\u{212a}");
        assert_eq!(secrets.quote("TO-PRD-abcdeé"), "TO-PRD-abcdeé");
    }

    #[test]
    fn a_secret_within_another_one_does_not_break_it_up() {
        let secrets = Secrets::of(["secret-a", "xx-secret-a-yy"]);
        assert_eq!(secrets.quote("xx-secret-a-yy"), "[masked]");
    }

    #[test]
    fn a_secret_at_the_border_of_the_cut_is_masked_before_the_cut() {
        let secrets = Secrets::of(["TO-PRD-abcdef"]);
        let text = format!("{}TO-PRD-abcdef", "x".repeat(295));
        assert!(!secrets.quote(&text).contains("TO-"));
    }

    #[test]
    fn letters_outside_ascii_keep_their_places() {
        let secrets = Secrets::of(["TO-PRD-abcdef"]);
        assert_eq!(secrets.quote("İß to-prd-ABCDEF ıẞ"), "İß [masked] ıẞ");
    }

    #[test]
    fn a_very_short_secret_does_not_destroy_the_text() {
        assert_eq!(Secrets::of(["a"]).quote("a banana"), "a banana");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let quoted = Secrets::of([]).quote("a\u{1b}[31mb\r\nc\u{202e}d");
        assert!(!quoted.contains(['\u{1b}', '\r', '\n', '\u{202e}']), "{quoted:?}");
    }
}
