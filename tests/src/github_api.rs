//! GitHub's API for the secrets of an environment, on loopback: it has a real key pair, opens the boxes that are sent to
//! it, and keeps what was in them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use crypto_box::{SecretKey, aead::OsRng};
use serde_json::{Value, json};

use super::raw::{Answer, RawServer, Request};

/// The token that it takes.
pub const GITHUB_TOKEN: &str = "ghp_h4rness5ecret0123456789abcdef";

/// The time of the first request, by the server's clock, in seconds since 1970: 2027-01-01T00:00:00Z.
pub const CLOCK_SECS: i64 = 1_798_761_600;

/// The kinds of requests, to say which of them fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The environment's key.
    Key,
    /// A look at the secret.
    Look,
    /// A write.
    Write,
}

/// How a request fails.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// Nothing is done, and this is answered.
    Answer(Answer),
    /// A write is done, and then this is answered.
    Late(Answer),
}

/// GitHub, on loopback.
pub struct GithubApi {
    server: RawServer,
    state: Arc<Mutex<State>>,
}

struct State {
    secret: SecretKey,
    /// The environments, by the whole path of their secrets, decoded.
    environments: BTreeMap<String, BTreeMap<String, Kept>>,
    clock: i64,
    tick: i64,
    scopes: Option<String>,
    trouble: Option<(On, Trouble)>,
    /// The number of the sealing key.
    key_id: u64,
    /// How often it is replaced before a write.
    renewals: u32,
}

struct Kept {
    value: String,
    updated_at: i64,
}

impl GithubApi {
    /// Starts, with these environments, each as `OWNER/NAME` and the environment's name. Every request takes a second.
    pub fn start(environments: &[(&str, &str)]) -> Self {
        let environments =
            environments.iter().map(|(repository, name)| (format!("{repository}\n{name}"), BTreeMap::new())).collect();
        let state = State {
            secret: SecretKey::generate(&mut OsRng),
            environments,
            clock: CLOCK_SECS,
            tick: 1,
            scopes: None,
            trouble: None,
            key_id: 568_250_167_242_549_743,
            renewals: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let server = RawServer::answering(move |request| answering.lock().unwrap().answer(request));
        Self { server, state }
    }

    /// The API's base address.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// How many writes were asked for.
    pub fn writes(&self) -> usize {
        self.requests().iter().filter(|request| request.method == "PUT").count()
    }

    /// What a secret holds.
    pub fn secret(&self, repository: &str, environment: &str, name: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        Some(state.environments.get(&format!("{repository}\n{environment}"))?.get(name)?.value.clone())
    }

    /// Somebody else writes a secret, now by the server's clock.
    pub fn put(&self, repository: &str, environment: &str, name: &str, value: &str) {
        let mut state = self.state.lock().unwrap();
        let kept = Kept { value: value.to_owned(), updated_at: state.clock };
        let environment = state.environments.get_mut(&format!("{repository}\n{environment}")).unwrap();
        environment.insert(name.to_owned(), kept);
    }

    /// Lets the server's clock go on.
    pub fn pass_secs(&self, secs: i64) {
        self.state.lock().unwrap().clock += secs;
    }

    /// How many seconds go by with every request from now on.
    pub fn tick_secs(&self, secs: i64) {
        self.state.lock().unwrap().tick = secs;
    }

    /// Replaces its key for sealing before each of so many writes.
    pub fn replaces_its_key(&self, times: u32) {
        self.state.lock().unwrap().renewals = times;
    }

    /// The scopes that the token has, as a classic one.
    pub fn scopes(&self, scopes: &str) {
        self.state.lock().unwrap().scopes = Some(scopes.to_owned());
    }

    /// Lets every such request fail from now on.
    pub fn fail(&self, on: On, trouble: Trouble) {
        self.state.lock().unwrap().trouble = Some((on, trouble));
    }

    /// Lets nothing fail any more.
    pub fn heal(&self) {
        self.state.lock().unwrap().trouble = None;
    }
}

impl fmt::Debug for GithubApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GithubApi").field("server", &self.server).finish_non_exhaustive()
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        self.clock += self.tick;
        let segments: Vec<_> = request.path.split('/').skip(1).map(decoded).collect();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let ["repos", owner, name, "environments", environment, "secrets", secret] = segments[..] else {
            return self.says(404, &json!({ "message": "Not Found" }));
        };
        let on = match (request.method.as_str(), secret) {
            ("GET", "public-key") => On::Key,
            ("GET", _) => On::Look,
            _ => On::Write,
        };
        let (place, trouble) = (format!("{owner}/{name}\n{environment}"), self.trouble.clone());
        match trouble {
            Some((troubled, Trouble::Answer(answer))) if troubled == on => answer,
            Some((troubled, Trouble::Late(answer))) if troubled == on => {
                self.handle(on, &place, secret, request);
                answer
            }
            _ => self.handle(on, &place, secret, request),
        }
    }

    fn handle(&mut self, on: On, place: &str, secret: &str, request: &Request) -> Answer {
        if request.header("authorization") != Some(&format!("Bearer {GITHUB_TOKEN}")) {
            return self.says(401, &json!({ "message": "Bad credentials" }));
        }
        let now = self.clock;
        let Some(kept) = self.environments.get_mut(place) else {
            return self.says(404, &json!({ "message": "Not Found" }));
        };
        match on {
            On::Key => {
                let key = STANDARD.encode(self.secret.public_key().as_bytes());
                self.says(200, &json!({ "key_id": self.key_id.to_string(), "key": key }))
            }
            On::Look => match kept.get(secret).map(|kept| kept.updated_at) {
                Some(at) => {
                    let (created, updated) = (rfc3339(at), rfc3339(at));
                    self.says(200, &json!({ "name": secret, "created_at": created, "updated_at": updated }))
                }
                None => self.says(404, &json!({ "message": "Not Found" })),
            },
            On::Write => {
                if let Some(left) = self.renewals.checked_sub(1) {
                    (self.renewals, self.key_id, self.secret) =
                        (left, self.key_id + 1, SecretKey::generate(&mut OsRng));
                }
                let body = request.json();
                let sealed = STANDARD.decode(body["encrypted_value"].as_str().unwrap_or_default()).ok();
                let opened = sealed.and_then(|sealed| self.secret.unseal(&sealed).ok());
                let is_for_us = body["key_id"].as_str() == Some(&self.key_id.to_string());
                let Some(value) = opened.filter(|_| is_for_us) else {
                    return self.says(422, &json!({ "message": "Bad request - invalid encrypted value" }));
                };
                let kept_value = Kept { value: String::from_utf8(value).unwrap(), updated_at: now };
                let status = if kept.insert(secret.to_owned(), kept_value).is_some() { 204 } else { 201 };
                self.says(status, &json!({}))
            }
        }
    }

    fn says(&self, status: u16, body: &Value) -> Answer {
        let date = jiff::Timestamp::from_second(self.clock).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut headers =
            vec![("date", date.as_str()), ("x-ratelimit-remaining", "4999"), ("x-ratelimit-reset", "1798765200")];
        headers.extend(self.scopes.as_deref().map(|scopes| ("x-oauth-scopes", scopes)));
        let body = if status == 204 { String::new() } else { body.to_string() };
        Answer::with_headers(status, &headers, &body)
    }
}

fn rfc3339(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).unwrap().to_string()
}

/// A segment of a path without its percent-encoding.
pub(super) fn decoded(segment: &str) -> String {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: String = bytes.by_ref().take(2).map(char::from).collect();
            decoded.push(u8::from_str_radix(&digits, 16).unwrap());
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).unwrap()
}
