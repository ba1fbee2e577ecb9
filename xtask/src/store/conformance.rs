//! Whether a store keeps the promises that rotation builds on: one rule per promise, each with its result.
//!
//! A helper program is tested with invented keys of an invented environment, through its own process. A store that
//! holds a real key is only looked at; the one write that may be asked for gives it the key that it holds.

use std::{fmt, fmt::Write as _};

use license_core::{LicenseKey, trail::Ended};
use zeroize::Zeroizing;

use super::{
    command::{Can, Capabilities, CommandStore, Meaning, Put, Verb},
    held::{Held, StoreFault, Written},
    place::Place,
};
use crate::{
    mask::Masks,
    process::capture::{Answer, Captured},
};

/// One promise, and whether it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The promise, as a sentence.
    pub(crate) rule: &'static str,
    /// What was seen.
    pub(crate) result: RuleResult,
}

/// Whether a promise was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleResult {
    /// It was.
    Passed,
    /// It was not; this was seen instead. Holds no key.
    Failed(String),
    /// It was not looked at, and why.
    Skipped(&'static str),
}

impl Checked {
    /// Whether the promise was broken.
    pub(crate) fn is_failed(&self) -> bool {
        match self.result {
            RuleResult::Failed(_) => true,
            RuleResult::Passed | RuleResult::Skipped(_) => false,
        }
    }
}

/// Whether a test may write the key that a store holds over itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// It may.
    Allowed,
    /// It may not.
    Forbidden,
}

/// The promises of the helper protocol, in the order in which they are tested.
mod rule {
    pub(super) const CAPABILITIES: &str = "`capabilities` answers with the protocol and what the helper can do";
    pub(super) const UNKNOWN_VERB: &str = "an unknown verb is refused with 64 or 7";
    pub(super) const GARBAGE: &str = "a request that is not JSON is refused with 64";
    pub(super) const ABSENT: &str = "`get` of what is not there ends with 3";
    pub(super) const FIRST_PUT: &str = "`put` where nothing is ends with 0 and answers with an object";
    pub(super) const SAME_BYTES: &str = "`get` gives the key that was put, byte for byte";
    pub(super) const REPEATED: &str = "the same `put` of the same rotation ends with 0 again and makes no new version";
    pub(super) const NEW_VERSION: &str = "another `put` over the version that was read takes the new key";
    pub(super) const CONFLICT: &str = "`put` over another version ends with 4 and changes nothing";
    pub(super) const CHARACTERS: &str = "a key with every character that keys may have is kept";
    pub(super) const LONGEST: &str = "the longest key is kept";
    pub(super) const APART: &str = "the keys of two environments are kept apart";
    pub(super) const SILENT: &str = "no key is told on stderr";
    pub(super) const IN_TIME: &str = "every verb ends within its deadline";
    pub(super) const PROBE: &str = "the store can be reached, and takes keys";
    pub(super) const STABLE: &str = "reading it twice gives the same";
    pub(super) const REWRITE: &str = "the key that it holds can be written over itself, and is read back";
}

const NO_GET: &str = "the helper gives no keys";
const NO_PUT: &str = "the helper takes no keys";
const NO_VERSIONS: &str = "the helper tells no versions";

/// The name of the environment that a helper is tested with: nobody's, and another one each time.
pub(crate) fn scratch_environment(random: u64) -> String {
    format!("license-store-test-{random:016x}")
}

/// Tests a helper program. `store` makes the store of an environment; the names begin with `scratch`.
/// Fails only when the helper cannot be started at all.
pub(crate) fn helper(store: impl Fn(&str) -> CommandStore, scratch: &str) -> Result<Vec<Checked>, StoreFault> {
    let mut test = Test::default();
    let first = Subject::new(store(scratch));
    let can = match first.store.capabilities() {
        Ok(can) => can,
        Err(fault) => {
            let answer = first.store.exchange(Verb::Capabilities.word(), &first.store.request(None));
            if let Meaning::NotStarted(_) = Meaning::of(&answer.ended) {
                return Err(fault);
            }
            test.says(rule::CAPABILITIES, Err(fault.to_string()));
            test.times(&answer);
            test.end();
            return Ok(test.checked);
        }
    };
    test.says(rule::CAPABILITIES, Ok(()));
    refuses_nonsense(&mut test, &first, can);
    match (can.get, can.put) {
        (Can::Yes, Can::Yes) => keeps_keys(&mut test, &first, can, &store, scratch),
        (Can::No, Can::Yes) => takes_keys(&mut test, &first, can),
        (Can::Yes | Can::No, Can::No) => gives_keys(&mut test, &first),
    }
    test.end();
    Ok(test.checked)
}

