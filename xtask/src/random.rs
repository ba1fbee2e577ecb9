//! Words that nobody can guess: ids of deploys, of runs and of rotations.

use std::{fmt::Write as _, io};

use crate::failure::Failure;

/// A word of random bytes, in hex digits behind a prefix that says what it names.
pub(crate) fn word<const BYTES: usize>(prefix: &str) -> Result<String, Failure> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::System { what: "there is no randomness", source: io::Error::other(error) })?;
    let mut word = format!("{prefix}_");
    for byte in bytes {
        // Writing into memory does not fail.
        let _ = write!(word, "{byte:02x}");
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_all_its_digits_and_is_never_the_same() {
        let words = [word::<8>("rel").unwrap(), word::<8>("rel").unwrap()];
        assert!(words.iter().all(|word| word.len() == "rel_".len() + 16), "{words:?}");
        assert_ne!(words[0], words[1]);
    }
}
