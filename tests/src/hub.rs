//! A bare git repository on disk, as the remote that several machines share.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{process::Running, project::Project, trail::Trail};

/// A remote. It goes away with the value.
#[derive(Debug)]
pub struct Hub {
    root: TempDir,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// An empty one.
    pub fn new() -> Self {
        let hub = Self { root: TempDir::with_prefix("hub-").unwrap() };
        git(hub.root.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "hub.git"]);
        hub
    }

    /// Makes a project a repository that has this one as `origin`, and keeps its trails there.
    pub fn shared_by(&self, project: Project) -> Project {
        self.makes_a_repository_of(project).top("[trail]\nkind = \"git\"\nremote = \"origin\"\n")
    }

    /// Makes a project a repository that has this one as `origin`.
    pub fn makes_a_repository_of(&self, project: Project) -> Project {
        let directory = project.path("");
        git(&directory, &["init", "--quiet", "--initial-branch=main"]);
        git(&directory, &["remote", "add", "origin", self.directory().to_str().unwrap()]);
        project
    }

    /// Takes no push to refs whose names begin so, from now on.
    pub fn refuses(&self, refs: &str) {
        let hook = self.root.path().join("hub.git/hooks/update");
        fs::write(&hook, format!("#!/bin/sh\ncase $1 in {refs}*) echo 'not here' >&2; exit 1 ;; esac\n")).unwrap();
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes every push again.
    pub fn refuses_nothing(&self) {
        fs::remove_file(self.root.path().join("hub.git/hooks/update")).unwrap();
    }

    /// The trail of an environment; its chain holds.
    pub fn trail(&self, environment: &str) -> Trail {
        let reference = format!("refs/license/trail/{environment}");
        let log = ["log", "--reverse", "--format=%B", &reference];
        Trail::of(git(&self.root.path().join("hub.git"), &log).as_bytes())
    }

    /// The lines of an environment's trail, oldest first.
    pub fn lines(&self, environment: &str) -> Vec<String> {
        let reference = format!("refs/license/trail/{environment}");
        let text = git(&self.directory(), &["log", "--reverse", "--format=%B", &reference]);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Puts a history with these messages in the place of an environment's trail, as whoever pushes by hand could.
    pub fn rewrite(&self, environment: &str, messages: &[impl AsRef<[u8]>]) {
        let reference = format!("refs/license/trail/{environment}");
        git(&self.directory(), &["update-ref", "-d", &reference]);
        let mut history = Vec::new();
        for message in messages {
            let (message, length) = (message.as_ref(), message.as_ref().len() + 1);
            let head = format!("commit {reference}\ncommitter m <m@example.com> 0 +0000\ndata {length}\n");
            history.extend([head.as_bytes(), message, b"\n\n"].concat());
        }
        let file = self.root.path().join("history");
        fs::write(&file, history).unwrap();
        let import = ["-c", "git fast-import --quiet --force --date-format=raw < \"$0\"", file.to_str().unwrap()];
        run("sh", &self.directory(), &import);
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("hub.git")
    }

    /// Everything that was ever pushed, as git shows it.
    pub fn content(&self) -> String {
        git(&self.root.path().join("hub.git"), &["log", "--all", "--format=%H%n%B", "--patch", "--text"])
    }
}

/// Runs git without the settings of whoever runs the tests, and gives what it prints.
fn git(directory: &Path, arguments: &[&str]) -> String {
    run("git", directory, arguments)
}

fn run(program: &str, directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.envs([
        ("HOME", directory.to_str().unwrap()),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ]);
    let finished = Running::start(command.args(arguments)).wait();
    assert_eq!(finished.code(), 0, "{program} {arguments:?}: {}", finished.stderr);
    finished.stdout
}
