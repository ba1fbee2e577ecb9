//! What sinks are told, without telling any: documents, names, and what is left unsaid.

use license_core::{
    LicenseKey,
    alert::{Severity, dedup_key},
};
use serde_json::{Value, json};

use super::*;
use crate::signals::Stop;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn expiring(days: u32) -> Alert {
    let key_fingerprint = LicenseKey::parse("TO-PRD-1").unwrap().fingerprint();
    Alert::Expiring { key_fingerprint, license_id: None, expires_at: at(1_900_000_000), days }
}

fn refused(reason: &str) -> Alert {
    let key_fingerprint = LicenseKey::parse("TO-PRD-1").unwrap().fingerprint();
    Alert::Refused { key_fingerprint, reason: reason.to_owned(), since: at(1_800_000_000) }
}

fn message(alert: &Alert, news: News) -> Message {
    let run_url = Some("https://github.com/acme/app/actions/runs/42".to_owned());
    Message {
        environment: "production".to_owned(),
        dedup_key: dedup_key("production", &alert.id()),
        alert: alert.clone(),
        news,
        at: at(1_899_500_000),
        actor: Actor { run_url, ..Actor::default() },
    }
}

const EVERY: [News; 4] = [News::Stands, News::Over(Over::Gone), News::Over(Over::Overtaken), News::Test];

fn event(message: &Message) -> Value {
    serde_json::from_slice(&cloud_event::document(message)).unwrap()
}

fn target(url: &str) -> Target {
    Target {
        url: Zeroizing::new(url.to_owned()),
        from: "the environment variable `SINK_URL`".to_owned(),
        ca_pem: None,
        timeout: Duration::from_secs(1),
        clock: || at(1_899_500_000),
    }
}

fn vars() -> Vars {
    Vars::default()
}

