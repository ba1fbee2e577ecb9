//! The rules of one `[environments.NAME]`.

use std::{collections::BTreeMap, time::Duration};

use license_core::{Check, Demand, Domain, KeyClass, UnknownPolicy, alert::AutoRenew};
use miette::SourceSpan;

use super::{
    EnvName, Environment, OnPush, RotationSettings, UnreachablePolicy,
    address::{self, Query},
    checking::{Checking, Forms, Owner},
    command,
    fields::{At, Field, Named, did_you_mean, list},
    problem::{Problem, code},
    raw::{RawAuthority, RawConfig, RawEnvironment, RawHealth, RawRotation, StoreKind, Unreachable},
    secrets::{looks_secret, shown},
    store::{self, StoreSettings, Target},
};
use crate::{child_env::GIVEN, health::Probe, push::branches::BranchGlob, store::Source};

/// How long a deploy command may run where the file does not say.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long the application may take to become healthy where the file does not say.
const HEALTH_WITHIN: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the old key works on where the file does not say, in days.
const GRACE_DAYS: u32 = 7;

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What a domain looks like.
const BARE_HOST: &str = "write the bare host, as in `app.example.com` or `localhost:3000`";

/// The variable in which the deploy command gets the key, where `key` names none.
const KEY_VARIABLE: &str = "LICENSE_KEY";

