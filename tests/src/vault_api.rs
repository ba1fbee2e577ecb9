//! A key-value engine of Vault on loopback: version 2 with honest check-and-set, or version 1, which ignores it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value, json};

use super::{
    github_api::decoded,
    raw::{Answer, RawServer, Request},
};

/// The token that it takes.
pub const VAULT_TOKEN: &str = "hvs.h4rness5ecret0123456789abcdef";

/// Which engine is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Without versions: the path `data/x` is one like any other.
    V1,
    /// With versions.
    V2,
}

/// Which requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultOn {
    /// A read of the secret.
    Read,
    /// A write of the secret.
    Write,
    /// The question which engine is mounted.
    Mount,
    /// The question what the token may do.
    Capabilities,
}

/// How a request fails.
#[derive(Debug, Clone)]
pub enum VaultTrouble {
    /// Nothing is done, and this is answered.
    Answer(Answer),
    /// A write is done, and then this is answered.
    Late(Answer),
}

/// Vault, on loopback.
pub struct VaultApi {
    server: RawServer,
    state: Arc<Mutex<State>>,
}

struct State {
    engine: Engine,
    mount: String,
    namespace: Option<String>,
    capabilities: Vec<String>,
    /// By path below the mount (v1) or below `data/` (v2).
    secrets: BTreeMap<String, Vec<Stored>>,
    troubles: Vec<(VaultOn, VaultTrouble)>,
}

enum Stored {
    There(Map<String, Value>),
    Deleted,
    Destroyed,
}

impl VaultApi {
    /// Starts, with an engine at a mount.
    pub fn start(engine: Engine, mount: &str) -> Self {
        let capabilities = ["create", "read", "update"].map(str::to_owned).to_vec();
        let state = State {
            engine,
            mount: mount.to_owned(),
            namespace: None,
            capabilities,
            secrets: BTreeMap::new(),
            troubles: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let server = RawServer::answering(move |request| answering.lock().unwrap().answer(request));
        Self { server, state }
    }

    /// The server's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// How many writes of secrets were asked for.
    pub fn writes(&self) -> usize {
        self.requests().iter().filter(|request| request.method == "POST" && request.path.contains("/data/")).count()
    }

    /// Requests need this namespace from now on.
    pub fn namespace(&self, namespace: &str) {
        self.state.lock().unwrap().namespace = Some(namespace.to_owned());
    }

    /// What the token may do, as it is told. Nothing else depends on it.
    pub fn capabilities(&self, capabilities: &[&str]) {
        self.state.lock().unwrap().capabilities = capabilities.iter().map(|&may| may.to_owned()).collect();
    }

    /// Somebody writes a secret.
    pub fn put(&self, path: &str, fields: &Value) {
        let stored = Stored::There(fields.as_object().unwrap().clone());
        self.state.lock().unwrap().secrets.entry(path.to_owned()).or_default().push(stored);
    }

    /// Somebody deletes the latest version.
    pub fn delete(&self, path: &str) {
        *self.state.lock().unwrap().secrets.get_mut(path).unwrap().last_mut().unwrap() = Stored::Deleted;
    }

    /// Somebody destroys the latest version.
    pub fn destroy(&self, path: &str) {
        *self.state.lock().unwrap().secrets.get_mut(path).unwrap().last_mut().unwrap() = Stored::Destroyed;
    }

    /// The fields of a secret as they are now.
    pub fn secret(&self, path: &str) -> Option<Value> {
        match self.state.lock().unwrap().secrets.get(path)?.last()? {
            Stored::There(fields) => Some(Value::Object(fields.clone())),
            Stored::Deleted | Stored::Destroyed => None,
        }
    }

    /// Lets every such request fail from now on.
    pub fn fail(&self, on: VaultOn, trouble: VaultTrouble) {
        self.state.lock().unwrap().troubles.push((on, trouble));
    }

    /// It is sealed from now on: every request gets the same answer.
    pub fn seal(&self) {
        let sealed = VaultTrouble::Answer(Answer::json(503, &json!({ "errors": ["Vault is sealed"] })));
        for on in [VaultOn::Read, VaultOn::Write, VaultOn::Mount, VaultOn::Capabilities] {
            self.fail(on, sealed.clone());
        }
    }

    /// Lets nothing fail any more.
    pub fn heal(&self) {
        self.state.lock().unwrap().troubles.clear();
    }
}

impl fmt::Debug for VaultApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultApi").field("server", &self.server).finish_non_exhaustive()
    }
}

