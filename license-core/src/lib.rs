//! The rules of license keys in a deploy.
//!
//! Values in, values out: nothing here reads a clock, a file, a socket or the environment, and the
//! compiler keeps it so (`no_std`). Time and randomness are arguments. The crate knows no path, no URL,
//! no `license.toml` and no wire format; it owns two text formats, the lines of the [`trail`] and
//! offline license [`token`]s.
//!
//! Odd input never makes a rule fail: it makes a [`Finding`]. "No", "don't know" and "broken" are three
//! things: a finding that fails, a finding that is unknown, and an error of whoever asked.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod alert;
pub mod chain;
mod code;
pub mod demand;
pub mod domain;
pub mod finding;
pub mod gate;
pub mod health;
pub mod key;
pub mod leaks;
pub mod license;
pub mod quota;
pub mod registry;
pub mod rotation;
pub mod token;
pub mod trail;
pub mod webhook;

pub use demand::Demand;
pub use domain::{Domain, DomainPattern};
pub use finding::{Check, Finding, Outcome, Reason};
pub use gate::{Now, UnknownPolicy, Verdict};
pub use jiff::Timestamp;
pub use key::{Fingerprint, KeyClass, LicenseKey};
pub use license::License;
