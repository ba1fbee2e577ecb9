//! The push guard, beside git itself: what git takes to list and to hand out what a push sends, to no end.
//!
//! Every part runs on a repository that is made here, always the same one, and on one that a variable names.

use std::{
    env, fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    BINARY, Effort, program,
    table::{Row, median},
};

/// The variable that names a repository of other people's: its branch that is checked out is measured.
const VARIABLE: &str = "LICENSE_BENCH_REPOSITORY";
/// The fewest commits that repository may have.
const COMMITS_MIN: usize = 4_000;
/// The commits of the repository that is made here.
const COMMITS: u64 = 5_000;
/// Its files, in [`DIRECTORIES`] directories.
const FILES: u64 = 240;
const DIRECTORIES: u64 = 24;
/// The lines of a file of it: some 12 KiB.
const LINES: usize = 240;
/// The files that one commit of it changes.
const CHANGED: u64 = 3;
/// How much later than these the commits of the benchmark are: later than any of a real repository.
const LATER_SECS: u64 = 300_000_000;
/// How many keys are configured: as in a project, and very many.
const KEYS: [usize; 2] = [3, 100];
/// The commits of a large push.
const LARGE: usize = 1_000;
/// The branch that is pushed.
const BRANCH: &str = "refs/heads/main";
/// What the remote had of it when git last saw it.
const SEEN: &str = "refs/remotes/origin/main";
/// The object that is none.
const NOTHING: &str = "0000000000000000000000000000000000000000";
/// How git lists objects, and how it hands them out.
const LIST: [&str; 3] = ["rev-list", "--objects", "--no-object-names"];
const HAND_OUT: [&str; 3] = ["cat-file", "--batch", "--buffer"];

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    let made = made();
    let mut rows = of(&Subject { name: "made here".to_owned(), directory: made.path().to_owned() }, effort);
    match other() {
        Ok(subject) => rows.extend(of(&subject, effort)),
        Err(why) => rows.push(Row::skipped("a push from a public repository", &why)),
    }
    rows
}

/// Has a program watch the hook: of one commit, with few keys and with many, and with nothing to push.
pub(crate) fn watched(watcher: &[&str]) {
    let made = made();
    let subject = Subject { name: "made here".to_owned(), directory: made.path().to_owned() };
    for site in KEYS.map(|keys| Site::of(&subject, keys)) {
        let had = site.had(Push::Newest);
        site.seen(had.as_deref());
        for line in [site.line(had.as_deref()), String::new()] {
            let mut command = site.command(Path::new(watcher[0]));
            command.args(&watcher[1..]).arg(BINARY);
            assert!(site.start(&mut command, &line).wait().unwrap().success(), "{watcher:?}");
        }
    }
}

/// A repository with a history.
struct Subject {
    name: String,
    directory: PathBuf,
}

/// The one that the variable names.
fn other() -> Result<Subject, String> {
    let directory = env::var_os(VARIABLE).map(PathBuf::from);
    let directory = directory.ok_or_else(|| format!("`{VARIABLE}` names no repository"))?;
    let commits = asked(&directory, &["rev-list", "--count", "HEAD"]);
    if commits.parse::<usize>().unwrap() < COMMITS_MIN {
        return Err(format!("{} has only {commits} commits, and {COMMITS_MIN} are needed", directory.display()));
    }
    let name = directory.file_stem().unwrap_or(directory.as_os_str()).to_string_lossy();
    Ok(Subject { name: format!("{name}, {commits} commits"), directory })
}

fn of(subject: &Subject, effort: Effort) -> Vec<Row> {
    let sites = KEYS.map(|keys| Site::of(subject, keys));
    let mut rows = Vec::new();
    for push in [Push::Newest, Push::Large, Push::Everything] {
        rows.extend(push.measure(subject, &sites, effort));
    }
    let [few, _] = &sites;
    rows.extend(memory(subject, few, effort));
    rows.push(history(subject, few, effort));
    rows.push(dry_run(subject, few, effort));
    rows.push(nothing(subject, few, effort));
    rows
}

/// A push.
#[derive(Debug, Clone, Copy)]
enum Push {
    /// Of one commit that changes one file.
    Newest,
    /// Of about a thousand.
    Large,
    /// To a remote that has nothing.
    Everything,
}

