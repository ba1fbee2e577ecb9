//! The rules of one `[environments.NAME]`.

use std::{collections::BTreeMap, time::Duration};

use license_core::{Check, Demand, Domain, KeyClass, UnknownPolicy};
use miette::SourceSpan;

use super::{
    EnvName, Environment, UnreachablePolicy,
    address::{self, Query},
    checking::{Checking, Forms, Owner},
    fields::{At, Field, Named, did_you_mean, list},
    problem::{Problem, code},
    raw::{RawAuthority, RawCommand, RawConfig, RawEnvironment, RawHealth, Unreachable},
    secrets::{looks_secret, shown},
    words::{self, NotWords},
};
use crate::{health::Probe, store::Source};

/// How long a deploy command may run where the file does not say.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long the application may take to become healthy where the file does not say.
const HEALTH_WITHIN: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a domain looks like.
const BARE_HOST: &str = "write the bare host, as in `app.example.com` or `localhost:3000`";

/// The variable in which the deploy command gets the key, where `key` names none.
const KEY_VARIABLE: &str = "LICENSE_KEY";

/// Checks one environment. `None`: what is wrong is reported.
pub(super) fn check(
    checking: &mut Checking<'_>,
    named: &Named<RawEnvironment>,
    config: &RawConfig,
) -> Option<Environment> {
    let Named { name, table: raw } = named;
    let owner = Owner { what: format!("environment `{}`", shown(&name.value)), place: name.place };
    let env_name = env_name(checking, name);
    let authority = authority(checking, &owner, raw, config);
    let domain = domain(checking, &owner, raw, &name.value);
    let key = key(checking, &owner, raw);
    let features = raw.features.given().map_or_else(Vec::new, |list| checking.distinct("features", &list.value));
    let unreachable = unreachable(checking, raw, authority.map(|named| &named.table));
    let deploy = command(checking, "deploy", &raw.deploy);
    let rollback = command(checking, "rollback", &raw.rollback);
    let deploy_timeout =
        checking.duration("deploy_timeout", &raw.deploy_timeout, &(SECOND..=DAY)).unwrap_or(DEPLOY_TIMEOUT);
    let health = raw.health.given().and_then(|at| health(checking, at));
    needs_deploy(checking, raw);
    branches(checking, raw);
    let license = raw.license.given().and_then(|text| license(checking, text));
    let key = key?;
    Some(Environment {
        name: env_name?,
        authority: authority?.name.value.clone(),
        license,
        demand: Demand {
            domain: domain?,
            features: features.into_iter().map(str::to_owned).collect(),
            activations: raw.activations.given().map(|at| u64::from(at.value)),
            key_class: raw.key_class.given().map(|at| at.value),
            min_days_left: raw.min_days_left.given().map_or(0, |at| at.value),
            key_age_max_days: None,
        },
        places: places(raw),
        place: name.place,
        key_variable: key_variable(&key),
        key,
        unknown: raw.unknown.given().map_or(UnknownPolicy::Block, |at| at.value),
        unreachable: unreachable?,
        deploy,
        deploy_timeout,
        rollback,
        health,
    })
}

/// Whether an environment is production, by its name or by the class of its key.
pub(super) fn is_production(name: &str, class: Option<KeyClass>) -> bool {
    name == "production" || class == Some(KeyClass::Prd)
}

fn env_name(checking: &mut Checking<'_>, name: &At<String>) -> Option<EnvName> {
    let parsed = EnvName::parse(&name.value);
    if parsed.is_none() {
        let problem = Problem::new(
            code::ENVIRONMENT_NAME,
            format!("`{}` cannot be the name of an environment", shown(&name.value)),
        )
        .help("write lower-case letters, digits and hyphens, at most 63, beginning with a letter or a digit")
        .at(name.place, "not a name");
        checking.report(problem);
    }
    parsed
}

