//! What the scan of a push looks for: what a scan of the work tree looks for, and what the pushed files add.

use std::path::Path;

use super::file::{FilePlace, PushedFile, Says};
use crate::{
    config::{self, Config, ConfigError},
    context::Context,
    files,
    hook::trust::{Agreed, TrustRecord, Wanted},
    keyring::{self, Named},
    scan::{
        Incomplete,
        main_tree::MainTree,
        watch::{self, Watched},
    },
    store::Source,
};

/// Everything that is looked for. The file of the work tree is this machine's, and is read as every command reads it; a
/// pushed one adds its patterns, what it allows, and of its secrets those that were agreed to.
pub(crate) fn watched(
    ctx: &Context,
    place: &FilePlace,
    files: &[PushedFile],
    agreed: &Agreed,
    record: Option<&TrustRecord>,
) -> Watched {
    let mut watched = match place.in_tree.as_deref().filter(|_| place.is_in_tree()) {
        None => watch::forms(),
        Some(path) => match pushed_as_it_is(path, files) {
            Some(config) => watch::of(ctx, config),
            None => match config::load_alone(path, &ctx.vars) {
                Ok(config) => watch::of(ctx, &config),
                Err(error) => of_broken(ctx, place, path, &error, files),
            },
        },
    };
    for file in files {
        match &file.says {
            Says::Good(config) => add(ctx, config, agreed, &mut watched),
            Says::LeftOut(_) | Says::Newer { .. } | Says::Broken(_) | Says::Nothing => {}
        }
    }
    // A file that cannot be read, or is not there, names no secrets; the record does. Else nothing is left to look for.
    let recorded = record.into_iter().flat_map(|record| record.sources(&place.root));
    let left: Vec<Source> = recorded.filter(|source| !watched.has_looked_at(source)).collect();
    let main = if left.is_empty() { None } else { MainTree::of(&place.root) };
    for source in left {
        watched.look_for(ctx, &format!("what {source} holds"), &source, main.as_ref());
    }
    watched
}

/// What the work tree's file says, where it is pushed byte by byte: that is understood already.
fn pushed_as_it_is<'f>(path: &Path, files: &'f [PushedFile]) -> Option<&'f Config> {
    let bytes = files::read_limited(path, config::FILE_BYTES_MAX).ok()?;
    files.iter().find_map(|file| match &file.says {
        Says::Good(config) if file.bytes.as_ref() == Some(&bytes) => Some(&**config),
        Says::Good(_) | Says::LeftOut(_) | Says::Newer { .. } | Says::Broken(_) | Says::Nothing => None,
    })
}

/// What is looked for although the work tree's file cannot be understood: what it names as far as it can be read. That
/// may not be all, so the scan is incomplete; the same mistake in a pushed file is told there, and stops the push.
fn of_broken(ctx: &Context, place: &FilePlace, path: &Path, error: &ConfigError, files: &[PushedFile]) -> Watched {
    let mut watched = watch::forms();
    let main = MainTree::of(&place.root);
    for source in config::sources_of_broken(path) {
        watched.look_for(ctx, &format!("what {source} holds"), &source, main.as_ref());
    }
    let is_told = |file: &PushedFile| match &file.says {
        Says::Broken(broken) => broken.is_same(error),
        Says::Good(_) | Says::LeftOut(_) | Says::Newer { .. } | Says::Nothing => false,
    };
    if !files.iter().any(is_told) {
        let renew = match error.newer_format() {
            Some(_) => "; `cargo xtask hook install` renews the hook",
            None => "",
        };
        watched.incomplete.push(Incomplete {
            what: format!("what `{}` names", license_core::finding::clean(&error.path)),
            why: license_core::finding::clean(&format!("{}{renew}", error.first())),
        });
    }
    watched
}

fn add(ctx: &Context, config: &Config, agreed: &Agreed, watched: &mut Watched) {
    let main = MainTree::of(&config.root);
    for (named, source) in keyring::named_sources(config) {
        if agreed.refuses(Wanted::Source(source), &config.root).is_some() {
            continue;
        }
        watched.look_for(ctx, &named.to_string(), source, main.as_ref());
        if let Named::Key(environment) = named {
            watched.environments.entry(named.to_string()).or_insert_with(|| environment.to_string());
        }
    }
    for pattern in &config.leaks.patterns {
        if !watched.watch.patterns.contains(pattern) {
            watched.watch.patterns.push(pattern.clone());
            watched.patterns.push(pattern.as_str().to_owned());
        }
    }
    watched.unscanned.extend(config.leaks.unscanned.iter().cloned());
    watched.watch.allowed.extend(config.leaks.allow.iter().map(|(fingerprint, _)| *fingerprint));
}
