//! What git's configuration says about the remotes, as one git tells it: their addresses, and where what is fetched from
//! them goes.
//!
//! Remotes that stand in files of their own, as before there was a configuration, are not known here.

use std::collections::BTreeSet;

use super::{Git, GitError};

/// What is asked for: remotes, rewritten addresses, and what says where the repository is and whether it is whole.
/// `git svn` writes below `refs/remotes/` too.
const PATTERN: &str = r"^(remote\..*|svn-remote\..*\.(fetch|branches|tags)|url\..*\.(push)?insteadof|core\.(bare|worktree|repositoryformatversion)|extensions\.partialclone)$";

/// What the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    remotes: Vec<Remote>,
    rewrites: Vec<Rewrite>,
    /// The refs that `git svn` writes.
    svn: Vec<Pattern>,
    /// The file of the repository's own settings, in git's words, and whether something moves its work tree elsewhere.
    pub(crate) own: Own,
    /// Whether some objects were left with a remote.
    pub(crate) objects: Objects,
}

/// Where the repository's own settings are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Own {
    /// In `.git/config` of the directory that git was started in, which is the top of the work tree.
    Here,
    /// Elsewhere, or they say something about the work tree.
    #[default]
    Elsewhere,
}

/// Whether a repository has all objects that its history names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Objects {
    /// It has.
    #[default]
    All,
    /// A partial clone left some with these remotes.
    Partial(BTreeSet<String>),
}

impl Objects {
    /// Some are with this remote too.
    fn left_with(&mut self, remote: &str) {
        match self {
            Self::All => *self = Self::Partial(BTreeSet::from([remote.to_owned()])),
            Self::Partial(remotes) => drop(remotes.insert(remote.to_owned())),
        }
    }
}

/// A remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Remote {
    name: String,
    urls: Vec<String>,
    push_urls: Vec<String>,
    fetch: Vec<Refspec>,
    pushes: Pushes,
}

/// What a push sends to a remote when nobody says what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pushes {
    /// Some refs.
    #[default]
    Some,
    /// All refs, and it deletes those that are not here.
    Mirror,
}

/// An address that is written for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rewrite {
    base: String,
    instead_of: String,
    of: Of,
}

/// Which addresses are rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Everything,
    Pushes,
}

/// Which ref of a remote is fetched into which one here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refspec {
    from: Pattern,
    to: Pattern,
}

/// The name of a ref, with at most one star.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    before: String,
    /// What follows the star; none where there is no star.
    after: Option<String>,
}

/// The refs that a remote alone is fetched into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracking {
    fetch: Vec<Refspec>,
    others: Vec<Pattern>,
}

/// Below it are the refs that say what remotes have. A mirror is fetched into all refs, which say nothing then.
pub(crate) const TRACKING: &str = "refs/remotes/";

impl Git {
    /// Reads the settings, and does something while git looks for them.
    pub(crate) fn settings(&self, meanwhile: impl FnOnce()) -> Result<Settings, GitError> {
        let doing = "reading git's configuration";
        let asked = ["config", "--null", "--show-scope", "--show-origin", "--get-regexp", PATTERN];
        let answer = self.ask_and_do(doing, &asked, meanwhile)?;
        // It ends with 1 where there is nothing.
        if !matches!(answer.code, Some(0 | 1)) {
            return Err(self.explain(doing, answer.said));
        }
        let unreadable = || GitError::Failed { doing, said: "its output cannot be read".to_owned() };
        let settings = Settings::parse(&String::from_utf8_lossy(&answer.output)).ok_or_else(unreadable)?;
        // Names and addresses that are no text cannot be told apart.
        let is_text = std::str::from_utf8(&answer.output).is_ok();
        Ok(if is_text { settings } else { Settings { remotes: Vec::new(), own: Own::Elsewhere, ..settings } })
    }
}

