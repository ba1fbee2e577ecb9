//! A helper program as a store of keys: see `docs/store-helpers.md`.
//!
//! The verb is the helper's argument, one JSON object goes to its stdin, one comes from its stdout. The key is in the
//! JSON and nowhere else. A helper is not believed: what it answers is checked, and a write that ends in any way but
//! the agreed ones has an unknown outcome.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use license_core::{LicenseKey, finding::clean, trail::Ended};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::held::{FaultKind, Held, StoreFault, Version, Written};
use crate::{
    met::Met,
    process::capture::{Answer, Call, Captured, STDOUT_BYTES_MAX, capture_until},
    signals::Signals,
};

/// The version of the protocol.
pub(crate) const PROTOCOL: u32 = 1;

/// How long a helper may take for one verb.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How many lines of what a helper tells people are shown for one verb: the last ones.
const NOTES_MAX: usize = 20;

/// The longest version that a helper may tell, in bytes.
const VERSION_BYTES_MAX: usize = 256;

/// The program of a store for which the configuration names none.
pub(crate) fn program_of(name: &str) -> Vec<String> {
    vec![format!("license-store-{name}")]
}

/// What a store of this kind is made of.
#[derive(Clone)]
pub(crate) struct Helper {
    /// The program and its first arguments; the verb is put behind them.
    pub(crate) program: Vec<String>,
    /// The directory to run it in: that of `license.toml`.
    pub(crate) directory: PathBuf,
    /// Its whole environment, without the keys and tokens that `license.toml` names.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Whose key it keeps.
    pub(crate) environment: String,
    /// The license, where its id is configured.
    pub(crate) license: Option<String>,
    /// What the configuration says to it.
    pub(crate) options: BTreeMap<String, String>,
    /// How long it may take for one verb.
    pub(crate) deadline: Duration,
    /// The secrets that are known: what it says is shown without them.
    pub(crate) met: Arc<Met>,
    /// What ends a helper that only reads.
    pub(crate) signals: Signals,
}

/// Variables may hold secrets that we know nothing of.
impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper")
            .field("program", &self.program)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// A helper program as the store of one environment's key.
#[derive(Debug)]
pub(crate) struct CommandStore {
    helper: Helper,
    capabilities: OnceLock<Capabilities>,
    said: Mutex<Vec<String>>,
}

/// What a helper can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Whether it gives keys back.
    pub(crate) get: Can,
    /// Whether it takes keys.
    pub(crate) put: Can,
    /// Whether it tells versions and heeds the expected one.
    pub(crate) versions: Can,
}

/// Whether a helper can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Can {
    /// It can.
    Yes,
    /// It cannot.
    No,
}

impl Can {
    fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// What a helper is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Say what it can do.
    Capabilities,
    /// Give the key.
    Get,
    /// Take a key.
    Put,
}

impl Verb {
    /// The helper's argument.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Get => "get",
            Self::Put => "put",
        }
    }
}

impl CommandStore {
    /// A store that has not been asked anything yet.
    pub(crate) fn new(helper: Helper) -> Self {
        Self { helper, capabilities: OnceLock::new(), said: Mutex::default() }
    }

    /// The store in words that fit into a sentence.
    pub(crate) fn describe(&self) -> String {
        format!("the helper `{}`", clean(&self.helper.program.join(" ")))
    }

    /// What the helper can do; it is asked once.
    pub(crate) fn capabilities(&self) -> Result<Capabilities, StoreFault> {
        if let Some(known) = self.capabilities.get() {
            return Ok(*known);
        }
        let captured = self.ask(Verb::Capabilities, None);
        let last = self.hear(&captured);
        let meaning = Meaning::of(&captured.ended);
        if meaning != Meaning::Ok {
            return Err(self.fault(Verb::Capabilities, &meaning, last.as_deref()));
        }
        let found = self.read_capabilities(&captured.stdout)?;
        Ok(*self.capabilities.get_or_init(|| found))
    }

    /// Proves that the helper takes keys, and reads what it holds.
    pub(crate) fn probe(&self) -> Result<Held, StoreFault> {
        match self.capabilities()?.put {
            Can::Yes => self.read(),
            Can::No => Err(self.read_only()),
        }
    }

