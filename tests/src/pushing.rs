//! A repository that pushes to a bare one on disk, with a pre-push hook that runs the real binary.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    process::{Finished, Running},
    ran::Ran,
};

/// A repository `work`, its remote `hub.git`, and everything else of a test in one temporary directory.
#[derive(Debug)]
pub struct Pushing {
    root: TempDir,
    binary: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Pushing {
    /// A repository whose first commit is on the remote, `origin`.
    pub fn new(binary: impl AsRef<Path>) -> Self {
        Self::with_format(binary, "sha1")
    }

    /// The same, with the hash of the repositories.
    pub fn with_format(binary: impl AsRef<Path>, format: &str) -> Self {
        let pushing = Self {
            root: TempDir::with_prefix("pushing-").unwrap(),
            binary: binary.as_ref().to_owned(),
            variables: BTreeMap::new(),
        };
        fs::create_dir(pushing.path("home")).unwrap();
        let format = format!("--object-format={format}");
        let init = ["init", "--quiet", "--initial-branch=main", &format];
        pushing.git_in("", &[&init[..], &["--bare", "hub.git"]].concat());
        pushing.git_in("", &[&init[..], &["work"]].concat());
        pushing.hook("work/.git");
        pushing.git(&["remote", "add", "origin", pushing.path("hub.git").to_str().unwrap()]);
        pushing.commit("README", "nothing to hide\n");
        pushing.git(&["push", "--quiet", "--no-verify", "origin", "main"]);
        pushing
    }

    /// Sets a variable of every git that is run from now on, and so of its hook.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes a variable away from every git that is run from now on.
    #[must_use]
    pub fn unset(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// A path of the test's directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Writes the hook of a repository, given by its git directory: it runs the binary and notes the exit.
    pub fn hook(&self, git_directory: &str) {
        let (binary, exits) = (self.binary.display(), self.path("exits"));
        let (exits, arguments) = (exits.display(), self.path("arguments"));
        let text = format!(
            "#!/bin/sh\necho \"$@\" >> '{}'\n'{binary}' pre-push \"$@\"\ncode=$?\necho $code >> '{exits}'\nexit $code\n",
            arguments.display()
        );
        let file = self.path(git_directory).join("hooks/pre-push");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes what was agreed to on this machine, as the installation of the hook does. The key and the token of these
    /// tests may go to each of the origins.
    pub fn agree(&self, origins: &[&str], variables: &[&str], files: &[&str]) {
        let ways = |origin: &&str| {
            [("key", "LICENSE_KEY"), ("token", "TO_API_KEY")]
                .map(|(role, name)| format!("{role} env {name:?} -> {origin}"))
        };
        let record = serde_json::json!({
            "schema": "license-hooks/trust/1", "origins": origins, "variables": variables, "files": files,
            "ways": origins.iter().flat_map(ways).collect::<Vec<_>>(), "secrets": [],
        });
        fs::create_dir_all(self.path("work/.git/license")).unwrap();
        fs::write(self.path("work/.git/license/trust.json"), record.to_string()).unwrap();
    }

    /// Writes a file of the work tree.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path("work").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Commits a file.
    pub fn commit(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.write(path, bytes);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", path]);
    }

    /// Runs git in the repository; it must work. What it prints, without the last line break.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in("work", arguments)
    }

    /// Runs git in a directory of the test; it must work.
    pub fn git_in(&self, directory: &str, arguments: &[&str]) -> String {
        let finished = self.run_git(directory, arguments);
        assert_eq!(finished.code(), 0, "git {arguments:?}: {}", finished.stderr);
        finished.stdout.trim_end().to_owned()
    }

    /// Runs git in the repository, which may be too old for that.
    pub fn can_git(&self, arguments: &[&str]) -> bool {
        self.run_git("work", arguments).code() == 0
    }

    /// `git push` with these arguments, and how the hook ended.
    pub fn push(&self, arguments: &[&str]) -> Pushed {
        self.push_in("work", arguments)
    }

    /// The same, from another directory.
    pub fn push_in(&self, directory: &str, arguments: &[&str]) -> Pushed {
        let _ = fs::remove_file(self.path("exits"));
        let _ = fs::remove_file(self.path("arguments"));
        let finished = self.run_git(directory, &[&["push"], arguments].concat());
        let lines = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let exits = lines("exits").lines().map(|line| line.parse().unwrap()).collect();
        let hooks = lines("arguments").lines().map(str::to_owned).collect();
        Pushed { ran: Ran::of(finished, None), exits, hooks }
    }

    /// Runs the binary as a hook would, with these lines.
    pub fn pre_push(&self, directory: &str, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(&self.binary, directory);
        command.arg("pre-push").args(arguments);
        Ran::of(Running::start_with_input(&mut command, input).wait(), None)
    }

    /// Runs the binary as something would that keeps git's lines to itself.
    pub fn pre_push_without_input(&self, directory: &str, arguments: &[&str]) -> Ran {
        self.xtask_in(directory, &[&["pre-push"], arguments].concat())
    }

    /// Runs the binary in the work tree.
    pub fn xtask(&self, arguments: &[&str]) -> Ran {
        self.xtask_in("work", arguments)
    }

    /// Runs the binary in a directory of the test.
    pub fn xtask_in(&self, directory: &str, arguments: &[&str]) -> Ran {
        Ran::of(Running::start(self.command(&self.binary, directory).args(arguments)).wait(), None)
    }

    /// Runs the binary in a directory that is removed before it begins.
    pub fn xtask_that_lost_its_directory(&self, arguments: &[&str]) -> Ran {
        fs::create_dir(self.path("lost")).unwrap();
        let mut command = self.command(Path::new("sh"), "lost");
        command.args(["-c", "rmdir \"$PWD\" && exec \"$0\" \"$@\""]).arg(&self.binary).args(arguments);
        Ran::of(Running::start(&mut command).wait(), None)
    }

    fn run_git(&self, directory: &str, arguments: &[&str]) -> Finished {
        Running::start(self.command(Path::new("git"), directory).args(arguments)).wait()
    }

    fn command(&self, program: &Path, directory: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path(directory)).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.envs([
            ("HOME", self.path("home").to_str().unwrap()),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "A. Author"),
            ("GIT_AUTHOR_EMAIL", "author@example.com"),
            ("GIT_COMMITTER_NAME", "A. Author"),
            ("GIT_COMMITTER_EMAIL", "author@example.com"),
        ]);
        command.envs(&self.variables);
        command
    }
}

