//! The harness of the tests: projects, authorities, applications and broken servers, all real processes and sockets.
//!
//! A test makes a [`Project`], runs the real binary in it, and says what must have happened:
//!
//! ```no_run
//! # use license_tests::{Authority, Grant, Project};
//! # let binary = "xtask";
//! let authority = Authority::start(binary, &[]);
//! let license = authority.issue(&Grant::default());
//! authority.revoke(&license);
//! let project = Project::new(binary).authority(&authority).key(&license.key);
//! project.deploy().exits(10).says("revoked").deploy_did_not_run();
//! ```
//!
//! Everything that waits has a bound, and every process is killed with its group when the test is over.

#![expect(
    clippy::disallowed_methods,
    reason = "the harness stands outside the product: it starts it, feeds it and looks"
)]
#![expect(clippy::missing_panics_doc, reason = "a harness fails a test by panicking")]
#![expect(clippy::unwrap_used, reason = "a harness fails a test by panicking")]

pub mod app;
pub mod authority;
pub mod browser;
pub mod failpoints;
pub mod forms;
pub mod github_api;
pub mod http;
pub mod hub;
pub mod picture;
pub mod process;
pub mod project;
pub mod proxy;
pub mod pushing;
pub mod ran;
pub mod raw;
#[cfg(test)]
mod raw_tests;
pub mod rotating;
pub mod sealed;
pub mod strace;
pub mod terminal;
pub mod trail;
pub mod vault_api;

pub use app::App;
pub use authority::{Authority, Grant, Issued};
pub use github_api::GithubApi;
pub use hub::Hub;
pub use project::Project;
pub use proxy::Proxy;
pub use pushing::Pushing;
pub use ran::Ran;
pub use raw::{Answer, RawServer, Request};
pub use rotating::Rotating;
pub use trail::Trail;
pub use vault_api::VaultApi;
