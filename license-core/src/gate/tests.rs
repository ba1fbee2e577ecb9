//! The rules by table.

use alloc::{borrow::ToOwned, collections::BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{key::KeyClass, license::LeftOut};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
const NOW: i64 = 1_900_000_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap()
}

fn now() -> Now {
    Now { at: at(NOW), authority_ahead: None }
}

fn ahead(secs: i64) -> Now {
    Now { at: at(NOW), authority_ahead: Some(SignedDuration::from_secs(secs)) }
}

fn names(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(ToString::to_string).collect()
}

fn demand() -> Demand {
    Demand {
        domain: Domain::parse("app.com").unwrap(),
        features: BTreeSet::new(),
        activations: None,
        key_class: None,
        min_days_left: 0,
        key_age_max_days: None,
    }
}

fn key() -> LicenseKey {
    LicenseKey::parse("TO-PRD-0123456789").unwrap()
}

fn accepted() -> License {
    License::bare(Answer::Accepted { code: None })
}

fn accepted_with(code: &str) -> License {
    License::bare(Answer::Accepted { code: Some(code.to_owned()) })
}

fn refused() -> License {
    License::bare(Answer::Refused { code: None, message: None })
}

fn refused_with(code: &str) -> License {
    License::bare(Answer::Refused { code: Some(code.to_owned()), message: None })
}

fn with_status(license: License, word: &str) -> License {
    License { status: Some(Status::from_word(word)), ..license }
}

/// A license with an end that nobody can read.
fn unreadable(license: License) -> License {
    License { unreadable_end: Some("soon\u{1b}[2J".to_owned()), ..license }
}

fn expiring(secs_from_now: i64) -> License {
    License { expires_at: Some(at(NOW + secs_from_now)), ..accepted() }
}

#[track_caller]
fn finds(found: &Finding, outcome: Outcome, reason: Reason) {
    assert_eq!((found.outcome, found.reason), (outcome, reason), "{found}");
}

fn find(check: Check, demand: &Demand, license: &License, now: Now) -> Finding {
    let findings = judge(demand, &key(), license, None, now);
    findings.into_iter().find(|finding| finding.check == check).unwrap()
}

#[test]
fn every_check_is_reported_once_and_in_order() {
    for license in [accepted(), refused()] {
        let checks: Vec<Check> =
            judge(&demand(), &key(), &license, None, now()).iter().map(|finding| finding.check).collect();
        assert_eq!(checks, Check::ALL);
    }
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let demand = Demand {
        domain: Domain::parse("app.com").unwrap(),
        features: names(&["sso"]),
        activations: Some(2),
        key_class: Some(KeyClass::Stg),
        min_days_left: 3,
        key_age_max_days: Some(30),
    };
    let license = License {
        status: Some(Status::Revoked),
        issued_at: Some(at(NOW - 31 * DAY)),
        expires_at: Some(at(NOW + DAY)),
        domains: Some(vec!["other.com".to_owned()]),
        features: Some(names(&["analytics"])),
        activations_used: Some(9),
        activation_limit: Some(ActivationLimit::AtMost(10)),
        ..refused()
    };
    let shown: Vec<String> = judge(&demand, &key(), &license, None, now()).iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "validity: fail: the authority says that the license is revoked",
            "domain: fail: `app.com` is not covered: the license states `other.com`",
            "features: fail: the license does not include `sso`",
            "activations: fail: 9 of 10 activations are in use and this deploy adds 2: 1 left; free some, or raise the limit",
            "key_class: fail: the key is of class `PRD`, and `STG` is demanded: use the key of this environment",
            "expiry_horizon: fail: the license expires at 2030-03-18T17:46:40Z, 1 day from now, and the deploy demands at least 3 days",
            "key_age: warn: the key was issued 31 days ago, and is to be rotated after 30 days",
        ]
    );
}

