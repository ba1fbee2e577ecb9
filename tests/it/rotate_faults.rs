//! Rotations on a bad day of the authority. The call is never repeated blindly, every store goes on holding a key that
//! works, and whatever came is sealed.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use license_tests::{
    Answer, Hub, Project, Ran, RawServer, Request, Rotating, failpoints, forms, rotating::IDENTITY_VARIABLE,
};
use serde_json::json;

use crate::{BINARY, KEY, Lines, authority, good, good_but};

/// The new key of servers that give one.
const NEW_KEY: &str = "TO-PRD-7Xw/9+Rotated=Q2z6Tests";

/// The path of a rotation.
const ROTATE: &str = "/api/v1/licenses/rotate";

/// A rotation that waits little, by an authority with these flags.
fn rotating(flags: &[&str], lines: Lines<'_>) -> Rotating {
    let rotating = Rotating::start(failpoints::binary(BINARY), authority(flags)).with(Project::impatient);
    lines.iter().fold(rotating, |rotating, (name, value)| rotating.with(|project| project.authority_line(name, value)))
}

/// One that waits little, by a server of the tests.
fn asking(server: &RawServer) -> Project {
    let project = Project::new(failpoints::binary(BINARY)).authority_at(&server.url());
    project.line("license", r#""lic_1""#).rotatable(KEY).impatient()
}

/// A server that accepts every key and answers every rotation so; it has no list.
fn answering(answer: Answer) -> RawServer {
    RawServer::answering(move |request| match request.path.as_str() {
        ROTATE => answer.clone(),
        path if path.ends_with("/validate") => Answer::json(200, &good()),
        _ => Answer::json(404, &json!({ "message": "there is no such path" })),
    })
}

fn calls(server: &RawServer) -> usize {
    server.requests().iter().filter(|request| request.path == ROTATE).count()
}

fn hidden(ran: &Ran) {
    ran.never_shows(KEY).never_shows(NEW_KEY);
}

/// Tries every row at once: most of the time they wait.
fn for_each<Row: Send>(rows: impl IntoIterator<Item = Row>, tried: impl Fn(Row) + Sync) {
    thread::scope(|scope| {
        for row in rows {
            scope.spawn(|| tried(row));
        }
    });
}

const VISIBLE: (&str, &str) = ("rotation_visible", r#""yes""#);
const HONORED: (&str, &str) = ("idempotency", r#""honored""#);

#[test]
fn a_rotation_whose_answer_is_lost_is_found_and_its_key_is_brought_by_a_person() {
    let faults = ["late-commit=20s@rotate:1", "status=500@rotate:1", "status=408@rotate:1"];
    for_each(faults, |fault| {
        let rotating = rotating(&["--fault", fault], &[VISIBLE]).with(|project| project.call_secs(2));
        let ran = rotating.project.rotate(&[]).named(fault);
        ran.exits(22).says("the new key was lost").says("--adopt").says("works until");
        assert_eq!(rotating.project.facts(), ["intent", "outcome_unknown", "key_lost"], "{fault}");
        rotating.nothing_stored();
        rotating.stores_work(fault);
        rotating.hidden(&ran);

        // However often it is run again: nobody calls, and the loss stays told.
        for rest in [&[][..], &["--resume"], &["--accept-no-overlap"]] {
            rotating.project.rotate(rest).named(fault).exits(22);
        }
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{fault}");
        rotating.nothing_stored();

        let nonsense = rotating.project.adopt("this is no key\n").named(fault);
        nonsense.exits(2).says("neither a license key nor a sealed answer");
        let adopted = rotating.project.adopt(&format!("{}\n", rotating.newest_key())).named(fault);
        adopted.exits(0).says("both keys work: confirmed");
        rotating.stores_hold(&rotating.newest_key());
        rotating.stores_work(fault);
        rotating.hidden(&adopted);
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{fault}");
    });
}

#[test]
fn the_old_key_is_not_adopted_for_the_new_one() {
    let rotating = rotating(&["--fault", "status=500@rotate:1"], &[VISIBLE]);
    rotating.project.rotate(&[]).exits(22);
    rotating.project.adopt(&rotating.license.key).exits(23).says("the new key is the old one");
    rotating.nothing_stored();
    rotating.project.adopt(&rotating.newest_key()).exits(0);
    rotating.stores_hold(&rotating.newest_key());
}

#[test]
fn an_answer_that_breaks_off_is_sealed_as_it_came() {
    let cut: (&str, i32, &[&str]) = ("close-mid-body@rotate:1", 21, &["intent", "outcome_unknown"]);
    let long: (&str, i32, &[&str]) = ("huge-body=1MB@rotate:1", 23, &["intent", "received", "new_rejected"]);
    for_each([cut, long], |(fault, exit, facts)| {
        let rotating = rotating(&["--fault", fault], &[VISIBLE]);
        let ran = rotating.project.rotate(&[]).named(fault);
        ran.exits(exit).says("escrow open production").says("--adopt");
        assert_eq!(rotating.project.facts(), facts, "{fault}");
        rotating.project.rotate(&[]).named(fault).exits(exit).says("escrow open production");
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{fault}");
        rotating.nothing_stored();
        rotating.stores_work(fault);
        rotating.hidden(&ran);
        rotating.project.adopt(&rotating.newest_key()).named(fault).exits(0);
        rotating.stores_hold(&rotating.newest_key());
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{fault}");
    });
}

/// Whether the authority shows a rotation or not: what came is kept, and only a person ends it.
#[test]
fn an_answer_that_was_cut_off_is_neither_an_answer_nor_none() {
    let part = r#"{"newKey":"TO-PRD-7Xw/9+Rota"#;
    let server = answering(Answer::Half { body: part.to_owned(), of: 1_000 });
    let project = asking(&server).authority_line(VISIBLE.0, VISIBLE.1);
    let ran = project.rotate(&[]);
    ran.exits(21).says("cut off after 28 bytes").says("--kind cut").says("--adopt").never_shows("TO-PRD-7Xw/9+Rota");
    let id = project.trail("production").last("rotation")["rotation_id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        project.rotate(&["--resume"]).exits(21).says("--kind cut");
    }
    let open = ["escrow", "open", "production", "--rotation", &id, "--kind", "cut"];
    assert_eq!(project.run(&open).exits(0).stdout(), format!("{part}\n"));
    project.run(&["escrow", "show", "production"]).exits(0).says(&format!("{id}  cut "));
    assert_eq!((calls(&server), project.facts().join(" ")), (1, "intent outcome_unknown".to_owned()));
    assert_eq!(project.stored(), [KEY, KEY]);

    let adopted = project.adopt(NEW_KEY);
    adopted.exits(0);
    hidden(&adopted);
    assert_eq!((project.stored(), calls(&server)), ([NEW_KEY.to_owned(), NEW_KEY.to_owned()], 1));
}

#[test]
fn a_person_may_say_that_a_cut_answer_was_no_rotation_unless_the_authority_shows_one() {
    let server = answering(Answer::Half { body: "{".to_owned(), of: 1_000 });
    let project = asking(&server).authority_line(VISIBLE.0, VISIBLE.1);
    project.rotate(&[]).exits(21);
    project.rotate(&["--confirm-not-rotated"]).exits(0).says("did not rotate");
    assert_eq!(project.escrowed(), [""; 0]);

    let rotating = rotating(&["--fault", "close-mid-body@rotate:1"], &[]);
    rotating.project.rotate(&[]).exits(21);
    rotating.project.rotate(&["--confirm-not-rotated"]).exits(21).says("--kind cut");
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    rotating.nothing_stored();
}

/// The connection ends before the length that was promised, as it does where TLS is closed without a word.
#[test]
fn a_cut_answer_whose_document_is_whole_is_an_answer() {
    let server = answering(Answer::Half { body: json!({ "newKey": NEW_KEY }).to_string(), of: 1_000 });
    let project = asking(&server);
    let ran = project.rotate(&[]);
    ran.exits(0);
    hidden(&ran);
    assert_eq!((project.stored(), calls(&server)), ([NEW_KEY.to_owned(), NEW_KEY.to_owned()], 1));
}

/// A server with a list: a page of it, whose only license of ours is gone after the call, as when others were made
/// meanwhile.
#[test]
fn nothing_is_concluded_from_a_first_page() {
    let rows = [("a whole list", 3, 22), ("a first page", 50, 21)];
    for_each(rows, |(name, shown, exit)| {
        let called: Arc<AtomicBool> = Arc::default();
        let server = RawServer::answering(move |request: &Request| match request.path.as_str() {
            ROTATE => {
                called.store(true, Ordering::SeqCst);
                Answer::Reset
            }
            path if path.ends_with("/validate") => Answer::json(200, &good()),
            path if path.ends_with("/portal/licenses") => {
                let ours = if called.load(Ordering::SeqCst) { "lic_other" } else { "lic_1" };
                let others = (1..shown).map(|one| json!({ "license_id": format!("lic_x{one}") }));
                let licenses: Vec<_> = [json!({ "license_id": ours })].into_iter().chain(others).collect();
                Answer::json(200, &json!({ "licenses": licenses }))
            }
            _ => Answer::json(404, &json!({})),
        });
        let project = asking(&server);
        let ran = project.rotate(&[]).named(name);
        ran.exits(exit);
        if exit == 21 {
            ran.says("may have more pages than were read").says("shows 50 licenses");
        }
        assert_eq!(calls(&server), 1, "{name}");
    });
}

#[test]
fn a_call_that_was_not_carried_out_is_found_out_to_be_so() {
    let faults = ["rate-limit=1s@rotate:1", "html-502@rotate:1", "redirect=http://127.0.0.1:9/@rotate:1"];
    for_each(faults, |fault| {
        let rotating = rotating(&["--fault", fault], &[VISIBLE]);
        let ran = rotating.project.rotate(&[]).named(fault);
        ran.exits(20).says("the authority shows no rotation").says("cargo xtask rotate production");
        assert_eq!(rotating.project.facts(), ["intent", "outcome_unknown", "aborted"], "{fault}");
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 0), "{fault}");
        rotating.nothing_stored();
        rotating.hidden(&ran);

        rotating.project.rotate(&[]).named(fault).exits(0);
        assert_eq!((rotating.calls(), rotating.rotations()), (2, 1), "{fault}: one call for each intent");
        assert_eq!(rotating.project.facts_named("intent"), 2, "{fault}");
        rotating.stores_hold(&rotating.newest_key());
    });
}

/// The preflight works, and then nobody listens any more: the port is closed before the call.
#[test]
fn a_call_that_nobody_takes_was_not_sent_and_changes_nothing() {
    let rotating = rotating(&[], &[]);
    rotating.proxy.closes_at("GET /api/v1/portal/licenses");
    let ran = rotating.project.rotate(&[]);
    ran.exits(20).says("the call could not be sent").says("cargo xtask rotate production");
    rotating.hidden(&ran);
    let trail = rotating.project.trail("production");
    assert_eq!(trail.facts(), ["intent", "aborted"]);
    assert_eq!(trail.last("rotation")["why"], json!({ "proof": "not_sent" }));
    assert_eq!(trail.claims(), ["claimed", "released"]);
    assert_eq!((rotating.calls(), rotating.rotations()), (0, 0));
    rotating.nothing_stored();

    let rotating = rotating.reached_anew();
    rotating.stores_work("the authority is back");
    rotating.project.rotate(&[]).exits(0);
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    assert_eq!(rotating.project.facts_named("intent"), 2);
    rotating.stores_hold(&rotating.newest_key());
}

#[test]
fn where_a_rotation_does_not_show_a_person_has_to_look() {
    let rotating = rotating(&["--fault", "html-502@rotate:1"], &[]);
    let ran = rotating.project.rotate(&[]);
    ran.exits(21).says("--adopt").says("--confirm-not-rotated").says("nothing breaks before");
    for rest in [&[][..], &["--resume"], &["--accept-no-overlap"]] {
        rotating.project.rotate(rest).exits(21);
    }
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 0));
    rotating.nothing_stored();
    rotating.project.rotate(&["--rollback"]).exits(20);

    rotating.project.rotate(&["--confirm-not-rotated"]).exits(0).says("did not rotate");
    assert_eq!(rotating.project.trail("production").last("rotation")["why"], json!({ "proof": "confirmed" }));
    rotating.project.rotate(&[]).exits(0);
    assert_eq!((rotating.calls(), rotating.rotations()), (2, 1));
    rotating.stores_hold(&rotating.newest_key());
    rotating.hidden(&ran);
}

