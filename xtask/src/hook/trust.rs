//! What this machine agreed to when the hook was installed: where keys and tokens may be sent, and what may be read for
//! it.
//!
//! A hook reads `license.toml` from the commit that is pushed, so that whoever can write a branch can write the file.
//! Without this record such a branch could have a key sent to its own server, or a variable read that is none of ours.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Component, Path, PathBuf},
};

use license_core::finding::clean;
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::{
    config::{AuthoritySettings, Config},
    files, keyring,
    store::Source,
    vars::Vars,
};

/// The record, below the directory that all worktrees share.
const FILE: &str = "license/trust.json";

/// The longest record that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the record begins with. Another version is not guessed at.
const SCHEMA: &str = "license-hooks/trust/1";

/// The variable with which a CI system agrees to authorities, since nobody installs a hook there: origins, separated by
/// commas.
pub(crate) const ORIGINS_VARIABLE: &str = "LICENSE_AUTHORITY_ORIGINS";

/// What was agreed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrustRecord {
    /// Where keys and tokens may be sent: `https://host`, with a port where it is not the usual one.
    pub(crate) origins: BTreeSet<String>,
    /// The variables that may be read.
    pub(crate) variables: BTreeSet<String>,
    /// The files that may be read, and the directories of embedded authorities: relative to `license.toml` where they
    /// are below its directory, since every worktree has its own; else absolute.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Which secret goes where, and as what, as [`way`] writes it: whoever can write a branch can write a file in which
    /// another secret of this machine is a key.
    pub(crate) ways: BTreeSet<String>,
    /// The secrets in those files, so that a push from a work tree without `license.toml` is looked at for them. None in a
    /// record that an older program wrote.
    secrets: Option<BTreeSet<Kept>>,
}

/// Where a secret is, with the paths of files as [`TrustRecord::files`] has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Kept {
    /// Only what opens a sealed file: variables have a list of their own.
    Env {
        name: String,
    },
    Dotenv {
        file: PathBuf,
        name: String,
    },
    File {
        file: PathBuf,
    },
    Age {
        file: PathBuf,
        identity: Box<Self>,
    },
}

impl Kept {
    /// None for a store, which no push asks.
    fn of(source: &Source, root: &Path) -> Option<Self> {
        Some(match source {
            Source::Store { .. } => return None,
            Source::Env { name } => Self::Env { name: name.clone() },
            Source::Dotenv { file, name } => Self::Dotenv { file: below(file, root), name: name.clone() },
            Source::File { file } => Self::File { file: below(file, root) },
            Source::Age { file, identity } => {
                Self::Age { file: below(file, root), identity: Box::new(Self::of(identity, root)?) }
            }
        })
    }

    fn source(&self, root: &Path) -> Source {
        match self {
            Self::Env { name } => Source::Env { name: name.clone() },
            Self::Dotenv { file, name } => Source::Dotenv { file: root.join(file), name: name.clone() },
            Self::File { file } => Source::File { file: root.join(file) },
            Self::Age { file, identity } => {
                Source::Age { file: root.join(file), identity: Box::new(identity.source(root)) }
            }
        }
    }
}

/// What a secret is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A license key.
    Key,
    /// A token of an authority's API.
    Token,
}

/// Something that `license.toml` of a pushed commit wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'w> {
    /// To ask the authority at this address.
    Authority(&'w AuthoritySettings),
    /// To read this.
    Source(&'w Source),
    /// To send what is read there to an authority.
    Sending(Role, &'w Source, &'w AuthoritySettings),
}

/// What is agreed to for a push: the record, and what the CI system's variable adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    record: TrustRecord,
    reads: Reads,
}

/// What may be read for a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// What is recorded.
    Recorded,
    /// Any variable and any file: a CI system names where they may go, and has no record.
    Any,
}