#[test]
fn a_refusal_names_its_reason() {
    let table = [
        (refused(), Reason::Refused),
        (refused_with("LICENSE_NOT_FOUND"), Reason::NotFound),
        (refused_with("invalid_key"), Reason::NotFound),
        (refused_with("INVALID"), Reason::Refused),
        (refused_with("INVALID_TOKEN"), Reason::Refused),
        (refused_with("INVALID_SIGNATURE"), Reason::Refused),
        (refused_with("TOKEN_EXPIRED"), Reason::Expired),
        (refused_with("LICENSE_EXPIRED"), Reason::Expired),
        (refused_with("license_revoked"), Reason::Revoked),
        (refused_with("LICENSE_SUSPENDED"), Reason::Suspended),
        (refused_with("NOT_YET_VALID"), Reason::NotYetValid),
        (refused_with("DOMAIN_MISMATCH"), Reason::Refused),
        (refused_with("NEVER_HEARD_OF"), Reason::Refused),
        (with_status(refused(), "REVOKED"), Reason::Revoked),
        (with_status(refused(), "suspended"), Reason::Suspended),
        (with_status(refused(), "expired"), Reason::Expired),
        (with_status(refused(), "active"), Reason::Refused),
        (with_status(refused_with("INVALID"), "revoked"), Reason::Revoked),
        (with_status(refused_with("LICENSE_SUSPENDED"), "revoked"), Reason::Suspended),
    ];
    for (license, reason) in table {
        finds(&find(Check::Validity, &demand(), &license, now()), Outcome::Fail, reason);
    }
}

#[test]
fn a_refusal_quotes_the_authority_without_its_control_characters() {
    let license =
        License::bare(Answer::Refused { code: Some("NO\u{1b}[2J".to_owned()), message: Some("no\nway".to_owned()) });
    assert_eq!(
        find(Check::Validity, &demand(), &license, now()).message,
        "the authority refuses the key for `app.com` (`NO\u{FFFD}[2J`): \"no\u{FFFD}way\""
    );
}

#[test]
fn no_message_carries_control_characters_from_outside() {
    let odd = "a\u{1b}[2J\r\nb\u{202e}";
    let answers = [
        Answer::Accepted { code: Some(odd.to_owned()) },
        Answer::Refused { code: Some(odd.to_owned()), message: Some(odd.to_owned()) },
        Answer::Refused { code: Some("DOMAIN_MISMATCH".to_owned()), message: Some(odd.to_owned()) },
    ];
    let demand = Demand { features: names(&[odd]), ..demand() };
    for answer in answers {
        let license = License {
            status: Some(Status::Other(odd.to_owned())),
            domains: Some(vec![odd.to_owned()]),
            features: Some(names(&[])),
            ..License::bare(answer)
        };
        for finding in judge(&demand, &key(), &license, None, now()) {
            assert!(!finding.message.contains(['\u{1b}', '\r', '\n', '\u{202e}']), "{finding:?}");
        }
    }
    assert_eq!(unasked(judge_class(&demand, &key()), odd)[0].message, "a\u{FFFD}[2J\u{FFFD}\u{FFFD}b\u{FFFD}");
}

#[test]
fn an_accepted_key_is_judged_by_its_status_and_times() {
    use Outcome::{Fail, Pass, Warn};

    let starting = |secs| License { not_before: Some(at(NOW + secs)), ..accepted() };
    let rotated = |secs| License { grace_ends_at: Some(at(NOW + secs)), ..accepted() };
    let table = [
        (accepted(), Pass, Reason::Met),
        (with_status(accepted(), "active"), Pass, Reason::Met),
        (accepted_with("VALID"), Pass, Reason::Met),
        (accepted_with("ok"), Pass, Reason::Met),
        (with_status(accepted(), "revoked"), Fail, Reason::Revoked),
        (with_status(accepted(), "Suspended"), Fail, Reason::Suspended),
        (with_status(accepted(), "EXPIRED"), Fail, Reason::Expired),
        (License { status: Some(Status::Other("REVOKED".to_owned())), ..accepted() }, Fail, Reason::Revoked),
        (expiring(1), Pass, Reason::Met),
        (expiring(0), Fail, Reason::Expired),
        (expiring(-1), Fail, Reason::Expired),
        (starting(1), Fail, Reason::NotYetValid),
        (starting(0), Pass, Reason::Met),
        (accepted_with("OVERDUE"), Warn, Reason::AcceptedWithCode),
        (accepted_with("LICENSE_EXPIRED"), Warn, Reason::AcceptedWithCode),
        (with_status(accepted(), "paused"), Warn, Reason::StatusNotKnown),
        (rotated(DAY), Warn, Reason::InGrace),
        (rotated(-DAY), Warn, Reason::InGrace),
        (License { deprecated: Some(Deprecated::Undated), ..accepted() }, Warn, Reason::InGrace),
        (License { deprecated: Some(Deprecated::Since(at(NOW - DAY))), ..accepted() }, Warn, Reason::InGrace),
        (with_status(rotated(DAY), "paused"), Warn, Reason::InGrace),
    ];
    for (license, outcome, reason) in table {
        finds(&find(Check::Validity, &demand(), &license, now()), outcome, reason);
    }
}

