//! From the file as written to a checked configuration.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use license_core::{Fingerprint, LicenseKey};
use miette::{NamedSource, SourceSpan};
use toml::de::DeTable;

use super::{
    AlertSettings, AuthoritySettings, Config, ConfigError, EnvName, Environment, LeaksSettings, Problem, StoreSettings,
    WebhookSettings, alerts, authority,
    checking::{Checking, NamedFiles, Owner},
    environment,
    escrow::{self, Escrow},
    fields::{self, Field, did_you_mean},
    leaks,
    problem::{PROBLEMS_MAX, code},
    raw::RawConfig,
    secrets::{displayable, shown},
    store as store_rules,
    trail::{self, Trail},
    webhook,
};
use crate::{
    files,
    store::{self, Source},
    vars::Vars,
};

/// The name of the file.
pub(crate) const FILE_NAME: &str = "license.toml";

/// The longest file that is read, in bytes: a thousand environments are a fifth of it.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The format that this program reads.
const VERSION: u32 = 1;

/// The nearest `license.toml`, in the directory or above it.
pub(crate) fn find(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().map(|directory| directory.join(FILE_NAME)).find(|path| is_there(path))
}

/// Whether there is something of this name, a link that leads nowhere included.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Reads and checks a file; all problems come together.
pub(crate) fn load(path: &Path, vars: &Vars) -> Result<Config, ConfigError> {
    load_with(path, NamedFiles::Looked, vars)
}

/// The same for who only wants to know what the file says: no file that it names is looked at.
pub(crate) fn load_alone(path: &Path, vars: &Vars) -> Result<Config, ConfigError> {
    load_with(path, NamedFiles::Taken, vars)
}

fn load_with(path: &Path, named_files: NamedFiles, vars: &Vars) -> Result<Config, ConfigError> {
    let shown_path = path.display().to_string();
    let error = |problem| into_error(&shown_path, vec![problem]);
    let bytes = read(path).map_err(error)?;
    let absolute = std::path::absolute(path).map_err(|cause| error(unreadable(&cause)))?;
    of_bytes(&shown_path, bytes, absolute.parent().unwrap_or(&absolute), named_files, vars)
}

/// Checks the file of a commit. Paths in it are relative to `root`, which is absolute; no file that it names is looked
/// at.
pub(crate) fn of_commit(shown_path: &str, bytes: Vec<u8>, root: &Path, vars: &Vars) -> Result<Config, ConfigError> {
    of_bytes(shown_path, bytes, root, NamedFiles::Taken, vars)
}

fn of_bytes(
    shown_path: &str,
    bytes: Vec<u8>,
    root: &Path,
    named_files: NamedFiles,
    vars: &Vars,
) -> Result<Config, ConfigError> {
    let error = |problems| into_error(shown_path, problems);
    let text = utf8(bytes).map_err(|problem| error(vec![problem]))?;
    let (table, syntax_errors) = DeTable::parse_recoverable(&text);
    let source = Arc::new(NamedSource::new(shown_path, displayable(&text, table.get_ref())));
    let within = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.within(&source)).collect();
    if !syntax_errors.is_empty() {
        return Err(error(within(syntax_problems(&syntax_errors, &text))));
    }
    if table.get_ref().is_empty() {
        return Err(error(vec![empty()]));
    }
    let root = root.to_owned();
    match check(table.get_ref(), &root, named_files, vars) {
        Ok(checked) => {
            let mut config = Config {
                root,
                source: Arc::clone(&source),
                trail: checked.trail.settings,
                ephemeral: checked.trail.ephemeral,
                memory: checked.trail.memory,
                escrow: checked.escrow.settings,
                leaks: checked.leaks,
                alerts: checked.alerts,
                webhook: checked.webhook,
                stores: checked.stores,
                authorities: checked.authorities,
                environments: checked.environments,
                default: checked.default,
                warnings: Vec::new(),
            };
            config.warnings = within(shared_tokens(&config));
            Ok(config)
        }
        Err(problems) => Err(error(within(problems))),
    }
}