/// Looks at a store that holds a real key. Fails only when it cannot be read.
pub(crate) fn place(place: &Place, rewrite: Rewrite, rotation_id: &str) -> Result<Vec<Checked>, StoreFault> {
    let mut test = Test::default();
    let probed = place.probe();
    let held = match &probed {
        Ok(_) => place.read()?,
        Err(fault) => {
            test.says(rule::PROBE, Err(fault.to_string()));
            place.read()?
        }
    };
    if let Ok(probed) = &probed {
        test.says(rule::PROBE, Ok(()));
        test.says(rule::STABLE, same(probed, &held));
    }
    match (rewrite, held) {
        (Rewrite::Forbidden, _) => test.skip(rule::REWRITE, "it is written only with `--write`"),
        (Rewrite::Allowed, Held::Key { key, version }) => {
            let written = place.write(&key, &version, rotation_id);
            test.says(rule::REWRITE, rewritten(&written, &key, place.read()));
        }
        (Rewrite::Allowed, Held::Nothing { .. }) => test.skip(rule::REWRITE, "it holds no key"),
        (Rewrite::Allowed, Held::Hidden { .. }) => test.skip(rule::REWRITE, "what it holds cannot be read"),
    }
    Ok(test.checked)
}

fn same(one: &Held, other: &Held) -> Result<(), String> {
    let shown = |held: &Held| match held {
        Held::Key { key, .. } => format!("the key {}", key.fingerprint()),
        Held::Nothing { .. } => "nothing".to_owned(),
        Held::Hidden { .. } => "what cannot be read".to_owned(),
    };
    if shown(one) != shown(other) {
        return Err(format!("{}, then {}", shown(one), shown(other)));
    }
    if one.version() != other.version() {
        return Err("two versions, though nobody wrote".to_owned());
    }
    Ok(())
}

fn rewritten(written: &Written, key: &LicenseKey, read: Result<Held, StoreFault>) -> Result<(), String> {
    match written {
        Written::Done => {}
        Written::Failed(fault) => return Err(format!("it was not written: {fault}")),
        Written::Unknown(fault) => return Err(format!("whether it was written is unknown: {fault}")),
    }
    match read.map_err(|fault| format!("it was written and cannot be read back: {fault}"))? {
        Held::Key { key: read, .. } if read == *key => Ok(()),
        Held::Key { key: read, .. } => Err(format!("the key {} was read back", read.fingerprint())),
        Held::Nothing { .. } => Err("nothing was read back".to_owned()),
        Held::Hidden { .. } => Err("it cannot be read back".to_owned()),
    }
}

/// The results so far, and what is known only at the end.
#[derive(Default)]
struct Test {
    checked: Vec<Checked>,
    keys: Vec<Zeroizing<String>>,
    stderr: Vec<Zeroizing<Vec<u8>>>,
    late: Option<u64>,
}

impl Test {
    fn says(&mut self, rule: &'static str, result: Result<(), String>) {
        let result = match result {
            Ok(()) => RuleResult::Passed,
            Err(seen) => RuleResult::Failed(seen),
        };
        self.checked.push(Checked { rule, result });
    }

    fn skip(&mut self, rule: &'static str, why: &'static str) {
        self.checked.push(Checked { rule, result: RuleResult::Skipped(why) });
    }

    fn times(&mut self, answer: &Captured) {
        if let Meaning::Late { after_secs } = Meaning::of(&answer.ended) {
            self.late = Some(after_secs);
        }
        self.stderr.push(answer.stderr.clone());
    }

    fn put(&mut self, subject: &Subject, key: &str, expected: Option<&str>, rotation_id: &str) -> Captured {
        self.keys.push(Zeroizing::new(key.to_owned()));
        let put = Put { rotation_id, expected, key };
        self.ask(subject, Verb::Put, Some(&put))
    }

    fn get(&mut self, subject: &Subject) -> Given {
        Given::of(&self.ask(subject, Verb::Get, None))
    }

    fn ask(&mut self, subject: &Subject, verb: Verb, put: Option<&Put<'_>>) -> Captured {
        let answer = subject.store.exchange(verb.word(), &subject.store.request(put));
        self.times(&answer);
        answer
    }

    fn end(&mut self) {
        let masks = Masks::of(self.keys.iter().map(|key| key.as_str()));
        let told = self.stderr.iter().filter(|stderr| {
            let text = String::from_utf8_lossy(stderr);
            masks.text(&text) != text
        });
        let told = told.count();
        self.says(rule::SILENT, if told == 0 { Ok(()) } else { Err(format!("{told} answers told one")) });
        let late = self.late.map(|secs| format!("one took longer than {secs} s"));
        self.says(rule::IN_TIME, late.map_or(Ok(()), Err));
    }
}

/// The store of one invented environment.
struct Subject {
    store: CommandStore,
}

impl Subject {
    fn new(store: CommandStore) -> Self {
        Self { store }
    }
}