    /// Reads what the helper holds.
    pub(crate) fn read(&self) -> Result<Held, StoreFault> {
        let can = self.capabilities()?;
        if (can.get, can.versions) == (Can::No, Can::No) {
            return Ok(Held::Hidden { version: Version::NONE });
        }
        let captured = self.ask(Verb::Get, None);
        let given = self.read_given(&captured.stdout);
        if let Some(key) = given.as_ref().ok().and_then(|given| given.key.as_deref()) {
            self.helper.met.add(key);
        }
        let last = self.hear(&captured);
        let meaning = Meaning::of(&captured.ended);
        if meaning == Meaning::Ok {
            return self.held(given?, can);
        }
        if meaning != Meaning::NotFound {
            return Err(self.fault(Verb::Get, &meaning, last.as_deref()));
        }
        // An absent key may have a version too, as that of a deleted secret; without an answer it has none.
        let version = self.version(given.ok().and_then(|given| given.version), can)?;
        Ok(match can.get {
            Can::Yes => Held::Nothing { version },
            Can::No => Held::Hidden { version },
        })
    }

    /// Gives the helper a key, if it holds still what was read at the version `over`. Not repeated here.
    pub(crate) fn write(&self, key: &LicenseKey, over: &Version, rotation_id: &str) -> Written {
        match self.capabilities() {
            Ok(Capabilities { put: Can::Yes, .. }) => {}
            Ok(Capabilities { put: Can::No, .. }) => return Written::Failed(self.read_only()),
            Err(fault) => return Written::Failed(fault),
        }
        let put = Put { rotation_id, expected: over.0.as_deref(), key: key.reveal() };
        self.helper.met.add(key.reveal());
        let captured = self.ask(Verb::Put, Some(&put));
        let last = self.hear(&captured);
        let meaning = Meaning::of(&captured.ended);
        match (Outcome::of(&meaning), self.read_given(&captured.stdout)) {
            (Outcome::Done, Ok(_)) => Written::Done,
            // It may not know the verb at all.
            (Outcome::Done, Err(fault)) => Written::Unknown(fault),
            (Outcome::Failed, _) => Written::Failed(self.fault(Verb::Put, &meaning, last.as_deref())),
            (Outcome::Unknown, _) => Written::Unknown(self.fault(Verb::Put, &meaning, last.as_deref())),
        }
    }