fn into_error(path: &str, mut problems: Vec<Problem>) -> ConfigError {
    problems.sort_by_key(|problem| problem.labels.first().map(|(place, _)| place.offset()));
    let left_out = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    ConfigError { path: path.to_owned(), problems, left_out }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    files::read_limited(path, FILE_BYTES_MAX).map_err(|cause| unreadable(&cause))
}

fn utf8(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|cause| {
        let offset = cause.utf8_error().valid_up_to();
        let line = String::from_utf8_lossy(&cause.as_bytes()[..offset]).matches('\n').count() + 1;
        Problem::new(
            code::FILE_NOT_UTF8,
            format!("it is not UTF-8 text: byte {offset}, in line {line}, is no part of a character"),
        )
        .help("save the file as UTF-8")
    })
}

fn unreadable(cause: &io::Error) -> Problem {
    if cause.kind() == io::ErrorKind::NotFound {
        return Problem::new(code::FILE_MISSING, "there is no such file").help(
            "create it, or name another one with `--config FILE`; docs/license-toml.md shows what belongs in it",
        );
    }
    if cause.kind() == io::ErrorKind::IsADirectory {
        return Problem::new(code::FILE_IS_A_DIRECTORY, "it is a directory")
            .help("name the file in it with `--config FILE`");
    }
    if cause.kind() == io::ErrorKind::FileTooLarge {
        let mebibytes = FILE_BYTES_MAX / (1024 * 1024);
        return Problem::new(code::FILE_TOO_LONG, format!("it is longer than {mebibytes} MiB"))
            .help("this is hardly a `license.toml`; name the right file with `--config FILE`");
    }
    Problem::new(code::FILE_UNREADABLE, format!("it cannot be read: {}", files::why(cause)))
        .help("look at its owner and its permissions")
}

fn empty() -> Problem {
    Problem::new(code::FILE_EMPTY, "it is empty")
        .help("begin with `version = 1`; docs/license-toml.md shows what else belongs in it")
}

/// The parser's errors. The fields below a table that is there twice are not there twice themselves, though the parser says so.
fn syntax_problems(errors: &[toml::de::Error], text: &str) -> Vec<Problem> {
    let start_of = |error: &toml::de::Error| error.span().map_or(0, |span| span.start).min(text.len());
    let mut in_order: Vec<&toml::de::Error> = errors.iter().collect();
    in_order.sort_by_key(|error| start_of(error));
    let mut problems = Vec::new();
    let mut twice_up_to = 0;
    for error in in_order.into_iter().take(SYNTAX_ERRORS_MAX) {
        let start = start_of(error);
        let is_duplicate = error.message().starts_with("duplicate key");
        if is_duplicate && start < twice_up_to {
            continue;
        }
        if is_duplicate && line_before(text, start).starts_with('[') {
            twice_up_to = text[start..].find("\n[").map_or(text.len(), |next| start + next + 1);
        }
        problems.push(syntax(error, text));
    }
    problems
}

/// The part of a line that is before a place, as far as the name of a table reaches back.
fn line_before(text: &str, at: usize) -> &str {
    let from = at.saturating_sub(TABLE_NAME_BYTES_MAX);
    let from = (from..at).find(|&from| text.is_char_boundary(from)).unwrap_or(at);
    text[from..at].rsplit('\n').next().unwrap_or_default().trim_start()
}

/// A file with more errors than this is something else; the rest is not looked at.
const SYNTAX_ERRORS_MAX: usize = 1000;

/// Names of tables that are longer are not looked at, in bytes.
const TABLE_NAME_BYTES_MAX: usize = 300;

