//! What the hook asks git besides the scan: where it is, what the remote's address is, and what `license.toml` says in
//! what is pushed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use crate::{
    git::{
        Contains, Git, GitError, Oid,
        loose::Loose,
        settings::{Own, Settings},
        stream::{Streaming, Surroundings},
    },
    scan::repository::Repository as Scanning,
    vars::Vars,
};

/// The most files of different content that one push is looked at for.
const FILES_MAX: usize = 64;
/// The longest line that git answers with before an object, in bytes: it repeats what was asked for.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// The repository that is pushed from.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    git: Git,
    directory: PathBuf,
    /// Its `.git`, where nothing that is known without git says that this is not its directory.
    plain: Option<PathBuf>,
    /// Its objects, where nobody says that they are elsewhere.
    loose: Option<Loose>,
}

/// What git said about the repository.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Where it is.
    pub(crate) whereabouts: Whereabouts,
    /// What its configuration says.
    pub(crate) settings: Settings,
}

/// A ref that says what a remote has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracked {
    /// Its name.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) oid: Oid,
}

/// Where the repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    /// The directory that all worktrees share, absolute.
    pub(crate) common: PathBuf,
    /// The top of the work tree that is pushed from; none in a bare repository.
    pub(crate) top: Option<PathBuf>,
}

/// A file of what is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there. Equal names are equal content.
    File(Oid),
    /// There is none.
    Nothing,
    /// It is there, and is nothing that can be read, for this reason.
    Unreadable(String),
    /// It is there, and was not read, for this reason.
    LeftOut(String),
}

/// The files of what is pushed, by their content.
pub(crate) type Contents = BTreeMap<String, Vec<u8>>;

impl Repository {
    /// The repository that the hook was started for. Nothing is looked at before something is asked for.
    pub(crate) fn of_hook(directory: &Path, vars: &Vars) -> Self {
        let git = Git::for_scan(directory, vars, &BTreeSet::new(), Surroundings::Push);
        let names = ["GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE"];
        let is_elsewhere = names.iter().any(|name| vars.raw(name).is_some());
        let own = directory.join(".git");
        // A linked worktree has a file there, or one that names the common directory.
        let plain = (!is_elsewhere && own.is_dir() && !own.join("commondir").exists())
            .then(|| own.canonicalize().unwrap_or(own));
        let own_objects = plain.as_ref().filter(|_| vars.raw("GIT_OBJECT_DIRECTORY").is_none());
        let loose = own_objects.map(|own| Loose::of(own, directory));
        Self { git, directory: directory.to_owned(), plain, loose }
    }

    /// The same, for the scan.
    pub(crate) fn scanning(&self) -> Scanning {
        Scanning::of(self.git.clone(), &self.directory)
    }

    /// Where the directory that all worktrees share may be, before git has said so.
    pub(crate) fn likely_common(&self) -> Option<&Path> {
        self.plain.as_deref()
    }

    /// What can be read of it without git.
    pub(crate) fn loose(&self) -> Option<Loose> {
        self.loose.clone()
    }

    /// Where it is.
    pub(crate) fn whereabouts(&self) -> Result<Whereabouts, GitError> {
        let doing = "looking for the repository";
        let asked = ["rev-parse", "--git-common-dir", "--is-bare-repository", "--is-inside-work-tree", "--show-prefix"];
        let answer = self.git.ask(doing, &asked, Vec::new())?;
        if !answer.is_ok() {
            return Err(self.git.explain(doing, answer.said));
        }
        let unreadable = || GitError::Failed { doing, said: "its output cannot be read".to_owned() };
        let output = answer.output.strip_suffix(b"\n").unwrap_or(&answer.output);
        // From the end: a path may have a line break in it.
        let mut lines = output.rsplitn(4, |&byte| byte == b'\n');
        let last = (lines.next(), lines.next(), lines.next(), lines.next());
        let (Some(prefix), Some(inside), Some(bare), Some(common)) = last else { return Err(unreadable()) };
        let common = self.directory.join(OsString::from_vec(common.to_vec()));
        let common = common.canonicalize().unwrap_or(common);
        let top = match (bare, inside) {
            (b"false", b"true") => {
                let depth = Path::new(&OsString::from_vec(prefix.to_vec())).components().count();
                Some(self.directory.ancestors().nth(depth).ok_or_else(unreadable)?.to_owned())
            }
            (b"true" | b"false", b"true" | b"false") => None,
            _ => return Err(unreadable()),
        };
        Ok(Whereabouts { common, top })
    }