#[test]
fn a_person_who_is_wrong_about_it_is_not_believed() {
    let rotating = rotating(&["--fault", "status=500@rotate:1"], &[]);
    let ran = rotating.project.rotate(&["--grace-days", "3"]);
    // The old key shows a grace by itself, and the list another key: that is more than silence.
    ran.exits(22);
    rotating.project.rotate(&["--confirm-not-rotated"]).exits(22);
    assert_eq!(rotating.calls(), 1);
    rotating.nothing_stored();
}

#[test]
fn a_list_that_shows_keys_gives_a_lost_one_back() {
    let rotating = rotating(&["--fault", "status=500@rotate:1", "--list-keys", "plain"], &[]);
    let ran = rotating.project.rotate(&[]);
    ran.exits(0).says("both keys work: confirmed");
    assert_eq!((rotating.calls(), rotating.rotations()), (1, 1));
    assert_eq!(rotating.project.facts()[..4], ["intent", "outcome_unknown", "received", "validated"]);
    rotating.stores_hold(&rotating.newest_key());
    rotating.hidden(&ran);
}

#[test]
fn where_the_idempotency_key_is_honored_the_call_is_repeated_for_its_answer() {
    let rows = [
        ("status=500@rotate:1", "before"),
        ("late-commit=20s@rotate:1", "before"),
        ("close-mid-body@rotate:1", "before"),
        ("html-502@rotate:1", "by the repeated call"),
        ("rate-limit=1s@rotate:1", "by the repeated call"),
    ];
    for_each(rows, |(fault, made)| {
        let rotating = rotating(&["--fault", fault, "--idempotency", "honor"], &[HONORED]);
        let rotating = rotating.with(|project| project.call_secs(2));
        let ran = rotating.project.rotate(&[]).named(fault);
        ran.exits(0).says("under the same idempotency key").says("both keys work: confirmed");
        assert_eq!((rotating.calls(), rotating.rotations()), (2, 1), "{fault}: the rotation was made {made}");
        let facts = ["intent", "outcome_unknown", "repeating", "received", "validated"];
        assert_eq!(rotating.project.facts()[..5], facts, "{fault}");
        rotating.stores_hold(&rotating.newest_key());
        rotating.hidden(&ran);
    });
}