impl Push {
    fn measure(self, subject: &Subject, sites: &[Site; 2], effort: Effort) -> [Row; 2] {
        let had = sites.each_ref().map(|site| site.had(self));
        let [few, many] = sites.each_ref();
        let mut times: [Vec<Duration>; 3] = Default::default();
        let (turns, most) = match self {
            Self::Newest => (effort.pick(201, 41), 1.8),
            Self::Large => (effort.pick(31, 5), 1.15),
            Self::Everything => (effort.pick(7, 1), 1.15),
        };
        few.seen(had[0].as_deref());
        many.seen(had[1].as_deref());
        for _ in 0..turns {
            times[0].push(few.pre_push(had[0].as_deref()));
            times[1].push(handed_out(&few.work, &range(had[0].as_deref())));
            times[2].push(many.pre_push(had[1].as_deref()));
        }
        let [ours, git, hundred] = times.map(|times| median(&times));
        let what = match self {
            Self::Newest => "1 commit".to_owned(),
            Self::Large => format!("{} commits", few.count(had[0].as_deref())),
            Self::Everything => "everything".to_owned(),
        };
        let Subject { name, .. } = subject;
        [
            Row::slower_at_most(
                &format!("{name}: `pre-push` of {what} / git's `rev-list \\| cat-file`"),
                ours,
                git,
                most,
            ),
            Row::slower_at_most(&format!("{name}: the same with 100 keys / with 3"), hundred, ours, 2.0),
        ]
    }
}

/// The most memory of our process alone; and what of it are no pages of files, which Linux has in memory anyway and maps
/// by pieces of whatever size it read them in.
fn memory(subject: &Subject, site: &Site, effort: Effort) -> [Row; 2] {
    const KIB_MAX: u64 = 8 * 1024;
    let had = site.had(Push::Newest);
    site.seen(had.as_deref());
    let (mut peak, mut private) = (0, 0);
    for _ in 0..effort.pick(31, 11) {
        let mut child = site.started(had.as_deref());
        let status = format!("/proc/{}/status", child.id());
        // A short run may end before its last look.
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(program::kib(&status, "VmHWM:").unwrap_or_default());
            private = private.max(program::kib(&status, "RssAnon:").unwrap_or_default());
        }
    }
    let name = format!("{}: its own peak memory, 1 commit", subject.name);
    let of_it = format!("{}: of it not pages of files", subject.name);
    [Row::amount_at_most(&name, peak, KIB_MAX, "KiB"), Row::amount(&of_it, private, "KiB")]
}

/// Everything that any ref leads to, along the delta trees of the packs.
fn history(subject: &Subject, site: &Site, effort: Effort) -> Row {
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..effort.pick(7, 1) {
        times[0].push(program::timed(site.command(Path::new(BINARY)).args(["leaks", "--history"]), 0));
        times[1].push(handed_out(&site.work, &["--all".to_owned()]));
    }
    let [ours, git] = times.map(|times| median(&times));
    let name = format!("{}: `leaks --history` / git's `rev-list --all \\| cat-file`", subject.name);
    Row::faster_at_least(&name, ours, git, 2.0)
}

/// What the hook adds to a push that sends nothing.
fn dry_run(subject: &Subject, site: &Site, effort: Effort) -> Row {
    let had = site.had(Push::Newest);
    site.seen(had.as_deref());
    asked(&site.hub, &["update-ref", BRANCH, &had.unwrap()]);
    let (mut added, mut versions) = (Vec::new(), Vec::new());
    for _ in 0..effort.pick(201, 41) {
        let push = |hook: &[&str]| {
            program::timed(
                site.command(Path::new("git")).arg("push").args(hook).args(["--dry-run", "origin", "main"]),
                0,
            )
        };
        let (without, with) = (push(&["--no-verify"]), push(&[]));
        added.push(with.as_secs_f64() - without.as_secs_f64());
        versions.push(program::timed(site.command(Path::new("git")).arg("--version"), 0));
    }
    let added = Duration::from_secs_f64(median(&added).max(0.0));
    let name = format!("{}: what the hook adds to `git push --dry-run` of 1 commit / `git --version`", subject.name);
    Row::slower_at_most(&name, added, median(&versions), 7.0)
}

