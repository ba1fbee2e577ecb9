//! For which address the refs of each remote are believed, in this repository.
//!
//! `refs/remotes/NAME` says what the remote had when git last fetched from it or pushed to it, and not where that was.
//! So the address is remembered, and once it is another one, everything that the refs said until then is doubted for as
//! long as they still say it, or until git's own word about a later fetch says it of this address. A record that is missing or cannot be read makes a push slower, and never less safe.

use std::{collections::BTreeMap, io, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{files, git::settings::Settings};

/// The record, below the directory that all worktrees share.
const FILE: &str = "license/remotes.json";
/// The longest record that is read, in bytes: half a million doubted refs.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What the record begins with. Another version is not guessed at.
const SCHEMA: &str = "license-hooks/remotes/1";
/// The longest record of a fetch that is read, in bytes.
const FETCH_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much of git's own record of the work tree's commits is looked at, in bytes: its first line.
const LOG_BYTES_MAX: u64 = 4 * 1024;

/// All remotes that were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remotes(BTreeMap<String, Believed>);

/// What is believed of one remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Believed {
    /// The hash of its address, which may hold a password.
    address: String,
    /// What its refs held before it had this address, by their names.
    pub(crate) doubted: Doubted,
}

/// Refs, each with the object that it is doubted with.
pub(crate) type Doubted = BTreeMap<String, String>;

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    /// As it is written, for a git that runs in this directory: the same path leads elsewhere from another one.
    pub(crate) fn of(url: &str, directory: &Path) -> Self {
        // A colon before any slash begins the path on a host, or follows the scheme.
        let is_path = url.find(':').is_none_or(|colon| url[..colon].contains('/'));
        if !is_path {
            return Self(url.to_owned());
        }
        // What is written in full stays as it is written.
        let path = directory.join(url);
        let path = if Path::new(url).is_absolute() { path } else { path.canonicalize().unwrap_or(path) };
        Self(path.display().to_string())
    }

    fn hash(&self) -> String {
        Sha256::digest(self.0.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

impl Believed {
    /// A remote whose refs are doubted as long as they hold this.
    pub(crate) fn at(address: &Address, doubted: Doubted) -> Self {
        Self { address: address.hash(), doubted }
    }

    /// Whether it is about this address.
    pub(crate) fn is_at(&self, address: &Address) -> bool {
        self.address == address.hash()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: String,
    remotes: BTreeMap<String, Believed>,
}

impl Remotes {
    /// The record of a repository; an empty one where there is none of use.
    pub(crate) fn read(common: &Path) -> Self {
        let bytes = files::read_limited(&common.join(FILE), FILE_BYTES_MAX).unwrap_or_default();
        let written = serde_json::from_slice::<Written>(&bytes).ok().filter(|written| written.schema == SCHEMA);
        Self(written.map(|written| written.remotes).unwrap_or_default())
    }

    /// What is believed of a remote.
    pub(crate) fn get(&self, name: &str) -> Option<&Believed> {
        self.0.get(name)
    }

    /// Remembers something about a remote.
    pub(crate) fn set(&mut self, name: &str, believed: Believed) {
        self.0.insert(name.to_owned(), believed);
    }

    /// Writes the record of a repository, for its owner only.
    pub(crate) fn write(&self, common: &Path) -> io::Result<()> {
        let file = common.join(FILE);
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let written = Written { schema: SCHEMA.to_owned(), remotes: self.0.clone() };
        files::replace(&file, serde_json::to_string(&written).map_err(io::Error::other)?.as_bytes())
    }

    /// Removes the record of a repository, if there is one.
    pub(crate) fn remove(common: &Path) -> io::Result<()> {
        match std::fs::remove_file(common.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Remembers the addresses of today for all remotes of which nothing was known: whoever installs the hook takes what
    /// their refs say for true. `directory` is where git runs hooks.
    pub(crate) fn install(common: &Path, directory: &Path, settings: &Settings) -> io::Result<()> {
        let mut remotes = Self::read(common);
        for name in settings.names() {
            if let (None, Some(address)) = (remotes.get(name), settings.address(name)) {
                remotes.set(name, Believed::at(&Address::of(&address, directory), Doubted::new()));
            }
        }
        remotes.write(common)
    }
}

/// What git says of its last fetch: the branches that an address had then, each with what it held. Nothing where the fetch
/// is older than the record, which may doubt what it saw, or where it cannot be told which address it was from.
pub(crate) fn fetched_from(common: &Path, url: &str) -> BTreeMap<String, String> {
    let file = common.join("FETCH_HEAD");
    let written = |file: &Path| file.metadata().and_then(|about| about.modified()).ok();
    let is_newer = written(&file).is_some_and(|fetch| written(&common.join(FILE)).is_none_or(|record| fetch > record));
    let Some(url) = as_fetches_write(url).filter(|_| is_newer) else { return BTreeMap::new() };
    let text = files::read_limited(&file, FETCH_BYTES_MAX).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let branch = |line: &str| {
        let mut columns = line.splitn(3, '\t');
        let (oid, _, what) = (columns.next()?, columns.next()?, columns.next()?);
        let (name, from) = what.strip_prefix("branch '")?.split_once("' of ")?;
        (from == url).then(|| (format!("refs/heads/{name}"), oid.to_owned()))
    };
    text.lines().filter_map(branch).collect()
}

/// An address as git writes it down after a fetch: without a user, and without `.git` and slashes at its end. None where
/// that may be another repository's, too.
fn as_fetches_write(url: &str) -> Option<String> {
    let shortened = url.trim_end_matches('/');
    let shortened = shortened.strip_suffix(".git").unwrap_or(shortened);
    if let Some(path) = url.strip_prefix("file://").or(url.starts_with('/').then_some(url)) {
        let path = path.trim_end_matches('/');
        let other = path.strip_suffix(".git").map_or_else(|| format!("{path}.git"), str::to_owned);
        return (!Path::new(&other).exists()).then(|| shortened.to_owned());
    }
    if let Some(rest) = shortened.strip_prefix("https://") {
        let (host, path) = rest.split_once('/')?;
        return Some(format!("https://{}/{path}", host.rsplit('@').next().unwrap_or(host)));
    }
    // Another user's home is another place; `git` is the one that hosts of repositories have for all.
    if let Some(rest) = shortened.strip_prefix("ssh://git@") {
        return Some(format!("ssh://{rest}"));
    }
    shortened.strip_prefix("git@").filter(|rest| rest.contains(':')).map(str::to_owned)
}

/// Whether git says that this repository was cloned from an address: then its refs are of there.
pub(crate) fn is_cloned_from(common: &Path, address: &str) -> bool {
    let log = files::read_head(&common.join("logs/HEAD"), LOG_BYTES_MAX).unwrap_or_default();
    let first = log.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let message = first.split(|byte| *byte == b'\t').nth(1).unwrap_or_default();
    message.strip_prefix(b"clone: from ") == Some(address.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_has_no_address_in_it() {
        let common = tempfile::tempdir().unwrap();
        assert_eq!(Remotes::read(common.path()), Remotes::default());
        let address = |url| Address::of(url, Path::new("/work"));
        let doubted = Doubted::from([("refs/remotes/origin/a".to_owned(), "ab".repeat(20))]);
        let mut remotes = Remotes::default();
        remotes.set("origin", Believed::at(&address("https://me:password@host/x"), doubted));
        remotes.write(common.path()).unwrap();
        assert_eq!(Remotes::read(common.path()), remotes);
        let believed = remotes.get("origin").unwrap();
        assert!(believed.is_at(&address("https://me:password@host/x")) && !believed.is_at(&address("https://host/x")));
        let file = common.path().join(FILE);
        let text = String::from_utf8(files::read_limited(&file, FILE_BYTES_MAX).unwrap()).unwrap();
        assert!(!text.contains("password") && !text.contains("host"));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for text in ["", "{}", r#"{"schema":"license-hooks/remotes/2","remotes":{}}"#] {
            files::replace(&file, text.as_bytes()).unwrap();
            assert_eq!(Remotes::read(common.path()), Remotes::default(), "{text}");
        }
        Remotes::remove(common.path()).unwrap();
        Remotes::remove(common.path()).unwrap();
    }

    #[test]
    fn a_path_is_that_of_the_directory_it_is_read_in() {
        for (url, is_path) in [
            ("../hub.git", true),
            ("hub.git", true),
            ("./a:b", true),
            ("/srv/hub.git", false),
            ("host:hub.git", false),
            ("me@host:hub.git", false),
            ("https://host/hub.git", false),
            ("file:///srv/hub.git", false),
        ] {
            let in_both = ["/a/work", "/b/work"].map(|directory| Address::of(url, Path::new(directory)));
            assert_eq!(in_both[0] != in_both[1], is_path, "{url}");
        }
    }

    #[test]
    fn a_fetch_says_what_its_address_had() {
        let own = tempfile::tempdir().unwrap();
        assert!(fetched_from(own.path(), "/a").is_empty());
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let text = format!(
            "{one}\t\tbranch 'main' of https://host/a\n{two}\tnot-for-merge\tbranch 'x/y' of https://host/a\n\
             {one}\tnot-for-merge\ttag 'v1' of https://host/a\n{one}\t\tbranch 'main' of https://host/b\nnonsense\n"
        );
        files::replace(&own.path().join("FETCH_HEAD"), text.as_bytes()).unwrap();
        let expected = [("refs/heads/main", &one), ("refs/heads/x/y", &two)];
        let expected: BTreeMap<_, _> = expected.map(|(name, oid)| (name.to_owned(), oid.clone())).into();
        for url in ["https://host/a", "https://host/a.git/", "https://me:pass@host/a.git"] {
            assert_eq!(fetched_from(own.path(), url), expected, "{url}");
        }
        for url in ["https://host/c", "http://host/a", "ssh://host/a", "../a"] {
            assert!(fetched_from(own.path(), url).is_empty(), "{url}");
        }
        // What was doubted since is not believed again for it.
        Remotes::default().write(own.path()).unwrap();
        let fetched = own.path().join("FETCH_HEAD").metadata().unwrap().modified().unwrap();
        let later = fetched + std::time::Duration::from_secs(9);
        let set =
            |file: &str| std::fs::File::options().write(true).open(own.path().join(file)).unwrap().set_modified(later);
        set(FILE).unwrap();
        assert!(fetched_from(own.path(), "https://host/a").is_empty());
        for (url, expected) in [
            ("git@host:a/b.git", Some("host:a/b")),
            ("ssh://git@host/a.git", Some("ssh://host/a")),
            ("me@host:a", None),
            ("ssh://me@host/~/a", None),
            ("/nowhere/a.git/", Some("/nowhere/a")),
            ("file:///nowhere/a", Some("file:///nowhere/a")),
            ("a", None),
        ] {
            assert_eq!(as_fetches_write(url).as_deref(), expected, "{url}");
        }
        let two = [own.path().join("r"), own.path().join("r.git")];
        for path in &two {
            std::fs::create_dir(path).unwrap();
        }
        assert_eq!(two.map(|path| as_fetches_write(path.to_str().unwrap())), [None, None]);
    }

    #[test]
    fn a_clone_knows_where_it_is_from() {
        let common = tempfile::tempdir().unwrap();
        std::fs::create_dir(common.path().join("logs")).unwrap();
        let log = |text: &str| files::replace(&common.path().join("logs/HEAD"), text.as_bytes()).unwrap();
        assert!(!is_cloned_from(common.path(), "/a"));
        log("0 1 A <a> 1 +0000\tclone: from /a\n1 2 A <a> 2 +0000\tcommit: b\n");
        assert!(is_cloned_from(common.path(), "/a") && !is_cloned_from(common.path(), "/b"));
        log("0 1 A <a> 1 +0000\tcommit (initial): clone: from /a\n");
        assert!(!is_cloned_from(common.path(), "/a"));
    }
}