/// What a `get` came to.
#[derive(PartialEq, Eq)]
enum Given {
    Key { key: Zeroizing<String>, version: Option<String> },
    Nothing { version: Option<String> },
    Other(String),
}

impl Given {
    fn of(answer: &Captured) -> Self {
        let text = |value: Option<&serde_json::Value>| value.and_then(|text| text.as_str()).map(str::to_owned);
        let object = match &answer.stdout {
            Answer::Whole(bytes) => serde_json::from_slice::<serde_json::Value>(bytes).ok(),
            Answer::TooLong => None,
        };
        let version = object.as_ref().and_then(|object| text(object.get("version")));
        match (Meaning::of(&answer.ended), object) {
            (Meaning::Ok, Some(object)) => match text(object.get("key")) {
                Some(key) => Self::Key { key: Zeroizing::new(key), version },
                None => Self::Other("an object without a `key`".to_owned()),
            },
            (Meaning::Ok, None) => Self::Other("an answer that is not one JSON object".to_owned()),
            (Meaning::NotFound, _) => Self::Nothing { version },
            _ => Self::Other(Shown(&answer.ended).to_string()),
        }
    }

    fn version(&self) -> Option<&str> {
        match self {
            Self::Key { version, .. } | Self::Nothing { version } => version.as_deref(),
            Self::Other(_) => None,
        }
    }

    /// That it is this key; what it is instead is told without the key.
    fn is(&self, expected: &str) -> Result<(), String> {
        match self {
            Self::Key { key, .. } if key.as_str() == expected => Ok(()),
            Self::Key { key, .. } => Err(format!("another text of {} bytes instead of {}", key.len(), expected.len())),
            Self::Nothing { .. } => Err("nothing".to_owned()),
            Self::Other(seen) => Err(seen.clone()),
        }
    }
}

/// How a process ended, in words.
struct Shown<'a>(&'a Ended);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ended::Exited { code } => write!(f, "exit {code}"),
            Ended::Killed { signal } | Ended::Interrupted { signal } => write!(f, "signal {signal}"),
            Ended::TimedOut { after_secs } => write!(f, "no answer within {after_secs} s"),
            Ended::NotStarted { why } => f.write_str(why),
        }
    }
}

fn exits(answer: &Captured, codes: &[i32]) -> Result<(), String> {
    let expected = codes.iter().any(|&code| answer.ended == Ended::Exited { code });
    if expected { Ok(()) } else { Err(Shown(&answer.ended).to_string()) }
}

/// That a `put` ended with 0 and one JSON object.
fn taken(answer: &Captured) -> Result<(), String> {
    exits(answer, &[0])?;
    let object = match &answer.stdout {
        Answer::Whole(bytes) => serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).ok(),
        Answer::TooLong => None,
    };
    object.map(|_| ()).ok_or_else(|| "exit 0 without one JSON object on stdout".to_owned())
}

fn refuses_nonsense(test: &mut Test, subject: &Subject, can: Capabilities) {
    let answer = subject.store.exchange("license-store-test-verb", &subject.store.request(None));
    test.times(&answer);
    test.says(rule::UNKNOWN_VERB, exits(&answer, &[64, 7]));
    let verbs = [(Verb::Get, can.get), (Verb::Put, can.put)];
    let mut seen = String::new();
    for (verb, _) in verbs.iter().filter(|(_, can)| *can == Can::Yes) {
        for garbage in ["this is not JSON\n", "", "{\"protocol\":1,\"environment\":\"cut"] {
            let answer = subject.store.exchange(verb.word(), garbage.as_bytes());
            test.times(&answer);
            if let Err(other) = exits(&answer, &[64]) {
                let separator = if seen.is_empty() { "" } else { ", " };
                let _ = write!(seen, "{separator}`{}` with {garbage:?}: {other}", verb.word());
            }
        }
    }
    test.says(rule::GARBAGE, if seen.is_empty() { Ok(()) } else { Err(seen) });
}

/// For a helper that only gives keys: nothing else can be proved without one.
fn gives_keys(test: &mut Test, subject: &Subject) {
    let absent = test.get(subject);
    test.says(rule::ABSENT, is_nothing(&absent));
    for rule in [rule::FIRST_PUT, rule::SAME_BYTES, rule::REPEATED, rule::CONFLICT] {
        test.skip(rule, NO_PUT);
    }
}

