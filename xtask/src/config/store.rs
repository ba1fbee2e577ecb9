//! One `[stores.NAME]`: what it says, and its rules.

use std::{
    collections::BTreeMap,
    path::{Component, PathBuf},
    time::Duration,
};

use miette::SourceSpan;

use super::{
    EnvName, authority,
    checking::{Checking, Forms, Owner, place},
    command, escrow,
    fields::{At, Field, Named},
    problem::{Problem, code},
    raw::{RawSource, RawStore, StoreKind},
    secrets::{is_store_name, is_variable_name, looks_secret, shown},
};
use crate::store::Source;

/// The name of the place that `key` of an environment names, in the trail: no store is called so.
pub(crate) const KEY_PLACE: &str = "key";

/// What stands for the environment's name in the settings of a store.
const ENVIRONMENT: &str = "{environment}";

/// GitHub's API where the file names no other.
const GITHUB_URL: &str = "https://api.github.com";
/// The name of the secret at GitHub where the file names no other.
const GITHUB_NAME: &str = "LICENSE_KEY";
/// Where Vault's KV engine is mounted where the file does not say.
const VAULT_MOUNT: &str = "secret";
/// The field of Vault's secret where the file names no other.
const VAULT_FIELD: &str = "key";

/// The bound on one call of a helper where the file gives none, and its limits.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const COMMAND_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const COMMAND_TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

/// A store as it is configured. `{environment}` may stand in some texts: use [`StoreSettings::for_environment`] first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreSettings {
    /// A line of a dotenv file.
    Dotenv {
        /// The file, absolute.
        file: PathBuf,
        /// The variable's name.
        name: String,
    },
    /// A file sealed with age.
    Age {
        /// The file, absolute.
        file: PathBuf,
        /// To whom it is sealed: at least one, each parses.
        recipients: Vec<String>,
        /// Where the identity is that opens it.
        identity: Source,
    },
    /// A helper program.
    Command {
        /// The program and its arguments.
        program: Vec<String>,
        /// What is handed to it as it is.
        options: BTreeMap<String, String>,
        /// The bound on one call.
        timeout: Duration,
    },
    /// A secret of a GitHub environment.
    Github {
        /// The base address of the API, without a trailing slash.
        url: String,
        /// `owner/name`.
        repository: String,
        /// The environment there; [`StoreSettings::for_environment`] fills it in.
        environment: Option<String>,
        /// The secret's name.
        name: String,
        /// Where the token is that may write it.
        token: Source,
        /// A file of PEM certificates to trust besides the system's, absolute.
        ca_file: Option<PathBuf>,
    },
    /// KV version 2 of Vault or OpenBao.
    Vault {
        /// The base address, without a trailing slash.
        url: String,
        /// Where the engine is mounted, without slashes round it.
        mount: String,
        /// The path of the secret below the mount, without slashes round it.
        path: String,
        /// The field that holds the key.
        field: String,
        /// The namespace, where the server has them.
        namespace: Option<String>,
        /// Where the token is.
        token: Source,
        /// A file of PEM certificates to trust besides the system's, absolute.
        ca_file: Option<PathBuf>,
    },
}

impl StoreSettings {
    /// The same store for one environment: `{environment}` is replaced by its name, and nothing is left to be filled in.
    pub(crate) fn for_environment(&self, name: &EnvName) -> Self {
        let fill = |text: &str| text.replace(ENVIRONMENT, name.as_str());
        let fill_path = |path: &PathBuf| -> PathBuf {
            let parts = path.components().map(Component::as_os_str);
            parts.map(|part| part.to_str().map_or_else(|| part.to_owned(), |text| fill(text).into())).collect()
        };
        let mut store = self.clone();
        match &mut store {
            Self::Dotenv { file, name } => (*file, *name) = (fill_path(file), fill(name)),
            Self::Age { file, .. } => *file = fill_path(file),
            Self::Command { .. } => {}
            Self::Github { environment, name: secret, .. } => {
                *environment = Some(environment.as_deref().map_or_else(|| name.as_str().to_owned(), fill));
                *secret = fill(secret);
            }
            Self::Vault { path, .. } => *path = fill(path),
        }
        store
    }

    /// Where its secrets are: its token, or the identity that opens its file.
    pub(crate) fn secret(&self) -> Option<&Source> {
        match self {
            Self::Dotenv { .. } | Self::Command { .. } => None,
            Self::Age { identity, .. } => Some(identity),
            Self::Github { token, .. } | Self::Vault { token, .. } => Some(token),
        }
    }
}

/// What is written when a key is put somewhere: two equal ones are one place. Helpers do not tell theirs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Line { file: PathBuf, name: String },
    File { file: PathBuf },
    Github { url: String, repository: String, environment: String, name: String },
    Vault { url: String, namespace: Option<String>, mount: String, path: String, field: String },
}

