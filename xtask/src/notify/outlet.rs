//! Where an authority of ours posts its webhooks: one try at a time, for whoever keeps what was not accepted.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    Missed, Target, Tried, Unusable,
    http::{Body, Post},
};
use crate::{signals::Signals, vars::Vars};

/// The receiver of an authority's webhooks.
pub(crate) struct Outlet(Post);

/// A webhook that was not accepted.
pub(crate) struct NotAccepted {
    /// What happened, fit to be shown.
    pub(crate) why: String,
    /// When it may be posted again, where the receiver says.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the receiver has something against this one.
    pub(crate) verdict: Verdict,
}

/// What a receiver says of a webhook that it did not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This one makes no sense to it, as it is.
    Unfit,
    /// Nothing about this one: it is the receiver, its address or the secret.
    NotNow,
}

/// The statuses that are about the document: 400, 413 and 422 of RFC 9110.
const UNFIT: [u16; 3] = [400, 413, 422];

impl Outlet {
    /// Makes the client; nothing is sent yet. `secret` is never shown.
    pub(crate) fn open(target: Target, secret: &Zeroizing<String>, vars: &Vars) -> Result<Self, Unusable> {
        Ok(Self(Post::open(target, vars)?.hiding(secret)))
    }

    /// Posts once. Any 2xx accepts; redirects are not followed.
    pub(crate) fn post(&self, signature: String, body: Vec<u8>, signals: &Signals) -> Result<(), NotAccepted> {
        let headers = vec![("content-type", "application/json".to_owned()), ("x-signature", signature)];
        let mut verdict = Verdict::NotNow;
        let tried = match self.0.send(headers, body, Body::Read, signals) {
            Ok(answer) if answer.is_success() => return Ok(()),
            Ok(answer) => {
                if UNFIT.contains(&answer.status) {
                    verdict = Verdict::Unfit;
                }
                self.0.refused(&answer)
            }
            Err(tried) => tried,
        };
        match tried {
            Tried::Accepted => Ok(()),
            // What to do next is said to whoever has sinks; here nobody tells later what is given up.
            Tried::Again(Missed { why, .. }, retry_after) => Err(NotAccepted { why, retry_after, verdict }),
            Tried::Refused(Missed { why, .. }) => Err(NotAccepted { why, retry_after: None, verdict }),
        }
    }
}
