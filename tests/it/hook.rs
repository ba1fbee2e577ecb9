//! `hook install`, `uninstall` and `status`, with the real git: what was there stays or comes back as it was.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use license_tests::{Project, Ran, failpoints, process::Running};
use serde_json::{Value, json};

use crate::{BINARY, KEY, project};

/// A repository with a `license.toml` that names an authority, a token and a key.
pub(crate) struct Repository {
    project: Project,
    /// Where the commands run.
    pub(crate) directory: PathBuf,
    /// The directory that all worktrees share.
    common: PathBuf,
    /// The directory in which git looks for hooks.
    pub(crate) hooks: PathBuf,
}

impl Repository {
    pub(crate) fn new() -> Self {
        Self::of(BINARY)
    }

    fn of(binary: &str) -> Self {
        let project = Project::new(binary).authority_at("https://api.example.com/v1").key(KEY);
        let project = project.var("GIT_CONFIG_NOSYSTEM", "1").var("COLUMNS", "200").var("GIT_TERMINAL_PROMPT", "0");
        let directory = project.path("");
        let common = directory.join(".git");
        let repository = Self { hooks: common.join("hooks"), directory, common, project };
        let home = repository.project.path("../home").join(".gitconfig");
        fs::write(home, "[user]\nname = a\nemail = a@example.com\n[protocol \"file\"]\nallow = always\n").unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["commit", "--quiet", "--allow-empty", "--message=first"]);
        repository.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../hub.git"]);
        repository.git(&["remote", "add", "hub", "../hub.git"]);
        repository
    }

    /// A worktree beside the repository, which shares its hooks.
    fn in_a_worktree() -> Self {
        let mut repository = Self::new();
        repository.git(&["worktree", "add", "--quiet", "../worktree"]);
        repository.directory = repository.project.path("../worktree");
        fs::write(repository.directory.join("license.toml"), repository.project.text()).unwrap();
        repository
    }

    /// A submodule of the repository.
    fn in_a_submodule() -> Self {
        let mut repository = Self::new();
        repository.git(&["push", "--quiet", "hub", "main"]);
        repository.git(&["submodule", "--quiet", "add", "--name", "sub", "../hub.git", "sub"]);
        repository.directory = repository.project.path("sub");
        repository.common = repository.project.path(".git/modules/sub");
        repository.hooks = repository.common.join("hooks");
        repository.git(&["remote", "add", "hub", "../../hub.git"]);
        repository
    }

    fn bare() -> Self {
        let mut repository = Self::new();
        repository.git(&["clone", "--quiet", "--bare", ".", "../bare.git"]);
        repository.directory = repository.project.path("../bare.git");
        repository.common.clone_from(&repository.directory);
        repository.hooks = repository.common.join("hooks");
        repository.git(&["remote", "add", "hub", "../hub.git"]);
        repository
    }

    /// With a `core.hooksPath` of its own.
    fn with_hooks_in(path: &str) -> Self {
        let mut repository = Self::new();
        repository.git(&["config", "core.hooksPath", path]);
        repository.hooks = repository.directory.join(path);
        fs::create_dir_all(&repository.hooks).unwrap();
        repository
    }

    fn with_an_absolute_hooks_path() -> Self {
        let mut repository = Self::new();
        repository.hooks = repository.project.path("../elsewhere");
        fs::create_dir_all(&repository.hooks).unwrap();
        repository.git(&["config", "core.hooksPath", repository.hooks.to_str().unwrap()]);
        repository
    }

    /// With a directory of hooks that is a link into the work tree.
    fn with_linked_hooks() -> Self {
        let repository = Self::new();
        fs::remove_dir_all(&repository.hooks).unwrap();
        fs::create_dir(repository.directory.join("tracked-hooks")).unwrap();
        symlink("../tracked-hooks", &repository.hooks).unwrap();
        repository
    }

    /// The same, with the program in place already: a copy of it takes longer than all the rest.
    fn with_the_program(self, binary: &str) -> Self {
        fs::create_dir_all(self.program().parent().unwrap()).unwrap();
        // Where it cannot be linked, it is copied by the installation.
        let _ = fs::hard_link(binary, self.program());
        self
    }

    /// The same, with `license.toml` elsewhere, by its path in the work tree.
    fn with_license_toml_at(self, path: &str) -> Self {
        let text = self.project.text();
        let repository = Self { project: self.project.without_license_toml(), ..self };
        script(&repository.directory.join(path), &text, 0o644);
        repository
    }

    /// The same, with another authority in `license.toml`.
    pub(crate) fn asking(self, url: &str) -> Self {
        Self { project: self.project.authority_line("url", &format!("{url:?}")), ..self }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.project.run_in(&self.directory, arguments)
    }

    pub(crate) fn install(&self) -> Ran {
        self.run(&["hook", "install"])
    }

    pub(crate) fn uninstall(&self) -> Ran {
        self.run(&["hook", "uninstall"])
    }

    fn status(&self) -> Value {
        self.run(&["hook", "status", "--format", "json"]).json()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> Ran {
        let ran = self.try_git(arguments, &[]);
        ran.exits(0);
        ran
    }

    fn try_git(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.directory).env_clear();
        command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0")]).envs(variables.iter().copied());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.project.path("../home"));
        Ran::of(Running::start(&mut command).wait(), None).named(&format!("git {arguments:?}"))
    }

    fn hook(&self) -> PathBuf {
        self.hooks.join("pre-push")
    }

    fn program(&self) -> PathBuf {
        self.common.join("license/xtask")
    }

    /// Puts a program there that leaves what it got in `seen`, and ends as it is told.
    fn with_program(&self, code: i32) {
        let seen = self.seen("");
        let says = if code == 0 { "passed" } else { "" };
        script(&self.program(), &recorder(&seen, "ours", says, code), 0o755);
    }

    /// Puts a hook there that does the same.
    pub(crate) fn with_hook(&self, code: i32) {
        script(&self.hook(), &recorder(&self.seen(""), "theirs", "theirs out", code), 0o755);
    }

    /// A trace, and nothing where there is none.
    fn seen(&self, name: &str) -> PathBuf {
        self.project.seen().join(name)
    }

    fn trace(&self, name: &str) -> String {
        fs::read_to_string(self.seen(name)).unwrap_or_default()
    }

    /// Everything in the directory of hooks but git's samples.
    fn state(&self) -> BTreeMap<String, Entry> {
        let mut state = BTreeMap::new();
        for entry in fs::read_dir(&self.hooks).into_iter().flatten() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
            if !name.ends_with(".sample") {
                state.insert(name, Entry::of(&path));
            }
        }
        state
    }
}

/// Writes a script by a child: a child that another test starts at this moment would keep it open, and busy.
pub(crate) fn script(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let write = format!("rm -f \"$1\" && cat > \"$1\" && chmod {mode:o} \"$1\"");
    let mut command = Command::new("sh");
    command.args(["-c", &write, "sh"]).arg(path);
    assert_eq!(Running::start_with_input(&mut command, text).wait().code(), 0);
}

/// A file as it is: its mode, and its bytes or where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File { mode: u32, bytes: Vec<u8> },
    Link(PathBuf),
    Directory,
}

impl Entry {
    fn of(path: &Path) -> Self {
        let metadata = fs::symlink_metadata(path).unwrap();
        if metadata.is_symlink() {
            Self::Link(fs::read_link(path).unwrap())
        } else if metadata.is_dir() {
            Self::Directory
        } else {
            Self::File { mode: metadata.mode() & 0o7777, bytes: fs::read(path).unwrap() }
        }
    }
}

/// The shells of this machine.
fn shells() -> impl Iterator<Item = &'static [&'static str]> {
    let all: [&[&str]; 6] =
        [&["dash"], &["bash"], &["bash", "--posix"], &["busybox", "sh"], &["zsh", "--emulate", "sh"], &["ksh"]];
    all.into_iter().filter(|shell| Command::new(shell[0]).arg("-c").arg("exit 0").output().is_ok())
}

/// A script that leaves its arguments and its input, says something on both streams, and ends with a code. A line of the
/// input that comes as an argument is put where it was.
fn recorder(seen: &Path, name: &str, says: &str, code: i32) -> String {
    let seen = seen.display();
    format!(
        "#!/bin/sh\nline= before=\nfor argument do\n\
         case $before in --first-line) line=\"$argument\n\" before= ; continue ;; esac\n\
         before=$argument\n[ \"$argument\" = --first-line ] || printf '%s\\n' \"$argument\"\n\
         done > '{seen}/{name}-args'\n{{ printf %s \"$line\"; cat; }} > '{seen}/{name}-stdin'\n\
         echo '{says}'; echo '{name} err' >&2\nexit {code}\n"
    )
}

/// The name under which a hook from before is kept.
pub(crate) const KEPT: &str = "pre-push.license-kept";

/// The arguments that the program gets before git's own.
const ASKED: &str = "pre-push\n--say\npassed\n--\n";

type Make = fn() -> Repository;
type Prepare = fn(&Repository);

/// The places in which a hook may be.
const PLACES: [(&str, Make); 8] = [
    ("a repository", Repository::new),
    ("a worktree", Repository::in_a_worktree),
    ("a submodule", Repository::in_a_submodule),
    ("a bare repository", Repository::bare),
    ("hooks in the work tree", || Repository::with_hooks_in(".githooks")),
    ("hooks in a directory of the repository", || Repository::with_hooks_in(".git/own/hooks")),
    ("hooks elsewhere", Repository::with_an_absolute_hooks_path),
    ("a linked directory of hooks", Repository::with_linked_hooks),
];

/// What may be there before.
const BEFORE: [(&str, Prepare); 9] = [
    ("nothing", |_| {}),
    ("a hook", |repository| script(&repository.hook(), "#!/bin/sh\nexit 0\n", 0o755)),
    ("a hook with another mode", |repository| script(&repository.hook(), "#!/bin/sh\nexit 0\n", 0o2510)),
    ("a hook that is not executable", |repository| {
        script(&repository.hook(), "#!/bin/sh\nexit 1\n", 0o644);
    }),
    ("a program", |repository| {
        fs::create_dir_all(&repository.hooks).unwrap();
        fs::write(repository.hook(), [b"\x7fELF\0\xff".as_slice(), &[7; 100_000]].concat()).unwrap();
        fs::set_permissions(repository.hook(), fs::Permissions::from_mode(0o755)).unwrap();
    }),
    ("a link", |repository| {
        script(&repository.hooks.join("shared.sh"), "#!/bin/sh\nexit 0\n", 0o755);
        symlink("shared.sh", repository.hook()).unwrap();
    }),
    ("a link to nothing", |repository| {
        fs::create_dir_all(&repository.hooks).unwrap();
        symlink("gone.sh", repository.hook()).unwrap();
    }),
    ("a kept hook of somebody else", |repository| {
        script(&repository.hooks.join("pre-push.legacy"), "#!/bin/sh\nexit 1\n", 0o755);
    }),
    ("other hooks", |repository| {
        script(&repository.hooks.join("pre-commit"), "#!/bin/sh\nexit 0\n", 0o755);
    }),
];

