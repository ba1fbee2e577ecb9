//! What a scan looks for: the secrets that `license.toml` names and this machine can read, the keys that the trail
//! knows, and what `[leaks]` adds and allows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use license_core::{
    Fingerprint,
    leaks::{Secret, Watch},
    trail::{Checkpoint, Event},
};
use zeroize::Zeroizing;

use super::{Incomplete, allowed::Allowance, main_tree::MainTree};
use crate::{
    config::Config,
    connect,
    context::Context,
    keyring::{self, Named},
    log::LogError,
    mask::Masks,
    seal::SealError,
    store::{self, Source, StoreError},
    trail::{Trail, file::Replay},
};

/// What is looked for, and what is to be said about that.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// What is looked for.
    pub(crate) watch: Watch,
    /// The environment whose key has a name, for advice.
    pub(crate) environments: BTreeMap<String, String>,
    /// The texts of `[leaks] patterns`, in the order of the file.
    pub(crate) patterns: Vec<String>,
    /// The secrets that are named and not looked for by value, by their places.
    pub(crate) passed_over: BTreeMap<Source, PassedOver>,
    /// The archives that may stay unseen.
    pub(crate) unscanned: Vec<Allowance>,
    /// What should have been looked for and could not be.
    pub(crate) incomplete: Vec<Incomplete>,
    /// The places that were looked at for a secret, whatever came of it.
    looked_at: BTreeSet<Source>,
    /// The texts of the secrets that are looked for, each once.
    texts: Vec<Zeroizing<String>>,
    /// The identities that opened a file.
    opening: BTreeSet<Source>,
    /// What is sealed to others than the identity that is named for it: what it is called, where it is, and the error.
    for_others: Vec<(String, Source, String)>,
}

/// Why a secret is not looked for by value, without anything being broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PassedOver {
    /// It is not on this machine, or in a store, which no scan asks. This is what it is called, with its place.
    NotHere(String),
    /// Its text is nothing that can be looked for. This is what it is called, and why.
    Unfit(String),
}

/// Without a `license.toml`: forms of keys only.
pub(crate) fn forms() -> Watched {
    Watched::default()
}

/// Everything that a `license.toml` says, from this machine alone: nobody is asked.
pub(crate) fn of(ctx: &Context, config: &Config) -> Watched {
    let mut watched = forms();
    let main = MainTree::of(&config.root);
    for (named, source) in keyring::named_sources(config) {
        watched.look_for(ctx, &named.to_string(), source, main.as_ref());
        if let Named::Key(environment) = named {
            watched.environments.insert(named.to_string(), environment.to_string());
        }
    }
    known(ctx, config, &mut watched);
    watched.watch.patterns.clone_from(&config.leaks.patterns);
    watched.patterns = config.leaks.patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    watched.unscanned.clone_from(&config.leaks.unscanned);
    watched.watch.allowed = config.leaks.allow.iter().map(|(fingerprint, _)| *fingerprint).collect();
    watched
}

impl Watched {
    /// Looks for a secret, unless it is there under another name. One that is not here is passed over; one that is here
    /// and cannot be read leaves the scan incomplete.
    pub(crate) fn look_for(&mut self, ctx: &Context, name: &str, source: &Source, main: Option<&MainTree>) {
        self.looked_at.insert(source.clone());
        let text = match read(ctx, source, main) {
            Ok(text) => text,
            Err(error) if error.says_there_is_none() || self.is_for_others(&error, source) => {
                return self.pass_over(name, source);
            }
            Err(error) => {
                let why = error.to_string();
                if is_not_for_us(&error) {
                    self.for_others.push((name.to_owned(), source.clone(), why.clone()));
                }
                return self.miss(name, &why);
            }
        };
        self.opened(source);
        for text in texts(&text) {
            if self.texts.contains(&text) {
                continue;
            }
            match Secret::new(name, text.clone()) {
                Ok(secret) => {
                    self.watch.secrets.push(secret);
                    self.texts.push(text);
                }
                Err(why) => {
                    let told = format!("{name} is not looked for: {why}");
                    self.passed_over.entry(source.clone()).or_insert(PassedOver::Unfit(told));
                }
            }
        }
    }

    /// Whether a place was looked at for a secret, under whatever name.
    pub(crate) fn has_looked_at(&self, source: &Source) -> bool {
        self.looked_at.contains(source)
    }

    /// It is not here, and nothing is broken.
    fn pass_over(&mut self, name: &str, source: &Source) {
        let place = source.to_string();
        let told = if name.contains(&place) { name.to_owned() } else { format!("{name} ({place})") };
        self.passed_over.entry(source.clone()).or_insert(PassedOver::NotHere(told));
    }