/// Checks one environment. `None`: what is wrong is reported.
pub(super) fn check(
    checking: &mut Checking<'_>,
    named: &Named<RawEnvironment>,
    config: &RawConfig,
    stores: &BTreeMap<String, StoreSettings>,
) -> Option<Environment> {
    let Named { name, table: raw } = named;
    let owner = Owner { what: format!("environment `{}`", shown(&name.value)), place: name.place };
    let env_name = env_name(checking, name);
    let authority = authority(checking, &owner, raw, config);
    let domain = domain(checking, &owner, raw, &name.value);
    let key = key(checking, &owner, raw, config);
    let written = written(checking, raw, config);
    let rotation = rotation(checking, raw.rotation.given().map(|at| &at.value));
    if let Some(env_name) = &env_name {
        names_fit(checking, raw, stores, env_name);
    }
    let features = raw.features.given().map_or_else(Vec::new, |list| checking.distinct("features", &list.value));
    let unreachable = unreachable(checking, raw, authority.map(|named| &named.table));
    let deploy = command::check(checking, "deploy", "npm run deploy", &raw.deploy);
    let rollback = command::check(checking, "rollback", "npm run rollback", &raw.rollback);
    let deploy_timeout =
        checking.duration("deploy_timeout", &raw.deploy_timeout, &(SECOND..=DAY)).unwrap_or(DEPLOY_TIMEOUT);
    let health = raw.health.given().and_then(|at| health(checking, at));
    needs_deploy(checking, raw);
    let branches = branches(checking, raw);
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
            key_age_max_days: rotation.age_max.map(whole_days),
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
        stores: written,
        stores_place: raw.stores.given().map(|at| at.place),
        rotation,
        branches,
        auto_renew: match raw.auto_renew.given() {
            Some(At { value: true, .. }) => AutoRenew::Yes,
            Some(At { value: false, .. }) | None => AutoRenew::No,
        },
        on_push: raw.on_push.given().map_or(OnPush::Warn, |at| at.value),
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

fn key(checking: &mut Checking<'_>, owner: &Owner, raw: &RawEnvironment, config: &RawConfig) -> Option<Source> {
    let at = checking.required(owner, "key", &raw.key, "`key = { env = \"LICENSE_KEY\" }`")?;
    let key = checking.source("key", at, Forms::Key)?;
    let named = [&at.value.env, &at.value.name].into_iter().find_map(Field::given);
    if let Some(name) = named.filter(|name| is_of_the_command(&name.value)) {
        let problem = Problem::new(
            code::VARIABLE_NAME,
            format!("the deploy command has `{}` for something else, and would not get its key", name.value),
        )
        .help("give the key a variable of its own, as `LICENSE_KEY`")
        .at(name.place, "is not the key's");
        checking.report(problem);
    }
    if let (Source::Store { .. }, Some(name)) = (&key, at.value.store.given()) {
        key_store(checking, raw, config, name);
    }
    Some(key)
}

/// Whether a variable means something else to the deploy command.
fn is_of_the_command(name: &str) -> bool {
    GIVEN.contains(&name) || ["HOME", "PATH"].contains(&name)
}

/// A store that the key is read from: it exists, gives what it holds, and is not listed a second time.
fn key_store(checking: &mut Checking<'_>, raw: &RawEnvironment, config: &RawConfig, name: &At<String>) {
    checking.each_known("store", std::slice::from_ref(name), &config.stores);
    let known = config.stores.given().into_iter().flat_map(|at| &at.value);
    let kind = known.filter(|store| store.name.value == name.value).find_map(|store| store.table.kind.given());
    if kind.is_some_and(|kind| kind.value == StoreKind::Github) {
        let problem = Problem::new(
            code::WRITE_ONLY_STORE,
            format!("no key can be read from store `{}`: GitHub only takes secrets", shown(&name.value)),
        )
        .help("hand the secret to the CI step in a variable, write `key = { env = \"LICENSE_KEY\" }`, and list the store in `stores`")
        .at(name.place, "can only be written");
        checking.report(problem);
    }
    let again = raw.stores.given().and_then(|at| at.value.iter().find(|store| store.value == name.value));
    if let Some(again) = again {
        let problem = Problem::new(
            code::DUPLICATE_VALUE,
            format!("store `{}` is the place of the key, and is in `stores` too", shown(&name.value)),
        )
        .help("leave it out of `stores`: a rotation writes the place that `key` names anyway")
        .at(again.place, "again here")
        .at(name.place, "first here");
        checking.report(problem);
    }
}

fn key_variable(key: &Source) -> String {
    match key {
        Source::Env { name } | Source::Dotenv { name, .. } => name.clone(),
        Source::File { .. } | Source::Age { .. } | Source::Store { .. } => KEY_VARIABLE.to_owned(),
    }
}

/// The stores that a rotation writes: each exists, and none is there twice.
fn written(checking: &mut Checking<'_>, raw: &RawEnvironment, config: &RawConfig) -> Vec<String> {
    let Some(at) = raw.stores.given() else { return Vec::new() };
    checking.each_known("store", &at.value, &config.stores);
    checking.distinct("stores", &at.value).into_iter().map(str::to_owned).collect()
}

fn names_fit(
    checking: &mut Checking<'_>,
    raw: &RawEnvironment,
    stores: &BTreeMap<String, StoreSettings>,
    environment: &EnvName,
) {
    let of_key = raw.key.given().and_then(|at| at.value.store.given());
    for entry in raw.stores.given().into_iter().flat_map(|at| &at.value).chain(of_key) {
        if let Some(settings) = stores.get(&entry.value) {
            store::name_fits(checking, settings, entry, environment);
        }
    }
}

fn rotation(checking: &mut Checking<'_>, raw: Option<&RawRotation>) -> RotationSettings {
    let Some(raw) = raw else { return RotationSettings { grace_days: GRACE_DAYS, age_max: None } };
    RotationSettings {
        grace_days: raw.grace_days.given().map_or(GRACE_DAYS, |at| at.value),
        age_max: checking.duration("max_age", &raw.max_age, &(DAY..=YEARS)),
    }
}

/// The gate counts days, and does not warn before a key is due.
fn whole_days(age: Duration) -> u32 {
    u32::try_from(age.as_secs().div_ceil(DAY.as_secs())).unwrap_or(u32::MAX)
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

/// What says something only about a deploy command, or about what its application is found to be.
fn needs_deploy(checking: &mut Checking<'_>, raw: &RawEnvironment) {
    let Field::Absent = raw.deploy else {
        if let (Some(rollback), Field::Absent) = (raw.rollback.given(), &raw.health) {
            checking.needs("rollback", rollback.place, "health");
        }
        return;
    };
    let places = [
        ("deploy_timeout", raw.deploy_timeout.given().map(|at| at.place)),
        ("rollback", raw.rollback.given().map(|at| at.place)),
    ];
    for (name, place) in places.into_iter().filter_map(|(name, place)| Some((name, place?))) {
        checking.needs(name, place, "deploy");
    }
}

/// The refs whose pushes deploy here.
fn branches(checking: &mut Checking<'_>, raw: &RawEnvironment) -> Vec<BranchGlob> {
    let Some(at) = raw.branches.given() else { return Vec::new() };
    let distinct = checking.distinct("branches", &at.value);
    let globs = at.value.iter().filter(|text| distinct.contains(&text.value.as_str()));
    globs.filter_map(|text| branch(checking, text)).collect()
}

fn branch(checking: &mut Checking<'_>, text: &At<String>) -> Option<BranchGlob> {
    let why = match BranchGlob::parse(&text.value) {
        Ok(glob) => return Some(glob),
        Err(why) => why,
    };
    let problem = Problem::new(code::BRANCH, format!("`{}` means no branch: {why}", shown(&text.value)))
        .help("write the name of a branch, as in `main`, with `*` for any text up to a slash and `**` for any text, as in `release/*`; or a whole ref, as in `refs/tags/v*`")
        .at(text.place, "not a branch");
    checking.report(problem);
    None
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
        (Check::KeyAge, raw.rotation.given().and_then(|at| at.value.max_age.given()).map(|at| at.place)),
    ];
    found.into_iter().filter_map(|(check, place)| Some((check, place?))).collect()
}

/// The rules between environments: one domain, one place of a key, one place that a rotation writes.
pub(super) fn check_together(
    checking: &mut Checking<'_>,
    environments: &[Environment],
    stores: &BTreeMap<String, StoreSettings>,
) {
    let mut domains: BTreeMap<&Domain, &Environment> = BTreeMap::new();
    let mut targets: BTreeMap<Target, Writer<'_>> = BTreeMap::new();
    for environment in environments {
        if let Some(first) = domains.get(&environment.demand.domain) {
            checking.report(same_domain(first, environment));
        } else {
            domains.insert(&environment.demand.domain, environment);
        }
        for (target, writer) in writers(environment, stores) {
            match targets.get(&target) {
                Some(first) => checking.report(same_target(first, &writer)),
                None => {
                    targets.insert(target, writer);
                }
            }
        }
    }
}

/// Who has a key in a place.
struct Writer<'e> {
    environment: &'e Environment,
    /// The store through which it does, or none for the environment's `key` itself.
    store: Option<&'e str>,
}

