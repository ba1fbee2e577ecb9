//! From the settings of an authority to something that can be asked.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use license_core::LicenseKey;
use zeroize::Zeroizing;

use crate::{
    authority::{
        Authority,
        embedded::Embedded,
        remote::{Access, Remote},
        wire::rotate::Dialect,
    },
    child_env,
    config::{
        self, AuthoritySettings, Config, EnvName, Environment, KEY_PLACE, RemoteSettings, SinkWay, StoreSettings,
        TrailSettings,
    },
    context::{self, Context},
    escrow::{Escrow, Shared},
    failure::Failure,
    files, first_key,
    git::Git,
    keyring::{self, Keyring},
    notify::{Program, Sink, Target, Unusable},
    seal::{Identity, Recipients},
    signals::Signals,
    store::{
        self, Source,
        age::AgeStore,
        command::{CommandStore, Helper},
        dotenv::DotenvStore,
        github::{GithubSettings, GithubStore},
        held::{Held, StoreFault},
        place::Place,
        vault::{VaultSettings, VaultStore},
    },
    trail::{Trails, git_escrow::GitEscrow},
};

/// Opens the authority of an environment. `connections_max` bounds how many calls may be under way at once.
pub(crate) fn authority(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    connections_max: usize,
    signals: Option<&Signals>,
) -> Result<Authority, Failure> {
    match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { state } => Ok(Authority::Embedded(Embedded::at(state, context::now))),
        AuthoritySettings::Remote(settings) => {
            let access = access(ctx, environment, settings, connections_max)?;
            Ok(Authority::Remote(Remote::new(access, &ctx.vars, signals.cloned())?))
        }
    }
}

/// The trails of the project.
pub(crate) fn trails(ctx: &Context, config: &Config) -> Trails {
    match &config.trail {
        TrailSettings::File => Trails::Files { directory: config.trail_directory() },
        TrailSettings::Git { remote } => Trails::Git {
            git: git(ctx, config),
            remote: remote.clone(),
            environments: config.environments.keys().map(ToString::to_string).collect(),
        },
    }
}

/// The escrow of an environment: with a trail in git, every machine of the fleet must find what one of them sealed.
pub(crate) fn escrow(ctx: &Context, config: &Config, environment: &EnvName) -> Escrow {
    let (directory, name) = (config.root.join(ESCROW_DIRECTORY), environment.as_str());
    match &config.trail {
        TrailSettings::File => Escrow::local(directory, name),
        TrailSettings::Git { remote } => {
            Escrow::shared(directory, name, Shared::Git(GitEscrow::new(git(ctx, config), remote.clone(), name)))
        }
    }
}

/// The escrow of an environment of which no `license.toml` says anything: what is on this machine, below a directory.
pub(crate) fn escrow_here(root: &Path, environment: &EnvName) -> Escrow {
    Escrow::local(root.join(ESCROW_DIRECTORY), environment.as_str())
}

fn git(ctx: &Context, config: &Config) -> Git {
    let git = Git::new(&config.root, &ctx.vars, &child_env::secret_names(config));
    match ctx.signals.get() {
        Some(signals) => git.until(signals.clone()),
        None => git,
    }
}

/// Reads the key of an environment. One out of a store is hidden from here on; the others are from the beginning.
pub(crate) fn key(ctx: &Context, config: &Config, environment: &Environment) -> Result<LicenseKey, Failure> {
    if let Source::Store { name } = &environment.key {
        return match place(ctx, config, environment, name)?.read().map_err(|fault| unusable(name, fault))? {
            Held::Key { key, .. } => {
                keyring::meet(ctx, &key);
                Ok(key)
            }
            Held::Nothing { .. } | Held::Hidden { .. } => {
                Err(Failure::NoKeyInStore { environment: environment.name.clone(), store: name.clone() })
            }
        };
    }
    store::read_key(&environment.key, &ctx.vars).map_err(|source| match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { state } if store::is_absent(&environment.key, &ctx.vars) => {
            let environment_name = environment.name.clone();
            match first_key::look(environment, &Embedded::at(state, context::now)) {
                Ok(first) => Failure::NoFirstKey { environment: environment_name, source, first: Box::new(first) },
                Err(error) => error.into(),
            }
        }
        AuthoritySettings::Embedded { .. } | AuthoritySettings::Remote(_) => {
            unreadable("license key", &environment.name, source)
        }
    })
}

