//! The facts of an answer, whatever its shape: flat or nested, `camelCase` or `snake_case`.
//!
//! A fact of the wrong type counts as not stated: it is never an error, and never a yes. Only an end and a list of domains
//! are different: what is stated and cannot be read is kept in its words, since "no end" and "no list" would be a yes.

use std::{collections::BTreeSet, ops::RangeInclusive, slice};

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::Offset,
};
use license_core::license::{ActivationLimit, LeftOut, Status};
use serde_json::{Map, Value};

use super::quote::Secrets;

/// Numbers from here on are seconds since 1970 (this one is in 1973). Smaller ones are not a license's date: a zero
/// that means "never", days, a date without separators.
pub(super) const EPOCH_SECS_MIN: i64 = 100_000_000;

/// Numbers from here on are milliseconds since 1970: the same day in 1973, where seconds would be in the year 5138.
const EPOCH_MILLIS_MIN: i64 = EPOCH_SECS_MIN * 1000;

/// The year 9999 and the moment after it, in seconds since 1970: "never", in several languages. In milliseconds the same
/// numbers are some hours of January 1978, when no license ended.
const NEVER_SECS: RangeInclusive<i64> = 253_370_764_800..=253_402_300_800;

/// Names of the license's end.
const EXPIRY_NAMES: [&str; 4] = ["expiresAt", "expires_at", "expires", "exp"];

/// Names of the end of the grace.
const GRACE_NAMES: [&str; 2] = ["graceEndsAt", "grace_ends_at"];

/// Words for "there is no such time".
const NEVER_WORDS: [&str; 9] =
    ["never", "none", "null", "n/a", "unlimited", "perpetual", "permanent", "lifetime", "forever"];

/// Words of an envelope that may stand in `status` and say nothing about the license: that the call went well.
const WENT_WELL_WORDS: [&str; 2] = ["ok", "success"];

/// The same for a call that failed. A yes beside one of them is a contradiction.
const FAILED_WORDS: [&str; 4] = ["error", "fail", "failed", "failure"];

/// Words for no, where a boolean is expected.
const NO_WORDS: [&str; 3] = ["false", "no", "0"];

/// Members by which an object says whether what it names is included.
const INCLUDES_NAMES: [&str; 6] = ["enabled", "included", "available", "active", "allowed", "value"];

/// An answer's JSON object, and the objects inside it that may hold facts.
pub(crate) struct Facts<'a> {
    /// The places in which to look, in this order.
    places: Vec<&'a Map<String, Value>>,
    /// Objects that hold a code and a message in some envelopes.
    errors: Vec<&'a Map<String, Value>>,
    secrets: &'a Secrets<'a>,
}

/// What the answer says in its member `valid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Valid {
    /// `true`.
    Yes,
    /// `false`.
    No,
    /// There is no such member.
    Missing,
    /// It is something else than a boolean.
    NotBoolean,
    /// One place says yes and another no, in whatever form, or an envelope says that the call failed.
    Contradiction,
}

/// What an answer states of domains.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    /// Those that can be read and are not switched off.
    pub(crate) stated: Option<Vec<String>>,
    /// What is not among them.
    pub(crate) left_out: Option<LeftOut>,
}

impl Domains {
    fn is_empty_list(&self) -> bool {
        self.left_out.is_none() && self.stated.as_ref().is_none_or(Vec::is_empty)
    }
}

/// What a date without a time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayAlone {
    /// The beginning of that day, UTC.
    Start,
    /// The end of that day, UTC: the first moment of the next.
    End,
}

impl<'a> Facts<'a> {
    /// Finds the places: the top level, then `license`, `data`, `data.license`.
    pub(crate) fn of(top: &'a Map<String, Value>, secrets: &'a Secrets<'a>) -> Self {
        let inside = |outer: &'a Map<String, Value>, name: &str| outer.get(name).and_then(Value::as_object);
        let outer = inside(top, "data");
        let places = [Some(top), inside(top, "license"), outer, outer.and_then(|data| inside(data, "license"))];
        let errors = [inside(top, "error"), outer.and_then(|data| inside(data, "error"))];
        Self { places: places.into_iter().flatten().collect(), errors: errors.into_iter().flatten().collect(), secrets }
    }

