//! Rotations that stopped half-way, and the command that gets each of them out of there.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use license_tests::{Answer, Project, RawServer, Request, failpoints};
use serde_json::{Value, json};

use crate::{
    BINARY, KEY, good, good_but,
    store::{GIVES_AND_TAKES, MINE, with_helper},
};

/// The new key of servers that give one.
const NEW_KEY: &str = "TO-PRD-7Xw/9+Rotated=Q2z6Tests";

/// The path of a rotation.
const ROTATE: &str = "/api/v1/licenses/rotate";

/// The path of the list.
const LIST: &str = "/api/v1/portal/licenses";

/// The failpoint of a clock that is ahead.
const AHEAD: &str = "LICENSE_FAILPOINT_CLOCK_AHEAD_SECS";

/// Eight days: a grace of seven is over.
const AFTER_THE_GRACE: &str = "691200";

/// A project that waits little, by a server of the tests.
fn asking(server: &RawServer) -> Project {
    let project = Project::new(failpoints::binary(BINARY)).authority_at(&server.url());
    project.line("license", r#""lic_1""#).rotatable(KEY).impatient()
}

/// What a test turns while a server runs.
#[derive(Clone, Default)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    fn on(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn is_about(request: &Request, key: &str) -> bool {
    request.path.ends_with("/validate") && request.body.contains(key)
}

/// A server whose call of a rotation is answered with `called`, and which answers about the old key with `after` from the
/// call on until `back` is switched on. It has no list.
fn changing(called: Answer, after: Answer, back: &Switch) -> RawServer {
    let (was_called, back) = (Switch::default(), back.clone());
    RawServer::answering(move |request| match request.path.as_str() {
        ROTATE => {
            was_called.on();
            called.clone()
        }
        path if path.ends_with("/validate") && was_called.is_on() && !back.is_on() => after.clone(),
        path if path.ends_with("/validate") => Answer::json(200, &good()),
        _ => Answer::json(404, &json!({})),
    })
}

fn refused(status: &str, code: &str) -> Value {
    json!({ "valid": false, "status": status, "code": code })
}

/// What a license becomes by itself, or by its owner, proves nothing about a call of which nobody knows the outcome.
#[test]
fn a_license_that_is_renewed_or_suspended_was_not_rotated_because_of_that() {
    let renewed = good_but(&json!({ "expiresAt": "2100-01-01T00:00:00Z" }));
    let rows = [
        ("renewed", renewed),
        ("an older end", good_but(&json!({ "expiresAt": "2098-01-01T00:00:00Z" }))),
        ("past due", good_but(&json!({ "status": "past_due" }))),
        ("suspended", refused("suspended", "LICENSE_SUSPENDED")),
        ("revoked", refused("revoked", "LICENSE_REVOKED")),
        ("no status", json!({ "valid": false, "code": "ACCOUNT_ON_HOLD" })),
    ];
    for (visible, (name, after)) in ["yes", "no"].into_iter().flat_map(|visible| rows.clone().map(|row| (visible, row)))
    {
        let name = format!("{name}, rotation_visible = {visible}");
        let back = Switch::default();
        let server = changing(Answer::json(500, &json!({})), Answer::json(200, &after), &back);
        let project = asking(&server).authority_line("rotation_visible", &format!("{visible:?}"));
        project.rotate(&[]).named(&name).exits(21).says("--confirm-not-rotated");
        assert_eq!(project.facts(), ["intent", "outcome_unknown"], "{name}");

        project.rotate(&["--confirm-not-rotated"]).named(&name).exits(0).says("did not rotate");
        assert_eq!(project.facts().last().unwrap(), "aborted", "{name}");
        back.on();
        let project = project.var(AHEAD, AFTER_THE_GRACE);
        project.deploy().named(&name).exits(0).deploy_ran();
    }
}

/// What only a rotation does to a key is seen as before.
#[test]
fn a_key_that_shows_its_rotation_was_rotated() {
    let in_days = |days: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days)).to_string();
    let rows = [
        ("a grace", Answer::json(200, &good_but(&json!({ "graceEndsAt": in_days(7) })))),
        ("an end that is that of the grace", Answer::json(200, &good_but(&json!({ "expiresAt": in_days(7) })))),
        ("deprecated", Answer::with_headers(200, &[("deprecation", "@1750000000")], &good().to_string())),
        ("its status", Answer::json(200, &good_but(&json!({ "status": "rotated" })))),
        ("its code", Answer::json(200, &json!({ "valid": false, "code": "KEY_REPLACED" }))),
    ];
    for (name, after) in rows {
        let server = changing(Answer::json(500, &json!({})), after, &Switch::default());
        let project = asking(&server);
        project.rotate(&[]).named(name).exits(22).says("--adopt");
        project.rotate(&["--confirm-not-rotated"]).named(name).exits(22).says("shows that it was rotated");
        assert_eq!(project.facts(), ["intent", "outcome_unknown", "key_lost"], "{name}");
    }
}