/// The hook as git starts it when there is nothing to push.
fn nothing(subject: &Subject, site: &Site, effort: Effort) -> Row {
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..effort.pick(201, 41) {
        times[0]
            .push(program::timed_with_pipe(site.command(&site.hook()).args(["origin", site.hub.to_str().unwrap()]), 0));
        times[1].push(program::timed(site.command(Path::new("git")).arg("--version"), 0));
    }
    let [ours, git] = times.map(|times| median(&times));
    let name = format!("{}: the installed hook with nothing to push / `git --version`", subject.name);
    Row::slower_at_most(&name, ours, git, 2.0)
}

/// A clone with its keys, its hook, and a bare repository that it pushes to.
struct Site {
    root: TempDir,
    work: PathBuf,
    hub: PathBuf,
    keys: Vec<(String, String)>,
}

impl Site {
    /// Two commits follow the history of the subject: one that brings the `license.toml`, and one that changes a file.
    fn of(subject: &Subject, keys: usize) -> Self {
        let root = TempDir::with_prefix("push-").unwrap();
        let path = |name: &str| root.path().join(name);
        let (work, hub) = (path("work"), path("hub.git"));
        fs::create_dir(path("home")).unwrap();
        let from = subject.directory.to_str().unwrap();
        asked(root.path(), &["clone", "--quiet", "--no-checkout", "--single-branch", "--no-tags", from, "work"]);
        asked(root.path(), &["clone", "--quiet", "--bare", "--single-branch", "--no-tags", from, "hub.git"]);
        let mut random = Random(0x7075_7368);
        let keys = (1..=keys).map(|number| (format!("LICENSE_KEY_{number}"), key(&mut random))).collect();
        let site = Self { root, work, hub, keys };
        for repository in [&site.work, &site.hub] {
            asked(repository, &["branch", "-M", "main"]);
            asked(repository, &["remote", "remove", "origin"]);
        }
        asked(&site.work, &["remote", "add", "origin", site.hub.to_str().unwrap()]);
        let top = asked(&site.work, &["rev-parse", BRANCH]);
        let toml = site.license_toml();
        let with_toml = site.commit(&top, "license.toml", toml.as_bytes());
        let (file, text) = typical(&site.work, &top);
        let newest = site.commit(&with_toml, &file, &[&text[..], b"one more line\n"].concat());
        asked(&site.work, &["update-ref", BRANCH, &newest]);
        asked(&site.work, &["push", "--quiet", "origin", &format!("{with_toml}:{BRANCH}")]);
        fs::write(site.work.join("license.toml"), toml).unwrap();
        program::timed(site.command(Path::new(BINARY)).args(["hook", "install"]), 0);
        assert!(site.hook().exists());
        site
    }

    /// One environment for every key; pushes deploy to none of them.
    fn license_toml(&self) -> String {
        let mut text = "version = 1\n\n[authority.local]\nkind = \"embedded\"\n".to_owned();
        for (number, (variable, _)) in self.keys.iter().enumerate() {
            text.extend([format!(
                "\n[environments.e{number}]\nauthority = \"local\"\ndomain = \"e{number}.app.com\"\n\
                 key = {{ env = \"{variable}\" }}\n"
            )]);
        }
        text
    }

    /// A commit that writes one file.
    fn commit(&self, parent: &str, path: &str, bytes: &[u8]) -> String {
        let mut stream = Vec::new();
        header(&mut stream, "refs/heads/written", LATER_SECS, "a change");
        writeln!(stream, "from {parent}").unwrap();
        file(&mut stream, path, bytes);
        import(&self.work, |pipe| pipe.write_all(&stream).unwrap());
        let commit = asked(&self.work, &["rev-parse", "refs/heads/written"]);
        asked(&self.work, &["update-ref", "-d", "refs/heads/written"]);
        commit
    }

    /// What the remote has before this push.
    fn had(&self, push: Push) -> Option<String> {
        match push {
            Push::Newest => Some(asked(&self.work, &["rev-parse", &format!("{BRANCH}^")])),
            Push::Everything => None,
            Push::Large => {
                // The further back along the first parents, the more commits there are to push.
                let line = asked(&self.work, &["rev-list", "--first-parent", "--max-count=1001", BRANCH]);
                let line: Vec<&str> = line.lines().collect();
                let enough = line.partition_point(|commit| self.count(Some(commit)) < LARGE);
                Some(line[enough].to_owned())
            }
        }
    }

