//! `license.toml`: read once, checked once, trusted from there on.
//!
//! `fields` walks the parsed file and `raw` is what it finds, every value with its place; `check` turns that
//! into [`Config`] with the rules of the table that a module is named for, and collects every problem; `problem` and
//! `secrets` say what is shown. `rotation` says what a rotation needs of the file. `alerts` is about `[sinks]`, too.
//! `partly` says what can be said of a file that is not understood.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use license_core::{
    Check, Demand, Fingerprint, KeyClass, UnknownPolicy, alert::AutoRenew, leaks::Pattern, rotation::RotationVisible,
    token::PublicKey,
};
use miette::{NamedSource, SourceSpan};

use crate::{health::Probe, push::branches::BranchGlob, scan::allowed::Allowance, store::Source};

mod address;
mod alerts;
mod authority;
mod check;
mod checking;
mod command;
mod duration;
mod environment;
mod escrow;
mod fields;
mod leaks;
mod partly;
mod problem;
mod raw;
mod rotation;
mod secrets;
mod store;
mod trail;
mod webhook;
mod words;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod schema;

pub(crate) use alerts::{AlertSettings, Sink, SinkWay};
pub(crate) use check::{FILE_BYTES_MAX, FILE_NAME, find, is_there, load, load_alone, of_commit, problems_of_keys};
pub(crate) use duration::Shown as ShownDuration;
pub(crate) use partly::{Blocking, blocking, sources as sources_of_broken};
use problem::line_column;
pub(crate) use problem::{ConfigError, Problem};
pub(crate) use store::{KEY_PLACE, StoreSettings};
pub(crate) use webhook::WebhookSettings;

/// The JSON Schema of the file, as `cargo xtask schema` prints it.
pub(crate) const SCHEMA: &str = include_str!("../../../docs/license.schema.json");

/// A checked `license.toml`.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file's directory; paths in the file are relative to it.
    pub(crate) root: PathBuf,
    /// The text, for pictures of it: secrets in it are replaced, places are kept.
    pub(crate) source: Arc<NamedSource<String>>,
    /// Where the trail is kept.
    pub(crate) trail: TrailSettings,
    /// Whether the trail may be lost, where a machine is thrown away after the run.
    #[cfg_attr(not(test), expect(dead_code, reason = "what needs memory across runs reads it"))]
    pub(crate) ephemeral: Ephemeral,
    /// Whether the next run still has the trail.
    pub(crate) memory: Memory,
    /// Who can open sealed keys, where the file says.
    pub(crate) escrow: Option<EscrowSettings>,
    /// What the scan for leaked keys looks for, and leaves alone.
    pub(crate) leaks: LeaksSettings,
    /// Who hears of licenses that end, and of rotations that stand still.
    pub(crate) alerts: AlertSettings,
    /// How webhooks of the authority are received, where the file says.
    pub(crate) webhook: Option<WebhookSettings>,
    /// Every store by name.
    pub(crate) stores: BTreeMap<String, StoreSettings>,
    /// Every authority by name.
    pub(crate) authorities: BTreeMap<String, AuthoritySettings>,
    /// Every environment by name.
    pub(crate) environments: BTreeMap<EnvName, Environment>,
    /// The environment that is meant when none is named: the default, else the only one.
    pub(crate) default: Option<EnvName>,
    /// What is not wrong and worth a look.
    pub(crate) warnings: Vec<Problem>,
}

impl Config {
    /// The environment of a name, or what is wrong with the name.
    pub(crate) fn environment(&self, name: &str) -> Result<&Environment, Problem> {
        let found = self.environments.values().find(|environment| environment.name.as_str() == name);
        found.ok_or_else(|| {
            Problem::new("unknown_environment", format!("there is no environment `{}`", secrets::shown(name)))
                .help(fields::did_you_mean(name, &self.environment_names(), "the environments are"))
        })
    }

    /// The environment that is meant when none is named, or what there is to choose from.
    pub(crate) fn default_environment(&self) -> Result<&Environment, Problem> {
        let found = self.default.as_ref().and_then(|name| self.environments.get(name));
        found.ok_or_else(|| {
            let names = fields::list(&self.environment_names());
            Problem::new("no_default", "no environment is named, and the file has no `default`")
                .help(format!("name one of {names}, or add `default` to the file"))
        })
    }

