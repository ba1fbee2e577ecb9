//! Where a leak is: told as well as a scan can, without ever showing the secret that may be a part of the place.
//!
//! The scan of objects knows only the object. Which path and which commit brought it is looked for afterwards, only
//! when something was found, and not forever.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use license_core::{finding::clean, leaks::Scanner};

use super::{
    ScanFault, Scanned,
    allowed::{Allowance, other_paths},
    objects::{Range, Walk},
    repository::Repository,
    short,
};
use crate::{
    git::{self, Oid, stream::Answer},
    glob::Glob,
};

/// How long it is looked for where leaks are.
const LOOK_WAIT: Duration = Duration::from_secs(20);
/// For how many objects that have to be read for it; blobs are found on the way.
const OBJECTS_MAX: usize = 200;
/// The largest tree or commit that is read once more, in bytes.
const OBJECT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 32 * 1024;

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file's content, or a symbolic link's target.
    Blob,
    /// The names in a directory.
    Tree,
    /// A commit.
    Commit,
    /// An annotated tag.
    Tag,
}

impl Kind {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "blob" => Self::Blob,
            "tree" => Self::Tree,
            "commit" => Self::Commit,
            "tag" => Self::Tag,
            _ => return None,
        })
    }
}

/// What holds a leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    /// A file in the working tree.
    File,
    /// The name of one.
    FileName,
    /// What a symbolic link in the working tree points to.
    LinkTarget,
    /// What is staged for the next commit.
    Staged,
    /// A file's content in history.
    Blob,
    /// A name in a directory in history.
    Tree,
    /// A commit: its author, its message, anything in it.
    Commit,
    /// An annotated tag.
    Tag,
    /// The name of a branch, a tag or another ref.
    RefName,
}

impl Thing {
    /// The word for it in output that programs read.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::FileName => "file_name",
            Self::LinkTarget => "symlink_target",
            Self::Staged => "staged_file",
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
            Self::Tag => "tag",
            Self::RefName => "ref_name",
        }
    }
}

/// A place, as far as it is known. Nothing in it shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// What holds the leak.
    pub(crate) thing: Thing,
    /// The object.
    pub(crate) object: Option<Oid>,
    /// The path, from the top of the working tree; of a ref its name.
    pub(crate) path: Option<String>,
    /// The path inside of the archive that the file is.
    pub(crate) inside: Option<String>,
    /// The first commit of the range that has it.
    pub(crate) commit: Option<Oid>,
    /// Which part of a commit or a tag: `author`, `message` and so on.
    pub(crate) part: Option<String>,
    /// The line in that part; elsewhere the leak's own line counts.
    pub(crate) line: Option<u64>,
    /// A ref that leads to it directly.
    pub(crate) reference: Option<String>,
}

impl Place {
    pub(super) fn of(thing: Thing) -> Self {
        Self { thing, object: None, path: None, inside: None, commit: None, part: None, line: None, reference: None }
    }

    /// An object that was found in history.
    pub(super) fn object(kind: Kind, name: &Oid) -> Self {
        let thing = match kind {
            Kind::Blob => Thing::Blob,
            Kind::Tree => Thing::Tree,
            Kind::Commit => Thing::Commit,
            Kind::Tag => Thing::Tag,
        };
        let commit = (kind == Kind::Commit).then(|| name.clone());
        Self { object: Some(name.clone()), commit, ..Self::of(thing) }
    }

    pub(super) fn path(mut self, scanner: &Scanner, path: &[u8]) -> Self {
        self.path = Some(shown_path(scanner, path));
        self
    }

    pub(super) fn inside(mut self, path: String) -> Self {
        self.inside = Some(path);
        self
    }

    /// In words, for what is a file or a blob as a whole.
    pub(crate) fn words(&self) -> String {
        let object = self
            .object
            .as_ref()
            .map_or_else(String::new, |object| format!("{} {}", self.thing.as_str(), short(object)));
        let name = self.path.clone().unwrap_or(object);
        match (self.thing, &self.commit, &self.reference) {
            (Thing::Staged, ..) => format!("{name} (staged)"),
            (_, Some(commit), _) => format!("{name} (commit {})", short(commit)),
            (_, None, Some(reference)) => format!("{name} ({reference})"),
            (_, None, None) => name,
        }
    }
}

