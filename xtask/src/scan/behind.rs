//! Blobs that end as a zip does and do not begin like one: a program that unpacks itself, as a rule.
//!
//! That is seen only once a blob has passed by, and holding every blob for it would cost memory at every push. So these
//! few are read once more.

use std::io;

use license_core::finding::clean;
use sha2::{Digest as _, Sha256};

use super::{
    ARCHIVE_BYTES_MAX, Work,
    objects::{Header, end_of_object, next_header},
    place::Place,
    repository::Repository,
};
use crate::git::{GitError, Oid, stream::Streaming};

/// One of them.
#[derive(Debug)]
pub(super) struct Behind {
    /// Its name.
    pub(super) object: Oid,
    /// Where it is.
    pub(super) place: Place,
}

/// Looks into all of them. Their bytes as such were scanned before.
pub(super) fn look(repository: &Repository, work: &mut Work<'_>) {
    let behind = std::mem::take(&mut work.behind);
    if behind.is_empty() {
        return;
    }
    if let Err(error) = read(repository, work, &behind) {
        work.scanned.miss("archives", error.to_string());
    }
}

fn read(repository: &Repository, work: &mut Work<'_>, behind: &[Behind]) -> Result<(), GitError> {
    let input = behind.iter().flat_map(|one| [one.object.as_str(), "\n"]).collect::<String>().into_bytes();
    let mut output = repository.git.stream(&["cat-file", "--batch", "--buffer"], input)?;
    match behind.iter().try_for_each(|one| again(&mut output, work, one)) {
        Ok(()) => output.finish("reading objects"),
        Err(error) => {
            output.stop();
            Err(GitError::Failed { doing: "reading objects", said: clean(&error.to_string()) })
        }
    }
}

fn again(output: &mut Streaming, work: &mut Work<'_>, one: &Behind) -> io::Result<()> {
    let Some(Header::Object { bytes, .. }) = next_header(output)? else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "an object is gone"));
    };
    if bytes > ARCHIVE_BYTES_MAX {
        let mut digest = Sha256::new();
        output.pieces(bytes, |piece| digest.update(piece))?;
        work.too_large(one.place.clone(), digest);
    } else {
        let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        output.pieces(bytes, |piece| whole.extend_from_slice(piece))?;
        work.unpack(None, &whole, &|| one.place.clone());
    }
    end_of_object(output)
}
