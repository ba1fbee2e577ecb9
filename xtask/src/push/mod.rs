//! What a push is, and what must be true before it goes out: the rules of git's pre-push hook.
//!
//! `lines` and `framework` are what the hook is told; `ahead` is done while git starts; `branches` says which
//! environments a ref deploys to; `file` is the `license.toml` of what is pushed; `licenses` asks the authorities, within
//! a deadline; `watched` is what the scan looks for; `repository` asks git; `sending` has it hand out what is sent,
//! without what the remote has.
//! Deliberately not known here: how objects are scanned (`scan`), and how a license is judged (`gate`).

pub(crate) mod ahead;
pub(crate) mod branches;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod framework;
pub(crate) mod licenses;
pub(crate) mod lines;
pub(crate) mod repository;
pub(crate) mod sending;
pub(crate) mod watched;
