//! What git keeps in files of their own, read without git: most of what a push sends was made a moment ago, and a git
//! takes longer to start than that takes to be read.
//!
//! An answer is what `git cat-file --batch --follow-symlinks` writes for the same question. Whatever is not plainly there
//! has no answer here, and git is asked. What is there is what its name says: git itself would send what a pack has under
//! that name, rather than a file that was tampered with.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::{Decompress, FlushDecompress, Status};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::Oid;
use crate::{config, files};

/// The largest object that is read here, in bytes.
const OBJECT_BYTES_MAX: u64 = 1024 * 1024;
/// The largest file of one, in bytes: such an object that deflate could not make smaller.
const FILE_BYTES_MAX: u64 = OBJECT_BYTES_MAX + 64 * 1024;
/// The longest beginning of an object, up to its NUL.
const HEADER_BYTES_MAX: usize = 64;
/// How much of what was read is kept at most, in bytes: a commit is asked for again and again.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// The longest file of a ref, in bytes.
const REF_BYTES_MAX: u64 = 256;
/// How many digits a name has that is a SHA-1.
const SHA1_DIGITS: usize = 40;
/// The modes of files in trees.
const FILE_MODES: [&[u8]; 3] = [b"100644", b"100755", b"100664"];
/// The mode of a directory in a tree.
const TREE_MODE: &[u8] = b"40000";

/// The objects of a repository whose directory of git's own is `.git` at the top of its work tree.
#[derive(Debug, Clone)]
pub(crate) struct Loose {
    /// That directory.
    own: PathBuf,
    /// The top of the work tree.
    top: PathBuf,
    kept: RefCell<Kept>,
}

/// Objects that were read.
#[derive(Debug, Clone, Default)]
struct Kept {
    objects: BTreeMap<Oid, Arc<Object>>,
    /// How long all of them are.
    bytes: usize,
}

/// An object.
#[derive(Debug)]
struct Object {
    kind: Vec<u8>,
    content: Vec<u8>,
}

impl Loose {
    /// Nothing is looked at yet.
    pub(crate) fn of(own: &Path, top: &Path) -> Self {
        Self { own: own.to_owned(), top: top.to_owned(), kept: RefCell::default() }
    }

    /// The answer to a line of questions: the name of an object, of a ref, or what is at a path in a commit.
    pub(super) fn answer(&self, question: &str) -> Option<Vec<u8>> {
        if let Some(oid) = Oid::parse(question) {
            let object = self.object(&oid)?;
            return Some(answer(&oid, &object));
        }
        if question.starts_with("refs/") {
            let oid = self.held(question)?;
            let object = self.object(&oid)?;
            return Some(answer(&oid, &object));
        }
        let (commit, path) = question.split_once(':')?;
        self.at_path(question, &Oid::parse(commit)?, path)
    }

    /// Whether the history ends where it was cut off.
    pub(crate) fn is_shallow(&self) -> bool {
        self.own.join("shallow").exists()
    }

    /// Whether this is a commit. Of what is not plainly there nothing is said.
    pub(crate) fn is_commit(&self, oid: &Oid) -> bool {
        self.object(oid).is_some_and(|object| object.kind == b"commit")
    }

    /// All commits from some on, back to others, which are left out. `None`: not all of them lie here, or they are more
    /// than so many.
    pub(crate) fn commits(&self, from: &[Oid], to: &[Oid], commits_max: usize) -> Option<Vec<Oid>> {
        let mut commits: Vec<Oid> = Vec::new();
        let mut left = from.to_vec();
        while let Some(oid) = left.pop() {
            if to.contains(&oid) || commits.contains(&oid) {
                continue;
            }
            let object = self.object(&oid).filter(|object| object.kind == b"commit" && commits.len() < commits_max)?;
            commits.push(oid);
            left.extend(object.parents()?);
        }
        Some(commits)
    }

    fn object(&self, oid: &Oid) -> Option<Arc<Object>> {
        let mut kept = self.kept.borrow_mut();
        if let Some(object) = kept.objects.get(oid) {
            return Some(object.clone());
        }
        let object = Arc::new(self.read(oid)?);
        if kept.bytes + object.content.len() <= KEPT_BYTES_MAX {
            kept.bytes += object.content.len();
            kept.objects.insert(oid.clone(), object.clone());
        }
        Some(object)
    }

