//! A hash-chained log of JSON lines: order that cannot be changed without showing.
//!
//! `prev` is the SHA-256 of the line before, without its line break; the first `prev` is 64 zeros.
//! A chain proves order, not completeness: whoever can write the file can write another chain. Compare the
//! head with one that was kept elsewhere.

use alloc::{borrow::ToOwned, format, string::String};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// The version of the line format that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// The SHA-256 of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// What stands before the first line.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of a line, given without its line break.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl From<[u8; 32]> for LineHash {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for LineHash {
    type Err = NotALineHash;

    fn from_str(text: &str) -> Result<Self, NotALineHash> {
        // `from_str_radix` alone would take a sign for a digit.
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotALineHash);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| NotALineHash)?;
        }
        Ok(Self(bytes))
    }
}

impl From<LineHash> for String {
    fn from(hash: LineHash) -> Self {
        alloc::format!("{hash}")
    }
}

impl TryFrom<String> for LineHash {
    type Error = NotALineHash;

    fn try_from(text: String) -> Result<Self, NotALineHash> {
        text.parse()
    }
}

/// A text that is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line's hash has 64 hex digits")]
pub struct NotALineHash;

/// Where a log ends: the last line's number, counted from 1, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of lines.
    pub seq: u64,
    /// The hash of the last line.
    #[serde(rename = "head")]
    pub hash: LineHash,
}

impl Head {
    /// The head of a log without lines.
    pub const EMPTY: Self = Self { seq: 0, hash: LineHash::ZERO };
}

/// One line: its place in the chain, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<T> {
    /// The format's version.
    pub v: u32,
    /// The line's number, counted from 1.
    pub seq: u64,
    /// The hash of the line before.
    pub prev: LineHash,
    /// What the line says.
    #[serde(flatten)]
    pub body: T,
}

/// Writes the line that follows `head`, without a line break, and the head that it makes.
///
/// The body must be a struct or map without fields named `v`, `seq` or `prev`.
/// The line is read back before it is given out: a body that makes it ambiguous is an error, not a broken log.
pub fn next_line<T: Serialize>(head: &Head, body: &T) -> Result<(String, Head), ChainError> {
    let seq = seq_after(head)?;
    let entry = Entry { v: VERSION, seq, prev: head.hash, body };
    let line = serde_json::to_string(&entry).map_err(|error| ChainError::Unwritable { seq, why: why(&error) })?;
    let next = follow(head, line.as_bytes())?;
    Ok((line, next))
}

/// Reads the line that follows `head`, checks its place in the chain, and gives the head that it makes.
/// Fields that the body does not know are ignored; a field that stands there twice makes the line unreadable.
pub fn read_line<T: DeserializeOwned>(head: &Head, line: &[u8]) -> Result<(Entry<T>, Head), ChainError> {
    match serde_json::from_slice::<Entry<T>>(line) {
        // Nearly every line is in its place, and is parsed this once.
        Ok(entry) if entry.v == VERSION && head.seq.checked_add(1) == Some(entry.seq) && entry.prev == head.hash => {
            let next = Head { seq: entry.seq, hash: LineHash::of(line) };
            Ok((entry, next))
        }
        // What is wrong with the place is told before what is wrong with the body.
        read => {
            let next = follow(head, line)?;
            let entry = read.map_err(|error| ChainError::Unreadable { seq: next.seq, why: why(&error) })?;
            Ok((entry, next))
        }
    }
}

/// Checks the place of one line in the chain, whatever its body says, and gives the head that it makes.
pub fn follow(head: &Head, line: &[u8]) -> Result<Head, ChainError> {
    let expected = seq_after(head)?;
    let envelope = read_envelope(expected, line)?;
    if envelope.seq != expected {
        return Err(ChainError::OutOfOrder { expected, found: envelope.seq });
    }
    if envelope.prev != head.hash {
        return Err(ChainError::Broken { seq: expected });
    }
    Ok(Head { seq: expected, hash: LineHash::of(line) })
}

/// Checks that the lines, given without their line breaks, continue the chain from `head`, and gives its end.
/// Only a comparison of that end with a head that was kept elsewhere shows a change of the last line.
pub fn verify<'a>(head: Head, lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Head, ChainError> {
    lines.into_iter().try_fold(head, |head, line| follow(&head, line))
}

/// An entry's place in the chain.
#[derive(Deserialize)]
struct Envelope {
    seq: u64,
    prev: LineHash,
}

