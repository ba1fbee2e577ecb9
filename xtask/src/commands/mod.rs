//! One file per command, named after it.

pub(crate) mod audit;