    /// Whether a file is sealed to others by intent: the identity is the right one, since it opens another file.
    fn is_for_others(&self, error: &StoreError, source: &Source) -> bool {
        let Source::Age { identity, .. } = source else { return false };
        is_not_for_us(error) && self.opening.contains(&**identity)
    }

    /// An identity that opens one file is no wrong one for those that it does not open: not everybody has every key.
    fn opened(&mut self, source: &Source) {
        let Source::Age { identity, .. } = source else { return };
        if !self.opening.insert((**identity).clone()) {
            return;
        }
        let by_it = |(_, other, _): &mut (String, Source, String)| matches!(other, Source::Age { identity: its, .. } if its == identity);
        for (name, other, why) in self.for_others.extract_if(.., by_it).collect::<Vec<_>>() {
            self.incomplete.retain(|one| one.why != why);
            self.pass_over(&name, &other);
        }
    }

    /// What hides the secrets in texts of others.
    pub(crate) fn masks(&self) -> Masks {
        Masks::of(self.texts.iter().map(|text| text.as_str()))
    }

    /// What is worth a word about the secrets that were passed over, all of it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let (mut not_here, mut notes) = (Vec::new(), Vec::new());
        for passed_over in self.passed_over.values() {
            match passed_over {
                PassedOver::NotHere(told) => not_here.push(told.as_str()),
                PassedOver::Unfit(told) => notes.push(told.clone()),
            }
        }
        if !not_here.is_empty() {
            let not_here = not_here.join(", ");
            notes.insert(0, format!("not on this machine, and so not looked for by value: {not_here}"));
        }
        notes
    }

    /// The places of the secrets that were passed over, alike in every worktree. `root` is the directory of license.toml.
    pub(crate) fn places_passed_over(&self, root: &Path) -> BTreeSet<String> {
        let root = format!("{}/", root.display());
        self.passed_over.keys().map(|source| source.to_string().replace(&root, "")).collect()
    }

    /// Secrets that cannot be read for one reason are one thing that was not scanned.
    fn miss(&mut self, name: &str, why: &str) {
        match self.incomplete.iter_mut().find(|one| one.why == why) {
            Some(one) if one.what.split(", ").any(|told| told == name) => {}
            Some(one) => one.what = format!("{}, {name}", one.what),
            None => self.incomplete.push(Incomplete { what: name.to_owned(), why: why.to_owned() }),
        }
    }
}

/// Reads a secret. A linked worktree mostly has no files of its own that git ignores: where it has none, those of the
/// main one count, for the scan alone.
fn read(ctx: &Context, source: &Source, main: Option<&MainTree>) -> Result<Zeroizing<String>, StoreError> {
    let error = match store::read(source, &ctx.vars) {
        Err(error) if error.says_there_is_none() => error,
        read => return read,
    };
    let Some(moved) = main.and_then(|main| main.place(source)) else { return Err(error) };
    match store::read(&moved, &ctx.vars) {
        Err(other) if other.says_there_is_none() => Err(error),
        read => read,
    }
}

/// Whether a file is sealed to others than the identity that should open it.
fn is_not_for_us(error: &StoreError) -> bool {
    matches!(error, StoreError::NotOpened { source: SealError::NotForUs, .. })
}

/// The texts of a secret that are to be looked for: an identity's file holds identities between other lines.
fn texts(text: &str) -> Vec<Zeroizing<String>> {
    let lines = || text.lines().map(str::trim);
    if !lines().any(|line| line.starts_with(IDENTITY_BEGIN)) {
        return vec![Zeroizing::new(text.to_owned())];
    }
    let lines = lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Zeroizing::new(line.to_owned())).collect()
}

/// How every kind of age identity begins.
const IDENTITY_BEGIN: &str = "AGE-";

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
            | Event::Alert(_)
            | Event::Look(_)
            | Event::Webhook(_)
            | Event::NotKnown) => keys.extend(event.key_fingerprint()),
        }
    }
    (keys, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_identities_are_looked_for_and_every_other_text_as_a_whole() {
        for (text, expected) in [
            ("one", &["one"][..]),
            ("# made: today\n\n  AGE-SECRET-KEY-1A\r\nAGE-PLUGIN-B\n", &["AGE-SECRET-KEY-1A", "AGE-PLUGIN-B"]),
            ("-----BEGIN X-----\nabc\n", &["-----BEGIN X-----\nabc\n"]),
        ] {
            let found = texts(text);
            assert_eq!(found.iter().map(|text| text.as_str()).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}