    /// The environment that a command line means.
    pub(crate) fn named_or_default(&self, name: Option<&str>) -> Result<&Environment, Problem> {
        name.map_or_else(|| self.default_environment(), |name| self.environment(name))
    }

    /// The store of a name, or what is wrong with the name.
    pub(crate) fn store(&self, name: &str) -> Result<&StoreSettings, Problem> {
        self.stores.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.stores.keys().map(String::as_str).collect();
            let help = if names.is_empty() {
                "add `[stores.NAME]` to the file; docs/license-toml.md shows what belongs in it".to_owned()
            } else {
                fields::did_you_mean(name, &names, "the stores are")
            };
            Problem::new("unknown_store", format!("there is no store `{}`", secrets::shown(name))).help(help)
        })
    }

    /// The sink of that name.
    pub(crate) fn sink(&self, name: &str) -> Result<&Sink, Problem> {
        self.alerts.all_sinks.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.alerts.all_sinks.keys().map(String::as_str).collect();
            let help = if names.is_empty() {
                "add `[sinks.NAME]` to the file; docs/monitoring.md shows what belongs in it".to_owned()
            } else {
                fields::did_you_mean(name, &names, "the sinks are")
            };
            Problem::new("unknown_sink", format!("there is no sink `{}`", secrets::shown(name))).help(help)
        })
    }

    fn environment_names(&self) -> Vec<&str> {
        self.environments.keys().map(EnvName::as_str).collect()
    }

    /// The file as it was named, for messages.
    pub(crate) fn shown_path(&self) -> String {
        self.source.name().to_owned()
    }

    /// The line and the column of a place in the file, both counted from 1.
    pub(crate) fn line_column(&self, place: SourceSpan) -> (usize, usize) {
        line_column(self.source.inner(), place)
    }

    /// The directory of the trails.
    pub(crate) fn trail_directory(&self) -> PathBuf {
        self.root.join(".license").join("trail")
    }
}

/// An age as it is written on the command line: `30d`.
pub(crate) fn age(text: &str) -> Result<Duration, &'static str> {
    duration::parse(text).ok_or("write a number and a unit, as in `30d` or `12h`")
}

/// An environment's name: `[a-z0-9][a-z0-9-]{0,62}`, safe as a ref, a file name and a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EnvName(String);

impl EnvName {
    /// Takes a name, or says what a name looks like.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = *text.as_bytes().first()?;
        let rest = &text.as_bytes()[1..];
        let good = allowed(first) && rest.len() < 63 && rest.iter().all(|&byte| allowed(byte) || byte == b'-');
        good.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a trail that does not outlive the run is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ephemeral {
    /// It is not: what needs memory across runs is refused there.
    Refused,
    /// It is.
    Accepted,
}

/// Where a trail is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrailSettings {
    /// In files beside `license.toml`.
    File,
    /// On refs of a git remote.
    Git {
        /// The remote's name: safe as an argument of git.
        remote: String,
    },
}

/// Whether what a run writes into the trail is there in the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It is, or its loss is accepted.
    Kept,
    /// The machine is thrown away after the run, and the trail with it.
    LostWithTheMachine,
}

/// Who can open sealed keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EscrowSettings {
    /// To whom keys are sealed: each parses as an age recipient. May be empty: see [`Config::problems_of_rotation`].
    pub(crate) recipients: Vec<String>,
    /// Where the identity is that opens them.
    pub(crate) identity: Option<Source>,
    /// Where the table stands in the file.
    pub(crate) place: SourceSpan,
}

/// What the scan for leaked keys looks for besides the keys that are configured, and what it leaves alone.
#[derive(Debug, Default)]
pub(crate) struct LeaksSettings {
    /// Forms of keys of one's own.
    pub(crate) patterns: Vec<Pattern>,
    /// Keys that may be in the repository, each with the reason; none is there twice.
    pub(crate) allow: Vec<(Fingerprint, String)>,
    /// Archives that may stay unseen.
    pub(crate) unscanned: Vec<Allowance>,
}

/// An authority as it is configured.
#[derive(Debug, Clone)]
pub(crate) enum AuthoritySettings {
    /// On this machine.
    Embedded {
        /// The directory of its log, absolute.
        state: PathBuf,
    },
    /// Traffic Orchestrator's REST API.
    Remote(RemoteSettings),
}