/// A path as it may be shown: without what would change the line, and without a secret that is a part of it.
pub(crate) fn shown_path(scanner: &Scanner, path: &[u8]) -> String {
    let part = |part: &[u8]| match scanner.scan(part).first() {
        Some(leak) => leak.shown.clone(),
        None => clean(&String::from_utf8_lossy(part)),
    };
    let shown = path.split(|byte| *byte == b'/').map(part).collect::<Vec<_>>().join("/");
    // A secret with a slash in it is a path of its own.
    match scanner.scan(path).first() {
        Some(leak) if !scanner.scan(shown.as_bytes()).is_empty() => leak.shown.clone(),
        Some(_) | None => shown,
    }
}

/// What is looked for in the differences of commits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// A blob, by its name.
    Blob(String),
    /// An entry of a tree, by the object that it leads to, and its own name.
    Entry(String, Vec<u8>),
}

/// Finds the paths, the commits and the parts of what was found or not looked into, as far as that is quick. An archive
/// is at the first path at which it is allowed, or else at the first one.
pub(crate) fn locate(
    repository: &Repository,
    range: &Range,
    scanner: &Scanner,
    allowances: &[Allowance],
    outcome: &mut Scanned,
) -> Result<Located, ScanFault> {
    let found = outcome.findings.iter_mut().map(|finding| Sought {
        place: &mut finding.place,
        offset: finding.leak.offset,
        rather: Vec::new(),
    });
    let left_out = outcome.unscanned.iter_mut().map(|archive| Sought {
        rather: other_paths(archive, allowances),
        place: &mut archive.place,
        offset: 0,
    });
    let mut sought: Vec<Sought<'_>> = found.chain(left_out).collect();
    let mut targets: BTreeMap<Target, Vec<usize>> = BTreeMap::new();
    let mut texts: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (index, one) in sought.iter_mut().enumerate() {
        let Some(object) = one.place.object.clone() else { continue };
        let name = object.as_str().to_owned();
        let known = targets.len() + texts.len() < OBJECTS_MAX;
        match one.place.thing {
            Thing::Blob => targets.entry(Target::Blob(name)).or_default().push(index),
            Thing::Tree if known => {
                if let Some(target) = entry(repository, &object, one.offset) {
                    targets.entry(target).or_default().push(index);
                }
            }
            Thing::Commit | Thing::Tag if known || texts.contains_key(&name) => {
                let kind = if one.place.thing == Thing::Commit { "commit" } else { "tag" };
                let text = texts.entry(name).or_insert_with(|| text(repository, kind, &object));
                let (part, line) = part(text, one.offset);
                (one.place.part, one.place.line) = (Some(clean(&part)), Some(line));
            }
            Thing::Tree
            | Thing::Commit
            | Thing::Tag
            | Thing::File
            | Thing::FileName
            | Thing::LinkTarget
            | Thing::Staged
            | Thing::RefName => {}
        }
    }
    let located = in_commits(repository, range, scanner, &mut sought, targets)?;
    references(repository, scanner, &mut sought);
    Ok(located)
}

/// Something whose place is looked for.
struct Sought<'s> {
    place: &'s mut Place,
    /// Where in the object it is.
    offset: u64,
    /// The paths that it would rather have than the first one.
    rather: Vec<&'s Glob>,
}

impl Sought<'_> {
    /// It is in a file or a link at this path, too. `false`: there may be a better one.
    fn is_at(&mut self, path: String, mode: &str, commit: Option<&Oid>) -> bool {
        let is_best = self.rather.is_empty() || self.rather.iter().any(|glob| glob.matches(path.as_bytes()));
        if is_best || self.place.path.is_none() {
            self.place.path = Some(path);
            self.place.commit = commit.cloned();
            if mode == "120000" && self.place.thing == Thing::Blob {
                self.place.thing = Thing::LinkTarget;
            }
        }
        is_best
    }
}

