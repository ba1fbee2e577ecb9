//! Keys of later work: their shape is checked, then each is refused by name, so that nobody believes that it acts.

use super::{
    checking::{Checking, Forms, Owner},
    fields::{Field, Named},
    problem::{Problem, code},
    raw::{RawAlerts, RawConfig, RawSink},
};

/// What to do about most of them.
const LEAVE_OUT: &str = "leave it out";

/// Refuses every key that this version does not act on.
pub(super) fn refuse(checking: &mut Checking<'_>, config: &RawConfig) {
    let sinks = config.sinks.given().map_or(&[][..], |at| &at.value);
    whole_table(checking, "[alerts]", &config.alerts, |checking, raw| alerts(checking, raw, &config.sinks));
    for named in sinks {
        sink(checking, named);
    }
    whole_table(checking, "[sinks]", &config.sinks, |_, _| ());
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

fn alerts(checking: &mut Checking<'_>, raw: &RawAlerts, sinks: &Field<Vec<Named<RawSink>>>) {
    if let Some(at) = raw.days.given()
        && at.value.is_empty()
    {
        let problem = Problem::new(code::EMPTY_VALUE, "`days` is empty")
            .help("write `days = [30, 7, 1]`")
            .at(at.place, "nothing here");
        checking.report(problem);
    }
    if let Some(at) = raw.sinks.given() {
        checking.each_known("sink", &at.value, sinks);
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