fn authority<'r>(
    checking: &mut Checking<'_>,
    owner: &Owner,
    raw: &RawEnvironment,
    config: &'r RawConfig,
) -> Option<&'r Named<RawAuthority>> {
    let known: &[Named<RawAuthority>] = config.authority.given().map_or(&[], |at| &at.value);
    let names: Vec<&str> = known.iter().map(|named| named.name.value.as_str()).collect();
    let example = match names.first() {
        Some(first) => format!("`authority = \"{}\"`", shown(first)),
        None => "`authority = \"local\"`, and `[authority.local]` with `kind = \"embedded\"`".to_owned(),
    };
    let name = checking.required(owner, "authority", &raw.authority, &example)?;
    let found = known.iter().find(|named| named.name.value == name.value);
    if found.is_none() && !matches!(config.authority, Field::Wrong) {
        let help = if names.is_empty() {
            format!(
                "add `[authority.{}]` with `kind = \"embedded\"` or `kind = \"traffic-orchestrator\"`",
                shown(&name.value)
            )
        } else {
            did_you_mean(&name.value, &names, "the authorities are")
        };
        let problem = Problem::new(code::UNKNOWN_AUTHORITY, format!("there is no authority `{}`", shown(&name.value)))
            .help(help)
            .at(name.place, "not configured");
        checking.report(problem);
    }
    found
}

fn domain(checking: &mut Checking<'_>, owner: &Owner, raw: &RawEnvironment, name: &str) -> Option<Domain> {
    let text = checking.required(owner, "domain", &raw.domain, "`domain = \"app.example.com\"`")?;
    let domain = match Domain::parse(&text.value) {
        Ok(domain) => domain,
        Err(error) => {
            // The rule's words end in what to do where there is something to say beyond the form.
            let words = error.to_string();
            let (why, next) = words.split_once(": ").unwrap_or((&words, BARE_HOST));
            let problem = Problem::new(code::DOMAIN, format!("{} has no bare domain: {why}", owner.what))
                .help(next)
                .at(text.place, "not a domain");
            checking.report(problem);
            return None;
        }
    };
    if domain.is_loopback() && is_production(name, raw.key_class.given().map(|at| at.value)) {
        let problem = Problem::new(
            code::LOOPBACK_IN_PRODUCTION,
            format!("{} is production, and its domain is this machine", owner.what),
        )
        .help("write the domain that production is reached under, as in `app.example.com`")
        .at(text.place, "this machine");
        checking.report(problem);
    }
    Some(domain)
}

fn key(checking: &mut Checking<'_>, owner: &Owner, raw: &RawEnvironment) -> Option<Source> {
    let at = checking.required(owner, "key", &raw.key, "`key = { env = \"LICENSE_KEY\" }`")?;
    checking.source("key", at, Forms::EnvOrDotenv)
}

fn key_variable(key: &Source) -> String {
    match key {
        Source::Env { name } | Source::Dotenv { name, .. } => name.clone(),
        Source::File { .. } => KEY_VARIABLE.to_owned(),
    }
}

/// A license's id is shown in messages and in the trail, so nothing that has the form of a key may stand there.
fn license(checking: &mut Checking<'_>, text: &At<String>) -> Option<String> {
    if looks_secret(&text.value) {
        let problem = Problem::new(code::SECRET_IN_FILE, "`license` looks like a key, not like a license's id")
            .help(
                "write the id, as in `lic_abc123`, and name the place of the key in `key`; \
                 if this is a real key, replace it, since it may be in the history of this file",
            )
            .at(text.place, "the text is not shown");
        checking.report(problem);
        return None;
    }
    checking.not_empty("`license`", text).map(str::to_owned)
}

