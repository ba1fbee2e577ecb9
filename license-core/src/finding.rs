//! What one check found out, and how text from outside is made safe to show.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// The checks of the gate. Their codes are part of the output's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The key exists and is neither revoked, suspended, expired nor ahead of its time.
    Validity,
    /// The license covers the domain.
    Domain,
    /// The license includes every demanded feature.
    Features,
    /// The activations in use and those of this deploy stay within the limit.
    Activations,
    /// The key is of the class that the environment is for.
    KeyClass,
    /// The license lasts long enough.
    ExpiryHorizon,
    /// The key is not due for rotation.
    KeyAge,
}

impl Check {
    /// Every check, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Validity,
        Self::Domain,
        Self::Features,
        Self::Activations,
        Self::KeyClass,
        Self::ExpiryHorizon,
        Self::KeyAge,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Validity => "validity",
            Self::Domain => "domain",
            Self::Features => "features",
            Self::Activations => "activations",
            Self::KeyClass => "key_class",
            Self::ExpiryHorizon => "expiry_horizon",
            Self::KeyAge => "key_age",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The demand is met, or there is none.
    Pass,
    /// The demand is met, and somebody should look.
    Warn,
    /// The demand is not met.
    Fail,
    /// The fact that would tell is missing.
    Unknown,
}

impl Outcome {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a check came out as it did: a stable code, finer than the check's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The demand is met.
    Met,
    /// Nothing is demanded.
    NotDemanded,
    /// The authority did not state the fact.
    NotStated,
    /// The authority stated the fact in a form that cannot be read.
    NotReadable,
    /// The local clock and the authority's differ too much to compare times.
    ClockSkew,
    /// The authority refused the key.
    Refused,
    /// The authority accepted the key with a code that is a worry.
    AcceptedWithCode,
    /// The authority does not know the key.
    NotFound,
    /// The license is suspended.
    Suspended,
    /// The license is revoked.
    Revoked,
    /// The license has expired.
    Expired,
    /// The license is not valid yet.
    NotYetValid,
    /// The license's status is a word that is not known here.
    StatusNotKnown,
    /// The key was rotated away and works only until the grace ends.
    InGrace,
    /// The license does not cover the domain.
    NotCovered,
    /// The license lacks a demanded feature.
    FeatureMissing,
    /// The activations of this deploy would exceed the limit.
    LimitExceeded,
    /// The key is of another class.
    OtherClass,
    /// The key's prefix names no class.
    NoClass,
    /// The license expires within the horizon.
    ExpiresWithin,
    /// The license expires soon.
    ExpiresSoon,
    /// The key is older than the environment allows.
    TooOld,
}

impl Reason {
    /// The word that stands for it in documents.
    pub fn word(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => word,
            Ok(_) | Err(_) => String::new(),
        }
    }
}

/// One check's result: what was checked, how it came out, why, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    #[serde(rename = "code")]
    pub check: Check,
    /// How it came out.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// A sentence for people: lower case, no full stop. It may quote text from the authority, with control characters taken out.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(check: Check, outcome: Outcome, reason: Reason, message: impl Into<String>) -> Self {
        Self { check, outcome, reason, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check, self.outcome, self.message)
    }
}

/// How many characters of text from outside a message quotes at most.
pub const QUOTED_CHARS_MAX: usize = 300;

/// Makes text from outside (an authority, an application, a file) safe to quote in a message for people.
///
/// Every character that is not shown, or that changes how its neighbors are shown, becomes `U+FFFD`: escape
/// sequences, line breaks and overrides of the writing direction could make a message say something else.
/// Longer texts are cut to [`QUOTED_CHARS_MAX`] characters, the last of which is then `…`.
pub fn clean(text: &str) -> String {
    let mut shown = text.chars().map(shown);
    let mut cleaned: String = shown.by_ref().take(QUOTED_CHARS_MAX).collect();
    if shown.next().is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned
}

/// Like [`clean`], and whole: for words of our own that quote what is cut already, and end with what to do.
pub fn clean_whole(text: &str) -> String {
    text.chars().map(shown).collect()
}

fn shown(c: char) -> char {
    if changes_the_line(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// Controls (C0, DEL, C1), line and paragraph separators, and the format characters of Unicode that hide,
/// join or reorder what stands beside them.
pub fn changes_the_line(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{180E}' | '\u{FEFF}'
                | '\u{200B}'..='\u{200F}'   // zero width, left-to-right and right-to-left marks
                | '\u{2028}'..='\u{202E}'   // separators, embeddings and overrides
                | '\u{2060}'..='\u{206F}'   // word joiner, invisible operators, isolates
                | '\u{FFF9}'..='\u{FFFB}'   // interlinear annotations
                | '\u{E0000}'..='\u{E007F}' // tags
        )
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_check_and_outcome_is_shown_by_its_code_in_json() {
        for check in Check::ALL {
            assert_eq!(serde_json::to_string(&check).unwrap(), format!("\"{check}\""));
        }
        for outcome in [Outcome::Pass, Outcome::Warn, Outcome::Fail, Outcome::Unknown] {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{outcome}\""));
        }
    }

    #[test]
    fn a_finding_has_the_fields_that_scripts_read() {
        let finding = Finding::new(Check::KeyClass, Outcome::Fail, Reason::OtherClass, "no");
        let json = r#"{"code":"key_class","outcome":"fail","reason":"other_class","message":"no"}"#;
        assert_eq!(serde_json::to_string(&finding).unwrap(), json);
        assert_eq!(serde_json::from_str::<Finding>(json).unwrap(), finding);
        assert_eq!(finding.to_string(), "key_class: fail: no");
    }

    #[test]
    fn text_from_outside_cannot_move_the_cursor_or_turn_the_line_around() {
        let table = [
            ("plain text, `ticks` and Zürich", "plain text, `ticks` and Zürich"),
            ("\u{1b}[2Jgone", "\u{FFFD}[2Jgone"),
            ("\u{9b}2Jgone", "\u{FFFD}2Jgone"),
            ("two\r\nlines\t", "two\u{FFFD}\u{FFFD}lines\u{FFFD}"),
            ("nul\0del\u{7f}", "nul\u{FFFD}del\u{FFFD}"),
            ("a\u{202e}b\u{2066}c\u{61c}", "a\u{FFFD}b\u{FFFD}c\u{FFFD}"),
            ("zero\u{200b}width\u{feff}", "zero\u{FFFD}width\u{FFFD}"),
            ("line\u{2028}paragraph\u{2029}", "line\u{FFFD}paragraph\u{FFFD}"),
            ("tag\u{e0041}", "tag\u{FFFD}"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_cut_after_three_hundred_characters_and_not_before() {
        let full = "é".repeat(300);
        assert_eq!(clean(&full), full);
        let cut = clean(&"é".repeat(301));
        assert_eq!(cut, "é".repeat(299) + "…");
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing_more(text in "(?s).{0,400}") {
            let once = clean(&text);
            prop_assert!(once.chars().count() <= QUOTED_CHARS_MAX);
            prop_assert!(!once.chars().any(changes_the_line));
            prop_assert_eq!(clean(&once), once);
        }
    }
}