    /// The verdict. Only a boolean is one, and only if nothing in the answer says the opposite.
    pub(crate) fn valid(&self) -> Valid {
        let mut stated = self.places.iter().filter_map(|place| place.get("valid"));
        let first = match stated.next() {
            None => return Valid::Missing,
            Some(Value::Bool(first)) => *first,
            Some(_) => return Valid::NotBoolean,
        };
        match first {
            true if stated.any(says_no) || self.says_failed() => Valid::Contradiction,
            true => Valid::Yes,
            false if stated.any(|other| *other == Value::Bool(true)) => Valid::Contradiction,
            false => Valid::No,
        }
    }

    /// Whether an envelope says that the call failed. One may be inside another.
    fn says_failed(&self) -> bool {
        self.places().any(|place| {
            ["ok", "success"].iter().any(|name| place.get(*name).is_some_and(says_no))
                || place.get("status").and_then(Value::as_str).is_some_and(|word| is_one_of(word, &FAILED_WORDS))
        })
    }

    /// The code, verbatim: `code`, or `reason` or `error` when they look like one.
    pub(crate) fn code(&self) -> Option<String> {
        let named = |value: &Value| self.text(value);
        let looking = |value: &Value| self.text(value).filter(|text| looks_like_a_code(text));
        let places = || self.places.iter().chain(&self.errors).copied();
        first(places(), &["code"], named).or_else(|| first(places(), &["reason", "error"], looking))
    }

    /// The authority's words.
    pub(crate) fn message(&self) -> Option<String> {
        let sentence = |value: &Value| self.text(value).filter(|text| !looks_like_a_code(text));
        let places = || self.places.iter().chain(&self.errors).copied();
        first(places(), &["message"], |value| self.text(value))
            .or_else(|| first(places(), &["error", "reason", "help"], sentence))
    }

    /// The license's id. A bare `id` at the top may be the request's, so it comes last.
    pub(crate) fn id(&self) -> Option<String> {
        let named = first(self.places(), &["licenseId", "license_id"], |value| self.text(value));
        let inner_first = || self.places.iter().rev().copied();
        named.or_else(|| first(inner_first(), &["id"], |value| self.text(value)))
    }

    /// The status, unless the word belongs to the envelope. Of several the worst counts: one that ends the license, then
    /// one that is not known.
    pub(crate) fn status(&self) -> Option<Status> {
        let word = |value: &Value| {
            let text = self.text(value)?;
            let of_envelope = is_one_of(&text, &WENT_WELL_WORDS) || is_one_of(&text, &FAILED_WORDS);
            (!of_envelope).then(|| Status::from_word(&text))
        };
        let weight = |status: &Status| match status {
            Status::Suspended | Status::Revoked | Status::Expired => 0,
            Status::Other(_) => 1,
            Status::Active => 2,
        };
        self.places().filter_map(|place| word(place.get("status")?)).min_by_key(weight)
    }

    /// The plan's name.
    pub(crate) fn plan(&self) -> Option<String> {
        first(self.places(), &["plan", "planId", "plan_id"], |value| self.text(value))
    }

    /// When the key was issued.
    pub(crate) fn issued_at(&self) -> Option<Timestamp> {
        first(self.places(), &["createdAt", "created_at", "iat"], |value| instant(value, DayAlone::Start))
    }

