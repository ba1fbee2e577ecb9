//! Why a rotation cannot begin, or cannot go on.

use crate::{authority::AskError, exit::Exit, failure, store::held::StoreFault};

/// Why a rotation cannot begin, or cannot go on. In none of these has anything changed that the trail does not know.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum RotateError {
    /// The authority does not accept the old key.
    #[error("the authority refuses the key of environment `{environment}`{code}: nothing was changed")]
    #[diagnostic(help(
        "a rotation replaces a key that works; `cargo xtask check {environment}` tells what is wrong with this one"
    ))]
    OldKeyRefused {
        /// The environment.
        environment: String,
        /// The authority's code, with a leading blank and in parentheses.
        code: String,
    },
    /// The key that is to be brought back is dead.
    #[error(
        "the authority refuses the old key of environment `{environment}`{code}: it is not brought back, and nothing was changed"
    )]
    #[diagnostic(help(
        "a store with a dead key helps nobody; go forward: `cargo xtask rotate {environment} --resume`"
    ))]
    OldKeyDead {
        /// The environment.
        environment: String,
        /// The authority's code, with a leading blank and in parentheses.
        code: String,
    },
    /// Whether the key that is to be brought back is alive cannot be found out.
    #[error(
        "whether the old key of environment `{environment}` still works is not known, so that it is not brought back, and nothing was changed: {source}"
    )]
    #[diagnostic(help(
        "run it again when the authority answers; or go forward: `cargo xtask rotate {environment} --resume`"
    ))]
    OldKeyNotAsked {
        /// The environment.
        environment: String,
        /// Why.
        source: Box<AskError>,
    },
    /// Nobody knows which license is meant.
    #[error("the id of the license of environment `{environment}` is not known: nothing was changed")]
    #[diagnostic(help("add `license = \"lic_…\"` to `[environments.{environment}]`: the authority does not tell it"))]
    NoLicenseId {
        /// The environment.
        environment: String,
    },
    /// The clocks differ too much for anything that depends on time.
    #[error("this machine's clock and the authority's differ by {secs} seconds: nothing was changed")]
    #[diagnostic(help("set the clock of this machine; a rotation counts deadlines with it"))]
    ClockSkew {
        /// By how much, in seconds.
        secs: i64,
    },
    /// A store is not ready.
    #[error("store `{store}` is not ready, and nothing was changed: {source}")]
    #[diagnostic(help("{}", source.next))]
    StoreNotReady {
        /// Its name.
        store: String,
        /// Why.
        source: Box<StoreFault>,
    },
    /// A store holds another key than the one that is rotated.
    #[error(
        "store `{store}` holds another key ({found}) than environment `{environment}` ({expected}): nothing was changed"
    )]
    #[diagnostic(help(
        "find out who wrote it, and bring both to one key; a rotation never writes over a key that it does not know"
    ))]
    Drifted {
        /// The store.
        store: String,
        /// The environment.
        environment: String,
        /// The fingerprint that was found.
        found: String,
        /// The fingerprint of the key.
        expected: String,
    },
    /// The key that is to be rotated is not the one that the authority has now.
    #[error("the key of environment `{environment}` ({found}) {what}: nothing was changed")]
    #[diagnostic(help(
        "run it where deploys read the key {expected}: a job of CI that began before the rotation has the old one"
    ))]
    NotCurrent {
        /// The environment.
        environment: String,
        /// The fingerprint of the key that deploys read here.
        found: String,
        /// The fingerprint of the new key of the rotation before.
        expected: String,
        /// What it is instead.
        what: &'static str,
    },
    /// A grace of no days.
    #[error("a grace of 0 days leaves no time in which both keys work: nothing was changed")]
    #[diagnostic(help(
        "name 1 day or more as `grace_days`; or, if the old key may die at once, add `--accept-no-overlap`"
    ))]
    NoGrace,
    /// The identity opens nothing that is sealed to the recipients.
    #[error("the escrow identity is none of the recipients' of `[escrow]`: nothing was changed")]
    #[diagnostic(help(
        "add its recipient to `recipients`, or name the identity of one of them; else nothing sealed could be opened"
    ))]
    ForeignIdentity,
    /// The age of the key is not known.
    #[error(
        "how old the key of environment `{environment}` is cannot be told: the authority does not say, and the trail has not seen it"
    )]
    #[diagnostic(help("rotate without `--if-older-than` once, or deploy once, so that the trail has seen the key"))]
    AgeNotKnown {
        /// The environment.
        environment: String,
    },
    /// Something that was sealed cannot be kept.
    #[error("the old key cannot be put into escrow, and nothing was changed: {why}")]
    #[diagnostic(help("{next}"))]
    NotKept {
        /// Why.
        why: String,
        /// What to do.
        next: String,
    },
    /// What was brought on stdin is no key.
    #[error("what came on stdin is neither a license key nor a sealed answer: {why}")]
    #[diagnostic(help("pipe the new key, as the authority's portal shows it, into `--adopt`"))]
    NotBrought {
        /// Why.
        why: String,
    },
    /// What was brought on stdin cannot be kept.
    #[error("the key that was brought cannot be kept in escrow, and nothing was changed: {why}")]
    #[diagnostic(help(
        "make `.license/escrow` beside license.toml writable, and the remote of the trail where there is one; then pipe the \
         key into `--adopt` again"
    ))]
    BroughtNotKept {
        /// Why.
        why: String,
    },
    /// What was brought on stdin is another key, or one that is not known to work.
    #[error("the key that was brought is not taken, and nothing was changed: {why}")]
    #[diagnostic(help(
        "bring the new key of this rotation: as the authority's portal shows it, or as a store has it that was written already"
    ))]
    BroughtNotTaken {
        /// Why.
        why: String,
    },
    /// A key that is needed is in escrow, and cannot be opened.
    #[error("the {what} is in escrow, and cannot be opened here: {why}")]
    #[diagnostic(help("{next}"))]
    NotOpened {
        /// Which key.
        what: &'static str,
        /// Why.
        why: String,
        /// What to do.
        next: String,
    },
    /// A signal came. The next run goes on.
    #[error("stopped by a signal")]
    #[diagnostic(help(
        "the next `cargo xtask rotate` goes on where this one stopped; where nothing was sent yet, it begins anew"
    ))]
    Stopped {
        /// The exit code of the signal.
        exit: Exit,
    },
    /// More steps than any rotation has.
    #[error("the rotation has no end")]
    NoEnd,
}