fn comes_and_goes(place: &str, make: Make, before: &str, prepare: Prepare) {
    let name = format!("{before} in {place}");
    let repository = make();
    prepare(&repository);
    let was = repository.state();

    repository.install().named(&name).exits(0).says("every push from this repository is checked");
    let installed = repository.state();
    let Some(Entry::File { mode: 0o755, bytes }) = installed.get("pre-push") else { panic!("{name}: {installed:?}") };
    assert!(bytes.starts_with(b"#!/bin/sh\n# license-hooks pre-push 4 "), "{name}");
    assert_eq!(installed.get(KEPT), was.get("pre-push"), "{name}");
    assert_eq!(installed.get("pre-push.legacy"), was.get("pre-push.legacy"), "{name}: that name is not ours");
    let program = fs::metadata(repository.program()).unwrap();
    assert_eq!((program.mode() & 0o777, program.len()), (0o755, fs::metadata(BINARY).unwrap().len()), "{name}");
    assert_eq!(repository.status()["guarded"], true, "{name}");

    repository.install().named(&name).exits(0);
    assert_eq!(repository.state(), installed, "{name}: installing twice is installing once");

    repository.uninstall().named(&name).exits(0);
    assert_eq!(repository.state(), was, "{name}: everything is as it was");
    assert!(!repository.common.join("license").exists(), "{name}");
    assert_eq!(repository.status()["guarded"], false, "{name}");

    repository.uninstall().named(&name).exits(0).says("nothing was taken out");
    assert_eq!(repository.state(), was, "{name}");
}

#[test]
fn whatever_was_there_is_there_again_afterwards() {
    for (before, prepare) in BEFORE {
        comes_and_goes("a repository", Repository::new, before, prepare);
    }
}

#[test]
fn wherever_git_looks_for_hooks_is_where_they_come_and_go() {
    for (place, make) in &PLACES[1..] {
        for (before, prepare) in [BEFORE[0], BEFORE[1], BEFORE[5]] {
            comes_and_goes(place, *make, before, prepare);
        }
    }
}

#[test]
fn a_repository_without_a_directory_of_hooks_gets_one() {
    let repository = Repository::new();
    fs::remove_dir_all(&repository.hooks).unwrap();
    repository.install().exits(0);
    assert_eq!(repository.status()["guarded"], true);
    repository.uninstall().exits(0);
    assert_eq!(repository.state(), BTreeMap::new());
}

#[test]
fn git_runs_the_program_with_what_it_says_wherever_the_hook_is() {
    for (place, make) in PLACES {
        let repository = make();
        repository.install().named(place).exits(0);
        repository.with_program(0);
        repository.try_git(&["push", "hub", "HEAD:refs/heads/new"], &[]).named(place).exits(0);
        assert_eq!(repository.trace("ours-args").lines().next(), Some("pre-push"), "{place}");
        assert_eq!(repository.trace("ours-args").lines().nth(4), Some("hub"), "{place}");
        let stdin = repository.trace("ours-stdin");
        assert!(stdin.starts_with("HEAD ") && stdin.contains(" refs/heads/new 0000"), "{place}: {stdin}");
        assert_eq!(stdin.lines().count(), 1, "{place}");
    }
}

#[test]
fn the_program_stops_a_push() {
    let repository = Repository::new();
    repository.install().exits(0);
    repository.with_program(30);
    repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("ours err");
    let refs = repository.git(&["ls-remote", "hub"]);
    assert_eq!(refs.stdout(), "", "nothing arrived");
}

#[test]
fn both_hooks_see_the_whole_push() {
    let repository = Repository::new();
    repository.with_hook(0);
    repository
        .install()
        .exits(0)
        .says("is kept beside it as `pre-push.license-kept`, and runs when the check has passed");
    repository.with_program(0);
    for branch in ["one", "two", "three"] {
        repository.git(&["branch", branch]);
    }
    let pushed = repository.try_git(&["push", "--porcelain", "hub", "--all"], &[]);
    pushed.exits(0).says("ours err").says("theirs err");
    assert_eq!(repository.trace("ours-stdin").lines().count(), 4);
    assert_eq!(repository.trace("ours-stdin"), repository.trace("theirs-stdin"));
    assert_eq!(repository.trace("ours-args"), format!("{ASKED}{}", repository.trace("theirs-args")));

    repository.try_git(&["push", "hub", "--all"], &[]).exits(0);
    assert_eq!(repository.trace("ours-stdin"), "", "nothing to push is said as nothing");
    assert_eq!(repository.trace("theirs-stdin"), "");
}

#[test]
fn the_hook_from_before_has_its_say_and_only_once_the_check_has_passed() {
    let rows = [(0, 0, 0, true), (0, 3, 1, true), (30, 0, 1, false)];
    for (ours, theirs, exit, theirs_runs) in rows {
        let repository = Repository::new();
        repository.with_hook(theirs);
        repository.install().exits(0);
        repository.with_program(ours);
        repository.try_git(&["push", "hub", "main"], &[]).exits(exit);
        assert_eq!(repository.seen("theirs-args").exists(), theirs_runs, "{ours} {theirs}");
    }
}

#[test]
fn a_hook_that_git_did_not_run_is_not_run_now() {
    let repository = Repository::new();
    script(&repository.hook(), &recorder(&repository.seen(""), "theirs", "theirs out", 1), 0o644);
    repository.install().exits(0).says("git did not run it, since it is not executable");
    repository.with_program(0);
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);
    assert!(!repository.seen("theirs-args").exists());
}

#[test]
fn hooks_that_do_not_read_are_no_trouble() {
    let repository = Repository::new();
    script(&repository.hook(), "#!/bin/sh\nexit 0\n", 0o755);
    repository.install().exits(0);
    script(&repository.program(), "#!/bin/sh\necho passed\n", 0o755);
    // More than a pipe holds.
    let create = |n| format!("create refs/tags/a-rather-long-name-of-a-tag-{n} HEAD\n");
    let refs = (0..2_000).map(create).collect::<Vec<_>>().concat();
    let mut command = Command::new("git");
    command.args(["update-ref", "--stdin"]).current_dir(&repository.directory);
    assert_eq!(Running::start_with_input(&mut command, &refs).wait().code(), 0);
    let pushed = repository.try_git(&["push", "--quiet", "--dry-run", "hub", "--tags"], &[]);
    pushed.exits(0).says_nothing_of("roken pipe").says_nothing_of("I/O error");
}

#[test]
fn a_push_can_do_without_the_check_and_says_so() {
    for chained in [false, true] {
        let repository = Repository::new();
        if chained {
            repository.with_hook(0);
        }
        repository.install().exits(0);
        repository.with_program(30);
        let pushed = repository.try_git(&["push", "hub", "main"], &[("LICENSE_HOOK", "0")]);
        pushed.exits(0).says("LICENSE_HOOK=0, so that this push is not checked");
        assert!(!repository.seen("ours-args").exists());
        assert_eq!(repository.seen("theirs-args").exists(), chained, "the other hook is not ours to skip");
        repository.try_git(&["push", "hub", "HEAD:b"], &[("LICENSE_HOOK", "1")]).exits(1);
        repository.try_git(&["push", "--no-verify", "hub", "HEAD:c"], &[]).exits(0);
    }
}

#[test]
fn a_hook_without_its_program_refuses_and_says_what_to_do() {
    for chained in [false, true] {
        let repository = Repository::new();
        if chained {
            repository.with_hook(0);
        }
        repository.install().exits(0);
        fs::remove_file(repository.program()).unwrap();
        let pushed = repository.try_git(&["push", "hub", "main"], &[]);
        pushed.exits(1).says("cargo xtask hook install").says("git push --no-verify");
        assert!(!repository.seen("theirs-args").exists());
        let status = repository.run(&["hook", "status"]);
        status.exits(3).says("are not checked").says("is missing");
        repository.install().exits(0);
        assert_eq!(repository.status()["guarded"], true);
    }
}

#[test]
fn a_repository_that_was_moved_is_still_guarded() {
    let mut repository = Repository::new();
    repository.install().exits(0);
    let moved = repository.project.path("../moved");
    fs::rename(&repository.directory, &moved).unwrap();
    repository.directory.clone_from(&moved);
    repository.common = moved.join(".git");
    repository.with_program(30);
    repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("ours err");
}

#[test]
fn a_file_of_the_work_tree_is_never_taken_for_the_program() {
    for make in [|| Repository::with_hooks_in(".githooks"), Repository::with_linked_hooks] {
        let repository = make();
        repository.install().exits(0);
        let trap = repository.directory.join("license/xtask");
        script(&trap, &recorder(&repository.seen(""), "trap", "passed", 0), 0o755);
        repository.with_program(30);
        repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("ours err").says_nothing_of("trap");
    }
}

/// The hook as the first version wrote it, where it finds the program by its own place and where it asks git.
fn first_versions(text: &str) -> [String; 2] {
    [text.to_owned(), text.replace("${0%/*}/../license/xtask", "$(git rev-parse --git-common-dir)/license/xtask")]
}

const FIRST_ALONE: &str = include_str!("../cases/hooks/1-alone.sh");
const SECOND_ALONE: &str = include_str!("../cases/hooks/2-alone.sh");
const THIRD_ALONE: &str = include_str!("../cases/hooks/3-alone.sh");
const FIRST_WITH_LEGACY: &str = include_str!("../cases/hooks/1-with-legacy.sh");

