//! The trail of an environment: where its entries are kept.

pub(crate) mod file;