#[test]
fn an_authority_that_never_answers_with_the_key_leaves_the_rotation_unknown() {
    let rotating = rotating(&["--fault", "status=500@rotate:2", "--idempotency", "honor"], &[HONORED]);
    rotating.project.rotate(&[]).exits(21);
    assert_eq!((rotating.calls(), rotating.rotations()), (2, 1));
    rotating.nothing_stored();
    rotating.project.rotate(&[]).exits(0);
    assert_eq!((rotating.calls(), rotating.rotations()), (3, 1));
    rotating.stores_hold(&rotating.newest_key());
}

#[test]
fn clocks_that_differ_by_a_day_stop_a_rotation_before_it_begins() {
    let rotating = rotating(&["--fault", "clock-skew=1d"], &[VISIBLE]);
    rotating.project.rotate(&[]).exits(20).says("differ by").says("help");
    assert_eq!((rotating.calls(), rotating.project.facts_named("intent")), (0, 0));
    rotating.nothing_stored();
}

#[test]
fn an_answer_of_an_unknown_shape_is_sealed_and_a_person_reads_it() {
    let two = json!({ "newKey": NEW_KEY, "new_key": "TO-PRD-another-key-altogether" });
    let rows = [
        ("no key", json!({ "ok": true }).to_string()),
        ("a key where none is known to stand", json!({ "result": { "fresh": NEW_KEY } }).to_string()),
        ("a key that may be the old one", json!({ "key": NEW_KEY }).to_string()),
        ("two keys", two.to_string()),
        ("a list", json!([NEW_KEY]).to_string()),
        ("a bare text", NEW_KEY.to_owned()),
        ("a key that is none", json!({ "newKey": format!("{NEW_KEY} {NEW_KEY}") }).to_string()),
        ("a page", format!("<html>{NEW_KEY}</html>")),
    ];
    for_each(rows, |(name, body)| {
        let server = answering(Answer::text(200, "application/json", &body));
        let project = asking(&server);
        let ran = project.rotate(&[]).named(name);
        ran.exits(23).says("cargo xtask escrow open production");
        hidden(&ran);
        assert_eq!(calls(&server), 1, "{name}");
        assert_eq!(project.facts(), ["intent", "received", "new_rejected"], "{name}");
        assert_eq!(project.stored(), [KEY, KEY], "{name}");

        let id = project.trail("production").last("rotation")["rotation_id"].as_str().unwrap().to_owned();
        let open = ["escrow", "open", "production", "--rotation", &id, "--identity-env", IDENTITY_VARIABLE];
        assert_eq!(project.run(&open).named(name).exits(0).stdout().trim_end(), body, "{name}: byte for byte");
        // As it is printed: the identity is the one that `[escrow]` names.
        assert_eq!(project.run(&open[..5]).named(name).exits(0).stdout().trim_end(), body, "{name}");

        let adopted = project.adopt(NEW_KEY).named(name);
        adopted.exits(0);
        hidden(&adopted);
        assert_eq!(project.stored(), [NEW_KEY, NEW_KEY], "{name}");
        assert_eq!(calls(&server), 1, "{name}");
    });
}