/// The places that a rotation of an environment writes, each with its name: the one that `key` names where it can be
/// written, then `stores`.
pub(crate) fn places(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
) -> Result<Vec<(String, Place)>, Failure> {
    let own = match &environment.key {
        Source::Store { name } if environment.stores.contains(name) => None,
        Source::Store { name } => key_place(ctx, config, environment)?.map(|place| (name.clone(), place)),
        Source::Env { .. } | Source::File { .. } | Source::Dotenv { .. } | Source::Age { .. } => {
            key_place(ctx, config, environment)?.map(|place| (KEY_PLACE.to_owned(), place))
        }
    };
    let mut places: Vec<_> = own.into_iter().collect();
    for name in &environment.stores {
        places.push((name.clone(), place(ctx, config, environment, name)?));
    }
    Ok(places)
}

/// The place that `key` of an environment names; none where no key can be written to it.
pub(crate) fn key_place(ctx: &Context, config: &Config, environment: &Environment) -> Result<Option<Place>, Failure> {
    Ok(match &environment.key {
        Source::Env { .. } | Source::File { .. } => None,
        Source::Dotenv { file, name } => Some(Place::Dotenv(DotenvStore { file: file.clone(), name: name.clone() })),
        Source::Age { file, identity } => {
            let recipients = config.escrow.as_ref().map_or(&[][..], |escrow| &escrow.recipients);
            Some(Place::Age(age(ctx, environment, file, recipients, identity)?))
        }
        Source::Store { name } => Some(place(ctx, config, environment, name)?),
    })
}

/// A configured store of an environment.
pub(crate) fn place(ctx: &Context, config: &Config, environment: &Environment, name: &str) -> Result<Place, Failure> {
    let place = match config.store(name)?.for_environment(&environment.name) {
        StoreSettings::Dotenv { file, name } => Place::Dotenv(DotenvStore { file, name }),
        StoreSettings::Age { file, recipients, identity } => {
            Place::Age(age(ctx, environment, &file, &recipients, &identity)?)
        }
        StoreSettings::Command { program, options, timeout } => {
            let license = environment.license.clone();
            Place::Command(helper(ctx, config, program, environment.name.as_str(), license, options, timeout))
        }
        StoreSettings::Github { url, repository, environment: at, name: secret, token, ca_file } => {
            let settings = GithubSettings {
                url,
                repository,
                environment: at.unwrap_or_else(|| environment.name.to_string()),
                name: secret,
                token: store_token(ctx, environment, &token)?,
                token_from: token.to_string(),
                ca_pem: ca_pem(name, ca_file.as_deref())?,
                timeout: Duration::from_secs(store::http::CALL_SECS),
            };
            Place::Github(GithubStore::new(settings, &ctx.vars).map_err(|fault| unusable(name, fault))?)
        }
        StoreSettings::Vault { url, mount, path, field, namespace, token, ca_file } => {
            let settings = VaultSettings {
                url,
                mount,
                path,
                field,
                namespace,
                token: store_token(ctx, environment, &token)?,
                token_from: token.to_string(),
                ca_pem: ca_pem(name, ca_file.as_deref())?,
                timeout: Duration::from_secs(store::http::CALL_SECS),
            };
            Place::Vault(VaultStore::new(settings, &ctx.vars).map_err(|fault| unusable(name, fault))?)
        }
    };
    Ok(place)
}

/// A helper program as the store of an environment. It gets no key and no token that `license.toml` names.
pub(crate) fn helper(
    ctx: &Context,
    config: &Config,
    program: Vec<String>,
    environment: &str,
    license: Option<String>,
    options: BTreeMap<String, String>,
    deadline: Duration,
) -> CommandStore {
    keyring::prepare_for_helpers(ctx, config);
    let secrets = child_env::secret_names(config);
    CommandStore::new(Helper {
        program,
        directory: config.root.clone(),
        variables: child_env::build(&ctx.vars, &secrets, BTreeMap::new()),
        environment: environment.to_owned(),
        license,
        options,
        deadline,
        met: Arc::clone(&ctx.met),
        signals: ctx.signals.get().cloned().unwrap_or_else(Signals::none),
    })
}

