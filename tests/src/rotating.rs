//! A project whose key can be rotated: two stores, somebody to seal to, and an authority behind a proxy that counts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    authority::{Authority, Grant, Issued},
    forms,
    project::Project,
    proxy::Proxy,
    ran::Ran,
    raw::Request,
};

/// An age identity of the tests. It is in the variable that [`ESCROW`] names.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1J90R5UJ33Y57ZF5E6ZH36YLSRKE3X6DMYFZYZ4U0NQMW4M3YFETQL7SX2P";

/// The variable of the identity.
pub const IDENTITY_VARIABLE: &str = "LICENSE_ESCROW_IDENTITY";

/// To whom keys are sealed: the recipient of [`IDENTITY`].
pub const ESCROW: &str = "[escrow]\n\
    recipients = [\"age138xlhfylvfqf6kpnhgjr7dwcqp8zz52v2xrcy4asjk9fqz5laehqcew0kx\"]\n\
    identity = { env = \"LICENSE_ESCROW_IDENTITY\" }\n";

/// A second place that deploys read.
pub const SECOND_STORE: &str = "[stores.second]\nkind = \"dotenv\"\nfile = \".env.second\"\nname = \"SECOND_KEY\"\n";

/// The files of the stores, each with its variable.
const STORES: [(&str, &str); 2] = [(".env", "LICENSE_KEY"), (".env.second", "SECOND_KEY")];

/// A project that can be rotated, and the authority that does it.
#[derive(Debug)]
pub struct Rotating {
    /// The authority.
    pub authority: Authority,
    /// The license, with the key that it began with.
    pub license: Issued,
    /// The project.
    pub project: Project,
    /// What stands between them.
    pub proxy: Proxy,
}

