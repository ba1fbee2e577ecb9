//! Why a command could not do its work, and the exit code of each reason.
//!
//! A refusal is not a failure: it is a result. A failure is "could not".

use std::path::PathBuf;

use miette::Diagnostic;

use crate::{
    authority::{AskError, embedded::ChangeError},
    commands::{
        audit::AuditError, authority::AuthorityError, escrow::EscrowCommandError, lock::LockCommandError,
        rotate::RotateError, store::StoreTestError, webhook::WebhookError,
    },
    config::{ConfigError, EnvName, Problem},
    environment_lock::LockError,
    exit::Exit,
    first_key::FirstKey,
    hook::HookError,
    journal::JournalError,
    log::LogError,
    scan::ScanFault,
    seal::SealError,
    signals::Stop,
    store::{
        StoreError,
        dotenv::SetError,
        held::{FaultKind, StoreFault},
    },
};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Failure {
    /// The file has problems.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// There is no file.
    #[error("there is no license.toml in `{}` or above it", directory.display())]
    #[diagnostic(help("write one (the README has an example), or name it with `--config FILE`"))]
    NoConfig {
        /// Where the search began.
        directory: PathBuf,
    },
    /// No environment of that name, or none that is meant by default.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Selection(#[from] Problem),
    /// The environment cannot be deployed.
    #[error("environment `{name}` has no `deploy` command")]
    #[diagnostic(help("add `deploy = \"…\"` to `[environments.{name}]`, or use `cargo xtask check {name}`"))]
    NothingToDeploy {
        /// The environment.
        name: EnvName,
    },
    /// The key that would be shipped is the old one of a rotation, and dies soon.
    #[error(
        "the key of environment `{environment}` is the old one of a rotation, and works for certain only until {until:.0}: nothing was deployed"
    )]
    #[diagnostic(help("bring the new key to where this deploy reads it: `cargo xtask rotate {environment} --resume`"))]
    OldKeyDies {
        /// The environment.
        environment: EnvName,
        /// When.
        until: jiff::Timestamp,
    },
    /// The key or the API token cannot be read.
    #[error("the {secret} of environment `{environment}` cannot be read: {source}")]
    #[diagnostic(help("{}", next(source)))]
    Secret {
        /// `license key` or `API token`.
        secret: &'static str,
        /// The environment.
        environment: EnvName,
        /// Why.
        source: StoreError,
    },
    /// There is no key, and the authority is the embedded one.
    #[error("environment `{environment}` has no license key yet: {source}{}", first.why())]
    #[diagnostic(help("{}", first.next(environment.as_str())))]
    NoFirstKey {
        /// The environment.
        environment: EnvName,
        /// What is missing.
        source: StoreError,
        /// Where the key comes from. Boxed: every other failure is smaller.
        first: Box<FirstKey>,
    },
    /// A key could not be put where deploys read it, so that none was issued.
    #[error("no license was issued for environment `{environment}`, because its key could not be stored: {source}")]
    #[diagnostic(help("{}", next(source)))]
    NotStorable {
        /// The environment.
        environment: EnvName,
        /// Why.
        source: SetError,
    },
    /// The key that was issued cannot be put where deploys read it.
    #[error(
        "the key of the license `{license_id}` that was issued for environment `{environment}` cannot be stored: {source}"
    )]
    #[diagnostic(help(
        "{}; then withdraw the license with `cargo xtask authority revoke {license_id}`, and the next deploy issues another",
        next(source)
    ))]
    NotStored {
        /// The environment.
        environment: EnvName,
        /// The license.
        license_id: String,
        /// Why.
        source: SetError,
    },
    /// The embedded authority does not issue.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Issue(#[from] ChangeError),
    /// The file of extra certificates cannot be read.
    #[error("`ca_file` of authority `{authority}` cannot be read: {source}")]
    #[diagnostic(help("write the path of a PEM file, relative to license.toml"))]
    CaFile {
        /// The authority.
        authority: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The authority gave no answer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ask(#[from] AskError),
    /// The trail.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Log(#[from] LogError),
    /// Somebody else has the environment, or its trail makes no sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
    /// A claim cannot be broken.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Break(#[from] LockCommandError),
    /// Another process of this machine has the environment.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
    /// There is nothing to draw on.
    #[error("`--watch` draws on a terminal, and stdout is none")]
    #[diagnostic(help("elsewhere a schedule watches: `cargo xtask status --all`, once a day from cron or CI"))]
    NotATerminal,
    /// The state directory of the embedded authority is not clear.
    #[error("license.toml has {what}")]
    #[diagnostic(help("name its state directory with `--state DIR`"))]
    WhichAuthority {
        /// What it has.
        what: &'static str,
    },
    /// The embedded authority.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Authority(#[from] AuthorityError),
    /// The trail could not be shown or verified.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Audit(#[from] AuditError),
    /// The escrow.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Escrow(#[from] EscrowCommandError),
    /// A store cannot be used.
    #[error("store `{store}`: {source}")]
    #[diagnostic(help("{}", source.next))]
    Store {
        /// Its name.
        store: String,
        /// Why.
        source: Box<StoreFault>,
    },
    /// A secret of a sink cannot be read.
    #[error("the {secret} of sink `{sink}` cannot be read: {source}")]
    #[diagnostic(help("{}", next(source)))]
    SinkSecret {
        /// What it is.
        secret: &'static str,
        /// The sink.
        sink: String,
        /// Why.
        source: StoreError,
    },
    /// A sink cannot be told as it is set up.
    #[error("sink `{sink}` cannot be told: {why}")]
    #[diagnostic(help("{next}"))]
    SinkUnusable {
        /// Its name.
        sink: String,
        /// What is wrong.
        why: String,
        /// What to do next.
        next: String,
    },
    /// There is nobody to tell.
    #[error("license.toml has no sinks")]
    #[diagnostic(help("add `[sinks.NAME]` to the file; docs/monitoring.md shows what belongs in it"))]
    NoSinks,
    /// A store has no key, or shows none.
    #[error("store `{store}` shows no license key for environment `{environment}`")]
    #[diagnostic(help("put the key into it, or name a place in `key` that can be read"))]
    NoKeyInStore {
        /// The environment.
        environment: EnvName,
        /// The store.
        store: String,
    },
    /// Something cannot be sealed or opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Seal(#[from] SealError),
    /// A store cannot be tested.
    #[error(transparent)]
    #[diagnostic(transparent)]
    StoreTest(#[from] StoreTestError),
    /// A rotation cannot begin, or cannot go on.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Rotate(#[from] RotateError),
    /// Nothing could be scanned for leaked keys.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scan(#[from] ScanFault),
    /// The hook.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Hook(#[from] HookError),
    /// Webhooks of the authority.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Webhook(#[from] WebhookError),
    /// A signal came before a look was at its end.
    #[error("stopped by a signal before everything was looked at and told")]
    #[diagnostic(help("what was seen until then is in the trail, with what was told of it; run the command again"))]
    LookStopped {
        /// The signal.
        stop: Stop,
    },
    /// A signal came before anything was deployed.
    #[error("stopped by a signal before the deploy command ran")]
    #[diagnostic(help("nothing was deployed; run the command again"))]
    NotDeployed {
        /// The signal.
        stop: Stop,
    },
    /// The operating system does not give randomness, signals, the current directory, or takes no output.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::NoConfig { .. }
            | Self::Selection(_)
            | Self::NothingToDeploy { .. }
            | Self::Secret { .. }
            | Self::NoFirstKey { .. }
            | Self::NotStorable { .. }
            | Self::NotStored { .. }
            | Self::CaFile { .. }
            | Self::NoKeyInStore { .. }
            | Self::SinkSecret { .. }
            | Self::SinkUnusable { .. }
            | Self::NoSinks
            | Self::Seal(_)
            | Self::Issue(ChangeError::Refused(_)) => Exit::Config,
            Self::OldKeyDies { .. } => Exit::Refused,
            Self::WhichAuthority { .. }
            | Self::NotATerminal
            | Self::StoreTest(StoreTestError::NamesNoEnvironment { .. } | StoreTestError::NoSuchStore { .. }) => {
                Exit::Usage
            }
            Self::Ask(error) => ask_exit(error),
            Self::Log(error) | Self::Issue(ChangeError::Log(error)) => error.exit(),
            Self::Journal(error) => error.exit(),
            Self::Break(error) => error.exit(),
            Self::Lock(error) => error.exit(),
            Self::Authority(error) => error.exit(),
            Self::Audit(error) => error.exit(),
            Self::Store { source, .. } => store_exit(source),
            Self::Rotate(error) => error.exit(),
            Self::Escrow(error) => error.exit(),
            Self::Scan(fault) => fault.exit(),
            Self::Hook(error) => error.exit(),
            Self::Webhook(error) => error.exit(),
            Self::LookStopped { stop } | Self::NotDeployed { stop } => stop_exit(*stop),
            Self::System { .. } | Self::Issue(ChangeError::NoRandomness(_)) => Exit::Bug,
        }
    }

    /// The stable code that stands in JSON.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::NoConfig { .. } => "no_config",
            Self::Selection(problem) => problem.code,
            Self::NothingToDeploy { .. } => "nothing_to_deploy",
            Self::OldKeyDies { .. } => "old_key_dies",
            Self::Secret { .. } | Self::SinkSecret { .. } => "secret_unreadable",
            Self::SinkUnusable { .. } => "sink_unusable",
            Self::NoSinks => "no_sinks",
            Self::NotStorable { .. } | Self::NotStored { .. } => "not_stored",
            Self::Issue(_) => "not_issued",
            Self::NoFirstKey { .. } => "no_development_key",
            Self::CaFile { .. } => "ca_file_unreadable",
            Self::Ask(error) => error.stable_code(),
            Self::Log(_) | Self::Journal(JournalError::Rewritten { .. } | JournalError::Misfit { .. }) => "trail",
            Self::Journal(JournalError::Held { .. } | JournalError::Busy { .. })
            | Self::Break(LockCommandError::InForce { .. })
            | Self::Lock(LockError::Held { .. }) => "held",
            Self::Break(LockCommandError::Another { .. } | LockCommandError::Nothing { .. }) => "not_that_claim",
            Self::Lock(LockError::Io { .. }) => "not_locked",
            Self::WhichAuthority { .. } => "which_authority",
            Self::NotATerminal => "not_a_terminal",
            Self::Authority(_) => "authority",
            Self::Audit(_) => "audit",
            Self::Store { source, .. } if source.kind.stopped().is_some() => "stopped",
            Self::Store { .. } => "store",
            Self::NoKeyInStore { .. } => "no_key_in_store",
            Self::Seal(_) => "not_sealed",
            Self::Rotate(error) => error.stable_code(),
            Self::StoreTest(_) => "store_not_tested",
            Self::Escrow(_) => "escrow",
            Self::Scan(fault) => fault.stable_code(),
            Self::Hook(_) => "hook",
            Self::Webhook(_) => "webhook",
            Self::LookStopped { .. } | Self::NotDeployed { .. } => "stopped",
            Self::System { .. } => "system",
        }
    }
}

