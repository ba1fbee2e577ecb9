//! The seam to archives: a stand-in that looks into none.

/// Bounds of what is unpacked.
#[derive(Debug, Default)]
pub(crate) struct Limits;

/// Whether a piece is the last one of its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// More follows.
    More,
    /// It is.
    Last,
}

/// How unpacking ended.
#[derive(Debug)]
pub(crate) enum Unpacked {
    /// It is no archive.
    NotAnArchive,
    /// Everything in it was handed on.
    Done,
    /// Not everything was.
    Refused {
        /// Why.
        why: String,
    },
}

/// Hands on what an archive holds.
pub(crate) fn unpack(
    _name: Option<&str>,
    _whole: &[u8],
    _limits: &Limits,
    _each: &mut dyn FnMut(&str, &[u8], Part),
) -> Unpacked {
    Unpacked::NotAnArchive
}