/// What was taken for a rotation was none: the old key is the license's own.
#[test]
fn a_lost_key_that_never_was_is_given_up_while_the_old_one_is_the_licenses_own() {
    let back = Switch::default();
    let marked = Answer::with_headers(200, &[("deprecation", "@1750000000")], &good().to_string());
    let server = changing(Answer::json(500, &json!({})), marked, &back);
    let project = asking(&server);
    project.rotate(&[]).exits(22).says("--confirm-not-rotated");
    let project = project.var(AHEAD, AFTER_THE_GRACE);
    project.deploy().exits(10);
    project.rotate(&["--confirm-not-rotated"]).exits(22).says("shows that it was rotated");

    back.on();
    project.rotate(&["--confirm-not-rotated"]).exits(0).says("did not rotate");
    assert_eq!(project.facts(), ["intent", "outcome_unknown", "key_lost", "aborted"]);
    assert_eq!(project.trail("production").last("rotation")["why"], json!({ "proof": "confirmed" }));
    project.deploy().exits(0).deploy_ran();
    project.run(&["audit", "verify", "production"]).exits(0);
}

#[test]
fn a_person_is_not_believed_about_a_lost_key_where_the_old_one_is_not_known_to_live() {
    let rows = [
        ("refused", Answer::json(200, &refused("suspended", "LICENSE_SUSPENDED")), "refuses the old key"),
        ("not asked", Answer::json(500, &json!({})), "could not be asked"),
    ];
    for (name, later, says) in rows {
        let (was_called, is_later) = (Switch::default(), Switch::default());
        let turned = is_later.clone();
        let server = RawServer::answering(move |request| match request.path.as_str() {
            ROTATE => {
                was_called.on();
                Answer::json(500, &json!({}))
            }
            path if path.ends_with("/validate") && turned.is_on() => later.clone(),
            path if path.ends_with("/validate") && was_called.is_on() => {
                Answer::json(200, &json!({ "valid": false, "code": "KEY_REPLACED" }))
            }
            path if path.ends_with("/validate") => Answer::json(200, &good()),
            _ => Answer::json(404, &json!({})),
        });
        let project = asking(&server);
        project.rotate(&[]).named(name).exits(22);
        is_later.on();
        project.rotate(&["--confirm-not-rotated"]).named(name).exits(22).says(says);
        assert_eq!(project.facts().last().unwrap(), "key_lost", "{name}");
    }
}

/// A list tells of other licenses, too.
#[test]
fn only_the_license_itself_shows_its_rotation_in_the_list() {
    let ours = |shown: &str| json!({ "license_id": "lic_1", "license_key": shown, "domains": ["app.com"] });
    let other = |shown: &str| json!({ "license_id": "lic_0", "license_key": shown, "domains": ["app.com"] });
    let made = json!({ "license_id": "lic_2", "license_key": "****9999", "domains": ["app.com"] });
    let plain = other("TO-PRD-of-another-license");
    let rows = [
        ("another license is gone", vec![ours("****1111")], 21, 0),
        ("another license has another key", vec![ours("****1111"), other("****7777")], 21, 0),
        ("another license shows its new key", vec![ours("****1111"), plain], 21, 0),
        ("another license was made", vec![ours("****1111"), other("****0000"), made], 21, 0),
        ("it has another key", vec![ours("****2222"), other("****0000")], 22, 22),
        ("it is gone", vec![other("****0000")], 22, 22),
    ];
    for (name, after, exit, confirmed) in rows {
        let called = Switch::default();
        let before = vec![ours("****1111"), other("****0000")];
        let server = RawServer::answering(move |request| match request.path.as_str() {
            ROTATE => {
                called.on();
                Answer::json(500, &json!({}))
            }
            LIST => Answer::json(200, &json!({ "licenses": if called.is_on() { &after } else { &before } })),
            _ if is_about(request, "****") => {
                Answer::json(200, &json!({ "valid": false, "code": "LICENSE_NOT_FOUND" }))
            }
            path if path.ends_with("/validate") => Answer::json(200, &good()),
            _ => Answer::json(404, &json!({})),
        });
        let project = asking(&server);
        project.rotate(&[]).named(name).exits(exit);
        project.rotate(&["--confirm-not-rotated"]).named(name).exits(confirmed);
    }
}