/// Whether the place of everything was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Located {
    /// It was looked for to the end.
    Everything,
    /// It took too long, or git could not tell.
    NotEverything,
}

/// The entry of a tree that an offset is in.
fn entry(repository: &Repository, tree: &Oid, offset: u64) -> Option<Target> {
    let mut found = None;
    let looked: Result<(), git::GitError> =
        repository.git.objects(git::Kind::Tree, std::slice::from_ref(tree), OBJECT_BYTES_MAX, |_, bytes| {
            found = entry_at(bytes, tree.as_str().len() / 2, offset);
            Ok(())
        });
    looked.ok().and(found)
}

fn entry_at(mut tree: &[u8], oid_bytes: usize, offset: u64) -> Option<Target> {
    let mut start = 0;
    loop {
        let name_end = tree.iter().position(|byte| *byte == 0)?;
        let oid = tree.get(name_end + 1..name_end + 1 + oid_bytes)?;
        let entry = &tree[..name_end];
        let end = start + name_end as u64 + 1 + oid_bytes as u64;
        if offset < end {
            let name = entry.iter().position(|byte| *byte == b' ').map(|space| &entry[space + 1..])?;
            let hex = oid.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            return Some(Target::Entry(hex, name.to_vec()));
        }
        tree = &tree[name_end + 1 + oid_bytes..];
        start = end;
    }
}

/// The text of a commit or a tag; empty when it cannot be had again.
fn text(repository: &Repository, kind: &str, object: &Oid) -> Vec<u8> {
    let asked = repository.git.ask("reading an object", &["cat-file", kind, object.as_str()], Vec::new());
    asked.ok().filter(Answer::is_ok).map_or_else(Vec::new, |answer| answer.output)
}

