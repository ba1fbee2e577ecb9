//! Every refusal: whoever says no, and however the no is sent, nothing is deployed and the trail has it.

use jiff::{SignedDuration, Timestamp};
use license_tests::{
    Answer, Authority, Grant, Issued, Project, RawServer,
    http::{self, agent},
};

use crate::{BINARY, KEY, authority, licensed, project};

/// A refusal that the authority itself speaks.
struct Refusal {
    name: &'static str,
    expires: fn() -> String,
    happens: fn(&Authority, &Issued),
    domain: &'static str,
    says: &'static [&'static str],
    fails: &'static [&'static str],
}

const REFUSALS: [Refusal; 7] = [
    Refusal {
        name: "revoked",
        expires: in_a_year,
        happens: |authority, license| authority.revoke(license),
        domain: "app.com",
        says: &["revoked"],
        fails: &["validity"],
    },
    Refusal {
        name: "suspended",
        expires: in_a_year,
        happens: |authority, license| authority.suspend(license),
        domain: "app.com",
        says: &["suspended"],
        fails: &["validity"],
    },
    Refusal {
        name: "expired today",
        expires: || (Timestamp::now() - SignedDuration::from_secs(60)).to_string(),
        happens: |_, _| {},
        domain: "app.com",
        says: &["expired"],
        fails: &["validity"],
    },
    Refusal {
        name: "another domain",
        expires: in_a_year,
        happens: |_, _| {},
        domain: "app.org",
        says: &["app.org"],
        fails: &["domain", "validity"],
    },
    Refusal {
        name: "a domain that only looks alike",
        expires: in_a_year,
        happens: |_, _| {},
        domain: "notapp.com.evil.example",
        says: &["notapp.com.evil.example"],
        fails: &["domain", "validity"],
    },
    Refusal {
        name: "a domain that ends alike",
        expires: in_a_year,
        happens: |_, _| {},
        domain: "notapp.com",
        says: &["notapp.com"],
        fails: &["domain", "validity"],
    },
    Refusal {
        name: "a domain below",
        expires: in_a_year,
        happens: |_, _| {},
        domain: "www.app.com",
        says: &["www.app.com"],
        fails: &["domain", "validity"],
    },
];

fn in_a_year() -> String {
    "365d".to_owned()
}

#[test]
fn a_no_of_the_authority_sent_as_200_stops_the_deploy() {
    refused_through("200", |authority| project().authority(authority));
}

#[test]
fn a_no_of_the_authority_sent_as_403_stops_the_deploy() {
    refused_through("403", |authority| project().authority(authority));
}

#[test]
fn a_no_of_the_authority_sent_as_404_stops_the_deploy() {
    let authority = Authority::start(BINARY, &["--refuse-with", "403"]);
    let front = sending_404_for_403(authority.url());
    every_refusal(&authority, "404", |_| project().authority_at(&front.url()));
    assert_eq!(front.connections(), REFUSALS.len(), "one validation for one decision");
}

fn refused_through(status: &str, asking: impl Fn(&Authority) -> Project) {
    let authority = Authority::start(BINARY, &["--refuse-with", status]);
    let unknown = authority.validate(KEY, "app.com");
    assert_eq!((unknown.status.to_string().as_str(), &unknown.json()["valid"]), (status, &false.into()));
    every_refusal(&authority, status, asking);
}

fn every_refusal(authority: &Authority, status: &str, asking: impl Fn(&Authority) -> Project) {
    for refusal in &REFUSALS {
        let license = authority.issue(&Grant { expires: &(refusal.expires)(), ..Grant::default() });
        (refusal.happens)(authority, &license);
        let project = asking(authority).key(&license.key).line("domain", &format!("{:?}", refusal.domain));
        let ran = project.deploy_json();
        ran.exits(10).verdict("refused").deploy_did_not_run().never_shows(&license.key);
        ran.says_one_of(refusal.says);
        let failed = refusal.fails.iter().any(|check| ran.finding(check)["outcome"] == "fail");
        assert!(failed, "{} as {status}: none of {:?} failed\n{ran}", refusal.name, refusal.fails);
        only_the_refusal_is_recorded(&project, refusal.name);
    }
}

