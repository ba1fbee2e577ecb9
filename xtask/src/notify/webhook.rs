//! Tells a webhook of anybody's: a signed `CloudEvent`.

use super::{Message, Tried, cloud_event, http::Body, http::Post, sign::Signer};
use crate::signals::Signals;

/// Tells it. Any 2xx accepts; what else is in the answer does not matter.
pub(super) fn tell(post: &Post, signer: &Signer, message: &Message, signals: &Signals) -> Tried {
    let body = cloud_event::document(message);
    let mut headers = signer.headers(&cloud_event::id(message), post.now(), &body);
    headers.push(("content-type", cloud_event::CONTENT_TYPE.to_owned()));
    match post.send(headers, body, Body::Ignored, signals) {
        Ok(answer) if answer.is_success() => Tried::Accepted,
        Ok(answer) => post.refused(&answer),
        Err(tried) => tried,
    }
}
