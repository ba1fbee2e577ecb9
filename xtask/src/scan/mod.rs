//! What a scan for leaks looks at.

pub(crate) mod archive;