fn read_envelope(seq: u64, line: &[u8]) -> Result<Envelope, ChainError> {
    #[derive(Deserialize)]
    struct Format {
        v: u32,
    }
    // The format comes first: a newer one may write the other fields differently.
    let format: Format =
        serde_json::from_slice(line).map_err(|error| ChainError::Unreadable { seq, why: why(&error) })?;
    match format.v {
        VERSION => {}
        0 => return Err(ChainError::Unreadable { seq, why: "there is no format 0".to_owned() }),
        found => return Err(ChainError::Newer { seq, found }),
    }
    serde_json::from_slice(line).map_err(|error| ChainError::Unreadable { seq, why: why(&error) })
}

fn seq_after(head: &Head) -> Result<u64, ChainError> {
    head.seq.checked_add(1).ok_or(ChainError::Full)
}

/// What is wrong with a line, without a word of what stands in it: a log may hold keys, and the parser's own
/// text quotes the value that it stumbles over. The names of fields are ours.
fn why(error: &serde_json::Error) -> String {
    use serde_json::error::Category;

    let text = format!("{error}");
    if text.starts_with("missing field ") || text.starts_with("duplicate field ") {
        return text.split(" at line ").next().unwrap_or_default().to_owned();
    }
    match error.classify() {
        Category::Syntax => format!("it is not JSON from column {} on", error.column()),
        Category::Eof => "it ends too early".to_owned(),
        Category::Data => "a field has a value of another type".to_owned(),
        Category::Io => "it could not be read to its end".to_owned(),
    }
}