#[test]
fn an_event_has_one_name_for_one_thing_that_is_said() {
    let ids: std::collections::BTreeSet<String> =
        EVERY.map(|news| cloud_event::id(&message(&expiring(7), news))).into();
    assert_eq!(ids.len(), EVERY.len());
    let mut later = message(&expiring(7), News::Stands);
    later.at = at(1_899_900_000);
    later.actor = Actor::default();
    assert_eq!(cloud_event::id(&later), cloud_event::id(&message(&expiring(7), News::Stands)));
    assert_ne!(cloud_event::id(&later), cloud_event::id(&message(&expiring(1), News::Stands)));
    let odd = cloud_event::id(&message(&refused("a.b\r\nX: ü"), News::Stands));
    assert!(odd.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{odd}");
}

#[test]
fn an_event_says_what_it_is_about() {
    let types = EVERY.map(|news| event(&message(&expiring(7), news))["type"].clone());
    let resolved = "license.alert.expiring.resolved";
    assert_eq!(types, ["license.alert.expiring", resolved, resolved, "license.alert.test"].map(Value::from));
    let alert = expiring(7);
    let event = event(&message(&alert, News::Stands));
    let data = &event["data"];
    assert_eq!(event["time"], "2030-03-11T22:53:20Z");
    assert_eq!((&data["news"], &data["severity"]), (&json!("stands"), &json!("warning")));
    assert_eq!(data["alert"], serde_json::to_value(&alert).unwrap());
    assert_eq!(data["dedup_key"], dedup_key("production", &alert.id()));
    assert_eq!(data["actor"]["run_url"], "https://github.com/acme/app/actions/runs/42");
}

#[test]
fn pagerduty_opens_and_closes_one_incident() {
    let alert = expiring(1);
    let opened = pagerduty::document(&message(&alert, News::Stands), "R");
    assert_eq!((&opened["event_action"], &opened["payload"]["severity"]), (&json!("trigger"), &json!("critical")));
    assert_eq!(opened["payload"]["custom_details"]["environment"], "production");
    for over in [Over::Gone, Over::Overtaken] {
        let closed = pagerduty::document(&message(&alert, News::Over(over)), "R");
        assert_eq!(closed, json!({ "routing_key": "R", "event_action": "resolve", "dedup_key": opened["dedup_key"] }));
    }
    assert_eq!(opened["dedup_key"], dedup_key("production", &alert.id()));
}

#[test]
fn pagerduty_gets_nothing_that_is_too_long_for_it() {
    let long = refused(&"ü".repeat(2000));
    let [opened, closed] =
        [News::Stands, News::Over(Over::Gone)].map(|news| pagerduty::document(&message(&long, news), "R"));
    let key = opened["dedup_key"].as_str().unwrap();
    assert!(key.len() <= 255 && key.starts_with("license:sha256:"), "{key}");
    assert_eq!(opened["dedup_key"], closed["dedup_key"]);
    assert!(opened["payload"]["summary"].as_str().unwrap().chars().count() <= 1024);
    assert_ne!(pagerduty::document(&message(&refused(&"u".repeat(2000)), News::Stands), "R")["dedup_key"], *key);
}

#[test]
fn people_do_not_hear_that_a_tighter_alert_took_over() {
    let overtaken = message(&expiring(7), News::Over(Over::Overtaken));
    let none = Signals::none();
    // Nobody listens there, and nobody is asked.
    let slack = Sink::slack(target("http://127.0.0.1:9/x"), &vars()).unwrap();
    assert_eq!(slack.tell(&overtaken, &none), Ok(()));
    let secret = "0123456789abcdef";
    let webhook = Sink::webhook(target("http://127.0.0.1:9/x"), secret, "`S`", &vars()).unwrap();
    assert_eq!(webhook.tell(&overtaken, &none).unwrap_err().tries, TRIES_MAX);
}

#[test]
fn slack_says_that_it_is_over() {
    let over = slack::document(&message(&expiring(7), News::Over(Over::Gone)));
    assert!(over["text"].as_str().unwrap().starts_with("over: the license key of `production`"), "{over}");
    let stands = slack::document(&message(&refused("<!channel> @all"), News::Stands));
    assert!(!stands.to_string().contains("<!channel>") && !stands.to_string().contains("@all"), "{stands}");
}

#[test]
fn a_mail_about_the_end_stands_below_the_alert() {
    let envelope = mail::Envelope { to: vec!["ops@example.com".to_owned()], from: None };
    let header = |mail: &str, name: &str| {
        let start = format!("{name}: ");
        mail.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
    };
    let [stands, again] = [(); 2].map(|()| envelope.mail(&message(&expiring(7), News::Stands)));
    let over = envelope.mail(&message(&expiring(7), News::Over(Over::Gone)));
    assert_eq!(header(&stands, "Message-ID"), header(&again, "Message-ID"));
    assert_ne!(header(&stands, "Message-ID"), header(&over, "Message-ID"));
    assert_eq!(header(&over, "In-Reply-To"), header(&stands, "Message-ID"));
    assert_eq!(header(&stands, "From"), None);
    assert_eq!(header(&stands, "Date").as_deref(), Some("Mon, 11 Mar 2030 22:53:20 +0000"));
}

#[test]
fn no_reason_of_an_authority_gets_out_of_its_place() {
    let evil = message(&refused("no\r\nBcc: x@example.com\r\n\r\n::error::x\u{1b}[31m"), News::Stands);
    let envelope = mail::Envelope { to: vec!["ops@example.com".to_owned()], from: None };
    let mail = envelope.mail(&evil);
    assert!(mail.lines().all(|line| !line.starts_with("Bcc:") && line.len() <= 998), "{mail}");
    for (name, value) in words::variables(&evil) {
        assert!(!value.contains(|c: char| c.is_control()), "{name}={value:?}");
    }
    assert!(!words::headline(&evil).contains(|c: char| c.is_control()));
}

#[test]
fn a_test_and_an_end_are_no_alarm() {
    let loud = EVERY.map(|news| words::loudness(&message(&expiring(1), news)));
    assert_eq!(loud, [Severity::Critical, Severity::Info, Severity::Info, Severity::Info]);
}

#[test]
fn an_address_of_a_run_is_shown_only_where_it_is_one() {
    for (url, shown) in [("https://ci.example/1", true), ("javascript:alert(1)", false), ("https://x y", false)] {
        let mut message = message(&expiring(7), News::Stands);
        message.actor.run_url = Some(url.to_owned());
        assert_eq!(words::run_url(&message).is_some(), shown, "{url}");
    }
}

#[test]
fn the_bound_covers_every_try_and_every_pause() {
    let slack = Sink::slack(target("http://127.0.0.1:9/x"), &vars()).unwrap();
    assert_eq!(slack.bound(), Duration::from_secs(3 * 2 + 2 * 10));
    for pause in PAUSES {
        for _ in 0..200 {
            let jittered = jittered(pause);
            assert!(jittered >= pause * 3 / 4 && jittered <= pause * 5 / 4, "{jittered:?}");
            assert!(jittered <= RETRY_AFTER_MAX);
        }
    }
}

#[test]
fn a_sink_asks_for_a_pause_within_a_bound() {
    let secs = Duration::from_secs;
    for (asked, waited) in
        [(None, 4), (Some(0), 4), (Some(7), 7), (Some(10), 10), (Some(3600), 10), (Some(u64::MAX), 10)]
    {
        assert_eq!(wait(secs(4), asked.map(secs)), secs(waited), "{asked:?}");
    }
}

#[test]
fn a_signal_that_came_before_tells_nobody() {
    let signals = Signals::none();
    signals.note(Stop::Terminate, Instant::now());
    let slack = Sink::slack(target("http://127.0.0.1:9/x"), &vars()).unwrap();
    assert_eq!(slack.tell(&message(&expiring(7), News::Stands), &signals).unwrap_err().tries, 0);
}

#[test]
fn what_is_shown_of_a_sink_is_its_kind() {
    let slack = Sink::slack(target("http://127.0.0.1:9/hunter2hunter2"), &vars()).unwrap();
    assert_eq!(format!("{slack:?}"), "Sink { kind: \"slack\", .. }");
    let error = Sink::slack(target("http://app.example/hunter2hunter2"), &vars()).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
