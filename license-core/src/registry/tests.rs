//! The rules of an authority by table, and the replay of its events.

use alloc::{string::ToString, vec};
use std::format;

use proptest::prelude::*;

use super::*;

const NOW: &str = "2026-11-24T12:00:00Z";

#[test]
fn a_fresh_key_is_accepted_with_every_fact() {
    let (registry, issued) = issued(terms());
    let said = validate(&registry, &issued.key, "app.com", now());
    assert_eq!(said.answer, Answer::Accepted { code: None });
    assert_eq!(said.id.as_deref(), Some(issued.license_id.as_str()));
    assert_eq!(said.status, Some(Status::Active));
    assert_eq!(said.plan.as_deref(), Some("pro"));
    assert_eq!(said.issued_at, Some(now()));
    assert_eq!(said.expires_at, terms().expires_at);
    assert_eq!(said.domains, Some(terms().domains));
    assert_eq!(said.features, Some(terms().features));
    assert_eq!(said.activations_used, Some(1));
    assert_eq!(said.activation_limit, Some(ActivationLimit::AtMost(3)));
    assert_eq!(said.grace_ends_at, None);
}

#[test]
fn an_unknown_key_is_refused_and_nothing_else_is_told() {
    let (registry, _) = issued(terms());
    let said = registry.validate("TO-DEV-NOBODY", Asked::KeyOnly, now()).license(now());
    assert_eq!(said, License::bare(said.answer.clone()));
    assert_eq!(code(&said), Some("LICENSE_NOT_FOUND"));
}

#[test]
fn a_key_of_another_case_is_unknown() {
    let (registry, issued) = issued(terms());
    let lower = issued.key.key().reveal().to_lowercase();
    assert_eq!(registry.validate(&lower, Asked::KeyOnly, now()), Validation::UnknownKey);
}

type Change = fn(&Registry, &LicenseId) -> Option<Event>;

#[test]
fn refusals_of_a_known_key_come_with_the_facts() {
    let expired = Terms { expires_at: Some(now()), ..terms() };
    let lasting = Terms { expires_at: Some(hours_later(1)), ..terms() };
    let suspend = |registry: &Registry, id: &LicenseId| registry.suspend(id).unwrap();
    let revoke = |registry: &Registry, id: &LicenseId| registry.revoke(id).unwrap();
    let nothing = |_: &Registry, _: &LicenseId| None;
    let rows: [(&str, Terms, Change, &str, Option<&str>); 9] = [
        ("in force", terms(), nothing, "app.com", None),
        ("suspended", terms(), suspend, "app.com", Some("LICENSE_SUSPENDED")),
        ("revoked", terms(), revoke, "app.com", Some("LICENSE_REVOKED")),
        ("revoked and for another domain", terms(), revoke, "other.com", Some("LICENSE_REVOKED")),
        ("expires this second", expired, nothing, "app.com", Some("LICENSE_EXPIRED")),
        ("expires in an hour", lasting, nothing, "app.com", None),
        ("another domain", terms(), nothing, "other.com", Some("DOMAIN_MISMATCH")),
        ("a suffix without a label border", terms(), nothing, "notapp.com", Some("DOMAIN_MISMATCH")),
        ("a longer name", terms(), nothing, "app.com.evil.example", Some("DOMAIN_MISMATCH")),
    ];
    for (what, terms, change, domain, expected) in rows {
        let (mut registry, issued) = issued(terms);
        let event = change(&registry, &issued.license_id);
        happens(&mut registry, event);
        let said = validate(&registry, &issued.key, domain, now());
        assert_eq!(code(&said), expected, "{what}");
        assert_eq!(said.plan.as_deref(), Some("pro"), "{what}");
    }
}

#[test]
fn a_validation_without_a_domain_checks_the_key_only() {
    let (registry, issued) = issued(terms());
    let ask = |asked| registry.validate(issued.key.key().reveal(), asked, now()).refusal();
    assert_eq!(ask(Asked::KeyOnly), None);
    assert_eq!(ask(Asked::NotADomain), Some(RefusalCode::DomainMismatch));
}