    /// From when on the key may be used: the latest of several times.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        self.stated(&["nbf", "notBefore", "not_before"]).filter_map(|value| instant(value, DayAlone::Start)).max()
    }

    /// When the license expires: the earliest of several ends.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.earliest(&EXPIRY_NAMES)
    }

    /// What is stated as the license's end, where none that is stated can be read.
    pub(crate) fn unreadable_expiry(&self) -> Option<String> {
        self.unreadable(&EXPIRY_NAMES)
    }

    /// The end of the grace period, when the key has been rotated away: the earliest of several.
    pub(crate) fn grace_ends_at(&self) -> Option<Timestamp> {
        self.earliest(&GRACE_NAMES)
    }

    /// What is stated as the end of the grace, where none that is stated can be read.
    pub(crate) fn unreadable_grace(&self) -> Option<String> {
        self.unreadable(&GRACE_NAMES)
    }

    fn unreadable(&self, names: &[&str]) -> Option<String> {
        if self.earliest(names).is_some() {
            return None;
        }
        let odd = self.stated(names).find(|value| Time::of(value, DayAlone::End) == Time::Unreadable)?;
        Some(self.verbatim(odd))
    }

    fn earliest(&self, names: &[&str]) -> Option<Timestamp> {
        self.stated(names).filter_map(|value| instant(value, DayAlone::End)).min()
    }

    /// What stands under these names: place by place, and within a place name by name.
    fn stated(&self, names: &[&str]) -> impl Iterator<Item = &'a Value> {
        self.places().flat_map(|place| names.iter().filter_map(|name| place.get(*name)))
    }

    /// The domains that the license covers. An empty list states none, and hides no other. `licensedTo` may be a customer's
    /// name: with a space in it, it is one.
    pub(crate) fn domains(&self) -> Domains {
        let mut empty = None;
        for domains in self.stated(&["domains", "dom", "domain"]).filter_map(|value| self.domains_in(value)) {
            if !domains.is_empty_list() {
                return domains;
            }
            empty = Some(domains);
        }
        let no_name = |domains: &Vec<String>| !domains.iter().any(|domain| domain.contains(char::is_whitespace));
        let licensed = first(self.places(), &["licensedTo"], |value| self.names(value).filter(no_name));
        match licensed {
            Some(names) => Domains { stated: Some(names), left_out: None },
            None => empty.unwrap_or_default(),
        }
    }

    /// What one value states; nothing where it is no list, or says only how many there are.
    fn domains_in(&self, value: &Value) -> Option<Domains> {
        match value {
            Value::Null | Value::Bool(true) | Value::Number(_) => None,
            Value::String(_) => Some(Domains { stated: Some(self.names(value)?), left_out: None }),
            Value::Array(all) => Some(self.domains_of(all)),
            Value::Object(object) if holds_only_counts(object) => None,
            Value::Bool(false) | Value::Object(_) => Some(self.domains_of(slice::from_ref(value))),
        }
    }

    fn domains_of(&self, all: &[Value]) -> Domains {
        let (mut names, mut odd) = (Vec::new(), None);
        for one in all {
            match self.name(one, &["domain", "host", "hostname", "name"]) {
                Some(Name::Included(name)) => names.push(name),
                Some(Name::Excluded(_)) => {}
                None => odd = odd.or(Some(one)),
            }
        }
        let left_out = match odd {
            Some(one) => Some(LeftOut::Unreadable(self.verbatim(one))),
            None => (names.is_empty() && !all.is_empty()).then_some(LeftOut::SwitchedOff),
        };
        Domains { stated: (!names.is_empty() || all.is_empty()).then_some(names), left_out }
    }

    /// The features that the license includes.
    pub(crate) fn features(&self) -> Option<BTreeSet<String>> {
        first(self.places(), &["features"], |value| match value {
            Value::Object(map) => self.included(map),
            Value::Array(all) => self.listed(all),
            Value::String(_) => self.names(value).map(BTreeSet::from_iter),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        })
    }

    /// The names of a map whose values say that they are included. One value that says neither yes nor no makes the
    /// whole fact unclear: leaving the name out would be a no that nobody said.
    fn included(&self, map: &Map<String, Value>) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for (name, value) in map {
            if includes(value)? {
                names.insert(self.secrets.quote(name));
            }
        }
        Some(names)
    }

    /// The same for a list. A name that is listed as included and as not included is not.
    fn listed(&self, all: &[Value]) -> Option<BTreeSet<String>> {
        let (mut included, mut excluded) = (BTreeSet::new(), BTreeSet::new());
        for one in all {
            match self.name(one, &["name", "code", "key", "id"])? {
                Name::Included(name) => included.insert(name),
                Name::Excluded(name) => excluded.insert(name),
            };
        }
        Some(&included - &excluded)
    }

    /// How many activations are in use.
    pub(crate) fn activations_used(&self) -> Option<u64> {
        const NAMES: [&str; 4] = ["activationsUsed", "activations_used", "seatsUsed", "seats_used"];
        first(self.places(), &NAMES, count)
            .or_else(|| first(self.limits(), &NAMES, count))
            .or_else(|| first(self.counters(), &["used", "current"], count))
    }

    /// How many activations the license allows. Only `-1` or the word says that there is no limit; `null` says nothing.
    pub(crate) fn activation_limit(&self) -> Option<ActivationLimit> {
        const NAMES: [&str; 5] =
            ["activationLimit", "activation_limit", "activationsLimit", "maxActivations", "max_activations"];
        first(self.places(), &NAMES, limit)
            .or_else(|| first(self.limits(), &NAMES, limit))
            .or_else(|| first(self.limits(), &["activations", "seats"], limit))
            .or_else(|| first(self.places(), &["seats"], limit))
            .or_else(|| first(self.counters(), &["limit", "max", "total"], limit))
    }

    fn places(&self) -> impl Iterator<Item = &'a Map<String, Value>> + '_ {
        self.places.iter().copied()
    }

    /// The `limits` of every place.
    fn limits(&self) -> impl Iterator<Item = &'a Map<String, Value>> + '_ {
        self.places().filter_map(|place| place.get("limits")?.as_object())
    }

    /// Objects like `"seats": {"used": 3, "limit": 10}`.
    fn counters(&self) -> impl Iterator<Item = &'a Map<String, Value>> + '_ {
        self.places()
            .chain(self.limits())
            .flat_map(|place| ["activations", "seats"].map(|name| place.get(name).and_then(Value::as_object)))
            .flatten()
    }

    /// A text that is not empty, fit to be kept.
    fn text(&self, value: &Value) -> Option<String> {
        Some(self.secrets.quote(value.as_str()?)).filter(|text| !text.is_empty())
    }

    /// Names: an array of them, or one string with commas.
    fn names(&self, value: &Value) -> Option<Vec<String>> {
        match value {
            Value::String(text) => {
                let parts = text.split(',').map(|part| self.secrets.quote(part)).filter(|name| !name.is_empty());
                // An empty text is some language's way to say nothing.
                Some(parts.collect()).filter(|names: &Vec<_>| !names.is_empty())
            }
            Value::Array(all) => all.iter().map(|one| self.text(one)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }

    /// What stands there, fit to be shown.
    fn verbatim(&self, value: &Value) -> String {
        self.secrets.quote(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// A name, or an object that holds one in one of these members.
    fn name(&self, value: &Value, members: &[&str]) -> Option<Name> {
        let Value::Object(object) = value else { return self.text(value).map(Name::Included) };
        let name = first([object].into_iter(), members, |value| self.text(value))?;
        match Inclusion::of(object) {
            Inclusion::Yes | Inclusion::NotStated => Some(Name::Included(name)),
            Inclusion::No => Some(Name::Excluded(name)),
            Inclusion::Unclear => None,
        }
    }
}

/// An element of a list of names.
enum Name {
    Included(String),
    /// It stands there with `"enabled": false`, or in another way that says so.
    Excluded(String),
}

/// What an object says of whether what it names is included.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inclusion {
    Yes,
    No,
    NotStated,
    /// Something that is neither yes nor no.
    Unclear,
}

impl Inclusion {
    /// One no is enough, and what is unclear may be one.
    fn of(object: &Map<String, Value>) -> Self {
        let said: Vec<_> = INCLUDES_NAMES.iter().filter_map(|name| object.get(*name)).map(includes).collect();
        if said.is_empty() {
            Self::NotStated
        } else if said.contains(&Some(false)) {
            Self::No
        } else if said.contains(&None) {
            Self::Unclear
        } else {
            Self::Yes
        }
    }
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether a value that should be a boolean says no in any form.
fn says_no(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => !yes,
        Value::Number(_) => whole(value) == Some(0),
        Value::String(text) => is_one_of(text.trim(), &NO_WORDS),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The first readable value: place by place, and within a place name by name.
pub(super) fn first<'v, T>(
    mut places: impl Iterator<Item = &'v Map<String, Value>>,
    names: &[&str],
    read: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    places.find_map(|place| names.iter().find_map(|name| read(place.get(*name)?)))
}

/// Whether an object says how many there are, as `{"used": 1, "limit": 3}`: its names are no domains, its values numbers.
fn holds_only_counts(object: &Map<String, Value>) -> bool {
    object.iter().all(|(name, value)| !name.contains('.') && (value.is_number() || value.is_null()))
}

/// Whether a feature's value says that it is included; `None` when it says neither.
fn includes(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Bool(included) => Some(*included),
        Value::Number(_) | Value::String(_) => match limit(value)? {
            ActivationLimit::Unlimited => Some(true),
            ActivationLimit::AtMost(most) => Some(most > 0),
        },
        Value::Object(feature) => match Inclusion::of(feature) {
            Inclusion::Yes => Some(true),
            Inclusion::No => Some(false),
            Inclusion::NotStated | Inclusion::Unclear => None,
        },
        Value::Array(_) => None,
    }
}

/// A limit: a number that is not negative, or `-1` or the word for none.
pub(super) fn limit(value: &Value) -> Option<ActivationLimit> {
    if value.as_str().is_some_and(|word| word.eq_ignore_ascii_case("unlimited")) || whole(value) == Some(-1) {
        return Some(ActivationLimit::Unlimited);
    }
    count(value).map(ActivationLimit::AtMost)
}

/// A number that is not negative.
pub(super) fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| whole(value)?.try_into().ok())
}