#[test]
fn every_worry_about_an_accepted_key_is_named() {
    let license = with_status(License { grace_ends_at: Some(at(NOW + DAY)), ..accepted_with("OVERDUE") }, "paused");
    assert_eq!(
        find(Check::Validity, &demand(), &license, now()).message,
        "the authority accepts the key, but it was rotated away and works only until 2030-03-18T17:46:40Z: use the new one, \
         and the license's status is `paused`, which is not known here, and it adds the code `OVERDUE`"
    );
}

#[test]
fn a_domain_is_covered_by_what_is_stated_or_by_the_answer_itself() {
    use Outcome::{Fail, Pass, Unknown};

    let states = |license, domains: &[&str]| License {
        domains: Some(domains.iter().map(ToString::to_string).collect()),
        ..license
    };
    let left_out = |what, license| License { domains_left_out: Some(what), ..license };
    let unreadable = || LeftOut::Unreadable("5".to_owned());
    let table = [
        (states(accepted(), &["app.com"]), Pass, Reason::Met),
        (states(accepted(), &["other.com", "APP.com."]), Pass, Reason::Met),
        (states(accepted(), &["other.com"]), Fail, Reason::NotCovered),
        (states(accepted(), &["notapp.com.evil.example"]), Fail, Reason::NotCovered),
        (states(accepted(), &["*.app.com"]), Fail, Reason::NotCovered),
        (states(accepted(), &["https://app.com", "app.com/", ""]), Fail, Reason::NotCovered),
        (states(accepted(), &["not a domain", "app.com"]), Pass, Reason::Met),
        (states(accepted(), &[]), Pass, Reason::Met),
        (accepted(), Pass, Reason::Met),
        (accepted_with("OVERDUE"), Pass, Reason::Met),
        (accepted_with("DOMAIN_MISMATCH"), Unknown, Reason::AcceptedWithCode),
        (states(accepted_with("DOMAIN_MISMATCH"), &["app.com"]), Pass, Reason::Met),
        (refused(), Unknown, Reason::NotStated),
        (states(refused(), &[]), Unknown, Reason::NotStated),
        (states(refused(), &["app.com"]), Pass, Reason::Met),
        (states(refused(), &["other.com"]), Fail, Reason::NotCovered),
        (refused_with("DOMAIN_MISMATCH"), Fail, Reason::NotCovered),
        (refused_with("domain_limit_exceeded"), Fail, Reason::NotCovered),
        (states(refused_with("DOMAIN_LIMIT_EXCEEDED"), &["app.com"]), Fail, Reason::NotCovered),
        (refused_with("LICENSE_REVOKED"), Unknown, Reason::NotStated),
        // What cannot be read may say no, and takes no yes away.
        (left_out(unreadable(), accepted()), Unknown, Reason::NotReadable),
        (left_out(unreadable(), refused()), Unknown, Reason::NotReadable),
        (left_out(unreadable(), states(accepted(), &["other.com"])), Unknown, Reason::NotReadable),
        (left_out(unreadable(), states(accepted(), &["app.com"])), Pass, Reason::Met),
        (left_out(unreadable(), refused_with("DOMAIN_MISMATCH")), Fail, Reason::NotCovered),
        (left_out(LeftOut::SwitchedOff, accepted()), Fail, Reason::NotCovered),
        (left_out(LeftOut::SwitchedOff, states(accepted(), &[])), Fail, Reason::NotCovered),
        (left_out(LeftOut::SwitchedOff, refused()), Fail, Reason::NotCovered),
    ];
    for (license, outcome, reason) in table {
        finds(&find(Check::Domain, &demand(), &license, now()), outcome, reason);
    }
}

