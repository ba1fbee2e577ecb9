//! Webhooks of an authority: whether one is genuine, what it says, whom it concerns, and whether it was heard before.
//!
//! Values in, values out: the shell reads the bytes, the clock and the secret. Nothing in a body is believed, and none
//! of it is even parsed, before the signature is seen to be right. What is kept of one is typed, cleaned and bounded,
//! and never a key, nor the part of one that the authority shows.

mod heard;
mod notification;
mod outgoing;
mod secret;
mod signature;
mod subject;

pub use heard::{HEARD_MAX, HEARD_SECS, Heard, LAST_MAX, Last, ReceivedAt, WebhookRecord};
pub use notification::{EventId, EventType, Loudness, NotAWebhook, Notification, Received};
pub use outgoing::{EXPIRING_DAYS, at_once, moments, told_as};
pub use secret::{NotASecret, Secret};
pub use signature::{BODY_BYTES_MAX, Encoding, Rejected, SIGNATURE_BYTES_MAX, WINDOW_SECS, verify};
pub use subject::{Candidate, Subject, concerned};

/// Samples of what the trail keeps, for its tests.
#[cfg(test)]
pub(crate) use heard::samples;
