//! What the scan of a push looks for: what a scan of the work tree looks for, and what the pushed files add.

use license_core::leaks::Secret;
use zeroize::Zeroizing;

use super::file::{FilePlace, PushedFile, Says};
use crate::{
    config::{self, Config},
    context::Context,
    hook::trust::{Agreed, TrustRecord, Wanted},
    keyring::{self, Named},
    mask::Masks,
    scan::watch::{self, Watched},
    store::{self, Source},
};

/// Everything that is looked for, and what hides the secrets that come on top of the work tree's. The file of the work tree is this machine's, and is read as every command reads it;
/// a pushed one adds its patterns, what it allows, and of its secrets those that were agreed to.
pub(crate) fn watched(
    ctx: &Context,
    place: &FilePlace,
    files: &[PushedFile],
    agreed: &Agreed,
    record: Option<&TrustRecord>,
) -> (Watched, Masks) {
    let mut texts = Vec::new();
    let mut watched = match place.in_tree.as_deref().filter(|_| place.is_in_tree()) {
        None => watch::forms(),
        Some(path) => match config::load(path, &ctx.vars) {
            Ok(config) => watch::of(ctx, &config),
            Err(error) => {
                let mut watched = watch::forms();
                watched
                    .notes
                    .push(format!("{error}: keys that it names are looked for only where the push names them, too"));
                watched
            }
        },
    };
    for file in files {
        match &file.says {
            Says::Good(config) => add(ctx, config, agreed, &mut watched, &mut texts),
            Says::LeftOut(_) | Says::Newer(_) | Says::Broken(_) | Says::Nothing => {}
        }
    }
    // A file that cannot be read names no secrets; the record does.
    for name in record.into_iter().flat_map(|record| &record.variables) {
        let source = Source::Env { name: name.clone() };
        secret(ctx, &source, &format!("what {source} holds"), &mut watched, &mut texts);
    }
    (watched, Masks::of(texts.iter().map(|text| text.as_str())))
}

fn add(ctx: &Context, config: &Config, agreed: &Agreed, watched: &mut Watched, texts: &mut Texts) {
    for (named, source) in keyring::named_sources(config) {
        if agreed.refuses(Wanted::Source(source), &config.root).is_some() {
            continue;
        }
        let name = named.to_string();
        secret(ctx, source, &name, watched, texts);
        if let Named::Key(environment) = named {
            watched.environments.entry(name).or_insert_with(|| environment.to_string());
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

/// The secrets that are looked for besides those of the work tree's file.
type Texts = Vec<Zeroizing<String>>;

/// Adds a secret, unless it is there under another name.
fn secret(ctx: &Context, source: &Source, name: &str, watched: &mut Watched, texts: &mut Texts) {
    let Ok(text) = store::read(source, &ctx.vars) else { return };
    let Ok(secret) = Secret::new(name, text.clone()) else { return };
    if watched.watch.secrets.iter().all(|known| !known.has_text_of(&secret)) {
        watched.watch.secrets.push(secret);
        texts.push(text);
    }
}