fn unreachable(
    checking: &mut Checking<'_>,
    raw: &RawEnvironment,
    authority: Option<&RawAuthority>,
) -> Option<UnreachablePolicy> {
    let age_max = checking.duration("cached_max_age", &raw.cached_max_age, &(MINUTE..=MONTH));
    let offline_token = raw.offline_token.given().and_then(|at| checking.source("offline_token", at, Forms::EnvOrFile));
    let cached = match &raw.unreachable {
        Field::Wrong => return None,
        Field::Given(at) if at.value == Unreachable::Cached => at.place,
        Field::Given(_) | Field::Absent => {
            let places = [
                ("cached_max_age", raw.cached_max_age.given().map(|at| at.place)),
                ("offline_token", raw.offline_token.given().map(|at| at.place)),
            ];
            for (name, place) in places.into_iter().filter_map(|(name, place)| Some((name, place?))) {
                checking.needs(name, place, "unreachable = \"cached\"");
            }
            return Some(UnreachablePolicy::Block);
        }
    };
    if let Field::Absent = raw.cached_max_age {
        checking.needs("unreachable = \"cached\"", cached, "cached_max_age = \"24h\"");
    }
    offline_token_needs_public_keys(checking, raw, authority);
    Some(UnreachablePolicy::Cached { age_max: age_max?, offline_token })
}

fn offline_token_needs_public_keys(
    checking: &mut Checking<'_>,
    raw: &RawEnvironment,
    authority: Option<&RawAuthority>,
) {
    let (Some(at), Some(authority)) = (raw.offline_token.given(), authority) else { return };
    let has_keys = match &authority.public_keys {
        Field::Absent => false,
        Field::Wrong => true,
        Field::Given(keys) => !keys.value.is_empty(),
    };
    if !has_keys {
        let problem = Problem::new(
            code::NEEDS_OTHER_FIELD,
            "`offline_token` cannot be checked: its authority has no `public_keys`",
        )
        .help("add `public_keys = [\"…\"]` to the authority, with the keys that sign its offline tokens")
        .at(at.place, "needs `public_keys` of the authority");
        checking.report(problem);
    }
}

fn command(checking: &mut Checking<'_>, name: &str, field: &Field<RawCommand>) -> Option<Vec<String>> {
    let at = field.given()?;
    let words = match &at.value {
        RawCommand::Text(text) => match words::split(text) {
            Ok(words) => words,
            Err(why) => {
                checking.report(not_words(name, text, &why).at(at.place, label_of(&why)));
                return None;
            }
        },
        RawCommand::Words(words) => words.iter().map(|word| word.value.clone()).collect(),
    };
    let why = match words.first() {
        None => "is empty",
        Some(first) if first.trim().is_empty() => "names no program",
        Some(_) if words.iter().any(|word| word.contains('\0')) => "has a NUL character in it",
        Some(_) => return Some(words),
    };
    let problem = Problem::new(code::COMMAND, format!("`{name}` {why}"))
        .help(format!("write the program and its arguments, as in `{name} = \"npm run {name}\"`, or leave it out"))
        .at(at.place, why);
    checking.report(problem);
    None
}

fn label_of(why: &NotWords) -> &'static str {
    match why {
        NotWords::Empty => "no command",
        NotWords::Unclosed(_) => "a quote is not closed",
        NotWords::DanglingBackslash => "ends in a backslash",
        NotWords::Shell(_) | NotWords::Assignment => "needs a shell",
    }
}

fn not_words(name: &str, text: &str, why: &NotWords) -> Problem {
    let example = format!("write the program and its arguments, as in `{name} = \"npm run {name}\"`");
    let shell =
        format!("if a shell is meant, say so: `{name} = [\"sh\", \"-c\", {}]`", serde_json::Value::from(shown(text)));
    match why {
        NotWords::Empty => Problem::new(code::COMMAND, format!("`{name}` is empty")).help(example),
        NotWords::Unclosed(quote) => {
            Problem::new(code::COMMAND, format!("`{name}` has a `{quote}` that is not closed")).help("close the quote")
        }
        NotWords::DanglingBackslash => Problem::new(code::COMMAND, format!("`{name}` ends in a backslash"))
            .help("leave the backslash out, or double it"),
        NotWords::Shell(c) => Problem::new(
            code::NEEDS_SHELL,
            format!("`{name}` has a `{c}` that only a shell would act on, and no shell runs it"),
        )
        .help(format!("{shell}; if the character is meant as it is, put it in single quotes")),
        NotWords::Assignment => Problem::new(
            code::NEEDS_SHELL,
            format!("`{name}` sets a variable before its program, and no shell runs it"),
        )
        .help(shell),
    }
}