impl Target {
    /// The place that a store writes for one environment.
    pub(super) fn of_store(store: &StoreSettings, environment: &EnvName) -> Option<Self> {
        Some(match store.for_environment(environment) {
            StoreSettings::Dotenv { file, name } => Self::Line { file, name },
            StoreSettings::Age { file, .. } => Self::File { file },
            StoreSettings::Command { .. } => return None,
            // GitHub compares all of these without case.
            StoreSettings::Github { url, repository, environment, name, .. } => Self::Github {
                url,
                repository: repository.to_ascii_lowercase(),
                environment: environment.unwrap_or_default().to_lowercase(),
                name: name.to_ascii_lowercase(),
            },
            StoreSettings::Vault { url, mount, path, field, namespace, .. } => {
                Self::Vault { url, namespace, mount, path, field }
            }
        })
    }

    /// The place of a key itself. CI systems give each environment's jobs their own value under one variable.
    pub(super) fn of_key(
        key: &Source,
        environment: &EnvName,
        stores: &BTreeMap<String, StoreSettings>,
    ) -> Option<Self> {
        match key {
            Source::Env { .. } => None,
            Source::Dotenv { file, name } => Some(Self::Line { file: file.clone(), name: name.clone() }),
            Source::File { file } | Source::Age { file, .. } => Some(Self::File { file: file.clone() }),
            Source::Store { name } => Self::of_store(stores.get(name)?, environment),
        }
    }
}

/// Checks one store. `None`: what is wrong is reported.
pub(super) fn check(
    checking: &mut Checking<'_>,
    named: &Named<RawStore>,
    recipients: &Field<Vec<String>>,
) -> Option<StoreSettings> {
    let Named { name, table: raw } = named;
    let owner = Owner { what: format!("store `{}`", shown(&name.value)), place: name.place };
    store_name(checking, name);
    let example = "`kind = \"github\"`, or another of `dotenv`, `age`, `command` and `vault`";
    let kind = checking.required(&owner, "kind", &raw.kind, example)?.value;
    misplaced(checking, &owner, raw, kind);
    match kind {
        StoreKind::Dotenv => dotenv(checking, &owner, raw),
        StoreKind::Age => age(checking, &owner, raw, recipients),
        StoreKind::Command => helper(checking, &owner, raw),
        StoreKind::Github => github(checking, &owner, raw),
        StoreKind::Vault => vault(checking, &owner, raw),
    }
}

fn store_name(checking: &mut Checking<'_>, name: &At<String>) {
    let text = &name.value;
    let (message, help, label) = if !is_store_name(text) {
        (
            format!("`{}` cannot be the name of a store", shown(text)),
            "write lower-case letters, digits, `-` and `_`, at most 63, beginning with a letter or a digit",
            "not a name",
        )
    } else if text == KEY_PLACE {
        (
            format!("no store can be called `{KEY_PLACE}`"),
            "choose another name: in the trail it means the place that `key` of an environment names",
            "means something else",
        )
    } else {
        return;
    };
    checking.report(Problem::new(code::STORE_NAME, message).help(help).at(name.place, label));
}

/// Reports the fields that belong to stores of other kinds.
fn misplaced(checking: &mut Checking<'_>, owner: &Owner, raw: &RawStore, kind: StoreKind) {
    use StoreKind::{Age, Command, Dotenv, Github, Vault};
    let fields: [(&str, Option<SourceSpan>, &[StoreKind]); 16] = [
        ("file", place(&raw.file), &[Dotenv, Age]),
        ("name", place(&raw.name), &[Dotenv, Github]),
        ("recipients", place(&raw.recipients), &[Age]),
        ("identity", place(&raw.identity), &[Age]),
        ("command", place(&raw.command), &[Command]),
        ("options", place(&raw.options), &[Command]),
        ("timeout", place(&raw.timeout), &[Command]),
        ("repository", place(&raw.repository), &[Github]),
        ("environment", place(&raw.environment), &[Github]),
        ("url", place(&raw.url), &[Github, Vault]),
        ("token", place(&raw.token), &[Github, Vault]),
        ("ca_file", place(&raw.ca_file), &[Github, Vault]),
        ("mount", place(&raw.mount), &[Vault]),
        ("path", place(&raw.path), &[Vault]),
        ("field", place(&raw.field), &[Vault]),
        ("namespace", place(&raw.namespace), &[Vault]),
    ];
    checking.misplaced(owner, kind, &fields);
}

fn dotenv(checking: &mut Checking<'_>, owner: &Owner, raw: &RawStore) -> Option<StoreSettings> {
    let file = file(checking, owner, raw, "`file = \".env.{environment}\"`");
    let name = checking.required(owner, "name", &raw.name, "`name = \"LICENSE_KEY\"`");
    let name = name.and_then(|text| variable(checking, text));
    Some(StoreSettings::Dotenv { file: file?, name: name? })
}