    /// What the helper told people since this was asked last: masked, clean, bounded.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The request of a verb, as it goes to the helper's stdin.
    pub(crate) fn request(&self, put: Option<&Put<'_>>) -> Zeroizing<Vec<u8>> {
        let helper = &self.helper;
        let (environment, license, options) = (&helper.environment, helper.license.as_deref(), &helper.options);
        let request = Request { protocol: PROTOCOL, environment, license, put, options };
        // Large enough from the start: a buffer that grows leaves copies of the key behind.
        let key = put.map_or(0, |put| put.key.len() + put.rotation_id.len());
        let options: usize = options.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(REQUEST_BYTES + 2 * key + 6 * options));
        serde_json::to_writer(&mut *text, &request).expect("maps of strings become JSON, and a vector takes them");
        text.push(b'\n');
        text
    }

    /// Starts the helper with a word and bytes of the caller's own.
    pub(crate) fn exchange(&self, word: &str, stdin: &[u8]) -> Captured {
        self.exchange_until(word, stdin, &Signals::none())
    }

    fn exchange_until(&self, word: &str, stdin: &[u8], signals: &Signals) -> Captured {
        let words: Vec<String> = self.helper.program.iter().cloned().chain([word.to_owned()]).collect();
        let call = Call {
            words: &words,
            directory: &self.helper.directory,
            variables: &self.helper.variables,
            stdin,
            deadline: self.helper.deadline,
        };
        capture_until(&call, signals)
    }

    /// A signal ends what only reads.
    fn ask(&self, verb: Verb, put: Option<&Put<'_>>) -> Captured {
        match put {
            Some(_) => self.exchange(verb.word(), &self.request(put)),
            None => self.exchange_until(verb.word(), &self.request(put), &self.helper.signals),
        }
    }

    /// Keeps what the helper told people, without keys. Returns its last line.
    fn hear(&self, captured: &Captured) -> Option<String> {
        let lines = notes(&captured.stderr, &self.helper.met);
        let last = lines.last().cloned();
        self.said.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        last
    }

    fn read_capabilities(&self, stdout: &Answer) -> Result<Capabilities, StoreFault> {
        let told: Told = self.object(Verb::Capabilities, stdout)?;
        if told.protocol != PROTOCOL {
            let message = format!("{} speaks protocol {}, and we speak {PROTOCOL}", self.describe(), told.protocol);
            return Err(fault(FaultKind::Setup, message, "use a helper of the other version, or update this tool"));
        }
        let can = Capabilities { get: Can::of(told.get), put: Can::of(told.put), versions: Can::of(told.versions) };
        if (can.get, can.put) == (Can::No, Can::No) {
            let message = format!("{} neither gives keys nor takes them", self.describe());
            return Err(fault(FaultKind::Setup, message, TEST_IT));
        }
        Ok(can)
    }

    fn read_given(&self, stdout: &Answer) -> Result<Given, StoreFault> {
        self.object(Verb::Get, stdout)
    }

    fn object<T: for<'a> Deserialize<'a>>(&self, verb: Verb, stdout: &Answer) -> Result<T, StoreFault> {
        let what = match stdout {
            Answer::Whole(bytes) => match serde_json::from_slice(bytes) {
                Ok(object) => return Ok(object),
                // The error itself may quote a key.
                Err(_) => "an answer that is not the one JSON object of the protocol".to_owned(),
            },
            Answer::TooLong => format!("an answer of more than {} MiB", STDOUT_BYTES_MAX / (1024 * 1024)),
        };
        let message = match verb {
            Verb::Capabilities => format!("{} gave {what} to `capabilities`", self.describe()),
            Verb::Get | Verb::Put => format!("{} gave {what}", self.describe()),
        };
        Err(fault(FaultKind::Malformed, message, TEST_IT))
    }

    fn held(&self, given: Given, can: Capabilities) -> Result<Held, StoreFault> {
        let version = self.version(given.version, can)?;
        match (given.key, can.get) {
            (Some(text), Can::Yes) => match LicenseKey::parse(&text) {
                Ok(key) => Ok(Held::Key { key, version }),
                Err(why) => {
                    let message = format!("what {} holds is no license key: {why}", self.describe());
                    Err(fault(FaultKind::Malformed, message, "look at what is stored there; store the key alone"))
                }
            },
            (None, Can::No) => Ok(Held::Hidden { version }),
            (None, Can::Yes) => {
                let message = format!("{} answered `get` without a `key`", self.describe());
                Err(fault(FaultKind::Malformed, message, TEST_IT))
            }
            (Some(_), Can::No) => {
                let message = format!("{} gave a key, and says that it gives none", self.describe());
                Err(fault(FaultKind::Malformed, message, TEST_IT))
            }
        }
    }

    fn version(&self, told: Option<String>, can: Capabilities) -> Result<Version, StoreFault> {
        match (told, can.versions) {
            (Some(text), Can::Yes) if text.is_empty() || text.len() > VERSION_BYTES_MAX => {
                let message = format!(
                    "{} told a version that is empty or longer than {VERSION_BYTES_MAX} bytes",
                    self.describe()
                );
                Err(fault(FaultKind::Malformed, message, TEST_IT))
            }
            (told, Can::Yes) => Ok(Version(told)),
            (_, Can::No) => Ok(Version::NONE),
        }
    }

    fn read_only(&self) -> StoreFault {
        let message = format!("{} takes no keys", self.describe());
        fault(FaultKind::Setup, message, "take it out of `stores`, or use a helper that has `put`")
    }

    fn fault(&self, verb: Verb, meaning: &Meaning, last_note: Option<&str>) -> StoreFault {
        let (kind, what, next) = meaning.trouble(verb);
        let said = last_note.map(|note| format!(": {note}")).unwrap_or_default();
        let message = format!("{} {what} at `{}`{said}", self.describe(), verb.word());
        fault(kind, message, next)
    }
}

fn fault(kind: FaultKind, message: String, next: &str) -> StoreFault {
    StoreFault { kind, message, next: next.to_owned() }
}

const TEST_IT: &str = "`cargo xtask store test NAME` shows what is wrong with a helper";

/// The room for what a request holds beside the key and the options, in bytes.
const REQUEST_BYTES: usize = 1024;

/// A request: one line, its members in this order, so that a shell script can do without a JSON parser.
#[derive(Serialize)]
struct Request<'a> {
    protocol: u32,
    environment: &'a str,
    license: Option<&'a str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    put: Option<&'a Put<'a>>,
    options: &'a BTreeMap<String, String>,
}

/// What a `put` says beside the rest.
#[derive(Serialize)]
pub(crate) struct Put<'a> {
    /// The rotation that the key comes from.
    #[serde(rename = "rotation")]
    pub(crate) rotation_id: &'a str,
    /// The version that the store must be at; `None`: nothing is there, or the store tells no versions.
    #[serde(rename = "version")]
    pub(crate) expected: Option<&'a str>,
    /// The key.
    pub(crate) key: &'a str,
}

/// The answer to `capabilities`.
#[derive(Deserialize)]
struct Told {
    protocol: u32,
    get: bool,
    put: bool,
    versions: bool,
}

/// The answer to `get` and `put`.
#[derive(Deserialize)]
struct Given {
    #[serde(default, deserialize_with = "secret")]
    key: Option<Zeroizing<String>>,
    #[serde(default)]
    version: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Zeroizing::new))
}

