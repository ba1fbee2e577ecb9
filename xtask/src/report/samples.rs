//! What a `status` may find, in every shape, for the tests of the forms in which it is shown.

use jiff::{SignedDuration, Timestamp};
use license_core::{
    Finding, Fingerprint, License, LicenseKey, Verdict,
    alert::{Alert, AlertEvent},
    finding::{Check, Outcome, Reason, clean},
    health::Difference,
    license::Answer,
    quota::{Limit, Quota},
    rotation::{BlobHash, BodySource, Fact, IntentTerms, RotationEvent, RotationId, RunId, Snapshot},
    trail::{Actor, Ended, Event, Folded, GateRecord, HealthRecord, Record, Source},
    webhook::LAST_MAX,
};

use crate::{
    commands::status::{Account, App, Attention, Known, NotKnown, Status, StatusReport},
    config::{self, Config, Environment},
    failure::Failure,
    files,
    gate::{Basis, Judgement},
    health::{Glance, Seen},
    vars::Vars,
};

/// When it is looked.
pub(super) const NOW: &str = "2030-03-17T17:46:40Z";

/// Words of an authority that would break out of any form.
pub(super) const HOSTILE: &str =
    "<script>alert(1)</script>\" onload='x' ]]> --> \u{1b}[31m \u{202e}red\n# HELP \\ &amp; {{7*7}}";

/// A file with so many environments.
pub(super) fn config(count: usize) -> Config {
    let root = tempfile::tempdir().unwrap();
    let environment = |number: usize| {
        format!(
            "[environments.{name}]\nauthority = \"to\"\ndomain = \"{name}.app.example.com\"\n\
             key = {{ env = \"KEY_{number}\" }}\n",
            name = name(number),
        )
    };
    let text: String = (0..count).map(environment).collect();
    let text = format!(
        "version = 1\n[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"https://authority.example.com/api/v1\"\ntoken = {{ env = \"TO_API_KEY\" }}\n{text}"
    );
    let path = root.path().join("license.toml");
    files::replace(&path, text.as_bytes()).unwrap();
    config::load(&path, &Vars::default()).unwrap_or_else(|error| panic!("{:?}", error.problems))
}

/// The name of an environment.
pub(super) fn name(number: usize) -> String {
    const NAMES: [&str; 8] = [
        "production",
        "staging",
        "emea",
        "apac",
        "internal-tools",
        "demo",
        "edge",
        "a-customer-with-a-rather-long-name",
    ];
    let (name, round) = (NAMES[number % NAMES.len()], number / NAMES.len());
    if round == 0 { name.to_owned() } else { format!("{name}-{round}") }
}

/// What was found of every environment: each shape in turn.
pub(super) fn report(config: &Config) -> StatusReport<'_> {
    let environment = |number| config.environment(&name(number)).unwrap();
    let environments = (0..config.environments.len()).map(|number| status(number, environment(number)));
    StatusReport {
        environments: environments.collect(),
        accounts: accounts(),
        at: now(),
        within: None,
        attention: Attention::Shown,
    }
}

/// An account near its limit, one without a limit, and one of which an authority says only something hostile.
fn accounts<'a>() -> Vec<Account<'a>> {
    let quota = |used, limit| Ok(Quota { used_today: None, used: Some(used), limit: Some(limit) });
    vec![
        Account { authority: "to", quota: quota(412, Limit::AtMost(500)) },
        Account { authority: "spare", quota: quota(u64::MAX, Limit::Unlimited) },
        Account {
            authority: "silent",
            quota: Err(NotKnown { code: "protocol_error", why: format!("status 400: {}", clean(HOSTILE)) }),
        },
    ]
}

/// Every shape.
pub(super) const SHAPES: usize = 8;

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn in_days(days: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * days)
}

fn key(number: usize, generation: &str) -> Fingerprint {
    LicenseKey::parse(&format!("TO-PRD-{number}-{generation}")).unwrap().fingerprint()
}

fn license(number: usize, ends_in_days: i64) -> License {
    License {
        id: Some(format!("lic_{number}")),
        plan: Some("enterprise".to_owned()),
        issued_at: Some(in_days(-200)),
        expires_at: Some(in_days(ends_in_days)),
        ..License::bare(Answer::Accepted { code: None })
    }
}

fn judged(number: usize, verdict: Verdict, license: License, checks: Vec<Finding>) -> Known {
    Known::Judged(Judgement {
        fingerprint: key(number, "now"),
        checks,
        verdict,
        license: Some(license),
        authority_ahead: None,
        basis: Basis::Answer,
        forced: None,
    })
}

fn app(seen: Seen) -> App {
    App {
        url: "https://app.example.com/api/license/status".to_owned(),
        glance: Glance { seen, reported: None, status: Some(200), ahead: None },
    }
}