    fn read(&self, oid: &Oid) -> Option<Object> {
        let (directory, name) = oid.as_str().split_at(2);
        let deflated =
            files::read_limited(&self.own.join("objects").join(directory).join(name), FILE_BYTES_MAX).ok()?;
        let mut bytes = inflated(&deflated)?;
        let end = bytes.iter().take(HEADER_BYTES_MAX).position(|byte| *byte == 0)?;
        let content = bytes.split_off(end + 1);
        let (kind, size) = std::str::from_utf8(&bytes[..end]).ok()?.split_once(' ')?;
        let is_kind = matches!(kind, "blob" | "tree" | "commit" | "tag");
        let is_whole = size == content.len().to_string() && content.len() as u64 <= OBJECT_BYTES_MAX;
        let object = (is_kind && is_whole).then(|| Object { kind: kind.as_bytes().to_owned(), content })?;
        object.is_called(oid).then_some(object)
    }

    /// What a ref holds, where a file of its own says so.
    fn held(&self, name: &str) -> Option<Oid> {
        // Where refs are in tables, a file that is left from before says nothing.
        if self.own.join("reftable").exists() {
            return None;
        }
        if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return None;
        }
        let text = files::read_limited(&self.own.join(name), REF_BYTES_MAX).ok()?;
        Oid::parse(std::str::from_utf8(&text).ok()?.strip_suffix('\n')?)
    }

    /// The file at a path in a commit. A link is for git, and so is what is no file.
    fn at_path(&self, question: &str, commit: &Oid, path: &str) -> Option<Vec<u8>> {
        let commit = self.object(commit).filter(|object| object.kind == b"commit")?;
        let line = commit.content.strip_prefix(b"tree ")?;
        let mut tree = Oid::parse(std::str::from_utf8(line.split(|byte| *byte == b'\n').next()?).ok()?)?;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() || part == "." || part == ".." {
                return None;
            }
            let object = self.object(&tree).filter(|object| object.kind == b"tree")?;
            let (mode, oid) = match entry(&object.content, part.as_bytes(), tree.as_str().len() / 2)? {
                Entry::There { mode, oid } => (mode, oid),
                Entry::Nothing => return Some(format!("{question} missing\n").into_bytes()),
            };
            if parts.peek().is_some() {
                (mode == TREE_MODE).then_some(())?;
                tree = oid;
            } else {
                FILE_MODES.contains(&mode).then_some(())?;
                let blob = match self.object(&oid) {
                    Some(object) => (object.kind == b"blob").then_some(object)?,
                    None => Arc::new(self.of_the_work_tree(&oid, path)?),
                };
                return Some(answer(&oid, &blob));
            }
        }
        None
    }

    /// A file that was committed long ago is in a pack; the work tree has it, too, unless it was changed since.
    fn of_the_work_tree(&self, oid: &Oid, path: &str) -> Option<Object> {
        let content = files::read_limited(&self.top.join(path), config::FILE_BYTES_MAX).ok()?;
        let object = Object { kind: b"blob".to_vec(), content };
        object.is_called(oid).then_some(object)
    }
}

thread_local! {
    /// To make one takes longer than to inflate what most objects are.
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(true));
}

/// What this was before it was deflated, unless it is too long. What stands behind it is none of it: git refuses such a
/// file.
fn inflated(deflated: &[u8]) -> Option<Vec<u8>> {
    let bytes_max = usize::try_from(OBJECT_BYTES_MAX).ok()? + HEADER_BYTES_MAX;
    INFLATER.with_borrow_mut(|inflater| {
        inflater.reset(true);
        let mut bytes = Vec::with_capacity((4 * deflated.len()).clamp(HEADER_BYTES_MAX, bytes_max));
        loop {
            let rest = deflated.get(usize::try_from(inflater.total_in()).ok()?..)?;
            match inflater.decompress_vec(rest, &mut bytes, FlushDecompress::Finish).ok()? {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError if bytes.len() == bytes.capacity() && bytes.len() < bytes_max => {
                    bytes.reserve(bytes.len());
                }
                // It was cut off, or is too long.
                Status::Ok | Status::BufError => return None,
            }
        }
        (inflater.total_in() == deflated.len() as u64).then_some(bytes)
    })
}

impl Object {
    /// The parents of a commit. They follow its tree.
    fn parents(&self) -> Option<Vec<Oid>> {
        let mut lines = self.content.split(|byte| *byte == b'\n');
        lines.next().filter(|line| line.starts_with(b"tree "))?;
        let parents = lines.map_while(|line| line.strip_prefix(b"parent "));
        parents.map(|name| Oid::parse(std::str::from_utf8(name).ok()?)).collect()
    }

    /// Whether this is its name: the hash of what git calls it, how long it is, and its content.
    fn is_called(&self, oid: &Oid) -> bool {
        let Self { kind, content } = self;
        let head = [kind, format!(" {}\0", content.len()).as_bytes()].concat();
        let name = if oid.as_str().len() == SHA1_DIGITS {
            Oid::of_bytes(&Sha1::new().chain_update(&head).chain_update(content).finalize())
        } else {
            Oid::of_bytes(&Sha256::new().chain_update(&head).chain_update(content).finalize())
        };
        name == *oid
    }
}

