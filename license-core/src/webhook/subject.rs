//! Whom a webhook concerns.
//!
//! The authority names a license by its id, its domain, or a masked key. The surest of these decides: an id that a
//! file names is exact; a domain is what people bind a license to; four characters of a key are the weakest, and what
//! the documented envelope always has.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use super::notification::EventType;
use crate::{
    domain::{Domain, DomainPattern},
    key::{Fingerprint, LicenseKey},
};

/// Fewer characters of a key say nothing about which one it is.
const SHOWN_CHARS_MIN: usize = 4;

/// What a webhook says about whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    license_id: Option<String>,
    domains: Vec<DomainPattern>,
    key: Option<ShownKey>,
    named: Named,
}

impl Subject {
    /// Whether a key tells whom it concerns, should nothing else.
    pub fn shows_a_key(&self) -> bool {
        self.key.is_some()
    }
}

/// Whether a webhook names a license at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Named {
    #[default]
    Nothing,
    Something,
}

/// A key as a webhook shows it.
#[derive(Clone, PartialEq, Eq)]
enum ShownKey {
    /// How it begins and how it ends.
    Ends { start: String, end: String },
    /// All of it.
    Whole(Fingerprint),
}

/// The end of a key is nobody's business.
impl core::fmt::Debug for ShownKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ShownKey(…)")
    }
}

/// An environment that a webhook may concern.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// The domain that deploys ask about.
    pub domain: &'a Domain,
    /// The license's id, where the file names it.
    pub license: Option<&'a str>,
    /// The key, where it can be read.
    pub key: Option<&'a LicenseKey>,
}

impl Subject {
    pub(super) fn of(license_id: Option<&str>, domains: &[&str], key: Option<&str>) -> Self {
        let named = if license_id.is_some() || key.is_some() || !domains.is_empty() {
            Named::Something
        } else {
            Named::Nothing
        };
        Self {
            license_id: license_id.map(ToOwned::to_owned),
            domains: domains.iter().filter_map(|domain| DomainPattern::parse(domain).ok()).collect(),
            key: key.and_then(ShownKey::parse),
            named,
        }
    }
}

impl ShownKey {
    fn parse(text: &str) -> Option<Self> {
        let Some((start, rest)) = text.split_once('*') else {
            return LicenseKey::parse(text).ok().map(|key| Self::Whole(key.fingerprint()));
        };
        let end = rest.rsplit('*').next().unwrap_or_default().trim_matches('-');
        let long_enough = end.chars().count() >= SHOWN_CHARS_MIN;
        long_enough.then(|| Self::Ends { start: start.to_owned(), end: end.to_owned() })
    }

    fn is_of(&self, key: &LicenseKey) -> bool {
        match self {
            Self::Ends { start, end } => key.reveal().starts_with(start) && key.reveal().ends_with(end),
            Self::Whole(fingerprint) => key.fingerprint() == *fingerprint,
        }
    }
}

/// The environments that a webhook concerns, in their order.
///
/// First those whose license it names; where there is none, those whose domain it covers; where there is none, those
/// whose key ends as it shows. An environment of another license than the named one is never among them. A payment
/// that failed and names no license concerns all of them: it is about the account.
pub fn concerned<'a>(event: &EventType, subject: &Subject, candidates: &[Candidate<'a>]) -> Vec<&'a str> {
    if subject.named == Named::Nothing {
        let all = *event == EventType::PaymentFailed;
        return candidates.iter().filter(|_| all).map(|candidate| candidate.name).collect();
    }
    let is_named = |candidate: &Candidate<'_>| Some(subject.license_id.as_deref()? == candidate.license?);
    let by_id = |candidate: &Candidate<'_>| is_named(candidate) == Some(true);
    let another = |candidate: &Candidate<'_>| is_named(candidate) == Some(false);
    let by_domain = |candidate: &Candidate<'_>| subject.domains.iter().any(|domain| domain.covers(candidate.domain));
    let by_key = |candidate: &Candidate<'_>| {
        subject.key.as_ref().zip(candidate.key).is_some_and(|(shown, key)| shown.is_of(key))
    };
    let rules: [&dyn Fn(&Candidate<'_>) -> bool; 3] = [&by_id, &by_domain, &by_key];
    let chosen = rules.into_iter().map(|rule| {
        let chosen = candidates.iter().filter(|candidate| rule(candidate) && !another(candidate));
        chosen.map(|candidate| candidate.name).collect::<Vec<_>>()
    });
    chosen.into_iter().find(|chosen| !chosen.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// An id, domains and a shown key, and whom they concern.
    type Row<'a> = (Option<&'a str>, &'a [&'a str], Option<&'a str>, &'a [&'a str]);

    #[test]
    fn the_surest_of_what_is_named_decides() {
        let domain = |text| Domain::parse(text).unwrap();
        let key = |text| LicenseKey::parse(text).unwrap();
        let domains = [domain("app.com"), domain("staging.app.com"), domain("localhost:3000")];
        let keys = [key("TO-PRD-AAAAA-XF6A8"), key("TO-STG-BBBBB-XF6A8"), key("TO-DEV-CCCCC-X9K2M")];
        let candidates = [
            Candidate { name: "production", domain: &domains[0], license: Some("lic_1"), key: Some(&keys[0]) },
            Candidate { name: "staging", domain: &domains[1], license: None, key: Some(&keys[1]) },
            Candidate { name: "development", domain: &domains[2], license: None, key: Some(&keys[2]) },
        ];
        let rows: [Row<'_>; 17] = [
            (Some("lic_1"), &[], None, &["production"]),
            (Some("lic_1"), &["new.example"], Some("TO-****-F6A8"), &["production"]),
            (Some("lic_1"), &["staging.app.com"], None, &["production"]),
            (Some("lic_2"), &["app.com"], Some("TO-PRD-****-F6A8"), &[]),
            (Some("lic_2"), &["staging.app.com"], None, &["staging"]),
            (Some("lic_2"), &[], Some("TO-****-F6A8"), &["staging"]),
            (None, &["app.com"], None, &["production"]),
            (None, &["APP.COM."], None, &["production"]),
            (None, &["*.app.com"], None, &["staging"]),
            (None, &["www.app.com", "app.com"], None, &["production"]),
            (None, &["localhost"], None, &["development"]),
            (None, &["notapp.com"], Some("TO-DEV-****-9K2M"), &["development"]),
            (None, &[], Some("TO-****-F6A8"), &["production", "staging"]),
            (None, &[], Some("TO-STG-****-F6A8"), &["staging"]),
            (None, &[], Some("TO-STG-BBBBB-XF6A8"), &["staging"]),
            (None, &["\u{1b}"], Some("TO-****-6A8"), &[]),
            (None, &[], None, &[]),
        ];
        for (id, named, shown, expected) in rows {
            let subject = Subject::of(id, named, shown);
            assert_eq!(concerned(&EventType::Revoked, &subject, &candidates), expected, "{id:?} {named:?} {shown:?}");
            assert!(!format!("{subject:?}").contains("F6A8"));
        }
        let nothing = Subject::of(None, &[], None);
        assert_eq!(concerned(&EventType::PaymentFailed, &nothing, &candidates).len(), 3);
        let odd = Subject::of(None, &["\u{1b}"], None);
        assert_eq!(concerned(&EventType::PaymentFailed, &odd, &candidates), [""; 0], "it names something else");
    }
}