#[test]
fn an_outcome_that_proves_nothing_is_never_followed_by_another_call() {
    let retry = |status| Answer::with_headers(status, &[("retry-after", "1")], "{}");
    let rows = [
        ("a reset", Answer::Reset),
        ("nothing", Answer::Bytes(Vec::new())),
        ("no HTTP", Answer::Bytes(b"SSH-2.0-OpenSSH_9.7\r\n".to_vec())),
        ("silence", Answer::Hang),
        ("200 without a body", Answer::text(200, "application/json", "")),
        ("204", Answer::text(204, "application/json", "")),
        ("a redirect", Answer::with_headers(307, &[("location", "http://127.0.0.1:9/")], "")),
        ("408", Answer::json(408, &json!({}))),
        ("409", Answer::json(409, &json!({ "code": "ROTATION_IN_PROGRESS" }))),
        ("429", retry(429)),
        ("500", Answer::json(500, &json!({ "newKey": "not this one, it is an error" }))),
        ("502", Answer::text(502, "text/html", "<html>")),
        ("503", retry(503)),
        ("504", Answer::text(504, "text/plain", "late")),
    ];
    for_each(rows, |(name, answer)| {
        let server = answering(answer);
        let project = asking(&server).call_secs(2);
        let ran = project.rotate(&[]).named(name);
        ran.exits(21).says("--confirm-not-rotated");
        hidden(&ran);
        project.rotate(&["--resume"]).named(name).exits(21);
        assert_eq!(calls(&server), 1, "{name}");
        assert_eq!(project.facts(), ["intent", "outcome_unknown"], "{name}");
        assert_eq!(project.stored(), [KEY, KEY], "{name}");

        let project = project.authority_line(VISIBLE.0, VISIBLE.1);
        project.rotate(&["--resume"]).named(name).exits(0).says("did not rotate");
        assert_eq!((calls(&server), project.facts()[2].as_str()), (1, "aborted"), "{name}");
    });
}