/// An answer that began as a success, and in which nothing usable stands.
#[test]
fn a_rejected_answer_is_given_up_while_the_old_key_is_the_licenses_own() {
    let rows =
        [("no key", json!({ "ok": true })), ("a key that the authority does not know", json!({ "newKey": NEW_KEY }))];
    for (name, answer) in rows {
        let is_known = Switch::default();
        let known = is_known.clone();
        let server = RawServer::answering(move |request| match request.path.as_str() {
            ROTATE if known.is_on() => Answer::json(200, &json!({ "newKey": NEW_KEY })),
            ROTATE => Answer::json(200, &answer),
            _ if is_about(request, NEW_KEY) && !known.is_on() => {
                Answer::json(200, &json!({ "valid": false, "code": "LICENSE_NOT_FOUND" }))
            }
            path if path.ends_with("/validate") => Answer::json(200, &good()),
            _ => Answer::json(404, &json!({})),
        });
        let project = asking(&server);
        project.rotate(&[]).named(name).exits(23).says("--confirm-not-rotated");
        let sealed = project.escrowed();
        project.rotate(&["--confirm-not-rotated"]).named(name).exits(0).says("did not rotate");
        assert_eq!(project.facts(), ["intent", "received", "new_rejected", "aborted"], "{name}");
        assert_eq!(project.stored(), [KEY, KEY], "{name}");
        // If the person was wrong, the new key is there and nowhere else.
        assert_eq!(project.escrowed(), sealed, "{name}");

        is_known.on();
        project.rotate(&[]).named(name).exits(0);
        assert_eq!(project.stored(), [NEW_KEY, NEW_KEY], "{name}");
        assert!(sealed.iter().all(|one| project.escrowed().contains(one)), "{name}: what was answered stays");
    }
}

#[test]
fn a_person_is_not_believed_about_an_answer_whose_key_works_or_whose_old_key_shows_a_rotation() {
    let lacking = Answer::json(200, &good_but(&json!({ "features": ["sso"] })));
    let unknown = Answer::json(200, &json!({ "valid": false, "code": "LICENSE_NOT_FOUND" }));
    let shown = Answer::json(200, &good_but(&json!({ "graceEndsAt": "2099-01-01T00:00:00Z" })));
    let rows = [
        ("it works", lacking, Answer::json(200, &good()), "accepts the key of the answer"),
        ("not asked", Answer::json(500, &json!({})), Answer::json(200, &good()), "could not be asked"),
        ("the old one", unknown, shown, "shows that it was rotated"),
    ];
    for (name, about_new, about_old, says) in rows {
        let (called, is_later) = (Switch::default(), Switch::default());
        let later = is_later.clone();
        let server = RawServer::answering(move |request| match request.path.as_str() {
            ROTATE => {
                called.on();
                Answer::json(200, &json!({ "newKey": NEW_KEY }))
            }
            _ if is_about(request, NEW_KEY) && later.is_on() => about_new.clone(),
            _ if is_about(request, NEW_KEY) => Answer::json(200, &json!({ "valid": false, "code": "NOT_YET" })),
            path if path.ends_with("/validate") && called.is_on() => about_old.clone(),
            path if path.ends_with("/validate") => Answer::json(200, &good()),
            _ => Answer::json(404, &json!({})),
        });
        let project = asking(&server);
        project.rotate(&[]).named(name).exits(23);
        is_later.on();
        project.rotate(&["--confirm-not-rotated"]).named(name).exits(23).says(says);
        assert_eq!(project.facts().last().unwrap(), "new_rejected", "{name}");
    }
}

/// A server that rotates, and knows both keys and no others; it cannot be asked about the new one until `can_be_asked`.
fn rotating(can_be_asked: &Switch) -> RawServer {
    let can_be_asked = can_be_asked.clone();
    RawServer::answering(move |request| match request.path.as_str() {
        ROTATE => Answer::json(200, &json!({ "newKey": NEW_KEY })),
        _ if is_about(request, NEW_KEY) && !can_be_asked.is_on() => Answer::json(500, &json!({})),
        _ if is_about(request, NEW_KEY) || is_about(request, KEY) => Answer::json(200, &good()),
        path if path.ends_with("/validate") => {
            Answer::json(200, &json!({ "valid": false, "code": "LICENSE_NOT_FOUND" }))
        }
        _ => Answer::json(404, &json!({})),
    })
}