/// For a helper that only takes keys: what it took cannot be seen, but its versions can.
fn takes_keys(test: &mut Test, subject: &Subject, can: Capabilities) {
    let keys = [invented("first"), invented("second")];
    let first = test.put(subject, &keys[0], None, "rotation-1");
    test.says(rule::FIRST_PUT, taken(&first));
    test.skip(rule::SAME_BYTES, NO_GET);
    let version = told_version(&test.ask(subject, Verb::Get, None), can);
    let again = test.put(subject, &keys[0], None, "rotation-1");
    let after = told_version(&test.ask(subject, Verb::Get, None), can);
    let one_version = if version == after { Ok(()) } else { Err("a second version".to_owned()) };
    test.says(rule::REPEATED, taken(&again).and(one_version));
    if can.versions == Can::No {
        return test.skip(rule::CONFLICT, NO_VERSIONS);
    }
    let other = test.put(subject, &keys[1], Some(NO_VERSION), "rotation-2");
    let after = told_version(&test.ask(subject, Verb::Get, None), can);
    let unchanged = if version == after { Ok(()) } else { Err("exit 4, and another version".to_owned()) };
    test.says(rule::CONFLICT, exits(&other, &[4]).and(unchanged));
}

/// The version that a helper tells which gives no keys.
fn told_version(answer: &Captured, can: Capabilities) -> Option<String> {
    let Answer::Whole(bytes) = &answer.stdout else { return None };
    let object: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let version = object.get("version")?.as_str()?.to_owned();
    (can.versions == Can::Yes).then_some(version)
}

/// A version that no store tells.
const NO_VERSION: &str = "license-store-test-no-such-version";

/// For a helper that gives and takes keys: everything.
fn keeps_keys(
    test: &mut Test,
    first: &Subject,
    can: Capabilities,
    store: &impl Fn(&str) -> CommandStore,
    scratch: &str,
) {
    let keys = [invented("first"), invented("second"), invented("third")];
    let absent = test.get(first);
    test.says(rule::ABSENT, is_nothing(&absent));

    let answer = test.put(first, &keys[0], absent.version(), "rotation-1");
    test.says(rule::FIRST_PUT, taken(&answer));
    let read = test.get(first);
    let has_version = match (can.versions, read.version()) {
        (Can::Yes, None) => Err("no `version`, and `capabilities` promises one".to_owned()),
        (Can::Yes, Some(_)) | (Can::No, _) => Ok(()),
    };
    test.says(rule::SAME_BYTES, read.is(&keys[0]).and(has_version));

    let answer = test.put(first, &keys[0], absent.version(), "rotation-1");
    let again = test.get(first);
    let one_version = if can.versions == Can::No || again.version() == read.version() {
        Ok(())
    } else {
        Err("exit 0, and another version".to_owned())
    };
    test.says(rule::REPEATED, taken(&answer).and(again.is(&keys[0])).and(one_version));

    let answer = test.put(first, &keys[1], again.version(), "rotation-2");
    let changed = test.get(first);
    let another_version = if can.versions == Can::Yes && changed.version() == again.version() {
        Err("the version stayed the same".to_owned())
    } else {
        Ok(())
    };
    test.says(rule::NEW_VERSION, taken(&answer).and(changed.is(&keys[1])).and(another_version));

    match can.versions {
        Can::No => test.skip(rule::CONFLICT, NO_VERSIONS),
        Can::Yes => {
            // One that never was, one that was, and none at all.
            let mut seen = Ok(());
            for over in [Some(NO_VERSION), again.version(), None] {
                let answer = test.put(first, &keys[2], over, "rotation-3");
                let unchanged = test.get(first);
                seen = seen.and(exits(&answer, &[4])).and(unchanged.is(&keys[1]));
                seen = seen.and(if unchanged.version() == changed.version() {
                    Ok(())
                } else {
                    Err("exit 4, and another version".to_owned())
                });
            }
            test.says(rule::CONFLICT, seen);
        }
    }

    let before = test.get(first);
    for (rule, suffix, key) in [
        (rule::CHARACTERS, "characters", every_character()),
        (rule::LONGEST, "longest", Zeroizing::new("k".repeat(LicenseKey::BYTES_MAX))),
    ] {
        let subject = Subject::new(store(&format!("{scratch}-{suffix}")));
        let answer = test.put(&subject, &key, None, "rotation-1");
        let read = test.get(&subject);
        test.says(rule, taken(&answer).and(read.is(&key)));
    }
    let kept = if test.get(first) == before { Ok(()) } else { Err("it is not what it was before".to_owned()) };
    test.says(rule::APART, kept);
}

fn is_nothing(given: &Given) -> Result<(), String> {
    match given {
        Given::Nothing { .. } => Ok(()),
        Given::Key { .. } => Err("a key".to_owned()),
        Given::Other(seen) => Err(seen.clone()),
    }
}

/// A key that opens nothing.
fn invented(which: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("license-store-test-key-{which}"))
}

/// Every character that a key may have, with what shells, sed and JSON take for their own at both ends too.
fn every_character() -> Zeroizing<String> {
    let all: String = ('!'..='~').collect();
    Zeroizing::new(format!("\\n\"key\":\"$(x)`{all}%s&\\u0041\\"))
}

#[cfg(test)]
mod tests;