impl Agreed {
    /// What is agreed to in a repository with this record: nothing where nothing was recorded and the CI system names no
    /// origins.
    pub(crate) fn here(recorded: Option<&TrustRecord>, vars: &Vars) -> Result<Self, TrustError> {
        let mut origins = BTreeSet::new();
        let texts = vars.text(ORIGINS_VARIABLE).unwrap_or_default();
        for text in texts.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            origins.insert(origin(text).ok_or_else(|| TrustError::NotAnOrigin { text: clean(text) })?);
        }
        let reads = if recorded.is_none() && !origins.is_empty() { Reads::Any } else { Reads::Recorded };
        let mut record = recorded.cloned().unwrap_or_default();
        record.origins.extend(origins);
        Ok(Self { record, reads })
    }

    /// Why something that a pushed `license.toml` wants is not done; none where it was agreed to. `root` is the
    /// directory that its relative paths begin at.
    pub(crate) fn refuses(&self, wanted: Wanted<'_>, root: &Path) -> Option<String> {
        match (self.reads, wanted) {
            (
                Reads::Any,
                Wanted::Source(Source::Env { .. } | Source::Dotenv { .. } | Source::File { .. }) | Wanted::Sending(..),
            ) => None,
            (Reads::Any, Wanted::Source(Source::Age { identity, .. })) => self.refuses(Wanted::Source(identity), root),
            (Reads::Any, Wanted::Source(Source::Store { .. }) | Wanted::Authority(_)) | (Reads::Recorded, _) => {
                self.record.refuses(wanted, root)
            }
        }
    }
}

/// The record as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: String,
    origins: BTreeSet<String>,
    variables: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
    ways: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secrets: Option<BTreeSet<Kept>>,
}

impl TrustRecord {
    /// Everything that a checked file names.
    pub(crate) fn of(config: &Config) -> Self {
        let in_files = keyring::sources(config).filter(|source| !matches!(source, Source::Env { .. }));
        let secrets = in_files.filter_map(|source| Kept::of(source, &config.root)).collect();
        let mut record = Self { secrets: Some(secrets), ..Self::default() };
        for authority in config.authorities.values() {
            match authority {
                AuthoritySettings::Embedded { state } => record.add_file(state, &config.root),
                AuthoritySettings::Remote(settings) => {
                    record.origins.extend(origin(&settings.url));
                    settings.ca_file.iter().for_each(|file| record.add_file(file, &config.root));
                    let token = settings.token.as_ref();
                    record.ways.extend(token.and_then(|token| way(Role::Token, token, authority, &config.root)));
                }
            }
        }
        for environment in config.environments.values() {
            let authority = &config.authorities[&environment.authority];
            record.ways.extend(way(Role::Key, &environment.key, authority, &config.root));
        }
        for source in keyring::sources(config) {
            match source {
                Source::Env { name } => {
                    record.variables.insert(name.clone());
                }
                // The identity of a sealed file is a source of its own.
                Source::Dotenv { file, .. } | Source::File { file } | Source::Age { file, .. } => {
                    record.add_file(file, &config.root);
                }
                Source::Store { .. } => {}
            }
        }
        record
    }