/// One error of the parser, in our own words where it is a common one.
fn syntax(cause: &toml::de::Error, text: &str) -> Problem {
    let span = cause.span().unwrap_or(0..0);
    let place = SourceSpan::from(span.start.min(text.len())..span.end.min(text.len()));
    let known = SYNTAX_ERRORS.iter().find(|(parsers_words, _, _)| cause.message().starts_with(parsers_words));
    let problem = match known {
        Some((_, what, next)) => Problem::new(code::SYNTAX, *what).help(*next),
        None => Problem::new(code::SYNTAX, format!("this is not TOML: {}", shown(cause.message())))
            .help("write values as `name = \"text\"`, and begin tables with `[name]`"),
    };
    problem.at(place, "here")
}

/// How the parser's words begin, what is wrong, and what to do.
const SYNTAX_ERRORS: [(&str, &str, &str); 7] = [
    ("duplicate key", "this name is here a second time", "leave one of the two out"),
    (
        "string values must be quoted",
        "there is no value here that can be read",
        "write a text in quotes: `name = \"text\"`",
    ),
    (
        "invalid basic string",
        "this text has no closing quote, or a character that may not stand in it",
        "end it with `\"`, and write `\\\\` for a backslash",
    ),
    (
        "invalid literal string",
        "this text has no closing quote, or a character that may not stand in it",
        "end it with `'`",
    ),
    ("unclosed table", "the name of this table is not closed", "end it with `]`"),
    ("unclosed inline table", "this table is not closed", "end it with `}`"),
    (
        "invalid comment character",
        "this comment has an invisible character in it",
        "delete it, or write the comment anew",
    ),
];

/// What a file comes to.
struct Checked {
    trail: Trail,
    escrow: Escrow,
    leaks: LeaksSettings,
    alerts: AlertSettings,
    webhook: Option<WebhookSettings>,
    stores: BTreeMap<String, StoreSettings>,
    authorities: BTreeMap<String, AuthoritySettings>,
    environments: BTreeMap<EnvName, Environment>,
    default: Option<EnvName>,
}

fn check(table: &DeTable<'_>, root: &Path, named_files: NamedFiles, vars: &Vars) -> Result<Checked, Vec<Problem>> {
    let mut problems = Vec::new();
    let raw = fields::read(table, fields::THE_FILE, &mut problems, RawConfig::read);
    let mut checking = Checking { root, on_ci: on_ci(vars), named_files, escrow_identity: Field::Absent, problems };
    version(&mut checking, &raw);
    let trail = trail::check(&mut checking, &raw);
    let escrow = escrow::check(&mut checking, &raw);
    checking.escrow_identity.clone_from(&escrow.identity);
    let leaks = leaks::check(&mut checking, &raw);
    let alerts = alerts::check(&mut checking, &raw);
    let webhook = webhook::check(&mut checking, &raw);
    let stores = stores(&mut checking, &raw, &escrow.recipients);
    let authorities = authorities(&mut checking, &raw);
    let environments = environments(&mut checking, &raw, &stores);
    environment::check_together(&mut checking, &environments, &stores);
    let default = default(&mut checking, &raw);
    if !checking.problems.is_empty() {
        return Err(checking.problems);
    }
    let environments = environments.into_iter().map(|environment| (environment.name.clone(), environment)).collect();
    Ok(Checked { trail, escrow, leaks, alerts, webhook, stores, authorities, environments, default })
}

/// Whether the machine is thrown away after the run: `CI` is set, to anything that does not say no.
fn on_ci(vars: &Vars) -> bool {
    vars.text("CI").is_some_and(|text| !matches!(text, "" | "0" | "false"))
}

fn version(checking: &mut Checking<'_>, raw: &RawConfig) {
    let top = Owner { what: fields::THE_FILE.to_owned(), place: (0, 0).into() };
    let Some(version) = checking.required(&top, "version", &raw.version, "`version = 1` as its first line") else {
        return;
    };
    if version.value < VERSION {
        let problem = Problem::new(code::OUT_OF_RANGE, format!("there is no version {} of this file", version.value))
            .help(format!("write `version = {VERSION}`"))
            .at(version.place, format!("should be {VERSION}"));
        checking.report(problem);
    }
    if version.value > VERSION {
        let problem = Problem::new(code::VERSION, format!("version {} of this file is not known", version.value))
            .help(format!(
                "this program reads version {VERSION}; write that, or use a program that knows the newer one"
            ))
            .at(version.place, format!("should be {VERSION}"));
        checking.report(problem);
    }
}

