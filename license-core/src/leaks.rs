//! The leak scanner: bytes in, leaks out.
//!
//! It knows keys by value, keys by fingerprint, the forms of keys and tokens, and the patterns of a project. It knows no
//! file, no commit and no object: whoever feeds it says where the bytes come from. No bytes make it fail.

mod allow;
mod beginnings;
mod bits;
mod changed;
mod form;
mod known;
mod layer;
mod leak;
mod needle;
mod packed;
mod random;
mod scanner;
mod settle;
mod sieve;
#[cfg(test)]
mod tests;
mod view;
mod watch;
mod work;

pub use beginnings::Beginnings;
pub use changed::Changes;
pub use form::{BEGINNINGS, Form, may_begin};
pub use leak::{Encoding, Leak, LeakKind, Tally};
pub use scanner::{LEAKS_MAX, Scanner, Stream};
pub use watch::{
    PATTERN_BYTES_MAX, PATTERNS_MAX, Pattern, PatternError, SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRETS_MAX,
    ScannerError, Secret, SecretError, Watch,
};