#[test]
fn a_hook_of_the_first_version_is_replaced_and_what_it_kept_is_kept_and_comes_back() {
    for (before, prepare) in [BEFORE[0], BEFORE[1], BEFORE[2], BEFORE[3], BEFORE[5], BEFORE[6]] {
        for by_git in [0, 1] {
            for installs in [0, 1, 2] {
                let name = format!("{before} {by_git} {installs}");
                let repository = Repository::new().with_the_program(BINARY);
                prepare(&repository);
                let was = repository.state();
                let text = if was.contains_key("pre-push") {
                    fs::rename(repository.hook(), repository.hooks.join("pre-push.legacy")).unwrap();
                    &first_versions(FIRST_WITH_LEGACY)[by_git]
                } else {
                    &first_versions(FIRST_ALONE)[by_git]
                };
                script(&repository.hook(), text, 0o755);
                let status = repository.status();
                assert_eq!(status["hook"]["edition"], "other", "{name}");
                for _ in 0..installs {
                    repository.install().named(&name).exits(0);
                    let state = repository.state();
                    assert_eq!(state.get(KEPT), was.get("pre-push"), "{name}");
                    assert!(!state.contains_key("pre-push.legacy"), "{name}");
                    assert_eq!(repository.status()["hook"]["edition"], "present", "{name}");
                }
                repository.uninstall().named(&name).exits(0);
                assert_eq!(repository.state(), was, "{name}");
            }
        }
    }
}

#[test]
fn the_first_version_s_kept_hook_runs_on_after_the_update() {
    let repository = Repository::new();
    script(&repository.hooks.join("pre-push.legacy"), &recorder(&repository.seen(""), "theirs", "", 0), 0o755);
    script(&repository.hook(), FIRST_WITH_LEGACY, 0o755);
    repository.install().exits(0).says("is kept beside it as `pre-push.license-kept`, and runs when");
    repository.with_program(0);
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);
    assert!(repository.trace("theirs-stdin").starts_with("refs/heads/main "));
}

#[test]
fn what_a_person_wrote_into_our_hook_is_never_lost() {
    for chained in [false, true] {
        for edit in ["echo mine\n", "\n"] {
            let repository = Repository::new();
            if chained {
                repository.with_hook(0);
            }
            let was = repository.state();
            repository.install().exits(0);
            let text = fs::read_to_string(repository.hook()).unwrap() + edit;
            script(&repository.hook(), &text, 0o700);
            let edited = repository.state();
            repository
                .install()
                .exits(3)
                .says("somebody changed")
                .says("nothing was changed")
                .says("move the file away");
            repository.uninstall().exits(3).says("somebody changed");
            assert_eq!(repository.state(), edited, "{edit:?}");
            assert_eq!(repository.status()["hook"]["edition"], "edited");
            repository.run(&["hook", "status"]).exits(3).says("was changed by somebody");

            // What the help says to do.
            fs::rename(repository.hook(), repository.hooks.join("mine")).unwrap();
            repository.uninstall().exits(0);
            let mut state = repository.state();
            assert_eq!(state.remove("mine"), Some(Entry::File { mode: 0o700, bytes: text.into_bytes() }));
            assert_eq!(state, was);
            repository.install().exits(0);
            assert_eq!(repository.status()["guarded"], true);
        }
    }
}

#[test]
fn a_hook_of_a_later_version_is_told_and_replaced_and_works_until_then() {
    for text in [SECOND_ALONE, THIRD_ALONE] {
        let repository = leaking();
        repository.install().exits(0);
        let installed = repository.state();
        script(&repository.hook(), text, 0o755);
        repository.run(&["hook", "status"]).exits(0).says("the hook was written by another version");
        repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("this push was stopped: it holds secrets");
        repository.install().exits(0);
        assert_eq!(repository.state(), installed);
    }
}

#[test]
fn the_hook_with_nothing_to_push_starts_no_program_unless_a_framework_tells_it_what_there_is() {
    for shell in shells() {
        let repository = Repository::new();
        repository.install().exits(0);
        repository.with_program(30);
        let hook = |input: &str, variables: &[(&str, &str)]| {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).arg(repository.hook()).args(["hub", "../hub.git"]);
            command.current_dir(&repository.directory).envs(variables.iter().copied());
            let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait().unwrap().code()
        };
        assert_eq!(hook("", &[]), Some(0), "{shell:?}");
        assert!(!repository.seen("ours-args").exists(), "{shell:?}");
        let line = "refs/heads/a\\tb 1 refs/heads/a 0";
        for (input, variables, seen) in [
            (format!("{line}\n"), &[][..], format!("{line}\n")),
            // A git that died in the middle of a line, or of the first one.
            (format!("{line}\n{line}\nref"), &[], format!("{line}\n{line}\nref")),
            ("ref".to_owned(), &[], "ref\n".to_owned()),
            (" -n 'x' \"$y\" `z` \\\n".to_owned(), &[], " -n 'x' \"$y\" `z` \\\n".to_owned()),
            ("\n".to_owned(), &[], "\n".to_owned()),
            (String::new(), &[("PRE_COMMIT_TO_REF", "a")], String::new()),
            (String::new(), &[("PRE_COMMIT_LOCAL_BRANCH", "a")], String::new()),
        ] {
            assert_eq!(hook(&input, variables), Some(30), "{shell:?} {input:?} {variables:?}");
            assert_eq!(repository.trace("ours-stdin"), seen, "{shell:?} {variables:?}");
        }
    }
}

/// How the hook ends with an input of the real program's, which is `setup`'s to give.
fn with_input(repository: &Repository, shell: &[&str], setup: &str) -> Ran {
    let mut command = Command::new("sh");
    let text = format!("cd \"$1\" && shift && {setup}");
    command.args(["-c", &text, "sh"]).arg(&repository.directory).args(shell).arg(repository.hook());
    command.args(["hub", "../hub.git"]);
    Ran::of(Running::start(&mut command).wait(), None).named(&format!("{shell:?} {setup}"))
}

#[test]
fn input_that_cannot_be_read_is_not_taken_for_nothing_to_push() {
    // What the shell is given, and what says that it does not wait.
    let not_waiting = "python3 -c \"import os,sys,time\nr,w=os.pipe()\nos.set_blocking(r,False)\npid=os.fork()\nif pid==0:\n \
                       os.close(w)\n os.dup2(r,0)\n os.execvp(sys.argv[1],sys.argv[1:])\ntime.sleep(0.5)\n\
                       os.write(w,b'hello'+bytes([10]))\nos.close(w)\n\
                       sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid,0)[1]))\" \"$@\"";
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    for shell in shells() {
        for chained in [false, true] {
            let repository = Repository::new();
            if chained {
                repository.with_hook(0);
            }
            repository.install().exits(0);
            // Where its input is closed, bash puts a pipe of its own into its place, and waits for itself.
            let closed = if shell[0] == "bash" { "\"$@\" </dev/null" } else { "\"$@\" <&-" };
            for setup in ["\"$@\" </dev/null", closed, "\"$@\" <.", "PATH=/nowhere \"$@\" </dev/null", not_waiting] {
                if setup == not_waiting && !has_python {
                    let skipped = b"skipped: python3 is not here, and no shell makes a pipe that does not wait\n";
                    std::io::stderr().write_all(skipped).unwrap();
                    continue;
                }
                let ran = with_input(&repository, shell, setup);
                assert_ne!(ran.code(), 0, "{shell:?} {chained} {setup}: {ran}");
                assert!(!repository.seen("theirs-args").exists(), "{shell:?} {setup}: the kept hook ran");
            }
            // The program says why, and its word is not taken for that of a broken one.
            let ran = with_input(&repository, shell, "\"$@\" </dev/null");
            ran.exits(2).says_nothing_of("missing or broken");
            let ran = with_input(&repository, shell, "printf 'hello\\n' | \"$@\"");
            ran.exits(2).says("line 1 of the hook's input").says_nothing_of("missing or broken");
        }
    }
}

#[test]
fn a_remote_whose_address_is_not_utf_8_is_checked_like_any_other() {
    let repository = leaking();
    repository.install().exits(0);
    let hub = repository.project.path("..").join(OsStr::from_bytes(b"h\xe9.git"));
    let mut command = Command::new("git");
    command.args(["init", "--quiet", "--bare"]).arg(&hub);
    assert_eq!(Running::start(&mut command).wait().code(), 0);
    let mut command = Command::new("git");
    command.current_dir(&repository.directory).arg("push").arg(&hub).arg("main");
    let ran = Ran::of(Running::start(&mut command).wait(), None);
    ran.exits(1).says("this push was stopped: it holds secrets");
}

#[test]
fn a_hook_of_the_first_version_that_somebody_changed_is_left_alone() {
    for text in [FIRST_ALONE, FIRST_WITH_LEGACY] {
        let repository = Repository::new();
        script(&repository.hooks.join("pre-push.legacy"), "#!/bin/sh\nexit 0\n", 0o755);
        script(&repository.hook(), &text.replace("exit 1", "exit 7"), 0o755);
        let was = repository.state();
        repository.install().exits(3).says("somebody changed");
        repository.uninstall().exits(3).says("somebody changed");
        assert_eq!(repository.state(), was);
    }
}

/// What pre-commit and prek do when they come to a hook of somebody else.
fn moved_by_pre_commit(repository: &Repository) {
    fs::rename(repository.hook(), repository.hooks.join("pre-push.legacy")).unwrap();
    let text = format!(
        "#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\ncat > '{0}/lines'\n\
         echo x >> '{0}/rounds'\n\"${{0%/*}}/pre-push.legacy\" \"$@\" < '{0}/lines'\n",
        repository.seen("").display()
    );
    script(&repository.hook(), &text, 0o755);
}

#[test]
fn whoever_keeps_our_hook_as_the_hook_from_before_runs_it_once() {
    for first_version in [false, true] {
        let repository = Repository::new();
        if first_version {
            // Its chain would run itself for ever.
            script(&repository.hook(), FIRST_WITH_LEGACY, 0o755);
        } else {
            repository.with_hook(0);
            repository.install().exits(0);
        }
        moved_by_pre_commit(&repository);
        if first_version {
            repository.install().exits(0).says("runs ours, which it keeps as `pre-push.legacy`");
        }
        let status = repository.status();
        assert_eq!((&status["guarded"], &status["mechanisms"][0]["kind"]), (&json!(true), &json!("hook")));
        let name = status["mechanisms"][0]["name"].as_str().unwrap();
        assert!(name.ends_with("pre-push.legacy"), "{name}");
        repository.with_program(0);
        repository.try_git(&["push", "hub", "main"], &[]).exits(0);
        assert_eq!(repository.trace("rounds"), "x\n");
        assert!(repository.trace("ours-stdin").starts_with("refs/heads/main "));
        assert_eq!(repository.seen("theirs-args").exists(), !first_version, "what was moved away is gone");
        repository.with_program(30);
        repository.try_git(&["push", "hub", "HEAD:b"], &[]).exits(1);

        // Again, and away: the other one's hook stays, and the hook from before is where it would be without us.
        let before = repository.state();
        repository.install().exits(0);
        assert_eq!(repository.state(), before);
        repository.uninstall().exits(0);
        let after = repository.state();
        assert_eq!(after.get("pre-push"), before.get("pre-push"));
        assert_eq!(after.get("pre-push.legacy"), before.get(KEPT));
        assert_eq!(after.get(KEPT), None);
        assert_eq!(repository.status()["guarded"], false);
    }
}