/// However long the authority asks to wait, the rotation comes to its end, and to that of a person's word.
#[test]
fn a_long_wait_that_the_authority_asks_for_ends_with_the_claim() {
    let rows = [(429, "3600"), (503, "3600"), (429, "999999999999")];
    for_each(rows, |(status, wait)| {
        let name = format!("{status}, retry-after: {wait}");
        let server = answering(Answer::with_headers(status, &[("retry-after", wait)], "{}"));
        let project = asking(&server).call_secs(1).claiming_for(CLAIMING_SECS);
        let ran = project.rotate(&[]).named(&name);
        ran.exits(21).says("--confirm-not-rotated").says(&format!("the authority asked to wait {wait} s"));
        assert_eq!((calls(&server), project.facts().join(" ")), (1, "intent outcome_unknown".to_owned()), "{name}");
        let claims = project.trail("production").claims().len();
        assert!(claims <= CLAIMS_MAX, "{name}: {claims} entries of claims");
        project.rotate(&["--confirm-not-rotated"]).named(&name).exits(0).says("did not rotate");
        assert_eq!(calls(&server), 1, "{name}");
    });
}

/// How long each step may take where a claim is to be short, in seconds.
const CLAIMING_SECS: u64 = 4;

/// How many entries of claims a run has at most that takes its environment once for each step.
const CLAIMS_MAX: usize = 8;

/// Whatever the trail says, by a clock that was ahead or in an older version's words.
#[test]
fn a_rotation_that_was_left_by_a_clock_that_was_ahead_is_gone_on_with() {
    const YEAR_SECS: u64 = 365 * 24 * 60 * 60;
    let server = answering(Answer::json(500, &json!({})));
    let project = asking(&server).call_secs(1).claiming_for(CLAIMING_SECS);
    let project = project.var("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS", &YEAR_SECS.to_string());
    let project = project.var(failpoints::DIES_AT, "after-unknown");
    project.rotate(&[]).exits(128 + 9);
    assert_eq!(project.facts(), ["intent", "outcome_unknown"]);
    let claims = project.trail("production").claims().len();

    let project = project.unset(failpoints::DIES_AT).unset("LICENSE_FAILPOINT_CLOCK_AHEAD_SECS");
    project.rotate(&["--resume"]).exits(21).says("--confirm-not-rotated");
    let more = project.trail("production").claims().len() - claims;
    assert!(more <= CLAIMS_MAX, "{more} entries of claims");
    project.rotate(&["--confirm-not-rotated"]).exits(0).says("did not rotate");
    assert_eq!(calls(&server), 1);
}

#[test]
fn a_definite_refusal_ends_the_rotation_at_once() {
    for status in [400, 401, 402, 403, 404, 405, 413, 415, 422, 451] {
        let name = status.to_string();
        let server = answering(Answer::json(status, &json!({ "code": "NOT_TODAY", "message": NEW_KEY })));
        let project = asking(&server);
        let ran = project.rotate(&[]).named(&name);
        ran.exits(20).says("the authority refused the call (NOT_TODAY)");
        hidden(&ran);
        assert_eq!((calls(&server), project.facts().join(" ")), (1, "intent aborted".to_owned()), "{name}");
        assert_eq!(project.escrowed(), [""; 0], "{name}");
        assert_eq!(project.stored(), [KEY, KEY], "{name}");
    }
}

