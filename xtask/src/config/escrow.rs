//! The rules of `[escrow]`, and of age recipients wherever they stand.

use age::x25519::Recipient;

use super::{
    EscrowSettings,
    checking::{Checking, Forms},
    fields::{At, Field},
    problem::{Problem, code},
    raw::RawConfig,
};
use crate::store::Source;

/// What the table comes to.
pub(super) struct Escrow {
    /// All of it, where there is one.
    pub(super) settings: Option<EscrowSettings>,
    /// What stores use that name no recipients of their own.
    pub(super) recipients: Field<Vec<String>>,
    /// What sealed files use that name no identity of their own.
    pub(super) identity: Field<Source>,
}

/// Checks the table.
pub(super) fn check(checking: &mut Checking<'_>, config: &RawConfig) -> Escrow {
    let at = match &config.escrow {
        Field::Absent => return Escrow { settings: None, recipients: Field::Absent, identity: Field::Absent },
        Field::Wrong => return Escrow { settings: None, recipients: Field::Wrong, identity: Field::Wrong },
        Field::Given(at) => at,
    };
    let recipients = at.value.recipients.checked(|texts| recipients(checking, texts));
    let identity = at.value.identity.checked(|source| checking.source("identity", source, Forms::Identity));
    let settings = EscrowSettings {
        recipients: recipients.given().map_or_else(Vec::new, |at| at.value.clone()),
        identity: identity.given().map(|at| at.value.clone()),
        place: at.place,
    };
    Escrow { settings: Some(settings), recipients, identity }
}

/// Recipients: at least one, none twice, each `age1…`. `None`: what is wrong is reported.
pub(super) fn recipients(checking: &mut Checking<'_>, texts: &At<Vec<At<String>>>) -> Option<Vec<String>> {
    if texts.value.is_empty() {
        let problem = Problem::new(code::EMPTY_VALUE, "`recipients` is empty")
            .help("write at least one, as in `recipients = [\"age1…\"]`, or leave the field out")
            .at(texts.place, "nothing here");
        checking.report(problem);
        return None;
    }
    let before = checking.problems.len();
    let given = checking.distinct("recipients", &texts.value);
    for text in texts.value.iter().filter(|text| given.contains(&text.value.as_str())) {
        recipient(checking, text);
    }
    (checking.problems.len() == before).then(|| given.into_iter().map(str::to_owned).collect())
}

/// Only the X25519 form: whoever recovers a key needs nothing but `age`, neither an agent nor a plugin.
fn recipient(checking: &mut Checking<'_>, text: &At<String>) {
    let written = text.value.as_str();
    if written.parse::<Recipient>().is_ok() {
        return;
    }
    if written.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        let problem = Problem::new(code::SECRET_IN_FILE, "`recipients` holds an identity, which opens what is sealed")
            .help(
                "write the recipient that belongs to it, which begins with `age1`; \
                 if this is a real identity, replace it, since it may be in the history of this file",
            )
            .at(text.place, "the text is not shown");
        checking.report(problem);
        return;
    }
    let why = if written.starts_with("ssh-") {
        "SSH keys are not supported"
    } else if written.starts_with("age1tag") || written.starts_with("age1pq") {
        "recipients of this newer form are not supported"
    } else if written.starts_with("age1") && written.matches('1').count() > 1 {
        "it is damaged, or belongs to a plugin, and plugins are not supported"
    } else if written.starts_with("age1") {
        "it is damaged"
    } else {
        "it does not begin with `age1`"
    };
    let problem = Problem::new(code::RECIPIENT, format!("this is not an age recipient that can be used: {why}"))
        .help("write what `age-keygen -y` prints for the identity: `age1` and 58 letters and digits")
        .at(text.place, why);
    checking.report(problem);
}