fn authorities(checking: &mut Checking<'_>, raw: &RawConfig) -> BTreeMap<String, AuthoritySettings> {
    let named = raw.authority.given().into_iter().flat_map(|at| &at.value);
    named.filter_map(|named| Some((named.name.value.clone(), authority::check(checking, named)?))).collect()
}

fn stores(
    checking: &mut Checking<'_>,
    raw: &RawConfig,
    recipients: &Field<Vec<String>>,
) -> BTreeMap<String, StoreSettings> {
    let named = raw.stores.given().into_iter().flat_map(|at| &at.value);
    named
        .filter_map(|named| Some((named.name.value.clone(), store_rules::check(checking, named, recipients)?)))
        .collect()
}

fn environments(
    checking: &mut Checking<'_>,
    raw: &RawConfig,
    stores: &BTreeMap<String, StoreSettings>,
) -> Vec<Environment> {
    let named = raw.environments.given().map_or(&[][..], |at| &at.value);
    if named.is_empty() && !matches!(raw.environments, Field::Wrong) {
        let place = raw.environments.given().map_or((0, 0).into(), |at| at.place);
        let problem = Problem::new(code::NO_ENVIRONMENTS, "the file has no environments")
            .help("add one, as in `[environments.development]`, with `authority`, `domain` and `key`")
            .at(place, "no `[environments.NAME]`");
        checking.report(problem);
    }
    named.iter().filter_map(|named| environment::check(checking, named, raw, stores)).collect()
}

fn default(checking: &mut Checking<'_>, raw: &RawConfig) -> Option<EnvName> {
    let tables = raw.environments.given().map_or(&[][..], |at| &at.value);
    let Some(text) = raw.default.given() else {
        let [only] = tables else { return None };
        return EnvName::parse(&only.name.value);
    };
    if tables.iter().any(|table| table.name.value == text.value) {
        return EnvName::parse(&text.value);
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name.value.as_str()).collect();
    let problem =
        Problem::new(code::UNKNOWN_DEFAULT, format!("`default` names no environment: `{}`", shown(&text.value)))
            .help(did_you_mean(&text.value, &names, "the environments are"))
            .at(text.place, "not configured");
    checking.report(problem);
    None
}

/// Environments that spend the quota of one API token: worth a look.
fn shared_tokens(config: &Config) -> Vec<Problem> {
    let mut users: BTreeMap<&Source, (SourceSpan, Vec<&Environment>)> = BTreeMap::new();
    for environment in config.environments.values() {
        if let Some((source, place)) = token(config, environment) {
            users.entry(source).or_insert_with(|| (place, Vec::new())).1.push(environment);
        }
    }
    let shared = users.into_iter().filter(|(_, (_, environments))| environments.len() > 1);
    shared.map(|(source, (place, environments))| one_token_for(source, place, &environments)).collect()
}

fn one_token_for(source: &Source, place: SourceSpan, environments: &[&Environment]) -> Problem {
    let names = environment::names(environments);
    Problem::new(code::SHARED_TOKEN, format!("environments {names} share one API token, {source}"))
        .help("give each its own authority with its own token, so that one cannot use up the quota of another")
        .at(place, format!("used by {} environments", environments.len()))
        .warning()
}

fn token<'c>(config: &'c Config, environment: &Environment) -> Option<(&'c Source, SourceSpan)> {
    match config.authorities.get(&environment.authority)? {
        AuthoritySettings::Embedded { .. } => None,
        AuthoritySettings::Remote(remote) => Some((remote.token.as_ref()?, remote.token_place?)),
    }
}