/// A push that ended, and how its hooks did.
#[derive(Debug)]
pub struct Pushed {
    /// git itself.
    pub ran: Ran,
    /// The exits of the hook, one for every call.
    pub exits: Vec<i32>,
    /// The arguments of the hook, one line for every call.
    pub hooks: Vec<String>,
}

impl Pushed {
    /// The push went out, and the hook said nothing.
    #[track_caller]
    pub fn goes(&self) -> &Ran {
        assert!(!self.exits.is_empty() && self.exits.iter().all(|exit| *exit == 0), "{self:?}");
        self.ran.exits(0);
        assert!(!self.ran.stderr().contains("license:"), "{}", self.ran);
        &self.ran
    }

    /// The push went out, and the hook said something.
    #[track_caller]
    pub fn goes_with(&self, text: &str) -> &Ran {
        assert!(!self.exits.is_empty() && self.exits.iter().all(|exit| *exit == 0), "{self:?}");
        self.ran.exits(0).says(text)
    }

    /// The hook stopped the push with this exit, and names the way round; stdout is git's alone.
    #[track_caller]
    pub fn stops(&self, exit: i32) -> &Ran {
        assert_eq!(self.exits.last(), Some(&exit), "{}", self.ran);
        self.ran.exits(1).says("git push --no-verify");
        assert_eq!(self.ran.stdout(), "", "{}", self.ran);
        &self.ran
    }
}