#[test]
fn a_hook_from_before_that_runs_our_hook_runs_once() {
    let repository = Repository::new();
    let text =
        format!("#!/bin/sh\necho x >> '{}'\n\"${{0%/*}}/pre-push\" \"$@\"\n", repository.seen("rounds").display());
    script(&repository.hook(), &text, 0o755);
    repository.install().exits(0);
    repository.with_program(0);
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);
    assert_eq!(repository.trace("rounds"), "x\n");
}

#[test]
fn our_hook_under_the_name_of_a_kept_one_is_not_run_for_ever() {
    let repository = Repository::new();
    repository.with_hook(0);
    repository.install().exits(0);
    fs::copy(repository.hook(), repository.hooks.join(KEPT)).unwrap();
    repository.with_program(0);
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);
}

#[test]
fn a_hook_that_somebody_put_over_ours_does_not_cost_the_one_from_before() {
    let repository = Repository::new();
    repository.with_hook(0);
    repository.install().exits(0);
    script(&repository.hook(), "#!/bin/sh\nexit 0\n", 0o755);
    let was = repository.state();
    repository.install().exits(3).says("pre-push.license-kept").says("nothing was changed");
    repository.uninstall().exits(0).says("`pre-push.license-kept` beside it is the hook from before ours, and stays");
    assert_eq!(repository.state(), was);
    repository.run(&["hook", "status"]).exits(3).says("`pre-push.license-kept` is there too, and is not run");
}

#[test]
fn a_hook_that_somebody_removed_comes_again_with_the_one_from_before() {
    let repository = Repository::new();
    repository.with_hook(0);
    let was = repository.state();
    for reinstall in [true, false] {
        repository.install().exits(0);
        let installed = repository.state();
        fs::remove_file(repository.hook()).unwrap();
        if reinstall {
            repository.install().exits(0);
            assert_eq!(repository.state(), installed);
        }
        repository.uninstall().exits(0).says("is again the hook from before");
        assert_eq!(repository.state(), was);
    }
}

#[test]
fn two_foreign_hooks_both_stay() {
    let repository = Repository::new();
    repository.with_hook(0);
    let text = format!("#!/bin/sh\necho x > '{}'\n", repository.seen("other").display());
    script(&repository.hooks.join("pre-push.legacy"), &text, 0o755);
    let was = repository.state();
    repository.install().exits(0);
    repository.with_program(0);
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);
    assert!(repository.seen("theirs-args").exists() && !repository.seen("other").exists());
    repository.uninstall().exits(0);
    assert_eq!(repository.state(), was);
}

/// Names of directories for a license.toml.
const DIRECTORIES: [&str; 5] = ["sub", "some where/deep er", "it's $(touch pwned) `x` \"y\"", "-dash", "ünï & co;"];

#[test]
fn the_hook_reads_the_license_toml_that_it_was_installed_with() {
    for directory in DIRECTORIES {
        for by_option in [true, false] {
            let name = format!("{directory} {by_option}");
            let repository = Repository::new().with_license_toml_at(&format!("{directory}/license.toml"));
            let file = repository.directory.join(directory).join("license.toml");
            let installed = if by_option {
                repository.run(&["hook", "install", &format!("--config={directory}/license.toml")])
            } else {
                repository.project.run_in(file.parent().unwrap(), &["hook", "install"])
            };
            let installed = installed.named(&name);
            installed.exits(0).says(&format!("it reads `{directory}/license.toml` of what is pushed"));
            installed.says("may be read: the variable `LICENSE_KEY`");
            assert_eq!(repository.status()["hook"]["config"], format!("{directory}/license.toml"), "{name}");
            repository.git(&["add", "--all"]);
            repository.git(&["commit", "--quiet", "--message=file"]);
            let key = [("LICENSE_KEY", KEY)];
            repository.try_git(&["push", "hub", "main"], &key).named(&name).exits(0);

            // The key is known by nothing but that file; in a linked worktree too.
            repository.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
            for place in [repository.directory.clone(), repository.project.path("../linked")] {
                let there = ["-C", place.to_str().unwrap()];
                fs::write(place.join("notes"), format!("{KEY}\n")).unwrap();
                repository.git(&[&there[..], &["add", "notes"]].concat());
                repository.git(&[&there[..], &["commit", "--quiet", "--message=leak"]].concat());
                let push = [&there[..], &["push", "hub", "HEAD:refs/heads/new"]].concat();
                let pushed = repository.try_git(&push, &key).named(&name);
                pushed.exits(1).says("it holds secrets").says_nothing_of(KEY);
            }
            assert!(!repository.directory.join("pwned").exists());

            // A broken one in the commit stops the push, as the usual one does.
            repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
            fs::write(&file, "version = 1\nnonsense = true\n").unwrap();
            repository.git(&["commit", "--quiet", "--all", "--message=broken"]);
            repository.try_git(&["push", "hub", "main"], &key).named(&name).exits(1).says("nonsense");
            repository.uninstall().named(&name).exits(0);
        }
    }
}

#[test]
fn a_license_toml_with_another_name_at_the_top_is_named_too() {
    let repository = Repository::new().with_license_toml_at("other.toml");
    repository.run(&["hook", "install", "--config", "other.toml"]).exits(0).says("it reads `other.toml`");
    let text = fs::read_to_string(repository.hook()).unwrap();
    assert!(text.contains(" --config='other.toml' pre-push "), "{text}");
}

#[test]
fn a_path_that_no_line_can_hold_installs_nothing() {
    let repository = Repository::new().with_license_toml_at("a\nb/license.toml");
    let directory = repository.directory.join("a\nb");
    repository.project.run_in(&directory, &["hook", "install"]).exits(3).says("cannot be named in a hook");
    assert!(!repository.hook().exists());
    repository.project.run_in(&directory, &["hook", "uninstall"]).exits(0);
}

#[test]
fn the_lines_for_a_manager_name_the_license_toml() {
    for (manager, file, hook) in MANAGERS {
        let repository = Repository::new().with_license_toml_at("it's a sub/license.toml");
        let sub = repository.directory.join("it's a sub");
        script(&repository.directory.join(file), "# nothing yet\n", 0o644);
        script(&repository.hook(), hook, 0o755);
        let ran = repository.project.run_in(&sub, &["hook", "install", "--format", "json"]);
        let lines = ran.exits(3).json()["guard"]["lines"].as_str().unwrap().to_owned();
        assert!(lines.contains("--config="), "{manager}: {lines}");
    }
}

/// The program as it is after an accident, and none of it may pass for one that says yes.
#[test]
fn a_program_that_is_no_program_refuses_and_says_what_to_do() {
    type Break = fn(&Path);
    let breaks: [(&str, Break); 9] = [
        ("empty", |program| fs::write(program, "").unwrap()),
        ("cut short in its head", |program| fs::write(program, &fs::read(BINARY).unwrap()[..100]).unwrap()),
        ("cut short", |program| {
            // What debuggers need is at the end, and nobody misses it.
            let whole = fs::read(BINARY).unwrap();
            fs::write(program, &whole[..whole.len() / 32]).unwrap();
        }),
        ("of another machine", |program| {
            let mut whole = fs::read(BINARY).unwrap();
            // The machine in the head of an ELF file.
            whole[18..20].copy_from_slice(&[0xfe, 0xfe]);
            fs::write(program, whole).unwrap();
        }),
        ("zeros", |program| fs::write(program, vec![0; 1 << 16]).unwrap()),
        ("garbage", |program| fs::write(program, [b"\n\n# ".as_slice(), &[0xa5; 1 << 12]].concat()).unwrap()),
        ("another program", |program| script(program, "#!/bin/sh\nexit 0\n", 0o755)),
        ("not executable", |program| fs::set_permissions(program, fs::Permissions::from_mode(0o644)).unwrap()),
        ("a directory", |program| {
            fs::remove_file(program).unwrap();
            fs::create_dir(program).unwrap();
        }),
    ];
    for chained in [false, true] {
        for (name, accident) in breaks {
            let repository = Repository::new();
            if chained {
                repository.with_hook(0);
            }
            repository.install().exits(0);
            accident(&repository.program());
            let pushed = repository.try_git(&["push", "hub", "main"], &[]).named(name);
            pushed.exits(1).says("cargo xtask hook install").says("git push --no-verify");
            assert_eq!(repository.git(&["ls-remote", "hub"]).stdout(), "", "{name}: nothing arrived");
            assert!(!repository.seen("theirs-args").exists(), "{name}");
            repository.run(&["hook", "status"]).named(name).exits(3).says("are not checked");
            if repository.program().is_dir() {
                repository.install().named(name).exits(3).says("cannot be used");
                continue;
            }
            repository.install().named(name).exits(0);
            assert_eq!(repository.status()["guarded"], true, "{name}");
        }
    }
}

#[test]
fn every_shell_hears_the_same_answer() {
    for shell in shells() {
        for chained in [false, true] {
            for (name, program, exit) in [
                ("passed", "#!/bin/sh\ncat > /dev/null\necho passed\n", 0),
                ("leaked", "#!/bin/sh\nexit 30\n", 30),
                ("passed, and yet not", "#!/bin/sh\necho passed\nexit 30\n", 30),
                ("silent", "#!/bin/sh\nexit 0\n", 1),
                ("empty", "", 1),
                ("another word", "#!/bin/sh\necho passed by\n", 1),
                ("an unknown option", "#!/bin/sh\nexit 2\n", 1),
            ] {
                let name = format!("{shell:?} {name} {chained}");
                let repository = Repository::new().with_the_program(BINARY);
                if chained {
                    repository.with_hook(0);
                }
                repository.install().named(&name).exits(0);
                script(&repository.program(), program, 0o755);
                let mut command = Command::new(shell[0]);
                command.args(&shell[1..]).arg(repository.hook()).args(["--help", "../hub.git"]);
                command.current_dir(&repository.directory);
                let ended = Running::start_with_input(&mut command, "refs/heads/main 1 refs/heads/main 0\n").wait();
                assert_eq!(ended.code(), exit, "{name}: {ended:?}");
                assert_eq!(repository.seen("theirs-args").exists(), chained && exit == 0, "{name}");
                if chained && exit == 0 {
                    assert_eq!(repository.trace("theirs-args"), "--help\n../hub.git\n", "{name}");
                    assert_eq!(repository.trace("theirs-stdin"), "refs/heads/main 1 refs/heads/main 0\n", "{name}");
                }
            }
        }
    }
}

