//! git's list of the objects of the history, read while the packs are scanned: each one is marked in its pack.

use std::io;

use license_core::finding::clean;

use super::walk::{Listing, Shared};
use crate::git::{GitError, Oid, stream::Streaming};

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 128;
/// After how many lines the progress is told.
const LINES_BETWEEN_NEWS: u32 = 4_096;
/// How many objects may be in no pack: with more git hands out everything.
const ELSEWHERE_MAX: usize = 500_000;

/// What git listed.
pub(super) struct List {
    /// What is in no pack, each with its number.
    pub(super) elsewhere: Vec<(u32, Oid)>,
    /// How the list ended.
    pub(super) ended: Ended,
}

/// How a list ended.
pub(super) enum Ended {
    /// It is all there is.
    Whole,
    /// It is not.
    Broken(GitError),
    /// Most of it is in no pack; git was stopped.
    TooMuchElsewhere,
}

impl List {
    /// Reads it to its end, and tells the threads how it ended, whatever happens.
    pub(super) fn read(mut output: Streaming, shared: &Shared<'_>, progress: &mut dyn FnMut()) -> Self {
        let open = Open(shared);
        let mut elsewhere = Vec::new();
        let ended = match lines(&mut output, shared, &mut elsewhere, progress) {
            Ok(Lines::All) => output.finish_list("listing objects").map_or_else(Ended::Broken, |()| Ended::Whole),
            Ok(Lines::TooMany) => {
                output.stop();
                Ended::TooMuchElsewhere
            }
            Err(error) => {
                let failed = || GitError::Failed { doing: "listing objects", said: clean(&error.to_string()) };
                Ended::Broken(output.stopped("listing objects").unwrap_or_else(failed))
            }
        };
        match &ended {
            Ended::Whole => shared.end_list(Listing::Whole),
            Ended::Broken(GitError::TooOld { .. }) | Ended::TooMuchElsewhere => shared.stop(),
            Ended::Broken(_) => {}
        }
        drop(open);
        Self { elsewhere, ended }
    }
}

/// A list that has not ended. Where nothing better was said about it, it ends as a broken one.
struct Open<'o, 's>(&'o Shared<'s>);

impl Drop for Open<'_, '_> {
    fn drop(&mut self) {
        self.0.end_list(Listing::Broken);
    }
}

/// How many lines were read.
enum Lines {
    All,
    TooMany,
}

fn lines(
    output: &mut Streaming,
    shared: &Shared<'_>,
    elsewhere: &mut Vec<(u32, Oid)>,
    progress: &mut dyn FnMut(),
) -> io::Result<Lines> {
    let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "its output cannot be read");
    let (mut line, mut order, mut bytes) = (Vec::new(), 0_u32, [0; 32]);
    while output.until(b'\n', LINE_BYTES_MAX, &mut line)?.is_some() {
        let length = Oid::read(&line, &mut bytes).ok_or_else(unreadable)?;
        let name = &bytes[..length];
        order = order.checked_add(1).ok_or_else(unreadable)?;
        if !shared.packs.iter().any(|stored| stored.list(name, order)) {
            if elsewhere.len() >= ELSEWHERE_MAX {
                return Ok(Lines::TooMany);
            }
            elsewhere.push((order, Oid::of_bytes(name)));
        }
        if order.is_multiple_of(LINES_BETWEEN_NEWS) {
            progress();
        }
    }
    Ok(Lines::All)
}
