//! `schema`: the JSON Schema of license.toml.

/// The committed file; a test proves that it is current.
pub(crate) const TEXT: &str = include_str!("../../../docs/license.schema.json");
