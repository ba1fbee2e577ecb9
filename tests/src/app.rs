//! Deployed applications: they tell their license at `/api/license/status`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use license_core::LicenseKey;
use serde_json::{Value, json};

use crate::raw::{Answer, RawServer};

/// An application's status endpoint.
#[derive(Debug)]
pub struct App {
    server: RawServer,
}

impl App {
    /// Always reports the same.
    pub fn reporting(status: Value) -> Self {
        Self { server: RawServer::answering(move |_| Answer::json(200, &status)) }
    }

    /// Answers 503 to the first `requests` requests, and reports from then on.
    pub fn reporting_after(requests: usize, status: Value) -> Self {
        let asked = AtomicUsize::new(0);
        let handler = move |_: &_| {
            if asked.fetch_add(1, Ordering::SeqCst) < requests {
                return Answer::text(503, "text/plain", "starting");
            }
            Answer::json(200, &status)
        };
        Self { server: RawServer::answering(handler) }
    }

    /// Reports the license that the deploy command was given, read from what it saw; 503 until it ran.
    pub fn deployed_by(seen: &Path) -> Self {
        let seen = seen.to_owned();
        let handler = move |_: &_| match of_deploy(&seen) {
            Some(status) => Answer::json(200, &status),
            None => Answer::text(503, "text/plain", "nothing is deployed"),
        };
        Self { server: RawServer::answering(handler) }
    }

    /// The address of the status.
    pub fn url(&self) -> String {
        format!("http://{}/api/license/status", self.server.address())
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.server.requests().len()
    }

    /// The requests, headers included.
    pub fn requests(&self) -> Vec<crate::Request> {
        self.server.requests()
    }
}

/// The status that a well-behaved application reports for the environment it was deployed with.
fn of_deploy(seen: &Path) -> Option<Value> {
    let variables = variables(&seen.join("env"))?;
    let key = LicenseKey::parse(variables.get("LICENSE_KEY")?).ok()?;
    let features: Vec<_> =
        variables.get("LICENSE_FEATURES")?.split([',', ' ']).filter(|feature| !feature.is_empty()).collect();
    Some(json!({
        "valid": true,
        "plan": variables.get("LICENSE_PLAN")?,
        "expiresAt": variables.get("LICENSE_EXPIRES_AT")?,
        "features": features,
        "keyFingerprint": key.fingerprint().to_string(),
        "release": variables.get("LICENSE_RELEASE")?,
    }))
}

/// What `env` printed.
pub fn variables(file: &PathBuf) -> Option<BTreeMap<String, String>> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}
