//! `check`: the gate alone. It changes nothing and records nothing.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use license_core::{
    LicenseKey, Verdict,
    rotation::{GraceLeft, Shipping, not_adopted, shipping},
};

use crate::{
    authority::{AskError, Authority},
    cli::CheckArgs,
    config::{Config, EnvName, Environment, TrailSettings},
    connect,
    context::{self, Context},
    exit::Exit,
    failure::Failure,
    gate::{self, Force},
    journal, keyring,
    report::{CheckReport, Gated},
    signals::Signals,
};

/// How many environments are checked at once; no more connections than this are open to one authority.
pub(crate) const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// Checks every environment that was asked for.
pub(crate) fn run<'a>(ctx: &Context, config: &'a Config, args: &CheckArgs) -> Result<CheckReport<'a>, Failure> {
    let environments = selected(config, args)?;
    let keys: Vec<_> = environments.iter().map(|environment| connect::key(ctx, config, environment)).collect();
    keyring::refuse_shared(ctx, config, &readable(&environments, &keys))?;
    // Watched, so that the exit is the table's also where a parent has SIGINT ignored.
    let signals = Signals::watch().map_err(|source| Failure::System { what: "signals cannot be watched", source })?;
    let authorities = authorities(ctx, config, &environments, &signals);
    let gated = concurrently(&environments, keys, &signals, |environment, key| {
        judge(ctx, config, environment, key, &authorities[environment.authority.as_str()])
    });
    match signals.stop() {
        None => Ok(CheckReport { gated }),
        Some(stop) => Err(AskError::Stopped(stop).into()),
    }
}

/// The exit code of the whole: the first that applies, so that a script sees the worst.
pub(crate) fn exit(report: &CheckReport<'_>) -> Exit {
    let exits: Vec<Exit> = report.gated.iter().map(|gated| exit_of(&gated.outcome)).collect();
    WORST_FIRST.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Done)
}

const WORST_FIRST: [Exit; 8] = [
    Exit::Interrupted,
    Exit::Terminated,
    Exit::Bug,
    Exit::Config,
    Exit::Credential,
    Exit::Trail,
    Exit::Refused,
    Exit::Unknown,
];

/// A warning when the grace of a rotation is running out, and the key that was judged is the old one, or nothing was seen
/// to use the new one. An environment without a trail here, and without stores, has no rotation that is worth a look at a remote.
pub(crate) fn grace_warning(ctx: &Context, config: &Config, gated: &Gated<'_>) -> Option<String> {
    let (environment, judged) = (gated.environment, gated.outcome.as_ref().ok()?);
    if environment.stores.is_empty() && config.trail != TrailSettings::File {
        return None;
    }
    let folded = journal::look(ctx, config, &environment.name).ok()?;
    let (state, name, now) = (folded.rotation(), &environment.name, context::now());
    match shipping(state, &judged.fingerprint, now) {
        Shipping::OldKey { until, left } => Some(format!(
            "warning: the key of `{name}` is the old one of a rotation, and dies {}, at {until:.0}: `cargo xtask rotate {name} \
             --resume`",
            soon(left)?
        )),
        Shipping::NewKey => {
            let (until, left) = not_adopted(state, &judged.fingerprint, now)?;
            Some(format!(
                "warning: nothing was seen to use the new key of `{name}`, and the old one dies {}, at {until:.0}: `cargo xtask \
                 deploy {name}`",
                soon(left)?
            ))
        }
        Shipping::Unconcerned => None,
    }
}

/// How soon a key dies; nothing while that is far.
fn soon(left: GraceLeft) -> Option<String> {
    match left {
        GraceLeft::Enough => None,
        GraceLeft::UnderHours(hours) => Some(format!("in less than {hours} hours")),
        GraceLeft::TooLittle => Some("within the hour, if it is not dead already".to_owned()),
    }
}

fn exit_of(outcome: &Result<gate::Judgement, Failure>) -> Exit {
    match outcome {
        Err(failure) => failure.exit(),
        Ok(judged) => match judged.verdict {
            Verdict::Go => Exit::Done,
            Verdict::Refused => Exit::Refused,
            Verdict::Unknown => Exit::Unknown,
        },
    }
}

fn selected<'a>(config: &'a Config, args: &CheckArgs) -> Result<Vec<&'a Environment>, Failure> {
    if args.all {
        return Ok(config.environments.values().collect());
    }
    if args.environments.is_empty() {
        return Ok(vec![config.default_environment()?]);
    }
    args.environments.iter().map(|name| Ok(config.environment(name)?)).collect()
}

fn readable<'a>(
    environments: &[&'a Environment],
    keys: &'a [Result<LicenseKey, Failure>],
) -> Vec<(&'a EnvName, &'a LicenseKey)> {
    let both = environments.iter().zip(keys);
    both.filter_map(|(environment, key)| Some((&environment.name, key.as_ref().ok()?))).collect()
}

/// One client for each authority, shared by all the environments that ask it.
fn authorities<'a>(
    ctx: &Context,
    config: &Config,
    environments: &[&'a Environment],
    signals: &Signals,
) -> BTreeMap<&'a str, Result<Authority, Failure>> {
    let mut authorities = BTreeMap::new();
    for &environment in environments {
        authorities
            .entry(environment.authority.as_str())
            .or_insert_with(|| connect::authority(ctx, config, environment, CONNECTIONS_MAX.get(), Some(signals)));
    }
    authorities
}

fn judge(
    ctx: &Context,
    config: &Config,
    environment: &Environment,
    key: Result<LicenseKey, Failure>,
    authority: &Result<Authority, Failure>,
) -> Result<gate::Judgement, Failure> {
    let key = key?;
    let authority = match authority {
        Ok(authority) => authority,
        // The failure belongs to several environments; each gets its own by asking again for what fails at once.
        Err(_) => &connect::authority(ctx, config, environment, 1, None)?,
    };
    let history = || Ok(Cow::Owned(journal::look(ctx, config, &environment.name)?));
    gate::decide(ctx, config, environment, &key, authority, &history, &Force::No)
}

/// Judges all environments on a bounded number of threads; the results keep the order of the environments. After a
/// signal no more are begun.
fn concurrently<'a>(
    environments: &[&'a Environment],
    keys: Vec<Result<LicenseKey, Failure>>,
    signals: &Signals,
    judge: impl Fn(&Environment, Result<LicenseKey, Failure>) -> Result<gate::Judgement, Failure> + Sync,
) -> Vec<Gated<'a>> {
    let work: Vec<_> =
        environments.iter().copied().zip(keys.into_iter().map(|key| std::sync::Mutex::new(Some(key)))).collect();
    let next = AtomicUsize::new(0);
    let mut gated: Vec<(usize, Gated<'a>)> = thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((environment, key)) = work.get(at).filter(|_| signals.stop().is_none()) else { return done };
                let key = key.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                let Some(key) = key else { return done };
                done.push((at, Gated { environment, outcome: judge(environment, key) }));
            }
        };
        let threads = CONNECTIONS_MAX.get().min(work.len());
        let handles: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for handle in handles {
            match handle.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    gated.sort_by_key(|(at, _)| *at);
    gated.into_iter().map(|(_, gated)| gated).collect()
}