    /// The record of a repository, where there is one.
    pub(crate) fn read(common: &Path) -> Result<Option<Self>, TrustError> {
        let file = common.join(FILE);
        let bytes = match files::read_limited(&file, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TrustError::Unreadable { file, why: files::why(&source) }),
        };
        let written: Written = serde_json::from_slice(&bytes)
            .map_err(|error| TrustError::Unreadable { file: file.clone(), why: error.to_string() })?;
        if written.schema != SCHEMA {
            return Err(TrustError::Unreadable { file, why: "another version wrote it".to_owned() });
        }
        let Written { schema: _, origins, variables, files, ways, secrets } = written;
        Ok(Some(Self { origins, variables, files, ways, secrets }))
    }

    /// Writes the record of a repository: the old one or the new one is there, for its owner only.
    pub(crate) fn write(&self, common: &Path) -> io::Result<()> {
        let Self { origins, variables, files, ways, secrets } = self.clone();
        let written = Written { schema: SCHEMA.to_owned(), origins, variables, files, ways, secrets };
        let text = serde_json::to_string_pretty(&written).map_err(io::Error::other)? + "\n";
        files::replace(&common.join(FILE), text.as_bytes())
    }

    /// Where its secrets are, for a file in the directory `root`. Stores are none of these: no push asks them.
    pub(crate) fn sources(&self, root: &Path) -> BTreeSet<Source> {
        let variables = self.variables.iter().map(|name| Source::Env { name: name.clone() });
        variables.chain(self.secrets.iter().flatten().map(|secret| secret.source(root))).collect()
    }

    /// Whether it names files and not the secrets in them: an older program wrote it.
    pub(crate) fn lacks_secrets(&self) -> bool {
        self.secrets.is_none() && !self.files.is_empty()
    }

    /// Removes the record of a repository, if there is one.
    pub(crate) fn remove(common: &Path) -> io::Result<()> {
        match std::fs::remove_file(common.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Why something that a pushed `license.toml` wants is not done; none where it was agreed to. `root` is the
    /// directory that its relative paths begin at.
    pub(crate) fn refuses(&self, wanted: Wanted<'_>, root: &Path) -> Option<String> {
        let not_agreed = |what: fmt::Arguments<'_>| Some(format!("{what} was not there when the hook was installed"));
        match wanted {
            Wanted::Authority(AuthoritySettings::Embedded { state }) => self.refuses_file(state, root),
            Wanted::Authority(AuthoritySettings::Remote(settings)) => match origin(&settings.url) {
                Some(origin) if self.origins.contains(&origin) => {
                    settings.ca_file.as_ref().and_then(|file| self.refuses_file(file, root))
                }
                Some(origin) => not_agreed(format_args!("the authority at `{}`", clean(&origin))),
                None => Some("the authority has an address that names no host".to_owned()),
            },
            Wanted::Source(Source::Env { name }) if self.variables.contains(name) => None,
            Wanted::Source(Source::Env { name }) => not_agreed(format_args!("the variable `{}`", clean(name))),
            Wanted::Source(Source::Dotenv { file, .. } | Source::File { file }) => self.refuses_file(file, root),
            Wanted::Source(Source::Age { file, identity }) => {
                self.refuses_file(file, root).or_else(|| self.refuses(Wanted::Source(identity), root))
            }
            // It may be a helper program, or a server: both would be chosen by the file.
            Wanted::Source(Source::Store { name }) => {
                Some(format!("the store `{}` is not asked before a push", clean(name)))
            }
            Wanted::Sending(role, source, authority) => match way(role, source, authority, root) {
                Some(way) if !self.ways.contains(&way) => {
                    not_agreed(format_args!("that {} goes to this authority", clean(&source.to_string())))
                }
                Some(_) | None => None,
            },
        }
    }

    fn refuses_file(&self, file: &Path, root: &Path) -> Option<String> {
        let file = below(file, root);
        let is_agreed = self.files.contains(&file);
        (!is_agreed)
            .then(|| format!("`{}` was not there when the hook was installed", clean(&file.display().to_string())))
    }

    fn add_file(&mut self, file: &Path, root: &Path) {
        self.files.insert(below(file, root));
    }

    /// What it says, one line each: what it is, and its name, fit to be shown.
    pub(crate) fn lines(&self) -> BTreeSet<(What, String)> {
        let origins = self.origins.iter().map(|origin| (What::Origin, clean(origin)));
        let variables = self.variables.iter().map(|name| (What::Variable, clean(name)));
        let files = self.files.iter().map(|file| (What::File, clean(&file.display().to_string())));
        origins.chain(variables).chain(files).collect()
    }
}

/// What a line of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// An address.
    Origin,
    /// A variable.
    Variable,
    /// A file or a directory.
    File,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin => "keys and tokens may go to",
            Self::Variable => "may be read: the variable",
            Self::File => "may be read: the file",
        })
    }
}

/// The way of a secret to the origin of an authority. None where nothing is sent.
fn way(role: Role, source: &Source, authority: &AuthoritySettings, root: &Path) -> Option<String> {
    let AuthoritySettings::Remote(settings) = authority else { return None };
    let role = match role {
        Role::Key => "key",
        Role::Token => "token",
    };
    Some(format!("{role} {} -> {}", place(source, root), origin(&settings.url).unwrap_or_default()))
}

/// The place of a secret, so that two places never read alike.
fn place(source: &Source, root: &Path) -> String {
    let file = |file: &Path| format!("{:?}", below(file, root).display().to_string());
    match source {
        Source::Env { name } => format!("env {name:?}"),
        Source::Dotenv { file: path, name } => format!("dotenv {} {name:?}", file(path)),
        Source::File { file: path } => format!("file {}", file(path)),
        Source::Age { file: path, identity } => format!("age {} {}", file(path), place(identity, root)),
        Source::Store { name } => format!("store {name:?}"),
    }
}