/// A whole number, also when it is written as `3.0`.
fn whole(value: &Value) -> Option<i64> {
    /// The largest whole number up to which every one has its own floating-point form.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT_MAX)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the exact range")]
    Some(number as i64)
}

/// A point in time, where the value is one.
pub(crate) fn instant(value: &Value, day_alone: DayAlone) -> Option<Timestamp> {
    match Time::of(value, day_alone) {
        Time::At(at) => Some(at),
        Time::Never | Time::Unreadable => None,
    }
}

/// What a value says that should be a point in time: RFC 3339, the same without an offset, which is UTC, seconds or
/// milliseconds since 1970 as a number or in a string, or a date alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    At(Timestamp),
    /// Nothing, or one of the ways in which programs say that there is none.
    Never,
    /// Something else.
    Unreadable,
}

impl Time {
    fn of(value: &Value, day_alone: DayAlone) -> Self {
        match value {
            Value::Null | Value::Bool(false) => Self::Never,
            Value::Number(number) => number.as_f64().map_or(Self::Unreadable, Self::of_number),
            Value::String(text) => Self::of_text(text.trim(), day_alone),
            Value::Bool(true) | Value::Array(_) | Value::Object(_) => Self::Unreadable,
        }
    }

    /// Zero and what is below it are the "never" of some program; small numbers are days, or dates without separators.
    fn of_number(number: f64) -> Self {
        match since_1970(number) {
            _ if number <= 0.0 || is_never_number(number) => Self::Never,
            Some(at) if at.as_second() >= EPOCH_SECS_MIN => Self::At(at),
            Some(_) | None => Self::Unreadable,
        }
    }

