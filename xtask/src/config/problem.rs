//! What is wrong with a `license.toml`, with the places to underline.

use std::sync::Arc;

use miette::{NamedSource, SourceSpan};

/// Everything that is wrong with a file: never empty.
#[derive(Debug, thiserror::Error)]
#[error("{} of `{}` {}", count(.problems.len()), .path, if .problems.len() == 1 { "is wrong" } else { "are wrong" })]
pub(crate) struct ConfigError {
    /// The file, as it was named.
    pub(crate) path: String,
    /// Every problem, in the order of the file.
    pub(crate) problems: Vec<Problem>,
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 place".to_owned() } else { format!("{problems} places") }
}

/// One problem.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    /// A stable code, such as `unknown_field`.
    pub(crate) code: &'static str,
    /// What is wrong: lower case, no full stop.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) help: Option<String>,
    /// The places, each with a word about it; the first one is the main one. Empty when there is no text to show.
    pub(crate) labels: Vec<(SourceSpan, String)>,
    /// The text, where there is one.
    pub(crate) source_code: Option<Arc<NamedSource<String>>>,
}