impl Writer<'_> {
    fn place(&self) -> SourceSpan {
        let stores = self.store.and(self.environment.stores_place);
        stores.unwrap_or_else(|| self.environment.place_of(Check::Validity))
    }

    fn what(&self) -> String {
        match self.store {
            Some(store) => format!("store `{store}` of environment `{}`", self.environment.name),
            None => format!("`key` of environment `{}`", self.environment.name),
        }
    }
}

/// Every place in which an environment has its key, as far as the file tells.
fn writers<'e>(
    environment: &'e Environment,
    stores: &BTreeMap<String, StoreSettings>,
) -> impl Iterator<Item = (Target, Writer<'e>)> {
    let of_key = Target::of_key(&environment.key, &environment.name, stores);
    let of_key = of_key.map(|target| (target, Writer { environment, store: None }));
    // A store that is named twice is reported as that.
    let is_key = |store: &str| matches!(&environment.key, Source::Store { name } if name == store);
    let listed = environment.stores.iter().filter(|store| !is_key(store)).filter_map(|store| {
        let target = Target::of_store(stores.get(store)?, &environment.name)?;
        Some((target, Writer { environment, store: Some(store) }))
    });
    of_key.into_iter().chain(listed.collect::<Vec<_>>())
}

/// How to keep the keys of two environments apart in stores.
const APART: &str = "write `{environment}` into the store's `file`, `name`, `path` or `environment`, or give each environment a store of its own: two environments never share a key";

fn same_target(first: &Writer<'_>, second: &Writer<'_>) -> Problem {
    let (one, other) = (first.environment, second.environment);
    if first.store.is_none() && second.store.is_none() {
        return same_key_place(one, other);
    }
    let help = if one.name == other.name { "leave one of them out: a rotation writes each place once" } else { APART };
    let problem = Problem::new(code::SAME_STORE, format!("{} and {} are one place", first.what(), second.what()))
        .help(help)
        .at(second.place(), "again here");
    if first.place() == second.place() { problem } else { problem.at(first.place(), "first here") }
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
    let help = match &second.key {
        Source::Store { .. } => APART,
        Source::Age { .. } => "give each environment a file of its own: two environments never share a key",
        Source::Env { .. } | Source::Dotenv { .. } | Source::File { .. } => {
            "give each environment its own variable, as in `LICENSE_KEY_STAGING`: two environments never share a key"
        }
    };
    Problem::new(
        code::SAME_KEY,
        format!("environments `{}` and `{}` take their key from one place", first.name, second.name),
    )
    .help(help)
    .at(second.place_of(Check::Validity), "again here")
    .at(first.place_of(Check::Validity), "first here")
}

/// The names of environments, for messages.
pub(super) fn names(environments: &[&Environment]) -> String {
    list(&environments.iter().map(|environment| environment.name.as_str()).collect::<Vec<_>>())
}
