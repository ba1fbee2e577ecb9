//! The trail of an environment: where its entries are kept.
//!
//! What an entry says and how a chain is checked is in [`license_core`]; this knows places only.

pub(crate) mod file;
