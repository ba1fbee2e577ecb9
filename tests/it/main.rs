//! The tests that run the real binary. One file per topic.

#![expect(clippy::disallowed_methods, reason = "the tests stand outside the product: they start it, feed it and look")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use license_tests::{Answer, Authority, Grant, Issued, Project, RawServer};
use serde_json::{Value, json};

mod adoption;
mod alerts;
mod alerts_again;
mod authority;
mod check;
mod clocks;
mod commands;
mod concurrency;
mod config;
mod deploy;
mod escrow;
mod exit_codes;
mod export;
mod faults;
mod fresh_clone;
mod github;
mod health;
mod hook;
mod hook_managers;
mod leaks;
mod leaks_archives;
mod lock;
mod messages;
mod metrics;
mod page;
mod pre_push;
mod pre_push_config;
mod pre_push_licenses;
mod quota;
mod refusals;
mod rotate;
mod rotate_deploys;
mod rotate_faults;
mod rotate_files;
mod rotate_kills;
mod rotate_paused;
mod rotate_races;
mod rotate_secrets;
mod rotate_syscalls;
mod rotate_ways_out;
mod sample_app;
mod sdk;
mod secrets;
mod serve;
mod server;
mod sinks;
mod status;
mod stops;
mod store;
mod tidy;
mod tls;
mod trail;
mod unread;
mod waiting;
mod watch;
mod webhook;
mod webhook_loop;
mod webhook_serve;
mod wire;
mod year;

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_xtask-under-test");

/// A key for servers that accept any. It holds characters that base64 and percent-encoding change.
const KEY: &str = "TO-PRD-9Zq/7+Marker=K3y4Tests";

/// Lines of production's table: names, and values as they stand in TOML.
type Lines<'a> = &'a [(&'a str, &'a str)];

fn project() -> Project {
    Project::new(BINARY)
}

fn authority(flags: &[&str]) -> Authority {
    Authority::start(BINARY, flags)
}

/// An authority, a license of it, and a project that has the key.
fn licensed(grant: &Grant<'_>) -> (Authority, Issued, Project) {
    let authority = authority(&[]);
    let license = authority.issue(grant);
    let project = project().authority(&authority).key(&license.key);
    (authority, license, project)
}

/// A project that asks a server of the tests.
fn asking(server: &RawServer) -> Project {
    project().authority_at(&server.url()).key(KEY)
}

/// An answer with every fact, for `app.com`, that lets everything pass.
fn good() -> Value {
    json!({
        "valid": true,
        "status": "active",
        "plan": "enterprise",
        "expiresAt": "2099-01-01T00:00:00Z",
        "domains": ["app.com"],
        "features": ["analytics", "sso"],
        "activationsUsed": 1,
        "activationLimit": 10,
    })
}

/// `good()`, with some facts changed.
fn good_but(changes: &Value) -> Value {
    changed(good(), changes)
}

/// What an application reports that runs with the license of `good()`.
fn healthy() -> Value {
    json!({ "valid": true, "plan": "enterprise", "expiresAt": "2099-01-01T00:00:00Z", "features": ["analytics", "sso"] })
}

/// `healthy()`, with some facts changed.
fn healthy_but(changes: &Value) -> Value {
    changed(healthy(), changes)
}

fn changed(mut object: Value, changes: &Value) -> Value {
    object.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    object
}

/// A point in time so many days from now, to the second.
fn in_days(days: i64) -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A project with the embedded authority, whose one environment is `development`.
fn embedded() -> Project {
    let text = "version = 1\n\n[authority.local]\nkind = \"embedded\"\n\n[environments.development]\nauthority = \"local\"\n\
                domain = \"localhost:3000\"\nkey = { dotenv = \".env.development\", name = \"LICENSE_KEY\" }\n\
                deploy = [\"sh\", \"deploy.sh\"]\n";
    project().license_toml(text.as_bytes())
}

/// A server that always gives this answer with status 200.
fn saying(answer: &Value) -> RawServer {
    RawServer::script([Answer::json(200, answer)])
}