/// A repository in which the real program finds a key in what is pushed.
fn leaking() -> Repository {
    let repository = Repository::new();
    let repository = Repository { project: repository.project.without_license_toml(), ..repository };
    fs::write(repository.directory.join("notes"), format!("{}\n", drawn())).unwrap();
    repository.git(&["add", "notes"]);
    repository.git(&["commit", "--quiet", "--message=second"]);
    repository
}

/// A key of a known form, made here so that no file of this repository holds one.
pub(crate) fn drawn() -> String {
    ["TO-PRD", "7QK2", "M9XW", "4TBD", "H3VN"].join("-")
}

#[test]
fn a_remote_with_the_name_of_an_option_is_checked_like_any_other() {
    let repository = leaking();
    repository.install().exits(0);
    for name in ["--help", "-V", "--version", "--config=x.toml", "--say=passed", "--color=always", "-h", "--"] {
        repository.git(&["config", &format!("remote.{name}.url"), "../hub.git"]);
        let pushed = repository.try_git(&["push", "--", name, "main"], &[]).named(name);
        pushed.exits(1).says("this push was stopped: it holds secrets");
    }
    assert_eq!(repository.git(&["ls-remote", "hub"]).stdout(), "", "nothing arrived");
}

#[test]
fn what_is_no_file_is_left_alone() {
    let repository = Repository::new();
    fs::create_dir(repository.hook()).unwrap();
    repository.install().exits(3).says("is no file");
    repository.uninstall().exits(0);
    assert!(repository.hook().is_dir());
    assert_eq!(repository.status()["hook"]["state"], "not_a_file");
}

/// A manager: its name, a file of its, the hook that it writes.
const MANAGERS: [(&str, &str, &str); 4] = [
    ("husky", ".husky/pre-push", "#!/usr/bin/env sh\n. \"$(dirname \"$0\")/_/husky.sh\"\n"),
    ("lefthook", "lefthook.yml", "#!/bin/sh\ncall_lefthook run \"pre-push\" \"$@\"\n"),
    (
        "pre-commit",
        ".pre-commit-config.yaml",
        "#!/usr/bin/env bash\n# File generated by pre-commit: https://pre-commit.com\n",
    ),
    ("prek", "prek.toml", "#!/bin/sh\n# File generated by prek: https://github.com/j178/prek\n"),
];

/// What a manager's file says that is to have the pre-push hook.
fn claiming(manager: &str) -> &'static str {
    match manager {
        "pre-commit" => "default_install_hook_types: [pre-push]\n",
        "prek" => "default_install_hook_types = [\"pre-push\"]\n",
        _ => "# nothing yet\n",
    }
}

#[test]
fn a_manager_keeps_its_hooks_and_a_person_gets_the_lines() {
    for (manager, file, hook) in MANAGERS {
        for (with_file, with_hook) in [(true, false), (false, true), (true, true)] {
            let name = format!("{manager} {with_file} {with_hook}");
            let repository = Repository::new();
            let file = repository.directory.join(file);
            if with_file {
                script(&file, claiming(manager), 0o644);
            }
            if with_hook {
                script(&repository.hook(), hook, 0o755);
            }
            let was = repository.state();
            let ran = repository.install().named(&name);
            ran.exits(3).says("pushes are not checked yet").says(manager).says("license/xtask");
            assert_eq!(repository.state(), was, "{name}");
            assert!(repository.program().exists(), "{name}: the lines need it");
            assert_eq!(repository.status()["guarded"], false, "{name}");

            let guard = repository.run(&["hook", "install", "--format", "json"]).json()["guard"].clone();
            assert_eq!(
                (&guard["kind"], &guard["name"], &guard["in_place"]),
                (&json!("manager"), &json!(manager), &json!(false))
            );
            let place = repository.directory.join(guard["file"].as_str().unwrap());
            script(&place, guard["lines"].as_str().unwrap(), 0o644);
            script(&repository.hook(), hook, 0o755);
            repository.install().named(&name).exits(0).says("runs the check already");
            let status = repository.status();
            assert_eq!(
                (&status["guarded"], &status["mechanisms"][0]["kind"]),
                (&json!(true), &json!("manager")),
                "{name}"
            );

            repository.uninstall().named(&name).exits(0).says("still runs the program, which stays");
            assert!(repository.program().exists(), "{name}");
            fs::remove_file(&place).unwrap();
            repository.uninstall().named(&name).exits(0);
            assert!(!repository.program().exists(), "{name}");
            assert!(repository.state().contains_key("pre-push"), "{name}: the hook is the manager's");
        }
    }
}

#[test]
fn a_manager_that_came_later_does_not_take_our_hook_away() {
    let repository = Repository::new();
    repository.install().exits(0);
    script(&repository.directory.join("lefthook.yml"), "pre-commit:\n", 0o644);
    repository.install().exits(0).says("lefthook has a configuration here, and may put its own hook there");
    assert_eq!(repository.status()["guarded"], true);
}

#[test]
fn the_lines_for_husky_run_the_program() {
    let repository = Repository::new();
    // As husky writes it: its hooks do not name it.
    repository.git(&["config", "core.hooksPath", ".husky/_"]);
    let ours = "#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"\n";
    let all =
        "#!/usr/bin/env sh\ns=$(dirname \"$(dirname \"$0\")\")/$(basename \"$0\")\nsh -e \"$s\" \"$@\"\nexit $?\n";
    script(&repository.directory.join(".husky/_/pre-push"), ours, 0o755);
    script(&repository.directory.join(".husky/_/h"), all, 0o755);
    let guard = repository.run(&["hook", "install", "--format", "json"]).json()["guard"].clone();
    script(&repository.directory.join(".husky/pre-push"), guard["lines"].as_str().unwrap(), 0o644);
    repository.install().exits(0);
    assert_eq!(repository.status()["guarded"], true);
    repository.with_program(30);
    repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("ours err");
    assert_eq!(repository.trace("ours-args"), format!("{ASKED}hub\n../hub.git\n"));
    assert_eq!(repository.trace("ours-stdin").lines().count(), 1);
}

#[test]
fn a_directory_of_hooks_for_all_repositories_is_not_ours() {
    let repository = Repository::new();
    let shared = repository.project.path("../shared-hooks");
    fs::create_dir(&shared).unwrap();
    repository.git(&["config", "--global", "core.hooksPath", shared.to_str().unwrap()]);
    let ran = repository.install();
    ran.exits(3).says("pushes are not checked yet").says("for more than this repository").says("git config --local");
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    assert_eq!(repository.status()["hooks_path"]["shared"], true);

    // The line for the hook there does what it says, and nothing in other repositories.
    let line = ran.stdout().lines().find(|line| line.trim_start().starts_with("[ ! -e ")).unwrap().trim().to_owned();
    script(&shared.join("pre-push"), &format!("#!/bin/sh\n{line}\n"), 0o755);
    repository.with_program(30);
    repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("ours err");
    repository.uninstall().exits(0).says("nothing was taken out");
    assert!(shared.join("pre-push").exists());
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);

    // A directory of its own comes before it.
    let own = repository.hooks.to_str().unwrap();
    repository.git(&["config", "--local", "core.hooksPath", own]);
    repository.install().exits(0);
    repository.with_program(30);
    repository.try_git(&["push", "hub", "HEAD:b"], &[]).exits(1).says("ours err");
}

#[test]
fn a_directory_of_hooks_for_one_call_is_not_ours_either() {
    let repository = Repository::new();
    let with_variables = |project: Project| {
        let project = project.var("GIT_CONFIG_COUNT", "1").var("GIT_CONFIG_KEY_0", "core.hooksPath");
        project.var("GIT_CONFIG_VALUE_0", "elsewhere")
    };
    let repository = Repository { project: with_variables(repository.project), ..repository };
    repository.install().exits(3).says("for more than this repository");
    assert!(!repository.directory.join("elsewhere").exists());
}

#[test]
fn git_s_configuration_and_a_file_are_one_too_many() {
    let repository = Repository::new();
    repository.install().exits(0);
    repository.git(&["config", "hook.guard.event", "pre-push"]);
    repository.git(&["config", "hook.guard.command", ".git/license/xtask pre-push"]);
    let kinds = |status: &Value| {
        let found = status["mechanisms"].as_array().unwrap().clone();
        found.iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&repository.status()), ["hook", "configuration"]);
    repository.run(&["hook", "status"]).exits(0).says("that is more than one");
    repository.install().exits(3).says("git config --remove-section hook.guard");
    repository.uninstall().exits(0).says("hook `guard` of git's configuration still runs the program");
    assert!(repository.program().exists());
    repository.git(&["config", "hook.guard.enabled", "false"]);
    assert_eq!(kinds(&repository.status()), [""; 0]);
    repository.git(&["config", "--remove-section", "hook.guard"]);
    repository.git(&["config", "hook.spelling.event", "pre-push"]);
    repository.git(&["config", "hook.spelling.command", "spell"]);
    repository.install().exits(0);
    assert_eq!(repository.status()["others"][0]["name"], "hook spelling of git's configuration");
}

#[test]
fn a_mirror_that_a_push_would_delete_trails_on_is_named_where_trails_are_in_git() {
    let mut repository = Repository::new();
    let mirrors = |repository: &Repository, command: &str| {
        repository.run(&["hook", command, "--format", "json"]).json()["mirrors"].clone()
    };
    repository.git(&["config", "remote.hub.mirror", "true"]);
    repository.install().exits(0).says_nothing_of("mirror");
    assert_eq!(mirrors(&repository, "status"), json!([]), "no trail lies there");
    repository.project = repository.project.top("[trail]\nkind = \"git\"\nremote = \"hub\"\n");
    repository.install().exits(0).says("`remote.hub.mirror` is set").says("receive.denyDeletes");
    repository.run(&["hook", "status"]).exits(0).says("`remote.hub.mirror` is set");
    assert_eq!(mirrors(&repository, "install"), json!(["hub"]));
    repository.git(&["config", "remote.hub.mirror", "no"]);
    repository.install().exits(0).says_nothing_of("mirror");
    assert_eq!(mirrors(&repository, "status"), json!([]));
}

