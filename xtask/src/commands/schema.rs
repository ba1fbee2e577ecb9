//! `schema`: the JSON Schema of license.toml.

/// The committed file; a test proves that it is current.
pub(crate) use crate::config::SCHEMA as TEXT;