#[test]
fn a_license_is_renewed_to_a_later_end_and_no_other() {
    let ending = Terms { expires_at: Some(now()), ..terms() };
    let (mut registry, issued) = issued(ending);
    let id = &issued.license_id;
    let later = hours_later(24);
    let not_later = Refusal::NotLater { license_id: id.clone() };
    assert_eq!(registry.renew(id, Some(now())), Err(not_later.clone()));
    let event = registry.renew(id, Some(later)).unwrap();
    assert_eq!(event, Event::Renewed { license_id: id.clone(), expires_at: Some(later) });
    assert_eq!(registry.license(id).unwrap().status(now()), Lifecycle::Expired);
    registry.apply(&Record { at: now(), event });
    assert_eq!(registry.license(id).unwrap().status(now()), Lifecycle::Active);
    registry.apply(&Record { at: now(), event: registry.renew(id, None).unwrap() });
    assert_eq!(registry.license(id).unwrap().terms.expires_at, None);
    assert_eq!(registry.renew(id, Some(later)), Err(not_later.clone()));
    assert_eq!(registry.renew(id, None), Err(not_later));
    let event = registry.revoke(id).unwrap().unwrap();
    registry.apply(&Record { at: now(), event });
    assert_eq!(registry.renew(id, None), Err(Refusal::Revoked { license_id: id.clone() }));
}

#[test]
fn a_suspended_license_can_be_resumed_and_a_revoked_one_cannot() {
    let (mut registry, issued) = issued(terms());
    let id = &issued.license_id;
    assert_eq!(registry.resume(id), Ok(None), "it is on already");
    let event = registry.suspend(id).unwrap();
    happens(&mut registry, event);
    assert_eq!(registry.suspend(id), Ok(None), "it is off already");
    let event = registry.resume(id).unwrap();
    happens(&mut registry, event);
    assert_eq!(registry.license(id).unwrap().status(now()), Lifecycle::Active);
    let event = registry.revoke(id).unwrap();
    happens(&mut registry, event);
    assert_eq!(registry.revoke(id), Ok(None), "it is withdrawn already");
    let revoked = Refusal::Revoked { license_id: id.clone() };
    assert_eq!(registry.resume(id), Err(revoked.clone()));
    assert_eq!(registry.suspend(id), Err(revoked.clone()));
    assert_eq!(registry.activate(id, now()), Err(revoked.clone()));
    assert_eq!(rotate(&registry, id, wish(7), now(), 9), Err(revoked));
}

#[test]
fn activations_stop_at_the_limit_and_at_zero() {
    let (mut registry, issued) = issued(Terms { activations_used: 2, ..terms() });
    let id = &issued.license_id;
    let event = registry.activate(id, now()).ok();
    happens(&mut registry, event);
    let used_up = Refusal::ActivationsUsedUp { license_id: id.clone(), used: 3, limit: 3 };
    assert_eq!(registry.activate(id, now()), Err(used_up));
    for _ in 0..3 {
        let event = registry.deactivate(id).ok();
        happens(&mut registry, event);
    }
    assert_eq!(registry.deactivate(id), Err(Refusal::NothingActive { license_id: id.clone() }));
}

#[test]
fn a_license_that_is_not_in_force_takes_no_activation() {
    let (mut registry, issued) = issued(Terms { expires_at: Some(hours_later(1)), ..terms() });
    let id = &issued.license_id;
    assert_eq!(registry.activate(id, hours_later(1)), Err(Refusal::Expired { license_id: id.clone() }));
    let event = registry.suspend(id).unwrap();
    happens(&mut registry, event);
    assert_eq!(registry.activate(id, now()), Err(Refusal::Suspended { license_id: id.clone() }));
    assert!(registry.deactivate(id).is_ok(), "an activation can still be given back");
}

#[test]
fn a_license_without_a_limit_takes_any_number_of_activations() {
    let (registry, issued) =
        issued(Terms { activation_limit: ActivationLimit::Unlimited, activations_used: u64::MAX, ..terms() });
    assert!(registry.activate(&issued.license_id, now()).is_ok());
}