fn health(checking: &mut Checking<'_>, at: &At<RawHealth>) -> Option<Probe> {
    let owner = Owner { what: "`health`".to_owned(), place: at.place };
    let within = checking.duration("within", &at.value.within, &(SECOND..=HOUR)).unwrap_or(HEALTH_WITHIN);
    let example = "`url = \"https://app.example.com/api/license/status\"`";
    let url = checking.required(&owner, "url", &at.value.url, example)?;
    if let Err(no) = address::check(&url.value, Query::Allowed) {
        let problem =
            Problem::new(code::ADDRESS, format!("`url` of `health` {}", no.why)).help(no.next).at(url.place, no.why);
        checking.report(problem);
        return None;
    }
    Some(Probe { url: url.value.clone(), within })
}

/// What says something only about a deploy command.
fn needs_deploy(checking: &mut Checking<'_>, raw: &RawEnvironment) {
    let Field::Absent = raw.deploy else { return };
    let places = [
        ("deploy_timeout", raw.deploy_timeout.given().map(|at| at.place)),
        ("rollback", raw.rollback.given().map(|at| at.place)),
    ];
    for (name, place) in places.into_iter().filter_map(|(name, place)| Some((name, place?))) {
        checking.needs(name, place, "deploy");
    }
}

/// Accepted now, used by pushes later.
fn branches(checking: &mut Checking<'_>, raw: &RawEnvironment) {
    if let Some(at) = raw.branches.given() {
        checking.distinct("branches", &at.value);
    }
}

/// Where each demand stands in the file.
fn places(raw: &RawEnvironment) -> BTreeMap<Check, SourceSpan> {
    let found = [
        (Check::Validity, raw.key.given().map(|at| at.place)),
        (Check::Domain, raw.domain.given().map(|at| at.place)),
        (Check::Features, raw.features.given().map(|at| at.place)),
        (Check::Activations, raw.activations.given().map(|at| at.place)),
        (Check::KeyClass, raw.key_class.given().map(|at| at.place)),
        (Check::ExpiryHorizon, raw.min_days_left.given().map(|at| at.place)),
    ];
    found.into_iter().filter_map(|(check, place)| Some((check, place?))).collect()
}

/// The rules between environments: one domain, one place of a key, one API token.
pub(super) fn check_together(checking: &mut Checking<'_>, environments: &[Environment]) {
    let mut domains: BTreeMap<&Domain, &Environment> = BTreeMap::new();
    let mut keys: BTreeMap<&Source, &Environment> = BTreeMap::new();
    for environment in environments {
        if let Some(first) = domains.get(&environment.demand.domain) {
            checking.report(same_domain(first, environment));
        } else {
            domains.insert(&environment.demand.domain, environment);
        }
        match &environment.key {
            // CI systems give each environment's jobs their own value under one name.
            Source::Env { .. } => {}
            Source::Dotenv { .. } | Source::File { .. } => match keys.get(&environment.key) {
                Some(first) => checking.report(same_key_place(first, environment)),
                None => {
                    keys.insert(&environment.key, environment);
                }
            },
        }
    }
}

fn same_domain(first: &Environment, second: &Environment) -> Problem {
    Problem::new(
        code::SAME_DOMAIN,
        format!("environments `{}` and `{}` have the domain `{}`", first.name, second.name, second.demand.domain),
    )
    .help("give each environment its own domain: a deploy of one would replace the other")
    .at(second.place_of(Check::Domain), "again here")
    .at(first.place_of(Check::Domain), "first here")
}

fn same_key_place(first: &Environment, second: &Environment) -> Problem {
    Problem::new(
        code::SAME_KEY,
        format!("environments `{}` and `{}` take their key from one place", first.name, second.name),
    )
    .help("give each environment its own variable, as in `LICENSE_KEY_STAGING`: two environments never share a key")
    .at(second.place_of(Check::Validity), "again here")
    .at(first.place_of(Check::Validity), "first here")
}

/// The names of environments, for messages.
pub(super) fn names(environments: &[&Environment]) -> String {
    list(&environments.iter().map(|environment| environment.name.as_str()).collect::<Vec<_>>())
}
