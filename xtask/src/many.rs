//! Asking about many environments at once.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    authority::Authority,
    config::{Config, Environment},
    connect,
    context::Context,
    failure::Failure,
    signals::Signals,
};

/// How many environments are asked about at once; no more connections than this are open to one authority.
pub(crate) const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// The environments that a command line means: all, those that it names, or the one that is meant by default.
pub(crate) fn selected<'a>(
    config: &'a Config,
    names: &[String],
    extent: Extent,
) -> Result<Vec<&'a Environment>, Failure> {
    match extent {
        Extent::All => Ok(config.environments.values().collect()),
        Extent::Named if names.is_empty() => Ok(vec![config.default_environment()?]),
        Extent::Named => names.iter().map(|name| Ok(config.environment(name)?)).collect(),
    }
}

/// How many environments are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every one of the file.
    All,
    /// Those that are named.
    Named,
}

impl Extent {
    /// What `--all` means.
    pub(crate) fn of_flag(all: bool) -> Self {
        if all { Self::All } else { Self::Named }
    }
}

/// One client for each authority, shared by all the environments that ask it.
pub(crate) fn authorities<'a>(
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

/// Does something about all environments on a bounded number of threads; the results keep the order of the
/// environments. After a signal no more are begun.
pub(crate) fn concurrently<'a, T: Send, R: Send>(
    environments: &[&'a Environment],
    inputs: Vec<T>,
    signals: &Signals,
    work_on: impl Fn(&'a Environment, T) -> R + Sync,
) -> Vec<R> {
    let inputs = inputs.into_iter().map(|input| Mutex::new(Some(input)));
    let work: Vec<_> = environments.iter().copied().zip(inputs).collect();
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((environment, input)) = work.get(at).filter(|_| signals.stop().is_none()) else { return done };
                let input = input.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(input) = input else { return done };
                done.push((at, work_on(environment, input)));
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
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
