//! What an authority's codes are about.
//!
//! A code that is not known here stays a code: nobody guesses a meaning from its words.

use crate::{finding::Reason, license::Status};

/// What a code is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The key itself.
    Key(Ended),
    /// The domain that was asked about.
    Domain,
    /// A feature.
    Feature,
    /// The number of activations.
    Activations,
}

/// Why a key is not in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    NotFound,
    NotYetValid,
    Expired,
    Suspended,
    Revoked,
}

impl Topic {
    /// What the code is about, when it is one that is known. Upper and lower case, `-` and `_` are the same.
    pub(crate) fn of(code: &str) -> Option<Self> {
        CODES.iter().find(|(known, _)| is_same(known, code)).map(|(_, topic)| *topic)
    }
}

impl Ended {
    /// The reason that a status gives against a key.
    pub(crate) fn by_status(status: &Status) -> Option<Self> {
        match status {
            Status::Suspended => Some(Self::Suspended),
            Status::Revoked => Some(Self::Revoked),
            Status::Expired => Some(Self::Expired),
            Status::Active | Status::Other(_) => None,
        }
    }

    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::NotFound => Reason::NotFound,
            Self::NotYetValid => Reason::NotYetValid,
            Self::Expired => Reason::Expired,
            Self::Suspended => Reason::Suspended,
            Self::Revoked => Reason::Revoked,
        }
    }

    /// The state in words that follow "the authority says that".
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::NotFound => "it does not know the key",
            Self::NotYetValid => "the license is not valid yet",
            Self::Expired => "the license has expired",
            Self::Suspended => "the license is suspended",
            Self::Revoked => "the license is revoked",
        }
    }
}

/// Whether the code only repeats the yes beside which it stands.
pub(crate) fn is_a_yes(code: &str) -> bool {
    const YES: [&str; 6] = ["VALID", "LICENSE_VALID", "OK", "SUCCESS", "ACTIVE", "LICENSE_ACTIVE"];
    YES.iter().any(|known| is_same(known, code))
}

/// The known codes that are about something. `INVALID`, `INVALID_TOKEN` and `INVALID_SIGNATURE` are known too,
/// and only say no.
const CODES: [(&str, Topic); 29] = [
    ("LICENSE_NOT_FOUND", Topic::Key(Ended::NotFound)),
    ("KEY_NOT_FOUND", Topic::Key(Ended::NotFound)),
    ("NOT_FOUND", Topic::Key(Ended::NotFound)),
    ("INVALID_KEY", Topic::Key(Ended::NotFound)),
    ("LICENSE_NOT_YET_VALID", Topic::Key(Ended::NotYetValid)),
    ("TOKEN_NOT_YET_VALID", Topic::Key(Ended::NotYetValid)),
    ("NOT_YET_VALID", Topic::Key(Ended::NotYetValid)),
    ("LICENSE_EXPIRED", Topic::Key(Ended::Expired)),
    ("TOKEN_EXPIRED", Topic::Key(Ended::Expired)),
    ("KEY_EXPIRED", Topic::Key(Ended::Expired)),
    ("EXPIRED", Topic::Key(Ended::Expired)),
    ("LICENSE_SUSPENDED", Topic::Key(Ended::Suspended)),
    ("KEY_SUSPENDED", Topic::Key(Ended::Suspended)),
    ("SUSPENDED", Topic::Key(Ended::Suspended)),
    ("LICENSE_REVOKED", Topic::Key(Ended::Revoked)),
    ("TOKEN_REVOKED", Topic::Key(Ended::Revoked)),
    ("KEY_REVOKED", Topic::Key(Ended::Revoked)),
    ("REVOKED", Topic::Key(Ended::Revoked)),
    ("DOMAIN_MISMATCH", Topic::Domain),
    ("DOMAIN_LIMIT_EXCEEDED", Topic::Domain),
    ("DOMAIN_NOT_ALLOWED", Topic::Domain),
    ("FEATURE_NOT_AVAILABLE", Topic::Feature),
    ("FEATURE_MISSING", Topic::Feature),
    ("ACTIVATION_LIMIT_EXCEEDED", Topic::Activations),
    ("ACTIVATION_LIMIT_REACHED", Topic::Activations),
    ("ACTIVATIONS_EXCEEDED", Topic::Activations),
    ("TOO_MANY_ACTIVATIONS", Topic::Activations),
    ("SEAT_LIMIT_EXCEEDED", Topic::Activations),
    ("SEAT_LIMIT_REACHED", Topic::Activations),
];

fn is_same(known: &str, code: &str) -> bool {
    let spelled = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
    known.len() == code.len() && known.bytes().eq(code.bytes().map(spelled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_in_any_case_and_never_by_a_part_of_it() {
        let table = [
            ("LICENSE_REVOKED", Some(Topic::Key(Ended::Revoked))),
            ("license-revoked", Some(Topic::Key(Ended::Revoked))),
            ("invalid_key", Some(Topic::Key(Ended::NotFound))),
            ("feature_not_available", Some(Topic::Feature)),
            ("Domain_Limit_Exceeded", Some(Topic::Domain)),
            ("LICENSE_REVOKED_LATER", None),
            ("NOT_REVOKED", None),
            ("LICENSE REVOKED", None),
            ("INVALID", None),
            ("INVALID_TOKEN", None),
            ("INVALID_SIGNATURE", None),
            ("", None),
        ];
        for (code, topic) in table {
            assert_eq!(Topic::of(code), topic, "{code}");
        }
    }

    #[test]
    fn every_known_code_is_found_as_it_stands() {
        for (code, topic) in CODES {
            assert_eq!(Topic::of(code), Some(topic), "{code}");
            assert!(!is_a_yes(code), "{code}");
        }
    }
}
