//! What a scan looks for: the secrets that `license.toml` names and this machine can read, the keys that the trail
//! knows, and what `[leaks]` adds and allows.

use std::collections::{BTreeMap, BTreeSet};

use license_core::{
    Fingerprint,
    leaks::{Secret, Watch},
    trail::{Checkpoint, Event},
};
use zeroize::Zeroizing;

use super::{Incomplete, allowed::Allowance};
use crate::{
    config::Config,
    connect,
    context::Context,
    keyring::{self, Named},
    log::LogError,
    mask::Masks,
    store,
    trail::{Trail, file::Replay},
};

/// What is looked for, and what is to be said about that.
#[derive(Debug)]
pub(crate) struct Watched {
    /// What is looked for.
    pub(crate) watch: Watch,
    /// The environment whose key has a name, for advice.
    pub(crate) environments: BTreeMap<String, String>,
    /// The texts of `[leaks] patterns`, in the order of the file.
    pub(crate) patterns: Vec<String>,
    /// The archives that may stay unseen.
    pub(crate) unscanned: Vec<Allowance>,
    /// What hides the secrets in texts of others.
    pub(crate) masks: Masks,
    /// What is worth a word.
    pub(crate) notes: Vec<String>,
    /// What should have been looked for and could not be.
    pub(crate) incomplete: Vec<Incomplete>,
}

/// Without a `license.toml`: forms of keys only.
pub(crate) fn forms() -> Watched {
    let watch = Watch { secrets: Vec::new(), known: BTreeSet::new(), patterns: Vec::new(), allowed: BTreeSet::new() };
    Watched {
        watch,
        environments: BTreeMap::new(),
        patterns: Vec::new(),
        unscanned: Vec::new(),
        masks: Masks::default(),
        notes: Vec::new(),
        incomplete: Vec::new(),
    }
}

/// Everything that a `license.toml` says, from this machine alone: nobody is asked.
pub(crate) fn of(ctx: &Context, config: &Config) -> Watched {
    let read = keyring::named_sources(config).map(|(named, source)| (named, source, store::read(source, &ctx.vars)));
    let mut watched = forms();
    let mut values: Vec<Zeroizing<String>> = Vec::new();
    let mut unread: Vec<String> = Vec::new();
    for (named, source, read) in read {
        let name = named.to_string();
        let Ok(text) = read else {
            unread.push(format!("{name} ({source})"));
            continue;
        };
        // An identity's file holds the identity between other lines.
        for (text, name) in lines(text, named).into_iter().map(|text| (text, name.clone())) {
            if values.contains(&text) {
                continue;
            }
            match Secret::new(&name, text.clone()) {
                Ok(secret) => {
                    watched.watch.secrets.push(secret);
                    values.push(text);
                }
                Err(why) => watched.notes.push(format!("{name} is not looked for: {why}")),
            }
        }
        if let Named::Key(environment) = named {
            watched.environments.insert(name, environment.to_string());
        }
    }
    if !unread.is_empty() {
        let unread = unread.join(", ");
        watched.notes.push(format!("not readable here, and so not looked for by value: {unread}"));
    }
    watched.masks = Masks::of(values.iter().map(|value| value.as_str()));
    known(ctx, config, &mut watched);
    watched.watch.patterns.clone_from(&config.leaks.patterns);
    watched.patterns = config.leaks.patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    watched.unscanned.clone_from(&config.leaks.unscanned);
    watched.watch.allowed = config.leaks.allow.iter().map(|(fingerprint, _)| *fingerprint).collect();
    watched
}

/// The texts of a secret that are to be looked for.
fn lines(text: Zeroizing<String>, named: Named<'_>) -> Vec<Zeroizing<String>> {
    match named {
        Named::Key(_) | Named::OfflineToken(_) | Named::Token(_) => vec![text],
        Named::OfStore(_) | Named::Escrow | Named::Identity(_) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(|line| Zeroizing::new(line.to_owned())).collect()
        }
    }
}

/// The keys that the trails know, as far as they are on this machine.
fn known(ctx: &Context, config: &Config, watched: &mut Watched) {
    let trails = connect::trails(ctx, config);
    let environments = match trails.environments() {
        Ok(environments) => environments,
        Err(error) => {
            let what = "keys that the trail knows".to_owned();
            return watched.incomplete.push(Incomplete { what, why: error.to_string() });
        }
    };
    for environment in environments {
        match keys(&trails.of(&environment)) {
            Ok(keys) => watched.watch.known.extend(keys),
            Err(error) => {
                let what = format!("keys that the trail of `{environment}` knows");
                watched.incomplete.push(Incomplete { what, why: error.to_string() });
            }
        }
    }
}

fn keys(trail: &Trail) -> Result<BTreeSet<Fingerprint>, LogError> {
    let replay = match trail {
        Trail::File(file) => file.read_recent()?,
        Trail::Git(git) => git.read_seen()?,
    };
    let (keys, whole) = keys_of(&replay);
    match (whole, trail) {
        (Whole::Yes, Trail::File(_) | Trail::Git(_)) | (Whole::No, Trail::Git(_)) => Ok(keys),
        // Another version's checkpoint: only the entries before it tell.
        (Whole::No, Trail::File(file)) => Ok(keys_of(&file.read()?).0),
    }
}

/// Whether the keys before a checkpoint are known too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

fn keys_of(replay: &Replay) -> (BTreeSet<Fingerprint>, Whole) {
    let (mut keys, mut whole) = (BTreeSet::new(), Whole::Yes);
    for entry in &replay.entries {
        match &entry.body.event {
            Event::Checkpoint(Checkpoint::Of(state)) => keys.extend(state.keys()),
            Event::Checkpoint(Checkpoint::NotKnown) => whole = Whole::No,
            event @ (Event::Issued { .. }
            | Event::Gate(_)
            | Event::GateFailed { .. }
            | Event::DeployStarted { .. }
            | Event::DeployEnded { .. }
            | Event::Health { .. }
            | Event::RollbackEnded { .. }
            | Event::Claim(_)
            | Event::Rotation(_)
            | Event::NotKnown) => keys.extend(event.key_fingerprint()),
        }
    }
    (keys, whole)
}