    /// What git's configuration says, and where the repository is. Something else is done while git looks.
    pub(crate) fn facts(&self, meanwhile: impl FnOnce()) -> Result<Facts, GitError> {
        let settings = self.git.settings(meanwhile)?;
        let whereabouts = match (settings.own, &self.plain) {
            (Own::Here, Some(common)) => Whereabouts { common: common.clone(), top: Some(self.directory.clone()) },
            (Own::Here | Own::Elsewhere, _) => self.whereabouts()?,
        };
        Ok(Facts { whereabouts, settings })
    }

    /// The refs that say what remotes have: what each holds. Those that only stand for another one are left out.
    pub(crate) fn tracked(&self) -> Result<Vec<Tracked>, GitError> {
        let doing = "listing the refs of the remotes";
        let asked = ["for-each-ref", "--format=%(objectname) %(symref) %(refname)", "refs/remotes/"];
        let answer = self.git.ask(doing, &asked, Vec::new())?;
        if !answer.is_ok() {
            return Err(self.git.explain(doing, answer.said));
        }
        let text = String::from_utf8_lossy(&answer.output);
        let tracked = text.lines().filter_map(|line| {
            let (oid, rest) = line.split_once(' ')?;
            let name = rest.strip_prefix(' ')?.to_owned();
            Some(Tracked { name, oid: Oid::parse(oid)? })
        });
        Ok(tracked.collect())
    }

    /// The object that a name means here.
    pub(crate) fn resolve(&self, name: &str) -> Result<Option<Oid>, GitError> {
        if name.starts_with('-') || name.contains(['\n', '\0']) {
            return Ok(None);
        }
        let asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", name];
        let answer = self.git.ask("reading a ref", &asked, Vec::new())?;
        if answer.is_ok() { Ok(Oid::parse(&answer.text())) } else { Ok(None) }
    }

    /// Whether a ref that held `old` is only moved on. What is not here cannot be proved.
    pub(crate) fn moves_on(&self, old: &Oid, new: &Oid) -> Result<Contains, GitError> {
        match self.git.contains(new, old) {
            Ok(contains) => Ok(contains),
            // git cannot compare what it does not have.
            Err(GitError::Failed { .. }) => Ok(Contains::No),
            Err(other) => Err(other),
        }
    }

    /// Reads the answers to the paths of [`at_path`]: what is there in each of these objects, in their order, with the
    /// contents beside it. Symbolic links are followed inside of the object's tree, by git, which bounds that.
    pub(crate) fn files(output: &mut Streaming, count: usize, bytes_max: u64) -> io::Result<(Vec<Found>, Contents)> {
        let mut contents = Contents::new();
        let found = (0..count).map(|_| next_file(output, bytes_max, &mut contents)).collect::<io::Result<_>>()?;
        Ok((found, contents))
    }

    /// What is not there because a partial clone left it with its remote.
    pub(crate) fn left_out(&self, found: &mut [Found], of: &[&Oid], path: &str) -> Result<(), GitError> {
        let nothing = found.iter_mut().zip(of).filter(|(found, _)| **found == Found::Nothing);
        for (found, oid) in nothing.take(FILES_MAX) {
            if let Some(what) = self.left_behind(oid, path)? {
                *found = Found::LeftOut(format!("{what} is not in this partial clone"));
            }
        }
        Ok(())
    }