/// What the end of a helper means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// 0: done.
    Ok,
    /// 3: there is nothing.
    NotFound,
    /// 4: it is at another version.
    Conflict,
    /// 5: the helper's credential is missing or was refused.
    Credential,
    /// 6: nothing was done, and later it may work.
    Transient,
    /// 7: the helper cannot do that.
    Unsupported,
    /// 8: it does not know what came of it.
    OutcomeUnknown,
    /// 64: it does not understand what it was asked.
    Usage,
    /// Any other exit.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// A signal came to us, and ended it.
    Stopped(i32),
    /// It ran past its deadline.
    Late {
        /// The deadline in seconds.
        after_secs: u64,
    },
    /// It was never started.
    NotStarted(String),
}

impl Meaning {
    /// The meaning of an end.
    pub(crate) fn of(ended: &Ended) -> Self {
        match ended {
            Ended::Exited { code } => match code {
                0 => Self::Ok,
                3 => Self::NotFound,
                4 => Self::Conflict,
                5 => Self::Credential,
                6 => Self::Transient,
                7 => Self::Unsupported,
                8 => Self::OutcomeUnknown,
                64 => Self::Usage,
                other => Self::Exit(*other),
            },
            Ended::Killed { signal } => Self::Signal(*signal),
            Ended::Interrupted { signal } => Self::Stopped(*signal),
            Ended::TimedOut { after_secs } => Self::Late { after_secs: *after_secs },
            Ended::NotStarted { why } => Self::NotStarted(why.clone()),
        }
    }

    /// The sort of trouble, what the helper did, and what to do next.
    fn trouble(&self, verb: Verb) -> (FaultKind, String, &'static str) {
        const LOOK: &str = "look at what the helper says, and at `docs/store-helpers.md`";
        const LATER: &str = "try again later";
        let words = |text: &str| text.to_owned();
        match self {
            Self::Ok => (FaultKind::Malformed, words("said that all is well"), TEST_IT),
            Self::NotFound => {
                let next = "create what the helper is configured to write to";
                (FaultKind::Setup, words("found nothing (exit 3)"), if verb == Verb::Put { next } else { TEST_IT })
            }
            Self::Conflict => {
                let kind = if verb == Verb::Put { FaultKind::Conflict } else { FaultKind::Malformed };
                (kind, words("found another version than the expected one (exit 4)"), "see who else writes there")
            }
            Self::Credential => {
                (FaultKind::Credential, words("was refused, or has no credential (exit 5)"), "look at its credential")
            }
            Self::Transient => (FaultKind::Unreachable, words("could not reach its store (exit 6)"), LATER),
            Self::Unsupported => (FaultKind::Setup, words("cannot do what it was asked (exit 7)"), TEST_IT),
            Self::OutcomeUnknown => (FaultKind::Unreachable, words("does not know what came of it (exit 8)"), LATER),
            Self::Usage => (FaultKind::Setup, words("did not understand the request (exit 64)"), TEST_IT),
            Self::Exit(code) => (FaultKind::Malformed, format!("ended with exit {code}"), LOOK),
            Self::Signal(signal) => (FaultKind::Malformed, format!("was ended by signal {signal}"), LOOK),
            Self::Stopped(signal) => {
                let said = format!("was stopped, since signal {signal} came");
                (FaultKind::Stopped { signal: *signal }, said, "run the command again")
            }
            Self::Late { after_secs } => {
                (FaultKind::Unreachable, format!("gave no answer within {after_secs} s"), LOOK)
            }
            Self::NotStarted(why) => {
                (FaultKind::Setup, format!("cannot be started: {why};"), "correct `command` in license.toml, or PATH")
            }
        }
    }
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
    Unknown,
}

impl Outcome {
    fn of(meaning: &Meaning) -> Self {
        match meaning {
            Meaning::Ok => Self::Done,
            Meaning::NotFound
            | Meaning::Conflict
            | Meaning::Credential
            | Meaning::Transient
            | Meaning::Unsupported
            | Meaning::Usage
            | Meaning::NotStarted(_) => Self::Failed,
            Meaning::OutcomeUnknown
            | Meaning::Exit(_)
            | Meaning::Signal(_)
            | Meaning::Stopped(_)
            | Meaning::Late { .. } => Self::Unknown,
        }
    }
}

/// The last lines of what a helper told people, without keys, fit to be shown.
fn notes(stderr: &[u8], met: &Met) -> Vec<String> {
    // Most helpers say nothing, and the masks of a thousand keys cost something.
    if stderr.is_empty() {
        return Vec::new();
    }
    let text = Zeroizing::new(String::from_utf8_lossy(stderr).into_owned());
    let lines: Vec<String> = met.lines(&text).into_iter().filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(NOTES_MAX)..].to_vec()
}

#[cfg(test)]
mod tests;