#[test]
fn the_words_of_a_domain_finding_name_both_sides() {
    let license = License { domains: Some(vec!["a.com".to_owned(), "*.b.com".to_owned()]), ..accepted() };
    let message = |license| find(Check::Domain, &demand(), &license, now()).message;
    assert_eq!(message(license), "`app.com` is not covered: the license states `a.com`, `*.b.com`");
    assert_eq!(message(accepted()), "the authority accepted the key for `app.com`");
    assert_eq!(
        message(refused_with("DOMAIN_MISMATCH")),
        "the authority says that the license does not cover `app.com` (`DOMAIN_MISMATCH`)"
    );
    let unreadable = || Some(LeftOut::Unreadable("5\u{1b}[2J".to_owned()));
    assert_eq!(
        message(License { domains_left_out: unreadable(), ..accepted() }),
        "the authority states domains that cannot be read: `5\u{FFFD}[2J`"
    );
    assert_eq!(
        message(License { domains_left_out: Some(LeftOut::SwitchedOff), ..accepted() }),
        "`app.com` is not covered: every domain that the license states is switched off"
    );
}

#[test]
fn every_demanded_feature_must_be_stated() {
    use Outcome::{Fail, Pass, Unknown};

    let states = |license, features: &[&str]| License { features: Some(names(features)), ..license };
    let table = [
        (&[][..], accepted(), Pass, Reason::NotDemanded),
        (&[], states(accepted(), &["sso"]), Pass, Reason::NotDemanded),
        (&["sso"], states(accepted(), &["sso", "more"]), Pass, Reason::Met),
        (&["sso", "audit"], states(accepted(), &["sso"]), Fail, Reason::FeatureMissing),
        (&["sso"], states(accepted(), &[]), Fail, Reason::FeatureMissing),
        (&["sso"], states(accepted(), &["SSO"]), Fail, Reason::FeatureMissing),
        (&["sso"], accepted(), Unknown, Reason::NotStated),
        (&["sso"], refused(), Unknown, Reason::NotStated),
        (&["sso"], states(refused(), &["sso"]), Pass, Reason::Met),
        (&["sso"], refused_with("feature_not_available"), Fail, Reason::FeatureMissing),
        (&[], refused_with("feature_not_available"), Fail, Reason::FeatureMissing),
    ];
    for (demanded, license, outcome, reason) in table {
        let demand = Demand { features: names(demanded), ..demand() };
        finds(&find(Check::Features, &demand, &license, now()), outcome, reason);
    }
}

#[test]
fn missing_features_are_listed() {
    let demand = Demand { features: names(&["audit", "scim", "sso"]), ..demand() };
    let license = License { features: Some(names(&["sso"])), ..accepted() };
    let message = find(Check::Features, &demand, &license, now()).message;
    assert_eq!(message, "the license does not include `audit`, `scim`");
}

#[test]
fn activations_may_fill_the_limit_and_not_exceed_it() {
    use ActivationLimit::{AtMost, Unlimited};
    use Outcome::{Fail, Pass, Unknown};

    let table = [
        (None, None, None, Pass, Reason::NotDemanded),
        (None, Some(11), Some(AtMost(10)), Pass, Reason::NotDemanded),
        (Some(2), Some(8), Some(AtMost(10)), Pass, Reason::Met),
        (Some(3), Some(8), Some(AtMost(10)), Fail, Reason::LimitExceeded),
        (Some(1), Some(10), Some(AtMost(10)), Fail, Reason::LimitExceeded),
        (Some(0), Some(10), Some(AtMost(10)), Pass, Reason::Met),
        (Some(0), Some(11), Some(AtMost(10)), Fail, Reason::LimitExceeded),
        (Some(1), Some(0), Some(AtMost(0)), Fail, Reason::LimitExceeded),
        (Some(1), Some(u64::MAX), Some(AtMost(u64::MAX)), Fail, Reason::LimitExceeded),
        (Some(1), Some(u64::MAX - 1), Some(AtMost(u64::MAX)), Pass, Reason::Met),
        (Some(u64::MAX), Some(u64::MAX), Some(Unlimited), Pass, Reason::Met),
        (Some(1), None, Some(Unlimited), Pass, Reason::Met),
        (Some(1), None, Some(AtMost(10)), Unknown, Reason::NotStated),
        (Some(1), Some(0), None, Unknown, Reason::NotStated),
        (Some(1), None, None, Unknown, Reason::NotStated),
    ];
    for (added, used, limit, outcome, reason) in table {
        let demand = Demand { activations: added, ..demand() };
        let license = License { activations_used: used, activation_limit: limit, ..accepted() };
        finds(&find(Check::Activations, &demand, &license, now()), outcome, reason);
    }
    for code in ["ACTIVATION_LIMIT_EXCEEDED", "seat_limit_reached"] {
        finds(&find(Check::Activations, &demand(), &refused_with(code), now()), Fail, Reason::LimitExceeded);
    }
}