#[test]
fn a_person_sees_what_is_agreed_to_and_what_has_changed() {
    let repository = Repository::new();
    let first = repository.install();
    first.exits(0).says("keys and tokens may go to `https://api.example.com`");
    first.says("may be read: the variable `TO_API_KEY`").says("may be read: the variable `LICENSE_KEY`");
    first.never_shows(KEY);
    repository.install().exits(0).says("as before, a push may use");

    let repository = repository.asking("https://other.example.com/v1");
    let status = repository.run(&["hook", "status"]);
    status.exits(0).says("+ keys and tokens may go to `https://other.example.com`");
    assert_eq!(repository.status()["not_agreed"]["origins"], json!(["https://other.example.com"]));
    let second = repository.install();
    second.exits(0).says("has changed").says("+ keys and tokens may go to `https://other.example.com`");
    second.says("- keys and tokens may go to `https://api.example.com`");
    let record = fs::read_to_string(repository.common.join("license/trust.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["origins"], json!(["https://other.example.com"]));
    assert_eq!(record["variables"], json!(["LICENSE_KEY", "TO_API_KEY"]));
    let mode = fs::metadata(repository.common.join("license/trust.json")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn without_a_license_toml_nothing_is_agreed_to() {
    let repository = Repository::new();
    let repository = Repository { project: repository.project.without_license_toml(), ..repository };
    repository.install().exits(0).says("a push may use no key and ask nobody");
    assert_eq!(repository.status()["agreed"], json!({ "files": [], "origins": [], "variables": [] }));
}

#[test]
fn a_license_toml_of_another_project_agrees_to_nothing() {
    let repository = Repository::new();
    repository.git(&["init", "--quiet", "inner"]);
    let inner = repository.directory.join("inner");
    repository.project.run_in(&inner, &["hook", "install"]).exits(0).says("a push may use no key and ask nobody");
}

#[test]
fn a_broken_license_toml_installs_nothing() {
    let repository = Repository::new();
    let project = repository.project.license_toml(b"version = 1\nnonsense = true\n");
    let repository = Repository { project, ..repository };
    repository.install().exits(3).says("nonsense");
    assert!(!repository.hook().exists() && !repository.common.join("license").exists());
    repository.run(&["hook", "status"]).exits(3).says("are not checked");
    repository.uninstall().exits(0);
}

#[test]
fn outside_of_a_repository_there_is_no_hook() {
    let project = project().without_license_toml();
    for command in ["install", "uninstall", "status"] {
        let ran = project.run(&["hook", command, "--format", "json"]);
        ran.exits(3).says("git has no repository");
        assert_eq!(ran.json()["error"]["code"], "hook");
    }
}

#[test]
fn without_git_there_is_no_hook() {
    let empty = tempfile::tempdir().unwrap();
    let project = project().without_license_toml().var("PATH", empty.path().to_str().unwrap());
    project.run(&["hook", "install"]).exits(3).says("git cannot be started");
}

#[test]
fn an_older_program_is_told_and_replaced() {
    let repository = Repository::new();
    repository.install().exits(0);
    assert_eq!(repository.status()["program"]["state"], "same");
    script(&repository.program(), "#!/bin/sh\necho xtask 0.0.1\n", 0o755);
    let program = repository.status()["program"].clone();
    assert_eq!((&program["state"], &program["version"]), (&json!("older"), &json!("0.0.1")));
    repository.run(&["hook", "status"]).exits(0).says("is older than this program, 0.0.1");
    repository.install().exits(0);
    assert_eq!(repository.status()["program"]["state"], "same");
}

#[test]
fn a_subdirectory_is_as_good_as_the_top() {
    for make in [Repository::new, || Repository::with_hooks_in(".githooks")] {
        let repository = make();
        let inner = repository.directory.join("some/where");
        fs::create_dir_all(&inner).unwrap();
        repository.project.run_in(&inner, &["hook", "install"]).exits(0).says("https://api.example.com");
        assert_eq!(repository.status()["guarded"], true);
        repository.project.run_in(&inner, &["hook", "uninstall"]).exits(0);
        assert_eq!(repository.state(), BTreeMap::new());
    }
}

/// What may be there before a kill: the hook is what is there, or what the first version of ours keeps.
const BEFORE_A_KILL: [(&str, Prepare); 7] = [
    BEFORE[0],
    BEFORE[1],
    BEFORE[3],
    BEFORE[5],
    ("the first version", |repository| script(&repository.hook(), FIRST_ALONE, 0o755)),
    ("the first version with a hook", |repository| {
        script(&repository.hooks.join("pre-push.legacy"), "#!/bin/sh\nexit 0\n", 0o755);
        script(&repository.hook(), FIRST_WITH_LEGACY, 0o755);
    }),
    ("the first version with a hook that is not executable", |repository| {
        script(&repository.hooks.join("pre-push.legacy"), "#!/bin/sh\nexit 1\n", 0o644);
        script(&repository.hook(), FIRST_WITH_LEGACY, 0o755);
    }),
];

#[test]
fn a_kill_leaves_the_old_hook_or_the_new_one() {
    let binary = failpoints::binary(BINARY).to_str().unwrap();
    let deaths = [
        ("hook-program", "install"),
        ("hook-kept", "install"),
        ("hook-replaced", "install"),
        ("hook-written", "install"),
        ("hook-removed", "uninstall"),
    ];
    let mut died = BTreeMap::new();
    for (before, prepare) in BEFORE_A_KILL {
        // What a removal leads to, whatever happened in between.
        let repository = Repository::of(binary);
        prepare(&repository);
        let first = repository.state();
        repository.uninstall().named(before).exits(0);
        let removed = repository.state();
        for (dies_at, command) in deaths {
            for next in ["install", "uninstall"] {
                let name = format!("{before}, {dies_at}, {next}");
                let repository = Repository::of(binary).with_the_program(binary);
                prepare(&repository);
                if command == "uninstall" {
                    repository.install().named(&name).exits(0);
                }
                let was = repository.state().remove("pre-push");
                let project = repository.project.var(failpoints::DIES_AT, dies_at);
                let repository = Repository { project, ..repository };
                if repository.run(&["hook", command]).named(&name).code() == 137 {
                    *died.entry(dies_at).or_insert(0) += 1;
                }
                let hook = repository.state().remove("pre-push");
                let is_ours = |hook: &Option<Entry>| matches!(hook, Some(Entry::File { bytes, .. }) if bytes.starts_with(b"#!/bin/sh\n# license-hooks"));
                if command == "install" {
                    assert!(hook == was || is_ours(&hook), "{name}: {hook:?}");
                    assert!(hook == first.get("pre-push").cloned() || is_ours(&hook), "{name}: {hook:?}");
                } else {
                    assert_eq!(hook.as_ref(), removed.get("pre-push"), "{name}");
                }
                let repository = Repository { project: repository.project.unset(failpoints::DIES_AT), ..repository };
                if next == "install" {
                    repository.install().named(&name).exits(0);
                    assert_eq!(repository.status()["guarded"], true, "{name}");
                }
                repository.uninstall().named(&name).exits(0);
                assert_eq!(repository.state(), removed, "{name}");
            }
        }
    }
    assert_eq!(died.keys().copied().collect::<Vec<_>>().len(), deaths.len(), "{died:?}");
}

/// The names beside the hook that somebody may have taken, and what is in the hook's place: all of one with all of the
/// others, wherever git looks.
#[test]
fn every_state_comes_back_byte_for_byte() {
    type Rows = [(&'static str, Prepare)];
    let hooks: &Rows = &BEFORE[..7];
    let beside: &Rows = &[
        ("nothing", |_| {}),
        ("a kept hook of somebody else", |repository| {
            script(&repository.hooks.join("pre-push.legacy"), "#!/bin/sh\nexit 1\n", 0o640);
        }),
        ("a link as a kept hook of somebody else", |repository| {
            fs::create_dir_all(&repository.hooks).unwrap();
            symlink("/nowhere", repository.hooks.join("pre-push.legacy")).unwrap();
        }),
    ];
    let places: [(&str, Make); 4] = [
        PLACES[0],
        PLACES[4],
        PLACES[7],
        ("no directory of hooks", || {
            let repository = Repository::new();
            fs::remove_dir_all(&repository.hooks).unwrap();
            repository
        }),
    ];
    for (place, make) in places {
        for (hook, prepare_hook) in hooks {
            for (name, prepare) in beside {
                let name = format!("{hook}, beside it {name}, in {place}");
                let repository = make().with_the_program(BINARY);
                prepare_hook(&repository);
                prepare(&repository);
                let was = repository.state();
                repository.install().named(&name).exits(0);
                let installed = repository.state();
                assert_eq!(installed.get(KEPT), was.get("pre-push"), "{name}");
                assert_eq!(repository.status()["guarded"], true, "{name}");
                repository.uninstall().named(&name).exits(0);
                assert_eq!(repository.state(), was, "{name}");
            }
        }
    }
}

/// Writes what husky writes: the directory that git looks into, and the hooks there, which do not name husky.
fn with_husky_in(repository: &Repository, directory: &str, hooks_path: &str) {
    repository.git(&["config", "core.hooksPath", hooks_path]);
    let ours = "#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"";
    let all = "#!/usr/bin/env sh\nn=$(basename \"$0\")\ns=$(dirname \"$(dirname \"$0\")\")/$n\n\
               [ ! -f \"$s\" ] && exit 0\nsh -e \"$s\" \"$@\"\nexit $?\n";
    let hooks = repository.directory.join(directory).join("_");
    script(&hooks.join("pre-push"), ours, 0o755);
    script(&hooks.join("h"), all, 0o644);
}

#[test]
fn husky_s_file_is_in_the_directory_that_git_was_told() {
    for (directory, hooks_path) in [
        (".husky", ".husky/_"),
        (".husky", ".husky/_/"),
        ("frontend/.husky", "frontend/.husky/_"),
        ("frontend/.husky", "./frontend//.husky/_/"),
        ("config/git", "config/git/_"),
    ] {
        let repository = Repository::new();
        with_husky_in(&repository, directory, hooks_path);
        let hook = repository.directory.join(directory).join("_/pre-push");
        let was = Entry::of(&hook);
        let guard = repository.run(&["hook", "install", "--format", "json"]).named(hooks_path).exits(3).json();
        let guard = guard["guard"].clone();
        assert_eq!((&guard["kind"], &guard["name"]), (&json!("manager"), &json!("husky")), "{hooks_path}");
        assert_eq!(guard["file"], format!("{directory}/pre-push"), "{hooks_path}");
        repository.install().exits(3).says(&format!("add these lines to `{directory}/pre-push`"));
        if directory != ".husky" {
            // husky does not run what is there.
            script(&repository.directory.join(".husky/pre-push"), guard["lines"].as_str().unwrap(), 0o644);
            repository.install().named(hooks_path).exits(3).says("pushes are not checked yet");
            assert_eq!(repository.status()["guarded"], false, "{hooks_path}");
        }
        script(&repository.directory.join(directory).join("pre-push"), guard["lines"].as_str().unwrap(), 0o644);
        repository.install().named(hooks_path).exits(0).says("husky runs the check already");
        assert_eq!(repository.status()["guarded"], true, "{hooks_path}");
        repository.with_program(30);
        repository.try_git(&["push", "hub", "main"], &[]).named(hooks_path).exits(1).says("ours err");
        assert_eq!(Entry::of(&hook), was, "{hooks_path}: it is husky's");
    }
}

#[test]
fn lines_that_no_manager_runs_yet_are_no_check() {
    for (manager, file, hook) in MANAGERS {
        let installs = match manager {
            "husky" => "npx husky",
            "lefthook" => "lefthook install",
            "pre-commit" => "pre-commit install --hook-type pre-push",
            _ => "prek install --hook-type pre-push",
        };
        let repository = Repository::new();
        // As a colleague committed it.
        script(&repository.hook(), hook, 0o755);
        script(&repository.directory.join(file), "# nothing yet\n", 0o644);
        let guard = repository.run(&["hook", "install", "--format", "json"]).json()["guard"].clone();
        let place = repository.directory.join(guard["file"].as_str().unwrap());
        script(&place, guard["lines"].as_str().unwrap(), 0o644);
        fs::remove_file(repository.hook()).unwrap();
        for mode in [None, Some(0o644)] {
            if let Some(mode) = mode {
                script(&repository.hook(), hook, mode);
            }
            let name = format!("{manager} {mode:?}");
            let ran = repository.install().named(&name);
            ran.exits(3).says("pushes are not checked yet").says(installs).says_nothing_of("already");
            let guard = repository.run(&["hook", "install", "--format", "json"]).json()["guard"].clone();
            assert_eq!((&guard["in_place"], &guard["runs"]), (&json!(true), &json!(false)), "{name}");
            let status = repository.run(&["hook", "status"]).named(&name);
            status.exits(3).says("are not checked").says(installs).says_nothing_of("cargo xtask hook install");
        }
        script(&repository.hook(), hook, 0o755);
        repository.install().named(manager).exits(0).says("runs the check already");
        repository.run(&["hook", "status"]).named(manager).exits(0);
        // Without the program the next step is ours.
        fs::remove_file(repository.hook()).unwrap();
        fs::remove_file(repository.program()).unwrap();
        repository.run(&["hook", "status"]).named(manager).exits(3).says("cargo xtask hook install");
    }
}

#[test]
fn lefthook_is_known_by_every_name_of_its_configuration() {
    for name in ["lefthook", ".lefthook", ".config/lefthook"] {
        for ending in ["yml", "yaml", "json", "jsonc", "toml"] {
            let repository = Repository::new();
            let file = format!("{name}.{ending}");
            script(&repository.directory.join(&file), "", 0o644);
            let guard = repository.run(&["hook", "install", "--format", "json"]).named(&file).exits(3).json();
            let guard = guard["guard"].clone();
            assert_eq!((&guard["name"], &guard["file"]), (&json!("lefthook"), &json!(file)), "{file}");
            assert!(!repository.hook().exists(), "{file}");
            let lines = guard["lines"].as_str().unwrap();
            let begins = match ending {
                "toml" => "[pre-push.commands.license]\n",
                "json" | "jsonc" => "\"pre-push\": {\n",
                _ => "pre-push:\n",
            };
            assert!(lines.starts_with(begins), "{file}: {lines}");
        }
    }
}

#[test]
fn a_skipped_hook_reads_all_that_it_is_told() {
    for chained in [false, true] {
        let repository = Repository::new();
        if chained {
            repository.with_hook(0);
        }
        repository.install().exits(0);
        // More than a pipe holds: whoever writes it hears when nobody reads on, as prek does.
        let line = format!("refs/heads/main {0} refs/heads/main {0}\n", "1".repeat(40));
        script(&repository.seen("lines"), &line.repeat(10_000), 0o644);
        let write = "trap '' PIPE\n{ cat \"$1\" || echo unread > \"$2\"; } | LICENSE_HOOK=0 \"$3\" hub ../hub.git";
        let mut command = Command::new("sh");
        command.args(["-c", write, "sh"]).arg(repository.seen("lines")).arg(repository.seen("unread"));
        command.arg(repository.hook()).current_dir(&repository.directory);
        let ended = Running::start(&mut command).wait();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(!repository.seen("unread").exists(), "{chained}: {ended:?}");
    }
}

#[test]
fn a_pre_push_that_pre_commit_is_not_to_have_is_ours() {
    let hook = "repos:\n- repo: local\n  hooks:\n  - id: x\n    stages: [pre-push]\n";
    for (file, text, exit) in [
        (".pre-commit-config.yaml", "repos: []\n".to_owned(), 0),
        (".pre-commit-config.yaml", "default_install_hook_types: [pre-commit]\nrepos: []\n".to_owned(), 0),
        (".pre-commit-config.yaml", format!("default_install_hook_types: [pre-commit, commit-msg]\n{hook}"), 0),
        (".pre-commit-config.yaml", format!("default_install_hook_types: [pre-commit, pre-push]\n{hook}"), 3),
        (".pre-commit-config.yaml", hook.to_owned(), 3),
        ("prek.toml", "default_install_hook_types = [\"pre-commit\"]\n".to_owned(), 0),
        ("prek.toml", "default_install_hook_types = [\"pre-push\"]\n".to_owned(), 3),
    ] {
        for with_hook in [false, true] {
            let name = format!("{text:?} {with_hook}");
            let repository = Repository::new();
            script(&repository.directory.join(file), &text, 0o644);
            if with_hook {
                repository.with_hook(0);
            }
            let was = repository.state();
            let ran = repository.install().named(&name);
            ran.exits(exit);
            if exit == 0 {
                ran.says("every push from this repository is checked").says("would keep ours as `pre-push.legacy`");
            } else {
                assert_eq!(repository.state(), was, "{name}");
                ran.says("pushes are not checked yet").says("cargo xtask hook install --own");
            }
            repository.run(&["hook", "install", "--own"]).named(&name).exits(0).says("every push");
            assert_eq!(repository.status()["guarded"], true, "{name}");
            repository.uninstall().named(&name).exits(0);
            assert_eq!(repository.state(), was, "{name}");
        }
    }
}

#[test]
fn a_person_may_have_our_hook_whatever_files_a_manager_left() {
    for (manager, file, hook) in MANAGERS {
        let repository = Repository::new();
        script(&repository.directory.join(file), "# pre-push\n", 0o644);
        repository.run(&["hook", "install", "--own"]).named(manager).exits(0).says("every push");
        assert_eq!(repository.status()["guarded"], true, "{manager}");
        // What a manager wrote it writes again.
        script(&repository.hook(), hook, 0o755);
        let was = repository.state();
        repository.run(&["hook", "install", "--own"]).named(manager).exits(3).says("pushes are not checked yet");
        assert_eq!(repository.state(), was, "{manager}");
    }
}

/// The line that `hook install` prints for a hook that is not ours.
fn line_for_a_hook(installed: &Ran) -> String {
    let lines = installed.stdout();
    let line = lines.lines().map(str::trim).find(|line| line.contains("pre-push --say passed"));
    line.unwrap_or_else(|| panic!("{lines}")).to_owned()
}

#[test]
fn a_hook_for_all_repositories_that_runs_the_program_is_a_check() {
    let repository = leaking();
    let shared = repository.project.path("../shared-hooks");
    repository.git(&["config", "--global", "core.hooksPath", shared.to_str().unwrap()]);
    let line = line_for_a_hook(repository.install().exits(3));
    let hook = shared.join("pre-push");
    script(&hook, &format!("#!/bin/sh\n{line}\n"), 0o644);
    repository.install().exits(3).says("is not executable").says("chmod +x");
    repository.run(&["hook", "status"]).exits(3).says("is not executable");
    script(&hook, &format!("#!/bin/sh\n# {line}\n"), 0o755);
    repository.install().exits(3).says("pushes are not checked yet: core.hooksPath is");
    script(&hook, &format!("#!/bin/sh\n{line}\n"), 0o755);
    repository.install().exits(0).says("shared-hooks/pre-push").says("runs the check already");
    let guard = repository.run(&["hook", "install", "--format", "json"]).json()["guard"].clone();
    assert_eq!((&guard["kind"], &guard["runs"]), (&json!("foreign"), &json!(true)));
    let status = repository.status();
    assert_eq!((&status["guarded"], &status["mechanisms"][0]["kind"]), (&json!(true), &json!("foreign")));
    repository.run(&["hook", "status"]).exits(0).says_nothing_of("more than one").says_nothing_of("runs too");
    repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("it holds secrets");

    // It passes over a repository without the program, so that this takes it out of this one alone.
    repository.uninstall().exits(0).says("shared-hooks/pre-push").says("none in this one any more");
    assert!(!repository.program().exists());
    repository.run(&["hook", "status"]).exits(3);
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);
}

#[test]
fn a_hook_of_one_s_own_that_runs_the_program_is_a_check() {
    let repository = leaking();
    repository.install().exits(0);
    repository.uninstall().exits(0);
    let docs = include_str!("../../docs/push-guard.md");
    let (_, own) = docs.split_once("### A hook of your own").unwrap();
    let blocks: Vec<_> =
        own.split("```").skip(1).step_by(2).take(2).map(|block| &block[block.find('\n').unwrap()..]).collect();
    let (line, keeping) = (blocks[0].trim(), blocks[1].trim());
    let older = "exec \"$(git rev-parse --git-common-dir)/license/xtask\" pre-push \"$@\"";
    for (text, exit) in [(line, 0), (keeping, 0), (older, 3)] {
        let text = format!("#!/bin/sh\n{text}\n");
        script(&repository.hook(), &text, 0o755);
        let was = repository.state();
        let installed = repository.install().named(&text);
        installed.exits(exit);
        if exit == 0 {
            installed.says("runs the check already");
        } else {
            assert_eq!(line_for_a_hook(&installed), line, "{text}");
        }
        assert_eq!(repository.state(), was, "{text}: it is not ours");
        assert_eq!(repository.status()["guarded"], true, "{text}");
        repository.try_git(&["push", "hub", "main"], &[]).named(&text).exits(1).says("it holds secrets");
        repository.uninstall().named(&text).exits(0).says("still runs the program, which stays");
        assert!(repository.program().exists(), "{text}");
    }
    script(&repository.hook(), "#!/bin/sh\nexit 0\n", 0o755);
    repository.uninstall().exits(0);
    assert!(!repository.program().exists());
}

#[test]
fn a_hook_that_comes_back_and_runs_the_program_keeps_it() {
    let repository = leaking();
    repository.with_hook(0);
    repository.install().exits(0);
    let text = "#!/bin/sh\n\"$(git rev-parse --git-common-dir)\"/license/xtask pre-push \"$@\"\n";
    script(&repository.hooks.join(KEPT), text, 0o755);
    let ran = repository.uninstall();
    ran.exits(0).says("is again the hook from before").says("still runs the program, which stays");
    ran.says_nothing_of("not checked any more");
    repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("it holds secrets");
}

#[test]
fn a_hook_that_tells_by_its_name_what_it_is_keeps_it() {
    for text in [
        "case $(basename \"$0\") in\npre-push) ;;\n*) echo \"unknown hook $0\" >&2; exit 1 ;;\nesac\n",
        "name=${0##*/}\n[ \"$name\" = pre-push ] || exit 1\n",
        "for part in \"$0.d\"/*; do [ ! -x \"$part\" ] || \"$part\" \"$@\" || exit; done\n",
    ] {
        for linked in [false, true] {
            let repository = leaking();
            let dispatcher = repository.directory.join("scripts/dispatch");
            if linked {
                script(&dispatcher, &format!("#!/bin/sh\n{text}"), 0o755);
                symlink("../../scripts/dispatch", repository.hook()).unwrap();
            } else {
                script(&repository.hook(), &format!("#!/bin/sh\n{text}"), 0o755);
            }
            let was = repository.state();
            let ran = repository.install().named(text);
            ran.exits(3).says("pushes are not checked yet").says("tells by its name").says("hook install --own");
            assert_eq!(repository.state(), was, "{text}");
            let line = line_for_a_hook(&ran);
            let place = if linked { &dispatcher } else { &repository.hook() };
            script(place, &format!("#!/bin/sh\n{line}\n{text}"), 0o755);
            let was = repository.state();
            repository.install().named(text).exits(0).says("runs the check already");
            repository.try_git(&["push", "hub", "main"], &[]).named(text).exits(1).says("it holds secrets");
            repository.try_git(&["push", "hub", "HEAD~1:refs/heads/b"], &[]).named(text).exits(0);
            // Whoever knows better may have it kept.
            script(place, &format!("#!/bin/sh\n{text}"), 0o755);
            repository.run(&["hook", "install", "--own"]).named(text).exits(0).says("is kept beside it");
            repository.uninstall().exits(0);
            script(place, &format!("#!/bin/sh\n{line}\n{text}"), 0o755);
            assert_eq!(repository.state(), was, "{text}");
        }
    }
}

#[test]
fn a_link_to_a_program_may_tell_by_its_name_what_it_is() {
    let repository = Repository::new();
    fs::write(repository.directory.join("many"), b"\x7fELF\0\xff").unwrap();
    fs::set_permissions(repository.directory.join("many"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../../many", repository.hook()).unwrap();
    repository.install().exits(3).says("may tell by its name");
    repository.run(&["hook", "install", "--own"]).exits(0);
}

#[test]
fn hooks_that_are_turned_off_are_told_with_who_did_it() {
    for (scope, off, help) in [
        ("--global", "/dev/null", "git config --local core.hooksPath"),
        ("--global", "license.toml/no/where", "git config --local core.hooksPath"),
        ("--local", "/dev/null", "git config --local --unset core.hooksPath"),
        ("--local", "", "git config --local --unset core.hooksPath"),
        ("--local", "/", "git config --local --unset core.hooksPath"),
    ] {
        let name = format!("{scope} {off:?}");
        let repository = Repository::new();
        repository.git(&["config", scope, "core.hooksPath", off]);
        let off = if off.is_empty() { "core.hooksPath is empty" } else { off };
        let why = match off {
            "/" | "core.hooksPath is empty" => "git looks for hooks at the top of the file system",
            _ => "git runs no hook of this repository",
        };
        let installed = repository.install().named(&name);
        installed.exits(3).says(why).says(off).says(help);
        installed.says(if scope == "--global" { ".gitconfig" } else { ".git/config" }).says("nothing was changed");
        assert!(!repository.program().exists() && !Path::new("/pre-push").exists(), "{name}");
        let status = repository.run(&["hook", "status"]).named(&name);
        status.exits(3).says("are not checked").says(why).says(help);
        let status = repository.status();
        assert_eq!((&status["guarded"], &status["hooks_path"]["off"]), (&json!(false), &json!(true)), "{name}");
        repository.uninstall().named(&name).exits(0).says("nothing was taken out");

        // What the help says helps.
        let own = repository.common.join("hooks");
        if scope == "--global" {
            repository.git(&["config", "--local", "core.hooksPath", own.to_str().unwrap()]);
        } else {
            repository.git(&["config", "--local", "--unset", "core.hooksPath"]);
        }
        repository.install().named(&name).exits(0);
        assert_eq!(repository.status()["guarded"], true, "{name}");
    }
}

#[test]
fn a_repository_that_git_does_not_trust_is_told_as_such() {
    let repository = Repository::new();
    let git = String::from_utf8(Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout).unwrap();
    // git tests it so; the repository of somebody else takes somebody else.
    let text = format!("#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec '{}' \"$@\"\n", git.trim());
    script(&repository.project.path("../bin/git"), &text, 0o755);
    let path = format!("{}:{}", repository.project.path("../bin").display(), std::env::var("PATH").unwrap());
    let repository = Repository { project: repository.project.var("PATH", &path), ..repository };
    for command in ["install", "uninstall", "status"] {
        let ran = repository.run(&["hook", command]);
        ran.exits(3).says("git does not trust the repository").says("git config --global --add safe.directory");
        ran.says_nothing_of("has no repository").says_nothing_of("in a clone of the project");
    }
    for arguments in [&["leaks"][..], &["leaks", "--history"], &["leaks", "--range", "HEAD~1..HEAD"]] {
        let ran = repository.run(arguments);
        ran.exits(31).says("git does not trust the repository").says("git config --global --add safe.directory");
        ran.says_nothing_of("is in no git repository");
    }
}

#[test]
fn a_hook_of_ours_where_git_does_not_look_now_keeps_the_program() {
    let repository = leaking();
    repository.install().exits(0);
    let first = repository.hook();
    repository.git(&["config", "core.hooksPath", "elsewhere"]);
    let second = repository.directory.join("elsewhere/pre-push");
    for installs in [false, true] {
        if installs {
            repository.install().exits(0);
        }
        assert_eq!(second.exists(), installs);
        let ran = repository.uninstall();
        ran.exits(0).says(&format!("`{}` is ours too", first.display())).says("needs the program, which stays");
        assert!(!second.exists() && first.exists() && repository.program().exists());
        let json = repository.run(&["hook", "uninstall", "--format", "json"]).json();
        assert_eq!((&json["program_kept"], &json["hooks_elsewhere"]), (&json!(true), &json!([first])));
    }
    repository.git(&["config", "--unset", "core.hooksPath"]);
    repository.try_git(&["push", "hub", "main"], &[]).exits(1).says("it holds secrets");
    repository.uninstall().exits(0);
    assert!(!repository.program().exists());
    repository.try_git(&["push", "hub", "main"], &[]).exits(0);
}

#[test]
fn a_worktree_with_hooks_of_its_own_keeps_the_program() {
    let repository = leaking();
    repository.git(&["worktree", "add", "--quiet", "-b", "other", "../worktree"]);
    let other = repository.project.path("../worktree");
    repository.git(&["config", "extensions.worktreeConfig", "true"]);
    repository.git(&["-C", other.to_str().unwrap(), "config", "--worktree", "core.hooksPath", "own"]);
    repository.install().exits(0);
    repository.project.run_in(&other, &["hook", "install"]).exits(0);
    let hook = other.join("own/pre-push");
    assert!(hook.exists());
    repository.uninstall().exits(0).says("/worktree/own/pre-push` is ours too");
    let push = ["-C", other.to_str().unwrap(), "push", "hub", "other"];
    repository.try_git(&push, &[]).exits(1).says("it holds secrets");
    repository.project.run_in(&other, &["hook", "uninstall"]).exits(0).says_nothing_of("is ours too");
    assert!(!repository.program().exists());
    repository.try_git(&push, &[]).exits(0);
}

#[test]
fn a_copy_of_the_hook_under_our_name_is_as_good_as_a_link() {
    for linked in [false, true] {
        let repository = Repository::new();
        if linked {
            script(&repository.hooks.join("shared.sh"), "#!/bin/sh\nexit 0\n", 0o755);
            symlink("shared.sh", repository.hook()).unwrap();
        } else {
            repository.with_hook(0);
        }
        let was = repository.state();
        // An installation was interrupted where there are no hard links.
        let kept = repository.hooks.join(KEPT);
        let again = || {
            if linked {
                symlink("shared.sh", &kept).unwrap();
            } else {
                fs::copy(repository.hook(), &kept).unwrap();
            }
        };
        again();
        repository.uninstall().exits(0);
        assert_eq!(repository.state(), was);
        again();
        repository.install().exits(0).says("is kept beside it");
        repository.uninstall().exits(0);
        assert_eq!(repository.state(), was);
    }
}

/// A call that no file system without hard links answers.
const NO_LINKS: &str = "#include <errno.h>\nint linkat(int a, const char *b, int c, const char *d, int e) { errno = EPERM; return -1; }\n\
                        int link(const char *a, const char *b) { errno = EPERM; return -1; }\n";

#[test]
fn without_hard_links_the_hook_from_before_is_kept_as_a_copy() {
    let scratch = tempfile::tempdir().unwrap();
    script(&scratch.path().join("none.c"), NO_LINKS, 0o644);
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o", "none.so", "none.c"]).current_dir(scratch.path());
    if !compiler.output().is_ok_and(|output| output.status.success()) {
        std::io::stderr().write_all(b"skipped: no `cc` here makes such a file system\n").unwrap();
        return;
    }
    for (before, prepare) in [BEFORE[1], BEFORE[2], BEFORE[3], BEFORE[4], BEFORE[5], BEFORE[6]] {
        let repository = Repository::new();
        let library = scratch.path().join("none.so");
        let repository =
            Repository { project: repository.project.var("LD_PRELOAD", library.to_str().unwrap()), ..repository };
        prepare(&repository);
        let was = repository.state();
        repository.install().named(before).exits(0).says("is kept beside it");
        assert_eq!(repository.state().get(KEPT), was.get("pre-push"), "{before}");
        repository.uninstall().named(before).exits(0);
        assert_eq!(repository.state(), was, "{before}");
    }
}