impl Settings {
    /// Reads what git wrote: for each setting a scope, an origin and the setting, each with a NUL behind it.
    fn parse(text: &str) -> Option<Self> {
        let mut settings = Self::default();
        let (mut is_here, mut moves) = (false, false);
        let mut parts = text.split_terminator('\0');
        while let Some(scope) = parts.next() {
            let (origin, setting) = (parts.next()?, parts.next()?);
            let (key, given) = setting.split_once('\n').map_or((setting, None), |(key, value)| (key, Some(value)));
            let value = given.unwrap_or_default();
            match key {
                "core.repositoryformatversion" => is_here |= scope == "local" && origin == "file:.git/config",
                "core.bare" => moves = !["false", "no", "off", "0"].contains(&value),
                "core.worktree" => moves = true,
                "extensions.partialclone" => settings.objects.left_with(value),
                _ => settings.add(key, given)?,
            }
        }
        settings.own = if is_here && !moves { Own::Here } else { Own::Elsewhere };
        Some(settings)
    }

    fn add(&mut self, key: &str, given: Option<&str>) -> Option<()> {
        let value = given.unwrap_or_default();
        let (section, rest) = key.split_once('.')?;
        // Settings of all remotes have no name in between, such as `remote.pushDefault`.
        let Some((name, what)) = rest.rsplit_once('.') else { return Some(()) };
        match (section, what) {
            ("url", "insteadof" | "pushinsteadof") => {
                let of = if what == "insteadof" { Of::Everything } else { Of::Pushes };
                self.rewrites.push(Rewrite { base: name.to_owned(), instead_of: value.to_owned(), of });
            }
            ("remote", "promisor") if is_true(given) => self.objects.left_with(name),
            ("svn-remote", _) => self.svn.extend(value.split_once(':').map(|(_, to)| Pattern::begins_like(to.trim()))),
            ("remote", "url") => self.remote(name).urls.push(value.to_owned()),
            ("remote", "pushurl") => self.remote(name).push_urls.push(value.to_owned()),
            ("remote", "mirror") => {
                self.remote(name).pushes = if is_true(given) { Pushes::Mirror } else { Pushes::Some }
            }
            ("remote", "fetch") => self.remote(name).fetch.extend(Refspec::parse(value)),
            _ => {}
        }
        Some(())
    }

    fn remote(&mut self, name: &str) -> &mut Remote {
        let at = self.remotes.iter().position(|remote| remote.name == name).unwrap_or_else(|| {
            self.remotes.push(Remote { name: name.to_owned(), ..Remote::default() });
            self.remotes.len() - 1
        });
        &mut self.remotes[at]
    }

    /// What the settings of a repository say.
    #[cfg(test)]
    pub(crate) fn of_lines(lines: &[(&str, &str)]) -> Self {
        let texts: Vec<String> =
            lines.iter().map(|(key, value)| format!("local\0file:.git/config\0{key}\n{value}\0")).collect();
        Self::parse(&texts.concat()).unwrap()
    }

