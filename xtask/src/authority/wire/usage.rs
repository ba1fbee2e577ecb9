//! What an authority says of the validations that an account has used.

use license_core::{
    license::ActivationLimit,
    quota::{Limit, Quota},
};
use serde_json::{Map, Value};

use super::{
    Answer, Body, Facts, Kind, NoVerdict, Secrets, TWICE, facts, of_twice, of_unusable, protocol, redirect, words,
};

/// Where it is asked, below the base address: the second only where the first is not there. Both are looks, which
/// change nothing, so that asking another place is safe.
pub(crate) const USAGE_PATHS: [&str; 2] = ["/portal/stats", "/portal/usage"];

/// Why there are no numbers.
#[derive(Debug)]
pub(crate) enum NoUsage {
    /// The authority has no such address: 404 or 405.
    NotThere,
    /// Anything else.
    No(NoVerdict),
}

/// Reads the numbers. What is not stated, or is no number, is not known.
pub(crate) fn usage(answer: &Answer<'_>, secrets: &Secrets<'_>) -> Result<Quota, NoUsage> {
    if matches!(answer.status, 404 | 405) {
        return Err(NoUsage::NotThere);
    }
    if answer.kind() == Kind::Redirect {
        return Err(NoUsage::No(redirect(answer, secrets)));
    }
    let body = Body::read(answer);
    if answer.kind() == Kind::Success {
        return match body {
            Body::Object(top) => Ok(stated(&top)),
            Body::CutOff => {
                Err(NoUsage::No(NoVerdict::Again { why: format!("{answer}, and a body that ends in the middle") }))
            }
            Body::Twice => Err(NoUsage::No(of_twice(answer))),
            Body::Unusable(what) => Err(NoUsage::No(of_unusable(answer, what))),
        };
    }
    let said = match body {
        Body::Object(top) => {
            let facts = Facts::of(&top, secrets);
            words(facts.code().as_deref(), facts.message().as_deref())
        }
        Body::Twice => format!(", and {TWICE}"),
        Body::CutOff => String::new(),
        Body::Unusable(what) => format!(", and {what}"),
    };
    Err(NoUsage::No(match answer.kind() {
        Kind::Unauthorized | Kind::Forbidden => NoVerdict::Credential { message: format!("{answer}{said}") },
        Kind::Troubled => NoVerdict::Again { why: format!("{answer}{said}") },
        Kind::Success | Kind::Redirect | Kind::NotFound | Kind::Other => {
            protocol(format!("{answer} says nothing about validations{said}"))
        }
    }))
}

/// The numbers, at the top level or inside `data`, in either spelling.
fn stated(top: &Map<String, Value>) -> Quota {
    let inside = top.get("data").and_then(Value::as_object);
    let places = || std::iter::once(top).chain(inside);
    let count = |names: &[&str]| facts::first(places(), names, facts::count);
    let limit = |value: &Value| {
        Some(match facts::limit(value)? {
            ActivationLimit::Unlimited => Limit::Unlimited,
            ActivationLimit::AtMost(most) => Limit::AtMost(most),
        })
    };
    Quota {
        used_today: count(&["validationsToday", "validations_today"]),
        used: count(&["validationsMonth", "validations_month"]),
        limit: facts::first(places(), &["monthlyLimit", "monthly_limit"], limit),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authority::wire::Headers;

    fn quota(used_today: Option<u64>, used: Option<u64>, limit: Option<Limit>) -> Quota {
        Quota { used_today, used, limit }
    }

    fn read(status: u16, body: &str) -> Result<Quota, NoUsage> {
        let headers = Headers::default();
        usage(&Answer { status, headers: &headers, body: body.as_bytes() }, &Secrets::of(["sk_live_secret"]))
    }

    #[test]
    fn both_spellings_are_read_and_what_is_missing_or_odd_is_not_known() {
        let most = |most| Some(Limit::AtMost(most));
        for (body, expected) in [
            (
                json!({ "validationsToday": 3, "validationsMonth": 412, "monthlyLimit": 500, "activeLicenses": 2 }),
                quota(Some(3), Some(412), most(500)),
            ),
            (
                json!({ "validations_today": 3, "validations_month": 412, "monthly_limit": 500 }),
                quota(Some(3), Some(412), most(500)),
            ),
            (json!({ "data": { "validationsMonth": 1, "monthly_limit": 2.0 } }), quota(None, Some(1), most(2))),
            (json!({ "validationsMonth": 0, "monthlyLimit": 0 }), quota(None, Some(0), most(0))),
            (
                json!({ "validationsMonth": u64::MAX, "monthlyLimit": u64::MAX }),
                quota(None, Some(u64::MAX), most(u64::MAX)),
            ),
            (json!({ "monthlyLimit": -1 }), quota(None, None, Some(Limit::Unlimited))),
            (json!({ "monthlyLimit": "unlimited" }), quota(None, None, Some(Limit::Unlimited))),
            // None of these says a number.
            (json!({}), Quota::default()),
            (json!({ "validationsMonth": null, "monthlyLimit": null }), Quota::default()),
            (json!({ "validationsMonth": "many", "monthlyLimit": true }), Quota::default()),
            (json!({ "validationsMonth": -3, "monthlyLimit": -2 }), Quota::default()),
            (json!({ "validationsMonth": 1.5, "monthlyLimit": [500] }), Quota::default()),
            (json!({ "license": { "validationsMonth": 9 } }), Quota::default()),
        ] {
            let found = read(200, &body.to_string());
            assert!(matches!(&found, Ok(quota) if *quota == expected), "{body}: {found:?}");
        }
    }

    #[test]
    fn an_answer_that_is_none_says_why() {
        for (status, body, why) in [
            (404, "{}", "NotThere"),
            (405, "no", "NotThere"),
            (401, r#"{"error":"invalid token sk_live_secret"}"#, "status 401: invalid token [masked]"),
            (403, "", "status 403, and an empty body"),
            (429, "{}", "status 429"),
            (500, "<html>", "status 500, and an HTML page"),
            (302, "", "redirects to elsewhere"),
            (400, "{}", "status 400 says nothing about validations"),
            (200, "[]", "status 200, and some other JSON"),
            (200, "<html>", "status 200, and an HTML page"),
            (200, r#"{"validationsMonth":"#, "ends in the middle"),
            (204, "", "status 204, and an empty body"),
        ] {
            let found = format!("{:?}", read(status, body).unwrap_err());
            assert!(found.contains(why), "{status} {body}: {found}");
        }
    }
}
