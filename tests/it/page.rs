//! `status --html`: the page as files show it, and as a headless Chromium does where there is one.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use license_tests::{
    App, Authority, Grant, Project,
    browser::{self, Browser, Scheme},
    picture::Area,
};
use serde_json::{Value, json};

use crate::{
    KEY, asking, authority, good_but, in_days, project, saying,
    webhook::{envelope, now, receiving},
    webhook_serve::Hook,
};

/// A page of so many environments is drawn within this time, in milliseconds; a loaded machine takes longer than 1 s.
const DRAWN_MILLIS_MAX: f64 = 5_000.0;
/// The size of the page of 1,000 environments, in bytes.
const PAGE_BYTES_MAX: usize = 2_000_000;

/// A name has so many pixels of ink at least: a letter of this size has about 20.
const INK_MIN: usize = 100;
/// Where the names of the environments stand: left, top, right and bottom of each, in pixels.
const AREAS: &str = "return [...document.querySelectorAll('#environments h3')].map((name) => {
    const { left, top, right, bottom } = name.getBoundingClientRect();
    return [Math.floor(left + scrollX), Math.floor(top + scrollY), Math.ceil(right + scrollX), Math.ceil(bottom + scrollY)];
});";

/// What is measured within the page.
const MEASURE: &str = include_str!("page.js");

fn is_skipped() -> bool {
    let missing = browser::missing();
    if let Some(why) = &missing {
        std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
    }
    missing.is_some()
}

/// Where the pictures are kept.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/page")
}

fn domain(number: usize) -> String {
    format!("e{number}.app.com")
}

/// Licenses of every kind: the name of the environment, and its key.
fn licenses(authority: &Authority, count: usize) -> Vec<(String, String)> {
    let license = |number: usize| {
        let expires = if number % 7 == 3 { "5d" } else { "365d" };
        let domain = domain(number);
        let grant = Grant { expires, domains: &[&domain], ..Grant::default() };
        let license = authority.issue(&grant);
        if number % 10 == 9 {
            authority.revoke(&license);
        }
        (format!("environment-{number}"), license.key)
    };
    (0..count).map(license).collect()
}

/// A project with these environments, the first of which was deployed.
fn project_of(authority: &Authority, licenses: &[(String, String)]) -> Project {
    let environment = |(number, (name, _)): (usize, &(String, String))| {
        format!(
            "[environments.{name}]\nauthority = \"to\"\ndomain = \"{}\"\nkey = {{ env = \"KEY_{number}\" }}\n\
             deploy = [\"sh\", \"deploy.sh\"]\n",
            domain(number)
        )
    };
    let tables: String = licenses.iter().enumerate().map(environment).collect();
    let head = format!(
        "version = 1\n[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"{}\"\ntoken = {{ env = \"TO_API_KEY\" }}\n",
        authority.url()
    );
    let project = project().license_toml(format!("{head}{tables}").as_bytes()).var("TO_API_KEY", authority.token());
    (0..).zip(licenses).fold(project, |project, (number, (_, key))| project.var(&format!("KEY_{number}"), key))
}

#[test]
fn chromium_shows_every_environment_at_every_width_and_in_both_schemes() {
    if is_skipped() {
        return;
    }
    let authority = authority(&[]);
    let browser = Browser::start();
    for count in [1, 4, 60] {
        let licenses = licenses(&authority, count);
        let project = project_of(&authority, &licenses);
        project.run(&["deploy", "environment-0"]).exits(0);
        let ran = project.run(&["status", "--all", "--html", "page.html"]);
        let expected: BTreeSet<String> = licenses.iter().map(|(name, _)| name.clone()).collect();
        let page = fs::read_to_string(project.path("page.html")).unwrap_or_else(|error| panic!("{error}\n{ran}"));
        for (_, key) in &licenses {
            assert!(!page.contains(key.as_str()), "a key stands in the page");
        }
        let mut grounds = BTreeSet::new();
        for width in [360, 1280] {
            for scheme in [Scheme::Light, Scheme::Dark] {
                browser.look(width, scheme);
                browser.open(&project.path("page.html"));
                let name = format!("{count}-environments-{width}-{}", scheme.name());
                browser.unroll(width);
                is_in_the_picture(&browser, &name, count);
                let seen = browser.run(MEASURE);
                is_good(&name, &seen, &browser);
                assert_eq!(names(&seen), expected, "{name}");
                grounds.insert(seen["ground"].to_string());
            }
        }
        assert_eq!(grounds.len(), 2, "both schemes look the same: {grounds:?}");
    }
}