#[test]
fn the_words_about_activations_count() {
    let demand = Demand { activations: Some(2), ..demand() };
    let used = |used| License {
        activations_used: Some(used),
        activation_limit: Some(ActivationLimit::AtMost(10)),
        ..accepted()
    };
    let message = |license| find(Check::Activations, &demand, &license, now()).message;
    assert_eq!(message(used(3)), "3 of 10 activations are in use and this deploy adds 2: 5 would remain");
    assert!(message(used(9)).starts_with("9 of 10 activations are in use and this deploy adds 2: 1 left"));
}

#[test]
fn a_key_of_another_class_is_stopped_and_a_key_without_class_is_not() {
    use Outcome::{Fail, Pass, Warn};

    let table = [
        (None, "TO-DEV-0123", Pass, Reason::NotDemanded),
        (Some(KeyClass::Prd), "TO-PRD-0123", Pass, Reason::Met),
        (Some(KeyClass::Prd), "TO-DEV-0123", Fail, Reason::OtherClass),
        (Some(KeyClass::Dev), "TO-STG-0123", Fail, Reason::OtherClass),
        (Some(KeyClass::Prd), "LK-0123", Warn, Reason::NoClass),
        (Some(KeyClass::Prd), "TO-AB12-CD34-EF56-0789", Warn, Reason::NoClass),
    ];
    for (key_class, key, outcome, reason) in table {
        let finding = judge_class(&Demand { key_class, ..demand() }, &LicenseKey::parse(key).unwrap());
        finds(&finding, outcome, reason);
        assert_eq!(finding.check, Check::KeyClass);
        assert!(!finding.message.contains("0123"), "{finding}");
    }
}

#[test]
fn the_horizon_is_met_to_the_second() {
    use Outcome::{Fail, Pass, Unknown, Warn};

    let table = [
        (0, accepted(), Pass, Reason::NotDemanded),
        (1, accepted(), Unknown, Reason::NotStated),
        (0, expiring(-1), Fail, Reason::Expired),
        (0, expiring(0), Fail, Reason::Expired),
        (0, expiring(1), Warn, Reason::ExpiresSoon),
        (3, expiring(3 * DAY - 1), Fail, Reason::ExpiresWithin),
        (3, expiring(3 * DAY), Warn, Reason::ExpiresSoon),
        (3, expiring(30 * DAY - 1), Warn, Reason::ExpiresSoon),
        (3, expiring(30 * DAY), Pass, Reason::Met),
        (90, expiring(90 * DAY - 1), Fail, Reason::ExpiresWithin),
        (90, expiring(90 * DAY), Pass, Reason::Met),
        (u32::MAX, expiring(90 * DAY), Fail, Reason::ExpiresWithin),
        (0, refused_with("LICENSE_EXPIRED"), Fail, Reason::Expired),
        (0, with_status(accepted(), "expired"), Fail, Reason::Expired),
        (0, refused_with("LICENSE_REVOKED"), Pass, Reason::NotDemanded),
        (0, unreadable(accepted()), Unknown, Reason::NotReadable),
        (3, unreadable(accepted()), Unknown, Reason::NotReadable),
        // Another end that can be read says no all the same, and never yes.
        (0, unreadable(expiring(90 * DAY)), Unknown, Reason::NotReadable),
        (90, unreadable(expiring(DAY)), Fail, Reason::ExpiresWithin),
        (0, unreadable(expiring(0)), Fail, Reason::Expired),
        (0, unreadable(with_status(accepted(), "expired")), Fail, Reason::Expired),
    ];
    for (min_days_left, license, outcome, reason) in table {
        let demand = Demand { min_days_left, ..demand() };
        finds(&find(Check::ExpiryHorizon, &demand, &license, now()), outcome, reason);
    }
}

#[test]
fn days_left_are_counted_in_whole_days() {
    let table = [(DAY - 1, "less than a day"), (DAY, "1 day"), (2 * DAY - 1, "1 day"), (2 * DAY, "2 days")];
    for (secs, words) in table {
        let message = find(Check::ExpiryHorizon, &demand(), &expiring(secs), now()).message;
        assert!(message.ends_with(&format!("Z, {words} from now")), "{message}");
    }
}