/// The rules that need the keys themselves: the same key in two environments, a test token in production.
pub(crate) fn problems_of_keys(config: &Config, keys: &[(&EnvName, &LicenseKey)], vars: &Vars) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<Fingerprint, &Environment> = BTreeMap::new();
    for (name, key) in keys {
        let Some(environment) = config.environments.get(name) else { continue };
        match seen.get(&key.fingerprint()) {
            Some(first) if first.name != environment.name => {
                problems.push(same_key(first, environment, key.fingerprint()));
            }
            Some(_) => {}
            None => {
                seen.insert(key.fingerprint(), environment);
            }
        }
        problems.extend(test_token(config, environment, vars));
    }
    problems.into_iter().map(|problem| problem.within(&config.source)).collect()
}

fn same_key(first: &Environment, second: &Environment, fingerprint: Fingerprint) -> Problem {
    Problem::new(
        code::SAME_KEY,
        format!("environments `{}` and `{}` have one key, {fingerprint}", first.name, second.name),
    )
    .help("issue a key of its own for each environment")
    .at(second.place_of(license_core::Check::Validity), "the same key")
    .at(first.place_of(license_core::Check::Validity), "as here")
}

/// A token that cannot be read is not judged here: whoever asks the authority reports it.
fn test_token(config: &Config, environment: &Environment, vars: &Vars) -> Option<Problem> {
    if !environment::is_production(environment.name.as_str(), environment.demand.key_class) {
        return None;
    }
    let (source, place) = token(config, environment)?;
    let text = store::read(source, vars).ok()?;
    let is_test = ["to_test_", "sk_test_"].iter().any(|prefix| text.starts_with(prefix));
    is_test.then(|| {
        Problem::new(
            code::TEST_TOKEN_IN_PRODUCTION,
            format!("environment `{}` is production, and {source} holds a test token", environment.name),
        )
        .help("put the production token there: it begins with `to_live_` or `sk_live_`")
        .at(place, "a test token")
        .at(environment.place, "production")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use license_core::{Check, UnknownPolicy, rotation::RotationVisible};

    use super::*;
    use crate::config::{
        Dialect, Ephemeral, Idempotency, Memory, OnPush, RotationSettings, TrailSettings, UnreachablePolicy,
    };

    fn loaded(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        files::replace(&path, text.as_bytes()).unwrap();
        load(&path, &Vars::default()).unwrap_or_else(|error| panic!("{:?}", error.problems))
    }

    const LEAST: &str = r#"
version = 1
[authority.local]
kind = "embedded"
[environments.development]
authority = "local"
domain = "localhost:3000"
key = { dotenv = ".env", name = "KEY" }
"#;

    const MOST: &str = r#"
version = 1
default = "production"
[trail]
kind = "file"
ephemeral = "accepted"
[authority.to]
kind = "traffic-orchestrator"
url = "http://127.0.0.1:8080/api/v1//"
token = { dotenv = "secrets/.env", name = "TOKEN" }
dialect = "sdk"
rotation_visible = "no"
public_keys = ["11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]
timeout = "2m"
[environments.production]
authority = "to"
license = "lic_abc123"
domain = "APP.com"
key = { env = "LICENSE_KEY_1" }
key_class = "PRD"
features = ["sso", "analytics"]
activations = 2
min_days_left = 3
auto_renew = true
unknown = "warn"
unreachable = "cached"
cached_max_age = "24h"
offline_token = { file = "license.jwt" }
on_push = "block"
deploy = "npm run 'deploy it'"
deploy_timeout = "1h"
rollback = ["sh", "-c", "a | b"]
health = { url = "https://app.com/status?full=1" }
branches = ["main", "release/*"]
[environments.staging]
authority = "to"
domain = "staging.app.com"
key = { env = "LICENSE_KEY_2" }
health.url = "http://[::1]:3000/status"
health.within = "5s"
"#;

    #[test]
    fn what_the_file_leaves_out_has_its_default() {
        let config = loaded(LEAST);
        let environment = config.default_environment().expect("the only one is the default");
        assert_eq!(environment.key, Source::Dotenv { file: config.root.join(".env"), name: "KEY".to_owned() });
        assert_eq!(environment.key_variable, "KEY");
        assert_eq!(environment.unknown, UnknownPolicy::Block);
        assert_eq!(environment.unreachable, UnreachablePolicy::Block);
        assert_eq!(environment.deploy_timeout, Duration::from_secs(1800));
        assert_eq!((environment.deploy.as_ref(), environment.rollback.as_ref()), (None, None));
        assert_eq!(environment.demand.activations, None);
        assert_eq!(environment.demand.min_days_left, 0);
        assert_eq!(config.ephemeral, Ephemeral::Refused);
        assert_eq!((&config.trail, &config.escrow, config.stores.len()), (&TrailSettings::File, &None, 0));
        assert_eq!(environment.stores, [""; 0]);
        assert_eq!((environment.branches.as_slice(), environment.on_push), (&[][..], OnPush::Warn));
        assert_eq!(environment.rotation, RotationSettings { grace_days: 7, age_max: None });
        assert_eq!(environment.demand.key_age_max_days, None);
        let AuthoritySettings::Embedded { state } = &config.authorities["local"] else { panic!("embedded") };
        assert_eq!(*state, config.root.join(".license/authority"));
    }

    #[test]
    fn what_the_file_says_is_what_is_meant() {
        let config = loaded(MOST);
        assert_eq!(config.ephemeral, Ephemeral::Accepted);
        let AuthoritySettings::Remote(remote) = &config.authorities["to"] else { panic!("remote") };
        assert_eq!(remote.url, "http://127.0.0.1:8080/api/v1");
        assert_eq!(remote.dialect, Dialect::Sdk);
        assert_eq!(remote.timeout, Duration::from_secs(120));
        assert_eq!((remote.rotation_visible, remote.idempotency), (RotationVisible::No, Idempotency::Ignored));
        assert_eq!(remote.public_keys.len(), 1);
        let environment = config.default_environment().unwrap();
        assert_eq!(environment.license.as_deref(), Some("lic_abc123"));
        assert_eq!(environment.demand.domain.to_string(), "app.com");
        assert_eq!(environment.demand.features.iter().collect::<Vec<_>>(), ["analytics", "sso"]);
        assert_eq!((environment.demand.activations, environment.demand.min_days_left), (Some(2), 3));
        let offline_token = Some(Source::File { file: config.root.join("license.jwt") });
        let age_max = Duration::from_secs(86_400);
        assert_eq!(environment.unreachable, UnreachablePolicy::Cached { age_max, offline_token });
        assert_eq!(environment.deploy.as_deref().unwrap(), ["npm", "run", "deploy it"]);
        assert_eq!((environment.branches.len(), environment.on_push), (2, OnPush::Block));
        assert_eq!(environment.rollback.as_deref().unwrap(), ["sh", "-c", "a | b"]);
        assert_eq!(environment.health.as_ref().unwrap().within, Duration::from_secs(60));
        let staging = config.environment("staging").unwrap();
        assert_eq!(staging.health.as_ref().unwrap().within, Duration::from_secs(5));
    }

    const ROTATED: &str = r#"
version = 1
[trail]
kind = "git"
[escrow]
recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
identity = { file = "identity.txt" }
[authority.to]
kind = "traffic-orchestrator"
url = "https://to.example.com"
token = { env = "TO_API_KEY" }
rotation_visible = "yes"
idempotency = "honored"
[stores.line]
kind = "dotenv"
file = "{environment}/.env.{environment}"
name = "LICENSE_KEY"
[stores.sealed]
kind = "age"
file = "license.{environment}.age"
[stores.helper]
kind = "command"
command = "license-store-x --quiet"
options = { region = "eu" }
[stores.github]
kind = "github"
repository = "acme/app"
token = { env = "GH_SECRETS_TOKEN" }
[stores.vault]
kind = "vault"
url = "http://127.0.0.1:8200/"
path = "/app/{environment}/"
namespace = "team/a"
token = { dotenv = ".env.vault", name = "VAULT_TOKEN" }
[environments.production]
authority = "to"
domain = "app.com"
key = { env = "LICENSE_KEY" }
stores = ["vault", "github", "helper"]
rotation = { grace_days = 0, max_age = "36h" }
[environments.staging]
authority = "to"
domain = "staging.app.com"
key = { store = "sealed" }
stores = ["line", "github", "vault"]
[environments.test]
authority = "to"
domain = "test.app.com"
key = { age = "test.age", identity = { env = "AGE_IDENTITY" } }
"#;

    #[test]
    fn a_file_that_is_rotated_says_everything_that_rotation_needs() {
        let config = loaded(ROTATED);
        assert_eq!(config.trail, TrailSettings::Git { remote: "origin".to_owned() });
        let escrow = config.escrow.as_ref().unwrap();
        let identity = Source::File { file: config.root.join("identity.txt") };
        assert_eq!((escrow.recipients.len(), escrow.identity.as_ref()), (1, Some(&identity)));
        let AuthoritySettings::Remote(remote) = &config.authorities["to"] else { panic!("remote") };
        assert_eq!((remote.rotation_visible, remote.idempotency), (RotationVisible::Yes, Idempotency::Honored));
        let production = config.environment("production").unwrap();
        assert_eq!(production.stores, ["vault", "github", "helper"]);
        let age_max = Some(Duration::from_secs(36 * 3600));
        assert_eq!(production.rotation, RotationSettings { grace_days: 0, age_max });
        assert_eq!(production.demand.key_age_max_days, Some(2), "the gate does not warn before the key is due");
        let staging = config.environment("staging").unwrap();
        assert_eq!(staging.key, Source::Store { name: "sealed".to_owned() });
        assert_eq!(staging.key_variable, "LICENSE_KEY");
        let test = config.environment("test").unwrap();
        let identity_of_test = Box::new(Source::Env { name: "AGE_IDENTITY".to_owned() });
        assert_eq!(test.key, Source::Age { file: config.root.join("test.age"), identity: identity_of_test });
        for environment in config.environments.values() {
            assert!(config.problems_of_rotation(environment).is_empty(), "{}", environment.name);
        }
        assert_eq!(config.store("valt").unwrap_err().help.as_deref(), Some("did you mean `vault`?"));
        let secrets = crate::child_env::secret_names(&config);
        let expected = ["AGE_IDENTITY", "GH_SECRETS_TOKEN", "LICENSE_KEY", "TO_API_KEY"];
        assert_eq!(secrets.iter().collect::<Vec<_>>(), expected, "what no child may see");
    }

    #[test]
    fn a_store_is_one_place_for_each_environment() {
        let config = loaded(ROTATED);
        let staging = EnvName::parse("staging").unwrap();
        let of = |name: &str| config.store(name).unwrap().for_environment(&staging);
        let file = config.root.join("staging").join(".env.staging");
        assert_eq!(of("line"), StoreSettings::Dotenv { file, name: "LICENSE_KEY".to_owned() });
        let escrow = config.escrow.clone().unwrap();
        let file = config.root.join("license.staging.age");
        let (recipients, identity) = (escrow.recipients, escrow.identity.unwrap());
        assert_eq!(of("sealed"), StoreSettings::Age { file, recipients, identity });
        let StoreSettings::Command { program, options, timeout } = of("helper") else { panic!("a helper") };
        assert_eq!(program, ["license-store-x", "--quiet"]);
        assert_eq!((options["region"].as_str(), timeout), ("eu", Duration::from_secs(30)));
        let StoreSettings::Github { url, repository, environment, name, .. } = of("github") else { panic!("GitHub") };
        assert_eq!((url.as_str(), repository.as_str()), ("https://api.github.com", "acme/app"));
        assert_eq!((environment.as_deref(), name.as_str()), (Some("staging"), "LICENSE_KEY"));
        let StoreSettings::Vault { url, mount, path, field, namespace, .. } = of("vault") else { panic!("Vault") };
        assert_eq!((url.as_str(), mount.as_str(), path.as_str()), ("http://127.0.0.1:8200", "secret", "app/staging"));
        assert_eq!((field.as_str(), namespace.as_deref()), ("key", Some("team/a")));
    }

    #[test]
    fn a_trail_in_git_outlives_every_machine() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let cached = "unreachable = \"cached\"\ncached_max_age = \"24h\"\n";
        files::replace(&path, format!("{ROTATED}{cached}").as_bytes()).unwrap();
        let config = load(&path, &Vars::from_iter([("CI", "true")])).unwrap();
        assert_eq!(config.memory, Memory::Kept);
    }

    #[test]
    fn a_demand_points_to_its_line() {
        let config = loaded(MOST);
        let environment = config.environment("production").unwrap();
        let text = |check| {
            let place = environment.place_of(check);
            &config.source.inner()[place.offset()..place.offset() + place.len()]
        };
        assert_eq!(text(Check::Domain), "\"APP.com\"");
        assert_eq!(text(Check::Features), "[\"sso\", \"analytics\"]");
        assert_eq!(text(Check::Activations), "2");
        assert_eq!(text(Check::Validity), "{ env = \"LICENSE_KEY_1\" }");
        assert_eq!(text(Check::KeyAge), "production", "where nothing is demanded, the environment's name");
    }

    #[test]
    fn cached_verdicts_need_a_trail_that_outlives_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let cached = format!("{LEAST}unreachable = \"cached\"\ncached_max_age = \"24h\"\n");
        for (ci, trail, good) in [
            ("true", "", false),
            ("1", "[trail]\nephemeral = \"refused\"\n", false),
            ("true", "[trail]\nephemeral = \"accepted\"\n", true),
            ("false", "", true),
            ("", "", true),
        ] {
            files::replace(&path, format!("{cached}{trail}").as_bytes()).unwrap();
            let result = load(&path, &Vars::from_iter([("CI", ci)]));
            assert_eq!(result.is_ok(), good, "CI={ci} {trail}");
        }
    }

    #[test]
    fn a_report_stays_short_whatever_is_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        for repeated in ["a=1,", "\"", "[a]\n", "a=", "key='TO-PRD-1'\n", "://@?", "\u{1b}", "a.b=1\n"] {
            let count = 256 * 1024 / repeated.len();
            for before in ["", "a={"] {
                files::replace(&path, format!("{before}{}", repeated.repeat(count)).as_bytes()).unwrap();
                let error = load(&path, &Vars::default()).expect_err("it is no configuration");
                let shown: usize = error.problems.iter().map(|problem| format!("{problem:?}").len()).sum();
                assert!(shown < 100_000, "{repeated}");
            }
        }
    }

    #[test]
    fn a_file_as_deep_as_it_can_be_is_refused_without_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        for (before, repeated, after) in
            [("a = ", "[", ""), ("a", ".a", " = 1"), ("[a", ".a", "]"), ("a = ", "{a=", "")]
        {
            let depth = (usize::try_from(FILE_BYTES_MAX).unwrap() - 20) / repeated.len();
            files::replace(&path, format!("{before}{}{after}", repeated.repeat(depth)).as_bytes()).unwrap();
            assert!(load(&path, &Vars::default()).is_err(), "{before}{repeated}");
        }
    }

    #[test]
    fn a_thousand_environments_fit_into_the_file() {
        let text = (0..1000).fold(LEAST.to_owned(), |text, n| {
            text + &format!("[environments.e{n}]\nauthority = \"local\"\ndomain = \"e{n}.example.com\"\nkey = {{ env = \"K{n}\" }}\nfeatures = [\"analytics\", \"sso\"]\n")
        });
        assert_eq!(loaded(&text).environments.len(), 1001);
    }
}
