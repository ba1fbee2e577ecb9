//! From the settings of an authority to something that can be asked.

use license_core::LicenseKey;

use crate::{
    authority::{
        Authority,
        embedded::Embedded,
        remote::{Access, Remote},
        wire::rotate::Dialect,
    },
    config::{self, AuthoritySettings, Config, EnvName, Environment, RemoteSettings},
    context::{self, Context},
    failure::Failure,
    files,
    signals::Signals,
    store,
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

/// Reads the key of an environment.
pub(crate) fn key(ctx: &Context, config: &Config, environment: &Environment) -> Result<LicenseKey, Failure> {
    store::read_key(&environment.key, &ctx.vars).map_err(|source| match &config.authorities[&environment.authority] {
        AuthoritySettings::Embedded { .. } if store::is_absent(&environment.key, &ctx.vars) => {
            Failure::NoDevelopmentKey { environment: environment.name.clone(), source }
        }
        AuthoritySettings::Embedded { .. } | AuthoritySettings::Remote(_) => {
            unreadable("license key", &environment.name, source)
        }
    })
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

/// The longest file of certificates that is read, in bytes: the largest public bundles stay under 1 MiB.
const CA_FILE_BYTES_MAX: u64 = 4 << 20;