    /// How many commits that push sends.
    fn count(&self, had: Option<&str>) -> usize {
        let range = range(had);
        let range = range.iter().map(String::as_str);
        asked(&self.work, &["rev-list", "--count"].into_iter().chain(range).collect::<Vec<_>>()).parse().unwrap()
    }

    /// git remembers that the remote has this.
    fn seen(&self, had: Option<&str>) {
        match had {
            Some(had) => asked(&self.work, &["update-ref", SEEN, had]),
            None => asked(&self.work, &["update-ref", "-d", SEEN]),
        };
    }

    /// How long the whole hook takes, as git starts it.
    fn pre_push(&self, had: Option<&str>) -> Duration {
        let started = Instant::now();
        let status = self.started(had).wait().unwrap();
        let took = started.elapsed();
        assert!(status.success(), "the push was stopped: {status}");
        took
    }

    fn started(&self, had: Option<&str>) -> Child {
        self.start(&mut self.command(Path::new(BINARY)), &self.line(had))
    }

    /// What git tells the hook about a push of the branch.
    fn line(&self, had: Option<&str>) -> String {
        // The name of a branch's newest commit stands in its file.
        let newest = fs::read_to_string(self.work.join(".git").join(BRANCH)).unwrap();
        format!("{BRANCH} {} {BRANCH} {}\n", newest.trim(), had.unwrap_or(NOTHING))
    }

    fn start(&self, command: &mut Command, line: &str) -> Child {
        command.args(["pre-push", "origin", self.hub.to_str().unwrap()]);
        let mut child = program::quiet(command).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        child
    }

    fn hook(&self) -> PathBuf {
        self.work.join(".git/hooks/pre-push")
    }

    /// A program in the work tree, with the keys.
    fn command(&self, program: &Path) -> Command {
        let mut command = git_like(program, &self.work);
        command.env("HOME", self.root.path().join("home")).envs(self.keys.iter().map(|(name, key)| (name, key)));
        command
    }
}

/// What a push of the branch sends to a remote that has this.
fn range(had: Option<&str>) -> Vec<String> {
    let had = had.map(|had| format!("^{had}"));
    [BRANCH.to_owned()].into_iter().chain(had).collect()
}

/// How long git takes to list the objects of a range, to hand them out, and `wc` to count the bytes. No shell is timed.
fn handed_out(directory: &Path, range: &[String]) -> Duration {
    let start = |program: &str, arguments: &[&str], input: Stdio| {
        let mut command = git_like(Path::new(program), directory);
        let child = command.args(arguments).stdin(input).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        child.unwrap()
    };
    let started = Instant::now();
    let range = range.iter().map(String::as_str);
    let mut list = start("git", &LIST.into_iter().chain(range).collect::<Vec<_>>(), Stdio::null());
    let mut hand_out = start("git", &HAND_OUT, list.stdout.take().unwrap().into());
    let count = start("wc", &["-c"], hand_out.stdout.take().unwrap().into()).wait_with_output().unwrap();
    let ended = [list.wait().unwrap(), hand_out.wait().unwrap(), count.status];
    let took = started.elapsed();
    let bytes: u64 = String::from_utf8(count.stdout).unwrap().trim().parse().unwrap();
    let well = ended.into_iter().all(|status| status.success());
    assert!(well && bytes > 0, "git did not hand out {}", directory.display());
    took
}