    /// The names of the remotes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.remotes.iter().map(|remote| remote.name.as_str())
    }

    /// The names of the remotes to which a push without refs sends everything, and deletes what is not here.
    pub(crate) fn mirrors(&self) -> impl Iterator<Item = &str> {
        self.remotes.iter().filter(|remote| remote.pushes == Pushes::Mirror).map(|remote| remote.name.as_str())
    }

    /// The one address that a remote is fetched from and pushed to; none where it has several, or none that is certain.
    /// That of the fetches, where pushes go to the same place in another way.
    pub(crate) fn address(&self, name: &str) -> Option<String> {
        let remote = self.remotes.iter().find(|remote| remote.name == name)?;
        // An empty one takes back those before it, in newer gits.
        if remote.urls.iter().chain(&remote.push_urls).any(String::is_empty) {
            return None;
        }
        let address = self.rewritten(remote.urls.first()?);
        let mut pushes: Vec<String> = remote.push_urls.iter().map(|url| self.rewritten(url)).collect();
        if pushes.is_empty() {
            let rewritten = |url: &String| self.rewrite(url, Of::Pushes).unwrap_or_else(|| self.rewritten(url));
            pushes = remote.urls.iter().map(rewritten).collect();
        }
        pushes.iter().all(|push| is_same_place(push, &address)).then_some(address)
    }

    fn rewritten(&self, url: &str) -> String {
        self.rewrite(url, Of::Everything).unwrap_or_else(|| url.to_owned())
    }

    /// An address as it is rewritten: the longest beginning counts, and of equal ones the first base.
    fn rewrite(&self, url: &str, of: Of) -> Option<String> {
        let bases: Vec<&str> = self.rewrites.iter().map(|rewrite| rewrite.base.as_str()).collect();
        let rank = |rewrite: &&Rewrite| bases.iter().position(|base| *base == rewrite.base);
        let matching = self.rewrites.iter().filter(|it| it.of == of && url.starts_with(&it.instead_of));
        let best = matching.max_by_key(|it| (it.instead_of.len(), std::cmp::Reverse(rank(it))))?;
        Some(format!("{}{}", best.base, &url[best.instead_of.len()..]))
    }

    /// The refs that this remote is fetched into, and no other one.
    pub(crate) fn tracking(&self, name: &str) -> Tracking {
        let (mine, others): (Vec<&Remote>, Vec<&Remote>) = self.remotes.iter().partition(|it| it.name == name);
        let fetch = mine.into_iter().flat_map(|remote| remote.fetch.clone()).collect();
        let others = others.into_iter().flat_map(|remote| &remote.fetch).map(|fetch| &fetch.to);
        let others = others.chain(&self.svn).cloned().collect();
        Tracking { fetch, others }
    }
}

/// Whether git takes a setting for true: one without a value is.
fn is_true(given: Option<&str>) -> bool {
    given.is_none_or(|value| {
        let is_word = ["", "false", "no", "off"].contains(&value.to_ascii_lowercase().as_str());
        !is_word && value.parse::<i64>() != Ok(0)
    })
}

/// Whether two addresses lead to one repository: they are the same, or one leads by https and the other by ssh, as `git`,
/// to the same path of the same host, as all that host repositories have it. Whoever names a port may mean another server.
pub(crate) fn is_same_place(one: &str, other: &str) -> bool {
    let ways = |one: &str, other: &str| {
        by_web(one).zip(by_ssh(other)).is_some_and(|((web, its_path), (ssh, path))| {
            web.eq_ignore_ascii_case(ssh) && its_path == path && !path.is_empty()
        })
    };
    one == other || ways(one, other) || ways(other, one)
}

/// The host and the path of an address by https.
fn by_web(url: &str) -> Option<(&str, &str)> {
    let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
    let host = host.rsplit('@').next().unwrap_or(host);
    (!host.contains(':')).then(|| (host, plain(path)))
}

/// The host and the path of an address by ssh.
fn by_ssh(url: &str) -> Option<(&str, &str)> {
    let (host, path) = match url.strip_prefix("ssh://git@") {
        Some(rest) => rest.split_once('/')?,
        None => url.strip_prefix("git@")?.split_once(':')?,
    };
    (!host.contains([':', '/']) && !path.starts_with('~')).then(|| (host, plain(path)))
}

/// A path without what does not matter on hosts of repositories.
fn plain(path: &str) -> &str {
    let path = path.trim_matches('/');
    path.strip_suffix(".git").unwrap_or(path)
}