impl Project {
    /// Production's key is this one, in `.env` and in `.env.second`, and it can be rotated.
    pub fn rotatable(self, key: &str) -> Self {
        let mut project = self
            .line("key", r#"{ dotenv = ".env", name = "LICENSE_KEY" }"#)
            .line("stores", r#"["second"]"#)
            .tables(ESCROW)
            .tables(SECOND_STORE)
            .var(IDENTITY_VARIABLE, IDENTITY)
            .may_hold(&[".env.second"]);
        for (file, name) in STORES {
            project = project.write(file, format!("# of {file}\n{name}={key}\nOTHER=1\n").as_bytes());
        }
        project
    }

    /// The key in each of the two stores.
    pub fn stored(&self) -> [String; 2] {
        STORES.map(|(file, name)| {
            let text = fs::read_to_string(self.path(file)).unwrap();
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            let value = value.unwrap_or_else(|| panic!("{file} has no {name}:\n{text}"));
            value.trim_matches(['"', '\'']).to_owned()
        })
    }

    /// `rotate production`, with what else is given.
    pub fn rotate(&self, rest: &[&str]) -> Ran {
        self.run(&[&["rotate", "production"], rest].concat())
    }

    /// `rotate production --adopt`, with a text on stdin.
    pub fn adopt(&self, brought: &str) -> Ran {
        self.run_with_input(&["rotate", "production", "--adopt"], brought)
    }

    /// What production's rotations have come to, as words.
    pub fn facts(&self) -> Vec<String> {
        self.trail("production").facts().into_iter().map(str::to_owned).collect()
    }

    /// How many facts of a name production's trail has.
    pub fn facts_named(&self, name: &str) -> usize {
        self.facts().iter().filter(|fact| *fact == name).count()
    }

    /// The content of every file of the project.
    pub fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut content = BTreeMap::new();
        let mut left = vec![self.path("")];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else {
                    content.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        content
    }

    /// The names of what lies in production's escrow.
    pub fn escrowed(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(".license/escrow/production")) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Rotating {
    /// An authority with one license, and a project that has its key in two stores and runs `binary`.
    pub fn start(binary: impl AsRef<Path>, authority: Authority) -> Self {
        let license = authority.issue(&Grant::default());
        let proxy = Proxy::to(authority.url());
        let project = Self::project_of(binary.as_ref(), &authority, &license, &proxy);
        Self { authority, license, project, proxy }
    }

    fn project_of(binary: &Path, authority: &Authority, license: &Issued, proxy: &Proxy) -> Project {
        Project::new(binary)
            .authority_at(&proxy.url())
            .var("TO_API_KEY", authority.token())
            .line("license", &format!("{:?}", license.id))
            .rotatable(&license.key)
    }

    /// The same project on another machine, with stores of its own that hold the first key.
    pub fn elsewhere(&self, binary: impl AsRef<Path>) -> Project {
        Self::project_of(binary.as_ref(), &self.authority, &self.license, &self.proxy)
    }

    /// The authority can be reached again, through another proxy, whose counts are its own.
    #[must_use]
    pub fn reached_anew(mut self) -> Self {
        self.proxy = Proxy::to(self.authority.url());
        let url = self.proxy.url();
        self.with(|project| project.authority_at(&url))
    }

    /// Changes the project.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Project) -> Project) -> Self {
        self.project = change(self.project);
        self
    }

    /// How many calls for a rotation reached the authority, in both dialects.
    pub fn calls(&self) -> usize {
        let sdk = format!("POST /api/v1/portal/licenses/{}/rotate ", self.license.id);
        self.proxy.requests("POST /api/v1/licenses/rotate ") + self.proxy.requests(&sdk)
    }

    /// What was asked of the authority by the project, one connection after another.
    pub fn sent(&self) -> Vec<Request> {
        self.proxy.sent()
    }

    /// How many rotations the authority made, by its own account.
    pub fn rotations(&self) -> usize {
        let log = self.authority.send("GET", "/portal/audit-logs/export?format=json", None).json();
        let entries = log["logs"].as_array().unwrap_or_else(|| panic!("no log: {log}"));
        entries.iter().filter(|entry| entry["action"] == "rotated").count()
    }

    /// Every key that the license ever had, oldest first: the authority keeps them in plain text.
    pub fn keys(&self) -> Vec<String> {
        let log = fs::read_to_string(self.authority.state().join("authority/events.jsonl")).unwrap();
        let entry = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let key = |entry: Value| Some(entry["key"].as_str()?.to_owned());
        log.lines().filter_map(|line| key(entry(line))).collect()
    }

    /// The newest key, as the authority's portal would show it.
    pub fn newest_key(&self) -> String {
        self.keys().pop().unwrap()
    }

    /// Whether the authority accepts a key now.
    pub fn accepts(&self, key: &str) -> bool {
        self.authority.validate(key, "app.com").json()["valid"] == true
    }

    /// The authority accepts what every store holds.
    #[track_caller]
    pub fn stores_work(&self, when: &str) {
        for key in self.project.stored() {
            assert!(self.accepts(&key), "{when}: a store holds a dead key; trail: {:?}", self.project.facts());
        }
    }

    /// Every store holds this key.
    #[track_caller]
    pub fn stores_hold(&self, key: &str) {
        for (stored, (file, _)) in self.project.stored().iter().zip(STORES) {
            assert!(stored == key, "{file} holds another key; trail: {:?}", self.project.facts());
        }
    }

    /// Every store holds the key that the license began with.
    #[track_caller]
    pub fn nothing_stored(&self) {
        self.stores_hold(&self.license.key);
    }

    /// No key of the license is in the output of a run, or in a file that does not exist to hold one.
    #[track_caller]
    pub fn hidden(&self, ran: &Ran) {
        for key in self.keys() {
            ran.never_shows(&key);
        }
        for text in [ran.stdout(), ran.stderr()] {
            for (form, secret) in forms::of(IDENTITY) {
                assert!(!text.contains(&secret), "the identity stands {form} in the output\n{ran}");
            }
        }
    }
}
