//! What a push is, and what must be true before it goes out: the rules of git's pre-push hook.
//!
//! `lines` and `framework` are what the hook is told; `branches` says which environments a ref deploys to.
//! Deliberately not known here: how objects are scanned (`scan`), and how a license is judged (`gate`).

pub(crate) mod branches;
pub(crate) mod framework;
pub(crate) mod lines;
