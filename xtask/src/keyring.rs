//! The keys and tokens of every environment, as far as this machine can read them: two environments never share a
//! key, and none of them is ever shown.

use std::{collections::BTreeSet, fmt, sync::OnceLock};

use license_core::LicenseKey;
use zeroize::Zeroizing;

use crate::{
    authority::wire::quote::Secrets,
    config::{self, AuthoritySettings, Config, ConfigError, EnvName, UnreachablePolicy},
    context::{Context, Platform},
    failure::Failure,
    mask::Masks,
    met::each_once,
    report::github,
    store::{self, Source},
};

/// Everything that must not be shown, and what hides it.
#[derive(Debug)]
pub(crate) struct Keyring {
    secrets: Vec<Zeroizing<String>>,
    /// Made when they are needed first: those of a thousand keys take 40 MiB.
    masks: OnceLock<Masks>,
}

impl Keyring {
    /// Reads every secret that `license.toml` names. One that cannot be read here cannot be shown either.
    pub(crate) fn read(ctx: &Context, config: &Config) -> Self {
        Self { secrets: secrets(ctx, config), masks: OnceLock::new() }
    }

    /// With what was met since it was read.
    pub(crate) fn with_met(&self, ctx: &Context) -> Self {
        Self { secrets: each_once(self.secrets.iter().cloned().chain(ctx.met.all())), masks: OnceLock::new() }
    }

    /// A text without any of them, in whatever form.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.masks().text(text)
    }

    /// For streams.
    pub(crate) fn masks(&self) -> &Masks {
        self.masks.get_or_init(|| Masks::of(self.secrets.iter().map(|secret| secret.as_str())))
    }

    /// For quotations.
    pub(crate) fn quoting(&self) -> Secrets<'_> {
        Secrets::of(self.secrets.iter().map(|secret| secret.as_str()))
    }
}

/// Every secret that `license.toml` names and this machine can read, each once: keys, API tokens, offline tokens; and
/// those that were met.
/// Left out are texts that no key or token is as short or as long as: hiding those would hide everything.
pub(crate) fn secrets(ctx: &Context, config: &Config) -> Vec<Zeroizing<String>> {
    let read = |source: &Source| store::read(source, &ctx.vars).ok();
    each_once(sources(config).filter_map(read).chain(ctx.met.all()))
}

/// A key that no source of `license.toml` shows was met: from now on it is hidden, by the CI system too.
pub(crate) fn meet(ctx: &Context, key: &LicenseKey) {
    ctx.met.add(key.reveal());
    match ctx.runs_on() {
        Platform::GithubActions => ctx.console.tell(&github::mask(key.reveal())),
        Platform::Other => {}
    }
}

/// Has what helpers say hidden by what `license.toml` names, too.
pub(crate) fn prepare_for_helpers(ctx: &Context, config: &Config) {
    ctx.met.name(|| secrets(ctx, config));
}

/// Where `license.toml` says that a secret is.
pub(crate) fn sources(config: &Config) -> impl Iterator<Item = &Source> {
    named_sources(config).map(|(_, source)| source)
}

/// What a secret of `license.toml` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'c> {
    /// The key of an environment.
    Key(&'c EnvName),
    /// The offline token of an environment.
    OfflineToken(&'c EnvName),
    /// The API token of an authority.
    Token(&'c str),
    /// The token of a store, or the identity that opens it.
    OfStore(&'c str),
    /// The address of a sink, its integration key, or the secret that signs for it.
    OfSink(&'c str),
    /// The secret that the authority signs webhooks with.
    Webhook,
    /// The identity of the escrow.
    Escrow,
    /// The identity that opens the sealed key of an environment.
    Identity(&'c EnvName),
}

/// The secret in words that fit into a sentence.
impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "the key of `{name}`"),
            Self::OfflineToken(name) => write!(f, "the offline token of `{name}`"),
            Self::Token(name) => write!(f, "the token of authority `{name}`"),
            Self::OfStore(name) => write!(f, "the secret of store `{name}`"),
            Self::OfSink(name) => write!(f, "the secret of sink `{name}`"),
            Self::Webhook => f.write_str("the secret of the authority's webhooks"),
            Self::Escrow => f.write_str("the identity of the escrow"),
            Self::Identity(name) => write!(f, "the identity that opens the key of `{name}`"),
        }
    }
}

/// Where `license.toml` says that a secret is, with what it is.
pub(crate) fn named_sources(config: &Config) -> impl Iterator<Item = (Named<'_>, &Source)> {
    let keys = config.environments.values().flat_map(|environment| {
        let name = &environment.name;
        let identity = identity(&environment.key).map(|source| (Named::Identity(name), source));
        std::iter::once((Named::Key(name), &environment.key)).chain(identity)
    });
    let offline = config.environments.values().filter_map(|environment| match &environment.unreachable {
        UnreachablePolicy::Block => None,
        UnreachablePolicy::Cached { offline_token, .. } => {
            offline_token.as_ref().map(|source| (Named::OfflineToken(&environment.name), source))
        }
    });
    let tokens = config.authorities.iter().filter_map(|(name, authority)| match authority {
        AuthoritySettings::Embedded { .. } => None,
        AuthoritySettings::Remote(settings) => settings.token.as_ref().map(|source| (Named::Token(name), source)),
    });
    let of_stores = config.stores.iter().filter_map(|(name, store)| Some((Named::OfStore(name), store.secret()?)));
    let escrow = config.escrow.as_ref().and_then(|escrow| escrow.identity.as_ref());
    let escrow = escrow.map(|source| (Named::Escrow, source));
    let of_sinks = config.alerts.all_sinks.iter();
    let of_sinks = of_sinks.flat_map(|(name, sink)| sink.secrets().map(|source| (Named::OfSink(name), source)));
    let of_webhooks = config.webhook.as_ref().map(|settings| (Named::Webhook, &settings.secret));
    keys.chain(offline).chain(tokens).chain(of_stores).chain(of_sinks).chain(of_webhooks).chain(escrow)
}

/// The place of the identity that opens what is in a place.
fn identity(source: &Source) -> Option<&Source> {
    match source {
        Source::Age { identity, .. } => Some(identity),
        Source::Env { .. } | Source::Dotenv { .. } | Source::File { .. } | Source::Store { .. } => None,
    }
}

/// The same key in two environments is a mistake of the file, found only once the keys are read. `known` are those
/// that were read already.
pub(crate) fn refuse_shared(ctx: &Context, config: &Config, known: &[(&EnvName, &LicenseKey)]) -> Result<(), Failure> {
    let known_names: BTreeSet<&EnvName> = known.iter().map(|(name, _)| *name).collect();
    let others = config.environments.values().filter(|other| !known_names.contains(&other.name));
    let others: Vec<_> =
        others.filter_map(|other| Some((&other.name, store::read_key(&other.key, &ctx.vars).ok()?))).collect();
    let all: Vec<_> = others.iter().map(|(name, key)| (*name, key)).chain(known.iter().copied()).collect();
    let problems = config::problems_of_keys(config, &all, &ctx.vars);
    if problems.is_empty() {
        return Ok(());
    }
    Err(ConfigError { path: config.shown_path(), problems, left_out: 0 }.into())
}