#[test]
fn a_license_without_an_id_is_not_rotated() {
    let server = answering(Answer::Reset);
    asking(&server).without("license").rotate(&[]).exits(3).says("license = \"lic_");
    assert_eq!(calls(&server), 0);
}

/// A server whose new key is answered with `early` until `ready` says so.
fn late(early: Answer, ready: impl Fn(Duration) -> bool + Send + Sync + 'static) -> RawServer {
    let rotated: Arc<Mutex<Option<Instant>>> = Arc::default();
    RawServer::answering(move |request: &Request| {
        let mut rotated = rotated.lock().unwrap();
        match request.path.as_str() {
            ROTATE => {
                *rotated = Some(Instant::now());
                Answer::json(200, &json!({ "newKey": NEW_KEY }))
            }
            path if path.ends_with("/validate") => match *rotated {
                Some(since) if request.body.contains(NEW_KEY) && !ready(since.elapsed()) => early.clone(),
                Some(_) | None => Answer::json(200, &good()),
            },
            _ => Answer::json(404, &json!({})),
        }
    })
}

fn asked_about_new(server: &RawServer) -> usize {
    let is_about_new = |request: &&Request| request.path.ends_with("/validate") && request.body.contains(NEW_KEY);
    server.requests().iter().filter(is_about_new).count()
}

#[test]
fn a_new_key_that_is_not_valid_yet_is_waited_for() {
    let rows = [
        ("not known", Answer::json(200, &json!({ "valid": false, "code": "LICENSE_NOT_FOUND" }))),
        ("unreachable", Answer::json(500, &json!({}))),
        ("without its features", Answer::json(200, &good_but(&json!({ "features": ["sso"] })))),
    ];
    for_each(rows, |(name, early)| {
        let server = late(early, |elapsed| elapsed > Duration::from_secs(2));
        let project = asking(&server);
        let ran = project.rotate(&[]).named(name);
        ran.exits(0);
        hidden(&ran);
        assert!(asked_about_new(&server) >= 2, "{name}");
        assert_eq!(calls(&server), 1, "{name}");
        let facts = project.facts();
        assert_eq!(facts, ["intent", "received", "validated", "store_holds", "store_holds", "committed"], "{name}");
        assert_eq!(project.stored(), [NEW_KEY, NEW_KEY], "{name}");
    });
}

/// The overlap is proved by asking about both keys; what was not answered is not called proved.
#[test]
fn whether_both_keys_work_is_unknown_where_nobody_answers_about_the_old_one() {
    let rotated = Arc::new(Mutex::new(false));
    let server = RawServer::answering(move |request: &Request| {
        let mut rotated = rotated.lock().unwrap();
        match request.path.as_str() {
            ROTATE => {
                *rotated = true;
                Answer::json(200, &json!({ "newKey": NEW_KEY }))
            }
            path if path.ends_with("/validate") && *rotated && !request.body.contains(NEW_KEY) => {
                Answer::json(500, &json!({}))
            }
            path if path.ends_with("/validate") => Answer::json(200, &good()),
            _ => Answer::json(404, &json!({})),
        }
    });
    let project = asking(&server);
    let ran = project.rotate(&["--format", "json"]);
    ran.exits(0);
    hidden(&ran);
    assert_eq!(ran.json()["environments"][0]["overlap"], "unknown", "{ran}");
    assert_eq!(project.stored(), [NEW_KEY, NEW_KEY]);
}

/// The old key is asked about before any store is given it.
#[test]
fn a_rollback_to_a_key_that_is_dead_or_not_known_to_live_does_not_begin() {
    let dead = Answer::json(200, &json!({ "valid": false, "code": "LICENSE_REVOKED" }));
    let rows = [("dead", dead, 20, "LICENSE_REVOKED"), ("not asked", Answer::json(500, &json!({})), 11, "500")];
    for_each(rows, |(name, about_old, exit, says)| {
        let rotated: Arc<AtomicBool> = Arc::default();
        let server = RawServer::answering(move |request: &Request| match request.path.as_str() {
            ROTATE => {
                rotated.store(true, Ordering::SeqCst);
                Answer::json(200, &json!({ "newKey": NEW_KEY }))
            }
            path if path.ends_with("/validate") => {
                let is_old = !request.body.contains(NEW_KEY);
                if is_old && rotated.load(Ordering::SeqCst) { about_old.clone() } else { Answer::json(200, &good()) }
            }
            _ => Answer::json(404, &json!({})),
        });
        let project = asking(&server);
        project.rotate(&[]).named(name).exits(0);
        let before = project.facts();
        let ran = project.rotate(&["--rollback"]).named(name);
        ran.exits(exit).says(says).says("help");
        hidden(&ran);
        assert_eq!((project.facts(), project.stored()), (before, [NEW_KEY.to_owned(), NEW_KEY.to_owned()]), "{name}");
    });
}