/// Every environment is painted: without the names the picture is another where each of them stands, and only there.
#[track_caller]
fn is_in_the_picture(browser: &Browser, page: &str, count: usize) {
    let areas: Vec<Area> = browser.run(AREAS).as_array().unwrap().iter().map(area).collect();
    assert_eq!(areas.len(), count, "{page}");
    let with = browser.picture(&pictures().join(format!("{page}.png")));
    browser.run("document.querySelectorAll('#environments h3').forEach((name) => (name.style.visibility = 'hidden'))");
    let without = browser.picture(&pictures().join(format!("{page}-without-names.png")));
    browser.run("document.querySelectorAll('#environments h3').forEach((name) => (name.style.visibility = ''))");
    let painted: Vec<usize> = areas.iter().map(|&area| with.differences_in(&without, area)).collect();
    let unseen: Vec<_> = areas.iter().zip(&painted).filter(|(_, pixels)| **pixels < INK_MIN).collect();
    assert!(unseen.is_empty(), "{page}: nothing is painted here: {unseen:?}");
    // A pixel that belongs to two would be counted twice.
    assert_eq!(painted.iter().sum::<usize>(), with.differences(&without), "{page}: the names are not where they stand");
    // Each is a name of its own.
    let looks: BTreeSet<_> = areas.iter().map(|&area| with.part(area)).collect();
    assert_eq!(looks.len(), count, "{page}: two look the same");
}

/// An area of the picture: left, top, right, bottom.
fn area(sides: &Value) -> Area {
    let [left, top, right, bottom] = [0, 1, 2, 3].map(|side| usize::try_from(sides[side].as_u64().unwrap()).unwrap());
    Area { left, top, right, bottom }
}