/// An answer as Vault gives when something is wrong.
pub fn errors(status: u16, errors: &[&str]) -> Answer {
    Answer::json(status, &json!({ "errors": errors }))
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let path: Vec<_> = request.path.split('/').skip(1).map(decoded).collect();
        let path = path.join("/");
        let on = match (request.method.as_str(), path.as_str()) {
            (_, "v1/sys/capabilities-self") => VaultOn::Capabilities,
            (_, path) if path.starts_with("v1/sys/internal/ui/mounts/") => VaultOn::Mount,
            ("GET", _) => VaultOn::Read,
            _ => VaultOn::Write,
        };
        let trouble = self.troubles.iter().find(|(troubled, _)| *troubled == on).map(|(_, trouble)| trouble.clone());
        match trouble {
            Some(VaultTrouble::Answer(answer)) => answer,
            Some(VaultTrouble::Late(answer)) => {
                self.handle(on, &path, request);
                answer
            }
            None => self.handle(on, &path, request),
        }
    }

    fn handle(&mut self, on: VaultOn, path: &str, request: &Request) -> Answer {
        if request.header("x-vault-token") != Some(VAULT_TOKEN)
            || request.header("x-vault-namespace") != self.namespace.as_deref()
        {
            return errors(403, &["permission denied"]);
        }
        match on {
            VaultOn::Capabilities => Answer::json(200, &json!({ "capabilities": self.capabilities })),
            VaultOn::Mount if path == format!("v1/sys/internal/ui/mounts/{}", self.mount) => {
                let version = match self.engine {
                    Engine::V1 => "1",
                    Engine::V2 => "2",
                };
                Answer::json(200, &json!({ "data": { "type": "kv", "options": { "version": version } } }))
            }
            VaultOn::Mount => errors(403, &["preflight capability check returned 403"]),
            VaultOn::Read | VaultOn::Write => {
                let Some(below) = path.strip_prefix(&format!("v1/{}/", self.mount)).map(str::to_owned) else {
                    return errors(404, &["no handler for route. route entry not found."]);
                };
                match (self.engine, below.strip_prefix("data/")) {
                    (Engine::V1, _) => self.version_1(on, &below, request),
                    (Engine::V2, Some(secret)) => self.version_2(on, secret, request),
                    (Engine::V2, None) => errors(404, &[]),
                }
            }
        }
    }

    fn version_1(&mut self, on: VaultOn, path: &str, request: &Request) -> Answer {
        if on == VaultOn::Write {
            let fields = request.json().as_object().unwrap().clone();
            self.secrets.insert(path.to_owned(), vec![Stored::There(fields)]);
            return Answer::text(204, "application/json", "");
        }
        match self.secrets.get(path).and_then(|versions| versions.last()) {
            Some(Stored::There(fields)) => Answer::json(200, &json!({ "data": fields })),
            Some(Stored::Deleted | Stored::Destroyed) | None => errors(404, &[]),
        }
    }

    fn version_2(&mut self, on: VaultOn, path: &str, request: &Request) -> Answer {
        let versions = self.secrets.entry(path.to_owned()).or_default();
        let current = versions.len();
        if on == VaultOn::Write {
            let body = request.json();
            if body["options"]["cas"].as_u64().is_some_and(|cas| cas != current as u64) {
                return errors(400, &["check-and-set parameter did not match the current version"]);
            }
            versions.push(Stored::There(body["data"].as_object().unwrap().clone()));
            return Answer::json(200, &json!({ "data": { "version": current + 1, "destroyed": false } }));
        }
        match versions.last() {
            None => errors(404, &[]),
            Some(Stored::There(fields)) => {
                let metadata = json!({ "version": current, "destroyed": false, "deletion_time": "" });
                Answer::json(200, &json!({ "data": { "data": fields, "metadata": metadata } }))
            }
            Some(gone @ (Stored::Deleted | Stored::Destroyed)) => {
                let destroyed = matches!(gone, Stored::Destroyed);
                let metadata =
                    json!({ "version": current, "destroyed": destroyed, "deletion_time": "2027-01-01T00:00:00Z" });
                Answer::json(404, &json!({ "data": { "data": null, "metadata": metadata } }))
            }
        }
    }
}