fn store_exit(fault: &StoreFault) -> Exit {
    match fault.kind {
        FaultKind::Credential => Exit::Credential,
        FaultKind::Stopped { signal } => signal_exit(signal),
        FaultKind::Unreachable | FaultKind::Setup | FaultKind::Conflict | FaultKind::Malformed => Exit::Store,
    }
}

/// The exit code of a signal.
pub(crate) fn stop_exit(stop: Stop) -> Exit {
    match stop {
        Stop::Interrupt => Exit::Interrupted,
        Stop::Terminate => Exit::Terminated,
    }
}

/// The exit code of a signal that was passed on.
pub(crate) fn signal_exit(signal: i32) -> Exit {
    if signal == Stop::Terminate.number() { Exit::Terminated } else { Exit::Interrupted }
}

/// The row of the exit table of an authority that could not be asked.
pub(crate) fn ask_exit(error: &AskError) -> Exit {
    match error {
        AskError::Unreachable { .. } | AskError::Quota { .. } | AskError::Protocol { .. } => Exit::Unknown,
        AskError::Credential { .. } => Exit::Credential,
        AskError::NotTheApi { .. } | AskError::Setup { .. } => Exit::Config,
        AskError::Log(error) => error.exit(),
        AskError::Stopped(stop) => stop_exit(*stop),
    }
}

/// What the cause itself advises.
fn next(cause: &dyn Diagnostic) -> String {
    cause
        .help()
        .map_or_else(|| "look at what is named here, and run the command again".to_owned(), |help| help.to_string())
}