#[test]
fn a_rotated_key_works_until_its_grace_ends_and_the_new_one_at_once() {
    let (mut registry, issued) = issued(terms());
    let (event, rotation) = rotate(&registry, &issued.license_id, wish(7), now(), 9).unwrap();
    happens(&mut registry, event);
    let end = hours_later(7 * 24);
    assert_eq!(rotation.grace_ends_at, end);
    let old = validate(&registry, &issued.key, "app.com", now());
    assert_eq!((code(&old), old.grace_ends_at), (None, Some(end)));
    let new = validate(&registry, &rotation.key, "app.com", now());
    assert_eq!((code(&new), new.grace_ends_at, &new.id), (None, None, &old.id), "the id stays");
    let over = validate(&registry, &issued.key, "app.com", end);
    assert_eq!(code(&over), Some("LICENSE_REVOKED"));
    assert_eq!(over.status, Some(Status::Active));
    assert_eq!(code(&validate(&registry, &rotation.key, "app.com", end)), None);
}

#[test]
fn a_grace_of_no_days_ends_at_once() {
    let (mut registry, issued) = issued(terms());
    let event = rotate(&registry, &issued.license_id, wish(0), now(), 9).unwrap().0;
    happens(&mut registry, event);
    assert_eq!(code(&validate(&registry, &issued.key, "app.com", now())), Some("LICENSE_REVOKED"));
}

#[test]
fn a_grace_has_at_most_ninety_days() {
    let (registry, issued) = issued(terms());
    assert!(rotate(&registry, &issued.license_id, wish(90), now(), 9).is_ok());
    let refusal = Refusal::GraceTooLong { grace_days: 91 };
    assert_eq!(rotate(&registry, &issued.license_id, wish(91), now(), 9), Err(refusal));
}

#[test]
fn a_second_rotation_keeps_one_previous_key_or_all() {
    for (previous, first_key) in [(KeepPrevious::One, Some("LICENSE_REVOKED")), (KeepPrevious::All, None)] {
        let (mut registry, issued) = issued(terms());
        let wish = || RotationWish { previous, ..wish(7) };
        let (event, second) = rotate(&registry, &issued.license_id, wish(), now(), 9).unwrap();
        happens(&mut registry, event);
        let (event, third) = rotate(&registry, &issued.license_id, wish(), now(), 10).unwrap();
        happens(&mut registry, event);
        assert_eq!(code(&validate(&registry, &issued.key, "app.com", now())), first_key, "{previous:?}");
        assert_eq!(code(&validate(&registry, &second.key, "app.com", now())), None, "{previous:?}");
        assert_eq!(code(&validate(&registry, &third.key, "app.com", now())), None, "{previous:?}");
    }
}

#[test]
fn a_repeated_idempotency_key_rotates_nothing_for_a_day() {
    let (mut registry, issued) = issued(terms());
    let named = || RotationWish { idempotency_key: Some("deploy-1".into()), ..wish(7) };
    let (event, first) = rotate(&registry, &issued.license_id, named(), now(), 9).unwrap();
    happens(&mut registry, event);
    let repeat = rotate(&registry, &issued.license_id, named(), hours_later(23), 10).unwrap();
    assert_eq!(repeat, (None, first.clone()));
    let (event, other) = rotate(&registry, &issued.license_id, named(), hours_later(24), 11).unwrap();
    assert!(event.is_some() && other.key != first.key);
}

#[test]
fn another_idempotency_key_or_none_rotates_again() {
    let (mut registry, issued) = issued(terms());
    let named = |name: Option<&str>| RotationWish { idempotency_key: name.map(ToOwned::to_owned), ..wish(7) };
    for (number, name) in (9..).zip([Some("a"), Some("b"), None, None]) {
        let (event, _) = rotate(&registry, &issued.license_id, named(name), now(), number).unwrap();
        assert!(event.is_some(), "{name:?}");
        happens(&mut registry, event);
    }
}

#[test]
fn domains_come_and_go() {
    let (mut registry, issued) = issued(terms());
    let id = &issued.license_id;
    let event = registry.add_domain(id, "*.app.com").unwrap();
    happens(&mut registry, event);
    assert_eq!(registry.add_domain(id, "*.app.com"), Ok(None), "it is covered already");
    assert_eq!(code(&validate(&registry, &issued.key, "eu.app.com", now())), None);
    let event = registry.remove_domain(id, "*.app.com").ok();
    happens(&mut registry, event);
    assert_eq!(code(&validate(&registry, &issued.key, "eu.app.com", now())), Some("DOMAIN_MISMATCH"));
    assert_eq!(registry.remove_domain(id, "*.app.com"), Err(Refusal::DomainNotThere { license_id: id.clone() }));
    assert!(matches!(registry.add_domain(id, ""), Err(Refusal::NotADomain { .. })));
}