/// Runs git, which must do what it is asked; its output without the last line break.
fn asked(directory: &Path, arguments: &[&str]) -> String {
    let output = git_like(Path::new("git"), directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A program that does not see how git is configured on this machine. One that has to be looked for would be started by a
/// copy of this process, which takes longer.
fn git_like(program: &Path, directory: &Path) -> Command {
    let path = env::var_os("PATH").unwrap();
    let found = env::split_paths(&path).map(|place| place.join(program)).find(|file| file.is_file());
    let mut command = program::bare(found.unwrap());
    command.current_dir(directory).envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
    command
}

/// A file of middling length, with its text.
fn typical(directory: &Path, commit: &str) -> (String, Vec<u8>) {
    let listed = asked(directory, &["ls-tree", "-r", "-l", "--full-tree", commit]);
    let regular = listed.lines().filter_map(|line| {
        let (about, path) = line.split_once('\t')?;
        let bytes: u64 = about.starts_with("100644 blob").then(|| about.split_whitespace().last()?.parse().ok())??;
        (!path.starts_with('"')).then_some((bytes, path))
    });
    let mut regular: Vec<_> = regular.collect();
    regular.sort_unstable();
    let (_, path) = regular[regular.len() / 2];
    let shown = git_like(Path::new("git"), directory).args(["cat-file", "blob", &format!("{commit}:{path}")]).output();
    (path.to_owned(), shown.unwrap().stdout)
}

/// A repository with [`COMMITS`] commits, in which files of text change a little: packed, as a clone is.
fn made() -> TempDir {
    let directory = TempDir::with_prefix("history-").unwrap();
    asked(directory.path(), &["init", "--quiet", "--bare", "--initial-branch=main"]);
    import(directory.path(), history_of_text);
    asked(directory.path(), &["-c", "pack.threads=1", "repack", "--quiet", "-a", "-d", "-f"]);
    directory
}

fn history_of_text(pipe: &mut dyn Write) {
    let mut random = Random(0x6869_7374);
    let mut files: Vec<Vec<String>> = (0..FILES).map(|_| (0..LINES).map(|_| line(&mut random)).collect()).collect();
    for commit in 0..COMMITS {
        header(pipe, BRANCH, commit, &line(&mut random));
        // The first one brings all of them.
        let changed = if commit == 0 { FILES } else { CHANGED };
        for at in 0..changed {
            let number = if commit == 0 { at } else { random.below(FILES) };
            let lines = &mut files[usize::try_from(number).unwrap()];
            for _ in 0..=random.below(6) {
                let at = usize::try_from(random.below(LINES as u64)).unwrap();
                lines[at] = line(&mut random);
            }
            let path = format!("src/part_{}/file_{number}.txt", number % DIRECTORIES);
            file(pipe, &path, lines.concat().as_bytes());
        }
    }
}

/// The beginning of a commit for git's `fast-import`.
fn header(pipe: &mut (impl Write + ?Sized), branch: &str, second: u64, message: &str) {
    let (at, bytes) = (1_700_000_000 + second, message.len());
    writeln!(pipe, "commit {branch}\ncommitter A. Author <author@example.com> {at} +0000\ndata {bytes}\n{message}")
        .unwrap();
}

/// A file of a commit.
fn file(pipe: &mut (impl Write + ?Sized), path: &str, bytes: &[u8]) {
    writeln!(pipe, "M 100644 inline {path}\ndata {}", bytes.len()).unwrap();
    pipe.write_all(bytes).unwrap();
    pipe.write_all(b"\n").unwrap();
}

fn import(directory: &Path, write: impl FnOnce(&mut dyn Write)) {
    let mut command = git_like(Path::new("git"), directory);
    let mut child =
        command.args(["fast-import", "--quiet", "--date-format=raw"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = BufWriter::new(child.stdin.take().unwrap());
    write(&mut pipe);
    pipe.flush().unwrap();
    drop(pipe);
    assert!(child.wait().unwrap().success(), "git imported nothing");
}

/// A line of text like a program's.
fn line(random: &mut Random) -> String {
    const WORDS: [&str; 32] = [
        "let",
        "the",
        "match",
        "config",
        "=",
        "return",
        "source",
        "package",
        "(",
        ")",
        "resolve",
        "target",
        "build",
        "self",
        "workspace",
        "path",
        "->",
        "error",
        "feature",
        "lock",
        "for",
        "in",
        "dependency",
        "{",
        "}",
        "version",
        "registry",
        "index",
        "if",
        "else",
        "crate",
        "profile",
    ];
    let words = (0..4 + random.below(8)).map(|_| WORDS[usize::try_from(random.below(32)).unwrap()]);
    words.collect::<Vec<_>>().join(" ") + "\n"
}

/// A key like one of the authority's.
fn key(random: &mut Random) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut group = || (0..5).map(|_| char::from(LETTERS[usize::try_from(random.below(32)).unwrap()])).collect();
    let groups: [String; 5] = std::array::from_fn(|_| group());
    format!("TO-PRD-{}", groups.join("-"))
}

/// Numbers that are the same in every run: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The lowest bits repeat the soonest.
        (self.0 >> 20) % bound
    }
}