impl Refspec {
    /// Reads one. What fetches into no ref, or leaves something out, is none.
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.strip_prefix('+').unwrap_or(text).split_once(':')?;
        let (from, to) = (Pattern::parse(from), Pattern::parse(to));
        (from.after.is_some() == to.after.is_some()).then_some(Self { from, to })
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.split_once('*') {
            Some((before, after)) => Self { before: before.to_owned(), after: Some(after.to_owned()) },
            None => Self { before: text.to_owned(), after: None },
        }
    }

    /// All names that begin with what stands before the first sign of a pattern: beside a ref `git svn` writes others,
    /// as `trunk@4`.
    fn begins_like(text: &str) -> Self {
        let before = text.split(['*', '{']).next().unwrap_or_default();
        Self { before: before.to_owned(), after: Some(String::new()) }
    }

    /// What stands for the star in a name that is meant.
    fn part<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_prefix(self.before.as_str())?;
        match &self.after {
            Some(after) => rest.strip_suffix(after.as_str()),
            None => rest.is_empty().then_some(rest),
        }
    }

    fn with(&self, part: &str) -> String {
        match &self.after {
            Some(after) => format!("{}{part}{after}", self.before),
            None => self.before.clone(),
        }
    }

    /// Whether some name may be meant by both.
    fn may_meet(&self, other: &Self) -> bool {
        let (one, two) = (self.before.as_str(), other.before.as_str());
        match (&self.after, &other.after) {
            (None, _) => other.part(one).is_some(),
            (_, None) => self.part(two).is_some(),
            (Some(_), Some(_)) => one.starts_with(two) || two.starts_with(one),
        }
    }
}

impl Tracking {
    /// Whether a ref of this repository is fetched from this remote alone.
    pub(crate) fn has(&self, name: &str) -> bool {
        name.starts_with(TRACKING)
            && self.fetch.iter().any(|fetch| fetch.to.part(name).is_some())
            && !self.others.iter().any(|to| to.part(name).is_some())
    }

    /// The ref that says what this ref of the remote was when it was last seen.
    pub(crate) fn of(&self, remote_ref: &str) -> Option<String> {
        let names = self.fetch.iter().filter_map(|fetch| Some(fetch.to.with(fetch.from.part(remote_ref)?)));
        names.into_iter().find(|name| self.has(name))
    }

    /// Whether all branches of the remote, and nothing else, are fetched below its name, as `git remote add` has it, and
    /// no other remote is.
    pub(crate) fn is_usual(&self, name: &str) -> bool {
        let usual = usual(name);
        matches!(&self.fetch[..], [one] if *one == usual) && !self.others.iter().any(|to| to.may_meet(&usual.to))
    }
}

/// The ref that says what a branch was when it was last seen, where a remote is fetched as it usually is.
pub(crate) fn usual_tracking(remote: &str, remote_ref: &str) -> Option<String> {
    let usual = usual(remote);
    Some(usual.to.with(usual.from.part(remote_ref)?))
}