/// As git answers: a line that names the object, its bytes, a line break.
fn answer(oid: &Oid, Object { kind, content }: &Object) -> Vec<u8> {
    let kind = String::from_utf8_lossy(kind);
    let head = format!("{oid} {kind} {}\n", content.len());
    [head.as_bytes(), content, b"\n"].concat()
}

/// What a tree has under a name.
enum Entry<'t> {
    There { mode: &'t [u8], oid: Oid },
    Nothing,
}

/// Looks for a name. `None`: the tree cannot be read.
fn entry<'t>(tree: &'t [u8], name: &[u8], name_bytes: usize) -> Option<Entry<'t>> {
    let mut rest = tree;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (mode, its_name) = (&rest[..space], rest.get(space + 1..end)?);
        let oid = rest.get(end + 1..end + 1 + name_bytes)?;
        if its_name == name {
            return Some(Entry::There { mode, oid: Oid::of_bytes(oid) });
        }
        rest = &rest[end + 1 + name_bytes..];
    }
    Some(Entry::Nothing)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use proptest::prelude::*;

    use super::{super::tests::Hub, *};

    /// A repository with files, directories, links and a tag, none of it packed.
    struct Sample {
        hub: Hub,
        top: PathBuf,
    }

    impl Sample {
        fn hashing_with(format: &'static str) -> Self {
            let hub = Hub::hashing_with(format);
            let top = hub.clone_named("one");
            fs::create_dir_all(top.join("deploy/eu")).unwrap();
            for (path, text) in
                [("license.toml", "version = 1\n"), ("deploy/eu/license.toml", "version = 2\n"), ("empty", "")]
            {
                fs::write(top.join(path), text).unwrap();
            }
            std::os::unix::fs::symlink("license.toml", top.join("link")).unwrap();
            let sample = Self { hub, top };
            sample.git(&["add", "--all"]);
            sample.git(&["commit", "--quiet", "--message=one"]);
            sample.git(&["tag", "--annotate", "--message=a tag", "v1"]);
            sample.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
            sample
        }

        fn git(&self, arguments: &[&str]) -> String {
            self.hub.raw(&self.top, arguments, "")
        }

        fn name(&self, of: &str) -> String {
            self.git(&["rev-parse", of])
        }

        fn loose(&self) -> Loose {
            Loose::of(&self.top.join(".git"), &self.top)
        }

        /// What git answers.
        fn asked(&self, question: &str) -> String {
            let asked = ["cat-file", "--batch", "--follow-symlinks"];
            self.hub.raw(&self.top, &asked, &format!("{question}\n"))
        }

        fn answers(&self, question: &str) -> Option<String> {
            let answer = self.loose().answer(question)?;
            // What is text here, and the trees, which both sides lose the same of.
            Some(String::from_utf8_lossy(&answer).trim_end_matches('\n').to_owned())
        }
    }

    #[test]
    fn an_answer_is_the_one_that_git_gives() {
        for format in ["sha1", "sha256"] {
            let sample = Sample::hashing_with(format);
            let commit = sample.name("HEAD");
            let questions = [
                commit.clone(),
                sample.name("v1"),
                sample.name("HEAD:license.toml"),
                sample.name("HEAD:empty"),
                "refs/remotes/origin/main".to_owned(),
                format!("{commit}:license.toml"),
                format!("{commit}:deploy/eu/license.toml"),
                format!("{commit}:nothing"),
                format!("{commit}:deploy/nothing"),
            ];
            for question in questions {
                assert_eq!(sample.answers(&question), Some(sample.asked(&question)), "{format} {question}");
            }
            let tree = sample.loose().answer(&sample.name("HEAD^{tree}")).unwrap();
            assert!(tree.starts_with(format!("{} tree ", sample.name("HEAD^{tree}")).as_bytes()));
        }
    }

    #[test]
    fn what_is_not_plainly_there_is_left_to_git() {
        let sample = Sample::hashing_with("sha1");
        let commit = sample.name("HEAD");
        for question in [
            "1".repeat(40),
            "HEAD".to_owned(),
            "refs/heads/nothing".to_owned(),
            "refs/../HEAD".to_owned(),
            "refs/heads/.".to_owned(),
            format!("{commit}:link"),
            format!("{commit}:deploy"),
            format!("{commit}:deploy/"),
            format!("{commit}:license.toml/more"),
            format!("{commit}:./license.toml"),
            format!("{commit}:"),
            format!("{}:license.toml", sample.name("v1")),
            format!("{}:license.toml", sample.name("HEAD^{tree}")),
        ] {
            assert_eq!(sample.answers(&question), None, "{question}");
        }
        sample.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
        assert_eq!(sample.answers("refs/remotes/origin/HEAD"), None);
    }

    #[test]
    fn a_blob_is_read_whole_whatever_its_length_and_however_well_it_was_deflated() {
        let sample = Sample::hashing_with("sha1");
        let loose = sample.loose();
        let longest = usize::try_from(OBJECT_BYTES_MAX).unwrap();
        for bytes in [0, 1, HEADER_BYTES_MAX, 4095, 65_536, longest - 1, longest, longest + 1] {
            let noise: Vec<u8> = (0..bytes as u64).map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes()[2]).collect();
            for content in [vec![b'a'; bytes], noise] {
                fs::write(sample.top.join("blob"), &content).unwrap();
                let name = sample.git(&["hash-object", "-w", "blob"]);
                let read = loose.answer(&name);
                let expected = [format!("{name} blob {bytes}\n").as_bytes(), &content, b"\n"].concat();
                assert_eq!(read.is_some(), bytes <= longest, "{bytes}");
                for read in read.into_iter().chain(loose.answer(&name)) {
                    assert!(read == expected, "{bytes}");
                }
            }
        }
        assert!(loose.kept.borrow().bytes <= KEPT_BYTES_MAX);
    }

    #[test]
    fn a_file_in_a_pack_is_taken_from_the_work_tree_where_it_is_the_same() {
        for format in ["sha1", "sha256"] {
            let sample = Sample::hashing_with(format);
            sample.git(&["repack", "--quiet", "-a", "-d"]);
            fs::write(sample.top.join("empty"), "no more").unwrap();
            sample.git(&["commit", "--quiet", "--all", "--message=two"]);
            let question = format!("{}:license.toml", sample.name("HEAD"));
            assert_eq!(sample.answers(&sample.name("HEAD:license.toml")), None, "it is in the pack");
            assert_eq!(sample.answers(&question), Some(sample.asked(&question)));
            fs::write(sample.top.join("license.toml"), "version = 3\n").unwrap();
            assert_eq!(sample.answers(&question), None);
            fs::remove_file(sample.top.join("license.toml")).unwrap();
            assert_eq!(sample.answers(&question), None);
        }
    }

    proptest! {
        /// A tree is of whoever made it, and has the name of its bytes, whatever they are.
        #[test]
        fn any_bytes_are_a_tree_or_none(
            tree in proptest::collection::vec(prop_oneof![Just(0_u8), Just(b' '), Just(b'a'), any::<u8>()], 0..120),
            is_long: bool,
        ) {
            let name_bytes = if is_long { 32 } else { 20 };
            let found = entry(&tree, b"a", name_bytes);
            if let Some(Entry::There { .. }) = found {
                prop_assert!(tree.windows(3).any(|part| part == b" a\0"), "it is somewhere");
            }
        }
    }

    #[test]
    fn a_broken_file_has_no_answer() {
        let sample = Sample::hashing_with("sha1");
        let name = sample.name("HEAD:license.toml");
        let file = sample.top.join(".git/objects").join(&name[..2]).join(&name[2..]);
        let whole = fs::read(&file).unwrap();
        let deflated = |text: &[u8]| {
            let mut encoder = flate2::read::ZlibEncoder::new(text, flate2::Compression::default());
            let mut bytes = Vec::new();
            encoder.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let more = usize::try_from(OBJECT_BYTES_MAX).unwrap() + 1;
        let large = [format!("blob {more}\0").as_bytes(), &vec![b' '; more]].concat();
        for bytes in [
            Vec::new(),
            whole[..whole.len() - 1].to_vec(),
            [&whole[..], b"x"].concat(),
            [&whole[..8], b"????", &whole[12..]].concat(),
            deflated(b""),
            deflated(b"blob 3"),
            deflated(b"blob 3\0ab"),
            deflated(b"blob 3\0abcd"),
            // A whole object of another name.
            deflated(b"blob 3\0abc"),
            deflated(b"blob +3\0abc"),
            deflated(b"blob 03\0abc"),
            deflated(b"blub 3\0abc"),
            deflated(b"blob3\0abc"),
            deflated(&large),
        ] {
            fs::remove_file(&file).unwrap();
            fs::write(&file, &bytes).unwrap();
            assert_eq!(sample.answers(&name), None, "{} bytes", bytes.len());
        }
        fs::remove_file(&file).unwrap();
        fs::write(&file, deflated(b"blob 12\0version = 1\n")).unwrap();
        assert_eq!(sample.answers(&name), Some(format!("{name} blob 12\nversion = 1")), "a whole one has one");
    }

    #[test]
    fn refs_in_tables_are_left_to_git() {
        let sample = Sample::hashing_with("sha1");
        assert!(sample.answers("refs/remotes/origin/main").is_some());
        fs::create_dir(sample.top.join(".git/reftable")).unwrap();
        assert_eq!(sample.answers("refs/remotes/origin/main"), None);
    }
}