/// How to reach a Traffic Orchestrator API.
#[derive(Debug, Clone)]
pub(crate) struct RemoteSettings {
    /// The base address, without a trailing slash: https, or http to this machine.
    pub(crate) url: String,
    /// Where the API token is.
    pub(crate) token: Option<Source>,
    /// Where that stands in the file.
    pub(crate) token_place: Option<SourceSpan>,
    /// Which of the documented dialects it speaks.
    pub(crate) dialect: Dialect,
    /// A file of PEM certificates to trust besides the system's, absolute.
    pub(crate) ca_file: Option<PathBuf>,
    /// Keys that sign its offline tokens.
    pub(crate) public_keys: Vec<PublicKey>,
    /// The bound on one call, everything included.
    pub(crate) timeout: Duration,
    /// Whether validating an old key shows that it was rotated.
    pub(crate) rotation_visible: RotationVisible,
    /// What it makes of a repeated `Idempotency-Key`.
    pub(crate) idempotency: Idempotency,
}

/// What an authority makes of a rotation that is asked again with the same `Idempotency-Key`: a promise about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idempotency {
    /// It gives the same new key again.
    Honored,
    /// It may rotate once more.
    Ignored,
}

/// The two dialects in which the API is documented. They differ in rotation only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As in the vendor's article.
    Article,
    /// As in the vendor's SDKs.
    Sdk,
}

/// One environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// Its name.
    pub(crate) name: EnvName,
    /// The name of its authority; it exists.
    pub(crate) authority: String,
    /// The license's id, where it is known.
    pub(crate) license: Option<String>,
    /// What a deploy demands.
    pub(crate) demand: Demand,
    /// Where each demand stands in the file, for pictures; absent where the file leaves it out.
    pub(crate) places: BTreeMap<Check, SourceSpan>,
    /// Where the environment's table stands in the file.
    pub(crate) place: SourceSpan,
    /// Where the key is.
    pub(crate) key: Source,
    /// The variable in which the deploy command gets the key.
    pub(crate) key_variable: String,
    /// Whether the license renews itself.
    pub(crate) auto_renew: AutoRenew,
    /// What to do about a check whose fact is missing.
    pub(crate) unknown: UnknownPolicy,
    /// What to do when the authority cannot be asked.
    pub(crate) unreachable: UnreachablePolicy,
    /// The deploy command; an environment without one is only checked.
    pub(crate) deploy: Option<Vec<String>>,
    /// How long the deploy command may run.
    pub(crate) deploy_timeout: Duration,
    /// The rollback command.
    pub(crate) rollback: Option<Vec<String>>,
    /// Where the deployed application tells its license.
    pub(crate) health: Option<Probe>,
    /// The names of the stores that a rotation writes, besides the place that `key` names; they exist, none is there twice.
    pub(crate) stores: Vec<String>,
    /// Where that list stands in the file.
    pub(crate) stores_place: Option<SourceSpan>,
    /// When and how the key is rotated.
    pub(crate) rotation: RotationSettings,
    /// The refs of the remote whose pushes deploy here.
    pub(crate) branches: Vec<BranchGlob>,
    /// What becomes of such a push when the license cannot be checked.
    pub(crate) on_push: OnPush,
}

/// What becomes of a push to a mapped branch when the license cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnPush {
    /// It goes out, and a line says what was not checked.
    Warn,
    /// It is stopped.
    Block,
}

/// When and how a key is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RotationSettings {
    /// How many days the old key works on.
    pub(crate) grace_days: u32,
    /// The age from which a key is to be rotated, where there is one.
    pub(crate) age_max: Option<Duration>,
}

impl Environment {
    /// Where a demand stands in the file, or else where the environment begins.
    pub(crate) fn place_of(&self, check: Check) -> SourceSpan {
        self.places.get(&check).copied().unwrap_or(self.place)
    }

    /// The dotenv file and the variable that a deploy may put a first key into without being asked: for development alone.
    pub(crate) fn first_key_place(&self) -> Option<(&Path, &str)> {
        let (None | Some(KeyClass::Dev), Source::Dotenv { file, name }) = (self.demand.key_class, &self.key) else {
            return None;
        };
        Some((file, name))
    }
}

/// What an environment does when its authority cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnreachablePolicy {
    /// No deploy.
    Block,
    /// The last good answer in the trail will do, or an offline token, if it is young enough.
    Cached {
        /// How old it may be.
        age_max: Duration,
        /// A signed offline token to fall back on, where there is one.
        offline_token: Option<Source>,
    },
}