fn usual(remote: &str) -> Refspec {
    Refspec { from: Pattern::parse("refs/heads/*"), to: Pattern::parse(&format!("{TRACKING}{remote}/*")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(lines: &[(&str, &str)]) -> Settings {
        Settings::of_lines(lines)
    }

    #[test]
    fn an_address_is_that_of_every_fetch_and_every_push() {
        let origin = ("remote.origin.url", "https://a/x");
        for (more, expected) in [
            (&[][..], Some("https://a/x")),
            (&[("remote.origin.pushurl", "https://a/x")], Some("https://a/x")),
            (&[("remote.origin.pushurl", "https://b/x")], None),
            (&[("remote.origin.pushurl", "https://a/x"), ("remote.origin.pushurl", "https://b/x")], None),
            (&[("remote.origin.url", "https://b/x")], None),
            (&[("remote.origin.url", "")], None),
            (&[("remote.other.url", "https://b/x")], Some("https://a/x")),
            (&[("url.https://b/.insteadof", "https://a/")], Some("https://b/x")),
            (&[("url.https://b.c/.insteadof", "https://")], Some("https://b.c/a/x")),
            (&[("url.b:.insteadof", "https://a/"), ("url.c:.insteadof", "https://")], Some("b:x")),
            (&[("url.c:.insteadof", "https://"), ("url.b:.insteadof", "https://a/")], Some("b:x")),
            (&[("url.b:.insteadof", "https://a/"), ("url.c:.insteadof", "https://a/")], Some("b:x")),
            (&[("url.git@a:.pushinsteadof", "https://a/")], Some("https://a/x")),
            (&[("url.me@a:.pushinsteadof", "https://a/")], None),
            (&[("url.git@b:.pushinsteadof", "https://b/")], Some("https://a/x")),
        ] {
            let all: Vec<_> = [origin].iter().chain(more).copied().collect();
            assert_eq!(settings(&all).address("origin").as_deref(), expected, "{more:?}");
        }
        assert_eq!(settings(&[origin]).address("other"), None);
        assert_eq!(settings(&[origin, ("remote.pushdefault", "other")]).names().collect::<Vec<_>>(), ["origin"]);
    }

    #[test]
    fn the_refs_of_a_remote_are_what_it_alone_is_fetched_into() {
        let usual = ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*");
        let mine = |lines: &[(&str, &str)], name: &str| settings(lines).tracking("origin").has(name);
        let nested = ("remote.origin/priv.fetch", "+refs/heads/*:refs/remotes/origin/priv/*");
        let trunk = ("svn-remote.svn.fetch", "trunk:refs/remotes/origin/trunk");
        let spaced = ("svn-remote.svn.fetch", "q : refs/remotes/origin/trunk");
        let branches = ("svn-remote.svn.branches", "branches/*:refs/remotes/origin/*");
        let tags = ("svn-remote.a.b.tags", "tags/{v1,v2}/*:refs/remotes/origin/tags/*/*");
        let one = ("remote.origin.fetch", "refs/heads/main:refs/remotes/origin/main");
        let mirror = ("remote.origin.fetch", "+refs/*:refs/*");
        for (lines, name, expected) in [
            (&[usual][..], "refs/remotes/origin/main", true),
            (&[usual], "refs/remotes/origin/a/b", true),
            (&[usual], "refs/remotes/origins/main", false),
            (&[usual], "refs/heads/main", false),
            (&[usual, nested], "refs/remotes/origin/main", true),
            (&[usual, nested], "refs/remotes/origin/priv/main", false),
            (&[usual, trunk], "refs/remotes/origin/trunk", false),
            (&[usual, trunk], "refs/remotes/origin/trunk@4", false),
            (&[usual, spaced], "refs/remotes/origin/trunk", false),
            (&[usual, trunk], "refs/remotes/origin/main", true),
            (&[usual, branches], "refs/remotes/origin/main", false),
            (&[usual, tags], "refs/remotes/origin/tags/v1", false),
            (&[usual, tags], "refs/remotes/origin/main", true),
            (&[one], "refs/remotes/origin/main", true),
            (&[one], "refs/remotes/origin/main2", false),
            (&[mirror], "refs/heads/main", false),
            (&[("remote.origin.fetch", "refs/heads/main")], "refs/remotes/origin/main", false),
            (&[("remote.origin.fetch", "^refs/heads/x")], "refs/remotes/origin/main", false),
            (&[], "refs/remotes/origin/main", false),
        ] {
            assert_eq!(mine(lines, name), expected, "{lines:?} {name}");
        }
        let tracking = settings(&[usual, nested]).tracking("origin");
        assert_eq!(tracking.of("refs/heads/a/b").as_deref(), Some("refs/remotes/origin/a/b"));
        assert_eq!(tracking.of("refs/heads/priv/b"), None);
        assert_eq!(tracking.of("refs/tags/v1"), None);
        for (lines, expected) in [
            (&[usual][..], true),
            (&[usual, nested], false),
            (&[usual, ("remote.b.fetch", "+refs/heads/*:refs/remotes/b/*")], true),
            (&[usual, ("remote.b.fetch", "+refs/heads/*:refs/remotes/*")], false),
            (&[usual, ("remote.b.fetch", "refs/heads/a:refs/remotes/origin/a")], false),
            (&[usual, mirror], false),
            (&[usual, trunk], false),
            (&[one], false),
            (&[], false),
        ] {
            assert_eq!(settings(lines).tracking("origin").is_usual("origin"), expected, "{lines:?}");
        }
        assert_eq!(usual_tracking("o", "refs/heads/a").as_deref(), Some("refs/remotes/o/a"));
    }

    #[test]
    fn a_repository_may_be_reached_by_https_and_by_ssh() {
        let web = "https://github.com/a/b.git";
        for (other, expected) in [
            (web, true),
            ("git@github.com:a/b.git", true),
            ("git@github.com:/a/b", true),
            ("ssh://git@GitHub.com/a/b.git/", true),
            ("ssh://git@github.com:2222/a/b.git", false),
            ("ssh://me@github.com/a/b.git", false),
            ("me@github.com:a/b.git", false),
            ("github.com:a/b.git", false),
            ("git@github.com:~a/b.git", false),
            ("https://me:pass@github.com/a/b.git", false),
            ("http://github.com/a/b.git", false),
            ("https://github.com/a/b", false),
            ("git@github.com:a/c.git", false),
            ("git@gitlab.com:a/b.git", false),
            ("/srv/a/b.git", false),
            ("file://github.com/a/b.git", false),
        ] {
            assert_eq!(is_same_place(web, other), expected, "{other}");
            assert_eq!(is_same_place(other, web), expected, "{other}");
        }
        assert!(!is_same_place("https://localhost:1/a", "git@localhost:a"));
        let both = [("remote.o.url", web), ("remote.o.pushurl", "git@github.com:a/b.git")];
        assert_eq!(settings(&both).address("o").as_deref(), Some(web));
    }

    #[test]
    fn a_mirror_is_what_the_last_setting_says() {
        let mirror = |value| ("remote.origin.mirror", value);
        for (lines, expected) in [
            (&[mirror("true")][..], &["origin"][..]),
            (&[mirror("")], &[]),
            (&[mirror("00")], &[]),
            (&[mirror("Off")], &[]),
            (&[mirror("true"), mirror("false")], &[]),
            (&[mirror("false"), mirror("yes"), ("remote.b.url", "x")], &["origin"]),
        ] {
            assert_eq!(settings(lines).mirrors().collect::<Vec<_>>(), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_plain_repository_is_known_by_the_place_of_its_settings() {
        let version = ("core.repositoryformatversion", "0");
        for (lines, expected) in [
            (&[version, ("core.bare", "false")][..], Own::Here),
            (&[version, ("core.bare", "true")], Own::Elsewhere),
            (&[version, ("core.worktree", "/x")], Own::Elsewhere),
            (&[("core.bare", "false")], Own::Elsewhere),
        ] {
            assert_eq!(settings(lines).own, expected, "{lines:?}");
        }
        let elsewhere = "global\0file:.git/config\0core.repositoryformatversion\n0\0";
        assert_eq!(Settings::parse(elsewhere).unwrap().own, Own::Elsewhere);
        assert_eq!(
            Settings::parse("local\0file:/r/.git/config\0core.repositoryformatversion\n0\0").unwrap().own,
            Own::Elsewhere
        );
        assert_eq!(Settings::parse("local\0file:.git/config\0"), None);
        assert_eq!(settings(&[("remote.o.promisor", "false")]).objects, Objects::All);
        let valueless = Settings::parse("local\0file:.git/config\0remote.o.mirror\0").unwrap();
        assert_eq!(valueless.mirrors().collect::<Vec<_>>(), ["o"]);
        let left_with = |names: &[&str]| Objects::Partial(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(settings(&[("remote.o.promisor", "true")]).objects, left_with(&["o"]));
        let both = [("extensions.partialclone", "o"), ("remote.p.promisor", "true")];
        assert_eq!(settings(&both).objects, left_with(&["o", "p"]));
    }
}
