//! One file per command, named after it.

pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod authority;
pub(crate) mod check;
pub(crate) mod deploy;
pub(crate) mod escrow;
pub(crate) mod hook;
pub(crate) mod leaks;
pub(crate) mod lock;
pub(crate) mod pre_push;
pub(crate) mod rotate;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod webhook;