/// The sealed answer is lost, as with its disk.
fn lose_the_answer(project: &Project) {
    let answers: Vec<_> = project.escrowed().into_iter().filter(|name| name.contains(".answer.")).collect();
    assert!(!answers.is_empty());
    for name in answers {
        fs::remove_file(project.path(".license/escrow/production").join(name)).unwrap();
    }
}

fn answers(project: &Project) -> usize {
    project.escrowed().iter().filter(|name| name.contains(".answer.")).count()
}

#[test]
fn a_sealed_answer_that_is_lost_before_its_key_was_asked_about_is_brought_again() {
    let can_be_asked = Switch::default();
    let server = rotating(&can_be_asked);
    let project = asking(&server);
    project.rotate(&[]).exits(24).says("could not be checked yet");
    // While it is there, it says which key is meant.
    project.adopt("TO-PRD-another-key-altogether").exits(24).says("is not the new key of this rotation");
    assert_eq!(project.facts(), ["intent", "received"]);
    can_be_asked.on();

    lose_the_answer(&project);
    project.rotate(&["--resume"]).exits(24).says("this machine does not have it").says("--adopt");
    let ran = project.adopt(NEW_KEY);
    ran.exits(0).never_shows(NEW_KEY);
    assert_eq!(project.facts()[..4], ["intent", "received", "received", "validated"]);
    assert_eq!(project.stored(), [NEW_KEY, NEW_KEY]);
    assert_eq!(answers(&project), 1, "sealed anew");
    project.run(&["audit", "verify", "production"]).exits(0);
}