    /// What is not here on the way to a file, by what knows it by name: a commit its tree, and a tree what is in it.
    fn left_behind(&self, oid: &Oid, path: &str) -> Result<Option<&'static str>, GitError> {
        const DIRECTORY: &str = "a directory that leads to it";
        if !self.is_here(&at_path(oid, ""))? {
            return Ok(self.is_here(&format!("{oid}^{{commit}}"))?.then_some(DIRECTORY));
        }
        for (end, _) in path.match_indices('/') {
            let directory = at_path(oid, &path[..end]);
            if self.resolve(&directory)?.is_none() {
                return Ok(None);
            }
            if !self.is_here(&directory)? {
                return Ok(Some(DIRECTORY));
            }
        }
        Ok(self.resolve(&at_path(oid, path))?.map(|_| "its content"))
    }

    fn is_here(&self, name: &str) -> Result<bool, GitError> {
        Ok(self.git.ask("looking for an object", &["cat-file", "-e", name], Vec::new())?.is_ok())
    }
}

/// How git calls what is at a path in an object. A path begins at the top of the tree and has no line break.
pub(crate) fn at_path(oid: &Oid, path: &str) -> String {
    format!("{oid}:{path}")
}

/// Reads what a ref holds, where there is one.
pub(crate) fn next_held(output: &mut Streaming) -> io::Result<Option<Oid>> {
    let mut contents = Contents::new();
    let mut header = Vec::new();
    next_answer(output, 0, &mut contents, &mut header)?;
    let name = header.split(|byte| *byte == b' ').next().unwrap_or_default();
    Ok(std::str::from_utf8(name).ok().and_then(Oid::parse))
}

/// Reads one answer of `git cat-file --batch`.
fn next_file(output: &mut Streaming, bytes_max: u64, contents: &mut Contents) -> io::Result<Found> {
    next_answer(output, bytes_max, contents, &mut Vec::new())
}

fn next_answer(
    output: &mut Streaming,
    bytes_max: u64,
    contents: &mut Contents,
    header: &mut Vec<u8>,
) -> io::Result<Found> {
    let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "its output cannot be read");
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "its output ended too early");
    output.until(b'\n', HEADER_BYTES_MAX, header)?.ok_or_else(ended)?;
    let header = String::from_utf8_lossy(header);
    let header = header.trim_end_matches('\n');
    if header.ends_with(" missing") {
        return Ok(Found::Nothing);
    }
    let words: Vec<&str> = header.split(' ').collect();
    if let [word, bytes] = words[..] {
        let why = no_target(word).ok_or_else(unreadable)?;
        // What is linked to, or what was asked for.
        output.pieces(bytes.parse().map_err(|_| unreadable())?, |_| ())?;
        output.line_end_to_come();
        return Ok(Found::Unreadable(why.to_owned()));
    }
    let [name, kind, bytes] = words[..] else { return Err(unreadable()) };
    let (blob, bytes) = Oid::parse(name).zip(bytes.parse::<u64>().ok()).ok_or_else(unreadable)?;
    let file = match () {
        () if kind != "blob" => Found::Unreadable(format!("it is a {}", license_core::finding::clean(kind))),
        () if bytes > bytes_max => Found::Unreadable(format!("it is longer than {bytes_max} bytes")),
        () if contents.len() >= FILES_MAX && !contents.contains_key(name) => {
            Found::LeftOut(format!("the push has more than {FILES_MAX} different ones"))
        }
        () => Found::File(blob),
    };
    let mut kept = Vec::new();
    let keep = matches!(file, Found::File(_)) && !contents.contains_key(name);
    output.pieces(bytes, |piece| {
        if keep {
            kept.extend_from_slice(piece);
        }
    })?;
    output.line_end_to_come();
    if keep {
        contents.insert(name.to_owned(), kept);
    }
    Ok(file)
}

/// Why a symbolic link leads to nothing that can be read, by git's word for it.
fn no_target(word: &str) -> Option<&'static str> {
    Some(match word {
        "symlink" => "it is a symbolic link that leads out of the repository",
        "dangling" => "it is a symbolic link to something that is not in the commit",
        "loop" => "it is a symbolic link that leads back to itself",
        "notdir" => "a directory of its path, or of the symbolic link that it is, is a file",
        _ => return None,
    })
}