#[test]
fn terms_have_limits() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let many = |n: usize| (0..n).map(|i| format!("h{i}.app.com")).collect::<Vec<_>>();
    let rows = [
        ("a long plan", Terms { plan: long, ..terms() }),
        ("a plan with a line break", Terms { plan: "pro\n".into(), ..terms() }),
        ("too many domains", Terms { domains: many(LIST_ENTRIES_MAX + 1), ..terms() }),
        ("an empty domain", Terms { domains: vec![String::new()], ..terms() }),
        ("too many features", Terms { features: many(LIST_ENTRIES_MAX + 1).into_iter().collect(), ..terms() }),
    ];
    for (what, terms) in rows {
        assert!(Registry::default().issue(terms, &[7; ISSUE_RANDOM_BYTES]).is_err(), "{what}");
    }
}

#[test]
fn no_id_and_no_key_is_issued_twice() {
    let (registry, _) = issued(terms());
    assert_eq!(registry.issue(terms(), &[7; ISSUE_RANDOM_BYTES]), Err(Refusal::RandomRepeats));
}

#[test]
fn changes_of_a_license_that_does_not_exist_are_refused() {
    let registry = Registry::default();
    let id: LicenseId = "lic_nobody".parse().unwrap();
    let missing = Refusal::NotFound { license_id: id.clone() };
    assert_eq!(registry.suspend(&id), Err(missing.clone()));
    assert_eq!(registry.activate(&id, now()), Err(missing.clone()));
    assert_eq!(rotate(&registry, &id, wish(7), now(), 9), Err(missing));
}

#[test]
fn ids_and_keys_have_their_forms() {
    let (_, issued) = issued(terms());
    assert_eq!(issued.license_id.as_str().len(), "lic_".len() + 16);
    let key = issued.key.key().reveal();
    assert!(key.starts_with("TO-DEV-"), "{key}");
    assert_eq!(key.split('-').skip(2).map(str::len).collect::<Vec<_>>(), [5; 6]);
    assert_eq!(issued.key.masked(), format!("TO-DEV-****-{}", &key[key.len() - 4..]));
    assert!(!format!("{:?}", issued.key).contains(key), "Debug is masked");
}

#[test]
fn an_id_is_not_anything() {
    for text in ["", "lic_", "abc", "TO-DEV-1", "lic_a b", "lic_a/b", "lic_ä", &format!("lic_{}", "x".repeat(61))] {
        assert_eq!(text.parse::<LicenseId>(), Err(NotALicenseId), "{text}");
    }
    assert_eq!("lic_abc123".parse::<LicenseId>().unwrap().to_string(), "lic_abc123");
}

#[test]
fn a_record_reads_back_and_an_unknown_kind_does_not() {
    let record = Record { at: now(), event: event_of(&terms()) };
    let line = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    assert!(serde_json::from_str::<Record>(&line.replace("issued", "imagined")).is_err());
}

/// One arbitrary operation: which of the licenses, what, and with which number.
#[derive(Debug, Clone)]
struct Operation {
    what: u8,
    license: usize,
    number: u8,
    minutes: i64,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = (0..9_u8, 0..4_usize, any::<u8>(), 0..3000_i64).prop_map(|(what, license, number, minutes)| Operation {
        what,
        license,
        number,
        minutes,
    });
    proptest::collection::vec(one, 0..60)
}