/// Which part of a commit or a tag a place is in, and the line there, from 1.
fn part(text: &[u8], offset: u64) -> (String, u64) {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    let lines = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>() + 1;
    let header_end = text.windows(2).position(|two| two == b"\n\n").map_or(text.len(), |at| at + 2);
    if offset >= header_end {
        return ("message".to_owned(), lines(&text[header_end..offset]));
    }
    // A line of the header that begins with a space goes on with the one before it.
    let mut begin = text[..offset].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    while begin > 0 && text.get(begin) == Some(&b' ') {
        begin = text[..begin - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    }
    let word = text[begin..].split(|byte| matches!(byte, b' ' | b'\n')).next().unwrap_or_default();
    let known = word.len() < PART_CHARS_MAX && word.iter().all(u8::is_ascii_lowercase);
    (if known { String::from_utf8_lossy(word).into_owned() } else { "header".to_owned() }, lines(&text[begin..offset]))
}

/// Names of header lines are not longer.
const PART_CHARS_MAX: usize = 20;

/// Looks through what the commits of a range changed, oldest first.
fn in_commits(
    repository: &Repository,
    range: &Range,
    scanner: &Scanner,
    sought: &mut [Sought<'_>],
    mut targets: BTreeMap<Target, Vec<usize>>,
) -> Result<Located, ScanFault> {
    if targets.is_empty() {
        return Ok(Located::Everything);
    }
    let deadline = Instant::now() + LOOK_WAIT;
    let walk = Walk::of(repository, range)?;
    let list = walk.list(&["--reverse"]);
    // What `git log` shows depends on its configuration; these do not.
    let differ = ["diff-tree", "--stdin", "-r", "-t", "-m", "--root", "--raw", "-z", "--no-renames", "--no-abbrev"];
    let mut through = repository.git.stream_through((&list, None), walk.input(), &differ, Vec::new(), None)?;
    let (mut commit, mut change, mut token) = (None, None, Vec::new());
    let read = loop {
        if targets.is_empty() {
            through.abandon();
            return Ok(Located::Everything);
        }
        if Instant::now() > deadline {
            through.abandon();
            return Ok(Located::NotEverything);
        }
        match through.output.until(0, PATH_BYTES_MAX, &mut token) {
            Ok(Some(())) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        match (change.take(), Change::read(&token)) {
            (Some(Change { to, mode }), _) => {
                let name = token.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
                for target in [Target::Blob(to.clone()), Target::Entry(to.clone(), name)] {
                    let Some(mut indexes) = targets.remove(&target) else { continue };
                    indexes.retain(|index| {
                        let path = shown_path(scanner, &token);
                        !sought[*index].is_at(path, &mode, commit.as_ref())
                    });
                    if !indexes.is_empty() {
                        targets.insert(target, indexes);
                    }
                }
            }
            (None, Some(read)) => change = Some(read),
            (None, None) => commit = std::str::from_utf8(&token).ok().and_then(Oid::parse),
        }
    };
    // What no commit has is in none to the end of the list; a git that failed, as at a tree that is not here, did not
    // come that far.
    let passed = through.finish("listing commits", "comparing commits", read);
    Ok(if passed.wrong.is_empty() { Located::Everything } else { Located::NotEverything })
}

/// What `git diff-tree --raw` says before a path.
struct Change {
    /// The object that is there now.
    to: String,
    /// Its mode.
    mode: String,
}

impl Change {
    fn read(token: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(token.strip_prefix(b":")?).ok()?;
        let words: Vec<&str> = text.split(' ').collect();
        let [_, mode, _, to, _] = words.as_slice() else { return None };
        Some(Self { to: (*to).to_owned(), mode: (*mode).to_owned() })
    }
}

/// The refs that lead directly to what is in no commit.
fn references(repository: &Repository, scanner: &Scanner, sought: &mut [Sought<'_>]) {
    const ASKED_MAX: usize = 20;
    let without = |place: &Place| match place.thing {
        Thing::Tag => true,
        Thing::Blob | Thing::Tree => place.commit.is_none(),
        Thing::File | Thing::FileName | Thing::LinkTarget | Thing::Staged | Thing::Commit | Thing::RefName => false,
    };
    for one in sought.iter_mut().filter(|one| without(one.place)).take(ASKED_MAX) {
        let Some(object) = &one.place.object else { continue };
        let points_at = format!("--points-at={object}");
        let asked = ["for-each-ref", "--count=1", "--format=%(refname)", &points_at];
        if let Ok(answer) = repository.git.ask("looking for a ref", &asked, Vec::new())
            && answer.is_ok()
            && !answer.text().is_empty()
        {
            one.place.reference = Some(shown_path(scanner, answer.text().as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_commit_are_told_apart() {
        let text = b"tree 1\nauthor A <a>\ncommitter C <c>\ngpgsig begin\n more\n\nfirst\nsecond\n";
        let at = |needle: &str| {
            let offset = text.windows(needle.len()).position(|one| one == needle.as_bytes()).unwrap();
            part(text, offset as u64)
        };
        for (needle, expected) in [
            ("A <a>", ("author", 1)),
            ("C <c>", ("committer", 1)),
            ("more", ("gpgsig", 2)),
            ("first", ("message", 1)),
            ("second", ("message", 2)),
        ] {
            assert_eq!(at(needle), (expected.0.to_owned(), expected.1), "{needle}");
        }
        assert_eq!(part(b"", 7).1, 1);
    }

    #[test]
    fn the_entry_of_a_tree_is_found_by_its_offset() {
        let tree = [&b"100644 one\0"[..], &[1; 20], b"40000 two\0", &[2; 20]].concat();
        let name = |offset| match entry_at(&tree, 20, offset) {
            Some(Target::Entry(to, name)) => Some((to, String::from_utf8(name).unwrap())),
            Some(Target::Blob(_)) | None => None,
        };
        assert_eq!(name(7), Some(("01".repeat(20), "one".to_owned())));
        assert_eq!(name(31 + 6), Some(("02".repeat(20), "two".to_owned())));
        assert_eq!(name(10_000), None);
        assert_eq!(entry_at(b"100644 broken", 20, 3), None);
    }
}