/// The environments that the page shows.
fn names(seen: &Value) -> BTreeSet<String> {
    seen["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Nothing overflows, is too faint, has no name, or was loaded; the console heard nothing.
#[track_caller]
fn is_good(name: &str, seen: &Value, browser: &Browser) {
    for (field, expected) in [
        ("wide", json!([])),
        ("faint", json!([])),
        ("jumps", json!([])),
        ("landmarks", json!([])),
        ("nameless", json!(0)),
        ("deadLinks", json!(0)),
        // Whatever can be followed or opened can be reached with the keyboard, in the order of the page.
        ("unfocusable", json!(0)),
        ("twice", json!(0)),
        ("unseen", json!(0)),
        ("scripts", json!(0)),
        ("loaded", json!(0)),
        ("lang", json!("en")),
    ] {
        assert_eq!(seen[field], expected, "{name}: {field}");
    }
    assert!(seen["scroll"].as_u64() <= seen["inner"].as_u64(), "{name}: it can be scrolled sideways: {seen}");
    let console = browser.console();
    assert!(console.is_empty(), "{name}: {console:?}");
}

#[test]
fn chromium_draws_a_thousand_environments_at_once_and_as_well_as_few() {
    if is_skipped() {
        return;
    }
    let environment = |number: usize| {
        format!(
            "[environments.environment-{number}]\nauthority = \"to\"\ndomain = \"e{number}.app.com\"\n\
             key = {{ env = \"KEY_{number}\" }}\n"
        )
    };
    let tables: String = (0..1000).map(environment).collect();
    let text = format!(
        "version = 1\n[authority.to]\nkind = \"traffic-orchestrator\"\nurl = \"http://127.0.0.1:9/api/v1\"\n\
         token = {{ env = \"TO_API_KEY\" }}\n{tables}"
    );
    let project = project().license_toml(text.as_bytes());
    // Nobody is asked, and the trail has nothing: the worst of all pages.
    project.run(&["status", "--all", "--cached", "--html", "page.html"]).exits(11);
    let page = fs::read(project.path("page.html")).unwrap();
    assert!(page.len() < PAGE_BYTES_MAX, "{} bytes", page.len());
    let browser = Browser::start();
    let expected: BTreeSet<String> = (0..1000).map(|number| format!("environment-{number}")).collect();
    for width in [360, 1280] {
        browser.look(width, Scheme::Light);
        browser.open(&project.path("page.html"));
        let seen = browser.run(MEASURE);
        let name = format!("1,000 environments, {width} wide");
        is_good(&name, &seen, &browser);
        assert_eq!(names(&seen), expected, "{name}");
        assert!(seen["millis"].as_f64().unwrap() < DRAWN_MILLIS_MAX, "{name}: {}", seen["millis"]);
    }
}

#[test]
fn the_page_has_no_secret_and_no_markup_of_an_authority_that_repeats_what_it_was_sent() {
    let evil = format!("</style><script>alert('{KEY}')</script>");
    let app = App::reporting(json!({ "valid": false, "plan": evil, "release": evil }));
    let said = good_but(&json!({ "id": evil, "plan": evil, "status": evil, "message": evil, "expiresAt": in_days(3) }));
    let server = saying(&said);
    let ran = asking(&server).health(&app, "20s");
    let run = ran.run(&["status", "--html", "page.html"]);
    run.exits_one_of(&[10, 11, 14]).never_shows(KEY).never_shows(license_tests::authority::TOKEN);
    let page = fs::read_to_string(ran.path("page.html")).unwrap();
    assert!(!page.contains("<script") && page.matches("</style>").count() == 1, "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn the_page_shows_the_last_webhooks_without_their_markup_or_a_key() {
    const SHOWN_MAX: usize = 10;
    let project = receiving();
    let hook = Hook::start(&project);
    let evil = format!("<script>alert(1)</script>{KEY}\u{202e}");
    let kinds = (0..SHOWN_MAX - 1).map(|_| evil.as_str()).chain(["license.activated", "license.revoked"]);
    for (number, kind) in kinds.enumerate() {
        assert_eq!(hook.tell(&envelope(&format!("evt_{number}"), kind, now())).status, 200);
    }
    hook.stop();
    project.run(&["status", "--cached", "--html", "page.html"]);
    let page = fs::read_to_string(project.path("page.html")).unwrap();
    assert!(page.contains("Last deploys, alerts and webhooks"), "{page}");
    assert_eq!(page.matches(">Webhook</span>").count(), SHOWN_MAX, "{page}");
    assert!(page.contains("<code>license.revoked</code>") && page.contains("<code>evt_10</code>"), "{page}");
    assert!(page.contains("<code>evt_1</code>") && !page.contains("<code>evt_0</code>"), "the oldest: {page}");
    assert!(page.contains("<code>&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(!page.contains("<script") && !page.contains(KEY) && !page.contains('\u{202e}'), "{page}");
}

#[test]
fn the_page_is_for_whoever_asked_for_it_and_a_failure_hides_nothing() {
    let server = saying(&json!({ "valid": false }));
    let project = asking(&server).write("page.html", b"old");
    project.run(&["status", "--html", "page.html"]).exits(10);
    let path = project.path("page.html");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&path).unwrap().ends_with("</html>"));
    let both = ["status", "--html", "missing/page.html", "--metrics", "missing/license.prom"];
    let ran = project.run(&both);
    ran.exits(10).says("the page cannot be written").says("the metrics cannot be written").says("production");
    let page = fs::read_to_string(&path).unwrap();
    for word in ["production", "app.com", "not ok", "refused"] {
        assert!(page.contains(word), "{word}: {page}");
    }
}