fn decide(registry: &Registry, operation: &Operation, now: Timestamp, turn: u8) -> Option<Event> {
    let id = registry.licenses().nth(operation.license).map(|license| license.id.clone());
    let Some(id) = id else {
        return registry.issue(bare_terms(), &[turn; ISSUE_RANDOM_BYTES]).ok().map(|(event, _)| event);
    };
    let previous = if operation.number.is_multiple_of(2) { KeepPrevious::One } else { KeepPrevious::All };
    let idempotency_key = operation.number.is_multiple_of(3).then(|| format!("k{}", operation.number % 5));
    let wish = RotationWish { grace_days: u32::from(operation.number), previous, idempotency_key };
    match operation.what {
        0 => registry.issue(bare_terms(), &[turn; ISSUE_RANDOM_BYTES]).ok().map(|(event, _)| event),
        1 => registry.suspend(&id).ok().flatten(),
        2 => registry.resume(&id).ok().flatten(),
        3 if operation.number > 200 => registry.revoke(&id).ok().flatten(),
        3 | 4 => registry.activate(&id, now).ok(),
        5 => registry.deactivate(&id).ok(),
        6 => rotate(registry, &id, wish, now, turn).ok().and_then(|(event, _)| event),
        7 => registry.add_domain(&id, &format!("h{}.app.com", operation.number % 4)).ok().flatten(),
        _ => registry.remove_domain(&id, &format!("h{}.app.com", operation.number % 4)).ok(),
    }
}

proptest! {
    #[test]
    fn replaying_the_events_gives_the_state_that_they_made(operations in operations()) {
        let mut live = Registry::default();
        let mut lines = Vec::new();
        let mut at = now();
        for (turn, operation) in (0..).zip(&operations) {
            at = at.checked_add(SignedDuration::from_mins(operation.minutes)).unwrap();
            let Some(event) = decide(&live, operation, at, turn) else { continue };
            let record = Record { at, event };
            lines.push(serde_json::to_string(&record).unwrap());
            live.apply(&record);
        }
        let mut replayed = Registry::default();
        for line in &lines {
            replayed.apply(&serde_json::from_str(line).unwrap());
        }
        prop_assert_eq!(replayed, live);
    }

    #[test]
    fn activations_never_pass_the_limit(operations in operations()) {
        let mut registry = Registry::default();
        for (turn, operation) in (0..).zip(&operations) {
            let event = decide(&registry, operation, now(), turn);
            happens(&mut registry, event);
            for license in registry.licenses() {
                prop_assert!(license.terms.activations_used <= 3);
            }
        }
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn hours_later(hours: i64) -> Timestamp {
    now().checked_add(SignedDuration::from_hours(hours)).unwrap()
}

fn terms() -> Terms {
    Terms { domains: vec!["app.com".into()], ..bare_terms() }
}

fn bare_terms() -> Terms {
    Terms {
        class: KeyClass::Dev,
        plan: "pro".into(),
        domains: vec![],
        features: ["analytics".into(), "sso".into()].into(),
        activations_used: 1,
        activation_limit: ActivationLimit::AtMost(3),
        expires_at: Some("2027-11-24T12:00:00Z".parse().unwrap()),
    }
}

fn event_of(terms: &Terms) -> Event {
    let mut random = [0; ISSUE_RANDOM_BYTES];
    random.iter_mut().zip(3..).for_each(|(byte, value)| *byte = value);
    Event::Issued {
        license_id: LicenseId::random(&random[..ID_CHARS]),
        key: StoredKey::random(terms.class, &random[ID_CHARS..]),
        terms: terms.clone(),
    }
}

fn issued(terms: Terms) -> (Registry, Issued) {
    let mut registry = Registry::default();
    let (event, issued) = registry.issue(terms, &[7; ISSUE_RANDOM_BYTES]).unwrap();
    happens(&mut registry, Some(event));
    (registry, issued)
}

fn happens(registry: &mut Registry, event: Option<Event>) {
    if let Some(event) = event {
        registry.apply(&Record { at: now(), event });
    }
}

fn wish(grace_days: u32) -> RotationWish {
    RotationWish { grace_days, previous: KeepPrevious::One, idempotency_key: None }
}

fn rotate(
    registry: &Registry,
    id: &LicenseId,
    wish: RotationWish,
    now: Timestamp,
    number: u8,
) -> Result<(Option<Event>, Rotation), Refusal> {
    let mut random = [number; KEY_RANDOM_BYTES];
    random[0] = number >> 5; // only five bits of a byte are used
    registry.rotate(id, wish, now, &random)
}

fn validate(registry: &Registry, key: &StoredKey, domain: &str, now: Timestamp) -> License {
    let domain = Domain::parse(domain).unwrap();
    registry.validate(key.key().reveal(), Asked::Domain(&domain), now).license(now)
}

fn code(license: &License) -> Option<&str> {
    match &license.answer {
        Answer::Accepted { code } | Answer::Refused { code, .. } => code.as_deref(),
    }
}