    fn of_text(text: &str, day_alone: DayAlone) -> Self {
        if text.is_empty() || is_one_of(text, &NEVER_WORDS) || is_never_date(text) {
            return Self::Never;
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-')
            && let Ok(number) = text.parse()
        {
            return Self::of_number(number);
        }
        match written(text, day_alone) {
            Some(at) if at.as_second() >= EPOCH_SECS_MIN => Self::At(at),
            // Times before 1973 are the "never" of some program.
            Some(_) => Self::Never,
            None => Self::Unreadable,
        }
    }
}

/// The last year in seconds, or in milliseconds.
fn is_never_number(number: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, far beyond that year")]
    let number = number as i64;
    NEVER_SECS.contains(&number) || NEVER_SECS.contains(&(number / 1000))
}

/// The last year and the zeros that databases have: "never", in several languages.
fn is_never_date(text: &str) -> bool {
    const LAST_YEAR: i16 = 9999;
    let Some(date) = text.get(..DATE_BYTES) else { return false };
    date == "0000-00-00" || date.parse::<Date>().is_ok_and(|date| date.year() == LAST_YEAR)
}

/// The length of `2027-01-31`.
const DATE_BYTES: usize = 10;

fn written(text: &str, day_alone: DayAlone) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let time = text.get(DATE_BYTES..)?;
    let utc = if time.is_empty() {
        let day: Date = text.parse().ok()?;
        let day = match day_alone {
            DayAlone::Start => day,
            DayAlone::End => day.tomorrow().ok()?,
        };
        day.at(0, 0, 0, 0)
    } else {
        // Whoever names a zone does not mean UTC, and one that is not understood is not ignored.
        let has_no_zone = time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b' ' | b'T' | b't'));
        text.parse::<DateTime>().ok().filter(|_| has_no_zone)?
    };
    Offset::UTC.to_timestamp(utc).ok()
}

/// Parts of a second are dropped: no license depends on them.
fn since_1970(number: f64) -> Option<Timestamp> {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and what is out of range is refused below")]
    let number = number as i64;
    if number < EPOCH_MILLIS_MIN { Timestamp::from_second(number) } else { Timestamp::from_millisecond(number) }.ok()
}

/// `UPPER_SNAKE` or `lower_snake`.
pub(super) fn looks_like_a_code(text: &str) -> bool {
    let of = |letters: fn(&u8) -> bool| text.bytes().all(|b| letters(&b) || b.is_ascii_digit() || b == b'_');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && (of(u8::is_ascii_uppercase) || of(u8::is_ascii_lowercase))
}
