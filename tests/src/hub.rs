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

    fn repository(&self) -> PathBuf {
        self.root.path().join("hub.git")
    }

    /// Makes a project a repository that has this one as `origin`, and keeps its trails there.
    pub fn shared_by(&self, project: Project) -> Project {
        let project = self.makes_a_repository_of(project);
        project.trails_in(&self.repository()).top("[trail]\nkind = \"git\"\nremote = \"origin\"\n")
    }

    /// Makes a project a repository that has this one as `origin`.
    pub fn makes_a_repository_of(&self, project: Project) -> Project {
        let directory = project.path("");
        git(&directory, &["init", "--quiet", "--initial-branch=main"]);
        git(&directory, &["remote", "add", "origin", self.repository().to_str().unwrap()]);
        project
    }

    /// Takes no push to refs whose names begin so, from now on.
    pub fn refuses(&self, refs: &str) {
        let hook = self.repository().join("hooks/update");
        fs::write(&hook, format!("#!/bin/sh\ncase $1 in {refs}*) echo 'not here' >&2; exit 1 ;; esac\n")).unwrap();
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes this many pushes to refs whose names begin so, and none after them.
    pub fn refuses_after(&self, refs: &str, pushes: u32) {
        let hook = self.repository().join("hooks/update");
        let count = format!(
            "#!/bin/sh\ncase $1 in {refs}*) ;; *) exit 0 ;; esac\necho >> taken\n\
             [ \"$(wc -l < taken)\" -le {pushes} ] || {{ echo 'no more' >&2; exit 1; }}\n"
        );
        fs::write(&hook, count).unwrap();
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Takes the next push of this fact to a trail, and does not let go of whoever pushed it.
    pub fn holds_at(&self, fact: &str) {
        self.holds_in("post-receive", &format!("\"fact\":\"{fact}\""));
    }

    /// Does not let go of whoever pushes the next claim, after it was taken.
    pub fn holds_after_a_claim(&self) {
        self.holds_in("post-receive", "\"act\":\"claimed\"");
    }

    /// The same before it is taken.
    pub fn holds_before_a_claim(&self) {
        self.holds_in("pre-receive", "\"act\":\"claimed\"");
    }

    /// Answers nothing to whoever fetches with this project. Each of them writes its process down, for
    /// [`Hub::fetching`].
    pub fn hangs_for(&self, project: &Project) {
        let program = self.root.path().join("hangs");
        let pids = self.root.path().join("pids");
        fs::write(&program, format!("#!/bin/sh\necho $$ >> '{}'\nexec sleep 1000\n", pids.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        git(&project.path(""), &["config", "remote.origin.uploadpack", program.to_str().unwrap()]);
    }

    /// Answers those who fetch with this project again.
    pub fn answers(&self, project: &Project) {
        git(&project.path(""), &["config", "--unset", "remote.origin.uploadpack"]);
    }

    /// The processes that were asked since [`Hub::hangs_for`], and live.
    pub fn fetching(&self) -> Vec<String> {
        let pids = fs::read_to_string(self.root.path().join("pids")).unwrap_or_default();
        let lives = |pid: &&str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            !status.is_empty() && !status.contains("State:\tZ")
        };
        pids.lines().filter(lives).map(str::to_owned).collect()
    }

    /// Does not let go of whoever pushes an entry with this text next, after it was taken.
    pub fn holds_after(&self, said: &str) {
        self.holds_in("post-receive", said);
    }

    /// Holds the push of this number, from 1, to refs whose names begin so, before it is taken.
    pub fn holds_push(&self, number: u32, refs: &str) {
        let hook = self.repository().join("hooks/update");
        let script = format!(
            "#!/bin/sh\ncase $1 in {refs}*) ;; *) exit 0 ;; esac\necho >> pushes\n\
             [ \"$(wc -l < pushes)\" -eq {number} ] || exit 0\nmkdir held\n\
             while [ ! -e released ]; do sleep 0.05; done\n"
        );
        fs::write(&hook, script).unwrap();
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn holds_in(&self, hook: &str, said: &str) {
        let hook = self.repository().join("hooks").join(hook);
        let script = format!(
            "#!/bin/sh\nread -r old new name\ngit log -1 --format=%B \"$new\" | grep -q '{said}' || exit 0\n\
             mkdir held || exit 0\nwhile [ ! -e released ]; do sleep 0.05; done\n"
        );
        fs::write(&hook, script).unwrap();
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Whether somebody who pushed is held now, or was.
    pub fn holds(&self) -> bool {
        self.repository().join("held").exists()
    }

    /// Lets go of whoever is held.
    pub fn releases(&self) {
        fs::write(self.repository().join("released"), "").unwrap();
    }

    /// Takes every push again.
    pub fn refuses_nothing(&self) {
        fs::remove_file(self.repository().join("hooks/update")).unwrap();
    }

    /// The trail of an environment; its chain holds.
    pub fn trail(&self, environment: &str) -> Trail {
        trail(&self.repository(), environment)
    }

    /// The lines of an environment's trail, oldest first.
    pub fn lines(&self, environment: &str) -> Vec<String> {
        let reference = format!("refs/license/trail/{environment}");
        let text = git(&self.repository(), &["log", "--reverse", "--format=%B", &reference]);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Puts a history with these messages in the place of an environment's trail, as whoever pushes by hand could.
    pub fn rewrite(&self, environment: &str, messages: &[impl AsRef<[u8]>]) {
        let reference = format!("refs/license/trail/{environment}");
        git(&self.repository(), &["update-ref", "-d", &reference]);
        let mut history = Vec::new();
        for message in messages {
            let (message, length) = (message.as_ref(), message.as_ref().len() + 1);
            let head = format!("commit {reference}\ncommitter m <m@example.com> 0 +0000\ndata {length}\n");
            history.extend([head.as_bytes(), message, b"\n\n"].concat());
        }
        let file = self.root.path().join("history");
        fs::write(&file, history).unwrap();
        let import = ["-c", "git fast-import --quiet --force --date-format=raw < \"$0\"", file.to_str().unwrap()];
        run("sh", &self.repository(), &import);
    }

    /// Everything that was ever pushed, as git shows it.
    pub fn content(&self) -> String {
        git(&self.repository(), &["log", "--all", "--format=%H%n%B", "--patch", "--text"])
    }
}

/// The trail of an environment in a repository; an empty one where nothing was pushed yet. Its chain holds.
pub(crate) fn trail(repository: &Path, environment: &str) -> Trail {
    let reference = format!("refs/license/trail/{environment}");
    let tip = git(repository, &["for-each-ref", "--format=%(objectname)", &reference]);
    let lines = match tip.trim() {
        "" => String::new(),
        tip => git(repository, &["log", "--reverse", "--format=%B", tip]),
    };
    Trail::of(lines.as_bytes())
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