#[test]
fn a_sealed_answer_that_is_lost_while_stores_are_written_is_brought_again() {
    let can_be_asked = Switch::default();
    can_be_asked.on();
    let server = rotating(&can_be_asked);
    let get = r#"[ -e kept ] || exit 3; read -r key < kept; printf '{"key":"%s"}\n' "$key""#;
    let put = r#"[ -e open ] || exit 6; sed 's/.*"key":"\([^"]*\)".*/\1/' > kept; echo '{}'"#;
    let verbs = [("capabilities", GIVES_AND_TAKES), ("get", get), ("put", put)];
    let project = asking(&server).tables(MINE).without("stores").line("stores", r#"["second", "mine"]"#);
    let project = with_helper(project, &verbs).may_hold(&["kept"]);
    project.rotate(&[]).exits(24).says("not written with the new key: `mine`");
    lose_the_answer(&project);
    let project = project.write("open", b"");
    project.rotate(&["--resume"]).exits(24).says("this machine does not have it").says("--adopt");

    let before = project.facts();
    project.adopt("TO-PRD-another-key-altogether").exits(24).says("is not the new key of this rotation");
    project.adopt(KEY).exits(24).says("is not the new key of this rotation");
    can_be_asked.0.store(false, Ordering::SeqCst);
    project.adopt(NEW_KEY).exits(24).says("could not be asked");
    assert_eq!(project.facts(), before);
    can_be_asked.on();

    let ran = project.adopt(NEW_KEY);
    ran.exits(0).never_shows(NEW_KEY).says("both keys work: confirmed");
    assert_eq!(fs::read_to_string(project.path("kept")).unwrap().trim(), NEW_KEY);
    assert_eq!(answers(&project), 1, "sealed anew");
    project.rotate(&["--rollback"]).exits(0);
    project.rotate(&["--resume"]).exits(0);
    project.run(&["audit", "verify", "production"]).exits(0);
}

/// Every store has the new key: deploys read it, and the proof that it lives needs no sealed copy.
#[test]
fn a_rotation_whose_answer_is_lost_once_it_is_committed_is_closed() {
    let is_over = Switch::default();
    let over = is_over.clone();
    let server = RawServer::answering(move |request| match request.path.as_str() {
        ROTATE => Answer::json(200, &json!({ "newKey": NEW_KEY })),
        _ if is_about(request, KEY) && over.is_on() => Answer::json(200, &refused("revoked", "LICENSE_REVOKED")),
        path if path.ends_with("/validate") => Answer::json(200, &good()),
        _ => Answer::json(404, &json!({})),
    });
    let project = asking(&server);
    project.rotate(&[]).exits(0);
    lose_the_answer(&project);
    is_over.on();
    let project = project.var(AHEAD, AFTER_THE_GRACE);
    project.rotate(&["--resume"]).exits(0).says("its old key is dead");
    assert_eq!(project.facts().last().unwrap(), "closed");
}

/// After the grace the old key is to be dead and the new one alive; whatever else is so is said, and not called done.
#[test]
fn a_rotation_that_cannot_be_closed_says_what_stands() {
    let accepted = || Answer::json(200, &good());
    let dead = || Answer::json(200, &refused("revoked", "LICENSE_REVOKED"));
    let silent = || Answer::json(500, &json!({}));
    let rows = [
        (
            "both are refused",
            dead(),
            dead(),
            [23, 23, 23],
            "the authority refuses the new key, which every store holds",
        ),
        ("the new one is refused", accepted(), dead(), [23, 23, 23], "the old one still works"),
        ("nobody answers", silent(), silent(), [11, 11, 11], "could not be asked"),
        ("nobody answers about the new one", dead(), silent(), [11, 11, 11], "could not be asked"),
        ("both work", accepted(), accepted(), [0, 20, 0], "still works"),
    ];
    for (name, about_old, about_new, exits, says) in rows {
        let is_over = Switch::default();
        let over = is_over.clone();
        let server = RawServer::answering(move |request| match request.path.as_str() {
            ROTATE => Answer::json(200, &json!({ "newKey": NEW_KEY })),
            _ if is_about(request, KEY) && over.is_on() => about_old.clone(),
            _ if is_about(request, NEW_KEY) && over.is_on() => about_new.clone(),
            path if path.ends_with("/validate") => {
                Answer::json(200, &good_but(&json!({ "createdAt": jiff::Timestamp::now().to_string() })))
            }
            _ => Answer::json(404, &json!({})),
        });
        let project = asking(&server);
        project.rotate(&[]).named(name).exits(0);
        is_over.on();
        let project = project.var(AHEAD, AFTER_THE_GRACE);
        let resumed = project.rotate(&["--resume"]).named(name);
        resumed.exits(exits[0]).says(says).says_nothing_of("the old one works until");
        project.rotate(&[]).named(name).exits(exits[1]);
        // Where both work the age of the key is judged, which the answer does not tell then.
        if exits[2] != 0 {
            project.rotate(&["--if-older-than", "30d"]).named(name).exits(exits[2]).says(says);
        }
        assert_eq!(project.facts().last().unwrap(), "committed", "{name}");
        assert_eq!(project.stored(), [NEW_KEY, NEW_KEY], "{name}");
        let document = project.rotate(&["--resume", "--format", "json"]).named(name).exits(exits[0]).json();
        assert_eq!(document["environments"][0]["outcome"], "not_closed", "{name}");
    }
}

/// The license of the rotation is dead for good, and another one took its place: there is a way on.
#[test]
fn after_the_grace_a_rotation_whose_license_is_dead_is_given_up_for_another_key() {
    const THIRD: &str = "TO-PRD-5Kk/1+Third=V4n7Tests";
    let is_over = Switch::default();
    let over = is_over.clone();
    let server = RawServer::answering(move |request| match request.path.as_str() {
        ROTATE if over.is_on() => Answer::json(200, &json!({ "newKey": "TO-PRD-6Pp/2+Fourth=X9b3Tests" })),
        ROTATE => Answer::json(200, &json!({ "newKey": NEW_KEY })),
        _ if over.is_on() && (is_about(request, KEY) || is_about(request, NEW_KEY)) => {
            Answer::json(200, &refused("revoked", "LICENSE_REVOKED"))
        }
        path if path.ends_with("/validate") => Answer::json(200, &good()),
        _ => Answer::json(404, &json!({})),
    });
    let project = asking(&server);
    project.rotate(&[]).exits(0);
    is_over.on();
    let project = [(".env", "LICENSE_KEY"), (".env.second", "SECOND_KEY")]
        .into_iter()
        .fold(project, |project, (file, name)| project.write(file, format!("{name}={THIRD}\n").as_bytes()));
    let project = project.var(AHEAD, AFTER_THE_GRACE);
    project.rotate(&[]).exits(23).says("--accept-no-overlap");
    project.rotate(&["--accept-no-overlap"]).exits(0);
    assert_eq!(project.facts_named("committed"), 2);
}