fn age(
    checking: &mut Checking<'_>,
    owner: &Owner,
    raw: &RawStore,
    of_escrow: &Field<Vec<String>>,
) -> Option<StoreSettings> {
    let file = file(checking, owner, raw, "`file = \"license.{environment}.age\"`");
    let recipients = match raw.recipients.checked(|texts| escrow::recipients(checking, texts)) {
        Field::Absent => {
            if let Field::Absent = of_escrow {
                not_in_escrow(checking, owner, "recipients", "`recipients = [\"age1…\"]`");
            }
            of_escrow.given().map(|at| at.value.clone())
        }
        Field::Wrong => None,
        Field::Given(at) => Some(at.value),
    };
    let identity = match raw.identity.checked(|at| checking.source("identity", at, Forms::Identity)) {
        Field::Absent => {
            if let Field::Absent = checking.escrow_identity {
                not_in_escrow(checking, owner, "identity", "`identity = { env = \"LICENSE_ESCROW_IDENTITY\" }`");
            }
            checking.escrow_identity.given().map(|at| at.value.clone())
        }
        Field::Wrong => None,
        Field::Given(at) => Some(at.value),
    };
    Some(StoreSettings::Age { file: file?, recipients: recipients?, identity: identity? })
}

fn not_in_escrow(checking: &mut Checking<'_>, owner: &Owner, field: &str, example: &str) {
    let problem =
        Problem::new(code::MISSING_FIELD, format!("{} has no `{field}`, and neither has `[escrow]`", owner.what))
            .help(format!("add {example} to `[escrow]`, or to this store"))
            .at(owner.place, format!("`{field}` is missing"));
    checking.report(problem);
}

fn helper(checking: &mut Checking<'_>, owner: &Owner, raw: &RawStore) -> Option<StoreSettings> {
    checking.required(owner, "command", &raw.command, "`command = \"license-store-NAME\"`, the helper program");
    let program = command::check(checking, "command", "license-store-name", &raw.command);
    let timeout = checking.duration("timeout", &raw.timeout, &(COMMAND_TIMEOUT_MIN..=COMMAND_TIMEOUT_MAX));
    let mut options = BTreeMap::new();
    for option in raw.options.given().into_iter().flat_map(|at| &at.value) {
        if looks_secret(&option.table.value) {
            let what = format!("option `{}` of {} looks like a secret", shown(&option.name.value), owner.what);
            let problem = Problem::new(code::SECRET_IN_FILE, what)
                .help(
                    "let the helper read it from a place of its own; \
                     if this is a real secret, replace it, since it may be in the history of this file",
                )
                .at(option.table.place, "the text is not shown");
            checking.report(problem);
        }
        options.insert(option.name.value.clone(), option.table.value.clone());
    }
    Some(StoreSettings::Command { program: program?, options, timeout: timeout.unwrap_or(COMMAND_TIMEOUT) })
}

fn github(checking: &mut Checking<'_>, owner: &Owner, raw: &RawStore) -> Option<StoreSettings> {
    let repository = checking.required(owner, "repository", &raw.repository, "`repository = \"owner/name\"`");
    let repository = repository.and_then(|text| repository_name(checking, text));
    let environment = raw.environment.checked(|text| templated(checking, "environment", text));
    let name = raw.name.checked(|text| github_secret(checking, text));
    let url = raw.url.checked(|text| authority::base_address(checking, text));
    let token = token(checking, owner, &raw.token, "`token = { env = \"GH_SECRETS_TOKEN\" }`");
    let ca_file = raw.ca_file.given().and_then(|text| authority::ca_file(checking, text));
    Some(StoreSettings::Github {
        url: url.or_default(|| GITHUB_URL.to_owned())?,
        repository: repository?,
        environment: environment.given().map(|at| at.value.clone()),
        name: name.or_default(|| GITHUB_NAME.to_owned())?,
        token: token?,
        ca_file,
    })
}

fn vault(checking: &mut Checking<'_>, owner: &Owner, raw: &RawStore) -> Option<StoreSettings> {
    let url = checking.required(owner, "url", &raw.url, "`url = \"https://vault.example.com\"`");
    let url = url.and_then(|text| authority::base_address(checking, text));
    let mount = raw.mount.checked(|text| secret_path(checking, "mount", text));
    let path = checking.required(owner, "path", &raw.path, "`path = \"app/{environment}/license\"`");
    let path = path.and_then(|text| {
        templated(checking, "path", text)?;
        secret_path(checking, "path", text)
    });
    let field = raw.field.checked(|text| checking.not_empty("`field`", text).map(str::to_owned));
    let namespace = raw.namespace.checked(|text| secret_path(checking, "namespace", text));
    let token = token(checking, owner, &raw.token, "`token = { env = \"VAULT_TOKEN\" }`");
    let ca_file = raw.ca_file.given().and_then(|text| authority::ca_file(checking, text));
    Some(StoreSettings::Vault {
        url: url?,
        mount: mount.or_default(|| VAULT_MOUNT.to_owned())?,
        path: path?,
        field: field.or_default(|| VAULT_FIELD.to_owned())?,
        namespace: namespace.given().map(|at| at.value.clone()),
        token: token?,
        ca_file,
    })
}