#[test]
fn an_old_key_warns_and_never_fails() {
    use Outcome::{Pass, Warn};

    let ago = |secs: i64| Some(at(NOW - secs));
    let table = [
        (None, ago(1000 * DAY), None, Pass, Reason::NotDemanded),
        (Some(30), ago(30 * DAY), None, Pass, Reason::Met),
        (Some(30), ago(30 * DAY + 1), None, Warn, Reason::TooOld),
        (Some(30), None, ago(30 * DAY), Pass, Reason::Met),
        (Some(30), None, ago(31 * DAY), Warn, Reason::TooOld),
        (Some(30), ago(DAY), ago(31 * DAY), Pass, Reason::Met),
        (Some(30), ago(31 * DAY), ago(DAY), Warn, Reason::TooOld),
        (Some(30), ago(-DAY), None, Pass, Reason::Met),
        (Some(0), ago(0), None, Pass, Reason::Met),
        (Some(30), None, None, Warn, Reason::NotStated),
    ];
    for (key_age_max_days, issued_at, first_seen, outcome, reason) in table {
        let demand = Demand { key_age_max_days, ..demand() };
        let license = License { issued_at, ..accepted() };
        finds(&key_age(&demand, &license, first_seen, now()), outcome, reason);
    }
}

#[test]
fn clocks_that_are_far_apart_make_times_unknown_and_nothing_else() {
    let demand = Demand { min_days_left: 3, key_age_max_days: Some(30), ..demand() };
    let license = License { issued_at: Some(at(NOW)), ..expiring(90 * DAY) };
    for secs in [301, -301, i64::MAX, i64::MIN] {
        for finding in judge(&demand, &key(), &license, None, ahead(secs)) {
            let outcome = if finding.check.depends_on_time() { Outcome::Unknown } else { Outcome::Pass };
            assert_eq!(finding.outcome, outcome, "{secs}: {finding}");
        }
    }
    for secs in [300, -300, 0] {
        for finding in judge(&demand, &key(), &license, None, ahead(secs)) {
            assert_eq!(finding.outcome, Outcome::Pass, "{secs}: {finding}");
        }
    }
}

#[test]
fn clocks_that_are_far_apart_do_not_hide_a_no_that_needs_no_clock() {
    let table = [
        (Check::Validity, refused_with("LICENSE_REVOKED"), Outcome::Fail, Reason::Revoked),
        (Check::Validity, refused_with("TOKEN_EXPIRED"), Outcome::Fail, Reason::Expired),
        (Check::Validity, with_status(accepted(), "revoked"), Outcome::Fail, Reason::Revoked),
        (Check::ExpiryHorizon, with_status(accepted(), "expired"), Outcome::Fail, Reason::Expired),
        (Check::Validity, expiring(-DAY), Outcome::Unknown, Reason::ClockSkew),
        (Check::ExpiryHorizon, expiring(-DAY), Outcome::Unknown, Reason::ClockSkew),
        (Check::ExpiryHorizon, accepted(), Outcome::Pass, Reason::NotDemanded),
        (Check::KeyAge, accepted(), Outcome::Pass, Reason::NotDemanded),
    ];
    for (check, license, outcome, reason) in table {
        finds(&find(check, &demand(), &license, ahead(301)), outcome, reason);
    }
}

#[test]
fn without_an_answer_only_the_class_is_judged() {
    let demand = Demand { key_class: Some(KeyClass::Dev), ..demand() };
    let findings = unasked(judge_class(&demand, &key()), "the key is not sent");
    let checks: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(checks, Check::ALL);
    for finding in findings {
        if finding.check == Check::KeyClass {
            finds(&finding, Outcome::Fail, Reason::OtherClass);
        } else {
            finds(&finding, Outcome::Unknown, Reason::NotStated);
            assert_eq!(finding.message, "the key is not sent");
        }
    }
}