/// Opens a sink: its secrets are read here, and go to its own host only.
pub(crate) fn sink(ctx: &Context, config: &Config, name: &str, settings: &config::Sink) -> Result<Sink, Failure> {
    let secret = |secret, source: &Source| {
        let why = |source| Failure::SinkSecret { secret, sink: name.to_owned(), source };
        store::read(source, &ctx.vars).map_err(why)
    };
    let target = |url, from: String, ca_file: &Option<PathBuf>| {
        let ca_pem = ca_file.as_deref().map(|file| files::read_limited(file, CA_FILE_BYTES_MAX)).transpose();
        let ca_pem = ca_pem.map_err(|source| Failure::SinkUnusable {
            sink: name.to_owned(),
            why: format!("`ca_file` cannot be read: {}", files::why(&source)),
            next: "write the path of a PEM file, relative to license.toml".to_owned(),
        })?;
        Ok::<_, Failure>(Target { url, from, ca_pem, timeout: settings.timeout, clock: context::now })
    };
    let program = |words: &[String]| notified(ctx, config, words, settings.timeout);
    let opened = match &settings.way {
        SinkWay::Slack { url, ca_file } => {
            Sink::slack(target(secret("address", url)?, url.to_string(), ca_file)?, &ctx.vars)
        }
        SinkWay::Pagerduty { service, routing_key, ca_file } => {
            let routing_key = secret("integration key", routing_key)?;
            let from = "`service` of the sink".to_owned();
            Sink::pagerduty(target(Zeroizing::new(service.clone()), from, ca_file)?, routing_key, &ctx.vars)
        }
        SinkWay::Webhook { url, secret: signing, ca_file } => {
            let target = target(secret("address", url)?, url.to_string(), ca_file)?;
            Sink::webhook(target, &secret("secret", signing)?, &signing.to_string(), &ctx.vars)
        }
        SinkWay::Github => Ok(Sink::github(ctx.runs_on())),
        SinkWay::Command { program: words } => Ok(Sink::command(program(words))),
        SinkWay::Email { program: words, to, from } => Ok(Sink::email(program(words), to.clone(), from.clone())),
    };
    opened.map_err(|Unusable { why, next }| Failure::SinkUnusable { sink: name.to_owned(), why, next })
}

/// A program that is told of alerts. It gets no key, token or address that `license.toml` names, and shows none.
fn notified(ctx: &Context, config: &Config, words: &[String], deadline: Duration) -> Program {
    let hidden = child_env::secret_names(config);
    Program {
        words: words.to_vec(),
        directory: config.root.clone(),
        variables: child_env::build(&ctx.vars, &hidden, BTreeMap::new()),
        masks: Keyring::read(ctx, config).masks().clone(),
        platform: ctx.runs_on(),
        deadline,
    }
}

/// The identity that opens what is sealed, where one is configured.
pub(crate) fn identity(ctx: &Context, environment: &Environment, source: &Source) -> Result<Identity, Failure> {
    let text =
        store::read(source, &ctx.vars).map_err(|source| unreadable("escrow identity", &environment.name, source))?;
    Ok(Identity::parse(&text)?)
}

fn age(
    ctx: &Context,
    environment: &Environment,
    file: &Path,
    recipients: &[String],
    identity: &Source,
) -> Result<AgeStore, Failure> {
    // Without its identity the file still takes a key, and shows none.
    let identity =
        if store::is_absent(identity, &ctx.vars) { None } else { Some(self::identity(ctx, environment, identity)?) };
    Ok(AgeStore { file: file.to_owned(), recipients: Recipients::parse(recipients)?, identity })
}

fn store_token(ctx: &Context, environment: &Environment, source: &Source) -> Result<Zeroizing<String>, Failure> {
    store::read(source, &ctx.vars).map_err(|source| unreadable("token of a store", &environment.name, source))
}

fn ca_pem(owner: &str, file: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    file.map(|file| files::read_limited(file, CA_FILE_BYTES_MAX))
        .transpose()
        .map_err(|source| Failure::CaFile { authority: owner.to_owned(), source })
}

fn unusable(store: &str, fault: StoreFault) -> Failure {
    Failure::Store { store: store.to_owned(), source: Box::new(fault) }
}

fn access(
    ctx: &Context,
    environment: &Environment,
    settings: &RemoteSettings,
    connections_max: usize,
) -> Result<Access, Failure> {
    let token = settings
        .token
        .as_ref()
        .map(|source| store::read(source, &ctx.vars))
        .transpose()
        .map_err(|source| unreadable("API token", &environment.name, source))?;
    let ca_pem = settings
        .ca_file
        .as_ref()
        .map(|file| files::read_limited(file, CA_FILE_BYTES_MAX))
        .transpose()
        .map_err(|source| Failure::CaFile { authority: environment.authority.clone(), source })?;
    Ok(Access {
        url: settings.url.clone(),
        token,
        token_from: settings.token.as_ref().map_or_else(|| "no token is configured".to_owned(), ToString::to_string),
        ca_pem,
        dialect: match settings.dialect {
            config::Dialect::Article => Dialect::Article,
            config::Dialect::Sdk => Dialect::Sdk,
        },
        timeout: settings.timeout,
        connections_max,
        clock: context::now,
    })
}

fn unreadable(secret: &'static str, environment: &EnvName, source: store::StoreError) -> Failure {
    Failure::Secret { secret, environment: environment.clone(), source }
}

/// The escrow on this machine, below the directory of `license.toml`.
pub(crate) const ESCROW_DIRECTORY: &str = ".license/escrow";
/// The longest file of certificates that is read, in bytes: the largest public bundles stay under 1 MiB.
const CA_FILE_BYTES_MAX: u64 = 4 << 20;
