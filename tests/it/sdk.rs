//! The vendor's published Python SDK drives our authority.
//!
//! `LICENSE_TESTS_PYTHON` names a python that has it (`python3 -m venv sdk && sdk/bin/pip install
//! traffic-orchestrator==2.1.0`); without the variable, when the tests are built, the runner counts them as ignored.

use std::{path::Path, process::Command};

use license_tests::{Authority, Grant, Issued, process::Running};
use serde_json::Value;

use crate::{BINARY, KEY};

/// The version that these tests were written against.
const SDK_VERSION: &str = "2.1.0";

/// What the SDK made of an authority that sends its refusals with this status.
fn driven(refuse_with: &str) -> (Authority, Issued, Value) {
    let python =
        std::env::var_os("LICENSE_TESTS_PYTHON").expect("LICENSE_TESTS_PYTHON names a python that has the SDK");
    let authority = Authority::start(BINARY, &["--refuse-with", refuse_with]);
    let license = authority.issue(&Grant::default());
    let mut command = Command::new(&python);
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("it/sdk_driver.py")).arg(authority.url());
    command.env("TO_API_KEY", authority.token()).env("LICENSE_KEY", &license.key).env("LICENSE_ID", &license.id);
    command.env("UNKNOWN_KEY", KEY).env("NO_PROXY", "127.0.0.1");
    let finished = Running::start(&mut command).wait();
    assert_eq!(finished.code(), 0, "{} could not run: {finished:?}", python.display());
    let outcomes: Value =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    assert_eq!(outcomes["version"], SDK_VERSION);
    (authority, license, outcomes)
}

/// What a call returned; it must not have raised.
#[track_caller]
fn returned<'a>(outcomes: &'a Value, call: &str) -> &'a Value {
    let outcome = &outcomes[call];
    outcome.get("returned").unwrap_or_else(|| panic!("{call}: {outcome}"))
}

#[test]
#[cfg_attr(not(vendor_sdk), ignore = "LICENSE_TESTS_PYTHON is not set")]
fn the_sdk_validates_lists_rotates_and_counts() {
    let (authority, license, outcomes) = driven("200");
    let status = &returned(&outcomes, "health")["status"];
    assert!(status == "ok" || status == "healthy", "{status}");
    assert!(returned(&outcomes, "health")["version"].is_string());

    let validated = returned(&outcomes, "validate");
    assert_eq!((&validated["valid"], &validated["plan"]), (&true.into(), &"enterprise".into()));
    assert!(validated["expiresAt"].is_string() && validated["domains"].is_array(), "{validated}");
    assert_eq!(returned(&outcomes, "validate_without_domain")["valid"], true);

    let listed = returned(&outcomes, "list");
    let ours = listed.as_array().unwrap().iter().find(|one| one["license_id"] == license.id.as_str()).unwrap();
    for field in ["license_key", "status", "plan_id", "domains", "created_at", "expires_at"] {
        assert!(!ours[field].is_null(), "`{field}` of {ours}");
    }
    assert_eq!(outcomes["list_anonymous"]["status"], 401, "{}", outcomes["list_anonymous"]);
    assert_eq!(returned(&outcomes, "one")["license_id"], license.id.as_str());
    assert!(returned(&outcomes, "create").is_object());
    returned(&outcomes, "add_domain");
    assert_eq!(returned(&outcomes, "validate_added_domain")["valid"], true);
    returned(&outcomes, "remove_domain");
    assert!(returned(&outcomes, "usage")["validationsToday"].as_u64().unwrap() >= 2);

    let rotated = returned(&outcomes, "rotate");
    let new_key = rotated["newLicense"]["license_key"].as_str().or(rotated["newLicense"]["key"].as_str()).unwrap();
    assert_ne!(new_key, license.key);
    assert_eq!(authority.validate(new_key, "app.com").json()["valid"], true);
    returned(&outcomes, "suspend");
    returned(&outcomes, "resume");
    assert_eq!(returned(&outcomes, "validate_resumed")["valid"], true);
}

#[test]
#[cfg_attr(not(vendor_sdk), ignore = "LICENSE_TESTS_PYTHON is not set")]
fn the_sdk_returns_a_refusal_that_comes_as_200() {
    let (_authority, _, outcomes) = driven("200");
    for call in ["validate_other_domain", "validate_unknown", "validate_suspended"] {
        let refusal = returned(&outcomes, call);
        assert_eq!(refusal["valid"], false, "{call}: {refusal}");
        assert!(refusal["message"].is_string(), "{call}: {refusal}");
    }
}

#[test]
#[cfg_attr(not(vendor_sdk), ignore = "LICENSE_TESTS_PYTHON is not set")]
fn the_sdk_raises_a_refusal_that_comes_as_403() {
    let (_authority, _, outcomes) = driven("403");
    assert_eq!(returned(&outcomes, "validate")["valid"], true);
    for call in ["validate_other_domain", "validate_unknown", "validate_suspended"] {
        let refusal = &outcomes[call];
        assert_eq!(refusal["status"], 403, "{call}: {refusal}");
        assert!(refusal["code"].as_str().is_some_and(|code| code != "UNKNOWN"), "{call}: {refusal}");
        assert!(refusal["raised"].as_str().is_some_and(|words| !words.starts_with("HTTP ")), "{call}: {refusal}");
    }
}
