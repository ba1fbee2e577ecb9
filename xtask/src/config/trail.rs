//! The rules of `[trail]`.

use super::{
    Ephemeral, Memory, TrailSettings,
    checking::Checking,
    fields::{At, Field},
    problem::{Problem, code},
    raw::{RawConfig, RawTrail, TrailKind, Unreachable},
};

/// The remote that shares the trail where the file names none.
const REMOTE: &str = "origin";

/// What the table comes to.
pub(super) struct Trail {
    /// Where the trail is kept.
    pub(super) settings: TrailSettings,
    /// Whether it may be lost after a CI run.
    pub(super) ephemeral: Ephemeral,
    /// Whether the next run still has it.
    pub(super) memory: Memory,
}

/// Checks the table, and what relies on a trail that outlives the run.
pub(super) fn check(checking: &mut Checking<'_>, config: &RawConfig) -> Trail {
    let raw = config.trail.given().map(|at| &at.value);
    let settings = raw.map_or(TrailSettings::File, |raw| settings(checking, raw));
    let ephemeral = raw.and_then(|raw| raw.ephemeral.given()).map_or(Ephemeral::Refused, |at| at.value);
    let memory = match (&settings, ephemeral) {
        (TrailSettings::File, Ephemeral::Refused) if checking.on_ci => Memory::LostWithTheMachine,
        (TrailSettings::File | TrailSettings::Git { .. }, Ephemeral::Refused | Ephemeral::Accepted) => Memory::Kept,
    };
    // A field that is wrong may have been meant to say where the trail is kept.
    let is_known = !matches!(config.trail, Field::Wrong) && raw.is_none_or(|raw| !matches!(raw.kind, Field::Wrong));
    if is_known && memory == Memory::LostWithTheMachine {
        cached_verdicts(checking, config);
    }
    Trail { settings, ephemeral, memory }
}

fn settings(checking: &mut Checking<'_>, raw: &RawTrail) -> TrailSettings {
    let is_git = raw.kind.given().is_some_and(|at| at.value == TrailKind::Git);
    match raw.remote.given() {
        Some(name) if is_git => {
            remote(checking, name);
            TrailSettings::Git { remote: name.value.clone() }
        }
        None if is_git => TrailSettings::Git { remote: REMOTE.to_owned() },
        Some(name) => {
            if !matches!(raw.kind, Field::Wrong) {
                checking.needs("remote", name.place, "kind = \"git\"");
            }
            TrailSettings::File
        }
        None => TrailSettings::File,
    }
}

/// The name of a remote is an argument of git, and must be nothing else: no option, no address with a password in it.
fn remote(checking: &mut Checking<'_>, name: &At<String>) {
    let text = &name.value;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    let good = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(allowed)
        && !text.contains("..")
        && !text.ends_with('/');
    if !good {
        let problem = Problem::new(code::GIT_REMOTE, "`remote` of `[trail]` is not the name of a git remote")
            .help("write a name that `git remote` lists, as in `origin`; its address stands in git's configuration")
            .at(name.place, "not a name");
        checking.report(problem);
    }
}

/// A cached verdict comes out of the trail, so the trail has to outlive the run.
fn cached_verdicts(checking: &mut Checking<'_>, raw: &RawConfig) {
    for named in raw.environments.given().into_iter().flat_map(|at| &at.value) {
        if let Some(at) = named.table.unreachable.given().filter(|at| at.value == Unreachable::Cached) {
            let problem = Problem::new(
                code::EPHEMERAL_TRAIL,
                "cached verdicts come from the trail, and on this CI machine the trail is lost after the run",
            )
            .help(format!("{KEEP_THE_TRAIL}, or leave `unreachable` at `block`"))
            .at(at.place, "needs a trail that is kept");
            checking.report(problem);
        }
    }
}

/// How to keep a trail on a CI machine.
pub(super) const KEEP_THE_TRAIL: &str = "write `kind = \"git\"` under `[trail]`, or keep `.license/trail` between runs and write `ephemeral = \"accepted\"`";