impl RotateError {
    /// The row of the exit table.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::OldKeyRefused { .. }
            | Self::OldKeyDead { .. }
            | Self::ClockSkew { .. }
            | Self::StoreNotReady { .. }
            | Self::Drifted { .. }
            | Self::NotCurrent { .. }
            | Self::NoGrace
            | Self::ForeignIdentity
            | Self::NotKept { .. } => Exit::RotationRefused,
            Self::OldKeyNotAsked { source, .. } => failure::ask_exit(source),
            Self::NoLicenseId { .. } => Exit::Config,
            Self::AgeNotKnown { .. } => Exit::Unknown,
            Self::NotBrought { .. } => Exit::Usage,
            Self::BroughtNotKept { .. } | Self::BroughtNotTaken { .. } | Self::NotOpened { .. } => Exit::Partial,
            Self::Stopped { exit } => *exit,
            Self::NoEnd => Exit::Bug,
        }
    }

    /// The stable code that stands in JSON.
    pub(crate) fn stable_code(&self) -> &'static str {
        match self {
            Self::OldKeyRefused { .. } => "old_key_refused",
            Self::OldKeyDead { .. } => "old_key_dead",
            Self::OldKeyNotAsked { .. } => "old_key_not_asked",
            Self::NoLicenseId { .. } => "no_license_id",
            Self::ClockSkew { .. } => "clock_skew",
            Self::StoreNotReady { .. } => "store_not_ready",
            Self::Drifted { .. } => "store_drifted",
            Self::NotCurrent { .. } => "not_current",
            Self::NoGrace => "no_grace",
            Self::ForeignIdentity => "foreign_identity",
            Self::AgeNotKnown { .. } => "age_not_known",
            Self::NotKept { .. } => "not_kept",
            Self::NotBrought { .. } => "not_brought",
            Self::BroughtNotKept { .. } => "brought_not_kept",
            Self::BroughtNotTaken { .. } => "brought_not_taken",
            Self::NotOpened { .. } => "not_opened",
            Self::Stopped { .. } => "stopped",
            Self::NoEnd => "no_end",
        }
    }
}