/// Why a line does not continue the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not a line of this format.
    #[error("line {seq} cannot be read: {why}")]
    Unreadable {
        /// The number that the line should have.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The body cannot stand in a line of this format.
    #[error("line {seq} cannot be written: {why}")]
    Unwritable {
        /// The number that the line would have.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
    /// There is no number after the last one.
    #[error("the log is full: line {} has no successor", u64::MAX)]
    Full,
    /// A line of a newer format.
    #[error("line {seq} has format {found}, and this program reads up to {VERSION}")]
    Newer {
        /// The number that the line should have.
        seq: u64,
        /// The format that it names.
        found: u32,
    },
    /// A line is missing or out of order.
    #[error("line {expected} says that it is line {found}")]
    OutOfOrder {
        /// The number that the line should have.
        expected: u64,
        /// The number that it has.
        found: u64,
    },
    /// The line does not name the hash of the line before it.
    #[error("line {seq} does not follow from the line before it: one of the two was changed")]
    Broken {
        /// The line's number.
        seq: u64,
    },
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};
    use std::vec;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Note {
        at: u64,
        #[serde(flatten)]
        what: What,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum What {
        Said {
            text: String,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            times: Option<i64>,
        },
        #[serde(other)]
        NotKnown,
    }

    fn said(at: u64, text: &str) -> Note {
        Note { at, what: What::Said { text: text.to_owned(), times: None } }
    }

    fn written(notes: &[Note]) -> (Vec<String>, Head) {
        let mut head = Head::EMPTY;
        let mut lines = vec![];
        for note in notes {
            let (line, next) = next_line(&head, note).unwrap();
            lines.push(line);
            head = next;
        }
        (lines, head)
    }

    fn bytes(lines: &[String]) -> impl Iterator<Item = &[u8]> {
        lines.iter().map(String::as_bytes)
    }

    #[test]
    fn a_line_is_written_field_by_field_in_a_fixed_order() {
        let (lines, head) = written(&[said(7, "a"), said(8, "b")]);
        let first = format!(r#"{{"v":1,"seq":1,"prev":"{}","at":7,"kind":"said","text":"a"}}"#, "0".repeat(64));
        assert_eq!(lines[0], first);
        let hash = LineHash::of(first.as_bytes());
        assert_eq!(hash.to_string(), "95107ec300bba0f2540b5808711ff9dd742d17d1078c9b1e623fce493703c400");
        assert_eq!(lines[1], format!(r#"{{"v":1,"seq":2,"prev":"{hash}","at":8,"kind":"said","text":"b"}}"#));
        assert_eq!(head, Head { seq: 2, hash: LineHash::of(lines[1].as_bytes()) });
    }

    #[test]
    fn a_head_is_stored_as_its_number_and_its_hash() {
        let json = serde_json::to_string(&Head::EMPTY).unwrap();
        assert_eq!(json, format!(r#"{{"seq":0,"head":"{}"}}"#, "0".repeat(64)));
        assert_eq!(serde_json::from_str::<Head>(&json).unwrap(), Head::EMPTY);
    }

    #[test]
    fn a_kind_that_is_not_known_counts_for_the_chain() {
        let line = format!(
            r#"{{"v":1,"seq":1,"prev":"{}","at":1,"kind":"danced","with":["a",{{"b":1}}],"kind_of":null}}"#,
            "0".repeat(64)
        );
        let (entry, head) = read_line::<Note>(&Head::EMPTY, line.as_bytes()).unwrap();
        assert_eq!(entry.body, Note { at: 1, what: What::NotKnown });
        assert_eq!(verify(Head::EMPTY, [line.as_bytes()]), Ok(head));
    }

    #[test]
    fn fields_that_are_not_known_are_ignored() {
        let line = format!(
            r#"{{"later":{{"seq":9}},"v":1,"seq":1,"prev":"{}","at":1,"kind":"said","text":"a","mood":3}}"#,
            "0".repeat(64)
        );
        let (entry, _) = read_line::<Note>(&Head::EMPTY, line.as_bytes()).unwrap();
        assert_eq!(entry.body, said(1, "a"));
    }

    #[test]
    fn a_line_out_of_place_says_what_is_wrong() {
        let zeros = "0".repeat(64);
        let other = "1".repeat(64);
        let head = Head { seq: 4, hash: LineHash::ZERO };
        let table = [
            (format!(r#"{{"v":1,"seq":6,"prev":"{zeros}"}}"#), "line 5 says that it is line 6"),
            (
                format!(r#"{{"v":1,"seq":5,"prev":"{other}"}}"#),
                "line 5 does not follow from the line before it: one of the two was changed",
            ),
            (r#"{"v":2,"seq":"five"}"#.to_owned(), "line 5 has format 2, and this program reads up to 1"),
            (r#"{"v":0}"#.to_owned(), "line 5 cannot be read: there is no format 0"),
            (r#"{"v":1,"seq":5}"#.to_owned(), "line 5 cannot be read: missing field `prev`"),
            (format!(r#"{{"v":1,"seq":5,"seq":5,"prev":"{zeros}"}}"#), "line 5 cannot be read: duplicate field `seq`"),
            (
                r#"{"v":1,"seq":"TO-PRD-SECRET","prev":""}"#.to_owned(),
                "line 5 cannot be read: a field has a value of another type",
            ),
            (
                format!(r#"{{"v":1,"seq":5,"prev":"+{}"}}"#, "0".repeat(63)),
                "line 5 cannot be read: a field has a value of another type",
            ),
            ("{\"v\":1,".to_owned(), "line 5 cannot be read: it ends too early"),
            (String::new(), "line 5 cannot be read: it ends too early"),
            ("v=1".to_owned(), "line 5 cannot be read: it is not JSON from column 1 on"),
        ];
        for (line, message) in table {
            assert_eq!(follow(&head, line.as_bytes()).unwrap_err().to_string(), message, "{line}");
        }
    }

    #[test]
    fn a_field_of_the_body_that_stands_twice_is_an_error_that_does_not_quote_it() {
        let line = format!(r#"{{"v":1,"seq":1,"prev":"{}","at":1,"at":2,"kind":"said","text":"a"}}"#, "0".repeat(64));
        let error = read_line::<Note>(&Head::EMPTY, line.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "line 1 cannot be read: duplicate field `at`");
        let line =
            format!(r#"{{"v":1,"seq":1,"prev":"{}","at":"TO-SECRET","kind":"said","text":"a"}}"#, "0".repeat(64));
        let error = read_line::<Note>(&Head::EMPTY, line.as_bytes()).unwrap_err();
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }

    #[test]
    fn a_body_that_would_make_the_line_ambiguous_is_not_written() {
        for body in [json!({"seq": 9}), json!({"v": 9}), json!({"prev": "9"})] {
            assert!(next_line(&Head::EMPTY, &body).is_err(), "{body}");
        }
        assert!(matches!(next_line(&Head::EMPTY, &json!(["a", "list"])), Err(ChainError::Unwritable { seq: 1, .. })));
        assert!(next_line(&Head::EMPTY, &json!({"anything": "else"})).is_ok());
    }

    /// A line that is in its place is judged by its body at once: that must give what judging it in two steps gives.
    #[test]
    fn a_line_is_read_where_it_follows_and_only_there() {
        let (lines, _) = written(&[said(1, "a"), said(2, "b")]);
        let head = follow(&Head::EMPTY, lines[0].as_bytes()).unwrap();
        let (one, two) = (format!(r#""prev":"{}""#, head.hash), format!(r#""prev":"{}""#, "0".repeat(64)));
        let changed = [
            lines[1].clone(),
            lines[1].replace(r#""v":1"#, r#""v":2"#),
            lines[1].replace(r#""v":1"#, r#""v":0"#),
            lines[1].replace(r#""seq":2"#, r#""seq":3"#),
            lines[1].replace(&one, &two),
            lines[1].replace(r#""seq":2"#, r#""seq":2,"seq":2"#),
            lines[1].replace(r#""seq":2"#, r#""seq":2,"v":1"#),
            lines[1].replace(r#""at":2"#, r#""at":2,"at":2"#),
            lines[1].replace(r#""v":1"#, r#""v":2"#).replace(r#""at":2"#, r#""at":"x""#),
            lines[1].replace(r#""at":2"#, r#""at":"x""#),
        ];
        for line in changed {
            let read = read_line::<Note>(&head, line.as_bytes()).map(|(_, next)| next);
            let body = |next| match serde_json::from_str::<Entry<Note>>(&line) {
                Ok(_) => Ok(next),
                Err(error) => Err(ChainError::Unreadable { seq: 2, why: why(&error) }),
            };
            assert_eq!(read, follow(&head, line.as_bytes()).and_then(body), "{line}");
        }
    }

    #[test]
    fn a_full_log_takes_no_more_lines() {
        let head = Head { seq: u64::MAX, hash: LineHash::ZERO };
        assert_eq!(next_line(&head, &json!({})), Err(ChainError::Full));
        assert_eq!(follow(&head, b"{}"), Err(ChainError::Full));
    }

    #[test]
    fn a_missing_line_breaks_the_chain() {
        let (lines, _) = written(&[said(1, "a"), said(2, "b"), said(3, "c")]);
        assert_eq!(
            verify(Head::EMPTY, [lines[0].as_bytes(), lines[2].as_bytes()]),
            Err(ChainError::OutOfOrder { expected: 2, found: 3 })
        );
        assert_eq!(verify(Head::EMPTY, [lines[1].as_bytes()]), Err(ChainError::OutOfOrder { expected: 1, found: 2 }));
    }

    #[test]
    fn every_changed_bit_shows_and_its_line_is_named() {
        let (lines, head) = written(&[said(1, "a"), said(2, "b"), said(3, "c")]);
        for line in 0..lines.len() {
            for at in 0..lines[line].len() {
                for bit in 0..8 {
                    let mut changed: Vec<Vec<u8>> = bytes(&lines).map(Vec::from).collect();
                    changed[line][at] ^= 1 << bit;
                    let end = verify(Head::EMPTY, changed.iter().map(Vec::as_slice));
                    assert_ne!(end, Ok(head), "line {line}, byte {at}, bit {bit}");
                    // Before the last line, no kept head is needed to see it, and it is told of the line or of the next.
                    let said = end.map_err(|error| error.to_string());
                    let named = [line + 1, line + 2].map(|number| format!("line {number} "));
                    let is_named = said.as_ref().is_err_and(|why| named.iter().any(|name| why.starts_with(name)));
                    assert!(is_named || line == lines.len() - 1, "line {line}, byte {at}, bit {bit}: {said:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            notes in prop::collection::vec((any::<u64>(), "(?s).{0,30}", any::<Option<i64>>()), 0..6)
        ) {
            let notes: Vec<Note> = notes
                .into_iter()
                .map(|(at, text, times)| Note { at, what: What::Said { text, times } })
                .collect();
            let (lines, end) = written(&notes);
            let mut head = Head::EMPTY;
            for (line, note) in lines.iter().zip(&notes) {
                prop_assert!(!line.contains('\n'));
                let (entry, next) = read_line::<Note>(&head, line.as_bytes()).unwrap();
                prop_assert_eq!((entry.v, entry.seq, entry.prev), (VERSION, head.seq + 1, head.hash));
                prop_assert_eq!(&entry.body, note);
                head = next;
            }
            prop_assert_eq!(head, end);
            prop_assert_eq!(verify(Head::EMPTY, bytes(&lines)), Ok(end));
        }

        #[test]
        fn no_line_makes_the_reader_panic(line in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
            let _ = read_line::<Value>(&Head::EMPTY, &line);
            let _ = read_line::<Note>(&Head::EMPTY, text.as_bytes());
        }
    }
}