/// The scheme, the host and the port of an address; no port where it is the usual one.
pub(crate) fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let authority = uri.authority()?;
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    if host.is_empty() || authority.as_str().contains('@') {
        return None;
    }
    Some(match authority.port_u16() {
        Some(port) if port != usual => format!("{scheme}://{host}:{port}"),
        Some(_) | None => format!("{scheme}://{host}"),
    })
}

/// A path as a record has it. What leads out of the directory on a way that begins in it stays absolute.
fn below(file: &Path, root: &Path) -> PathBuf {
    let is_plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    match file.strip_prefix(root) {
        Ok(path) if is_plain(path) => path.to_owned(),
        Ok(_) | Err(_) => file.to_owned(),
    }
}

/// Why a record is of no use.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum TrustError {
    /// It cannot be read.
    #[error("what was agreed to when the hook was installed cannot be read, in `{}`: {why}", file.display())]
    #[diagnostic(help("write it anew with `cargo xtask hook install`, or push with `git push --no-verify`"))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The variable is not understood.
    #[error("`{ORIGINS_VARIABLE}` has `{text}`, which is no origin")]
    #[diagnostic(help("write scheme and host, as in `https://api.example.com`, with commas between several"))]
    NotAnOrigin {
        /// What it has.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config;

    const FILE_TEXT: &str = r#"
version = 1
[authority.local]
kind = "embedded"
[authority.to]
kind = "traffic-orchestrator"
url = "https://API.example.com:443/v1"
token = { env = "TO_API_KEY" }
[authority.other]
kind = "traffic-orchestrator"
url = "http://127.0.0.1:8080"
token = { dotenv = "/etc/tokens", name = "TOKEN" }
[environments.development]
authority = "local"
domain = "localhost:3000"
key = { dotenv = ".env", name = "KEY" }
[environments.production]
authority = "to"
domain = "app.com"
key = { age = "../key.age", identity = { env = "AGE_IDENTITY" } }
"#;

    fn config(root: &Path, text: &str) -> Config {
        let path = root.join("license.toml");
        files::replace(&path, text.as_bytes()).unwrap();
        let mut config = config::load(&path, &Vars::default()).unwrap_or_else(|error| panic!("{:?}", error.problems));
        // Its content does not matter here, and would have to be a certificate.
        match config.authorities.get_mut("to") {
            Some(AuthoritySettings::Remote(settings)) => settings.ca_file = Some(config.root.join("certs/ca.pem")),
            other => panic!("{other:?}"),
        }
        config
    }

    #[test]
    fn a_record_has_what_the_file_names() {
        let root = tempfile::tempdir().unwrap();
        let record = TrustRecord::of(&config(root.path(), FILE_TEXT));
        assert_eq!(record.origins.iter().collect::<Vec<_>>(), ["http://127.0.0.1:8080", "https://api.example.com"]);
        assert_eq!(record.variables.iter().collect::<Vec<_>>(), ["AGE_IDENTITY", "TO_API_KEY"]);
        let expected = [".env", ".license/authority", "/etc/tokens", "certs/ca.pem"].map(PathBuf::from);
        let above = root.path().join("../key.age");
        assert_eq!(record.files, expected.into_iter().chain([above]).collect());
    }

    #[test]
    fn a_record_has_the_secrets_in_files_for_every_worktree() {
        let (root, worktree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(root.path().join("license")).unwrap();
        let sealed = r#"{ age = "key.age", identity = { dotenv = ".env", name = "IDENTITY" } }"#;
        let text = FILE_TEXT.replace(r#"{ age = "../key.age", identity = { env = "AGE_IDENTITY" } }"#, sealed);
        TrustRecord::of(&config(root.path(), &text)).write(root.path()).unwrap();
        let record = TrustRecord::read(root.path()).unwrap().unwrap();
        let dotenv =
            |file: &str, name: &str| Source::Dotenv { file: worktree.path().join(file), name: name.to_owned() };
        let identity = Box::new(dotenv(".env", "IDENTITY"));
        let expected = [
            Source::Env { name: "TO_API_KEY".to_owned() },
            dotenv(".env", "KEY"),
            dotenv(".env", "IDENTITY"),
            dotenv("/etc/tokens", "TOKEN"),
            Source::Age { file: worktree.path().join("key.age"), identity },
        ];
        assert_eq!(record.sources(worktree.path()), BTreeSet::from(expected));
        assert!(!record.lacks_secrets());
    }

    #[test]
    fn a_record_of_an_older_program_is_read_and_lacks_the_secrets_in_files() {
        let common = tempfile::tempdir().unwrap();
        std::fs::create_dir(common.path().join("license")).unwrap();
        for (files, lacks) in [(r#"[".env"]"#, true), ("[]", false)] {
            let text = format!(
                r#"{{"schema":"license-hooks/trust/1","origins":[],"variables":["KEY"],"files":{files},"ways":[]}}"#
            );
            files::replace(&common.path().join(FILE), text.as_bytes()).unwrap();
            let record = TrustRecord::read(common.path()).unwrap().unwrap();
            assert_eq!(record.sources(common.path()), BTreeSet::from([Source::Env { name: "KEY".to_owned() }]));
            assert_eq!(record.lacks_secrets(), lacks, "{files}");
        }
    }

    #[test]
    fn what_was_agreed_to_is_done_in_every_worktree_and_nothing_else_is() {
        let (root, worktree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let record = TrustRecord::of(&config(root.path(), FILE_TEXT));
        let there = config(worktree.path(), &FILE_TEXT.replace("../key.age", "key.age"));
        let root = &there.root;
        for (name, refused) in [("local", false), ("to", false), ("other", false)] {
            let why = record.refuses(Wanted::Authority(&there.authorities[name]), root);
            assert_eq!(why.is_some(), refused, "{name}: {why:?}");
        }
        let env = |name: &str| Source::Env { name: name.to_owned() };
        let dotenv = |file: &str| Source::Dotenv { file: root.join(file), name: "ANY".to_owned() };
        let age = |file: &str, identity: &str| Source::Age { file: root.join(file), identity: Box::new(env(identity)) };
        for (source, why) in [
            (env("TO_API_KEY"), None),
            (env("AWS_SECRET"), Some("the variable `AWS_SECRET` was not there when the hook was installed")),
            (dotenv(".env"), None),
            (dotenv("/etc/tokens"), None),
            (dotenv(".env.other"), Some("`.env.other` was not there when the hook was installed")),
            (dotenv("x/../.env"), Some("/x/../.env` was not there when the hook was installed")),
            (age(".env", "TO_API_KEY"), None),
            (age(".env", "HOME"), Some("the variable `HOME` was not there when the hook was installed")),
            (age("key.age", "AGE_IDENTITY"), Some("`key.age` was not there when the hook was installed")),
            (Source::Store { name: "vault".to_owned() }, Some("the store `vault` is not asked before a push")),
        ] {
            let refused = record.refuses(Wanted::Source(&source), root);
            match why {
                None => assert_eq!(refused, None, "{source}"),
                Some(why) => assert!(refused.as_deref().is_some_and(|refused| refused.ends_with(why)), "{refused:?}"),
            }
        }
    }

    #[test]
    fn a_secret_goes_only_where_it_went_when_the_hook_was_installed() {
        let root = tempfile::tempdir().unwrap();
        let there = config(root.path(), FILE_TEXT);
        let record = TrustRecord::of(&there);
        let token = Source::Env { name: "TO_API_KEY".to_owned() };
        let key = there.environments.values().find(|it| it.name.as_str() == "production").unwrap().key.clone();
        let identity = Source::Env { name: "AGE_IDENTITY".to_owned() };
        let other_entry = Source::Dotenv { file: root.path().join(".env"), name: "DATABASE_PASSWORD".to_owned() };
        for (role, source, authority, is_agreed) in [
            (Role::Token, &token, "to", true),
            (Role::Token, &token, "other", false),
            (Role::Key, &token, "to", false),
            (Role::Key, &key, "to", true),
            (Role::Key, &key, "other", false),
            (Role::Key, &identity, "to", false),
            (Role::Key, &other_entry, "to", false),
            // What stays on this machine goes nowhere.
            (Role::Key, &other_entry, "local", true),
        ] {
            let why = record.refuses(Wanted::Sending(role, source, &there.authorities[authority]), &there.root);
            assert_eq!(why.is_none(), is_agreed, "{role:?} {source} {authority}: {why:?}");
        }
    }

    #[test]
    fn an_authority_at_another_address_gets_nothing() {
        let root = tempfile::tempdir().unwrap();
        let record = TrustRecord::of(&config(root.path(), FILE_TEXT));
        for (url, is_agreed) in [
            ("https://api.example.com/v1", true),
            ("https://api.example.com./another/path", true),
            ("https://api.example.com:8443/v1", false),
            ("https://api.example.com.evil.net/v1", false),
            ("https://evil.net/api.example.com", false),
            ("http://127.0.0.1:8080/v9", true),
            ("http://127.0.0.1:8081", false),
            ("http://127.0.0.1", false),
        ] {
            let text = FILE_TEXT.replace("https://API.example.com:443/v1", url);
            let other = tempfile::tempdir().unwrap();
            let there = config(other.path(), &text);
            let why = record.refuses(Wanted::Authority(&there.authorities["to"]), &there.root);
            assert_eq!(why.is_none(), is_agreed, "{url}: {why:?}");
        }
        assert_eq!(origin("https://user@api.example.com"), None);
        assert_eq!(origin("ftp://api.example.com"), None);
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_its_owner_can() {
        let common = tempfile::tempdir().unwrap();
        std::fs::create_dir(common.path().join("license")).unwrap();
        assert_eq!(TrustRecord::read(common.path()).unwrap(), None);
        let record = TrustRecord::of(&config(common.path(), FILE_TEXT));
        record.write(common.path()).unwrap();
        assert_eq!(TrustRecord::read(common.path()).unwrap(), Some(record));
        let file = common.path().join(FILE);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for text in ["", "{}", r#"{"schema":"license-hooks/trust/2","origins":[],"variables":[],"files":[]}"#] {
            files::replace(&file, text.as_bytes()).unwrap();
            assert!(matches!(TrustRecord::read(common.path()), Err(TrustError::Unreadable { .. })), "{text}");
        }
        TrustRecord::remove(common.path()).unwrap();
        TrustRecord::remove(common.path()).unwrap();
        assert_eq!(TrustRecord::read(common.path()).unwrap(), None);
    }

    #[test]
    fn a_ci_system_agrees_to_origins() {
        let common = tempfile::tempdir().unwrap();
        std::fs::create_dir(common.path().join("license")).unwrap();
        let mut there = config(common.path(), FILE_TEXT);
        let agreed = |text: &str| {
            let recorded = TrustRecord::read(common.path()).unwrap();
            Agreed::here(recorded.as_ref(), &Vars::from_iter([(ORIGINS_VARIABLE, text)]))
        };
        let with_file = agreed("https://api.example.com");
        let why = with_file.unwrap().refuses(Wanted::Authority(&there.authorities["to"]), &there.root);
        assert!(why.is_some_and(|why| why.contains("ca.pem")), "whoever names a certificate could answer for the host");
        let Some(AuthoritySettings::Remote(settings)) = there.authorities.get_mut("to") else { panic!("it is remote") };
        settings.ca_file = None;
        let (to, variable) = (Wanted::Authority(&there.authorities["to"]), Source::Env { name: "ANY".to_owned() });
        let variable = Wanted::Source(&variable);
        let both = |agreed: &Agreed| [to, variable].map(|wanted| agreed.refuses(wanted, &there.root).is_none());
        assert_eq!(both(&agreed(" https://x.net ,https://API.example.com:443/v1,").unwrap()), [true, true]);
        assert_eq!(both(&agreed("https://x.net").unwrap()), [false, true], "a key goes nowhere else");
        assert_eq!(both(&agreed("").unwrap()), [false, false], "nothing is agreed to");
        assert!(matches!(agreed("api.example.com"), Err(TrustError::NotAnOrigin { .. })));
        TrustRecord::of(&there).write(common.path()).unwrap();
        assert_eq!(both(&agreed("https://x.net").unwrap()), [true, false], "a record says what is read");
    }
}