#[test]
fn one_no_refuses_and_what_is_not_known_is_not_a_yes() {
    use Outcome::{Fail, Pass, Unknown, Warn};
    use UnknownPolicy::{Block, Warn as OnlyWarn};

    let table: [(&[Outcome], UnknownPolicy, Verdict); 8] = [
        (&[Pass, Pass], Block, Verdict::Go),
        (&[Pass, Warn], Block, Verdict::Go),
        (&[Pass, Unknown], Block, Verdict::Unknown),
        (&[Pass, Unknown], OnlyWarn, Verdict::Go),
        (&[Pass, Unknown, Fail], Block, Verdict::Refused),
        (&[Pass, Unknown, Fail], OnlyWarn, Verdict::Refused),
        (&[Fail, Pass], Block, Verdict::Refused),
        (&[Warn, Warn], OnlyWarn, Verdict::Go),
    ];
    for (outcomes, policy, expected) in table {
        let findings: Vec<Finding> = outcomes
            .iter()
            .zip(Check::ALL)
            .map(|(outcome, check)| Finding::new(check, *outcome, Reason::Met, ""))
            .collect();
        assert_eq!(verdict(&findings, policy), expected, "{outcomes:?} {policy:?}");
    }
}

#[test]
fn an_end_that_cannot_be_read_is_shown_and_is_no_go() {
    let findings = judge(&demand(), &key(), &unreadable(accepted()), None, now());
    assert_eq!(verdict(&findings, UnknownPolicy::Block), Verdict::Unknown);
    let shown = findings.iter().find(|finding| finding.check == Check::ExpiryHorizon).unwrap();
    assert_eq!(shown.message, "the authority states an end that cannot be read: `soon\u{FFFD}[2J`");
}

#[test]
fn what_was_kept_of_an_answer_is_judged_as_it_was_then() {
    let demand = Demand { features: names(&["sso"]), key_class: Some(KeyClass::Dev), ..demand() };
    for license in [accepted(), refused_with("LICENSE_REVOKED"), expiring(-DAY), expiring(DAY)] {
        let then = judge(&demand, &key(), &license, None, now());
        let needs_no_key = |finding: &Finding| !matches!(finding.check, Check::KeyClass | Check::KeyAge);
        let expected: Vec<Finding> = then.into_iter().filter(needs_no_key).collect();
        assert_eq!(judge_kept(&demand, &license, now().at), expected, "{license:?}");
    }
}

#[test]
fn no_policy_makes_a_go_of_no_answer() {
    for policy in [UnknownPolicy::Block, UnknownPolicy::Warn] {
        assert_eq!(verdict(&[], policy), Verdict::Unknown);
        assert_eq!(verdict(&unasked(judge_class(&demand(), &key()), "down"), policy), Verdict::Unknown);
    }
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    let range = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), range.prop_map(at)]
}

proptest! {
    #[test]
    fn no_time_makes_a_rule_panic(
        now in any_time(),
        ahead in prop::option::of((any::<i64>(), -999_999_999..=999_999_999i32)),
        times in prop::array::uniform4(prop::option::of(any_time())),
        first_seen in prop::option::of(any_time()),
        min_days_left in prop_oneof![Just(0), Just(u32::MAX), any::<u32>()],
        key_age_max_days in prop::option::of(prop_oneof![Just(u32::MAX), any::<u32>()]),
    ) {
        let ahead = ahead.map(|(secs, nanos)| {
            SignedDuration::from_secs(secs).saturating_add(SignedDuration::from_nanos(nanos.into()))
        });
        let now = Now { at: now, authority_ahead: ahead };
        let demand = Demand { min_days_left, key_age_max_days, ..demand() };
        let [issued_at, not_before, expires_at, grace_ends_at] = times;
        let license = License { issued_at, not_before, expires_at, grace_ends_at, ..accepted() };
        let findings = judge(&demand, &key(), &license, first_seen, now);
        prop_assert_eq!(findings.len(), Check::ALL.len());
        let validity = &findings[0];
        if now.skew().is_none() && expires_at.is_some_and(|end| now.at >= end) {
            prop_assert_eq!(validity.outcome, Outcome::Fail);
        }
        if validity.outcome == Outcome::Pass && min_days_left > 0 {
            prop_assert!(findings[5].outcome != Outcome::Pass || expires_at.is_some());
        }
    }

    #[test]
    fn a_refused_key_is_never_a_go(code in prop::option::of(".{0,30}"), word in prop::option::of(".{0,12}")) {
        let license = License {
            status: word.map(|word| Status::from_word(&word)),
            ..License::bare(Answer::Refused { code, message: None })
        };
        let findings = judge(&demand(), &key(), &license, None, now());
        prop_assert_eq!(verdict(&findings, UnknownPolicy::Warn), Verdict::Refused);
    }
}