/// With the times of the program as it is shipped.
#[test]
fn a_new_key_that_an_edge_cache_does_not_know_for_20_seconds_is_waited_for() {
    let unknown = Answer::json(200, &json!({ "valid": false, "code": "LICENSE_NOT_FOUND" }));
    let server = late(unknown, |elapsed| elapsed > Duration::from_secs(20));
    let project = Project::new(BINARY).authority_at(&server.url()).line("license", r#""lic_1""#).rotatable(KEY);
    let ran = project.rotate(&[]);
    hidden(ran.exits(0));
    assert!(asked_about_new(&server) >= 3);
    assert_eq!(calls(&server), 1);
    assert_eq!(project.facts(), ["intent", "received", "validated", "store_holds", "store_holds", "committed"]);
    assert_eq!(project.stored(), [NEW_KEY, NEW_KEY]);
}

/// Says that the new key is ready once a test opens it.
fn gate() -> (Arc<AtomicBool>, impl Fn(Duration) -> bool + Send + Sync + 'static) {
    let open: Arc<AtomicBool> = Arc::default();
    let looked_at = Arc::clone(&open);
    (open, move |_| looked_at.load(Ordering::SeqCst))
}

#[test]
fn a_new_key_that_stays_refused_touches_no_store() {
    let (open, ready) = gate();
    let server = late(Answer::json(200, &json!({ "valid": false, "code": "LICENSE_NOT_FOUND" })), ready);
    let project = asking(&server);
    let ran = project.rotate(&[]);
    ran.exits(23).says("the stores still hold the old one").says("LICENSE_NOT_FOUND");
    hidden(&ran);
    assert_eq!(project.facts(), ["intent", "received", "new_rejected"]);
    assert_eq!((project.stored(), calls(&server)), ([KEY.to_owned(), KEY.to_owned()], 1));
    // A later run looks again, and says the same.
    project.rotate(&[]).exits(23).says("LICENSE_NOT_FOUND");
    project.run(&["audit", "verify", "production"]).exits(0);

    open.store(true, Ordering::SeqCst);
    project.rotate(&["--resume"]).exits(0);
    assert_eq!((project.stored(), calls(&server)), ([NEW_KEY.to_owned(), NEW_KEY.to_owned()], 1));
}

#[test]
fn a_new_key_that_cannot_be_asked_about_stays_sealed_for_the_next_run() {
    let (open, ready) = gate();
    let server = late(Answer::Reset, ready);
    let project = asking(&server);
    let ran = project.rotate(&[]);
    ran.exits(24).says("could not be checked yet").says("cargo xtask rotate production --resume");
    hidden(&ran);
    assert_eq!(project.facts(), ["intent", "received"]);
    assert_eq!((project.stored(), calls(&server)), ([KEY.to_owned(), KEY.to_owned()], 1));

    open.store(true, Ordering::SeqCst);
    project.rotate(&[]).exits(0);
    assert_eq!((project.stored(), calls(&server)), ([NEW_KEY.to_owned(), NEW_KEY.to_owned()], 1));
}

/// A directory that something else takes the place of, and that comes back.
#[derive(Clone, Default)]
struct Blocked(Arc<Mutex<PathBuf>>);

impl Blocked {
    fn away(&self) -> (PathBuf, PathBuf) {
        let place = self.0.lock().unwrap().clone();
        (place.with_extension("away"), place)
    }

    fn block(&self) {
        let (away, place) = self.away();
        fs::rename(&place, away).unwrap();
        fs::write(place, "").unwrap();
    }

    fn unblock(&self) {
        let (away, place) = self.away();
        fs::remove_file(&place).unwrap();
        fs::rename(away, place).unwrap();
    }
}

#[test]
fn an_answer_that_no_place_takes_is_printed_sealed_and_brought_back() {
    let escrow = Blocked::default();
    let blocked = escrow.clone();
    let server = RawServer::answering(move |request: &Request| match request.path.as_str() {
        ROTATE => {
            blocked.block();
            Answer::json(200, &json!({ "newKey": NEW_KEY }))
        }
        path if path.ends_with("/validate") => Answer::json(200, &good()),
        _ => Answer::json(404, &json!({})),
    });
    let project = asking(&server);
    *escrow.0.lock().unwrap() = project.path(".license/escrow/production");
    let ran = project.rotate(&[]);
    ran.exits(24).says("this is the answer, sealed; keep it").says("cargo xtask rotate production --adopt");
    hidden(&ran);
    assert_eq!(project.facts(), ["intent", "key_lost"]);
    let armor = printed_armor(&ran);

    // The place is still blocked: that is said, the trail stands, and nobody calls again.
    let again = project.rotate(&[]);
    again.exits(24);
    let brought = project.adopt(&armor);
    brought.exits(24).says("escrow");
    for ran in [&again, &brought] {
        hidden(ran);
    }
    project.run(&["audit", "verify", "production"]).exits(0);
    assert_eq!(project.stored(), [KEY, KEY]);

    escrow.unblock();
    project.rotate(&[]).exits(24).says("only in what was printed, sealed").says("pipe the sealed text");
    let ran = project.adopt(&armor);
    ran.exits(0);
    hidden(&ran);
    assert_eq!((project.stored(), calls(&server)), ([NEW_KEY.to_owned(), NEW_KEY.to_owned()], 1));
}

/// Sealed text is longer than what it seals.
#[test]
fn a_long_answer_that_was_printed_sealed_is_brought_back() {
    let escrow = Blocked::default();
    let blocked = escrow.clone();
    let server = RawServer::answering(move |request: &Request| match request.path.as_str() {
        ROTATE => {
            blocked.block();
            Answer::json(200, &json!({ "newKey": NEW_KEY, "notes": "x".repeat(60 * 1024) }))
        }
        path if path.ends_with("/validate") => Answer::json(200, &good()),
        _ => Answer::json(404, &json!({})),
    });
    let project = asking(&server);
    *escrow.0.lock().unwrap() = project.path(".license/escrow/production");
    let ran = project.rotate(&[]);
    let armor = printed_armor(ran.exits(24));
    assert!(armor.len() > 64 * 1024, "{}", armor.len());
    escrow.unblock();
    let adopted = project.adopt(&armor);
    adopted.exits(0);
    hidden(&adopted);
    assert_eq!((project.stored(), calls(&server)), ([NEW_KEY.to_owned(), NEW_KEY.to_owned()], 1));
}

/// The sealed text that a run printed.
fn printed_armor(ran: &Ran) -> String {
    let (begin, end) = ("-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----");
    let (_, rest) = ran.stderr().split_once(begin).unwrap();
    let (middle, _) = rest.split_once(end).unwrap();
    format!("{begin}{middle}{end}\n")
}

/// On a CI machine only the shared place counts: the machine is thrown away.
#[test]
fn what_was_brought_and_cannot_be_kept_changes_nothing() {
    let rows = [("lost", "status=500@rotate:1", 22), ("rejected", "huge-body=1MB@rotate:1", 23)];
    for_each(rows, |(name, fault, exit)| {
        let hub = Hub::new();
        let rotating = rotating(&["--fault", fault], &[VISIBLE]);
        let rotating = rotating.with(|project| hub.shared_by(project).var("CI", "true"));
        rotating.project.rotate(&[]).named(name).exits(exit);
        let head = hub.trail("production").facts().join(" ");
        hub.refuses("refs/license/escrow/");
        let ran = rotating.project.adopt(&rotating.newest_key()).named(name);
        ran.exits(24).says("cannot be kept in escrow").says("--adopt");
        rotating.hidden(&ran);
        assert_eq!(hub.trail("production").facts().join(" "), head, "{name}");
        rotating.nothing_stored();

        hub.refuses_nothing();
        rotating.project.adopt(&rotating.newest_key()).named(name).exits(0);
        rotating.stores_hold(&rotating.newest_key());
        assert_eq!((rotating.calls(), rotating.rotations()), (1, 1), "{name}");
    });
}

#[test]
fn the_call_has_one_idempotency_key_for_each_intent_and_no_license_key() {
    let server = answering(Answer::json(200, &json!({ "newKey": NEW_KEY })));
    let project = asking(&server);
    project.rotate(&[]).exits(0);
    let requests = server.requests();
    let call = requests.iter().find(|request| request.path == ROTATE).unwrap();
    let id = project.trail("production").last("rotation")["rotation_id"].as_str().unwrap().to_owned();
    assert_eq!(call.header("idempotency-key"), Some(id.as_str()));
    assert_eq!(call.json(), json!({ "licenseId": "lic_1", "gracePeriodDays": 7 }));
    assert_eq!(call.header("connection"), Some("close"));
    let whole = format!("{call:?}");
    assert!(forms::of(KEY).iter().all(|(_, form)| !whole.contains(form)), "{whole}");
}
