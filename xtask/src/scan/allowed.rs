//! Archives that may stay unseen, by `unscanned` of `[leaks]` in license.toml: by their path, or by their bytes.
//!
//! What is allowed is what was not looked into, never a leak: whatever could be scanned was.

use std::collections::BTreeMap;

use super::{Scanned, Unscanned, archive::Weight};
use crate::glob::Glob;

/// An archive that may stay unseen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Which one.
    pub(crate) which: Which,
    /// Why.
    pub(crate) reason: String,
}

/// How an archive is named in license.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// By its path from the top of the working tree.
    Path(Glob),
    /// By its SHA-256, or what that begins with.
    Sha256(String),
}

impl Which {
    fn means(&self, archive: &Unscanned) -> bool {
        match self {
            Self::Path(glob) => archive.place.path.as_deref().is_some_and(|path| glob.matches(path.as_bytes())),
            Self::Sha256(begin) => archive.sha256.starts_with(begin),
        }
    }
}

/// The paths at which an archive would be allowed, where it is not allowed as it is and has to be.
pub(crate) fn other_paths<'a>(archive: &Unscanned, allowances: &'a [Allowance]) -> Vec<&'a Glob> {
    if archive.weight == Weight::Told || allowances.iter().any(|one| one.which.means(archive)) {
        return Vec::new();
    }
    let paths = allowances.iter().filter_map(|one| match &one.which {
        Which::Path(glob) => Some(glob),
        Which::Sha256(_) => None,
    });
    paths.collect()
}

/// Says of every archive that was not looked into whether it may stay so; what may not makes the scan incomplete. Bytes
/// that are allowed at one of their paths are allowed at the others: they go out under that one anyway.
pub(crate) fn settle(scanned: &mut Scanned, allowances: &[Allowance]) {
    let mut missed = Vec::new();
    let mut reasons: BTreeMap<String, &str> = BTreeMap::new();
    for archive in &scanned.unscanned {
        if let Some(one) = allowances.iter().find(|one| one.which.means(archive)) {
            reasons.entry(archive.sha256.clone()).or_insert(&one.reason);
        }
    }
    for archive in &mut scanned.unscanned {
        let own = allowances.iter().find(|one| one.which.means(archive)).map(|one| one.reason.as_str());
        archive.allowed = own.or_else(|| reasons.get(&archive.sha256).copied()).map(str::to_owned);
        match (archive.weight, &archive.allowed) {
            (Weight::Stops, None) => {
                let why = format!("{} (sha256 {}…)", archive.why, &archive.sha256[..SHOWN_DIGITS]);
                missed.push((archive.place.words(), why));
            }
            (Weight::Told, _) | (Weight::Stops, Some(_)) => {}
        }
    }
    for (what, why) in missed {
        scanned.miss(what, why);
    }
}

/// How many digits of a SHA-256 people are shown, and how many have to stand in license.toml at least.
pub(crate) const SHOWN_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::place::{Place, Thing};

    fn archive(path: Option<&str>, weight: Weight) -> Unscanned {
        let place = Place { path: path.map(str::to_owned), ..Place::of(Thing::File) };
        Unscanned { place, why: "is broken".to_owned(), sha256: "0123456789abcdef".repeat(4), weight, allowed: None }
    }

    #[test]
    fn an_archive_is_allowed_by_its_path_or_its_bytes_and_by_nothing_else() {
        let path = |glob: &str| Which::Path(Glob::parse(glob));
        let sum = |digits: &str| Which::Sha256(digits.to_owned());
        for (which, at, allowed) in [
            (path("a/*.gz"), Some("a/b.gz"), true),
            (path("a/*.gz"), Some("a/b/c.gz"), false),
            (path("a/**"), Some("a/b/c.gz"), true),
            (path("**"), None, false),
            (sum("0123456789abcdef"), None, true),
            (sum("0123456789abcdef0"), None, true),
            (sum("1123456789abcdef"), Some("a/b.gz"), false),
        ] {
            for (weight, missed) in [(Weight::Stops, !allowed), (Weight::Told, false)] {
                let mut scanned = Scanned { unscanned: vec![archive(at, weight)], ..Scanned::default() };
                settle(&mut scanned, &[Allowance { which: which.clone(), reason: "why".to_owned() }]);
                assert_eq!(scanned.unscanned[0].allowed.is_some(), allowed, "{which:?} {at:?}");
                assert_eq!(!scanned.incomplete.is_empty(), missed, "{which:?} {at:?} {weight:?}");
            }
        }
    }
}
