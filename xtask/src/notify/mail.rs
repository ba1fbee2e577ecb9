//! A message as a mail (RFC 5322), as programs like `sendmail` take it: lines end in a line feed, and the recipients
//! stand in the header.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Message, News, quoted_printable, words};

/// Who gets a mail, and who it is from. Addresses are checked where they are configured: one word in ASCII.
pub(super) struct Envelope {
    /// Who gets it; at least one.
    pub(super) to: Vec<String>,
    /// Who it is from; where nobody says, the mail program does.
    pub(super) from: Option<String>,
}

/// The domain of message ids where no address gives one.
const NO_DOMAIN: &str = "license-hooks.invalid";
/// The longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 200;
/// How many bytes an encoded word of a header holds: in base64, and with what stands round it, it stays below the
/// 75 characters of RFC 2047.
const ENCODED_BYTES_MAX: usize = 42;
/// The longest line of a plain subject, in characters, where it has spaces.
const LINE_CHARS_MAX: usize = 76;
/// What an encoded word begins with: text that has it is encoded, so that nobody decodes it.
const ENCODED_WORD: &str = "=?";

impl Envelope {
    /// The mail.
    pub(super) fn mail(&self, message: &Message) -> String {
        let mut mail = String::new();
        let mut header = |name: &str, value: &str| {
            // A text takes everything. Whatever a value holds, it stays the value of this header.
            let _ = writeln!(mail, "{name}: {value}");
        };
        if let Some(from) = &self.from {
            header("From", &on_one_line(from));
        }
        header("To", &self.to.iter().map(|to| on_one_line(to)).collect::<Vec<_>>().join(",\n "));
        header("Subject", &subject(&words::headline(message)));
        header("Date", &message.at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string());
        header("Message-ID", &self.id(message, message.news));
        match message.news {
            News::Stands | News::Test => {}
            // The end of an alert stands below the alert.
            News::Over(_) => {
                let first = self.id(message, News::Stands);
                header("In-Reply-To", &first);
                header("References", &first);
            }
        }
        header("Auto-Submitted", "auto-generated");
        header("MIME-Version", "1.0");
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Transfer-Encoding", "quoted-printable");
        mail.push('\n');
        mail + &quoted_printable::encode(&body(message))
    }

    /// The same for the same news of one alert: a mail that is sent twice is one.
    fn id(&self, message: &Message, news: News) -> String {
        let address = self.from.as_deref().or(self.to.first().map(String::as_str)).unwrap_or_default();
        let is_domain = |domain: &&str| {
            !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        let domain = address.rsplit_once('@').map(|(_, domain)| domain).filter(is_domain).unwrap_or(NO_DOMAIN);
        format!("<{}@{domain}>", words::occurrence(message, news))
    }
}

fn body(message: &Message) -> String {
    let mut text = format!("{}\n\n", words::headline(message));
    for (name, value) in words::details(message) {
        let _ = writeln!(text, "{name}: {value}");
    }
    text
}

fn on_one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The subject: as it is where it is ASCII, else in encoded words; in lines that are not too long.
fn subject(text: &str) -> String {
    let text = on_one_line(&words::cut(&format!("[license] {text}"), SUBJECT_CHARS_MAX));
    if text.is_ascii() && !text.contains(ENCODED_WORD) {
        return folded(&text);
    }
    let mut encoded: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > ENCODED_BYTES_MAX {
            encoded.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    encoded.push(word);
    let words: Vec<String> = encoded.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\n ")
}

/// A text with a line break before some of its spaces; where two come together there is none.
fn folded(text: &str) -> String {
    let mut folded = String::new();
    let mut length = "Subject: ".len();
    for (count, word) in text.split(' ').enumerate() {
        let breaks = count > 0 && !word.is_empty() && length + 1 + word.len() > LINE_CHARS_MAX;
        match (count, breaks) {
            (0, _) => {}
            (_, true) => {
                folded.push_str("\n ");
                length = 1;
            }
            (_, false) => {
                folded.push(' ');
                length += 1;
            }
        }
        folded.push_str(word);
        length += word.len();
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_outside_ascii_is_in_encoded_words_that_come_back() {
        let text = format!("{}ü", "schlüssel ".repeat(12));
        let subject = subject(&text);
        let mut decoded = String::new();
        for line in subject.split('\n') {
            let line = line.trim_start();
            assert!(line.len() <= 75, "{line}");
            let word = line.strip_prefix("=?utf-8?B?").unwrap().strip_suffix("?=").unwrap();
            decoded += std::str::from_utf8(&STANDARD.decode(word).unwrap()).unwrap();
        }
        assert_eq!(decoded, format!("[license] {text}"));
        assert_eq!(super::subject("plain"), "[license] plain");
        assert!(!super::subject("=?utf-8?B?eA==?=").contains("eA=="));
    }

    #[test]
    fn a_long_subject_comes_back_when_it_is_unfolded() {
        for text in ["word ".repeat(30), format!("a  b{}c", " ".repeat(90)), "x".repeat(150)] {
            let subject = subject(&text);
            assert_eq!(subject.replace("\n ", " "), format!("[license] {text}"));
            assert!(subject.lines().all(|line| !line.trim().is_empty()), "{subject:?}");
            assert!(
                subject.lines().all(|line| line.len() <= 78 || text.contains("xx") || text.contains("  ")),
                "{subject}"
            );
        }
    }

    #[test]
    fn no_text_begins_another_header() {
        for text in ["a\nBcc: x@example.com", "a\r\nBcc: x@example.com", "a\r\n\r\nbody", "\u{85}a\nb"] {
            let subject = subject(text);
            assert!(subject.split('\n').skip(1).all(|line| line.starts_with(' ')), "{subject:?}");
            assert!(!subject.contains('\r'), "{subject:?}");
        }
    }
}