fn only_the_refusal_is_recorded(project: &Project, name: &str) {
    let trail = project.trail("production");
    assert_eq!(trail.kinds(), ["gate"], "{name}");
    assert_eq!(trail.last("gate")["verdict"], "refused", "{name}");
}

/// Passes requests on, and sends a 403 as a 404.
fn sending_404_for_403(url: &str) -> RawServer {
    let host = http::host(url).to_owned();
    RawServer::answering(move |request| {
        let url = format!("http://{host}{}", request.path);
        let reply = http::send(&agent(), &request.method, &url, None, Some(&request.json())).unwrap();
        Answer::json(if reply.status == 403 { 404 } else { reply.status }, &reply.json())
    })
}

#[test]
fn an_unknown_key_is_refused() {
    let no_as = |status| Authority::start(BINARY, &["--refuse-with", status]);
    let (as_200, as_403) = (no_as("200"), no_as("403"));
    let as_404 = sending_404_for_403(as_403.url());
    for (status, url) in [("200", as_200.url()), ("403", as_403.url()), ("404", &as_404.url())] {
        let project = project().authority_at(url).key(KEY);
        project
            .deploy_json()
            .exits(10)
            .verdict("refused")
            .check("validity", "fail")
            .deploy_did_not_run()
            .never_shows(KEY);
        only_the_refusal_is_recorded(&project, status);
    }
}

#[test]
fn a_suspended_license_deploys_again_after_it_was_resumed() {
    let (authority, license, project) = licensed(&Grant::default());
    authority.suspend(&license);
    project.deploy().exits(10).deploy_did_not_run();
    authority.cli(&["resume", &license.id]).exits(0);
    project.deploy().exits(0).deploy_ran();
    assert_eq!(project.trail("production").kinds()[..2], ["gate", "gate"]);
}

/// A no that the authority does not speak: the rules find it.
#[test]
fn a_license_that_does_not_meet_the_demand_stops_the_deploy() {
    let ten = Grant { activations: 10, ..Grant::default() };
    let rows: [(&str, Grant<'_>, &str, &str, &str); 7] = [
        (
            "ends inside the horizon",
            Grant { expires: "3d", ..Grant::default() },
            "min_days_left",
            "5",
            "expiry_horizon",
        ),
        (
            "lacks a feature",
            Grant { features: &["analytics"], ..Grant::default() },
            "features",
            r#"["analytics", "sso"]"#,
            "features",
        ),
        ("has no features", Grant { features: &[], ..Grant::default() }, "features", r#"["sso"]"#, "features"),
        ("is full already", Grant { used: 10, ..ten.clone() }, "activations", "1", "activations"),
        ("would be overfull by this deploy", Grant { used: 9, ..ten.clone() }, "activations", "2", "activations"),
        ("allows none", Grant { activations: 0, ..Grant::default() }, "activations", "1", "activations"),
        ("is of another class", Grant { class: "STG", ..Grant::default() }, "key_class", r#""PRD""#, "key_class"),
    ];
    let authority = authority(&[]);
    for (name, grant, line, value, check) in rows {
        let license = authority.issue(&grant);
        let project = project().authority(&authority).key(&license.key).line(line, value);
        let ran = project.deploy_json();
        ran.exits(10).verdict("refused").check(check, "fail").deploy_did_not_run();
        only_the_refusal_is_recorded(&project, name);
        project.check().exits(10).says(check);
    }
}

#[test]
fn a_license_that_just_meets_the_demand_deploys() {
    let ten = Grant { activations: 10, ..Grant::default() };
    let rows: [(&str, Grant<'_>, &str, &str); 4] = [
        ("is filled exactly by this deploy", Grant { used: 8, ..ten.clone() }, "activations", "2"),
        ("is full and this deploy adds none", Grant { used: 10, ..ten.clone() }, "activations", "0"),
        ("ends after the horizon", Grant { expires: "5d", ..Grant::default() }, "min_days_left", "4"),
        ("covers one more label", Grant { domains: &["*.app.com"], ..Grant::default() }, "domain", r#""www.app.com""#),
    ];
    let authority = authority(&[]);
    for (name, grant, line, value) in rows {
        let license = authority.issue(&grant);
        let project = project().authority(&authority).key(&license.key).line(line, value);
        let ran = project.deploy_json();
        assert_eq!(ran.code(), 0, "{name}\n{ran}");
        ran.verdict("go").deploy_ran();
    }
}
