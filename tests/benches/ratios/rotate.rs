//! `rotate` of a key that two stores hold, beside `curl` sending the same requests one after another.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use license_tests::{Authority, Grant, Issued, Project, Request, Rotating};
use serde_json::Value;

use crate::{
    BINARY, Effort, program,
    table::{Row, median},
};

/// What `curl` writes by itself, or must not take from another connection.
const CURLS_OWN: [&str; 3] = ["host", "content-length", "connection"];
/// The header that names a rotation: two of them need two names.
const ROTATION: &str = "idempotency-key";

pub(crate) fn measure(effort: Effort) -> Vec<Row> {
    const NAME: &str = "`rotate`, two stores / its requests by `curl`";
    if let Some(why) = program::missing(&["curl"]) {
        return vec![Row::skipped(NAME, &why)];
    }
    let script = Script::of_a_rotation();
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..effort.pick(51, 11) {
        times[0].push(ours());
        times[1].push(script.by_curl());
    }
    let [ours, theirs] = times.map(|times| median(&times));
    let name = format!("{NAME}, {} of them", script.requests.len());
    vec![Row::slower_at_most(&name, ours, theirs, 3.0)]
}

/// One rotation of a fresh license in a fresh project: no grace is open, and nothing is to be waited for.
fn ours() -> Duration {
    let (authority, license) = licensed();
    let project = Project::new(BINARY)
        .authority(&authority)
        .line("license", &format!("{:?}", license.id))
        .rotatable(&license.key);
    let took = program::timed(&mut project.command(&project.path(""), &["rotate", "production"]), 0);
    assert!(project.stored().iter().all(|key| *key != license.key), "a store holds the old key");
    took
}

/// Both sides begin with an authority that has one license.
fn licensed() -> (Authority, Issued) {
    let authority = Authority::start(BINARY, &[]);
    let license = authority.issue(&Grant::default());
    (authority, license)
}

/// The requests of a rotation in their order, and what in them differs from one rotation to the next.
struct Script {
    requests: Vec<Request>,
    license: Issued,
    new_key: String,
}

impl Script {
    /// Writes down what a rotation really sends.
    fn of_a_rotation() -> Self {
        let rotating = Rotating::start(BINARY, Authority::start(BINARY, &[]));
        rotating.project.rotate(&[]).exits(0);
        let new_key = rotating.newest_key();
        let (calls, mut requests): (Vec<Request>, Vec<Request>) =
            rotating.sent().into_iter().partition(|request| request.header(ROTATION).is_some());
        assert_eq!(calls.len(), 1, "a rotation calls once");
        // The call has a connection of its own; it comes before the first request that knows the new key.
        let place = requests.iter().position(|request| request.body.contains(&new_key)).unwrap();
        requests.splice(place..place, calls);
        Self { requests, license: rotating.license, new_key }
    }

    /// Rotates another license by the same requests: one `curl` for each, and what the next one needs is read from the
    /// answer. The lines stand in a script that runs already, so that no shell is timed.
    fn by_curl(&self) -> Duration {
        let (authority, license) = licensed();
        let mut new_key = None;
        let started = Instant::now();
        for request in &self.requests {
            let answer = self.curl(request, &authority, &license, new_key.as_deref()).output().unwrap();
            assert!(answer.status.success(), "curl did not ask {}", request.path);
            let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
            assert!(answer["valid"] != false && answer["error"].is_null(), "{} was refused", request.path);
            if let Some(key) = answer["newKey"].as_str() {
                new_key = Some(key.to_owned());
            }
        }
        let took = started.elapsed();
        assert!(new_key.is_some(), "curl did not rotate");
        took
    }

    fn curl(&self, request: &Request, authority: &Authority, license: &Issued, new_key: Option<&str>) -> Command {
        let of_this = |text: &str| {
            let text = text.replace(&self.license.id, &license.id).replace(&self.license.key, &license.key);
            new_key.map_or(text.clone(), |new_key| text.replace(&self.new_key, new_key))
        };
        let path = of_this(&request.path);
        let path = path.strip_prefix("/api/v1").unwrap();
        let mut curl = program::bare("curl");
        curl.args(["-s", "--max-time", program::CURL_SECS_MAX, "-X", &request.method]);
        for (name, value) in request.headers.iter().filter(|(name, _)| !CURLS_OWN.contains(&name.as_str())) {
            curl.args(["-H", &format!("{name}: {value}")]);
        }
        if !request.body.is_empty() {
            curl.args(["-d", &of_this(&request.body)]);
        }
        curl.arg(format!("{}{path}", authority.url())).stdin(Stdio::null());
        curl
    }
}