fn status(number: usize, environment: &Environment) -> Status<'_> {
    let round = i64::try_from(number / SHAPES).unwrap();
    let history = folded(number, &deploys(number));
    let mut status = Status {
        environment,
        license: judged(number, Verdict::Go, license(number, 240 + round), vec![]),
        asked_at: now(),
        clocks: vec![],
        app: Some(app(Seen::Proved)),
        deployed: history.deploys().running().cloned(),
        changed: vec![],
        rotation: history.rotation().clone(),
        history,
        standing: vec![],
        told: vec![],
        trail: None,
        failure: None,
    };
    match number % SHAPES {
        1 => {
            status.license = judged(number, Verdict::Go, license(number, 6), vec![]);
            status.standing = vec![expiring(number, 6)];
            status.history = folded(number, &[deploys(number), vec![due(&status.standing[0])]].concat());
        }
        2 => refused(number, &mut status),
        3 => {
            status.history = folded(number, &[deploys(number), rotation(number)].concat());
            status.rotation = status.history.rotation().clone();
            status.app = Some(app(Seen::NotProved));
        }
        4 => {
            status.license = Known::Not(Failure::System {
                what: "the key cannot be read",
                source: std::io::Error::other("the store is locked"),
            });
            status.app = None;
        }
        5 => {
            status.license = Known::NeverLooked;
            status.deployed = None;
            status.history = Folded::default();
        }
        6 => {
            status.license = judged(number, Verdict::Go, license(number, 45), vec![]);
            status.app = None;
        }
        7 => status.history = folded(number, &[deploys(number), webhooks()].concat()),
        _ => {}
    }
    status
}

/// One webhook more than is remembered, of a hostile type but for the last one, which a sink is still to hear of.
fn webhooks() -> Vec<(i64, Event)> {
    let webhook = |number: usize| {
        let event = if number == LAST_MAX { "license.revoked" } else { HOSTILE };
        let sinks: &[&str] = if number == LAST_MAX { &["team"] } else { &[] };
        let record = serde_json::json!({
            "event_id": format!("evt_{number}"), "event": event, "created": NOW, "sinks": sinks,
        });
        (-1, Event::Webhook(serde_json::from_value(record).unwrap()))
    };
    (0..=LAST_MAX).map(webhook).collect()
}

fn refused(number: usize, status: &mut Status<'_>) {
    let license = License { id: Some(HOSTILE.to_owned()), plan: Some(HOSTILE.to_owned()), ..license(number, -12) };
    let message = format!("the license expired: {HOSTILE}");
    let no = Finding { check: Check::Validity, outcome: Outcome::Fail, reason: Reason::Expired, message };
    status.license = judged(number, Verdict::Refused, license, vec![no]);
    let difference = |field: &str| Difference { field: field.to_owned(), message: format!("other: {HOSTILE}") };
    status.app = Some(app(Seen::Unhealthy { differences: vec![difference("plan"), difference("expiresAt")] }));
    status.changed =
        vec![Difference { field: "plan".to_owned(), message: "the plan was `pro`, and is `basic`".to_owned() }];
    let refused =
        Alert::Refused { key_fingerprint: key(number, "now"), reason: HOSTILE.to_owned(), since: in_days(-2) };
    let (key_fingerprint, license_id) = (key(number, "now"), None);
    let expired = Alert::Expired { key_fingerprint, license_id, expires_at: in_days(-12) };
    status.standing = vec![expired, refused];
    let due: Vec<_> = status.standing.iter().map(due).collect();
    status.history = folded(number, &[deploys(number), due].concat());
}

fn expiring(number: usize, ends_in_days: i64) -> Alert {
    Alert::Expiring {
        key_fingerprint: key(number, "now"),
        license_id: None,
        expires_at: in_days(ends_in_days),
        days: 7,
    }
}

fn due(alert: &Alert) -> (i64, Event) {
    let (id, alert, run) = (alert.id(), alert.clone(), RunId("run-1".to_owned()));
    (-1, Event::Alert(AlertEvent::Due { id, alert, sinks: vec!["team".to_owned()], run, until: in_days(0) }))
}

/// A deploy that ended well, and was seen to be healthy.
fn deploys(number: usize) -> Vec<(i64, Event)> {
    let day = -3 - i64::try_from(number % 40).unwrap();
    let release = format!("20300314-{number}");
    let gate = GateRecord {
        verdict: Verdict::Go,
        checks: vec![],
        key_fingerprint: key(number, "now"),
        demand: license_core::Demand {
            domain: license_core::Domain::parse("app.example.com").unwrap(),
            features: [].into(),
            activations: None,
            key_class: None,
            min_days_left: 0,
            key_age_max_days: None,
        },
        license: Some(license(number, 240)),
        source: Source::Authority,
        forced: None,
        trouble: None,
    };
    let events = [
        Event::Gate(gate),
        Event::DeployStarted { release: release.clone(), key_fingerprint: key(number, "now") },
        Event::DeployEnded { release: release.clone(), ended: Ended::Exited { code: 0 } },
        Event::Health { release, health: HealthRecord::Proved, differences: vec![] },
    ];
    events.map(|event| (day, event)).into()
}

/// A rotation that began two days ago, whose new key is in every store.
fn rotation(number: usize) -> Vec<(i64, Event)> {
    let terms = IntentTerms {
        epoch: 1,
        old: key(number, "old"),
        old_blob: BlobHash::of(b"old"),
        snapshot: Snapshot::default(),
        grace_days: 14,
        call_deadline: in_days(-1),
        stores: vec![],
    };
    let facts = [
        Fact::Intent(terms),
        Fact::Received { blob: BlobHash::of(b"new"), source: BodySource::Answer },
        Fact::Validated { new: key(number, "now"), grace_ends_at: None },
        Fact::Committed,
    ];
    let event = |fact| (-2, Event::Rotation(RotationEvent { rotation_id: RotationId("rot-1".to_owned()), fact }));
    facts.map(event).into()
}

fn folded(number: usize, events: &[(i64, Event)]) -> Folded {
    let record = |(days, event): &(i64, Event)| Record {
        at: in_days(*days),
        actor: Actor::default(),
        environment: name(number),
        event: event.clone(),
    };
    Folded::replay(&events.iter().map(record).collect::<Vec<_>>()).unwrap()
}
