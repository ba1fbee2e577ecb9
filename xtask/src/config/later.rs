//! Keys of later work: their shape is checked, then each is refused by name, so that nobody believes that it acts.

use std::time::Duration;

use license_core::Fingerprint;

use super::{
    checking::{Checking, Forms, Owner},
    fields::{At, Field, Named, did_you_mean},
    problem::{Problem, code},
    raw::{
        RawAlerts, RawConfig, RawEnvironment, RawEscrow, RawLeaks, RawRotation, RawSink, RawStore, RawTrail, TrailKind,
    },
};

/// What to do about most of them.
const LEAVE_OUT: &str = "leave it out";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Refuses every key that this version does not act on.
pub(super) fn refuse(checking: &mut Checking<'_>, config: &RawConfig) {
    let sinks = config.sinks.given().map_or(&[][..], |at| &at.value);
    let stores = config.stores.given().map_or(&[][..], |at| &at.value);
    whole_table(checking, "[escrow]", &config.escrow, escrow);
    whole_table(checking, "[leaks]", &config.leaks, leaks);
    whole_table(checking, "[alerts]", &config.alerts, |checking, raw| alerts(checking, raw, sinks));
    for named in stores {
        store(checking, named);
    }
    whole_table(checking, "[stores]", &config.stores, |_, _| ());
    for named in sinks {
        sink(checking, named);
    }
    whole_table(checking, "[sinks]", &config.sinks, |_, _| ());
    if let Some(trail) = config.trail.given() {
        git_trail(checking, &trail.value);
    }
    for environment in config.environments.given().into_iter().flat_map(|at| &at.value) {
        in_environment(checking, &environment.table, stores);
    }
}

fn whole_table<T>(
    checking: &mut Checking<'_>,
    name: &str,
    field: &Field<T>,
    check: impl FnOnce(&mut Checking<'_>, &T),
) {
    if let Some(at) = field.given() {
        check(checking, &at.value);
        checking.not_supported(&format!("`{name}`"), LEAVE_OUT, at.place);
    }
}

fn git_trail(checking: &mut Checking<'_>, raw: &RawTrail) {
    if let Some(kind) = raw.kind.given().filter(|at| at.value == TrailKind::Git) {
        checking.not_supported("`kind = \"git\"` of `[trail]`", "write `kind = \"file\"`", kind.place);
    } else if let Some(remote) = raw.remote.given() {
        checking.needs("remote", remote.place, "kind = \"git\"");
    }
}

fn escrow(checking: &mut Checking<'_>, raw: &RawEscrow) {
    if let Some(at) = raw.recipients.given() {
        checking.distinct("recipients", &at.value);
    }
    if let Some(at) = raw.identity.given() {
        checking.source("identity", at, Forms::EnvOrFile);
    }
}

fn leaks(checking: &mut Checking<'_>, raw: &RawLeaks) {
    if let Some(at) = raw.patterns.given() {
        checking.distinct("patterns", &at.value);
    }
    for allowed in raw.allow.given().into_iter().flat_map(|at| &at.value) {
        if let Some(text) = allowed.fingerprint.given()
            && text.value.parse::<Fingerprint>().is_err()
        {
            let problem = Problem::new(code::FINGERPRINT, "this is not a key's fingerprint")
                .help("write its 16 hex digits, as the tool prints them; a key never stands here")
                .at(text.place, "16 hex digits");
            checking.report(problem);
        }
        if let Some(text) = allowed.reason.given() {
            checking.not_empty("`reason`", text);
        }
    }
}

fn alerts(checking: &mut Checking<'_>, raw: &RawAlerts, sinks: &[Named<RawSink>]) {
    if let Some(at) = raw.days.given()
        && at.value.is_empty()
    {
        let problem = Problem::new(code::EMPTY_VALUE, "`days` is empty")
            .help("write `days = [30, 7, 1]`")
            .at(at.place, "nothing here");
        checking.report(problem);
    }
    if let Some(at) = raw.sinks.given() {
        let known: Vec<&str> = sinks.iter().map(|sink| sink.name.value.as_str()).collect();
        each_known(checking, "sink", &at.value, &known);
    }
}

fn store(checking: &mut Checking<'_>, named: &Named<RawStore>) {
    let Named { name, table: raw } = named;
    let owner = Owner { what: format!("store `{}`", super::secrets::shown(&name.value)), place: name.place };
    checking.required(&owner, "kind", &raw.kind, "`kind = \"github\"`");
    for (name, field) in [("repository", &raw.repository), ("name", &raw.name)] {
        if let Some(text) = field.given() {
            checking.not_empty(&format!("`{name}`"), text);
        }
    }
    if let Some(at) = raw.token.given() {
        checking.source("token", at, Forms::EnvOrDotenv);
    }
}

fn sink(checking: &mut Checking<'_>, named: &Named<RawSink>) {
    let Named { name, table: raw } = named;
    let owner = Owner { what: format!("sink `{}`", super::secrets::shown(&name.value)), place: name.place };
    checking.required(&owner, "kind", &raw.kind, "`kind = \"slack\"`");
    if let Some(at) = raw.url.given() {
        checking.source("url", at, Forms::EnvOrDotenv);
    }
}

fn in_environment(checking: &mut Checking<'_>, raw: &RawEnvironment, stores: &[Named<RawStore>]) {
    if let Some(at) = raw.stores.given() {
        let known: Vec<&str> = stores.iter().map(|store| store.name.value.as_str()).collect();
        each_known(checking, "store", &at.value, &known);
        checking.not_supported("`stores` of an environment", LEAVE_OUT, at.place);
    }
    if let Some(at) = raw.rotation.given() {
        rotation(checking, &at.value);
        checking.not_supported("`rotation` of an environment", LEAVE_OUT, at.place);
    }
}

fn rotation(checking: &mut Checking<'_>, raw: &RawRotation) {
    checking.duration("max_age", &raw.max_age, &(DAY..=YEARS));
}

fn each_known(checking: &mut Checking<'_>, what: &str, names: &[At<String>], known: &[&str]) {
    for name in names.iter().filter(|name| !known.contains(&name.value.as_str())) {
        let shown = super::secrets::shown(&name.value);
        let help = match known {
            [] => format!("there are no {what}s: add `[{what}s.{shown}]`"),
            known => did_you_mean(&name.value, known, &format!("the {what}s are")),
        };
        let problem = Problem::new(code::UNKNOWN_NAME, format!("there is no {what} `{shown}`"))
            .help(help)
            .at(name.place, "not configured");
        checking.report(problem);
    }
}