fn file(checking: &mut Checking<'_>, owner: &Owner, raw: &RawStore, example: &str) -> Option<PathBuf> {
    let text = checking.required(owner, "file", &raw.file, example)?;
    templated(checking, "file", text)?;
    checking.path("file", text)
}

fn token(checking: &mut Checking<'_>, owner: &Owner, field: &Field<RawSource>, example: &str) -> Option<Source> {
    let at = checking.required(owner, "token", field, example)?;
    checking.source("token", at, Forms::EnvOrDotenv)
}

/// A text in which `{environment}` may stand, and nothing else in braces: a slip would be one place for all environments.
fn templated(checking: &mut Checking<'_>, name: &str, text: &At<String>) -> Option<String> {
    let written = checking.not_empty(&format!("`{name}`"), text)?;
    if written.replace(ENVIRONMENT, "").contains(['{', '}']) {
        let problem = Problem::new(code::PLACEHOLDER, format!("`{name}` has braces that stand for nothing"))
            .help(format!("write `{ENVIRONMENT}` for the environment's name, and no other braces"))
            .at(text.place, format!("only `{ENVIRONMENT}` is replaced"));
        checking.report(problem);
        return None;
    }
    Some(written.to_owned())
}

/// A variable's name, as far as it can be told before the environment is known.
fn variable(checking: &mut Checking<'_>, text: &At<String>) -> Option<String> {
    let name = templated(checking, "name", text)?;
    checking.variable(&At { value: name.replace(ENVIRONMENT, "e"), place: text.place })?;
    Some(name)
}

fn github_secret(checking: &mut Checking<'_>, text: &At<String>) -> Option<String> {
    let name = variable(checking, text)?;
    if name.to_ascii_uppercase().starts_with("GITHUB_") {
        let problem = Problem::new(code::VARIABLE_NAME, "GitHub takes no secret whose name begins with `GITHUB_`")
            .help(format!("choose another name, as in `{GITHUB_NAME}`"))
            .at(text.place, "GitHub's own");
        checking.report(problem);
        return None;
    }
    Some(name)
}

/// The name of a variable or secret must be one for each environment: a hyphen may be in the environment's name.
pub(super) fn name_fits(checking: &mut Checking<'_>, store: &StoreSettings, entry: &At<String>, environment: &EnvName) {
    let name = match store.for_environment(environment) {
        StoreSettings::Dotenv { name, .. } | StoreSettings::Github { name, .. } => name,
        StoreSettings::Age { .. } | StoreSettings::Command { .. } | StoreSettings::Vault { .. } => return,
    };
    if !is_variable_name(&name) {
        let problem = Problem::new(
            code::VARIABLE_NAME,
            format!(
                "store `{}` would write the variable `{}` for environment `{environment}`, and that is no name of one",
                shown(&entry.value),
                shown(&name)
            ),
        )
        .help(format!("leave `{ENVIRONMENT}` out of `name`, and give this environment a store of its own"))
        .at(entry.place, "for this environment");
        checking.report(problem);
    }
}

fn repository_name(checking: &mut Checking<'_>, text: &At<String>) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_part = |part: &str| !part.is_empty() && !matches!(part, "." | "..") && part.bytes().all(allowed);
    if text.value.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name)) {
        return Some(text.value.clone());
    }
    let problem = Problem::new(code::REPOSITORY, "`repository` is not the name of a repository")
        .help("write its owner and its name, as in `acme/app`")
        .at(text.place, "not `owner/name`");
    checking.report(problem);
    None
}

/// Segments between slashes. Slashes round it are dropped; a dot segment would lead to another secret.
fn secret_path(checking: &mut Checking<'_>, name: &str, text: &At<String>) -> Option<String> {
    let path = text.value.trim_matches('/');
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !matches!(segment, "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%' | b'\\'))
    };
    if path.split('/').all(is_segment) {
        return Some(path.to_owned());
    }
    let problem = Problem::new(code::SECRET_PATH, format!("`{name}` is not a path"))
        .help("write words with `/` between them, as in `app/license`: no spaces, no `.` or `..` alone, none of `?`, `#`, `%` and `\\`")
        .at(text.place, "not a path");
    checking.report(problem);
    None
}
